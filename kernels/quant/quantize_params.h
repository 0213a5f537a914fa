/*
 * quantize_params.h: arguments of quantize and dequantize, shared by the host (C11) and the
 * templates.
 *
 * Fixed-size built-in types only: NVRTC has no system headers. Strides count elements between rows;
 * within a row elements are contiguous.
 */
#ifndef TFOPS_QUANTIZE_PARAMS_H
#define TFOPS_QUANTIZE_PARAMS_H

#include "quant/quant_params.h"

/* What blocks exchange their amax through (device/grid.cuh): a word each, and one that counts. */
#define GRID_WORDS(blocks) ((blocks) + 1)

/* What shares a scale, in the order of enum quant_granularity. */
enum { BY_TENSOR_GIVEN, BY_TENSOR, BY_TOKEN, BY_GROUP, BY_BLOCK };

struct quantize_params {
    const void *x;             /* [rows, hidden] */
    void *out;                 /* [rows, hidden] fp8 */
    const float *static_scale; /* BY_TENSOR_GIVEN */
    void *saturated;           /* a count to add to, or NULL */
    void *retries;             /* a count to set, or NULL */
    unsigned *turnstile;       /* GRID_WORDS of the grid; of what finds the amax of a tensor */
    long long x_stride;
    long long out_stride;
    long long rows;
    struct quant_params quant; /* scales NULL: a given scale that stays as it is */
    int hidden;
    int max_retries; /* most doublings of a given scale */
    int count_dtype; /* enum tfops_dtype of saturated and retries */
    /* Read by the generic kernel only: the template has them as constants. */
    int granularity; /* BY_* */
    int dtype;       /* enum tfops_dtype of x */
    int out_dtype;   /* enum tfops_dtype of out */
};

struct dequantize_params {
    const void *x; /* [rows, hidden] fp8 */
    void *out;     /* [rows, hidden] */
    long long x_stride;
    long long out_stride;
    long long rows;
    struct quant_params quant; /* scales that are read */
    int hidden;
    /* Read by the generic kernel only. */
    int granularity; /* BY_*, from BY_TENSOR on */
    int dtype;       /* enum tfops_dtype of x */
    int out_dtype;   /* enum tfops_dtype of out */
};

#endif
