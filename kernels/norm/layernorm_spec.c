/* The specs of layernorm and add_layernorm: their tables, cost and tolerance. */
#include "kernels/spec_tables.h"
#include "norm_family.h"

static const struct tfops_dim_spec DIMS[] = {
    [NORM_ROWS] = {"rows", TFOPS_DIM_DYNAMIC, 0, ROW_MAX_ROWS, "rows, e.g. tokens"},
    [NORM_HIDDEN] = {"hidden", 0, 1, NORM_MAX_HIDDEN, "elements of a row"},
};

static const struct tfops_dtype_spec DTYPES[] = {
    [NORM_DTYPE] = {"dtype", SPEC_FLOATS, "of x, residual and out"},
    [NORM_WEIGHT_DTYPE] = {"weight_dtype", SPEC_FLOATS, "of weight and bias; that of x by default"},
};

static const char *const WEIGHT_VARIANTS[] = {"plain", "one_plus"};
static const char *const RESIDUAL_ROUNDS[] = {"no", "yes"};

static const struct tfops_option_spec OPTIONS[] = {
    [NORM_WEIGHT_VARIANT] = {"weight_variant", WEIGHT_VARIANTS, 2,
        "w; 1 + w, Nemotron's layernorm1p"},
    [ADD_RMSNORM_RESIDUAL_ROUND] = {"residual_round", RESIDUAL_ROUNDS, 2,
        "whether the norm is of the sum as rounded to dtype"},
};

static const struct tfops_scalar_spec SCALARS[] = {
    [NORM_EPS] = {"eps", 1e-5, 0, 1e30, "added to the variance"},
};

#define ROWS_OF(dtype)                                                                             \
    TFOPS_OPERAND_ROWS, dtype, 2,                                                                  \
    {                                                                                              \
        NORM_ROWS, NORM_HIDDEN                                                                     \
    }

static const struct tfops_operand_spec LAYERNORM_OPERANDS[] = {
    [LAYERNORM_X] = {"x", TFOPS_IN, ROWS_OF(NORM_DTYPE), 1u << LAYERNORM_OUT, "input rows"},
    [LAYERNORM_WEIGHT] = {"weight", TFOPS_IN, 0, NORM_WEIGHT_DTYPE, 1, {NORM_HIDDEN}, 0, "gamma"},
    [LAYERNORM_BIAS] = {"bias", TFOPS_IN, TFOPS_OPERAND_OPTIONAL, NORM_WEIGHT_DTYPE, 1,
        {NORM_HIDDEN}, 0, "beta"},
    [LAYERNORM_OUT] = {"out", TFOPS_OUT, ROWS_OF(NORM_DTYPE), 1u << LAYERNORM_X,
        "normalised rows; may be x"},
};

static const struct tfops_operand_spec ADD_LAYERNORM_OPERANDS[] = {
    [ADD_LAYERNORM_X] = {"x", TFOPS_IN, ROWS_OF(NORM_DTYPE), 1u << ADD_LAYERNORM_OUT, "input rows"},
    [ADD_LAYERNORM_RESIDUAL] = {"residual", TFOPS_INOUT, ROWS_OF(NORM_DTYPE),
        1u << ADD_LAYERNORM_RESIDUAL_OUT, "added to x; takes the sum when residual_out is absent"},
    [ADD_LAYERNORM_WEIGHT] = {"weight", TFOPS_IN, 0, NORM_WEIGHT_DTYPE, 1, {NORM_HIDDEN}, 0,
        "gamma"},
    [ADD_LAYERNORM_BIAS] = {"bias", TFOPS_IN, TFOPS_OPERAND_OPTIONAL, NORM_WEIGHT_DTYPE, 1,
        {NORM_HIDDEN}, 0, "beta"},
    [ADD_LAYERNORM_OUT] = {"out", TFOPS_OUT, ROWS_OF(NORM_DTYPE), 1u << ADD_LAYERNORM_X,
        "normalised sum; may be x"},
    [ADD_LAYERNORM_RESIDUAL_OUT] = {"residual_out", TFOPS_OUT,
        TFOPS_OPERAND_OPTIONAL | ROWS_OF(NORM_DTYPE), 1u << ADD_LAYERNORM_RESIDUAL,
        "takes the sum instead of residual"},
};

/* ---- tolerance ------------------------------------------------------------------------------ */

/* One rounding to dtype; fp32 means and sums of up to 65536 squares add less than 1e-5. */
static void tolerance(void *user, const struct tfops_problem *problem, size_t operand,
    struct tfops_tolerance *ret_tolerance)
{
    (void)user, (void)operand;
    static const struct tfops_tolerance BOUND[TFOPS_DTYPE_COUNT] = {
        [TFOPS_F32] = {4e-6, 4e-6, 2e-5},
        [TFOPS_F16] = {6e-4, 1e-3, 2e-3},
        [TFOPS_BF16] = {5e-3, 8e-3, 1.6e-2},
    };
    *ret_tolerance = BOUND[problem->dtypes[NORM_DTYPE]];
}

/* ---- the specs ------------------------------------------------------------------------------ */

#define COMMON                                                                                     \
    .size = sizeof(struct tfops_spec), .abi = TFOPS_SPEC_ABI, .version = 1,                        \
    SPEC_TABLE(dims, DIMS), SPEC_TABLE(dtypes, DTYPES), SPEC_TABLE(scalars, SCALARS),              \
    .template_path = "norm/layernorm.cu", .body = "layernorm",                                     \
    .generic_body = "layernorm_generic", .tolerance = tolerance

static const struct norm_family LAYERNORM = {.row = {norm_shape},
    .x = NORM_AT(LAYERNORM_X),
    .weight = NORM_AT(LAYERNORM_WEIGHT),
    .bias = NORM_AT(LAYERNORM_BIAS),
    .out = NORM_AT(LAYERNORM_OUT),
    .steps = 2,
    .flops = 7};
static const struct tfops_constant_spec LAYERNORM_CONSTANTS[] = {
    {"HAS_RESIDUAL", 0}, {"RESIDUAL_ROUND", 0}};

const struct tfops_spec layernorm_spec = {
    COMMON,
    NORM_SPACE(LAYERNORM),
    SPEC_TABLE(constants, LAYERNORM_CONSTANTS),
    .name = "layernorm",
    .summary = "layer normalisation of rows",
    .formula = "out = (x − mean(x)) / sqrt(var(x) + eps) · weight + bias (Ba et al. 2016)",
    .options = OPTIONS,
    .n_options = 1,
    SPEC_TABLE(operands, LAYERNORM_OPERANDS),
    .reference = layernorm_reference,
};

static const struct norm_family ADD_LAYERNORM = {.row = {norm_shape},
    .x = NORM_AT(ADD_LAYERNORM_X),
    .residual = NORM_AT(ADD_LAYERNORM_RESIDUAL),
    .weight = NORM_AT(ADD_LAYERNORM_WEIGHT),
    .bias = NORM_AT(ADD_LAYERNORM_BIAS),
    .out = NORM_AT(ADD_LAYERNORM_OUT),
    .residual_out = NORM_AT(ADD_LAYERNORM_RESIDUAL_OUT),
    .residual_round = NORM_AT(ADD_RMSNORM_RESIDUAL_ROUND),
    .steps = 2,
    .flops = 7};
static const struct tfops_constant_spec ADD_LAYERNORM_CONSTANTS[] = {{"HAS_RESIDUAL", 1}};

const struct tfops_spec add_layernorm_spec = {
    COMMON,
    NORM_SPACE(ADD_LAYERNORM),
    SPEC_TABLE(constants, ADD_LAYERNORM_CONSTANTS),
    .name = "add_layernorm",
    .summary = "residual addition and layer normalisation of the sum, in one pass",
    .formula = "h = x + residual; residual_out = h; out = layernorm(h)",
    .options = OPTIONS,
    .n_options = 2,
    SPEC_TABLE(operands, ADD_LAYERNORM_OPERANDS),
    .reference = add_layernorm_reference,
};
