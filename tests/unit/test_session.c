/* A session on a scripted GPU: what verification finds, what is timed, what is left behind. */
#include "base/error.h"
#include "tests/support/scripted_gpu.h"
#include "tuner/session.h"
#include "tuner/verify.h"
#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

static const struct env ENV;
static const struct tfops_config CONFIG = {.values = {128}};
static const struct scripted_image FILL = {SCRIPTED_FILL, 1000, 0},
                                   COMPARE = {SCRIPTED_COMPARE, 1000, 0},
                                   COPY = {SCRIPTED_COPY, 900, 0},
                                   REFERENCE = {SCRIPTED_RIGHT, 5000, 0};

struct setup {
    struct tfops_problem problem;
    struct binary fill, compare, copy, reference;
    struct session_options options;
};

static void set_up(struct setup *setup, int64_t rows, int64_t cols)
{
    *setup = (struct setup){.problem = scripted_problem(rows, cols),
        .fill = scripted_binary(&FILL),
        .compare = scripted_binary(&COMPARE),
        .copy = scripted_binary(&COPY),
        .reference = scripted_binary(&REFERENCE)};
    setup->options = (struct session_options){.driver = scripted_open(),
        .problem = &setup->problem,
        .reference = &setup->reference,
        .fill = &setup->fill,
        .compare = &setup->compare,
        .copy = &setup->copy,
        .seed = 1};
}

static struct session *open_session(const struct setup *setup)
{
    struct session *session = NULL;
    cr_assert_eq(session_open(&ENV, &setup->options, &session), TFOPS_OK, "%s", error_message());
    return session;
}

static uint32_t add(struct session *session, const struct scripted_image *image)
{
    struct binary binary = scripted_binary(image);
    uint32_t id = UINT32_MAX;
    cr_assert_eq(session_add(session, &CONFIG, &binary, &id), TFOPS_OK, "%s", error_message());
    return id;
}

static void close_session(struct session *session)
{
    session_close(session);
    cr_assert_eq(scripted.live, 0, "%d objects left", scripted.live);
}

static enum tfops_status verify_role(
    struct session *session, enum scripted_role role, struct verify_report *report)
{
    const struct scripted_image image = {role, 1000, 0};
    uint32_t id = add(session, &image);
    enum tfops_status status = session_verify(session, id, report);
    session_drop(session, id);
    return status;
}

/* The role is found, with these words; and a right candidate passes before and after. */
static void expect_wrong(struct setup *setup, enum scripted_role role, const char *words)
{
    struct verify_report report;
    struct session *session = open_session(setup);
    cr_assert_eq(verify_role(session, SCRIPTED_RIGHT, &report), TFOPS_OK, "%s", error_message());
    cr_assert_eq(verify_role(session, role, &report), TFOPS_E_WRONG);
    cr_assert_not_null(strstr(report.first_wrong, words), "said: %s", report.first_wrong);
    cr_assert_not_null(strstr(error_message(), report.first_wrong));
    cr_assert_eq(verify_role(session, SCRIPTED_RIGHT, &report), TFOPS_OK, "%s", error_message());
    cr_assert_str_empty(report.first_wrong);
    cr_assert_eq(report.relative, 0);
    close_session(session);
}

#define FINDS(state, role, words)                                                                  \
    Test(session, verify_finds_##state)                                                            \
    {                                                                                              \
        struct setup setup;                                                                        \
        set_up(&setup, 80, 21);                                                                    \
        expect_wrong(&setup, role, words);                                                         \
    }
FINDS(rows_not_written, SCRIPTED_DROPS_LAST_ROW, "got what was there before (rows=1)")
FINDS(a_wrong_value, SCRIPTED_WRONG_VALUE, "out[0][1]: expected")
FINDS(a_relative_error_below_the_element_bound, SCRIPTED_SLIGHTLY_WRONG, "out: relative error")
FINDS(a_nan, SCRIPTED_NAN, "got nan (rows=1)")
FINDS(a_nan_that_is_swallowed, SCRIPTED_SWALLOWS_NAN, "special values")
FINDS(a_row_written_behind, SCRIPTED_WRITES_ROW_BEHIND, "outside of all operands")
FINDS(a_write_before_the_output, SCRIPTED_WRITES_BEFORE, "outside of all operands")
FINDS(a_write_between_rows, SCRIPTED_WRITES_PADDING, "out: written between rows 0 and 1")
FINDS(a_written_input, SCRIPTED_WRITES_INPUT, "x[0][0]: an input was written")
FINDS(an_error_in_place, SCRIPTED_WRONG_IN_PLACE, "in place")
FINDS(an_error_beyond_a_wave, SCRIPTED_WRONG_BEYOND_A_WAVE, "out[8][0]")

/* Of 64 columns rows are whole vectors: without padding on purpose their stride is their length. */
Test(session, verify_finds_a_stride_that_is_not_the_operands_own)
{
    struct setup setup;
    set_up(&setup, 80, 64);
    expect_wrong(&setup, SCRIPTED_PACKS_ROWS, "padded rows");
    set_up(&setup, 80, 64);
    expect_wrong(&setup, SCRIPTED_SHARES_STRIDE, "padded rows");
}

Test(session, verify_finds_a_row_that_depends_on_their_number)
{
    struct setup setup;
    set_up(&setup, 80, 21);
    setup.problem.flags = TFOPS_BATCH_INVARIANT;
    expect_wrong(&setup, SCRIPTED_DEPENDS_ON_ROWS, "depends on how many rows");
}

Test(session, verify_finds_a_write_behind_the_workspace)
{
    struct setup setup;
    set_up(&setup, 80, 21);
    scripted_workspace_bytes = 100;
    expect_wrong(&setup, SCRIPTED_WRITES_BEHIND_WORKSPACE, "workspace: written behind");
}

Test(session, verify_restores_what_is_updated_in_place)
{
    struct setup setup;
    set_up(&setup, 80, 21);
    setup.problem.present |= 1u << SCRIPTED_ACC;
    expect_wrong(&setup, SCRIPTED_WRONG_VALUE, "out[0][1]: expected");
}

Test(session, verify_passes_when_right_at_every_extent_and_alignment)
{
    static const int64_t ROWS[] = {1, 2, 5, 37, 66, 300};
    for (size_t r = 0; r < sizeof ROWS / sizeof *ROWS; r++)
        for (uint32_t align = 4; align <= 16; align *= 2) {
            struct setup setup;
            struct verify_report report;
            set_up(&setup, ROWS[r], 33);
            setup.problem.align = align;
            struct session *session = open_session(&setup);
            cr_assert_eq(
                verify_role(session, SCRIPTED_RIGHT, &report), TFOPS_OK, "%s", error_message());
            close_session(session);
        }
}

Test(session, verify_waits_once_when_its_cases_are_there)
{
    struct setup setup;
    struct verify_report report;
    set_up(&setup, 300, 33);
    struct session *session = open_session(&setup);
    cr_assert_eq(verify_role(session, SCRIPTED_RIGHT, &report), TFOPS_OK);
    int syncs = scripted.syncs;
    cr_assert_eq(verify_role(session, SCRIPTED_RIGHT, &report), TFOPS_OK);
    cr_assert_eq(scripted.syncs - syncs, 1);
    close_session(session);
}

Test(session, verify_reports_a_fault)
{
    struct setup setup;
    struct verify_report report;
    set_up(&setup, 80, 21);
    struct session *session = open_session(&setup);
    cr_assert_eq(verify_role(session, SCRIPTED_FAULT, &report), TFOPS_E_DRIVER);
    struct tfops_error error = {.size = sizeof error};
    tfops_error_last(&error);
    cr_assert_eq(error.native, CUDA_ERROR_ILLEGAL_ADDRESS);
    close_session(session);
}

Test(session, open_refuses_a_device_reference_that_is_wrong)
{
    struct setup setup;
    struct session *session = NULL;
    set_up(&setup, 80, 21);
    scripted_reference_error = 0.01;
    cr_assert_eq(session_open(&ENV, &setup.options, &session), TFOPS_E_WRONG);
    cr_assert_not_null(strstr(error_message(), "the CPU reference has"), "%s", error_message());
    cr_assert_null(session);
    cr_assert_eq(scripted.live, 0);
}

Test(session, open_refuses_an_extent_of_zero)
{
    struct setup setup;
    struct session *session = NULL;
    set_up(&setup, 0, 21);
    cr_assert_eq(session_open(&ENV, &setup.options, &session), TFOPS_E_RANGE);
}

Test(session, add_refuses_a_binary_of_another_geometry)
{
    struct setup setup;
    uint32_t id;
    set_up(&setup, 80, 21);
    struct session *session = open_session(&setup);
    struct binary binary = setup.reference;
    binary.threads = 64;
    cr_assert_eq(session_add(session, &CONFIG, &binary, &id), TFOPS_E_ABI);
    cr_assert_not_null(strstr(error_message(), "64 threads"), "%s", error_message());
    close_session(session);
}

Test(session, unknown_candidates_are_refused)
{
    struct setup setup;
    struct verify_report report;
    struct sample_set samples;
    const struct measure_options options = {0};
    uint32_t id = 3;
    set_up(&setup, 80, 21);
    struct session *session = open_session(&setup);
    cr_assert_eq(session_verify(session, id, &report), TFOPS_E_ARGUMENT);
    cr_assert_eq(session_measure(session, &id, 1, &options, &samples, NULL), TFOPS_E_ARGUMENT);
    cr_assert_eq(session_occupancy(session, id), 0);
    session_drop(session, id);
    close_session(session);
}

Test(session, measure_rotates_the_outputs_and_flushes_when_they_fit_the_cache)
{
    const struct scripted_image image = {SCRIPTED_RIGHT, 2000, 0.001};
    const struct measure_options options = {.interval = 0.01};
    struct setup setup;
    struct sample_set samples = {0};
    set_up(&setup, 4, 16);
    struct session *session = open_session(&setup);
    uint32_t id = add(session, &image);
    cr_assert_eq(session_measure(session, &id, 1, &options, &samples, NULL), TFOPS_OK);
    cr_assert_eq(scripted.outs.n, 64, "%d sets", scripted.outs.n);
    cr_assert_eq(scripted.flushes, (int)samples.n + 1); /* one before the probe */
    cr_assert_float_eq(samples.ns[0], 2000, 5, "%g", samples.ns[0]);
    sample_set_release(&ENV, &samples);
    close_session(session);
}

Test(session, measure_does_not_rotate_when_asked_warm)
{
    const struct scripted_image image = {SCRIPTED_RIGHT, 2000, 0.001};
    const struct measure_options options = {.interval = 0.01};
    struct setup setup;
    struct sample_set samples = {0};
    set_up(&setup, 4, 16);
    setup.options.l2_warm = true;
    struct session *session = open_session(&setup);
    uint32_t id = add(session, &image);
    cr_assert_eq(session_measure(session, &id, 1, &options, &samples, NULL), TFOPS_OK);
    cr_assert_eq(scripted.outs.n, 1);
    cr_assert_eq(scripted.flushes, 0);
    sample_set_release(&ENV, &samples);
    close_session(session);
}

Test(session, measure_rotates_inputs_alone_when_asked_for_one_output)
{
    const struct scripted_image image = {SCRIPTED_RIGHT, 2000, 0.001};
    const struct measure_options options = {.interval = 0.01};
    struct setup setup;
    struct sample_set samples = {0};
    set_up(&setup, 4, 16);
    setup.options.one_output = true;
    struct session *session = open_session(&setup);
    uint32_t id = add(session, &image);
    cr_assert_eq(session_measure(session, &id, 1, &options, &samples, NULL), TFOPS_OK);
    cr_assert_eq(scripted.outs.n, 1, "%d outputs", scripted.outs.n);
    cr_assert_eq(scripted.xs.n, 64, "%d inputs", scripted.xs.n);
    sample_set_release(&ENV, &samples);
    close_session(session);
}

Test(session, measure_skips_the_race_when_verification_showed_it_hopeless)
{
    const struct scripted_image fast = {SCRIPTED_RIGHT, 50000, 0.001},
                                slow = {SCRIPTED_RIGHT, 900000, 0.001};
    const struct measure_options options = {.interval = 0.01, .give_up_ratio = 3};
    struct setup setup;
    struct verify_report report;
    struct sample_set samples[2] = {{0}, {0}};
    set_up(&setup, 80, 21);
    struct session *session = open_session(&setup);
    uint32_t ids[] = {add(session, &fast), add(session, &slow)};
    cr_assert_eq(session_verify(session, ids[0], &report), TFOPS_OK);
    cr_assert_eq(session_verify(session, ids[1], &report), TFOPS_OK);
    cr_assert_eq(session_measure(session, ids, 1, &options, samples, NULL), TFOPS_OK);
    int replays = scripted.replays;
    cr_assert_eq(session_measure(session, &ids[1], 1, &options, &samples[1], NULL), TFOPS_OK);
    cr_assert_eq(scripted.replays, replays);
    cr_assert_eq(samples[1].n, 1);
    cr_assert_float_eq(samples[1].ns[0], 900000, 2000);
    sample_set_release(&ENV, &samples[0]);
    sample_set_release(&ENV, &samples[1]);
    close_session(session);
}

Test(session, graphs_survive_more_candidates)
{
    const struct scripted_image image = {SCRIPTED_RIGHT, 2000, 0};
    const struct measure_options options = {.interval = 0.01};
    struct setup setup;
    struct sample_set samples[40] = {{0}};
    uint32_t ids[40];
    set_up(&setup, 4, 16);
    struct session *session = open_session(&setup);
    for (int i = 0; i < 40; i++)
        ids[i] = add(session, &image);
    cr_assert_eq(session_measure(session, ids, 40, &options, samples, NULL), TFOPS_OK);
    for (int i = 0; i < 40; i++) {
        cr_assert(samples[i].n >= 8);
        sample_set_release(&ENV, &samples[i]);
    }
    close_session(session);
}

Test(session, roof_times_both_copies_beside_the_candidate)
{
    const struct scripted_image image = {SCRIPTED_RIGHT, 2000, 0};
    const struct measure_options options = {.interval = 0.01};
    struct setup setup;
    struct sample_set candidate = {0}, kernel = {0}, memcpy_set = {0};
    set_up(&setup, 64, 64);
    struct session *session = open_session(&setup);
    uint32_t id = add(session, &image);
    cr_assert_eq(session_roof(session, id, &options, &candidate, &kernel, &memcpy_set), TFOPS_OK);
    cr_assert_eq(candidate.n, kernel.n);
    cr_assert_eq(candidate.n, memcpy_set.n);
    cr_assert_float_eq(kernel.ns[0], 900, 1, "%g", kernel.ns[0]);
    cr_assert_float_eq(memcpy_set.ns[0], 100 + 64 * 64 * 4, 1, "%g", memcpy_set.ns[0]);
    sample_set_release(&ENV, &candidate);
    sample_set_release(&ENV, &kernel);
    sample_set_release(&ENV, &memcpy_set);
    close_session(session);
}

/* Everything a worker does with a candidate; stops at the first failure. */
static enum tfops_status whole_life(const struct setup *setup, struct session **session)
{
    static const struct scripted_image IMAGE = {SCRIPTED_RIGHT, 2000, 0};
    const struct measure_options options = {.interval = 0.01, .min_samples = 6, .max_samples = 6};
    struct binary binary = scripted_binary(&IMAGE);
    struct verify_report report;
    struct sample_set a = {0}, b = {0}, c = {0};
    uint32_t id = 0;
    enum tfops_status status = session_open(&ENV, &setup->options, session);
    if (!status)
        status = session_add(*session, &CONFIG, &binary, &id);
    if (!status)
        status = session_verify(*session, id, &report);
    if (!status)
        status = session_measure(*session, &id, 1, &options, &a, NULL);
    sample_set_release(&ENV, &a);
    if (!status)
        status = session_roof(*session, id, &options, &a, &b, &c);
    sample_set_release(&ENV, &a);
    sample_set_release(&ENV, &b);
    sample_set_release(&ENV, &c);
    return status;
}

static void fail_each_call(CUresult failure, enum tfops_status expected)
{
    for (int fail = 1;; fail++) {
        struct setup setup;
        struct session *session = NULL;
        set_up(&setup, 4, 16);
        setup.problem.present |= 1u << SCRIPTED_ACC;
        scripted_workspace_bytes = 64;
        scripted.fail_at = fail;
        scripted.failure = failure;
        enum tfops_status status = whole_life(&setup, &session);
        bool reached = scripted.calls >= fail;
        scripted.fail_at = 0;
        close_session(session);
        if (!reached) {
            cr_assert_eq(status, TFOPS_OK, "%s", error_message());
            break;
        }
        /* NVML's device is optional: so are the calls that look for it. */
        cr_assert(status == expected || status == TFOPS_OK, "call %d: %s", fail, error_message());
    }
}

Test(session, leaks_nothing_when_any_driver_call_fails, .timeout = 600)
{
    fail_each_call(CUDA_ERROR_UNKNOWN, TFOPS_E_DRIVER);
}

Test(session, says_memory_when_the_device_has_none)
{
    struct setup setup;
    struct session *session = NULL;
    set_up(&setup, 4, 16);
    scripted.no_memory = true;
    cr_assert_eq(session_open(&ENV, &setup.options, &session), TFOPS_E_MEMORY);
    cr_assert_eq(scripted.live, 0);
}

Test(session, wave_extent_is_beyond_one_wave_and_within_the_full_one)
{
    struct tfops_problem problem = scripted_problem(5000, 8);
    const struct tfops_device device = {.sms = 132};
    const struct launcher launcher = {.spec = scripted_spec(), .config = CONFIG};
    struct verify_subject subject = {.launcher = &launcher, .blocks_per_sm = 1};
    cr_assert_eq(verify_wave_extent(&problem, &device, &subject, 5000), 259);
    subject.blocks_per_sm = 8;
    cr_assert_eq(verify_wave_extent(&problem, &device, &subject, 5000), 4099);
    cr_assert_eq(verify_wave_extent(&problem, &device, &subject, 300), 300);
}

Test(session, values_of_half_formats_are_exact)
{
    static const struct {
        enum tfops_dtype dtype;
        uint16_t bits;
        double value;
    } TABLE[] = {{TFOPS_F16, 0x3c00, 1}, {TFOPS_F16, 0xc000, -2}, {TFOPS_F16, 0x0001, 0x1p-24},
        {TFOPS_F16, 0x7bff, 65504}, {TFOPS_F16, 0x7c00, INFINITY}, {TFOPS_BF16, 0x3f80, 1},
        {TFOPS_BF16, 0xc2f7, -123.5}, {TFOPS_E4M3, 0xff38, 1}, {TFOPS_E5M2, 0xff7b, 57344}};
    for (size_t i = 0; i < sizeof TABLE / sizeof *TABLE; i++)
        cr_assert_eq(verify_value(TABLE[i].dtype, &TABLE[i].bits), TABLE[i].value, "%zu", i);
    cr_assert(isnan(verify_value(TFOPS_F16, &(uint16_t){0x7e00})));
}
