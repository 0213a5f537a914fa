/*
 * The engine at work: operators, preparing, counting. Puts the stages together; the stages themselves
 * are in their own files, opening and closing in engine_open.c.
 */
#include "base/error.h"
#include "engine_state.h"
#include "generic.h"
#include "plan_state.h"
#include <string.h>
#include <tfops/tfops.h>

enum tfops_status engine_usable(const struct tfops_engine *engine)
{
    if (!engine)
        return error_set(TFOPS_E_ARGUMENT, "engine", "engine", "not NULL", "NULL");
    if (engine->generation != engine_fork_generation)
        return error_set(TFOPS_E_FORKED, "engine", engine->device.name,
            "the process that opened the engine", "a child of fork()");
    return TFOPS_OK;
}

const char *tfops_version(void)
{
#define TEXT(x) #x
#define VERSION(a, b, c) TEXT(a) "." TEXT(b) "." TEXT(c)
    return VERSION(TFOPS_VERSION_MAJOR, TFOPS_VERSION_MINOR, TFOPS_VERSION_PATCH);
}

/* ---- operators ------------------------------------------------------------------------------ */

const struct tfops_device *tfops_engine_device(const struct tfops_engine *engine)
{
    return engine ? &engine->device : NULL;
}

enum tfops_status tfops_engine_register(struct tfops_engine *engine, const struct tfops_spec *spec)
{
    enum tfops_status status = engine_usable(engine);
    if (status)
        return status;
    struct entry *entry;
    pthread_mutex_lock(&engine->register_lock);
    status = operators_stage(&engine->env, &engine->operators, spec, &entry);
    if (!status) {
        generic_load(engine, entry);
        operators_publish(&engine->operators);
    }
    pthread_mutex_unlock(&engine->register_lock);
    return status;
}

const struct tfops_spec *tfops_engine_operator(const struct tfops_engine *engine, const char *name)
{
    return engine ? operators_find(&engine->operators, name) : NULL;
}

size_t tfops_engine_operator_count(const struct tfops_engine *engine)
{
    return engine ? operators_count(&engine->operators) : 0;
}

const struct tfops_spec *tfops_engine_operator_at(const struct tfops_engine *engine, size_t i)
{
    return i < tfops_engine_operator_count(engine) ? engine->operators.entries[i].spec : NULL;
}

/* ---- preparing ------------------------------------------------------------------------------ */

enum tfops_status engine_publish(
    struct tfops_engine *engine, struct tfops_plan *plan, struct tfops_plan **ret_plan)
{
    enum tfops_status status = TFOPS_OK;
    pthread_mutex_lock(&engine->lock);
    const struct tfops_plan *first = plan_table_find(&engine->plans, &plan->key);
    struct tfops_plan *kept = plan;
    if (first && (!first->cold || plan->cold)) {
        kept = (struct tfops_plan *)(uintptr_t)first;
        tfops_plan_release(plan);
    } else {
        status = plan_table_put(&engine->env, &engine->plans, plan);
        if (status)
            tfops_plan_release(plan);
    }
    if (!status)
        *ret_plan = kept;
    pthread_mutex_unlock(&engine->lock);
    return status;
}

static enum tfops_status check_prepare(struct tfops_engine *engine,
    const struct tfops_problem *problem, struct tfops_problem *ret_problem)
{
    enum tfops_status status = engine_usable(engine);
    if (status)
        return status;
    if (!problem || problem->size != sizeof *problem)
        return error_set(TFOPS_E_ARGUMENT, "prepare", "problem", "made by tfops_problem_init()",
            "NULL or another size");
    if (operators_index(&engine->operators, problem->spec) < 0)
        return error_set(TFOPS_E_UNKNOWN, "prepare", "problem.spec",
            "a spec of this engine (tfops_engine_operator)", "another");
    *ret_problem = *problem;
    return tfops_problem_check(ret_problem);
}

enum tfops_status tfops_prepare(
    struct tfops_engine *engine, const struct tfops_problem *problem, struct tfops_plan **ret_plan)
{
    struct tfops_problem checked;
    struct tfops_plan *plan;
    struct key key;
    if (!ret_plan)
        return error_set(TFOPS_E_ARGUMENT, "prepare", "ret_plan", "not NULL", "NULL");
    enum tfops_status status = check_prepare(engine, problem, &checked);
    if (status)
        return status;
    key_make(&checked, &key);
    const struct tfops_plan *found = plan_table_find(&engine->plans, &key);
    if (found && !found->cold) {
        *ret_plan = tfops_plan_retain((struct tfops_plan *)(uintptr_t)found);
        return TFOPS_OK;
    }
    status = plan_resolve(engine, &checked, &key, false, &plan);
    if (!status)
        status = engine_publish(engine, plan, &plan);
    if (!status)
        *ret_plan = tfops_plan_retain(plan);
    return status;
}

enum tfops_status tfops_engine_warm(
    struct tfops_engine *engine, const struct tfops_problem *problems, size_t n_problems)
{
    enum tfops_status first = engine_usable(engine);
    struct tfops_error error;
    if (first)
        return first;
    if (n_problems && !problems)
        return error_set(TFOPS_E_ARGUMENT, "warm", "problems", "not NULL", "NULL");
    for (size_t i = 0; i < n_problems; i++) {
        struct tfops_plan *plan;
        enum tfops_status status = tfops_prepare(engine, &problems[i], &plan);
        if (!status) {
            tfops_plan_release(plan);
        } else if (!first) {
            first = status;
            error_save(&error);
        }
    }
    if (first)
        error_restore(&error);
    return first;
}

/* ---- what it tells -------------------------------------------------------------------------- */

enum tfops_status tfops_engine_stats(
    const struct tfops_engine *engine, struct tfops_engine_stats *ret_stats)
{
    enum tfops_status status = engine_usable(engine);
    if (status)
        return status;
    if (!ret_stats || ret_stats->size != sizeof *ret_stats)
        return error_set(TFOPS_E_ARGUMENT, "stats", "ret_stats.size",
            "sizeof(struct tfops_engine_stats)", "NULL or another size");
    const struct counters *counters = &engine->counters;
#define READ(field) .field = atomic_load_explicit(&counters->field, memory_order_relaxed)
    *ret_stats = (struct tfops_engine_stats){.size = sizeof *ret_stats,
        READ(hits),
        READ(misses_unseen),
        READ(misses_record),
        READ(misses_binary),
        READ(misses_capture),
        READ(generic_plans),
        READ(compiles),
        READ(compile_failures),
        READ(module_loads),
        READ(device_bytes),
        .cache_bad_rows = overlay_bad_rows(engine->overlay),
        .plans = engine->plans.n,
        .open_ns = engine->open_ns};
#undef READ
    return TFOPS_OK;
}

enum tfops_status tfops_engine_fingerprint(
    const struct tfops_engine *engine, uint8_t ret_digest[32])
{
    struct record_list records = {0};
    struct hash hash;
    enum tfops_status status = engine_usable(engine);
    if (status)
        return status;
    if (!ret_digest)
        return error_set(TFOPS_E_ARGUMENT, "fingerprint", "ret_digest", "not NULL", "NULL");
    status = overlay_all_records(engine->overlay, engine->sku, &records);
    hash_init(&hash);
    hash_add_string(&hash, engine->sku);
    for (size_t i = 0; !status && i < records.n; i++) {
        const struct tfops_record *row = &records.records[i].row;
        hash_add_string(&hash, row->op);
        hash_add_u64(&hash, row->spec_version);
        hash_add_string(&hash, row->problem);
        hash_add_u64(&hash, (uint64_t)row->extent);
        hash_add_string(&hash, row->config);
        hash_add(&hash, row->binary_sha256, sizeof row->binary_sha256);
    }
    record_list_release(&engine->env, &records);
    if (!status)
        hash_final(&hash, ret_digest);
    return status;
}
