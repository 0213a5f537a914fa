/* The space of the row family as operators without weights use it: defaults, geometry, parameters. */
#include "device.h"
#include "kernels/activation/activation_specs.h"
#include "kernels/activation/gated_act_params.h"
#include "kernels/row/row_space.h"
#include "kernels/softmax/softmax_params.h"
#include "kernels/softmax/softmax_specs.h"
#include "tests/support/expect.h"
#include <criterion/criterion.h>
#include <tfops/plan.h>

static const enum tfops_dtype DTYPES[] = {TFOPS_F32, TFOPS_F16, TFOPS_BF16};

static struct tfops_device device_of(size_t arch)
{
    struct tfops_device device;
    EXPECT_OK(device_nominal(tfops_arch_name(arch), &device));
    return device;
}

/* Dimension 0 is the rows, 1 the width, of both. */
static struct tfops_problem make(const struct tfops_spec *spec, int64_t rows, int64_t width,
    enum tfops_dtype dtype, uint32_t align)
{
    struct tfops_problem problem;
    EXPECT_OK(tfops_problem_init(spec, &problem));
    problem.dims[0] = rows;
    problem.dims[1] = width;
    for (size_t i = 0; i < 2; i++)
        problem.dtypes[i] = (uint8_t)dtype;
    problem.align = align;
    return problem;
}

static struct tfops_problem quantised(struct tfops_problem problem, uint8_t granularity)
{
    problem.dtypes[GATED_ACT_OUT_DTYPE] = TFOPS_E4M3;
    problem.options[GATED_ACT_GRANULARITY] = granularity;
    problem.present |= 1u << GATED_ACT_SCALES;
    return problem;
}

static void check_default(const struct tfops_problem *problem, const struct tfops_device *device)
{
    const struct tfops_spec *spec = problem->spec;
    char reason[TFOPS_REASON_BYTES] = "", text[512], name[512];
    struct tfops_config config;
    spec->default_config(spec->user, problem, device, &config);
    if (spec->constraint(spec->user, problem, device, &config, reason))
        return;
    tfops_config_format(spec, &config, text, sizeof text);
    tfops_problem_format(problem, name, sizeof name);
    cr_assert_fail("%s on %s: default %s: %s", name, device->arch, text, reason);
}

static void check_width(int64_t width)
{
    static const int64_t ROWS[] = {1, 128, 16384};
    for (size_t arch = 0; arch < tfops_arch_count(); arch++) {
        const struct tfops_device device = device_of(arch);
        for (int i = 0; i < 3 * 3 * 4; i++) {
            const enum tfops_dtype dtype = DTYPES[i % 3];
            const uint32_t align = 2u << i / 9;
            const int64_t rows = ROWS[i / 3 % 3];
            struct tfops_problem problem = make(
                &softmax_spec, rows, width, dtype, align < 4 && dtype == TFOPS_F32 ? 4 : align);
            check_default(&problem, &device);
            problem.present |= 1u << SOFTMAX_MASK;
            check_default(&problem, &device);
            if (width > 1 << 17)
                continue;
            problem = make(&gated_act_spec, rows, width, dtype, problem.align);
            check_default(&problem, &device);
            problem = quantised(problem, 0);
            check_default(&problem, &device);
            problem = quantised(problem, 1);
            if (width % 128 == 0)
                check_default(&problem, &device);
        }
    }
}

Test(row_space, default_is_in_the_space_for_every_width)
{
    static const int64_t WIDE[] = {4095, 4096, 8192, 11008, 14336, 16384, 18944, 28672, 32000,
        32767, 32768, 65536, 65537, 131072, 151936, 262144, 524287, 1048575, 1048576};
    for (int64_t width = 1; width <= 4097; width += width < 260 ? 1 : 61)
        check_width(width);
    for (size_t i = 0; i < sizeof WIDE / sizeof WIDE[0]; i++)
        check_width(WIDE[i]);
}

static struct tfops_geometry default_geometry(const struct tfops_problem *problem,
    const struct tfops_device *device, struct tfops_config *ret_config)
{
    const struct tfops_spec *spec = problem->spec;
    struct tfops_geometry geometry;
    spec->default_config(spec->user, problem, device, ret_config);
    spec->geometry(spec->user, problem, device, ret_config, &geometry);
    return geometry;
}

Test(row_space, a_row_longer_than_shared_memory_waits_there_in_whole_chunks)
{
    enum { CHUNK_BYTES = 4 * 16 };
    const struct tfops_device device = device_of(3);
    const struct tfops_problem problem = make(&softmax_spec, 128, 262144, TFOPS_F16, 16);
    struct tfops_config config;
    const struct tfops_geometry g = default_geometry(&problem, &device, &config);
    EXPECT_INT(config.values[ROW_RELOAD], 1);
    cr_assert_leq(g.smem_bytes, device.smem_per_block_bytes);
    cr_assert_gt(g.smem_bytes, device.smem_per_block_bytes - CHUNK_BYTES * g.threads);
}

Test(row_space, few_long_rows_are_spread_over_the_device)
{
    static const int64_t CASES[][3] = {{1, 32768, 16}, {64, 32768, 4}, {128, 32768, 2}};
    const struct tfops_device device = device_of(3);
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        const struct tfops_problem problem =
            make(&softmax_spec, CASES[i][0], CASES[i][1], TFOPS_F16, 16);
        struct tfops_config config;
        EXPECT_INT(default_geometry(&problem, &device, &config).cluster, CASES[i][2]);
    }
}

/* Seven blocks of six or of seven warps put eleven on a quarter of an SM, which leaves each thread 40 of the 48
 * registers that softmax wants; blocks of four and five warps share it out evenly. */
Test(row_space, resident_blocks_leave_each_quarter_of_an_sm_registers)
{
    static const struct {
        int64_t width;
        uint32_t threads, blocks;
    } CASES[] = {{4096, 128, 10}, {5120, 160, 8}, {6144, 192, 6}, {7168, 224, 5}, {8192, 256, 5}};
    const struct tfops_device device = device_of(3);
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        const struct tfops_problem problem =
            make(&softmax_spec, 8192, CASES[i].width, TFOPS_BF16, 16);
        struct tfops_config config;
        struct tfops_geometry geometry;
        softmax_spec.default_config(softmax_spec.user, &problem, &device, &config);
        softmax_spec.geometry(softmax_spec.user, &problem, &device, &config, &geometry);
        cr_expect_eq(geometry.threads, CASES[i].threads, "case %zu: %u", i, geometry.threads);
        cr_expect_eq(geometry.min_blocks, CASES[i].blocks, "case %zu: %u", i, geometry.min_blocks);
    }
}

Test(row_space, blocks_without_a_reduction_are_no_cluster)
{
    const struct tfops_device device = device_of(0); /* no clusters */
    const struct tfops_problem problem = make(&gated_act_spec, 3, 28672, TFOPS_F16, 16);
    struct tfops_config config;
    struct tfops_geometry geometry;
    gated_act_spec.default_config(gated_act_spec.user, &problem, &device, &config);
    gated_act_spec.geometry(gated_act_spec.user, &problem, &device, &config, &geometry);
    EXPECT_INT(geometry.cluster, 1);
    EXPECT_INT(geometry.blocks_per_group, 16);
    EXPECT_INT(geometry.grid[0], 3 * 16);
}

Test(row_space, generic_geometry_is_that_of_every_problem)
{
    const struct tfops_config generic = {.generic = true};
    const struct tfops_device device = device_of(3);
    struct tfops_geometry plain, by_token;
    struct tfops_problem problem = make(&gated_act_spec, 3, 4096, TFOPS_F16, 16);
    gated_act_spec.geometry(gated_act_spec.user, &problem, &device, &generic, &plain);
    problem = quantised(problem, 0);
    gated_act_spec.geometry(gated_act_spec.user, &problem, &device, &generic, &by_token);
    EXPECT_INT(plain.smem_bytes, by_token.smem_bytes);
    EXPECT_INT(plain.threads, by_token.threads);
    cr_assert_gt(plain.smem_bytes, 0u);
}

Test(row_space, pack_of_gated_act_fills_every_field)
{
    struct tfops_problem problem = quantised(make(&gated_act_spec, 5, 256, TFOPS_F16, 16), 1);
    const struct tfops_view views[] = {{(void *)16, {32, 1}}, {(void *)64, {33, 1}},
        {(void *)128, {40, 1}}, {(void *)256, {7, 1}}};
    const struct tfops_config config = {0};
    const struct tfops_launch_args launch = {&problem, &config, views, NULL, NULL, 0};
    struct gated_act_params p;
    problem.options[GATED_ACT_ACT] = GATED_ACT_GELU_TANH;
    problem.options[GATED_ACT_SCALE_MAJOR] = 1;
    EXPECT_INT(gated_act_spec.param_bytes, sizeof p);
    gated_act_spec.pack(gated_act_spec.user, &launch, &p);
    cr_assert(p.gate == (void *)16 && p.up == (void *)64 && p.out == (void *)128);
    EXPECT_INT(p.gate_stride, 32);
    EXPECT_INT(p.up_stride, 33);
    EXPECT_INT(p.out_stride, 40);
    EXPECT_INT(p.rows, 5);
    EXPECT_INT(p.ffn, 256);
    EXPECT_INT(p.act, GATED_ACT_BY_GELU_TANH);
    EXPECT_INT(p.out_dtype, TFOPS_E4M3);
    cr_assert(p.quant.scales == (void *)256 && p.quant.by_group);
    EXPECT_INT(p.quant.row_stride, 1);
    EXPECT_INT(p.quant.group_stride, 7);
}

Test(row_space, pack_of_softmax_fills_every_field)
{
    struct tfops_problem problem = make(&softmax_spec, 12, 24, TFOPS_BF16, 16);
    const struct tfops_view views[] = {
        {(void *)16, {32, 1}}, {(void *)64, {33, 1}}, {(void *)128, {40, 1}}};
    const struct tfops_config config = {0};
    const double scalars[] = {0.125, 0};
    const struct tfops_launch_args launch = {&problem, &config, views, scalars, NULL, 0};
    struct softmax_params p;
    problem.dims[SOFTMAX_MASK_ROWS] = 4;
    problem.options[SOFTMAX_CAUSAL] = 1;
    EXPECT_INT(softmax_spec.param_bytes, sizeof p);
    softmax_spec.pack(softmax_spec.user, &launch, &p);
    cr_assert(p.x == (void *)16 && p.mask == (void *)64 && p.out == (void *)128);
    EXPECT_INT(p.mask_stride, 33);
    EXPECT_INT(p.mask_rows, 4);
    EXPECT_INT(p.queries, 12); /* 0: all rows are one matrix */
    EXPECT_INT(p.causal, 1);
    EXPECT_INT(p.dtype, TFOPS_BF16);
    cr_assert_eq(p.scale, 0.125f);
}
