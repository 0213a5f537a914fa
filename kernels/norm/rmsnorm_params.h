/*
 * rmsnorm_params.h: arguments of the rmsnorm kernels, shared by the host (C11) and the template.
 *
 * Fixed-size built-in types only, no include: NVRTC has no system headers. Strides count elements
 * between rows; within a row elements are contiguous.
 */
#ifndef TFOPS_RMSNORM_PARAMS_H
#define TFOPS_RMSNORM_PARAMS_H

/* weight_variant */
enum { RMSNORM_PLAIN, RMSNORM_ONE_PLUS, RMSNORM_ROUND_BEFORE };

struct rmsnorm_params {
    const void *x;        /* [rows, hidden] */
    const void *weight;   /* [hidden] */
    const void *residual; /* [rows, hidden]; generic kernel: NULL means plain rmsnorm */
    void *out;            /* [rows, hidden]; may be x, with the same stride */
    void *residual_out;   /* [rows, hidden] or NULL; may be residual, with the same stride */
    long long x_stride;
    long long residual_stride;
    long long out_stride;
    long long residual_out_stride;
    long long rows;
    int hidden;
    float eps;
    /* Read by the generic kernel only: the template has them as constants. */
    int dtype;          /* enum tfops_dtype of x, residual, out, residual_out */
    int weight_dtype;   /* enum tfops_dtype of weight */
    int weight_variant; /* RMSNORM_* */
    int residual_round; /* 1: norm of the sum rounded to dtype */
};

#endif
