/*
 * Launches against a driver whose calls fail one by one: each way to a launch, each function of the
 * driver's table, each call of it that the way makes. A failure is told with the call and the
 * driver's number, or it was one that a launch can do without; nothing is left behind, and the next
 * launch works.
 */
#include "engine_access.h"
#include "engine_state.h"
#include "kernels/norm/norm_specs.h"
#include "plan_state.h"
#include "tests/fakes/fake_cuda.h"
#include "tests/support/expect.h"
#include "tests/support/gpu_case.h"
#include "tests/support/test_support.h"
#include <criterion/criterion.h>
#include <tfops/tfops.h>

enum { ROWS = 8, HIDDEN = 256 };

static struct support_engine support; /* stays open: its memory, and the way of a warm engine */
static struct tfops_engine *engine;
static struct tfops_engine_options options;
static struct support_rmsnorm call;
static struct tfops_problem problem;
static struct tfops_plan *plan;
static struct expect_heap heap;
static CUcontext other;
static uint64_t (*counter)(const char *);
static void (*fail)(const char *, uint64_t, int);

static void *resolve(const char *name)
{
    void *found = support_fake_symbol(name);
    cr_assert(found, "the fake driver has no %s", name);
    return found;
}

static void begin(void)
{
    void *address;
    support_use_fake_cuda();
    setenv("FAKE_CUDA_DEVICES", "2", 1);
    support_engine_open(&support, "cuda:0", NULL);
    engine = support.engine;
    address = resolve("fake_cuda_counter");
    memcpy(&counter, &address, sizeof counter);
    address = resolve("fake_cuda_fail");
    memcpy(&fail, &address, sizeof fail);
    support_rmsnorm_make(&call, engine, TFOPS_F16, ROWS, HIDDEN);
    EXPECT_OK(tfops_problem_from_args(&rmsnorm_spec, &call.args, &problem));
    cr_assert_eq(engine->driver.primary_ctx_retain(&other, 1), CUDA_SUCCESS);
}

static void end(void)
{
    tfops_plan_release(plan);
    support_rmsnorm_free(&call);
    support_engine_close(&support);
}

TestSuite(launch, .init = begin, .fini = end);

/* ---- ways to a launch ------------------------------------------------------------------------ */

static enum tfops_status warm_look_up(void)
{
    return tfops_launch(engine, &rmsnorm_spec, &call.args, NULL);
}

static enum tfops_status held_plan(void)
{
    return tfops_plan_launch(plan, &call.args, NULL);
}

static enum tfops_status cold_look_up(void)
{
    engine_forget(engine, &problem);
    return warm_look_up();
}

static enum tfops_status under_another_context(void)
{
    CUcontext popped;
    if (engine->driver.ctx_push_current(other))
        return TFOPS_OK; /* it was this one that failed: no way to a launch */
    const enum tfops_status status = held_plan();
    fail(NULL, 0, 0);
    engine->driver.ctx_pop_current(&popped);
    return status;
}

/* An engine of its own over a warm cache: opening, loading, preparing, both launches, closing. */
static enum tfops_status whole_way(void)
{
    struct tfops_engine *fresh;
    struct tfops_plan *prepared = NULL;
    struct tfops_problem of_fresh = problem;
    enum tfops_status status = tfops_engine_open(&options, &fresh);
    if (status)
        return status;
    of_fresh.spec = tfops_engine_operator(fresh, "rmsnorm");
    status = tfops_prepare(fresh, &of_fresh, &prepared);
    if (!status)
        status = tfops_plan_launch(prepared, &call.args, NULL);
    if (!status)
        status = tfops_launch(fresh, of_fresh.spec, &call.args, NULL);
    tfops_plan_release(prepared);
    tfops_engine_close(fresh);
    return status;
}

/* ---- each call fails once -------------------------------------------------------------------- */

static const char *const SYMBOLS[] = {
#define SYMBOL(field, symbol, parameters) symbol,
    DRIVER_FUNCTIONS(SYMBOL)
#undef SYMBOL
};

/* What a failing cleanup leaves is the driver's: these have no one to tell. */
static bool cleans_up(const char *symbol)
{
    return !strcmp(symbol, "cuCtxPopCurrent_v2") || !strcmp(symbol, "cuModuleUnload") ||
           !strcmp(symbol, "cuDevicePrimaryCtxRelease_v2");
}

static void restore_context(CUcontext wanted)
{
    CUcontext current = NULL;
    for (int i = 0; i < 8 && !engine->driver.ctx_get_current(&current) && current != wanted; i++)
        engine->driver.ctx_pop_current(&current);
}

/* Makes the thread's capture mode global, which it is where nobody has changed it; what it was. */
static CUstreamCaptureMode reset_capture_mode(void)
{
    CUstreamCaptureMode mode = CU_STREAM_CAPTURE_MODE_GLOBAL;
    engine->driver.thread_exchange_capture_mode(&mode);
    return mode;
}

static void fail_call(
    enum tfops_status (*way)(void), const char *symbol, uint64_t nth, CUresult result)
{
    CUcontext before = NULL, after = NULL;
    const uint64_t modules = counter("live_modules");
    engine->driver.ctx_get_current(&before);
    fail(symbol, nth, (int)result);
    const enum tfops_status status = way();
    fail(NULL, 0, 0);
    const struct tfops_error error = expect_error();
    if (status) {
        cr_assert(status == TFOPS_E_DRIVER || status == TFOPS_E_COLD || status == TFOPS_E_CONTEXT,
            "%s, call %d: %s", symbol, (int)nth, error.message);
        cr_assert(error.status == status && error.where[0] && error.message[0],
            "%s, call %d: no detail", symbol, (int)nth);
    }
    /* The call that failed, or the refusal that it was asked about. */
    if (status == TFOPS_E_DRIVER)
        cr_assert(error.native == (int)result ||
                      !strncmp(error.where, "cuLaunchKernel", strlen("cuLaunchKernel")),
            "%s, call %d: native %d: %s", symbol, (int)nth, error.native, error.message);
    engine->driver.ctx_get_current(&after);
    if (cleans_up(symbol))
        restore_context(before);
    else
        cr_assert_eq(after, before, "%s, call %d: another context", symbol, (int)nth);
    if (status)
        cr_assert_eq(
            counter("live_modules"), modules, "%s, call %d: modules are left", symbol, (int)nth);
    /* Every second exchange is the one back. */
    const bool back = !strcmp(symbol, "cuThreadExchangeStreamCaptureMode") && nth % 2 == 0;
    const CUstreamCaptureMode mode = reset_capture_mode();
    cr_assert(back || mode == CU_STREAM_CAPTURE_MODE_GLOBAL, "%s, call %d: capture mode %d", symbol,
        (int)nth, (int)mode);
    cr_assert_eq(heap.live, 0, "%s, call %d: %zu blocks are left", symbol, (int)nth, heap.live);
    EXPECT_OK(way());
}

static int fail_each(enum tfops_status (*way)(void), CUresult result)
{
    int failed = 0;
    for (size_t i = 0; i < sizeof SYMBOLS / sizeof SYMBOLS[0]; i++) {
        const uint64_t before = counter(SYMBOLS[i]);
        EXPECT_OK(way());
        const uint64_t n = counter(SYMBOLS[i]) - before;
        for (uint64_t nth = 1; nth <= n; nth++, failed++)
            fail_call(way, SYMBOLS[i], nth, result);
    }
    return failed;
}

/* Once with a result that says nothing, once with one that makes a launch look at its context. */
static void fail_each_way(enum tfops_status (*way)(void), int least)
{
    EXPECT_OK(way());
    cr_assert_geq(fail_each(way, CUDA_ERROR_UNKNOWN), least);
    cr_assert_geq(fail_each(way, CUDA_ERROR_INVALID_CONTEXT), least);
}

Test(launch, each_driver_call_that_fails_is_told_on_a_look_up)
{
    fail_each_way(warm_look_up, 1);
}

Test(launch, each_driver_call_that_fails_is_told_on_a_cold_look_up)
{
    fail_each_way(cold_look_up, 2);
}

Test(launch, each_driver_call_that_fails_is_told_with_a_held_plan)
{
    SUPPORT_NEEDS_NVRTC();
    EXPECT_OK(tfops_prepare(engine, &problem, &plan));
    fail_each_way(held_plan, 1);
}

Test(launch, each_driver_call_that_fails_is_told_under_another_context)
{
    SUPPORT_NEEDS_NVRTC();
    EXPECT_OK(tfops_prepare(engine, &problem, &plan));
    fail_each_way(under_another_context, 5);
}

Test(launch, each_driver_call_that_fails_is_told_on_the_whole_way)
{
    SUPPORT_NEEDS_NVRTC();
    EXPECT_OK(tfops_engine_warm(engine, &problem, 1));
    options = (struct tfops_engine_options){.size = sizeof options,
        .device = "cuda:0",
        .cache_path = support.cache,
        .flags = TFOPS_ENGINE_UNLOAD_AT_CLOSE,
        .alloc = expect_heap_alloc,
        .free = expect_heap_free,
        .alloc_user = &heap};
    fail_each_way(whole_way, 20);
}

/* Whether a launch of a prepared problem is the plain one. */
static bool is_plain(const char *text)
{
    double scalars[TFOPS_MAX_SCALARS];
    struct tfops_plan *prepared;
    gpu_case_problem(engine, text, &problem, scalars);
    EXPECT_OK(tfops_prepare(engine, &problem, &prepared));
    const bool plain = plan_choose(prepared, 16)->launcher.plain;
    tfops_plan_release(prepared);
    return plain;
}

Test(launch, an_operator_that_may_need_a_workspace_is_launched_plainly_where_it_does_not)
{
    SUPPORT_NEEDS_NVRTC();
    cr_assert(is_plain("quantize rows=16 hidden=256 granularity=per_token scales=1"));
    cr_assert(is_plain("quantize rows=16 hidden=256 granularity=per_group scales=1"));
    cr_assert(!is_plain("quantize rows=16 hidden=256 granularity=per_tensor_dynamic scales=1"));
}

/* A matrix product has tensor maps; its launch is the extended one. */
static struct gpu_case product;
static int64_t tokens = 512;

static void give_tokens(int64_t m)
{
    for (int i = 0; i < TFOPS_MAX_OPERANDS; i++)
        if (product.tensors[i].rank == 2 && product.tensors[i].shape[0] == tokens)
            product.tensors[i].shape[0] = m;
    tokens = m;
}

/* Each time another number of tokens: maps that the thread has not kept. */
static enum tfops_status launch_product(void)
{
    give_tokens(tokens - 1);
    return tfops_launch(engine, product.spec, &product.args, NULL);
}

/* Each time x at another address. */
static enum tfops_status launch_moved_product(void)
{
    static int64_t row = 16;
    product.tensors[0].data =
        (char *)product.tensors[0].data + row * product.tensors[0].strides[0] * 2;
    row = -row;
    return tfops_launch(engine, product.spec, &product.args, NULL);
}

static void expect_told(enum tfops_status (*way)(void), const char *name)
{
    fail(name, 1, CUDA_ERROR_INVALID_VALUE);
    EXPECT_STATUS(way(), TFOPS_E_DRIVER);
    EXPECT_TEXT(expect_error().where, name);
    EXPECT_OK(way());
}

Test(launch, each_driver_call_that_fails_is_told_with_tensor_maps)
{
    SUPPORT_NEEDS_NVRTC();
    double scalars[TFOPS_MAX_SCALARS];
    const struct gpu_case_options plain = {.scalars = scalars};
    gpu_case_problem(engine, "linear m=512 n=128 k=64", &problem, scalars);
    EXPECT_OK(tfops_engine_warm(engine, &problem, 1));
    gpu_case_make(&product, engine, &problem, &plain);
    fail_each_way(launch_product, 3);
    expect_told(launch_product, "cuTensorMapEncodeTiled");
    expect_told(launch_product, "cuLaunchKernelEx");
    give_tokens(64);
    fail_each_way(launch_moved_product, 2);
    expect_told(launch_moved_product, "cuTensorMapReplaceAddress");
    gpu_case_free(&product);
}

/* The legacy stream does not say that it is capturing: it says that another stream is. */
Test(launch, a_capture_that_the_stream_is_drawn_into_is_a_capture)
{
    struct support_engine compiling = {0};
    const struct tfops_engine_options compile = {
        .size = sizeof compile, .miss_policy = TFOPS_MISS_COMPILE};
    support_engine_open(&compiling, "cuda:0", &compile);
    fail("cuStreamIsCapturing", 1, CUDA_ERROR_STREAM_CAPTURE_IMPLICIT);
    EXPECT_STATUS(tfops_launch(compiling.engine, &rmsnorm_spec, &call.args, NULL), TFOPS_E_COLD);
    EXPECT_CONTAINS(expect_error().actual, "capture");
    support_engine_close(&compiling);
}
