/*
 * rmsnorm_linears_params.h: arguments of the rmsnorm_linears kernels, shared by the host (C11) and the
 * templates.
 */
#ifndef TFOPS_RMSNORM_LINEARS_PARAMS_H
#define TFOPS_RMSNORM_LINEARS_PARAMS_H

#include "gemm/rmsnorm_linear_params.h"

enum { LINEARS_MOST = 3 };

/* Of each weight one: x, norm_weight and eps are the same in all, the maps of x and norm_weight are filled in the
 * first; n is 0 where there is no third weight. */
struct rmsnorm_linears_params {
    struct rmsnorm_linear_params part[LINEARS_MOST];
};

#endif
