/* fill_params.h: arguments of the fill kernel; C11 and NVRTC, no include. */
#ifndef TFOPS_FILL_PARAMS_H
#define TFOPS_FILL_PARAMS_H

enum { FILL_UNIFORM, FILL_NORMAL, FILL_PATTERN, FILL_INDEX };

struct fill_params {
    void *data;           /* aligned to its element; 16-byte alignment is faster */
    unsigned long long n; /* elements */
    unsigned long long seed;
    unsigned long long special_every; /* every k-th element is a special value; 0: none */
    int dtype; /* enum tfops_dtype: F32, F16, BF16, E4M3, E5M2; FILL_PATTERN: I32, U8 too; FILL_INDEX: I32, I64 */
    int mode;
    float scale; /* value = random * scale + offset */
    float offset;
    unsigned pattern; /* FILL_PATTERN: repeated from element 0 */
    int distinct;     /* FILL_INDEX: -1 instead of a number that has been */
    long long bound;  /* FILL_INDEX: from bound - 1 down to 0, then again */
};

#endif
