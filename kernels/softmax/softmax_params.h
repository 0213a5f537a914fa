/*
 * softmax_params.h: arguments of the softmax kernels, shared by the host (C11) and the template.
 *
 * Fixed-size built-in types only, no include: NVRTC has no system headers. Strides count elements
 * between rows; within a row elements are contiguous.
 */
#ifndef TFOPS_SOFTMAX_PARAMS_H
#define TFOPS_SOFTMAX_PARAMS_H

struct softmax_params {
    const void *x;    /* [rows, width] */
    const void *mask; /* [mask_rows, width] or NULL; row r takes row r mod mask_rows */
    void *out;        /* [rows, width]; may be x, with the same stride */
    long long x_stride;
    long long mask_stride;
    long long out_stride;
    long long rows;
    int width;
    int mask_rows; /* at least 1 */
    int queries;   /* rows of a causal matrix, at least 1 */
    float scale;
    float quarter, steep; /* what logits are multiplied by: 1/4 or −1/4, then this (softmax.cu) */
    /* Read by the generic kernel only: the template has them as constants. */
    int dtype;      /* enum tfops_dtype of x */
    int out_dtype;  /* enum tfops_dtype of out */
    int mask_dtype; /* enum tfops_dtype of mask */
    int causal;
};

#endif
