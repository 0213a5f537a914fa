/*
 * gated_act on the cpu device against the definitions in long double (by erf and tanh themselves),
 * known values, fp8 outputs against their scales, aliases, packed tensors, refusals.
 */
#include "kernels/activation/activation_specs.h"
#include <criterion/criterion.h>
#include <math.h>

#include "tests/support/reference.h"

struct run {
    enum tfops_dtype dtype, out_dtype;
    int64_t rows, ffn, stride;
    double spread;
    enum gated_act_function act;
    bool per_group, column_major, scales; /* fp8 */
};

static struct reference gated;
static struct matrix gate, up, out, scales, before_gate, before_up;

static void begin(void)
{
    reference_open(&gated, &gated_act_spec);
}

static void end(void)
{
    reference_close(&gated);
}

TestSuite(gated_act_ref, .init = begin, .fini = end);

static void make(const struct run *run, uint64_t seed)
{
    const int64_t groups = run->per_group ? (run->ffn + 127) / 128 : 1;
    matrix_make(&gate, run->dtype, run->rows, run->ffn, run->stride);
    matrix_make(&up, run->dtype, run->rows, run->ffn, run->stride);
    matrix_make(&out, run->out_dtype, run->rows, run->ffn, run->stride + 8);
    if (run->column_major)
        matrix_make(&scales, TFOPS_F32, groups, run->rows, run->rows + 3);
    else
        matrix_make(&scales, TFOPS_F32, run->rows, groups, groups);
    matrix_fill(&gate, seed, run->spread);
    matrix_fill(&up, seed + 1, run->spread);
    before_gate = gate;
    before_up = up;
}

static enum tfops_status call(const struct run *run, const struct tfops_tensor *onto)
{
    struct tfops_args args = {.size = sizeof args};
    args.options[GATED_ACT_ACT] = (uint8_t)run->act;
    args.options[GATED_ACT_GRANULARITY] = run->per_group;
    args.options[GATED_ACT_SCALE_MAJOR] = run->column_major;
    args.operands[GATED_ACT_GATE] = &gate.tensor;
    args.operands[GATED_ACT_UP] = &up.tensor;
    args.operands[GATED_ACT_OUT] = onto;
    args.operands[GATED_ACT_SCALES] = run->scales ? &scales.tensor : NULL;
    return reference_launch(&gated, &args);
}

static long double activation(enum gated_act_function act, long double x)
{
    const long double c = sqrtl(2 / acosl(-1));
    switch (act) {
    case GATED_ACT_GELU:
        return x / 2 * (1 + erfl(x / sqrtl(2)));
    case GATED_ACT_GELU_TANH:
        return x / 2 * (1 + tanhl(c * (x + 0.044715L * powl(x, 3))));
    default:
        return x * (1 / (1 + expl(-x)));
    }
}

static long double wanted(const struct run *run, int64_t row, int64_t col)
{
    return activation(run->act, (long double)matrix_get(&before_gate, row, col)) *
           (long double)matrix_get(&before_up, row, col);
}

static void check_rows(const struct run *run, const struct matrix *got)
{
    for (int64_t row = 0; row < run->rows; row++)
        for (int64_t i = 0; i < run->ffn; i++)
            expect_rounded(
                matrix_get(got, row, i), wanted(run, row, i), run->out_dtype, "out", row, i);
}

static const enum tfops_dtype DTYPES[] = {TFOPS_F32, TFOPS_F16, TFOPS_BF16};

Test(gated_act_ref, follows_the_formula)
{
    static const int64_t SHAPES[][3] = {{3, 1, 1}, {5, 7, 9}, {2, 1023, 1024}, {4, 96, 96}};
    struct matrix *const ONTO[] = {&out, &gate, &up};
    for (uint64_t seed = 0; seed < 108; seed++) {
        const int64_t *shape = SHAPES[seed % 4];
        const struct run run = {.dtype = DTYPES[seed % 3],
            .out_dtype = DTYPES[seed % 3],
            .rows = shape[0],
            .ffn = shape[1],
            .stride = shape[2],
            .spread = 3,
            .act = (enum gated_act_function)(seed / 3 % 3)};
        struct matrix *onto = ONTO[seed / 9 % 3];
        make(&run, seed);
        EXPECT_OK(call(&run, &onto->tensor));
        check_rows(&run, onto);
        matrix_expect_gaps(onto);
    }
}

/* ---- single values ------------------------------------------------------------------------------ */

static double act_of(enum gated_act_function act, double x, double times)
{
    const struct run run = {
        .dtype = TFOPS_F32, .out_dtype = TFOPS_F32, .rows = 1, .ffn = 1, .stride = 1, .act = act};
    make(&run, 1);
    matrix_set(&gate, 0, 0, x);
    matrix_set(&up, 0, 0, times);
    EXPECT_OK(call(&run, &out.tensor));
    return matrix_get(&out, 0, 0);
}

Test(gated_act_ref, known_values)
{
    cr_assert_float_eq(act_of(GATED_ACT_SILU, 1, 1), 0.7310585786, 1e-7);
    cr_assert_float_eq(act_of(GATED_ACT_GELU, 1, 1), 0.8413447461, 1e-7);
    cr_assert_float_eq(act_of(GATED_ACT_GELU_TANH, 1, 1), 0.8411919906, 1e-7);
    cr_assert_float_eq(act_of(GATED_ACT_SILU, -2, 3), -0.7152175603, 1e-6);
    cr_assert_float_eq(act_of(GATED_ACT_GELU, -2, -10), 0.4550026390, 1e-7);
    for (int act = 0; act < 3; act++)
        cr_assert_eq(act_of((enum gated_act_function)act, 0, 7), 0);
}

Test(gated_act_ref, large_gates_pass_or_vanish)
{
    for (int act = 0; act < 3; act++) {
        cr_assert_eq(act_of((enum gated_act_function)act, 1e4, 2), 2e4);
        cr_assert_eq(act_of((enum gated_act_function)act, -1e4, 2), 0);
        cr_assert_eq(act_of((enum gated_act_function)act, INFINITY, 1), INFINITY);
    }
}

Test(gated_act_ref, small_negative_tails_do_not_cancel)
{
    /* −10·Φ(−10) and −30·σ(−30): 1 + erf and 1 + tanh would have lost all digits in fp32. */
    const double gelu = act_of(GATED_ACT_GELU, -10, 1), silu = act_of(GATED_ACT_SILU, -30, 1);
    cr_assert_float_eq(gelu / -7.619853024160526e-23, 1, 1e-6);
    cr_assert_float_eq(silu / -2.807286894e-12, 1, 1e-6);
}

Test(gated_act_ref, nan_and_infinity_propagate)
{
    for (int act = 0; act < 3; act++) {
        cr_assert(isnan(act_of((enum gated_act_function)act, NAN, 1)));
        cr_assert(isnan(act_of((enum gated_act_function)act, 1, NAN)));
        cr_assert(isnan(act_of((enum gated_act_function)act, 0, INFINITY)));
        cr_assert_eq(act_of((enum gated_act_function)act, 2, -INFINITY), -INFINITY);
    }
}

/* ---- packed tensors ----------------------------------------------------------------------------- */

Test(gated_act_ref, the_halves_of_a_packed_tensor_are_its_operands)
{
    const struct run run = {
        .dtype = TFOPS_F16, .out_dtype = TFOPS_F16, .rows = 3, .ffn = 24, .stride = 48};
    make(&run, 5);
    for (int64_t row = 0; row < run.rows; row++) /* gate's gaps take up's rows */
        memcpy(gate.bytes + (size_t)(row * 48 + 24) * 2, up.bytes + (size_t)(row * 48) * 2, 48);
    up.tensor.data = gate.bytes + 48;
    EXPECT_OK(call(&run, &out.tensor));
    check_rows(&run, &out);
    EXPECT_OK(call(&run, &gate.tensor)); /* onto its own first half */
    check_rows(&run, &gate);
}

/* ---- fp8 ---------------------------------------------------------------------------------------- */

static double scale_at(const struct run *run, int64_t row, int64_t col)
{
    const int64_t group = run->per_group ? col / 128 : 0;
    return run->column_major ? matrix_get(&scales, group, row) : matrix_get(&scales, row, group);
}

/* Each scale is that of its elements' amax; each element is within half a step of its value. */
static void check_quantised(const struct run *run)
{
    const bool e4m3 = run->out_dtype == TFOPS_E4M3;
    const int64_t width = run->per_group ? 128 : run->ffn;
    for (int64_t row = 0; row < run->rows; row++)
        for (int64_t start = 0; start < run->ffn; start += width) {
            long double amax = 1.0L / 512;
            for (int64_t i = start; i < start + width; i++)
                amax = fmaxl(amax, fabsl(wanted(run, row, i)));
            const double scale = scale_at(run, row, start);
            cr_assert_float_eq(scale / (double)(amax / (e4m3 ? 448 : 57344)), 1, 1e-7);
            for (int64_t i = start; i < start + width; i++) {
                const double got = matrix_get(&out, row, i) * scale;
                const double want = (double)wanted(run, row, i);
                const double half_step =
                    fmax(fabs(want) * (e4m3 ? 0x1p-4 : 0x1p-3), scale * (e4m3 ? 0x1p-10 : 0x1p-17));
                cr_assert(fabs(got - want) <= half_step * 1.0001, "out[%d][%d]: %g, wanted %g",
                    (int)row, (int)i, got, want);
            }
        }
}

Test(gated_act_ref, fp8_rows_and_groups_have_their_scales)
{
    for (uint64_t seed = 0; seed < 72; seed++) {
        const struct run run = {.dtype = DTYPES[seed % 3],
            .out_dtype = seed & 1 ? TFOPS_E4M3 : TFOPS_E5M2,
            .rows = 5,
            .ffn = seed & 2 ? 384 : 128,
            .stride = 400,
            .spread = seed & 16 ? 60 : 1,
            .act = (enum gated_act_function)(seed / 3 % 3),
            .per_group = seed >> 2 & 1,
            .column_major = seed >> 3 & 1,
            .scales = true};
        make(&run, seed);
        EXPECT_OK(call(&run, &out.tensor));
        check_quantised(&run);
        matrix_expect_gaps(&out);
        matrix_expect_gaps(&scales);
    }
}

static const struct run FP8 = {.dtype = TFOPS_F16,
    .out_dtype = TFOPS_E4M3,
    .rows = 3,
    .ffn = 256,
    .stride = 256,
    .spread = 1,
    .per_group = true,
    .scales = true};

Test(gated_act_ref, fp8_zero_rows_have_a_finite_scale)
{
    make(&FP8, 1);
    for (int i = 0; i < 256; i++)
        matrix_set(&up, 1, i, 0);
    EXPECT_OK(call(&FP8, &out.tensor));
    for (int i = 0; i < 256; i++)
        cr_assert_eq(matrix_get(&out, 1, i), 0);
    cr_assert_float_eq(matrix_get(&scales, 1, 0) * 448 * 512, 1, 1e-7);
}

Test(gated_act_ref, fp8_nan_spoils_its_group_alone)
{
    make(&FP8, 1);
    matrix_set(&gate, 1, 130, NAN);
    EXPECT_OK(call(&FP8, &out.tensor));
    cr_assert(isnan(matrix_get(&scales, 1, 1)) && isnan(matrix_get(&out, 1, 130)));
    cr_assert(isfinite(matrix_get(&scales, 1, 0)) && isfinite(matrix_get(&out, 1, 127)));
    cr_assert(isfinite(matrix_get(&scales, 0, 1)) && isfinite(matrix_get(&scales, 2, 1)));
}

/* ---- refusals ----------------------------------------------------------------------------------- */

Test(gated_act_ref, refuses_scales_that_are_missing_or_idle)
{
    struct run run = FP8;
    run.scales = false;
    make(&run, 1);
    EXPECT_STATUS(call(&run, &out.tensor), TFOPS_E_SHAPE);
    EXPECT_DETAIL("scales: expected a tensor exactly when out is fp8, got none and e4m3");
    run = FP8;
    run.out_dtype = TFOPS_F16;
    make(&run, 1);
    EXPECT_STATUS(call(&run, &out.tensor), TFOPS_E_SHAPE);
    EXPECT_DETAIL("scales: expected a tensor exactly when out is fp8, got one and f16");
}

Test(gated_act_ref, refuses_another_float_as_output)
{
    struct run run = FP8;
    run.out_dtype = TFOPS_F32;
    run.scales = false;
    make(&run, 1);
    EXPECT_STATUS(call(&run, &out.tensor), TFOPS_E_SHAPE);
    EXPECT_DETAIL("out: expected f16, that of gate, or fp8, got f32");
}

Test(gated_act_ref, refuses_groups_that_do_not_divide)
{
    struct run run = FP8;
    run.ffn = 200;
    make(&run, 1);
    EXPECT_STATUS(call(&run, &out.tensor), TFOPS_E_SHAPE);
    EXPECT_DETAIL("gate: expected ffn to be a multiple of the group of 128, got 200");
}

Test(gated_act_ref, refuses_scales_of_another_shape)
{
    make(&FP8, 1);
    scales.tensor.shape[1] = 1;
    EXPECT_REFUSED(call(&FP8, &out.tensor), TFOPS_E_SHAPE, "scales");
    EXPECT_CONTAINS(expect_error().message, "scale_rows=3, scale_cols=2]");
    EXPECT_CONTAINS(expect_error().message, "[3, 1]");
}

Test(gated_act_ref, refuses_fp8_over_its_input)
{
    make(&FP8, 1);
    out.tensor.data = gate.tensor.data;
    EXPECT_REFUSED(call(&FP8, &out.tensor), TFOPS_E_OVERLAP, "out");
}
