/* Who wins a race in which the GPU slows down: samples compare only with those of the same rounds. */
#include "tuner/race_state.h"
#include <criterion/criterion.h>

enum { DEFAULT, DROPPED, STEADY, RUNNERS };

static struct candidate runners[RUNNERS];
static struct tune tune;

static void add_samples(uint32_t i, uint32_t n, double ns)
{
    for (uint32_t k = 0; k < n; k++)
        cr_assert_eq(sample_set_add(NULL, &runners[i].samples, ns + (double)(k % 3)), TFOPS_OK);
}

/* All that candidate_is_measured() asks for. */
static void set_up(void)
{
    tune = (struct tune){.default_index = DEFAULT, .candidates = {.list = runners, .n = RUNNERS}};
    tune.options.margin = 0.01;
    for (uint32_t i = 0; i < RUNNERS; i++)
        runners[i] = (struct candidate){.state = CANDIDATE_DONE,
            .verdict = TFOPS_VERDICT_OK,
            .in_race = true,
            .has_binary = true};
}

static void tear_down(void)
{
    for (uint32_t i = 0; i < RUNNERS; i++)
        sample_set_release(NULL, &runners[i].samples);
}

TestSuite(race, .init = set_up, .fini = tear_down);

/* Nine rounds at full clock, in which DROPPED loses to STEADY; then all get slower. */
static void race_of_a_slowing_gpu(void)
{
    static const uint32_t ALL[] = {DEFAULT, DROPPED, STEADY}, NONE[RUNNERS] = {0};
    add_samples(DEFAULT, 9, 107000);
    add_samples(DROPPED, 9, 86800);
    add_samples(STEADY, 9, 84500);
    add_samples(DEFAULT, 30, 118000);
    add_samples(STEADY, 30, 95600);
    race_note_beaten(&tune, ALL, NONE, RUNNERS);
}

Test(race, who_left_before_the_gpu_slowed_down_does_not_win)
{
    race_of_a_slowing_gpu();
    cr_assert(runners[DROPPED].beaten);
    cr_assert_not(runners[STEADY].beaten);
    cr_assert_not(runners[DEFAULT].beaten);
    cr_assert_eq(race_pick(&tune, true), TFOPS_OK);
    cr_assert_eq(tune.winner, STEADY);
    runners[DROPPED].beaten = false; /* what it was before */
    cr_assert_eq(race_pick(&tune, true), TFOPS_OK);
    cr_assert_eq(tune.winner, DROPPED);
}

Test(race, rounds_of_before_count_for_nobody)
{
    static const uint32_t PAIR[] = {DEFAULT, STEADY}, BEFORE[] = {9, 9};
    add_samples(DEFAULT, 9 + 12, 107000);
    add_samples(STEADY, 9 + 12, 95000);
    add_samples(DROPPED, 40, 90000);
    race_note_beaten(&tune, PAIR, BEFORE, 2);
    for (uint32_t i = 0; i < RUNNERS; i++)
        cr_assert_not(runners[i].beaten, "%u", i);
}

Test(race, a_beaten_default_wins_only_when_nobody_else_is_right)
{
    race_of_a_slowing_gpu();
    runners[DEFAULT].beaten = true;
    cr_assert_eq(race_pick(&tune, true), TFOPS_OK);
    cr_assert_eq(tune.winner, STEADY);
    runners[STEADY].verdict = TFOPS_VERDICT_WRONG;
    cr_assert_eq(race_pick(&tune, true), TFOPS_OK);
    cr_assert_eq(tune.winner, DEFAULT);
}
