/*
 * The specs of rmsnorm and add_rmsnorm: two operators, one template (norm/rmsnorm.cu), the space of
 * the row family (row/row_space.h).
 */
#include "norm_specs.h"
#include "rmsnorm_params.h"
#include "row/row_space.h"
#include <stdio.h>
#include <string.h>

enum { MAX_HIDDEN = 65536 };

/* ---- tables --------------------------------------------------------------------------------- */

#define FLOATS (1u << TFOPS_F32 | 1u << TFOPS_F16 | 1u << TFOPS_BF16)

static const struct tfops_dim_spec DIMS[] = {
    [NORM_ROWS] = {"rows", TFOPS_DIM_DYNAMIC, 0, ROW_MAX_ROWS, "rows, e.g. tokens"},
    [NORM_HIDDEN] = {"hidden", 0, 1, MAX_HIDDEN, "elements of a row"},
};

static const struct tfops_dtype_spec DTYPES[] = {
    [NORM_DTYPE] = {"dtype", FLOATS, "of x, residual and out"},
    [NORM_WEIGHT_DTYPE] = {"weight_dtype", FLOATS, "of weight; that of x by default"},
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

/* ---- the space ------------------------------------------------------------------------------ */

static bool is_add(const struct tfops_problem *problem)
{
    return problem->spec->n_operands == sizeof ADD_RMSNORM_OPERANDS / sizeof *ADD_RMSNORM_OPERANDS;
}

static int64_t dtype_bytes(uint8_t dtype)
{
    return (int64_t)tfops_dtype_bytes((enum tfops_dtype)dtype);
}

static void shape(const struct tfops_problem *problem, struct row_shape *ret_shape)
{
    int64_t elem_bytes = dtype_bytes(problem->dtypes[NORM_DTYPE]);
    bool add = is_add(problem), wide = add && !problem->options[ADD_RMSNORM_RESIDUAL_ROUND];
    *ret_shape = (struct row_shape){.rows = problem->dims[NORM_ROWS],
        .width = problem->dims[NORM_HIDDEN],
        .elem_bytes = elem_bytes,
        .held_bytes = wide ? 4 : elem_bytes,
        .column_bytes = dtype_bytes(problem->dtypes[NORM_WEIGHT_DTYPE]),
        .inputs = add ? 2 : 1,
        .columns = 1,
        .steps = 1,
        .words = 1,
        .unit = 1};
}

static const struct row_family FAMILY = {shape};

/* ---- launching ------------------------------------------------------------------------------ */

static void pack_common(const struct tfops_launch_args *launch, struct rmsnorm_params *params)
{
    const struct tfops_problem *problem = launch->problem;
    params->rows = problem->dims[NORM_ROWS];
    params->hidden = (int)problem->dims[NORM_HIDDEN];
    params->eps = (float)launch->scalars[NORM_EPS];
    params->dtype = problem->dtypes[NORM_DTYPE];
    params->weight_dtype = problem->dtypes[NORM_WEIGHT_DTYPE];
    params->weight_variant = problem->options[NORM_WEIGHT_VARIANT];
}

static void pack_rmsnorm(void *user, const struct tfops_launch_args *launch, void *ret_params)
{
    (void)user;
    struct rmsnorm_params *params = ret_params;
    const struct tfops_view *operands = launch->operands;
    pack_common(launch, params);
    params->x = operands[RMSNORM_X].data;
    params->weight = operands[RMSNORM_WEIGHT].data;
    params->out = operands[RMSNORM_OUT].data;
    params->x_stride = operands[RMSNORM_X].strides[0];
    params->out_stride = operands[RMSNORM_OUT].strides[0];
    params->residual = params->residual_out = NULL;
    params->residual_stride = params->residual_out_stride = 0;
    params->residual_round = 0;
}

static void pack_add_rmsnorm(void *user, const struct tfops_launch_args *launch, void *ret_params)
{
    (void)user;
    struct rmsnorm_params *params = ret_params;
    const struct tfops_view *operands = launch->operands;
    const struct tfops_view *residual = &operands[ADD_RMSNORM_RESIDUAL];
    const struct tfops_view *sum =
        operands[ADD_RMSNORM_RESIDUAL_OUT].data ? &operands[ADD_RMSNORM_RESIDUAL_OUT] : residual;
    pack_common(launch, params);
    params->x = operands[ADD_RMSNORM_X].data;
    params->weight = operands[ADD_RMSNORM_WEIGHT].data;
    params->residual = residual->data;
    params->out = operands[ADD_RMSNORM_OUT].data;
    params->residual_out = sum->data;
    params->x_stride = operands[ADD_RMSNORM_X].strides[0];
    params->residual_stride = residual->strides[0];
    params->out_stride = operands[ADD_RMSNORM_OUT].strides[0];
    params->residual_out_stride = sum->strides[0];
    params->residual_round = launch->problem->options[ADD_RMSNORM_RESIDUAL_ROUND];
}

/* ---- cost and tolerance --------------------------------------------------------------------- */

static uint64_t row_bytes(const struct tfops_problem *problem)
{
    return (uint64_t)problem->dims[NORM_ROWS] * (uint64_t)problem->dims[NORM_HIDDEN] *
           tfops_dtype_bytes((enum tfops_dtype)problem->dtypes[NORM_DTYPE]);
}

static void cost(void *user, const struct tfops_problem *problem, struct tfops_cost *ret_cost)
{
    (void)user;
    uint64_t rows = row_bytes(problem), tensors = is_add(problem) ? 2 : 1;
    uint64_t weight = (uint64_t)problem->dims[NORM_HIDDEN] *
                      tfops_dtype_bytes((enum tfops_dtype)problem->dtypes[NORM_WEIGHT_DTYPE]);
    uint64_t elems = (uint64_t)problem->dims[NORM_ROWS] * (uint64_t)problem->dims[NORM_HIDDEN];
    *ret_cost = (struct tfops_cost){.bytes_read = tensors * rows + weight,
        .bytes_written = tensors * rows,
        .flops = (3 + tensors) * elems};
}

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

#define TABLE(field, array) .field = array, .n_##field = sizeof array / sizeof array[0]

#define COMMON                                                                                     \
    .size = sizeof(struct tfops_spec), .abi = TFOPS_SPEC_ABI, .version = 1, TABLE(dims, DIMS),     \
    TABLE(dtypes, DTYPES), TABLE(scalars, SCALARS), ROW_SPACE(FAMILY),                             \
    .template_path = "norm/rmsnorm.cu", .body = "rmsnorm", .generic_body = "rmsnorm_generic",      \
    .params_type = "rmsnorm_params", .param_bytes = sizeof(struct rmsnorm_params), .cost = cost,   \
    .tolerance = tolerance

const struct tfops_spec rmsnorm_spec = {
    COMMON,
    .name = "rmsnorm",
    .summary = "root mean square layer normalisation of rows",
    .formula = "out = x / sqrt(mean(x²) + eps) · weight (Zhang & Sennrich 2019)",
    .options = OPTIONS,
    .n_options = 1,
    TABLE(operands, RMSNORM_OPERANDS),
    TABLE(constants, RMSNORM_CONSTANTS),
    .pack = pack_rmsnorm,
    .reference = rmsnorm_reference,
};

const struct tfops_spec add_rmsnorm_spec = {
    COMMON,
    .name = "add_rmsnorm",
    .summary = "residual addition and RMSNorm of the sum, in one pass",
    .formula = "h = x + residual; residual_out = h; out = h / sqrt(mean(h²) + eps) · weight",
    .options = OPTIONS,
    .n_options = 2,
    TABLE(operands, ADD_RMSNORM_OPERANDS),
    TABLE(constants, ADD_RMSNORM_CONSTANTS),
    .pack = pack_add_rmsnorm,
    .reference = add_rmsnorm_reference,
};
