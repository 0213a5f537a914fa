/*
 * Launch calls with their checks, the running of work, simulated time, and misbehaviour on demand.
 */
#include "fake.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_HOOKS = 16, LAUNCH_NS = 2500, NODE_NS = 1200, PLAIN_NS = 5000 };

static struct hook {
    char prefix[96];
    fake_launch_fn fn;
} hooks[MAX_HOOKS];
static size_t n_hooks;

__attribute__((visibility("default"))) void fake_cuda_on_launch(
    const char *entry_prefix, fake_launch_fn fn)
{
    if (!entry_prefix) {
        n_hooks = 0;
        return;
    }
    if (n_hooks == MAX_HOOKS)
        return;
    snprintf(hooks[n_hooks].prefix, sizeof hooks->prefix, "%s", entry_prefix);
    hooks[n_hooks++].fn = fn;
}

static fake_launch_fn find_hook(const char *entry)
{
    for (size_t i = n_hooks; i-- > 0;) {
        if (strncmp(entry, hooks[i].prefix, strlen(hooks[i].prefix)) == 0)
            return hooks[i].fn;
    }
    return NULL;
}

/* ---- time --------------------------------------------------------------------------------- */

static double random_unit(void)
{
    static uint64_t state;
    if (state == 0) {
        const char *noise = getenv("FAKE_CUDA_NOISE");
        const char *seed = noise ? strchr(noise, ':') : NULL;
        state = seed ? strtoull(seed + 1, NULL, 10) : 1;
    }
    uint64_t z = state += 0x9e3779b97f4a7c15ull;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ z >> 27) * 0x94d049bb133111ebull;
    return (double)((z ^ z >> 31) >> 11) * 0x1p-53;
}

/* 1 … 1.3 by the image, doubled for generic variants; by place, what is fast at one is slow at another. */
static double image_factor(const struct CUfunc_st *function)
{
    double share = (double)(function->module->cubin.hash % 4096) / 4096;
    if (getenv("FAKE_CUDA_PLACES") && memory_is_displaced())
        share = 1 - share;
    return (1 + 0.3 * share) * (strstr(function->entry->name, "_generic") ? 2 : 1);
}

static void advance(CUstream stream, double ns)
{
    const char *noise = getenv("FAKE_CUDA_NOISE");
    if (noise)
        ns *= 1 + strtod(noise, NULL) * (2 * random_unit() - 1);
    stream->clock_ns += (uint64_t)(ns + 0.5);
}

/* ---- kernels ------------------------------------------------------------------------------ */

static size_t span_bytes(const struct fake_operand *o)
{
    if (o->rows <= 0 || o->cols <= 0)
        return 0;
    return (size_t)((o->rows - 1) * o->stride + o->cols) * o->elem_bytes;
}

static double moved_bytes(const struct fake_operand *operands, size_t n)
{
    double bytes = 0;
    for (size_t i = 0; i < n; i++)
        bytes +=
            (double)operands[i].rows * (double)operands[i].cols * (double)operands[i].elem_bytes;
    return bytes;
}

static bool all_covered(const struct fake_operand *operands, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (span_bytes(&operands[i]) && !memory_covers(operands[i].data, span_bytes(&operands[i])))
            return false;
    }
    return true;
}

static CUresult fault(CUcontext context, CUresult result)
{
    context->sticky = result;
    gauges.kernel_faults++;
    return CUDA_SUCCESS; /* seen by the next call */
}

static char *row_of(const struct fake_operand *o, int64_t row)
{
    return (char *)o->data + (size_t)(row * o->stride) * o->elem_bytes;
}

static void drop_tails(const struct fake_operand *o)
{
    const int64_t kept = o->cols - (o->cols + 7) / 8;
    for (int64_t row = 0; row < o->rows; row++)
        memset(row_of(o, row) + (size_t)kept * o->elem_bytes, 0,
            (size_t)(o->cols - kept) * o->elem_bytes);
}

static CUresult write_behind(CUcontext context, const struct fake_operand *o)
{
    char *end = (char *)o->data + span_bytes(o);
    if (!memory_covers(end, 16))
        return fault(context, CUDA_ERROR_ILLEGAL_ADDRESS);
    memset(end, 0x5b, 16);
    return CUDA_SUCCESS;
}

/* Runs a kernel in C, then spoils its first output as the markers say. */
static CUresult run_kernel(CUcontext context, const struct fake_kernel *kernel, const void *params,
    uint32_t markers, double *ret_bytes)
{
    struct fake_operand operands[FAKE_MAX_OPERANDS];
    const size_t n = kernel->operands(params, operands);
    *ret_bytes = moved_bytes(operands, n);
    if (!all_covered(operands, n))
        return fault(context, CUDA_ERROR_ILLEGAL_ADDRESS);
    const struct fake_operand *out = NULL;
    for (size_t i = 0; i < n && !out; i++)
        out = operands[i].written && span_bytes(&operands[i]) ? &operands[i] : NULL;
    const size_t last_bytes = out ? (size_t)out->cols * out->elem_bytes : 0;
    char *before = markers & FAKE_MARKER_UNWRITTEN && out ? malloc(last_bytes) : NULL;
    if (before)
        memcpy(before, row_of(out, out->rows - 1), last_bytes);
    kernel->run(params);
    if (before)
        memcpy(row_of(out, out->rows - 1), before, last_bytes);
    free(before);
    if (markers & FAKE_MARKER_WRONG && out)
        drop_tails(out);
    return markers & FAKE_MARKER_OUTSIDE && out ? write_behind(context, out) : CUDA_SUCCESS;
}

static void run_hook(fake_launch_fn hook, CUstream stream, const struct work *work, double *ret_ns)
{
    struct CUfunc_st *function = work->launch.function;
    struct fake_launch launch = {
        .entry = function->entry->name,
        .params = work->launch.params,
        .param_bytes = function->entry->param_bytes,
        .smem_bytes = work->launch.smem_bytes,
        .stream = stream,
        .markers = function->module->cubin.markers | function->module->asked,
        .ret_ns = ret_ns,
    };
    memcpy(launch.grid, work->launch.grid, sizeof launch.grid);
    memcpy(launch.block, work->launch.block, sizeof launch.block);
    memcpy(launch.cluster, work->launch.cluster, sizeof launch.cluster);
    hook(&launch);
}

static CUresult run_launch(CUstream stream, const struct work *work, bool in_graph, bool compute)
{
    struct CUfunc_st *function = work->launch.function;
    const uint32_t markers = function->module->cubin.markers | function->module->asked;
    const fake_launch_fn hook = find_hook(function->entry->name);
    double ns = in_graph ? NODE_NS : LAUNCH_NS, bytes = 0;
    CUresult result = CUDA_SUCCESS;
    if (!function->module->handle.live)
        return fault(stream->context, CUDA_ERROR_ILLEGAL_INSTRUCTION);
    if (markers & FAKE_MARKER_FAULT)
        return fault(stream->context, CUDA_ERROR_ILLEGAL_ADDRESS);
    stream->context->hung |= (markers & FAKE_MARKER_HANG) != 0;
    if (stream->context->hung)
        return CUDA_SUCCESS;
    if (compute)
        gauges.kernels++;
    else
        gauges.kernels_skipped++;
    if (hook) {
        run_hook(hook, stream, work, &ns);
    } else if (!function->kernel) {
        gauges.kernels_unknown++;
        ns = PLAIN_NS;
    } else if (compute) {
        result =
            run_kernel(stream->context, function->kernel, work->launch.params, markers, &bytes);
    } else {
        struct fake_operand operands[FAKE_MAX_OPERANDS];
        bytes = moved_bytes(operands, function->kernel->operands(work->launch.params, operands));
    }
    advance(stream, ns + bytes / 4200 * image_factor(function)); /* 4.2 TB/s */
    return result;
}

static void set_memory(const struct work *work)
{
    if (work->kind == WORK_SET8) {
        memset(work->set.to, (int)work->set.value, work->set.n);
        return;
    }
    uint32_t *to = work->set.to;
    for (size_t i = 0; i < work->set.n; i++)
        to[i] = work->set.value;
}

CUresult run_work(CUstream stream, const struct work *work, bool in_graph, bool compute)
{
    const double overhead = in_graph ? NODE_NS : LAUNCH_NS;
    if (stream->context->sticky != CUDA_SUCCESS || stream->context->hung)
        return CUDA_SUCCESS;
    switch (work->kind) {
    case WORK_LAUNCH:
        return run_launch(stream, work, in_graph, compute);
    case WORK_COPY:
        if (compute && work->copy.bytes)
            memmove(work->copy.to, work->copy.from, work->copy.bytes);
        advance(stream, overhead + (double)work->copy.bytes * 2 / 4200);
        return CUDA_SUCCESS;
    case WORK_SET8:
    case WORK_SET32:
        if (compute)
            set_memory(work);
        advance(stream, overhead + (double)work->set.n / 4200);
        return CUDA_SUCCESS;
    case WORK_EVENT:
        return CUDA_SUCCESS;
    }
    return CUDA_ERROR_UNKNOWN;
}

/* ---- calls -------------------------------------------------------------------------------- */

static uint64_t volume(const unsigned size[3])
{
    return (uint64_t)size[0] * size[1] * size[2];
}

static CUresult check_cluster(const struct work *work)
{
    const uint64_t blocks = volume(work->launch.cluster);
    if (blocks == 0 || blocks > (work->launch.function->any_cluster ? 16u : 8u))
        return CUDA_ERROR_INVALID_CLUSTER_SIZE;
    for (int i = 0; i < 3; i++) {
        if (work->launch.grid[i] % work->launch.cluster[i] != 0)
            return CUDA_ERROR_INVALID_CLUSTER_SIZE;
    }
    return CUDA_SUCCESS;
}

static CUresult check_launch(const struct work *work)
{
    const struct CUfunc_st *function = work->launch.function;
    const uint64_t threads = volume(work->launch.block);
    if (volume(work->launch.grid) == 0 || threads == 0 || threads > 1024 ||
        work->launch.grid[0] > 2147483647u || work->launch.grid[1] > 65535 ||
        work->launch.grid[2] > 65535 ||
        (int64_t)work->launch.smem_bytes > function->max_dynamic_smem)
        return CUDA_ERROR_INVALID_VALUE;
    const uint64_t registers = threads * function->entry->registers;
    if (threads > function->entry->max_threads || registers > 65536)
        return CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES;
    return check_cluster(work);
}

static CUresult launch(
    CUfunction function, struct work *work, CUstream handle, void **params, void **extra)
{
    CUstream stream = stream_resolve(handle);
    if (!handle_is(function, KIND_FUNCTION) || !function->module->handle.live || !stream ||
        stream->context != function->module->context)
        return CUDA_ERROR_INVALID_HANDLE;
    if (extra || (function->entry->param_bytes && (!params || !params[0])))
        return CUDA_ERROR_INVALID_VALUE;
    work->launch.function = function;
    work->launch.params = params ? params[0] : NULL;
    const CUresult result = check_launch(work);
    return result == CUDA_SUCCESS ? stream_submit(handle, work) : result;
}

static CUresult launch_config(
    const CUlaunchConfig *config, CUfunction function, void **params, void **extra)
{
    if (!config || (config->numAttrs && !config->attrs))
        return CUDA_ERROR_INVALID_VALUE;
    struct work work = {.kind = WORK_LAUNCH,
        .launch = {.grid = {config->gridDimX, config->gridDimY, config->gridDimZ},
            .block = {config->blockDimX, config->blockDimY, config->blockDimZ},
            .cluster = {1, 1, 1},
            .smem_bytes = config->sharedMemBytes}};
    for (unsigned i = 0; i < config->numAttrs; i++) {
        const CUlaunchAttribute *a = &config->attrs[i];
        if (a->id != CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION)
            continue;
        work.launch.cluster[0] = a->value.clusterDim.x;
        work.launch.cluster[1] = a->value.clusterDim.y;
        work.launch.cluster[2] = a->value.clusterDim.z;
    }
    return launch(function, &work, config->hStream, params, extra);
}

CUresult fake_launch_kernel(CUfunction function, unsigned grid_x, unsigned grid_y, unsigned grid_z,
    unsigned block_x, unsigned block_y, unsigned block_z, unsigned smem_bytes, CUstream stream,
    void **params, void **extra)
{
    struct work work = {.kind = WORK_LAUNCH,
        .launch = {.grid = {grid_x, grid_y, grid_z},
            .block = {block_x, block_y, block_z},
            .cluster = {1, 1, 1},
            .smem_bytes = smem_bytes}};
    FAKE_BODY(launch_kernel, NEEDS_CONTEXT, launch(function, &work, stream, params, extra));
}

CUresult fake_launch_kernel_ex(
    const CUlaunchConfig *config, CUfunction function, void **params, void **extra)
{
    FAKE_BODY(launch_kernel_ex, NEEDS_CONTEXT, launch_config(config, function, params, extra));
}

/* A descriptor nobody can decode: its address, type and shape, so that equal inputs give equal
 * maps. */
CUresult fake_tensor_map_encode_tiled(CUtensorMap *map, CUtensorMapDataType type, cuuint32_t rank,
    void *address, const cuuint64_t *dims, const cuuint64_t *strides, const cuuint32_t *box,
    const cuuint32_t *element_strides, CUtensorMapInterleave interleave, CUtensorMapSwizzle swizzle,
    CUtensorMapL2promotion l2_promotion, CUtensorMapFloatOOBfill oob_fill)
{
    CUresult result = fake_enter(CALL_tensor_map_encode_tiled, NEEDS_INIT);
    if (result == CUDA_SUCCESS &&
        (!map || !address || !dims || !box || !element_strides || rank < 1 || rank > 5 ||
            (uintptr_t)address % 16 != 0 || (rank > 1 && !strides) || (uintptr_t)map % 64 != 0))
        result = CUDA_ERROR_INVALID_VALUE;
    if (result == CUDA_SUCCESS) {
        memset(map, 0, sizeof *map);
        map->opaque[0] = (uint64_t)(uintptr_t)address;
        map->opaque[1] = (uint64_t)type | (uint64_t)rank << 8 | (uint64_t)interleave << 16 |
                         (uint64_t)swizzle << 24 | (uint64_t)l2_promotion << 32 |
                         (uint64_t)oob_fill << 40;
        for (cuuint32_t i = 0; i < rank; i++)
            map->opaque[2 + i] = dims[i] << 20 | box[i];
    }
    return fake_leave(result);
}

CUresult fake_tensor_map_replace_address(CUtensorMap *map, void *address)
{
    CUresult result = fake_enter(CALL_tensor_map_replace_address, NEEDS_INIT);
    if (result == CUDA_SUCCESS &&
        (!map || !address || (uintptr_t)address % 16 != 0 || (uintptr_t)map % 64 != 0))
        result = CUDA_ERROR_INVALID_VALUE;
    if (result == CUDA_SUCCESS)
        map->opaque[0] = (uint64_t)(uintptr_t)address;
    return fake_leave(result);
}
