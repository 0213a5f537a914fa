/*
 * gated_mlp and fp8_gated_mlp on a GPU against the cpu device: one table of cases, each launched as the
 * generic variant (a cold key) and as the default config (a prepared one).
 */
#include <criterion/criterion.h>

#include "tests/support/gpu_matrix.h"

enum scaling { NONE, TENSOR, ROW };
enum { PACKED = 1, OUT_SCALE = 2, FAST = 4, UP = 8 };
enum { SILU, GELU, GELU_TANH };

struct mlp_case {
    enum scaling scaling;
    enum tfops_dtype dtype, weight_dtype, out_dtype;
    int64_t m, n, k, pad; /* pad: elements behind each row */
    int with, act;
};

static const struct mlp_case CASES[] = {
    {NONE, TFOPS_F16, TFOPS_F16, TFOPS_F16, 1, 256, 512, 0, 0, SILU},
    {NONE, TFOPS_BF16, TFOPS_BF16, TFOPS_BF16, 3, 264, 520, 0, PACKED, GELU},
    {NONE, TFOPS_F16, TFOPS_F16, TFOPS_F32, 17, 136, 520, 8, 0, GELU_TANH},
    {NONE, TFOPS_BF16, TFOPS_BF16, TFOPS_F16, 64, 264, 136, 0, UP, SILU},
    {NONE, TFOPS_F16, TFOPS_F16, TFOPS_BF16, 100, 264, 136, 16, PACKED, SILU},
    {NONE, TFOPS_F16, TFOPS_F16, TFOPS_F16, 129, 1032, 40, 0, 0, GELU_TANH},
    {NONE, TFOPS_BF16, TFOPS_BF16, TFOPS_BF16, 500, 136, 72, 0, PACKED | UP, GELU},
    {NONE, TFOPS_F16, TFOPS_F16, TFOPS_F16, 3000, 72, 40, 0, 0, SILU},
    {NONE, TFOPS_F16, TFOPS_F16, TFOPS_E4M3, 300, 144, 72, 0, OUT_SCALE, SILU},
    {NONE, TFOPS_BF16, TFOPS_BF16, TFOPS_E5M2, 9, 272, 272, 0, OUT_SCALE, SILU},
    {NONE, TFOPS_F16, TFOPS_F16, TFOPS_F16, 5, 1, 1, 0, 0, SILU},
    {NONE, TFOPS_F16, TFOPS_F16, TFOPS_F16, 130, 77, 333, 0, PACKED, GELU},
    {NONE, TFOPS_BF16, TFOPS_BF16, TFOPS_F32, 67, 129, 500, 3, UP, SILU},
    {TENSOR, TFOPS_E4M3, TFOPS_E4M3, TFOPS_F16, 1, 256, 1024, 0, 0, SILU},
    {TENSOR, TFOPS_E4M3, TFOPS_E5M2, TFOPS_BF16, 16, 272, 1040, 0, PACKED, GELU},
    {TENSOR, TFOPS_E5M2, TFOPS_E4M3, TFOPS_F32, 200, 136, 144, 0, UP, SILU},
    {TENSOR, TFOPS_E4M3, TFOPS_E4M3, TFOPS_E4M3, 300, 144, 272, 0, OUT_SCALE, SILU},
    {TENSOR, TFOPS_E4M3, TFOPS_E4M3, TFOPS_F16, 300, 144, 272, 0, FAST, GELU_TANH},
    {TENSOR, TFOPS_E4M3, TFOPS_E4M3, TFOPS_F32, 50, 77, 333, 0, 0, SILU},
    {ROW, TFOPS_E4M3, TFOPS_E4M3, TFOPS_F16, 7, 256, 1024, 0, 0, SILU},
    {ROW, TFOPS_E4M3, TFOPS_E4M3, TFOPS_BF16, 300, 144, 272, 0, PACKED, GELU},
    {ROW, TFOPS_E4M3, TFOPS_E4M3, TFOPS_F16, 91, 75, 130, 0, UP, GELU_TANH},
};

enum { X, GATE_WEIGHT, UP_WEIGHT, OUT, SCALE_OF_OUT, X_SCALE, GATE_SCALE, UP_SCALE };
static const char *const OPS[] = {"gated_mlp", "fp8_gated_mlp", "fp8_gated_mlp"};

/* The halves of gate's rows: `tensor` keeps the first, the second is returned. */
static struct tfops_tensor halve(struct tfops_tensor *tensor)
{
    struct tfops_tensor second = *tensor;
    tensor->shape[0] /= 2;
    second.shape[0] /= 2;
    second.data = (char *)second.data +
                  (size_t)(second.shape[0] * second.strides[0]) * tfops_dtype_bytes(second.dtype);
    return second;
}

/* `up` is the second half of packed weights. */
static void make_run(struct gpu_matrix_run *run, struct tfops_tensor *up,
    struct tfops_engine *engine, const struct mlp_case *c)
{
    const bool packed = c->with & PACKED;
    *run = (struct gpu_matrix_run){.args = {.size = sizeof run->args}};
    run->args.options[0] = (uint8_t)c->act;
    run->args.options[c->scaling ? 3 : 1] = (c->with & UP) != 0;
    if (c->scaling) {
        run->args.options[1] = (c->with & FAST) != 0;
        run->args.options[2] = c->scaling == ROW;
        gpu_matrix_give(run, engine, X_SCALE, TFOPS_F32, c->scaling == ROW ? c->m : 1, 1, 0);
        gpu_matrix_give(run, engine, GATE_SCALE, TFOPS_F32, c->scaling == ROW ? c->n : 1, 1, 0);
        gpu_matrix_give(run, engine, UP_SCALE, TFOPS_F32, c->scaling == ROW ? c->n : 1, 1, 0);
    }
    gpu_matrix_give(run, engine, X, c->dtype, c->m, c->k, c->pad);
    gpu_matrix_give(
        run, engine, GATE_WEIGHT, c->weight_dtype, (packed ? 2 : 1) * c->n, c->k, c->pad);
    if (!packed)
        gpu_matrix_give(run, engine, UP_WEIGHT, c->weight_dtype, c->n, c->k, c->pad);
    gpu_matrix_give(run, engine, OUT, c->out_dtype, c->m, c->n, c->pad);
    if (c->with & OUT_SCALE)
        gpu_matrix_give(run, engine, SCALE_OF_OUT, TFOPS_F32, 1, 1, 0);
    if (packed) {
        *up = halve(&run->tensors[GATE_WEIGHT].tensor);
        run->args.operands[UP_WEIGHT] = up;
    }
}

/* Rounding, and for fp8 products what the tensor core drops; fp8 results that lie between two codes. */
static double bound(const struct mlp_case *c)
{
    static const double ROUNDING[TFOPS_DTYPE_COUNT] = {
        [TFOPS_F16] = 6e-4, [TFOPS_BF16] = 4e-3, [TFOPS_E4M3] = 2e-2, [TFOPS_E5M2] = 4e-2};
    return ROUNDING[c->out_dtype] + (c->with & FAST ? 4e-3 : c->scaling ? 6e-4 : 1e-5);
}

static void check(struct gpu_matrix *both, const struct mlp_case *c, bool prepared)
{
    struct gpu_matrix_run run;
    struct tfops_tensor up;
    make_run(&run, &up, both->gpu.engine, c);
    gpu_matrix_check(both, OPS[c->scaling], &run, OUT, bound(c), prepared);
}

static void check_all(bool prepared)
{
    struct gpu_matrix both;
    gpu_matrix_open(&both);
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++)
        check(&both, &CASES[i], prepared);
    gpu_matrix_close(&both);
}

Test(gated_mlp_gpu, agrees_with_the_reference_when_cold)
{
    SUPPORT_NEEDS_GPU();
    check_all(false);
}

Test(gated_mlp_gpu, agrees_with_the_reference_when_prepared)
{
    SUPPORT_NEEDS_GPU();
    check_all(true);
}

/* One plan for all numbers of tokens: its config was chosen for another one. */
Test(gated_mlp_gpu, agrees_at_every_number_of_tokens)
{
    static const struct mlp_case KINDS[] = {
        {NONE, TFOPS_BF16, TFOPS_BF16, TFOPS_F32, 0, 16, 40, 0, 0, SILU},
        {TENSOR, TFOPS_E4M3, TFOPS_E4M3, TFOPS_F16, 0, 16, 48, 0, 0, SILU},
    };
    SUPPORT_NEEDS_GPU();
    struct gpu_matrix both;
    gpu_matrix_open(&both);
    for (size_t i = 0; i < sizeof KINDS / sizeof KINDS[0]; i++) {
        struct mlp_case c = KINDS[i];
        for (c.m = 300; c.m >= 1; c.m--)
            check(&both, &c, c.m == 300 || c.m == 40);
    }
    gpu_matrix_close(&both);
}
