/* The spec of fp8_gemm: one template (gemm/gemm.cu) with linear. */
#include "gemm_config.h"
#include "gemm_launch.h"
#include "gemm_params.h"
#include "gemm_specs.h"
#include "kernels/spec_tables.h"

static const struct tfops_dim_spec DIMS[] = {
    [GEMM_M] = {"m", TFOPS_DIM_DYNAMIC, 0, INT32_MAX / 256, "rows of x and out, e.g. tokens"},
    [GEMM_N] = {"n", 0, 1, 1 << 22, "rows of weight, columns of out"},
    [GEMM_K] = {"k", 0, 1, 1 << 22, "columns of x and weight"},
    [GEMM_X_SCALES] = {"x_scales", TFOPS_DIM_DERIVED, 0, INT32_MAX, "1, or m with scaling=row"},
    [GEMM_WEIGHT_SCALES] = {"weight_scales", TFOPS_DIM_DERIVED, 1, 1 << 22,
        "1, or n with scaling=row"},
};

static const struct tfops_dtype_spec DTYPES[] = {
    [GEMM_DTYPE] = {"dtype", SPEC_FP8, "of x"},
    [GEMM_OUT_DTYPE] = {"out_dtype", SPEC_FLOATS, "of out, bias and residual"},
    [GEMM_WEIGHT_DTYPE] = {"weight_dtype", SPEC_FP8, "of weight"},
    [GEMM_SCALE_DTYPE] = {"scale_dtype", 1u << TFOPS_F32, "of the scales"},
};

static const char *const ACTIVATIONS[] = {"none", "relu", "silu", "gelu", "gelu_tanh"};
static const char *const FAST_ACCUM[] = {"no", "yes"};
static const char *const SCALINGS[] = {[GEMM_PER_TENSOR] = "tensor", [GEMM_PER_ROW] = "row"};

static const struct tfops_option_spec OPTIONS[] = {
    [GEMM_ACTIVATION] = {"activation", ACTIVATIONS, 5, "of the biased product"},
    [GEMM_FAST_ACCUM] = {"fast_accum", FAST_ACCUM, 2,
        "yes: sums may stay in the tensor core, which keeps about 14 bits"},
    [GEMM_SCALING] = {"scaling", SCALINGS, 2,
        "what shares a scale: a tensor; a row of x or weight"},
};

static const struct tfops_operand_spec OPERANDS[] = {
    [GEMM_X] = {"x", TFOPS_IN, TFOPS_OPERAND_ROWS, GEMM_DTYPE, 2, {GEMM_M, GEMM_K}, 0,
        "quantised input rows"},
    [GEMM_WEIGHT] = {"weight", TFOPS_IN, 0, GEMM_WEIGHT_DTYPE, 2, {GEMM_N, GEMM_K}, 0,
        "quantised, as nn.Linear has it"},
    [GEMM_BIAS] = {"bias", TFOPS_IN, TFOPS_OPERAND_OPTIONAL | TFOPS_OPERAND_ELEMENTS,
        GEMM_OUT_DTYPE, 1, {GEMM_N}, 0, "added before the activation"},
    [GEMM_RESIDUAL] = {"residual", TFOPS_IN, TFOPS_OPERAND_ROWS | TFOPS_OPERAND_OPTIONAL,
        GEMM_OUT_DTYPE, 2, {GEMM_M, GEMM_N}, 1u << GEMM_OUT, "added after it"},
    [GEMM_OUT] = {"out", TFOPS_OUT, TFOPS_OPERAND_ROWS, GEMM_OUT_DTYPE, 2, {GEMM_M, GEMM_N},
        1u << GEMM_RESIDUAL, "output rows; may be residual"},
    [GEMM_X_SCALE] = {"x_scale", TFOPS_IN, TFOPS_OPERAND_ROWS | TFOPS_OPERAND_ELEMENTS,
        GEMM_SCALE_DTYPE, 1, {GEMM_X_SCALES}, 0, "what x is multiplied by"},
    [GEMM_WEIGHT_SCALE] = {"weight_scale", TFOPS_IN, TFOPS_OPERAND_ROWS | TFOPS_OPERAND_ELEMENTS,
        GEMM_SCALE_DTYPE, 1, {GEMM_WEIGHT_SCALES}, 0, "what weight is multiplied by"},
};

static int64_t derive(void *user, const struct tfops_problem *problem, size_t dim)
{
    (void)user;
    if (problem->options[GEMM_SCALING] == GEMM_PER_TENSOR)
        return 1;
    return problem->dims[dim == GEMM_X_SCALES ? GEMM_M : GEMM_N];
}

/*
 * Rounding to the output's format, and what the tensor core's sums lose: with promotion those of 128
 * products, else of all of them. atol is that of sums about a number of 448.
 */
static void tolerance(void *user, const struct tfops_problem *problem, size_t operand,
    struct tfops_tolerance *ret_tolerance)
{
    (void)user, (void)operand;
    static const struct tfops_tolerance BOUND[TFOPS_DTYPE_COUNT] = {
        [TFOPS_F32] = {4e-4, 0.1, 1e-2},
        [TFOPS_F16] = {8e-4, 0.1, 1e-2},
        [TFOPS_BF16] = {4e-3, 0.1, 1.6e-2},
    };
    *ret_tolerance = BOUND[problem->dtypes[GEMM_OUT_DTYPE]];
    if (problem->options[GEMM_FAST_ACCUM]) {
        ret_tolerance->relative += 1e-6 * (double)problem->dims[GEMM_K];
        ret_tolerance->atol *= 4;
    }
}

const struct tfops_spec fp8_gemm_spec = {
    .size = sizeof(struct tfops_spec),
    .abi = TFOPS_SPEC_ABI,
    .version = 1,
    .name = "fp8_gemm",
    .summary = "product of fp8 matrices, scaled by tensor or by row",
    .formula = "out = activation(x · weightᵀ · x_scale · weight_scale + bias) + residual",
    SPEC_TABLE(dims, DIMS),
    SPEC_TABLE(dtypes, DTYPES),
    SPEC_TABLE(options, OPTIONS),
    SPEC_TABLE(operands, OPERANDS),
    .tunables = gemm_tunables,
    .n_tunables = GEMM_TUNABLES,
    .template_path = "gemm/gemm.cu",
    .body = "gemm",
    .generic_body = "gemm_generic",
    .params_type = "gemm_params",
    .param_bytes = sizeof(struct gemm_params),
    .derive = derive,
    .constraint = gemm_constraint,
    .default_config = gemm_default_config,
    .geometry = gemm_geometry,
    .pack = gemm_pack,
    .tensor_maps = gemm_tensor_maps,
    .cost = gemm_cost,
    .values = gemm_values,
    .tolerance = tolerance,
    .reference = gemm_reference,
};

static bool is_scaled(const struct tfops_problem *problem)
{
    const struct gemm_kind *kind = problem->spec->user;
    return kind ? kind->scaled : problem->spec->n_operands > GEMM_X_SCALE;
}

int gemm_scaling(const struct tfops_problem *problem)
{
    return is_scaled(problem) ? problem->options[GEMM_SCALING] : GEMM_UNSCALED;
}

enum tfops_dtype gemm_weight_dtype(const struct tfops_problem *problem)
{
    return (enum tfops_dtype)problem->dtypes[is_scaled(problem) ? GEMM_WEIGHT_DTYPE : GEMM_DTYPE];
}
