/*
 * Matrix products in plain C: what the templates are judged by, and the cpu device. Sums and
 * arithmetic in fp64; one rounding, to the output's format.
 */
#include "base/half.h"
#include "gemm_params.h"
#include "gemm_specs.h"
#include <math.h>

double gemm_ref_activate(int activation, double x)
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

/* One element of a matrix of scales, or of its transpose. */
static double scale_at(const struct tfops_view *scales, bool transposed, int64_t row, int64_t col)
{
    const int64_t down = transposed ? col : row, across = transposed ? row : col;
    return half_load(scales->data, TFOPS_F32, down * scales->strides[0] + across);
}

/* The factor of the products of row m of x and row n of weight from k on. */
static double scale_of(const struct tfops_launch_args *launch, int64_t m, int64_t n, int64_t k)
{
    const struct tfops_problem *problem = launch->problem;
    const int scaling = gemm_scaling(problem);
    if (scaling == GEMM_UNSCALED)
        return 1;
    const struct tfops_view *x = &launch->operands[GEMM_X_SCALE];
    const struct tfops_view *weight = &launch->operands[GEMM_WEIGHT_SCALE];
    const bool transposed = problem->options[GEMM_SCALE_MAJOR] != 0;
    switch (scaling) {
    case GEMM_PER_ROW:
        return scale_at(x, transposed, m, 0) * scale_at(weight, false, n, 0);
    case GEMM_PER_BLOCK:
        return scale_at(x, transposed, m, k / GEMM_GROUP_ELEMS) *
               scale_at(weight, false, n / GEMM_GROUP_ELEMS, k / GEMM_GROUP_ELEMS);
    default:
        return scale_at(x, false, 0, 0) * scale_at(weight, false, 0, 0);
    }
}

/* Scaled group by group, which is right for all scalings. */
static double product(const struct tfops_launch_args *launch, int64_t m, int64_t n)
{
    const struct tfops_problem *problem = launch->problem;
    const struct tfops_view *x = &launch->operands[GEMM_X];
    const struct tfops_view *weight = &launch->operands[GEMM_WEIGHT];
    const enum tfops_dtype x_dtype = (enum tfops_dtype)problem->dtypes[GEMM_DTYPE];
    const enum tfops_dtype weight_dtype = gemm_weight_dtype(problem);
    const int64_t depth = problem->dims[GEMM_K];
    double sum = 0, part = 0;
    for (int64_t k = 0; k < depth; k++) {
        part += half_load(x->data, x_dtype, m * x->strides[0] + k) *
                half_load(weight->data, weight_dtype, n * weight->strides[0] + k);
        if ((k + 1) % GEMM_GROUP_ELEMS && k + 1 < depth)
            continue;
        sum += part * scale_of(launch, m, n, k);
        part = 0;
    }
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
            double value = product(launch, m, n);
            if (operands[GEMM_BIAS].data)
                value += half_load(operands[GEMM_BIAS].data, dtype, n);
            value = gemm_ref_activate(problem->options[GEMM_ACTIVATION], value);
            if (residual->data)
                value += half_load(residual->data, dtype, m * residual->strides[0] + n);
            half_store(out->data, dtype, m * out->strides[0] + n, value);
        }
    return TFOPS_OK;
}
