/* The spec of linear: f16 and bf16 products, one template (gemm/gemm.cu) with fp8_gemm. */
#include "gemm_config.h"
#include "gemm_launch.h"
#include "gemm_params.h"
#include "gemm_specs.h"
#include "kernels/spec_tables.h"

#define HALVES (1u << TFOPS_F16 | 1u << TFOPS_BF16)

static const struct tfops_dim_spec DIMS[] = {
    [GEMM_M] = {"m", TFOPS_DIM_DYNAMIC, 0, INT32_MAX / 256, "rows of x and out, e.g. tokens"},
    [GEMM_N] = {"n", 0, 1, 1 << 22, "rows of weight, columns of out"},
    [GEMM_K] = {"k", 0, 1, 1 << 22, "columns of x and weight"},
};

static const struct tfops_dtype_spec DTYPES[] = {
    [GEMM_DTYPE] = {"dtype", HALVES, "of x and weight"},
    [GEMM_OUT_DTYPE] = {"out_dtype", HALVES | 1u << TFOPS_F32, "of out, bias and residual"},
};

static const char *const ACTIVATIONS[] = {"none", "relu", "silu", "gelu", "gelu_tanh"};

static const struct tfops_option_spec OPTIONS[] = {
    [GEMM_ACTIVATION] = {"activation", ACTIVATIONS, 5, "of the biased product"},
};

static const struct tfops_operand_spec OPERANDS[] = {
    [GEMM_X] = {"x", TFOPS_IN, TFOPS_OPERAND_ROWS, GEMM_DTYPE, 2, {GEMM_M, GEMM_K}, 0,
        "input rows"},
    [GEMM_WEIGHT] = {"weight", TFOPS_IN, 0, GEMM_DTYPE, 2, {GEMM_N, GEMM_K}, 0,
        "as nn.Linear has it"},
    [GEMM_BIAS] = {"bias", TFOPS_IN, TFOPS_OPERAND_OPTIONAL | TFOPS_OPERAND_ELEMENTS,
        GEMM_OUT_DTYPE, 1, {GEMM_N}, 0, "added before the activation"},
    [GEMM_RESIDUAL] = {"residual", TFOPS_IN, TFOPS_OPERAND_ROWS | TFOPS_OPERAND_OPTIONAL,
        GEMM_OUT_DTYPE, 2, {GEMM_M, GEMM_N}, 1u << GEMM_OUT, "added after it"},
    [GEMM_OUT] = {"out", TFOPS_OUT, TFOPS_OPERAND_ROWS, GEMM_OUT_DTYPE, 2, {GEMM_M, GEMM_N},
        1u << GEMM_RESIDUAL, "output rows; may be residual"},
};

static const struct tfops_constant_spec CONSTANTS[] = {
    {"SCALING", GEMM_UNSCALED}, {"FAST_ACCUM", 0}};

/*
 * Rounding to the output's format, over a whole tensor. The tensor cores' fp32 sums lose less than a
 * bit of the last place each 16 products; atol is that of sums about a number of 1e4.
 */
static void tolerance(void *user, const struct tfops_problem *problem, size_t operand,
    struct tfops_tolerance *ret_tolerance)
{
    (void)user, (void)operand;
    static const struct tfops_tolerance BOUND[TFOPS_DTYPE_COUNT] = {
        [TFOPS_F32] = {4e-6, 0.1, 1e-3},
        [TFOPS_F16] = {6e-4, 0.1, 2e-3},
        [TFOPS_BF16] = {4e-3, 0.1, 1.6e-2},
    };
    *ret_tolerance = BOUND[problem->dtypes[GEMM_OUT_DTYPE]];
    ret_tolerance->relative += 4e-9 * (double)problem->dims[GEMM_K];
}

const struct tfops_spec linear_spec = {
    .size = sizeof(struct tfops_spec),
    .abi = TFOPS_SPEC_ABI,
    .version = 1,
    .name = "linear",
    .summary = "matrix product with bias, activation and residual",
    .formula = "out = activation(x · weightᵀ + bias) + residual",
    SPEC_TABLE(dims, DIMS),
    SPEC_TABLE(dtypes, DTYPES),
    SPEC_TABLE(options, OPTIONS),
    SPEC_TABLE(operands, OPERANDS),
    SPEC_TABLE(constants, CONSTANTS),
    .tunables = gemm_tunables,
    .n_tunables = GEMM_TUNABLES,
    .template_path = "gemm/gemm.cu",
    .body = "gemm",
    .generic_body = "gemm_generic",
    .params_type = "gemm_params",
    .param_bytes = sizeof(struct gemm_params),
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
