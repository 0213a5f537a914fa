/* The specs of quantize and dequantize: defaults in the space, grids, workspace, parameters. */
#include "kernels/quant/quant_spec.h"
#include "kernels/quant/quant_specs.h"
#include "kernels/quant/quantize_params.h"
#include "row/row_space.h"
#include <criterion/criterion.h>

#include "tests/support/spec_checks.h"

static struct tfops_problem make(const struct tfops_spec *spec, int64_t rows, int64_t hidden,
    enum tfops_dtype dtype, int granularity)
{
    struct tfops_problem problem;
    EXPECT_OK(tfops_problem_init(spec, &problem));
    problem.dims[QUANT_ROWS] = rows;
    problem.dims[QUANT_HIDDEN] = hidden;
    problem.dtypes[QUANT_DTYPE] = (uint8_t)dtype;
    problem.dtypes[QUANT_OUT_DTYPE] = spec == &quantize_spec ? TFOPS_E4M3 : TFOPS_F16;
    problem.dtypes[QUANT_SCALE_DTYPE] = TFOPS_F32;
    problem.options[QUANT_GRANULARITY] = (uint8_t)granularity;
    problem.align = 16;
    return problem;
}

static const int64_t HIDDEN[] = {1, 3, 8, 64, 127, 128, 130, 384, 1000, 2880, 4095, 4096, 5120,
    14336, 65535, 65536, 131071, 131072};
static const int64_t ROWS[] = {1, 64, 16384};
enum { N_HIDDEN = sizeof HIDDEN / sizeof HIDDEN[0] };

static void check_spec(const struct tfops_spec *spec, enum tfops_dtype dtype, int granularity)
{
    for (size_t arch = 0; arch < tfops_arch_count(); arch++) {
        const struct tfops_device device = spec_device(arch);
        for (size_t i = 0; i < N_HIDDEN * 3 * 5; i++) {
            struct tfops_problem problem =
                make(spec, ROWS[i % 3], HIDDEN[i / 15], dtype, granularity);
            problem.align = 1u << i / 3 % 5;
            if (spec->accepts(spec->user, &problem, (char[TFOPS_REASON_BYTES]){0}) ||
                HIDDEN[i / 15] % QUANT_GROUP_ELEMS == 0)
                spec_check_default(&problem, &device);
            if (spec == &quantize_spec && granularity == BY_TENSOR_GIVEN) {
                problem.options[QUANTIZE_OVERFLOW] = 1;
                spec_check_default(&problem, &device);
            }
        }
    }
}

Test(quantize_spec, default_is_in_the_space)
{
    static const enum tfops_dtype DTYPES[] = {TFOPS_F32, TFOPS_F16, TFOPS_BF16};
    for (int granularity = BY_TENSOR_GIVEN; granularity <= BY_BLOCK; granularity++)
        for (int d = 0; d < 3; d++)
            check_spec(&quantize_spec, DTYPES[d], granularity);
}

Test(quantize_spec, default_of_dequantize_is_in_the_space)
{
    for (int granularity = 0; granularity <= BY_BLOCK - BY_TENSOR; granularity++)
        check_spec(&dequantize_spec, TFOPS_E4M3, granularity);
}

static struct tfops_geometry geometry_of(
    const struct tfops_problem *problem, const struct tfops_device *device, bool generic)
{
    struct tfops_config config = {.generic = true};
    struct tfops_geometry geometry;
    if (!generic)
        problem->spec->default_config(problem->spec->user, problem, device, &config);
    problem->spec->geometry(problem->spec->user, problem, device, &config, &geometry);
    return geometry;
}

/* Starting blocks would be the bottleneck of smaller ones (docs/notes/quant.md). */
Test(quantize_spec, blocks_of_dequantize_move_at_least_6_kb)
{
    static const int64_t CASES[][2] = {{4096, 2}, {2944, 1}, {5120, 2}, {8192, 4}};
    const struct tfops_device device = spec_device(3);
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        struct tfops_problem problem =
            make(&dequantize_spec, 16384, CASES[i][0], TFOPS_E4M3, BY_TOKEN - BY_TENSOR);
        problem.dtypes[QUANT_OUT_DTYPE] = TFOPS_F16;
        EXPECT_INT(geometry_of(&problem, &device, false).blocks_per_group, CASES[i][1]);
    }
}

Test(quantize_spec, a_code_that_goes_the_other_way_counts_by_itself_in_a_small_tensor)
{
    const double large = quant_tolerance(TFOPS_E4M3, TFOPS_BF16, 1 << 24).relative;
    const double f32 = quant_tolerance(TFOPS_E4M3, TFOPS_F32, 1 << 24).relative;
    cr_assert_lt(large, quant_tolerance(TFOPS_E4M3, TFOPS_BF16, 128).relative / 2);
    cr_assert(0.011 < large && large < 0.02, "%g: bf16 quotients often lie between codes", large);
    cr_assert(f32 < 2e-3, "%g: those of fp32 do not", f32);
}

/* Blocks that wait for each other must be resident at once, and say so. */
Test(quantize_spec, a_scale_of_the_tensor_takes_a_cooperative_grid_that_fits_the_device)
{
    const struct tfops_device device = spec_device(3);
    for (size_t i = 0; i < N_HIDDEN * 2; i++) {
        const struct tfops_problem problem =
            make(&quantize_spec, 16384, HIDDEN[i / 2], TFOPS_F16, BY_TENSOR);
        const struct tfops_geometry g = geometry_of(&problem, &device, i % 2);
        const uint32_t per_sm = (g.grid[0] + (uint32_t)device.sms - 1) / (uint32_t)device.sms;
        cr_assert(g.cooperative);
        cr_assert(
            per_sm <= g.min_blocks, "%u blocks an SM, launch bounds of %u", per_sm, g.min_blocks);
        cr_assert_leq((int64_t)(per_sm * g.smem_bytes), device.smem_per_sm_bytes);
        cr_assert_eq(g.extent_per_group, 0u);
    }
}

Test(quantize_spec, a_tensor_of_one_block_waits_for_none)
{
    const struct tfops_device device = spec_device(3);
    const struct tfops_problem problem = make(&quantize_spec, 1, 4096, TFOPS_F16, BY_TENSOR);
    for (int generic = 0; generic < 2; generic++) {
        const struct tfops_geometry g = geometry_of(&problem, &device, generic);
        cr_assert_eq(g.grid[0], 1u);
        cr_assert_not(g.cooperative);
    }
}

/* On the small multiprocessors of sm_89 many blocks leave too little for a chunk of vectors each. */
Test(quantize_spec, vectors_wait_only_where_a_chunk_of_them_fits)
{
    char reason[TFOPS_REASON_BYTES];
    const struct tfops_device device = spec_device(2);
    const struct tfops_problem problem = make(&quantize_spec, 16384, 4096, TFOPS_F16, BY_TENSOR);
    struct tfops_config config;
    quantize_spec.default_config(quantize_spec.user, &problem, &device, &config);
    config.values[ROW_VEC_BYTES] = 16;
    config.values[ROW_THREADS_PER_ROW] = 384;
    config.values[ROW_RELOAD] = 1;
    config.values[ROW_BLOCKS_PER_SM] = 3;
    cr_assert(spec_fits(&problem, &device, &config, reason), "%s", reason);
    config.values[ROW_BLOCKS_PER_SM] = 4;
    cr_assert_not(spec_fits(&problem, &device, &config, reason));
}

Test(quantize_spec, only_a_scale_of_the_tensor_needs_a_workspace)
{
    const struct tfops_device device = spec_device(3);
    struct tfops_problem problem = make(&quantize_spec, 64, 4096, TFOPS_F16, BY_TENSOR);
    const struct tfops_config generic = {.generic = true};
    const size_t bytes = quantize_spec.workspace(NULL, &problem, &device, &generic);
    cr_assert(bytes >= 4 * GRID_WORDS((size_t)device.sms * 4) && bytes % 256 == 0, "%zu", bytes);
    for (int granularity = BY_TENSOR_GIVEN; granularity <= BY_BLOCK; granularity++) {
        problem.options[QUANT_GRANULARITY] = (uint8_t)granularity;
        EXPECT_INT(quantize_spec.workspace(NULL, &problem, &device, &generic),
            granularity == BY_TENSOR ? bytes : 0);
    }
    problem.options[QUANT_GRANULARITY] = BY_TENSOR_GIVEN;
    problem.options[QUANTIZE_OVERFLOW] = 1;
    EXPECT_INT(quantize_spec.workspace(NULL, &problem, &device, &generic), bytes);
}

Test(quantize_spec, tiles_have_a_block_each)
{
    const struct tfops_device device = spec_device(3);
    const struct tfops_problem problem = make(&quantize_spec, 300, 1000, TFOPS_F16, BY_BLOCK);
    EXPECT_INT(geometry_of(&problem, &device, false).grid[0], 3 * 8);
}

/* One binary serves every problem: what is compiled in must not depend on it. */
Test(quantize_spec, generic_geometry_is_that_of_every_problem)
{
    const struct tfops_device device = spec_device(3);
    const struct tfops_problem first = make(&quantize_spec, 1, 1, TFOPS_F32, BY_TENSOR_GIVEN);
    const struct tfops_geometry one = geometry_of(&first, &device, true);
    for (int granularity = BY_TENSOR; granularity <= BY_BLOCK; granularity++) {
        const struct tfops_problem other = make(&quantize_spec, 777, 4096, TFOPS_F16, granularity);
        const struct tfops_geometry two = geometry_of(&other, &device, true);
        EXPECT_INT(two.threads, one.threads);
        EXPECT_INT(two.smem_bytes, one.smem_bytes);
        EXPECT_INT(two.min_blocks, one.min_blocks);
    }
}

Test(quantize_spec, pack_fills_every_field)
{
    struct tfops_problem problem = make(&quantize_spec, 5, 256, TFOPS_BF16, BY_TENSOR_GIVEN);
    const struct tfops_view views[] = {{(void *)16, {256, 1}}, {(void *)32, {1}},
        {(void *)64, {272, 1}}, {(void *)96, {3, 1}}, {(void *)128, {1}}, {(void *)160, {1}}};
    const double retries = 4;
    const struct tfops_launch_args launch = {
        &problem, &(struct tfops_config){0}, views, &retries, (void *)512, 256};
    struct quantize_params p;
    problem.options[QUANTIZE_OVERFLOW] = 1;
    problem.dtypes[QUANTIZE_COUNT_DTYPE] = TFOPS_I64;
    spec_pack_twice(&launch, &p, sizeof p);
    cr_assert(p.x == (void *)16 && p.static_scale == (float *)32 && p.out == (void *)64);
    cr_assert(p.saturated == (void *)128 && p.retries == (void *)160);
    cr_assert(p.quant.scales == (float *)96 && p.turnstile == (unsigned *)512);
    EXPECT_INT(p.max_retries, 4);
    EXPECT_INT(p.count_dtype, TFOPS_I64);
    EXPECT_INT(p.out_stride, 272);
    problem.options[QUANTIZE_OVERFLOW] = 0;
    spec_pack_twice(&launch, &p, sizeof p);
    EXPECT_INT(p.max_retries, 0);
}

Test(quantize_spec, pack_of_dequantize_fills_every_field)
{
    struct tfops_problem problem = make(&dequantize_spec, 5, 256, TFOPS_E5M2, BY_GROUP - BY_TENSOR);
    const struct tfops_view views[] = {
        {(void *)16, {256, 1}}, {(void *)32, {7, 1}}, {(void *)64, {272, 1}}};
    const struct tfops_launch_args launch = {
        &problem, &(struct tfops_config){0}, views, NULL, NULL, 0};
    struct dequantize_params p;
    spec_pack_twice(&launch, &p, sizeof p);
    cr_assert(p.x == (void *)16 && p.quant.scales == (float *)32 && p.out == (void *)64);
    EXPECT_INT(p.granularity, BY_GROUP);
    EXPECT_INT(p.quant.row_stride, 7);
    EXPECT_INT(p.dtype, TFOPS_E5M2);
}
