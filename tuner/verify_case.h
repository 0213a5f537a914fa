/*
 * One case of verification: an extent and a kind of input, with its own device memory and the
 * reference's results. Made once, used by every candidate.
 */
#ifndef TFOPS_TUNER_VERIFY_CASE_H
#define TFOPS_TUNER_VERIFY_CASE_H

#include "buffers.h"
#include "launcher.h"

enum verify_kind {
    VERIFY_PLAIN = 0, /* random values */
    VERIFY_SPECIAL,   /* zeros of both signs, a subnormal, large ones; rows of zeros, NaN and Inf;
                         rows padded, each operand's by another width */
    VERIFY_ALIAS,     /* in place: each output that may be an input is that input */
};

/* What is run: a candidate or the reference. */
struct verify_subject {
    const struct launcher *launcher;
    CUdeviceptr workspace; /* 0: none; BUFFERS_ZONE_BYTES of red zone on both sides */
    size_t workspace_bytes;
    uint32_t blocks_per_sm;
};

struct verify_case {
    enum verify_kind kind;
    int64_t extent;
    struct tfops_problem problem; /* with that extent */
    struct buffers_layout layout;
    CUdeviceptr memory; /* one allocation for the three arenas */
    CUdeviceptr init;   /* inputs before the launch; equals gold but for what is updated in place */
    CUdeviceptr gold;   /* inputs, and the reference's results */
    CUdeviceptr live;   /* what candidates run on; last, so that overruns leave the others alone */
    int8_t onto[TFOPS_MAX_OPERANDS]; /* VERIFY_ALIAS: the operand it lies on, −1: its own place */
};

/* Bytes of device memory a case of this extent takes; SIZE_MAX when that overflows. */
size_t verify_case_bytes(const struct tfops_problem *problem, int64_t extent);

enum tfops_status verify_case_make(const struct gpu *gpu, const struct tfops_problem *problem,
    enum verify_kind kind, int64_t extent, const struct verify_subject *reference, uint64_t seed,
    struct verify_case *ret_case);
void verify_case_release(const struct gpu *gpu, struct verify_case *vcase);

/* Whether any output of the problem may be one of its inputs. */
bool verify_case_can_alias(const struct tfops_problem *problem);

/* Poisons the live outputs, restores what launches change, and launches. `events`: two around the
 * launch, or NULL. */
enum tfops_status verify_case_run(const struct gpu *gpu, const struct verify_case *vcase,
    const struct verify_subject *subject, const CUevent *events);

/* Launches a subject on views. */
CUresult verify_launch(const struct gpu *gpu, const struct tfops_problem *problem,
    const struct verify_subject *subject, const struct tfops_view *views);

/* Defaults of the spec's scalars. */
void verify_scalars(const struct tfops_spec *spec, double ret_scalars[TFOPS_MAX_SCALARS]);

#endif
