/*
 * quantize and dequantize on the cpu device: scales against amax found here, codes against the
 * nearest of all 256, round trips within half a step; overflow, counters, special values, refusals.
 */
#include "kernels/quant/quant_specs.h"
#include <criterion/criterion.h>
#include <math.h>

#include "tests/support/reference.h"

enum granularity { STATIC, DYNAMIC, TOKEN, GROUP, BLOCK };

struct run {
    enum tfops_dtype dtype, fp8;
    int64_t rows, hidden, stride;
    enum granularity granularity;
    double spread;
    bool column_major, rescale;
    double max_retries;
};

static struct reference quantize, dequantize;
static struct matrix x, q, scales, back;
static float given;
static int64_t saturated, retries;
static bool use_saturated, use_retries;

static void begin(void)
{
    reference_open(&quantize, &quantize_spec);
    reference_open(&dequantize, &dequantize_spec);
}

static void end(void)
{
    reference_close(&quantize);
    reference_close(&dequantize);
}

TestSuite(quantize_ref, .init = begin, .fini = end);

static int64_t ceil128(int64_t extent)
{
    return (extent + 127) / 128;
}

static void make(const struct run *run, uint64_t seed)
{
    const int64_t down = run->granularity == BLOCK   ? ceil128(run->rows)
                         : run->granularity >= TOKEN ? run->rows
                                                     : 1;
    const int64_t across = run->granularity >= GROUP ? ceil128(run->hidden) : 1;
    matrix_make(&x, run->dtype, run->rows, run->hidden, run->stride);
    matrix_make(&q, run->fp8, run->rows, run->hidden, run->stride + 3);
    matrix_make(&back, TFOPS_F32, run->rows, run->hidden, run->hidden);
    if (run->column_major)
        matrix_make(&scales, TFOPS_F32, across, down, down + 1);
    else
        matrix_make(&scales, TFOPS_F32, down, across, across + 1);
    matrix_fill(&x, seed, run->spread);
}

static struct tfops_tensor one_of(void *data, enum tfops_dtype dtype)
{
    return tfops_tensor_contiguous(data, dtype, 1, (const int64_t[]){1});
}

static enum tfops_status call(const struct run *run)
{
    const struct tfops_tensor scale = one_of(&given, TFOPS_F32);
    const struct tfops_tensor count = one_of(&saturated, TFOPS_I64);
    const struct tfops_tensor tries = one_of(&retries, TFOPS_I64);
    struct tfops_args args = {.size = sizeof args, .n_scalars = 1, .scalars = {run->max_retries}};
    args.options[QUANT_GRANULARITY] = (uint8_t)run->granularity;
    args.options[QUANT_SCALE_MAJOR] = run->column_major;
    args.options[QUANTIZE_OVERFLOW] = run->rescale;
    args.operands[QUANTIZE_X] = &x.tensor;
    args.operands[QUANTIZE_STATIC_SCALE] = run->granularity == STATIC ? &scale : NULL;
    args.operands[QUANTIZE_OUT] = &q.tensor;
    args.operands[QUANTIZE_SCALES] =
        run->granularity != STATIC || run->rescale ? &scales.tensor : NULL;
    args.operands[QUANTIZE_SATURATED] = use_saturated ? &count : NULL;
    args.operands[QUANTIZE_RETRIES] = use_retries ? &tries : NULL;
    return reference_launch(&quantize, &args);
}

static enum tfops_status call_back(const struct run *run)
{
    struct tfops_args args = {.size = sizeof args};
    args.options[QUANT_GRANULARITY] = (uint8_t)(run->granularity - DYNAMIC);
    args.options[QUANT_SCALE_MAJOR] = run->column_major;
    args.operands[DEQUANTIZE_X] = &q.tensor;
    args.operands[DEQUANTIZE_SCALES] = &scales.tensor;
    args.operands[DEQUANTIZE_OUT] = &back.tensor;
    return reference_launch(&dequantize, &args);
}

static double most_of(enum tfops_dtype fp8)
{
    return fp8 == TFOPS_E4M3 ? 448 : 57344;
}

/* The tile that (row, col) belongs to shares one scale. */
static bool shares(const struct run *run, int64_t row, int64_t col, int64_t r, int64_t c)
{
    switch (run->granularity) {
    case TOKEN:
        return row == r;
    case GROUP:
        return row == r && col / 128 == c / 128;
    case BLOCK:
        return row / 128 == r / 128 && col / 128 == c / 128;
    default:
        return true;
    }
}

static double scale_at(const struct run *run, int64_t row, int64_t col)
{
    const int64_t down = run->granularity == BLOCK   ? row / 128
                         : run->granularity >= TOKEN ? row
                                                     : 0;
    const int64_t across = run->granularity >= GROUP ? col / 128 : 0;
    return run->column_major ? matrix_get(&scales, across, down)
                             : matrix_get(&scales, down, across);
}

static void check_scale(const struct run *run, int64_t row, int64_t col)
{
    double amax = 1.0 / 512;
    for (int64_t r = 0; r < run->rows; r++)
        for (int64_t c = 0; c < run->hidden; c++)
            if (shares(run, row, col, r, c))
                amax = fmax(amax, fabs(matrix_get(&x, r, c)));
    const double scale = scale_at(run, row, col);
    cr_assert_eq(scale, (float)(amax / most_of(run->fp8)), "scale at %d, %d: %.9g, wanted %.9g",
        (int)row, (int)col, scale, amax / most_of(run->fp8));
}

/* No code is nearer to x / scale than the one that stands there. */
static void check_code(const struct run *run, int64_t row, int64_t col)
{
    const double wanted = matrix_get(&x, row, col) / scale_at(run, row, col);
    const double distance = fabs(matrix_get(&q, row, col) - wanted);
    for (int code = 0; code < 256; code++) {
        const double value = (double)host_f8_to_f32(run->fp8, (uint8_t)code);
        cr_assert(!isfinite(value) || fabs(value - wanted) >= distance * (1 - 1e-12),
            "q[%d][%d] of %g is %g; %g is nearer", (int)row, (int)col, wanted,
            matrix_get(&q, row, col), value);
    }
}

static void check_round_trip(const struct run *run, int64_t row, int64_t col)
{
    const bool e4m3 = run->fp8 == TFOPS_E4M3;
    const double value = matrix_get(&x, row, col), scale = scale_at(run, row, col);
    const double half_step =
        fmax(fabs(value) * (e4m3 ? 0x1p-4 : 0x1p-3), scale * (e4m3 ? 0x1p-10 : 0x1p-17));
    cr_assert(fabs(matrix_get(&back, row, col) - value) <= half_step * 1.000001,
        "back[%d][%d]: %g of %g", (int)row, (int)col, matrix_get(&back, row, col), value);
}

static void check(const struct run *run, uint64_t seed)
{
    make(run, seed);
    EXPECT_OK(call(run));
    EXPECT_OK(call_back(run));
    for (int64_t row = 0; row < run->rows; row += 1 + run->rows / 16)
        for (int64_t col = 0; col < run->hidden; col += 1 + run->hidden / 16) {
            check_scale(run, row, col);
            check_code(run, row, col);
        }
    for (int64_t row = 0; row < run->rows; row++)
        for (int64_t col = 0; col < run->hidden; col++)
            check_round_trip(run, row, col);
    matrix_expect_gaps(&q);
    matrix_expect_gaps(&scales);
}

static const enum tfops_dtype DTYPES[] = {TFOPS_F32, TFOPS_F16, TFOPS_BF16};

Test(quantize_ref, dynamic_scales_and_codes_follow_the_definition)
{
    static const int64_t SHAPES[][3] = {
        {3, 128, 130}, {130, 100, 100}, {1, 1, 1}, {5, 384, 384}, {40, 257, 300}};
    static const double SPREADS[] = {1, 1e4, 1e-6};
    for (uint64_t seed = 0; seed < 120; seed++) {
        const int64_t *shape = SHAPES[seed % 5];
        const struct run run = {.dtype = DTYPES[seed % 3],
            .fp8 = seed >> 1 & 1 ? TFOPS_E4M3 : TFOPS_E5M2,
            .rows = shape[0],
            .hidden = seed % 4 == 2 ? ceil128(shape[1]) * 128 : shape[1],
            .stride = shape[2] + 128,
            .granularity = (enum granularity)(DYNAMIC + seed % 4),
            .column_major = seed >> 2 & 1,
            .spread = SPREADS[seed / 8 % 3]};
        if (run.rows * (run.stride + 3) * 4 < (int64_t)sizeof x.bytes &&
            run.rows * run.hidden * 4 <= (int64_t)sizeof x.bytes)
            check(&run, seed);
    }
}

Test(quantize_ref, blocks_at_the_edges_are_smaller)
{
    const struct run run = {.dtype = TFOPS_BF16,
        .fp8 = TFOPS_E4M3,
        .rows = 129,
        .hidden = 126,
        .stride = 127,
        .granularity = BLOCK,
        .spread = 1};
    check(&run, 3);
}

static const struct run TOKENS = {.dtype = TFOPS_F32,
    .fp8 = TFOPS_E4M3,
    .rows = 3,
    .hidden = 8,
    .stride = 8,
    .granularity = TOKEN,
    .spread = 1};

Test(quantize_ref, a_zero_row_has_the_floor_scale)
{
    make(&TOKENS, 1);
    for (int i = 0; i < 8; i++)
        matrix_set(&x, 1, i, 0);
    EXPECT_OK(call(&TOKENS));
    cr_assert_eq(matrix_get(&scales, 1, 0), (float)(1.0 / (448 * 512)));
    cr_assert_eq(matrix_get(&q, 1, 3), 0);
}

Test(quantize_ref, subnormal_values_keep_the_floor_scale)
{
    make(&TOKENS, 1);
    for (int i = 0; i < 8; i++)
        matrix_set(&x, 1, i, 0x1p-149);
    EXPECT_OK(call(&TOKENS));
    cr_assert_eq(matrix_get(&scales, 1, 0), (float)(1.0 / (448 * 512)));
    cr_assert_eq(matrix_get(&q, 1, 3), 0);
}

Test(quantize_ref, nan_spoils_what_shares_its_scale)
{
    make(&TOKENS, 1);
    matrix_set(&x, 1, 2, NAN);
    EXPECT_OK(call(&TOKENS));
    cr_assert(isnan(matrix_get(&scales, 1, 0)));
    for (int i = 0; i < 8; i++)
        cr_assert(isnan(matrix_get(&q, 1, i)) && isfinite(matrix_get(&q, 0, i)) &&
                  isfinite(matrix_get(&q, 2, i)));
}

Test(quantize_ref, infinity_has_an_infinite_scale_and_finite_values_vanish)
{
    make(&TOKENS, 1);
    matrix_set(&x, 1, 2, -INFINITY);
    EXPECT_OK(call(&TOKENS));
    cr_assert_eq(matrix_get(&scales, 1, 0), INFINITY);
    cr_assert(isnan(matrix_get(&q, 1, 2)));
    cr_assert_eq(matrix_get(&q, 1, 3), 0);
}

Test(quantize_ref, a_vector_of_scales_is_one_column_or_one_row)
{
    struct run run = TOKENS;
    run.column_major = true; /* [1, rows], or without its leading 1 */
    make(&run, 1);
    matrix_make_vector(&scales, TFOPS_F32, 3);
    EXPECT_OK(call(&run));
    for (int row = 0; row < 3; row++)
        cr_assert(matrix_get(&scales, 0, row) > 0 && matrix_get(&scales, 0, row) < 1);
}

/* ---- a given scale ------------------------------------------------------------------------------ */

static struct run static_run(enum tfops_dtype fp8)
{
    struct run run = TOKENS;
    run.granularity = STATIC;
    run.fp8 = fp8;
    make(&run, 1);
    given = 0.5f;
    return run;
}

Test(quantize_ref, a_given_scale_divides_and_saturates)
{
    struct run run = static_run(TFOPS_E4M3);
    static const double VALUES[] = {1, -3, 224, 225, -1e30, INFINITY, 0.0004, 17.0 / 2};
    static const double CODES[] = {2, -6, 448, 448, -448, 448, 0, 16}; /* 17: a tie, to even */
    for (int i = 0; i < 8; i++)
        matrix_set(&x, 0, i, VALUES[i]);
    matrix_set(&x, 1, 0, NAN);
    EXPECT_OK(call(&run));
    for (int i = 0; i < 8; i++)
        cr_assert_eq(matrix_get(&q, 0, i), CODES[i], "%g: %g", VALUES[i], matrix_get(&q, 0, i));
    cr_assert(isnan(matrix_get(&q, 1, 0)));
}

Test(quantize_ref, saturated_elements_are_added_to_the_counter)
{
    for (int e5m2 = 0; e5m2 < 2; e5m2++) {
        struct run run = static_run(e5m2 ? TFOPS_E5M2 : TFOPS_E4M3);
        const double edge = e5m2 ? 61440 : 464; /* half a step above the largest */
        use_saturated = true;
        saturated = 100;
        matrix_set(&x, 0, 0, edge / 2); /* rounds or saturates to the same: not lost */
        matrix_set(&x, 0, 1, edge / 2 * 1.001);
        matrix_set(&x, 0, 2, -1e30);
        matrix_set(&x, 2, 7, INFINITY);
        matrix_set(&x, 2, 6, NAN);
        EXPECT_OK(call(&run));
        EXPECT_INT(saturated, 103);
        EXPECT_OK(call(&run));
        EXPECT_INT(saturated, 106);
    }
}

Test(quantize_ref, dynamic_scales_saturate_nothing)
{
    struct run run = TOKENS;
    use_saturated = true;
    saturated = 0;
    for (uint64_t seed = 0; seed < 20; seed++) {
        make(&run, seed);
        EXPECT_OK(call(&run));
    }
    EXPECT_INT(saturated, 0);
}

Test(quantize_ref, a_given_scale_is_doubled_until_it_fits)
{
    struct run run = static_run(TFOPS_E4M3);
    run.rescale = true;
    run.max_retries = 8;
    run.granularity = STATIC;
    use_retries = true;
    matrix_set(&x, 1, 1, 1000); /* 2000 → 1000 → 500 → 250 */
    EXPECT_OK(call(&run));
    EXPECT_INT(retries, 3);
    cr_assert_eq(matrix_get(&scales, 0, 0), 4);
    cr_assert_eq(matrix_get(&q, 1, 1), 256); /* 250 between 240 and 256 */
    matrix_set(&x, 1, 1, 1);
    EXPECT_OK(call(&run));
    EXPECT_INT(retries, 0);
    cr_assert_eq(matrix_get(&scales, 0, 0), 0.5);
}

Test(quantize_ref, retries_end_at_their_limit_and_what_is_left_is_counted)
{
    struct run run = static_run(TFOPS_E4M3);
    run.rescale = true;
    run.max_retries = 2;
    use_retries = use_saturated = true;
    saturated = 0;
    matrix_set(&x, 1, 1, 1000);
    matrix_set(&x, 1, 2, 900);
    matrix_set(&x, 1, 3, 899);
    EXPECT_OK(call(&run));
    cr_assert_eq(matrix_get(&scales, 0, 0), 2);
    EXPECT_INT(retries, 2);
    EXPECT_INT(saturated, 1); /* 500; 450 and 449.5 round to 448 */
    run.max_retries = 0;
    saturated = 0;
    EXPECT_OK(call(&run));
    cr_assert_eq(matrix_get(&scales, 0, 0), 0.5);
    EXPECT_INT(saturated, 3);
}

Test(quantize_ref, infinity_uses_all_retries_and_nan_none)
{
    struct run run = static_run(TFOPS_E4M3);
    run.rescale = true;
    run.max_retries = 5;
    use_retries = true;
    matrix_set(&x, 0, 0, NAN);
    EXPECT_OK(call(&run));
    EXPECT_INT(retries, 0);
    matrix_set(&x, 0, 1, INFINITY);
    EXPECT_OK(call(&run));
    EXPECT_INT(retries, 5);
    cr_assert_eq(matrix_get(&q, 0, 1), 448);
}

Test(quantize_ref, counters_may_have_32_bits)
{
    (void)static_run(TFOPS_E4M3);
    int32_t count[2] = {7, 0x5a5a5a5a};
    const struct tfops_tensor scale = one_of(&given, TFOPS_F32), counter = one_of(count, TFOPS_I32);
    struct tfops_args args = {.size = sizeof args};
    matrix_set(&x, 0, 0, 1e4);
    args.operands[QUANTIZE_X] = &x.tensor;
    args.operands[QUANTIZE_STATIC_SCALE] = &scale;
    args.operands[QUANTIZE_OUT] = &q.tensor;
    args.operands[QUANTIZE_SATURATED] = &counter;
    EXPECT_OK(reference_launch(&quantize, &args));
    EXPECT_INT(count[0], 8);
    EXPECT_INT(count[1], 0x5a5a5a5a);
}

/* ---- dequantize --------------------------------------------------------------------------------- */

Test(quantize_ref, dequantize_multiplies_every_code)
{
    for (int e5m2 = 0; e5m2 < 2; e5m2++) {
        struct run run = TOKENS;
        run.fp8 = e5m2 ? TFOPS_E5M2 : TFOPS_E4M3;
        run.rows = 2;
        run.hidden = run.stride = 256;
        make(&run, 1);
        for (int row = 0; row < 2; row++)
            matrix_set(&scales, row, 0, row ? -2 : 0.75);
        for (int i = 0; i < 512; i++)
            q.bytes[i / 256 * (int)q.tensor.strides[0] + i % 256] = (unsigned char)i;
        EXPECT_OK(call_back(&run));
        for (int i = 0; i < 512; i++) {
            const double code = (double)host_f8_to_f32(run.fp8, (uint8_t)i);
            expect_rounded(matrix_get(&back, i / 256, i % 256), code * (i / 256 ? -2 : 0.75),
                TFOPS_F32, "back", i / 256, i % 256);
        }
    }
}

Test(quantize_ref, dequantize_rounds_once_to_halves)
{
    struct run run = TOKENS;
    make(&run, 1);
    matrix_make(&back, TFOPS_F16, 3, 8, 8);
    EXPECT_OK(call(&run));
    EXPECT_OK(call_back(&run));
    for (int i = 0; i < 24; i++)
        expect_rounded(matrix_get(&back, i / 8, i % 8),
            (long double)matrix_get(&q, i / 8, i % 8) * (long double)matrix_get(&scales, i / 8, 0),
            TFOPS_F16, "back", i / 8, i % 8);
}

/* ---- refusals ----------------------------------------------------------------------------------- */

static void expect_reason(const struct run *run, const char *reason)
{
    EXPECT_STATUS(call(run), TFOPS_E_SHAPE);
    EXPECT_DETAIL(reason);
}

Test(quantize_ref, refuses_groups_that_do_not_divide)
{
    struct run run = TOKENS;
    run.granularity = GROUP;
    run.hidden = run.stride = 200;
    make(&run, 1);
    expect_reason(&run, "x: expected hidden to be a multiple of the group of 128, got 200");
}

Test(quantize_ref, refuses_overflow_handling_that_has_no_meaning)
{
    struct run run = TOKENS;
    run.rescale = true;
    make(&run, 1);
    expect_reason(
        &run, "overflow: expected saturate with per_token, whose scales fit, got rescale");
    run = static_run(TFOPS_E4M3);
    use_retries = true;
    expect_reason(&run, "retries: expected a tensor only with overflow=rescale, got one");
}

Test(quantize_ref, refuses_scales_of_another_shape)
{
    make(&TOKENS, 1);
    scales.tensor.shape[1] = 2;
    EXPECT_REFUSED(call(&TOKENS), TFOPS_E_SHAPE, "scales");
    EXPECT_CONTAINS(expect_error().message, "scale_rows=3, scale_cols=1]");
}

Test(quantize_ref, refuses_dtypes_that_are_not_fp8)
{
    make(&TOKENS, 1);
    q.tensor.dtype = TFOPS_F16;
    EXPECT_REFUSED(call(&TOKENS), TFOPS_E_DTYPE, "out");
    EXPECT_CONTAINS(expect_error().message, "e4m3 e5m2");
}

static enum tfops_status call_without(int operand, enum granularity granularity)
{
    const struct tfops_tensor scale = one_of(&given, TFOPS_F32);
    struct tfops_args args = {.size = sizeof args};
    args.options[QUANT_GRANULARITY] = (uint8_t)granularity;
    args.operands[QUANTIZE_X] = &x.tensor;
    args.operands[QUANTIZE_STATIC_SCALE] = &scale;
    args.operands[QUANTIZE_OUT] = &q.tensor;
    args.operands[QUANTIZE_SCALES] = &scales.tensor;
    args.operands[operand] = NULL;
    return reference_launch(&quantize, &args);
}

Test(quantize_ref, refuses_scales_where_there_should_be_others)
{
    make(&TOKENS, 1);
    EXPECT_STATUS(call_without(QUANTIZE_SCALES, STATIC), TFOPS_OK);
    matrix_make(&scales, TFOPS_F32, 1, 1, 1);
    EXPECT_STATUS(call_without(QUANTIZE_STATIC_SCALE, STATIC), TFOPS_E_SHAPE);
    EXPECT_DETAIL(
        "static_scale: expected a tensor exactly with granularity=per_tensor_static, got none");
    EXPECT_STATUS(call_without(QUANTIZE_SCALES, TOKEN), TFOPS_E_SHAPE);
    EXPECT_DETAIL(
        "static_scale: expected a tensor exactly with granularity=per_tensor_static, got one");
}
