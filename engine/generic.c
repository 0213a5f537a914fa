/* Generic variants and loaded modules (see generic.h). */
#include "generic.h"
#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"
#include "build.h"
#include "engine_state.h"
#include "module.h"
#include <string.h>

/* ---- modules -------------------------------------------------------------------------------- */

static struct loaded *find_loaded(struct tfops_engine *engine, const uint8_t sha256[HASH_BYTES])
{
    struct loaded *loaded = engine->modules;
    while (loaded && memcmp(loaded->sha256, sha256, HASH_BYTES))
        loaded = loaded->next;
    return loaded;
}

/* Under the engine's lock. */
static enum tfops_status load_new(
    struct tfops_engine *engine, const struct binary *binary, struct loaded **ret_loaded)
{
    struct driver_scope scope;
    struct module module;
    struct loaded *loaded = mem_new(&engine->env, 1, sizeof *loaded);
    if (!loaded)
        return TFOPS_E_MEMORY;
    enum tfops_status status = driver_enter(&engine->driver, engine->context, &scope);
    if (!status) {
        status = module_load(&engine->driver, binary, &module);
        driver_leave(&engine->driver, &scope);
    }
    if (status) {
        mem_free(&engine->env, loaded);
        return status;
    }
    *loaded = (struct loaded){
        .handle = module.handle, .function = module.function, .next = engine->modules};
    memcpy(loaded->sha256, binary->sha256, HASH_BYTES);
    engine->modules = loaded;
    ENGINE_COUNT(engine, module_loads);
    atomic_fetch_add_explicit(
        &engine->counters.device_bytes, binary->image_bytes, memory_order_relaxed);
    *ret_loaded = loaded;
    return TFOPS_OK;
}

enum tfops_status module_cache_load(
    struct tfops_engine *engine, const struct binary *binary, CUfunction *ret_function)
{
    enum tfops_status status = TFOPS_OK;
    *ret_function = NULL;
    if (engine->kind != ENGINE_CUDA)
        return TFOPS_OK;
    pthread_mutex_lock(&engine->lock);
    struct loaded *loaded = find_loaded(engine, binary->sha256);
    if (!loaded)
        status = load_new(engine, binary, &loaded);
    if (!status)
        *ret_function = loaded->function;
    pthread_mutex_unlock(&engine->lock);
    return status;
}

/* ---- generic variants ----------------------------------------------------------------------- */

static enum tfops_status build_and_load(struct tfops_engine *engine, struct entry *entry)
{
    struct tfops_problem problem;
    struct tfops_config config = {.generic = true};
    struct binary binary;
    enum tfops_status status = tfops_problem_init(entry->spec, &problem);
    if (!status)
        status = build_binary(engine, &problem, &config, RENDER_TUNED, true, &binary);
    if (status)
        return status;
    status = module_cache_load(engine, &binary, &entry->generic.function);
    entry->generic.registers = binary.registers;
    memcpy(entry->generic.sha256, binary.sha256, HASH_BYTES);
    binary_release(&engine->env, &binary);
    return status;
}

void generic_load(struct tfops_engine *engine, struct entry *entry)
{
    char reason[TFOPS_REASON_BYTES];
    const struct tfops_spec *spec = entry->spec;
    if (engine->kind != ENGINE_CUDA || !spec->generic_body ||
        (spec->supports && !spec->supports(spec->user, engine->device.arch, reason)))
        return;
    entry->generic.loaded = !build_and_load(engine, entry);
    if (!entry->generic.loaded)
        log_line(&engine->env, TFOPS_LOG_WARN, "engine: %s has no generic variant: %s", spec->name,
            error_message());
}

enum tfops_status generic_variant(struct tfops_engine *engine, const struct tfops_problem *problem,
    int64_t last, struct plan_variant *ret_variant)
{
    int op = operators_index(&engine->operators, problem->spec);
    const struct generic *generic = &engine->operators.entries[op].generic;
    if (!generic->loaded)
        return error_set(TFOPS_E_COLD, "plan", problem->spec->name,
            "a prepared key or a generic variant", "neither");
    struct plan_variant variant = {
        .last = last, .source = PLAN_GENERIC, .registers = generic->registers};
    variant.config = mem_strdup(&engine->env, "generic");
    if (!variant.config)
        return TFOPS_E_MEMORY;
    memcpy(variant.sha256, generic->sha256, HASH_BYTES);
    launcher_init(&variant.launcher, &engine->driver, &engine->device, problem,
        &(struct tfops_config){.generic = true});
    variant.launcher.function = generic->function;
    *ret_variant = variant;
    ENGINE_COUNT(engine, generic_plans);
    return TFOPS_OK;
}
