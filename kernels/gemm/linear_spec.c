/* The spec of linear: f16 and bf16 products, one template (gemm/gemm.cu) with fp8_gemm. */
#include "gemm_spec_tables.h"

#define HALVES (1u << TFOPS_F16 | 1u << TFOPS_BF16)

static const struct tfops_dim_spec DIMS[] = {GEMM_PRODUCT_DIMS};

static const struct tfops_dtype_spec DTYPES[] = {
    [GEMM_DTYPE] = {"dtype", HALVES, "of x and weight"},
    [GEMM_OUT_DTYPE] = {"out_dtype", HALVES | 1u << TFOPS_F32, "of out, bias and residual"},
};

static const struct tfops_option_spec OPTIONS[] = {GEMM_ACTIVATION_OPTION,
    [GEMM_WEIGHTS] = GEMM_WEIGHTS_OPTION, [LINEAR_WORKSPACE] = GEMM_WORKSPACE_OPTION};

static const struct gemm_kind KIND = {.lasting = true, .workspace = LINEAR_WORKSPACE, .given = 1};

static const struct tfops_operand_spec OPERANDS[] = {
    GEMM_X_OPERAND("input rows"),
    GEMM_WEIGHT_OPERAND(GEMM_DTYPE, "as nn.Linear has it"),
    GEMM_OUTPUT_OPERANDS,
};

static const struct tfops_constant_spec CONSTANTS[] = {
    {"SCALING", GEMM_UNSCALED}, {"FAST_ACCUM", 0}};

/*
 * Rounding to the output's format, over a whole tensor. The tensor cores' fp32 sums lose less than a
 * bit of the last place each 16 products: of a sum of L, at most L · 2^-23 · K / 16. Trials have a number
 * of 1e4 in x here and there, weights of 1 / sqrt(K): L is 4 · 1e4 / sqrt(K), and an element is off by up
 * to 3e-4 · sqrt(K), 0.04 where K is 16384. atol allows that for K up to 1e5, and both sides to be off.
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
    .version = 3,
    .name = "linear",
    .summary = "matrix product with bias, activation and residual",
    .formula = "out = activation(x · weightᵀ + bias) + residual",
    .user = (void *)(uintptr_t)&KIND,
    SPEC_TABLE(dims, DIMS),
    SPEC_TABLE(dtypes, DTYPES),
    SPEC_TABLE(options, OPTIONS),
    SPEC_TABLE(operands, OPERANDS),
    SPEC_TABLE(constants, CONSTANTS),
    GEMM_TEMPLATE,
    .tolerance = tolerance,
};
