/* linear_add_rmsnorm in plain C (see gemm_ref.c): fp64; h is rounded, and what is normalised is that. */
#include "gemm_specs.h"
#include "kernels/norm/norm_ref.h"
#include <math.h>

static double sum_at(const struct tfops_launch_args *launch, int64_t m, int64_t n)
{
    const struct tfops_problem *problem = launch->problem;
    const struct tfops_view *x = &launch->operands[GEMM_X];
    const struct tfops_view *weight = &launch->operands[GEMM_WEIGHT];
    const struct tfops_view *residual = &launch->operands[GEMM_RESIDUAL];
    const void *bias = launch->operands[GEMM_BIAS].data;
    const enum tfops_dtype dtype = (enum tfops_dtype)problem->dtypes[GEMM_DTYPE];
    const enum tfops_dtype out_dtype = (enum tfops_dtype)problem->dtypes[GEMM_OUT_DTYPE];
    double sum = 0;
    for (int64_t k = 0; k < problem->dims[GEMM_K]; k++)
        sum += half_load(x->data, dtype, m * x->strides[0] + k) *
               half_load(weight->data, dtype, n * weight->strides[0] + k);
    if (bias)
        sum += half_load(bias, out_dtype, n);
    return sum + half_load(residual->data, out_dtype, m * residual->strides[0] + n);
}

enum tfops_status linear_add_rmsnorm_reference(void *user, const struct tfops_launch_args *launch)
{
    (void)user;
    const struct tfops_problem *problem = launch->problem;
    const struct tfops_view *operands = launch->operands, *out = &operands[GEMM_OUT];
    const struct tfops_view *given = &operands[LINEAR_ADD_RMSNORM_RESIDUAL_OUT];
    const struct tfops_view *h = given->data ? given : &operands[GEMM_RESIDUAL];
    const void *weight = operands[LINEAR_ADD_RMSNORM_NORM_WEIGHT].data;
    const enum tfops_dtype dtype = (enum tfops_dtype)problem->dtypes[GEMM_OUT_DTYPE];
    const int64_t width = problem->dims[GEMM_N];
    for (int64_t m = 0; m < problem->dims[GEMM_M]; m++) {
        double squares = 0;
        for (int64_t n = 0; n < width; n++) {
            const double value = half_round(dtype, sum_at(launch, m, n));
            half_store(h->data, dtype, m * h->strides[0] + n, value);
            squares += value * value;
        }
        const double factor =
            1 / sqrt(squares / (double)width + launch->scalars[LINEAR_ADD_RMSNORM_EPS]);
        for (int64_t n = 0; n < width; n++)
            half_store(out->data, dtype, m * out->strides[0] + n,
                norm_weighted(dtype, problem->options[LINEAR_ADD_RMSNORM_WEIGHT_VARIANT],
                    half_load(h->data, dtype, m * h->strides[0] + n) * factor,
                    half_load(weight, dtype, n)));
    }
    return TFOPS_OK;
}
