/* The fake driver itself: that its streams, captures, faults and times behave as tests rely on. */
#include "engine/driver.h"
#include "tests/fakes/fake_cuda.h"
#include "tests/support/fake_cubin.h"
#include <criterion/criterion.h>
#include <dlfcn.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <tfops/tensor.h>
#include <unistd.h>

#include "docs/examples/scale_bias_plugin.cu"

/* The driver table, filled here so that the engine's own code stays out of these tests. */
static struct driver cu;
static CUcontext context;
static uint64_t (*counter)(const char *);
static void (*fail)(const char *, uint64_t, int);
static void (*on_launch)(const char *, fake_launch_fn);

static void *symbol(const char *name)
{
    void *found = dlsym(cu.library, name);
    cr_assert(found, "libfake_cuda.so has no %s", name);
    return found;
}

#define RESOLVE(pointer, name)                                                                     \
    do {                                                                                           \
        void *found = symbol(name);                                                                \
        memcpy(&(pointer), &found, sizeof found);                                                  \
    } while (0)

static void load_fake(void)
{
    const char *build = getenv("TFOPS_BUILD");
    char path[512];
    snprintf(path, sizeof path, "%s/fakes/libfake_cuda.so", build && *build ? build : "build");
    cu.library = dlopen(path, RTLD_NOW);
    cr_assert(cu.library, "%s: %s", path, dlerror());
#define RESOLVE_FIELD(field, name, parameters) RESOLVE(cu.field, name);
    DRIVER_FUNCTIONS(RESOLVE_FIELD)
    RESOLVE(counter, "fake_cuda_counter");
    RESOLVE(fail, "fake_cuda_fail");
    RESOLVE(on_launch, "fake_cuda_on_launch");
}

static void begin(void)
{
    load_fake();
    cr_assert_eq(cu.init(0), CUDA_SUCCESS);
    cr_assert_eq(cu.primary_ctx_retain(&context, 0), CUDA_SUCCESS);
    cr_assert_eq(cu.ctx_push_current(context), CUDA_SUCCESS);
}

TestSuite(fake_cuda, .init = begin);

static CUfunction load_entry(const struct fake_cubin_options *options)
{
    _Alignas(8) static unsigned char image[FAKE_CUBIN_BYTES];
    CUmodule module;
    CUfunction function;
    fake_cubin_make(options, image);
    cr_assert_eq(cu.module_load_data_ex(&module, image, 0, NULL, NULL), CUDA_SUCCESS);
    cr_assert_eq(cu.module_get_function(&function, module, options->entry), CUDA_SUCCESS);
    return function;
}

static CUfunction load_scale_bias(const char *marker, uint32_t salt)
{
    return load_entry(&(struct fake_cubin_options){.entry = "tfops_scale_bias",
        .marker = marker,
        .param_bytes = sizeof(struct scale_bias_params),
        .salt = salt});
}

enum { COLS = 16, ROWS = 4 };

/* x[i] = i, scale 2, no bias, y poisoned; a guard of four elements behind y. */
static struct scale_bias_params make_problem(void)
{
    float x[ROWS * COLS], scale[COLS];
    CUdeviceptr dx, ds, dy;
    for (int i = 0; i < ROWS * COLS; i++)
        x[i] = (float)(i + 1);
    for (int i = 0; i < COLS; i++)
        scale[i] = 2;
    cr_assert_eq(cu.mem_alloc(&dx, sizeof x), CUDA_SUCCESS);
    cr_assert_eq(cu.mem_alloc(&ds, sizeof scale), CUDA_SUCCESS);
    cr_assert_eq(cu.mem_alloc(&dy, sizeof x + 16), CUDA_SUCCESS);
    cr_assert_eq(cu.memcpy_htod(dx, x, sizeof x), CUDA_SUCCESS);
    cr_assert_eq(cu.memcpy_htod(ds, scale, sizeof scale), CUDA_SUCCESS);
    cr_assert_eq(cu.memset_d32_async(dy, 0, ROWS * COLS + 4, NULL), CUDA_SUCCESS);
    return (struct scale_bias_params){.x = (void *)(uintptr_t)dx,
        .scale = (void *)(uintptr_t)ds,
        .y = (void *)(uintptr_t)dy,
        .x_stride = COLS,
        .y_stride = COLS,
        .rows = ROWS,
        .hidden = COLS,
        .dtype = TFOPS_F32};
}

static CUresult launch(CUfunction function, struct scale_bias_params *params, CUstream stream)
{
    void *pointers[] = {params};
    return cu.launch_kernel(function, ROWS, 1, 1, 64, 1, 1, 0, stream, pointers, NULL);
}

static const float *output(const struct scale_bias_params *params)
{
    static float y[ROWS * COLS + 4];
    const CUdeviceptr from = (CUdeviceptr)(uintptr_t)params->y;
    cr_assert_eq(cu.memcpy_dtoh(y, from, sizeof y), CUDA_SUCCESS);
    return y;
}

Test(fake_cuda, computes_a_known_entry)
{
    struct scale_bias_params params = make_problem();
    cr_assert_eq(launch(load_scale_bias(NULL, 0), &params, NULL), CUDA_SUCCESS);
    const float *y = output(&params);
    cr_assert_float_eq(y[0], 2, 0, "got %g", (double)y[0]);
    cr_assert_float_eq(y[63], 128, 0, "got %g", (double)y[63]);
    cr_assert_eq(counter("cuLaunchKernel"), 1);
}

static void hook(const struct fake_launch *seen)
{
    const struct scale_bias_params *params = seen->params;
    cr_assert_eq(seen->param_bytes, sizeof *params);
    ((float *)params->y)[0] = 77;
}

Test(fake_cuda, a_hook_replaces_the_implementation)
{
    struct scale_bias_params params = make_problem();
    on_launch("tfops_scale", hook);
    cr_assert_eq(launch(load_scale_bias(NULL, 0), &params, NULL), CUDA_SUCCESS);
    cr_assert_float_eq(output(&params)[0], 77, 0);
}

Test(fake_cuda, markers_misbehave)
{
    struct scale_bias_params params = make_problem();
    cr_assert_eq(launch(load_scale_bias("_Z16tfops_fake_wrongv", 0), &params, NULL), 0);
    cr_assert_float_eq(output(&params)[13], 28, 0);
    cr_assert_float_eq(output(&params)[14], 0, 0, "the tail of row 0");
    cr_assert_eq(launch(load_scale_bias("tfops_fake_outside", 0), &params, NULL), 0);
    cr_assert_float_neq(output(&params)[64], 0, 0, "the guard");
    params = make_problem();
    cr_assert_eq(launch(load_scale_bias("tfops_fake_unwritten", 0), &params, NULL), 0);
    cr_assert_float_eq(output(&params)[47], 96, 0);
    cr_assert_float_eq(output(&params)[48], 0, 0, "the last row");
}

Test(fake_cuda, a_fault_is_sticky)
{
    struct scale_bias_params params = make_problem();
    CUdeviceptr memory;
    cr_assert_eq(launch(load_scale_bias("tfops_fake_fault", 0), &params, NULL), CUDA_SUCCESS);
    cr_assert_eq(cu.stream_synchronize(NULL), CUDA_ERROR_ILLEGAL_ADDRESS);
    cr_assert_eq(cu.mem_alloc(&memory, 16), CUDA_ERROR_ILLEGAL_ADDRESS);
}

Test(fake_cuda, a_kernel_outside_of_its_memory_faults)
{
    struct scale_bias_params params = make_problem();
    params.rows = ROWS + 1;
    cr_assert_eq(launch(load_scale_bias(NULL, 0), &params, NULL), CUDA_SUCCESS);
    cr_assert_eq(cu.stream_synchronize(NULL), CUDA_ERROR_ILLEGAL_ADDRESS);
}

Test(fake_cuda, a_hang_blocks_synchronisation, .signal = SIGALRM)
{
    struct scale_bias_params params = make_problem();
    const CUfunction function = load_scale_bias("tfops_fake_hang", 0);
    alarm(1); /* ends this process with the expected signal */
    cr_assert_eq(launch(function, &params, NULL), CUDA_SUCCESS);
    cu.stream_synchronize(NULL);
    cr_assert_fail("returned");
}

Test(fake_cuda, copies_are_checked_against_bounds)
{
    CUdeviceptr memory;
    char bytes[64] = {0};
    cr_assert_eq(cu.mem_alloc(&memory, 32), CUDA_SUCCESS);
    cr_assert_eq(cu.memcpy_htod(memory, bytes, 32), CUDA_SUCCESS);
    cr_assert_eq(cu.memcpy_htod(memory, bytes, 33), CUDA_ERROR_INVALID_VALUE);
    cr_assert_eq(cu.memcpy_htod(memory + 16, bytes, 17), CUDA_ERROR_INVALID_VALUE);
    cr_assert_eq(cu.mem_free(memory + 1), CUDA_ERROR_INVALID_VALUE);
    cr_assert_eq(counter("live_bytes"), 32);
    cr_assert_eq(cu.mem_free(memory), CUDA_SUCCESS);
    cr_assert_eq(counter("live_allocations"), 0);
}

Test(fake_cuda, rejects_what_is_no_cubin)
{
    _Alignas(8) unsigned char image[FAKE_CUBIN_BYTES];
    CUmodule module;
    CUfunction function;
    struct fake_cubin_options options = {.entry = "tfops_scale_bias"};
    fake_cubin_make(&options, image);
    cr_assert_eq(cu.module_load_data_ex(&module, image, 0, NULL, NULL), CUDA_SUCCESS);
    cr_assert_eq(cu.module_get_function(&function, module, "other"), CUDA_ERROR_NOT_FOUND);
    image[0] = 'x';
    cr_assert_eq(cu.module_load_data_ex(&module, image, 0, NULL, NULL), CUDA_ERROR_INVALID_IMAGE);
    options.sm = 80;
    fake_cubin_make(&options, image);
    cr_assert_eq(
        cu.module_load_data_ex(&module, image, 0, NULL, NULL), CUDA_ERROR_NO_BINARY_FOR_GPU);
}

Test(fake_cuda, shared_memory_counts_static_and_dynamic)
{
    const CUfunction function =
        load_entry(&(struct fake_cubin_options){.entry = "k", .smem_static_bytes = 40960});
    const CUfunction_attribute attribute = CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
    int bytes = 0;
    cr_assert_eq(cu.func_get_attribute(&bytes, CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES, function), 0);
    cr_assert_eq(bytes, 40960);
    cr_assert_eq(cu.func_set_attribute(function, attribute, 232448 - 40960), CUDA_SUCCESS);
    cr_assert_eq(
        cu.func_set_attribute(function, attribute, 232448 - 8192), CUDA_ERROR_INVALID_VALUE);
}

Test(fake_cuda, fails_the_nth_call)
{
    CUdeviceptr memory;
    fail("cuMemAlloc_v2", 2, 0);
    cr_assert_eq(cu.mem_alloc(&memory, 16), CUDA_SUCCESS);
    cr_assert_eq(cu.mem_alloc(&memory, 16), CUDA_ERROR_OUT_OF_MEMORY);
    cr_assert_eq(cu.mem_alloc(&memory, 16), CUDA_SUCCESS);
}

static CUstream new_stream(void)
{
    CUstream stream;
    cr_assert_eq(cu.stream_create(&stream, CU_STREAM_NON_BLOCKING), CUDA_SUCCESS);
    return stream;
}

Test(fake_cuda, a_captured_launch_runs_at_replay)
{
    struct scale_bias_params params = make_problem();
    const CUfunction function = load_scale_bias(NULL, 0);
    const CUstream stream = new_stream();
    CUgraph graph;
    CUgraphExec exec;
    cr_assert_eq(cu.stream_begin_capture(stream, CU_STREAM_CAPTURE_MODE_GLOBAL), CUDA_SUCCESS);
    cr_assert_eq(launch(function, &params, stream), CUDA_SUCCESS);
    cr_assert_eq(cu.stream_end_capture(stream, &graph), CUDA_SUCCESS);
    cr_assert_eq(cu.graph_instantiate(&exec, graph, 0), CUDA_SUCCESS);
    cr_assert_float_eq(output(&params)[0], 0, 0);
    const struct scale_bias_params captured = params;
    params.rows = 0; /* the graph has its own copy */
    cr_assert_eq(cu.graph_launch(exec, stream), CUDA_SUCCESS);
    cr_assert_float_eq(output(&captured)[0], 2, 0);
}

Test(fake_cuda, a_capture_forbids_allocation_and_synchronisation)
{
    const CUstream stream = new_stream();
    CUstreamCaptureMode relaxed = CU_STREAM_CAPTURE_MODE_RELAXED;
    CUdeviceptr memory;
    CUgraph graph;
    cr_assert_eq(cu.stream_begin_capture(stream, CU_STREAM_CAPTURE_MODE_GLOBAL), CUDA_SUCCESS);
    cu.thread_exchange_capture_mode(&relaxed);
    cr_assert_eq(cu.mem_alloc(&memory, 16), CUDA_SUCCESS, "relaxed mode may");
    cu.thread_exchange_capture_mode(&relaxed);
    cr_assert_eq(cu.mem_alloc(&memory, 16), CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
    cr_assert_eq(cu.stream_end_capture(stream, &graph), CUDA_ERROR_STREAM_CAPTURE_INVALIDATED);
    cr_assert_null(graph);
    cr_assert_eq(cu.stream_begin_capture(stream, CU_STREAM_CAPTURE_MODE_GLOBAL), CUDA_SUCCESS);
    cr_assert_eq(cu.stream_synchronize(stream), CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
}

static double time_of(CUfunction function, struct scale_bias_params *params)
{
    CUevent start, end;
    float ms = 0;
    cr_assert_eq(cu.event_create(&start, 0), CUDA_SUCCESS);
    cr_assert_eq(cu.event_create(&end, 0), CUDA_SUCCESS);
    cr_assert_eq(cu.event_record(start, NULL), CUDA_SUCCESS);
    cr_assert_eq(launch(function, params, NULL), CUDA_SUCCESS);
    cr_assert_eq(cu.event_record(end, NULL), CUDA_SUCCESS);
    cr_assert_eq(cu.event_synchronize(end), CUDA_SUCCESS);
    cr_assert_eq(cu.event_elapsed_time(&ms, start, end), CUDA_SUCCESS);
    return (double)ms;
}

Test(fake_cuda, time_depends_on_the_image_alone)
{
    /* A large row: the launch overhead would hide the difference. */
    CUdeviceptr memory;
    cr_assert_eq(cu.mem_alloc(&memory, 4 << 20), CUDA_SUCCESS);
    cr_assert_eq(cu.memset_d8_async(memory, 0, 4 << 20, NULL), CUDA_SUCCESS);
    void *data = (void *)(uintptr_t)memory;
    struct scale_bias_params params = {
        data, data, NULL, data, 1 << 20, 1 << 20, 1, 1 << 20, TFOPS_F32};
    const double first = time_of(load_scale_bias(NULL, 1), &params);
    const double again = time_of(load_scale_bias(NULL, 1), &params);
    const double other = time_of(load_scale_bias(NULL, 2), &params);
    cr_assert_float_eq(first, again, 1e-9, "%g and %g ms", first, again);
    cr_assert(fabs(first - other) > 1e-6, "both %g ms", first);
}

Test(fake_cuda, a_stream_belongs_to_its_context, .init = NULL)
{
    CUcontext second, owner;
    CUstream stream;
    setenv("FAKE_CUDA_DEVICES", "2", 1);
    begin();
    cr_assert_eq(cu.primary_ctx_retain(&second, 1), CUDA_SUCCESS);
    cr_assert_eq(cu.ctx_push_current(second), CUDA_SUCCESS);
    cr_assert_eq(cu.stream_create(&stream, 0), CUDA_SUCCESS);
    cr_assert_eq(cu.ctx_pop_current(NULL), CUDA_SUCCESS);
    cr_assert_eq(cu.stream_get_ctx(stream, &owner), CUDA_SUCCESS);
    cr_assert_eq(owner, second);
    struct scale_bias_params params = make_problem();
    cr_assert_eq(launch(load_scale_bias(NULL, 0), &params, stream), CUDA_ERROR_INVALID_HANDLE);
}

Test(fake_cuda, no_device_when_asked, .init = NULL)
{
    setenv("FAKE_CUDA_DEVICES", "0", 1);
    load_fake();
    cr_assert_eq(cu.init(0), CUDA_ERROR_NO_DEVICE);
}

Test(fake_cuda, a_forked_child_is_refused)
{
    const pid_t child = fork();
    if (child == 0) {
        CUdeviceptr memory;
        _exit(cu.mem_alloc(&memory, 16) == CUDA_ERROR_NOT_INITIALIZED ? 0 : 1);
    }
    int status = -1;
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert_eq(status, 0);
}
