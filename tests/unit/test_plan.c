/* From records to what a launch of each extent runs: on an engine with the fake driver. */
#include "engine_state.h"
#include "plan_state.h"
#include "tests/fakes/fake_cuda.h"
#include "tests/support/expect.h"
#include "tests/support/test_support.h"
#include "tests/support/toy_spec.h"
#include <criterion/criterion.h>
#include <stdio.h>
#include <tfops/tfops.h>

static struct support_engine support;
static struct tfops_engine_options options = {.size = sizeof options};
static struct tfops_engine *engine;
static struct toy toy;
static struct tfops_problem problem;
static struct tfops_plan *plan;

static void end(void)
{
    tfops_plan_release(plan);
    support_engine_close(&support);
}

TestSuite(plan, .fini = end);

/* An engine with the toy, whose default is UNROLL=1 up to m=64 and 2 beyond. */
static void begin(void)
{
    support_use_fake_cuda();
    unsetenv("TFOPS_KERNEL_DIR");
    support_engine_open(&support, "cuda:0", &options);
    engine = support.engine;
    toy_init(&toy);
    EXPECT_OK(tfops_engine_register(engine, &toy.spec));
    EXPECT_OK(tfops_problem_init(tfops_engine_operator(engine, "toy"), &problem));
    EXPECT_OK(tfops_problem_set(&problem, "n", "64"));
    EXPECT_OK(tfops_problem_set(&problem, "k", "1"));
    EXPECT_OK(tfops_problem_check(&problem));
}

static void record(int64_t extent, const char *config)
{
    char text[KEY_TEXT_BYTES];
    key_text(&problem, text);
    const struct tfops_record row = support_record(engine->sku, "toy", text, extent, config);
    EXPECT_OK(overlay_put_record(engine->overlay, &row));
}

static void expect_source(int64_t extent, const char *source, const char *config)
{
    struct tfops_plan_info info = {.size = sizeof info};
    EXPECT_OK(tfops_plan_describe(plan, extent, &info));
    cr_assert(!strcmp(info.source, source) && !strcmp(info.config, config),
        "m=%lld: %s \"%s\", wanted %s \"%s\"", (long long)extent, info.source, info.config, source,
        config);
}

static size_t occurrences(const char *text, const char *part)
{
    size_t n = 0;
    for (; (text = strstr(text, part)) != NULL; text += strlen(part))
        n++;
    return n;
}

Test(plan, without_records_the_default_follows_the_extent)
{
    SUPPORT_NEEDS_NVRTC();
    begin();
    EXPECT_OK(tfops_prepare(engine, &problem, &plan));
    expect_source(1, "default", "THREADS=128 UNROLL=1");
    expect_source(64, "default", "THREADS=128 UNROLL=1");
    expect_source(65, "default", "THREADS=128 UNROLL=2");
    expect_source(INT64_MAX, "default", "THREADS=128 UNROLL=2");
}

Test(plan, a_record_speaks_for_its_extent_and_a_reach_of_four)
{
    SUPPORT_NEEDS_NVRTC();
    begin();
    record(256, "THREADS=64 UNROLL=1");
    EXPECT_OK(tfops_prepare(engine, &problem, &plan));
    expect_source(256, "record", "THREADS=64 UNROLL=1");
    expect_source(64, "nearest", "THREADS=64 UNROLL=1");
    expect_source(1024, "nearest", "THREADS=64 UNROLL=1");
    expect_source(63, "default", "THREADS=128 UNROLL=1");
    expect_source(1025, "default", "THREADS=128 UNROLL=2");
    expect_source(1, "default", "THREADS=128 UNROLL=1");
}

Test(plan, the_nearer_of_two_records_serves)
{
    SUPPORT_NEEDS_NVRTC();
    begin();
    record(16, "THREADS=64 UNROLL=1");
    record(144, "THREADS=64 UNROLL=2");
    EXPECT_OK(tfops_prepare(engine, &problem, &plan));
    expect_source(16, "record", "THREADS=64 UNROLL=1");
    expect_source(48, "nearest", "THREADS=64 UNROLL=1"); /* the geometric mean */
    expect_source(49, "nearest", "THREADS=64 UNROLL=2");
    expect_source(144, "record", "THREADS=64 UNROLL=2");
}

/* One line, not one for each range of extents that it would have served. */
Test(plan, a_record_that_does_not_parse_is_left_out_and_logged_once)
{
    SUPPORT_NEEDS_NVRTC();
    begin();
    record(256, "THREADS=64 GONE=1");
    EXPECT_OK(tfops_prepare(engine, &problem, &plan));
    expect_source(256, "default", "THREADS=128 UNROLL=2");
    EXPECT_INT(occurrences(support.log, "is left out"), 1);
    EXPECT_CONTAINS(support.log, "GONE");
}

Test(plan, a_record_outside_the_space_is_left_out_and_logged_once)
{
    SUPPORT_NEEDS_NVRTC();
    begin();
    record(256, "THREADS=64 UNROLL=4");
    EXPECT_OK(tfops_prepare(engine, &problem, &plan));
    expect_source(256, "default", "THREADS=128 UNROLL=2");
    EXPECT_INT(occurrences(support.log, "is left out"), 1);
    EXPECT_CONTAINS(support.log, "not in the space");
}

Test(plan, a_bad_record_does_not_hide_a_good_one)
{
    SUPPORT_NEEDS_NVRTC();
    begin();
    record(200, "THREADS=64 UNROLL=4");
    record(256, "THREADS=64 UNROLL=1");
    EXPECT_OK(tfops_prepare(engine, &problem, &plan));
    expect_source(200, "nearest", "THREADS=64 UNROLL=1");
}

Test(plan, extents_near_the_end_of_the_numbers_do_not_overflow)
{
    SUPPORT_NEEDS_NVRTC();
    begin();
    record(INT64_MAX, "THREADS=64 UNROLL=1");
    record(INT64_MAX / 2, "THREADS=64 UNROLL=2");
    EXPECT_OK(tfops_prepare(engine, &problem, &plan));
    expect_source(1, "default", "THREADS=128 UNROLL=1");
    expect_source(INT64_MAX, "record", "THREADS=64 UNROLL=1");
}

Test(plan, batch_invariant_has_one_config_for_every_extent)
{
    SUPPORT_NEEDS_NVRTC();
    begin();
    problem.flags = TFOPS_BATCH_INVARIANT;
    record(16, "THREADS=64 UNROLL=1");
    record(4096, "THREADS=64 UNROLL=2");
    EXPECT_OK(tfops_prepare(engine, &problem, &plan));
    EXPECT_INT(plan->n_variants, 1);
    expect_source(1, "nearest", "THREADS=64 UNROLL=2");
    expect_source(4096, "record", "THREADS=64 UNROLL=2");
    expect_source(INT64_MAX, "nearest", "THREADS=64 UNROLL=2");
}

Test(plan, variants_cover_every_extent_in_order)
{
    SUPPORT_NEEDS_NVRTC();
    begin();
    for (int64_t extent = 1; extent < 100000; extent = extent * 3 + 1)
        record(extent, extent % 2 ? "THREADS=64 UNROLL=1" : "THREADS=64 UNROLL=2");
    EXPECT_OK(tfops_prepare(engine, &problem, &plan));
    for (size_t i = 1; i < plan->n_variants; i++)
        cr_assert_lt(plan_variants(plan)[i - 1].last, plan_variants(plan)[i].last);
    EXPECT_INT(plan_variants(plan)[plan->n_variants - 1].last, INT64_MAX);
}

Test(plan, a_pin_that_is_not_there_is_built_anew)
{
    SUPPORT_NEEDS_NVRTC();
    begin();
    record(256, "THREADS=64 UNROLL=1");
    EXPECT_OK(tfops_prepare(engine, &problem, &plan));
    expect_source(256, "record", "THREADS=64 UNROLL=1");
    EXPECT_CONTAINS(support.log, "pins is not there");
}

/* A cubin of CUDA 13 is not for a driver of CUDA 12: another one is looked for or made. */
Test(plan, a_binary_that_needs_a_newer_driver_is_a_miss)
{
    setenv("FAKE_CUDA_VERSION", "12080", 1);
    options.nvrtc_path = "/nonexistent/libnvrtc.so";
    support_use_fake_cuda();
    support_engine_open(&support, "cuda:0", &options);
    engine = support.engine;
    struct tfops_engine_stats stats = {.size = sizeof stats};
    EXPECT_OK(tfops_engine_stats(engine, &stats));
    cr_assert_gt(stats.misses_binary, 0u, "the built-in cubins of a newer CUDA were taken");
    EXPECT_INT(stats.module_loads, 0);
    EXPECT_CONTAINS(support.log, "needs a driver");
}

static bool small_extents_take_64_threads(void *user, const struct tfops_problem *asked,
    const struct tfops_device *device, const struct tfops_config *config,
    char reason[TFOPS_REASON_BYTES])
{
    (void)user, (void)device;
    snprintf(reason, TFOPS_REASON_BYTES, "64 threads are for few rows");
    return (config->values[TOY_THREADS] == 64) == (asked->dims[TOY_M] <= 8);
}

/* A space may depend on the extent: the plan of a large one serves small ones, too. */
Test(plan, a_record_is_judged_at_the_extent_it_was_measured_at)
{
    support_use_fake_cuda();
    support_engine_open(&support, "cuda:0", &options);
    engine = support.engine;
    toy_init(&toy);
    toy.spec.constraint = small_extents_take_64_threads;
    EXPECT_OK(tfops_engine_register(engine, &toy.spec));
    EXPECT_OK(tfops_problem_init(tfops_engine_operator(engine, "toy"), &problem));
    EXPECT_OK(tfops_problem_set(&problem, "n", "64"));
    EXPECT_OK(tfops_problem_set(&problem, "k", "1"));
    EXPECT_OK(tfops_problem_set(&problem, "m", "1000"));
    EXPECT_OK(tfops_problem_check(&problem));
    record(4, "THREADS=64 UNROLL=1");
    EXPECT_OK(tfops_prepare(engine, &problem, &plan));
    expect_source(4, "record", "THREADS=64 UNROLL=1");
    expect_source(1000, "default", "THREADS=128 UNROLL=2");
}
