/* Cases of verification (see verify_case.h). */
#include "verify_case.h"
#include "base/error.h"
#include "key.h"
#include "problem.h"
#include <stdio.h>
#include <string.h>

enum { ARENAS = 3, SPECIAL_EVERY = 7, ROW_ZERO = 2, ROW_NAN = 1, ROW_INF = 4 };

static struct tfops_problem at_extent(const struct tfops_problem *problem, int64_t extent)
{
    struct tfops_problem reduced = *problem;
    problem_set_extent(&reduced, extent);
    return reduced;
}

size_t verify_case_bytes(const struct tfops_problem *problem, int64_t extent)
{
    struct tfops_problem reduced = at_extent(problem, extent);
    struct buffers_layout layout;
    return buffers_layout(&reduced, &layout) ? SIZE_MAX : ARENAS * layout.bytes;
}

/* Both are the same memory: same dtype, same dimensions. */
static bool same_shape(const struct tfops_operand_spec *a, const struct tfops_operand_spec *b)
{
    return a->dtype == b->dtype && a->rank == b->rank &&
           !memcmp(a->dims, b->dims, (size_t)a->rank * sizeof *a->dims);
}

/* Each output goes onto the first operand it may be and that no other output lies on. */
static bool choose_aliases(const struct tfops_problem *problem, int8_t onto[TFOPS_MAX_OPERANDS])
{
    const struct tfops_operand_spec *operands = problem->spec->operands;
    uint32_t taken = 0;
    for (size_t i = 0; i < TFOPS_MAX_OPERANDS; i++)
        onto[i] = -1;
    for (size_t i = 0; i < problem->spec->n_operands; i++) {
        if (!(problem->present >> i & 1) || operands[i].access != TFOPS_OUT)
            continue;
        for (size_t t = 0; t < problem->spec->n_operands && onto[i] < 0; t++)
            if (operands[i].may_alias >> t & 1 && t != i && problem->present >> t & 1 &&
                !(taken >> t & 1) && operands[t].access != TFOPS_OUT &&
                same_shape(&operands[i], &operands[t])) {
                onto[i] = (int8_t)t;
                taken |= 1u << t;
            }
    }
    return taken;
}

bool verify_case_can_alias(const struct tfops_problem *problem)
{
    int8_t onto[TFOPS_MAX_OPERANDS];
    return choose_aliases(problem, onto);
}

void verify_scalars(const struct tfops_spec *spec, double ret_scalars[TFOPS_MAX_SCALARS])
{
    for (size_t i = 0; i < spec->n_scalars; i++)
        ret_scalars[i] = spec->scalars[i].default_value;
}

CUresult verify_launch(const struct gpu *gpu, const struct tfops_problem *problem,
    const struct verify_subject *subject, const struct tfops_view *views)
{
    double scalars[TFOPS_MAX_SCALARS] = {0};
    verify_scalars(problem->spec, scalars);
    const struct tfops_launch_args args = {.problem = problem,
        .config = &subject->launcher->config,
        .operands = views,
        .scalars = scalars,
        .workspace = (void *)(uintptr_t)subject->workspace,
        .workspace_bytes = subject->workspace_bytes};
    return launcher_launch(subject->launcher, gpu->driver, &args, gpu->stream, NULL);
}

static enum tfops_status launch_on(const struct gpu *gpu, const struct verify_case *vcase,
    const struct verify_subject *subject, CUdeviceptr arena, bool alias)
{
    struct tfops_view views[TFOPS_MAX_OPERANDS];
    buffers_views(&vcase->layout, arena, views);
    for (size_t i = 0; i < vcase->layout.n_operands && alias; i++)
        if (vcase->onto[i] >= 0)
            views[i] = views[vcase->onto[i]];
    return gpu_check(gpu, verify_launch(gpu, &vcase->problem, subject, views), "cuLaunchKernel");
}

/* Bits of NaN and infinity by dtype; e4m3 has no infinity, but a largest value. */
static const struct {
    uint32_t nan, inf;
} BITS[TFOPS_DTYPE_COUNT] = {
    [TFOPS_F32] = {0x7fc00000, 0x7f800000},
    [TFOPS_F16] = {0x7e00, 0x7c00},
    [TFOPS_BF16] = {0x7fc0, 0x7f80},
    [TFOPS_E4M3] = {0x7f, 0x7e},
    [TFOPS_E5M2] = {0x7e, 0x7c},
};

static enum tfops_status plant(
    const struct gpu *gpu, const struct buffers_operand *operand, CUdeviceptr base, size_t i)
{
    const struct {
        int64_t row;
        uint32_t bits;
    } plants[] = {
        {ROW_NAN, BITS[operand->dtype].nan},
        {ROW_INF, BITS[operand->dtype].inf},
    };
    CUdeviceptr data = base + operand->offset;
    size_t row_bytes = (size_t)operand->stride * operand->elem_bytes;
    int64_t col = (operand->cols / 2 + 3 * (int64_t)i) % operand->cols;
    enum tfops_status status = TFOPS_OK;
    if (operand->rows > ROW_ZERO)
        status = gpu_set(
            gpu, data + ROW_ZERO * row_bytes, 0, (size_t)operand->cols * operand->elem_bytes);
    for (size_t p = 0; p < sizeof plants / sizeof *plants && !status; p++) {
        CUdeviceptr to =
            data + (size_t)plants[p].row * row_bytes + (size_t)col * operand->elem_bytes;
        if (operand->rows > plants[p].row) /* little-endian on both sides */
            status = gpu_check(gpu,
                gpu->driver->memcpy_htod_async(
                    to, &plants[p].bits, operand->elem_bytes, gpu->stream),
                "cuMemcpyHtoDAsync");
    }
    return status;
}

/* Rows of zeros, with a NaN and with an infinity, in every input whose rows are dynamic. */
static enum tfops_status plant_specials(
    const struct gpu *gpu, const struct verify_case *vcase, CUdeviceptr base)
{
    const struct tfops_spec *spec = vcase->problem.spec;
    enum tfops_status status = TFOPS_OK;
    for (size_t i = 0; i < spec->n_operands && !status; i++) {
        const struct buffers_operand *operand = &vcase->layout.operands[i];
        bool input = operand->present && spec->operands[i].access != TFOPS_OUT;
        if (input && gpu_knows(operand->dtype) && spec->operands[i].rank > 1 &&
            spec->operands[i].dims[0] == key_dynamic_dim(spec))
            status = plant(gpu, operand, base, i);
    }
    /* The plants are read from this stack frame. */
    return status ? status : gpu_sync(gpu);
}

static enum tfops_status fill_arenas(const struct gpu *gpu, const struct verify_case *vcase,
    const struct verify_subject *reference, uint64_t seed)
{
    bool special = vcase->kind == VERIFY_SPECIAL;
    enum tfops_status status = buffers_paint(
        gpu, &vcase->problem, &vcase->layout, vcase->gold, seed, special ? SPECIAL_EVERY : 0);
    if (!status && special)
        status = plant_specials(gpu, vcase, vcase->gold);
    if (!status)
        status = gpu_move(gpu, vcase->init, vcase->gold, vcase->layout.bytes);
    if (!status)
        status = gpu_move(gpu, vcase->live, vcase->gold, vcase->layout.bytes);
    if (!status)
        status = launch_on(gpu, vcase, reference, vcase->gold, false);
    return status;
}

enum tfops_status verify_case_make(const struct gpu *gpu, const struct tfops_problem *problem,
    enum verify_kind kind, int64_t extent, const struct verify_subject *reference, uint64_t seed,
    struct verify_case *ret_case)
{
    struct verify_case made = {
        .kind = kind, .extent = extent, .problem = at_extent(problem, extent)};
    choose_aliases(problem, made.onto);
    enum tfops_status status = kind == VERIFY_SPECIAL
                                   ? buffers_layout_padded(&made.problem, &made.layout)
                                   : buffers_layout(&made.problem, &made.layout);
    if (!status)
        status = gpu_alloc(gpu, ARENAS * made.layout.bytes, &made.memory);
    if (status)
        return status;
    made.init = made.memory;
    made.gold = made.init + made.layout.bytes;
    made.live = made.gold + made.layout.bytes;
    status = fill_arenas(gpu, &made, reference, seed);
    if (status)
        verify_case_release(gpu, &made);
    else
        *ret_case = made;
    return status;
}

void verify_case_release(const struct gpu *gpu, struct verify_case *vcase)
{
    gpu_free(gpu, &vcase->memory);
}

static bool is_target(const struct verify_case *vcase, size_t operand)
{
    for (size_t i = 0; i < vcase->layout.n_operands && vcase->kind == VERIFY_ALIAS; i++)
        if (vcase->onto[i] == (int)operand)
            return true;
    return false;
}

static enum tfops_status restore(const struct gpu *gpu, const struct verify_case *vcase)
{
    enum tfops_status status = TFOPS_OK;
    for (size_t i = 0; i < vcase->layout.n_operands && !status; i++) {
        const struct buffers_operand *operand = &vcase->layout.operands[i];
        enum tfops_access access = vcase->problem.spec->operands[i].access;
        if (!operand->present)
            continue;
        if (access == TFOPS_OUT)
            status =
                gpu_set(gpu, vcase->live + operand->offset, BUFFERS_POISON_BYTE, operand->bytes);
        else if (access == TFOPS_INOUT || is_target(vcase, i))
            status = gpu_move(
                gpu, vcase->live + operand->offset, vcase->init + operand->offset, operand->bytes);
    }
    return status;
}

static enum tfops_status record(const struct gpu *gpu, const CUevent *event)
{
    return event ? gpu_check(gpu, gpu->driver->event_record(*event, gpu->stream), "cuEventRecord")
                 : TFOPS_OK;
}

enum tfops_status verify_case_run(const struct gpu *gpu, const struct verify_case *vcase,
    const struct verify_subject *subject, const CUevent *events)
{
    enum tfops_status status = restore(gpu, vcase);
    if (!status)
        status = record(gpu, events);
    if (!status)
        status = launch_on(gpu, vcase, subject, vcase->live, vcase->kind == VERIFY_ALIAS);
    if (!status)
        status = record(gpu, events ? events + 1 : NULL);
    return status;
}
