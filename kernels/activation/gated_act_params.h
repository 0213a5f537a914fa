/*
 * gated_act_params.h: arguments of the gated_act kernels, shared by the host (C11) and the template.
 *
 * Fixed-size built-in types only, no include of a system header. Strides count elements between
 * rows; within a row elements are contiguous.
 */
#ifndef TFOPS_GATED_ACT_PARAMS_H
#define TFOPS_GATED_ACT_PARAMS_H

#include "quant/quant_params.h"

/* act */
enum { GATED_ACT_BY_SILU, GATED_ACT_BY_GELU, GATED_ACT_BY_GELU_TANH };

struct gated_act_params {
    const void *gate; /* [rows, ffn] */
    const void *up;   /* [rows, ffn] */
    void *out;        /* [rows, ffn]; may be gate or up, with the same stride */
    long long gate_stride;
    long long up_stride;
    long long out_stride;
    long long rows;
    struct quant_params quant; /* scales NULL where out is no fp8 */
    int ffn;
    /* Read by the generic kernel only: the template has them as constants. */
    int dtype;     /* enum tfops_dtype of gate and up */
    int out_dtype; /* enum tfops_dtype of out */
    int act;       /* GATED_ACT_BY_* */
};

#endif
