/* The spec of fp8_gemm: one template (gemm/gemm.cu) with linear. */
#include "gemm_spec_tables.h"

static const struct tfops_dim_spec DIMS[] = {
    GEMM_PRODUCT_DIMS,
    [GEMM_X_SCALE_ROWS] = {"x_scale_rows", TFOPS_DIM_DERIVED, 0, INT32_MAX, "extent 0 of x_scale"},
    [GEMM_X_SCALE_COLS] = {"x_scale_cols", TFOPS_DIM_DERIVED, 0, INT32_MAX, "extent 1 of x_scale"},
    [GEMM_WEIGHT_SCALE_ROWS] = {"weight_scale_rows", TFOPS_DIM_DERIVED, 1, 1 << 22,
        "extent 0 of weight_scale"},
    [GEMM_WEIGHT_SCALE_COLS] = {"weight_scale_cols", TFOPS_DIM_DERIVED, 1, 1 << 22,
        "extent 1 of weight_scale"},
};

static const struct tfops_dtype_spec DTYPES[] = {
    [GEMM_DTYPE] = {"dtype", SPEC_FP8, "of x"},
    [GEMM_OUT_DTYPE] = {"out_dtype", SPEC_FLOATS, "of out, bias and residual"},
    [GEMM_WEIGHT_DTYPE] = {"weight_dtype", SPEC_FP8, "of weight"},
    [GEMM_SCALE_DTYPE] = {"scale_dtype", 1u << TFOPS_F32, "of the scales"},
};

static const char *const FAST_ACCUM[] = {"no", "yes"};
static const char *const SCALINGS[] = {
    [GEMM_PER_TENSOR] = "tensor", [GEMM_PER_ROW] = "row", [GEMM_PER_BLOCK] = "block"};
static const char *const MAJORS[] = {"row", "column"};

static const struct tfops_option_spec OPTIONS[] = {
    GEMM_ACTIVATION_OPTION,
    [GEMM_FAST_ACCUM] = {"fast_accum", FAST_ACCUM, 2,
        "yes: sums may stay in the tensor core, which keeps about 14 bits"},
    [GEMM_SCALING] = {"scaling", SCALINGS, 3,
        "what shares a scale: a tensor; a row of x or weight; 128 of a row of x, 128 x 128 of "
        "weight"},
    [GEMM_SCALE_MAJOR] = {"scale_major", MAJORS, 2,
        "x_scale as quantize writes it: [m, 1] or [m, k / 128], or transposed"},
    [FP8_GEMM_WORKSPACE] = GEMM_WORKSPACE_OPTION,
};

static const struct tfops_operand_spec OPERANDS[] = {
    GEMM_X_OPERAND("quantised input rows"),
    GEMM_WEIGHT_OPERAND(GEMM_WEIGHT_DTYPE, "quantised, as nn.Linear has it"),
    GEMM_OUTPUT_OPERANDS,
    [GEMM_X_SCALE] = {"x_scale", TFOPS_IN, TFOPS_OPERAND_ROWS | TFOPS_OPERAND_ELEMENTS,
        GEMM_SCALE_DTYPE, 2, {GEMM_X_SCALE_ROWS, GEMM_X_SCALE_COLS}, 0, "what x is multiplied by"},
    [GEMM_WEIGHT_SCALE] = {"weight_scale", TFOPS_IN, TFOPS_OPERAND_ROWS | TFOPS_OPERAND_ELEMENTS,
        GEMM_SCALE_DTYPE, 2, {GEMM_WEIGHT_SCALE_ROWS, GEMM_WEIGHT_SCALE_COLS}, 0,
        "what weight is multiplied by"},
};

static const struct gemm_kind KIND = {.scaled = true, .workspace = FP8_GEMM_WORKSPACE, .given = 1};

/* The scales' shapes are those that quantize writes: one; one a row; one a group or block. */
static int64_t derive(void *user, const struct tfops_problem *problem, size_t dim)
{
    (void)user;
    const int64_t *dims = problem->dims;
    const int scaling = problem->options[GEMM_SCALING];
    const bool of_x = dim == GEMM_X_SCALE_ROWS || dim == GEMM_X_SCALE_COLS;
    const bool second = dim == GEMM_X_SCALE_COLS || dim == GEMM_WEIGHT_SCALE_COLS;
    const bool along_k = second != (of_x && problem->options[GEMM_SCALE_MAJOR] != 0);
    if (scaling == GEMM_PER_TENSOR)
        return 1;
    if (scaling == GEMM_PER_ROW)
        return along_k ? 1 : dims[of_x ? GEMM_M : GEMM_N];
    if (along_k)
        return gemm_ceil_div(dims[GEMM_K], GEMM_GROUP_ELEMS);
    return of_x ? dims[GEMM_M] : gemm_ceil_div(dims[GEMM_N], GEMM_GROUP_ELEMS);
}

static bool accepts(
    void *user, const struct tfops_problem *problem, char reason[TFOPS_REASON_BYTES])
{
    (void)user;
    if (problem->options[GEMM_SCALING] == GEMM_PER_BLOCK && problem->options[GEMM_FAST_ACCUM])
        return spec_refuse(reason,
            "fast_accum: expected no with scaling=block, whose sums are "
            "scaled every %d of k, got yes",
            GEMM_GROUP_ELEMS);
    return true;
}

/*
 * Rounding to the output's format, and what the tensor core's sums lose: with promotion those of 128
 * products, else of all of them. A step of 32 products cuts what lies 2^-13 below the largest, in trials
 * 16 (4 · 4 deviations): 4 steps of a group lose 2^-7, K / 128 groups with scales of 1 / sqrt(K) at most
 * 6e-5 · sqrt(K): 0.02 where K is 1e5. An output of 448 in bf16 rounds by 1, of which rtol is most; atol
 * of 0.1 is for outputs near 0 beside a residual of 1e4, off by 1e4 · 2^-17 where fp32 sums it. Of f32
 * results relatively 1.0e-4 where numbers are alike, 4.3e-4 in rows with one large number among small ones,
 * 5.1e-4 of numbers of one sign: measured of another library's sums (docs/bench/fp8_accumulation.py).
 */
static void tolerance(void *user, const struct tfops_problem *problem, size_t operand,
    struct tfops_tolerance *ret_tolerance)
{
    (void)user, (void)operand;
    static const struct tfops_tolerance BOUND[TFOPS_DTYPE_COUNT] = {
        [TFOPS_F32] = {6e-4, 0.1, 1e-2},
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
    .version = 3,
    .name = "fp8_gemm",
    .summary = "product of fp8 matrices, scaled by tensor, row or block",
    .formula = "out = activation((x · x_scale) · (weight · weight_scale)ᵀ + bias) + residual",
    .user = (void *)(uintptr_t)&KIND,
    SPEC_TABLE(dims, DIMS),
    SPEC_TABLE(dtypes, DTYPES),
    SPEC_TABLE(options, OPTIONS),
    SPEC_TABLE(operands, OPERANDS),
    GEMM_TEMPLATE,
    .derive = derive,
    .accepts = accepts,
    .tolerance = tolerance,
};

static bool is_scaled(const struct tfops_problem *problem)
{
    const struct gemm_kind *kind = problem->spec->user;
    return kind->scaled;
}

int gemm_scaling(const struct tfops_problem *problem)
{
    return is_scaled(problem) ? problem->options[GEMM_SCALING] : GEMM_UNSCALED;
}

enum tfops_dtype gemm_weight_dtype(const struct tfops_problem *problem)
{
    return (enum tfops_dtype)problem->dtypes[is_scaled(problem) ? GEMM_WEIGHT_DTYPE : GEMM_DTYPE];
}
