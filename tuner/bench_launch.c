/*
 * The host's cost of a launch: batches of cuLaunchKernel and of the plan's own driver call with ready
 * parameters, of tfops_plan_launch and of tfops_launch, and of what tensor maps are of it, interleaved. A batch is short enough to fit into the
 * stream's queue and is waited for outside of the clock, so that what is timed is the call and
 * never the GPU.
 */
#include "base/error.h"
#include "base/mem.h"
#include "buffers.h"
#include "engine_access.h"
#include "engine_state.h"
#include "plan_state.h"
#include "stats.h"
#include "tensor_maps.h"
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <tfops/bench.h>
#include <time.h>

/* The last three only where there are tensor maps. */
enum { RAW = 0, SAME, PLAN, LOOKUP, MAPS, MOVED, ENCODE, N_WAYS };
enum { CALLS = 200, BATCHES = 400, WARM_BATCHES = 20 };

/* Beyond this, the batches there are decide: a GPU needs half a second. */
static const double BUDGET_NS = 10e9;

struct launches {
    struct tfops_engine *engine;
    struct gpu gpu;
    const struct tfops_problem *problem; /* checked */
    struct tfops_plan *plan;
    const struct launcher *launcher;
    CUdeviceptr memory, workspace;
    struct tfops_tensor tensors[TFOPS_MAX_OPERANDS];
    struct tfops_args args;
    /* What a launch gives its spec, and the same with all operands elsewhere. */
    struct tfops_view views[2][TFOPS_MAX_OPERANDS];
    double scalars[TFOPS_MAX_SCALARS];
    struct tfops_launch_args launch[2];
    struct tfops_geometry geometry;
    _Alignas(128) unsigned char pack[TFOPS_MAX_PARAM_BYTES];
    double *ns[N_WAYS]; /* per call, by batch */
    int ways, batches;
};

/* ---- set-up ------------------------------------------------------------------------------ */

static void describe_tensors(struct launches *launches, const struct buffers_layout *layout)
{
    const struct tfops_problem *problem = launches->problem;
    for (size_t i = 0; i < layout->n_operands; i++) {
        const struct buffers_operand *operand = &layout->operands[i];
        const struct tfops_operand_spec *spec = &problem->spec->operands[i];
        struct tfops_tensor *tensor = &launches->tensors[i];
        if (!operand->present)
            continue;
        *tensor =
            (struct tfops_tensor){.data = (void *)(uintptr_t)(launches->memory + operand->offset),
                .dtype = operand->dtype,
                .rank = spec->rank};
        for (int d = 0; d < spec->rank; d++) {
            tensor->shape[d] = problem->dims[spec->dims[d]];
            tensor->strides[d] = operand->strides[d];
        }
        launches->args.operands[i] = tensor;
    }
}

static enum tfops_status make_workspace(struct launches *launches)
{
    int64_t extent = launches->problem->dims[launches->plan->dynamic_dim];
    size_t bytes = tfops_plan_workspace(launches->plan, extent);
    if (!bytes)
        return TFOPS_OK;
    enum tfops_status status = gpu_alloc(&launches->gpu, bytes, &launches->workspace);
    if (!status)
        status = gpu_set(&launches->gpu, launches->workspace, 0, bytes);
    launches->args.workspace = (void *)(uintptr_t)launches->workspace;
    launches->args.workspace_bytes = bytes;
    return status;
}

/* Zeroed operands: time on the GPU does not count here. */
static enum tfops_status make_operands(struct launches *launches)
{
    struct buffers_layout layout;
    const struct tfops_problem *problem = launches->problem;
    launches->args = (struct tfops_args){.size = sizeof launches->args, .flags = problem->flags};
    memcpy(launches->args.options, problem->options, sizeof launches->args.options);
    enum tfops_status status = buffers_layout(problem, &layout);
    if (!status)
        status = gpu_alloc(&launches->gpu, layout.bytes, &launches->memory);
    if (!status)
        status = gpu_set(&launches->gpu, launches->memory, 0, layout.bytes);
    if (status)
        return status;
    describe_tensors(launches, &layout);
    return make_workspace(launches);
}

/* No launch is given the second: its addresses are only written into tensor maps. */
static void describe_launch(struct launches *launches, const struct buffers_layout *layout)
{
    const struct tfops_spec *spec = launches->problem->spec;
    for (size_t i = 0; i < spec->n_scalars; i++)
        launches->scalars[i] = spec->scalars[i].default_value;
    for (int k = 0; k < 2; k++) {
        buffers_views(layout, launches->memory + (CUdeviceptr)(k * 128), launches->views[k]);
        launches->launch[k] = (struct tfops_launch_args){.problem = launches->problem,
            .config = &launches->launcher->config,
            .operands = launches->views[k],
            .scalars = launches->scalars,
            .workspace = launches->args.workspace,
            .workspace_bytes = launches->args.workspace_bytes};
    }
}

/* What the driver's calls need. */
static enum tfops_status make_raw(struct launches *launches)
{
    const struct tfops_spec *spec = launches->problem->spec;
    const struct launcher *launcher = launches->launcher;
    struct buffers_layout layout;
    size_t maps = 0;
    enum tfops_status status = buffers_layout(launches->problem, &layout);
    if (status)
        return status;
    describe_launch(launches, &layout);
    spec->geometry(
        spec->user, launches->problem, launcher->device, &launcher->config, &launches->geometry);
    spec->pack(spec->user, &launches->launch[0], launches->pack);
    status = gpu_check(&launches->gpu,
        tensor_maps_encode(launches->gpu.driver, spec, &launches->launch[0], launches->pack, &maps),
        "cuTensorMapEncodeTiled");
    launches->ways = maps ? N_WAYS : MAPS;
    return status;
}

/* ---- batches ----------------------------------------------------------------------------- */

static double now_ns(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

static bool is_simple(const struct tfops_geometry *geometry)
{
    return geometry->cluster <= 1 && !geometry->cooperative;
}

static enum tfops_status call_extended(
    struct launches *launches, const struct tfops_geometry *geometry)
{
    void *params[] = {launches->pack};
    CUresult result = CUDA_SUCCESS;
    for (int i = 0; i < CALLS && !result; i++)
        result = launcher_launch_extended(
            launches->launcher, launches->gpu.driver, geometry, launches->gpu.stream, params);
    return gpu_check(&launches->gpu, result, "cuLaunchKernelEx");
}

/* Clusters and cooperative launches have no plainer call than the extended one, not overlapped. */
static enum tfops_status call_raw(struct launches *launches)
{
    const struct tfops_geometry *geometry = &launches->geometry;
    struct tfops_geometry alone = *geometry;
    void *params[] = {launches->pack};
    CUresult result = CUDA_SUCCESS;
    alone.pdl = false;
    if (!is_simple(geometry))
        return call_extended(launches, &alone);
    for (int i = 0; i < CALLS && !result; i++)
        result = launches->gpu.driver->launch_kernel(launches->launcher->function,
            geometry->grid[0], geometry->grid[1], geometry->grid[2], geometry->threads, 1, 1,
            geometry->smem_bytes, launches->gpu.stream, params, NULL);
    return gpu_check(&launches->gpu, result, "cuLaunchKernel");
}

static enum tfops_status call_same(struct launches *launches)
{
    const struct launcher *launcher = launches->launcher;
    void *params[] = {launches->pack};
    CUresult result = CUDA_SUCCESS;
    if (!is_simple(&launches->geometry))
        return call_extended(launches, &launches->geometry);
    if (!launcher->overlaps)
        return call_raw(launches);
    for (int i = 0; i < CALLS && !result; i++)
        result = launcher_launch_overlapped(
            launcher, launches->geometry.grid, launches->gpu.stream, params);
    return gpu_check(&launches->gpu, result, "cuLaunchKernelEx");
}

static enum tfops_status call_plan(struct launches *launches)
{
    enum tfops_status status = TFOPS_OK;
    for (int i = 0; i < CALLS && !status; i++)
        status = tfops_plan_launch(launches->plan, &launches->args, launches->gpu.stream);
    return status;
}

static enum tfops_status call_lookup(struct launches *launches)
{
    enum tfops_status status = TFOPS_OK;
    for (int i = 0; i < CALLS && !status; i++)
        status = tfops_launch(
            launches->engine, launches->problem->spec, &launches->args, launches->gpu.stream);
    return status;
}

/* `moved` 1: each time other addresses than the time before. */
static enum tfops_status put_maps(struct launches *launches, int moved)
{
    _Alignas(128) unsigned char pack[TFOPS_MAX_PARAM_BYTES];
    const char *call = "";
    CUresult result = CUDA_SUCCESS;
    for (int i = 0; i < CALLS && !result; i++)
        result = tensor_maps_put(launches->gpu.driver, launches->problem->spec,
            &launches->launch[i & moved], pack, &call);
    return gpu_check(&launches->gpu, result, call);
}

static enum tfops_status call_maps(struct launches *launches)
{
    return put_maps(launches, 0);
}

static enum tfops_status call_moved(struct launches *launches)
{
    return put_maps(launches, 1);
}

static enum tfops_status call_encode(struct launches *launches)
{
    _Alignas(128) unsigned char pack[TFOPS_MAX_PARAM_BYTES];
    size_t n;
    CUresult result = CUDA_SUCCESS;
    for (int i = 0; i < CALLS && !result; i++)
        result = tensor_maps_encode(
            launches->gpu.driver, launches->problem->spec, &launches->launch[0], pack, &n);
    return gpu_check(&launches->gpu, result, "cuTensorMapEncodeTiled");
}

static enum tfops_status (*const WAYS[N_WAYS])(struct launches *launches) = {[RAW] = call_raw,
    [SAME] = call_same,
    [PLAN] = call_plan,
    [LOOKUP] = call_lookup,
    [MAPS] = call_maps,
    [MOVED] = call_moved,
    [ENCODE] = call_encode};

static enum tfops_status batch(struct launches *launches, int way, double *ret_ns)
{
    double start = now_ns();
    enum tfops_status status = WAYS[way](launches);
    *ret_ns = (now_ns() - start) / CALLS;
    enum tfops_status synced = gpu_sync(&launches->gpu);
    return status ? status : synced;
}

static enum tfops_status run_batches(struct launches *launches)
{
    double deadline = now_ns() + BUDGET_NS;
    enum tfops_status status = TFOPS_OK;
    for (int i = -WARM_BATCHES; i < BATCHES && !status; i++) {
        for (int k = 0; k < launches->ways && !status; k++) {
            int way = (i + WARM_BATCHES + k) % launches->ways;
            double ns = 0;
            status = batch(launches, way, &ns);
            if (i >= 0)
                launches->ns[way][i] = ns;
        }
        launches->batches = i + 1;
        if (launches->batches > 0 && now_ns() > deadline)
            break;
    }
    return status;
}

/* Keeps the thread on its processor, as far as it may; a batch that migrates is an outlier. */
static bool pin(cpu_set_t *ret_before)
{
    cpu_set_t one;
    int cpu = sched_getcpu();
    if (cpu < 0 || pthread_getaffinity_np(pthread_self(), sizeof *ret_before, ret_before))
        return false;
    CPU_ZERO(&one);
    CPU_SET((size_t)cpu, &one);
    return !pthread_setaffinity_np(pthread_self(), sizeof one, &one);
}

/* ---- the result -------------------------------------------------------------------------- */

/* Median of the differences of two ways, batch by batch. */
static double median_over(const struct launches *launches, int way, int base)
{
    double differences[BATCHES];
    for (int i = 0; i < launches->batches; i++)
        differences[i] = launches->ns[way][i] - launches->ns[base][i];
    return stats_estimate_values(differences, (uint32_t)launches->batches).median;
}

/* Differences first: the estimates sort in place. */
static void fill_result(struct launches *launches, struct tfops_bench_launch_result *result)
{
    uint32_t n = (uint32_t)launches->batches;
    *result = (struct tfops_bench_launch_result){.size = sizeof *result,
        .batches = n,
        .calls_per_batch = CALLS,
        .plan_over_raw_ns = median_over(launches, PLAN, RAW),
        .lookup_over_raw_ns = median_over(launches, LOOKUP, RAW),
        .plan_over_same_ns = median_over(launches, PLAN, SAME),
        .lookup_over_same_ns = median_over(launches, LOOKUP, SAME)};
    result->raw_ns = stats_estimate_values(launches->ns[RAW], n).median;
    result->same_ns = stats_estimate_values(launches->ns[SAME], n).median;
    result->plan_ns = stats_estimate_values(launches->ns[PLAN], n).median;
    result->lookup_ns = stats_estimate_values(launches->ns[LOOKUP], n).median;
    if (launches->ways <= MAPS)
        return;
    result->maps_ns = stats_estimate_values(launches->ns[MAPS], n).median;
    result->maps_moved_ns = stats_estimate_values(launches->ns[MOVED], n).median;
    result->maps_encode_ns = stats_estimate_values(launches->ns[ENCODE], n).median;
}

static enum tfops_status run(struct launches *launches)
{
    const struct driver *driver = launches->gpu.driver;
    cpu_set_t before;
    enum tfops_status status = gpu_check(&launches->gpu,
        driver->stream_create(&launches->gpu.stream, CU_STREAM_NON_BLOCKING), "cuStreamCreate");
    for (int i = 0; i < N_WAYS && !status; i++) {
        launches->ns[i] = mem_new(launches->gpu.env, BATCHES, sizeof *launches->ns[i]);
        status = launches->ns[i] ? TFOPS_OK : TFOPS_E_MEMORY;
    }
    if (!status)
        status = make_operands(launches);
    if (!status)
        status = make_raw(launches);
    if (!status)
        status = gpu_sync(&launches->gpu);
    if (status)
        return status;
    bool pinned = pin(&before);
    status = run_batches(launches);
    if (pinned)
        pthread_setaffinity_np(pthread_self(), sizeof before, &before);
    return status;
}

static void release(struct launches *launches)
{
    gpu_free(&launches->gpu, &launches->memory);
    gpu_free(&launches->gpu, &launches->workspace);
    if (launches->gpu.stream)
        launches->gpu.driver->stream_destroy(launches->gpu.stream);
    for (int i = 0; i < N_WAYS; i++)
        mem_free(launches->gpu.env, launches->ns[i]);
}

/* With a plan that was prepared: both ways of tfops find it. */
static enum tfops_status bench_plan(
    struct launches *launches, struct tfops_bench_launch_result *ret_result)
{
    struct driver_scope scope;
    struct tfops_engine *engine = launches->engine;
    uint32_t dim = launches->plan->dynamic_dim;
    int64_t extent = launches->problem->dims[dim];
    if (extent < 1)
        return error_set(
            TFOPS_E_RANGE, "bench", launches->problem->spec->dims[dim].name, "1 or more", "0");
    launches->launcher = &plan_choose(launches->plan, extent)->launcher;
    enum tfops_status status = driver_enter(launches->gpu.driver, engine->context, &scope);
    if (status)
        return status;
    status = run(launches);
    if (!status)
        fill_result(launches, ret_result);
    release(launches);
    driver_leave(launches->gpu.driver, &scope);
    return status;
}

enum tfops_status tfops_bench_launch(struct tfops_engine *engine,
    const struct tfops_problem *problem, struct tfops_bench_launch_result *ret_result)
{
    struct engine_access access;
    if (!engine || !problem)
        return error_set(
            TFOPS_E_ARGUMENT, "bench", engine ? "problem" : "engine", "not NULL", "NULL");
    if (!ret_result || ret_result->size != sizeof *ret_result)
        return error_set(TFOPS_E_ARGUMENT, "bench", "ret_result",
            "sizeof(struct tfops_bench_launch_result)", "NULL or another size");
    struct tfops_problem checked = *problem;
    enum tfops_status status = tfops_problem_check(&checked);
    if (!status)
        status = engine_access(engine, &access);
    if (status)
        return status;
    if (!access.driver)
        return error_set(TFOPS_E_UNSUPPORTED, "bench", access.device->name, "a CUDA device",
            access.device->arch);
    struct launches launches = {.engine = engine,
        .problem = &checked,
        .gpu = {.env = access.env, .driver = access.driver, .device = *access.device}};
    status = tfops_prepare(engine, &checked, &launches.plan);
    if (!status)
        status = bench_plan(&launches, ret_result);
    tfops_plan_release(launches.plan);
    return status;
}
