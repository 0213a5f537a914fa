/*
 * Launches: the last stage for callers. A launch that hits validates, hashes, probes, fills the
 * parameters and enqueues; it takes no lock, allocates nothing, opens nothing. What a miss does is
 * out of line, below.
 */
#include "base/error.h"
#include "base/hash.h"
#include "base/log.h"
#include "engine_state.h"
#include "plan_state.h"
#include "problem.h"
#include "stream_work.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define NOINLINE __attribute__((noinline, cold))
#define HOT __attribute__((hot, aligned(64)))
#define NOINLINE_HOT __attribute__((noinline, hot))
#define UNLIKELY(x) __builtin_expect(!!(x), 0)

/* ---- refusals ------------------------------------------------------------------------------- */

static NOINLINE enum tfops_status refuse_workspace(
    const struct tfops_launch_args *args, size_t needed)
{
    char expected[64], actual[64];
    snprintf(expected, sizeof expected, "%zu bytes, 256-byte aligned", needed);
    snprintf(actual, sizeof actual, "%zu bytes at %p", args->workspace_bytes, args->workspace);
    return error_set(TFOPS_E_ARGUMENT, "launch", "workspace", expected, actual);
}

/* Names the first property that is not the plan's. */
static NOINLINE enum tfops_status refuse_key(
    const struct tfops_plan *plan, const struct tfops_problem *problem)
{
    char expected[KEY_TEXT_BYTES], actual[KEY_TEXT_BYTES], name[48];
    char *saved_expected = NULL, *saved_actual = NULL;
    key_text(&plan->problem, expected);
    key_text(problem, actual);
    const char *want = strtok_r(expected, " ", &saved_expected);
    const char *got = strtok_r(actual, " ", &saved_actual);
    while (want && got && !strcmp(want, got)) {
        want = strtok_r(NULL, " ", &saved_expected);
        got = strtok_r(NULL, " ", &saved_actual);
    }
    const char *either = want ? want : got ? got : "";
    snprintf(name, sizeof name, "%.*s", (int)strcspn(either, "="), either);
    return error_set(
        TFOPS_E_ARGUMENT, "launch", name, want ? want : "nothing", got ? got : "nothing");
}

static NOINLINE enum tfops_status refuse_foreign_stream(const struct tfops_plan *plan)
{
    return error_set(TFOPS_E_CONTEXT, "launch", plan->problem.spec->name,
        "a stream of the device's primary context", "a stream of another context");
}

/* ---- enqueueing ----------------------------------------------------------------------------- */

/*
 * A launch is tried as the thread stands; only when the driver refuses is the context looked at. The
 * right path so costs no context query.
 */
static NOINLINE enum tfops_status recover(const struct tfops_plan *plan,
    const struct plan_variant *variant, const struct tfops_launch_args *args, CUstream stream,
    CUresult refused, const char *call)
{
    const struct driver *driver = &plan->engine->driver;
    CUcontext current = NULL, owner = NULL;
    struct driver_scope scope;
    bool wrong_context = refused == CUDA_ERROR_INVALID_CONTEXT ||
                         refused == CUDA_ERROR_INVALID_HANDLE ||
                         refused == CUDA_ERROR_CONTEXT_IS_DESTROYED;
    if (!variant->launcher.function)
        return error_set(TFOPS_E_DRIVER, "launch", plan->engine->device.arch, "a GPU",
            "an engine that only compiles");
    if (wrong_context && stream && !driver->stream_get_ctx(stream, &owner) &&
        owner != plan->engine->context)
        return refuse_foreign_stream(plan);
    if (!wrong_context || driver->ctx_get_current(&current) || current == plan->engine->context)
        return driver_error(driver, refused, call, plan->problem.spec->name);
    enum tfops_status status = driver_enter(driver, plan->engine->context, &scope);
    if (status)
        return status;
    refused = launcher_launch(&variant->launcher, driver, args, stream, &call);
    driver_leave(driver, &scope);
    return driver_error(driver, refused, call, plan->problem.spec->name);
}

static enum tfops_status compute_reference(
    const struct tfops_plan *plan, const struct tfops_launch_args *args, struct CUstream_st *stream)
{
    const struct tfops_spec *spec = plan->problem.spec;
    if (stream)
        return error_set(
            TFOPS_E_CONTEXT, "launch", spec->name, "no stream on the cpu device", "a stream");
    return spec->reference(spec->user, args);
}

/* Whatever is not a plain launch. */
static NOINLINE_HOT enum tfops_status enqueue_special(const struct tfops_plan *plan,
    const struct plan_variant *variant, const struct tfops_launch_args *args, CUstream stream)
{
    const struct tfops_spec *spec = plan->problem.spec;
    if (variant->source == PLAN_REFERENCE)
        return compute_reference(plan, args, stream);
    if (spec->workspace) {
        size_t needed = spec->workspace(
            spec->user, args->problem, &plan->engine->device, &variant->launcher.config);
        if (needed && (needed > args->workspace_bytes || !args->workspace ||
                          (uintptr_t)args->workspace & 255))
            return refuse_workspace(args, needed);
    }
    const char *call = "cuLaunchKernel";
    CUresult result = CUDA_ERROR_INVALID_HANDLE;
    if (variant->launcher.function)
        result = launcher_launch(&variant->launcher, &plan->engine->driver, args, stream, &call);
    return result ? recover(plan, variant, args, stream, result, call) : TFOPS_OK;
}

/* For an extent above 0. */
static inline __attribute__((always_inline)) enum tfops_status enqueue(
    const struct tfops_plan *plan, const struct request *request, const struct tfops_args *args,
    struct CUstream_st *stream)
{
    const struct plan_variant *variant =
        plan_choose(plan, request->problem.dims[plan->match.dynamic_dim]);
    const struct tfops_launch_args launch = {.problem = &request->problem,
        .config = &variant->launcher.config,
        .operands = request->operands,
        .scalars = request->scalars,
        .workspace = args->workspace,
        .workspace_bytes = args->workspace_bytes};
    if (UNLIKELY(!variant->launcher.plain))
        return enqueue_special(plan, variant, &launch, stream);
    CUresult result = launcher_launch_plain(&variant->launcher, &launch, stream);
    if (UNLIKELY(result))
        return recover(plan, variant, &launch, stream, result, launcher_call(&variant->launcher));
    return TFOPS_OK;
}

/* The operator's own rule too: it may be about free dimensions, which no key tells. */
static NOINLINE enum tfops_status enqueue_bound(const struct tfops_plan *plan,
    const struct request *request, const struct tfops_args *args, struct CUstream_st *stream)
{
    enum tfops_status status = request_accepts(&request->problem);
    if (status || !request->problem.dims[plan->dynamic_dim])
        return status;
    return enqueue(plan, request, args, stream);
}

/* The long way: other ranks, collapsed rows, an extent of 0, and whatever is wrong. */
static NOINLINE enum tfops_status launch_unusual(
    const struct tfops_plan *plan, const struct tfops_args *args, struct CUstream_st *stream)
{
    struct request request;
    struct key key;
    enum tfops_status status = request_bind(plan->problem.spec, args, &request);
    if (status)
        return status;
    if (request.problem.align > plan->problem.align)
        request.problem.align = plan->problem.align; /* better aligned than it must be */
    key_make(&request.problem, &key);
    if (!key_equal(&key, &plan->key))
        return refuse_key(plan, &request.problem);
    return enqueue_bound(plan, &request, args, stream);
}

/* Arguments of another form than the usual one. */
static NOINLINE_HOT enum tfops_status launch_wide(
    const struct tfops_plan *plan, const struct tfops_args *args, struct CUstream_st *stream)
{
    struct request request;
    if (UNLIKELY(!match_wide_bind(&plan->wide, &plan->problem, args, MATCH_ALIGN_ENOUGH, &request)))
        return launch_unusual(plan, args, stream);
    return enqueue(plan, &request, args, stream);
}

HOT enum tfops_status tfops_plan_launch(
    const struct tfops_plan *plan, const struct tfops_args *args, struct CUstream_st *stream)
{
    struct request request;
    if (UNLIKELY(!plan))
        return error_set(TFOPS_E_ARGUMENT, "launch", "plan", "not NULL", "NULL");
    if (UNLIKELY(plan->generation != engine_fork_generation))
        return engine_usable(plan->engine);
    if (UNLIKELY(!match_bind(&plan->match, &plan->problem, args, MATCH_ALIGN_ENOUGH, &request)))
        return launch_wide(plan, args, stream);
    return enqueue(plan, &request, args, stream);
}

/* ---- look-up -------------------------------------------------------------------------------- */

/* The legacy stream answers with an error while a stream that it waits for is capturing. */
static bool capturing(const struct tfops_engine *engine, struct CUstream_st *stream)
{
    CUstreamCaptureStatus status = CU_STREAM_CAPTURE_STATUS_NONE;
    if (engine->kind != ENGINE_CUDA)
        return false;
    CUresult result = engine->driver.stream_is_capturing(stream, &status);
    return result == CUDA_ERROR_STREAM_CAPTURE_IMPLICIT ||
           (!result && status != CU_STREAM_CAPTURE_STATUS_NONE);
}

/* A key nothing was prepared for: what happens is the engine's miss policy. */
static NOINLINE enum tfops_status resolve_miss(struct tfops_engine *engine,
    const struct tfops_problem *problem, const struct key *key, struct CUstream_st *stream,
    const struct tfops_plan **ret_plan)
{
    struct tfops_plan *plan;
    char text[640];
    bool in_capture = capturing(engine, stream);
    bool generic = engine->miss_policy == TFOPS_MISS_GENERIC && engine->kind != ENGINE_CPU;
    tfops_problem_format(problem, text, sizeof text);
    ENGINE_COUNT(engine, misses_unseen);
    enum tfops_status status = request_accepts(problem);
    if (status)
        return status;
    if (operators_index(&engine->operators, problem->spec) < 0)
        return error_set(TFOPS_E_UNKNOWN, "launch", problem->spec->name,
            "a spec from tfops_engine_operator() of this engine", "another");
    if ((in_capture && !generic) ||
        (engine->miss_policy == TFOPS_MISS_STRICT && engine->kind != ENGINE_CPU)) {
        if (in_capture)
            ENGINE_COUNT(engine, misses_capture);
        return error_set(TFOPS_E_COLD, "launch", text, "a prepared key",
            in_capture ? "a miss under stream capture" : "a miss under the strict policy");
    }
    status = plan_resolve(engine, problem, key, generic, &plan);
    if (status)
        return status;
    if (generic)
        log_line(&engine->env, TFOPS_LOG_INFO, "launch: %s is cold, served by the generic variant",
            text);
    status = engine_publish(engine, plan, &plan);
    *ret_plan = plan;
    return status;
}

/* Where the hint for these arguments stands. Reads what may be missing only when it is there. */
static inline size_t hint_of(const struct tfops_spec *spec, const struct tfops_args *args)
{
    const struct tfops_tensor *tensor = args->operands[0];
    uint64_t hash = (uintptr_t)spec >> 4;
    if (tensor && tensor->rank > 0 && tensor->rank <= TFOPS_MAX_RANK)
        hash = hash_mix(hash, (uint64_t)tensor->shape[tensor->rank - 1] << 8 |
                                  (uint64_t)tensor->dtype << 4 | args->options[0]);
    return (hash ^ hash >> 32) % PLAN_HINTS;
}

/* Of a plan's first launch by look-up: an address that the device cannot read is named here, where it
 * would else be a fault of the context that is seen later. */
static enum tfops_status check_reach(
    struct tfops_engine *engine, const struct tfops_plan *plan, const struct request *request)
{
    enum tfops_status status = TFOPS_OK;
    if (atomic_load_explicit(&plan->reached, memory_order_relaxed) ||
        !request->problem.dims[plan->dynamic_dim])
        return TFOPS_OK;
    for (size_t i = 0; i < plan->problem.spec->n_operands && !status; i++)
        if (request->operands[i].data)
            status = stream_work_reaches(
                engine, plan->problem.spec->operands[i].name, request->operands[i].data);
    if (!status)
        atomic_store_explicit(
            &((struct tfops_plan *)(uintptr_t)plan)->reached, true, memory_order_relaxed);
    return status;
}

/* The long way: bind, key, table, miss. Leaves a hint. */
static NOINLINE enum tfops_status look_up(struct tfops_engine *engine,
    const struct tfops_spec *spec, const struct tfops_args *args, struct CUstream_st *stream)
{
    struct request request;
    struct key key;
    enum tfops_status status = request_bind(spec, args, &request);
    if (status)
        return status;
    key_make(&request.problem, &key);
    const struct tfops_plan *plan = plan_table_find(&engine->plans, &key);
    if (plan)
        ENGINE_COUNT(engine, hits);
    else
        status = resolve_miss(engine, &request.problem, &key, stream, &plan);
    if (!status)
        status = check_reach(engine, plan, &request);
    if (status)
        return status;
    atomic_store_explicit(&engine->plans.hints[hint_of(spec, args)], plan, memory_order_release);
    return enqueue_bound(plan, &request, args, stream);
}

static NOINLINE_HOT enum tfops_status look_up_wide(struct tfops_engine *engine,
    const struct tfops_plan *plan, const struct tfops_args *args, struct CUstream_st *stream)
{
    struct request request;
    if (UNLIKELY(!match_wide_bind(&plan->wide, &plan->problem, args, MATCH_ALIGN_EXACT, &request)))
        return look_up(engine, plan->problem.spec, args, stream);
    ENGINE_COUNT(engine, hits);
    return enqueue(plan, &request, args, stream);
}

HOT enum tfops_status tfops_launch(struct tfops_engine *engine, const struct tfops_spec *spec,
    const struct tfops_args *args, struct CUstream_st *stream)
{
    struct request request;
    if (UNLIKELY(!engine || engine->generation != engine_fork_generation))
        return engine_usable(engine);
    if (UNLIKELY(!spec || !args))
        return error_set(TFOPS_E_ARGUMENT, "launch", spec ? "args" : "spec", "not NULL", "NULL");
    const struct tfops_plan *plan =
        atomic_load_explicit(&engine->plans.hints[hint_of(spec, args)], memory_order_acquire);
    if (UNLIKELY(!plan || plan->problem.spec != spec ||
                 atomic_load_explicit(&plan->stale, memory_order_relaxed)))
        return look_up(engine, spec, args, stream);
    if (UNLIKELY(!match_bind(&plan->match, &plan->problem, args, MATCH_ALIGN_EXACT, &request)))
        return look_up_wide(engine, plan, args, stream);
    ENGINE_COUNT(engine, hits);
    return enqueue(plan, &request, args, stream);
}

/* ---- what a plan tells ---------------------------------------------------------------------- */

static const char *source_name(const struct plan_variant *variant, int64_t extent)
{
    static const char *const NAMES[] = {[PLAN_RECORD] = "record",
        [PLAN_NEAREST] = "nearest",
        [PLAN_DEFAULT] = "default",
        [PLAN_GENERIC] = "generic",
        [PLAN_REFERENCE] = "reference"};
    bool nearest = variant->source == PLAN_RECORD && variant->measured != extent;
    return NAMES[nearest ? PLAN_NEAREST : variant->source];
}

size_t tfops_plan_workspace(const struct tfops_plan *plan, int64_t extent)
{
    if (!plan || extent <= 0 || !plan->problem.spec->workspace)
        return 0;
    const struct plan_variant *variant = plan_choose(plan, extent);
    struct tfops_problem problem = plan->problem;
    problem_set_extent(&problem, extent);
    return problem.spec->workspace(
        problem.spec->user, &problem, &plan->engine->device, &variant->launcher.config);
}

static enum tfops_status no_extent(int64_t extent)
{
    char actual[24];
    snprintf(actual, sizeof actual, "%lld", (long long)extent);
    return error_set(TFOPS_E_ARGUMENT, "describe", "extent", "1 or more", actual);
}

enum tfops_status tfops_plan_describe(
    const struct tfops_plan *plan, int64_t extent, struct tfops_plan_info *ret_info)
{
    if (!plan)
        return error_set(TFOPS_E_ARGUMENT, "describe", "plan", "not NULL", "NULL");
    if (!ret_info || ret_info->size != sizeof *ret_info)
        return error_set(TFOPS_E_ARGUMENT, "describe", "ret_info", "sizeof(struct tfops_plan_info)",
            "NULL or another size");
    if (extent < 1)
        return no_extent(extent);
    enum tfops_status status = engine_usable(plan->engine);
    if (status)
        return status;
    const struct plan_variant *variant = plan_choose(plan, extent);
    struct tfops_problem problem = plan->problem;
    struct tfops_geometry geometry = {0};
    problem_set_extent(&problem, extent);
    if (variant->source != PLAN_REFERENCE)
        problem.spec->geometry(problem.spec->user, &problem, &plan->engine->device,
            &variant->launcher.config, &geometry);
    const struct choice_beside *beside = &variant->beside[extent > variant->measured];
    *ret_info = (struct tfops_plan_info){.size = sizeof *ret_info,
        .source = source_name(variant, extent),
        .config = variant->config,
        .extent = variant->measured,
        .beside = beside->extent,
        .regret_there = beside->regret_there,
        .regret_here = beside->regret_here,
        .registers = variant->registers,
        .smem_bytes = geometry.smem_bytes,
        .threads = geometry.threads,
        .cluster = geometry.cluster};
    memcpy(ret_info->grid, geometry.grid, sizeof ret_info->grid);
    memcpy(ret_info->binary_sha256, variant->sha256, sizeof variant->sha256);
    return TFOPS_OK;
}
