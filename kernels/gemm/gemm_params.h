/*
 * gemm_params.h: arguments of the matrix kernels, shared by the host (C11) and the templates.
 *
 * out = f(x · weightᵀ): x is [m, k], weight [n, k], out [m, n]. Strides count elements between rows;
 * within a row elements are contiguous. The maps are filled for configs that use TMA only.
 */
#ifndef TFOPS_GEMM_PARAMS_H
#define TFOPS_GEMM_PARAMS_H

#include "device/tensor_map_params.h"

/* MAINLOOP of a config: gemm_mma.cuh, gemm_sm90.cuh, gemm_stream.cuh */
enum { GEMM_MMA, GEMM_WGMMA, GEMM_STREAM };
/* activation */
enum { GEMM_NONE, GEMM_RELU, GEMM_SILU, GEMM_GELU, GEMM_GELU_TANH };
/* scaling: one factor a tensor; one a row of x and one a row of weight; one a group of x's row and
 * one a block of weight (GEMM_GROUP_ELEMS of k; as many rows of weight); none */
enum { GEMM_PER_TENSOR, GEMM_PER_ROW, GEMM_PER_BLOCK, GEMM_UNSCALED };
enum { GEMM_GROUP_ELEMS = 128, GEMM_SCALE_BLOCKS = 2 }; /* a tile has rows of so many at most */
/* Places for their scales: what follows begins at a multiple of 16 bytes. */
enum { GEMM_SCALE_PLACES = 4 };
/* Tokens that each block of a cluster loads at least, of those that its tiles share. */
enum { GEMM_LEAST_SHARE = 2 };
/* Rows of x whose RMSNorm factors a block keeps for tiles that have them in common. */
enum { GEMM_KEPT_ROWS = 512 };
/* SPLIT_TAIL: parts of a sum; tiles whose rests are a cluster's. */
enum { GEMM_MOST_PARTS = 8, GEMM_MOST_EACH = 4 };

struct gemm_params {
    struct tensor_map x_map, weight_map, out_map;
    const void *x, *weight;
    /* Of row m and group g at m · x_scale_stride + g · x_group_stride; of row n, or of block n / 128,
     * and group g at n · weight_scale_stride + g. NULL: none. */
    const float *x_scale, *weight_scale;
    const void *bias;     /* [n] or NULL, dtype of out */
    const void *residual; /* [m, n] or NULL, dtype of out; may be out */
    void *out;
    void *workspace; /* of configs with SPLIT_TAIL (gemm_tail.cuh) */
    long long x_stride, weight_stride, residual_stride, out_stride;
    long long x_scale_stride, x_group_stride, weight_scale_stride;
    int m, n, k;
    /* Read by the generic kernel only: the templates have them as constants. */
    int dtype, weight_dtype, out_dtype; /* enum tfops_dtype; bias and residual: of out */
    int activation, scaling;
};

#endif
