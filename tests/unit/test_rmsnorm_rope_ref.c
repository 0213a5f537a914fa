/*
 * rmsnorm_rope on the cpu device against a row that is normalised as a whole in long double, then
 * turned as models write it; strides, aliases, positions, properties, special values, refusals.
 */
#include "base/half.h"
#include "kernels/rope/rope_specs.h"
#include <criterion/criterion.h>
#include <math.h>

#include "tests/support/reference.h"

enum { MAX_HIDDEN = 1024 };

struct run {
    enum tfops_dtype dtype, weight_dtype, table_dtype;
    int64_t rows, heads, head_dim, stride, table_dim, max_pos;
    double eps;
    int variant;
    bool per_head, interleaved, half, in_place, positions;
};

static struct reference fused;
static struct matrix x, weight, cosines, sines, out, before;
static int32_t positions[64];
static struct tfops_tensor x_heads, out_heads, positions_tensor;
static struct tfops_args args;

static void begin(void)
{
    reference_open(&fused, &rmsnorm_rope_spec);
}

static void end(void)
{
    reference_close(&fused);
}

TestSuite(rmsnorm_rope_ref, .init = begin, .fini = end);

/* The matrix [rows, hidden] seen by head. */
static struct tfops_tensor by_head(const struct run *run, const struct matrix *matrix)
{
    struct tfops_tensor tensor = tfops_tensor_contiguous(matrix->tensor.data, run->dtype, 3,
        (const int64_t[]){run->rows, run->heads, run->head_dim});
    tensor.strides[0] = matrix->tensor.strides[0];
    return tensor;
}

static void make(const struct run *run, uint64_t seed)
{
    const int64_t hidden = run->heads * run->head_dim;
    matrix_make(&x, run->dtype, run->rows, hidden, run->stride);
    matrix_make(&out, run->dtype, run->rows, hidden, run->stride + 8);
    matrix_make(
        &weight, run->weight_dtype, run->per_head ? 1 : run->heads, run->head_dim, run->head_dim);
    matrix_make(&cosines, run->table_dtype, run->max_pos, run->table_dim, run->table_dim);
    matrix_make(&sines, run->table_dtype, run->max_pos, run->table_dim, run->table_dim);
    matrix_fill(&x, seed, 3);
    matrix_fill(&weight, seed + 1, 1);
    matrix_fill(&cosines, seed + 2, 1); /* any numbers, each of its own: half tables would show */
    matrix_fill(&sines, seed + 3, 1);
    before = x;
    x_heads = by_head(run, &x);
    out_heads = by_head(run, run->in_place ? &x : &out);
    for (int i = 0; i < run->rows; i++)
        positions[i] = (int32_t)(host_random(&seed) % (uint64_t)run->max_pos);
    positions_tensor =
        tfops_tensor_contiguous(positions, TFOPS_I32, 1, (const int64_t[]){run->rows});
    args = (struct tfops_args){.size = sizeof args, .n_scalars = 1, .scalars = {run->eps}};
    args.options[ROPE_STYLE] = run->interleaved;
    args.options[ROPE_TABLE] = run->half;
    args.options[RMSNORM_ROPE_NORM] = run->per_head;
    args.options[RMSNORM_ROPE_WEIGHT_VARIANT] = (uint8_t)run->variant;
    args.operands[RMSNORM_ROPE_X] = &x_heads;
    args.operands[RMSNORM_ROPE_WEIGHT] = &weight.tensor;
    args.operands[RMSNORM_ROPE_COS] = &cosines.tensor;
    args.operands[RMSNORM_ROPE_SIN] = &sines.tensor;
    args.operands[RMSNORM_ROPE_POSITIONS] = run->positions ? &positions_tensor : NULL;
    args.operands[RMSNORM_ROPE_OUT] = &out_heads;
}

static enum tfops_status call(void)
{
    return reference_launch(&fused, &args);
}

static void norm_row(const struct run *run, int64_t row, long double *values)
{
    const int64_t hidden = run->heads * run->head_dim;
    const int64_t width = run->per_head ? run->head_dim : hidden;
    for (int64_t start = 0; start < hidden; start += width) {
        long double mean_square = 0;
        for (int64_t i = start; i < start + width; i++)
            mean_square += powl((long double)matrix_get(&before, row, i), 2) / (long double)width;
        for (int64_t i = start; i < start + width; i++) {
            const long double w = (long double)matrix_get(
                &weight, run->per_head ? 0 : i / run->head_dim, i % run->head_dim);
            values[i] = (long double)matrix_get(&before, row, i) /
                        sqrtl(mean_square + (long double)run->eps);
            if (run->variant == 2)
                values[i] = (long double)half_round(run->dtype, (double)values[i]);
            values[i] *= run->variant == 1 ? 1 + w : w;
        }
    }
}

static long double turned(const struct run *run, const long double *head, int64_t pos, int64_t i)
{
    const int64_t rotary = run->half ? 2 * run->table_dim : run->table_dim;
    if (i >= rotary)
        return head[i];
    const bool second = run->interleaved ? i % 2 : i >= rotary / 2;
    const int64_t step = run->interleaved ? 1 : rotary / 2;
    const int64_t at = !run->half ? i : run->interleaved ? i / 2 : i % (rotary / 2);
    return head[i] * (long double)matrix_get(&cosines, pos, at) +
           (second ? head[i - step] : -head[i + step]) * (long double)matrix_get(&sines, pos, at);
}

static void check_rows(const struct run *run)
{
    long double values[MAX_HIDDEN];
    for (int64_t row = 0; row < run->rows; row++) {
        const int64_t pos = run->positions ? positions[row] : row % run->max_pos;
        norm_row(run, row, values);
        for (int64_t at = 0; at < run->heads * run->head_dim; at++) {
            const int64_t head = at / run->head_dim * run->head_dim;
            const long double want = turned(run, values + head, pos, at - head);
            const double got = matrix_get(run->in_place ? &x : &out, row, at);
            if (!(fabsl((long double)got - want) <= 1e-13L)) /* what is left of what cancels */
                expect_rounded(got, want, run->dtype, "out", row, at);
        }
    }
}

static const enum tfops_dtype DTYPES[] = {TFOPS_F32, TFOPS_F16, TFOPS_BF16};

Test(rmsnorm_rope_ref, follows_the_formula)
{
    static const int64_t SHAPES[][5] = {/* rows, heads, head_dim, table, max_pos */
        {6, 2, 2, 2, 3}, {4, 3, 64, 64, 4}, {3, 1, 80, 32, 5}, {2, 8, 128, 128, 2},
        {5, 5, 6, 4, 9}};
    for (uint64_t seed = 1; seed < 600; seed += 2) {
        const int64_t *shape = SHAPES[seed % 5];
        const bool half = seed >> 2 & 1;
        const struct run run = {.dtype = DTYPES[seed / 5 % 3],
            .weight_dtype = DTYPES[seed / 15 % 3],
            .table_dtype = DTYPES[seed / 45 % 3],
            .rows = shape[0],
            .heads = shape[1],
            .head_dim = shape[2],
            .stride = shape[1] * shape[2] + (seed % 3 ? 0 : 24),
            .table_dim = half ? shape[3] / 2 : shape[3],
            .max_pos = shape[4],
            .eps = seed % 7 ? 1e-6 : 0.25,
            .variant = (int)(seed / 2 % 3),
            .per_head = seed >> 3 & 1,
            .interleaved = seed >> 4 & 1,
            .half = half,
            .in_place = seed >> 5 & 1,
            .positions = seed >> 6 & 1};
        make(&run, seed);
        EXPECT_OK(call());
        check_rows(&run);
        matrix_expect_gaps(run.in_place ? &x : &out);
    }
}

static const struct run SMALL = {.dtype = TFOPS_F32,
    .weight_dtype = TFOPS_F32,
    .table_dtype = TFOPS_F32,
    .rows = 4,
    .heads = 2,
    .head_dim = 8,
    .stride = 16,
    .table_dim = 8,
    .max_pos = 2,
    .eps = 1e-6};

static void make_angles(int rows, int pairs)
{
    for (int pos = 0; pos < rows; pos++)
        for (int i = 0; i < 2 * pairs; i++) {
            matrix_set(&cosines, pos, i, cos(pos + i % pairs));
            matrix_set(&sines, pos, i, sin(pos + i % pairs));
        }
}

Test(rmsnorm_rope_ref, rotation_keeps_the_norm_that_rmsnorm_gives)
{
    for (int per_head = 0; per_head < 2; per_head++) {
        struct run run = SMALL;
        run.per_head = per_head;
        run.eps = 0;
        make(&run, 3);
        make_angles(2, 4);
        for (int i = 0; i < 16 >> per_head; i++)
            matrix_set(&weight, i / 8, i % 8, 1);
        EXPECT_OK(call());
        for (int row = 0; row < 4; row++) {
            double head[2] = {0, 0};
            for (int i = 0; i < 16; i++)
                head[i / 8] += pow(matrix_get(&out, row, i), 2);
            cr_assert_float_eq(head[0] + head[1], 16, 1e-5);
            cr_assert(!per_head || fabs(head[0] - 8) < 1e-5);
        }
    }
}

Test(rmsnorm_rope_ref, rows_repeat_the_tables_of_each_sequence)
{
    make(&SMALL, 3); /* [batch 2, seq 2] */
    for (int i = 0; i < 16; i++)
        matrix_set(&x, 2, i, matrix_get(&x, 0, i));
    EXPECT_OK(call());
    for (int i = 0; i < 16; i++)
        cr_assert_eq(matrix_get(&out, 2, i), matrix_get(&out, 0, i));
}

Test(rmsnorm_rope_ref, tables_may_have_the_published_ranks)
{
    double flat[64];
    make(&SMALL, 3);
    EXPECT_OK(call());
    for (int i = 0; i < 64; i++)
        flat[i] = matrix_get(&out, i / 16, i % 16);
    cosines.tensor = tfops_tensor_contiguous(
        cosines.bytes, TFOPS_F32, 4, (const int64_t[]){1, 2, 1, 8}); /* [1, seq, 1, head_dim] */
    sines.tensor =
        tfops_tensor_contiguous(sines.bytes, TFOPS_F32, 4, (const int64_t[]){1, 2, 1, 8});
    x_heads = tfops_tensor_contiguous(x.bytes, TFOPS_F32, 4, (const int64_t[]){2, 2, 2, 8});
    EXPECT_OK(call());
    for (int i = 0; i < 64; i++)
        cr_assert_eq(matrix_get(&out, i / 16, i % 16), flat[i]);
}

Test(rmsnorm_rope_ref, a_zero_row_is_zero_with_eps_and_nan_without)
{
    struct run run = SMALL;
    make(&run, 3);
    for (int i = 0; i < 16; i++)
        matrix_set(&x, 1, i, 0);
    EXPECT_OK(call());
    cr_assert_eq(matrix_get(&out, 1, 5), 0);
    args.scalars[RMSNORM_ROPE_EPS] = 0;
    EXPECT_OK(call());
    cr_assert(isnan(matrix_get(&out, 1, 5)) && isfinite(matrix_get(&out, 0, 5)));
}

Test(rmsnorm_rope_ref, nan_spoils_what_is_normalised_with_it)
{
    struct run run = SMALL;
    for (int per_head = 0; per_head < 2; per_head++) {
        run.per_head = per_head;
        make(&run, 3);
        matrix_set(&x, 1, 3, NAN);
        EXPECT_OK(call());
        for (int i = 0; i < 16; i++) {
            cr_assert(isnan(matrix_get(&out, 1, i)) == (i < 8 || !per_head), "element %d", i);
            cr_assert(isfinite(matrix_get(&out, 0, i)) && isfinite(matrix_get(&out, 2, i)));
        }
    }
}

static void expect_reason(const char *reason)
{
    EXPECT_STATUS(call(), TFOPS_E_SHAPE);
    EXPECT_DETAIL(reason);
}

Test(rmsnorm_rope_ref, refuses_tables_that_do_not_fit)
{
    struct run run = SMALL;
    run.table_dim = 10;
    make(&run, 1);
    expect_reason("cos: expected rows of at most 8 elements (head_dim=8, table=full), got 10");
    run = SMALL;
    run.head_dim = run.table_dim = 7;
    make(&run, 1);
    expect_reason("x: expected an even head_dim, got 7");
    make(&SMALL, 1);
    sines.tensor.shape[0] = 1;
    EXPECT_REFUSED(call(), TFOPS_E_SHAPE, "sin");
}

Test(rmsnorm_rope_ref, refuses_sequences_that_the_tables_do_not_divide)
{
    struct run run = SMALL;
    run.max_pos = 3;
    make(&run, 1);
    expect_reason("cos: expected a number of rows that divides rows=4 without positions, got 3");
    run.positions = true;
    make(&run, 1);
    EXPECT_OK(call());
}

Test(rmsnorm_rope_ref, refuses_a_weight_of_the_other_norm)
{
    make(&SMALL, 1);
    args.options[RMSNORM_ROPE_NORM] = RMSNORM_ROPE_NORM_PER_HEAD;
    EXPECT_REFUSED(call(), TFOPS_E_SHAPE, "weight");
    EXPECT_CONTAINS(expect_error().message, "weight_heads=1, head_dim=8]");
    EXPECT_CONTAINS(expect_error().message, "[2, 8]");
}
