/*
 * rmsnorm and add_rmsnorm on a GPU against the cpu device: one table of cases, each launched as the
 * generic variant (a cold key) and as the default config (a prepared one).
 */
#include <criterion/criterion.h>

#include "tests/support/host_data.h"
#include "tests/support/test_support.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

struct norm_case {
    enum tfops_dtype dtype, weight_dtype;
    int64_t rows, hidden, stride, offset; /* stride 0: contiguous; offset in elements */
    int variant;
    bool in_place; /* out is x, and for add_rmsnorm residual takes the sum */
};

#define PLAIN 0
#define ONE_PLUS 1
#define ROUND 2

static const struct norm_case CASES[] = {
    {TFOPS_F16, TFOPS_F16, 1, 4096, 0, 0, PLAIN, false},
    {TFOPS_F16, TFOPS_F16, 7, 4096, 0, 0, ONE_PLUS, false},
    {TFOPS_BF16, TFOPS_BF16, 300, 4096, 0, 0, ROUND, false},
    {TFOPS_F32, TFOPS_F32, 300, 4096, 0, 0, PLAIN, false},
    {TFOPS_BF16, TFOPS_F32, 133, 2880, 0, 0, PLAIN, false},
    {TFOPS_F16, TFOPS_F32, 64, 3584, 0, 0, ROUND, false},
    {TFOPS_F16, TFOPS_F16, 1000, 5120, 5128, 0, PLAIN, false},
    {TFOPS_F16, TFOPS_F16, 37, 4095, 0, 0, PLAIN, false},
    {TFOPS_BF16, TFOPS_F32, 37, 4095, 0, 0, PLAIN, false},
    {TFOPS_F32, TFOPS_F32, 37, 4095, 0, 0, ONE_PLUS, false},
    {TFOPS_F16, TFOPS_F16, 37, 4097, 4099, 1, PLAIN, false},
    {TFOPS_F16, TFOPS_F16, 65, 1, 0, 0, PLAIN, false},
    {TFOPS_F16, TFOPS_F16, 65, 2, 0, 0, PLAIN, false},
    {TFOPS_BF16, TFOPS_BF16, 65, 7, 0, 0, PLAIN, false},
    {TFOPS_F32, TFOPS_F32, 65, 3, 5, 1, PLAIN, false},
    {TFOPS_F16, TFOPS_F16, 2049, 64, 0, 0, PLAIN, false},
    {TFOPS_BF16, TFOPS_BF16, 2049, 128, 0, 0, PLAIN, true},
    {TFOPS_F16, TFOPS_F16, 129, 1000, 1004, 0, PLAIN, true},
    {TFOPS_F16, TFOPS_F16, 129, 1000, 1001, 0, PLAIN, true},
    {TFOPS_F16, TFOPS_F16, 20, 12288, 0, 0, PLAIN, false},
    {TFOPS_F32, TFOPS_F32, 20, 12288, 0, 0, PLAIN, true},
    {TFOPS_F16, TFOPS_F16, 9, 65535, 0, 0, PLAIN, false},
    {TFOPS_F16, TFOPS_F16, 9, 65536, 0, 0, PLAIN, false},
    {TFOPS_F32, TFOPS_F32, 9, 65536, 0, 0, PLAIN, true},
    {TFOPS_BF16, TFOPS_BF16, 1, 65536, 0, 0, PLAIN, false},
    {TFOPS_F16, TFOPS_F16, 4000, 4096, 0, 0, PLAIN, true},
};

enum { MAX_OPERANDS = 5 };

struct run {
    struct support_tensor tensors[MAX_OPERANDS]; /* by operand; aliases and absent: bytes == 0 */
    struct tfops_args args;
};

static void give(struct run *run, struct tfops_engine *engine, int operand,
    const struct norm_case *c, bool weight, uint64_t seed)
{
    struct support_shape shape = {weight ? c->weight_dtype : c->dtype, weight ? 0 : c->rows,
        c->hidden, weight ? 0 : c->stride, weight ? 0 : c->offset};
    support_tensor_make(&run->tensors[operand], engine, &shape, seed);
    run->args.operands[operand] = &run->tensors[operand].tensor;
}

/* rmsnorm: x weight out. add_rmsnorm: x residual weight out residual_out. */
static void make_run(
    struct run *run, struct tfops_engine *engine, const struct norm_case *c, bool add)
{
    *run = (struct run){.args = {.size = sizeof run->args, .n_scalars = 1}};
    run->args.scalars[0] = 1e-5;
    run->args.options[0] = (uint8_t)c->variant;
    run->args.options[1] = add && c->rows % 2;
    give(run, engine, 0, c, false, 1);
    if (add)
        give(run, engine, 1, c, false, 2);
    give(run, engine, 1 + add, c, true, 3);
    if (c->in_place)
        run->args.operands[2 + add] = run->args.operands[0];
    else
        give(run, engine, 2 + add, c, false, 4);
    if (add && !c->in_place)
        give(run, engine, 4, c, false, 5);
}

static void free_run(struct run *run)
{
    for (int i = 0; i < MAX_OPERANDS; i++)
        if (run->tensors[i].bytes)
            support_tensor_free(&run->tensors[i]);
}

/* ‖a − b‖ / ‖b‖ over a [rows, hidden] tensor; infinity when NaN or Inf differ. */
static double distance(const struct norm_case *c, const void *a, const void *b)
{
    double difference = 0, size = 0;
    int64_t stride = c->stride ? c->stride : c->hidden;
    for (int64_t row = 0; row < c->rows; row++)
        for (int64_t i = row * stride; i < row * stride + c->hidden; i++) {
            double x = (double)host_load(a, c->dtype, i), y = (double)host_load(b, c->dtype, i);
            if (isnan(x) || isnan(y) || isinf(x) || isinf(y))
                return INFINITY;
            difference += (x - y) * (x - y);
            size += y * y;
        }
    return sqrt(difference / size);
}

static double bound(const struct norm_case *c)
{
    return c->dtype == TFOPS_F32 ? 2e-6 : c->dtype == TFOPS_F16 ? 1.2e-3 : 1e-2;
}

/* Launches on the GPU, computes on the host, compares every output operand. */
static void check(struct tfops_engine *gpu, struct tfops_engine *cpu, const struct norm_case *c,
    bool add, bool prepared)
{
    char name[256];
    struct run run;
    struct tfops_error error = {.size = sizeof error};
    const char *op = add ? "add_rmsnorm" : "rmsnorm";
    const struct tfops_spec *spec = tfops_engine_operator(gpu, op);
    make_run(&run, gpu, c, add);
    struct tfops_args host_args = run.args;
    struct tfops_tensor host[MAX_OPERANDS];
    void *expected[MAX_OPERANDS] = {NULL};
    for (int i = 0; i < MAX_OPERANDS; i++)
        if (run.tensors[i].bytes) {
            host[i] = support_tensor_on_host(&run.tensors[i]);
            expected[i] = malloc(run.tensors[i].bytes); /* the host copy, before it is read anew */
            memcpy(expected[i], run.tensors[i].host, run.tensors[i].bytes);
            host[i].data = (char *)expected[i] + run.tensors[i].offset;
            host_args.operands[i] = &host[i];
        }
    if (c->in_place)
        host_args.operands[2 + add] = host_args.operands[0];
    struct tfops_problem problem;
    cr_assert_eq(tfops_problem_from_args(spec, &run.args, &problem), TFOPS_OK);
    tfops_problem_format(&problem, name, sizeof name);
    if (prepared)
        cr_assert_eq(tfops_engine_warm(gpu, &problem, 1), TFOPS_OK, "%s", name);
    enum tfops_status status = tfops_launch(gpu, spec, &run.args, NULL);
    tfops_error_last(&error);
    cr_assert_eq(status, TFOPS_OK, "%s: %s", name, error.message);
    status = tfops_device_synchronize(gpu);
    tfops_error_last(&error);
    cr_assert_eq(status, TFOPS_OK, "%s: %s", name, error.message);
    cr_assert_eq(tfops_launch(cpu, tfops_engine_operator(cpu, op), &host_args, NULL), TFOPS_OK);
    for (int i = 0; i < MAX_OPERANDS; i++) {
        if (!run.tensors[i].bytes || i == 1 + add)
            continue;
        const void *actual = support_tensor_read(&run.tensors[i]);
        double d = distance(c, actual, host[i].data);
        cr_expect(d <= bound(c), "%s %s: %s is off by %g, allowed %g",
            prepared ? "default" : "cold", name, spec->operands[i].name, d, bound(c));
    }
    for (int i = 0; i < MAX_OPERANDS; i++)
        free(expected[i]);
    free_run(&run);
}

static void check_all(bool add, bool prepared)
{
    struct support_engine gpu;
    struct tfops_engine *cpu;
    struct tfops_engine_options options = {
        .size = sizeof options, .device = "cpu", .cache_path = ""};
    SUPPORT_NEEDS_GPU();
    support_engine_open(&gpu, NULL, NULL);
    cr_assert_eq(tfops_engine_open(&options, &cpu), TFOPS_OK);
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++)
        check(gpu.engine, cpu, &CASES[i], add, prepared);
    tfops_engine_close(cpu);
    support_engine_close(&gpu);
}

Test(norm_gpu, rmsnorm_agrees_with_the_reference_when_cold)
{
    check_all(false, false);
}

Test(norm_gpu, rmsnorm_agrees_with_the_reference_when_prepared)
{
    check_all(false, true);
}

Test(norm_gpu, add_rmsnorm_agrees_with_the_reference_when_cold)
{
    check_all(true, false);
}

Test(norm_gpu, add_rmsnorm_agrees_with_the_reference_when_prepared)
{
    check_all(true, true);
}
