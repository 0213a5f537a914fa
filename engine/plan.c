/*
 * Plans: from a problem to loaded variants over all extents of its dynamic dimension. Stage between
 * key and launch: records → configs → binaries → modules. Never on the path of a launch that hits.
 */
#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"
#include "build.h"
#include "choice.h"
#include "engine_state.h"
#include "generic.h"
#include "plan_state.h"
#include <string.h>

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
    memcpy(variant->beside, choice->beside, sizeof variant->beside);
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
    match_wide_init(problem, &plan->wide);
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
    choice_make(engine, problem, records, choices);
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
    choice_drop_unusable(engine, problem, &records);
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
