/*
 * The sweep's first half: every candidate is rendered, found in the cache, left to the process that has
 * claimed it, or compiled by the pool and stored.
 */
#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"
#include "build.h"
#include "engine_state.h"
#include "sweep_state.h"
#include <string.h>

enum {
    COMPILE_QUEUE = 2, /* per worker: the next source is there when one is done */
    COMPILE_TIMEOUT_MS = 120000,
    ELSEWHERE_PATIENCE_MS = 15000, /* then compile without the claim */
};

void sweep_release_claim(struct sweep *sweep, struct candidate *candidate)
{
    if (candidate->claim.fd >= 0)
        overlay_claim_release(sweep->tune->access.overlay, &candidate->claim);
    candidate->claim.fd = -1;
}

/* A candidate without a binary worth storing. */
static enum tfops_status abandon(struct sweep *sweep, struct candidate *candidate)
{
    sweep_release_claim(sweep, candidate);
    candidate_drop_job(sweep->tune->env, candidate);
    return sweep_settle(sweep, candidate);
}

static enum tfops_status send_compile(struct sweep *sweep, uint32_t index)
{
    struct tune *tune = sweep->tune;
    struct candidate *candidate = sweep_candidate(sweep, index);
    struct wire_writer writer;
    uint32_t worker = 0;
    for (uint32_t i = 1; i < tune->gpu.worker; i++)
        if (worker_pool_pending(tune->pool, i) < worker_pool_pending(tune->pool, worker))
            worker = i;
    wire_writer_init(&writer, tune->env);
    wire_begin(&writer, WIRE_COMPILE, tune_tag(TAG_COMPILE, index));
    put_build_job(&writer, &candidate->job, tune->options.dump_dir != NULL);
    enum tfops_status status = wire_end(&writer);
    if (!status)
        status = worker_pool_send(tune->pool, worker, &writer, COMPILE_TIMEOUT_MS);
    wire_writer_release(&writer);
    if (status)
        return status;
    candidate->state = CANDIDATE_COMPILING;
    sweep->compiling++;
    return TFOPS_OK;
}

/* The candidate has its binary: on to the GPU, or done in a compile-only run. */
static enum tfops_status has_binary(struct sweep *sweep, uint32_t index)
{
    struct tune *tune = sweep->tune;
    struct candidate *candidate = sweep_candidate(sweep, index);
    candidate->has_binary = true;
    candidate->blocks_per_sm = candidate_static_occupancy(&candidate->binary, tune->access.device);
    candidate_drop_job(tune->env, candidate);
    /* A default that spills serves where nothing was tuned: it is measured like any other. */
    if (candidate->binary.spill_bytes && (!candidate->is_default || tune->options.compile_only)) {
        candidate_judge(
            candidate, TFOPS_VERDICT_SPILLS, "%u bytes of spills", candidate->binary.spill_bytes);
        return sweep_settle(sweep, candidate);
    }
    if (tune->options.compile_only) {
        candidate_judge(candidate, TFOPS_VERDICT_COMPILED, "%s", "");
        return sweep_settle(sweep, candidate);
    }
    if (candidate->samples.n) {
        candidate->verified = true;
        candidate_judge(candidate, TFOPS_VERDICT_OK, CANDIDATE_RESUMED);
        enum tfops_status status = sweep_settle(sweep, candidate);
        if (!status)
            sweep_look(sweep, candidate);
        return status;
    }
    candidate->state = CANDIDATE_READY;
    sweep->ready[(sweep->ready_first + sweep->ready_n++) % tune->candidates.n] = index;
    return TFOPS_OK;
}

static bool find_in_cache(struct sweep *sweep, struct candidate *candidate)
{
    struct tune *tune = sweep->tune;
    bool found = false;
    struct binary binary;
    if (tune->options.dump_dir) /* a dump wants source, PTX and log: compile again */
        return false;
    if (overlay_find_build(tune->access.overlay, candidate->job.build_key, &found, &binary))
        log_line(tune->env, TFOPS_LOG_WARN, "tune: cache: %s", error_message());
    if (!found)
        return false;
    if (memcmp(binary.abi, candidate->job.abi, sizeof binary.abi) ||
        binary.param_bytes != candidate->job.param_bytes) {
        binary_release(tune->env, &binary);
        return false;
    }
    candidate->binary = binary;
    candidate->cached = true;
    return true;
}

/* Why there is no NVRTC is known since it was tried. */
static enum tfops_status no_default(struct tune *tune)
{
    const struct nvrtc *nvrtc;
    engine_nvrtc(tune->engine, &nvrtc);
    return error_setf(TFOPS_E_NVRTC, 0, "tune", tune->spec->name,
        "the default config is in no cache, and cannot be compiled: %s", error_message());
}

/* Looks the candidate up, claims it, or leaves it to the process that has claimed it. */
static enum tfops_status find_or_compile(struct sweep *sweep, uint32_t index)
{
    struct tune *tune = sweep->tune;
    struct candidate *candidate = sweep_candidate(sweep, index);
    if (find_in_cache(sweep, candidate))
        return has_binary(sweep, index);
    if (!tune->access.nvrtc_version) {
        if (candidate->is_default)
            return no_default(tune);
        candidate_judge(candidate, TFOPS_VERDICT_COMPILE_FAILED, "no NVRTC, and not in the cache");
        return abandon(sweep, candidate);
    }
    bool claimed = true;
    struct overlay_claim claim = {.fd = -1};
    if (overlay_claim(tune->access.overlay, candidate->job.build_key, 0, &claimed, &claim)) {
        log_line(tune->env, TFOPS_LOG_WARN, "tune: claim: %s; compiling without", error_message());
        claimed = true;
        claim.fd = -1;
    }
    if (!claimed) {
        if (candidate->state != CANDIDATE_CLAIMED_ELSEWHERE)
            candidate->first_seen_ms = tune_now_ms();
        if (tune_now_ms() - candidate->first_seen_ms < ELSEWHERE_PATIENCE_MS) {
            candidate->state = CANDIDATE_CLAIMED_ELSEWHERE;
            return TFOPS_OK;
        }
    }
    candidate->claim = claim;
    if (claimed && find_in_cache(sweep, candidate)) { /* stored between look-up and claim */
        sweep_release_claim(sweep, candidate);
        return has_binary(sweep, index);
    }
    return send_compile(sweep, index);
}

static enum tfops_status begin(struct sweep *sweep, uint32_t index)
{
    struct tune *tune = sweep->tune;
    struct candidate *candidate = sweep_candidate(sweep, index);
    enum tfops_status status = render_job(tune->env, &tune->problem, tune->access.device,
        &candidate->config, RENDER_TUNED, tune->access.nvrtc_version, &candidate->job);
    if (status == TFOPS_E_MEMORY)
        return status;
    if (status) {
        memset(&candidate->job, 0, sizeof candidate->job);
        candidate_judge(candidate, TFOPS_VERDICT_ERROR, "%s", error_message());
        return sweep_settle(sweep, candidate);
    }
    memcpy(candidate->build_key, candidate->job.build_key, sizeof candidate->build_key);
    if (candidate->has_resume &&
        memcmp(candidate->resume_key, candidate->job.build_key, sizeof candidate->resume_key)) {
        candidate->has_resume = false; /* the template changed since */
        sample_set_release(tune->env, &candidate->samples);
    }
    if (candidate->has_resume && candidate->resume_verdict != TFOPS_VERDICT_OK) {
        candidate_judge(candidate, candidate->resume_verdict, CANDIDATE_RESUMED);
        return abandon(sweep, candidate);
    }
    return find_or_compile(sweep, index);
}

static uint32_t compile_room(const struct sweep *sweep)
{
    uint32_t room = sweep->tune->gpu.worker * COMPILE_QUEUE;
    return sweep->compiling < room ? room - sweep->compiling : 0;
}

/* Candidates claimed by others are looked at again now and then. */
static enum tfops_status retry_elsewhere(struct sweep *sweep)
{
    if (!sweep->elsewhere || tune_now_ms() < sweep->retry_ms)
        return TFOPS_OK;
    sweep->retry_ms = tune_now_ms() + ELSEWHERE_RETRY_MS;
    sweep->elsewhere = 0;
    for (uint32_t at = 0; at < sweep->next; at++) {
        uint32_t i = sweep->tune->order[at];
        struct candidate *candidate = sweep_candidate(sweep, i);
        if (candidate->state != CANDIDATE_CLAIMED_ELSEWHERE)
            continue;
        enum tfops_status status = compile_room(sweep) ? find_or_compile(sweep, i) : TFOPS_OK;
        if (status)
            return status;
        sweep->elsewhere += candidate->state == CANDIDATE_CLAIMED_ELSEWHERE;
    }
    return TFOPS_OK;
}

enum tfops_status sweep_feed_compilers(struct sweep *sweep)
{
    enum tfops_status status = retry_elsewhere(sweep);
    while (!status && sweep->next < sweep->tune->candidates.n && compile_room(sweep)) {
        uint32_t index = sweep->tune->order[sweep->next++];
        status = begin(sweep, index);
        if (sweep_candidate(sweep, index)->state == CANDIDATE_CLAIMED_ELSEWHERE)
            sweep->elsewhere++;
    }
    return status;
}

/* The default is stored under the key for any NVRTC too: what an engine looks for when there is no
 * record. A cache that cannot be written costs nothing else, unless filling it is all the run does. */
static enum tfops_status store(struct sweep *sweep, struct candidate *candidate)
{
    struct tune *tune = sweep->tune;
    enum tfops_status status =
        candidate->is_default
            ? build_store(tune->engine, &tune->problem, &candidate->config, &candidate->binary)
            : overlay_put_binary(tune->access.overlay, &candidate->binary);
    if (!status || tune->options.compile_only)
        return status;
    if (!tune->store_failed)
        log_line(tune->env, TFOPS_LOG_WARN, "tune: binaries are not stored: %s", error_message());
    tune->store_failed = true;
    return TFOPS_OK;
}

static enum tfops_status take_image(
    struct sweep *sweep, struct candidate *candidate, const struct compiled *borrowed)
{
    struct tune *tune = sweep->tune;
    struct compiled compiled = *borrowed;
    compiled.image = mem_copy(tune->env, borrowed->image, borrowed->image_bytes);
    if (!compiled.image)
        return TFOPS_E_MEMORY;
    enum tfops_status status = compiled_to_binary(
        tune->env, &candidate->job, &compiled, tune->access.nvrtc_version, &candidate->binary);
    if (status)
        mem_free(tune->env, compiled.image);
    return status;
}

static enum tfops_status take_compiled(
    struct sweep *sweep, uint32_t index, struct worker_event *event)
{
    struct tune *tune = sweep->tune;
    struct candidate *candidate = sweep_candidate(sweep, index);
    struct compiled compiled = {0};
    enum tfops_status status = TFOPS_OK;
    bool has_body = event->kind == WORKER_ANSWER &&
                    (!event->answer.status || event->answer.status == TFOPS_E_COMPILE) &&
                    get_compiled(&event->payload, &compiled);
    if (has_body) {
        candidate->compile_ms = compiled.ms;
        if (tune->options.dump_dir)
            status = compile_dump(tune->options.dump_dir, &candidate->job, &compiled);
        if (status)
            return status;
    }
    if (event->kind != WORKER_ANSWER)
        candidate_judge(
            candidate, TFOPS_VERDICT_COMPILE_FAILED, "the compiler process ended: %s", event->text);
    else if (event->answer.status)
        candidate_judge(candidate, TFOPS_VERDICT_COMPILE_FAILED, "%s", event->answer.message);
    else if (!has_body || !compiled.image_bytes)
        candidate_judge(
            candidate, TFOPS_VERDICT_COMPILE_FAILED, "the compiler process answered garbage");
    if (candidate->state == CANDIDATE_DONE)
        return abandon(sweep, candidate);
    candidate->compiled = true;
    status = take_image(sweep, candidate, &compiled);
    if (status)
        return status;
    /* Spills are a column of the row; any other reason the cache would not know: not stored. */
    if (compiled.disqualified[0] && !compiled.spill_bytes) {
        candidate_judge(candidate, TFOPS_VERDICT_SPILLS, "%s", compiled.disqualified);
        return abandon(sweep, candidate);
    }
    status = store(sweep, candidate);
    sweep_release_claim(sweep, candidate);
    return status ? status : has_binary(sweep, index);
}

enum tfops_status sweep_take_compiled(struct sweep *sweep, struct worker_event *event)
{
    uint32_t index = tune_tag_index(event->tag);
    sweep->compiling--;
    return event->kind == WORKER_LOST ? send_compile(sweep, index)
                                      : take_compiled(sweep, index, event);
}
