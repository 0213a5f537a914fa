/* The specs of layernorm and add_layernorm: their tables, cost and tolerance. */
#include "kernels/spec_tables.h"
#include "norm_specs.h"

enum { MAX_HIDDEN = 65536, MAX_ROWS = INT32_MAX };

static const struct tfops_dim_spec DIMS[] = {
    [NORM_ROWS] = {"rows", TFOPS_DIM_DYNAMIC, 0, MAX_ROWS, "rows, e.g. tokens"},
    [NORM_HIDDEN] = {"hidden", 0, 1, MAX_HIDDEN, "elements of a row"},
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

/* ---- cost and tolerance --------------------------------------------------------------------- */

static bool is_add(const struct tfops_problem *problem)
{
    return problem->spec->n_operands ==
           sizeof ADD_LAYERNORM_OPERANDS / sizeof ADD_LAYERNORM_OPERANDS[0];
}

static void cost(void *user, const struct tfops_problem *problem, struct tfops_cost *ret_cost)
{
    (void)user;
    const uint64_t hidden = (uint64_t)problem->dims[NORM_HIDDEN];
    const uint64_t elems = (uint64_t)problem->dims[NORM_ROWS] * hidden;
    const uint64_t tensors = is_add(problem) ? 2 : 1;
    const uint64_t bytes = tensors * elems * spec_elem_bytes(problem, NORM_DTYPE);
    const bool bias = spec_has(problem, is_add(problem) ? ADD_LAYERNORM_BIAS : LAYERNORM_BIAS);
    const uint64_t vectors = hidden * spec_elem_bytes(problem, NORM_WEIGHT_DTYPE) * (bias ? 2 : 1);
    *ret_cost = (struct tfops_cost){
        .bytes_read = bytes + vectors, .bytes_written = bytes, .flops = (6 + tensors) * elems};
}

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
    .cost = cost, .tolerance = tolerance

const struct tfops_spec layernorm_spec = {
    COMMON,
    .name = "layernorm",
    .summary = "layer normalisation of rows",
    .formula = "out = (x − mean(x)) / sqrt(var(x) + eps) · weight + bias (Ba et al. 2016)",
    .options = OPTIONS,
    .n_options = 1,
    SPEC_TABLE(operands, LAYERNORM_OPERANDS),
    .reference = layernorm_reference,
};

const struct tfops_spec add_layernorm_spec = {
    COMMON,
    .name = "add_layernorm",
    .summary = "residual addition and layer normalisation of the sum, in one pass",
    .formula = "h = x + residual; residual_out = h; out = layernorm(h)",
    .options = OPTIONS,
    .n_options = 2,
    SPEC_TABLE(operands, ADD_LAYERNORM_OPERANDS),
    .reference = add_layernorm_reference,
};
