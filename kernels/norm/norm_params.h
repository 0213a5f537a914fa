/*
 * norm_params.h: arguments of the norms' kernels, shared by the host (C11) and the templates.
 *
 * Fixed-size built-in types only: NVRTC has no system headers. Strides count elements between rows;
 * within a row elements are contiguous.
 */
#ifndef TFOPS_NORM_PARAMS_H
#define TFOPS_NORM_PARAMS_H

#include "quant/quant_params.h"

/* weight_variant */
enum { NORM_PLAIN, NORM_ONE_PLUS, NORM_ROUND_BEFORE };

struct norm_params {
    const void *x;        /* [rows, hidden] */
    const void *weight;   /* [hidden] */
    const void *bias;     /* [hidden] or NULL */
    const void *residual; /* [rows, hidden]; generic kernel: NULL means without */
    void *out;            /* [rows, hidden]; may be x, with the same stride, where not fp8 */
    void *residual_out;   /* [rows, hidden] or NULL; may be residual, with the same stride */
    long long x_stride;
    long long residual_stride;
    long long out_stride;
    long long residual_out_stride;
    long long rows;
    struct quant_params quant; /* scales NULL where out is no fp8 */
    int hidden;
    float eps;
    /* Read by the generic kernel only: the template has them as constants. */
    int dtype;          /* enum tfops_dtype of x, residual, residual_out, and of out unless fp8 */
    int weight_dtype;   /* enum tfops_dtype of weight and bias */
    int out_dtype;      /* enum tfops_dtype of out */
    int weight_variant; /* NORM_* */
    int residual_round; /* 1: norm of the sum rounded to dtype */
    int columns;        /* weight, and bias if there is one */
};

#endif
