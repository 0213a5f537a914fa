/*
 * linear and fp8_gemm on a GPU against the cpu device: one table of cases, each launched as the
 * generic variant (a cold key) and as the default config (a prepared one).
 */
#include <criterion/criterion.h>

#include "tests/support/gpu_matrix.h"
#include "tests/support/host_data.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum scaling { NONE, TENSOR, ROW, BLOCK };
enum {
    BIAS = 1,
    RESIDUAL = 2,
    IN_PLACE = 4,
    FAST = 8,
    COLUMN = 16
}; /* COLUMN: x_scale transposed */
enum { ACTIVATE_NONE, RELU, SILU, GELU, GELU_TANH };

struct gemm_case {
    enum scaling scaling;
    enum tfops_dtype dtype, weight_dtype, out_dtype;
    int64_t m, n, k, pad; /* pad: elements behind each row */
    int with;             /* BIAS … */
    int activation;
};

static const struct gemm_case CASES[] = {
    {NONE, TFOPS_F16, TFOPS_F16, TFOPS_F16, 1, 256, 512, 0, 0, 0},
    {NONE, TFOPS_BF16, TFOPS_BF16, TFOPS_BF16, 3, 256, 512, 0, BIAS, SILU},
    {NONE, TFOPS_F16, TFOPS_F16, TFOPS_F32, 8, 264, 520, 0, BIAS | RESIDUAL, GELU},
    {NONE, TFOPS_BF16, TFOPS_BF16, TFOPS_F32, 17, 136, 1000, 8, 0, 0},
    {NONE, TFOPS_F16, TFOPS_F16, TFOPS_F16, 33, 1032, 72, 0, RESIDUAL, RELU},
    {NONE, TFOPS_BF16, TFOPS_BF16, TFOPS_F16, 64, 520, 264, 0, RESIDUAL | IN_PLACE, GELU_TANH},
    {NONE, TFOPS_F16, TFOPS_F16, TFOPS_BF16, 100, 520, 264, 16, BIAS, 0},
    {NONE, TFOPS_F16, TFOPS_F16, TFOPS_F16, 129, 520, 136, 0, BIAS | RESIDUAL, SILU},
    {NONE, TFOPS_BF16, TFOPS_BF16, TFOPS_BF16, 300, 264, 264, 0, RESIDUAL | IN_PLACE, 0},
    {NONE, TFOPS_BF16, TFOPS_BF16, TFOPS_F32, 500, 520, 64, 0, BIAS | RESIDUAL, GELU_TANH},
    {NONE, TFOPS_F16, TFOPS_F16, TFOPS_F16, 1000, 200, 136, 0, 0, GELU},
    {NONE, TFOPS_F16, TFOPS_F16, TFOPS_F16, 3000, 264, 16, 0, 0, 0},
    {NONE, TFOPS_F16, TFOPS_F16, TFOPS_F16, 64, 8, 8, 0, 0, 0},
    {NONE, TFOPS_F16, TFOPS_F16, TFOPS_F16, 5, 1, 1, 0, BIAS, 0},
    {NONE, TFOPS_F16, TFOPS_F16, TFOPS_F16, 130, 77, 333, 0, BIAS | RESIDUAL, SILU},
    {NONE, TFOPS_BF16, TFOPS_BF16, TFOPS_F32, 70, 130, 258, 2, BIAS, 0},
    {NONE, TFOPS_BF16, TFOPS_BF16, TFOPS_BF16, 67, 129, 500, 3, RESIDUAL, 0},
    {TENSOR, TFOPS_E4M3, TFOPS_E4M3, TFOPS_F16, 1, 256, 1024, 0, 0, 0},
    {TENSOR, TFOPS_E4M3, TFOPS_E4M3, TFOPS_BF16, 16, 272, 1040, 0, BIAS, SILU},
    {TENSOR, TFOPS_E4M3, TFOPS_E5M2, TFOPS_F32, 65, 136, 512, 16, RESIDUAL, 0},
    {TENSOR, TFOPS_E5M2, TFOPS_E4M3, TFOPS_F16, 200, 264, 272, 0, 0, 0},
    {TENSOR, TFOPS_E5M2, TFOPS_E5M2, TFOPS_F16, 300, 144, 272, 0, BIAS | RESIDUAL, GELU},
    {TENSOR, TFOPS_E4M3, TFOPS_E4M3, TFOPS_F16, 300, 520, 400, 0, FAST, 0},
    {TENSOR, TFOPS_E4M3, TFOPS_E4M3, TFOPS_F32, 50, 77, 333, 0, BIAS, 0},
    {TENSOR, TFOPS_E5M2, TFOPS_E4M3, TFOPS_BF16, 129, 100, 100, 4, 0, RELU},
    {ROW, TFOPS_E4M3, TFOPS_E4M3, TFOPS_F16, 7, 256, 1024, 0, BIAS, 0},
    {ROW, TFOPS_E4M3, TFOPS_E4M3, TFOPS_BF16, 300, 272, 400, 0, BIAS | RESIDUAL, SILU},
    {ROW, TFOPS_E4M3, TFOPS_E5M2, TFOPS_F32, 1000, 136, 144, 0, 0, 0},
    {ROW, TFOPS_E4M3, TFOPS_E4M3, TFOPS_F16, 91, 75, 130, 0, COLUMN, GELU_TANH},
    {BLOCK, TFOPS_E4M3, TFOPS_E4M3, TFOPS_BF16, 1, 256, 1024, 0, 0, 0},
    {BLOCK, TFOPS_E4M3, TFOPS_E4M3, TFOPS_F32, 16, 272, 1040, 0, COLUMN, 0},
    {BLOCK, TFOPS_E4M3, TFOPS_E5M2, TFOPS_F16, 65, 136, 512, 16, COLUMN | RESIDUAL, 0},
    {BLOCK, TFOPS_E5M2, TFOPS_E4M3, TFOPS_BF16, 130, 528, 400, 0, BIAS, SILU},
    {BLOCK, TFOPS_E4M3, TFOPS_E4M3, TFOPS_F32, 300, 400, 272, 0, COLUMN, 0},
    {BLOCK, TFOPS_E4M3, TFOPS_E4M3, TFOPS_BF16, 260, 1040, 200, 0, BIAS | RESIDUAL | COLUMN, GELU},
    {BLOCK, TFOPS_E4M3, TFOPS_E4M3, TFOPS_F16, 91, 175, 333, 0, BIAS, 0},
    {BLOCK, TFOPS_E5M2, TFOPS_E5M2, TFOPS_F32, 129, 300, 260, 4, COLUMN, RELU},
};

enum { X, WEIGHT, BIAS_OPERAND, RESIDUAL_OPERAND, OUT, X_SCALE, WEIGHT_SCALE };
static const char *const OPS[] = {"linear", "fp8_gemm", "fp8_gemm", "fp8_gemm"};

static void give_scales(
    struct gpu_matrix_run *run, struct tfops_engine *engine, const struct gemm_case *c)
{
    const int64_t groups = c->scaling == BLOCK ? (c->k + 127) / 128 : 1;
    const int64_t x = c->scaling == TENSOR ? 1 : c->m;
    const int64_t weight = c->scaling == TENSOR ? 1 : c->scaling == ROW ? c->n : (c->n + 127) / 128;
    const bool column = c->with & COLUMN;
    gpu_matrix_give(
        run, engine, X_SCALE, TFOPS_F32, column ? groups : x, column ? x : groups, c->pad);
    gpu_matrix_give(run, engine, WEIGHT_SCALE, TFOPS_F32, weight, groups, c->pad);
}

static void make_run(
    struct gpu_matrix_run *run, struct tfops_engine *engine, const struct gemm_case *c)
{
    *run = (struct gpu_matrix_run){.args = {.size = sizeof run->args}};
    run->args.options[0] = (uint8_t)c->activation;
    run->args.options[1] = (c->with & FAST) != 0;
    run->args.options[2] = c->scaling > TENSOR ? (uint8_t)(c->scaling - TENSOR) : 0;
    run->args.options[3] = (c->with & COLUMN) != 0;
    gpu_matrix_give(run, engine, X, c->dtype, c->m, c->k, c->pad);
    gpu_matrix_give(run, engine, WEIGHT, c->weight_dtype, c->n, c->k, c->pad);
    if (c->with & BIAS)
        gpu_matrix_give(run, engine, BIAS_OPERAND, c->out_dtype, 0, c->n, 0);
    if (c->with & RESIDUAL)
        gpu_matrix_give(run, engine, RESIDUAL_OPERAND, c->out_dtype, c->m, c->n, c->pad);
    if (c->with & IN_PLACE)
        run->args.operands[OUT] = run->args.operands[RESIDUAL_OPERAND];
    else
        gpu_matrix_give(run, engine, OUT, c->out_dtype, c->m, c->n, c->pad);
    if (c->scaling)
        give_scales(run, engine, c);
}

static double bound(const struct gemm_case *c)
{
    const double rounding = c->out_dtype == TFOPS_F32 ? 0 : c->out_dtype == TFOPS_F16 ? 6e-4 : 4e-3;
    return rounding + (c->with & FAST ? 2e-3 : c->scaling ? 3e-4 : 6e-6);
}

static void must(enum tfops_status status, const char *name)
{
    struct tfops_error error = {.size = sizeof error};
    tfops_error_last(&error);
    cr_assert_eq(status, TFOPS_OK, "%s: %s", name, error.message);
}

static void check(struct gpu_matrix *both, const struct gemm_case *c, bool prepared)
{
    struct gpu_matrix_run run;
    make_run(&run, both->gpu.engine, c);
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

Test(gemm_gpu, agrees_with_the_reference_when_cold)
{
    SUPPORT_NEEDS_GPU();
    check_all(false);
}

Test(gemm_gpu, agrees_with_the_reference_when_prepared)
{
    SUPPORT_NEEDS_GPU();
    check_all(true);
}

/* One plan for all numbers of tokens: its config was chosen for another one. */
Test(gemm_gpu, agrees_at_every_number_of_tokens)
{
    static const struct gemm_case KINDS[] = {
        {NONE, TFOPS_BF16, TFOPS_BF16, TFOPS_F32, 0, 24, 72, 0, BIAS, 0},
        {NONE, TFOPS_F16, TFOPS_F16, TFOPS_BF16, 0, 23, 71, 0, 0, 0}, /* odd rows: mma.sync */
        {TENSOR, TFOPS_E4M3, TFOPS_E4M3, TFOPS_F16, 0, 24, 144, 0, 0, 0},
        {ROW, TFOPS_E4M3, TFOPS_E5M2, TFOPS_F32, 0, 23, 143, 0, 0, 0},
        {BLOCK, TFOPS_E4M3, TFOPS_E4M3, TFOPS_BF16, 0, 24, 144, 0, 0, 0},
    };
    SUPPORT_NEEDS_GPU();
    struct gpu_matrix both;
    gpu_matrix_open(&both);
    for (size_t i = 0; i < sizeof KINDS / sizeof KINDS[0]; i++) {
        struct gemm_case c = KINDS[i];
        for (c.m = 300; c.m >= 1; c.m--)
            check(&both, &c, c.m == 300 || c.m == 40);
    }
    gpu_matrix_close(&both);
}

/* Sums whole, in parts and promoted; tokens down and across; by wgmma and by mma.sync. */
Test(gemm_gpu, gives_the_same_bits_every_time)
{
    static const struct gemm_case KINDS[] = {
        {NONE, TFOPS_BF16, TFOPS_BF16, TFOPS_F32, 128, 512, 8192, 0, 0, 0},
        {NONE, TFOPS_F16, TFOPS_F16, TFOPS_F32, 4, 256, 16384, 0, BIAS | RESIDUAL, GELU},
        {NONE, TFOPS_BF16, TFOPS_BF16, TFOPS_BF16, 1000, 520, 264, 0, 0, 0},
        {NONE, TFOPS_F16, TFOPS_F16, TFOPS_F32, 500, 300, 1001, 0, 0, 0},
        {TENSOR, TFOPS_E4M3, TFOPS_E4M3, TFOPS_F32, 64, 512, 8192, 0, 0, 0},
        {ROW, TFOPS_E4M3, TFOPS_E5M2, TFOPS_F32, 300, 77, 333, 0, 0, 0},
        {BLOCK, TFOPS_E4M3, TFOPS_E4M3, TFOPS_F32, 256, 512, 4096, 0, COLUMN, 0},
    };
    SUPPORT_NEEDS_GPU();
    struct gpu_matrix both;
    gpu_matrix_open(&both);
    for (size_t i = 0; i < sizeof KINDS / sizeof KINDS[0]; i++) {
        struct gpu_matrix_run run;
        make_run(&run, both.gpu.engine, &KINDS[i]);
        gpu_matrix_check_bits(&both, OPS[KINDS[i].scaling], &run, OUT);
    }
    gpu_matrix_close(&both);
}

/* One element of a matrix; conversions to fp8 saturate, so its infinity is written as bits. */
static void spoil(struct support_tensor *tensor, int64_t row, int64_t col, float value)
{
    const int64_t at = row * tensor->tensor.strides[0] + col;
    if (tensor->tensor.dtype == TFOPS_E5M2 && isinf(value))
        ((uint8_t *)tensor->host)[at] = value > 0 ? 0x7c : 0xfc;
    else
        host_store(tensor->host, tensor->tensor.dtype, at, value);
    must(tfops_device_write(tensor->engine, tensor->memory, tensor->host, tensor->bytes), "spoil");
}

/* A NaN or an infinity anywhere in a row of x or of weight is in the outputs of that row alone, at the
 * ends of K, too, where what lies outside counts as zero. */
Test(gemm_gpu, passes_on_what_is_not_finite)
{
    static const struct gemm_case KINDS[] = {
        {NONE, TFOPS_BF16, TFOPS_BF16, TFOPS_F32, 5, 136, 200, 0, 0, 0},
        {NONE, TFOPS_F16, TFOPS_F16, TFOPS_F16, 300, 264, 264, 0, BIAS | RESIDUAL, 0},
        {NONE, TFOPS_F16, TFOPS_F16, TFOPS_BF16, 130, 77, 333, 0, 0, 0},
        {TENSOR, TFOPS_E4M3, TFOPS_E4M3, TFOPS_F16, 16, 136, 400, 0, 0, 0},
        {TENSOR, TFOPS_E5M2, TFOPS_E5M2, TFOPS_F32, 300, 144, 272, 0, 0, 0},
        {TENSOR, TFOPS_E5M2, TFOPS_E4M3, TFOPS_F32, 50, 77, 333, 0, FAST, 0},
        {ROW, TFOPS_E5M2, TFOPS_E4M3, TFOPS_BF16, 129, 136, 144, 0, 0, 0},
        {BLOCK, TFOPS_E5M2, TFOPS_E4M3, TFOPS_F32, 64, 272, 272, 0, 0, 0},
        {BLOCK, TFOPS_E4M3, TFOPS_E4M3, TFOPS_F32, 91, 175, 333, 0, 0, 0},
    };
    enum { N = sizeof KINDS / sizeof KINDS[0] };
    SUPPORT_NEEDS_GPU();
    struct gpu_matrix both;
    gpu_matrix_open(&both);
    for (size_t i = 0; i < 2 * N; i++) {
        const struct gemm_case *c = &KINDS[i / 2];
        const bool has_infinity = c->dtype != TFOPS_E4M3;
        struct gpu_matrix_run run;
        make_run(&run, both.gpu.engine, c);
        spoil(&run.tensors[X], 1, 5, NAN);
        spoil(&run.tensors[WEIGHT], 3, c->k - 1, NAN);
        if (has_infinity) {
            spoil(&run.tensors[X], 2, c->k - 1, INFINITY);
            spoil(&run.tensors[X], c->m - 1, 0, -INFINITY);
        }
        const struct gpu_matrix_kinds kinds =
            gpu_matrix_check_kinds(&both, OPS[c->scaling], &run, OUT, i % 2);
        cr_expect_geq(kinds.nan, c->n + c->m - 1);
        cr_expect_eq(kinds.infinite > 0, has_infinity);
        cr_expect_gt(kinds.finite, 0);
    }
    gpu_matrix_close(&both);
}

/* Into how many parts the default config divides the sum. */
static int64_t parts_of_sum(const struct tfops_engine *engine, const struct tfops_problem *problem)
{
    const struct tfops_spec *spec = problem->spec;
    struct tfops_config config;
    spec->default_config(spec->user, problem, tfops_engine_device(engine), &config);
    for (size_t i = 0; i < spec->n_tunables; i++)
        if (strcmp(spec->tunables[i].name, "SPLIT_K") == 0)
            return config.values[i];
    cr_assert_fail("no SPLIT_K");
    return 0;
}

/* Equal signs and a long sum: what the tensor core drops does not cancel out. */
static double long_sum_error(struct gpu_matrix *both, bool fast, int64_t *ret_products)
{
    const struct gemm_case c = {
        TENSOR, TFOPS_E4M3, TFOPS_E4M3, TFOPS_F32, 256, 256, 16384, 0, fast ? FAST : 0, 0};
    struct gpu_matrix_run run;
    const struct tfops_spec *spec = tfops_engine_operator(both->gpu.engine, "fp8_gemm");
    const float one = 1;
    double worst = 0;
    make_run(&run, both->gpu.engine, &c);
    for (int i = X; i <= WEIGHT; i++) {
        struct support_tensor *tensor = &run.tensors[i];
        for (size_t k = 0; k < tensor->bytes; k++)
            ((uint8_t *)tensor->host)[k] &= 0x7f;
        must(tfops_device_write(both->gpu.engine, tensor->memory, tensor->host, tensor->bytes), "");
    }
    must(tfops_device_write(both->gpu.engine, run.tensors[X_SCALE].memory, &one, sizeof one), "");
    must(tfops_device_write(both->gpu.engine, run.tensors[WEIGHT_SCALE].memory, &one, sizeof one),
        "");
    struct tfops_problem problem;
    must(tfops_problem_from_args(spec, &run.args, &problem), "long sum");
    *ret_products = c.k / parts_of_sum(both->gpu.engine, &problem);
    must(tfops_engine_warm(both->gpu.engine, &problem, 1), "long sum");
    must(tfops_launch(both->gpu.engine, spec, &run.args, NULL), "long sum");
    const float *out = support_tensor_read(&run.tensors[OUT]);
    for (int64_t at = 0; at < c.m * c.n; at += 397) {
        double sum = 0;
        for (int64_t k = 0; k < c.k; k++)
            sum += (double)host_load(run.tensors[X].host, c.dtype, at / c.n * c.k + k) *
                   (double)host_load(run.tensors[WEIGHT].host, c.dtype, at % c.n * c.k + k);
        worst = fmax(worst, fabs((double)out[at] - sum) / sum);
    }
    gpu_matrix_free(&run);
    return worst;
}

Test(gemm_gpu, fp8_keeps_a_long_sum_of_one_sign)
{
    SUPPORT_NEEDS_GPU();
    struct gpu_matrix both;
    gpu_matrix_open(&both);
    int64_t products;
    const double exact = long_sum_error(&both, false, &products);
    const double fast = long_sum_error(&both, true, &products);
    fprintf(stderr,
        "fp8 sums of 16384 positive products: off by %.2g, fast_accum in parts of %lld %.2g\n",
        exact, (long long)products, fast);
    cr_expect_leq(exact, 1e-3);
    cr_expect_leq(fast, 2e-5 * (double)products); /* measured: 1.6e-5 (docs/notes/gemm.md) */
    gpu_matrix_close(&both);
}
