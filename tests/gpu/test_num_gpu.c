/*
 * Number formats on the GPU: the conversion instructions give the codes of the software, for every
 * float and every code, and functions are as exact as math.cuh says (num_sweep.cu); fill and
 * compare know the values of every float dtype. That all of it compiles for every architecture
 * needs no GPU.
 */
#include "base/error.h"
#include "base/half.h"
#include "compile.h"
#include "device.h"
#include "engine_access.h"
#include "kernels/support/fill_params.h"
#include "tests/gpu/num_sweep.cu"
#include "tests/support/host_data.h"
#include "tests/support/test_support.h"
#include "tuner/gpu.h"
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static void must(enum tfops_status status, const char *what)
{
    cr_assert_eq(status, TFOPS_OK, "%s: %s", what, error_message());
}

static void must_run(CUresult result, const char *what)
{
    cr_assert_eq(result, CUDA_SUCCESS, "%s: %d", what, (int)result);
}

static bool on_fake(void)
{
    const char *path = getenv("TFOPS_LIBCUDA");
    return path && strstr(path, "fake_cuda");
}

/* ---- a GPU -------------------------------------------------------------------------------- */

struct setup {
    struct support_engine engine;
    struct engine_access access;
    struct gpu gpu; /* on the default stream */
    CUdevice device;
};

static void start(struct setup *setup)
{
    CUcontext context;
    support_engine_open(&setup->engine, NULL, NULL);
    must(engine_access(setup->engine.engine, &setup->access), "engine_access");
    const struct driver *driver = setup->access.driver;
    setup->gpu =
        (struct gpu){.env = setup->access.env, .driver = driver, .device = *setup->access.device};
    must_run(driver->device_get(&setup->device, setup->access.ordinal), "cuDeviceGet");
    must_run(driver->primary_ctx_retain(&context, setup->device), "cuDevicePrimaryCtxRetain");
    must_run(driver->ctx_push_current(context), "cuCtxPushCurrent");
}

static void stop(struct setup *setup)
{
    CUcontext context;
    setup->access.driver->ctx_pop_current(&context);
    setup->access.driver->primary_ctx_release(setup->device);
    support_engine_close(&setup->engine);
}

/* ---- compiling the sweep ------------------------------------------------------------------ */

static void compile_sweep(
    const struct nvrtc *nvrtc, const char *arch, char *text, struct compiled *ret_compiled)
{
    struct build_job job = {.source = "#include \"num_sweep.cu\"\n\n"
                                      "struct Cfg {\n"
                                      "    static constexpr int THREADS = 256, MIN_BLOCKS = 1;\n"
                                      "};\n"
                                      "TFOPS_ENTRY(tfops_num_sweep, num_sweep, num_sweep_params)\n",
        .config = "",
        .op = "num_sweep",
        .header_path = "num_sweep.cu",
        .header_source = text,
        .entry = "tfops_num_sweep"};
    snprintf(job.arch, sizeof job.arch, "%s", arch);
    must(compile_job(NULL, nvrtc, &job, false, ret_compiled), arch);
}

static char *sweep_text(void)
{
    char path[SUPPORT_PATH_BYTES];
    const char *source = getenv("TFOPS_SOURCE");
    snprintf(path, sizeof path, "%s/tests/gpu/num_sweep.cu", source && *source ? source : ".");
    char *text = support_file_read(path);
    cr_assert_not_null(text, "%s", path);
    return text;
}

Test(num_gpu, formats_compile_for_every_architecture, .timeout = 120)
{
    SUPPORT_NEEDS_NVRTC();
    struct nvrtc nvrtc;
    must(nvrtc_open(NULL, 0, &nvrtc), "NVRTC");
    char *text = sweep_text();
    for (size_t i = 0; i < tfops_arch_count(); i++) {
        struct compiled compiled;
        compile_sweep(&nvrtc, tfops_arch_name(i), text, &compiled);
        cr_expect_eq(compiled.spill_bytes, 0, "%s: %u", tfops_arch_name(i), compiled.spill_bytes);
        compiled_release(NULL, &compiled);
    }
    free(text);
}

/* ---- the sweep ---------------------------------------------------------------------------- */

static const char *const CHECKS[NUM_CHECKS] = {[NUM_ENCODE_F16] = "encode f16",
    [NUM_ENCODE_BF16] = "encode bf16",
    [NUM_ENCODE_E4M3] = "encode e4m3",
    [NUM_ENCODE_E5M2] = "encode e5m2",
    [NUM_MAX_NAN] = "max_nan",
    [NUM_MAX2_F16] = "max2 f16",
    [NUM_MAX2_BF16] = "max2 bf16",
    [NUM_DECODE_F16] = "decode f16",
    [NUM_DECODE_BF16] = "decode bf16",
    [NUM_DECODE_E4M3] = "decode e4m3",
    [NUM_DECODE_E5M2] = "decode e5m2",
    [NUM_MEMORY_F16] = "memory f16",
    [NUM_MEMORY_E4M3] = "memory e4m3",
    [NUM_MEMORY_E5M2] = "memory e5m2"};

/* The bounds that math.cuh states, as exponents of 2. */
static const struct {
    const char *name;
    double bound;
} FUNCTIONS[NUM_FUNCTIONS] = {[NUM_RSQRT] = {"rsqrt_approx", -22.9},
    [NUM_RCP] = {"rcp_approx", -23.2},
    [NUM_RCP_FTZ] = {"rcp_ftz", -23.2},
    [NUM_EXP2] = {"exp2_approx", -22.7},
    [NUM_EXP2_FTZ] = {"exp2_ftz", -22.7},
    [NUM_LOG2_FTZ] = {"log2_ftz", -22},
    [NUM_SIGMOID] = {"sigmoid", -22.4},
    [NUM_TANH] = {"tanh_f32", -22.2},
    [NUM_ERF] = {"erf_f32", -23.4}};

static void judge(const struct num_sweep_result *result)
{
    for (int i = 0; i < NUM_CHECKS; i++) {
        fprintf(stderr, "%s: %llu differ\n", CHECKS[i], result->differ[i]);
        cr_expect_eq(result->differ[i], 0, "%s: %llu inputs differ, the first is %#llx", CHECKS[i],
            result->differ[i], result->first[i]);
    }
    for (int i = 0; i < NUM_FUNCTIONS; i++) {
        const double error = log2((double)host_f32_from_bits((uint32_t)(result->worst[i] >> 32)));
        const uint32_t at = (uint32_t)result->worst[i];
        fprintf(stderr, "%s: relative error 2^%.2f at %a (%#x)\n", FUNCTIONS[i].name, error,
            (double)host_f32_from_bits(at), at);
        cr_expect(error <= FUNCTIONS[i].bound, "%s: relative error 2^%.2f at %#x, said 2^%.2f",
            FUNCTIONS[i].name, error, at, FUNCTIONS[i].bound);
        cr_expect_eq(result->wrong[i], 0, "%s: %llu inputs wrong at an edge, the first is %#llx",
            FUNCTIONS[i].name, result->wrong[i], result->first_wrong[i]);
    }
}

static void run_sweep(const struct driver *driver, CUfunction function, uint64_t end,
    struct num_sweep_result *ret_result)
{
    enum { BLOCKS = 132 * 8, THREADS = 256, CELL_BYTES = 32 };
    CUdeviceptr memory = 0, cells = 0;
    struct num_sweep_result result = {.differ = {0}};
    for (int i = 0; i < NUM_CHECKS; i++)
        result.first[i] = ~0ull;
    for (int i = 0; i < NUM_FUNCTIONS; i++)
        result.first_wrong[i] = ~0ull;
    must_run(driver->mem_alloc(&memory, sizeof result), "cuMemAlloc");
    must_run(driver->mem_alloc(&cells, (size_t)BLOCKS * THREADS * CELL_BYTES), "cuMemAlloc");
    must_run(driver->memcpy_htod(memory, &result, sizeof result), "cuMemcpyHtoD");
    struct num_sweep_params params = {
        .result = (void *)(uintptr_t)memory, .cells = (void *)(uintptr_t)cells, .end = end};
    void *list[] = {&params};
    must_run(driver->launch_kernel(function, BLOCKS, 1, 1, THREADS, 1, 1, 0, NULL, list, NULL),
        "cuLaunchKernel");
    must_run(driver->memcpy_dtoh(ret_result, memory, sizeof *ret_result), "cuMemcpyDtoH");
    driver->mem_free(memory);
    driver->mem_free(cells);
}

Test(num_gpu, instructions_and_software_agree_on_all_floats, .timeout = 300)
{
    SUPPORT_NEEDS_GPU();
    SUPPORT_NEEDS_NVRTC();
    SUPPORT_NEEDS(!on_fake(), "GPU that is real");
    struct setup setup;
    struct nvrtc nvrtc;
    struct compiled compiled;
    struct num_sweep_result result;
    CUmodule module;
    CUfunction function;
    start(&setup);
    const struct driver *driver = setup.access.driver;
    must(nvrtc_open(NULL, driver->version / 1000, &nvrtc), "NVRTC");
    char *text = sweep_text();
    compile_sweep(&nvrtc, setup.access.device->arch, text, &compiled);
    must_run(driver->module_load_data_ex(&module, compiled.image, 0, NULL, NULL), "module");
    must_run(driver->module_get_function(&function, module, "tfops_num_sweep"), "function");
    run_sweep(driver, function, 1ull << 32, &result);
    judge(&result);
    driver->module_unload(module);
    compiled_release(NULL, &compiled);
    free(text);
    stop(&setup);
}

/* ---- fill and compare --------------------------------------------------------------------- */

enum { ELEMENTS = 10007, SPECIAL_EVERY = 7 };

static void load_kernel(struct setup *setup, enum support_kernel kernel, size_t param_bytes,
    struct gpu_kernel *ret_kernel)
{
    struct binary binary;
    must(engine_support_binary(setup->engine.engine, kernel, &binary), "support kernel");
    must(gpu_kernel_load(&setup->gpu, &binary, param_bytes, ret_kernel), "support kernel");
    binary_release(setup->access.env, &binary);
}

/* One seed gives every dtype the same values, each rounded to it. */
static void check_filled(enum tfops_dtype dtype, const void *data, const float *wide)
{
    for (int i = 0; i < ELEMENTS; i++) {
        const float got = host_load(data, dtype, i);
        const bool special = (i + 1) % SPECIAL_EVERY == 0;
        float want = host_round(wide[i], dtype);
        if (special && fabsf(wide[i]) > 0 && fabsf(wide[i]) < 1) { /* its smallest value */
            const uint32_t one = 1;
            want = copysignf(host_load(&one, dtype, 0), wide[i]);
        }
        cr_assert(host_f32_bits(got) == host_f32_bits(want), "%s element %d is %a, expected %a",
            tfops_dtype_name(dtype), i, (double)got, (double)want);
    }
}

/* A tensor of the dtype against the fp32 one: the result is what the host finds. */
static void check_compared(struct setup *setup, enum tfops_dtype dtype, const void *data,
    const float *wide, CUdeviceptr tested, CUdeviceptr reference)
{
    const struct driver *driver = setup->access.driver;
    struct compare_result result = {.first = ~0ull};
    CUdeviceptr memory = 0;
    must(gpu_alloc(&setup->gpu, sizeof result, &memory), "result");
    must_run(driver->memcpy_htod(memory, &result, sizeof result), "cuMemcpyHtoD");
    const struct compare_params params = {.a = (void *)(uintptr_t)tested,
        .b = (void *)(uintptr_t)reference,
        .result = (struct compare_result *)(uintptr_t)memory,
        .rows = 1,
        .cols = ELEMENTS,
        .a_dtype = (int)dtype,
        .b_dtype = TFOPS_F32,
        .rtol = 1e-9f};
    must(gpu_compare(&setup->gpu, &params), "compare");
    must(gpu_sync(&setup->gpu), "compare");
    must_run(driver->memcpy_dtoh(&result, memory, sizeof result), "cuMemcpyDtoH");
    gpu_free(&setup->gpu, &memory);
    uint64_t differ = 0;
    double squares = 0;
    for (int i = 0; i < ELEMENTS; i++) {
        const double off = (double)host_load(data, dtype, i) - (double)wide[i];
        differ += off != 0;
        squares += off * off;
    }
    cr_expect_eq(result.class_diffs, 0, "%s", tfops_dtype_name(dtype));
    cr_expect_eq(result.violations, differ, "%s: %llu elements differ, expected %llu",
        tfops_dtype_name(dtype), result.violations, (unsigned long long)differ);
    cr_expect(fabs(result.diff_squares - squares) <= 1e-9 * squares, "%s: %g, expected %g",
        tfops_dtype_name(dtype), result.diff_squares, squares);
}

Test(num_gpu, fill_and_compare_know_every_float_dtype, .timeout = 120)
{
    SUPPORT_NEEDS_GPU();
    struct setup setup;
    static float wide[ELEMENTS], data[ELEMENTS];
    CUdeviceptr reference = 0, tested = 0;
    const struct gpu_values values = {
        .seed = 5, .special_every = SPECIAL_EVERY, .scale = 1, .offset = 0};
    start(&setup);
    load_kernel(&setup, SUPPORT_FILL, sizeof(struct fill_params), &setup.gpu.fill);
    load_kernel(&setup, SUPPORT_COMPARE, sizeof(struct compare_params), &setup.gpu.compare);
    must(gpu_alloc(&setup.gpu, sizeof wide, &reference), "memory");
    must(gpu_alloc(&setup.gpu, sizeof data, &tested), "memory");
    for (int d = 0; d < TFOPS_DTYPE_COUNT; d++) {
        const enum tfops_dtype dtype = (enum tfops_dtype)d;
        if (!gpu_knows(dtype))
            continue;
        must(gpu_fill(&setup.gpu, reference, TFOPS_F32, ELEMENTS, &values), "fill");
        must(gpu_fill(&setup.gpu, tested, dtype, ELEMENTS, &values), "fill");
        must(gpu_sync(&setup.gpu), "fill");
        must_run(setup.access.driver->memcpy_dtoh(wide, reference, sizeof wide), "cuMemcpyDtoH");
        must_run(setup.access.driver->memcpy_dtoh(data, tested, sizeof data), "cuMemcpyDtoH");
        check_filled(dtype, data, wide);
        check_compared(&setup, dtype, data, wide, tested, reference);
    }
    gpu_free(&setup.gpu, &reference);
    gpu_free(&setup.gpu, &tested);
    gpu_kernel_unload(&setup.gpu, &setup.gpu.fill);
    gpu_kernel_unload(&setup.gpu, &setup.gpu.compare);
    stop(&setup);
}
