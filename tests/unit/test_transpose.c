/* transpose: its reference on matrices whose elements tell their place, and its spec as arithmetic. */
#include "kernels/transpose/transpose_params.h"
#include "kernels/transpose/transpose_specs.h"
#include <criterion/criterion.h>

#include "tests/support/reference.h"
#include "tests/support/spec_checks.h"

enum { ROWS = 5, COLS = 7 };

static struct tfops_engine *engine;
static struct matrix x, out;

static void begin(void)
{
    const struct tfops_engine_options options = {.size = sizeof options, .device = "cpu"};
    EXPECT_OK(tfops_engine_open(&options, &engine));
}

static void end(void)
{
    tfops_engine_close(engine);
}

TestSuite(transpose, .init = begin, .fini = end);

static void check(enum tfops_dtype dtype)
{
    matrix_make(&x, dtype, ROWS, COLS, COLS + 2);
    matrix_make(&out, dtype, COLS, ROWS, ROWS + 3);
    matrix_fill(&x, 5, 100);
    EXPECT_OK(tfops_transpose(engine, &x.tensor, &out.tensor, NULL));
    for (int64_t row = 0; row < ROWS; row++)
        for (int64_t col = 0; col < COLS; col++)
            cr_assert_eq(matrix_get(&out, col, row), matrix_get(&x, row, col), "[%d][%d] in %s",
                (int)row, (int)col, tfops_dtype_name(dtype));
    matrix_expect_gaps(&out);
}

Test(transpose, rows_become_columns)
{
    check(TFOPS_F32);
    check(TFOPS_F16);
    check(TFOPS_BF16);
    check(TFOPS_E4M3);
    check(TFOPS_E5M2);
}

/* A quiet NaN with a payload, an e4m3 NaN with a sign: no conversion keeps both. */
Test(transpose, bits_are_moved)
{
    static const uint32_t word = 0xffc12345;
    matrix_make(&x, TFOPS_F32, 1, 2, 0);
    matrix_make(&out, TFOPS_F32, 2, 1, 0);
    memcpy(x.bytes + 4, &word, sizeof word);
    EXPECT_OK(tfops_transpose(engine, &x.tensor, &out.tensor, NULL));
    cr_assert(!memcmp(out.bytes + 4, &word, sizeof word), "the NaN lost its payload");
    matrix_make(&x, TFOPS_E4M3, 1, 2, 0);
    matrix_make(&out, TFOPS_E4M3, 2, 1, 0);
    x.bytes[0] = 0xff;
    EXPECT_OK(tfops_transpose(engine, &x.tensor, &out.tensor, NULL));
    EXPECT_INT(out.bytes[0], 0xff);
}

Test(transpose, what_does_not_fit_is_named)
{
    matrix_make(&x, TFOPS_F16, ROWS, COLS, 0);
    matrix_make(&out, TFOPS_F16, COLS, ROWS + 1, 0);
    EXPECT_STATUS(tfops_transpose(engine, &x.tensor, &out.tensor, NULL), TFOPS_E_SHAPE);
    EXPECT_DETAIL("out: expected [cols=7, rows=5], got [7, 6]");
    matrix_make(&out, TFOPS_BF16, COLS, ROWS, 0);
    EXPECT_STATUS(tfops_transpose(engine, &x.tensor, &out.tensor, NULL), TFOPS_E_DTYPE);
    EXPECT_DETAIL("out: expected dtype: f16, got bf16");
    out.tensor = tfops_tensor_contiguous(x.bytes + 2, TFOPS_F16, 2, (const int64_t[]){COLS, ROWS});
    EXPECT_REFUSED(tfops_transpose(engine, &x.tensor, &out.tensor, NULL), TFOPS_E_OVERLAP, "out");
}

/* ---- the spec -------------------------------------------------------------------------------- */

static struct tfops_problem make(int64_t rows, int64_t cols, enum tfops_dtype dtype)
{
    struct tfops_problem problem;
    EXPECT_OK(tfops_problem_init(&transpose_spec, &problem));
    problem.dims[TRANSPOSE_ROWS] = rows;
    problem.dims[TRANSPOSE_COLS] = cols;
    problem.dtypes[TRANSPOSE_DTYPE] = (uint8_t)dtype;
    EXPECT_OK(tfops_problem_check(&problem));
    return problem;
}

static const int64_t EXTENTS[][2] = {
    {1, 1}, {4096, 14336}, {14336, 4096}, {333, 77}, {INT32_MAX, 64}, {64, 1 << 22}};
enum { N_EXTENTS = sizeof EXTENTS / sizeof EXTENTS[0] };

Test(transpose, default_is_in_the_space)
{
    static const enum tfops_dtype DTYPES[] = {TFOPS_F32, TFOPS_BF16, TFOPS_E4M3};
    for (size_t arch = 0; arch < tfops_arch_count(); arch++) {
        const struct tfops_device device = spec_device(arch);
        for (size_t i = 0; i < 3 * N_EXTENTS; i++) {
            const struct tfops_problem problem =
                make(EXTENTS[i / 3][0], EXTENTS[i / 3][1], DTYPES[i % 3]);
            spec_check_default(&problem, &device);
        }
    }
}

/* Blocks of the default: 2 warps of 4 x 8 squares of 16 x 16 bytes, below each other. */
Test(transpose, grid_covers_the_matrix)
{
    const struct tfops_device device = spec_device(3);
    const struct tfops_problem problem = make(1025, 4097, TFOPS_E4M3);
    struct tfops_geometry geometry;
    struct tfops_config config;
    transpose_spec.default_config(NULL, &problem, &device, &config);
    transpose_spec.geometry(NULL, &problem, &device, &config, &geometry);
    EXPECT_INT(geometry.extent_per_group, 2 * 4 * 16);
    EXPECT_INT(geometry.blocks_per_group, 33);
    EXPECT_INT(geometry.grid[0], 9 * 33);
    for (size_t i = 0; i < N_EXTENTS; i++) {
        const struct tfops_problem other = make(EXTENTS[i][0], EXTENTS[i][1], TFOPS_F32);
        transpose_spec.geometry(NULL, &other, &device, &config, &geometry);
        cr_expect(
            geometry.grid[0] >= 1 && geometry.grid[0] <= INT32_MAX, "%u blocks", geometry.grid[0]);
        cr_expect(geometry.most_groups * (uint64_t)geometry.blocks_per_group <= INT32_MAX);
    }
}

/* Squares of 16 bytes of 256 x 256 would be two warps a dozen SMs. */
Test(transpose, a_small_matrix_is_cut_smaller)
{
    const struct tfops_device device = spec_device(3);
    const struct tfops_problem large = make(4096, 4096, TFOPS_E4M3),
                               small = make(256, 256, TFOPS_E4M3);
    struct tfops_config config;
    transpose_spec.default_config(NULL, &large, &device, &config);
    EXPECT_INT(config.values[0], 16);
    transpose_spec.default_config(NULL, &small, &device, &config);
    EXPECT_INT(config.values[0], 4);
}

Test(transpose, pack_fills_every_field)
{
    const struct tfops_problem problem = make(5, 24, TFOPS_BF16);
    const struct tfops_view views[] = {{(void *)16, {32, 1}}, {(void *)64, {8, 1}}};
    const struct tfops_launch_args launch = {
        &problem, &(struct tfops_config){0}, views, NULL, NULL, 0};
    struct transpose_params p;
    spec_pack_twice(&launch, &p, sizeof p);
    cr_assert(p.x == (void *)16 && p.out == (void *)64);
    EXPECT_INT(p.x_stride, 32);
    EXPECT_INT(p.out_stride, 8);
    EXPECT_INT(p.rows, 5);
    EXPECT_INT(p.cols, 24);
    EXPECT_INT(p.dtype, TFOPS_BF16);
}
