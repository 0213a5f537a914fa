/*
 * Matrix products in plain C: what the templates are judged by, and the cpu device. Sums and
 * arithmetic in fp64; one rounding, to the output's format.
 */
#include "base/half.h"
#include "gemm_params.h"
#include "gemm_specs.h"
#include <math.h>

static double activate(int activation, double x)
{
    switch (activation) {
    case GEMM_RELU:
        return x < 0 ? 0 : x;
    case GEMM_SILU:
        return x / (1 + exp(-x));
    case GEMM_GELU:
        return 0.5 * x * (1 + erf(x * 0.70710678118654752));
    case GEMM_GELU_TANH:
        return 0.5 * x * (1 + tanh(0.79788456080286536 * (x + 0.044715 * x * x * x)));
    default:
        return x;
    }
}

/* The factor of row m of x and row n of weight. */
static double scale_of(const struct tfops_launch_args *launch, int64_t m, int64_t n)
{
    const int scaling = gemm_scaling(launch->problem);
    if (scaling == GEMM_UNSCALED)
        return 1;
    const bool rows = scaling == GEMM_PER_ROW;
    return half_load(launch->operands[GEMM_X_SCALE].data, TFOPS_F32, rows ? m : 0) *
           half_load(launch->operands[GEMM_WEIGHT_SCALE].data, TFOPS_F32, rows ? n : 0);
}

static double product(const struct tfops_launch_args *launch, int64_t m, int64_t n)
{
    const struct tfops_problem *problem = launch->problem;
    const struct tfops_view *x = &launch->operands[GEMM_X];
    const struct tfops_view *weight = &launch->operands[GEMM_WEIGHT];
    const enum tfops_dtype x_dtype = (enum tfops_dtype)problem->dtypes[GEMM_DTYPE];
    const enum tfops_dtype weight_dtype = gemm_weight_dtype(problem);
    double sum = 0;
    for (int64_t k = 0; k < problem->dims[GEMM_K]; k++)
        sum += half_load(x->data, x_dtype, m * x->strides[0] + k) *
               half_load(weight->data, weight_dtype, n * weight->strides[0] + k);
    return sum;
}

enum tfops_status gemm_reference(void *user, const struct tfops_launch_args *launch)
{
    (void)user;
    const struct tfops_problem *problem = launch->problem;
    const struct tfops_view *operands = launch->operands;
    const struct tfops_view *residual = &operands[GEMM_RESIDUAL], *out = &operands[GEMM_OUT];
    const enum tfops_dtype dtype = (enum tfops_dtype)problem->dtypes[GEMM_OUT_DTYPE];
    for (int64_t m = 0; m < problem->dims[GEMM_M]; m++)
        for (int64_t n = 0; n < problem->dims[GEMM_N]; n++) {
            double value = product(launch, m, n) * scale_of(launch, m, n);
            if (operands[GEMM_BIAS].data)
                value += half_load(operands[GEMM_BIAS].data, dtype, n);
            value = activate(problem->options[GEMM_ACTIVATION], value);
            if (residual->data)
                value += half_load(residual->data, dtype, m * residual->strides[0] + n);
            half_store(out->data, dtype, m * out->strides[0] + n, value);
        }
    return TFOPS_OK;
}
