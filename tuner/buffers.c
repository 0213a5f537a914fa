/* Device buffers from a spec's operand table (see buffers.h). */
#include "buffers.h"
#include "base/error.h"
#include "base/hash.h"
#include <string.h>

/* Bases as a framework's allocator gives them: 256 bytes, large blocks on pages of 2 MiB. Measured on
 * an H200: operands that start anywhere cost a kernel 4% of the copy roof (docs/notes/tuner.md). */
enum { BASE_ALIGN = 256, LARGE_BYTES = 1 << 20, LARGE_ALIGN = 2 << 20 };
enum { WIDEST = 16, MAX_LAUNCHES = 64 };

/* A replay's length: events resolve about 0.5 µs, so 0.1% of it is above their noise. */
/* A replay adds some 15 µs of its own to a graph of kernels (H200): 1% of a steady one. */
static const double STEADY_REPLAY_NS = 1600e3, REPLAY_NS = 400e3, SHORTEST_LAUNCH_NS = 2000;

static size_t round_up(size_t value, size_t to)
{
    return (value + to - 1) / to * to;
}

/* What an operand's base and row stride are multiples of, and no more. */
static size_t unit_bytes(
    const struct tfops_problem *problem, const struct tfops_operand_spec *spec, size_t elem_bytes)
{
    bool by_element = spec->flags & TFOPS_OPERAND_ELEMENTS;
    return by_element || problem->align < elem_bytes ? elem_bytes : problem->align;
}

/* Rows, columns and strides; false when a size overflows. */
static bool shape(const struct tfops_problem *problem, const struct tfops_operand_spec *spec,
    size_t pad_units, struct buffers_operand *operand)
{
    size_t unit = unit_bytes(problem, spec, operand->elem_bytes);
    operand->rows = 1;
    operand->cols = spec->rank ? problem->dims[spec->dims[spec->rank - 1]] : 1;
    bool overflow = operand->cols > INT64_MAX / 64;
    for (int i = 0; i + 1 < spec->rank; i++)
        overflow |=
            __builtin_mul_overflow(operand->rows, problem->dims[spec->dims[i]], &operand->rows);
    if (overflow)
        return false;
    operand->stride = operand->cols;
    if (operand->rows > 1)
        operand->stride = (int64_t)((round_up((size_t)operand->cols * operand->elem_bytes, unit) +
                                        pad_units * unit) /
                                    operand->elem_bytes);
    int64_t elems, stride = 1;
    if (__builtin_mul_overflow(operand->rows, operand->stride, &elems) || elems >= INT64_MAX / 64)
        return false;
    for (int i = spec->rank - 1; i >= 0; i--) {
        operand->strides[i] = stride;
        stride = i == spec->rank - 1 ? operand->stride : stride * problem->dims[spec->dims[i]];
    }
    return true;
}

size_t buffers_span(const struct buffers_operand *operand)
{
    if (operand->rows <= 0 || operand->cols <= 0)
        return 0;
    return (size_t)((operand->rows - 1) * operand->stride + operand->cols);
}

/* The zone from where the last operand ends to the next base, then the operand. */
static void place(
    struct buffers_layout *layout, struct buffers_operand *operand, size_t misalign, size_t *end)
{
    operand->bytes = buffers_span(operand) * operand->elem_bytes;
    size_t align = operand->bytes < LARGE_BYTES ? BASE_ALIGN : LARGE_ALIGN;
    size_t offset = round_up(*end + BUFFERS_ZONE_BYTES, align) + misalign;
    layout->zones[layout->n_zones++] = (struct buffers_zone){*end, offset - *end};
    operand->offset = offset;
    layout->large |= align == LARGE_ALIGN;
    layout->data_bytes += operand->bytes;
    *end = offset + operand->bytes;
}

static enum tfops_status lay_out(
    const struct tfops_problem *problem, bool padded, struct buffers_layout *ret_layout)
{
    const struct tfops_spec *spec = problem->spec;
    struct buffers_layout layout = {.n_operands = spec->n_operands};
    size_t end = 0;
    for (size_t i = 0; i < spec->n_operands; i++) {
        struct buffers_operand *operand = &layout.operands[i];
        operand->present = problem->present >> i & 1;
        if (!operand->present)
            continue;
        operand->output = spec->operands[i].access == TFOPS_OUT;
        operand->dtype = (enum tfops_dtype)problem->dtypes[spec->operands[i].dtype];
        operand->elem_bytes = tfops_dtype_bytes(operand->dtype);
        if (!operand->elem_bytes)
            return error_set(TFOPS_E_DTYPE, "buffers", spec->operands[i].name, "a dtype", "none");
        if (!shape(problem, &spec->operands[i], padded ? i + 1 : 0, operand) ||
            layout.data_bytes > SIZE_MAX / 8)
            return error_set(TFOPS_E_RANGE, "buffers", spec->operands[i].name,
                "a size below 2^57 elements", "more");
        size_t unit = unit_bytes(problem, &spec->operands[i], operand->elem_bytes);
        /* What kernels may not rely on is there at times: frameworks align what they allocate. */
        const bool least = padded || !(spec->operands[i].flags & TFOPS_OPERAND_ELEMENTS);
        place(&layout, operand, least && unit < WIDEST ? unit : 0, &end);
    }
    layout.bytes = round_up(end + BUFFERS_ZONE_BYTES, layout.large ? LARGE_ALIGN : BASE_ALIGN);
    layout.zones[layout.n_zones++] = (struct buffers_zone){end, layout.bytes - end};
    *ret_layout = layout;
    return TFOPS_OK;
}

enum tfops_status buffers_layout(
    const struct tfops_problem *problem, struct buffers_layout *ret_layout)
{
    return lay_out(problem, false, ret_layout);
}

enum tfops_status buffers_layout_padded(
    const struct tfops_problem *problem, struct buffers_layout *ret_layout)
{
    return lay_out(problem, true, ret_layout);
}

void buffers_share_outputs(struct buffers_layout *layout)
{
    for (size_t i = 0; i < layout->n_operands && !layout->one_output; i++)
        if (layout->operands[i].present && layout->operands[i].output)
            layout->data_bytes -= layout->operands[i].bytes;
    layout->one_output = true;
}

void buffers_views(const struct buffers_layout *layout, CUdeviceptr base,
    struct tfops_view ret_views[TFOPS_MAX_OPERANDS])
{
    memset(ret_views, 0, TFOPS_MAX_OPERANDS * sizeof *ret_views);
    for (size_t i = 0; i < layout->n_operands; i++) {
        const struct buffers_operand *operand = &layout->operands[i];
        if (!operand->present)
            continue;
        ret_views[i].data = (void *)(uintptr_t)(base + operand->offset);
        memcpy(ret_views[i].strides, operand->strides, sizeof operand->strides);
    }
}

/* Vectors and numbers that rows are multiplied by. */
static bool is_weight(const struct tfops_spec *spec, size_t i)
{
    const struct tfops_operand_spec *operand = &spec->operands[i];
    return operand->rank == 1 && !(spec->dims[operand->dims[0]].flags & TFOPS_DIM_DYNAMIC);
}

int64_t buffers_index_bound(const struct tfops_problem *problem, size_t operand)
{
    const uint32_t flags = problem->spec->operands[operand].flags;
    int64_t bound = 0;
    for (size_t d = 0; d < problem->spec->n_dims; d++)
        if (flags & TFOPS_OPERAND_INDEX(d) &&
            __builtin_mul_overflow(bound ? bound : 1, problem->dims[d], &bound))
            return INT64_MAX;
    return bound;
}

static enum tfops_status fill_operand(const struct gpu *gpu, const struct tfops_problem *problem,
    const struct buffers_layout *layout, CUdeviceptr base, uint64_t seed, uint64_t special_every,
    size_t i)
{
    const struct buffers_operand *operand = &layout->operands[i];
    const struct tfops_spec *spec = problem->spec;
    int64_t bound = buffers_index_bound(problem, i);
    if (bound)
        return gpu_fill_indices(gpu, base + operand->offset, operand->dtype, buffers_span(operand),
            bound, spec->operands[i].flags & TFOPS_OPERAND_DISTINCT);
    bool weight = is_weight(spec, i);
    struct tfops_values wanted = {weight ? 0.25f : 1, weight ? 1 : 0, !weight};
    if (spec->values)
        spec->values(spec->user, problem, i, &wanted);
    struct gpu_values values = {.seed = hash_mix(seed, i + 1),
        .special_every = wanted.special ? special_every : 0,
        .scale = wanted.scale,
        .offset = wanted.offset};
    return gpu_fill(gpu, base + operand->offset, operand->dtype, buffers_span(operand), &values);
}

enum tfops_status buffers_paint_access(const struct gpu *gpu, const struct tfops_problem *problem,
    const struct buffers_layout *layout, CUdeviceptr base, uint64_t seed, uint64_t special_every,
    enum tfops_access access)
{
    enum tfops_status status = TFOPS_OK;
    for (size_t i = 0; i < layout->n_operands && !status; i++) {
        const struct buffers_operand *operand = &layout->operands[i];
        if (!operand->present || problem->spec->operands[i].access != access)
            continue;
        if (access == TFOPS_OUT)
            status = gpu_set(gpu, base + operand->offset, BUFFERS_POISON_BYTE, operand->bytes);
        else
            status = fill_operand(gpu, problem, layout, base, seed, special_every, i);
    }
    return status;
}

enum tfops_status buffers_paint(const struct gpu *gpu, const struct tfops_problem *problem,
    const struct buffers_layout *layout, CUdeviceptr base, uint64_t seed, uint64_t special_every)
{
    enum tfops_status status = TFOPS_OK;
    for (size_t i = 0; i < layout->n_zones && !status; i++)
        status =
            gpu_set(gpu, base + layout->zones[i].offset, BUFFERS_ZONE_BYTE, layout->zones[i].bytes);
    static const enum tfops_access ALL[] = {TFOPS_IN, TFOPS_INOUT, TFOPS_OUT};
    for (size_t i = 0; i < sizeof ALL / sizeof *ALL && !status; i++)
        status = buffers_paint_access(gpu, problem, layout, base, seed, special_every, ALL[i]);
    return status;
}

uint32_t buffers_set_count(
    const struct buffers_layout *layout, int64_t l2_bytes, size_t cap_bytes, bool l2_warm)
{
    size_t far = 3 * (size_t)(l2_bytes > 0 ? l2_bytes : 0);
    size_t data = layout->data_bytes ? layout->data_bytes : 1;
    size_t n = (far + data - 1) / data;
    size_t fit = cap_bytes / layout->bytes;
    if (l2_warm)
        return 1;
    n = n < 1 ? 1 : n > BUFFERS_MAX_SETS ? BUFFERS_MAX_SETS : n;
    return (uint32_t)(n <= fit ? n : fit ? fit : 1);
}

struct buffers_rotation buffers_rotate(const struct buffers_layout *layout, uint32_t n_sets,
    int64_t l2_bytes, double launch_ns, bool l2_warm, bool steady)
{
    double launches = (steady ? STEADY_REPLAY_NS : REPLAY_NS) /
                          (launch_ns > SHORTEST_LAUNCH_NS ? launch_ns : SHORTEST_LAUNCH_NS) +
                      0.5;
    struct buffers_rotation rotation = {.sets = n_sets};
    rotation.launches = launches < 1              ? 1
                        : launches > MAX_LAUNCHES ? MAX_LAUNCHES
                                                  : (uint32_t)launches;
    if (rotation.sets > rotation.launches)
        rotation.sets = rotation.launches;
    /* Whole turns: a replay must not start on the set the last one ended on. */
    rotation.launches = (uint32_t)round_up(rotation.launches, rotation.sets);
    if (rotation.launches > MAX_LAUNCHES)
        rotation.launches -= rotation.sets;
    rotation.flush =
        !l2_warm && rotation.sets * layout->data_bytes <= 3 * (size_t)(l2_bytes > 0 ? l2_bytes : 0);
    return rotation;
}

static CUdeviceptr set_base(const struct buffers_sets *sets, uint32_t i)
{
    return sets->memory + (CUdeviceptr)i * sets->layout.bytes;
}

void buffers_set_views(
    const struct buffers_sets *sets, uint32_t i, struct tfops_view ret_views[TFOPS_MAX_OPERANDS])
{
    struct tfops_view first[TFOPS_MAX_OPERANDS];
    buffers_views(&sets->layout, set_base(sets, i), ret_views);
    buffers_views(&sets->layout, set_base(sets, 0), first);
    for (size_t k = 0; k < sets->layout.n_operands && sets->layout.one_output; k++)
        if (sets->layout.operands[k].output)
            ret_views[k] = first[k];
}

static uint64_t set_seed(const struct buffers_sets *sets, uint32_t i)
{
    return hash_mix(sets->seed, 0x5e7 + i);
}

static bool has_inout(const struct tfops_problem *problem)
{
    for (size_t i = 0; i < problem->spec->n_operands; i++)
        if (problem->present >> i & 1 && problem->spec->operands[i].access == TFOPS_INOUT)
            return true;
    return false;
}

enum tfops_status buffers_sets_make(const struct gpu *gpu, const struct tfops_problem *problem,
    const struct buffers_layout *layout, uint32_t n, uint64_t seed, struct buffers_sets *ret_sets)
{
    struct buffers_sets sets = {
        .layout = *layout, .n = n, .seed = seed, .has_inout = has_inout(problem)};
    enum tfops_status status = gpu_alloc(gpu, n * sets.layout.bytes, &sets.memory);
    for (uint32_t i = 0; i < n && !status; i++)
        status =
            buffers_paint(gpu, problem, &sets.layout, set_base(&sets, i), set_seed(&sets, i), 0);
    if (status)
        buffers_sets_release(gpu, &sets);
    else
        *ret_sets = sets;
    return status;
}

void buffers_sets_release(const struct gpu *gpu, struct buffers_sets *sets)
{
    gpu_free(gpu, &sets->memory);
    memset(sets, 0, sizeof *sets);
}

enum tfops_status buffers_sets_refresh(
    const struct gpu *gpu, const struct tfops_problem *problem, const struct buffers_sets *sets)
{
    enum tfops_status status = TFOPS_OK;
    for (uint32_t i = 0; i < sets->n && !status && sets->has_inout; i++)
        status = buffers_paint_access(
            gpu, problem, &sets->layout, set_base(sets, i), set_seed(sets, i), 0, TFOPS_INOUT);
    return status;
}
