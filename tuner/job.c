/*
 * tfops_tune(): one problem on the engine's device, from the request to the record. Owns the flow:
 * space → strategy → sweep → race → record; each stage stands in its own file (tune.h).
 */
#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"
#include "gpu_lock.h"
#include "tune.h"
#include <math.h>
#include <string.h>
#include <time.h>

enum { PROGRESS_MS = 150 };

int64_t tune_now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * INT64_C(1000) + now.tv_nsec / 1000000;
}

enum tune_stop tune_should_stop(const struct tune *tune)
{
    const struct tfops_tune_options *options = &tune->options;
    if (options->cancel && *options->cancel)
        return TUNE_CANCELLED;
    if (options->budget_s > 0 &&
        (double)(tune_now_ms() - tune->start_ms) >= options->budget_s * 1e3)
        return TUNE_OUT_OF_BUDGET;
    return TUNE_GOES_ON;
}

void tune_progress(struct tune *tune, enum tfops_tune_stage stage, uint32_t done, uint32_t total)
{
    int64_t now = tune_now_ms();
    if (!tune->options.progress || (done < total && now - tune->progress_ms < PROGRESS_MS))
        return;
    tune->progress_ms = now;
    tune->options.progress(tune->options.user, stage, done, total);
}

void tune_report(struct tune *tune, struct candidate *candidate)
{
    struct tfops_candidate public;
    if (candidate->reported)
        return;
    candidate->reported = true;
    if (!tune->options.candidate)
        return;
    candidate_public(tune->env, candidate, &public);
    tune->options.candidate(tune->options.user, &public);
}

/* ---- the run ----------------------------------------------------------------------------- */

static enum tfops_status open_pool(struct tune *tune)
{
    struct setup_message setup = {.nvrtc_path = tune->access.nvrtc_path,
        .driver_path = tune->access.driver_path,
        .nvrtc_version = tune->access.nvrtc_version,
        .n_plugins = (uint32_t)tune->access.n_plugins};
    uint32_t compilers =
        tune->options.jobs < tune->candidates.n ? tune->options.jobs : tune->candidates.n;
    struct wire_writer greeting;
    for (uint32_t i = 0; i < setup.n_plugins; i++)
        setup.plugins[i] = tune->access.plugin_paths[i];
    wire_writer_init(&greeting, tune->env);
    wire_begin(&greeting, WIRE_SETUP, WORKER_TAG_GREETING);
    put_setup(&greeting, &setup);
    enum tfops_status status = wire_end(&greeting);
    const struct worker_pool_options options = {.path = tune->access.worker_path,
        .n = compilers + !tune->options.compile_only,
        .greeting = &greeting};
    if (!status)
        status = worker_pool_open(tune->env, &options, &tune->pool);
    wire_writer_release(&greeting);
    tune->gpu.worker = compilers; /* the last one; compilers stand before it */
    return status;
}

static uint64_t engine_compiles(const struct tune *tune)
{
    struct tfops_engine_stats stats = {.size = sizeof stats};
    return tfops_engine_stats(tune->engine, &stats) ? 0 : stats.compiles;
}

/* The statically known needs of a host that never compiles: the generic variant too. */
static void compile_generic(struct tune *tune)
{
    struct binary binary;
    if (!tune->spec->generic_body)
        return;
    if (engine_generic_binary(tune->engine, &tune->problem, &binary))
        log_line(tune->env, TFOPS_LOG_WARN, "tune: generic variant of %s: %s", tune->spec->name,
            error_message());
    else
        binary_release(tune->env, &binary);
}

/* And the default configs of all other extents: a plan serves every one of them. */
static void compile_defaults(struct tune *tune)
{
    struct tfops_plan *plan;
    if (tfops_prepare(tune->engine, &tune->problem, &plan))
        log_line(tune->env, TFOPS_LOG_WARN, "tune: default configs of %s: %s", tune->spec->name,
            error_message());
    else
        tfops_plan_release(plan);
}

static enum tfops_status compile_only(struct tune *tune)
{
    uint64_t before = engine_compiles(tune);
    compile_generic(tune);
    enum tfops_status status = open_pool(tune);
    if (!status)
        status = sweep_run(tune);
    if (!status && !tune_should_stop(tune))
        compile_defaults(tune);
    tune->compiled_beside = (uint32_t)(engine_compiles(tune) - before);
    if (!status && tune_should_stop(tune) == TUNE_CANCELLED)
        status = error_set(TFOPS_E_CANCELLED, "tune", tune->spec->name, NULL, NULL);
    return status;
}

static enum tfops_status gpu_uuid(const struct tune *tune, uint8_t ret_uuid[16])
{
    const struct driver *driver = tune->access.driver;
    CUdevice device;
    CUuuid uuid;
    const char *call = "cuDeviceGet";
    CUresult result = driver->device_get(&device, tune->access.ordinal);
    if (!result) {
        call = "cuDeviceGetUuid";
        result = driver->device_get_uuid(&uuid, device);
    }
    if (result)
        return driver_error(driver, result, call, tune->access.device->name);
    memcpy(ret_uuid, &uuid, sizeof uuid);
    return TFOPS_OK;
}

static enum tfops_status finish(struct tune *tune, struct tfops_tune_result *result)
{
    enum tfops_status status = job_record_put(tune, result);
    if (!status && result->recorded) {
        engine_forget(tune->engine, &tune->problem);
        job_samples_drop(tune);
    }
    return status;
}

/* A cancelled run keeps its samples for a resume, and a record where there is enough for one: until a
 * run comes to its end, never instead of the record of one that did. */
static enum tfops_status cancelled(struct tune *tune, struct tfops_tune_result *result)
{
    struct tfops_tune_result kept = {.size = sizeof kept};
    bool found = false;
    enum tfops_status status = job_record_find(tune, &found, &kept);
    tune->interrupted = true;
    if (!status && !tune->winner_samples.n) /* else only the race's confirmation is missing */
        status = race_decide_early(tune);
    if (!status && !found && tune->winner != STATS_NONE)
        status = job_record_put(tune, result);
    if (!status && result->recorded)
        engine_forget(tune->engine, &tune->problem);
    return status ? status : error_set(TFOPS_E_CANCELLED, "tune", tune->spec->name, NULL, NULL);
}

static enum tfops_status measure(struct tune *tune, struct tfops_tune_result *result)
{
    enum tfops_status status = sweep_run(tune);
    if (!status && tune_should_stop(tune) == TUNE_CANCELLED)
        return cancelled(tune, result);
    if (status)
        return status;
    if (!candidate_is_measured(&tune->candidates.list[tune->default_index]))
        return error_setf(TFOPS_E_TIMEOUT, 0, "tune", tune->spec->name,
            "the budget of %g s ended before the default config was measured",
            tune->options.budget_s);
    status = race_run(tune);
    if (status == TFOPS_E_CANCELLED)
        return cancelled(tune, result);
    return status ? status : finish(tune, result);
}

static enum tfops_status tune_on_gpu(struct tune *tune, struct tfops_tune_result *result)
{
    uint8_t uuid[16];
    struct gpu_lock lock = {.fd = -1};
    enum tfops_status status = gpu_uuid(tune, uuid);
    if (!status)
        status = gpu_lock_take(uuid, &lock);
    if (!status)
        status = open_pool(tune);
    if (!status) {
        gpu_client_init(tune, tune->gpu.worker, uuid);
        if (tune->options.resume)
            job_samples_load(tune);
        else
            job_samples_drop(tune);
        status = measure(tune, result);
    }
    gpu_client_release(tune);
    gpu_lock_drop(&lock);
    return status;
}

static void count(const struct tune *tune, struct tfops_tune_result *result)
{
    result->compiled = tune->compiled_beside;
    for (uint32_t i = 0; i < tune->candidates.n; i++) {
        const struct candidate *candidate = &tune->candidates.list[i];
        enum tfops_verdict verdict = candidate->verdict;
        if (candidate->state != CANDIDATE_DONE)
            continue;
        result->configs++;
        result->compiled += candidate->compiled;
        result->cached += candidate->cached;
        result->verified += candidate->verified;
        result->rejected += verdict == TFOPS_VERDICT_SPILLS || verdict == TFOPS_VERDICT_WRONG ||
                            verdict == TFOPS_VERDICT_FAULT || verdict == TFOPS_VERDICT_HANG;
        result->failed += verdict == TFOPS_VERDICT_COMPILE_FAILED || verdict == TFOPS_VERDICT_ERROR;
    }
}

static enum tfops_status run(struct tune *tune, struct tfops_tune_result *result)
{
    const struct tfops_tune_options *options = &tune->options;
    bool found = false;
    enum tfops_status status = TFOPS_OK;
    if (!options->force && !options->compile_only && !options->dry_run && !options->only)
        status = job_record_find(tune, &found, result);
    if (status || found)
        return status;
    status = job_choose_candidates(tune);
    if (status)
        return status;
    if (options->dry_run)
        job_list_candidates(tune);
    else
        status = options->compile_only ? compile_only(tune) : tune_on_gpu(tune, result);
    return status;
}

static void release(struct tune *tune)
{
    worker_pool_close(tune->pool);
    candidates_release(tune->env, &tune->candidates);
    mem_free(tune->env, tune->order);
    space_release(tune->env, &tune->space);
    sample_set_release(tune->env, &tune->winner_samples);
    sample_set_release(tune->env, &tune->default_samples);
}

enum tfops_status tfops_tune(struct tfops_engine *engine, const struct tfops_problem *problem,
    const struct tfops_tune_options *options, struct tfops_tune_result *ret_result)
{
    struct tune tune = {.start_ms = tune_now_ms()};
    struct tfops_tune_result result = {.size = sizeof result, .error = NAN};
    if (!ret_result || ret_result->size < sizeof ret_result->size)
        return error_set(TFOPS_E_ARGUMENT, "tune", "ret_result", "a struct with its size", NULL);
    enum tfops_status status = job_accept(&tune, engine, problem, options);
    if (!status)
        status = run(&tune, &result);
    struct tfops_error failure = {.size = sizeof failure};
    error_save(&failure); /* clean-up must not hide what failed */
    count(&tune, &result);
    release(&tune);
    if (status)
        error_restore(&failure);
    result.seconds = (double)(tune_now_ms() - tune.start_ms) * 1e-3;
    size_t size = ret_result->size < sizeof result ? ret_result->size : sizeof result;
    memcpy(ret_result, &result, size);
    ret_result->size = size;
    return status;
}
