/*
 * The typed call of a linear layer with an fp8 weight (see tfops/ops.h): x is quantised into the
 * workspace, then multiplied. Each is a launch of its operator; what is refused here is what only the
 * two together know.
 */
#include "base/error.h"
#include "kernels/gemm/gemm_specs.h"
#include "kernels/quant/quant_specs.h"
#include "refuse.h"
#include "stream_work.h"
#include "typed.h"
#include "weight_state.h"
#include <inttypes.h>
#include <stdio.h>

enum { GRANULE = 256, ROW_BYTES = 16, GROUP = 128 };

/* The two launches of a call. The tensors are what the arguments point to. */
struct linear {
    const struct tfops_weight *weight;
    bool quantises;
    int64_t rows;
    uint32_t scaling; /* TFOPS_SCALES_… of x */
    struct tfops_tensor x, x_scale, input_scale, values, scales;
    size_t counter_bytes, bytes; /* of the workspace */
    struct tfops_args quantize, gemm;
    struct tfops_tensor columns[3]; /* what those two made of vectors */
};

/* ---- what is asked for ---------------------------------------------------------------------- */

static enum tfops_status check_weight(
    const struct tfops_engine *engine, const struct tfops_fp8_linear_args *args)
{
    char expected[64], actual[32];
    if (!args->weight || args->weight->engine != engine)
        return error_set(TFOPS_E_ARGUMENT, "request", "weight", "a weight of this engine",
            args->weight ? "one of another" : "NULL");
    const uint64_t version = tfops_weight_version(args->weight);
    if (!version)
        return error_set(TFOPS_E_ARGUMENT, "request", "weight", "one with contents",
            "one of which a refresh failed");
    if (!args->weight_version || args->weight_version == version)
        return TFOPS_OK;
    snprintf(expected, sizeof expected, "%" PRIu64 ", that of the weight", version);
    snprintf(actual, sizeof actual, "%" PRIu64, args->weight_version);
    return error_set(TFOPS_E_ARGUMENT, "request", "weight_version", expected, actual);
}

static enum tfops_status check_x(const struct tfops_fp8_linear_args *args, int64_t *ret_rows)
{
    char expected[48], actual[160];
    const struct tfops_tensor *x = args->x;
    int64_t rows = 1;
    if (!x)
        return error_set(TFOPS_E_ARGUMENT, "request", "x", "a tensor", "NULL");
    if (x->dtype < TFOPS_F32 || x->dtype > TFOPS_E5M2)
        return error_set(TFOPS_E_DTYPE, "request", "x", "f32, f16, bf16, e4m3 or e5m2",
            tfops_dtype_name(x->dtype));
    bool fits = typed_last(x) == args->weight->k;
    for (int i = 0; i + 1 < x->rank && fits; i++)
        fits = x->shape[i] >= 0 && !__builtin_mul_overflow(rows, x->shape[i], &rows);
    *ret_rows = rows;
    if (fits && rows <= INT32_MAX)
        return TFOPS_OK;
    snprintf(expected, sizeof expected, "[…, k=%" PRId64 "]", args->weight->k);
    refuse_print_shape(x, actual, sizeof actual);
    return error_set(TFOPS_E_SHAPE, "request", "x", expected, actual);
}

static enum tfops_status check_x_scale(const struct tfops_fp8_linear_args *args)
{
    const bool fp8 = weight_is_fp8(args->x->dtype);
    const uint32_t any = TFOPS_BATCH_INVARIANT | TFOPS_FAST_ACCUM;
    enum tfops_status status =
        typed_check_flags(args->flags, args->x_scale ? any | TFOPS_SCALES_TRANSPOSED : any);
    if (status)
        return status;
    if (!fp8 && args->x_scale)
        return error_set(
            TFOPS_E_ARGUMENT, "request", "x_scale", "NULL, as x is quantised inside", "a tensor");
    if (fp8 && !args->x_scale && !(args->weight->options.input_scale > 0))
        return error_set(TFOPS_E_ARGUMENT, "request", "x_scale",
            "a tensor, as x is fp8 and the weight has no input_scale", "NULL");
    return TFOPS_OK;
}

static enum tfops_status check_args(
    const struct tfops_engine *engine, const struct tfops_fp8_linear_args *args, int64_t *ret_rows)
{
    enum tfops_status status = engine_usable(engine);
    if (!status)
        status = typed_check(args, sizeof *args);
    if (!status)
        status = check_weight(engine, args);
    if (!status)
        status = check_x(args, ret_rows);
    return status ? status : check_x_scale(args);
}

/* ---- the workspace --------------------------------------------------------------------------- */

static size_t granules(size_t bytes)
{
    return (bytes + GRANULE - 1) / GRANULE * GRANULE;
}

/* One scale of all of x: what quantize counts in. */
static size_t counter_bytes(const struct tfops_engine *engine)
{
    struct tfops_problem problem = {.spec = &quantize_spec};
    problem.options[QUANT_GRANULARITY] = TFOPS_SCALES_PER_TENSOR + 1;
    return quantize_spec.workspace(quantize_spec.user, &problem, &engine->device, NULL);
}

/* Groups stand column by column, as the product reads them. */
static struct tfops_tensor own_scales(const struct linear *linear, void *memory)
{
    const int64_t groups = (linear->weight->k + GROUP - 1) / GROUP;
    const int64_t by_tensor[] = {1, 1}, by_token[] = {linear->rows, 1};
    const int64_t by_group[] = {groups, linear->rows};
    return tfops_tensor_contiguous(memory, TFOPS_F32, 2,
        linear->scaling == TFOPS_SCALES_PER_TENSOR  ? by_tensor
        : linear->scaling == TFOPS_SCALES_PER_TOKEN ? by_token
                                                    : by_group);
}

/*
 * Counters, scales, values. Counters come first, whatever the scaling: other calls that use the same
 * workspace must leave them alone.
 */
static void lay_out(
    const struct tfops_engine *engine, const struct tfops_fp8_linear_args *args, struct linear *l)
{
    const int64_t stride = (l->weight->k + ROW_BYTES - 1) / ROW_BYTES * ROW_BYTES;
    const uintptr_t memory = (uintptr_t)args->workspace; /* NULL where it is too small */
    l->counter_bytes = granules(counter_bytes(engine));
    const struct tfops_tensor scales = own_scales(l, (void *)(memory + l->counter_bytes));
    const size_t scale_bytes =
        granules((size_t)scales.shape[0] * (size_t)scales.shape[1] * sizeof(float));
    l->x = tfops_tensor_contiguous((void *)(memory + l->counter_bytes + scale_bytes), TFOPS_E4M3, 2,
        (const int64_t[]){l->rows, l->weight->k});
    l->x.strides[0] = stride;
    l->x_scale = scales;
    l->bytes = l->counter_bytes + scale_bytes + (size_t)l->rows * (size_t)stride;
}

static enum tfops_status check_workspace(const struct tfops_engine *engine,
    const struct tfops_fp8_linear_args *args, const struct linear *linear)
{
    char expected[96], actual[64];
    const size_t align = engine->kind == ENGINE_CPU ? ROW_BYTES : GRANULE;
    if (!linear->quantises || !linear->rows ||
        (args->workspace && args->workspace_bytes >= linear->bytes &&
            !((uintptr_t)args->workspace % align)))
        return TFOPS_OK;
    snprintf(expected, sizeof expected, "%zu bytes at a multiple of %d (tfops_fp8_linear_prepare)",
        linear->bytes, (int)align);
    snprintf(actual, sizeof actual, "%zu bytes at %p", args->workspace_bytes, args->workspace);
    return error_set(TFOPS_E_ARGUMENT, "request", "workspace", expected, actual);
}

/* ---- the two launches ------------------------------------------------------------------------ */

/* The one scale of inputs, for every token where the weight has a scale a row. */
static void use_input_scale(struct linear *linear)
{
    const bool by_token = linear->scaling == TFOPS_SCALES_PER_TOKEN;
    linear->input_scale = tfops_tensor_contiguous(
        weight_input_scale(linear->weight), TFOPS_F32, 1, (const int64_t[]){1});
    linear->x_scale = linear->input_scale;
    linear->x_scale.rank = 2;
    linear->x_scale.shape[0] = by_token ? linear->rows : 1;
    linear->x_scale.strides[0] = 0;
    linear->x_scale.shape[1] = linear->x_scale.strides[1] = 1;
}

static enum tfops_status describe_quantize(
    const struct tfops_fp8_linear_args *args, struct linear *linear)
{
    const bool given = linear->weight->options.input_scale > 0;
    const struct tfops_quantize_args quantize = {.size = sizeof quantize,
        .x = args->x,
        .out = &linear->x,
        .scales = given ? NULL : &linear->x_scale,
        .static_scale = given ? &linear->input_scale : NULL,
        .scaling = given ? TFOPS_SCALES_PER_TENSOR : linear->scaling,
        .flags = args->flags & TFOPS_BATCH_INVARIANT,
        .workspace = args->workspace,
        .workspace_bytes = linear->counter_bytes};
    return typed_quantize(&quantize, &linear->columns[0], &linear->quantize);
}

static enum tfops_status describe_gemm(
    const struct tfops_fp8_linear_args *args, struct linear *linear)
{
    linear->values = weight_values(linear->weight);
    linear->scales = weight_scales(linear->weight);
    const struct tfops_gemm_args gemm = {.size = sizeof gemm,
        .x = linear->quantises ? &linear->x : args->x,
        .weight = &linear->values,
        .bias = args->bias,
        .residual = args->residual,
        .out = args->out,
        .x_scale = args->x_scale ? args->x_scale : &linear->x_scale,
        .weight_scale = &linear->scales,
        .activation = args->activation,
        .scaling = linear->scaling,
        .flags = args->flags & (TFOPS_BATCH_INVARIANT | TFOPS_FAST_ACCUM)};
    return typed_fp8_gemm(&gemm, &linear->columns[1], &linear->gemm);
}

/* TFOPS_SCALES_… of x: what matches the weight's. */
static uint32_t scaling_of_x(const struct tfops_fp8_linear_args *args)
{
    const uint32_t scaling = args->weight->options.scaling;
    const bool blocks = scaling == TFOPS_SCALES_PER_BLOCK;
    const bool transposed = weight_is_fp8(args->x->dtype)
                                ? (args->flags & TFOPS_SCALES_TRANSPOSED) != 0
                                : blocks; /* own_scales() */
    return (blocks ? TFOPS_SCALES_PER_GROUP : scaling) | (transposed ? TFOPS_SCALES_TRANSPOSED : 0);
}

static enum tfops_status describe(const struct tfops_engine *engine,
    const struct tfops_fp8_linear_args *args, struct linear *ret_linear)
{
    struct linear *linear = ret_linear;
    enum tfops_status status = check_args(engine, args, &linear->rows);
    if (status)
        return status;
    linear->weight = args->weight;
    linear->quantises = !weight_is_fp8(args->x->dtype);
    linear->scaling = scaling_of_x(args);
    linear->bytes = 0;
    if (linear->quantises)
        lay_out(engine, args, linear);
    if (!args->x_scale && args->weight->options.input_scale > 0)
        use_input_scale(linear);
    if (linear->quantises)
        status = describe_quantize(args, linear);
    return status ? status : describe_gemm(args, linear);
}

enum tfops_status tfops_fp8_linear(struct tfops_engine *engine,
    const struct tfops_fp8_linear_args *args, struct CUstream_st *stream)
{
    struct linear linear;
    enum tfops_status status = describe(engine, args, &linear);
    if (!status)
        status = check_workspace(engine, args, &linear);
    if (!status && linear.quantises)
        status = tfops_launch(engine, &quantize_spec, &linear.quantize, stream);
    return status ? status : tfops_launch(engine, &fp8_gemm_spec, &linear.gemm, stream);
}

/* ---- ahead of it ----------------------------------------------------------------------------- */

static enum tfops_status prepare(
    struct tfops_engine *engine, const struct tfops_spec *spec, const struct tfops_args *args)
{
    struct tfops_problem problem;
    struct tfops_plan *plan;
    enum tfops_status status = tfops_problem_from_args(spec, args, &problem);
    if (!status)
        status = tfops_prepare(engine, &problem, &plan);
    if (!status)
        tfops_plan_release(plan);
    return status;
}

static enum tfops_status check_reach(
    struct tfops_engine *engine, const struct tfops_fp8_linear_args *args)
{
    const struct {
        const char *name;
        const struct tfops_tensor *tensor;
    } OPERANDS[] = {{"x", args->x}, {"x_scale", args->x_scale}, {"bias", args->bias},
        {"residual", args->residual}, {"out", args->out}};
    enum tfops_status status = TFOPS_OK;
    for (size_t i = 0; i < sizeof OPERANDS / sizeof OPERANDS[0] && !status; i++)
        if (OPERANDS[i].tensor && OPERANDS[i].tensor->data)
            status = stream_work_reaches(engine, OPERANDS[i].name, OPERANDS[i].tensor->data);
    return status;
}

enum tfops_status tfops_fp8_linear_prepare(struct tfops_engine *engine,
    const struct tfops_fp8_linear_args *args, size_t *ret_workspace_bytes)
{
    struct linear linear;
    enum tfops_status status = typed_check(args, sizeof *args);
    if (!status && !ret_workspace_bytes)
        status = error_set(TFOPS_E_ARGUMENT, "request", "ret_workspace_bytes", "not NULL", "NULL");
    if (status)
        return status;
    struct tfops_fp8_linear_args described = *args;
    described.workspace = (void *)(uintptr_t)GRANULE; /* an address of its alignment */
    status = describe(engine, &described, &linear);
    if (!status)
        status = check_reach(engine, args);
    if (!status && linear.quantises)
        status = prepare(engine, &quantize_spec, &linear.quantize);
    if (!status)
        status = prepare(engine, &fp8_gemm_spec, &linear.gemm);
    if (!status)
        *ret_workspace_bytes = linear.bytes;
    return status;
}
