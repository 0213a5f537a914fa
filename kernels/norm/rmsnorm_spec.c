/*
 * The specs of rmsnorm and add_rmsnorm: two operators, one template (norm/rmsnorm.cu), the space of
 * the row family (row/row_space.h).
 */
#include "kernels/spec_tables.h"
#include "norm_family.h"

/* ---- tables --------------------------------------------------------------------------------- */

static const struct tfops_dim_spec DIMS[] = {
    [NORM_ROWS] = {"rows", TFOPS_DIM_DYNAMIC, 0, ROW_MAX_ROWS, "rows, e.g. tokens"},
    [NORM_HIDDEN] = {"hidden", 0, 1, NORM_MAX_HIDDEN, "elements of a row"},
};

static const struct tfops_dtype_spec DTYPES[] = {
    [NORM_DTYPE] = {"dtype", SPEC_FLOATS, "of x, residual and out"},
    [NORM_WEIGHT_DTYPE] = {"weight_dtype", SPEC_FLOATS, "of weight; that of x by default"},
};

static const char *const WEIGHT_VARIANTS[] = {"plain", "one_plus", "round_before"};
static const char *const RESIDUAL_ROUNDS[] = {"no", "yes"};

static const struct tfops_option_spec OPTIONS[] = {
    [NORM_WEIGHT_VARIANT] = {"weight_variant", WEIGHT_VARIANTS, 3,
        "x·r·w; x·r·(1 + w), Gemma; round(x·r)·w, HF Llama"},
    [ADD_RMSNORM_RESIDUAL_ROUND] = {"residual_round", RESIDUAL_ROUNDS, 2,
        "whether the norm is of the sum as rounded to dtype"},
};

static const struct tfops_scalar_spec SCALARS[] = {
    [NORM_EPS] = {"eps", 1e-6, 0, 1e30, "added to the mean square"},
};

static const struct tfops_operand_spec RMSNORM_OPERANDS[] = {
    [RMSNORM_X] = {"x", TFOPS_IN, TFOPS_OPERAND_ROWS, NORM_DTYPE, 2, {NORM_ROWS, NORM_HIDDEN},
        1u << RMSNORM_OUT, "input rows"},
    [RMSNORM_WEIGHT] = {"weight", TFOPS_IN, 0, NORM_WEIGHT_DTYPE, 1, {NORM_HIDDEN}, 0, "gamma"},
    [RMSNORM_OUT] = {"out", TFOPS_OUT, TFOPS_OPERAND_ROWS, NORM_DTYPE, 2, {NORM_ROWS, NORM_HIDDEN},
        1u << RMSNORM_X, "normalised rows; may be x"},
};

static const struct tfops_operand_spec ADD_RMSNORM_OPERANDS[] = {
    [ADD_RMSNORM_X] = {"x", TFOPS_IN, TFOPS_OPERAND_ROWS, NORM_DTYPE, 2, {NORM_ROWS, NORM_HIDDEN},
        1u << ADD_RMSNORM_OUT, "input rows"},
    [ADD_RMSNORM_RESIDUAL] = {"residual", TFOPS_INOUT, TFOPS_OPERAND_ROWS, NORM_DTYPE, 2,
        {NORM_ROWS, NORM_HIDDEN}, 1u << ADD_RMSNORM_RESIDUAL_OUT,
        "added to x; takes the sum when residual_out is absent"},
    [ADD_RMSNORM_WEIGHT] = {"weight", TFOPS_IN, 0, NORM_WEIGHT_DTYPE, 1, {NORM_HIDDEN}, 0, "gamma"},
    [ADD_RMSNORM_OUT] = {"out", TFOPS_OUT, TFOPS_OPERAND_ROWS, NORM_DTYPE, 2,
        {NORM_ROWS, NORM_HIDDEN}, 1u << ADD_RMSNORM_X, "normalised sum; may be x"},
    [ADD_RMSNORM_RESIDUAL_OUT] = {"residual_out", TFOPS_OUT,
        TFOPS_OPERAND_ROWS | TFOPS_OPERAND_OPTIONAL, NORM_DTYPE, 2, {NORM_ROWS, NORM_HIDDEN},
        1u << ADD_RMSNORM_RESIDUAL, "takes the sum instead of residual"},
};

static const struct tfops_constant_spec RMSNORM_CONSTANTS[] = {
    {"HAS_RESIDUAL", 0}, {"RESIDUAL_ROUND", 0}};
static const struct tfops_constant_spec ADD_RMSNORM_CONSTANTS[] = {{"HAS_RESIDUAL", 1}};

/* ---- tolerance ------------------------------------------------------------------------------ */

/*
 * The result is rounded once to dtype (round_before: twice); fp32 sums of up to 65536 squares add
 * less than 1e-5. The relative bound is that of rounding over a whole tensor, with room of 2.
 */
static void tolerance(void *user, const struct tfops_problem *problem, size_t operand,
    struct tfops_tolerance *ret_tolerance)
{
    (void)user, (void)operand;
    static const struct tfops_tolerance BOUND[TFOPS_DTYPE_COUNT] = {
        [TFOPS_F32] = {2e-6, 1e-6, 2e-5},
        [TFOPS_F16] = {6e-4, 1e-3, 2e-3},
        [TFOPS_BF16] = {5e-3, 8e-3, 1.6e-2},
    };
    *ret_tolerance = BOUND[problem->dtypes[NORM_DTYPE]];
    if (problem->options[NORM_WEIGHT_VARIANT] == 2)
        ret_tolerance->relative *= 2;
}

/* ---- the specs ------------------------------------------------------------------------------ */

#define COMMON                                                                                     \
    .size = sizeof(struct tfops_spec), .abi = TFOPS_SPEC_ABI, .version = 1,                        \
    SPEC_TABLE(dims, DIMS), SPEC_TABLE(dtypes, DTYPES), SPEC_TABLE(scalars, SCALARS),              \
    .template_path = "norm/rmsnorm.cu", .body = "rmsnorm", .generic_body = "rmsnorm_generic",      \
    .tolerance = tolerance

static const struct norm_family RMSNORM = {.row = {norm_shape},
    .x = NORM_AT(RMSNORM_X),
    .weight = NORM_AT(RMSNORM_WEIGHT),
    .out = NORM_AT(RMSNORM_OUT),
    .steps = 1,
    .flops = 4};

const struct tfops_spec rmsnorm_spec = {
    COMMON,
    NORM_SPACE(RMSNORM),
    .name = "rmsnorm",
    .summary = "root mean square layer normalisation of rows",
    .formula = "out = x / sqrt(mean(x²) + eps) · weight (Zhang & Sennrich 2019)",
    .options = OPTIONS,
    .n_options = 1,
    SPEC_TABLE(operands, RMSNORM_OPERANDS),
    SPEC_TABLE(constants, RMSNORM_CONSTANTS),
    .reference = rmsnorm_reference,
};

static const struct norm_family ADD_RMSNORM = {.row = {norm_shape},
    .x = NORM_AT(ADD_RMSNORM_X),
    .residual = NORM_AT(ADD_RMSNORM_RESIDUAL),
    .weight = NORM_AT(ADD_RMSNORM_WEIGHT),
    .out = NORM_AT(ADD_RMSNORM_OUT),
    .residual_out = NORM_AT(ADD_RMSNORM_RESIDUAL_OUT),
    .residual_round = NORM_AT(ADD_RMSNORM_RESIDUAL_ROUND),
    .steps = 1,
    .flops = 4};

const struct tfops_spec add_rmsnorm_spec = {
    COMMON,
    NORM_SPACE(ADD_RMSNORM),
    .name = "add_rmsnorm",
    .summary = "residual addition and RMSNorm of the sum, in one pass",
    .formula = "h = x + residual; residual_out = h; out = h / sqrt(mean(h²) + eps) · weight",
    .options = OPTIONS,
    .n_options = 2,
    SPEC_TABLE(operands, ADD_RMSNORM_OPERANDS),
    SPEC_TABLE(constants, ADD_RMSNORM_CONSTANTS),
    .reference = add_rmsnorm_reference,
};
