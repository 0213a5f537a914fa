/*
 * softmax on the cpu device against exp(t) / Σ exp(t) in long double, which needs no maximum there:
 * its exponents reach to ±11356. Properties, masks, special values, strides, aliases, refusals.
 */
#include "kernels/softmax/softmax_specs.h"
#include <criterion/criterion.h>
#include <math.h>

#include "tests/support/reference.h"

struct run {
    enum tfops_dtype dtype, out_dtype, mask_dtype;
    int64_t rows, width, stride, mask_rows, queries; /* mask_rows 0: no mask */
    double scale, spread;
    bool causal, in_place;
};

static struct reference softmax;
static struct matrix x, mask, out, before;

static void begin(void)
{
    reference_open(&softmax, &softmax_spec);
}

static void end(void)
{
    reference_close(&softmax);
}

TestSuite(softmax_ref, .init = begin, .fini = end);

static void make(const struct run *run, uint64_t seed)
{
    matrix_make(&x, run->dtype, run->rows, run->width, run->stride);
    matrix_make(&out, run->out_dtype, run->rows, run->width, run->stride + 8);
    matrix_make(&mask, run->mask_dtype, run->mask_rows, run->width, run->stride);
    matrix_fill(&x, seed, run->spread);
    matrix_fill(&mask, seed + 1, 2);
    before = x;
}

static enum tfops_status call(const struct run *run)
{
    struct tfops_args args = {.size = sizeof args, .n_scalars = 2};
    args.scalars[SOFTMAX_SCALE] = run->scale;
    args.scalars[SOFTMAX_QUERIES] = (double)run->queries;
    args.options[SOFTMAX_CAUSAL] = run->causal;
    args.operands[SOFTMAX_X] = &x.tensor;
    args.operands[SOFTMAX_MASK] = run->mask_rows ? &mask.tensor : NULL;
    args.operands[SOFTMAX_OUT] = run->in_place ? &x.tensor : &out.tensor;
    return reference_launch(&softmax, &args);
}

static bool hidden(const struct run *run, int64_t row, int64_t col)
{
    const int64_t queries = run->queries ? run->queries : run->rows;
    return run->causal && col - run->width > row % queries - queries;
}

static long double weight_of(const struct run *run, int64_t row, int64_t col)
{
    if (hidden(run, row, col))
        return 0;
    long double t = (long double)run->scale * (long double)matrix_get(&before, row, col);
    if (run->mask_rows)
        t += (long double)matrix_get(&mask, row % run->mask_rows, col);
    return expl(t);
}

static void check_rows(const struct run *run)
{
    const struct matrix *got = run->in_place ? &x : &out;
    for (int64_t row = 0; row < run->rows; row++) {
        long double sum = 0;
        for (int64_t i = 0; i < run->width; i++)
            sum += weight_of(run, row, i);
        for (int64_t i = 0; i < run->width; i++)
            expect_rounded(matrix_get(got, row, i), sum > 0 ? weight_of(run, row, i) / sum : 0,
                run->out_dtype, "out", row, i);
    }
}

static void check(const struct run *run, uint64_t seed)
{
    make(run, seed);
    EXPECT_OK(call(run));
    check_rows(run);
    matrix_expect_gaps(run->in_place ? &x : &out);
}

static const enum tfops_dtype DTYPES[] = {TFOPS_F32, TFOPS_F16, TFOPS_BF16};

Test(softmax_ref, follows_the_formula)
{
    static const int64_t SHAPES[][3] = {
        {3, 1, 1}, {6, 7, 9}, {2, 1023, 1024}, {12, 96, 96}, {1, 4096, 4096}, {8, 33, 40}};
    for (uint64_t seed = 0; seed < 216; seed++) {
        const int64_t *shape = SHAPES[seed % 6];
        const struct run run = {.dtype = DTYPES[seed % 3],
            .out_dtype = DTYPES[seed / 3 % 3],
            .mask_dtype = DTYPES[seed / 9 % 3],
            .rows = shape[0],
            .width = shape[1],
            .stride = shape[2],
            .mask_rows = seed % 4 == 0   ? shape[0]
                         : seed % 4 == 1 ? 1
                                         : 0,
            .queries = seed >> 3 & 1 ? shape[0] / 2 : 0,
            .scale = seed % 5 ? 0.125 : -3,
            .spread = seed % 7 ? 4 : 100,
            .causal = seed >> 2 & 1,
            .in_place = seed % 3 == seed / 3 % 3 && seed & 1};
        check(&run, seed);
    }
}

static const struct run SMALL = {.dtype = TFOPS_F32,
    .out_dtype = TFOPS_F32,
    .mask_dtype = TFOPS_F32,
    .rows = 3,
    .width = 4,
    .stride = 4,
    .scale = 1,
    .spread = 1};

Test(softmax_ref, a_known_row)
{
    make(&SMALL, 1);
    for (int i = 0; i < 4; i++) /* 1 : 2 : 4 : 8 */
        matrix_set(&x, 1, i, i * M_LN2);
    EXPECT_OK(call(&SMALL));
    for (int i = 0; i < 4; i++)
        cr_assert_float_eq(matrix_get(&out, 1, i), (1 << i) / 15.0, 1e-7);
}

Test(softmax_ref, rows_sum_to_one)
{
    static const double SPREADS[] = {1e-3, 1, 50, 1e4};
    for (int s = 0; s < 4; s++) {
        struct run run = SMALL;
        run.width = run.stride = 3000;
        run.spread = SPREADS[s];
        make(&run, 7);
        EXPECT_OK(call(&run));
        for (int row = 0; row < 3; row++) {
            double sum = 0;
            for (int i = 0; i < 3000; i++)
                sum += matrix_get(&out, row, i);
            cr_assert_float_eq(sum, 1, 1e-6, "spread %g: the sum is %.9g", SPREADS[s], sum);
        }
    }
}

Test(softmax_ref, a_shift_of_the_row_changes_nothing)
{
    double first[4];
    make(&SMALL, 1);
    for (int i = 0; i < 4; i++)
        matrix_set(&x, 0, i, i);
    EXPECT_OK(call(&SMALL));
    for (int i = 0; i < 4; i++)
        first[i] = matrix_get(&out, 0, i);
    for (int i = 0; i < 4; i++)
        matrix_set(&x, 0, i, 10000 + i); /* exp(10000) is beyond double */
    EXPECT_OK(call(&SMALL));
    for (int i = 0; i < 4; i++)
        cr_assert_eq(matrix_get(&out, 0, i), first[i]);
}

Test(softmax_ref, a_plain_row_of_minus_infinity_is_nan)
{
    make(&SMALL, 1);
    for (int i = 0; i < 4; i++)
        matrix_set(&x, 1, i, -INFINITY);
    EXPECT_OK(call(&SMALL));
    for (int i = 0; i < 4; i++)
        cr_assert(isnan(matrix_get(&out, 1, i)) && isfinite(matrix_get(&out, 0, i)));
}

Test(softmax_ref, a_row_that_the_mask_hides_is_zero)
{
    struct run run = SMALL;
    run.mask_rows = 3;
    make(&run, 1);
    for (int i = 0; i < 4; i++)
        matrix_set(&mask, 1, i, -INFINITY);
    EXPECT_OK(call(&run));
    for (int i = 0; i < 4; i++)
        cr_assert_eq(matrix_get(&out, 1, i), 0);
    cr_assert(matrix_get(&out, 2, 0) > 0);
}

Test(softmax_ref, a_query_before_all_columns_is_zero)
{
    struct run run = SMALL;
    run.causal = true;
    run.width = run.stride = 2; /* of 3 queries the first sees nothing */
    make(&run, 1);
    EXPECT_OK(call(&run));
    cr_assert_eq(matrix_get(&out, 0, 0), 0);
    cr_assert_eq(matrix_get(&out, 0, 1), 0);
    cr_assert_eq(matrix_get(&out, 1, 0), 1);
    cr_assert_eq(matrix_get(&out, 1, 1), 0);
    cr_assert(matrix_get(&out, 2, 1) > 0);
}

Test(softmax_ref, what_the_causal_edge_hides_does_not_matter)
{
    struct run run = SMALL;
    run.causal = true;
    make(&run, 1);
    matrix_set(&x, 0, 3, NAN);
    matrix_set(&x, 1, 3, INFINITY);
    EXPECT_OK(call(&run));
    check_rows(&run);
    cr_assert_eq(matrix_get(&out, 0, 3), 0);
}

Test(softmax_ref, nan_and_infinity_make_their_row_nan)
{
    static const double SPECIAL[] = {NAN, INFINITY};
    for (int s = 0; s < 2; s++) {
        make(&SMALL, 9);
        matrix_set(&x, 1, 2, SPECIAL[s]);
        EXPECT_OK(call(&SMALL));
        for (int i = 0; i < 4; i++)
            cr_assert(isnan(matrix_get(&out, 1, i)) && isfinite(matrix_get(&out, 2, i)));
    }
}

Test(softmax_ref, minus_infinity_is_zero_among_others)
{
    make(&SMALL, 9);
    matrix_set(&x, 1, 2, -INFINITY);
    EXPECT_OK(call(&SMALL));
    cr_assert_eq(matrix_get(&out, 1, 2), 0);
    cr_assert_float_eq(
        matrix_get(&out, 1, 0) + matrix_get(&out, 1, 1) + matrix_get(&out, 1, 3), 1, 1e-6);
}

Test(softmax_ref, a_mask_may_repeat_its_row_by_a_stride_of_0)
{
    struct run run = SMALL;
    run.mask_rows = 3;
    make(&run, 1);
    mask.tensor.strides[0] = 0;
    EXPECT_OK(call(&run));
    check_rows(&run); /* matrix_get() follows the stride */
}

Test(softmax_ref, refuses_a_mask_whose_rows_do_not_repeat_evenly)
{
    struct run run = SMALL;
    run.mask_rows = 2;
    make(&run, 1);
    EXPECT_STATUS(call(&run), TFOPS_E_SHAPE);
    EXPECT_DETAIL("mask: expected a number of rows that divides rows=3, got 2");
    mask.tensor.shape[0] = 1; /* and by a key that has its plan */
    EXPECT_OK(call(&run));
    mask.tensor.shape[0] = 2;
    EXPECT_STATUS(call(&run), TFOPS_E_SHAPE);
}

Test(softmax_ref, refuses_a_mask_of_another_width)
{
    struct run run = SMALL;
    run.mask_rows = 1;
    make(&run, 1);
    mask.tensor.shape[1] = 3;
    EXPECT_REFUSED(call(&run), TFOPS_E_SHAPE, "mask");
}

Test(softmax_ref, refuses_an_output_of_another_dtype_in_place)
{
    make(&SMALL, 1);
    out.tensor.data = x.tensor.data;
    out.tensor.dtype = TFOPS_F16;
    EXPECT_REFUSED(call(&SMALL), TFOPS_E_OVERLAP, "out");
}
