/*
 * Process start (see cli_bench_open.h). The context is made here, by libcuda directly and before
 * the engine: the library must not be its own witness of what is context and what is not.
 */
#define _POSIX_C_SOURCE 200809L
#include "cli_bench_open.h"
#include "cli_engine.h"
#include "cli_json.h"
#include "cli_operands.h"
#include <dlfcn.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <tfops/tfops.h>
#include <unistd.h>

#define MAX_ARGS 128
#define MAX_WORDS 64

/* ---- one measurement ------------------------------------------------------------------------- */

static void *symbol(void *library, const char *name)
{
    return library ? dlsym(library, name) : NULL;
}

/* cuInit and the primary context of the device; false when libcuda cannot. */
static bool make_context(int index)
{
    int (*init)(unsigned), (*retain)(void **, int), (*get)(int *, int);
    const char *path = getenv("TFOPS_LIBCUDA");
    void *library = dlopen(path && *path ? path : "libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
    *(void **)&init = symbol(library, "cuInit");
    *(void **)&get = symbol(library, "cuDeviceGet");
    *(void **)&retain = symbol(library, "cuDevicePrimaryCtxRetain");
    void *context = NULL;
    int device = 0;
    return init && get && retain && init(0) == 0 && get(&device, index) == 0 &&
           retain(&context, device) == 0;
}

static int first_launch(const struct cli *cli, struct tfops_engine *engine,
    const struct tfops_problem *problem, struct cli_bench_open_result *result)
{
    struct tfops_plan *plan = NULL;
    struct cli_operands operands = {0};
    struct tfops_engine_stats stats = {.size = sizeof stats};
    double start = cli_seconds();
    enum tfops_status status = tfops_prepare(engine, problem, &plan);
    result->prepare_ms = (cli_seconds() - start) * 1e3;
    if (status == TFOPS_OK)
        status = cli_operands_make(engine, problem, plan, &operands); /* the caller's time */
    start = cli_seconds();
    if (status == TFOPS_OK)
        status = tfops_plan_launch(plan, &operands.args, NULL);
    if (status == TFOPS_OK)
        status = tfops_device_synchronize(engine);
    result->launch_ms = (cli_seconds() - start) * 1e3;
    if (status == TFOPS_OK)
        status = tfops_engine_stats(engine, &stats);
    result->compiles = stats.compiles;
    result->module_loads = stats.module_loads;
    struct tfops_plan_info info = {.size = sizeof info};
    if (status == TFOPS_OK &&
        tfops_plan_describe(plan, cli_problem_extent(problem), &info) == TFOPS_OK)
        snprintf(result->source, sizeof result->source, "%s", info.source);
    cli_operands_release(&operands);
    tfops_plan_release(plan);
    return status == TFOPS_OK ? CLI_OK : cli_fail_last(cli, status, "first launch");
}

static struct cli_target target_of(
    const struct cli_bench_open *bench, enum tfops_miss_policy policy)
{
    return (struct cli_target){.device = bench->device,
        .cache = bench->cache,
        .plugins = bench->plugins,
        .miss_policy = policy};
}

static struct cli_list words_of(const struct cli_bench_open *bench)
{
    return (struct cli_list){(const char **)bench->words, bench->n_words};
}

int cli_bench_open_once(const struct cli *cli, const struct cli_bench_open *bench,
    struct cli_bench_open_result *ret_result)
{
    struct cli_bench_open_result result = {0};
    struct cli_target target = target_of(bench, TFOPS_MISS_STRICT);
    struct cli_list words = words_of(bench);
    struct cli_problems problems = {0};
    struct tfops_engine *engine = NULL;
    double start = cli_seconds();
    if (!make_context(cli_device_ordinal(bench->device))) {
        struct tfops_error error;
        cli_error(&error, TFOPS_E_DRIVER, bench->device, "a CUDA context", "",
            "libcuda gives no context on %s", bench->device);
        return cli_fail(cli, CLI_FAILED, &error);
    }
    result.context_ms = (cli_seconds() - start) * 1e3;
    start = cli_seconds();
    int code = cli_engine_open(cli, &target, &engine);
    result.open_ms = (cli_seconds() - start) * 1e3;
    if (code == CLI_OK)
        code = cli_problems_load(cli, engine, &words, NULL, &problems);
    if (code == CLI_OK)
        code = first_launch(cli, engine, &problems.items[0], &result);
    result.beyond_ms = result.open_ms + result.prepare_ms + result.launch_ms;
    cli_problems_release(&problems);
    tfops_engine_close(engine);
    if (code == CLI_OK)
        *ret_result = result;
    return code;
}

/* ---- many, each in a fresh process ----------------------------------------------------------- */

/* Compiles what is missing into the cache, in a process whose start is not measured. */
static int fill_cache(const struct cli *cli, const struct cli_bench_open *bench)
{
    struct cli_target target = target_of(bench, TFOPS_MISS_COMPILE);
    struct cli_list words = words_of(bench);
    struct cli_problems problems = {0};
    struct tfops_engine *engine = NULL;
    int code = cli_engine_open(cli, &target, &engine);
    if (code == CLI_OK)
        code = cli_problems_load(cli, engine, &words, NULL, &problems);
    enum tfops_status status =
        code == CLI_OK ? tfops_engine_warm(engine, problems.items, 1) : TFOPS_OK;
    cli_problems_release(&problems);
    tfops_engine_close(engine);
    return status == TFOPS_OK ? code : cli_fail_last(cli, status, "cannot fill the cache");
}

static size_t make_args(const struct cli_bench_open *bench, const char *args[MAX_ARGS])
{
    size_t n = 0;
    args[n++] = "tfops-bench";
    args[n++] = "--suite";
    args[n++] = "open";
    args[n++] = "--samples";
    args[n++] = "1";
    args[n++] = "--json";
    args[n++] = "--device";
    args[n++] = bench->device;
    if (bench->cache) {
        args[n++] = "--cache";
        args[n++] = bench->cache;
    }
    for (size_t i = 0; i < bench->plugins->count && n + 3 < MAX_ARGS - MAX_WORDS; i++) {
        args[n++] = "--plugin";
        args[n++] = bench->plugins->items[i];
    }
    for (size_t i = 0; i < bench->n_words && n + 1 < MAX_ARGS; i++)
        args[n++] = bench->words[i];
    args[n] = NULL;
    return n;
}

/* Starts this program again with its stdout in a pipe; -1 when it cannot. */
static int start_child(const struct cli_bench_open *bench, pid_t *ret_pid)
{
    const char *args[MAX_ARGS];
    int ends[2];
    posix_spawn_file_actions_t actions;
    make_args(bench, args);
    if (pipe(ends) != 0)
        return -1;
    fcntl(ends[0], F_SETFD, FD_CLOEXEC);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
    posix_spawn_file_actions_addclose(&actions, ends[1]);
    int failed =
        posix_spawn(ret_pid, "/proc/self/exe", &actions, NULL, (char **)(uintptr_t)args, environ);
    posix_spawn_file_actions_destroy(&actions);
    close(ends[1]);
    if (failed)
        close(ends[0]);
    return failed ? -1 : ends[0];
}

static bool read_result(const char *line, struct cli_bench_open_result *ret_result)
{
    json *object = json_parse(line);
    bool good = object && strcmp(json_string(json_get(object, "event"), ""), "open") == 0;
    if (good) {
        ret_result->context_ms = json_number(json_get(object, "context_ms"), 0);
        ret_result->open_ms = json_number(json_get(object, "open_ms"), 0);
        ret_result->prepare_ms = json_number(json_get(object, "prepare_ms"), 0);
        ret_result->launch_ms = json_number(json_get(object, "launch_ms"), 0);
        ret_result->beyond_ms = json_number(json_get(object, "beyond_ms"), 0);
        ret_result->compiles = (uint64_t)json_number(json_get(object, "compiles"), 0);
        ret_result->module_loads = (uint64_t)json_number(json_get(object, "module_loads"), 0);
        snprintf(ret_result->source, sizeof ret_result->source, "%s",
            json_string(json_get(object, "source"), ""));
    }
    json_free(object);
    return good;
}

static bool run_child(const struct cli_bench_open *bench, struct cli_bench_open_result *ret_result)
{
    pid_t pid;
    bool good = false;
    int fd = start_child(bench, &pid);
    FILE *stream = fd >= 0 ? fdopen(fd, "r") : NULL;
    char *line = NULL;
    size_t room = 0;
    while (stream && getline(&line, &room, stream) > 0)
        good |= read_result(line, ret_result);
    free(line);
    if (stream)
        fclose(stream);
    int status = 0;
    if (fd >= 0)
        waitpid(pid, &status, 0);
    return good && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static int by_total(const void *left, const void *right)
{
    const struct cli_bench_open_result *a = left, *b = right;
    return (a->beyond_ms > b->beyond_ms) - (a->beyond_ms < b->beyond_ms);
}

int cli_bench_open(const struct cli *cli, const struct cli_bench_open *bench,
    struct cli_bench_open_result *ret_result)
{
    int code = fill_cache(cli, bench);
    if (code != CLI_OK)
        return code;
    size_t n = (size_t)bench->samples;
    struct cli_bench_open_result *samples = cli_new(n, sizeof *samples);
    if (!samples)
        return cli_fail_memory(cli);
    for (size_t i = 0; i < n && code == CLI_OK; i++) {
        if (run_child(bench, &samples[i]))
            continue;
        struct tfops_error error;
        cli_error(&error, TFOPS_E_WORKER, "tfops-bench", NULL, NULL,
            "a measuring process failed (its message is above)");
        code = cli_fail(cli, CLI_FAILED, &error);
    }
    if (code == CLI_OK) {
        qsort(samples, n, sizeof *samples, by_total);
        *ret_result = samples[n / 2];
    }
    free(samples);
    return code;
}
