/*
 * rmsnorm_linear on a GPU against the cpu device: one table of cases, each launched as the generic
 * variant (a cold key) and as the default config (a prepared one).
 */
#include <criterion/criterion.h>

#include "tests/support/host_data.h"
#include "tests/support/test_support.h"
#include <math.h>
#include <stdlib.h>

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

enum { X, WEIGHT, BIAS_OPERAND, RESIDUAL_OPERAND, OUT, NORM_WEIGHT_OPERAND, OPERANDS };
static const double EPS = 1e-5;

struct run {
    struct support_tensor tensors[OPERANDS]; /* by operand; absent: bytes == 0 */
    struct tfops_args args;
};

static void give(struct run *run, struct tfops_engine *engine, int operand, enum tfops_dtype dtype,
    int64_t rows, int64_t cols, int64_t pad)
{
    const struct support_shape shape = {dtype, rows, cols, rows ? cols + pad : 0, 0};
    support_tensor_make(&run->tensors[operand], engine, &shape, 7u + (unsigned)operand);
    run->args.operands[operand] = &run->tensors[operand].tensor;
}

static void make_run(struct run *run, struct tfops_engine *engine, const struct norm_case *c)
{
    *run = (struct run){.args = {.size = sizeof run->args}};
    run->args.options[0] = (uint8_t)c->activation;
    run->args.n_scalars = 1;
    run->args.scalars[0] = EPS;
    give(run, engine, X, c->dtype, c->m, c->k, c->pad);
    give(run, engine, WEIGHT, c->dtype, c->n, c->k, c->pad);
    give(run, engine, OUT, c->out_dtype, c->m, c->n, c->pad);
    if (c->with & BIAS)
        give(run, engine, BIAS_OPERAND, c->out_dtype, 0, c->n, 0);
    if (c->with & RESIDUAL)
        give(run, engine, RESIDUAL_OPERAND, c->out_dtype, c->m, c->n, c->pad);
    if (c->with & NORM_WEIGHT)
        give(run, engine, NORM_WEIGHT_OPERAND, c->dtype, 0, c->k, 0);
}

/* ‖a − b‖ / ‖b‖; infinity when one is not finite. */
static double distance(const struct norm_case *c, const void *a, const void *b)
{
    double difference = 0, size = 0;
    const int64_t stride = c->n + c->pad;
    for (int64_t row = 0; row < c->m; row++)
        for (int64_t i = row * stride; i < row * stride + c->n; i++) {
            double x = (double)host_load(a, c->out_dtype, i);
            double y = (double)host_load(b, c->out_dtype, i);
            if (!isfinite(x) || !isfinite(y))
                return INFINITY;
            difference += (x - y) * (x - y);
            size += y * y;
        }
    return difference > 0 ? sqrt(difference / size) : 0;
}

/* Rounding of the output, and of x · norm_weight. */
static double bound(const struct norm_case *c)
{
    const double out = c->out_dtype == TFOPS_F32 ? 1e-5 : c->out_dtype == TFOPS_F16 ? 6e-4 : 4e-3;
    const double weighted = c->dtype == TFOPS_F16 ? 4e-4 : 3e-3;
    return out + (c->with & NORM_WEIGHT ? weighted : 0);
}

static void must(enum tfops_status status, const char *name)
{
    struct tfops_error error = {.size = sizeof error};
    tfops_error_last(&error);
    cr_assert_eq(status, TFOPS_OK, "%s: %s", name, error.message);
}

struct both {
    struct support_engine gpu;
    struct tfops_engine *cpu;
};

/* The same call on copies in host memory; the output's copy, to be freed. */
static void *run_on_host(struct both *both, const struct run *run, const char *name)
{
    struct tfops_tensor tensors[OPERANDS];
    struct tfops_args args = run->args;
    void *memory[OPERANDS] = {NULL};
    for (int i = 0; i < OPERANDS; i++) {
        if (!run->tensors[i].bytes)
            continue;
        memory[i] = malloc(run->tensors[i].bytes);
        memcpy(memory[i], run->tensors[i].host, run->tensors[i].bytes);
        tensors[i] = support_tensor_on_host(&run->tensors[i]);
        tensors[i].data = memory[i];
        args.operands[i] = &tensors[i];
    }
    must(tfops_launch(both->cpu, tfops_engine_operator(both->cpu, "rmsnorm_linear"), &args, NULL),
        name);
    for (int i = 0; i < OPERANDS; i++)
        if (i != OUT)
            free(memory[i]);
    return memory[OUT];
}

/* Launches on the GPU, computes on the host, compares. */
static void check(struct both *both, const struct norm_case *c, bool prepared)
{
    char name[256];
    struct run run;
    struct tfops_problem problem;
    struct tfops_engine *gpu = both->gpu.engine;
    const struct tfops_spec *spec = tfops_engine_operator(gpu, "rmsnorm_linear");
    make_run(&run, gpu, c);
    must(tfops_problem_from_args(spec, &run.args, &problem), "rmsnorm_linear");
    tfops_problem_format(&problem, name, sizeof name);
    void *want = run_on_host(both, &run, name);
    if (prepared)
        must(tfops_engine_warm(gpu, &problem, 1), name);
    must(tfops_launch(gpu, spec, &run.args, NULL), name);
    must(tfops_device_synchronize(gpu), name);
    double d = distance(c, support_tensor_read(&run.tensors[OUT]), want);
    cr_expect(d <= bound(c), "%s %s: off by %g, allowed %g", prepared ? "default" : "cold", name, d,
        bound(c));
    free(want);
    for (int i = 0; i < OPERANDS; i++)
        if (run.tensors[i].bytes)
            support_tensor_free(&run.tensors[i]);
}

static void open_both(struct both *both)
{
    struct tfops_engine_options options = {
        .size = sizeof options, .device = "cpu", .cache_path = ""};
    support_engine_open(&both->gpu, NULL, NULL);
    must(tfops_engine_open(&options, &both->cpu), "cpu");
}

static void close_both(struct both *both)
{
    tfops_engine_close(both->cpu);
    support_engine_close(&both->gpu);
}

static void check_all(bool prepared)
{
    struct both both;
    open_both(&both);
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++)
        check(&both, &CASES[i], prepared);
    close_both(&both);
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
    struct both both;
    open_both(&both);
    for (c.m = 300; c.m >= 1; c.m--)
        check(&both, &c, c.m == 300 || c.m == 40);
    close_both(&both);
}
