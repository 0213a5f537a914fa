/*
 * transpose_params.h: arguments of the transpose kernels, shared by the host (C11) and the template.
 *
 * Fixed-size built-in types only, no include: NVRTC has no system headers. Strides count elements
 * between rows; within a row elements are contiguous.
 */
#ifndef TFOPS_TRANSPOSE_PARAMS_H
#define TFOPS_TRANSPOSE_PARAMS_H

struct transpose_params {
    const void *x; /* [rows, cols] */
    void *out;     /* [cols, rows] */
    long long x_stride;
    long long out_stride;
    long long rows;
    int cols;
    int dtype; /* enum tfops_dtype; read by the generic kernel only */
};

#endif
