/*
 * The space of a problem on a device: every config that the spec's constraint and the device's
 * resources allow, in canonical order (the default first, then by tunable values in table order,
 * the last tunable fastest). First stage of the tune flow after the job. Pure.
 */
#ifndef TFOPS_TUNER_SPACE_H
#define TFOPS_TUNER_SPACE_H

#include "base/env.h"
#include <stdbool.h>
#include <stdint.h>
#include <tfops/spec.h>

enum {
    SPACE_MAX_CONFIGS = 1 << 16, /* valid ones */
    SPACE_MAX_PRUNED_KEPT = 256, /* pruned ones kept with their reason; the rest is counted */
};
#define SPACE_MAX_VISITS (UINT64_C(1) << 26) /* combinations looked at */

enum space_prune {
    SPACE_THREADS = 0,
    SPACE_SMEM,
    SPACE_CLUSTER,
    SPACE_REGISTERS,
    SPACE_WORKSPACE, /* more than half of the device's memory */
    SPACE_PRUNE_COUNT
};
/* "threads", "shared memory", … */
const char *space_prune_name(enum space_prune why);

struct space_pruned {
    struct tfops_config config;
    enum space_prune why;
    char text[96];
};

struct space {
    struct tfops_config *configs; /* [0] is the default */
    struct tfops_geometry *geometries;
    uint32_t n, capacity;
    struct space_pruned *pruned;
    uint32_t n_pruned_kept, pruned_capacity;
    uint64_t visited, constrained; /* combinations; of these, refused by the spec's constraint */
    uint64_t counts[SPACE_PRUNE_COUNT]; /* pruned by resources */
};

/*
 * TFOPS_E_ABI when the default breaks its own constraint or the device's limits, TFOPS_E_RANGE when
 * the space is larger than the bounds above (the record says which), TFOPS_E_MEMORY.
 */
enum tfops_status space_build(const struct env *env, const struct tfops_problem *problem,
    const struct tfops_device *device, struct space *ret_space);
void space_release(const struct env *env, struct space *space);

/* Whether one config is in the space; false writes the reason. For --config. */
bool space_allows(const struct tfops_problem *problem, const struct tfops_device *device,
    const struct tfops_config *config, char reason[TFOPS_REASON_BYTES]);
bool space_config_equal(
    const struct tfops_spec *spec, const struct tfops_config *a, const struct tfops_config *b);

/*
 * Indices of the configs, the default first: by the time that the spec predicts, or without a model by
 * how many steps in the tunables' tables they are away from the default; canonical order where equal.
 * What is cut by a budget should be what the spec's author thinks least of.
 */
enum tfops_status space_rank(const struct env *env, const struct tfops_problem *problem,
    const struct tfops_device *device, const struct space *space, uint32_t *ret_ranked);

#endif
