#include "base/error.h"
#include "tuner/strategy.h"
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

static uint32_t order_of(
    const char *name, uint32_t n, uint32_t max_configs, uint64_t seed, uint32_t *ret_order)
{
    const struct strategy *strategy;
    const struct strategy_options options = {.n = n, .max_configs = max_configs, .seed = seed};
    cr_assert_eq(strategy_find(name, &strategy), TFOPS_OK);
    return strategy->order(&options, ret_order);
}

Test(strategy, is_exhaustive_when_none_is_named)
{
    const struct strategy *strategy;
    cr_assert_eq(strategy_find(NULL, &strategy), TFOPS_OK);
    cr_assert_str_eq(strategy->name, "exhaustive");
}

Test(strategy, names_the_known_ones_when_unknown)
{
    const struct strategy *strategy;
    cr_assert_eq(strategy_find("genetic", &strategy), TFOPS_E_UNKNOWN);
    cr_assert(strstr(error_message(), "exhaustive, random"), "%s", error_message());
}

Test(strategy, exhaustive_gives_all_in_order)
{
    uint32_t order[100];
    cr_assert_eq(order_of("exhaustive", 100, 0, 1, order), 100);
    for (uint32_t i = 0; i < 100; i++)
        cr_assert_eq(order[i], i);
    cr_assert_eq(order_of("exhaustive", 100, 7, 1, order), 7);
}

Test(strategy, random_is_a_sample_without_replacement_with_the_default_first)
{
    uint32_t order[1000];
    bool seen[1000] = {false};
    uint32_t n = order_of("random", 1000, 300, 42, order);
    cr_assert_eq(n, 300);
    cr_assert_eq(order[0], 0);
    for (uint32_t i = 0; i < n; i++) {
        cr_assert_lt(order[i], 1000);
        cr_assert_not(seen[order[i]], "%u twice", order[i]);
        seen[order[i]] = true;
    }
}

Test(strategy, random_repeats_with_its_seed_and_a_longer_run_starts_the_same)
{
    uint32_t a[500], b[500], c[500];
    order_of("random", 500, 40, 7, a);
    cr_assert_eq(order_of("random", 500, 500, 7, b), 500);
    order_of("random", 500, 40, 8, c);
    cr_assert_arr_eq(a, b, 40 * sizeof a[0]);
    cr_assert_neq(memcmp(a, c, 40 * sizeof a[0]), 0, "another seed, the same sample");
}

Test(strategy, random_gives_all_when_the_space_is_small)
{
    uint32_t order[3];
    cr_assert_eq(order_of("random", 3, 0, 1, order), 3);
    cr_assert_eq(order_of("random", 1, 0, 1, order), 1);
}

/* Each index is drawn about equally often: 200 of 1000 in 400 seeds, 80 ± 40 (5 sigma). */
Test(strategy, random_is_uniform)
{
    uint32_t order[1000], drawn[1000] = {0};
    for (uint64_t seed = 0; seed < 400; seed++) {
        uint32_t n = order_of("random", 1000, 201, seed, order);
        for (uint32_t i = 1; i < n; i++)
            drawn[order[i]]++;
    }
    for (uint32_t i = 1; i < 1000; i++)
        cr_assert(drawn[i] > 40 && drawn[i] < 120, "%u drawn %u times", i, drawn[i]);
}
