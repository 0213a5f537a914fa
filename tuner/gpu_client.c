/*
 * The parent's handle on the session in the GPU worker (see tune.h): opens it when a request needs
 * it, again after the worker died, and turns answers into verdicts.
 */
#include "base/error.h"
#include "base/log.h"
#include "tune.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { OPEN_TIMEOUT_MS = 120000, MAX_FAILED_OPENS = 3 };

void gpu_client_init(struct tune *tune, uint32_t worker, const uint8_t uuid[16])
{
    struct gpu_client *gpu = &tune->gpu;
    *gpu = (struct gpu_client){.worker = worker};
    memcpy(gpu->open.uuid, uuid, sizeof gpu->open.uuid);
    gpu->open.ordinal = (uint32_t)tune->access.ordinal;
    gpu->open.op = tune->spec->name;
    gpu->open.spec_version = tune->spec->version;
    gpu->open.problem = tune->problem;
    gpu->open.seed = tune->options.seed;
}

void gpu_client_release(struct tune *tune)
{
    struct open_message *open = &tune->gpu.open;
    binary_release(tune->env, &open->reference);
    binary_release(tune->env, &open->fill);
    binary_release(tune->env, &open->compare);
    binary_release(tune->env, &open->copy);
}

enum tfops_status gpu_client_prepare(struct tune *tune)
{
    struct open_message *open = &tune->gpu.open;
    enum tfops_status status =
        engine_reference_binary(tune->engine, &tune->problem, &open->reference);
    if (!status)
        status = engine_support_binary(tune->engine, SUPPORT_FILL, &open->fill);
    if (!status)
        status = engine_support_binary(tune->engine, SUPPORT_COMPARE, &open->compare);
    if (!status)
        status = engine_support_binary(tune->engine, SUPPORT_COPY, &open->copy);
    tune->gpu.has_binaries = !status;
    return status;
}

static uint32_t watchdog_ms(const struct tune *tune)
{
    return (uint32_t)(tune->options.watchdog_s * 1000);
}

static enum tfops_status send(struct tune *tune, struct wire_writer *writer, uint32_t timeout_ms)
{
    enum tfops_status status = wire_end(writer);
    return status ? status : worker_pool_send(tune->pool, tune->gpu.worker, writer, timeout_ms);
}

enum tfops_status gpu_client_send_warm(struct tune *tune)
{
    struct wire_writer writer;
    wire_writer_init(&writer, tune->env);
    wire_begin(&writer, WIRE_WARM, tune_tag(TAG_WARM, 0));
    wire_put_u32(&writer, tune->gpu.open.ordinal);
    enum tfops_status status = send(tune, &writer, OPEN_TIMEOUT_MS);
    wire_writer_release(&writer);
    return status;
}

bool gpu_client_is_open(const struct tune *tune)
{
    return tune->gpu.sent && tune->gpu.life == worker_pool_life(tune->pool, tune->gpu.worker);
}

enum tfops_status gpu_client_send_open(struct tune *tune)
{
    struct gpu_client *gpu = &tune->gpu;
    struct wire_writer writer;
    if (gpu_client_is_open(tune))
        return TFOPS_OK;
    if (gpu->failed_opens >= MAX_FAILED_OPENS)
        return error_setf(TFOPS_E_WORKER, 0, "tune", tune->spec->name,
            "the GPU worker ended %u times while it opened its session", gpu->failed_opens);
    wire_writer_init(&writer, tune->env);
    wire_begin(&writer, WIRE_OPEN, tune_tag(TAG_OPEN, (gpu->generation + 1) & TAG_INDEX_MASK));
    put_open(&writer, &gpu->open);
    enum tfops_status status = send(tune, &writer, OPEN_TIMEOUT_MS);
    wire_writer_release(&writer);
    if (status)
        return status;
    gpu->sent = true;
    gpu->life = worker_pool_life(tune->pool, gpu->worker);
    gpu->generation++;
    gpu->failed_opens++; /* until it is answered */
    return TFOPS_OK;
}

void gpu_client_lost(struct tune *tune)
{
    tune->gpu.sent = false;
}

void gpu_client_reopen(struct tune *tune, uint64_t seed, uint32_t place)
{
    tune->gpu.open.seed = seed;
    tune->gpu.open.place = place;
    tune->gpu.sent = false; /* OPEN closes what is open */
}

enum tfops_status gpu_client_take_opened(struct tune *tune, const struct worker_event *event)
{
    if (tune_tag_index(event->tag) != (tune->gpu.generation & TAG_INDEX_MASK))
        return TFOPS_OK; /* of a worker that is gone */
    if (event->kind != WORKER_ANSWER) {
        log_line(tune->env, TFOPS_LOG_WARN, "tune: the GPU worker ended while it opened: %s",
            event->text);
        gpu_client_lost(tune);
        return TFOPS_OK; /* the next request tries again, up to a limit */
    }
    if (event->answer.status)
        return error_setf(event->answer.status, event->answer.native, "tune", tune->spec->name,
            "%s", event->answer.message);
    tune->gpu.failed_opens = 0;
    return TFOPS_OK;
}

/* ---- adding ------------------------------------------------------------------------------ */

enum tfops_status gpu_client_send_add(
    struct tune *tune, uint32_t index, bool verify, const struct measure_options *measure)
{
    struct candidate *candidate = &tune->candidates.list[index];
    struct add_message add = {.config = candidate->config,
        .binary = candidate->binary,
        .verify = verify,
        .measure = *measure};
    struct wire_writer writer;
    enum tfops_status status = gpu_client_send_open(tune);
    if (status)
        return status;
    wire_writer_init(&writer, tune->env);
    wire_begin(&writer, WIRE_ADD, tune_tag(TAG_ADD, index));
    put_add(&writer, &add, tune->spec->n_tunables);
    status = send(tune, &writer, watchdog_ms(tune));
    wire_writer_release(&writer);
    if (status)
        return status;
    candidate->generation = tune->gpu.generation;
    candidate->state = CANDIDATE_ON_GPU;
    return TFOPS_OK;
}

/* Fire and forget: a worker that cannot drop says so nowhere that matters. */
void gpu_client_send_drop(struct tune *tune, struct candidate *candidate)
{
    struct wire_writer writer;
    if (!gpu_client_is_open(tune) || candidate->generation != tune->gpu.generation)
        return;
    candidate->generation = 0;
    wire_writer_init(&writer, tune->env);
    wire_begin(&writer, WIRE_DROP, tune_tag(TAG_DROP, 0));
    wire_put_u32(&writer, candidate->id);
    send(tune, &writer, watchdog_ms(tune));
    wire_writer_release(&writer);
}

static void judge_answer(struct candidate *candidate, const struct wire_answer *answer)
{
    candidate_judge(
        candidate, answer->last ? TFOPS_VERDICT_FAULT : TFOPS_VERDICT_ERROR, "%s", answer->message);
}

enum tfops_status gpu_client_take_added(
    struct tune *tune, struct candidate *candidate, struct worker_event *event)
{
    struct added_message added;
    if (event->kind == WORKER_HUNG)
        candidate_judge(candidate, TFOPS_VERDICT_HANG, "no answer within %g s: %s",
            tune->options.watchdog_s, event->text);
    else if (event->kind == WORKER_DIED)
        candidate_judge(candidate, TFOPS_VERDICT_ERROR, "the worker ended: %s", event->text);
    else if (event->answer.status)
        judge_answer(candidate, &event->answer);
    if (worker_is_gone(event))
        gpu_client_lost(tune);
    if (candidate->state == CANDIDATE_DONE)
        return TFOPS_OK;
    enum tfops_status status = get_added(tune->env, &event->payload, &added);
    sample_set_release(tune->env, &candidate->samples);
    candidate->samples = added.samples;
    if (status == TFOPS_E_MEMORY)
        return status;
    if (status) {
        candidate_judge(candidate, TFOPS_VERDICT_ERROR, "the worker answered garbage");
        return TFOPS_OK;
    }
    candidate->id = added.id;
    candidate->blocks_per_sm = added.blocks_per_sm;
    candidate->error = added.report.relative;
    candidate->verified = !added.wrong;
    if (added.wrong)
        candidate_judge(candidate, TFOPS_VERDICT_WRONG, "%s", added.report.first_wrong);
    else
        candidate_judge(
            candidate, TFOPS_VERDICT_OK, "%s", candidate->has_resume ? CANDIDATE_RESUMED : "");
    return TFOPS_OK;
}

/* ---- calls of the race: one request, then its event -------------------------------------- */

static enum tfops_status await(struct tune *tune, uint32_t tag, struct worker_event *ret_event)
{
    for (;;) {
        enum tfops_status status = worker_pool_wait(tune->pool, 100, ret_event);
        if (status)
            return status;
        if (tune_should_stop(tune) == TUNE_CANCELLED)
            return error_set(TFOPS_E_CANCELLED, "tune", tune->spec->name, NULL, NULL);
        if (ret_event->kind == WORKER_NONE || ret_event->worker != tune->gpu.worker)
            continue;
        if (tune_tag_kind(ret_event->tag) == TAG_OPEN)
            status = gpu_client_take_opened(tune, ret_event);
        else if (worker_is_gone(ret_event))
            gpu_client_lost(tune);
        if (status)
            return status;
        if (ret_event->tag == tag)
            return TFOPS_OK;
    }
}

enum tfops_status gpu_client_add(struct tune *tune, uint32_t index, bool verify)
{
    struct candidate *candidate = &tune->candidates.list[index];
    struct worker_event event;
    double error = candidate->error;
    do {
        enum tfops_status status =
            gpu_client_send_add(tune, index, verify, &(struct measure_options){0});
        if (!status)
            status = await(tune, tune_tag(TAG_ADD, index), &event);
        if (status) {
            candidate->state = CANDIDATE_DONE;
            return status;
        }
    } while (event.kind == WORKER_LOST);
    enum tfops_status status = gpu_client_take_added(tune, candidate, &event);
    if (!verify)
        candidate->error = error;
    return status;
}

static enum tfops_status call(struct tune *tune, struct wire_writer *writer, uint32_t timeout_ms,
    struct worker_event *ret_event)
{
    enum tfops_status status = send(tune, writer, timeout_ms);
    return status ? status : await(tune, tune_tag(TAG_CALL, 0), ret_event);
}

/* Appends one set per index from an answer to MEASURE. */
static enum tfops_status take_measured(
    struct tune *tune, const uint32_t *indices, uint32_t n, struct worker_event *event)
{
    struct nvml_sample clocks;
    if (wire_get_count(&event->payload, 4) != n)
        return error_set(TFOPS_E_WORKER, "worker", "samples", "a set per candidate", NULL);
    for (uint32_t i = 0; i < n; i++) {
        enum tfops_status status =
            get_samples(tune->env, &event->payload, &tune->candidates.list[indices[i]].samples);
        if (status)
            return status;
    }
    if (get_clocks(&event->payload, &clocks) && clocks.sm_clock_mhz)
        tune->clocks = clocks;
    return TFOPS_OK;
}

static bool is_lost(const struct worker_event *event, char *ret_why, size_t bytes)
{
    bool answered = event->kind == WORKER_ANSWER;
    if (answered && !event->answer.status)
        return false;
    snprintf(ret_why, bytes, "%s", answered ? event->answer.message : event->text);
    return true;
}

enum tfops_status gpu_client_measure(struct tune *tune, const uint32_t *indices, uint32_t n,
    const struct measure_options *options, bool *ret_lost, char *ret_why, size_t why_bytes)
{
    struct wire_writer writer;
    struct worker_event event;
    wire_writer_init(&writer, tune->env);
    wire_begin(&writer, WIRE_MEASURE, tune_tag(TAG_CALL, 0));
    wire_put_u32(&writer, n);
    for (uint32_t i = 0; i < n; i++)
        wire_put_u32(&writer, tune->candidates.list[indices[i]].id);
    put_measure_options(&writer, options);
    enum tfops_status status = call(tune, &writer, watchdog_ms(tune) * n, &event);
    wire_writer_release(&writer);
    if (status)
        return status;
    *ret_lost = is_lost(&event, ret_why, why_bytes);
    return *ret_lost ? TFOPS_OK : take_measured(tune, indices, n, &event);
}

/* The better of the copy kernel and the driver's copy. */
static double roof_of(struct tune *tune, struct worker_event *event)
{
    double best = 0;
    if (wire_get_count(&event->payload, 4) != 3)
        return 0;
    for (int i = 0; i < 3; i++) {
        struct sample_set set = {0};
        struct estimate estimate;
        if (!get_samples(tune->env, &event->payload, &set) && i > 0 && set.n &&
            !stats_estimate(tune->env, &set, &estimate) && (!(best > 0) || estimate.median < best))
            best = estimate.median;
        sample_set_release(tune->env, &set);
    }
    return best;
}

enum tfops_status gpu_client_roof(
    struct tune *tune, uint32_t index, const struct measure_options *options, double *ret_roof_ns)
{
    struct wire_writer writer;
    struct worker_event event;
    char why[192];
    wire_writer_init(&writer, tune->env);
    wire_begin(&writer, WIRE_ROOF, tune_tag(TAG_CALL, 0));
    wire_put_u32(&writer, tune->candidates.list[index].id);
    put_measure_options(&writer, options);
    enum tfops_status status = call(tune, &writer, 3 * watchdog_ms(tune), &event);
    wire_writer_release(&writer);
    if (status)
        return status;
    if (is_lost(&event, why, sizeof why))
        log_line(tune->env, TFOPS_LOG_WARN, "tune: the copy roof was not measured: %s", why);
    else
        *ret_roof_ns = roof_of(tune, &event);
    return TFOPS_OK;
}
