/*
 * The candidates of one tuning run: what is known of each config, from rendering to its samples,
 * and how that is told to the caller. Data of the tune flow; decides nothing.
 */
#ifndef TFOPS_TUNER_CANDIDATE_H
#define TFOPS_TUNER_CANDIDATE_H

#include "cache/binary_store.h"
#include "cache/overlay.h"
#include "compile.h"
#include "stats.h"
#include <tfops/tuner.h>

enum candidate_state {
    CANDIDATE_WAITING = 0,       /* not begun */
    CANDIDATE_CLAIMED_ELSEWHERE, /* another process compiles it: look again later */
    CANDIDATE_COMPILING,
    CANDIDATE_READY,  /* has a binary, not yet sent to the GPU worker */
    CANDIDATE_ON_GPU, /* sent */
    CANDIDATE_DONE,   /* verdict stands */
};

struct candidate {
    struct tfops_config config;
    struct tfops_geometry geometry;
    char text[512]; /* canonical config */
    enum candidate_state state;
    enum tfops_verdict verdict;
    bool is_default, cached, compiled, verified, reported;
    bool in_race; /* fast enough at the first look */
    bool beaten;  /* in a round of the race: its samples end there */
    bool has_binary;
    struct build_job job; /* rendered; source is dropped after the compile */
    struct overlay_claim claim;
    int64_t first_seen_ms; /* that another process compiles it */
    struct binary binary;
    double compile_ms, error;
    uint32_t blocks_per_sm, id; /* id in the GPU session of `generation` */
    uint32_t generation;
    struct sample_set samples; /* of the current stage */
    char why[256];
    bool has_resume; /* an interrupted run left samples or a verdict for this build key */
    enum tfops_verdict resume_verdict;
    uint8_t build_key[HASH_BYTES], resume_key[HASH_BYTES];
};

struct candidates {
    struct candidate *list;
    uint32_t n;
};

enum tfops_status candidates_new(
    const struct env *env, uint32_t n, struct candidates *ret_candidates);
void candidates_release(const struct env *env, struct candidates *candidates);
void candidate_drop_binary(const struct env *env, struct candidate *candidate);
void candidate_drop_job(const struct env *env, struct candidate *candidate);

/* Sets the verdict with a reason. */
void candidate_judge(struct candidate *candidate, enum tfops_verdict verdict, const char *format,
    ...) __attribute__((format(printf, 3, 4)));
/* Fills the public form; strings are the candidate's. */
void candidate_public(
    const struct env *env, const struct candidate *candidate, struct tfops_candidate *ret_public);

#define CANDIDATE_RESUMED "found by the run that this one resumes"
/* Whether it came through verification with samples. */
bool candidate_is_measured(const struct candidate *candidate);
/* Blocks per SM from the build's resources, for runs without a GPU (CUDA occupancy rules: registers
 * in units of 256 per warp, 1 KiB of shared memory reserved per block). 0: unknown. */
uint32_t candidate_static_occupancy(const struct binary *binary, const struct tfops_device *device);

#endif
