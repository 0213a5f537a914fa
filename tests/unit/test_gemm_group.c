/* Bands of the walk over tiles: what L2 keeps from one wave to the next. */
#include "device.h"
#include "kernels/gemm/gemm_config.h"
#include "kernels/gemm/gemm_specs.h"
#include "tests/support/expect.h"
#include <criterion/criterion.h>
#include <tfops/plan.h>

static struct tfops_device device;

static void start(void)
{
    EXPECT_OK(device_nominal("sm_90a", &device)); /* 60 MiB of L2, 132 multiprocessors */
}

TestSuite(gemm_group, .init = start);

static struct tfops_problem make(const struct tfops_spec *spec, int64_t m, int64_t n, int64_t k)
{
    struct tfops_problem problem;
    EXPECT_OK(tfops_problem_init(spec, &problem));
    problem.dims[GEMM_M] = m;
    problem.dims[GEMM_N] = n;
    problem.dims[GEMM_K] = k;
    EXPECT_OK(tfops_problem_check(&problem));
    return problem;
}

static struct tfops_config tile(
    int64_t rows, int64_t columns, int64_t stages, bool turns, int64_t cluster_m, int64_t cluster_n)
{
    return (struct tfops_config){.values = {[GEMM_MAINLOOP] = GEMM_WGMMA,
                                     [GEMM_BLOCK_M] = rows,
                                     [GEMM_BLOCK_N] = columns,
                                     [GEMM_STAGES] = stages,
                                     [GEMM_DEPTH] = 1,
                                     [GEMM_CONSUMERS] = 2,
                                     [GEMM_PINGPONG] = turns,
                                     [GEMM_CLUSTER_M] = cluster_m,
                                     [GEMM_CLUSTER_N] = cluster_n,
                                     [GEMM_SPLIT_K] = 1,
                                     [GEMM_GROUP] = GEMM_USUAL_GROUP}};
}

static int64_t best(const struct tfops_problem *problem, const struct tfops_config *config)
{
    const struct gemm_layout layout = gemm_lay_out(problem, config);
    return gemm_best_group(problem, &device, config, &layout);
}

/* 16 rows of 8 KiB x 128 beside nine columns of 192 are 30 MB; eight beside 17 would be 35, 32 beside five 41. */
Test(gemm_group, is_as_high_as_l2_keeps_beside_the_other_operand)
{
    const struct tfops_config narrow = tile(128, 176, 5, true, 1, 1);
    struct tfops_problem problem = make(&linear_spec, 8192, 28672, 4096);
    cr_expect_eq(best(&problem, &narrow), 16);
    problem = make(&linear_spec, 8192, 7168, 2048);
    cr_expect_eq(best(&problem, &narrow), 32);
}

Test(gemm_group, brings_the_fewest_bytes_where_l2_keeps_nothing)
{
    const struct tfops_config pair = tile(256, 128, 4, false, 2, 1);
    struct tfops_problem problem = make(&fp8_gemm_spec, 8192, 57344, 8192);
    cr_expect_eq(best(&problem, &pair), 4);
    const struct tfops_config square = tile(256, 192, 3, false, 1, 2);
    problem = make(&linear_spec, 8192, 28672, 4096);
    cr_expect_eq(best(&problem, &square), 8);
}

Test(gemm_group, is_the_usual_one_of_a_single_wave_and_of_tokens_across)
{
    struct tfops_config config = tile(128, 176, 5, true, 1, 1);
    struct tfops_problem problem = make(&linear_spec, 1024, 2048, 2048);
    cr_expect_eq(best(&problem, &config), GEMM_USUAL_GROUP);
    problem = make(&linear_spec, 8192, 7168, 2048);
    config.values[GEMM_SWAP] = 1;
    cr_expect_eq(best(&problem, &config), GEMM_USUAL_GROUP);
}

static int groups_that_make_sense(const struct tfops_problem *problem, struct tfops_config config)
{
    const struct tfops_tunable_spec *groups = &gemm_tunables[GEMM_GROUP];
    const struct gemm_layout layout = gemm_lay_out(problem, &config);
    int n = 0;
    for (size_t i = 0; i < groups->n_values; i++) {
        config.values[GEMM_GROUP] = groups->values[i];
        n += gemm_group_makes_sense(problem, &device, &config, &layout);
    }
    return n;
}

Test(gemm_group, is_tried_beside_its_neighbour_where_they_differ)
{
    const struct tfops_config config = tile(128, 176, 5, true, 1, 1);
    struct tfops_problem problem = make(&linear_spec, 8192, 7168, 2048);
    cr_expect_eq(groups_that_make_sense(&problem, config), 2);
    problem = make(&linear_spec, 256, 57344, 2048); /* two rows of tiles */
    cr_expect_eq(groups_that_make_sense(&problem, config), 1);
}
