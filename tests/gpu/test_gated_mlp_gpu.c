/*
 * gated_mlp and fp8_gated_mlp on a GPU against the cpu device: one table of cases, each launched as the
 * generic variant (a cold key) and as the default config (a prepared one).
 */
#include <criterion/criterion.h>

#include "tests/support/host_data.h"
#include "tests/support/test_support.h"
#include <math.h>
#include <stdlib.h>

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

enum { X, GATE_WEIGHT, UP_WEIGHT, OUT, SCALE_OF_OUT, X_SCALE, GATE_SCALE, UP_SCALE, OPERANDS };
static const char *const OPS[] = {"gated_mlp", "fp8_gated_mlp", "fp8_gated_mlp"};

struct run {
    struct support_tensor tensors[OPERANDS]; /* by operand; absent and halves: bytes == 0 */
    struct tfops_tensor up;                  /* the second half of a packed weight */
    struct tfops_args args;
};

static void give(struct run *run, struct tfops_engine *engine, int operand, enum tfops_dtype dtype,
    int64_t rows, int64_t cols, int64_t pad)
{
    const struct support_shape shape = {dtype, rows, cols, cols + pad, 0};
    support_tensor_make(&run->tensors[operand], engine, &shape, 7u + (unsigned)operand);
    run->args.operands[operand] = &run->tensors[operand].tensor;
}

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

static void make_run(struct run *run, struct tfops_engine *engine, const struct mlp_case *c)
{
    const bool packed = c->with & PACKED;
    *run = (struct run){.args = {.size = sizeof run->args}};
    run->args.options[0] = (uint8_t)c->act;
    run->args.options[c->scaling ? 3 : 1] = (c->with & UP) != 0;
    if (c->scaling) {
        run->args.options[1] = (c->with & FAST) != 0;
        run->args.options[2] = c->scaling == ROW;
        give(run, engine, X_SCALE, TFOPS_F32, c->scaling == ROW ? c->m : 1, 1, 0);
        give(run, engine, GATE_SCALE, TFOPS_F32, c->scaling == ROW ? c->n : 1, 1, 0);
        give(run, engine, UP_SCALE, TFOPS_F32, c->scaling == ROW ? c->n : 1, 1, 0);
    }
    give(run, engine, X, c->dtype, c->m, c->k, c->pad);
    give(run, engine, GATE_WEIGHT, c->weight_dtype, (packed ? 2 : 1) * c->n, c->k, c->pad);
    if (!packed)
        give(run, engine, UP_WEIGHT, c->weight_dtype, c->n, c->k, c->pad);
    give(run, engine, OUT, c->out_dtype, c->m, c->n, c->pad);
    if (c->with & OUT_SCALE)
        give(run, engine, SCALE_OF_OUT, TFOPS_F32, 1, 1, 0);
    if (packed) {
        run->up = halve(&run->tensors[GATE_WEIGHT].tensor);
        run->args.operands[UP_WEIGHT] = &run->up;
    }
}

/* The host's copies of every operand, for the cpu device to run on. */
struct host_run {
    struct tfops_tensor tensors[OPERANDS];
    void *memory[OPERANDS];
    struct tfops_args args;
};

static void copy_run(const struct run *run, const struct mlp_case *c, struct host_run *host)
{
    *host = (struct host_run){.args = run->args};
    for (int i = 0; i < OPERANDS; i++) {
        if (!run->tensors[i].bytes)
            continue;
        host->memory[i] = malloc(run->tensors[i].bytes);
        memcpy(host->memory[i], run->tensors[i].host, run->tensors[i].bytes);
        host->tensors[i] = support_tensor_on_host(&run->tensors[i]);
        host->tensors[i].data = host->memory[i];
        host->args.operands[i] = &host->tensors[i];
    }
    if (c->with & PACKED) {
        struct tfops_tensor *gate = &host->tensors[GATE_WEIGHT];
        gate->shape[0] = 2 * c->n;
        host->tensors[UP_WEIGHT] = halve(gate);
        host->args.operands[UP_WEIGHT] = &host->tensors[UP_WEIGHT];
    }
}

/* ‖a − b‖ / ‖b‖; infinity when one is not finite. */
static double distance(const struct mlp_case *c, const void *a, const void *b)
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

/* Rounding, and for fp8 products what the tensor core drops; fp8 results that lie between two codes. */
static double bound(const struct mlp_case *c)
{
    static const double ROUNDING[TFOPS_DTYPE_COUNT] = {
        [TFOPS_F16] = 6e-4, [TFOPS_BF16] = 4e-3, [TFOPS_E4M3] = 2e-2, [TFOPS_E5M2] = 4e-2};
    return ROUNDING[c->out_dtype] + (c->with & FAST ? 4e-3 : c->scaling ? 6e-4 : 1e-5);
}

static void must(enum tfops_status status, const char *name)
{
    struct tfops_error error = {.size = sizeof error};
    tfops_error_last(&error);
    cr_assert_eq(status, TFOPS_OK, "%s: %s", name, error.message);
}

/* Launches on the GPU, computes on the host, compares. */
static void check(
    struct tfops_engine *gpu, struct tfops_engine *cpu, const struct mlp_case *c, bool prepared)
{
    char name[256];
    struct run run;
    struct host_run host;
    struct tfops_problem problem;
    const struct tfops_spec *spec = tfops_engine_operator(gpu, OPS[c->scaling]);
    make_run(&run, gpu, c);
    copy_run(&run, c, &host);
    must(tfops_problem_from_args(spec, &run.args, &problem), OPS[c->scaling]);
    tfops_problem_format(&problem, name, sizeof name);
    if (prepared)
        must(tfops_engine_warm(gpu, &problem, 1), name);
    must(tfops_launch(gpu, spec, &run.args, NULL), name);
    must(tfops_device_synchronize(gpu), name);
    must(tfops_launch(cpu, tfops_engine_operator(cpu, OPS[c->scaling]), &host.args, NULL), name);
    double d = distance(c, support_tensor_read(&run.tensors[OUT]), host.memory[OUT]);
    cr_expect(d <= bound(c), "%s %s: off by %g, allowed %g", prepared ? "default" : "cold", name, d,
        bound(c));
    for (int i = 0; i < OPERANDS; i++) {
        free(host.memory[i]);
        if (run.tensors[i].bytes)
            support_tensor_free(&run.tensors[i]);
    }
}

struct both {
    struct support_engine gpu;
    struct tfops_engine *cpu;
};

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
        check(both.gpu.engine, both.cpu, &CASES[i], prepared);
    close_both(&both);
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
    struct both both;
    open_both(&both);
    for (size_t i = 0; i < sizeof KINDS / sizeof KINDS[0]; i++) {
        struct mlp_case c = KINDS[i];
        for (c.m = 300; c.m >= 1; c.m--)
            check(both.gpu.engine, both.cpu, &c, c.m == 300 || c.m == 40);
    }
    close_both(&both);
}
