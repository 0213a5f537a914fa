/*
 * A start with a warm cache compiles nothing, and needs no NVRTC. Each start is a process of its
 * own; what it compiled is counted by libcount_shim.so, which stands before the driver and NVRTC.
 * With the fake driver, and on a GPU where there is one.
 *
 *   warm_start            runs all starts
 *   warm_start CACHE      one start: opens, launches, compares; prints "SOURCE COMPILES"
 */
#include "tests/support/host_data.h"
#include "tests/support/test_support.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void must(enum tfops_status status, const char *what)
{
    struct tfops_error error = {.size = sizeof error};
    if (!status)
        return;
    tfops_error_last(&error);
    fprintf(stderr, "warm_start: %s: %s: %s\n", what, tfops_status_name(status), error.message);
    exit(1);
}

/* ---- one start ------------------------------------------------------------------------------ */

enum { ROWS = 37, COLS = 1024 };

/* The first launch of a prepared key, against the cpu device. */
static void launch_and_compare(struct tfops_engine *engine, struct tfops_engine *cpu)
{
    const struct support_shape matrix = {TFOPS_F16, ROWS, COLS, 0, 0};
    const struct support_shape vector = {TFOPS_F16, 0, COLS, 0, 0};
    static uint16_t expected[ROWS * COLS];
    struct support_tensor x, weight, out;
    support_tensor_make(&x, engine, &matrix, 1);
    support_tensor_make(&weight, engine, &vector, 2);
    support_tensor_make(&out, engine, &matrix, 3);
    must(tfops_rmsnorm(
             engine, &x.tensor, &weight.tensor, &out.tensor, 1e-6, TFOPS_WEIGHT_PLAIN, NULL),
        "launch");
    must(tfops_device_synchronize(engine), "synchronize");
    struct tfops_tensor host_x = support_tensor_on_host(&x), host_out = out.tensor,
                        host_weight = support_tensor_on_host(&weight);
    host_out.data = expected;
    must(tfops_rmsnorm(cpu, &host_x, &host_weight, &host_out, 1e-6, TFOPS_WEIGHT_PLAIN, NULL),
        "the cpu device");
    const double off = host_distance(support_tensor_read(&out), expected, TFOPS_F16, ROWS * COLS);
    if (!(off <= 1.2e-3)) {
        fprintf(stderr, "warm_start: the result is off by %g\n", off);
        exit(1);
    }
    support_tensor_free(&x);
    support_tensor_free(&weight);
    support_tensor_free(&out);
}

static int start_once(const char *cache)
{
    const struct tfops_engine_options options = {
        .size = sizeof options, .device = "cuda:0", .cache_path = cache};
    const struct tfops_engine_options host = {
        .size = sizeof host, .device = "cpu", .cache_path = ""};
    struct tfops_engine *engine, *cpu;
    struct tfops_engine_stats stats = {.size = sizeof stats};
    struct tfops_plan_info info = {.size = sizeof info};
    struct tfops_problem problem;
    struct tfops_plan *plan;
    must(tfops_engine_open(&options, &engine), "open");
    must(tfops_engine_open(&host, &cpu), "open the cpu device");
    must(tfops_problem_init(tfops_engine_operator(engine, "rmsnorm"), &problem), "problem");
    must(tfops_problem_set(&problem, "rows", "37"), "rows");
    must(tfops_problem_set(&problem, "hidden", "1024"), "hidden");
    must(tfops_prepare(engine, &problem, &plan), "prepare");
    must(tfops_plan_describe(plan, ROWS, &info), "describe");
    launch_and_compare(engine, cpu);
    must(tfops_engine_stats(engine, &stats), "stats");
    printf("%s %llu\n", info.source, (unsigned long long)stats.compiles);
    tfops_plan_release(plan);
    tfops_engine_close(engine);
    tfops_engine_close(cpu);
    return 0;
}

/* ---- all starts ----------------------------------------------------------------------------- */

struct outcome {
    char source[32];
    long long stats, shim; /* compiles; shim −1: it reported nothing */
};

static int failures;

static void expect(bool good, const char *driver, const char *start, const struct outcome *o)
{
    printf("%s, %s: served by %s, compiles: %lld by the engine's count, %lld by the shim's%s\n",
        driver, start, o->source, o->stats, o->shim, good ? "" : " FAILED");
    failures += !good;
}

/* Runs one start with the environment as it stands. */
static struct outcome run(const char *program, const char *dir)
{
    struct outcome outcome = {.source = "nothing", .stats = -1};
    char command[4 * SUPPORT_PATH_BYTES], counts[SUPPORT_PATH_BYTES + 32];
    snprintf(counts, sizeof counts, "%s/counts", dir);
    remove(counts);
    setenv("COUNT_SHIM_OUT", counts, 1);
    snprintf(command, sizeof command, "'%s' '%s/cache.db'", program, dir);
    FILE *pipe = popen(command, "re");
    if (!pipe || fscanf(pipe, "%31s %lld", outcome.source, &outcome.stats) != 2)
        failures++;
    if (pipe && pclose(pipe) != 0)
        failures++;
    outcome.shim = support_json_sum(counts, "nvrtcCompileProgram");
    return outcome;
}

static void try_driver(const char *program, const char *name, const char *nvrtc)
{
    char dir[SUPPORT_PATH_BYTES], shim[SUPPORT_PATH_BYTES];
    support_dir_make(dir);
    support_fake_path("count_shim", shim);
    setenv("TFOPS_LIBCUDA", shim, 1);
    setenv("TFOPS_LIBNVRTC", shim, 1);
    setenv("COUNT_SHIM_NVRTC", nvrtc, 1);
    struct outcome cold = run(program, dir);
    expect(cold.stats > 0 && cold.shim == cold.stats && !strcmp(cold.source, "default"), name,
        "cold", &cold);
    struct outcome warm = run(program, dir);
    expect(
        warm.stats == 0 && warm.shim == 0 && !strcmp(warm.source, "default"), name, "warm", &warm);
    setenv("TFOPS_LIBNVRTC", "/nonexistent/libnvrtc.so", 1);
    struct outcome without = run(program, dir);
    expect(without.stats == 0 && without.shim == 0 && !strcmp(without.source, "default"), name,
        "warm, without NVRTC", &without);
    support_dir_remove(dir);
    support_dir_make(dir);
    struct outcome empty = run(program, dir);
    expect(empty.stats == 0 && empty.shim == 0 && !strcmp(empty.source, "generic"), name,
        "cold, without NVRTC", &empty);
    support_dir_remove(dir);
    unsetenv("TFOPS_LIBCUDA");
    unsetenv("TFOPS_LIBNVRTC");
}

int main(int argc, char **argv)
{
    struct tfops_platform platform = {.size = sizeof platform};
    char fake[SUPPORT_PATH_BYTES], program[SUPPORT_PATH_BYTES];
    if (argc > 1)
        return start_once(argv[1]);
    tfops_platform_query(NULL, NULL, &platform);
    if (!platform.nvrtc_version) {
        printf("no NVRTC\n");
        return 77;
    }
    const ssize_t length = readlink("/proc/self/exe", program, sizeof program - 1);
    program[length > 0 ? length : 0] = '\0';
    support_fake_path("fake_cuda", fake);
    if (platform.device_count > 0 && !getenv("TFOPS_LIBCUDA"))
        try_driver(program, "GPU", platform.nvrtc_path);
    else
        fprintf(stderr, "SKIP warm_start on a GPU: no GPU\n");
    setenv("COUNT_SHIM_CUDA", fake, 1);
    try_driver(program, "fake driver", platform.nvrtc_path);
    printf("warm_start: %s\n", failures ? "FAILED" : "ok");
    return failures != 0;
}
