/*
 * Sessions on the GPU: the default config of the norms passes verification at every alignment and
 * odd edge, within its time budget, and is timed to the interval asked for.
 */
#include "base/error.h"
#include "build.h"
#include "engine_access.h"
#include "tests/support/test_support.h"
#include "tuner/session.h"
#include <criterion/criterion.h>
#include <stdio.h>
#include <time.h>

struct setup {
    struct support_engine engine;
    struct engine_access access;
    struct tfops_problem problem;
    struct binary reference, support[SUPPORT_COUNT], candidate;
    struct tfops_config config;
    struct session *session;
};

static double now_ms(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec * 1e3 + (double)time.tv_nsec * 1e-6;
}

static void must(enum tfops_status status, const char *what)
{
    cr_assert_eq(status, TFOPS_OK, "%s: %s", what, error_message());
}

/* `text`: "rows=37 hidden=4095 dtype=f16 …" */
static void describe(struct setup *setup, const char *op, const char *text)
{
    char copy[256], *save = NULL;
    const struct tfops_spec *spec = tfops_engine_operator(setup->engine.engine, op);
    must(tfops_problem_init(spec, &setup->problem), op);
    snprintf(copy, sizeof copy, "%s", text);
    for (char *pair = strtok_r(copy, " ", &save); pair; pair = strtok_r(NULL, " ", &save)) {
        char *value = strchr(pair, '=');
        *value++ = '\0';
        must(tfops_problem_set(&setup->problem, pair, value), pair);
    }
    must(tfops_problem_check(&setup->problem), text);
}

static void start(struct setup *setup, const char *op, const char *text)
{
    struct tfops_engine *engine = setup->engine.engine;
    describe(setup, op, text);
    const struct tfops_spec *spec = setup->problem.spec;
    must(engine_access(engine, &setup->access), "engine_access");
    must(engine_reference_binary(engine, &setup->problem, &setup->reference), "reference");
    for (int i = 0; i < SUPPORT_COUNT; i++)
        must(engine_support_binary(engine, (enum support_kernel)i, &setup->support[i]), "support");
    spec->default_config(spec->user, &setup->problem, setup->access.device, &setup->config);
    must(build_binary(
             engine, &setup->problem, &setup->config, RENDER_TUNED, true, &setup->candidate),
        text);
    const struct session_options options = {.driver = setup->access.driver,
        .nvml = setup->access.nvml,
        .ordinal = setup->access.ordinal,
        .problem = &setup->problem,
        .reference = &setup->reference,
        .fill = &setup->support[SUPPORT_FILL],
        .compare = &setup->support[SUPPORT_COMPARE],
        .copy = &setup->support[SUPPORT_COPY]};
    must(session_open(setup->access.env, &options, &setup->session), text);
}

static void stop(struct setup *setup)
{
    session_close(setup->session);
    binary_release(setup->access.env, &setup->reference);
    binary_release(setup->access.env, &setup->candidate);
    for (int i = 0; i < SUPPORT_COUNT; i++)
        binary_release(setup->access.env, &setup->support[i]);
}

static const struct {
    const char *op, *problem;
} CASES[] = {
    {"rmsnorm", "rows=1 hidden=1"},
    {"rmsnorm", "rows=37 hidden=4095"},
    {"rmsnorm", "rows=300 hidden=4096 align=2"},
    {"rmsnorm", "rows=300 hidden=4095 align=16"},
    {"rmsnorm", "rows=1000 hidden=2880 dtype=bf16"},
    {"rmsnorm", "rows=5 hidden=65536 dtype=f32"},
    {"rmsnorm", "rows=64 hidden=3584 weight_variant=one_plus"},
    {"rmsnorm", "rows=64 hidden=3584 weight_variant=round_before"},
    {"rmsnorm", "rows=2048 hidden=4096 batch_invariant=1"},
    {"add_rmsnorm", "rows=700 hidden=5120"},
    {"add_rmsnorm", "rows=700 hidden=5120 residual_out=1"},
    {"add_rmsnorm", "rows=7 hidden=4095 dtype=bf16"},
    {"quantize", "rows=300 hidden=4096 granularity=per_token scales=1 saturated=1"},
    {"quantize", "rows=37 hidden=4095 granularity=per_tensor_static static_scale=1 saturated=1 "
                 "retries=1 count_dtype=i64 overflow=rescale scales=1"},
};

Test(session_gpu, defaults_pass_verification_at_odd_edges, .timeout = 600)
{
    SUPPORT_NEEDS_GPU();
    SUPPORT_NEEDS_NVRTC();
    struct setup setup = {0};
    support_engine_open(&setup.engine, NULL, NULL);
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        struct verify_report report;
        uint32_t id;
        start(&setup, CASES[i].op, CASES[i].problem);
        must(session_add(setup.session, &setup.config, &setup.candidate, &id), CASES[i].problem);
        must(session_verify(setup.session, id, &report), CASES[i].problem);
        fprintf(stderr, "%s %s: error %.3g\n", CASES[i].op, CASES[i].problem, report.relative);
        stop(&setup);
    }
    support_engine_close(&setup.engine);
}

/* The session's budget for one candidate: 5 ms to verify, 15 ms to time to 1%. */
Test(session_gpu, candidate_is_verified_and_timed_within_the_budget, .timeout = 600)
{
    SUPPORT_NEEDS_GPU();
    SUPPORT_NEEDS_NVRTC();
    struct setup setup = {0};
    struct verify_report report;
    struct sample_set samples = {0}, kernel = {0}, copy = {0};
    struct nvml_sample clocks = {0};
    struct estimate time, kernel_time, copy_time;
    const struct measure_options options = {.interval = 0.01};
    uint32_t ids[2];
    support_engine_open(&setup.engine, NULL, NULL);
    start(&setup, "rmsnorm", "rows=16384 hidden=4096");
    for (int i = 0; i < 2; i++) { /* the first makes the memory of the session */
        must(session_add(setup.session, &setup.config, &setup.candidate, &ids[i]), "add");
        double start_ms = now_ms();
        must(session_verify(setup.session, ids[i], &report), "verify");
        double verified_ms = now_ms();
        must(session_measure(setup.session, &ids[i], 1, &options, &samples, &clocks), "measure");
        double done_ms = now_ms();
        must(stats_estimate(setup.access.env, &samples, &time), "estimate");
        fprintf(stderr,
            "verify %.2f ms, measure %.2f ms: %.2f us [%.2f, %.2f], %u samples, %d MHz\n",
            verified_ms - start_ms, done_ms - verified_ms, time.median / 1e3, time.low / 1e3,
            time.high / 1e3, time.n, clocks.sm_clock_mhz);
        cr_expect(i == 0 || verified_ms - start_ms < 5, "%g ms", verified_ms - start_ms);
        cr_expect(i == 0 || done_ms - verified_ms < 15, "%g ms", done_ms - verified_ms);
        cr_expect(stats_relative_width(&time) <= 0.01);
        sample_set_release(setup.access.env, &samples);
    }
    must(session_roof(setup.session, ids[1], &options, &samples, &kernel, &copy), "roof");
    must(stats_estimate(setup.access.env, &samples, &time), "estimate");
    must(stats_estimate(setup.access.env, &kernel, &kernel_time), "estimate");
    must(stats_estimate(setup.access.env, &copy, &copy_time), "estimate");
    fprintf(stderr, "beside the roof: %.2f us, copy kernel %.2f us, memcpy %.2f us\n",
        time.median / 1e3, kernel_time.median / 1e3, copy_time.median / 1e3);
    sample_set_release(setup.access.env, &samples);
    sample_set_release(setup.access.env, &kernel);
    sample_set_release(setup.access.env, &copy);
    stop(&setup);
    support_engine_close(&setup.engine);
}
