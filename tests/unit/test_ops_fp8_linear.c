/*
 * tfops_fp8_linear(): against products computed here from the weight's contents and from x, rounded as
 * its scaling says, on the cpu device and on the fake driver; versions, workspaces, what is refused.
 */
#include <criterion/criterion.h>

#include "tests/support/reference.h"
#include "tests/support/test_support.h"
#include "tests/support/weight_heap.h"

enum { M = 6, N = 40, K = 256, GROUP = 128, OUT_STRIDE = N + 8 };

static struct support_engine support;
static struct tfops_engine *engine;
static struct weight_heap heap;
static struct tfops_weight *weight;
static struct support_tensor source, x, bias, residual, out;
static void *workspace;
static struct tfops_fp8_linear_args args;
static uint64_t (*counter)(const char *);

static void begin(void)
{
    support_use_fake_cuda();
    unsetenv("TFOPS_CACHE");
    unsetenv("TFOPS_KERNEL_DIR");
}

static void end(void)
{
    tfops_weight_free(weight, NULL);
    weight = NULL;
    support_tensor_free(&source);
    support_tensor_free(&x);
    support_tensor_free(&bias);
    support_tensor_free(&residual);
    support_tensor_free(&out);
    tfops_device_free(engine, workspace);
    workspace = NULL;
    support_engine_close(&support);
}

TestSuite(ops_fp8_linear, .init = begin, .fini = end);

static void make(struct support_tensor *tensor, enum tfops_dtype dtype, int64_t rows, int64_t cols,
    int64_t stride)
{
    const struct support_shape shape = {dtype, rows, cols, stride, 0};
    static uint64_t seed;
    support_tensor_make(tensor, engine, &shape, ++seed);
}

/* A weight of that scaling, x, and the rest; the workspace is what prepare says. */
static void open_on(const char *device, uint32_t scaling, float input_scale, enum tfops_dtype dtype)
{
    size_t bytes = 0;
    support_engine_open(&support, device, NULL);
    engine = support.engine;
    heap = (struct weight_heap){.engine = engine};
    if (!strcmp(device, "cuda:0")) {
        void *found = support_fake_symbol("fake_cuda_counter");
        memcpy(&counter, &found, sizeof found);
    }
    make(&source, TFOPS_F16, N, K, K);
    make(&x, dtype, M, K, K + 16);
    make(&bias, TFOPS_F32, 0, N, 0);
    make(&residual, TFOPS_F32, M, N, OUT_STRIDE);
    make(&out, TFOPS_F32, M, N, OUT_STRIDE);
    struct tfops_weight_options options = weight_heap_options(&heap, scaling, 0);
    options.input_scale = input_scale;
    EXPECT_OK(tfops_weight_new(engine, &options, &source.tensor, NULL, 5, NULL, &weight));
    args = (struct tfops_fp8_linear_args){
        .size = sizeof args, .weight = weight, .x = &x.tensor, .out = &out.tensor};
    EXPECT_OK(tfops_fp8_linear_prepare(engine, &args, &bytes));
    EXPECT_OK(tfops_device_alloc(engine, bytes, &workspace));
    memset(workspace, 0, bytes);
    args.workspace = workspace;
    args.workspace_bytes = bytes;
}

static double at(const struct tfops_tensor *tensor, int64_t row, int64_t col)
{
    return (double)host_load(
        tensor->data, tensor->dtype, row * tensor->strides[0] * (tensor->rank > 1) + col);
}

/* ---- the product, computed here -------------------------------------------------------------- */

static double scale_of_x(int64_t m, int64_t k, uint32_t scaling, float input_scale)
{
    const int64_t row = scaling == TFOPS_SCALES_PER_TENSOR ? 0 : m;
    const int64_t rows = scaling == TFOPS_SCALES_PER_TENSOR ? M : 1;
    const bool groups = scaling == TFOPS_SCALES_PER_BLOCK;
    const int64_t col = groups ? k / GROUP * GROUP : 0, cols = groups ? GROUP : K;
    double most = 1.0 / 512;
    for (int64_t i = row; i < row + rows; i++)
        for (int64_t j = col; j < col + cols; j++)
            most = fmax(most, fabs(at(&x.tensor, i, j)));
    return input_scale > 0 ? (double)input_scale : (double)(float)(most / 448);
}

/* Scales of x are asked for once a row and group. */
static double product(int64_t m, int64_t n, uint32_t scaling, float input_scale)
{
    struct tfops_weight_info info = {.size = sizeof info};
    EXPECT_OK(tfops_weight_describe(weight, &info));
    const bool blocks = scaling == TFOPS_SCALES_PER_BLOCK;
    const int64_t row = blocks ? n / GROUP : scaling == TFOPS_SCALES_PER_TOKEN ? n : 0;
    double sum = 0, of_x = 0;
    for (int64_t k = 0; k < K; k++) {
        if (k % GROUP == 0)
            of_x = scale_of_x(m, k, scaling, input_scale);
        const double quotient = at(&x.tensor, m, k) / of_x;
        const double q =
            (double)host_f8_to_f32(TFOPS_E4M3, host_f32_to_f8(TFOPS_E4M3, (float)quotient));
        sum += q * of_x * at(&info.values, n, k) * at(&info.scales, row, blocks ? k / GROUP : 0);
    }
    return sum;
}

/* A value of x that lies between two codes may become either: half a step of an element, of few. */
static void expect_product(uint32_t scaling, float input_scale)
{
    double difference = 0, size = 0;
    for (int64_t m = 0; m < M; m++)
        for (int64_t n = 0; n < N; n++) {
            double want = product(m, n, scaling, input_scale);
            want += args.bias ? at(&bias.tensor, 0, n) : 0;
            want = args.activation == TFOPS_ACTIVATION_RELU ? fmax(want, 0) : want;
            want += args.residual ? at(&residual.tensor, m, n) : 0;
            const double got = at(&out.tensor, m, n);
            cr_assert_float_eq(got, want, 0.13, "[%d][%d]: %g, not %g", (int)m, (int)n, got, want);
            difference += (got - want) * (got - want);
            size += want * want;
        }
    cr_assert(difference <= 4e-3 * 4e-3 * size, "off by %g", sqrt(difference / size));
}

static const char *const DEVICES[] = {"cpu", "cuda:0"};
static const uint32_t SCALINGS[] = {
    TFOPS_SCALES_PER_TENSOR, TFOPS_SCALES_PER_TOKEN, TFOPS_SCALES_PER_BLOCK};

static void check(size_t device, uint32_t scaling, float input_scale, enum tfops_dtype dtype)
{
    open_on(DEVICES[device], scaling, input_scale, dtype);
    EXPECT_OK(tfops_fp8_linear(engine, &args, NULL));
    expect_product(scaling, input_scale);
    args.bias = &bias.tensor;
    args.residual = &residual.tensor;
    args.activation = TFOPS_ACTIVATION_RELU;
    EXPECT_OK(tfops_fp8_linear(engine, &args, NULL));
    expect_product(scaling, input_scale);
    end();
}

Test(ops_fp8_linear, quantises_x_as_the_weight_is_scaled)
{
    static const enum tfops_dtype DTYPES[] = {TFOPS_F16, TFOPS_BF16, TFOPS_F32};
    for (size_t i = 0; i < 2 * 3; i++)
        check(i % 2, SCALINGS[i / 2], 0, DTYPES[(i + i / 2) % 3]);
}

Test(ops_fp8_linear, a_static_scale_serves_all_tokens)
{
    for (size_t i = 0; i < 2 * 2; i++)
        check(i % 2, SCALINGS[i / 2], 1.0f / 256, TFOPS_F16);
}

/* ---- x that is fp8 already ------------------------------------------------------------------- */

/* The same codes and scales, given: the very same product. */
static void check_given(uint32_t scaling, float input_scale)
{
    static float first[M * OUT_STRIDE];
    const bool groups = scaling == TFOPS_SCALES_PER_BLOCK;
    struct support_tensor codes = {0}, scales = {0};
    open_on("cuda:0", scaling, input_scale, TFOPS_F16);
    EXPECT_OK(tfops_fp8_linear(engine, &args, NULL));
    memcpy(first, out.tensor.data, sizeof first - 8 * sizeof *first);
    make(&codes, TFOPS_E4M3, M, K, K);
    make(&scales, TFOPS_F32, scaling == TFOPS_SCALES_PER_TENSOR ? 1 : M, groups ? K / GROUP : 1, 0);
    const struct tfops_quantize_args quantize = {.size = sizeof quantize,
        .x = &x.tensor,
        .out = &codes.tensor,
        .scales = input_scale > 0 ? NULL : &scales.tensor,
        .static_scale = NULL,
        .scaling = groups ? TFOPS_SCALES_PER_GROUP : scaling,
        .workspace = workspace,
        .workspace_bytes = args.workspace_bytes};
    if (input_scale > 0) {
        for (int64_t i = 0; i < M * K; i++) {
            const double value = at(&x.tensor, i / K, i % K) / (double)input_scale;
            host_store(codes.tensor.data, TFOPS_E4M3, i, (float)value);
        }
    } else {
        EXPECT_OK(tfops_quantize(engine, &quantize, NULL));
        args.x_scale = &scales.tensor;
    }
    args.x = &codes.tensor;
    args.workspace = NULL;
    args.workspace_bytes = 0;
    EXPECT_OK(tfops_fp8_linear(engine, &args, NULL));
    cr_assert(!memcmp(first, out.tensor.data, sizeof first - 8 * sizeof *first),
        "another product with scaling %u", scaling);
    support_tensor_free(&codes);
    support_tensor_free(&scales);
    end();
}

Test(ops_fp8_linear, takes_x_in_fp8_without_a_workspace)
{
    for (size_t i = 0; i < 3; i++)
        check_given(SCALINGS[i], 0);
    check_given(TFOPS_SCALES_PER_TENSOR, 1.0f / 256);
    check_given(TFOPS_SCALES_PER_TOKEN, 1.0f / 256);
}

/* ---- versions, workspaces -------------------------------------------------------------------- */

#define REFUSED(call, status, detail)                                                              \
    do {                                                                                           \
        EXPECT_STATUS(call, status);                                                               \
        EXPECT_DETAIL(detail);                                                                     \
    } while (0)

static enum tfops_status linear(void)
{
    return tfops_fp8_linear(engine, &args, NULL);
}

Test(ops_fp8_linear, a_stale_weight_is_detected)
{
    open_on("cuda:0", TFOPS_SCALES_PER_TOKEN, 0, TFOPS_F16);
    args.weight_version = 5;
    EXPECT_OK(linear());
    args.weight_version = 6;
    const uint64_t kernels = counter("kernels");
    REFUSED(linear(), TFOPS_E_ARGUMENT, "weight_version: expected 5, that of the weight, got 6");
    EXPECT_INT(counter("kernels"), kernels);
    EXPECT_OK(tfops_weight_refresh(weight, &source.tensor, NULL, 6, NULL));
    EXPECT_OK(linear());
    void (*fail)(const char *, uint64_t, int);
    void *found = support_fake_symbol("fake_cuda_fail");
    memcpy(&fail, &found, sizeof found);
    fail("cuLaunchKernelEx", 1, 719);
    args.weight_version = 0;
    EXPECT_STATUS(tfops_weight_refresh(weight, &source.tensor, NULL, 7, NULL), TFOPS_E_DRIVER);
    REFUSED(linear(), TFOPS_E_ARGUMENT,
        "weight: expected one with contents, got one of which a refresh failed");
}

/* Counters stand first: a call for fewer rows must not write over them. */
Test(ops_fp8_linear, one_workspace_serves_any_number_of_rows)
{
    open_on("cuda:0", TFOPS_SCALES_PER_TENSOR, 0, TFOPS_F16);
    for (int64_t rows = M; rows >= 0; rows--) {
        x.tensor.shape[0] = out.tensor.shape[0] = rows;
        EXPECT_OK(linear());
    }
    x.tensor.shape[0] = out.tensor.shape[0] = M;
    EXPECT_OK(linear());
    expect_product(TFOPS_SCALES_PER_TENSOR, 0);
    for (size_t i = 0; i < 4 * 132 * 4 / sizeof(size_t); i++)
        cr_assert_eq(((size_t *)workspace)[i], 0u, "counter %zu was written", i);
}

Test(ops_fp8_linear, a_workspace_that_is_too_small_is_named)
{
    open_on("cuda:0", TFOPS_SCALES_PER_TOKEN, 0, TFOPS_F16);
    args.workspace_bytes--;
    EXPECT_REFUSED(linear(), TFOPS_E_ARGUMENT, "workspace");
    args.workspace_bytes++;
    args.workspace = (char *)workspace + 16;
    EXPECT_REFUSED(linear(), TFOPS_E_ARGUMENT, "workspace");
    args.workspace = NULL;
    EXPECT_REFUSED(linear(), TFOPS_E_ARGUMENT, "workspace");
    EXPECT_CONTAINS(expect_error().expected, "tfops_fp8_linear_prepare");
}

/* Both plans are there: the launches hit. */
Test(ops_fp8_linear, what_is_prepared_hits)
{
    struct tfops_engine_stats before = {.size = sizeof before}, after = before;
    open_on("cuda:0", TFOPS_SCALES_PER_BLOCK, 0, TFOPS_BF16);
    EXPECT_OK(tfops_engine_stats(engine, &before));
    EXPECT_OK(linear());
    EXPECT_OK(tfops_engine_stats(engine, &after));
    EXPECT_INT(after.hits, before.hits + 2);
    EXPECT_INT(after.misses_unseen, before.misses_unseen);
}

/* ---- bad input ------------------------------------------------------------------------------- */

Test(ops_fp8_linear, what_does_not_fit_is_named)
{
    open_on("cuda:0", TFOPS_SCALES_PER_TOKEN, 0, TFOPS_F16);
    args.x = NULL;
    REFUSED(linear(), TFOPS_E_ARGUMENT, "x: expected a tensor, got NULL");
    args.x = &x.tensor;
    x.tensor.shape[1] = K - 1;
    REFUSED(linear(), TFOPS_E_SHAPE, "x: expected […, k=256], got [6, 255]");
    x.tensor.shape[1] = K;
    x.tensor.dtype = TFOPS_I32;
    EXPECT_REFUSED(linear(), TFOPS_E_DTYPE, "x");
    x.tensor.dtype = TFOPS_E4M3;
    REFUSED(linear(), TFOPS_E_ARGUMENT,
        "x_scale: expected a tensor, as x is fp8 and the weight has no input_scale, got NULL");
    args.flags = TFOPS_SCALES_TRANSPOSED;
    EXPECT_REFUSED(linear(), TFOPS_E_ARGUMENT, "args.flags");
    args.flags = 0;
    args.x_scale = &bias.tensor;
    REFUSED(linear(), TFOPS_E_SHAPE,
        "x_scale: expected [… → x_scale_rows=6, x_scale_cols=1], got [40, 1]");
    x.tensor.dtype = TFOPS_F16;
    REFUSED(linear(), TFOPS_E_ARGUMENT,
        "x_scale: expected NULL, as x is quantised inside, got a tensor");
    args.x_scale = NULL;
    args.flags = TFOPS_SCALES_TRANSPOSED;
    EXPECT_REFUSED(linear(), TFOPS_E_ARGUMENT, "args.flags");
    args.flags = 0;
    args.bias = &source.tensor;
    EXPECT_REFUSED(linear(), TFOPS_E_SHAPE, "bias");
    args.bias = NULL;
    args.weight = NULL;
    REFUSED(linear(), TFOPS_E_ARGUMENT, "weight: expected a weight of this engine, got NULL");
    args.size = 8;
    EXPECT_REFUSED(linear(), TFOPS_E_ARGUMENT, "args.size");
}

Test(ops_fp8_linear, prepare_names_memory_of_the_host)
{
    static float on_host[M * OUT_STRIDE];
    size_t bytes = 0;
    open_on("cuda:0", TFOPS_SCALES_PER_TOKEN, 0, TFOPS_F16);
    void *const data = out.tensor.data;
    out.tensor.data = on_host;
    EXPECT_REFUSED(tfops_fp8_linear_prepare(engine, &args, &bytes), TFOPS_E_ARGUMENT, "out");
    out.tensor.data = data;
    EXPECT_REFUSED(
        tfops_fp8_linear_prepare(engine, &args, NULL), TFOPS_E_ARGUMENT, "ret_workspace_bytes");
}
