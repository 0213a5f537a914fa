/*
 * The typed calls of the matrix operators: each is the launch of its operator with the operands,
 * options and views that the header promises, bit for bit, on the cpu device.
 */
#include "kernels/gemm/gemm_params.h"
#include "kernels/gemm/gemm_specs.h"
#include <criterion/criterion.h>

#include "tests/support/reference.h"

enum { ROWS = 6, HIDDEN = 256, COLS = 24 };

static struct tfops_engine *engine;
static struct matrix out, other;
static struct tfops_args args;

static void begin(void)
{
    const struct tfops_engine_options options = {.size = sizeof options, .device = "cpu"};
    EXPECT_OK(tfops_engine_open(&options, &engine));
    args = (struct tfops_args){.size = sizeof args};
}

static void end(void)
{
    tfops_engine_close(engine);
}

TestSuite(ops_gemm, .init = begin, .fini = end);

static enum tfops_status launch(const char *op)
{
    return tfops_launch(engine, tfops_engine_operator(engine, op), &args, NULL);
}

/* The typed call's output and the launch's, and they were written. */
static void expect_same(void)
{
    static const struct matrix none;
    cr_assert(
        memcmp(out.bytes, none.bytes, 64) != 0 && out.bytes[0] != 0x5a, "nothing was written");
    cr_assert(
        !memcmp(out.bytes, other.bytes, sizeof out.bytes), "the typed call does something else");
}

static void make_out(enum tfops_dtype dtype)
{
    matrix_make(&out, dtype, ROWS, COLS, 0);
    matrix_make(&other, dtype, ROWS, COLS, 0);
}

static void make(
    struct matrix *matrix, enum tfops_dtype dtype, int64_t rows, int64_t cols, int seed)
{
    matrix_make(matrix, dtype, rows, cols, 0);
    matrix_fill(matrix, (uint64_t)seed, 1);
}

Test(ops_gemm, linear)
{
    static struct matrix a, w, b, r;
    matrix_make(&a, TFOPS_F16, ROWS, HIDDEN, 0);
    matrix_make(&w, TFOPS_F16, COLS, HIDDEN, 0);
    matrix_make_vector(&b, TFOPS_F32, COLS);
    matrix_make(&r, TFOPS_F32, ROWS, COLS, 0);
    matrix_fill(&a, 1, 1);
    matrix_fill(&w, 2, 1);
    matrix_fill(&b, 3, 1);
    matrix_fill(&r, 4, 1);
    make_out(TFOPS_F32);
    args.options[GEMM_ACTIVATION] = TFOPS_ACTIVATION_GELU;
    args.operands[GEMM_X] = &a.tensor;
    args.operands[GEMM_WEIGHT] = &w.tensor;
    args.operands[GEMM_BIAS] = &b.tensor;
    args.operands[GEMM_RESIDUAL] = &r.tensor;
    args.operands[GEMM_OUT] = &other.tensor;
    EXPECT_OK(launch("linear"));
    const struct tfops_gemm_args typed = {.size = sizeof typed,
        .x = &a.tensor,
        .weight = &w.tensor,
        .bias = &b.tensor,
        .residual = &r.tensor,
        .out = &out.tensor,
        .activation = TFOPS_ACTIVATION_GELU};
    EXPECT_OK(tfops_linear(engine, &typed, NULL));
    expect_same();
}

static const struct gemm_scaling_case {
    unsigned typed;
    int scaling, major;
    int64_t x[2], weight[2];
} GEMM_SCALING_CASES[] = {
    {TFOPS_SCALES_PER_TENSOR, GEMM_PER_TENSOR, 0, {1, 1}, {1, 1}},
    {TFOPS_SCALES_PER_TOKEN, GEMM_PER_ROW, 0, {ROWS, 1}, {COLS, 1}},
    {TFOPS_SCALES_PER_TOKEN | TFOPS_SCALES_TRANSPOSED, GEMM_PER_ROW, 1, {1, ROWS}, {COLS, 1}},
    {TFOPS_SCALES_PER_GROUP, GEMM_PER_BLOCK, 0, {ROWS, HIDDEN / 128}, {1, HIDDEN / 128}},
    {TFOPS_SCALES_PER_GROUP | TFOPS_SCALES_TRANSPOSED, GEMM_PER_BLOCK, 1, {HIDDEN / 128, ROWS},
        {1, HIDDEN / 128}},
};

Test(ops_gemm, fp8_gemm)
{
    static struct matrix a, w, a_scale, w_scale;
    matrix_make(&a, TFOPS_E4M3, ROWS, HIDDEN, 0);
    matrix_make(&w, TFOPS_E5M2, COLS, HIDDEN, 0);
    matrix_fill(&a, 1, 8);
    matrix_fill(&w, 2, 8);
    struct tfops_gemm_args typed = {.size = sizeof typed,
        .x = &a.tensor,
        .weight = &w.tensor,
        .out = &out.tensor,
        .x_scale = &a_scale.tensor,
        .weight_scale = &w_scale.tensor};
    args.operands[GEMM_X] = &a.tensor;
    args.operands[GEMM_WEIGHT] = &w.tensor;
    args.operands[GEMM_OUT] = &other.tensor;
    args.operands[GEMM_X_SCALE] = &a_scale.tensor;
    args.operands[GEMM_WEIGHT_SCALE] = &w_scale.tensor;
    for (size_t i = 0; i < sizeof GEMM_SCALING_CASES / sizeof GEMM_SCALING_CASES[0]; i++) {
        const struct gemm_scaling_case *c = &GEMM_SCALING_CASES[i];
        make_out(TFOPS_BF16);
        matrix_make(&a_scale, TFOPS_F32, c->x[0], c->x[1], 0);
        matrix_make(&w_scale, TFOPS_F32, c->weight[0], c->weight[1], 0);
        matrix_fill(&a_scale, 3, 1);
        matrix_fill(&w_scale, 4, 1);
        matrix_set(&a_scale, 0, 0, 0.5); /* of a tensor it is looked at */
        matrix_set(&w_scale, 0, 0, 0.25);
        args.options[GEMM_SCALING] = (uint8_t)c->scaling;
        args.options[GEMM_SCALE_MAJOR] = (uint8_t)c->major;
        args.options[GEMM_FAST_ACCUM] = c->scaling != GEMM_PER_BLOCK;
        typed.scaling = c->typed;
        typed.flags = c->scaling != GEMM_PER_BLOCK ? TFOPS_FAST_ACCUM : 0;
        EXPECT_OK(launch("fp8_gemm"));
        EXPECT_OK(tfops_fp8_gemm(engine, &typed, NULL));
        expect_same();
    }
}

/* [m] is [m, 1]. */
Test(ops_gemm, fp8_gemm_takes_vectors_of_scales)
{
    static struct matrix a, w, a_scale, w_scale;
    matrix_make(&a, TFOPS_E4M3, ROWS, HIDDEN, 0);
    matrix_make(&w, TFOPS_E4M3, COLS, HIDDEN, 0);
    matrix_make_vector(&a_scale, TFOPS_F32, ROWS);
    matrix_make_vector(&w_scale, TFOPS_F32, COLS);
    matrix_fill(&a, 1, 8);
    matrix_fill(&w, 2, 8);
    matrix_fill(&a_scale, 3, 1);
    matrix_fill(&w_scale, 4, 1);
    make_out(TFOPS_BF16);
    struct tfops_gemm_args typed = {.size = sizeof typed,
        .x = &a.tensor,
        .weight = &w.tensor,
        .out = &out.tensor,
        .x_scale = &a_scale.tensor,
        .weight_scale = &w_scale.tensor,
        .scaling = TFOPS_SCALES_PER_TOKEN};
    EXPECT_OK(tfops_fp8_gemm(engine, &typed, NULL));
    const struct tfops_tensor columns[] = {
        tfops_tensor_contiguous(a_scale.bytes, TFOPS_F32, 2, (const int64_t[]){ROWS, 1}),
        tfops_tensor_contiguous(w_scale.bytes, TFOPS_F32, 2, (const int64_t[]){COLS, 1})};
    typed.x_scale = &columns[0];
    typed.weight_scale = &columns[1];
    typed.out = &other.tensor;
    EXPECT_OK(tfops_fp8_gemm(engine, &typed, NULL));
    expect_same();
}

Test(ops_gemm, rmsnorm_linear)
{
    static struct matrix a, w, norm;
    make(&a, TFOPS_F16, ROWS, HIDDEN, 1);
    make(&w, TFOPS_F16, COLS, HIDDEN, 2);
    matrix_make_vector(&norm, TFOPS_F16, HIDDEN);
    matrix_fill(&norm, 3, 1);
    make_out(TFOPS_F16);
    args.operands[GEMM_X] = &a.tensor;
    args.operands[GEMM_WEIGHT] = &w.tensor;
    args.operands[GEMM_OUT] = &other.tensor;
    args.operands[RMSNORM_LINEAR_NORM_WEIGHT] = &norm.tensor;
    args.options[GEMM_ACTIVATION] = TFOPS_ACTIVATION_SILU;
    args.n_scalars = 1;
    args.scalars[RMSNORM_LINEAR_EPS] = 0.5;
    EXPECT_OK(launch("rmsnorm_linear"));
    const struct tfops_gemm_args typed = {.size = sizeof typed,
        .x = &a.tensor,
        .weight = &w.tensor,
        .out = &out.tensor,
        .activation = TFOPS_ACTIVATION_SILU};
    EXPECT_OK(tfops_rmsnorm_linear(engine, &typed, &norm.tensor, 0.5, NULL));
    expect_same();
}

/* q, k and v: the same bits as three products, each by itself. */
Test(ops_gemm, rmsnorm_linears)
{
    enum { WEIGHTS = 3 };
    static const int64_t WIDTHS[WEIGHTS] = {COLS, 8, 16};
    static struct matrix a, norm, w[WEIGHTS], bias[WEIGHTS], outs[WEIGHTS], alone[WEIGHTS];
    struct tfops_linears_args typed = {.size = sizeof typed, .x = &a.tensor, .eps = 0.5};
    make(&a, TFOPS_F16, ROWS, HIDDEN, 1);
    matrix_make_vector(&norm, TFOPS_F16, HIDDEN);
    matrix_fill(&norm, 3, 1);
    typed.norm_weight = &norm.tensor;
    for (int i = 0; i < WEIGHTS; i++) {
        make(&w[i], TFOPS_F16, WIDTHS[i], HIDDEN, 4 + i);
        matrix_make_vector(&bias[i], TFOPS_F32, WIDTHS[i]);
        matrix_fill(&bias[i], 8 + (uint64_t)i, 1);
        matrix_make(&outs[i], TFOPS_F32, ROWS, WIDTHS[i], 0);
        matrix_make(&alone[i], TFOPS_F32, ROWS, WIDTHS[i], 0);
        typed.weights[i] = &w[i].tensor;
        typed.biases[i] = &bias[i].tensor;
        typed.outs[i] = &outs[i].tensor;
        const struct tfops_gemm_args one = {.size = sizeof one,
            .x = &a.tensor,
            .weight = &w[i].tensor,
            .bias = &bias[i].tensor,
            .out = &alone[i].tensor};
        EXPECT_OK(tfops_rmsnorm_linear(engine, &one, &norm.tensor, 0.5, NULL));
    }
    EXPECT_OK(tfops_rmsnorm_linears(engine, &typed, NULL));
    for (int i = 0; i < WEIGHTS; i++)
        cr_expect(!memcmp(outs[i].bytes, alone[i].bytes, sizeof outs[i].bytes), "weight %d", i);
}

Test(ops_gemm, constant_weights_change_no_bit_and_are_no_flag_of_fp8)
{
    static struct matrix a, w;
    make(&a, TFOPS_F16, ROWS, HIDDEN, 1);
    make(&w, TFOPS_F16, COLS, HIDDEN, 2);
    make_out(TFOPS_F16);
    struct tfops_gemm_args typed = {
        .size = sizeof typed, .x = &a.tensor, .weight = &w.tensor, .out = &other.tensor};
    EXPECT_OK(tfops_linear(engine, &typed, NULL));
    typed.flags = TFOPS_CONSTANT_WEIGHTS;
    typed.out = &out.tensor;
    EXPECT_OK(tfops_linear(engine, &typed, NULL));
    expect_same();
    cr_expect_eq(tfops_fp8_gemm(engine, &typed, NULL), TFOPS_E_ARGUMENT);
}

Test(ops_gemm, rmsnorm_linears_with_two_weights_has_no_third)
{
    static struct matrix a, w[2], outs[3];
    make(&a, TFOPS_F16, ROWS, HIDDEN, 1);
    for (int i = 0; i < 2; i++)
        make(&w[i], TFOPS_F16, COLS, HIDDEN, 4 + i);
    for (int i = 0; i < 3; i++)
        matrix_make(&outs[i], TFOPS_F16, ROWS, COLS, 0);
    struct tfops_linears_args typed = {.size = sizeof typed,
        .x = &a.tensor,
        .weights = {&w[0].tensor, &w[1].tensor},
        .outs = {&outs[0].tensor, &outs[1].tensor}};
    EXPECT_OK(tfops_rmsnorm_linears(engine, &typed, NULL));
    typed.outs[2] = &outs[2].tensor;
    cr_expect_neq(tfops_rmsnorm_linears(engine, &typed, NULL), TFOPS_OK, "an output too many");
    typed.outs[2] = NULL;
    typed.biases[0] = &a.tensor;
    cr_expect_neq(tfops_rmsnorm_linears(engine, &typed, NULL), TFOPS_OK, "one bias of two");
}

/* ---- gated_mlp ------------------------------------------------------------------------------ */

static struct matrix mlp_x, packed, scale, packed_scale;
static struct tfops_tensor gate, up, gate_scale, up_scale;
static struct tfops_gated_mlp_args mlp;

/* The halves of `packed`'s rows. */
static void halve(
    const struct matrix *from, struct tfops_tensor *first, struct tfops_tensor *second)
{
    *first = *second = from->tensor;
    first->shape[0] = second->shape[0] = from->tensor.shape[0] / 2;
    second->data = (char *)first->data +
                   first->shape[0] * first->strides[0] * (int64_t)tfops_dtype_bytes(first->dtype);
}

static void make_mlp(enum tfops_dtype dtype)
{
    make(&mlp_x, dtype, ROWS, HIDDEN, 1);
    make(&packed, dtype, 2 * COLS, HIDDEN, 2);
    halve(&packed, &gate, &up);
    make_out(TFOPS_F16);
    args.operands[GATED_MLP_X] = &mlp_x.tensor;
    args.operands[GATED_MLP_GATE_WEIGHT] = &gate;
    args.operands[GATED_MLP_UP_WEIGHT] = &up;
    args.operands[GATED_MLP_OUT] = &other.tensor;
    mlp = (struct tfops_gated_mlp_args){.size = sizeof mlp,
        .x = &mlp_x.tensor,
        .gate = &gate,
        .up = &up,
        .out = &out.tensor,
        .act = TFOPS_GATE_GELU};
    args.options[0] = TFOPS_GATE_GELU;
}

Test(ops_gemm, gated_mlp_takes_separate_and_packed_weights)
{
    make_mlp(TFOPS_F16);
    EXPECT_OK(launch("gated_mlp"));
    EXPECT_OK(tfops_gated_mlp(engine, &mlp, NULL));
    expect_same();
    mlp.gate = &packed.tensor;
    mlp.up = NULL;
    matrix_make(&out, TFOPS_F16, ROWS, COLS, 0);
    EXPECT_OK(tfops_gated_mlp(engine, &mlp, NULL));
    expect_same();
}

Test(ops_gemm, gated_mlp_activates_the_other_half)
{
    make_mlp(TFOPS_BF16);
    args.options[GATED_MLP_ACTIVATES] = 1;
    EXPECT_OK(launch("gated_mlp"));
    mlp.flags = TFOPS_ACTIVATE_UP;
    EXPECT_OK(tfops_gated_mlp(engine, &mlp, NULL));
    expect_same();
}

static void give_scales(bool by_row)
{
    make(&scale, TFOPS_F32, by_row ? ROWS : 1, 1, 5);
    make(&packed_scale, TFOPS_F32, by_row ? 2 * COLS : 2, 1, 6);
    halve(&packed_scale, &gate_scale, &up_scale);
    args.operands[GATED_MLP_X_SCALE] = &scale.tensor;
    args.operands[GATED_MLP_GATE_SCALE] = &gate_scale;
    args.operands[GATED_MLP_UP_SCALE] = &up_scale;
    args.options[GEMM_SCALING] = by_row ? GEMM_PER_ROW : GEMM_PER_TENSOR;
    mlp.x_scale = &scale.tensor;
    mlp.gate_scale = &gate_scale;
    mlp.up_scale = &up_scale;
    mlp.scaling = by_row ? TFOPS_SCALES_PER_TOKEN : TFOPS_SCALES_PER_TENSOR;
}

Test(ops_gemm, gated_mlp_of_fp8)
{
    for (int by_row = 0; by_row < 2; by_row++) {
        make_mlp(TFOPS_E4M3);
        give_scales(by_row);
        EXPECT_OK(launch("fp8_gated_mlp"));
        EXPECT_OK(tfops_gated_mlp(engine, &mlp, NULL));
        expect_same();
    }
    mlp.gate = &packed.tensor;
    mlp.gate_scale = &packed_scale.tensor;
    mlp.up = mlp.up_scale = NULL;
    matrix_make(&out, TFOPS_F16, ROWS, COLS, 0);
    EXPECT_OK(tfops_gated_mlp(engine, &mlp, NULL));
    expect_same();
}

Test(ops_gemm, gated_mlp_says_what_does_not_fit)
{
    make_mlp(TFOPS_F16);
    mlp.up = NULL;
    packed.tensor.shape[0] = 2 * COLS - 1;
    mlp.gate = &packed.tensor;
    EXPECT_STATUS(tfops_gated_mlp(engine, &mlp, NULL), TFOPS_E_SHAPE);
    EXPECT_CONTAINS(expect_error().message,
        "gate: shape does not fit: expected an even first extent, gate and up of a packed tensor");
    mlp.gate = &gate;
    mlp.up = &up;
    mlp.gate_scale = &gate;
    EXPECT_STATUS(tfops_gated_mlp(engine, &mlp, NULL), TFOPS_E_ARGUMENT);
    EXPECT_CONTAINS(expect_error().message, "gate_scale");
    mlp.gate_scale = NULL;
    mlp.flags = TFOPS_FAST_ACCUM;
    EXPECT_STATUS(tfops_gated_mlp(engine, &mlp, NULL), TFOPS_E_ARGUMENT);
    EXPECT_CONTAINS(expect_error().message, "args.flags");
}
