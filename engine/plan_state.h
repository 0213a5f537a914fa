/* A plan's inside: the variants of one key, chosen by the dynamic extent. Immutable once made. */
#ifndef TFOPS_ENGINE_PLAN_STATE_H
#define TFOPS_ENGINE_PLAN_STATE_H

#include "choice.h"
#include "key.h"
#include "launcher.h"
#include "match_wide.h"
#include <stdatomic.h>
#include <stdbool.h>
#include <tfops/plan.h>

enum plan_source {
    PLAN_RECORD,
    PLAN_NEAREST,
    PLAN_DEFAULT,
    PLAN_GENERIC,
    PLAN_REFERENCE,
};

enum { PLAN_LINE_BYTES = 64 };

/* What a plain launch needs of it is its first cache line. */
struct plan_variant {
    _Alignas(PLAN_LINE_BYTES) int64_t last; /* greatest extent it serves */
    struct launcher launcher;
    enum plan_source source;
    int64_t measured;               /* extent of its record; 0: none */
    struct choice_beside beside[2]; /* the records below and above that one */
    char *config;
    uint32_t registers;
    uint8_t sha256[32];
};
_Static_assert(offsetof(struct plan_variant, launcher.geometry) <= PLAN_LINE_BYTES,
    "what a plain launch reads of a variant is one line");

/* A launch that hits reads from the start to the end of the table's used rows: mostly five lines. */
struct tfops_plan {
    struct tfops_problem problem;
    unsigned generation; /* the engine's */
    atomic_bool stale;   /* no longer the table's plan of this key: hints must not lead here */
    struct match match;
    struct tfops_engine *engine;
    struct key key;
    uint64_t hash;
    int dynamic_dim;
    bool cold;           /* made by a launch that missed: prepare resolves the key anew */
    atomic_bool reached; /* operands of one launch were looked at: the device reads them */
    size_t n_variants;   /* behind the plan: plan_variants() */
    struct env env;      /* the engine's: a plan may outlive it */
    void *block;         /* the allocation this plan and its variants stand in */
    atomic_uint references;
    struct match_wide wide;
};
_Static_assert(offsetof(struct tfops_plan, match.table) <= 3 * PLAN_LINE_BYTES,
    "problem and head of a plan are three lines at most");

enum {
    PLAN_BYTES =
        (sizeof(struct tfops_plan) + PLAN_LINE_BYTES - 1) / PLAN_LINE_BYTES * PLAN_LINE_BYTES
};

/* Resolution (plan.c). `cold`: nothing but generic and what is loaded already. No lock held. */
enum tfops_status plan_resolve(struct tfops_engine *engine, const struct tfops_problem *problem,
    const struct key *key, bool cold, struct tfops_plan **ret_plan);

/* Ascending `last`; the last one's is INT64_MAX. */
static inline struct plan_variant *plan_variants(const struct tfops_plan *plan)
{
    return (struct plan_variant *)((uintptr_t)plan + PLAN_BYTES);
}

static inline const struct plan_variant *plan_choose(const struct tfops_plan *plan, int64_t extent)
{
    const struct plan_variant *variant = plan_variants(plan);
    while (variant->last < extent)
        variant++;
    return variant;
}

#endif
