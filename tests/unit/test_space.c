#include "base/error.h"
#include "tuner/space.h"
#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

static const int64_t THREADS[] = {64, 128, 256, 128, 2048};
static const int64_t STAGES[] = {1, 2, 3};
static const int64_t CLUSTER[] = {1, 2, 16};
static struct tfops_tunable_spec tunables[] = {
    {"THREADS", THREADS, 5, ""}, {"STAGES", STAGES, 3, ""}, {"CLUSTER", CLUSTER, 3, ""}};
static int64_t default_threads = 128;

static bool constraint(void *user, const struct tfops_problem *problem,
    const struct tfops_device *device, const struct tfops_config *config,
    char reason[TFOPS_REASON_BYTES])
{
    (void)user, (void)problem, (void)device;
    if (config->values[0] == 256 && config->values[1] == 3) {
        strcpy(reason, "256 threads take at most 2 stages");
        return false;
    }
    return true;
}

static void default_config(void *user, const struct tfops_problem *problem,
    const struct tfops_device *device, struct tfops_config *ret_config)
{
    (void)user, (void)problem, (void)device;
    *ret_config = (struct tfops_config){.values = {default_threads, 2, 1}};
}

static void geometry(void *user, const struct tfops_problem *problem,
    const struct tfops_device *device, const struct tfops_config *config,
    struct tfops_geometry *ret_geometry)
{
    (void)user, (void)problem, (void)device;
    ret_geometry->threads = (uint32_t)config->values[0];
    ret_geometry->min_blocks = 1;
    ret_geometry->cluster = (uint32_t)config->values[2];
    ret_geometry->smem_bytes = (uint32_t)(config->values[0] * config->values[1] * 128);
}

static const struct tfops_spec SPEC = {.size = sizeof SPEC,
    .name = "toy",
    .tunables = tunables,
    .n_tunables = 3,
    .constraint = constraint,
    .default_config = default_config,
    .geometry = geometry};
static const struct tfops_device DEVICE = {.size = sizeof DEVICE,
    .arch = "sm_90a",
    .max_threads_per_sm = 2048,
    .regs_per_sm = 65536,
    .max_cluster = 8,
    .smem_per_block_bytes = 48 * 1024};
static const struct tfops_problem PROBLEM = {.size = sizeof PROBLEM, .spec = &SPEC};
static const struct env ENV;

static struct space build(void)
{
    struct space space;
    cr_assert_eq(space_build(&ENV, &PROBLEM, &DEVICE, &space), TFOPS_OK, "%s", error_message());
    return space;
}

Test(space, holds_the_default_first_and_only_once)
{
    struct space space = build();
    int seen = 0;
    for (uint32_t i = 0; i < space.n; i++)
        seen += space.configs[i].values[0] == 128 && space.configs[i].values[1] == 2 &&
                space.configs[i].values[2] == 1;
    cr_assert_eq(seen, 1, "the default stands %d times", seen);
    cr_assert_eq(space.configs[0].values[1], 2);
    space_release(&ENV, &space);
}

Test(space, every_config_satisfies_the_constraint_and_none_repeats)
{
    struct space space = build();
    char reason[TFOPS_REASON_BYTES];
    for (uint32_t i = 0; i < space.n; i++) {
        cr_assert(space_allows(&PROBLEM, &DEVICE, &space.configs[i], reason), "%s", reason);
        cr_assert_eq(space.geometries[i].threads, (uint32_t)space.configs[i].values[0]);
        for (uint32_t j = 0; j < i; j++)
            cr_assert_not(space_config_equal(&SPEC, &space.configs[i], &space.configs[j]),
                "%u repeats %u", i, j);
    }
    space_release(&ENV, &space);
}

Test(space, stands_in_canonical_order)
{
    struct space space = build();
    for (uint32_t i = 2; i < space.n; i++) {
        const int64_t *a = space.configs[i - 1].values, *b = space.configs[i].values;
        int64_t before = a[0] * 10000 + a[1] * 100 + a[2];
        int64_t after = b[0] * 10000 + b[1] * 100 + b[2];
        cr_assert_lt(before, after, "%u: %ld then %ld", i, (long)before, (long)after);
    }
    space_release(&ENV, &space);
}

/* 4 distinct THREADS × 3 STAGES × 3 CLUSTER: all are accounted for. */
Test(space, counts_what_it_left_out_and_why)
{
    struct space space = build();
    uint64_t pruned = 0;
    for (int i = 0; i < SPACE_PRUNE_COUNT; i++)
        pruned += space.counts[i];
    cr_assert_eq(space.visited, 36, "visited %lu", (unsigned long)space.visited);
    cr_assert_eq(space.constrained, 3, "constrained %lu", (unsigned long)space.constrained);
    cr_assert_eq(space.counts[SPACE_THREADS], 9, "2048 threads");
    cr_assert_eq(space.counts[SPACE_CLUSTER] + space.counts[SPACE_SMEM], pruned - 9);
    cr_assert_gt(space.counts[SPACE_CLUSTER], 0);
    cr_assert_gt(space.counts[SPACE_SMEM], 0);
    cr_assert_eq(space.n + space.constrained + pruned, 36, "n %u pruned %lu", space.n,
        (unsigned long)pruned);
    cr_assert_eq(space.n_pruned_kept, pruned);
    cr_assert(strstr(space.pruned[space.n_pruned_kept - 1].text, "the device allows"), "%s",
        space.pruned[space.n_pruned_kept - 1].text);
    space_release(&ENV, &space);
}

Test(space, is_an_abi_error_when_the_default_is_outside)
{
    struct space space;
    default_threads = 2048;
    cr_assert_eq(space_build(&ENV, &PROBLEM, &DEVICE, &space), TFOPS_E_ABI);
    cr_assert(strstr(error_message(), "threads"), "%s", error_message());
}

Test(space, is_a_range_error_when_there_are_too_many_combinations)
{
    static int64_t many[256];
    static struct tfops_tunable_spec wide[] = {
        {"A", many, 256, ""}, {"B", many, 256, ""}, {"C", many, 256, ""}, {"D", many, 256, ""}};
    for (int i = 0; i < 256; i++)
        many[i] = i + 1;
    struct tfops_spec spec = SPEC;
    struct tfops_problem problem = {.size = sizeof problem, .spec = &spec};
    struct space space;
    spec.tunables = wide;
    spec.n_tunables = 4;
    default_threads = 64;
    cr_assert_eq(space_build(&ENV, &problem, &DEVICE, &space), TFOPS_E_RANGE);
    cr_assert(strstr(error_message(), "more than"), "%s", error_message());
}

Test(space, is_the_default_alone_without_tunables)
{
    struct tfops_spec spec = SPEC;
    struct tfops_problem problem = {.size = sizeof problem, .spec = &spec};
    struct space space;
    spec.n_tunables = 0;
    default_threads = 64;
    cr_assert_eq(space_build(&ENV, &problem, &DEVICE, &space), TFOPS_OK);
    cr_assert_eq(space.n, 1);
    space_release(&ENV, &space);
}

Test(space, ranks_from_the_default_outwards)
{
    struct space space = build();
    uint32_t ranked[64];
    bool seen[64] = {false};
    cr_assert_eq(space_rank(&ENV, &PROBLEM, &DEVICE, &space, ranked), TFOPS_OK);
    cr_assert_eq(ranked[0], 0);
    for (uint32_t i = 0; i < space.n; i++) {
        cr_assert_not(seen[ranked[i]]);
        seen[ranked[i]] = true;
    }
    const int64_t *last = space.configs[ranked[space.n - 1]].values;
    cr_assert(last[0] == 64 || last[0] == 256, "the farthest has THREADS=%ld", (long)last[0]);
    cr_assert_eq(space.configs[ranked[1]].values[2] + space.configs[ranked[1]].values[1], 2 + 1 + 0,
        "one step away");
    space_release(&ENV, &space);
}

/* Fewer stages first, among equals more threads; of the largest cluster it knows nothing. */
static double predict(void *user, const struct tfops_problem *problem,
    const struct tfops_device *device, const struct tfops_config *config)
{
    (void)user, (void)problem, (void)device;
    if (config->values[2] == 2)
        return NAN;
    return (double)(config->values[1] * 1000 - config->values[0]);
}

Test(space, ranks_by_what_the_spec_predicts_behind_the_default)
{
    struct tfops_spec spec = SPEC;
    const struct tfops_problem problem = {.size = sizeof problem, .spec = &spec};
    struct space space;
    uint32_t ranked[64], known = 0;
    spec.predict = predict;
    cr_assert_eq(space_build(&ENV, &problem, &DEVICE, &space), TFOPS_OK);
    cr_assert_eq(space_rank(&ENV, &problem, &DEVICE, &space, ranked), TFOPS_OK);
    cr_expect_eq(ranked[0], 0, "the default is first, whatever is predicted of it");
    for (uint32_t i = 1; i < space.n && space.configs[ranked[i]].values[2] == 1; i++)
        known = i;
    cr_assert_gt(known, 1);
    for (uint32_t i = 2; i <= known; i++) {
        double before = predict(NULL, &problem, &DEVICE, &space.configs[ranked[i - 1]]);
        double ns = predict(NULL, &problem, &DEVICE, &space.configs[ranked[i]]);
        cr_expect_leq(before, ns, "rank %u: %g before %g", i, before, ns);
    }
    for (uint32_t i = known + 1; i < space.n; i++)
        cr_expect_eq(space.configs[ranked[i]].values[2], 2, "what is not predicted comes last");
    space_release(&ENV, &space);
}
