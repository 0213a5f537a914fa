/* Enumeration of a problem's space (see space.h): an odometer over the tunables' value indices. */
#include "space.h"
#include "base/error.h"
#include "base/mem.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tfops/engine.h>

static const char *const PRUNE_NAMES[SPACE_PRUNE_COUNT] = {
    [SPACE_THREADS] = "threads",
    [SPACE_SMEM] = "shared memory",
    [SPACE_CLUSTER] = "cluster",
    [SPACE_REGISTERS] = "registers",
    [SPACE_WORKSPACE] = "workspace",
};

const char *space_prune_name(enum space_prune why)
{
    return (unsigned)why < SPACE_PRUNE_COUNT ? PRUNE_NAMES[why] : "?";
}

bool space_config_equal(
    const struct tfops_spec *spec, const struct tfops_config *a, const struct tfops_config *b)
{
    if (a->generic || b->generic)
        return a->generic == b->generic;
    return !memcmp(a->values, b->values, spec->n_tunables * sizeof a->values[0]);
}

/* ---- resources --------------------------------------------------------------------------- */

enum { MAX_THREADS_PER_BLOCK = 1024, LEAST_REGISTERS = 16 };

static bool too_much(enum space_prune *ret_why, enum space_prune why, char *text, size_t bytes,
    int64_t asked, int64_t limit)
{
    *ret_why = why;
    snprintf(text, bytes, "%s: %lld, the device allows %lld", PRUNE_NAMES[why], (long long)asked,
        (long long)limit);
    return true;
}

static size_t workspace_bytes(const struct tfops_problem *problem,
    const struct tfops_device *device, const struct tfops_config *config)
{
    const struct tfops_spec *spec = problem->spec;
    return spec->workspace ? spec->workspace(spec->user, problem, device, config) : 0;
}

/* Limits that need no compile to know. Fields of the device that are 0 are unknown: no limit. */
static bool pruned_by_resources(const struct tfops_problem *problem,
    const struct tfops_device *device, const struct tfops_config *config,
    const struct tfops_geometry *geometry, enum space_prune *ret_why, char *text, size_t bytes)
{
    const int64_t threads = geometry->threads, cluster = geometry->cluster ? geometry->cluster : 1;
    const int64_t min_blocks = geometry->min_blocks ? geometry->min_blocks : 1;
    if (threads < 1 || threads > MAX_THREADS_PER_BLOCK)
        return too_much(ret_why, SPACE_THREADS, text, bytes, threads, MAX_THREADS_PER_BLOCK);
    if (device->max_threads_per_sm && threads * min_blocks > device->max_threads_per_sm)
        return too_much(
            ret_why, SPACE_THREADS, text, bytes, threads * min_blocks, device->max_threads_per_sm);
    if (device->smem_per_block_bytes && geometry->smem_bytes > device->smem_per_block_bytes)
        return too_much(
            ret_why, SPACE_SMEM, text, bytes, geometry->smem_bytes, device->smem_per_block_bytes);
    if (cluster > 1 && cluster > device->max_cluster)
        return too_much(ret_why, SPACE_CLUSTER, text, bytes, cluster, device->max_cluster);
    if (device->regs_per_sm && threads * min_blocks * LEAST_REGISTERS > device->regs_per_sm)
        return too_much(ret_why, SPACE_REGISTERS, text, bytes,
            threads * min_blocks * LEAST_REGISTERS, device->regs_per_sm);
    size_t workspace = workspace_bytes(problem, device, config);
    if (device->memory_bytes && workspace > (uint64_t)device->memory_bytes / 2)
        return too_much(
            ret_why, SPACE_WORKSPACE, text, bytes, (int64_t)workspace, device->memory_bytes / 2);
    return false;
}

static void geometry_of(const struct tfops_problem *problem, const struct tfops_device *device,
    const struct tfops_config *config, struct tfops_geometry *ret_geometry)
{
    memset(ret_geometry, 0, sizeof *ret_geometry);
    problem->spec->geometry(problem->spec->user, problem, device, config, ret_geometry);
}

static bool constraint_holds(const struct tfops_problem *problem, const struct tfops_device *device,
    const struct tfops_config *config, char reason[TFOPS_REASON_BYTES])
{
    const struct tfops_spec *spec = problem->spec;
    reason[0] = '\0';
    return !spec->constraint || spec->constraint(spec->user, problem, device, config, reason);
}

bool space_allows(const struct tfops_problem *problem, const struct tfops_device *device,
    const struct tfops_config *config, char reason[TFOPS_REASON_BYTES])
{
    struct tfops_geometry geometry;
    enum space_prune why;
    if (config->generic) {
        snprintf(reason, TFOPS_REASON_BYTES, "the generic variant is not in the space");
        return false;
    }
    if (!constraint_holds(problem, device, config, reason))
        return false;
    geometry_of(problem, device, config, &geometry);
    return !pruned_by_resources(
        problem, device, config, &geometry, &why, reason, TFOPS_REASON_BYTES);
}

/* ---- growth ------------------------------------------------------------------------------ */

static enum tfops_status keep(const struct env *env, struct space *space,
    const struct tfops_config *config, const struct tfops_geometry *geometry)
{
    if (space->n == SPACE_MAX_CONFIGS)
        return error_setf(TFOPS_E_RANGE, 0, "space", "tunables",
            "more than %d valid configs: tighten the spec's constraint", SPACE_MAX_CONFIGS);
    if (space->n == space->capacity) {
        uint32_t capacity = space->capacity ? 2 * space->capacity : 256;
        struct tfops_config *configs =
            mem_grow(env, space->configs, space->n, capacity, sizeof *configs);
        if (!configs)
            return TFOPS_E_MEMORY;
        space->configs = configs;
        struct tfops_geometry *geometries =
            mem_grow(env, space->geometries, space->n, capacity, sizeof *geometries);
        if (!geometries)
            return TFOPS_E_MEMORY;
        space->geometries = geometries;
        space->capacity = capacity;
    }
    space->configs[space->n] = *config;
    space->geometries[space->n++] = *geometry;
    return TFOPS_OK;
}

static enum tfops_status keep_pruned(
    const struct env *env, struct space *space, const struct space_pruned *pruned)
{
    space->counts[pruned->why]++;
    if (space->n_pruned_kept == SPACE_MAX_PRUNED_KEPT)
        return TFOPS_OK;
    if (!space->pruned &&
        !(space->pruned = mem_new(env, SPACE_MAX_PRUNED_KEPT, sizeof *space->pruned)))
        return TFOPS_E_MEMORY;
    space->pruned[space->n_pruned_kept++] = *pruned;
    return TFOPS_OK;
}

void space_release(const struct env *env, struct space *space)
{
    mem_free(env, space->configs);
    mem_free(env, space->geometries);
    mem_free(env, space->pruned);
    *space = (struct space){0};
}

/* ---- enumeration ------------------------------------------------------------------------- */

/* A value listed twice in a table would give the same config twice. */
static bool repeats_earlier_value(const struct tfops_tunable_spec *tunable, size_t index)
{
    for (size_t i = 0; i < index; i++)
        if (tunable->values[i] == tunable->values[index])
            return true;
    return false;
}

/* Steps to the next combination, the last tunable fastest; false after the last one. Only what differs is
 * written: there may be millions. */
static bool odometer_step(
    const struct tfops_spec *spec, uint32_t digits[TFOPS_MAX_TUNABLES], struct tfops_config *config)
{
    for (size_t t = spec->n_tunables; t-- > 0;) {
        const struct tfops_tunable_spec *tunable = &spec->tunables[t];
        do {
            digits[t]++;
        } while (digits[t] < tunable->n_values && repeats_earlier_value(tunable, digits[t]));
        const bool carries = digits[t] == tunable->n_values;
        if (carries)
            digits[t] = 0;
        config->values[t] = tunable->values[digits[t]];
        if (!carries)
            return true;
    }
    return false;
}

static enum tfops_status visit(const struct env *env, const struct tfops_problem *problem,
    const struct tfops_device *device, const struct tfops_config *config, struct space *space)
{
    char reason[TFOPS_REASON_BYTES];
    struct tfops_geometry geometry;
    if (!constraint_holds(problem, device, config, reason)) {
        space->constrained++;
        return TFOPS_OK;
    }
    if (space_config_equal(problem->spec, config, &space->configs[0]))
        return TFOPS_OK; /* stands first */
    struct space_pruned pruned = {.config = *config};
    geometry_of(problem, device, config, &geometry);
    if (pruned_by_resources(
            problem, device, config, &geometry, &pruned.why, pruned.text, sizeof pruned.text))
        return keep_pruned(env, space, &pruned);
    return keep(env, space, config, &geometry);
}

static enum tfops_status enumerate(const struct env *env, const struct tfops_problem *problem,
    const struct tfops_device *device, struct space *space)
{
    const struct tfops_spec *spec = problem->spec;
    uint32_t digits[TFOPS_MAX_TUNABLES] = {0};
    for (size_t t = 0; t < spec->n_tunables; t++)
        if (!spec->tunables[t].n_values)
            return TFOPS_OK; /* no combination at all: the default alone */
    struct tfops_config config = {0};
    for (size_t t = 0; t < spec->n_tunables; t++)
        config.values[t] = spec->tunables[t].values[0];
    do {
        if (space->visited++ == SPACE_MAX_VISITS)
            return error_setf(TFOPS_E_RANGE, 0, "space", "tunables",
                "more than %llu combinations: give the spec fewer tunables or values",
                (unsigned long long)SPACE_MAX_VISITS);
        enum tfops_status status = visit(env, problem, device, &config, space);
        if (status)
            return status;
    } while (odometer_step(spec, digits, &config));
    return TFOPS_OK;
}

static enum tfops_status add_default(const struct env *env, const struct tfops_problem *problem,
    const struct tfops_device *device, struct space *space)
{
    const struct tfops_spec *spec = problem->spec;
    struct tfops_config config = {0};
    struct tfops_geometry geometry;
    char reason[TFOPS_REASON_BYTES], text[512];
    spec->default_config(spec->user, problem, device, &config);
    config.generic = false;
    if (!space_allows(problem, device, &config, reason)) {
        tfops_config_format(spec, &config, text, sizeof text);
        return error_setf(TFOPS_E_ABI, 0, "space", spec->name,
            "the default config of %s is not in its own space: %s (%s)", spec->name, text, reason);
    }
    geometry_of(problem, device, &config, &geometry);
    return keep(env, space, &config, &geometry);
}

enum tfops_status space_build(const struct env *env, const struct tfops_problem *problem,
    const struct tfops_device *device, struct space *ret_space)
{
    struct space space = {0};
    enum tfops_status status =
        problem->spec->n_tunables > TFOPS_MAX_TUNABLES
            ? error_set(TFOPS_E_ABI, "space", problem->spec->name, "at most 24 tunables", NULL)
            : add_default(env, problem, device, &space);
    if (!status)
        status = enumerate(env, problem, device, &space);
    if (status)
        space_release(env, &space);
    else
        *ret_space = space;
    return status;
}

/* ---- rank -------------------------------------------------------------------------------- */

static int64_t position(const struct tfops_tunable_spec *tunable, int64_t value)
{
    size_t i = 0;
    while (i < tunable->n_values && tunable->values[i] != value)
        i++;
    return (int64_t)i;
}

static uint64_t steps_between(
    const struct tfops_spec *spec, const struct tfops_config *a, const struct tfops_config *b)
{
    uint64_t steps = 0;
    for (size_t t = 0; t < spec->n_tunables; t++) {
        int64_t away =
            position(&spec->tunables[t], a->values[t]) - position(&spec->tunables[t], b->values[t]);
        steps += (uint64_t)(away < 0 ? -away : away);
    }
    return steps;
}

struct ranked {
    double key; /* predicted time, or steps from the default */
    uint32_t index;
};

static int by_key(const void *left, const void *right)
{
    const struct ranked *a = left, *b = right;
    if (a->key != b->key)
        return a->key < b->key ? -1 : 1;
    return (a->index > b->index) - (a->index < b->index);
}

static double rank_key(const struct tfops_problem *problem, const struct tfops_device *device,
    const struct space *space, uint32_t index)
{
    const struct tfops_spec *spec = problem->spec;
    if (index == 0)
        return -1;
    if (spec->predict) {
        double ns = spec->predict(spec->user, problem, device, &space->configs[index]);
        return ns > 0 ? ns : INFINITY;
    }
    return (double)steps_between(spec, &space->configs[index], &space->configs[0]);
}

enum tfops_status space_rank(const struct env *env, const struct tfops_problem *problem,
    const struct tfops_device *device, const struct space *space, uint32_t *ret_ranked)
{
    struct ranked *keys = mem_new(env, space->n, sizeof *keys);
    if (!keys)
        return TFOPS_E_MEMORY;
    for (uint32_t i = 0; i < space->n; i++)
        keys[i] = (struct ranked){rank_key(problem, device, space, i), i};
    qsort(keys, space->n, sizeof *keys, by_key);
    for (uint32_t i = 0; i < space->n; i++)
        ret_ranked[i] = keys[i].index;
    mem_free(env, keys);
    return TFOPS_OK;
}
