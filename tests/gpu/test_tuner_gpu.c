/*
 * The tuner on a GPU: an operator whose space is full of bad configs (tests/fakes/bad_plugin.c)
 * costs each of them only itself; records, the lock, and what a second run does. The fake driver
 * runs the same (tests/cli/gpu_on_fake.sh), slowly: its kernels are C on one core.
 */
#include "driver.h"
#include "engine_access.h"
#include "tests/support/test_support.h"
#include "tuner/gpu_lock.h"
#include <criterion/criterion.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>

enum { KIND_SPILLS = 5, KINDS = 9 };

/* What each KIND must come to, and a word of the text that says why. */
static const struct {
    enum tfops_verdict verdict;
    const char *what, *word;
} EXPECTED[KINDS] = {
    {TFOPS_VERDICT_OK, "right", ""},
    {TFOPS_VERDICT_WRONG, "a dropped tail", "y["},
    {TFOPS_VERDICT_FAULT, "a fault", "CUDA_ERROR_ILLEGAL_ADDRESS"},
    {TFOPS_VERDICT_HANG, "a hang", "no answer within"},
    {TFOPS_VERDICT_COMPILE_FAILED, "what does not compile", "KIND 4 does not compile"},
    {TFOPS_VERDICT_SPILLS, "spills", "spill"},
    {TFOPS_VERDICT_WRONG, "a write behind the output", "outside of all operands"},
    {TFOPS_VERDICT_WRONG, "a row that is not written", "what was there before"},
    {TFOPS_VERDICT_ERROR, "too much shared memory", "CUDA_ERROR"},
};

static bool on_fake(void)
{
    const char *path = getenv("TFOPS_LIBCUDA");
    return path && strstr(path, "fake_cuda");
}

/* Where every launch of a verification is C on this core, the watchdog must wait for it. */
static double watchdog_s(void)
{
    return on_fake() ? 8 : 2;
}

struct tuned {
    struct support_engine open;
    struct tfops_problem problem;
    char plugin[SUPPORT_PATH_BYTES], worker[SUPPORT_PATH_BYTES];
};

static void must(enum tfops_status status, const char *what)
{
    struct tfops_error error = {.size = sizeof error};
    tfops_error_last(&error);
    cr_assert_eq(status, TFOPS_OK, "%s: %s", what, error.message);
}

static void open_engine(struct tuned *tuned)
{
    const char *plugins[] = {tuned->plugin};
    const struct tfops_engine_options options = {.size = sizeof options,
        .worker_path = tuned->worker,
        .plugin_paths = plugins,
        .n_plugins = 1};
    support_engine_open(&tuned->open, NULL, &options);
}

static void begin(struct tuned *tuned, const char *op, const char *rows, const char *hidden)
{
    *tuned = (struct tuned){.plugin = ""};
    support_fake_path("bad_plugin", tuned->plugin);
    snprintf(tuned->worker, sizeof tuned->worker, "%s/tfops-worker", support_build_dir());
    open_engine(tuned);
    const struct tfops_spec *spec = tfops_engine_operator(tuned->open.engine, op);
    cr_assert_not_null(spec, "no operator %s", op);
    must(tfops_problem_init(spec, &tuned->problem), op);
    must(tfops_problem_set(&tuned->problem, "rows", rows), rows);
    must(tfops_problem_set(&tuned->problem, "hidden", hidden), hidden);
    if (strcmp(op, "bad_scale") == 0)
        must(tfops_problem_set(&tuned->problem, "dtype", "f32"), "dtype");
}

static double now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

/* Neither alive nor dead and not waited for. */
static void expect_no_child(void)
{
    int status;
    const pid_t child = waitpid(-1, &status, WNOHANG);
    cr_expect(child == -1 && errno == ECHILD, "a worker is left: %d", (int)child);
}

/* ---- bad configs ---------------------------------------------------------------------------- */

struct seen {
    unsigned n[KINDS];
    enum tfops_verdict verdict[KINDS];
    uint32_t spill_bytes[KINDS];
    char text[KINDS][512];
};

static void take(void *user, const struct tfops_candidate *candidate)
{
    struct seen *seen = user;
    const int64_t kind = candidate->config.values[0];
    if (candidate->verdict == TFOPS_VERDICT_PRUNED)
        return;
    if (seen->n[kind]++ && candidate->verdict == TFOPS_VERDICT_OK)
        return;
    seen->verdict[kind] = candidate->verdict;
    seen->spill_bytes[kind] = candidate->spill_bytes;
    snprintf(seen->text[kind], sizeof seen->text[kind], "%s", candidate->text);
}

static void expect_verdicts(const struct seen *seen)
{
    for (int kind = 0; kind < KINDS; kind++) {
        fprintf(stderr, "KIND %d, %s: %s: %s\n", kind, EXPECTED[kind].what,
            tfops_verdict_name(seen->verdict[kind]), seen->text[kind]);
        cr_expect_eq(seen->n[kind], kind ? 1 : 3, "KIND %d: %u configs", kind, seen->n[kind]);
        cr_expect_eq(seen->verdict[kind], EXPECTED[kind].verdict, "KIND %d, %s: %s: %s", kind,
            EXPECTED[kind].what, tfops_verdict_name(seen->verdict[kind]), seen->text[kind]);
        cr_expect(strstr(seen->text[kind], EXPECTED[kind].word),
            "KIND %d, %s: \"%s\" is not in: %s", kind, EXPECTED[kind].what, EXPECTED[kind].word,
            seen->text[kind]);
    }
}

/* What the record makes of a launch, in an engine that never tuned. */
static void expect_record(struct tuned *tuned, const struct tfops_tune_result *result)
{
    struct tfops_plan *plan;
    struct tfops_plan_info info = {.size = sizeof info};
    support_engine_shut(&tuned->open);
    open_engine(tuned);
    struct tfops_problem problem = tuned->problem;
    problem.spec = tfops_engine_operator(tuned->open.engine, "bad_scale");
    must(tfops_prepare(tuned->open.engine, &problem, &plan), "prepare");
    must(tfops_plan_describe(plan, problem.dims[0], &info), "describe");
    cr_expect_str_eq(info.source, "record");
    cr_expect_str_eq(info.config, result->winner_text);
    tfops_plan_release(plan);
    tuned->problem = problem;
}

Test(tuner_gpu, bad_configs_cost_only_themselves, .timeout = 300)
{
    struct tuned tuned;
    struct seen seen = {.n = {0}};
    SUPPORT_NEEDS_GPU();
    SUPPORT_NEEDS_NVRTC();
    begin(&tuned, "bad_scale", "100", "1000");
    struct tfops_tune_options options = {.size = sizeof options,
        .watchdog_s = watchdog_s(),
        .interval = 0.05,
        .jobs = 2,
        .candidate = take,
        .user = &seen};
    struct tfops_tune_result result = {.size = sizeof result}, again = {.size = sizeof again};
    const double start = now_s();
    must(tfops_tune(tuned.open.engine, &tuned.problem, &options, &result), "tune");
    fprintf(stderr, "tuned in %.1f s; winner %s\n", now_s() - start, result.winner_text);
    expect_verdicts(&seen);
    expect_no_child();
    cr_expect_eq(result.winner.values[0], 0, "winner %s", result.winner_text);
    cr_expect(result.recorded);
    cr_expect_eq(result.configs, 11);
    cr_expect_eq(result.rejected, 6);
    cr_expect_eq(result.failed, 2);
    must(tfops_tune(tuned.open.engine, &tuned.problem, &options, &again), "again");
    cr_expect_eq(again.configs, 0, "a record is there, and %u configs were tried", again.configs);
    cr_expect_str_eq(again.winner_text, result.winner_text);
    expect_record(&tuned, &result);
    support_engine_close(&tuned.open);
}

/* The GPU still works for this process, and for the next worker. */
Test(tuner_gpu, config_that_hangs_ends_in_time, .timeout = 120)
{
    struct tuned tuned;
    struct tfops_config hang = {.values = {3, 128}};
    SUPPORT_NEEDS_GPU();
    SUPPORT_NEEDS_NVRTC();
    begin(&tuned, "bad_scale", "16", "64");
    struct seen seen = {.n = {0}};
    const struct tfops_tune_options options = {.size = sizeof options,
        .watchdog_s = watchdog_s(),
        .interval = 0.05,
        .only = &hang,
        .candidate = take,
        .user = &seen};
    struct tfops_tune_result result = {.size = sizeof result};
    const double start = now_s();
    must(tfops_tune(tuned.open.engine, &tuned.problem, &options, &result), "tune");
    const double took = now_s() - start;
    cr_expect_eq(seen.verdict[3], TFOPS_VERDICT_HANG, "%s", seen.text[3]);
    cr_expect(took < watchdog_s() + 20, "%g s", took);
    expect_no_child();
    support_engine_close(&tuned.open);
}

/* It is what serves where nothing was tuned: measured like any other, and never what keeps a problem from
 * being tuned. */
Test(tuner_gpu, default_that_spills_is_measured, .timeout = 120)
{
    struct tuned tuned;
    const struct tfops_config right = {.values = {0, 128}};
    struct seen seen = {.n = {0}};
    SUPPORT_NEEDS_GPU();
    SUPPORT_NEEDS_NVRTC();
    begin(&tuned, "bad_scale", "16", "96");
    const struct tfops_tune_options options = {.size = sizeof options,
        .watchdog_s = watchdog_s(),
        .interval = 0.05,
        .only = &right,
        .candidate = take,
        .user = &seen};
    struct tfops_tune_result result = {.size = sizeof result};
    must(tfops_tune(tuned.open.engine, &tuned.problem, &options, &result), "tune");
    cr_expect_eq(seen.n[KIND_SPILLS], 1);
    cr_expect_eq(seen.verdict[KIND_SPILLS], TFOPS_VERDICT_OK, "%s", seen.text[KIND_SPILLS]);
    cr_expect_gt(seen.spill_bytes[KIND_SPILLS], 0u);
    cr_expect_gt(result.default_ns, 0.0);
    cr_expect_eq(result.rejected, 0);
    support_engine_close(&tuned.open);
}

/* ---- the same winner ------------------------------------------------------------------------ */

/* The same config, or one that is not to be told from it by time. */
Test(tuner_gpu, winner_is_the_same_when_tuned_again, .timeout = 300)
{
    struct tuned tuned;
    struct tfops_tune_result results[2];
    SUPPORT_NEEDS_GPU();
    SUPPORT_NEEDS_NVRTC();
    SUPPORT_NEEDS(!on_fake(), "GPU that is real");
    begin(&tuned, "rmsnorm", "256", "2048");
    for (int i = 0; i < 2; i++) {
        const struct tfops_tune_options options = {.size = sizeof options,
            .strategy = "random",
            .max_configs = 24,
            .seed = 7,
            .force = true};
        results[i] = (struct tfops_tune_result){.size = sizeof results[i]};
        must(tfops_tune(tuned.open.engine, &tuned.problem, &options, &results[i]), "tune");
        fprintf(stderr, "%s: %.0f ns, default %.0f ns, %.2f s\n", results[i].winner_text,
            results[i].winner_ns, results[i].default_ns, results[i].seconds);
        expect_no_child();
    }
    cr_expect_eq(results[1].compiled, 0, "%u configs were compiled again", results[1].compiled);
    const bool same = strcmp(results[0].winner_text, results[1].winner_text) == 0;
    const double apart = fabs(results[0].winner_ns / results[1].winner_ns - 1);
    cr_expect(same || apart < 0.02, "%s of %g ns, then %s of %g ns", results[0].winner_text,
        results[0].winner_ns, results[1].winner_text, results[1].winner_ns);
    support_engine_close(&tuned.open);
}

/* ---- one at a time -------------------------------------------------------------------------- */

Test(tuner_gpu, second_run_on_a_gpu_is_refused)
{
    struct tuned tuned;
    struct engine_access access;
    struct gpu_lock lock = {.fd = -1};
    CUdevice device;
    CUuuid uuid;
    uint8_t bytes[16];
    SUPPORT_NEEDS_GPU();
    begin(&tuned, "rmsnorm", "16", "1024");
    must(engine_access(tuned.open.engine, &access), "engine_access");
    cr_assert_eq(access.driver->device_get(&device, 0), CUDA_SUCCESS);
    cr_assert_eq(access.driver->device_get_uuid(&uuid, device), CUDA_SUCCESS);
    memcpy(bytes, &uuid, sizeof bytes);
    must(gpu_lock_take(bytes, &lock), "the lock");
    struct tfops_tune_result result = {.size = sizeof result};
    struct tfops_error error = {.size = sizeof error};
    enum tfops_status status = tfops_tune(tuned.open.engine, &tuned.problem, NULL, &result);
    tfops_error_last(&error);
    cr_expect_eq(status, TFOPS_E_BUSY, "%s", tfops_status_name(status));
    cr_expect(strstr(error.message, "is tuning on this GPU"), "%s", error.message);
    cr_expect_eq(result.configs, 0);
    expect_no_child();
    gpu_lock_drop(&lock);
    support_engine_close(&tuned.open);
}
