/* The specs of layernorm and of the quantised norms: defaults in the space, shapes, parameters. */
#include "kernels/norm/norm_params.h"
#include "kernels/norm/norm_specs.h"
#include "row/row_space.h"
#include <criterion/criterion.h>

#include "tests/support/spec_checks.h"

static const struct tfops_spec *const SPECS[] = {
    &layernorm_spec, &add_layernorm_spec, &rmsnorm_quant_spec, &add_rmsnorm_quant_spec};
enum { N_SPECS = sizeof SPECS / sizeof SPECS[0] };

static bool is_quant(const struct tfops_spec *spec)
{
    return spec == &rmsnorm_quant_spec || spec == &add_rmsnorm_quant_spec;
}

static struct tfops_problem make(const struct tfops_spec *spec, int64_t rows, int64_t hidden,
    enum tfops_dtype dtype, uint32_t align)
{
    struct tfops_problem problem;
    EXPECT_OK(tfops_problem_init(spec, &problem));
    problem.dims[NORM_ROWS] = rows;
    problem.dims[NORM_HIDDEN] = hidden;
    problem.dtypes[NORM_DTYPE] = problem.dtypes[NORM_WEIGHT_DTYPE] = (uint8_t)dtype;
    if (is_quant(spec))
        problem.dtypes[NORM_QUANT_OUT_DTYPE] = TFOPS_E4M3;
    problem.align = align;
    return problem;
}

/* Every operand there, rows of fp8 that lower the alignment, both granularities. */
static void check_hidden(const struct tfops_spec *spec, int64_t hidden)
{
    static const enum tfops_dtype DTYPES[] = {TFOPS_F32, TFOPS_F16, TFOPS_BF16};
    static const int64_t ROWS[] = {1, 64, 16384};
    for (size_t arch = 0; arch < tfops_arch_count(); arch++) {
        const struct tfops_device device = spec_device(arch);
        for (size_t i = 0; i < 3 * 3 * 5; i++) {
            struct tfops_problem problem =
                make(spec, ROWS[i % 3], hidden, DTYPES[i / 3 % 3], 1u << i / 9);
            problem.present = (1u << spec->n_operands) - 1;
            if (problem.align < 2 && !is_quant(spec))
                continue;
            spec_check_default(&problem, &device);
            problem.options[NORM_QUANT_GRANULARITY] = is_quant(spec) && hidden % 128 == 0;
            spec_check_default(&problem, &device);
        }
    }
}

Test(norm_spec, default_is_in_the_space)
{
    static const int64_t HIDDEN[] = {1, 2, 3, 7, 8, 64, 127, 128, 256, 384, 1000, 2048, 2880, 4095,
        4096, 5120, 8192, 12288, 16384, 65535, 65536};
    for (size_t s = 0; s < N_SPECS; s++)
        for (size_t i = 0; i < sizeof HIDDEN / sizeof HIDDEN[0]; i++)
            check_hidden(SPECS[s], HIDDEN[i]);
}

static struct row_shape shape_of(const struct tfops_problem *problem)
{
    const struct row_family *family = problem->spec->user;
    struct row_shape shape = {0};
    family->shape(problem, &shape);
    return shape;
}

Test(norm_spec, layernorm_reduces_twice_and_has_a_column_more_with_bias)
{
    struct tfops_problem problem = make(&layernorm_spec, 4, 64, TFOPS_F16, 16);
    EXPECT_INT(shape_of(&problem).steps, 2);
    EXPECT_INT(shape_of(&problem).columns, 1);
    problem.present |= 1u << LAYERNORM_BIAS;
    EXPECT_INT(shape_of(&problem).columns, 2);
}

Test(norm_spec, a_row_is_reduced_once_more_where_it_shares_a_scale)
{
    struct tfops_problem problem = make(&rmsnorm_quant_spec, 4, 256, TFOPS_F16, 16);
    EXPECT_INT(shape_of(&problem).steps, 2);
    EXPECT_INT(shape_of(&problem).group, 0);
    problem.options[NORM_QUANT_GRANULARITY] = 1;
    EXPECT_INT(shape_of(&problem).steps, 1);
    EXPECT_INT(shape_of(&problem).group, 128);
}

Test(norm_spec, pack_of_layernorm_tells_of_the_bias)
{
    struct tfops_problem problem = make(&layernorm_spec, 5, 24, TFOPS_F16, 16);
    struct tfops_view views[] = {
        {(void *)16, {32, 1}}, {(void *)64, {1}}, {(void *)128, {1}}, {(void *)256, {40, 1}}};
    const double eps = 0.5;
    const struct tfops_launch_args launch = {
        &problem, &(struct tfops_config){0}, views, &eps, NULL, 0};
    struct norm_params p;
    problem.present |= 1u << LAYERNORM_BIAS;
    spec_pack_twice(&launch, &p, sizeof p);
    cr_assert(p.x == (void *)16 && p.bias == (void *)128 && p.out == (void *)256);
    EXPECT_INT(p.columns, 2);
    views[LAYERNORM_BIAS].data = NULL;
    problem.present &= ~(1u << LAYERNORM_BIAS);
    spec_pack_twice(&launch, &p, sizeof p);
    cr_assert(!p.bias);
    EXPECT_INT(p.columns, 1);
}

Test(norm_spec, pack_of_a_quantised_norm_places_both_scale_matrices)
{
    struct tfops_problem problem = make(&add_rmsnorm_quant_spec, 5, 256, TFOPS_BF16, 16);
    struct tfops_view views[] = {{(void *)16, {256, 1}}, {(void *)32, {264, 1}}, {(void *)64, {1}},
        {(void *)128, {272, 1}}, {(void *)192, {9, 1}}, {NULL, {0}}};
    const double eps = 0.5;
    const struct tfops_launch_args launch = {
        &problem, &(struct tfops_config){0}, views, &eps, NULL, 0};
    struct norm_params p;
    problem.options[NORM_QUANT_GRANULARITY] = 1;
    problem.options[ADD_RMSNORM_QUANT_RESIDUAL_ROUND] = 1;
    spec_pack_twice(&launch, &p, sizeof p);
    cr_assert(p.residual_out == (void *)32 && p.quant.scales == (float *)192);
    EXPECT_INT(p.residual_round, 1);
    EXPECT_INT(p.out_dtype, TFOPS_E4M3);
    EXPECT_INT(p.quant.by_group, 1);
    EXPECT_INT(p.quant.row_stride, 9);
    EXPECT_INT(p.quant.group_stride, 1);
    problem.options[NORM_QUANT_SCALE_MAJOR] = 1;
    spec_pack_twice(&launch, &p, sizeof p);
    EXPECT_INT(p.quant.row_stride, 1);
    EXPECT_INT(p.quant.group_stride, 9);
}

/* What was measured fastest (docs/notes/rmsnorm.md, section 11; docs/notes/quant.md): a layernorm with a bias has four
 * units a thread and as many rows on an SM as its registers allow; a row that is quantised in groups is read again. */
Test(norm_spec, defaults_of_many_rows)
{
    const struct tfops_device device = spec_device(3);
    static const struct {
        int spec;
        int64_t hidden, grouped, threads, reload, blocks;
    } CASES[] = {{0, 2880, 0, 96, 0, 10}, {0, 4096, 0, 128, 0, 8}, {0, 5120, 0, 160, 0, 6},
        {0, 8192, 0, 256, 0, 4}, {2, 4096, 1, 64, 2, 1}, {2, 8192, 1, 128, 2, 1},
        {2, 8192, 0, 256, 0, 1}};
    cr_assert_str_eq(device.arch, "sm_90a");
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        const struct tfops_spec *spec = SPECS[CASES[i].spec];
        struct tfops_problem problem = make(spec, 16384, CASES[i].hidden, TFOPS_BF16, 16);
        struct tfops_config config;
        struct tfops_geometry geometry;
        if (spec == &layernorm_spec)
            EXPECT_OK(tfops_problem_set(&problem, "bias", "1"));
        problem.options[NORM_QUANT_GRANULARITY] = is_quant(spec) && CASES[i].grouped;
        spec->default_config(spec->user, &problem, &device, &config);
        spec->geometry(spec->user, &problem, &device, &config, &geometry);
        cr_expect_eq(config.values[ROW_THREADS_PER_ROW], CASES[i].threads, "case %zu", i);
        cr_expect_eq(config.values[ROW_RELOAD], CASES[i].reload, "case %zu", i);
        cr_expect_eq(geometry.min_blocks, CASES[i].blocks, "case %zu: %u", i, geometry.min_blocks);
    }
}
