/*
 * The references against the formula, computed here in long double on whole rows at once: all
 * variants, dtypes, strides and aliases.
 */
#include "base/half.h"
#include "kernels/norm/norm_specs.h"
#include "tests/support/expect.h"
#include "tests/support/host_data.h"
#include <criterion/criterion.h>
#include <math.h>

enum { MAX_ELEMS = 8192 };

struct buffer {
    _Alignas(16) unsigned char bytes[MAX_ELEMS * 4];
};
static struct buffer x, weight, residual, out, sum, before_x, before_residual;

struct run {
    enum tfops_dtype dtype, weight_dtype;
    int64_t rows, hidden, x_stride, out_stride;
    int variant;
    double eps;
    bool add, round_sum, out_is_x, sum_is_residual;
};

static struct tfops_problem problem_of(const struct run *run)
{
    return (struct tfops_problem){.size = sizeof(struct tfops_problem),
        .spec = run->add ? &add_rmsnorm_spec : &rmsnorm_spec,
        .dims = {run->rows, run->hidden},
        .dtypes = {(uint8_t)run->dtype, (uint8_t)run->weight_dtype},
        .options = {(uint8_t)run->variant, run->add && run->round_sum}};
}

static void call(const struct run *run)
{
    const struct tfops_problem problem = problem_of(run);
    const struct tfops_config config = {.generic = true};
    const struct tfops_view in = {x.bytes, {run->x_stride, 1}}, w = {weight.bytes, {1}};
    const struct tfops_view r = {residual.bytes, {run->x_stride, 1}};
    const struct tfops_view o =
        run->out_is_x ? in : (struct tfops_view){out.bytes, {run->out_stride, 1}};
    const struct tfops_view s = {run->sum_is_residual ? NULL : sum.bytes, {run->out_stride, 1}};
    const struct tfops_view plain[] = {in, w, o}, added[] = {in, r, w, o, s};
    const struct tfops_launch_args launch = {.problem = &problem,
        .config = &config,
        .operands = run->add ? added : plain,
        .scalars = &run->eps};
    EXPECT_OK(problem.spec->reference(NULL, &launch));
}

static long double at(const struct buffer *buffer, enum tfops_dtype dtype, int64_t i)
{
    return (long double)host_load(buffer->bytes, dtype, i);
}

/* Rounds as storing does, by way of this file's own conversions. */
static long double rounded(long double value, enum tfops_dtype dtype)
{
    return dtype == TFOPS_F32 ? (long double)(float)value
                              : (long double)half_round(dtype, (double)value);
}

static void expect_near(
    const struct run *run, const struct buffer *got, int64_t i, long double want, const char *what)
{
    const bool f16 = run->dtype == TFOPS_F16, bf16 = run->dtype == TFOPS_BF16;
    const long double unit = f16 ? 0x1p-11L : bf16 ? 0x1p-8L : 0x1p-24L;
    const long double least = f16 ? 0x1p-24L : bf16 ? 0x1p-133L : 0x1p-149L;
    long double value = at(got, run->dtype, i);
    long double bound = fabsl(want) * unit * 1.0001L + least;
    if (run->variant == 2)
        bound *= 3; /* a product of one that was rounded the other way at a tie */
    cr_assert((isnan(value) && isnan(want)) || value == want || fabsl(value - want) <= bound,
        "%s[%lld] of hidden %lld, %s: %.9Lg, wanted %.9Lg", what, (long long)i,
        (long long)run->hidden, tfops_dtype_name(run->dtype), value, want);
}

static void check_row(const struct run *run, int64_t row)
{
    long double values[MAX_ELEMS], squares = 0;
    const int64_t out_stride = run->out_is_x ? run->x_stride : run->out_stride;
    for (int64_t i = 0; i < run->hidden; i++) {
        values[i] = at(&before_x, run->dtype, row * run->x_stride + i);
        if (run->add)
            values[i] += at(&before_residual, run->dtype, row * run->x_stride + i);
        if (run->add && run->sum_is_residual)
            expect_near(run, &residual, row * run->x_stride + i, values[i], "residual");
        else if (run->add)
            expect_near(run, &sum, row * run->out_stride + i, values[i], "sum");
        if (run->add && run->round_sum)
            values[i] = rounded(values[i], run->dtype);
        squares += values[i] * values[i];
    }
    const long double scale = 1 / sqrtl(squares / (long double)run->hidden + (long double)run->eps);
    for (int64_t i = 0; i < run->hidden; i++) {
        const long double w = at(&weight, run->weight_dtype, i), normed = values[i] * scale;
        const long double want = run->variant == 0   ? normed * w
                                 : run->variant == 1 ? normed * (1 + w)
                                                     : rounded(normed, run->dtype) * w;
        expect_near(run, run->out_is_x ? &x : &out, row * out_stride + i, want, "out");
    }
}

static void fill(const struct run *run, uint64_t seed)
{
    host_fill(x.bytes, run->dtype, MAX_ELEMS, seed);
    host_fill(residual.bytes, run->dtype, MAX_ELEMS, seed + 1);
    host_fill(weight.bytes, run->weight_dtype, MAX_ELEMS, seed + 2);
    memset(out.bytes, 0x5a, sizeof out);
    memset(sum.bytes, 0x5a, sizeof sum);
}

static void check(const struct run *run)
{
    before_x = x;
    before_residual = residual;
    call(run);
    for (int64_t row = 0; row < run->rows; row++)
        check_row(run, row);
}

static const enum tfops_dtype DTYPES[] = {TFOPS_F32, TFOPS_F16, TFOPS_BF16};

/* Every combination of what does not change the loop; extents and strides by turns. */
static void check_all(bool add)
{
    static const int64_t SHAPES[][4] = {{1, 1, 1, 1}, {3, 1, 1, 5}, {5, 7, 9, 8},
        {2, 1023, 1024, 1023}, {4, 96, 96, 200}, {1, 4096, 4096, 4096}, {0, 16, 16, 16}};
    uint64_t seed = 1;
    for (int d = 0; d < 3; d++)
        for (int w = 0; w < 3; w++)
            for (int variant = 0; variant < 3; variant++)
                for (int bits = 0; bits < (add ? 8 : 2); bits++) {
                    const int64_t *shape = SHAPES[seed % 7];
                    struct run run = {.dtype = DTYPES[d],
                        .weight_dtype = DTYPES[w],
                        .rows = shape[0],
                        .hidden = shape[1],
                        .x_stride = shape[2],
                        .out_stride = shape[3],
                        .variant = variant,
                        .eps = seed % 2 ? 1e-6 : 0.1,
                        .add = add,
                        .out_is_x = bits & 1,
                        .round_sum = bits & 2,
                        .sum_is_residual = bits & 4};
                    fill(&run, seed++);
                    check(&run);
                }
}

Test(rmsnorm_ref, rmsnorm_follows_the_formula)
{
    check_all(false);
}

Test(rmsnorm_ref, add_rmsnorm_follows_the_formula)
{
    check_all(true);
}

Test(rmsnorm_ref, gaps_between_rows_are_left_alone)
{
    struct run run = {.dtype = TFOPS_F16,
        .weight_dtype = TFOPS_F16,
        .rows = 4,
        .hidden = 10,
        .x_stride = 10,
        .out_stride = 16};
    fill(&run, 5);
    call(&run);
    for (int64_t i = 0; i < 4 * 16; i++)
        if (i % 16 >= 10)
            cr_assert_eq(((uint16_t *)out.bytes)[i], 0x5a5a, "element %d was written", (int)i);
    cr_assert_eq(((uint16_t *)out.bytes)[4 * 16], 0x5a5a, "written behind the last row");
}

Test(rmsnorm_ref, no_rows_write_nothing)
{
    struct run run = {.dtype = TFOPS_F16,
        .weight_dtype = TFOPS_F16,
        .hidden = 10,
        .x_stride = 10,
        .out_stride = 10};
    fill(&run, 5);
    call(&run);
    cr_assert_eq(((uint16_t *)out.bytes)[0], 0x5a5a);
}

Test(rmsnorm_ref, a_zero_row_without_eps_is_nan)
{
    struct run run = {.dtype = TFOPS_F16,
        .weight_dtype = TFOPS_F16,
        .rows = 1,
        .hidden = 8,
        .x_stride = 8,
        .out_stride = 8};
    fill(&run, 5);
    memset(x.bytes, 0, 16);
    call(&run);
    for (int i = 0; i < 8; i++)
        cr_assert(isnan(host_load(out.bytes, TFOPS_F16, i)), "element %d is a number", i);
}

Test(rmsnorm_ref, a_zero_row_with_eps_is_zero)
{
    struct run run = {.dtype = TFOPS_BF16,
        .weight_dtype = TFOPS_BF16,
        .rows = 1,
        .hidden = 8,
        .x_stride = 8,
        .out_stride = 8,
        .eps = 1e-6};
    fill(&run, 5);
    memset(x.bytes, 0, 16);
    call(&run);
    for (int i = 0; i < 8; i++)
        cr_assert_eq(host_load(out.bytes, TFOPS_BF16, i), 0);
}

Test(rmsnorm_ref, nan_and_infinity_propagate_within_their_row)
{
    static const float SPECIAL[] = {NAN, INFINITY, -INFINITY};
    for (int s = 0; s < 3; s++) {
        struct run run = {.dtype = TFOPS_F32,
            .weight_dtype = TFOPS_F32,
            .rows = 3,
            .hidden = 4,
            .x_stride = 4,
            .out_stride = 4,
            .eps = 1e-6};
        fill(&run, 9);
        host_store(x.bytes, TFOPS_F32, 4 + 2, SPECIAL[s]);
        check(&run); /* the special row by the same arithmetic: NaN at its place */
        cr_assert(isnan(host_load(out.bytes, TFOPS_F32, 4 + 2)));
        for (int i = 0; i < 4; i++)
            cr_assert(isfinite(host_load(out.bytes, TFOPS_F32, i)) &&
                      isfinite(host_load(out.bytes, TFOPS_F32, 8 + i)));
        if (s)
            cr_assert_eq(host_load(out.bytes, TFOPS_F32, 4), 0); /* finite over infinite */
    }
}

Test(rmsnorm_ref, large_values_do_not_overflow)
{
    struct run run = {.dtype = TFOPS_F32,
        .weight_dtype = TFOPS_F32,
        .rows = 1,
        .hidden = 64,
        .x_stride = 64,
        .out_stride = 64};
    fill(&run, 5);
    for (int i = 0; i < 64; i++)
        host_store(x.bytes, TFOPS_F32, i, i % 2 ? -3e38f : 3e38f);
    check(&run);
}
