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

struct plan_variant {
    int64_t last; /* greatest extent it serves */
    struct launcher launcher;
    enum plan_source source;
    int64_t measured; /* extent of its record; 0: none */
    char *config;
    uint32_t registers;
    uint8_t sha256[32];
};

struct tfops_plan {
    atomic_uint references;
    struct env env; /* the engine's: a plan may outlive it */
    struct tfops_engine *engine;
    struct tfops_problem problem;
    int dynamic_dim;
    struct key key;
    uint64_t hash;
    bool cold; /* made by a launch that missed: prepare resolves the key anew */
    atomic_bool stale; /* no longer the table's plan of this key: hints must not lead here */
    struct match match;
    size_t n_variants;
    struct plan_variant *variants; /* ascending `last`; the last one is INT64_MAX */
};

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
