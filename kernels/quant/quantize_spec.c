/*
 * The specs of quantize and dequantize: their tables, what they accept, cost and tolerance.
 *
 * Overflow of a given scale: `rescale` doubles it until nothing saturates, at most max_retries
 * times; the scale that was used and the number of doublings are outputs. Both follow from the
 * largest magnitude alone, so that the device needs one reduction and the host no word.
 */
#include "quant_spec.h"
#include "quant_specs.h"
#include "quantize_params.h"
#include "quantize_space.h"

enum { MAX_HIDDEN = 1 << 17, MAX_ROWS = INT32_MAX };

/* ---- quantize ------------------------------------------------------------------------------- */

static const struct tfops_dim_spec DIMS[] = {
    [QUANT_ROWS] = {"rows", TFOPS_DIM_DYNAMIC, 0, MAX_ROWS, "rows, e.g. tokens"},
    [QUANT_HIDDEN] = {"hidden", 0, 1, MAX_HIDDEN, "elements of a row"},
    [QUANT_SCALE_ROWS] = QUANT_SCALE_ROWS_DIM,
    [QUANT_SCALE_COLS] = QUANT_SCALE_COLS_DIM,
    [QUANTIZE_ONE] = {"one", TFOPS_DIM_DERIVED, 1, 1, "1: of what there is one"},
};

static const struct tfops_dtype_spec QUANTIZE_DTYPES[] = {
    [QUANT_DTYPE] = {"dtype", SPEC_FLOATS, "of x"},
    [QUANT_OUT_DTYPE] = {"out_dtype", SPEC_FP8, "of out; e4m3 by default"},
    [QUANT_SCALE_DTYPE] = QUANT_SCALE_DTYPE_ROW,
    [QUANTIZE_COUNT_DTYPE] = {"count_dtype", SPEC_INDICES, "of saturated and retries"},
};

static const char *const GRANULARITIES[] = {
    "per_tensor_static", "per_tensor_dynamic", "per_token", "per_group", "per_block"};
static const char *const OVERFLOWS[] = {"saturate", "rescale"};

static const struct tfops_option_spec QUANTIZE_OPTIONS[] = {
    [QUANT_GRANULARITY] = {"granularity", GRANULARITIES, 5,
        "what shares a scale: x, by a given one or by its own; a row; 128 elements of it; 128 × "
        "128"},
    [QUANT_SCALE_MAJOR] = QUANT_SCALE_MAJOR_OPTION,
    [QUANTIZE_OVERFLOW] = {"overflow", OVERFLOWS, 2,
        "what a given scale does that is too small: values saturate, or it is doubled"},
};

static const struct tfops_scalar_spec QUANTIZE_SCALARS[] = {
    [QUANTIZE_MAX_RETRIES] = {"max_retries", 8, 0, 64, "most doublings of a given scale"},
};

#define ROWS_OF(dtype)                                                                             \
    TFOPS_OPERAND_ROWS, dtype, 2,                                                                  \
    {                                                                                              \
        QUANT_ROWS, QUANT_HIDDEN                                                                   \
    }
#define ONE_OF(dtype)                                                                              \
    TFOPS_OPERAND_OPTIONAL | TFOPS_OPERAND_ELEMENTS, dtype, 1,                                     \
    {                                                                                              \
        QUANTIZE_ONE                                                                               \
    }

static const struct tfops_operand_spec QUANTIZE_OPERANDS[] = {
    [QUANTIZE_X] = {"x", TFOPS_IN, ROWS_OF(QUANT_DTYPE), 0, "values"},
    [QUANTIZE_STATIC_SCALE] = {"static_scale", TFOPS_IN, ONE_OF(QUANT_SCALE_DTYPE), 0,
        "the scale of per_tensor_static"},
    [QUANTIZE_OUT] = {"out", TFOPS_OUT, ROWS_OF(QUANT_OUT_DTYPE), 0, "x / scale"},
    [QUANTIZE_SCALES] = QUANT_SCALES_OPERAND(
        TFOPS_OUT, TFOPS_OPERAND_OPTIONAL, QUANT_SCALE_DTYPE, QUANT_SCALE_ROWS, QUANT_SCALE_COLS),
    [QUANTIZE_SATURATED] = {"saturated", TFOPS_INOUT, ONE_OF(QUANTIZE_COUNT_DTYPE), 0,
        "raised by the number of elements that saturate: beyond the range by more than rounding"},
    [QUANTIZE_RETRIES] = {"retries", TFOPS_OUT, ONE_OF(QUANTIZE_COUNT_DTYPE), 0,
        "how often the given scale was doubled"},
};

static struct quant_layout quantize_layout(const struct tfops_problem *problem)
{
    return (struct quant_layout){(enum quant_granularity)problem->options[QUANT_GRANULARITY],
        problem->options[QUANT_SCALE_MAJOR], problem->dims[QUANT_ROWS],
        problem->dims[QUANT_HIDDEN]};
}

static int64_t quantize_derive(void *user, const struct tfops_problem *problem, size_t dim)
{
    (void)user;
    const struct quant_layout layout = quantize_layout(problem);
    return dim == QUANTIZE_ONE ? 1 : quant_scale_extent(&layout, dim == QUANT_SCALE_COLS);
}

/* Whether `operand` is there exactly when it must be. */
static bool given_when(const struct tfops_problem *problem, size_t operand, bool wanted,
    const char *when, char reason[TFOPS_REASON_BYTES])
{
    if (spec_has(problem, operand) == wanted)
        return true;
    return spec_refuse(reason, "%s: expected a tensor exactly with %s, got %s",
        problem->spec->operands[operand].name, when, wanted ? "none" : "one");
}

static bool quantize_accepts(
    void *user, const struct tfops_problem *problem, char reason[TFOPS_REASON_BYTES])
{
    (void)user;
    const struct quant_layout layout = quantize_layout(problem);
    const bool given = layout.granularity == QUANT_PER_TENSOR_STATIC;
    const bool rescale = problem->options[QUANTIZE_OVERFLOW] != 0;
    if (rescale && !given)
        return spec_refuse(reason,
            "overflow: expected saturate with %s, whose scales fit, got rescale",
            GRANULARITIES[layout.granularity]);
    if (!rescale && spec_has(problem, QUANTIZE_RETRIES))
        return spec_refuse(
            reason, "retries: expected a tensor only with overflow=rescale, got one");
    return given_when(
               problem, QUANTIZE_STATIC_SCALE, given, "granularity=per_tensor_static", reason) &&
           given_when(problem, QUANTIZE_SCALES, !given || rescale,
               "a dynamic granularity or overflow=rescale", reason) &&
           quant_divides(&layout, "x", "hidden", reason);
}

static uint64_t elems_of(const struct tfops_problem *problem)
{
    return (uint64_t)problem->dims[QUANT_ROWS] * (uint64_t)problem->dims[QUANT_HIDDEN];
}

static void quantize_cost(
    void *user, const struct tfops_problem *problem, struct tfops_cost *ret_cost)
{
    (void)user;
    const struct quant_layout layout = quantize_layout(problem);
    const uint64_t elems = elems_of(problem);
    *ret_cost = (struct tfops_cost){.bytes_read = elems * spec_elem_bytes(problem, QUANT_DTYPE),
        .bytes_written =
            elems + (spec_has(problem, QUANTIZE_SCALES) ? quant_scales_bytes(&layout) : 0),
        .flops = 3 * elems};
}

/* ---- the templates of quantize ------------------------------------------------------------------ */

static void quantize_shape(const struct tfops_problem *problem, struct row_shape *ret_shape)
{
    const struct quant_layout layout = quantize_layout(problem);
    const int64_t elem_bytes = (int64_t)spec_elem_bytes(problem, QUANT_DTYPE);
    *ret_shape = (struct row_shape){.rows = problem->dims[QUANT_ROWS],
        .width = problem->dims[QUANT_HIDDEN],
        .elem_bytes = elem_bytes,
        .held_bytes = elem_bytes,
        .column_bytes = elem_bytes,
        .out_bytes = 1,
        .inputs = 1,
        .steps = layout.granularity == QUANT_PER_TOKEN,
        .words = 1,
        .unit = 1,
        .group = layout.granularity == QUANT_PER_GROUP ? QUANT_GROUP : 0,
        .generic_words = 1};
}

static const struct row_family QUANTIZE_FAMILY = {quantize_shape};

static void quantize_pack(void *user, const struct tfops_launch_args *launch, void *ret_params)
{
    (void)user;
    const struct tfops_problem *problem = launch->problem;
    const struct tfops_view *operands = launch->operands;
    const struct quant_layout layout = quantize_layout(problem);
    const bool rescale = problem->options[QUANTIZE_OVERFLOW] != 0;
    *(struct quantize_params *)ret_params = (struct quantize_params){.x = operands[QUANTIZE_X].data,
        .out = operands[QUANTIZE_OUT].data,
        .static_scale = operands[QUANTIZE_STATIC_SCALE].data,
        .saturated = operands[QUANTIZE_SATURATED].data,
        .retries = operands[QUANTIZE_RETRIES].data,
        .turnstile = launch->workspace,
        .x_stride = operands[QUANTIZE_X].strides[0],
        .out_stride = operands[QUANTIZE_OUT].strides[0],
        .rows = problem->dims[QUANT_ROWS],
        .quant = quant_params_of(&layout, &operands[QUANTIZE_SCALES]),
        .hidden = (int)problem->dims[QUANT_HIDDEN],
        .max_retries = rescale ? (int)launch->scalars[QUANTIZE_MAX_RETRIES] : 0,
        .count_dtype = problem->dtypes[QUANTIZE_COUNT_DTYPE],
        .granularity = layout.granularity,
        .dtype = problem->dtypes[QUANT_DTYPE],
        .out_dtype = problem->dtypes[QUANT_OUT_DTYPE]};
}

/* Counts are of elements near the edge of saturation too: of those, fp32 may see one otherwise. */
static void quantize_tolerance(void *user, const struct tfops_problem *problem, size_t operand,
    struct tfops_tolerance *ret_tolerance)
{
    (void)user;
    static const struct tfops_tolerance COUNT = {1e-3, 2, 1e-3};
    *ret_tolerance = operand == QUANTIZE_OUT
                         ? quant_tolerance((enum tfops_dtype)problem->dtypes[QUANT_OUT_DTYPE],
                               (enum tfops_dtype)problem->dtypes[QUANT_DTYPE],
                               problem->dims[QUANT_ROWS] * problem->dims[QUANT_HIDDEN])
                     : operand == QUANTIZE_SCALES ? QUANT_SCALE_TOLERANCE
                                                  : COUNT;
}

/* ---- dequantize ----------------------------------------------------------------------------- */

static const struct tfops_dtype_spec DEQUANTIZE_DTYPES[] = {
    [QUANT_DTYPE] = {"dtype", SPEC_FP8, "of x"},
    [QUANT_OUT_DTYPE] = {"out_dtype", SPEC_FLOATS, "of out; f32 by default"},
    [QUANT_SCALE_DTYPE] = QUANT_SCALE_DTYPE_ROW,
};

static const char *const DEQUANTIZE_GRANULARITIES[] = {
    "per_tensor", "per_token", "per_group", "per_block"};

static const struct tfops_option_spec DEQUANTIZE_OPTIONS[] = {
    [QUANT_GRANULARITY] = {"granularity", DEQUANTIZE_GRANULARITIES, 4,
        "what shares a scale: x; a row; 128 elements of it; 128 × 128"},
    [QUANT_SCALE_MAJOR] = QUANT_SCALE_MAJOR_OPTION,
};

static const struct tfops_operand_spec DEQUANTIZE_OPERANDS[] = {
    [DEQUANTIZE_X] = {"x", TFOPS_IN, ROWS_OF(QUANT_DTYPE), 0, "fp8 values"},
    [DEQUANTIZE_SCALES] =
        QUANT_SCALES_OPERAND(TFOPS_IN, 0, QUANT_SCALE_DTYPE, QUANT_SCALE_ROWS, QUANT_SCALE_COLS),
    [DEQUANTIZE_OUT] = {"out", TFOPS_OUT, ROWS_OF(QUANT_OUT_DTYPE), 0, "x · scale"},
};

static struct quant_layout dequantize_layout(const struct tfops_problem *problem)
{
    struct quant_layout layout = quantize_layout(problem);
    layout.granularity = (enum quant_granularity)(QUANT_PER_TENSOR + layout.granularity);
    return layout;
}

static int64_t dequantize_derive(void *user, const struct tfops_problem *problem, size_t dim)
{
    (void)user;
    const struct quant_layout layout = dequantize_layout(problem);
    return quant_scale_extent(&layout, dim == QUANT_SCALE_COLS);
}

static bool dequantize_accepts(
    void *user, const struct tfops_problem *problem, char reason[TFOPS_REASON_BYTES])
{
    (void)user;
    const struct quant_layout layout = dequantize_layout(problem);
    return quant_divides(&layout, "x", "hidden", reason);
}

static void dequantize_cost(
    void *user, const struct tfops_problem *problem, struct tfops_cost *ret_cost)
{
    (void)user;
    const struct quant_layout layout = dequantize_layout(problem);
    const uint64_t elems = elems_of(problem);
    *ret_cost = (struct tfops_cost){.bytes_read = elems + quant_scales_bytes(&layout),
        .bytes_written = elems * spec_elem_bytes(problem, QUANT_OUT_DTYPE),
        .flops = elems};
}

static bool by_tile(const struct quant_layout *layout)
{
    return layout->granularity >= QUANT_PER_GROUP;
}

/* A vector has one scale. Eight elements are 16 bytes of halves. */
static void dequantize_shape(const struct tfops_problem *problem, struct row_shape *ret_shape)
{
    const struct quant_layout layout = dequantize_layout(problem);
    *ret_shape = (struct row_shape){.rows = problem->dims[QUANT_ROWS],
        .width = problem->dims[QUANT_HIDDEN],
        .elem_bytes = 1,
        .held_bytes = 1,
        .column_bytes = 1,
        .out_bytes = (int64_t)spec_elem_bytes(problem, QUANT_OUT_DTYPE),
        .inputs = 1,
        .words = 1,
        .unit = 1,
        .unshifted = by_tile(&layout),
        .vec_most = problem->dtypes[QUANT_OUT_DTYPE] == TFOPS_F32 ? 4 : 8}; /* 16 bytes of out */
}

static const struct row_family DEQUANTIZE_FAMILY = {dequantize_shape};

static void dequantize_pack(void *user, const struct tfops_launch_args *launch, void *ret_params)
{
    (void)user;
    const struct tfops_problem *problem = launch->problem;
    const struct tfops_view *operands = launch->operands;
    const struct quant_layout layout = dequantize_layout(problem);
    *(struct dequantize_params *)ret_params =
        (struct dequantize_params){.x = operands[DEQUANTIZE_X].data,
            .out = operands[DEQUANTIZE_OUT].data,
            .x_stride = operands[DEQUANTIZE_X].strides[0],
            .out_stride = operands[DEQUANTIZE_OUT].strides[0],
            .rows = problem->dims[QUANT_ROWS],
            .quant = quant_params_of(&layout, &operands[DEQUANTIZE_SCALES]),
            .hidden = (int)problem->dims[QUANT_HIDDEN],
            .granularity = layout.granularity,
            .dtype = problem->dtypes[QUANT_DTYPE],
            .out_dtype = problem->dtypes[QUANT_OUT_DTYPE]};
}

/* The product is exact in fp32 but for its rounding, and rounded to out_dtype. */
static void dequantize_tolerance(void *user, const struct tfops_problem *problem, size_t operand,
    struct tfops_tolerance *ret_tolerance)
{
    (void)user, (void)operand;
    static const struct tfops_tolerance BOUND[TFOPS_DTYPE_COUNT] = {
        [TFOPS_F32] = {2e-7, 1e-37, 2.4e-7},
        [TFOPS_F16] = {6e-4, 1.2e-7, 2e-3},
        [TFOPS_BF16] = {5e-3, 1e-37, 1.6e-2},
    };
    *ret_tolerance = BOUND[problem->dtypes[QUANT_OUT_DTYPE]];
}

/* ---- the specs ------------------------------------------------------------------------------ */

const struct tfops_spec quantize_spec = {
    .size = sizeof(struct tfops_spec),
    .abi = TFOPS_SPEC_ABI,
    .version = 1,
    .name = "quantize",
    .summary = "conversion to fp8 with scales by tensor, row, group or block",
    .formula = "out = x / scale, saturating; scale = max(amax, 1/512) / 448 (e5m2: 57344)",
    SPEC_TABLE(dims, DIMS),
    SPEC_TABLE(dtypes, QUANTIZE_DTYPES),
    SPEC_TABLE(options, QUANTIZE_OPTIONS),
    SPEC_TABLE(scalars, QUANTIZE_SCALARS),
    SPEC_TABLE(operands, QUANTIZE_OPERANDS),
    .user = (void *)(uintptr_t)&QUANTIZE_FAMILY,
    .tunables = row_tunables,
    .n_tunables = ROW_TUNABLES,
    .template_path = "quant/quantize.cu",
    .body = "quantize",
    .generic_body = "quantize_generic",
    .params_type = "quantize_params",
    .param_bytes = sizeof(struct quantize_params),
    .constraint = quantize_constraint,
    .default_config = quantize_default_config,
    .geometry = quantize_geometry,
    .pack = quantize_pack,
    .workspace = quantize_workspace,
    .derive = quantize_derive,
    .accepts = quantize_accepts,
    .cost = quantize_cost,
    .tolerance = quantize_tolerance,
    .reference = quantize_reference,
};

const struct tfops_spec dequantize_spec = {
    .size = sizeof(struct tfops_spec),
    .abi = TFOPS_SPEC_ABI,
    .version = 1,
    .name = "dequantize",
    .summary = "conversion from fp8 with scales by tensor, row, group or block",
    .formula = "out = x · scale",
    .dims = DIMS,
    .n_dims = QUANTIZE_ONE,
    SPEC_TABLE(dtypes, DEQUANTIZE_DTYPES),
    SPEC_TABLE(options, DEQUANTIZE_OPTIONS),
    SPEC_TABLE(operands, DEQUANTIZE_OPERANDS),
    ROW_SPACE(DEQUANTIZE_FAMILY),
    .template_path = "quant/dequantize.cu",
    .body = "dequantize",
    .generic_body = "dequantize_generic",
    .params_type = "dequantize_params",
    .param_bytes = sizeof(struct dequantize_params),
    .pack = dequantize_pack,
    .derive = dequantize_derive,
    .accepts = dequantize_accepts,
    .cost = dequantize_cost,
    .tolerance = dequantize_tolerance,
    .reference = dequantize_reference,
};
