/* Statistics against distributions whose answers are known. */
#include "tuner/stats.h"
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>

static const struct env ENV;
static uint64_t state;

static double uniform(void)
{
    state = state * 6364136223846793005ull + 1442695040888963407ull;
    return (double)(state >> 11) * 0x1p-53;
}

/* Skewed to the right as timings are, median exactly `median`. */
static double timing(double median)
{
    return median * (1 + 0.02 * (-log(1 - uniform()) - log(2)));
}

static struct estimate estimate_of(double median, uint32_t n)
{
    double values[256];
    for (uint32_t i = 0; i < n; i++)
        values[i] = timing(median);
    return stats_estimate_values(values, n);
}

Test(stats, median_is_middle_when_odd_and_mean_of_two_when_even)
{
    double odd[] = {9, 1, 5}, even[] = {9, 1, 5, 6};
    cr_assert_eq(stats_estimate_values(odd, 3).median, 5);
    cr_assert_eq(stats_estimate_values(even, 4).median, 5.5);
}

Test(stats, interval_is_unknown_when_fewer_than_six_samples)
{
    double values[] = {1, 2, 3, 4, 5, 6};
    struct estimate five = stats_estimate_values(values, 5);
    cr_assert(isnan(five.low) && isnan(five.high));
    cr_assert(isinf(stats_relative_width(&five)));
    struct estimate six = stats_estimate_values(values, STATS_MIN_SAMPLES);
    cr_assert_eq(six.low, 1);
    cr_assert_eq(six.high, 6);
    struct estimate none = stats_estimate_values(values, 0);
    cr_assert(isnan(none.median));
}

/* Ranks of the 95% interval from the published table (Conover, Practical Nonparametric Statistics).
 */
Test(stats, interval_ranks_match_the_table_when_n_grows)
{
    static const struct {
        uint32_t n, rank;
    } TABLE[] = {{6, 1}, {8, 1}, {9, 2}, {12, 3}, {20, 6}, {25, 8}, {50, 18}, {100, 40}};
    double values[128];
    for (size_t t = 0; t < sizeof TABLE / sizeof *TABLE; t++) {
        for (uint32_t i = 0; i < TABLE[t].n; i++)
            values[i] = i + 1;
        struct estimate e = stats_estimate_values(values, TABLE[t].n);
        cr_assert_eq(e.low, TABLE[t].rank, "n %u: %g, table %u", TABLE[t].n, e.low, TABLE[t].rank);
        cr_assert_eq(e.high, TABLE[t].n + 1 - TABLE[t].rank);
    }
}

Test(stats, interval_is_finite_when_n_is_large)
{
    struct sample_set set = {0};
    for (int i = 0; i < 4096; i++)
        cr_assert_eq(sample_set_add(&ENV, &set, i), TFOPS_OK);
    struct estimate e;
    cr_assert_eq(stats_estimate(&ENV, &set, &e), TFOPS_OK);
    cr_assert(e.low > 1960 && e.low < 2000, "%g", e.low);
    cr_assert_eq(e.low + e.high, 4095);
    cr_assert_eq(set.ns[4095], 4095, "the order of measurement stays");
    sample_set_release(&ENV, &set);
    cr_assert_null(set.ns);
}

Test(stats, interval_covers_the_median_in_95_percent_when_skewed)
{
    state = 7;
    int covered = 0, runs = 4000;
    for (int i = 0; i < runs; i++) {
        struct estimate e = estimate_of(100, 15);
        covered += e.low <= 100 && 100 <= e.high;
    }
    cr_assert(covered >= 0.95 * runs - 40, "%d of %d", covered, runs);
}

Test(stats, width_is_half_interval_over_median)
{
    struct estimate e = {.median = 100, .low = 99, .high = 103, .n = 20};
    cr_assert_float_eq(stats_relative_width(&e), 0.02, 1e-12);
}

/* Rounds that are disturbed by half do not hide a difference of 3%. */
Test(stats, ratio_sees_through_disturbed_rounds_when_paired)
{
    state = 11;
    struct sample_set slow = {0}, fast = {0};
    for (int i = 0; i < 30; i++) {
        double disturbed = 1 + 0.5 * uniform();
        sample_set_add(&ENV, &slow, 103 * disturbed * (1 + 0.002 * uniform()));
        sample_set_add(&ENV, &fast, 100 * disturbed * (1 + 0.002 * uniform()));
    }
    struct estimate ratio;
    cr_assert_eq(stats_ratio(&ENV, &slow, &fast, &ratio), TFOPS_OK);
    cr_assert_float_eq(ratio.median, 1.03, 0.002, "%g", ratio.median);
    cr_assert(stats_beats(&ratio, 0.01));
    cr_assert_not(stats_beats(&ratio, 0.05));
    sample_set_release(&ENV, &slow);
    sample_set_release(&ENV, &fast);
}

Test(stats, ratio_does_not_beat_when_too_few_rounds)
{
    struct sample_set slow = {0}, fast = {0};
    for (int i = 0; i < 3; i++) {
        sample_set_add(&ENV, &slow, 200);
        sample_set_add(&ENV, &fast, 100);
    }
    struct estimate ratio;
    cr_assert_eq(stats_ratio(&ENV, &slow, &fast, &ratio), TFOPS_OK);
    cr_assert_not(stats_beats(&ratio, 0));
    sample_set_release(&ENV, &slow);
    sample_set_release(&ENV, &fast);
}

static struct estimate tight(double median)
{
    return (struct estimate){median, median * 0.998, median * 1.002, 20};
}

static const struct estimate UNMEASURED = {NAN, NAN, NAN, 0};

Test(stats, pick_takes_the_fastest_when_clear)
{
    struct estimate e[] = {tight(100), tight(80), tight(90), UNMEASURED};
    cr_assert_eq(stats_pick(e, 4, 0, 0.01), 1);
}

Test(stats, pick_takes_the_first_in_order_when_tied)
{
    struct estimate e[] = {tight(100), tight(80.1), tight(80), tight(80.05)};
    cr_assert_eq(stats_pick(e, 4, 0, 0.01), 1);
}

Test(stats, pick_does_not_tie_when_median_is_beyond_the_margin)
{
    struct estimate wide = {83, 79, 90, 8};
    struct estimate e[] = {tight(100), wide, tight(80)};
    cr_assert_eq(stats_pick(e, 3, 0, 0.01), 2);
}

Test(stats, pick_keeps_the_default_when_beaten_by_less_than_the_margin)
{
    struct estimate e[] = {tight(99.5), tight(100), tight(99.4)};
    cr_assert_eq(stats_pick(e, 3, 1, 0.01), 1);
}

Test(stats, pick_keeps_the_default_when_the_interval_is_too_wide)
{
    struct estimate wide = {90, 80, 99.5, 8};
    struct estimate e[] = {wide, tight(100)};
    cr_assert_eq(stats_pick(e, 2, 1, 0.01), 1);
}

Test(stats, pick_leaves_out_candidates_without_an_interval)
{
    struct estimate few = {50, NAN, NAN, 3};
    struct estimate e[] = {few, tight(100), tight(90)};
    cr_assert_eq(stats_pick(e, 3, 1, 0.01), 2);
}

Test(stats, pick_works_when_there_is_no_default)
{
    struct estimate e[] = {tight(100), tight(90)}, none[] = {UNMEASURED};
    cr_assert_eq(stats_pick(e, 2, STATS_NONE, 0.01), 1);
    cr_assert_eq(stats_pick(none, 1, STATS_NONE, 0.01), STATS_NONE);
    cr_assert_eq(stats_pick(none, 1, 0, 0.01), STATS_NONE);
}

Test(stats, pick_keeps_the_default_in_95_percent_when_all_are_equal)
{
    state = 3;
    int kept = 0, runs = 1000;
    for (int r = 0; r < runs; r++) {
        struct estimate e[8];
        for (int i = 0; i < 8; i++)
            e[i] = estimate_of(100, 20);
        kept += stats_pick(e, 8, 4, 0.01) == 4;
    }
    cr_assert(kept >= 950, "%d of %d", kept, runs);
}

Test(stats, pick_is_the_same_when_measured_again)
{
    static const double TRUE_NS[] = {100, 90.02, 97, 90, 90.01, 130};
    state = 5;
    int same = 0, runs = 200;
    for (int r = 0; r < runs; r++) {
        struct estimate e[6];
        for (int i = 0; i < 6; i++)
            e[i] = estimate_of(TRUE_NS[i], 60);
        same += stats_pick(e, 6, 0, 0.01) == 1;
    }
    cr_assert(same >= 190, "%d of %d", same, runs);
}

static int allocations_left;

static void *failing_alloc(void *user, size_t bytes)
{
    (void)user;
    return allocations_left-- > 0 ? malloc(bytes) : NULL;
}

static void plain_free(void *user, void *memory)
{
    (void)user;
    free(memory);
}

Test(stats, memory_failure_is_reported_and_keeps_the_samples)
{
    const struct env env = {.alloc = failing_alloc, .free = plain_free};
    struct sample_set set = {0};
    struct estimate e;
    allocations_left = 1;
    for (int i = 0; i < 32; i++)
        cr_assert_eq(sample_set_add(&env, &set, i), TFOPS_OK);
    cr_assert_eq(sample_set_add(&env, &set, 32), TFOPS_E_MEMORY);
    cr_assert_eq(stats_estimate(&env, &set, &e), TFOPS_E_MEMORY);
    cr_assert_eq(stats_ratio(&env, &set, &set, &e), TFOPS_E_MEMORY);
    cr_assert_eq(set.n, 32);
    sample_set_release(&env, &set);
}
