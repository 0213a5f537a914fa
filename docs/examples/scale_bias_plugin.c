/*
 * scale_bias: an operator in a plug-in, complete: y = x * scale + bias, one factor and one summand
 * per column. docs/plugin.md walks through it. Build (from the root of the sources):
 *
 *   cc -std=c11 -O2 -fPIC -shared -Iinclude -o scale_bias_plugin.so \
 *       docs/examples/scale_bias_plugin.c
 *
 * It links nothing of tfops: the engine calls in here, never the other way round.
 */
#include "scale_bias_plugin.cu" /* struct scale_bias_params */
#include <string.h>
#include <tfops/spec.h>

_Static_assert(sizeof(struct scale_bias_params) == 64, "as in scale_bias_plugin.cu");

/* The template's text: scale_bias_plugin.cu, beside this file wherever that is compiled from. */
__asm__(".pushsection .rodata\n"
        ".globl scale_bias_template\n"
        ".hidden scale_bias_template\n"
        "scale_bias_template: .incbin \"" __FILE__ "u\"\n"
        ".byte 0\n"
        ".popsection\n");
extern const char scale_bias_template[] __attribute__((visibility("hidden")));

/* ---- tables: what the engine validates requests and renders configs with ------------------ */

enum { ROWS, HIDDEN };
static const struct tfops_dim_spec dims[] = {
    [ROWS] = {"rows", TFOPS_DIM_DYNAMIC, 0, 1 << 30, "rows of x"},
    [HIDDEN] = {"hidden", 0, 1, 65536, "elements of a row"},
};

static const struct tfops_dtype_spec dtypes[] = {
    {"dtype", 1u << TFOPS_F16 | 1u << TFOPS_BF16 | 1u << TFOPS_F32, "of every operand"},
};

enum { X, SCALE, BIAS, Y };
static const struct tfops_operand_spec operands[] = {
    [X] = {.name = "x",
        .access = TFOPS_IN,
        .flags = TFOPS_OPERAND_ROWS,
        .rank = 2,
        .dims = {ROWS, HIDDEN},
        .help = "input"},
    [SCALE] = {.name = "scale",
        .access = TFOPS_IN,
        .rank = 1,
        .dims = {HIDDEN},
        .help = "factor of each column"},
    [BIAS] = {.name = "bias",
        .access = TFOPS_IN,
        .flags = TFOPS_OPERAND_OPTIONAL,
        .rank = 1,
        .dims = {HIDDEN},
        .help = "summand of each column; absent: 0"},
    [Y] = {.name = "y",
        .access = TFOPS_OUT,
        .flags = TFOPS_OPERAND_ROWS,
        .rank = 2,
        .dims = {ROWS, HIDDEN},
        .may_alias = 1u << X,
        .help = "output; may be x"},
};

enum { VEC_BYTES, BLOCK_THREADS, ROWS_PER_BLOCK };
static const int64_t vec_bytes[] = {2, 4, 8, 16};
static const int64_t block_threads[] = {64, 128, 256, 512};
static const int64_t rows_per_block[] = {1, 2, 4, 8};
#define VALUES(table) (table), sizeof(table) / sizeof *(table)
static const struct tfops_tunable_spec tunables[] = {
    [VEC_BYTES] = {"VEC_BYTES", VALUES(vec_bytes), "bytes of one access"},
    [BLOCK_THREADS] = {"BLOCK_THREADS", VALUES(block_threads), "threads of a block"},
    [ROWS_PER_BLOCK] = {"ROWS_PER_BLOCK", VALUES(rows_per_block),
        "rows that share a load of scale"},
};

/* ---- the space ---------------------------------------------------------------------------- */

static int64_t elem_bytes(const struct tfops_problem *problem)
{
    return problem->dtypes[0] == TFOPS_F32 ? 4 : 2;
}

/* The static_asserts of the template, told to the tuner. */
static bool constraint(void *user, const struct tfops_problem *problem,
    const struct tfops_device *device, const struct tfops_config *config,
    char reason[TFOPS_REASON_BYTES])
{
    const int64_t vec = config->values[VEC_BYTES], elem = elem_bytes(problem);
    const char *why = NULL;
    (void)user, (void)device;
    if (vec < elem)
        why = "VEC_BYTES is less than an element";
    else if (vec > problem->align)
        why = "VEC_BYTES is more than the alignment";
    else if (problem->dims[HIDDEN] * elem % vec != 0)
        why = "VEC_BYTES does not divide a row";
    else if (config->values[BLOCK_THREADS] > 64 &&
             problem->dims[HIDDEN] * elem <= vec * config->values[BLOCK_THREADS] / 2)
        why = "more than half of the threads would idle";
    if (why)
        strcpy(reason, why);
    return !why;
}

/* Widest accesses, a block of about four vectors a thread. */
static void default_config(void *user, const struct tfops_problem *problem,
    const struct tfops_device *device, struct tfops_config *ret_config)
{
    const int64_t row_bytes = problem->dims[HIDDEN] * elem_bytes(problem);
    int64_t vec = 16, threads = 64;
    (void)user, (void)device;
    while (vec > elem_bytes(problem) && (vec > problem->align || row_bytes % vec != 0))
        vec /= 2;
    while (threads < 512 && row_bytes >= vec * threads * 4)
        threads *= 2;
    *ret_config = (struct tfops_config){0};
    ret_config->values[VEC_BYTES] = vec;
    ret_config->values[BLOCK_THREADS] = threads;
    ret_config->values[ROWS_PER_BLOCK] = 1;
}

static void geometry(void *user, const struct tfops_problem *problem,
    const struct tfops_device *device, const struct tfops_config *config,
    struct tfops_geometry *ret_geometry)
{
    const int64_t per_block = config->generic ? 1 : config->values[ROWS_PER_BLOCK];
    (void)user, (void)device;
    *ret_geometry = (struct tfops_geometry){
        .threads = config->generic ? 256 : (uint32_t)config->values[BLOCK_THREADS],
        .min_blocks = 1,
        .cluster = 1,
        .grid = {(uint32_t)((problem->dims[ROWS] + per_block - 1) / per_block), 1, 1},
        .extent_per_group = (uint32_t)per_block, /* so that launches need not ask */
        .most_groups = INT32_MAX,
    };
}

/* ---- a launch ----------------------------------------------------------------------------- */

/* Called for each launch. Strides are per dimension of the operand, in elements. */
static void pack(void *user, const struct tfops_launch_args *launch, void *ret_params)
{
    const struct tfops_view *o = launch->operands;
    struct scale_bias_params *p = ret_params;
    (void)user;
    *p = (struct scale_bias_params){
        .x = o[X].data,
        .scale = o[SCALE].data,
        .bias = o[BIAS].data,
        .y = o[Y].data,
        .x_stride = o[X].strides[0],
        .y_stride = o[Y].strides[0],
        .rows = launch->problem->dims[ROWS],
        .hidden = (int)launch->problem->dims[HIDDEN],
        .dtype = launch->problem->dtypes[0],
    };
}

/* ---- what it costs and what is right ------------------------------------------------------ */

static void cost(void *user, const struct tfops_problem *problem, struct tfops_cost *ret_cost)
{
    const uint64_t elem = (uint64_t)elem_bytes(problem);
    const uint64_t hidden = (uint64_t)problem->dims[HIDDEN];
    const uint64_t all = (uint64_t)problem->dims[ROWS] * hidden;
    const uint64_t vectors = problem->present >> BIAS & 1 ? 2 : 1;
    (void)user;
    *ret_cost = (struct tfops_cost){.bytes_read = (all + vectors * hidden) * elem,
        .bytes_written = all * elem,
        .flops = 2 * all};
}

/* One rounding to the dtype; fp32 arithmetic may cancel, which atol allows for. */
static void tolerance(void *user, const struct tfops_problem *problem, size_t operand,
    struct tfops_tolerance *ret_tolerance)
{
    const double half_step = problem->dtypes[0] == TFOPS_F16    ? 0x1p-11
                             : problem->dtypes[0] == TFOPS_BF16 ? 0x1p-8
                                                                : 0x1p-23;
    (void)user, (void)operand;
    *ret_tolerance = (struct tfops_tolerance){
        .relative = 2 * half_step, .atol = 4 * half_step, .rtol = 2 * half_step};
}

static float f16_to_f32(uint16_t half)
{
    const uint32_t magnitude = half & 0x7fffu;
    uint32_t bits =
        magnitude >= 0x7c00u ? 0x7f800000u | magnitude << 13 : (magnitude << 13) + 0x38000000u;
    float value = (float)magnitude * 0x1p-24f; /* subnormal */
    if (magnitude >= 0x0400u)
        memcpy(&value, &bits, sizeof value);
    return half & 0x8000u ? -value : value;
}

static uint16_t f32_to_f16(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    const uint32_t magnitude = bits & 0x7fffffffu;
    uint32_t half;
    if (magnitude > 0x7f800000u)
        half = 0x7fffu;
    else if (magnitude >= 0x477ff000u)
        half = 0x7c00u;
    else if (magnitude >= 0x38800000u)
        half = (magnitude + 0xfffu + (magnitude >> 13 & 1u) - 0x38000000u) >> 13;
    else { /* subnormal: the steps above 0.5 are those of f16 */
        const float steps = (value < 0 ? -value : value) + 0.5f;
        memcpy(&half, &steps, sizeof half);
        half -= 0x3f000000u;
    }
    return (uint16_t)(half | (bits >> 16 & 0x8000u));
}

static double read_elem(const void *base, int dtype, int64_t i)
{
    if (dtype == TFOPS_F32)
        return (double)((const float *)base)[i];
    const uint16_t half = ((const uint16_t *)base)[i];
    if (dtype == TFOPS_F16)
        return (double)f16_to_f32(half);
    const uint32_t bits = (uint32_t)half << 16;
    float value;
    memcpy(&value, &bits, sizeof value);
    return (double)value;
}

static void write_elem(void *base, int dtype, int64_t i, double value)
{
    const float single = (float)value;
    uint32_t bits;
    memcpy(&bits, &single, sizeof bits);
    if (dtype == TFOPS_F32)
        ((float *)base)[i] = single;
    else if (dtype == TFOPS_F16)
        ((uint16_t *)base)[i] = f32_to_f16(single);
    else if (single != single)
        ((uint16_t *)base)[i] = 0x7fffu;
    else
        ((uint16_t *)base)[i] = (uint16_t)((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}

/* The operator on the cpu device, and what every config is verified against. */
static enum tfops_status reference(void *user, const struct tfops_launch_args *launch)
{
    const struct tfops_view *o = launch->operands;
    const int dtype = launch->problem->dtypes[0];
    const int64_t hidden = launch->problem->dims[HIDDEN];
    (void)user;
    for (int64_t row = 0; row < launch->problem->dims[ROWS]; row++) {
        for (int64_t i = 0; i < hidden; i++) {
            const double x = read_elem(o[X].data, dtype, row * o[X].strides[0] + i);
            const double scale = read_elem(o[SCALE].data, dtype, i);
            const double bias = o[BIAS].data ? read_elem(o[BIAS].data, dtype, i) : 0;
            write_elem(o[Y].data, dtype, row * o[Y].strides[0] + i, x * scale + bias);
        }
    }
    return TFOPS_OK;
}

/* ---- the spec ----------------------------------------------------------------------------- */

static const struct tfops_spec scale_bias = {
    .size = sizeof(struct tfops_spec),
    .abi = TFOPS_SPEC_ABI,
    .version = 1,
    .name = "scale_bias",
    .summary = "scale and shift each column",
    .formula = "y = x * scale + bias",
    .dims = dims,
    .n_dims = sizeof dims / sizeof *dims,
    .dtypes = dtypes,
    .n_dtypes = sizeof dtypes / sizeof *dtypes,
    .operands = operands,
    .n_operands = sizeof operands / sizeof *operands,
    .tunables = tunables,
    .n_tunables = sizeof tunables / sizeof *tunables,
    .template_path = "scale_bias_plugin.cu",
    .source = scale_bias_template,
    .body = "scale_bias",
    .generic_body = "scale_bias_generic",
    .params_type = "scale_bias_params",
    .param_bytes = sizeof(struct scale_bias_params),
    .constraint = constraint,
    .default_config = default_config,
    .geometry = geometry,
    .pack = pack,
    .cost = cost,
    .tolerance = tolerance,
    .reference = reference,
};

/* What the engine looks up in a plug-in (TFOPS_PLUGIN_SYMBOL). */
const struct tfops_spec *const *tfops_plugin(size_t *ret_count);

const struct tfops_spec *const *tfops_plugin(size_t *ret_count)
{
    static const struct tfops_spec *const specs[] = {&scale_bias};
    *ret_count = sizeof specs / sizeof *specs;
    return specs;
}
