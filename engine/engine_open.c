/*
 * Opening and closing an engine: its options, its device, its caches, and what is opened at first use.
 */
#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"
#include "device.h"
#include "embedded.h"
#include "engine_state.h"
#include "generic.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tfops/tfops.h>
#include <time.h>

unsigned engine_fork_generation;

static void raise_generation(void)
{
    engine_fork_generation++;
}

static void watch_forks(void)
{
    pthread_atfork(NULL, NULL, raise_generation);
}

/* ---- opening -------------------------------------------------------------------------------- */

static uint64_t now_ns(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static enum tfops_status __attribute__((format(printf, 3, 4)))
refuse_option(const char *option, const char *expected, const char *format, ...)
{
    char actual[32];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(actual, sizeof actual, format, arguments);
    va_end(arguments);
    return error_set(TFOPS_E_ARGUMENT, "engine", option, expected, actual);
}

/* Known fields as given, newer ones zero. */
static enum tfops_status read_options(
    const struct tfops_engine_options *given, struct tfops_engine_options *ret_options)
{
    struct tfops_engine_options options = {.size = sizeof options};
    const unsigned char *bytes = (const unsigned char *)given;
    if (given && given->size < offsetof(struct tfops_engine_options, cache_path))
        return refuse_option(
            "options.size", "sizeof(struct tfops_engine_options)", "%zu", given->size);
    for (size_t i = sizeof options; given && i < given->size; i++)
        if (bytes[i])
            return error_setf(TFOPS_E_ARGUMENT, 0, "engine", "options",
                "byte %zu belongs to a newer version and is not zero", i);
    if (given)
        memcpy(&options, given, given->size < sizeof options ? given->size : sizeof options);
    const uint32_t known = TFOPS_ENGINE_UNLOAD_AT_CLOSE | TFOPS_ENGINE_READ_ONLY;
    if (options.flags & ~known)
        return refuse_option(
            "options.flags", "no bits unknown here", "%#x", options.flags & ~known);
    if ((unsigned)options.miss_policy > TFOPS_MISS_STRICT)
        return refuse_option(
            "options.miss_policy", "generic, compile or strict", "%d", (int)options.miss_policy);
    if ((options.n_shipped && !options.shipped_paths) ||
        (options.n_plugins && !options.plugin_paths))
        return error_set(TFOPS_E_ARGUMENT, "engine",
            options.n_plugins && !options.plugin_paths ? "options.plugin_paths"
                                                       : "options.shipped_paths",
            "as many paths as counted", "NULL");
    if (!options.alloc != !options.free)
        return error_set(TFOPS_E_ARGUMENT, "engine", "options.alloc", "alloc and free, or neither",
            "one of them");
    *ret_options = options;
    return TFOPS_OK;
}

static enum tfops_status open_gpu(struct tfops_engine *engine)
{
    enum tfops_status status = device_query(&engine->driver, engine->ordinal, &engine->device);
    if (status)
        return status;
    CUresult result = engine->driver.device_get(&engine->handle, engine->ordinal);
    if (!result)
        result = engine->driver.primary_ctx_retain(&engine->context, engine->handle);
    return driver_error(&engine->driver, result, "cuDevicePrimaryCtxRetain", engine->device.name);
}

static enum tfops_status open_cuda(
    struct tfops_engine *engine, const struct tfops_engine_options *options)
{
    enum tfops_status status = driver_open(options->driver_path, &engine->driver);
    return status ? status : open_gpu(engine);
}

/* cuda:0, or the cpu where the driver or a GPU is absent; a GPU that fails is an error. */
static enum tfops_status open_any(
    struct tfops_engine *engine, const struct tfops_engine_options *options)
{
    int count = 0;
    enum tfops_status status = driver_open(options->driver_path, &engine->driver);
    if (!status && !engine->driver.device_get_count(&count) && !count)
        status = error_set(TFOPS_E_DRIVER, "engine", "libcuda", "a GPU", "none");
    if (status != TFOPS_E_DRIVER) {
        engine->kind = ENGINE_CUDA;
        return status ? status : open_gpu(engine);
    }
    log_line(
        &engine->env, TFOPS_LOG_INFO, "engine: no GPU, taking the cpu device: %s", error_message());
    engine->kind = ENGINE_CPU;
    device_cpu(&engine->device);
    return TFOPS_OK;
}

/* "cuda:N", "cpu", "arch:NAME". */
static enum tfops_status open_named(
    struct tfops_engine *engine, const struct tfops_engine_options *options)
{
    const char *name = options->device;
    char *end = NULL;
    if (!strcmp(name, "cpu")) {
        engine->kind = ENGINE_CPU;
        device_cpu(&engine->device);
        return TFOPS_OK;
    }
    if (!strncmp(name, "arch:", 5)) {
        engine->kind = ENGINE_ARCH;
        return device_nominal(name + 5, &engine->device);
    }
    if (strncmp(name, "cuda:", 5) || name[5] < '0' || name[5] > '9')
        return error_set(
            TFOPS_E_UNKNOWN, "engine", "options.device", "cuda:N, cpu or arch:NAME", name);
    long ordinal = strtol(name + 5, &end, 10);
    if (*end || ordinal > 1 << 20)
        return error_set(TFOPS_E_UNKNOWN, "engine", "options.device", "cuda:N", name);
    engine->kind = ENGINE_CUDA;
    engine->ordinal = (int)ordinal;
    return open_cuda(engine, options);
}

static enum tfops_status open_device(
    struct tfops_engine *engine, const struct tfops_engine_options *options)
{
    enum tfops_status status =
        options->device ? open_named(engine, options) : open_any(engine, options);
    if (!status)
        device_sku(&engine->device, engine->sku);
    return status;
}

static struct embedded_binaries find_builtin(const char *arch)
{
    for (size_t i = 0; i < builtin_binaries_count; i++)
        if (!strcmp(builtin_binaries[i]->arch, arch))
            return *builtin_binaries[i];
    return (struct embedded_binaries){0};
}

static enum tfops_status open_caches(
    struct tfops_engine *engine, const struct tfops_engine_options *options)
{
    const struct embedded_binaries builtin = find_builtin(engine->device.arch);
    struct overlay_options overlay = {
        .user_path = options->cache_path,
        .shipped_paths = options->shipped_paths,
        .n_shipped = options->n_shipped,
        .read_only = (engine->flags & TFOPS_ENGINE_READ_ONLY) != 0,
        .builtin = builtin.binaries,
        .n_builtin = builtin.n,
    };
    return overlay_open(&engine->env, &overlay, &engine->overlay);
}

static enum tfops_status open_operators(
    struct tfops_engine *engine, const struct tfops_engine_options *options)
{
    enum tfops_status status = operators_init(&engine->operators);
    for (size_t i = 0; !status && i < options->n_plugins; i++)
        status = operators_load(&engine->env, &engine->operators, options->plugin_paths[i]);
    return status;
}

static enum tfops_status copy_path(const struct env *env, const char *path, char **ret_copy)
{
    *ret_copy = path ? mem_strdup(env, path) : NULL;
    return path && !*ret_copy ? TFOPS_E_MEMORY : TFOPS_OK;
}

static enum tfops_status open_parts(
    struct tfops_engine *engine, const struct tfops_engine_options *options)
{
    enum tfops_status status = copy_path(&engine->env, options->nvrtc_path, &engine->nvrtc_path);
    if (!status)
        status = copy_path(&engine->env, options->worker_path, &engine->worker_path);
    if (!status)
        status = open_operators(engine, options);
    if (!status)
        status = open_device(engine, options);
    if (!status)
        status = open_caches(engine, options);
    return status;
}

enum tfops_status tfops_engine_open(
    const struct tfops_engine_options *options, struct tfops_engine **ret_engine)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    struct tfops_engine_options known = {0};
    uint64_t start = now_ns();
    if (!ret_engine)
        return error_set(TFOPS_E_ARGUMENT, "engine", "ret_engine", "not NULL", "NULL");
    enum tfops_status status = read_options(options, &known);
    if (status)
        return status;
    if (engine_fork_generation)
        return error_set(TFOPS_E_FORKED, "engine", "open",
            "a process whose parent used no tfops engine", "a child of fork()");
    pthread_once(&once, watch_forks);
    struct env env = {known.alloc, known.free, known.alloc_user, known.log, known.log_user};
    struct tfops_engine *engine = mem_new(&env, 1, sizeof *engine);
    if (!engine)
        return TFOPS_E_MEMORY;
    engine->env = env;
    engine->flags = known.flags;
    engine->miss_policy = known.miss_policy;
    engine->generation = engine_fork_generation;
    pthread_mutex_init(&engine->lock, NULL);
    pthread_mutex_init(&engine->compile_lock, NULL);
    pthread_mutex_init(&engine->register_lock, NULL);
    plan_table_init(&engine->plans);
    status = open_parts(engine, &known);
    if (status) {
        tfops_engine_close(engine);
        return status;
    }
    for (size_t i = 0, n = operators_count(&engine->operators); i < n; i++)
        generic_load(engine, &engine->operators.entries[i]);
    engine->open_ns = now_ns() - start;
    *ret_engine = engine;
    return TFOPS_OK;
}

/* ---- closing -------------------------------------------------------------------------------- */

static void close_modules(struct tfops_engine *engine)
{
    struct driver_scope scope;
    bool unload = engine->flags & TFOPS_ENGINE_UNLOAD_AT_CLOSE && engine->modules;
    if (unload && driver_enter(&engine->driver, engine->context, &scope)) {
        log_line(&engine->env, TFOPS_LOG_WARN, "engine: modules stay loaded: %s", error_message());
        unload = false;
    }
    for (struct loaded *loaded = engine->modules, *next; loaded; loaded = next) {
        next = loaded->next;
        if (unload)
            engine->driver.module_unload(loaded->handle);
        mem_free(&engine->env, loaded);
    }
    if (unload)
        driver_leave(&engine->driver, &scope);
}

void tfops_engine_close(struct tfops_engine *engine)
{
    struct tfops_error saved;
    if (!engine || engine->generation != engine_fork_generation)
        return; /* a child of fork() owns none of this */
    error_save(&saved);
    plan_table_release(&engine->env, &engine->plans);
    close_modules(engine);
    operators_release(&engine->env, &engine->operators);
    overlay_close(engine->overlay);
    if (engine->context)
        engine->driver.primary_ctx_release(engine->handle);
    nvml_close(&engine->nvml);
    nvrtc_close(&engine->nvrtc);
    driver_close(&engine->driver);
    mem_free(&engine->env, engine->nvrtc_path);
    mem_free(&engine->env, engine->worker_path);
    pthread_mutex_destroy(&engine->lock);
    pthread_mutex_destroy(&engine->compile_lock);
    pthread_mutex_destroy(&engine->register_lock);
    struct env env = engine->env;
    mem_free(&env, engine);
    error_restore(&saved);
}

/* ---- parts opened at first use -------------------------------------------------------------- */

enum tfops_status engine_nvrtc(struct tfops_engine *engine, const struct nvrtc **ret_nvrtc)
{
    pthread_mutex_lock(&engine->lock);
    if (!engine->nvrtc_tried) {
        int major = engine->driver.version / 1000;
        engine->nvrtc_status = nvrtc_open(engine->nvrtc_path, major, &engine->nvrtc);
        engine->nvrtc_tried = true;
        error_save(&engine->nvrtc_error);
    } else if (engine->nvrtc_status) {
        error_restore(&engine->nvrtc_error);
    }
    enum tfops_status status = engine->nvrtc_status;
    pthread_mutex_unlock(&engine->lock);
    if (!status)
        *ret_nvrtc = &engine->nvrtc;
    return status;
}

const struct nvml *engine_nvml(struct tfops_engine *engine)
{
    pthread_mutex_lock(&engine->lock);
    if (!engine->nvml_tried && engine->kind == ENGINE_CUDA) {
        engine->nvml_tried = true;
        if (nvml_open(&engine->nvml))
            log_line(&engine->env, TFOPS_LOG_INFO, "engine: clocks unknown: %s", error_message());
    }
    const struct nvml *nvml = engine->nvml.library ? &engine->nvml : NULL;
    pthread_mutex_unlock(&engine->lock);
    return nvml;
}
