/*
 * The sweep: every candidate gets its binary (sweep_compile.c) and is at once handed to the GPU worker
 * for verification and a first look, while others compile. Stage between strategy and race. In
 * compile-only runs the compile is all.
 */
#include "base/error.h"
#include "base/mem.h"
#include "sweep_state.h"

enum { FIRST_LOOK_SAMPLES = 8 }; /* enough for a 95% interval */
/* A candidate slower than this times the best is not looked at longer. */
#define FIRST_LOOK_GIVE_UP 1.5
/* Within this of the best at the first look: into the race. */
#define RACE_CUT 1.10

/* ---- verdicts ---------------------------------------------------------------------------- */

enum tfops_status sweep_settle(struct sweep *sweep, struct candidate *candidate)
{
    static const enum tfops_status DEFAULT_FAILED[TFOPS_VERDICT_COUNT] = {
        [TFOPS_VERDICT_COMPILE_FAILED] = TFOPS_E_COMPILE,
        [TFOPS_VERDICT_SPILLS] = TFOPS_E_COMPILE,
        [TFOPS_VERDICT_WRONG] = TFOPS_E_WRONG,
        [TFOPS_VERDICT_FAULT] = TFOPS_E_DRIVER,
        [TFOPS_VERDICT_HANG] = TFOPS_E_TIMEOUT,
        [TFOPS_VERDICT_ERROR] = TFOPS_E_WORKER,
    };
    struct tune *tune = sweep->tune;
    sweep->done++;
    job_samples_put(tune, candidate);
    bool may_race = candidate_is_measured(candidate);
    if (!may_race) {
        candidate_drop_binary(tune->env, candidate);
        tune_report(tune, candidate);
    }
    enum tfops_status failed = DEFAULT_FAILED[candidate->verdict];
    if (!candidate->is_default || !failed)
        return TFOPS_OK;
    return error_setf(failed, 0, "tune", candidate->text,
        "the default config of %s cannot be used: %s: %s (%s)", tune->spec->name,
        tfops_verdict_name(candidate->verdict), candidate->why, candidate->text);
}

void sweep_look(struct sweep *sweep, struct candidate *candidate)
{
    struct tune *tune = sweep->tune;
    struct estimate estimate;
    if (!candidate_is_measured(candidate) ||
        stats_estimate(tune->env, &candidate->samples, &estimate))
        return;
    if (!(tune->best_ns > 0) || estimate.median < tune->best_ns)
        tune->best_ns = estimate.median;
    if (candidate->is_default || estimate.median <= tune->best_ns * RACE_CUT)
        return;
    gpu_client_send_drop(tune, candidate);
    candidate_drop_binary(tune->env, candidate);
    tune_report(tune, candidate);
}

/* ---- the GPU ----------------------------------------------------------------------------- */

static enum tfops_status feed_gpu(struct sweep *sweep)
{
    struct tune *tune = sweep->tune;
    const struct measure_options first_look = {.interval = tune->options.interval,
        .min_samples = FIRST_LOOK_SAMPLES,
        .max_samples = FIRST_LOOK_SAMPLES,
        .give_up_ratio = FIRST_LOOK_GIVE_UP};
    while (sweep->ready_n && sweep->gpu_in_flight < GPU_QUEUE) {
        uint32_t index = sweep->ready[sweep->ready_first];
        enum tfops_status status = gpu_client_send_add(tune, index, true, &first_look);
        if (status)
            return status;
        sweep->ready_first = (sweep->ready_first + 1) % tune->candidates.n;
        sweep->ready_n--;
        sweep->gpu_in_flight++;
    }
    return TFOPS_OK;
}

static void requeue_first(struct sweep *sweep, uint32_t index)
{
    uint32_t n = sweep->tune->candidates.n;
    sweep->ready_first = (sweep->ready_first ? sweep->ready_first : n) - 1;
    sweep->ready[sweep->ready_first] = index;
    sweep->ready_n++;
    sweep_candidate(sweep, index)->state = CANDIDATE_READY;
}

static enum tfops_status gpu_event(struct sweep *sweep, struct worker_event *event)
{
    struct tune *tune = sweep->tune;
    if (tune_tag_kind(event->tag) == TAG_OPEN)
        return gpu_client_take_opened(tune, event);
    if (tune_tag_kind(event->tag) != TAG_ADD) {
        if (worker_is_gone(event))
            gpu_client_lost(tune);
        return TFOPS_OK;
    }
    uint32_t index = tune_tag_index(event->tag);
    sweep->gpu_in_flight--;
    if (event->kind == WORKER_LOST) {
        requeue_first(sweep, index);
        return TFOPS_OK;
    }
    struct candidate *candidate = sweep_candidate(sweep, index);
    enum tfops_status status = gpu_client_take_added(tune, candidate, event);
    if (status)
        return status;
    status = sweep_settle(sweep, candidate);
    if (!status)
        sweep_look(sweep, candidate);
    return status;
}

/* ---- the loop ---------------------------------------------------------------------------- */

static enum tfops_status take_event(struct sweep *sweep, struct worker_event *event)
{
    if (event->kind == WORKER_NONE)
        return TFOPS_OK;
    if (tune_tag_kind(event->tag) == TAG_COMPILE)
        return sweep_take_compiled(sweep, event);
    return gpu_event(sweep, event);
}

/* Waits for one event and handles it. */
static enum tfops_status step(struct sweep *sweep)
{
    struct worker_event event;
    uint32_t wait_ms = sweep->elsewhere ? ELSEWHERE_RETRY_MS : 50;
    enum tfops_status status = worker_pool_wait(sweep->tune->pool, wait_ms, &event);
    return status ? status : take_event(sweep, &event);
}

/* Once, after the first sources are with the compilers: they work while this process prepares what
 * the session needs and the GPU worker makes its context. */
static enum tfops_status open_gpu(struct sweep *sweep)
{
    struct tune *tune = sweep->tune;
    if (tune->gpu.has_binaries)
        return TFOPS_OK;
    enum tfops_status status = gpu_client_send_warm(tune);
    if (!status)
        status = gpu_client_prepare(tune);
    return status ? status : gpu_client_send_open(tune);
}

static void progress(struct sweep *sweep)
{
    enum tfops_tune_stage stage =
        sweep->tune->options.compile_only ? TFOPS_TUNE_COMPILE : TFOPS_TUNE_MEASURE;
    tune_progress(sweep->tune, stage, sweep->done, sweep->tune->candidates.n);
}

static enum tfops_status loop(struct sweep *sweep)
{
    struct tune *tune = sweep->tune;
    enum tfops_status status = TFOPS_OK;
    while (!status && sweep->done < tune->candidates.n && !tune_should_stop(tune)) {
        status = sweep_feed_compilers(sweep);
        if (!status && !tune->options.compile_only)
            status = open_gpu(sweep);
        if (!status)
            status = feed_gpu(sweep);
        if (!status && sweep->done < tune->candidates.n)
            status = step(sweep);
        progress(sweep);
    }
    while (!status && sweep->gpu_in_flight && tune_should_stop(tune) != TUNE_CANCELLED)
        status = step(sweep); /* out of budget: what runs is still of use */
    return status;
}

enum tfops_status sweep_run(struct tune *tune)
{
    struct sweep sweep = {.tune = tune};
    sweep.ready = mem_new(tune->env, tune->candidates.n, sizeof *sweep.ready);
    if (!sweep.ready)
        return TFOPS_E_MEMORY;
    enum tfops_status status = loop(&sweep);
    for (uint32_t i = 0; i < tune->candidates.n; i++)
        sweep_release_claim(&sweep, sweep_candidate(&sweep, i));
    for (uint32_t i = 0; i < tune->gpu.worker; i++)
        worker_pool_retire(tune->pool, i); /* compilers would only keep memory and cores busy */
    mem_free(tune->env, sweep.ready);
    return status;
}
