/*
 * The typed calls: each is the launch of its operator with the operands, options and views that the
 * header promises, bit for bit, on the cpu device.
 */
#include "kernels/activation/activation_specs.h"
#include "kernels/norm/norm_specs.h"
#include "kernels/quant/quant_specs.h"
#include "kernels/rope/rope_specs.h"
#include "kernels/softmax/softmax_specs.h"
#include <criterion/criterion.h>
#include <math.h>

#include "tests/support/reference.h"

enum { ROWS = 6, HIDDEN = 256 };

static struct tfops_engine *engine;
static struct matrix x, residual, weight, bias, out, other, scales, other_scales;
static struct tfops_args args;

static void begin(void)
{
    const struct tfops_engine_options options = {.size = sizeof options, .device = "cpu"};
    EXPECT_OK(tfops_engine_open(&options, &engine));
    matrix_make(&x, TFOPS_F32, ROWS, HIDDEN, 0);
    matrix_make(&residual, TFOPS_F32, ROWS, HIDDEN, 0);
    matrix_make_vector(&weight, TFOPS_F32, HIDDEN);
    matrix_make_vector(&bias, TFOPS_F32, HIDDEN);
    matrix_make(&out, TFOPS_F32, ROWS, HIDDEN, 0);
    matrix_fill(&x, 1, 4);
    matrix_fill(&residual, 2, 4);
    matrix_fill(&weight, 3, 1);
    matrix_fill(&bias, 4, 1);
    other = out;
    other.tensor.data = other.bytes;
    args = (struct tfops_args){.size = sizeof args};
}

static void end(void)
{
    tfops_engine_close(engine);
}

TestSuite(ops, .init = begin, .fini = end);

static enum tfops_status launch(const char *op)
{
    return tfops_launch(engine, tfops_engine_operator(engine, op), &args, NULL);
}

/* Outputs of one shape: the typed call's and the launch's, and they were written. */
static void expect_same(const struct matrix *a, const struct matrix *b)
{
    static const struct matrix none;
    cr_assert(memcmp(a->bytes, none.bytes, 64) != 0 && a->bytes[0] != 0x5a, "nothing was written");
    cr_assert(!memcmp(a->bytes, b->bytes, sizeof a->bytes), "the typed call does something else");
}

/* A pair of equal outputs, and one of scales. */
static void make_out(enum tfops_dtype dtype, int64_t rows, int64_t cols)
{
    matrix_make(&out, dtype, rows, cols, 0);
    matrix_make(&other, dtype, rows, cols, 0);
}

static void make_scales(int64_t rows, int64_t cols)
{
    matrix_make(&scales, TFOPS_F32, rows, cols, 0);
    matrix_make(&other_scales, TFOPS_F32, rows, cols, 0);
}

/* ---- norms ---------------------------------------------------------------------------------- */

Test(ops, layernorm)
{
    args.n_scalars = 1;
    args.scalars[NORM_EPS] = 0.5;
    args.options[NORM_WEIGHT_VARIANT] = TFOPS_WEIGHT_ONE_PLUS;
    args.operands[LAYERNORM_X] = &x.tensor;
    args.operands[LAYERNORM_WEIGHT] = &weight.tensor;
    args.operands[LAYERNORM_BIAS] = &bias.tensor;
    args.operands[LAYERNORM_OUT] = &other.tensor;
    EXPECT_OK(launch("layernorm"));
    EXPECT_OK(tfops_layernorm(engine, &x.tensor, &weight.tensor, &bias.tensor, &out.tensor, 0.5,
        TFOPS_WEIGHT_ONE_PLUS, NULL));
    expect_same(&out, &other);
    EXPECT_OK(tfops_layernorm(
        engine, &x.tensor, &weight.tensor, NULL, &out.tensor, 0.5, TFOPS_WEIGHT_PLAIN, NULL));
}

Test(ops, add_layernorm)
{
    static struct matrix sum, other_sum;
    matrix_make(&sum, TFOPS_F32, ROWS, HIDDEN, 0);
    matrix_make(&other_sum, TFOPS_F32, ROWS, HIDDEN, 0);
    args.n_scalars = 1;
    args.scalars[NORM_EPS] = 1e-3;
    args.operands[ADD_LAYERNORM_X] = &x.tensor;
    args.operands[ADD_LAYERNORM_RESIDUAL] = &residual.tensor;
    args.operands[ADD_LAYERNORM_WEIGHT] = &weight.tensor;
    args.operands[ADD_LAYERNORM_BIAS] = &bias.tensor;
    args.operands[ADD_LAYERNORM_OUT] = &other.tensor;
    args.operands[ADD_LAYERNORM_RESIDUAL_OUT] = &other_sum.tensor;
    EXPECT_OK(launch("add_layernorm"));
    EXPECT_OK(tfops_add_layernorm(engine, &x.tensor, &residual.tensor, &weight.tensor, &bias.tensor,
        &out.tensor, &sum.tensor, 1e-3, TFOPS_WEIGHT_PLAIN, NULL));
    expect_same(&out, &other);
    expect_same(&sum, &other_sum);
}

Test(ops, rmsnorm_quant)
{
    make_out(TFOPS_E4M3, ROWS, HIDDEN);
    make_scales(HIDDEN / 128, ROWS);
    args.n_scalars = 1;
    args.scalars[NORM_EPS] = 1e-2;
    args.options[NORM_WEIGHT_VARIANT] = TFOPS_WEIGHT_ONE_PLUS;
    args.options[NORM_QUANT_GRANULARITY] = args.options[NORM_QUANT_SCALE_MAJOR] = 1;
    args.operands[RMSNORM_QUANT_X] = &x.tensor;
    args.operands[RMSNORM_QUANT_WEIGHT] = &weight.tensor;
    args.operands[RMSNORM_QUANT_OUT] = &other.tensor;
    args.operands[RMSNORM_QUANT_SCALES] = &other_scales.tensor;
    EXPECT_OK(launch("rmsnorm_quant"));
    EXPECT_OK(tfops_rmsnorm_quant(engine, &x.tensor, &weight.tensor, &out.tensor, &scales.tensor,
        TFOPS_SCALES_PER_GROUP | TFOPS_SCALES_TRANSPOSED, 1e-2, TFOPS_WEIGHT_ONE_PLUS, NULL));
    expect_same(&out, &other);
    expect_same(&scales, &other_scales);
}

Test(ops, add_rmsnorm_quant)
{
    static struct matrix sum, other_sum;
    make_out(TFOPS_E5M2, ROWS, HIDDEN);
    make_scales(ROWS, 1);
    matrix_make(&sum, TFOPS_F32, ROWS, HIDDEN, 0);
    matrix_make(&other_sum, TFOPS_F32, ROWS, HIDDEN, 0);
    args.n_scalars = 1;
    args.scalars[NORM_EPS] = 1e-2;
    args.operands[ADD_RMSNORM_QUANT_X] = &x.tensor;
    args.operands[ADD_RMSNORM_QUANT_RESIDUAL] = &residual.tensor;
    args.operands[ADD_RMSNORM_QUANT_WEIGHT] = &weight.tensor;
    args.operands[ADD_RMSNORM_QUANT_OUT] = &other.tensor;
    args.operands[ADD_RMSNORM_QUANT_SCALES] = &other_scales.tensor;
    args.operands[ADD_RMSNORM_QUANT_RESIDUAL_OUT] = &other_sum.tensor;
    EXPECT_OK(launch("add_rmsnorm_quant"));
    EXPECT_OK(
        tfops_add_rmsnorm_quant(engine, &x.tensor, &residual.tensor, &weight.tensor, &out.tensor,
            &scales.tensor, &sum.tensor, TFOPS_SCALES_PER_TOKEN, 1e-2, TFOPS_WEIGHT_PLAIN, NULL));
    expect_same(&out, &other);
    expect_same(&scales, &other_scales);
    expect_same(&sum, &other_sum);
}

/* ---- quantize and dequantize ---------------------------------------------------------------- */

static struct tfops_quantize_args quantize_args(void)
{
    return (struct tfops_quantize_args){.size = sizeof(struct tfops_quantize_args),
        .x = &x.tensor,
        .out = &out.tensor,
        .scales = &scales.tensor};
}

Test(ops, quantize_and_back_by_every_granularity)
{
    static const struct {
        unsigned scaling;
        int64_t rows, cols;
    } WAYS[] = {{TFOPS_SCALES_PER_TENSOR, 1, 1}, {TFOPS_SCALES_PER_TOKEN, ROWS, 1},
        {TFOPS_SCALES_PER_GROUP, ROWS, 2}, {TFOPS_SCALES_PER_BLOCK, 1, 2},
        {TFOPS_SCALES_PER_GROUP | TFOPS_SCALES_TRANSPOSED, 2, ROWS}};
    _Alignas(256) static unsigned char workspace[1 << 16];
    for (size_t i = 0; i < sizeof WAYS / sizeof WAYS[0]; i++) {
        make_out(TFOPS_E4M3, ROWS, HIDDEN);
        make_scales(WAYS[i].rows, WAYS[i].cols);
        struct tfops_quantize_args typed = quantize_args();
        typed.scaling = WAYS[i].scaling;
        typed.workspace = workspace;
        typed.workspace_bytes = sizeof workspace;
        EXPECT_OK(tfops_quantize(engine, &typed, NULL));
        matrix_make(&other, TFOPS_F32, ROWS, HIDDEN, 0);
        EXPECT_OK(tfops_dequantize(
            engine, &out.tensor, &scales.tensor, &other.tensor, WAYS[i].scaling, NULL));
        for (int64_t row = 0; row < ROWS; row++)
            for (int64_t col = 0; col < HIDDEN; col++) {
                const double want = matrix_get(&x, row, col), got = matrix_get(&other, row, col);
                cr_assert(fabs(got - want) <= fabs(want) / 16 + 4.0 / 448 / 512,
                    "way %zu [%lld][%lld]: %g, wanted %g", i, (long long)row, (long long)col, got,
                    want);
            }
    }
}

Test(ops, scales_of_tokens_may_be_a_vector)
{
    static struct matrix back;
    make_out(TFOPS_E4M3, ROWS, HIDDEN);
    make_scales(ROWS, 1);
    struct tfops_quantize_args typed = quantize_args();
    typed.scaling = TFOPS_SCALES_PER_TOKEN;
    EXPECT_OK(tfops_quantize(engine, &typed, NULL));
    matrix_make_vector(&other_scales, TFOPS_F32, ROWS);
    typed.scales = &other_scales.tensor;
    typed.out = &other.tensor;
    EXPECT_OK(tfops_quantize(engine, &typed, NULL));
    expect_same(&out, &other);
    expect_same(&scales, &other_scales);
    matrix_make(&back, TFOPS_F32, ROWS, HIDDEN, 0);
    EXPECT_OK(tfops_dequantize(
        engine, &out.tensor, &other_scales.tensor, &back.tensor, TFOPS_SCALES_PER_TOKEN, NULL));
    EXPECT_OK(tfops_rmsnorm_quant(engine, &x.tensor, &weight.tensor, &out.tensor,
        &other_scales.tensor, TFOPS_SCALES_PER_TOKEN, 1e-6, TFOPS_WEIGHT_PLAIN, NULL));
    EXPECT_OK(tfops_gated_act(engine, &x.tensor, &residual.tensor, &out.tensor,
        &other_scales.tensor, TFOPS_GATE_SILU, TFOPS_SCALES_PER_TOKEN, NULL));
}

Test(ops, quantize_by_a_given_scale_that_is_doubled)
{
    static struct matrix given, count, retries;
    make_out(TFOPS_E4M3, ROWS, HIDDEN);
    make_scales(1, 1);
    matrix_make_vector(&given, TFOPS_F32, 1);
    matrix_set(&given, 0, 0, 0.001); /* 448 · 0.001 · 2^4 ≥ 4 */
    const int64_t one = 1;
    int32_t saturated = 0, doublings = -1;
    count.tensor = tfops_tensor_contiguous(&saturated, TFOPS_I32, 1, &one);
    retries.tensor = tfops_tensor_contiguous(&doublings, TFOPS_I32, 1, &one);
    struct tfops_quantize_args typed = quantize_args();
    typed.static_scale = &given.tensor;
    typed.saturated = &count.tensor;
    typed.retries = &retries.tensor;
    typed.flags = TFOPS_QUANTIZE_RESCALE;
    typed.max_retries = 8;
    EXPECT_OK(tfops_quantize(engine, &typed, NULL));
    EXPECT_INT(doublings, 4);
    EXPECT_INT(saturated, 0);
    cr_assert_float_eq(matrix_get(&scales, 0, 0), 0.016, 1e-8);
    typed.max_retries = 3;
    EXPECT_OK(tfops_quantize(engine, &typed, NULL));
    EXPECT_INT(doublings, 3);
    cr_assert_gt(saturated, 0);
    typed.flags = 0;
    typed.retries = typed.scales = NULL;
    saturated = 0;
    EXPECT_OK(tfops_quantize(engine, &typed, NULL));
    cr_assert_gt(saturated, ROWS * HIDDEN / 2);
}

/* ---- activation and softmax ----------------------------------------------------------------- */

Test(ops, gated_act_of_two_tensors_or_one_packed)
{
    static struct matrix packed;
    matrix_make(&packed, TFOPS_F32, ROWS, 2 * HIDDEN, 2 * HIDDEN + 3);
    for (int64_t row = 0; row < ROWS; row++)
        for (int64_t i = 0; i < HIDDEN; i++) {
            matrix_set(&packed, row, i, matrix_get(&x, row, i));
            matrix_set(&packed, row, HIDDEN + i, matrix_get(&residual, row, i));
        }
    args.operands[GATED_ACT_GATE] = &x.tensor;
    args.operands[GATED_ACT_UP] = &residual.tensor;
    args.operands[GATED_ACT_OUT] = &other.tensor;
    args.options[GATED_ACT_ACT] = GATED_ACT_GELU_TANH;
    EXPECT_OK(launch("gated_act"));
    EXPECT_OK(tfops_gated_act(
        engine, &x.tensor, &residual.tensor, &out.tensor, NULL, TFOPS_GATE_GELU_TANH, 0, NULL));
    expect_same(&out, &other);
    matrix_make(&out, TFOPS_F32, ROWS, HIDDEN, 0);
    EXPECT_OK(tfops_gated_act(
        engine, &packed.tensor, NULL, &out.tensor, NULL, TFOPS_GATE_GELU_TANH, 0, NULL));
    expect_same(&out, &other);
}

Test(ops, gated_act_to_fp8)
{
    make_out(TFOPS_E4M3, ROWS, HIDDEN);
    make_scales(ROWS, HIDDEN / 128);
    args.operands[GATED_ACT_GATE] = &x.tensor;
    args.operands[GATED_ACT_UP] = &residual.tensor;
    args.operands[GATED_ACT_OUT] = &other.tensor;
    args.operands[GATED_ACT_SCALES] = &other_scales.tensor;
    args.options[GATED_ACT_GRANULARITY] = 1;
    EXPECT_OK(launch("gated_act"));
    EXPECT_OK(tfops_gated_act(engine, &x.tensor, &residual.tensor, &out.tensor, &scales.tensor,
        TFOPS_GATE_SILU, TFOPS_SCALES_PER_GROUP, NULL));
    expect_same(&out, &other);
    expect_same(&scales, &other_scales);
}

Test(ops, softmax_takes_the_queries_of_a_causal_matrix_from_the_shape)
{
    struct tfops_tensor split = x.tensor, split_out = out.tensor;
    split.rank = split_out.rank = 3;
    split.shape[0] = split_out.shape[0] = 2;
    split.shape[1] = split_out.shape[1] = ROWS / 2;
    split.shape[2] = split_out.shape[2] = HIDDEN;
    split.strides[0] = split_out.strides[0] = ROWS / 2 * HIDDEN;
    split.strides[1] = split_out.strides[1] = HIDDEN;
    split.strides[2] = split_out.strides[2] = 1;
    args.operands[SOFTMAX_X] = &x.tensor;
    args.operands[SOFTMAX_OUT] = &other.tensor;
    args.options[SOFTMAX_CAUSAL] = 1;
    args.n_scalars = 2;
    args.scalars[SOFTMAX_SCALE] = 0.25;
    args.scalars[SOFTMAX_QUERIES] = (double)split.shape[1];
    EXPECT_OK(launch("softmax"));
    EXPECT_OK(tfops_softmax(engine, &split, NULL, &split_out, 0.25, true, NULL));
    expect_same(&out, &other);
    cr_assert_eq(matrix_get(&out, 0, HIDDEN - 1), 0.0);
    cr_assert_gt(matrix_get(&out, 2, HIDDEN - 1), 0.0);
}

Test(ops, softmax_takes_masks_of_the_last_extents)
{
    static struct matrix mask;
    matrix_make(&mask, TFOPS_F32, 1, HIDDEN, 0);
    matrix_fill(&mask, 9, 1);
    args.operands[SOFTMAX_X] = &x.tensor;
    args.operands[SOFTMAX_MASK] = &mask.tensor;
    args.operands[SOFTMAX_OUT] = &other.tensor;
    EXPECT_OK(launch("softmax"));
    EXPECT_OK(tfops_softmax(engine, &x.tensor, &mask.tensor, &out.tensor, 1, false, NULL));
    expect_same(&out, &other);
    mask.tensor.rank = 1;
    mask.tensor.shape[0] = HIDDEN;
    mask.tensor.strides[0] = 1;
    matrix_make(&out, TFOPS_F32, ROWS, HIDDEN, 0);
    EXPECT_OK(tfops_softmax(engine, &x.tensor, &mask.tensor, &out.tensor, 1, false, NULL));
    expect_same(&out, &other);
}
