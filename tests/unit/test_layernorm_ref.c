/*
 * layernorm and add_layernorm on the cpu device against the formula in long double, with the
 * variance as mean of squares less square of mean; special values, strides, aliases, refusals.
 */
#include "kernels/norm/norm_specs.h"
#include <criterion/criterion.h>
#include <math.h>

#include "tests/support/reference.h"

struct run {
    enum tfops_dtype dtype, weight_dtype;
    int64_t rows, hidden, stride;
    double eps, scale; /* of the data */
    int one_plus;
    bool bias, out_is_x, round_sum, sum_is_residual;
};

static struct reference layer, add;
static struct matrix x, residual, weight, bias, out, sum, before_x, before_residual;

static void begin(void)
{
    reference_open(&layer, &layernorm_spec);
    reference_open(&add, &add_layernorm_spec);
}

static void end(void)
{
    reference_close(&layer);
    reference_close(&add);
}

TestSuite(layernorm_ref, .init = begin, .fini = end);

static void make(const struct run *run, uint64_t seed)
{
    matrix_make(&x, run->dtype, run->rows, run->hidden, run->stride);
    matrix_make(&residual, run->dtype, run->rows, run->hidden, run->stride);
    matrix_make(&out, run->dtype, run->rows, run->hidden, run->stride + 8);
    matrix_make(&sum, run->dtype, run->rows, run->hidden, run->stride + 16);
    matrix_make_vector(&weight, run->weight_dtype, run->hidden);
    matrix_make_vector(&bias, run->weight_dtype, run->hidden);
    matrix_fill(&x, seed, run->scale);
    matrix_fill(&residual, seed + 1, run->scale);
    matrix_fill(&weight, seed + 2, 1);
    matrix_fill(&bias, seed + 3, 1);
    before_x = x;
    before_residual = residual;
}

static enum tfops_status call_layernorm(const struct run *run)
{
    struct tfops_args args = {.size = sizeof args, .n_scalars = 1, .scalars = {run->eps}};
    args.options[NORM_WEIGHT_VARIANT] = (uint8_t)run->one_plus;
    args.operands[LAYERNORM_X] = &x.tensor;
    args.operands[LAYERNORM_WEIGHT] = &weight.tensor;
    args.operands[LAYERNORM_BIAS] = run->bias ? &bias.tensor : NULL;
    args.operands[LAYERNORM_OUT] = run->out_is_x ? &x.tensor : &out.tensor;
    return reference_launch(&layer, &args);
}

static enum tfops_status call_add(const struct run *run)
{
    struct tfops_args args = {.size = sizeof args, .n_scalars = 1, .scalars = {run->eps}};
    args.options[NORM_WEIGHT_VARIANT] = (uint8_t)run->one_plus;
    args.options[ADD_RMSNORM_RESIDUAL_ROUND] = run->round_sum;
    args.operands[ADD_LAYERNORM_X] = &x.tensor;
    args.operands[ADD_LAYERNORM_RESIDUAL] = &residual.tensor;
    args.operands[ADD_LAYERNORM_WEIGHT] = &weight.tensor;
    args.operands[ADD_LAYERNORM_BIAS] = run->bias ? &bias.tensor : NULL;
    args.operands[ADD_LAYERNORM_OUT] = run->out_is_x ? &x.tensor : &out.tensor;
    args.operands[ADD_LAYERNORM_RESIDUAL_OUT] = run->sum_is_residual ? NULL : &sum.tensor;
    return reference_launch(&add, &args);
}

/* The row that is normalised, and what the sum's tensor must hold of it. */
static void row_values(const struct run *run, bool added, int64_t row, long double *values)
{
    const struct matrix *h = run->sum_is_residual ? &residual : &sum;
    for (int64_t i = 0; i < run->hidden; i++) {
        values[i] = matrix_get(&before_x, row, i);
        if (!added)
            continue;
        values[i] += matrix_get(&before_residual, row, i);
        expect_rounded(matrix_get(h, row, i), values[i], run->dtype, "sum", row, i);
        if (run->round_sum)
            values[i] = matrix_get(h, row, i);
    }
}

static void check_row(const struct run *run, bool added, int64_t row)
{
    long double values[4096], mean = 0, mean_square = 0;
    row_values(run, added, row, values);
    for (int64_t i = 0; i < run->hidden; i++) {
        mean += values[i] / (long double)run->hidden;
        mean_square += values[i] * values[i] / (long double)run->hidden;
    }
    const long double deviation = sqrtl(mean_square - mean * mean + (long double)run->eps);
    for (int64_t i = 0; i < run->hidden; i++) {
        const long double w = (run->one_plus ? 1 : 0) + (long double)matrix_get(&weight, 0, i);
        long double want = (values[i] - mean) / deviation * w;
        const long double slack = fabsl(want) * 1e-9L;
        want += run->bias ? (long double)matrix_get(&bias, 0, i) : 0;
        const double got = matrix_get(run->out_is_x ? &x : &out, row, i);
        if (fabsl((long double)got - want) > slack) /* a bias may cancel nearly all of it */
            expect_rounded(got, want, run->dtype, "out", row, i);
    }
}

static void check(const struct run *run, bool added, uint64_t seed)
{
    make(run, seed);
    EXPECT_OK(added ? call_add(run) : call_layernorm(run));
    for (int64_t row = 0; row < run->rows; row++)
        check_row(run, added, row);
    matrix_expect_gaps(run->out_is_x ? &x : &out);
}

static void check_all(bool added)
{
    static const enum tfops_dtype DTYPES[] = {TFOPS_F32, TFOPS_F16, TFOPS_BF16};
    static const int64_t SHAPES[][3] = {
        {3, 2, 2}, {5, 7, 9}, {2, 1023, 1024}, {4, 96, 96}, {1, 3072, 3072}, {9, 33, 40}};
    for (uint64_t seed = 0; seed < (added ? 288 : 144); seed++) {
        const int64_t *shape = SHAPES[seed % 6];
        const struct run run = {.dtype = DTYPES[seed % 3],
            .weight_dtype = DTYPES[seed / 3 % 3],
            .rows = shape[0],
            .hidden = shape[1],
            .stride = shape[2],
            .eps = seed % 2 ? 1e-5 : 0.5,
            .scale = seed % 5 ? 1 : 1e4,
            .one_plus = seed >> 1 & 1,
            .bias = seed >> 2 & 1,
            .out_is_x = seed >> 3 & 1,
            .round_sum = seed >> 4 & 1,
            .sum_is_residual = seed >> 5 & 1};
        check(&run, added, seed);
    }
}

Test(layernorm_ref, layernorm_follows_the_formula)
{
    check_all(false);
}

Test(layernorm_ref, add_layernorm_follows_the_formula)
{
    check_all(true);
}

static const struct run SMALL = {.dtype = TFOPS_F32,
    .weight_dtype = TFOPS_F32,
    .rows = 3,
    .hidden = 4,
    .stride = 4,
    .eps = 1e-5,
    .scale = 1};

Test(layernorm_ref, a_known_row)
{
    struct run run = SMALL;
    run.rows = 1;
    run.eps = 0;
    run.bias = true;
    make(&run, 1);
    for (int i = 0; i < 4; i++) { /* 1 3 5 7: mean 4, variance 5 */
        matrix_set(&x, 0, i, 1 + 2 * i);
        matrix_set(&weight, 0, i, i == 3 ? -2 : 1);
        matrix_set(&bias, 0, i, 10);
    }
    EXPECT_OK(call_layernorm(&run));
    const double unit = 1 / sqrt(5), want[] = {10 - 3 * unit, 10 - unit, 10 + unit, 10 - 6 * unit};
    for (int i = 0; i < 4; i++)
        expect_rounded(matrix_get(&out, 0, i), want[i], TFOPS_F32, "out", 0, i);
}

Test(layernorm_ref, a_row_keeps_its_result_when_it_is_shifted)
{
    struct run run = {.dtype = TFOPS_F32,
        .weight_dtype = TFOPS_F32,
        .rows = 1,
        .hidden = 256,
        .stride = 256,
        .eps = 1e-5};
    double first[256];
    make(&run, 1);
    for (int i = 0; i < 256; i++)
        matrix_set(&x, 0, i, (i * 37) % 256); /* whole numbers: exact also when shifted */
    for (int i = 0; i < 256; i++)
        matrix_set(&weight, 0, i, 1);
    EXPECT_OK(call_layernorm(&run));
    for (int i = 0; i < 256; i++)
        first[i] = matrix_get(&out, 0, i);
    for (int i = 0; i < 256; i++)
        matrix_set(&x, 0, i, 4000000 + (i * 37) % 256);
    EXPECT_OK(call_layernorm(&run));
    for (int i = 0; i < 256; i++)
        cr_assert_eq(matrix_get(&out, 0, i), first[i], "element %d moved", i);
}

Test(layernorm_ref, a_constant_row_is_the_bias)
{
    struct run run = SMALL;
    run.bias = true;
    make(&run, 3);
    for (int i = 0; i < 4; i++)
        matrix_set(&x, 1, i, 1e4);
    EXPECT_OK(call_layernorm(&run));
    for (int i = 0; i < 4; i++)
        cr_assert_eq(matrix_get(&out, 1, i), matrix_get(&bias, 0, i));
    run.eps = 0; /* 0 / 0 */
    EXPECT_OK(call_layernorm(&run));
    cr_assert(isnan(matrix_get(&out, 1, 0)));
}

Test(layernorm_ref, one_column_without_bias_is_zero)
{
    struct run run = SMALL;
    run.hidden = run.stride = 1;
    make(&run, 3);
    EXPECT_OK(call_layernorm(&run));
    for (int row = 0; row < 3; row++)
        cr_assert_eq(matrix_get(&out, row, 0), 0);
}

Test(layernorm_ref, nan_and_infinity_spoil_their_row_alone)
{
    static const double SPECIAL[] = {NAN, INFINITY, -INFINITY};
    for (int s = 0; s < 3; s++) {
        make(&SMALL, 9);
        matrix_set(&x, 1, 2, SPECIAL[s]);
        EXPECT_OK(call_layernorm(&SMALL));
        for (int i = 0; i < 4; i++)
            cr_assert(isnan(matrix_get(&out, 1, i)) && isfinite(matrix_get(&out, 0, i)) &&
                      isfinite(matrix_get(&out, 2, i)));
    }
}

Test(layernorm_ref, subnormal_rows_are_not_flushed)
{
    struct run run = SMALL;
    run.eps = 0;
    run.scale = 0x1p-130;
    check(&run, false, 5);
    cr_assert(matrix_get(&out, 0, 0) != 0);
}

Test(layernorm_ref, no_rows_write_nothing)
{
    struct run run = SMALL;
    make(&run, 1);
    x.tensor.shape[0] = out.tensor.shape[0] = 0;
    EXPECT_OK(call_layernorm(&run));
    cr_assert_eq(out.bytes[0], 0x5a);
}

Test(layernorm_ref, refuses_vectors_of_another_length)
{
    struct run run = SMALL;
    run.bias = true;
    make(&run, 1);
    bias.tensor.shape[0] = 3;
    EXPECT_REFUSED(call_layernorm(&run), TFOPS_E_SHAPE, "bias");
    EXPECT_CONTAINS(expect_error().message, "[hidden=4]");
    EXPECT_CONTAINS(expect_error().message, "[3]");
}

Test(layernorm_ref, refuses_a_bias_of_another_dtype_than_the_weight)
{
    struct run run = SMALL;
    run.bias = true;
    make(&run, 1);
    bias.tensor.dtype = TFOPS_F16;
    EXPECT_REFUSED(call_layernorm(&run), TFOPS_E_DTYPE, "bias");
}

Test(layernorm_ref, refuses_an_output_over_the_residual)
{
    make(&SMALL, 1);
    struct run run = SMALL;
    run.sum_is_residual = true;
    out.tensor = residual.tensor;
    EXPECT_REFUSED(call_add(&run), TFOPS_E_OVERLAP, "out");
}
