/* copy_params.h: arguments of the copy kernel; C11 and NVRTC, no include. */
#ifndef TFOPS_COPY_PARAMS_H
#define TFOPS_COPY_PARAMS_H

struct copy_params {
    const void *src; /* both multiples of 16 bytes, not overlapping */
    void *dst;
    unsigned long long bytes;
};

#endif
