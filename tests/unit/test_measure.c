/* Racing lanes against a scripted clock. */
#include "tests/support/scripted_gpu.h"
#include "tuner/measure.h"
#include <criterion/criterion.h>
#include <math.h>

static const struct env ENV;
static struct gpu gpu;
static struct meter meter;
static struct lane lanes[4];
static struct scripted_image images[4];
static uint32_t n_lanes;

static void start(const struct nvml *nvml)
{
    gpu = (struct gpu){.env = &ENV, .driver = scripted_open()};
    cr_assert_eq(gpu.driver->stream_create(&gpu.stream, 0), CUDA_SUCCESS);
    cr_assert_eq(meter_init(&meter, &gpu, nvml, 0, 0), TFOPS_OK);
    n_lanes = 0;
}

static enum tfops_status enqueue(void *user, uint32_t i)
{
    static unsigned char params[256];
    static float x[4], w[4] = {1, 1, 1, 1}, out[4];
    void *list[] = {params};
    struct {
        const float *x, *w;
        float *acc, *out;
        int64_t rows, cols, strides[3];
        char *workspace;
        uint64_t workspace_bytes;
    } pack = {x, w, NULL, out, 1, 4, {4, 4, 4}, NULL, 0};
    (void)i;
    memcpy(params, &pack, sizeof pack);
    return gpu_check(&gpu,
        gpu.driver->launch_kernel((CUfunction)user, 1, 1, 1, 1, 1, 1, 0, gpu.stream, list, NULL),
        "launch");
}

static void add_lane(double ns, double noise)
{
    images[n_lanes] = (struct scripted_image){SCRIPTED_RIGHT, ns, noise};
    lanes[n_lanes] = (struct lane){.launches = 10, .expected_ns = ns};
    cr_assert_eq(
        meter_capture(&gpu, 10, enqueue, &images[n_lanes], &lanes[n_lanes].exec), TFOPS_OK);
    n_lanes++;
}

static void finish(void)
{
    for (uint32_t i = 0; i < n_lanes; i++) {
        gpu.driver->graph_exec_destroy(lanes[i].exec);
        sample_set_release(&ENV, &lanes[i].samples);
    }
    meter_release(&meter);
    gpu.driver->stream_destroy(gpu.stream);
    cr_assert_eq(scripted.live, 0, "%d objects left", scripted.live);
}

Test(measure, samples_are_nanoseconds_per_launch)
{
    struct measure_options options = {.interval = 0.01};
    start(NULL);
    add_lane(65000, 0);
    cr_assert_eq(meter_race(&meter, lanes, n_lanes, &options, NULL), TFOPS_OK);
    cr_assert_float_eq(lanes[0].estimate.median, 65000, 10, "%g", lanes[0].estimate.median);
    finish();
}

Test(measure, stops_when_the_interval_is_reached)
{
    struct measure_options options = {.interval = 0.01, .min_samples = 8, .max_samples = 200};
    start(NULL);
    add_lane(65000, 0.001);
    add_lane(70000, 0.001);
    cr_assert_eq(meter_race(&meter, lanes, n_lanes, &options, NULL), TFOPS_OK);
    for (uint32_t i = 0; i < n_lanes; i++) {
        cr_assert(stats_relative_width(&lanes[i].estimate) <= 0.01);
        cr_assert(lanes[i].samples.n >= 8 && lanes[i].samples.n <= 12, "%u", lanes[i].samples.n);
    }
    finish();
}

Test(measure, stops_at_most_samples_when_noise_is_large)
{
    struct measure_options options = {.interval = 0.001, .max_samples = 20};
    start(NULL);
    add_lane(65000, 0.5);
    cr_assert_eq(meter_race(&meter, lanes, n_lanes, &options, NULL), TFOPS_OK);
    cr_assert_eq(lanes[0].samples.n, 20);
    finish();
}

Test(measure, race_drops_who_cannot_win)
{
    struct measure_options options = {
        .interval = 0.002, .min_samples = 12, .max_samples = 60, .race = true};
    start(NULL);
    add_lane(130000, 0.01);
    add_lane(100000, 0.01);
    add_lane(110000, 0.01);
    cr_assert_eq(meter_race(&meter, lanes, n_lanes, &options, NULL), TFOPS_OK);
    cr_assert(lanes[0].out && !lanes[1].out && lanes[2].out);
    cr_assert(lanes[0].samples.n < lanes[1].samples.n);
    finish();
}

Test(measure, gives_up_after_the_first_sample_when_far_slower)
{
    struct measure_options options = {.interval = 0.01, .give_up_ratio = 2};
    start(NULL);
    add_lane(3000000, 0);
    add_lane(1000000, 0);
    cr_assert_eq(meter_race(&meter, lanes, n_lanes, &options, NULL), TFOPS_OK);
    cr_assert_eq(lanes[0].samples.n, 1, "%u", lanes[0].samples.n);
    cr_assert(lanes[1].samples.n >= 8);
    finish();
}

Test(measure, without_racing_all_lanes_have_the_same_rounds)
{
    struct measure_options options = {.interval = 0.004, .max_samples = 60};
    start(NULL);
    add_lane(1000, 0.001);
    add_lane(300000, 0.03);
    cr_assert_eq(meter_race(&meter, lanes, n_lanes, &options, NULL), TFOPS_OK);
    cr_assert_eq(lanes[0].samples.n, lanes[1].samples.n);
    finish();
}

Test(measure, drops_and_repeats_rounds_when_the_hardware_throttles)
{
    struct measure_options options = {.interval = 0.01, .min_samples = 8, .max_samples = 8};
    start(scripted_nvml());
    scripted.disturb = 3;
    scripted.reasons[2] = 0x40;
    add_lane(3000000, 0);
    cr_assert_eq(meter_race(&meter, lanes, n_lanes, &options, NULL), TFOPS_OK);
    cr_assert_eq(meter.dropped_rounds, 1);
    cr_assert_eq(lanes[0].samples.n, 8);
    for (uint32_t i = 0; i < 8; i++)
        cr_assert_float_eq(lanes[0].samples.ns[i], 3000000, 100);
    finish();
}

Test(measure, drops_rounds_when_the_clock_is_elsewhere)
{
    struct measure_options options = {.interval = 0.01, .min_samples = 12, .max_samples = 12};
    struct nvml_sample clocks = {0};
    start(scripted_nvml());
    scripted.disturb = 2;
    scripted.sm_clock_mhz[5] = scripted.sm_clock_mhz[6] = 1200;
    add_lane(3000000, 0);
    cr_assert_eq(meter_race(&meter, lanes, n_lanes, &options, &clocks), TFOPS_OK);
    cr_assert_eq(meter.dropped_rounds, 2);
    cr_assert_float_eq(lanes[0].estimate.high, 3000000, 100);
    cr_assert_eq(clocks.sm_clock_mhz, 1980);
    finish();
}

Test(measure, ends_when_every_round_is_disturbed)
{
    struct measure_options options = {.interval = 0.01, .min_samples = 8, .max_samples = 8};
    start(scripted_nvml());
    for (int i = 0; i < 64; i++)
        scripted.reasons[i] = 0x8;
    add_lane(3000000, 0);
    cr_assert_eq(meter_race(&meter, lanes, n_lanes, &options, NULL), TFOPS_OK);
    cr_assert_eq(lanes[0].samples.n, 8);
    cr_assert(meter.dropped_rounds > 0);
    finish();
}

Test(measure, a_disturbed_round_counts_when_time_is_up_and_there_is_no_other)
{
    struct measure_options options = {.interval = 0.01, .budget_s = 1e-9};
    start(scripted_nvml());
    scripted.reasons[0] = 0x8;
    add_lane(3000000, 0);
    cr_assert_eq(meter_race(&meter, lanes, n_lanes, &options, NULL), TFOPS_OK);
    cr_assert_eq(lanes[0].samples.n, 1);
    cr_assert_float_eq(lanes[0].estimate.median, 3000000, 100);
    finish();
}

Test(measure, power_cap_is_not_a_disturbance)
{
    const struct nvml_sample capped = {.sm_clock_mhz = 1700, .throttle_reasons = 0x4};
    start(NULL);
    cr_assert_not(meter_contaminated(&meter, &capped));
    finish();
}

static int refreshes;

static enum tfops_status count_refresh(void *user)
{
    (void)user;
    refreshes++;
    return TFOPS_OK;
}

Test(measure, refreshes_what_is_updated_in_place_between_replays)
{
    struct measure_options options = {.interval = 1e-9, .max_samples = 60};
    start(NULL);
    meter.refresh = count_refresh;
    add_lane(65000, 0.01);
    cr_assert_eq(meter_race(&meter, lanes, n_lanes, &options, NULL), TFOPS_OK);
    cr_assert_eq(refreshes, scripted.replays / 16);
    cr_assert(refreshes >= 3);
    finish();
}

Test(measure, capture_ends_when_a_launch_in_it_fails)
{
    CUgraphExec exec = NULL;
    struct scripted_image image = {SCRIPTED_RIGHT, 1, 0};
    start(NULL);
    scripted.fail_at = scripted.calls + 3;
    cr_assert_eq(meter_capture(&gpu, 4, enqueue, &image, &exec), TFOPS_E_DRIVER);
    cr_assert_null(exec);
    finish();
}

Test(measure, race_leaks_nothing_when_any_call_fails)
{
    struct measure_options options = {.interval = 0.01};
    for (int fail = 1;; fail++) {
        start(NULL);
        add_lane(65000, 0);
        add_lane(66000, 0);
        scripted.fail_at = scripted.calls + fail;
        enum tfops_status status = meter_race(&meter, lanes, n_lanes, &options, NULL);
        bool reached = scripted.calls >= scripted.fail_at;
        cr_assert_eq(status, reached ? TFOPS_E_DRIVER : TFOPS_OK, "call %d", fail);
        finish();
        if (!reached)
            break;
    }
}
