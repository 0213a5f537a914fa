/*
 * Weights: what they hold is compared with the source element by element, on the cpu device and on the
 * fake driver (whose memory the test can read); their memory, versions, and what is refused.
 */
#include "engine_state.h"
#include "tests/fakes/fake_cuda.h"
#include <criterion/criterion.h>

#include "tests/support/reference.h"
#include "tests/support/test_support.h"
#include "tests/support/weight_heap.h"

enum { N = 150, K = 200, GROUP = 128 }; /* two blocks each way, the second one cut */

static struct support_engine support;
static struct tfops_engine *engine;
static struct weight_heap heap;
static struct tfops_weight *weight;
static struct support_tensor source, scale;
static void (*fail)(const char *, uint64_t, int);

static void begin(void)
{
    support_use_fake_cuda();
    unsetenv("TFOPS_CACHE");
    unsetenv("TFOPS_KERNEL_DIR");
}

static void end(void)
{
    tfops_weight_free(weight, NULL);
    EXPECT_INT(heap.live, 0);
    support_tensor_free(&source);
    support_tensor_free(&scale);
    support_engine_close(&support);
}

TestSuite(weight, .init = begin, .fini = end);

static void open_on(const char *device)
{
    support_engine_open(&support, device, NULL);
    engine = support.engine;
    heap = (struct weight_heap){.engine = engine};
    if (!strcmp(device, "cuda:0")) {
        void *found = support_fake_symbol("fake_cuda_fail");
        memcpy(&fail, &found, sizeof found);
    }
}

static void make(struct support_tensor *tensor, enum tfops_dtype dtype, int64_t rows, int64_t cols,
    int64_t stride, uint64_t seed)
{
    const struct support_shape shape = {dtype, rows, cols, stride, 0};
    support_tensor_free(tensor);
    support_tensor_make(tensor, engine, &shape, seed);
}

/* Rows of [n, k] with a gap behind them, or of [k, n]. */
static void make_source(enum tfops_dtype dtype, bool transposed, uint64_t seed)
{
    make(&source, dtype, transposed ? K : N, transposed ? N : K, transposed ? N : K + 16, seed);
}

static struct tfops_weight_info info_of(void)
{
    struct tfops_weight_info info = {.size = sizeof info};
    EXPECT_OK(tfops_weight_describe(weight, &info));
    return info;
}

static double at(const struct tfops_tensor *tensor, int64_t row, int64_t col)
{
    return (double)host_load(tensor->data, tensor->dtype, row * tensor->strides[0] + col);
}

static double source_at(int64_t n, int64_t k, bool transposed)
{
    return at(&source.tensor, transposed ? k : n, transposed ? n : k);
}

/* The elements that share a scale with (n, k). */
static double amax_beside(int64_t n, int64_t k, uint32_t scaling, bool transposed)
{
    const bool tensor = scaling == TFOPS_SCALES_PER_TENSOR,
               token = scaling == TFOPS_SCALES_PER_TOKEN;
    const int64_t row = tensor  ? 0
                        : token ? n
                                : n / GROUP * GROUP,
                  rows = tensor  ? N
                         : token ? 1
                                 : GROUP;
    const int64_t col = tensor || token ? 0 : k / GROUP * GROUP, cols = tensor || token ? K : GROUP;
    double most = 0;
    for (int64_t i = row; i < row + rows && i < N; i++)
        for (int64_t j = col; j < col + cols && j < K; j++)
            most = fmax(most, fabs(source_at(i, j, transposed)));
    return most;
}

/* Each value times its scale is the source but for half a step of its format, or of the smallest. */
static void expect_quantised(uint32_t scaling, bool transposed, enum tfops_dtype dtype)
{
    const struct tfops_weight_info info = info_of();
    const double largest = dtype == TFOPS_E4M3 ? 448 : 57344;
    const double half_step = dtype == TFOPS_E4M3 ? 0x1p-4 : 0x1p-3;
    const double least = dtype == TFOPS_E4M3 ? 0x1p-10 : 0x1p-17;
    const bool blocks = scaling == TFOPS_SCALES_PER_BLOCK;
    EXPECT_INT(info.values.dtype, dtype);
    EXPECT_INT(info.values.shape[0], N);
    EXPECT_INT(info.values.shape[1], K);
    for (int64_t n = 0; n < N; n++)
        for (int64_t k = 0; k < K; k++) {
            const int64_t row = blocks ? n / GROUP : scaling == TFOPS_SCALES_PER_TOKEN ? n : 0;
            const double s = at(&info.scales, row, blocks ? k / GROUP : 0);
            if ((n % GROUP == 0 || n == N - 1) && k % GROUP == 0) {
                const double want = amax_beside(n, k, scaling, transposed) / largest;
                cr_assert_float_eq(
                    s, want, 1e-6 * want, "scale of [%d][%d]: %g, not %g", (int)n, (int)k, s, want);
            }
            const double want = source_at(n, k, transposed), got = s * at(&info.values, n, k);
            cr_assert(fabs(got - want) <= 1.001 * (half_step * fabs(want) + least * s),
                "[%d][%d]: %g, not %g", (int)n, (int)k, got, want);
        }
}

static const char *const DEVICES[] = {"cpu", "cuda:0"};
static const uint32_t SCALINGS[] = {
    TFOPS_SCALES_PER_TENSOR, TFOPS_SCALES_PER_TOKEN, TFOPS_SCALES_PER_BLOCK};

static void check_quantised(enum tfops_dtype from, enum tfops_dtype to, bool transposed)
{
    for (size_t i = 0; i < 3; i++) {
        struct tfops_weight_options options =
            weight_heap_options(&heap, SCALINGS[i], transposed ? TFOPS_WEIGHT_TRANSPOSED : 0);
        options.dtype = to;
        make_source(from, transposed, 7 + i);
        EXPECT_OK(tfops_weight_new(engine, &options, &source.tensor, NULL, 3, NULL, &weight));
        expect_quantised(SCALINGS[i], transposed, to ? to : TFOPS_E4M3);
        tfops_weight_free(weight, NULL);
        weight = NULL;
    }
}

Test(weight, quantises_what_a_model_has)
{
    for (size_t i = 0; i < 2; i++) {
        open_on(DEVICES[i]);
        check_quantised(TFOPS_F16, TFOPS_NONE, false);
        check_quantised(TFOPS_BF16, TFOPS_E5M2, true);
        check_quantised(TFOPS_F32, TFOPS_E4M3, true);
        support_tensor_free(&source);
        support_engine_close(&support);
    }
}

/* ---- what is fp8 already -------------------------------------------------------------------- */

/* Of the scales as they come. */
static void make_scale(uint32_t scaling, bool transposed)
{
    const int64_t rows = scaling == TFOPS_SCALES_PER_TENSOR  ? 1
                         : scaling == TFOPS_SCALES_PER_TOKEN ? N
                                                             : (N + GROUP - 1) / GROUP;
    const int64_t cols = scaling == TFOPS_SCALES_PER_BLOCK ? (K + GROUP - 1) / GROUP : 1;
    make(&scale, TFOPS_F32, transposed ? cols : rows, transposed ? rows : cols, 0, 99);
}

static void expect_copied(bool transposed)
{
    const struct tfops_weight_info info = info_of();
    for (int64_t n = 0; n < N; n++)
        for (int64_t k = 0; k < K; k++)
            cr_assert_eq(at(&info.values, n, k), source_at(n, k, transposed), "value [%d][%d]",
                (int)n, (int)k);
    for (int64_t n = 0; n < info.scales.shape[0]; n++)
        for (int64_t k = 0; k < info.scales.shape[1]; k++)
            cr_assert_eq(at(&info.scales, n, k),
                at(&scale.tensor, transposed ? k : n, transposed ? n : k), "scale [%d][%d]", (int)n,
                (int)k);
}

Test(weight, takes_fp8_with_its_scales)
{
    for (size_t i = 0; i < 2 * 2 * 3; i++) {
        const bool transposed = i % 2;
        const uint32_t scaling = SCALINGS[i / 4];
        const struct tfops_weight_options options =
            weight_heap_options(&heap, scaling, transposed ? TFOPS_WEIGHT_TRANSPOSED : 0);
        open_on(DEVICES[i / 2 % 2]);
        make_source(TFOPS_E4M3, transposed, 5 + i);
        make_scale(scaling, transposed);
        EXPECT_OK(
            tfops_weight_new(engine, &options, &source.tensor, &scale.tensor, 1, NULL, &weight));
        expect_copied(transposed);
        EXPECT_INT(heap.most, 1);
        end();
        weight = NULL;
    }
}

/* [n], [n, 1] with rows apart, and [1, n] of a transposed source, are one and the same. */
Test(weight, takes_scales_of_rows_in_each_form)
{
    open_on("cuda:0");
    make_source(TFOPS_E5M2, false, 3);
    make(&scale, TFOPS_F32, N, 1, 3, 4);
    const struct tfops_weight_options options =
        weight_heap_options(&heap, TFOPS_SCALES_PER_TOKEN, 0);
    EXPECT_OK(tfops_weight_new(engine, &options, &source.tensor, &scale.tensor, 1, NULL, &weight));
    expect_copied(false);
    make(&scale, TFOPS_F32, N, 1, 0, 8);
    const struct tfops_tensor vector =
        tfops_tensor_contiguous(scale.tensor.data, TFOPS_F32, 1, (const int64_t[]){N});
    EXPECT_OK(tfops_weight_refresh(weight, &source.tensor, &vector, 2, NULL));
    expect_copied(false);
}

/* ---- memory and versions --------------------------------------------------------------------- */

Test(weight, holds_one_copy_and_gives_all_back)
{
    open_on("cuda:0");
    const struct tfops_weight_options options =
        weight_heap_options(&heap, TFOPS_SCALES_PER_TOKEN, TFOPS_WEIGHT_TRANSPOSED);
    make_source(TFOPS_BF16, true, 1);
    EXPECT_OK(tfops_weight_new(engine, &options, &source.tensor, NULL, 1, NULL, &weight));
    EXPECT_INT(heap.live, 1);
    EXPECT_INT(heap.most, 2); /* the turned source, for the time of the call */
    const struct tfops_weight_info info = info_of();
    EXPECT_INT(info.values.strides[0], 208); /* whole 16 bytes */
    cr_expect(info.device_bytes >= N * 208 + N * 4 && info.device_bytes < N * 208 + N * 4 + 1024,
        "%zu bytes", info.device_bytes);
    tfops_weight_free(weight, NULL);
    weight = NULL;
    EXPECT_INT(heap.live, 0);
    tfops_weight_free(NULL, NULL);
}

static void make_weight(uint32_t scaling)
{
    const struct tfops_weight_options options = weight_heap_options(&heap, scaling, 0);
    make_source(TFOPS_F16, false, 1);
    EXPECT_OK(tfops_weight_new(engine, &options, &source.tensor, NULL, 11, NULL, &weight));
}

Test(weight, refresh_replaces_contents_and_version)
{
    open_on("cuda:0");
    make_weight(TFOPS_SCALES_PER_TENSOR);
    EXPECT_INT(tfops_weight_version(weight), 11);
    make_source(TFOPS_F32, false, 77);
    EXPECT_OK(tfops_weight_refresh(weight, &source.tensor, NULL, 12, NULL));
    EXPECT_INT(tfops_weight_version(weight), 12);
    EXPECT_INT(info_of().version, 12);
    expect_quantised(TFOPS_SCALES_PER_TENSOR, false, TFOPS_E4M3);
    EXPECT_INT(tfops_weight_version(NULL), 0);
}

Test(weight, a_refresh_that_is_refused_changes_nothing)
{
    open_on("cuda:0");
    make_weight(TFOPS_SCALES_PER_TOKEN);
    source.tensor.shape[1] = K - 1;
    EXPECT_REFUSED(
        tfops_weight_refresh(weight, &source.tensor, NULL, 12, NULL), TFOPS_E_SHAPE, "source");
    source.tensor.shape[1] = K;
    EXPECT_REFUSED(
        tfops_weight_refresh(weight, &source.tensor, NULL, 0, NULL), TFOPS_E_ARGUMENT, "version");
    EXPECT_INT(tfops_weight_version(weight), 11);
    expect_quantised(TFOPS_SCALES_PER_TOKEN, false, TFOPS_E4M3);
}

Test(weight, a_refresh_that_fails_midway_leaves_no_version)
{
    open_on("cuda:0");
    make_weight(TFOPS_SCALES_PER_TOKEN);
    fail("cuLaunchKernelEx", 1, CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES);
    EXPECT_STATUS(tfops_weight_refresh(weight, &source.tensor, NULL, 12, NULL), TFOPS_E_DRIVER);
    EXPECT_INT(tfops_weight_version(weight), 0);
    EXPECT_OK(tfops_weight_refresh(weight, &source.tensor, NULL, 13, NULL));
    EXPECT_INT(tfops_weight_version(weight), 13);
}

/* Memory, of the host and of the device, and every call of the driver. */
Test(weight, what_fails_leaves_nothing_behind)
{
    static struct expect_heap host; /* lives until the suite's end has closed the engine */
    struct tfops_engine_options on_heap = {.size = sizeof on_heap,
        .alloc = expect_heap_alloc,
        .free = expect_heap_free,
        .alloc_user = &host};
    support_engine_open(&support, "cuda:0", &on_heap);
    engine = support.engine;
    heap = (struct weight_heap){.engine = engine};
    void *found = support_fake_symbol("fake_cuda_fail");
    memcpy(&fail, &found, sizeof found);
    struct tfops_weight_options options =
        weight_heap_options(&heap, TFOPS_SCALES_PER_TENSOR, TFOPS_WEIGHT_TRANSPOSED);
    options.input_scale = 0.5f;
    make_source(TFOPS_F16, true, 1);
    EXPECT_OK(tfops_weight_new(engine, &options, &source.tensor, NULL, 1, NULL, &weight));
    tfops_weight_free(weight, NULL);
    weight = NULL;
    const size_t live = host.live;
    for (size_t nth = 1; nth <= 2; nth++) {
        heap = (struct weight_heap){.engine = engine, .fail_at = nth};
        EXPECT_REFUSED(tfops_weight_new(engine, &options, &source.tensor, NULL, 1, NULL, &weight),
            TFOPS_E_MEMORY, "options.alloc");
        EXPECT_INT(heap.live, 0);
        EXPECT_INT(host.live, live);
    }
    heap.fail_at = 0;
    static const char *const CALLS[] = {"cuMemsetD8Async", "cuMemsetD32Async", "cuLaunchKernelEx"};
    for (size_t i = 0; i < sizeof CALLS / sizeof CALLS[0]; i++) {
        fail(CALLS[i], 1, CUDA_ERROR_UNKNOWN);
        EXPECT_STATUS(tfops_weight_new(engine, &options, &source.tensor, NULL, 1, NULL, &weight),
            TFOPS_E_DRIVER);
        EXPECT_INT(heap.live, 0);
        EXPECT_INT(host.live, live);
    }
    host.calls = 0, host.fail_at = 1;
    EXPECT_STATUS(
        tfops_weight_new(engine, &options, &source.tensor, NULL, 1, NULL, &weight), TFOPS_E_MEMORY);
    EXPECT_INT(host.live, live);
}

/* ---- streams --------------------------------------------------------------------------------- */

static CUstream new_stream(void)
{
    CUstream stream = NULL;
    struct driver_scope scope;
    EXPECT_OK(driver_enter(&engine->driver, engine->context, &scope));
    cr_assert_eq(engine->driver.stream_create(&stream, CU_STREAM_NON_BLOCKING), CUDA_SUCCESS);
    driver_leave(&engine->driver, &scope);
    return stream;
}

Test(weight, a_captured_refresh_happens_at_replay)
{
    CUgraph graph = NULL;
    CUgraphExec exec;
    open_on("cuda:0");
    make_weight(TFOPS_SCALES_PER_TENSOR);
    const CUstream stream = new_stream();
    const struct tfops_weight_info before = info_of();
    const double old = at(&before.scales, 0, 0);
    make_source(TFOPS_F32, false, 123);
    ((float *)source.tensor.data)[0] = 5;
    engine->driver.ctx_push_current(engine->context);
    cr_assert_eq(
        engine->driver.stream_begin_capture(stream, CU_STREAM_CAPTURE_MODE_GLOBAL), CUDA_SUCCESS);
    EXPECT_OK(tfops_weight_refresh(weight, &source.tensor, NULL, 12, stream));
    cr_assert_eq(engine->driver.stream_end_capture(stream, &graph), CUDA_SUCCESS);
    cr_assert_eq(at(&before.scales, 0, 0), old, "the capture ran it");
    cr_assert_eq(engine->driver.graph_instantiate(&exec, graph, 0), CUDA_SUCCESS);
    cr_assert_eq(engine->driver.graph_launch(exec, stream), CUDA_SUCCESS);
    engine->driver.ctx_pop_current(NULL);
    expect_quantised(TFOPS_SCALES_PER_TENSOR, false, TFOPS_E4M3);
}

Test(weight, memory_is_asked_for_on_the_stream_of_the_call)
{
    open_on("cuda:0");
    const struct tfops_weight_options options =
        weight_heap_options(&heap, TFOPS_SCALES_PER_TOKEN, TFOPS_WEIGHT_TRANSPOSED);
    make_source(TFOPS_F16, true, 1);
    const CUstream stream = new_stream(), other = new_stream();
    EXPECT_OK(tfops_weight_new(engine, &options, &source.tensor, NULL, 1, stream, &weight));
    cr_assert_eq(heap.stream, stream);
    tfops_weight_free(weight, other);
    weight = NULL;
    cr_assert_eq(heap.stream, other);
}

/* ---- bad input ------------------------------------------------------------------------------- */

static struct tfops_weight_options options;

static enum tfops_status try_new(const struct tfops_tensor *scales)
{
    return tfops_weight_new(engine, &options, &source.tensor, scales, 1, NULL, &weight);
}

#define REFUSED(call, status, detail)                                                              \
    do {                                                                                           \
        EXPECT_STATUS(call, status);                                                               \
        EXPECT_DETAIL(detail);                                                                     \
    } while (0)

Test(weight, options_that_make_no_sense_are_named)
{
    open_on("cpu");
    make_source(TFOPS_F16, false, 1);
    options = weight_heap_options(&heap, TFOPS_SCALES_PER_GROUP, 0);
    REFUSED(try_new(NULL), TFOPS_E_RANGE,
        "options.scaling: expected TFOPS_SCALES_PER_TENSOR, TFOPS_SCALES_PER_TOKEN or "
        "TFOPS_SCALES_PER_BLOCK, got 0x2");
    options.scaling = TFOPS_SCALES_PER_BLOCK;
    options.input_scale = 0.5f;
    EXPECT_REFUSED(try_new(NULL), TFOPS_E_RANGE, "options.input_scale");
    options.scaling = TFOPS_SCALES_PER_TENSOR;
    options.input_scale = -0.5f;
    REFUSED(try_new(NULL), TFOPS_E_RANGE,
        "options.input_scale: expected a positive number, or 0: each input's own, got -0.5");
    options.input_scale = NAN;
    EXPECT_REFUSED(try_new(NULL), TFOPS_E_RANGE, "options.input_scale");
    options.input_scale = INFINITY;
    EXPECT_REFUSED(try_new(NULL), TFOPS_E_RANGE, "options.input_scale");
    options.input_scale = 0;
    options.dtype = TFOPS_F16;
    REFUSED(try_new(NULL), TFOPS_E_DTYPE, "options.dtype: expected e4m3, e5m2 or none, got f16");
    options.dtype = TFOPS_NONE;
    options.flags = 2;
    EXPECT_STATUS(try_new(NULL), TFOPS_E_ARGUMENT);
    options.flags = 0;
    options.free = NULL;
    REFUSED(try_new(NULL), TFOPS_E_ARGUMENT, "options.free: expected a function, got NULL");
    options.size--;
    EXPECT_REFUSED(try_new(NULL), TFOPS_E_ARGUMENT, "args.size");
    EXPECT_INT(heap.calls, 0);
}

Test(weight, a_source_that_does_not_fit_is_named)
{
    open_on("cuda:0");
    make_source(TFOPS_F16, false, 1);
    options = weight_heap_options(&heap, TFOPS_SCALES_PER_TENSOR, 0);
    options.dtype = TFOPS_E4M3;
    REFUSED(tfops_weight_new(engine, &options, NULL, NULL, 1, NULL, &weight), TFOPS_E_ARGUMENT,
        "source: expected [n, k], got NULL");
    source.tensor.dtype = TFOPS_E5M2;
    REFUSED(try_new(NULL), TFOPS_E_DTYPE,
        "source: expected f32, f16, bf16 or e4m3, the weight's, got e5m2");
    source.tensor.dtype = TFOPS_F16;
    source.tensor.strides[1] = 2;
    REFUSED(try_new(NULL), TFOPS_E_SHAPE,
        "source: expected a last stride of 1, and rows that do not overlap, got [216, 2]");
    source.tensor.strides[1] = 1;
    source.tensor.shape[0] = 0;
    REFUSED(try_new(NULL), TFOPS_E_RANGE, "source: expected n from 1 to 4194304, got 0");
    source.tensor.shape[0] = N;
    source.tensor.data = (char *)source.tensor.data + 1;
    EXPECT_REFUSED(try_new(NULL), TFOPS_E_ALIGNMENT, "source");
    EXPECT_CONTAINS(expect_error().expected, "a multiple of 2 bytes");
    source.tensor.data = (char *)source.tensor.data - 1;
    REFUSED(try_new(&source.tensor), TFOPS_E_ARGUMENT,
        "source_scale: expected NULL, as source is quantised here, got a tensor");
    static char on_host[N * K * 4];
    void *const data = source.tensor.data;
    source.tensor.data = on_host;
    REFUSED(try_new(NULL), TFOPS_E_ARGUMENT,
        "source: expected memory of the engine's device, got an address that CUDA does not know, "
        "e.g. of the host");
    source.tensor.data = data;
    EXPECT_INT(heap.calls, 0);
}

Test(weight, scales_that_do_not_fit_are_named)
{
    open_on("cuda:0");
    make_source(TFOPS_E4M3, false, 1);
    options = weight_heap_options(&heap, TFOPS_SCALES_PER_TOKEN, 0);
    make_scale(TFOPS_SCALES_PER_TENSOR, false);
    REFUSED(try_new(NULL), TFOPS_E_ARGUMENT,
        "source_scale: expected a tensor, as source is fp8, got NULL");
    REFUSED(try_new(&scale.tensor), TFOPS_E_SHAPE,
        "source_scale: expected [150, 1] or a vector of that many, got [1, 1]");
    options.scaling = TFOPS_SCALES_PER_BLOCK;
    REFUSED(try_new(&scale.tensor), TFOPS_E_SHAPE, "source_scale: expected [2, 2], got [1, 1]");
    options.scaling = TFOPS_SCALES_PER_TENSOR;
    scale.tensor.dtype = TFOPS_F16;
    REFUSED(try_new(&scale.tensor), TFOPS_E_DTYPE, "source_scale: expected f32, got f16");
    scale.tensor.dtype = TFOPS_F32;
    static float on_host;
    struct tfops_tensor host = scale.tensor;
    host.data = &on_host;
    EXPECT_REFUSED(try_new(&host), TFOPS_E_ARGUMENT, "source_scale");
    host.data = NULL;
    REFUSED(try_new(&host), TFOPS_E_ARGUMENT,
        "source_scale: expected an address of its data, got NULL");
    EXPECT_OK(try_new(&scale.tensor));
}

Test(weight, memory_of_another_device_is_named)
{
    setenv("FAKE_CUDA_DEVICES", "2", 1);
    struct support_engine other = {0};
    open_on("cuda:0");
    make_source(TFOPS_E4M3, false, 1);
    support_engine_open(&other, "cuda:1", NULL);
    engine = other.engine;
    make_scale(TFOPS_SCALES_PER_TENSOR, false);
    engine = support.engine;
    options = weight_heap_options(&heap, TFOPS_SCALES_PER_TENSOR, 0);
    REFUSED(try_new(&scale.tensor), TFOPS_E_ARGUMENT,
        "source_scale: expected memory of the engine's device, got memory of a device that it "
        "cannot read");
    support_tensor_free(&scale);
    support_engine_close(&other);
}

Test(weight, a_device_without_memory_or_streams_is_named)
{
    static float matrix[4] = {1, 2, 3, 4};
    const struct tfops_tensor host =
        tfops_tensor_contiguous(matrix, TFOPS_F32, 2, (const int64_t[]){2, 2});
    open_on("arch:sm_90a");
    options = weight_heap_options(&heap, TFOPS_SCALES_PER_TENSOR, 0);
    EXPECT_STATUS(
        tfops_weight_new(engine, &options, &host, NULL, 1, NULL, &weight), TFOPS_E_DRIVER);
    support_engine_close(&support);
    open_on("cpu");
    EXPECT_REFUSED(tfops_weight_new(engine, &options, &host, NULL, 1, (CUstream)matrix, &weight),
        TFOPS_E_CONTEXT, "stream");
}
