/*
 * linear_add_rmsnorm_params.h: arguments of the linear_add_rmsnorm kernels, shared by the host (C11) and
 * the templates.
 *
 * h = x · weightᵀ + bias + residual is what a product (gemm_params.h) has as out; norm_out, [m, n], takes
 * its rows normalised. All of out's dtype.
 */
#ifndef TFOPS_LINEAR_ADD_RMSNORM_PARAMS_H
#define TFOPS_LINEAR_ADD_RMSNORM_PARAMS_H

#include "gemm/gemm_params.h"

struct linear_add_rmsnorm_params {
    struct gemm_params gemm; /* first: what all matrix kernels read */
    struct tensor_map norm_out_map;
    const void *norm_weight; /* [n] */
    void *norm_out;
    /* Of configs whose blocks exchange sums of rows: all zero between launches. A word for each band of
     * tiles that share rows, then one for each row and tile of a band (gemm_row_sums.cuh). */
    unsigned *exchange;
    long long norm_out_stride;
    float eps;
    /* Read by the generic kernel only: the template has it as a constant. */
    int weight_variant; /* NORM_* of norm/norm_params.h */
};

#endif
