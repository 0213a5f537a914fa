/* The matrix family's specs, and the positions of their dimensions (linear: the first three), dtypes, options and operands. */
#ifndef TFOPS_KERNELS_GEMM_SPECS_H
#define TFOPS_KERNELS_GEMM_SPECS_H

#include <tfops/spec.h>

extern const struct tfops_spec linear_spec, fp8_gemm_spec;

enum {
    GEMM_M,
    GEMM_N,
    GEMM_K,
    GEMM_X_SCALE_ROWS,
    GEMM_X_SCALE_COLS,
    GEMM_WEIGHT_SCALE_ROWS,
    GEMM_WEIGHT_SCALE_COLS,
};
/* linear has the first two: its weight is of dtype. */
enum { GEMM_DTYPE, GEMM_OUT_DTYPE, GEMM_WEIGHT_DTYPE, GEMM_SCALE_DTYPE };
/* linear: the first. */
enum { GEMM_ACTIVATION, GEMM_FAST_ACCUM, GEMM_SCALING, GEMM_SCALE_MAJOR };
/* linear: the first five. */
enum {
    GEMM_X,
    GEMM_WEIGHT,
    GEMM_BIAS,
    GEMM_RESIDUAL,
    GEMM_OUT,
    GEMM_X_SCALE,
    GEMM_WEIGHT_SCALE,
};

/* The reference of all of them (gemm_ref.c): fp64 sums on host memory. */
enum tfops_status gemm_reference(void *user, const struct tfops_launch_args *launch);

/* Which factors the operands have: a value of gemm_params.h's scaling. */
int gemm_scaling(const struct tfops_problem *problem);
enum tfops_dtype gemm_weight_dtype(const struct tfops_problem *problem);

#endif
