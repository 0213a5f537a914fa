/*
 * tfops_tune() as far as no GPU is needed: what it refuses, what a dry run lists, and compile-only
 * runs with the real worker and NVRTC (skipped, and said so, where one is missing).
 */
#include "base/error.h"
#include "tests/support/test_support.h"
#include "tuner/candidate.h"
#include "tuner/gpu_lock.h"
#include "tuner/worker_process.h"
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <tfops/tfops.h>
#include <unistd.h>

static char directory[SUPPORT_PATH_BYTES];
static char cache[SUPPORT_PATH_BYTES + 16], worker[WORKER_PATH_BYTES];

static void set_up(void)
{
    const char *build = getenv("TFOPS_BUILD");
    support_dir_make(directory);
    snprintf(cache, sizeof cache, "%s/cache.db", directory);
    snprintf(worker, sizeof worker, "%s/tfops-worker", build ? build : "build");
}

static void tear_down(void)
{
    support_dir_remove(directory);
}

static struct tfops_engine *open_engine(const char *device)
{
    struct tfops_engine *engine;
    const struct tfops_engine_options options = {.size = sizeof options,
        .device = device,
        .cache_path = cache,
        .worker_path = access(worker, X_OK) ? NULL : worker};
    cr_assert_eq(tfops_engine_open(&options, &engine), TFOPS_OK, "%s", error_message());
    return engine;
}

static struct tfops_problem a_problem(struct tfops_engine *engine)
{
    struct tfops_problem problem;
    cr_assert_eq(tfops_problem_init(tfops_engine_operator(engine, "rmsnorm"), &problem), TFOPS_OK);
    tfops_problem_set(&problem, "rows", "64");
    tfops_problem_set(&problem, "hidden", "1024");
    return problem;
}

static uint64_t binaries_in_cache(void)
{
    struct tfops_cache *file;
    struct tfops_cache_totals totals = {.size = sizeof totals};
    cr_assert_eq(tfops_cache_open(cache, &file), TFOPS_OK, "%s", error_message());
    cr_assert_eq(tfops_cache_totals(file, &totals), TFOPS_OK, "%s", error_message());
    tfops_cache_close(file);
    return totals.binaries;
}

struct seen {
    uint32_t n, compiled, defaults;
    char first[512];
    volatile int cancel;
};

static void take(void *user, const struct tfops_candidate *candidate)
{
    struct seen *seen = user;
    if (candidate->verdict == TFOPS_VERDICT_PRUNED)
        return;
    if (!seen->n++)
        snprintf(seen->first, sizeof seen->first, "%s", candidate->config_text);
    seen->compiled += candidate->verdict == TFOPS_VERDICT_COMPILED;
    seen->defaults += candidate->is_default;
}

static void take_and_cancel(void *user, const struct tfops_candidate *candidate)
{
    struct seen *seen = user;
    take(user, candidate);
    seen->cancel = candidate->verdict != TFOPS_VERDICT_PRUNED;
}

static bool can_compile(void)
{
    struct tfops_platform platform = {.size = sizeof platform};
    char path[WORKER_PATH_BYTES];
    tfops_platform_query(NULL, NULL, &platform);
    return platform.nvrtc_version && !worker_locate(access(worker, X_OK) ? NULL : worker, path);
}

Test(job, refuses_the_cpu_device_and_names_compile_only, .init = set_up, .fini = tear_down)
{
    struct tfops_engine *engine = open_engine("cpu");
    struct tfops_problem problem = a_problem(engine);
    struct tfops_tune_result result = {.size = sizeof result};
    cr_assert_eq(tfops_tune(engine, &problem, NULL, &result), TFOPS_E_UNSUPPORTED);
    cr_assert(strstr(error_message(), "compile-only"), "%s", error_message());
    tfops_engine_close(engine);
}

Test(job, refuses_to_measure_where_there_is_no_gpu, .init = set_up, .fini = tear_down)
{
    struct tfops_engine *engine = open_engine("arch:sm_90a");
    struct tfops_problem problem = a_problem(engine);
    struct tfops_tune_result result = {.size = sizeof result};
    cr_assert_eq(tfops_tune(engine, &problem, NULL, &result), TFOPS_E_UNSUPPORTED);
    tfops_engine_close(engine);
}

Test(job, names_an_unknown_strategy_and_values_out_of_range, .init = set_up, .fini = tear_down)
{
    struct tfops_engine *engine = open_engine("arch:sm_90a");
    struct tfops_problem problem = a_problem(engine);
    struct tfops_tune_result result = {.size = sizeof result};
    struct tfops_tune_options options = {
        .size = sizeof options, .dry_run = true, .strategy = "genetic"};
    cr_assert_eq(tfops_tune(engine, &problem, &options, &result), TFOPS_E_UNKNOWN);
    options.strategy = NULL;
    options.interval = -1;
    cr_assert_eq(tfops_tune(engine, &problem, &options, &result), TFOPS_E_RANGE);
    cr_assert_eq(tfops_tune(NULL, &problem, NULL, &result), TFOPS_E_ARGUMENT);
    cr_assert_eq(tfops_tune(engine, &problem, NULL, NULL), TFOPS_E_ARGUMENT);
    tfops_engine_close(engine);
}

Test(job, lists_the_space_in_a_dry_run, .init = set_up, .fini = tear_down)
{
    struct tfops_engine *engine = open_engine("arch:sm_90a");
    struct tfops_problem problem = a_problem(engine);
    struct seen seen = {0};
    struct tfops_tune_result result = {.size = sizeof result};
    const struct tfops_tune_options options = {
        .size = sizeof options, .dry_run = true, .candidate = take, .user = &seen};
    cr_assert_eq(tfops_tune(engine, &problem, &options, &result), TFOPS_OK, "%s", error_message());
    cr_assert_gt(seen.n, 1);
    cr_assert_eq(seen.n, result.configs);
    cr_assert_eq(seen.defaults, 1);
    cr_assert_eq(result.compiled, 0);
    tfops_engine_close(engine);
}

Test(job, compiles_once_and_finds_it_again, .init = set_up, .fini = tear_down, .timeout = 600)
{
    if (!can_compile())
        cr_skip_test("no NVRTC or no tfops-worker here");
    for (int round = 0; round < 2; round++) {
        struct tfops_engine *engine = open_engine("arch:sm_90a");
        struct tfops_problem problem = a_problem(engine);
        struct seen seen = {0};
        struct tfops_tune_result result = {.size = sizeof result};
        const struct tfops_tune_options options = {.size = sizeof options,
            .compile_only = true,
            .max_configs = 3,
            .jobs = 2,
            .candidate = take,
            .user = &seen};
        cr_assert_eq(
            tfops_tune(engine, &problem, &options, &result), TFOPS_OK, "%s", error_message());
        cr_assert_eq(result.configs, 3);
        /* Beside the three: defaults of other extents, one of which may be among them. */
        cr_assert(round ? result.compiled == 0 : result.compiled >= binaries_in_cache(),
            "compiled %u", result.compiled);
        cr_assert_eq(result.cached, round ? 3 : 0, "cached %u", result.cached);
        cr_assert_eq(seen.defaults, 1);
        tfops_engine_close(engine);
    }
}

Test(job, stops_at_the_cancel_flag, .init = set_up, .fini = tear_down, .timeout = 600)
{
    if (!can_compile())
        cr_skip_test("no NVRTC or no tfops-worker here");
    struct tfops_engine *engine = open_engine("arch:sm_90a");
    struct tfops_problem problem = a_problem(engine);
    struct seen seen = {0};
    struct tfops_tune_result result = {.size = sizeof result};
    const struct tfops_tune_options options = {.size = sizeof options,
        .compile_only = true,
        .max_configs = 64,
        .jobs = 2,
        .candidate = take_and_cancel,
        .user = &seen,
        .cancel = &seen.cancel};
    cr_assert_eq(tfops_tune(engine, &problem, &options, &result), TFOPS_E_CANCELLED);
    cr_assert_lt(result.configs, 64);
    tfops_engine_close(engine);
    siginfo_t info;
    cr_assert_eq(waitid(P_ALL, 0, &info, WEXITED | WNOHANG), -1, "a worker is left");
}

Test(job, holds_a_gpu_for_one_run_at_a_time)
{
    const uint8_t uuid[16] = {0xfe, 0xed, (uint8_t)getpid(), (uint8_t)(getpid() >> 8)};
    struct gpu_lock first = {.fd = -1}, second = {.fd = -1};
    char pid[32];
    cr_assert_eq(gpu_lock_take(uuid, &first), TFOPS_OK, "%s", error_message());
    cr_assert_eq(gpu_lock_take(uuid, &second), TFOPS_E_BUSY);
    snprintf(pid, sizeof pid, "process %ld", (long)getpid());
    cr_assert(strstr(error_message(), pid), "%s", error_message());
    gpu_lock_drop(&first);
    cr_assert_eq(gpu_lock_take(uuid, &second), TFOPS_OK);
    gpu_lock_drop(&second);
}

/* NVIDIA's occupancy calculator, sm_90: 128 threads, 32 registers: 16 blocks by threads. */
Test(job, knows_the_occupancy_of_a_build)
{
    const struct tfops_device device = {.max_threads_per_sm = 2048,
        .max_blocks_per_sm = 32,
        .regs_per_sm = 65536,
        .smem_per_sm_bytes = 233472};
    struct binary binary = {.threads = 128, .registers = 32};
    cr_assert_eq(candidate_static_occupancy(&binary, &device), 16);
    binary.registers = 128;
    cr_assert_eq(candidate_static_occupancy(&binary, &device), 4);
    binary.smem_bytes = 100 * 1024;
    cr_assert_eq(candidate_static_occupancy(&binary, &device), 2);
    binary.threads = 32;
    binary.smem_bytes = 0;
    binary.registers = 16;
    cr_assert_eq(candidate_static_occupancy(&binary, &device), 32);
}

Test(job, names_every_verdict)
{
    for (int i = 0; i < TFOPS_VERDICT_COUNT; i++)
        cr_assert_gt(strlen(tfops_verdict_name((enum tfops_verdict)i)), 1, "%d", i);
    cr_assert_str_eq(tfops_verdict_name(TFOPS_VERDICT_COUNT), "?");
}
