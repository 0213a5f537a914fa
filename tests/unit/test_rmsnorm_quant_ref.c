/*
 * rmsnorm_quant and add_rmsnorm_quant on the cpu device: scales and values against the norm computed
 * here in long double, the sum beside them, special values, refusals.
 */
#include "base/half.h"
#include "kernels/norm/norm_specs.h"
#include <criterion/criterion.h>
#include <math.h>

#include "tests/support/reference.h"

enum { MAX_HIDDEN = 640 };

struct run {
    enum tfops_dtype dtype, weight_dtype, fp8;
    int64_t rows, hidden, stride;
    double eps, spread;
    int variant;
    bool add, per_group, column_major, round_sum, in_place;
};

static struct reference plain, added;
static struct matrix x, residual, weight, q, scales, sum, before;

static void begin(void)
{
    reference_open(&plain, &rmsnorm_quant_spec);
    reference_open(&added, &add_rmsnorm_quant_spec);
}

static void end(void)
{
    reference_close(&plain);
    reference_close(&added);
}

TestSuite(rmsnorm_quant_ref, .init = begin, .fini = end);

static void make(const struct run *run, uint64_t seed)
{
    const int64_t groups = run->per_group ? (run->hidden + 127) / 128 : 1;
    matrix_make(&x, run->dtype, run->rows, run->hidden, run->stride);
    matrix_make(&residual, run->dtype, run->rows, run->hidden, run->stride + 8);
    matrix_make(&sum, run->dtype, run->rows, run->hidden, run->stride + 16);
    matrix_make(&q, run->fp8, run->rows, run->hidden, run->stride + 5);
    matrix_make(&weight, run->weight_dtype, 1, run->hidden, run->hidden);
    if (run->column_major)
        matrix_make(&scales, TFOPS_F32, groups, run->rows, run->rows + 2);
    else
        matrix_make(&scales, TFOPS_F32, run->rows, groups, groups + 1);
    matrix_fill(&x, seed, run->spread);
    matrix_fill(&residual, seed + 1, run->spread);
    matrix_fill(&weight, seed + 2, 1);
    before = residual;
    weight.tensor =
        tfops_tensor_contiguous(weight.bytes, run->weight_dtype, 1, (const int64_t[]){run->hidden});
}

static enum tfops_status call_plain(const struct run *run)
{
    struct tfops_args args = {.size = sizeof args, .n_scalars = 1, .scalars = {run->eps}};
    args.options[NORM_WEIGHT_VARIANT] = (uint8_t)run->variant;
    args.options[NORM_QUANT_GRANULARITY] = run->per_group;
    args.options[NORM_QUANT_SCALE_MAJOR] = run->column_major;
    args.operands[RMSNORM_QUANT_X] = &x.tensor;
    args.operands[RMSNORM_QUANT_WEIGHT] = &weight.tensor;
    args.operands[RMSNORM_QUANT_OUT] = &q.tensor;
    args.operands[RMSNORM_QUANT_SCALES] = &scales.tensor;
    return reference_launch(&plain, &args);
}

static enum tfops_status call_added(const struct run *run)
{
    struct tfops_args args = {.size = sizeof args, .n_scalars = 1, .scalars = {run->eps}};
    args.options[NORM_WEIGHT_VARIANT] = (uint8_t)run->variant;
    args.options[NORM_QUANT_GRANULARITY] = run->per_group;
    args.options[NORM_QUANT_SCALE_MAJOR] = run->column_major;
    args.options[ADD_RMSNORM_QUANT_RESIDUAL_ROUND] = run->round_sum;
    args.operands[ADD_RMSNORM_QUANT_X] = &x.tensor;
    args.operands[ADD_RMSNORM_QUANT_RESIDUAL] = &residual.tensor;
    args.operands[ADD_RMSNORM_QUANT_WEIGHT] = &weight.tensor;
    args.operands[ADD_RMSNORM_QUANT_OUT] = &q.tensor;
    args.operands[ADD_RMSNORM_QUANT_SCALES] = &scales.tensor;
    args.operands[ADD_RMSNORM_QUANT_RESIDUAL_OUT] = run->in_place ? NULL : &sum.tensor;
    return reference_launch(&added, &args);
}

static enum tfops_status call(const struct run *run)
{
    return run->add ? call_added(run) : call_plain(run);
}

static void norm_row(const struct run *run, int64_t row, long double *values)
{
    const struct matrix *h = run->in_place ? &residual : &sum;
    long double mean_square = 0;
    for (int64_t i = 0; i < run->hidden; i++) {
        values[i] = (long double)matrix_get(&x, row, i);
        if (run->add) {
            values[i] += (long double)matrix_get(&before, row, i);
            expect_rounded(matrix_get(h, row, i), values[i], run->dtype, "sum", row, i);
            values[i] = run->round_sum ? (long double)matrix_get(h, row, i) : values[i];
        }
        mean_square += values[i] * values[i] / (long double)run->hidden;
    }
    for (int64_t i = 0; i < run->hidden; i++) {
        const long double w = (long double)matrix_get(&weight, 0, i);
        values[i] /= sqrtl(mean_square + (long double)run->eps);
        if (run->variant == 2)
            values[i] = (long double)half_round(run->dtype, (double)values[i]);
        values[i] *= run->variant == 1 ? 1 + w : w;
    }
}

/* The scale is that of the amax, and each value within half a step of the norm's. */
static void check_group(
    const struct run *run, const long double *values, int64_t row, int64_t start, int64_t width)
{
    const bool e4m3 = run->fp8 == TFOPS_E4M3;
    const int64_t group = start / 128;
    const double scale =
        run->column_major ? matrix_get(&scales, group, row) : matrix_get(&scales, row, group);
    long double amax = 1.0L / 512;
    for (int64_t i = start; i < start + width; i++)
        amax = fmaxl(amax, fabsl(values[i]));
    cr_assert_float_eq(scale / (double)(amax / (e4m3 ? 448 : 57344)), 1, 1e-7, "scale at %d, %d",
        (int)row, (int)start);
    for (int64_t i = start; i < start + width; i++) {
        const double got = matrix_get(&q, row, i) * scale, want = (double)values[i];
        const double half_step =
            fmax(fabs(want) * (e4m3 ? 0x1p-4 : 0x1p-3), scale * (e4m3 ? 0x1p-10 : 0x1p-17));
        cr_assert(fabs(got - want) <= half_step * 1.0001, "out[%d][%d]: %g, wanted %g", (int)row,
            (int)i, got, want);
    }
}

static void check(const struct run *run, uint64_t seed)
{
    long double values[MAX_HIDDEN];
    const int64_t width = run->per_group ? 128 : run->hidden;
    make(run, seed);
    EXPECT_OK(call(run));
    for (int64_t row = 0; row < run->rows; row++) {
        norm_row(run, row, values);
        for (int64_t start = 0; start < run->hidden; start += width)
            check_group(run, values, row, start, width);
    }
    matrix_expect_gaps(&q);
    matrix_expect_gaps(&scales);
}

static const enum tfops_dtype DTYPES[] = {TFOPS_F32, TFOPS_F16, TFOPS_BF16};

Test(rmsnorm_quant_ref, both_follow_the_formula)
{
    static const int64_t HIDDEN[] = {1, 77, 128, 384, 640};
    for (uint64_t seed = 0; seed < 640; seed++) {
        const int64_t hidden = HIDDEN[seed % 5];
        const struct run run = {.dtype = DTYPES[seed % 3],
            .weight_dtype = DTYPES[seed / 3 % 3],
            .fp8 = seed >> 1 & 1 ? TFOPS_E4M3 : TFOPS_E5M2,
            .rows = 1 + (int64_t)(seed % 4),
            .hidden = hidden,
            .stride = hidden + (int64_t)(seed % 2) * 8,
            .eps = seed % 7 ? 1e-6 : 0.5,
            .spread = seed % 11 ? 1 : 1e4,
            .variant = (int)(seed / 9 % 3),
            .add = seed >> 2 & 1,
            .per_group = hidden % 128 == 0 && seed >> 3 & 1,
            .column_major = seed >> 4 & 1,
            .round_sum = seed >> 5 & 1,
            .in_place = seed >> 6 & 1};
        check(&run, seed);
    }
}

static const struct run SMALL = {.dtype = TFOPS_F16,
    .weight_dtype = TFOPS_F16,
    .fp8 = TFOPS_E4M3,
    .rows = 3,
    .hidden = 256,
    .stride = 256,
    .eps = 1e-6,
    .spread = 1,
    .per_group = true};

Test(rmsnorm_quant_ref, a_zero_row_has_the_floor_scale)
{
    make(&SMALL, 1);
    for (int i = 0; i < 256; i++)
        matrix_set(&x, 1, i, 0);
    EXPECT_OK(call(&SMALL));
    cr_assert_eq(matrix_get(&scales, 1, 1), (float)(1.0 / (448 * 512)));
    cr_assert_eq(matrix_get(&q, 1, 200), 0);
}

Test(rmsnorm_quant_ref, nan_spoils_its_row_and_every_group_of_it)
{
    make(&SMALL, 1);
    matrix_set(&x, 1, 7, NAN);
    EXPECT_OK(call(&SMALL));
    for (int i = 0; i < 256; i++)
        cr_assert(isnan(matrix_get(&q, 1, i)) && isfinite(matrix_get(&q, 0, i)));
    cr_assert(isnan(matrix_get(&scales, 1, 0)) && isnan(matrix_get(&scales, 1, 1)));
}

Test(rmsnorm_quant_ref, infinity_spoils_its_group_and_zeroes_the_others)
{
    make(&SMALL, 1);
    matrix_set(&x, 1, 7, INFINITY);
    EXPECT_OK(call(&SMALL));
    cr_assert(isnan(matrix_get(&scales, 1, 0))); /* ∞ · (1 / ∞) */
    cr_assert_eq(matrix_get(&scales, 1, 1), (float)(1.0 / (448 * 512)));
    cr_assert_eq(matrix_get(&q, 1, 130), 0);
}

Test(rmsnorm_quant_ref, refuses_groups_that_do_not_divide)
{
    struct run run = SMALL;
    run.hidden = run.stride = 200;
    make(&run, 1);
    for (int add = 0; add < 2; add++) {
        run.add = add;
        EXPECT_STATUS(call(&run), TFOPS_E_SHAPE);
        EXPECT_DETAIL("x: expected hidden to be a multiple of the group of 128, got 200");
    }
}

Test(rmsnorm_quant_ref, refuses_scales_of_the_other_layout)
{
    struct run run = SMALL;
    make(&run, 1);
    run.column_major = true;
    EXPECT_REFUSED(call(&run), TFOPS_E_SHAPE, "scales");
    EXPECT_CONTAINS(expect_error().message, "scale_rows=2, scale_cols=3]");
    EXPECT_CONTAINS(expect_error().message, "[3, 2]");
}

Test(rmsnorm_quant_ref, refuses_outputs_that_are_not_fp8)
{
    make(&SMALL, 1);
    q.tensor.dtype = TFOPS_F16;
    EXPECT_REFUSED(call(&SMALL), TFOPS_E_DTYPE, "out");
}
