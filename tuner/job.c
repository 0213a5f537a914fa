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
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { MAX_JOBS = 64, PROGRESS_MS = 150 };

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

/* ---- the request ------------------------------------------------------------------------- */

static uint32_t cores(void)
{
    cpu_set_t set;
    int n = sched_getaffinity(0, sizeof set, &set) ? (int)sysconf(_SC_NPROCESSORS_ONLN)
                                                   : CPU_COUNT(&set);
    return n < 1 ? 1 : (uint32_t)n;
}

/* Options of an older caller are shorter; of a newer one, what is unknown here must be zero. */
static enum tfops_status copy_options(
    const struct tfops_tune_options *from, struct tfops_tune_options *to)
{
    *to = (struct tfops_tune_options){.size = sizeof *to};
    if (!from)
        return TFOPS_OK;
    if (from->size < sizeof from->size)
        return error_set(TFOPS_E_ARGUMENT, "tune", "options.size", "the struct's size", NULL);
    for (size_t i = sizeof *to; i < from->size; i++)
        if (((const unsigned char *)from)[i])
            return error_set(TFOPS_E_ARGUMENT, "tune", "options",
                "no field unknown to this "
                "library",
                NULL);
    memcpy(to, from, from->size < sizeof *to ? from->size : sizeof *to);
    return TFOPS_OK;
}

static bool is_negative(double value)
{
    return !(value >= 0);
}

static enum tfops_status check_options(struct tfops_tune_options *options)
{
    if (is_negative(options->budget_s) || is_negative(options->interval) ||
        is_negative(options->margin) || is_negative(options->watchdog_s) ||
        options->watchdog_s > 3600 || options->interval > 1 || options->margin > 1)
        return error_set(TFOPS_E_RANGE, "tune", "budget_s, interval, margin, watchdog_s",
            "0 or more; interval and margin at most 1, watchdog_s at most 3600", NULL);
    if (options->jobs > MAX_JOBS)
        return error_set(TFOPS_E_RANGE, "tune", "jobs", "at most 64", NULL);
    options->jobs = options->jobs ? options->jobs : cores();
    options->jobs = options->jobs > MAX_JOBS ? MAX_JOBS : options->jobs;
    options->interval = options->interval > 0 ? options->interval : 0.01;
    options->margin = options->margin > 0 ? options->margin : 0.01;
    options->watchdog_s = options->watchdog_s > 0 ? options->watchdog_s : 5;
    return TFOPS_OK;
}

static enum tfops_status check_device(const struct tune *tune)
{
    char reason[TFOPS_REASON_BYTES] = "";
    const struct tfops_device *device = tune->access.device;
    const struct tfops_spec *spec = tune->spec;
    if (!strcmp(device->arch, "cpu"))
        return error_setf(TFOPS_E_UNSUPPORTED, 0, "tune", "device cpu",
            "the cpu device has no variants to tune; without a GPU, fill a cache for an "
            "architecture with compile-only");
    if (spec->supports && !spec->supports(spec->user, device->arch, reason))
        return error_setf(TFOPS_E_UNSUPPORTED, 0, "tune", spec->name, "%s on %s: %s", spec->name,
            device->arch, reason);
    if (!tune->access.driver && !tune->options.compile_only && !tune->options.dry_run)
        return error_setf(TFOPS_E_UNSUPPORTED, 0, "tune", device->arch,
            "there is no GPU behind the device %s: only compile-only and dry runs work on it",
            device->arch);
    return TFOPS_OK;
}

static enum tfops_status check_plugins(const struct tune *tune)
{
    if (tune->access.n_plugins > MESSAGE_MAX_PLUGINS)
        return error_set(TFOPS_E_RANGE, "tune", "plug-ins", "at most 64", NULL);
    return TFOPS_OK;
}

static enum tfops_status accept(struct tune *tune, struct tfops_engine *engine,
    const struct tfops_problem *problem, const struct tfops_tune_options *options)
{
    if (!engine || !problem || !problem->spec)
        return error_set(TFOPS_E_ARGUMENT, "tune", engine ? "problem" : "engine", "not NULL", NULL);
    enum tfops_status status = copy_options(options, &tune->options);
    if (!status)
        status = check_options(&tune->options);
    if (!status)
        status = engine_access(engine, &tune->access);
    if (status)
        return status;
    tune->engine = engine;
    tune->env = tune->access.env;
    tune->problem = *problem;
    tune->spec = problem->spec;
    tune->winner = tune->runner_up = STATS_NONE;
    tune->confirm_seed = tune->options.seed ^ 0x636f6e6669726dull; /* "confirm": other inputs */
    status = tfops_problem_check(&tune->problem);
    if (!status)
        status = check_device(tune);
    if (!status)
        status = check_plugins(tune);
    if (status)
        return status;
    tune->extent = tune->problem.dims[key_dynamic_dim(tune->spec)];
    device_sku(tune->access.device, tune->sku);
    key_text(&tune->problem, tune->problem_text);
    if (tune->extent <= 0 && !tune->options.compile_only && !tune->options.dry_run)
        return error_set(TFOPS_E_RANGE, "tune", tune->spec->dims[key_dynamic_dim(tune->spec)].name,
            "an extent above 0 to measure", NULL);
    return strategy_find(tune->options.strategy, &tune->strategy);
}

/* ---- the candidates ---------------------------------------------------------------------- */

static void fill_candidate(struct tune *tune, uint32_t i, uint32_t config_index)
{
    struct candidate *candidate = &tune->candidates.list[i];
    candidate->config = tune->space.configs[config_index];
    candidate->geometry = tune->space.geometries[config_index];
    candidate->is_default = config_index == 0;
    tfops_config_format(tune->spec, &candidate->config, candidate->text, sizeof candidate->text);
}

/* Candidates of the chosen configs stand in canonical order, where ties are decided; tune->order
 * says when each is tried. `place` is scratch: the candidate of a config, plus 1. */
static enum tfops_status fill_chosen(
    struct tune *tune, const uint32_t *configs, uint32_t n, uint32_t *place)
{
    uint32_t at = 0;
    enum tfops_status status = candidates_new(tune->env, n, &tune->candidates);
    tune->order = status ? NULL : mem_new(tune->env, n, sizeof *tune->order);
    if (!tune->order)
        return TFOPS_E_MEMORY;
    for (uint32_t i = 0; i < n; i++)
        place[configs[i]] = 1;
    for (uint32_t i = 0; i < tune->space.n; i++) {
        if (!place[i])
            continue;
        fill_candidate(tune, at, i);
        place[i] = ++at;
    }
    for (uint32_t i = 0; i < n; i++)
        tune->order[i] = place[configs[i]] - 1;
    return TFOPS_OK;
}

/* Strategies choose among ranks, from the default outwards. */
static enum tfops_status fill_from_strategy(struct tune *tune)
{
    const struct strategy_options options = {
        .n = tune->space.n, .max_configs = tune->options.max_configs, .seed = tune->options.seed};
    uint32_t *ranked = mem_new(tune->env, tune->space.n, sizeof *ranked);
    uint32_t *chosen = mem_new(tune->env, tune->space.n, sizeof *chosen);
    uint32_t *place = mem_new(tune->env, tune->space.n, sizeof *place);
    enum tfops_status status = TFOPS_E_MEMORY;
    if (ranked && chosen && place)
        status = space_rank(tune->env, tune->spec, &tune->space, ranked);
    if (!status) {
        uint32_t n = tune->strategy->order(&options, chosen);
        for (uint32_t i = 0; i < n; i++)
            chosen[i] = ranked[chosen[i]];
        status = fill_chosen(tune, chosen, n, place);
    }
    mem_free(tune->env, ranked);
    mem_free(tune->env, chosen);
    mem_free(tune->env, place);
    return status;
}

/* The default and the one config that was asked for. */
static enum tfops_status fill_only(struct tune *tune)
{
    const struct tfops_config *only = tune->options.only;
    char reason[TFOPS_REASON_BYTES], text[512];
    if (!space_allows(&tune->problem, tune->access.device, only, reason)) {
        tfops_config_format(tune->spec, only, text, sizeof text);
        return error_setf(TFOPS_E_RANGE, 0, "tune", text, "%s is not in the space of %s: %s", text,
            tune->spec->name, reason);
    }
    bool is_default = space_config_equal(tune->spec, only, &tune->space.configs[0]);
    enum tfops_status status = candidates_new(tune->env, is_default ? 1 : 2, &tune->candidates);
    if (status)
        return status;
    tune->order = mem_new(tune->env, 2, sizeof *tune->order);
    if (!tune->order)
        return TFOPS_E_MEMORY;
    tune->order[1] = 1;
    fill_candidate(tune, 0, 0);
    if (is_default)
        return TFOPS_OK;
    struct candidate *candidate = &tune->candidates.list[1];
    candidate->config = *only;
    tune->spec->geometry(
        tune->spec->user, &tune->problem, tune->access.device, only, &candidate->geometry);
    tfops_config_format(tune->spec, only, candidate->text, sizeof candidate->text);
    return TFOPS_OK;
}

static void report_pruned(struct tune *tune)
{
    for (uint32_t i = 0; tune->options.candidate && i < tune->space.n_pruned_kept; i++) {
        const struct space_pruned *pruned = &tune->space.pruned[i];
        char text[512];
        tfops_config_format(tune->spec, &pruned->config, text, sizeof text);
        const struct tfops_candidate public = {.size = sizeof public,
            .config = pruned->config,
            .config_text = text,
            .verdict = TFOPS_VERDICT_PRUNED,
            .error = NAN,
            .text = pruned->text};
        tune->options.candidate(tune->options.user, &public);
    }
}

static enum tfops_status choose_candidates(struct tune *tune)
{
    enum tfops_status status =
        space_build(tune->env, &tune->problem, tune->access.device, &tune->space);
    if (status)
        return status;
    if (tune->options.only)
        return fill_only(tune);
    report_pruned(tune);
    return fill_from_strategy(tune);
}

static void list_space(struct tune *tune)
{
    for (uint32_t i = 0; i < tune->candidates.n; i++) {
        candidate_judge(&tune->candidates.list[i], TFOPS_VERDICT_LISTED, "%s", "");
        tune_report(tune, &tune->candidates.list[i]);
    }
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
    compile_generic(tune);
    enum tfops_status status = open_pool(tune);
    if (!status)
        status = sweep_run(tune);
    if (!status && !tune_should_stop(tune))
        compile_defaults(tune);
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

/* A cancelled run keeps its samples for a resume, and a record where there is enough for one. */
static enum tfops_status cancelled(struct tune *tune, struct tfops_tune_result *result)
{
    enum tfops_status status = TFOPS_OK;
    if (!tune->winner_samples.n) /* else the race was decided, only its confirmation is missing */
        status = race_decide_early(tune);
    if (!status && tune->winner != STATS_NONE)
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
    status = choose_candidates(tune);
    if (status)
        return status;
    if (options->dry_run)
        list_space(tune);
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
    enum tfops_status status = accept(&tune, engine, problem, options);
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
