/*
 * rmsnorm_linear_params.h: arguments of the rmsnorm_linear kernels, shared by the host (C11) and the
 * templates.
 */
#ifndef TFOPS_RMSNORM_LINEAR_PARAMS_H
#define TFOPS_RMSNORM_LINEAR_PARAMS_H

#include "gemm/gemm_params.h"

struct rmsnorm_linear_params {
    struct gemm_params gemm;    /* first: what all matrix kernels read */
    struct tensor_map norm_map; /* of norm_weight, where consumers normalise x (gemm_held.cuh) */
    const void *norm_weight;    /* [k] of x's dtype; NULL: ones, or folded into weight */
    float eps;
};

#endif
