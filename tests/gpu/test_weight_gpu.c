/*
 * Weights and fp8_linear on a GPU against the cpu device: the same source makes both weights, whose
 * contents are compared, then the same input is multiplied by both, cold and prepared.
 */
#include "driver.h"
#include "engine_access.h"
#include <criterion/criterion.h>

#include "tests/support/host_data.h"
#include "tests/support/test_support.h"
#include "tests/support/weight_heap.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    TENSOR = TFOPS_SCALES_PER_TENSOR,
    TOKEN = TFOPS_SCALES_PER_TOKEN,
    BLOCK = TFOPS_SCALES_PER_BLOCK,
    TURNED = TFOPS_WEIGHT_TRANSPOSED
};

static const struct linear_case {
    enum tfops_dtype source, x, out;
    uint32_t scaling, flags;
    int64_t m, n, k;
    float input_scale;
    bool bias;
} CASES[] = {
    {TFOPS_F16, TFOPS_F16, TFOPS_F16, TENSOR, 0, 1, 256, 1024, 0, true},
    {TFOPS_BF16, TFOPS_BF16, TFOPS_BF16, TENSOR, TURNED, 16, 272, 1040, 0, false},
    {TFOPS_F32, TFOPS_F32, TFOPS_F32, TENSOR, TURNED, 300, 136, 333, 0, true},
    {TFOPS_BF16, TFOPS_F16, TFOPS_F16, TENSOR, 0, 65, 264, 512, 0.0078125f, true},
    {TFOPS_F16, TFOPS_BF16, TFOPS_BF16, TOKEN, 0, 7, 256, 1024, 0, true},
    {TFOPS_BF16, TFOPS_BF16, TFOPS_F32, TOKEN, TURNED, 129, 1000, 400, 0, false},
    {TFOPS_F32, TFOPS_F16, TFOPS_F16, TOKEN, TURNED, 33, 77, 130, 0.0078125f, false},
    {TFOPS_F16, TFOPS_F16, TFOPS_F32, BLOCK, 0, 1, 400, 512, 0, true},
    {TFOPS_BF16, TFOPS_BF16, TFOPS_BF16, BLOCK, TURNED, 200, 300, 1024, 0, false},
    {TFOPS_E4M3, TFOPS_BF16, TFOPS_BF16, TENSOR, TURNED, 20, 256, 512, 0, false},
    {TFOPS_E4M3, TFOPS_F16, TFOPS_F32, TOKEN, 0, 70, 256, 333, 0, true},
    {TFOPS_E5M2, TFOPS_F16, TFOPS_F16, BLOCK, TURNED, 130, 264, 384, 0, true},
};

static void must(enum tfops_status status, const char *what)
{
    struct tfops_error error = {.size = sizeof error};
    tfops_error_last(&error);
    cr_assert_eq(status, TFOPS_OK, "%s: %s", what, error.message);
}

/* ---- a case on one device -------------------------------------------------------------------- */

enum { SOURCE, SCALE, X, BIAS, OUT, N_TENSORS };

struct side {
    struct tfops_engine *engine;
    struct weight_heap heap;
    struct tfops_weight *weight;
    struct support_tensor tensors[N_TENSORS];
    void *workspace;
    struct tfops_fp8_linear_args args;
};

static void give(
    struct side *side, int i, enum tfops_dtype dtype, int64_t rows, int64_t cols, int64_t pad)
{
    const struct support_shape shape = {dtype, rows, cols, rows ? cols + pad : 0, 0};
    support_tensor_make(&side->tensors[i], side->engine, &shape, 40u + (unsigned)i);
}

static void make_tensors(struct side *side, const struct linear_case *c)
{
    const bool turned = c->flags & TURNED;
    const int64_t rows = c->scaling == TENSOR ? 1 : c->scaling == TOKEN ? c->n : (c->n + 127) / 128;
    const int64_t cols = c->scaling == BLOCK ? (c->k + 127) / 128 : 1;
    give(side, SOURCE, c->source, turned ? c->k : c->n, turned ? c->n : c->k, 16);
    give(side, SCALE, TFOPS_F32, turned ? cols : rows, turned ? rows : cols, 0);
    give(side, X, c->x, c->m, c->k, 8);
    give(side, BIAS, c->out, 0, c->n, 0);
    give(side, OUT, c->out, c->m, c->n, 8);
}

static void make_weight(struct side *side, const struct linear_case *c)
{
    const bool fp8 = c->source == TFOPS_E4M3 || c->source == TFOPS_E5M2;
    side->heap = (struct weight_heap){.engine = side->engine};
    struct tfops_weight_options options = weight_heap_options(&side->heap, c->scaling, c->flags);
    options.input_scale = c->input_scale;
    must(tfops_weight_new(side->engine, &options, &side->tensors[SOURCE].tensor,
             fp8 ? &side->tensors[SCALE].tensor : NULL, 1, NULL, &side->weight),
        "tfops_weight_new");
}

static void make_args(struct side *side, const struct linear_case *c)
{
    static const char zeros[1 << 20];
    size_t bytes = 0;
    side->args = (struct tfops_fp8_linear_args){.size = sizeof side->args,
        .weight = side->weight,
        .weight_version = 1,
        .x = &side->tensors[X].tensor,
        .bias = c->bias ? &side->tensors[BIAS].tensor : NULL,
        .out = &side->tensors[OUT].tensor};
    must(tfops_fp8_linear_prepare(side->engine, &side->args, &bytes), "prepare");
    cr_assert_leq(bytes, sizeof zeros);
    must(tfops_device_alloc(side->engine, bytes, &side->workspace), "workspace");
    must(tfops_device_write(side->engine, side->workspace, zeros, bytes), "workspace");
    side->args.workspace = side->workspace;
    side->args.workspace_bytes = bytes;
}

static void make_side(struct side *side, struct tfops_engine *engine, const struct linear_case *c)
{
    *side = (struct side){.engine = engine};
    make_tensors(side, c);
    make_weight(side, c);
    make_args(side, c);
}

static void free_side(struct side *side)
{
    tfops_weight_free(side->weight, NULL);
    cr_expect_eq(side->heap.live, 0, "%zu blocks of device memory are left", side->heap.live);
    tfops_device_free(side->engine, side->workspace);
    for (int i = 0; i < N_TENSORS; i++)
        support_tensor_free(&side->tensors[i]);
}

/* ---- comparison ------------------------------------------------------------------------------ */

/* ‖a − b‖ / ‖b‖ of matrices of one shape, in host memory. */
static double distance(const struct tfops_tensor *a, const struct tfops_tensor *b)
{
    double difference = 0, size = 0;
    for (int64_t row = 0; row < b->shape[0]; row++)
        for (int64_t col = 0; col < b->shape[1]; col++) {
            const double got = (double)host_load(a->data, a->dtype, row * a->strides[0] + col);
            const double want = (double)host_load(b->data, b->dtype, row * b->strides[0] + col);
            if (!isfinite(got))
                return INFINITY;
            difference += (got - want) * (got - want);
            size += want * want;
        }
    return difference > 0 ? sqrt(difference / size) : 0;
}

/* A view of the device's memory, copied. */
static double distance_of_view(
    struct tfops_engine *gpu, const struct tfops_tensor *view, const struct tfops_tensor *want)
{
    const size_t bytes = (size_t)((view->shape[0] - 1) * view->strides[0] + view->shape[1]) *
                         tfops_dtype_bytes(view->dtype);
    struct tfops_tensor copy = *view;
    copy.data = malloc(bytes);
    must(tfops_device_read(gpu, copy.data, view->data, bytes), "read");
    const double d = distance(&copy, want);
    free(copy.data);
    return d;
}

/* Values differ where fp32 and fp64 round a tie otherwise (quant_spec.h). */
static void compare_contents(const struct side *gpu, const struct side *cpu, size_t i)
{
    struct tfops_weight_info of_gpu = {.size = sizeof of_gpu}, of_cpu = of_gpu;
    must(tfops_weight_describe(gpu->weight, &of_gpu), "describe");
    must(tfops_weight_describe(cpu->weight, &of_cpu), "describe");
    const double values = distance_of_view(gpu->engine, &of_gpu.values, &of_cpu.values);
    const double scales = distance_of_view(gpu->engine, &of_gpu.scales, &of_cpu.scales);
    cr_expect(values <= 0.03, "case %zu: values are off by %g", i, values);
    cr_expect(scales <= 1e-6, "case %zu: scales are off by %g", i, scales);
}

static void compare_out(struct side *gpu, const struct side *cpu, const char *what, size_t i)
{
    struct tfops_tensor out = gpu->tensors[OUT].tensor;
    out.data = support_tensor_read(&gpu->tensors[OUT]);
    const double d = distance(&out, &cpu->tensors[OUT].tensor);
    cr_expect(d <= 0.02, "case %zu, %s: off by %g", i, what, d);
}

static void check(struct tfops_engine *on_gpu, struct tfops_engine *on_cpu, size_t i)
{
    struct side gpu, cpu;
    make_side(&gpu, on_gpu, &CASES[i]);
    make_side(&cpu, on_cpu, &CASES[i]);
    must(tfops_fp8_linear(on_cpu, &cpu.args, NULL), "cpu");
    must(tfops_fp8_linear(on_gpu, &gpu.args, NULL), "prepared");
    must(tfops_device_synchronize(on_gpu), "prepared");
    compare_contents(&gpu, &cpu, i);
    compare_out(&gpu, &cpu, "prepared", i);
    gpu.args.flags = TFOPS_BATCH_INVARIANT; /* a key that nothing was prepared for */
    must(tfops_fp8_linear(on_gpu, &gpu.args, NULL), "cold");
    must(tfops_device_synchronize(on_gpu), "cold");
    compare_out(&gpu, &cpu, "cold", i);
    free_side(&gpu);
    free_side(&cpu);
}

static void open_both(struct support_engine *gpu, struct tfops_engine **ret_cpu)
{
    const struct tfops_engine_options host = {
        .size = sizeof host, .device = "cpu", .cache_path = ""};
    *gpu = (struct support_engine){.engine = NULL};
    support_engine_open(gpu, NULL, NULL);
    must(tfops_engine_open(&host, ret_cpu), "the cpu device");
}

Test(weight_gpu, agrees_with_the_reference)
{
    struct support_engine gpu;
    struct tfops_engine *cpu;
    SUPPORT_NEEDS_GPU();
    SUPPORT_NEEDS_NVRTC();
    open_both(&gpu, &cpu);
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++)
        check(gpu.engine, cpu, i);
    tfops_engine_close(cpu);
    support_engine_close(&gpu);
}

/* ---- captures, addresses ---------------------------------------------------------------------- */

#define CU(field, ...) cr_assert_eq(driver->field(__VA_ARGS__), CUDA_SUCCESS, "%s", #field)

/* A refresh and a call, captured: the replay sees the new weight. */
Test(weight_gpu, a_captured_refresh_is_replayed)
{
    const struct linear_case *c = &CASES[0];
    struct support_engine support;
    struct tfops_engine *on_cpu;
    struct engine_access access;
    struct driver_scope scope;
    struct side gpu, cpu;
    CUcontext context;
    CUstream stream;
    CUgraph graph;
    CUgraphExec exec;
    SUPPORT_NEEDS_GPU();
    SUPPORT_NEEDS_NVRTC();
    open_both(&support, &on_cpu);
    must(engine_access(support.engine, &access), "engine_access");
    const struct driver *driver = access.driver;
    make_side(&gpu, support.engine, c);
    make_side(&cpu, on_cpu, c);
    must(tfops_fp8_linear(support.engine, &gpu.args, NULL), "eager");
    CU(primary_ctx_retain, &context, 0);
    must(driver_enter(driver, context, &scope), "enter");
    CU(stream_create, &stream, CU_STREAM_NON_BLOCKING);
    must(tfops_device_synchronize(support.engine), "eager");
    for (int i = 0; i < 2; i++) { /* another source: halved */
        struct support_tensor *source = i ? &cpu.tensors[SOURCE] : &gpu.tensors[SOURCE];
        uint16_t *halves = source->host;
        for (size_t e = 0; e < source->bytes / 2; e++)
            halves[e] = host_f32_to_f16(host_f16_to_f32(halves[e]) / 2);
        must(tfops_device_write(i ? on_cpu : support.engine, source->memory, halves, source->bytes),
            "source");
    }
    CU(stream_begin_capture, stream, CU_STREAM_CAPTURE_MODE_GLOBAL);
    must(tfops_weight_refresh(gpu.weight, &gpu.tensors[SOURCE].tensor, NULL, 2, stream), "refresh");
    gpu.args.weight_version = 2;
    must(tfops_fp8_linear(support.engine, &gpu.args, stream), "captured");
    CU(stream_end_capture, stream, &graph);
    CU(graph_instantiate, &exec, graph, 0);
    CU(graph_launch, exec, stream);
    CU(graph_launch, exec, stream);
    CU(stream_synchronize, stream);
    must(tfops_weight_refresh(cpu.weight, &cpu.tensors[SOURCE].tensor, NULL, 2, NULL), "refresh");
    cpu.args.weight_version = 2;
    must(tfops_fp8_linear(on_cpu, &cpu.args, NULL), "cpu");
    compare_out(&gpu, &cpu, "captured", 0);
    CU(graph_exec_destroy, exec);
    CU(graph_destroy, graph);
    CU(stream_destroy, stream);
    driver_leave(driver, &scope);
    CU(primary_ctx_release, 0);
    free_side(&gpu);
    free_side(&cpu);
    tfops_engine_close(on_cpu);
    support_engine_close(&support);
}

/* A scale that was left on the host. */
Test(weight_gpu, memory_of_the_host_is_refused)
{
    static float on_host = 1;
    struct support_engine support;
    struct tfops_engine *on_cpu;
    struct tfops_error error = {.size = sizeof error};
    struct engine_access access;
    struct side gpu = {.engine = NULL};
    int reads_host = 0;
    SUPPORT_NEEDS_GPU();
    open_both(&support, &on_cpu);
    must(engine_access(support.engine, &access), "engine_access");
    access.driver->device_get_attribute(&reads_host, CU_DEVICE_ATTRIBUTE_PAGEABLE_MEMORY_ACCESS, 0);
    gpu.engine = support.engine;
    make_tensors(&gpu, &CASES[9]);
    gpu.heap = (struct weight_heap){.engine = gpu.engine};
    const struct tfops_weight_options options = weight_heap_options(&gpu.heap, TENSOR, TURNED);
    const struct tfops_tensor scale =
        tfops_tensor_contiguous(&on_host, TFOPS_F32, 1, (const int64_t[]){1});
    const enum tfops_status status = tfops_weight_new(
        gpu.engine, &options, &gpu.tensors[SOURCE].tensor, &scale, 1, NULL, &gpu.weight);
    tfops_error_last(&error);
    cr_expect_eq(status, reads_host ? TFOPS_OK : TFOPS_E_ARGUMENT, "%s", error.message);
    if (status)
        cr_expect_str_eq(error.subject, "source_scale");
    free_side(&gpu);
    tfops_engine_close(on_cpu);
    support_engine_close(&support);
}
