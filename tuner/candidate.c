/* Candidates (see candidate.h), and the names of verdicts. */
#include "candidate.h"
#include "base/mem.h"
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const char *const VERDICTS[TFOPS_VERDICT_COUNT] = {
    [TFOPS_VERDICT_OK] = "ok",
    [TFOPS_VERDICT_COMPILED] = "compiled",
    [TFOPS_VERDICT_PRUNED] = "pruned",
    [TFOPS_VERDICT_COMPILE_FAILED] = "compile failed",
    [TFOPS_VERDICT_SPILLS] = "spills",
    [TFOPS_VERDICT_WRONG] = "wrong",
    [TFOPS_VERDICT_FAULT] = "fault",
    [TFOPS_VERDICT_HANG] = "hang",
    [TFOPS_VERDICT_ERROR] = "error",
    [TFOPS_VERDICT_LISTED] = "listed",
};

const char *tfops_verdict_name(enum tfops_verdict verdict)
{
    return (unsigned)verdict < TFOPS_VERDICT_COUNT ? VERDICTS[verdict] : "?";
}

enum tfops_status candidates_new(
    const struct env *env, uint32_t n, struct candidates *ret_candidates)
{
    struct candidate *list = mem_new(env, n, sizeof *list);
    if (!list)
        return TFOPS_E_MEMORY;
    for (uint32_t i = 0; i < n; i++) {
        list[i].claim.fd = -1;
        list[i].error = NAN;
        list[i].verdict = TFOPS_VERDICT_PRUNED;
    }
    *ret_candidates = (struct candidates){.list = list, .n = n};
    return TFOPS_OK;
}

void candidate_drop_binary(const struct env *env, struct candidate *candidate)
{
    mem_free(env, candidate->binary.image);
    candidate->binary.image = NULL;
    candidate->binary.image_bytes = 0;
    candidate->has_binary = false;
}

void candidate_drop_job(const struct env *env, struct candidate *candidate)
{
    build_job_release(env, &candidate->job);
    memset(&candidate->job, 0, sizeof candidate->job);
}

void candidates_release(const struct env *env, struct candidates *candidates)
{
    for (uint32_t i = 0; i < candidates->n; i++) {
        struct candidate *candidate = &candidates->list[i];
        candidate_drop_job(env, candidate);
        binary_release(env, &candidate->binary);
        sample_set_release(env, &candidate->samples);
    }
    mem_free(env, candidates->list);
    *candidates = (struct candidates){0};
}

void candidate_judge(
    struct candidate *candidate, enum tfops_verdict verdict, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(candidate->why, sizeof candidate->why, format, arguments);
    va_end(arguments);
    candidate->verdict = verdict;
    candidate->state = CANDIDATE_DONE;
}

bool candidate_is_measured(const struct candidate *candidate)
{
    return candidate->state == CANDIDATE_DONE && candidate->verdict == TFOPS_VERDICT_OK &&
           candidate->samples.n > 0;
}

void candidate_public(
    const struct env *env, const struct candidate *candidate, struct tfops_candidate *ret_public)
{
    const struct binary *binary = &candidate->binary;
    struct estimate estimate = {0};
    *ret_public = (struct tfops_candidate){.size = sizeof *ret_public,
        .config = candidate->config,
        .config_text = candidate->text,
        .verdict = candidate->verdict,
        .is_default = candidate->is_default,
        .cached = candidate->cached,
        .registers = binary->registers,
        .spill_bytes = binary->spill_bytes,
        .smem_bytes = candidate->geometry.smem_bytes + binary->smem_static_bytes,
        .threads = candidate->geometry.threads,
        .cluster = candidate->geometry.cluster,
        .blocks_per_sm = candidate->blocks_per_sm,
        .compile_ms = candidate->compile_ms,
        .error = candidate->error,
        .samples = candidate->samples.n,
        .text = candidate->why};
    if (!candidate->samples.n || stats_estimate(env, &candidate->samples, &estimate))
        return;
    ret_public->median_ns = estimate.median;
    ret_public->low_ns = isnan(estimate.low) ? estimate.median : estimate.low;
    ret_public->high_ns = isnan(estimate.high) ? estimate.median : estimate.high;
}

static uint32_t at_most(uint32_t value, int64_t limit)
{
    return limit < value ? (uint32_t)(limit < 0 ? 0 : limit) : value;
}

uint32_t candidate_static_occupancy(const struct binary *binary, const struct tfops_device *device)
{
    enum { REGISTER_UNIT = 256, WARP = 32, SMEM_RESERVED = 1024 };
    if (!binary->threads || !device->max_threads_per_sm)
        return 0;
    uint32_t warps = (binary->threads + WARP - 1) / WARP;
    uint32_t per_warp =
        (binary->registers * WARP + REGISTER_UNIT - 1) / REGISTER_UNIT * REGISTER_UNIT;
    int64_t smem = (int64_t)binary->smem_bytes + binary->smem_static_bytes + SMEM_RESERVED;
    uint32_t blocks = (uint32_t)device->max_threads_per_sm / (warps * WARP);
    if (device->max_blocks_per_sm)
        blocks = at_most(blocks, device->max_blocks_per_sm);
    if (device->regs_per_sm && per_warp)
        blocks = at_most(blocks, device->regs_per_sm / ((int64_t)per_warp * warps));
    if (device->smem_per_sm_bytes)
        blocks = at_most(blocks, device->smem_per_sm_bytes / smem);
    return blocks;
}
