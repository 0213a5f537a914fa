/* The matrix specs as arithmetic: defaults in the space, tensor maps, geometry that covers. */
#include "device.h"
#include "kernels/gemm/gemm_config.h"
#include "kernels/gemm/gemm_params.h"
#include "kernels/gemm/gemm_specs.h"
#include "tests/support/expect.h"
#include "tests/support/host_data.h"
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <stdio.h>
#include <tfops/plan.h>

static const struct tfops_spec *const SPECS[] = {&linear_spec, &fp8_gemm_spec};
enum { N_SPECS = sizeof SPECS / sizeof SPECS[0] };

static struct tfops_problem make(
    const struct tfops_spec *spec, int64_t m, int64_t n, int64_t k, enum tfops_dtype out)
{
    struct tfops_problem problem;
    EXPECT_OK(tfops_problem_init(spec, &problem));
    problem.dims[GEMM_M] = m;
    problem.dims[GEMM_N] = n;
    problem.dims[GEMM_K] = k;
    problem.dtypes[GEMM_OUT_DTYPE] = (uint8_t)out;
    EXPECT_OK(tfops_problem_check(&problem));
    return problem;
}

static struct tfops_device device_named(const char *arch)
{
    struct tfops_device device;
    EXPECT_OK(device_nominal(arch, &device));
    return device;
}

static bool fits(const struct tfops_problem *problem, const struct tfops_device *device,
    const struct tfops_config *config, char reason[TFOPS_REASON_BYTES])
{
    return problem->spec->constraint(problem->spec->user, problem, device, config, reason);
}

static struct tfops_config default_of(
    const struct tfops_problem *problem, const struct tfops_device *device)
{
    struct tfops_config config;
    memset(&config, 0xff, sizeof config);
    problem->spec->default_config(problem->spec->user, problem, device, &config);
    return config;
}

static void check_default(const struct tfops_problem *problem, const struct tfops_device *device)
{
    char reason[TFOPS_REASON_BYTES] = "", text[512], name[640];
    const struct tfops_config config = default_of(problem, device);
    bool listed = true;
    for (int i = 0; i < GEMM_TUNABLES; i++) {
        bool found = false;
        for (size_t k = 0; k < gemm_tunables[i].n_values; k++)
            found |= gemm_tunables[i].values[k] == config.values[i];
        listed &= found;
    }
    tfops_config_format(problem->spec, &config, text, sizeof text);
    tfops_problem_format(problem, name, sizeof name);
    cr_assert(listed && fits(problem, device, &config, reason), "%s on %s: %s: %s", name,
        device->arch, text, listed ? reason : "a value that is not in its table");
}

Test(gemm_spec, default_is_in_the_space)
{
    static const int64_t M[] = {1, 7, 16, 63, 64, 65, 128, 200, 256, 257, 1024, 4096, 100000};
    static const int64_t NK[][2] = {{1, 1}, {8, 8}, {16, 16}, {77, 333}, {128, 4096}, {1000, 100},
        {4096, 14336}, {7168, 2112}, {65536, 64}, {64, 65536}};
    static const enum tfops_dtype OUTS[] = {TFOPS_F16, TFOPS_BF16, TFOPS_F32};
    for (size_t arch = 0; arch < tfops_arch_count(); arch++) {
        const struct tfops_device device = device_named(tfops_arch_name(arch));
        for (int s = 0; s < N_SPECS; s++)
            for (size_t shape = 0; shape < sizeof NK / sizeof NK[0]; shape++)
                for (size_t m = 0; m < sizeof M / sizeof M[0]; m++) {
                    const struct tfops_problem problem =
                        make(SPECS[s], M[m], NK[shape][0], NK[shape][1], OUTS[m % 3]);
                    check_default(&problem, &device);
                }
    }
}

Test(gemm_spec, default_uses_wgmma_where_there_is_one)
{
    const struct tfops_device hopper = device_named("sm_90a"), ada = device_named("sm_89");
    for (int s = 0; s < N_SPECS; s++) {
        const struct tfops_problem right = make(SPECS[s], 512, 4096, 4096, TFOPS_F16);
        const struct tfops_problem odd = make(SPECS[s], 512, 4095, 4095, TFOPS_F16);
        cr_expect_eq(default_of(&right, &hopper).values[GEMM_MAINLOOP], GEMM_WGMMA);
        cr_expect_eq(default_of(&odd, &hopper).values[GEMM_MAINLOOP], GEMM_MMA);
        cr_expect_eq(default_of(&right, &ada).values[GEMM_MAINLOOP], GEMM_MMA);
    }
}

Test(gemm_spec, few_tokens_run_across_the_tile)
{
    const struct tfops_device hopper = device_named("sm_90a");
    const struct tfops_problem problem = make(&fp8_gemm_spec, 1, 4096, 14336, TFOPS_F16);
    const struct tfops_config config = default_of(&problem, &hopper);
    cr_expect_eq(config.values[GEMM_SWAP], 1);
    cr_expect_eq(config.values[GEMM_BLOCK_N], 8);
}

/* Few tokens: clusters gain nothing there, and cost up to 9% (docs/notes/linear_add_rmsnorm.md, section 5). */
Test(gemm_spec, blocks_that_exchange_sums_of_rows_are_in_no_clusters)
{
    static const int64_t M[] = {1, 16, 64, 100, 128, 256, 512};
    static const int64_t NK[][2] = {{3584, 3584}, {4096, 4096}, {4096, 14336}, {8192, 8192}};
    const struct tfops_device hopper = device_named("sm_90a");
    for (size_t shape = 0; shape < sizeof NK / sizeof NK[0]; shape++)
        for (size_t m = 0; m < sizeof M / sizeof M[0]; m++) {
            const struct tfops_problem problem =
                make(&linear_add_rmsnorm_spec, M[m], NK[shape][0], NK[shape][1], TFOPS_BF16);
            const struct tfops_config config = default_of(&problem, &hopper);
            cr_expect_eq(config.values[GEMM_EXCHANGE], 1);
            cr_expect_eq(gemm_lay_out(&problem, &config).cluster, 1, "%d tokens", (int)M[m]);
        }
}

/* Where shared memory holds them, in as narrow a tile as does. On Hopper wgmma's ring is as fast or faster,
 * where the weight is constant, too (docs/notes/gemm.md, section 7). */
Test(gemm_spec, the_weight_streams_past_few_tokens)
{
    static const struct {
        int64_t m, width;
    } CASES[] = {{1, 1}, {2, 2}, {5, 8}, {16, 16}};
    for (size_t arch = 0; arch < tfops_arch_count(); arch++)
        for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
            const struct tfops_device device = device_named(tfops_arch_name(arch));
            struct tfops_problem problem = make(&linear_spec, CASES[i].m, 18944, 1024, TFOPS_BF16);
            const struct tfops_config config = default_of(&problem, &device);
            if (!strcmp(device.arch, "sm_90a")) {
                cr_expect_eq(config.values[GEMM_MAINLOOP], GEMM_WGMMA);
                problem.options[GEMM_WEIGHTS] = 1;
                problem.dims[GEMM_K] = 3584;
                cr_expect_eq(default_of(&problem, &device).values[GEMM_MAINLOOP], GEMM_WGMMA);
                continue;
            }
            cr_expect_eq(config.values[GEMM_MAINLOOP], GEMM_STREAM, "%s", device.arch);
            cr_expect_eq(config.values[GEMM_BLOCK_N], CASES[i].width);
        }
}

Test(gemm_spec, many_tokens_odd_rows_and_invariant_sums_are_not_streamed)
{
    const struct tfops_device hopper = device_named("sm_90a");
    struct tfops_problem invariant = make(&linear_spec, 1, 4096, 1024, TFOPS_F16);
    invariant.flags = TFOPS_BATCH_INVARIANT;
    const struct tfops_problem problems[] = {make(&linear_spec, 17, 4096, 1024, TFOPS_F16),
        make(&linear_spec, 1, 4096, 1020, TFOPS_F16), invariant};
    for (size_t i = 0; i < sizeof problems / sizeof problems[0]; i++)
        cr_expect_neq(default_of(&problems[i], &hopper).values[GEMM_MAINLOOP], GEMM_STREAM);
}

Test(gemm_spec, a_batch_invariant_sum_is_neither_split_nor_swapped)
{
    const struct tfops_device hopper = device_named("sm_90a");
    for (int64_t m = 1; m <= 300; m++) {
        struct tfops_problem problem = make(&linear_spec, m, 4096, 14336, TFOPS_F16);
        problem.flags = TFOPS_BATCH_INVARIANT;
        const struct tfops_config config = default_of(&problem, &hopper);
        cr_assert_eq(config.values[GEMM_SPLIT_K], 1);
        cr_assert_eq(config.values[GEMM_SWAP], 0);
        check_default(&problem, &hopper);
    }
}

/* Blocks of the grid, by tile where they do not walk, come past every output. */
Test(gemm_spec, grid_covers_the_output)
{
    const struct tfops_device hopper = device_named("sm_90a");
    for (int64_t m = 1; m < 3000; m += 37) {
        const struct tfops_problem problem = make(&fp8_gemm_spec, m, 4096, 1024, TFOPS_BF16);
        const struct tfops_config config = default_of(&problem, &hopper);
        const struct gemm_layout l = gemm_lay_out(&problem, &config);
        struct tfops_geometry g;
        problem.spec->geometry(problem.spec->user, &problem, &hopper, &config, &g);
        cr_assert_eq(g.grid[0] % g.cluster, 0);
        cr_assert_leq(g.grid[0] / g.cluster, l.down * l.across);
        if (config.values[GEMM_SPLIT_K] > 1)
            cr_assert_eq(g.grid[0] / g.cluster, l.down * l.across);
        else
            cr_assert_leq(g.grid[0], hopper.sms);
        cr_assert_leq(g.smem_bytes, hopper.smem_per_block_bytes);
    }
}

static size_t maps_of(const struct tfops_problem *problem, const struct tfops_config *config,
    struct tfops_tensor_map *ret_maps)
{
    const struct tfops_view operands[TFOPS_MAX_OPERANDS] = {
        [GEMM_X] = {.strides = {problem->dims[GEMM_K] + 16, 1}},
        [GEMM_WEIGHT] = {.strides = {problem->dims[GEMM_K], 1}},
        [GEMM_OUT] = {.strides = {problem->dims[GEMM_N] + 8, 1}}};
    const struct tfops_launch_args launch = {
        .problem = problem, .config = config, .operands = operands};
    return problem->spec->tensor_maps(problem->spec->user, &launch, ret_maps);
}

Test(gemm_spec, maps_describe_the_operands)
{
    const struct tfops_device hopper = device_named("sm_90a");
    const struct tfops_problem problem = make(&fp8_gemm_spec, 1000, 4096, 2048, TFOPS_BF16);
    const struct tfops_config config = default_of(&problem, &hopper);
    struct tfops_tensor_map maps[TFOPS_MAX_TENSOR_MAPS];
    cr_assert_eq(maps_of(&problem, &config, maps), 3);
    cr_expect_eq(maps[0].operand, GEMM_X);
    cr_expect_eq(maps[0].dims[0], 2048);
    cr_expect_eq(maps[0].dims[1], 1000);
    cr_expect_eq(maps[0].strides_bytes[0], 2064);
    cr_expect_eq(maps[1].operand, GEMM_WEIGHT);
    cr_expect_eq(maps[1].dims[1], 4096);
    cr_expect_eq(maps[2].operand, GEMM_OUT);
    cr_expect_eq(maps[2].dims[0], 4096);
    cr_expect_eq(maps[2].strides_bytes[0], 2 * 4104);
    for (int i = 0; i < 3; i++) {
        cr_expect_eq(maps[i].param_offset % 64, 0);
        cr_expect_leq(maps[i].box[0] * (i < 2 ? 1 : 2), 128);
        cr_expect_leq(maps[i].box[1], 256);
    }
}

Test(gemm_spec, the_mma_kernel_has_no_maps)
{
    const struct tfops_device ada = device_named("sm_89");
    const struct tfops_problem problem = make(&linear_spec, 1000, 4096, 2048, TFOPS_BF16);
    const struct tfops_config config = default_of(&problem, &ada);
    struct tfops_tensor_map maps[TFOPS_MAX_TENSOR_MAPS];
    cr_expect_eq(maps_of(&problem, &config, maps), 0);
}

static void expect_scales(int scaling, bool transposed, const int64_t want[4])
{
    struct tfops_problem problem = make(&fp8_gemm_spec, 100, 200, 300, TFOPS_BF16);
    problem.options[GEMM_SCALING] = (uint8_t)scaling;
    problem.options[GEMM_SCALE_MAJOR] = transposed;
    EXPECT_OK(tfops_problem_check(&problem));
    for (int i = 0; i < 4; i++)
        cr_expect_eq(problem.dims[GEMM_X_SCALE_ROWS + i], want[i], "scaling %d, extent %d: %lld",
            scaling, i, (long long)problem.dims[GEMM_X_SCALE_ROWS + i]);
}

Test(gemm_spec, scales_have_the_shapes_that_quantize_writes)
{
    expect_scales(GEMM_PER_TENSOR, false, (const int64_t[]){1, 1, 1, 1});
    expect_scales(GEMM_PER_ROW, false, (const int64_t[]){100, 1, 200, 1});
    expect_scales(GEMM_PER_ROW, true, (const int64_t[]){1, 100, 200, 1});
    expect_scales(GEMM_PER_BLOCK, false, (const int64_t[]){100, 3, 2, 3});
    expect_scales(GEMM_PER_BLOCK, true, (const int64_t[]){3, 100, 2, 3});
}

Test(gemm_spec, block_scales_exclude_fast_accum)
{
    struct tfops_problem problem = make(&fp8_gemm_spec, 100, 200, 300, TFOPS_BF16);
    problem.options[GEMM_SCALING] = GEMM_PER_BLOCK;
    problem.options[GEMM_FAST_ACCUM] = 1;
    EXPECT_STATUS(tfops_problem_check(&problem), TFOPS_E_SHAPE);
    EXPECT_CONTAINS(
        expect_error().message, "fast_accum: shape does not fit: expected no with scaling=block");
}

Test(gemm_spec, default_with_block_scales_is_in_the_space)
{
    static const int64_t M[] = {1, 16, 64, 100, 256, 4096};
    static const int64_t NK[][2] = {
        {16, 16}, {200, 300}, {4096, 4096}, {4096, 14336}, {7168, 2112}};
    for (size_t arch = 0; arch < tfops_arch_count(); arch++) {
        const struct tfops_device device = device_named(tfops_arch_name(arch));
        for (size_t shape = 0; shape < sizeof NK / sizeof NK[0]; shape++)
            for (size_t m = 0; m < sizeof M / sizeof M[0]; m++) {
                struct tfops_problem problem =
                    make(&fp8_gemm_spec, M[m], NK[shape][0], NK[shape][1], TFOPS_BF16);
                problem.options[GEMM_SCALING] = GEMM_PER_BLOCK;
                EXPECT_OK(tfops_problem_check(&problem));
                check_default(&problem, &device);
            }
    }
}

Test(gemm_spec, a_larger_product_takes_longer)
{
    const struct tfops_device hopper = device_named("sm_90a");
    double last = 0;
    for (int64_t m = 256; m <= 65536; m *= 2) {
        const struct tfops_problem problem = make(&linear_spec, m, 4096, 4096, TFOPS_F16);
        const struct tfops_config config = default_of(&problem, &hopper);
        const double ns = gemm_model_ns(&problem, &hopper, &config);
        cr_expect_gt(ns, last);
        last = ns;
    }
}

/* Two consumers' 192 registers of sums each. */
static struct tfops_config largest_tile(int64_t stages, bool swap)
{
    return (struct tfops_config){.values = {[GEMM_MAINLOOP] = GEMM_WGMMA,
                                     [GEMM_BLOCK_M] = 256,
                                     [GEMM_BLOCK_N] = 192,
                                     [GEMM_STAGES] = stages,
                                     [GEMM_DEPTH] = 1,
                                     [GEMM_CONSUMERS] = 2,
                                     [GEMM_CLUSTER_M] = 1,
                                     [GEMM_CLUSTER_N] = 1,
                                     [GEMM_SPLIT_K] = 1,
                                     [GEMM_GROUP] = 8,
                                     [GEMM_SWAP] = swap}};
}

static void expect_possible(const struct tfops_problem *problem, const struct tfops_device *device,
    const struct tfops_config *config)
{
    char reason[TFOPS_REASON_BYTES] = "";
    const struct gemm_layout layout = gemm_lay_out(problem, config);
    cr_expect(gemm_possible(problem, device, config, &layout, reason), "%s", reason);
}

static void expect_refusal(const struct tfops_problem *problem, const struct tfops_device *device,
    const struct tfops_config *config, const char *word)
{
    char reason[TFOPS_REASON_BYTES] = "";
    const struct gemm_layout layout = gemm_lay_out(problem, config);
    cr_expect(!gemm_possible(problem, device, config, &layout, reason));
    cr_expect(strstr(reason, word), "expected a reason with '%s', got '%s'", word, reason);
}

/* Measured with ptxas 13.0: so many sums leave too few registers for the residual's addresses. */
Test(gemm_spec, refuses_the_largest_tiles_beside_a_residual)
{
    const struct tfops_device device = device_named("sm_90a");
    struct tfops_problem problem = make(&linear_spec, 4096, 4096, 4096, TFOPS_BF16);
    struct tfops_config config = largest_tile(3, false);
    expect_possible(&problem, &device, &config);
    problem.present |= 1u << GEMM_RESIDUAL;
    expect_refusal(&problem, &device, &config, "residual");
    config.values[GEMM_BLOCK_N] = 160;
    expect_possible(&problem, &device, &config);
}

/* Measured with ptxas 13.0: 1476 bytes of spills, and none with 160 columns. */
Test(gemm_spec, refuses_the_largest_tiles_of_floats_across)
{
    const struct tfops_device device = device_named("sm_90a");
    const struct tfops_problem problem = make(&linear_spec, 178, 28672, 2880, TFOPS_F32);
    struct tfops_config config = largest_tile(2, true);
    expect_refusal(&problem, &device, &config, "columns");
    config.values[GEMM_BLOCK_N] = 160;
    expect_possible(&problem, &device, &config);
}

/* ---- the last tiles, cut along K --------------------------------------------------------------- */

static const struct tail_case {
    int64_t down, across, clusters, k_stages;
    struct gemm_tail tail;
} TAIL_CASES[] = {
    {8, 8, 64, 100, {0, 1, 1}},                                 /* comes out even */
    {1, 28, 66, 100, {28, 2, 1}},                               /* two clusters for each */
    {4, 40, 66, 100, {28, 2, 1}},                               /* behind two waves */
    {1, 5, 132, 100, {5, 8, 1}},                                /* no more than eight parts */
    {1, 5, 132, 3, {5, 3, 1}},                                  /* nor than stages */
    {1, 1, 132, 1, {0, 1, 1}},                                  /* one stage is not cut */
    {1, 44, 66, 100, {44, 2, 2}},                               /* a cluster has the rests of two */
    {1, 52, 66, 100, {52, 2, 4}}, {1, 60, 66, 100, {0, 2, 10}}, /* too many to gain by it */
    {1, 44, 66, 2, {0, 2, 2}},                                  /* a part would be empty */
};

ParameterizedTestParameters(gemm_spec, the_last_tiles_are_cut_for_idle_clusters)
{
    return cr_make_param_array(
        struct tail_case, (void *)TAIL_CASES, sizeof TAIL_CASES / sizeof *TAIL_CASES);
}

ParameterizedTest(struct tail_case *test, gemm_spec, the_last_tiles_are_cut_for_idle_clusters)
{
    const struct gemm_layout layout = {
        .down = test->down, .across = test->across, .k_stages = test->k_stages};
    const struct gemm_tail tail = gemm_tail_of(&layout, test->clusters);
    cr_assert_eq(tail.tiles, test->tail.tiles);
    cr_assert(!tail.tiles || (tail.parts == test->tail.parts && tail.each == test->tail.each));
}

static struct tfops_problem with_workspace(int64_t m, int64_t n, int64_t k)
{
    struct tfops_problem problem = make(&linear_spec, m, n, k, TFOPS_BF16);
    EXPECT_OK(tfops_problem_set(&problem, "workspace", "yes"));
    EXPECT_OK(tfops_problem_check(&problem));
    return problem;
}

static const char CUT[] =
    "MAINLOOP=1,BLOCK_M=128,BLOCK_N=192,STAGES=4,DEPTH=1,CONSUMERS=2,PINGPONG=0,"
    "CLUSTER_M=2,CLUSTER_N=1,SPLIT_K=1,GROUP=8,SWAP=0,SPLIT_TAIL=1";

Test(gemm_spec, parts_of_sums_need_a_workspace_whatever_the_tokens)
{
    const struct tfops_device device = device_named("sm_90a");
    struct tfops_problem problem = with_workspace(1024, 4608, 3584);
    struct tfops_config config = {0};
    char reason[TFOPS_REASON_BYTES];
    EXPECT_OK(tfops_config_parse(&linear_spec, CUT, &config));
    struct gemm_layout layout = gemm_lay_out(&problem, &config);
    cr_assert(gemm_possible(&problem, &device, &config, &layout, reason), "%s", reason);
    const size_t bytes = linear_spec.workspace(linear_spec.user, &problem, &device, &config);
    cr_assert_eq(
        bytes, 132 * 128 * 192 * 4 + 1280); /* a tile a block; 2 words each, in whole lines */
    problem.dims[GEMM_M] = 1;
    cr_assert_eq(linear_spec.workspace(linear_spec.user, &problem, &device, &config), bytes);
    problem.dims[GEMM_M] = 1024;
    EXPECT_OK(tfops_problem_set(&problem, "workspace", "no"));
    cr_assert(!gemm_possible(&problem, &device, &config, &layout, reason));
    EXPECT_CONTAINS(reason, "workspace");
    EXPECT_OK(tfops_problem_set(&problem, "workspace", "yes"));
    problem.flags = TFOPS_BATCH_INVARIANT;
    cr_assert(!gemm_possible(&problem, &device, &config, &layout, reason));
    EXPECT_CONTAINS(reason, "batch-invariant");
}

Test(gemm_spec, nothing_needs_a_workspace_unasked)
{
    const struct tfops_device device = device_named("sm_90a");
    for (size_t i = 0; i < N_SPECS; i++)
        for (int64_t m = 1; m < 10000; m *= 3) {
            const struct tfops_problem problem = make(SPECS[i], m, 4608, 3584, TFOPS_BF16);
            const struct tfops_config config = default_of(&problem, &device);
            cr_assert_eq(SPECS[i]->workspace(SPECS[i]->user, &problem, &device, &config), 0);
        }
}

/* 136 columns are boxes of 64 and eight from registers; stores of what exchanges sums of rows are boxes. */
Test(gemm_spec, columns_too_many_for_boxes_are_an_edge)
{
    const struct tfops_device device = device_named("sm_90a");
    struct tfops_problem problem = make(&linear_spec, 1024, 2112, 7168, TFOPS_BF16);
    struct tfops_config config = default_of(&problem, &device);
    char reason[TFOPS_REASON_BYTES] = "";
    cr_expect_eq(config.values[GEMM_BLOCK_N], 136);
    struct gemm_layout layout = gemm_lay_out(&problem, &config);
    cr_expect_eq(layout.edge_cols, 8);
    cr_expect_eq(layout.box_cols, 64);
    config.values[GEMM_BLOCK_N] = 144;
    cr_expect_eq(gemm_lay_out(&problem, &config).edge_cols, 0);
    config.values[GEMM_SPLIT_K] = 2; /* a part of 72 */
    layout = gemm_lay_out(&problem, &config);
    cr_expect(!gemm_possible(&problem, &device, &config, &layout, reason));
    EXPECT_CONTAINS(reason, "a box of at least 32 bytes");
}

/* Measured: 8192 x 24576 x 1536 takes 4% less in turns, fp8 9% less in boxes of whole lines (docs/notes/gemm.md,
 * section 16). */
Test(gemm_spec, stores_of_short_sums_run_beside_products_or_in_whole_lines)
{
    const struct tfops_device device = device_named("sm_90a");
    const struct tfops_problem wide = make(&linear_spec, 8192, 24576, 1536, TFOPS_BF16);
    const struct tfops_problem promoted = make(&fp8_gemm_spec, 4096, 24576, 1536, TFOPS_BF16);
    struct tfops_config config = default_of(&wide, &device);
    cr_expect_eq(config.values[GEMM_PINGPONG], 1);
    config = default_of(&promoted, &device);
    cr_expect_eq(gemm_lay_out(&promoted, &config).box_cols, 64);

    double ns[2];
    for (int i = 0; i < 2; i++) {
        config.values[GEMM_BLOCK_M] = 128;
        config.values[GEMM_BLOCK_N] = i ? 192 : 176; /* boxes of 32 and 128 bytes a row */
        ns[i] = gemm_model_ns(&promoted, &device, &config);
    }
    cr_expect_gt(ns[0], ns[1], "narrow boxes: %g ns, whole lines: %g", ns[0], ns[1]);
}

/* Where two partial sums of a slab fit in the registers, they follow one another over stages of one tile of K;
 * deeper stages were slower (docs/notes/gemm.md, section 12). Those of wider tiles do not fit. */
Test(gemm_spec, promoted_sums_of_two_have_stages_of_one_tile)
{
    const struct tfops_device device = device_named("sm_90a");
    const struct tfops_problem problem = make(&fp8_gemm_spec, 256, 8192, 8192, TFOPS_BF16);
    struct tfops_config config = default_of(&problem, &device);
    char reason[TFOPS_REASON_BYTES] = "";
    cr_expect_eq(config.values[GEMM_BLOCK_M], 128);
    cr_expect_eq(config.values[GEMM_BLOCK_N], 128);
    cr_expect_eq(config.values[GEMM_DEPTH], 1);
    for (int64_t width = 96; width <= 160; width += 16) {
        config.values[GEMM_BLOCK_N] = width;
        const struct gemm_layout layout = gemm_lay_out(&problem, &config);
        cr_expect_eq(gemm_two_sums(&problem, config.values, &layout), width <= 144);
    }
    config.values[GEMM_BLOCK_N] = 128;
    config.values[GEMM_CLUSTER_M] = 1;
    config.values[GEMM_DEPTH] = 2;
    config.values[GEMM_STAGES] = 3;
    cr_expect(!fits(&problem, &device, &config, reason));
    EXPECT_CONTAINS(reason, "never worth measuring");
}
