/*
 * Row operators on a GPU against the cpu device: one table of problems as on a command line, each
 * launched as the generic variant (a cold key) and as the default config (a prepared one). Operands
 * follow from the spec, so that a new operator is lines of the table.
 */
#include <criterion/criterion.h>

#include "tests/support/host_data.h"
#include "tests/support/test_support.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { TEXT_BYTES = 512 };

struct row_case {
    const char *problem;
    int64_t pad;            /* elements between rows */
    int64_t offset;         /* elements before the first row */
    const char *scalars[2]; /* NULL: the default */
    bool in_place;          /* the output is the input that it may be */
    double spread;          /* inputs are in [-spread, spread); 0: 4 */
};

static const struct row_case GATED_ACT[] = {
    {.problem = "gated_act rows=1 ffn=4096"},
    {.problem = "gated_act rows=1 ffn=28672 dtype=bf16 act=gelu"},
    {.problem = "gated_act rows=7 ffn=11008 dtype=f32 act=gelu_tanh"},
    {.problem = "gated_act rows=300 ffn=18944 act=gelu", .in_place = true},
    {.problem = "gated_act rows=133 ffn=4096 dtype=bf16", .pad = 4096},
    {.problem = "gated_act rows=65 ffn=1"},
    {.problem = "gated_act rows=65 ffn=7 dtype=f32 act=gelu"},
    {.problem = "gated_act rows=37 ffn=4095 dtype=bf16", .pad = 2, .offset = 1},
    {.problem = "gated_act rows=37 ffn=4095 dtype=f32 act=gelu_tanh", .spread = 100},
    {.problem = "gated_act rows=2049 ffn=64 dtype=f16"},
    {.problem = "gated_act rows=33 ffn=14336 out_dtype=e4m3 scales=1 dtype=bf16"},
    {.problem = "gated_act rows=300 ffn=4096 out_dtype=e5m2 scales=1 dtype=f32 act=gelu"},
    {.problem = "gated_act rows=9 ffn=1000 out_dtype=e4m3 scales=1", .pad = 8},
    {.problem = "gated_act rows=9 ffn=1001 out_dtype=e4m3 scales=1"},
    {.problem =
            "gated_act rows=33 ffn=14336 out_dtype=e4m3 scales=1 granularity=per_group dtype=bf16"},
    {.problem = "gated_act rows=1 ffn=28672 out_dtype=e4m3 scales=1 granularity=per_group "
                "scale_major=column"},
    {.problem =
            "gated_act rows=300 ffn=384 out_dtype=e5m2 scales=1 granularity=per_group dtype=f32"},
};

static const struct row_case SOFTMAX[] = {
    {.problem = "softmax rows=1 width=4096"},
    {.problem = "softmax rows=300 width=4096 dtype=bf16", .in_place = true},
    {.problem = "softmax rows=64 width=32768 dtype=f16", .scalars = {"-0.5"}},
    {.problem = "softmax rows=5 width=151936 dtype=bf16", .scalars = {"3"}},
    {.problem = "softmax rows=3 width=1048576 dtype=f32", .scalars = {"2"}},
    {.problem = "softmax rows=2 width=1048575 dtype=f16", .spread = 10},
    {.problem = "softmax rows=65 width=1 dtype=f32"},
    {.problem = "softmax rows=65 width=7 dtype=bf16 out_dtype=f32"},
    {.problem = "softmax rows=37 width=4095", .pad = 2, .offset = 1},
    {.problem = "softmax rows=2049 width=128 dtype=f32 out_dtype=f16"},
    {.problem = "softmax rows=512 width=512 causal=yes", .scalars = {"0.125", "128"}},
    {.problem = "softmax rows=512 width=100 causal=yes dtype=bf16", .scalars = {"-2", "256"}},
    {.problem = "softmax rows=36 width=1000 mask=1 mask_rows=12 dtype=bf16", .scalars = {"0.25"}},
    {.problem = "softmax rows=36 width=4095 mask=1 mask_rows=1 mask_dtype=f32", .pad = 1},
    {.problem =
            "softmax rows=64 width=4096 mask=1 mask_rows=64 causal=yes mask_dtype=f32 dtype=bf16",
        .scalars = {"0.125"}},
    {.problem = "softmax rows=30 width=5000 dtype=f32", .spread = 1e4},
    {.problem = "softmax rows=30 width=5000 dtype=f32", .spread = 1e12},
};

struct row_run {
    struct tfops_problem problem;
    struct support_tensor tensors[TFOPS_MAX_OPERANDS]; /* bytes 0: absent, or another's memory */
    struct tfops_tensor host[TFOPS_MAX_OPERANDS];
    void *expected[TFOPS_MAX_OPERANDS], *before[TFOPS_MAX_OPERANDS];
    struct tfops_args args, host_args;
};

/* "op name=value …" */
static void parse(struct tfops_engine *engine, const char *text, struct tfops_problem *problem)
{
    char line[TEXT_BYTES], *rest = line;
    snprintf(line, sizeof line, "%s", text);
    const char *op = strsep(&rest, " ");
    cr_assert_eq(tfops_problem_init(tfops_engine_operator(engine, op), problem), TFOPS_OK);
    while (rest) {
        char *value = strsep(&rest, " "), *name = strsep(&value, "=");
        cr_assert_eq(tfops_problem_set(problem, name, value), TFOPS_OK, "%s: %s", text, name);
    }
    struct tfops_error error = {.size = sizeof error};
    const enum tfops_status status = tfops_problem_check(problem);
    tfops_error_last(&error);
    cr_assert_eq(status, TFOPS_OK, "%s: %s", text, error.message);
}

static void spread(struct support_tensor *tensor, enum tfops_dtype dtype, double by)
{
    const int64_t n = (int64_t)(tensor->bytes / tfops_dtype_bytes(dtype));
    for (int64_t i = 0; i < n; i++)
        host_store(tensor->host, dtype, i, (float)(by * (double)host_load(tensor->host, dtype, i)));
    cr_assert_eq(
        tfops_device_write(tensor->engine, tensor->memory, tensor->host, tensor->bytes), TFOPS_OK);
}

static void *copy_of(const struct support_tensor *tensor)
{
    void *copy = malloc(tensor->bytes);
    cr_assert(copy);
    return memcpy(copy, tensor->host, tensor->bytes);
}

/* Operand i on the device and, for the cpu device, on the host. */
static void give(
    struct row_run *run, struct tfops_engine *engine, const struct row_case *c, size_t i)
{
    const struct tfops_operand_spec *operand = &run->problem.spec->operands[i];
    const enum tfops_dtype dtype = (enum tfops_dtype)run->problem.dtypes[operand->dtype];
    const int64_t rows = operand->rank > 1 ? run->problem.dims[operand->dims[0]] : 0;
    const int64_t cols = run->problem.dims[operand->dims[operand->rank - 1]];
    const struct support_shape shape = {dtype, rows, cols, cols + c->pad, c->offset};
    support_tensor_make(&run->tensors[i], engine, &shape, i + 1);
    spread(&run->tensors[i], dtype, c->spread > 0 ? c->spread : 4);
    run->before[i] = copy_of(&run->tensors[i]);
    run->expected[i] = copy_of(&run->tensors[i]);
    run->host[i] = run->tensors[i].tensor;
    run->host[i].data = (char *)run->expected[i] + run->tensors[i].offset;
    run->args.operands[i] = &run->tensors[i].tensor;
    run->host_args.operands[i] = &run->host[i];
}

static void make_run(struct row_run *run, struct tfops_engine *engine, const struct row_case *c)
{
    parse(engine, c->problem, &run->problem);
    const struct tfops_spec *spec = run->problem.spec;
    run->args =
        (struct tfops_args){.size = sizeof run->args, .n_scalars = (uint32_t)spec->n_scalars};
    memcpy(run->args.options, run->problem.options, sizeof run->args.options);
    for (size_t i = 0; i < spec->n_scalars; i++)
        run->args.scalars[i] =
            c->scalars[i] ? strtod(c->scalars[i], NULL) : spec->scalars[i].default_value;
    run->host_args = run->args;
    for (size_t i = 0; i < spec->n_operands; i++) {
        const uint32_t alias = c->in_place ? spec->operands[i].may_alias : 0;
        const size_t same = alias ? (size_t)__builtin_ctz(alias) : i;
        if (!(run->problem.present >> i & 1))
            continue;
        if (same < i) {
            run->args.operands[i] = run->args.operands[same];
            run->host_args.operands[i] = run->host_args.operands[same];
        } else {
            give(run, engine, c, i);
        }
    }
}

static void free_run(struct row_run *run)
{
    for (size_t i = 0; i < TFOPS_MAX_OPERANDS; i++)
        if (run->tensors[i].bytes) {
            support_tensor_free(&run->tensors[i]);
            free(run->expected[i]);
            free(run->before[i]);
        }
}

/* Whether an element is as near as the spec wants it; adds to the two sums of squares. */
static bool near(double got, double want, const struct tfops_tolerance *tolerance, double sums[2])
{
    if (!isfinite(got) || !isfinite(want))
        return got == want || (isnan(got) && isnan(want));
    const double difference = fabs(got - want);
    sums[0] += difference * difference;
    sums[1] += want * want;
    return difference <= tolerance->atol + tolerance->rtol * fabs(want);
}

/* Operand i's memory: the rows against the reference, what is between them against what was there. */
static void compare(struct row_run *run, size_t i, const char *what)
{
    const struct tfops_spec *spec = run->problem.spec;
    const struct tfops_tensor *tensor = &run->tensors[i].tensor;
    const int64_t elem = (int64_t)tfops_dtype_bytes(tensor->dtype);
    const int64_t start = run->tensors[i].offset / elem, n = (int64_t)run->tensors[i].bytes / elem;
    const int64_t cols = tensor->shape[tensor->rank - 1];
    const int64_t stride = tensor->rank > 1 ? tensor->strides[0] : cols;
    const char *got = support_tensor_read(&run->tensors[i]);
    struct tfops_tolerance tolerance;
    double sums[2] = {0};
    got -= run->tensors[i].offset;
    spec->tolerance(spec->user, &run->problem, i, &tolerance);
    for (int64_t k = 0; k < n; k++) {
        if (k < start || (k - start) % stride >= cols) {
            const size_t at = (size_t)(k * elem);
            cr_assert(!memcmp(got + at, (char *)run->before[i] + at, (size_t)elem),
                "%s: %s: element %lld is no row's and was written", what, spec->operands[i].name,
                (long long)k);
            continue;
        }
        const double x = (double)host_load(got, tensor->dtype, k);
        const double y = (double)host_load(run->expected[i], tensor->dtype, k);
        cr_assert(near(x, y, &tolerance, sums), "%s: %s[%lld][%lld] is %.9g, wanted %.9g", what,
            spec->operands[i].name, (long long)((k - start) / stride),
            (long long)((k - start) % stride), x, y);
    }
    const double distance = sqrt(sums[0]), bound = tolerance.relative * sqrt(sums[1]);
    cr_assert(distance <= bound, "%s: %s is off by %g, allowed %g", what, spec->operands[i].name,
        distance, bound);
}

static void check(
    struct support_engine *gpu, struct tfops_engine *cpu, const struct row_case *c, bool prepared)
{
    static struct row_run run;
    char what[TEXT_BYTES + 16];
    struct tfops_error error = {.size = sizeof error};
    memset(&run, 0, sizeof run);
    make_run(&run, gpu->engine, c);
    const struct tfops_spec *spec = run.problem.spec;
    snprintf(what, sizeof what, "%s, %s", c->problem, prepared ? "default" : "cold");
    struct tfops_problem asked;
    cr_assert_eq(tfops_problem_from_args(spec, &run.args, &asked), TFOPS_OK, "%s", what);
    if (prepared)
        cr_assert_eq(tfops_engine_warm(gpu->engine, &asked, 1), TFOPS_OK, "%s", what);
    enum tfops_status status = tfops_launch(gpu->engine, spec, &run.args, NULL);
    if (!status)
        status = tfops_device_synchronize(gpu->engine);
    tfops_error_last(&error);
    cr_assert_eq(status, TFOPS_OK, "%s: %s", what, error.message);
    spec = tfops_engine_operator(cpu, spec->name);
    cr_assert_eq(tfops_launch(cpu, spec, &run.host_args, NULL), TFOPS_OK, "%s", what);
    for (size_t i = 0; i < spec->n_operands; i++)
        if (run.tensors[i].bytes)
            compare(&run, i, what);
    free_run(&run);
}

static void check_all(const struct row_case *cases, size_t n)
{
    struct tfops_engine *cpu;
    struct tfops_engine_options options = {
        .size = sizeof options, .device = "cpu", .cache_path = ""};
    for (int prepared = 0; prepared < 2; prepared++) {
        struct support_engine gpu;
        support_engine_open(&gpu, NULL, NULL);
        cr_assert_eq(tfops_engine_open(&options, &cpu), TFOPS_OK);
        for (size_t i = 0; i < n; i++)
            check(&gpu, cpu, &cases[i], prepared);
        tfops_engine_close(cpu);
        support_engine_close(&gpu);
    }
}

#define CHECK_ALL(cases) check_all(cases, sizeof(cases) / sizeof *(cases))

Test(row_gpu, gated_act_agrees_with_the_reference)
{
    SUPPORT_NEEDS_GPU();
    CHECK_ALL(GATED_ACT);
}

Test(row_gpu, softmax_agrees_with_the_reference)
{
    SUPPORT_NEEDS_GPU();
    CHECK_ALL(SOFTMAX);
}
