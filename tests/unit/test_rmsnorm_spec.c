/* The norm specs as arithmetic: defaults in the space, geometry that covers, cost, parameters. */
#include <criterion/criterion.h>

#include "kernels/norm/norm_params.h"
#include "kernels/norm/norm_specs.h"
#include "kernels/row/row_space.h"
#include "launcher.h"
#include "tests/support/expect.h"
#include "tests/support/host_data.h"
#include "tests/support/spec_checks.h"
#include <stdio.h>
#include <tfops/plan.h>

static const struct tfops_spec *const SPECS[] = {&rmsnorm_spec, &add_rmsnorm_spec};
static const enum tfops_dtype DTYPES[] = {TFOPS_F32, TFOPS_F16, TFOPS_BF16};

static struct tfops_problem make(const struct tfops_spec *spec, int64_t rows, int64_t hidden,
    enum tfops_dtype dtype, uint32_t align)
{
    struct tfops_problem problem;
    EXPECT_OK(tfops_problem_init(spec, &problem));
    problem.dims[NORM_ROWS] = rows;
    problem.dims[NORM_HIDDEN] = hidden;
    problem.dtypes[0] = problem.dtypes[1] = (uint8_t)dtype;
    problem.align = align;
    return problem;
}

static void check_defaults(int64_t hidden)
{
    static const int64_t ROWS[] = {1, 64, 16384};
    static const uint32_t ALIGNS[] = {2, 4, 8, 16};
    for (size_t arch = 0; arch < tfops_arch_count(); arch++) {
        const struct tfops_device device = spec_device(arch);
        for (int s = 0; s < 2; s++)
            for (int d = 0; d < 3; d++)
                for (int a = d ? 0 : 1; a < 4; a++)
                    for (int r = 0; r < 3; r++) {
                        const struct tfops_problem problem =
                            make(SPECS[s], ROWS[r], hidden, DTYPES[d], ALIGNS[a]);
                        spec_check_default(&problem, &device);
                    }
    }
}

Test(rmsnorm_spec, default_is_in_the_space_for_every_small_hidden)
{
    for (int64_t hidden = 1; hidden <= 600; hidden++)
        check_defaults(hidden);
}

Test(rmsnorm_spec, default_is_in_the_space_for_every_large_hidden)
{
    for (int64_t hidden = 601; hidden <= 4097; hidden += 13)
        check_defaults(hidden);
    static const int64_t MORE[] = {2880, 3584, 4094, 4095, 4096, 5120, 7168, 8192, 12288, 16383,
        16384, 24576, 32767, 32768, 49152, 65533, 65534, 65535, 65536};
    for (size_t i = 0; i < sizeof MORE / sizeof MORE[0]; i++)
        check_defaults(MORE[i]);
}

Test(rmsnorm_spec, default_does_not_depend_on_what_it_is_not_told)
{
    const struct tfops_device device = spec_device(3);
    const struct tfops_problem problem = make(&rmsnorm_spec, 64, 4096, TFOPS_F16, 16);
    struct tfops_config one, two;
    memset(&one, 0xff, sizeof one);
    memset(&two, 0, sizeof two);
    rmsnorm_spec.default_config(rmsnorm_spec.user, &problem, &device, &one);
    rmsnorm_spec.default_config(rmsnorm_spec.user, &problem, &device, &two);
    cr_assert(!memcmp(one.values, two.values, sizeof one.values));
}

/* Random configs of the space: 1 in a few hundred draws fits. */
static struct tfops_config draw(const struct tfops_spec *spec, uint64_t *seed)
{
    struct tfops_config config = {0};
    for (size_t i = 0; i < spec->n_tunables; i++)
        config.values[i] = spec->tunables[i].values[host_random(seed) % spec->tunables[i].n_values];
    return config;
}

static int64_t tunable(const struct tfops_config *config, const char *name)
{
    for (size_t i = 0; i < rmsnorm_spec.n_tunables; i++)
        if (!strcmp(rmsnorm_spec.tunables[i].name, name))
            return config->values[i];
    cr_assert_fail("no tunable %s", name);
    return 0;
}

/* The launch's limits, and that its blocks come past every row. */
static void check_geometry(const struct tfops_problem *problem, const struct tfops_device *device,
    const struct tfops_config *config)
{
    struct tfops_geometry g;
    char text[512];
    memset(&g, 0xee, sizeof g);
    problem->spec->geometry(problem->spec->user, problem, device, config, &g);
    tfops_config_format(problem->spec, config, text, sizeof text);
    const int64_t rows = problem->dims[0],
                  cluster = config->generic ? 1 : tunable(config, "CLUSTER");
    const int64_t per_block = config->generic ? 1 : tunable(config, "ROWS_PER_BLOCK");
    const int64_t per_sm = config->generic ? 8 : tunable(config, "BLOCKS_PER_SM");
    const int64_t groups = (int64_t)g.grid[0] / cluster;
    cr_assert(g.threads >= 32 && g.threads <= 1024 && g.threads % 32 == 0, "%u threads: %s",
        g.threads, text);
    cr_assert(g.min_blocks >= 1 && (int64_t)g.min_blocks * g.threads <= device->max_threads_per_sm,
        "%u blocks of %u threads on %s: %s", g.min_blocks, g.threads, device->arch, text);
    cr_assert(g.cluster == (uint32_t)cluster && g.cluster <= (uint32_t)device->max_cluster &&
                  g.grid[0] % g.cluster == 0,
        "cluster %u of a grid of %u: %s", g.cluster, g.grid[0], text);
    cr_assert(g.smem_bytes <= device->smem_per_block_bytes, "%u bytes of shared memory: %s",
        g.smem_bytes, text);
    cr_assert(g.grid[0] >= 1 && g.grid[0] <= INT32_MAX && g.grid[1] == 1 && g.grid[2] == 1,
        "grid %u %u %u: %s", g.grid[0], g.grid[1], g.grid[2], text);
    const uint32_t launched =
        launcher_groups(rows, g.extent_per_group, g.most_groups) * g.blocks_per_group;
    cr_assert_eq(
        launched, g.grid[0], "a launch has %u blocks, not %u: %s", launched, g.grid[0], text);
    if (per_sm)
        cr_assert(groups <= per_sm * device->sms, "%lld groups walk: %s", (long long)groups, text);
    else
        cr_assert(groups * per_block >= rows, "%lld blocks of %lld rows leave some of %lld: %s",
            (long long)groups, (long long)per_block, (long long)rows, text);
    if (groups > 1)
        cr_assert((groups - 1) * per_block < rows, "a block without a row: %lld for %lld rows: %s",
            (long long)groups, (long long)rows, text);
}

/* Inputs of more than twice L2 are kept there before what is written; smaller ones are not, and a
 * hint that nothing heeds is refused. */
Test(rmsnorm_spec, large_inputs_are_loaded_to_stay_in_l2)
{
    const struct tfops_device device = spec_device(3);
    static const struct {
        int spec;
        int64_t rows, hidden, hint;
        uint32_t align;
    } CASES[] = {{0, 16384, 8192, 1, 16}, {0, 16384, 4096, 1, 16}, {0, 16384, 2880, 1, 16},
        {0, 8192, 2880, 0, 16}, {1, 16384, 4096, 1, 16}, {0, 16, 8192, 0, 16},
        {0, 65536, 4095, 0, 2}, {0, 4096, 65536, 1, 16}};
    cr_assert_str_eq(device.arch, "sm_90a");
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        const struct tfops_problem problem =
            make(SPECS[CASES[i].spec], CASES[i].rows, CASES[i].hidden, TFOPS_F16, CASES[i].align);
        struct tfops_config config;
        char reason[TFOPS_REASON_BYTES] = "";
        problem.spec->default_config(problem.spec->user, &problem, &device, &config);
        cr_expect_eq(tunable(&config, "LOAD_HINT"), CASES[i].hint, "case %zu", i);
        if (CASES[i].hint)
            continue;
        config.values[ROW_LOAD_HINT] = 1;
        if (CASES[i].rows == 16) {
            cr_expect(!spec_fits(&problem, &device, &config, reason));
            cr_expect(strstr(reason, "LOAD_HINT") != NULL, "%s", reason);
        }
    }
}

/* Blocks of a launch of a few turns may fetch ahead; those of a small grid do anyway, and of a long launch
 * nobody would see it. */
Test(rmsnorm_spec, rows_are_fetched_ahead_of_launches_of_a_few_turns)
{
    static const struct {
        int64_t rows, hidden;
        bool fits;
    } CASES[] = {{2048, 4096, true}, {64, 4096, false}, {65536, 4096, false}};
    for (size_t arch = 0; arch < tfops_arch_count(); arch++)
        for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
            const struct tfops_device device = spec_device(arch);
            const struct tfops_problem problem =
                make(&rmsnorm_spec, CASES[i].rows, CASES[i].hidden, TFOPS_F16, 16);
            struct tfops_config config;
            char reason[TFOPS_REASON_BYTES] = "";
            problem.spec->default_config(problem.spec->user, &problem, &device, &config);
            cr_expect_eq(config.values[ROW_PREFETCH], 0);
            config.values[ROW_PREFETCH] = 384;
            const bool fits = spec_fits(&problem, &device, &config, reason);
            cr_expect_eq(
                fits, CASES[i].fits && device.cc >= 90, "%s case %zu: %s", device.arch, i, reason);
            cr_expect(fits || strstr(reason, "PREFETCH"), "%s", reason);
        }
}

Test(rmsnorm_spec, geometry_is_within_limits_and_covers_all_rows)
{
    static const int64_t ROWS[] = {1, 2, 7, 64, 1000, 16384, 1 << 20, INT32_MAX};
    static const int64_t HIDDEN[] = {1, 8, 127, 1024, 4095, 4096, 8192, 65536};
    uint64_t seed = 42;
    int checked = 0;
    for (int i = 0; i < 3600000; i++) {
        const struct tfops_device device = spec_device(host_random(&seed) % tfops_arch_count());
        const struct tfops_problem problem = make(SPECS[host_random(&seed) % 2],
            ROWS[host_random(&seed) % 8], HIDDEN[host_random(&seed) % 8],
            DTYPES[host_random(&seed) % 3], 4u << host_random(&seed) % 3);
        const struct tfops_config config = draw(problem.spec, &seed);
        char reason[TFOPS_REASON_BYTES];
        const int64_t elem = (int64_t)tfops_dtype_bytes((enum tfops_dtype)problem.dtypes[0]);
        if (!spec_fits(&problem, &device, &config, reason) ||
            problem.dims[0] * problem.dims[1] > device.memory_bytes / elem)
            continue;
        check_geometry(&problem, &device, &config);
        checked++;
    }
    cr_assert_gt(checked, 1000, "only %d configs were in the space", checked);
}

Test(rmsnorm_spec, generic_geometry_is_within_limits)
{
    static const int64_t ROWS[] = {1, 2, 1000, INT32_MAX};
    const struct tfops_config generic = {.generic = true};
    for (size_t arch = 0; arch < tfops_arch_count(); arch++)
        for (int r = 0; r < 4; r++) {
            const struct tfops_device device = spec_device(arch);
            const struct tfops_problem problem = make(&rmsnorm_spec, ROWS[r], 4096, TFOPS_F16, 16);
            check_geometry(&problem, &device, &generic);
        }
}

/* One binary serves every problem: what is compiled in must not depend on it. */
Test(rmsnorm_spec, generic_geometry_is_that_of_every_problem)
{
    const struct tfops_config generic = {.generic = true};
    struct tfops_geometry first, other;
    struct tfops_problem problem;
    const struct tfops_device device = spec_device(3);
    EXPECT_OK(tfops_problem_init(&rmsnorm_spec, &problem)); /* no extents at all */
    rmsnorm_spec.geometry(rmsnorm_spec.user, &problem, &device, &generic, &first);
    problem = make(&add_rmsnorm_spec, 777, 65536, TFOPS_F32, 4);
    add_rmsnorm_spec.geometry(add_rmsnorm_spec.user, &problem, &device, &generic, &other);
    EXPECT_INT(other.threads, first.threads);
    EXPECT_INT(other.smem_bytes, first.smem_bytes);
    EXPECT_INT(other.cluster, first.cluster);
    EXPECT_INT(other.min_blocks, first.min_blocks);
}

Test(rmsnorm_spec, constraint_says_why)
{
    const struct tfops_device device = spec_device(3), old = spec_device(0);
    const struct tfops_problem problem = make(&rmsnorm_spec, 64, 4096, TFOPS_F16, 16);
    static const struct {
        const char *text, *reason;
    } CASES[] = {
        {"THREADS_PER_ROW=1024 ROWS_PER_BLOCK=2", "whole warps up to 1024"},
        {"THREADS_PER_ROW=8 ROWS_PER_BLOCK=1", "whole warps"},
        {"THREADS_PER_ROW=8 ROWS_PER_BLOCK=8 RELOAD=0", "registers"},
        {"CLUSTER=2 ROWS_PER_BLOCK=2", "cluster shares one row"},
        {"WEIGHT_LOAD=2 BLOCKS_PER_SM=0", "walks over rows"},
        {"STAGES=2 BLOCKS_PER_SM=0", "second stage"},
    };
    struct tfops_config base, config;
    char reason[TFOPS_REASON_BYTES];
    rmsnorm_spec.default_config(rmsnorm_spec.user, &problem, &device, &base);
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        config = base;
        EXPECT_OK(tfops_config_parse(&rmsnorm_spec, CASES[i].text, &config));
        cr_assert_not(spec_fits(&problem, &device, &config, reason), "%s is taken", CASES[i].text);
        EXPECT_CONTAINS(reason, CASES[i].reason);
    }
    config = base;
    EXPECT_OK(tfops_config_parse(&rmsnorm_spec, "CLUSTER=2 ROWS_PER_BLOCK=1", &config));
    cr_assert_not(spec_fits(&problem, &old, &config, reason));
    EXPECT_CONTAINS(reason, "CLUSTER");
}

Test(rmsnorm_spec, cost_is_what_must_cross_the_bus)
{
    static const struct {
        int spec;
        int64_t rows, hidden;
        enum tfops_dtype dtype, weight;
        uint64_t read, written;
    } CASES[] = {
        {0, 16, 4096, TFOPS_F16, TFOPS_F16, 16 * 4096 * 2 + 4096 * 2, 16 * 4096 * 2},
        {0, 1, 1, TFOPS_F32, TFOPS_F32, 8, 4},
        {0, 3, 5, TFOPS_BF16, TFOPS_F32, 30 + 20, 30},
        {1, 16, 4096, TFOPS_F16, TFOPS_F16, 2 * 16 * 4096 * 2 + 4096 * 2, 2 * 16 * 4096 * 2},
        {0, INT32_MAX, 65536, TFOPS_F32, TFOPS_F32, INT32_MAX * 262144ull + 262144,
            INT32_MAX * 262144ull},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        struct tfops_cost cost;
        struct tfops_problem problem =
            make(SPECS[CASES[i].spec], CASES[i].rows, CASES[i].hidden, CASES[i].dtype, 16);
        problem.dtypes[1] = (uint8_t)CASES[i].weight;
        problem.spec->cost(problem.spec->user, &problem, &cost);
        EXPECT_INT(cost.bytes_read, CASES[i].read);
        EXPECT_INT(cost.bytes_written, CASES[i].written);
        cr_assert_gt(cost.flops, 0u);
    }
}

Test(rmsnorm_spec, tolerance_is_positive_and_grows_with_the_dtypes_step)
{
    struct tfops_tolerance f32, f16, bf16;
    struct tfops_problem problem = make(&rmsnorm_spec, 1, 64, TFOPS_F32, 16);
    rmsnorm_spec.tolerance(NULL, &problem, RMSNORM_OUT, &f32);
    problem.dtypes[0] = TFOPS_F16;
    rmsnorm_spec.tolerance(NULL, &problem, RMSNORM_OUT, &f16);
    problem.dtypes[0] = TFOPS_BF16;
    rmsnorm_spec.tolerance(NULL, &problem, RMSNORM_OUT, &bf16);
    cr_assert(f32.relative > 0 && f32.relative < f16.relative && f16.relative < bf16.relative);
    cr_assert(f32.rtol > 0 && f32.rtol < f16.rtol && f16.rtol < bf16.rtol);
}

Test(rmsnorm_spec, pack_of_rmsnorm_fills_every_field)
{
    struct tfops_problem problem = make(&rmsnorm_spec, 5, 24, TFOPS_BF16, 16);
    const struct tfops_view views[] = {
        {(void *)16, {32, 1}}, {(void *)64, {1}}, {(void *)128, {40, 1}}};
    const struct tfops_config config = {0};
    const double eps = 0.5;
    struct norm_params p;
    problem.options[0] = 2;
    problem.dtypes[1] = TFOPS_F32;
    spec_pack_twice(
        &(struct tfops_launch_args){&problem, &config, views, &eps, NULL, 0}, &p, sizeof p);
    cr_assert(p.x == (void *)16 && p.weight == (void *)64 && p.out == (void *)128);
    cr_assert(!p.residual && !p.residual_out);
    EXPECT_INT(p.x_stride, 32);
    EXPECT_INT(p.out_stride, 40);
    EXPECT_INT(p.rows, 5);
    EXPECT_INT(p.hidden, 24);
    cr_assert_eq(p.eps, 0.5f);
    EXPECT_INT(p.dtype, TFOPS_BF16);
    EXPECT_INT(p.weight_dtype, TFOPS_F32);
    EXPECT_INT(p.weight_variant, NORM_ROUND_BEFORE);
    EXPECT_INT(p.residual_round, 0);
}

Test(rmsnorm_spec, pack_of_add_rmsnorm_fills_every_field)
{
    struct tfops_problem problem = make(&add_rmsnorm_spec, 5, 24, TFOPS_F16, 16);
    struct tfops_view views[] = {{(void *)16, {32, 1}}, {(void *)64, {33, 1}}, {(void *)128, {1}},
        {(void *)256, {40, 1}}, {(void *)512, {48, 1}}};
    const struct tfops_config config = {0};
    const double eps = 0.5;
    const struct tfops_launch_args launch = {&problem, &config, views, &eps, NULL, 0};
    struct norm_params p;
    problem.options[ADD_RMSNORM_RESIDUAL_ROUND] = 1;
    spec_pack_twice(&launch, &p, sizeof p);
    cr_assert(p.residual == (void *)64 && p.residual_out == (void *)512);
    EXPECT_INT(p.residual_stride, 33);
    EXPECT_INT(p.residual_out_stride, 48);
    EXPECT_INT(p.out_stride, 40);
    EXPECT_INT(p.residual_round, 1);
    views[ADD_RMSNORM_RESIDUAL_OUT].data = NULL; /* absent: the sum goes in place */
    spec_pack_twice(&launch, &p, sizeof p);
    cr_assert(p.residual_out == (void *)64);
    EXPECT_INT(p.residual_out_stride, 33);
}
