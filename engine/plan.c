/*
 * Plans: from a problem to loaded variants over all extents of its dynamic dimension. Stage between
 * key and launch: records → configs → binaries → modules. Never on the path of a launch that hits.
 */
#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"
#include "build.h"
#include "engine_state.h"
#include "generic.h"
#include "plan_state.h"
#include "problem.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

/*
 * A record speaks for extents up to this factor away; beyond it the default config is as good a
 * guess and keeps a config tuned for one extreme from serving the other.
 */
enum { REACH = 4, LOG2_LARGEST = 40, MAX_BOUNDS = 512 };

/* What serves a range of extents, before binaries are looked for. */
struct choice {
    int64_t last;
    const struct tfops_record *record; /* NULL: the default config */
    struct tfops_config config;
};

struct choices {
    struct choice list[MAX_BOUNDS];
    size_t n;
};

/* ---- records and default config to ranges of extents ---------------------------------------- */

static int compare_extents(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static int64_t geometric_mean(int64_t a, int64_t b)
{
    double mean = sqrt((double)a) * sqrt((double)b);
    return mean < 0x1p62 ? (int64_t)mean : a;
}

/* Every extent where the choice may change: powers of two, and the ends of the records' reaches. */
static size_t list_bounds(const struct record_list *records, int64_t *bounds)
{
    size_t n = 0;
    for (int i = 0; i <= LOG2_LARGEST; i++)
        bounds[n++] = 1ll << i;
    for (size_t i = 0; i < records->n && n + 4 < MAX_BOUNDS; i++) {
        int64_t extent = records->records[i].row.extent;
        bounds[n++] = (extent - 1) / REACH;
        bounds[n++] = extent > INT64_MAX / REACH ? INT64_MAX : extent * REACH;
        if (i + 1 < records->n)
            bounds[n++] = geometric_mean(extent, records->records[i + 1].row.extent);
    }
    bounds[n++] = INT64_MAX;
    qsort(bounds, n, sizeof *bounds, compare_extents);
    return n;
}

static const struct tfops_record *nearest(const struct record_list *records, int64_t extent)
{
    const struct tfops_record *best = NULL;
    double best_ratio = REACH;
    for (size_t i = 0; i < records->n; i++) {
        double ratio = (double)records->records[i].row.extent / (double)extent;
        ratio = ratio < 1 ? 1 / ratio : ratio;
        if (ratio < best_ratio || (ratio <= best_ratio && !best)) {
            best = &records->records[i].row;
            best_ratio = ratio;
        }
    }
    return best;
}

static struct tfops_config default_config(
    const struct tfops_engine *engine, struct tfops_problem problem, int dim, int64_t extent)
{
    struct tfops_config config = {0};
    const struct tfops_spec *spec = problem.spec;
    int64_t most = spec->dims[dim].max;
    problem_set_extent(&problem, extent < most ? extent : most);
    if (spec->default_config)
        spec->default_config(spec->user, &problem, &engine->device, &config);
    return config;
}

static bool same_config(
    const struct tfops_spec *spec, const struct tfops_config *a, const struct tfops_config *b)
{
    return a->generic == b->generic &&
           !memcmp(a->values, b->values, spec->n_tunables * sizeof a->values[0]);
}

/* A record whose config no longer parses or fits the space is left out. */
static bool record_config(struct tfops_engine *engine, const struct tfops_problem *problem,
    const struct tfops_record *record, struct tfops_config *ret_config)
{
    const struct tfops_spec *spec = problem->spec;
    char reason[TFOPS_REASON_BYTES] = "";
    if (!tfops_config_parse(spec, record->config, ret_config) &&
        (!spec->constraint ||
            spec->constraint(spec->user, problem, &engine->device, ret_config, reason)))
        return true;
    log_line(&engine->env, TFOPS_LOG_WARN, "plan: record %lld of %s is left out: %s",
        (long long)record->id, spec->name, reason[0] ? reason : error_message());
    return false;
}

/* Leaves out what can serve nothing, once, so that it neither hides a neighbour nor fills the log. */
static void drop_unusable(
    struct tfops_engine *engine, const struct tfops_problem *problem, struct record_list *records)
{
    size_t kept = 0;
    int dim = key_dynamic_dim(problem->spec);
    for (size_t i = 0; i < records->n; i++) {
        struct record *record = &records->records[i];
        struct tfops_config config = default_config(engine, *problem, dim, record->row.extent);
        if (record->row.extent > 0 && record_config(engine, problem, &record->row, &config))
            records->records[kept++] = *record;
        else
            record_release(&engine->env, record);
    }
    records->n = kept;
}

static void choose(struct tfops_engine *engine, const struct tfops_problem *problem, int dim,
    const struct record_list *records, int64_t extent, struct choice *ret_choice)
{
    struct tfops_config config = default_config(engine, *problem, dim, extent);
    const struct tfops_record *record = nearest(records, extent);
    *ret_choice = (struct choice){.last = extent, .config = config};
    if (record && record_config(engine, problem, record, &config)) {
        ret_choice->record = record;
        ret_choice->config = config;
    }
}

static void choose_all(struct tfops_engine *engine, const struct tfops_problem *problem, int dim,
    const struct record_list *records, struct choices *choices)
{
    int64_t bounds[MAX_BOUNDS];
    size_t n = list_bounds(records, bounds);
    choices->n = 0;
    for (size_t i = 0; i < n; i++) {
        struct choice choice, *last = choices->n ? &choices->list[choices->n - 1] : NULL;
        if (bounds[i] < 1 || (last && bounds[i] == last->last))
            continue;
        choose(engine, problem, dim, records, bounds[i], &choice);
        if (last && last->record == choice.record &&
            same_config(problem->spec, &last->config, &choice.config))
            last->last = choice.last;
        else
            choices->list[choices->n++] = choice;
    }
}

/* One config for every extent: the record of the greatest extent, else the default for many rows. */
static void choose_invariant(struct tfops_engine *engine, const struct tfops_problem *problem,
    int dim, const struct record_list *records, struct choices *choices)
{
    struct choice *choice = &choices->list[0];
    choices->n = 1;
    *choice = (struct choice){.config = default_config(engine, *problem, dim, 1 << 20)};
    for (size_t i = records->n; i-- > 0;) {
        if (record_config(engine, problem, &records->records[i].row, &choice->config)) {
            choice->record = &records->records[i].row;
            break;
        }
    }
    choice->last = INT64_MAX;
}

/* ---- configs to loaded variants ------------------------------------------------------------- */

static enum tfops_status find_binary(struct tfops_engine *engine,
    const struct tfops_problem *problem, const struct choice *choice, struct binary *ret_binary)
{
    bool found = false;
    if (choice->record) {
        enum tfops_status status = build_find_pinned(
            engine, problem, &choice->config, choice->record->binary_sha256, &found, ret_binary);
        if (status || found)
            return status;
        log_line(&engine->env, TFOPS_LOG_WARN,
            "plan: the binary that record %lld of %s pins is not there, building its config",
            (long long)choice->record->id, problem->spec->name);
    }
    bool may_compile = engine->miss_policy != TFOPS_MISS_STRICT;
    return build_binary(engine, problem, &choice->config, RENDER_TUNED, may_compile, ret_binary);
}

static enum tfops_status fill_variant(struct tfops_engine *engine,
    const struct tfops_problem *problem, const struct choice *choice, const struct binary *binary,
    struct plan_variant *variant)
{
    char text[1024];
    const struct tfops_spec *spec = problem->spec;
    tfops_config_format(spec, &choice->config, text, sizeof text);
    variant->config = mem_strdup(&engine->env, text);
    if (!variant->config)
        return TFOPS_E_MEMORY;
    variant->last = choice->last;
    variant->source = choice->record ? PLAN_RECORD : PLAN_DEFAULT;
    variant->measured = choice->record ? choice->record->extent : 0;
    variant->registers = binary->registers;
    memcpy(variant->sha256, binary->sha256, sizeof variant->sha256);
    launcher_init(&variant->launcher, &engine->driver, &engine->device, problem, &choice->config);
    return module_cache_load(engine, binary, &variant->launcher.function);
}

static enum tfops_status resolve_choice(struct tfops_engine *engine,
    const struct tfops_problem *problem, const struct choice *choice, struct plan_variant *variant)
{
    struct binary binary;
    enum tfops_status status = find_binary(engine, problem, choice, &binary);
    if (!status) {
        status = fill_variant(engine, problem, choice, &binary, variant);
        binary_release(&engine->env, &binary);
    }
    if (!status || engine->miss_policy == TFOPS_MISS_STRICT)
        return status;
    struct tfops_error why;
    error_save(&why);
    mem_free(&engine->env, variant->config);
    *variant = (struct plan_variant){0};
    if (generic_variant(engine, problem, choice->last, variant)) {
        error_restore(&why); /* why there is no tuned one says more than that there is no other */
        return status;
    }
    log_line(&engine->env, TFOPS_LOG_WARN, "plan: %s is served by the generic variant: %s",
        problem->spec->name, why.message);
    return TFOPS_OK;
}

/* ---- the plan ------------------------------------------------------------------------------- */

/* One block for the plan and its variants, each on lines of its own. */
static struct tfops_plan *new_plan(struct tfops_engine *engine, const struct tfops_problem *problem,
    const struct key *key, size_t n_variants)
{
    char *block = mem_new(
        &engine->env, 1, PLAN_LINE_BYTES + PLAN_BYTES + n_variants * sizeof(struct plan_variant));
    if (!block)
        return NULL;
    char *start = block + (-(uintptr_t)block & (PLAN_LINE_BYTES - 1));
    struct tfops_plan *plan = (struct tfops_plan *)(void *)start;
    plan->block = block;
    atomic_init(&plan->references, 1);
    atomic_init(&plan->stale, false);
    plan->env = engine->env;
    plan->engine = engine;
    plan->generation = engine->generation;
    plan->problem = *problem;
    plan->dynamic_dim = key_dynamic_dim(problem->spec);
    plan->key = *key;
    plan->hash = key_hash(key);
    plan->n_variants = n_variants;
    match_init(problem, &plan->match);
    return plan;
}

static enum tfops_status resolve_reference(struct tfops_engine *engine, struct tfops_plan *plan)
{
    struct plan_variant *variant = plan_variants(plan);
    *variant = (struct plan_variant){.last = INT64_MAX, .source = PLAN_REFERENCE};
    variant->config = mem_strdup(&engine->env, "reference");
    return variant->config ? TFOPS_OK : TFOPS_E_MEMORY;
}

static enum tfops_status resolve_tuned(struct tfops_engine *engine,
    const struct tfops_problem *problem, const struct key *key, const struct record_list *records,
    struct tfops_plan **ret_plan)
{
    struct choices *choices = mem_new(&engine->env, 1, sizeof *choices);
    if (!choices)
        return TFOPS_E_MEMORY;
    int dim = key_dynamic_dim(problem->spec);
    if (problem->flags & TFOPS_BATCH_INVARIANT)
        choose_invariant(engine, problem, dim, records, choices);
    else
        choose_all(engine, problem, dim, records, choices);
    struct tfops_plan *plan = new_plan(engine, problem, key, choices->n);
    enum tfops_status status = plan ? TFOPS_OK : TFOPS_E_MEMORY;
    for (size_t i = 0; !status && i < choices->n; i++)
        status = resolve_choice(engine, problem, &choices->list[i], &plan_variants(plan)[i]);
    mem_free(&engine->env, choices);
    if (status)
        tfops_plan_release(plan);
    else
        *ret_plan = plan;
    return status;
}

static enum tfops_status check_support(
    const struct tfops_engine *engine, const struct tfops_problem *problem)
{
    char reason[TFOPS_REASON_BYTES] = "";
    const struct tfops_spec *spec = problem->spec;
    if (engine->kind == ENGINE_CPU || !spec->supports ||
        spec->supports(spec->user, engine->device.arch, reason))
        return TFOPS_OK;
    return error_setf(
        TFOPS_E_UNSUPPORTED, 0, "plan", spec->name, "%s: %s", engine->device.arch, reason);
}

static enum tfops_status resolve_single(struct tfops_engine *engine,
    const struct tfops_problem *problem, const struct key *key, bool cold,
    struct tfops_plan **ret_plan)
{
    struct tfops_plan *plan = new_plan(engine, problem, key, 1);
    if (!plan)
        return TFOPS_E_MEMORY;
    plan->cold = cold;
    bool cpu = engine->kind == ENGINE_CPU;
    enum tfops_status status =
        cpu ? resolve_reference(engine, plan)
            : generic_variant(engine, problem, INT64_MAX, plan_variants(plan));
    if (status)
        tfops_plan_release(plan);
    else
        *ret_plan = plan;
    return status;
}

enum tfops_status plan_resolve(struct tfops_engine *engine, const struct tfops_problem *problem,
    const struct key *key, bool cold, struct tfops_plan **ret_plan)
{
    struct record_list records = {0};
    char text[KEY_TEXT_BYTES];
    enum tfops_status status = check_support(engine, problem);
    if (status)
        return status;
    if (cold || engine->kind == ENGINE_CPU)
        return resolve_single(engine, problem, key, cold, ret_plan);
    key_text(problem, text);
    struct record_key record_key = {engine->sku, problem->spec->name, problem->spec->version, text};
    if (overlay_records(engine->overlay, &record_key, &records)) {
        log_line(&engine->env, TFOPS_LOG_WARN, "plan: no records for %s: %s", problem->spec->name,
            error_message());
        record_list_release(&engine->env, &records);
        records = (struct record_list){0};
    }
    drop_unusable(engine, problem, &records);
    if (!records.n)
        ENGINE_COUNT(engine, misses_record);
    status = resolve_tuned(engine, problem, key, &records, ret_plan);
    record_list_release(&engine->env, &records);
    return status;
}

struct tfops_plan *tfops_plan_retain(struct tfops_plan *plan)
{
    if (plan)
        atomic_fetch_add_explicit(&plan->references, 1, memory_order_relaxed);
    return plan;
}

void tfops_plan_release(struct tfops_plan *plan)
{
    if (!plan || atomic_fetch_sub_explicit(&plan->references, 1, memory_order_acq_rel) != 1)
        return;
    const struct env env = plan->env;
    for (size_t i = 0; i < plan->n_variants; i++)
        mem_free(&env, plan_variants(plan)[i].config);
    mem_free(&env, plan->block);
}
