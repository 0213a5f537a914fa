/* A plan's inside: the variants of one key, chosen by the dynamic extent. Immutable once made. */
#ifndef TFOPS_ENGINE_PLAN_STATE_H
#define TFOPS_ENGINE_PLAN_STATE_H

#include "key.h"
#include "launcher.h"
#include "match.h"
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

/* What a plain launch needs of it are its first three cache lines. */
struct plan_variant {
    _Alignas(PLAN_LINE_BYTES) int64_t last; /* greatest extent it serves */
    struct launcher launcher;
    enum plan_source source;
    int64_t measured; /* extent of its record; 0: none */
    char *config;
    uint32_t registers;
    uint8_t sha256[32];
};

/* A launch that hits reads from the start to `problem`, and of `match` what its operator has. */
struct tfops_plan {
    unsigned generation; /* the engine's */
    atomic_bool stale;   /* no longer the table's plan of this key: hints must not lead here */
    const struct tfops_spec *spec; /* the problem's */
    struct plan_variant *variants; /* ascending `last`; the last one is INT64_MAX */
    struct match match;
    struct tfops_problem problem;
    struct tfops_engine *engine;
    struct key key;
    uint64_t hash;
    int dynamic_dim;
    bool cold; /* made by a launch that missed: prepare resolves the key anew */
    size_t n_variants;
    struct env env; /* the engine's: a plan may outlive it */
    void *block;    /* the allocation this plan and its variants stand in */
    atomic_uint references;
};
_Static_assert(offsetof(struct tfops_plan, match.operands) == PLAN_LINE_BYTES,
    "the head of a plan is one line, its first four operands the next");

/* Resolution (plan.c). `cold`: nothing but generic and what is loaded already. No lock held. */
enum tfops_status plan_resolve(struct tfops_engine *engine, const struct tfops_problem *problem,
    const struct key *key, bool cold, struct tfops_plan **ret_plan);

static inline const struct plan_variant *plan_choose(const struct tfops_plan *plan, int64_t extent)
{
    const struct plan_variant *variant = plan->variants;
    while (variant->last < extent)
        variant++;
    return variant;
}

#endif
