/*
 * The state of one tuning run, shared by its stages: job.c (flow) calls job_request.c (what is asked)
 * → job_candidates.c (which configs) → sweep.c (compile, verify, first look) → race.c (interleaved
 * race, confirmation) → job_record.c (what is stored). One thread.
 */
#ifndef TFOPS_TUNER_TUNE_H
#define TFOPS_TUNER_TUNE_H

#include "base/json.h"
#include "candidate.h"
#include "device.h"
#include "engine_access.h"
#include "key.h"
#include "messages.h"
#include "space.h"
#include "strategy.h"
#include "worker_pool.h"

/* The session in the GPU worker, as the parent knows it. */
struct gpu_client {
    uint32_t worker;
    struct open_message open;
    bool has_binaries;   /* of open */
    bool sent;           /* OPEN was sent to the worker that now runs */
    uint32_t life;       /* the process that got it: worker_pool_life() */
    uint32_t generation; /* counts OPENs: ids of another generation are void */
    uint32_t failed_opens;
    uint32_t in_flight; /* ADDs */
};

enum tune_stop { TUNE_GOES_ON = 0, TUNE_OUT_OF_BUDGET, TUNE_CANCELLED };

struct tune {
    struct tfops_engine *engine;
    struct engine_access access;
    const struct env *env;
    struct tfops_tune_options options; /* zeros replaced by their defaults */
    struct tfops_problem problem;
    const struct tfops_spec *spec;
    int64_t extent;
    char sku[DEVICE_SKU_BYTES], problem_text[KEY_TEXT_BYTES];
    const struct strategy *strategy;
    struct space space;
    struct candidates candidates; /* in canonical order */
    uint32_t *order;              /* their indices as the strategy wants them tried */
    uint32_t default_index;       /* in candidates: always 0 */
    struct worker_pool *pool;
    struct gpu_client gpu;
    int64_t start_ms, progress_ms;
    bool store_failed, samples_failed; /* said once */
    uint32_t compiled_beside;          /* by the engine, for hosts that never compile */
    double best_ns;                    /* of the first look */

    /* Result of the race and the confirmation. */
    uint32_t winner, runner_up; /* UINT32_MAX: none */
    bool confirmed, interrupted;
    struct sample_set winner_samples, default_samples; /* fresh, interleaved */
    struct estimate speedup;                           /* default over winner, paired */
    double roof_ns;
    struct nvml_sample clocks;
    uint64_t confirm_seed;
};

/* Tags: which kind of request, about which candidate. */
enum tune_tag { TAG_COMPILE = 1, TAG_WARM, TAG_OPEN, TAG_ADD, TAG_DROP, TAG_CALL };
#define TAG_INDEX_MASK 0xffffffu
static inline uint32_t tune_tag(enum tune_tag kind, uint32_t index)
{
    return (uint32_t)kind << 24 | index;
}
static inline enum tune_tag tune_tag_kind(uint32_t tag)
{
    return (enum tune_tag)(tag >> 24);
}
static inline uint32_t tune_tag_index(uint32_t tag)
{
    return tag & TAG_INDEX_MASK;
}

/* What stood behind the request that ended a worker is LOST: it comes after that one's event and
 * may come after the next worker was started. */
static inline bool worker_is_gone(const struct worker_event *event)
{
    return event->kind == WORKER_DIED || event->kind == WORKER_HUNG ||
           (event->kind == WORKER_ANSWER && event->answer.last);
}

int64_t tune_now_ms(void);
enum tune_stop tune_should_stop(const struct tune *tune);
void tune_progress(struct tune *tune, enum tfops_tune_stage stage, uint32_t done, uint32_t total);
/* Tells the caller of a candidate, once. */
void tune_report(struct tune *tune, struct candidate *candidate);
struct record_key tune_record_key(const struct tune *tune);

/* job_request.c: the caller's arguments into *tune. */
enum tfops_status job_accept(struct tune *tune, struct tfops_engine *engine,
    const struct tfops_problem *problem, const struct tfops_tune_options *options);

/* job_candidates.c: fills space, candidates and order, and reports what the space has pruned. */
enum tfops_status job_choose_candidates(struct tune *tune);
/* A dry run: each is reported as it stands. */
void job_list_candidates(struct tune *tune);

/* sweep.c: every candidate gets a verdict, unless the run stops before. */
enum tfops_status sweep_run(struct tune *tune);

/* race.c: fills the result. */
enum tfops_status race_run(struct tune *tune);
/* The same from what the sweep measured, without touching the GPU: after a cancel. */
enum tfops_status race_decide_early(struct tune *tune);

/* gpu_client.c */
enum { GPU_QUEUE = 2 }; /* one running, one behind it: the GPU worker never waits for the parent */
void gpu_client_init(struct tune *tune, uint32_t worker, const uint8_t uuid[16]);
void gpu_client_release(struct tune *tune);
/* Gets the binaries of reference and support kernels: may compile in this process. */
enum tfops_status gpu_client_prepare(struct tune *tune);
/* Starts the worker and has it make the device's context. */
enum tfops_status gpu_client_send_warm(struct tune *tune);
enum tfops_status gpu_client_send_open(struct tune *tune); /* nothing when it was sent */
enum tfops_status gpu_client_send_add(
    struct tune *tune, uint32_t index, bool verify, const struct measure_options *measure);
void gpu_client_send_drop(struct tune *tune, struct candidate *candidate);
/* Whether the session that was opened last is still the worker's. */
bool gpu_client_is_open(const struct tune *tune);
/* Forgets the session of a worker that ended. */
void gpu_client_lost(struct tune *tune);
/* Closes the session so that the next request opens one with other inputs, which lie elsewhere. */
void gpu_client_reopen(struct tune *tune, uint64_t seed, uint32_t place);
/* Sends and waits: for the race, when nothing else is in flight. `kind` of the event is
 * WORKER_ANSWER (with any status), DIED or HUNG. TFOPS_E_CANCELLED when the flag was seen. */
enum tfops_status gpu_client_add(struct tune *tune, uint32_t index, bool verify);
enum tfops_status gpu_client_measure(struct tune *tune, const uint32_t *indices, uint32_t n,
    const struct measure_options *options, bool *ret_lost, char *ret_why, size_t why_bytes);
enum tfops_status gpu_client_roof(
    struct tune *tune, uint32_t index, const struct measure_options *options, double *ret_roof_ns);
/* Verdict from the event of an ADD; takes the samples over. */
enum tfops_status gpu_client_take_added(
    struct tune *tune, struct candidate *candidate, struct worker_event *event);
/* Handles the answer to an OPEN. */
enum tfops_status gpu_client_take_opened(struct tune *tune, const struct worker_event *event);

/* job_record.c */
enum tfops_status job_record_find(
    const struct tune *tune, bool *ret_found, struct tfops_tune_result *ret_result);
enum tfops_status job_record_put(struct tune *tune, struct tfops_tune_result *result);
/* job_sweep.c: adds "sweep" to a record's provenance. */
void job_sweep_add(const struct tune *tune, json *root);
/* job_record.c: samples of unfinished runs. */
void job_samples_load(struct tune *tune);
void job_samples_put(struct tune *tune, const struct candidate *candidate);
void job_samples_drop(struct tune *tune);

#endif
