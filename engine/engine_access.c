/* The engine as the tuner sees it (see engine_access.h). */
#include "engine_access.h"
#include "base/error.h"
#include "build.h"
#include "engine_state.h"
#include "key.h"

enum tfops_status engine_access(struct tfops_engine *engine, struct engine_access *ret_access)
{
    const struct nvrtc *nvrtc = NULL;
    enum tfops_status status = engine_usable(engine);
    if (status)
        return status;
    bool compiles = !engine_nvrtc(engine, &nvrtc);
    *ret_access = (struct engine_access){.env = &engine->env,
        .device = &engine->device,
        .driver = engine->kind == ENGINE_CUDA ? &engine->driver : NULL,
        .nvml = engine_nvml(engine),
        .ordinal = engine->ordinal,
        .nvrtc_version = compiles ? nvrtc->version : 0,
        .nvrtc_path = compiles ? nvrtc->path : "",
        .driver_path = engine->driver.path,
        .worker_path = engine->worker_path,
        .plugin_paths = (const char *const *)engine->operators.plugin_paths,
        .n_plugins = engine->operators.n_plugins,
        .overlay = engine->overlay};
    return TFOPS_OK;
}

enum tfops_status engine_support_binary(
    struct tfops_engine *engine, enum support_kernel kernel, struct binary *ret_binary)
{
    struct build_job job;
    enum tfops_status status = support_job(&engine->env, kernel, &engine->device, &job);
    if (status)
        return status;
    status = build_job_binary(engine, &job, true, ret_binary);
    build_job_release(&engine->env, &job);
    return status;
}

static const struct tfops_config GENERIC = {.generic = true};

enum tfops_status engine_reference_binary(
    struct tfops_engine *engine, const struct tfops_problem *problem, struct binary *ret_binary)
{
    return build_binary(engine, problem, &GENERIC, RENDER_DEVICE_REFERENCE, true, ret_binary);
}

enum tfops_status engine_generic_binary(
    struct tfops_engine *engine, const struct tfops_problem *problem, struct binary *ret_binary)
{
    return build_binary(engine, problem, &GENERIC, RENDER_TUNED, true, ret_binary);
}

void engine_forget(struct tfops_engine *engine, const struct tfops_problem *problem)
{
    struct key key;
    key_make(problem, &key);
    pthread_mutex_lock(&engine->lock);
    plan_table_drop(&engine->env, &engine->plans, &key);
    pthread_mutex_unlock(&engine->lock);
}
