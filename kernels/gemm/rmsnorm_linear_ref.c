/* Products of normalised rows in plain C (see gemm_ref.c): fp64, one rounding. */
#include "base/half.h"
#include "gemm_params.h"
#include "gemm_specs.h"
#include <math.h>

/* Row m of x. */
static double row_factor(const struct tfops_launch_args *launch, int64_t m)
{
    const struct tfops_problem *problem = launch->problem;
    const struct tfops_view *x = &launch->operands[GEMM_X];
    const enum tfops_dtype dtype = (enum tfops_dtype)problem->dtypes[GEMM_DTYPE];
    const int64_t width = problem->dims[GEMM_K];
    double squares = 0;
    for (int64_t k = 0; k < width; k++) {
        double value = half_load(x->data, dtype, m * x->strides[0] + k);
        squares += value * value;
    }
    return 1 / sqrt(squares / (double)width + launch->scalars[RMSNORM_LINEAR_EPS]);
}

static double product(const struct tfops_launch_args *launch, int64_t m, int64_t n)
{
    const struct tfops_problem *problem = launch->problem;
    const struct tfops_view *x = &launch->operands[GEMM_X];
    const struct tfops_view *weight = &launch->operands[GEMM_WEIGHT];
    const void *norm_weight = launch->operands[RMSNORM_LINEAR_NORM_WEIGHT].data;
    const enum tfops_dtype dtype = (enum tfops_dtype)problem->dtypes[GEMM_DTYPE];
    double sum = 0;
    for (int64_t k = 0; k < problem->dims[GEMM_K]; k++)
        sum += half_load(x->data, dtype, m * x->strides[0] + k) *
               (norm_weight ? half_load(norm_weight, dtype, k) : 1) *
               half_load(weight->data, dtype, n * weight->strides[0] + k);
    return sum;
}

enum tfops_status rmsnorm_linear_reference(void *user, const struct tfops_launch_args *launch)
{
    (void)user;
    const struct tfops_problem *problem = launch->problem;
    const struct tfops_view *operands = launch->operands;
    const struct tfops_view *residual = &operands[GEMM_RESIDUAL], *out = &operands[GEMM_OUT];
    const enum tfops_dtype dtype = (enum tfops_dtype)problem->dtypes[GEMM_OUT_DTYPE];
    for (int64_t m = 0; m < problem->dims[GEMM_M]; m++) {
        const double factor = row_factor(launch, m);
        for (int64_t n = 0; n < problem->dims[GEMM_N]; n++) {
            double value = product(launch, m, n) * factor;
            if (operands[GEMM_BIAS].data)
                value += half_load(operands[GEMM_BIAS].data, dtype, n);
            value = gemm_ref_activate(problem->options[GEMM_ACTIVATION], value);
            if (residual->data)
                value += half_load(residual->data, dtype, m * residual->strides[0] + n);
            half_store(out->data, dtype, m * out->strides[0] + n, value);
        }
    }
    return TFOPS_OK;
}
