/*
 * Bad input of the typed calls: each is refused before anything runs, and the record names the tensor,
 * what was expected and what came.
 */
#include <criterion/criterion.h>
#include <math.h>

#include "tests/support/reference.h"

enum { ROWS = 4, HEADS = 4, HEAD_DIM = 32, HIDDEN = HEADS * HEAD_DIM, FFN = 200, MAX_POS = 8 };

static struct tfops_engine *engine;
static _Alignas(256) unsigned char memory[10][1 << 14];
static struct tfops_tensor x, q, weight, tables[2], out, q_out, scales, wide;

/* The n-th buffer as a contiguous matrix; rank 1 where rows is 0. */
static struct tfops_tensor matrix_at(int n, enum tfops_dtype dtype, int64_t rows, int64_t cols)
{
    const int64_t shape[] = {rows, cols};
    return tfops_tensor_contiguous(memory[n], dtype, rows ? 2 : 1, rows ? shape : &shape[1]);
}

static void begin(void)
{
    static const int64_t BSHD[] = {1, ROWS, HEADS, HEAD_DIM};
    const struct tfops_engine_options options = {.size = sizeof options, .device = "cpu"};
    EXPECT_OK(tfops_engine_open(&options, &engine));
    x = matrix_at(0, TFOPS_F16, ROWS, HIDDEN);
    weight = matrix_at(1, TFOPS_F16, 0, HIDDEN);
    out = matrix_at(2, TFOPS_F16, ROWS, HIDDEN);
    scales = matrix_at(3, TFOPS_F32, ROWS, 1);
    tables[0] = matrix_at(4, TFOPS_F32, MAX_POS, HEAD_DIM);
    tables[1] = matrix_at(5, TFOPS_F32, MAX_POS, HEAD_DIM);
    wide = matrix_at(6, TFOPS_F16, ROWS, FFN);
    q = tfops_tensor_contiguous(memory[7], TFOPS_F16, 4, BSHD);
    q_out = tfops_tensor_contiguous(memory[8], TFOPS_F16, 4, BSHD);
}

static void end(void)
{
    tfops_engine_close(engine);
}

TestSuite(ops_bad, .init = begin, .fini = end);

#define REFUSED(call, status, detail)                                                              \
    do {                                                                                           \
        EXPECT_STATUS(call, status);                                                               \
        EXPECT_DETAIL(detail);                                                                     \
    } while (0)

/* ---- norms ---------------------------------------------------------------------------------- */

static enum tfops_status layernorm(const struct tfops_tensor *bias)
{
    return tfops_layernorm(engine, &x, &weight, bias, &out, 1e-5, TFOPS_WEIGHT_PLAIN, NULL);
}

static enum tfops_status rmsnorm_quant(unsigned scaling)
{
    return tfops_rmsnorm_quant(
        engine, &x, &weight, &out, &scales, scaling, 1e-6, TFOPS_WEIGHT_PLAIN, NULL);
}

Test(ops_bad, vectors_of_a_norm)
{
    struct tfops_tensor bias = matrix_at(9, TFOPS_F16, 0, HIDDEN - 1);
    REFUSED(layernorm(&bias), TFOPS_E_SHAPE, "bias: expected [hidden=128], got [127]");
    bias = matrix_at(9, TFOPS_BF16, 0, HIDDEN);
    REFUSED(layernorm(&bias), TFOPS_E_DTYPE, "bias: expected weight_dtype: f16, got bf16");
    EXPECT_REFUSED(
        tfops_layernorm(engine, &x, &weight, NULL, &out, 1e-5, TFOPS_WEIGHT_ROUND_BEFORE, NULL),
        TFOPS_E_RANGE, "weight_variant");
    EXPECT_REFUSED(
        tfops_layernorm(engine, &x, &weight, NULL, &out, (double)NAN, TFOPS_WEIGHT_PLAIN, NULL),
        TFOPS_E_RANGE, "eps");
}

Test(ops_bad, aliases_of_a_norm)
{
    struct tfops_tensor shifted = x;
    shifted.data = (char *)x.data + 2 * HIDDEN;
    REFUSED(tfops_add_layernorm(
                engine, &x, &q_out, &weight, NULL, &shifted, NULL, 1e-5, TFOPS_WEIGHT_PLAIN, NULL),
        TFOPS_E_SHAPE, "residual: expected [… → rows=4, hidden=128], got [1, 4, 4, 32]");
    const struct tfops_tensor residual = matrix_at(8, TFOPS_F16, ROWS, HIDDEN);
    REFUSED(tfops_add_layernorm(engine, &x, &residual, &weight, NULL, &shifted, NULL, 1e-5,
                TFOPS_WEIGHT_PLAIN, NULL),
        TFOPS_E_OVERLAP,
        "out: expected memory of its own, or exactly that of x, got overlapping ranges");
}

Test(ops_bad, fp8_of_a_norm)
{
    REFUSED(rmsnorm_quant(TFOPS_SCALES_PER_TOKEN), TFOPS_E_DTYPE,
        "out: expected out_dtype: e4m3 e5m2, got f16");
    out.dtype = TFOPS_E4M3;
    REFUSED(rmsnorm_quant(TFOPS_SCALES_PER_TENSOR), TFOPS_E_RANGE,
        "scaling: expected TFOPS_SCALES_PER_TOKEN … TFOPS_SCALES_PER_GROUP, got "
        "TFOPS_SCALES_PER_TENSOR");
    REFUSED(rmsnorm_quant(0x40), TFOPS_E_RANGE,
        "scaling: expected TFOPS_SCALES_PER_TOKEN … TFOPS_SCALES_PER_GROUP, got 0x40");
    REFUSED(rmsnorm_quant(TFOPS_SCALES_PER_TOKEN | TFOPS_SCALES_TRANSPOSED), TFOPS_E_SHAPE,
        "scales: expected [… → scale_rows=1, scale_cols=4], got [4, 1]");
    x.shape[1] = out.shape[1] = weight.shape[0] = 100;
    REFUSED(rmsnorm_quant(TFOPS_SCALES_PER_GROUP), TFOPS_E_SHAPE,
        "x: expected hidden to be a multiple of the group of 128, got 100");
    EXPECT_OK(rmsnorm_quant(TFOPS_SCALES_PER_TOKEN));
}

/* ---- quantize ------------------------------------------------------------------------------- */

static enum tfops_status quantize(unsigned scaling, uint32_t flags,
    const struct tfops_tensor *static_scale, const struct tfops_tensor *given_scales)
{
    const struct tfops_quantize_args args = {.size = sizeof args,
        .x = &wide,
        .out = &out,
        .scales = given_scales,
        .static_scale = static_scale,
        .scaling = scaling,
        .flags = flags,
        .max_retries = 4};
    return tfops_quantize(engine, &args, NULL);
}

Test(ops_bad, quantize_and_dequantize)
{
    const struct tfops_tensor one = matrix_at(9, TFOPS_F32, 0, 1);
    struct tfops_quantize_args none = {.size = 8};
    out = matrix_at(2, TFOPS_E4M3, ROWS, FFN);
    REFUSED(
        tfops_quantize(engine, NULL, NULL), TFOPS_E_ARGUMENT, "args: expected not NULL, got NULL");
    EXPECT_REFUSED(tfops_quantize(engine, &none, NULL), TFOPS_E_ARGUMENT, "args.size");
    REFUSED(quantize(TFOPS_SCALES_PER_TOKEN, 8, NULL, &scales), TFOPS_E_ARGUMENT,
        "args.flags: expected bits of 0x3, got 0x8");
    REFUSED(quantize(TFOPS_SCALES_PER_GROUP, 0, NULL, &scales), TFOPS_E_SHAPE,
        "scales: expected [… → scale_rows=4, scale_cols=2], got [4, 1]");
    const struct tfops_tensor groups = matrix_at(3, TFOPS_F32, ROWS, 2);
    REFUSED(quantize(TFOPS_SCALES_PER_GROUP, 0, NULL, &groups), TFOPS_E_SHAPE,
        "x: expected hidden to be a multiple of the group of 128, got 200");
    REFUSED(quantize(TFOPS_SCALES_PER_TOKEN, 0, &one, &scales), TFOPS_E_SHAPE,
        "static_scale: expected a tensor exactly with granularity=per_tensor_static, got one");
    REFUSED(quantize(TFOPS_SCALES_PER_TOKEN, TFOPS_QUANTIZE_RESCALE, NULL, &scales), TFOPS_E_SHAPE,
        "overflow: expected saturate with per_token, whose scales fit, got rescale");
    REFUSED(tfops_dequantize(engine, &wide, &scales, &out, TFOPS_SCALES_PER_TOKEN, NULL),
        TFOPS_E_DTYPE, "x: expected dtype: e4m3 e5m2, got f16");
}

/* ---- gated_act and softmax ------------------------------------------------------------------ */

static enum tfops_status gated_act(const struct tfops_tensor *gate, const struct tfops_tensor *up,
    const struct tfops_tensor *given)
{
    return tfops_gated_act(
        engine, gate, up, &out, given, TFOPS_GATE_SILU, TFOPS_SCALES_PER_TOKEN, NULL);
}

Test(ops_bad, gated_act_dtypes_and_halves)
{
    struct tfops_tensor packed = matrix_at(0, TFOPS_F16, ROWS, FFN + 1);
    out = matrix_at(2, TFOPS_F32, ROWS, FFN);
    REFUSED(gated_act(&wide, &wide, NULL), TFOPS_E_SHAPE,
        "out: expected f16, that of gate, or fp8, got f32");
    out.dtype = TFOPS_E5M2;
    REFUSED(gated_act(&wide, &wide, NULL), TFOPS_E_SHAPE,
        "scales: expected a tensor exactly when out is fp8, got none and e5m2");
    out.dtype = TFOPS_F16;
    REFUSED(gated_act(&packed, NULL, NULL), TFOPS_E_SHAPE,
        "gate: expected an even last extent, gate and up of a packed tensor, where up is NULL, got "
        "201");
    packed.shape[1] = 2 * FFN - 2;
    REFUSED(gated_act(&packed, NULL, NULL), TFOPS_E_SHAPE,
        "out: expected [… → rows=4, ffn=199], got [4, 200]");
    out.data = (char *)wide.data + 2;
    EXPECT_REFUSED(gated_act(&wide, &x, NULL), TFOPS_E_SHAPE, "up");
}

Test(ops_bad, softmax_masks)
{
    static const int64_t SHAPE[] = {2, 2, 2, 16}, MIDDLE[] = {2, 1, 2, 16};
    const struct tfops_tensor scores = tfops_tensor_contiguous(memory[0], TFOPS_F32, 4, SHAPE);
    const struct tfops_tensor result = tfops_tensor_contiguous(memory[2], TFOPS_F32, 4, SHAPE);
    struct tfops_tensor mask = tfops_tensor_contiguous(memory[4], TFOPS_F32, 4, MIDDLE);
    REFUSED(tfops_softmax(engine, &scores, &mask, &result, 1, false, NULL), TFOPS_E_SHAPE,
        "mask: expected the last extents of x, [2, 2, 2, 16], got [2, 1, 2, 16]");
    mask.dtype = TFOPS_I32;
    mask.shape[0] = 1;
    EXPECT_REFUSED(
        tfops_softmax(engine, &scores, &mask, &result, 1, false, NULL), TFOPS_E_DTYPE, "mask");
    REFUSED(tfops_softmax(engine, &scores, NULL, &result, (double)NAN, false, NULL), TFOPS_E_RANGE,
        "scale: expected from -1e+30 to 1e+30, got nan");
}

/* ---- rope ----------------------------------------------------------------------------------- */

static enum tfops_status rope(int64_t rotary_dim)
{
    const struct tfops_rope_args args = {.size = sizeof args,
        .q = &q,
        .cos = &tables[0],
        .sin = &tables[1],
        .q_out = &q_out,
        .rotary_dim = rotary_dim};
    return tfops_rope(engine, &args, NULL);
}

Test(ops_bad, rope_tables)
{
    tables[1].shape[1] = HEAD_DIM / 2;
    REFUSED(rope(0), TFOPS_E_SHAPE, "sin: expected [… → max_pos=8, table_dim=32], got [8, 16]");
    tables[0].shape[1] = tables[1].shape[1] = 24;
    REFUSED(rope(0), TFOPS_E_SHAPE,
        "cos: expected rows of rotary_dim=32 elements, or of half as many (16), got 24");
    REFUSED(rope(64), TFOPS_E_SHAPE, "rotary_dim: expected 0 … head_dim=32, got 64");
    EXPECT_OK(rope(24));
    tables[0].shape[0] = tables[1].shape[0] = 3;
    REFUSED(rope(24), TFOPS_E_SHAPE, "cos: expected seq=4 rows or more without positions, got 3");
}

Test(ops_bad, rope_heads_and_aliases)
{
    q.shape[3] = q_out.shape[3] = tables[0].shape[1] = tables[1].shape[1] = 31;
    REFUSED(rope(0), TFOPS_E_SHAPE, "q: expected an even head_dim, got 31");
    q.shape[3] = q_out.shape[3] = tables[0].shape[1] = tables[1].shape[1] = 32;
    q_out.data = (char *)q.data + 64;
    REFUSED(rope(0), TFOPS_E_OVERLAP,
        "q_out: expected memory of its own, or exactly that of q, got overlapping ranges");
    q_out.dtype = TFOPS_BF16;
    REFUSED(rope(0), TFOPS_E_DTYPE, "q_out: expected dtype: f16, got bf16");
}

static enum tfops_status rmsnorm_rope(int64_t num_heads, int64_t head_dim)
{
    const struct tfops_rmsnorm_rope_args args = {.size = sizeof args,
        .x = &x,
        .weight = &weight,
        .cos = &tables[0],
        .sin = &tables[1],
        .out = &out,
        .num_heads = num_heads,
        .head_dim = head_dim,
        .eps = 1e-6};
    return tfops_rmsnorm_rope(engine, &args, NULL);
}

Test(ops_bad, rmsnorm_rope_heads)
{
    REFUSED(
        rmsnorm_rope(5, 0), TFOPS_E_SHAPE, "num_heads: expected a divisor of hidden=128, got 5");
    REFUSED(rmsnorm_rope(0, 30), TFOPS_E_SHAPE,
        "x: expected a last extent that is a multiple of head_dim=30, got 128");
    REFUSED(rmsnorm_rope(3, 32), TFOPS_E_SHAPE,
        "x: expected a last extent of num_heads=3 · head_dim=32, got 128");
    REFUSED(rmsnorm_rope(-1, 0), TFOPS_E_SHAPE, "num_heads: expected 0 or more, got -1");
    REFUSED(rmsnorm_rope(8, 0), TFOPS_E_SHAPE,
        "cos: expected rows of rotary_dim=16 elements, or of half as many (8), got 32");
    weight.shape[0] = HIDDEN - 1;
    REFUSED(rmsnorm_rope(0, 0), TFOPS_E_SHAPE, "weight: expected hidden=128 elements, got 127");
}

Test(ops_bad, rmsnorm_rope_tables)
{
    x.shape[1] = out.shape[1] = weight.shape[0] = 62;
    tables[0].shape[1] = tables[1].shape[1] = 31;
    REFUSED(rmsnorm_rope(0, 0), TFOPS_E_SHAPE, "x: expected an even head_dim, got 31");
    x.shape[1] = out.shape[1] = weight.shape[0] = 128;
    tables[0].shape[1] = tables[1].shape[1] = 32;
    tables[1].shape[0] = 7;
    EXPECT_REFUSED(rmsnorm_rope(0, 0), TFOPS_E_SHAPE, "sin");
    tables[0].shape[0] = tables[1].shape[0] = 3;
    REFUSED(rmsnorm_rope(0, 0), TFOPS_E_SHAPE,
        "cos: expected seq=4 rows or more without positions, got 3");
    EXPECT_STATUS(tfops_rmsnorm_rope(engine, NULL, NULL), TFOPS_E_ARGUMENT);
}

/* ---- matrices ------------------------------------------------------------------------------- */

Test(ops_bad, matrices)
{
    const struct tfops_tensor w = matrix_at(9, TFOPS_F16, 8, HIDDEN - 1);
    const struct tfops_tensor product = matrix_at(2, TFOPS_F16, ROWS, 8);
    struct tfops_gemm_args args = {
        .size = sizeof args, .x = &x, .weight = &w, .out = &product, .x_scale = &scales};
    REFUSED(tfops_linear(engine, &args, NULL), TFOPS_E_ARGUMENT,
        "x_scale: expected NULL, as nothing of linear is quantised, got a tensor");
    args.x_scale = NULL;
    REFUSED(tfops_linear(engine, &args, NULL), TFOPS_E_SHAPE,
        "weight: expected [n=8, k=128], got [8, 127]");
    REFUSED(tfops_fp8_gemm(engine, &args, NULL), TFOPS_E_DTYPE,
        "x: expected dtype: e4m3 e5m2, got f16");
    args.flags = TFOPS_FAST_ACCUM;
    EXPECT_REFUSED(tfops_linear(engine, &args, NULL), TFOPS_E_ARGUMENT, "args.flags");
    args.flags = 0;
    x.dtype = TFOPS_E4M3;
    const struct tfops_tensor quantised = matrix_at(9, TFOPS_E4M3, 8, HIDDEN);
    args.weight = &quantised;
    REFUSED(tfops_fp8_gemm(engine, &args, NULL), TFOPS_E_ARGUMENT,
        "x_scale: expected a tensor, got NULL");
    args.x_scale = &scales;
    const struct tfops_tensor one = matrix_at(1, TFOPS_F32, 0, 1);
    args.weight_scale = &one;
    args.scaling = TFOPS_SCALES_PER_TOKEN;
    REFUSED(tfops_fp8_gemm(engine, &args, NULL), TFOPS_E_SHAPE,
        "weight_scale: expected [… → weight_scale_rows=8, weight_scale_cols=1], got [1, 1]");
    EXPECT_REFUSED(tfops_linear(engine, &args, NULL), TFOPS_E_ARGUMENT, "x_scale");
    args.scaling = TFOPS_SCALES_PER_BLOCK;
    REFUSED(tfops_fp8_gemm(engine, &args, NULL), TFOPS_E_RANGE,
        "scaling: expected TFOPS_SCALES_PER_TENSOR … TFOPS_SCALES_PER_GROUP, got "
        "TFOPS_SCALES_PER_BLOCK");
}

static struct tfops_gemm_args fp8_args;

/* A product by tensor that is right, of an n of 8. */
static void make_fp8(void)
{
    static struct tfops_tensor w, product, ones[2];
    x = matrix_at(0, TFOPS_E4M3, ROWS, HIDDEN);
    w = matrix_at(9, TFOPS_E4M3, 8, HIDDEN);
    product = matrix_at(2, TFOPS_F16, ROWS, 8);
    for (int i = 0; i < 2; i++) {
        ones[i] = matrix_at(3 + i, TFOPS_F32, 0, 1);
        *(float *)ones[i].data = 1;
    }
    fp8_args = (struct tfops_gemm_args){.size = sizeof fp8_args,
        .x = &x,
        .weight = &w,
        .out = &product,
        .x_scale = &ones[0],
        .weight_scale = &ones[1]};
    EXPECT_OK(tfops_fp8_gemm(engine, &fp8_args, NULL));
}

/* The name of what turns it stands in the record. */
Test(ops_bad, a_weight_of_the_wrong_major)
{
    make_fp8();
    struct tfops_tensor turned = matrix_at(9, TFOPS_E4M3, HIDDEN, 8);
    fp8_args.weight = &turned;
    REFUSED(tfops_fp8_gemm(engine, &fp8_args, NULL), TFOPS_E_SHAPE,
        "weight: expected [n, k=128], rows of k contiguous (tfops_weight_new() turns [k, n] once), "
        "got "
        "[128, 8] of strides 8, 1");
    turned.shape[0] = 8, turned.shape[1] = HIDDEN;
    turned.strides[0] = 1, turned.strides[1] = 8;
    REFUSED(tfops_fp8_gemm(engine, &fp8_args, NULL), TFOPS_E_SHAPE,
        "weight: expected [n, k=128], rows of k contiguous (tfops_weight_new() turns [k, n] once), "
        "got "
        "[8, 128] of strides 1, 8");
    const struct tfops_tensor shorter = matrix_at(9, TFOPS_E4M3, 8, HIDDEN - 1);
    fp8_args.weight = &shorter;
    REFUSED(tfops_fp8_gemm(engine, &fp8_args, NULL), TFOPS_E_SHAPE,
        "weight: expected [n=8, k=128], got [8, 127]");
}

Test(ops_bad, scales_that_are_no_positive_number)
{
    static const double BAD[] = {0, -1, (double)NAN, (double)INFINITY};
    make_fp8();
    for (size_t i = 0; i < 4; i++) {
        *(float *)fp8_args.weight_scale->data = (float)BAD[i];
        EXPECT_REFUSED(tfops_fp8_gemm(engine, &fp8_args, NULL), TFOPS_E_RANGE, "weight_scale");
    }
    *(float *)fp8_args.x_scale->data = -0.5f;
    REFUSED(tfops_fp8_gemm(engine, &fp8_args, NULL), TFOPS_E_RANGE,
        "x_scale: expected a positive number, got -0.5");
    out = matrix_at(2, TFOPS_E4M3, ROWS, FFN);
    REFUSED(quantize(TFOPS_SCALES_PER_TENSOR, 0, fp8_args.x_scale, NULL), TFOPS_E_RANGE,
        "static_scale: expected a positive number, got -0.5");
}

Test(ops_bad, operands_of_a_product_within_an_element)
{
    make_fp8();
    struct tfops_tensor odd = *fp8_args.x_scale;
    odd.data = (char *)odd.data + 2;
    fp8_args.x_scale = &odd;
    EXPECT_REFUSED(tfops_fp8_gemm(engine, &fp8_args, NULL), TFOPS_E_ALIGNMENT, "x_scale");
    EXPECT_CONTAINS(expect_error().expected, "a multiple of 4 bytes");
    make_fp8();
    odd = *fp8_args.out;
    odd.data = (char *)odd.data + 1;
    fp8_args.out = &odd;
    EXPECT_REFUSED(tfops_fp8_gemm(engine, &fp8_args, NULL), TFOPS_E_ALIGNMENT, "out");
    make_fp8();
    odd = *fp8_args.weight_scale;
    odd.data = NULL;
    fp8_args.weight_scale = &odd;
    REFUSED(tfops_fp8_gemm(engine, &fp8_args, NULL), TFOPS_E_ARGUMENT,
        "weight_scale: expected an address of its data, got NULL");
}
