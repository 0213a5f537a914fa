/* Gated products in plain C (see gemm_ref.c): fp64 sums, one rounding, to the output's format. */
#include "base/half.h"
#include "gated_mlp_params.h"
#include "gemm_params.h"
#include "gemm_specs.h"
#include <math.h>

static double activate(int act, double x)
{
    switch (act) {
    case GATED_MLP_BY_GELU: /* x · Φ(x), without cancelling where it is small */
        return 0.5 * x * erfc(-x * sqrt(0.5));
    case GATED_MLP_BY_GELU_TANH: /* ½x · (1 + tanh u) = x / (1 + exp(−2u)) */
        return x / (1 + exp(-2 * sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
    default:
        return x / (1 + exp(-x));
    }
}

/* Row m of x times row n of a weight, with their scales. */
static double product(
    const struct tfops_launch_args *launch, int64_t m, int64_t n, size_t weight, size_t scale)
{
    const struct tfops_problem *problem = launch->problem;
    const struct tfops_view *operands = launch->operands;
    const struct tfops_view *x = &operands[GATED_MLP_X], *w = &operands[weight];
    const enum tfops_dtype x_dtype = (enum tfops_dtype)problem->dtypes[GEMM_DTYPE];
    const enum tfops_dtype w_dtype = gemm_weight_dtype(problem);
    const int scaling = gemm_scaling(problem);
    const bool rows = scaling == GEMM_PER_ROW;
    double sum = 0;
    for (int64_t k = 0; k < problem->dims[GEMM_K]; k++)
        sum += half_load(x->data, x_dtype, m * x->strides[0] + k) *
               half_load(w->data, w_dtype, n * w->strides[0] + k);
    if (scaling == GEMM_UNSCALED)
        return sum;
    const struct tfops_view *x_scale = &operands[GATED_MLP_X_SCALE], *w_scale = &operands[scale];
    return sum * half_load(x_scale->data, TFOPS_F32, rows ? m * x_scale->strides[0] : 0) *
           half_load(w_scale->data, TFOPS_F32, rows ? n * w_scale->strides[0] : 0);
}

enum tfops_status gated_mlp_reference(void *user, const struct tfops_launch_args *launch)
{
    (void)user;
    const struct tfops_problem *problem = launch->problem;
    const struct tfops_view *out = &launch->operands[GATED_MLP_OUT];
    const void *out_scale = launch->operands[GATED_MLP_OUT_SCALE].data;
    const enum tfops_dtype dtype = (enum tfops_dtype)problem->dtypes[GEMM_OUT_DTYPE];
    const int act = problem->options[0];
    const bool by_gate = gated_mlp_activates(problem) == GATED_MLP_GATE;
    for (int64_t m = 0; m < problem->dims[GEMM_M]; m++)
        for (int64_t n = 0; n < problem->dims[GEMM_N]; n++) {
            double gate = product(launch, m, n, GATED_MLP_GATE_WEIGHT, GATED_MLP_GATE_SCALE);
            double up = product(launch, m, n, GATED_MLP_UP_WEIGHT, GATED_MLP_UP_SCALE);
            double value = by_gate ? activate(act, gate) * up : gate * activate(act, up);
            if (out_scale)
                value /= half_load(out_scale, TFOPS_F32, 0);
            half_store(out->data, dtype, m * out->strides[0] + n, value);
        }
    return TFOPS_OK;
}
