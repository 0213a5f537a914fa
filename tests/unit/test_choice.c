/* Which record serves an extent between two: by what was measured, else by distance. */
#include "choice.h"
#include "engine_state.h"
#include "tests/support/expect.h"
#include "tests/support/test_support.h"
#include "tests/support/toy_spec.h"
#include <criterion/criterion.h>
#include <math.h>

/* The toy's default is THREADS=128, UNROLL=1 up to m=64 and 2 beyond. */
#define A "THREADS=64 UNROLL=1"
#define B "THREADS=64 UNROLL=2"
#define C "THREADS=128 UNROLL=4"
#define DEFAULT "THREADS=128 UNROLL=2"

static struct support_engine support;
static struct toy toy;
static struct tfops_problem problem;
static struct record_list records;
static struct choices choices;

static void begin(void)
{
    support_engine_open(&support, "arch:sm_90a", NULL);
    toy_init(&toy);
    problem = (struct tfops_problem){
        .size = sizeof problem, .spec = &toy.spec, .dims = {[TOY_N] = 64, [TOY_K] = 1}};
}

static void end(void)
{
    record_list_release(&support.engine->env, &records);
    support_engine_close(&support);
}

TestSuite(choice, .init = begin, .fini = end);

/* Times in units of the winner's: of the runner-up and of the default. */
static void record(
    int64_t extent, const char *winner, const char *second, double second_ns, double default_ns)
{
    struct tfops_record row = support_record("sku", "toy", "n=64", extent, winner);
    row.median_ns = 1;
    row.runner_up = second;
    row.runner_up_ns = second_ns;
    row.default_ns = default_ns;
    EXPECT_OK(record_list_add(&support.engine->env, &records, &row));
}

static const struct choice *at(int64_t extent)
{
    choice_make(support.engine, &problem, &records, &choices);
    size_t i = 0;
    while (choices.list[i].last < extent)
        i++;
    return &choices.list[i];
}

/* The last extent that the lower of the records at 1024 and 4096 serves. */
static int64_t border(void)
{
    int64_t extent = 1024;
    while (extent < 4096 && at(extent + 1)->record == &records.records[0].row)
        extent = choices.list[0].last > extent ? choices.list[0].last : at(extent + 1)->last;
    return extent;
}

static void expect_border(double share)
{
    const double wanted = 1024 * pow(4, share);
    const int64_t got = border();
    cr_assert(got <= wanted + 1 && got >= wanted - 1, "the border is %lld, wanted %.1f",
        (long long)got, wanted);
}

Test(choice, where_both_winners_were_measured_at_both_ends_their_regrets_meet)
{
    record(1024, A, B, 1.01, 2); /* B is 1% slower below, A 9% above: B serves from a tenth on */
    record(4096, B, A, 1.09, 2);
    expect_border(0.1);
}

Test(choice, the_default_is_one_of_the_measured)
{
    record(1024, DEFAULT, A, 1.5, 1);
    record(4096, A, B, 1.01, 1.5); /* equal at both ends: the middle */
    expect_border(0.5);
    const struct choice *choice = at(1500);
    cr_assert_float_eq(choice->beside[1].regret_there, 0.5, 1e-9);
    cr_assert_float_eq(choice->beside[1].regret_here, 0.5, 1e-9);
    EXPECT_INT(choice->beside[1].extent, 4096);
    EXPECT_INT(choice->beside[0].extent, 0);
}

/* A costs 1% above; what B costs below is not known, but no less than C's 4%. */
Test(choice, one_that_was_not_measured_is_no_better_than_the_runner_up)
{
    record(1024, A, C, 1.04, 2);
    record(4096, B, A, 1.01, 2);
    expect_border(0.8);
    cr_assert_lt(at(1500)->beside[1].regret_here, 0);
}

Test(choice, the_same_seen_from_above)
{
    record(1024, A, B, 1.01, 2);
    record(4096, B, C, 1.04, 2);
    expect_border(0.2);
}

/* A is known to cost 9% above: beyond a tenth of the way it may be the worse one, or not. */
Test(choice, what_the_measurements_leave_open_the_distance_decides)
{
    record(1024, A, C, 1.01, 2);
    record(4096, B, A, 1.09, 2);
    expect_border(0.5);
}

Test(choice, nothing_measured_at_the_other_end_is_decided_by_distance)
{
    record(1024, A, C, 1.5, 2);
    record(4096, B, C, 1.01, 2);
    expect_border(0.5);
}

Test(choice, a_border_beyond_a_records_reach_is_its_reach)
{
    record(1, A, B, 2, 2); /* serves nearly all the way by regret: but only up to 4 */
    record(1000, B, A, 1.001, 2);
    cr_assert_eq(at(4)->record, &records.records[0].row);
    cr_assert_null(at(5)->record);
    cr_assert_null(at(249)->record);
    cr_assert_eq(at(250)->record, &records.records[1].row);
}

Test(choice, the_other_record_serves_where_the_better_one_does_not_reach)
{
    record(64, A, B, 2, 2);
    record(512, B, A, 1.001, 2);
    cr_assert_eq(at(256)->record, &records.records[0].row);
    cr_assert_eq(at(257)->record, &records.records[1].row);
}

/* What the toy's config takes, by a model that knows that UNROLL=4 is for many rows. */
static double predict(void *user, const struct tfops_problem *at_extent,
    const struct tfops_device *device, const struct tfops_config *config)
{
    (void)user, (void)device;
    const bool many = at_extent->dims[TOY_M] >= 1000;
    return (config->values[TOY_UNROLL] == 4) == many ? 100 : 200;
}

Test(choice, a_record_serves_where_the_model_corrected_by_it_expects_no_more_of_the_default)
{
    record(300, C, A, 1.1, 1.2); /* measured: 2.4 times as fast as the model says */
    record(1024, C, A, 1.1, 1.2);
    cr_assert_not_null(at(512)->record);
    cr_assert_not_null(at(100)->record);
    toy.spec.predict = predict;
    cr_assert_eq(at(300)->record, &records.records[0].row);
    cr_assert_eq(
        at(299)->record, &records.records[0].row, "the measurement says more than the model");
    cr_assert_eq(at(257)->record, &records.records[0].row, "as at 288: 2 * 0.42^0.94");
    cr_assert_null(at(256)->record, "2 * 0.42^0.77 is above 1");
    cr_assert_eq(at(301)->record, &records.records[0].row, "as at 320: 2 * 0.42^0.91");
    cr_assert_null(at(321)->record, "as at 352: 2 * 0.42^0.77");
    cr_assert_null(at(512)->record);
    cr_assert_null(at(100)->record);
    cr_assert_eq(at(1024)->record, &records.records[1].row);
    cr_assert_eq(at(2048)->record, &records.records[1].row);
}

/* Without a time of the default the model stands as it is, but for its error at the record. */
Test(choice, a_record_without_the_defaults_time_corrects_the_model_to_a_tie)
{
    record(300, C, A, 1.1, 0);
    toy.spec.predict = predict;
    cr_assert_eq(at(300)->record, &records.records[0].row);
    cr_assert_null(at(512)->record);
    cr_assert_eq(at(1024)->record, &records.records[0].row, "here the model prefers it itself");
}

/* UNROLL=1 is as good as the default of many rows, but from 80 to 96 and from 400. */
static double predict_steps(void *user, const struct tfops_problem *at_extent,
    const struct tfops_device *device, const struct tfops_config *config)
{
    (void)user, (void)device;
    const int64_t m = at_extent->dims[TOY_M];
    const bool slow = (m > 80 && m <= 96) || m > 400;
    return config->values[TOY_UNROLL] == 1 ? (slow ? 104 : 102) : 100;
}

static int64_t unroll_at(int64_t extent)
{
    const struct choice *choice = at(extent);
    cr_assert_null(choice->record);
    return choice->config.values[TOY_UNROLL];
}

Test(choice, between_powers_of_two_a_default_serves_on_where_the_model_finds_it_as_good)
{
    toy.spec.predict = predict_steps;
    cr_assert_eq(unroll_at(64), 1);
    cr_assert_eq(unroll_at(80), 1);
    cr_assert_eq(unroll_at(81), 2, "as at 88");
    cr_assert_eq(unroll_at(97), 2, "as at 104: the last one is as good, too");
    cr_assert_eq(unroll_at(128), 2, "each power of two has its own default");
    cr_assert_eq(unroll_at(3000), 2);
}

Test(choice, without_a_model_defaults_are_those_of_powers_of_two)
{
    cr_assert_eq(unroll_at(64), 1);
    cr_assert_eq(unroll_at(65), 2);
    cr_assert_eq(choices.n, 2);
}
