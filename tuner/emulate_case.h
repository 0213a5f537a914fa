/*
 * One case of an emulated check: operands in host memory made from the spec's tables, what the CPU
 * reference says of them, and the judgement of what a kernel left. Second stage of an emulated
 * check; knows nothing of how kernels are run.
 */
#ifndef TFOPS_TUNER_EMULATE_CASE_H
#define TFOPS_TUNER_EMULATE_CASE_H

#include "buffers.h"

enum emulate_kind {
    EMULATE_PLAIN = 0, /* random values */
    EMULATE_SPECIAL,   /* zeros, a subnormal, large ones, NaN, Inf, a row of zeros; padded rows */
    EMULATE_ALIAS,     /* in place: each output that may be an input is that input */
    EMULATE_KINDS
};
/* "special values and padded rows" */
const char *emulate_kind_name(enum emulate_kind kind);

struct emulate_case {
    const struct env *env;
    enum emulate_kind kind;
    struct tfops_problem problem;
    struct buffers_layout layout;
    unsigned char *memory;
    unsigned char *init;             /* before a launch */
    unsigned char *gold;             /* after the reference */
    unsigned char *live;             /* what a kernel runs on */
    int8_t onto[TFOPS_MAX_OPERANDS]; /* the operand it lies on, −1: its own place */
    double scalars[TFOPS_MAX_SCALARS];
};

struct emulate_verdict {
    bool wrong;
    double error;   /* ‖out − ref‖ / ‖ref‖, the worst operand's */
    char text[512]; /* the first element beyond its bound, how many are, the worst one */
};

/* A case with the problem's extents. Runs the reference. */
enum tfops_status emulate_case_make(const struct env *env, const struct tfops_problem *problem,
    enum emulate_kind kind, uint64_t seed, struct emulate_case *ret_case);
/* A case around operands that stand in `live`, by buffers_layout(): nothing is reset or judged. */
enum tfops_status emulate_case_around(const struct env *env, const struct tfops_problem *problem,
    const double *scalars, void *live, struct emulate_case *ret_case);
void emulate_case_release(struct emulate_case *ecase);

/* Whether any output may be an input. */
bool emulate_case_can_alias(const struct tfops_problem *problem);

/* The live operands as they were before any launch. */
void emulate_case_reset(struct emulate_case *ecase);
void emulate_case_views(const struct emulate_case *ecase, unsigned char *arena,
    struct tfops_view ret_views[TFOPS_MAX_OPERANDS]);
/* Live against gold: outputs by the spec's tolerance, everything else bit by bit. */
void emulate_case_judge(const struct emulate_case *ecase, struct emulate_verdict *ret_verdict);

#endif
