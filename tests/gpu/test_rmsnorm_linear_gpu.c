/*
 * rmsnorm_linear on a GPU against the cpu device: one table of cases, each launched as the generic
 * variant (a cold key) and as the default config (a prepared one).
 */
#include <criterion/criterion.h>

#include "tests/support/gpu_matrix.h"

enum { BIAS = 1, RESIDUAL = 2, NORM_WEIGHT = 4 };
enum { ACTIVATE_NONE, RELU, SILU };

static const struct norm_case {
    enum tfops_dtype dtype, out_dtype;
    int64_t m, n, k, pad; /* pad: elements behind each row */
    int with, activation;
} CASES[] = {
    {TFOPS_F16, TFOPS_F16, 1, 256, 512, 0, NORM_WEIGHT, 0},
    {TFOPS_BF16, TFOPS_BF16, 3, 264, 520, 0, NORM_WEIGHT | BIAS, SILU},
    {TFOPS_F16, TFOPS_F32, 16, 136, 2056, 8, 0, 0},
    {TFOPS_BF16, TFOPS_F16, 33, 264, 136, 0, NORM_WEIGHT | RESIDUAL, RELU},
    {TFOPS_F16, TFOPS_F16, 64, 136, 264, 16, NORM_WEIGHT, 0},
    {TFOPS_BF16, TFOPS_F32, 129, 1032, 40, 0, NORM_WEIGHT | BIAS | RESIDUAL, 0},
    {TFOPS_F16, TFOPS_F16, 300, 136, 264, 0, NORM_WEIGHT, SILU},
    {TFOPS_F16, TFOPS_F16, 3000, 72, 136, 0, 0, 0},
    {TFOPS_BF16, TFOPS_BF16, 3000, 72, 40, 0, NORM_WEIGHT, 0},
    {TFOPS_F16, TFOPS_F16, 5, 1, 1, 0, NORM_WEIGHT, 0},
    {TFOPS_F16, TFOPS_F16, 130, 77, 333, 0, NORM_WEIGHT | BIAS, SILU},
    {TFOPS_BF16, TFOPS_F32, 67, 129, 500, 3, NORM_WEIGHT | RESIDUAL, 0},
};

enum { X, WEIGHT, BIAS_OPERAND, RESIDUAL_OPERAND, OUT, NORM_WEIGHT_OPERAND };
static const double EPS = 1e-5;

static void make_run(
    struct gpu_matrix_run *run, struct tfops_engine *engine, const struct norm_case *c)
{
    *run = (struct gpu_matrix_run){.args = {.size = sizeof run->args}};
    run->args.options[0] = (uint8_t)c->activation;
    run->args.n_scalars = 1;
    run->args.scalars[0] = EPS;
    gpu_matrix_give(run, engine, X, c->dtype, c->m, c->k, c->pad);
    gpu_matrix_give(run, engine, WEIGHT, c->dtype, c->n, c->k, c->pad);
    gpu_matrix_give(run, engine, OUT, c->out_dtype, c->m, c->n, c->pad);
    if (c->with & BIAS)
        gpu_matrix_give(run, engine, BIAS_OPERAND, c->out_dtype, 0, c->n, 0);
    if (c->with & RESIDUAL)
        gpu_matrix_give(run, engine, RESIDUAL_OPERAND, c->out_dtype, c->m, c->n, c->pad);
    if (c->with & NORM_WEIGHT)
        gpu_matrix_give(run, engine, NORM_WEIGHT_OPERAND, c->dtype, 0, c->k, 0);
}

/* Rounding of the output, and of x · norm_weight. */
static double bound(const struct norm_case *c)
{
    const double out = c->out_dtype == TFOPS_F32 ? 1e-5 : c->out_dtype == TFOPS_F16 ? 6e-4 : 4e-3;
    const double weighted = c->dtype == TFOPS_F16 ? 4e-4 : 3e-3;
    return out + (c->with & NORM_WEIGHT ? weighted : 0);
}

static void check(struct gpu_matrix *both, const struct norm_case *c, bool prepared)
{
    struct gpu_matrix_run run;
    make_run(&run, both->gpu.engine, c);
    gpu_matrix_check(both, "rmsnorm_linear", &run, OUT, bound(c), prepared);
}

static void check_all(bool prepared)
{
    struct gpu_matrix both;
    gpu_matrix_open(&both);
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++)
        check(&both, &CASES[i], prepared);
    gpu_matrix_close(&both);
}

Test(rmsnorm_linear_gpu, agrees_with_the_reference_when_cold)
{
    SUPPORT_NEEDS_GPU();
    check_all(false);
}

Test(rmsnorm_linear_gpu, agrees_with_the_reference_when_prepared)
{
    SUPPORT_NEEDS_GPU();
    check_all(true);
}

/* One plan for all numbers of tokens: its config was chosen for another one. */
Test(rmsnorm_linear_gpu, agrees_at_every_number_of_tokens)
{
    struct norm_case c = {TFOPS_BF16, TFOPS_F32, 0, 16, 72, 0, NORM_WEIGHT, 0};
    SUPPORT_NEEDS_GPU();
    struct gpu_matrix both;
    gpu_matrix_open(&both);
    for (c.m = 300; c.m >= 1; c.m--)
        check(&both, &c, c.m == 300 || c.m == 40);
    gpu_matrix_close(&both);
}

/* ---- several weights --------------------------------------------------------------------------- */

enum { SEVERAL_NORM_WEIGHT = 1, FIRST_WEIGHT = 2, WEIGHTS = 3, EACH = 3 }; /* weight, bias, out */

static const struct several_case {
    enum tfops_dtype dtype, out_dtype;
    int64_t m, n[WEIGHTS], k;
    bool biased;
} SEVERAL[] = {
    {TFOPS_BF16, TFOPS_BF16, 1, {512, 128, 128}, 512, true},
    {TFOPS_F16, TFOPS_F32, 5, {136, 72, 0}, 520, false},
    {TFOPS_BF16, TFOPS_BF16, 64, {264, 72, 136}, 264, true},
    {TFOPS_F16, TFOPS_F16, 300, {1032, 136, 8}, 264, false},
    {TFOPS_F16, TFOPS_F16, 33, {77, 33, 1}, 333, true},
};

static void make_several(
    struct gpu_matrix_run *run, struct tfops_engine *engine, const struct several_case *c)
{
    *run = (struct gpu_matrix_run){.args = {.size = sizeof run->args}};
    run->args.n_scalars = 1;
    run->args.scalars[0] = EPS;
    gpu_matrix_give(run, engine, X, c->dtype, c->m, c->k, 0);
    gpu_matrix_give(run, engine, SEVERAL_NORM_WEIGHT, c->dtype, 0, c->k, 0);
    for (int i = 0; i < WEIGHTS && c->n[i]; i++) {
        const int first = FIRST_WEIGHT + EACH * i;
        gpu_matrix_give(run, engine, first, c->dtype, c->n[i], c->k, 0);
        if (c->biased)
            gpu_matrix_give(run, engine, first + 1, c->out_dtype, 0, c->n[i], 0);
        gpu_matrix_give(run, engine, first + 2, c->out_dtype, c->m, c->n[i], 0);
    }
}

/* Each output is looked at after a launch of its own. */
Test(rmsnorm_linear_gpu, several_weights_agree_with_the_reference)
{
    SUPPORT_NEEDS_GPU();
    struct gpu_matrix both;
    gpu_matrix_open(&both);
    for (int prepared = 0; prepared < 2; prepared++)
        for (size_t i = 0; i < sizeof SEVERAL / sizeof SEVERAL[0]; i++)
            for (int out = 0; out < WEIGHTS && SEVERAL[i].n[out]; out++) {
                const struct norm_case same = {.dtype = SEVERAL[i].dtype,
                    .out_dtype = SEVERAL[i].out_dtype,
                    .with = NORM_WEIGHT};
                struct gpu_matrix_run run;
                make_several(&run, both.gpu.engine, &SEVERAL[i]);
                gpu_matrix_check(&both, "rmsnorm_linears", &run, FIRST_WEIGHT + EACH * out + 2,
                    bound(&same), prepared);
            }
    gpu_matrix_close(&both);
}
