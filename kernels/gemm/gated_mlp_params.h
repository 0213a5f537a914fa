/*
 * gated_mlp_params.h: arguments of the gated_mlp kernels, shared by the host (C11) and the templates.
 *
 * out = act(x · gateᵀ) · (x · upᵀ), what a product (gemm_params.h) has of gate standing under weight;
 * no bias, no residual. gate and up are [n, k].
 */
#ifndef TFOPS_GATED_MLP_PARAMS_H
#define TFOPS_GATED_MLP_PARAMS_H

#include "gemm/gemm_params.h"

/* act */
enum { GATED_MLP_BY_SILU, GATED_MLP_BY_GELU, GATED_MLP_BY_GELU_TANH };
/* activates */
enum { GATED_MLP_GATE, GATED_MLP_UP };

struct gated_mlp_params {
    struct gemm_params gemm; /* first: what all matrix kernels read */
    struct tensor_map up_map;
    const void *up;
    const float *up_scale;                /* as gemm.weight_scale */
    const float *out_scale;               /* [1]: what the result is divided by; NULL: 1 */
    long long up_stride, up_scale_stride; /* as gemm.weight_scale_stride */
    /* Read by the generic kernel only: the template has them as constants. */
    int act, activates;
};

#endif
