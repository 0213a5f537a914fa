/*
 * The engine against the fake driver: opening and closing, preparing, launching, what misses do,
 * forks, contexts, and each driver call and allocation that can fail.
 */
#include "engine_state.h"
#include "kernels/norm/norm_specs.h"
#include "kernels/registry.h"
#include "plan_state.h"
#include "tests/fakes/fake_cuda.h"
#include "tests/support/expect.h"
#include "tests/support/test_support.h"
#include "tests/support/toy_spec.h"
#include <criterion/criterion.h>
#include <stdio.h>
#include <sys/wait.h>
#include <tfops/tfops.h>
#include <unistd.h>

enum { ROWS = 8, HIDDEN = 256 };

static struct support_engine support;
static struct tfops_engine_options options;
static struct tfops_engine *engine;
static uint64_t (*counter)(const char *);
static void (*fail)(const char *, uint64_t, int);
static struct support_rmsnorm call;
static struct expect_heap heap;

static void begin(void)
{
    support_use_fake_cuda();
    unsetenv("TFOPS_CACHE");
    unsetenv("TFOPS_KERNEL_DIR");
    options = (struct tfops_engine_options){.size = sizeof options};
}

static void end(void)
{
    support_rmsnorm_free(&call);
    support_engine_close(&support);
}

TestSuite(engine, .init = begin, .fini = end);

#define RESOLVE(pointer, name)                                                                     \
    do {                                                                                           \
        void *found = support_fake_symbol(name);                                                   \
        cr_assert(found, "the fake driver has no %s", name);                                       \
        memcpy(&(pointer), &found, sizeof found);                                                  \
    } while (0)

static void open_on(const char *device)
{
    support_engine_open(&support, device, &options);
    engine = support.engine;
    if (device && !strncmp(device, "cuda", 4)) {
        RESOLVE(counter, "fake_cuda_counter");
        RESOLVE(fail, "fake_cuda_fail");
    }
}

static void make_tensors(void)
{
    support_rmsnorm_make(&call, engine, TFOPS_F16, ROWS, HIDDEN);
}

static struct tfops_problem problem_of(const char *hidden)
{
    struct tfops_problem problem;
    EXPECT_OK(tfops_problem_init(tfops_engine_operator(engine, "rmsnorm"), &problem));
    EXPECT_OK(tfops_problem_set(&problem, "rows", "8"));
    EXPECT_OK(tfops_problem_set(&problem, "hidden", hidden));
    return problem;
}

static struct tfops_engine_stats stats(void)
{
    struct tfops_engine_stats now = {.size = sizeof now};
    EXPECT_OK(tfops_engine_stats(engine, &now));
    return now;
}

static enum tfops_status launch(struct CUstream_st *stream)
{
    return tfops_launch(engine, &rmsnorm_spec, &call.args, stream);
}

/* ---- opening --------------------------------------------------------------------------------- */

Test(engine, opens_the_device_it_is_asked_for)
{
    static const char *const NAMES[][2] = {
        {"cpu", "cpu"}, {"arch:sm_80", "sm_80"}, {"arch:sm_120a", "sm_120a"}, {"cuda:0", "sm_90a"}};
    for (int i = 0; i < 4; i++) {
        open_on(NAMES[i][0]);
        EXPECT_TEXT(tfops_engine_device(engine)->arch, NAMES[i][1]);
        EXPECT_INT(tfops_engine_operator_count(engine), registry_count);
        EXPECT_TEXT(tfops_engine_operator_at(engine, 1)->name, "add_rmsnorm");
        cr_assert_null(tfops_engine_operator_at(engine, registry_count));
        cr_assert_null(tfops_engine_operator(engine, "no_such_operator"));
        support_engine_shut(&support);
    }
}

Test(engine, takes_the_gpu_by_itself)
{
    options.cache_path = "";
    EXPECT_OK(tfops_engine_open(&options, &engine));
    EXPECT_TEXT(tfops_engine_device(engine)->arch, "sm_90a");
    tfops_engine_close(engine);
}

Test(engine, takes_the_cpu_where_there_is_no_driver)
{
    options.cache_path = "";
    options.driver_path = "/nonexistent/libcuda.so.1";
    EXPECT_OK(tfops_engine_open(&options, &engine));
    EXPECT_TEXT(tfops_engine_device(engine)->arch, "cpu");
    tfops_engine_close(engine);
    options.device = "cuda:0";
    EXPECT_REFUSED(tfops_engine_open(&options, &engine), TFOPS_E_DRIVER, options.driver_path);
}

Test(engine, takes_the_cpu_where_there_is_no_gpu)
{
    setenv("FAKE_CUDA_DEVICES", "0", 1);
    options.cache_path = "";
    EXPECT_OK(tfops_engine_open(&options, &engine));
    EXPECT_TEXT(tfops_engine_device(engine)->arch, "cpu");
    tfops_engine_close(engine);
}

/* A GPU that is there and fails must not become a slow cpu that works. */
Test(engine, does_not_take_the_cpu_for_a_gpu_that_fails)
{
    setenv("FAKE_CUDA_FAIL", "cuDevicePrimaryCtxRetain:1:101", 1);
    options.cache_path = "";
    EXPECT_STATUS(tfops_engine_open(&options, &engine), TFOPS_E_DRIVER);
    EXPECT_TEXT(expect_error().where, "cuDevicePrimaryCtxRetain");
}

Test(engine, refuses_a_driver_that_is_too_old)
{
    setenv("FAKE_CUDA_VERSION", "12030", 1);
    options.cache_path = "";
    options.device = "cuda:0";
    EXPECT_STATUS(tfops_engine_open(&options, &engine), TFOPS_E_DRIVER);
    EXPECT_CONTAINS(expect_error().message, "12.4");
}

Test(engine, refuses_unknown_devices)
{
    static const char *const NAMES[] = {"", "gpu", "cuda", "cuda:", "cuda:x", "cuda:-1", "cuda:0x",
        "cuda:1", "cuda:99999999999999999999", "CPU", "cpu:0", "arch:", "arch:sm_70", "arch:sm_90"};
    options.cache_path = "";
    for (size_t i = 0; i < sizeof NAMES / sizeof NAMES[0]; i++) {
        options.device = NAMES[i];
        EXPECT_STATUS(tfops_engine_open(&options, &engine), TFOPS_E_UNKNOWN);
        cr_assert(expect_error().expected[0], "\"%s\": nothing was expected", NAMES[i]);
    }
}

Test(engine, refuses_options_of_another_shape)
{
    struct {
        struct tfops_engine_options known;
        uint64_t newer[2];
    } wide = {.known = {.size = sizeof wide, .device = "cpu", .cache_path = ""}};
    EXPECT_OK(tfops_engine_open(&wide.known, &engine)); /* a zero tail is fine */
    tfops_engine_close(engine);
    wide.newer[1] = 1ull << 63;
    EXPECT_REFUSED(tfops_engine_open(&wide.known, &engine), TFOPS_E_ARGUMENT, "options");
    wide.known.size = 8;
    EXPECT_REFUSED(tfops_engine_open(&wide.known, &engine), TFOPS_E_ARGUMENT, "options.size");
    options.flags = 4;
    EXPECT_REFUSED(tfops_engine_open(&options, &engine), TFOPS_E_ARGUMENT, "options.flags");
    EXPECT_TEXT(expect_error().actual, "0x4");
    options.flags = 0;
    options.miss_policy = (enum tfops_miss_policy)3;
    EXPECT_REFUSED(tfops_engine_open(&options, &engine), TFOPS_E_ARGUMENT, "options.miss_policy");
    EXPECT_TEXT(expect_error().expected, "generic, compile or strict");
    EXPECT_TEXT(expect_error().actual, "3");
    options.miss_policy = TFOPS_MISS_GENERIC;
    options.alloc = expect_heap_alloc;
    EXPECT_REFUSED(tfops_engine_open(&options, &engine), TFOPS_E_ARGUMENT, "options.alloc");
    EXPECT_REFUSED(tfops_engine_open(NULL, NULL), TFOPS_E_ARGUMENT, "ret_engine");
}

Test(engine, takes_options_of_an_older_shape)
{
    options.size = offsetof(struct tfops_engine_options, shipped_paths);
    options.device = "cpu";
    options.cache_path = "";
    options.flags = 0xffffffffu; /* beyond the size: not read */
    EXPECT_OK(tfops_engine_open(&options, &engine));
    tfops_engine_close(engine);
}

Test(engine, close_takes_null)
{
    tfops_engine_close(NULL);
    cr_assert_null(tfops_engine_device(NULL));
    EXPECT_INT(tfops_engine_operator_count(NULL), 0);
    EXPECT_REFUSED(tfops_engine_warm(NULL, NULL, 0), TFOPS_E_ARGUMENT, "engine");
}

Test(engine, close_leaves_modules_unless_told_otherwise)
{
    open_on("cuda:0");
    const uint64_t live = counter("live_modules");
    cr_assert_gt(live, 0u);
    support_engine_shut(&support);
    EXPECT_INT(counter("live_modules"), live);
    options.flags = TFOPS_ENGINE_UNLOAD_AT_CLOSE;
    open_on("cuda:0");
    support_engine_shut(&support);
    EXPECT_INT(counter("live_modules"), live);
}

Test(engine, leaves_the_threads_context_as_it_was)
{
    open_on("cuda:0");
    CUcontext current = NULL;
    make_tensors();
    EXPECT_OK(launch(NULL));
    engine->driver.ctx_get_current(&current);
    cr_assert_null(current);
    EXPECT_INT(counter("cuCtxPushCurrent_v2"), counter("cuCtxPopCurrent_v2"));
    engine->driver.ctx_push_current(engine->context);
    const uint64_t pushed = counter("cuCtxPushCurrent_v2");
    EXPECT_OK(launch(NULL));
    EXPECT_OK(tfops_device_synchronize(engine));
    EXPECT_INT(counter("cuCtxPushCurrent_v2"), pushed);
    engine->driver.ctx_get_current(&current);
    cr_assert_eq(current, engine->context);
    engine->driver.ctx_pop_current(&current);
}

/* ---- preparing and launching ----------------------------------------------------------------- */

Test(engine, cpu_computes_what_the_reference_computes)
{
    open_on("cpu");
    make_tensors();
    EXPECT_OK(launch(NULL));
    struct tfops_plan *plan;
    const struct tfops_problem problem = problem_of("256");
    EXPECT_OK(tfops_prepare(engine, &problem, &plan));
    struct tfops_plan_info info = {.size = sizeof info};
    EXPECT_OK(tfops_plan_describe(plan, 8, &info));
    EXPECT_TEXT(info.source, "reference");
    const uint16_t first = *(uint16_t *)call.out.tensor.data;
    *(uint16_t *)call.out.tensor.data = 0;
    EXPECT_OK(tfops_plan_launch(plan, &call.args, NULL));
    EXPECT_INT(*(uint16_t *)call.out.tensor.data, first);
    EXPECT_STATUS(tfops_plan_launch(plan, &call.args, (struct CUstream_st *)(void *)&call.args),
        TFOPS_E_CONTEXT);
    tfops_plan_release(plan);
}

Test(engine, a_cold_launch_is_generic_by_default_and_counted)
{
    open_on("cuda:0");
    make_tensors();
    EXPECT_OK(launch(NULL));
    EXPECT_OK(launch(NULL));
    EXPECT_INT(stats().misses_unseen, 1);
    EXPECT_INT(stats().hits, 1);
    EXPECT_INT(stats().generic_plans, 1);
    EXPECT_INT(stats().compiles, 0);
    EXPECT_INT(stats().plans, 1);
    EXPECT_CONTAINS(support.log, "is cold");
    EXPECT_INT(counter("kernels"), 2);
}

Test(engine, strict_refuses_what_is_cold)
{
    options.miss_policy = TFOPS_MISS_STRICT;
    open_on("cuda:0");
    make_tensors();
    EXPECT_STATUS(launch(NULL), TFOPS_E_COLD);
    EXPECT_CONTAINS(expect_error().subject, "hidden=256");
    EXPECT_INT(counter("kernels"), 0);
    EXPECT_INT(stats().misses_unseen, 1);
    const struct tfops_problem problem = problem_of("256");
    EXPECT_STATUS(tfops_engine_warm(engine, &problem, 1), TFOPS_E_COLD);
}

Test(engine, compile_policy_builds_the_default_inline)
{
    SUPPORT_NEEDS_NVRTC();
    options.miss_policy = TFOPS_MISS_COMPILE;
    open_on("cuda:0");
    make_tensors();
    EXPECT_OK(launch(NULL));
    cr_assert_gt(stats().compiles, 0u);
    EXPECT_INT(stats().generic_plans, 0);
    EXPECT_INT(stats().misses_record, 1);
    EXPECT_INT(counter("kernels"), 1);
}

Test(engine, warm_makes_launches_hit_and_a_second_start_compiles_nothing)
{
    SUPPORT_NEEDS_NVRTC();
    for (int start = 0; start < 2; start++) {
        open_on("cuda:0");
        const struct tfops_problem problem = problem_of("256");
        EXPECT_OK(tfops_engine_warm(engine, &problem, 1));
        make_tensors();
        EXPECT_OK(launch(NULL));
        EXPECT_INT(stats().misses_unseen, 0);
        EXPECT_INT(stats().hits, 1);
        cr_assert_eq(stats().compiles == 0, start == 1, "start %d: %d compiles", start,
            (int)stats().compiles);
        support_rmsnorm_free(&call);
        support_engine_shut(&support);
    }
}

Test(engine, prepare_replaces_what_a_cold_launch_left)
{
    SUPPORT_NEEDS_NVRTC();
    open_on("cuda:0");
    make_tensors();
    EXPECT_OK(launch(NULL));
    struct tfops_plan *plan;
    struct tfops_plan_info info = {.size = sizeof info};
    const struct tfops_problem problem = problem_of("256");
    EXPECT_OK(tfops_prepare(engine, &problem, &plan));
    EXPECT_OK(tfops_plan_describe(plan, 8, &info));
    EXPECT_TEXT(info.source, "default");
    EXPECT_OK(launch(NULL));
    EXPECT_INT(stats().plans, 1);
    EXPECT_INT(stats().generic_plans, 1);
    tfops_plan_release(plan);
}

Test(engine, warm_goes_on_after_a_failure_and_tells_the_first)
{
    open_on("cpu");
    struct tfops_problem problems[] = {problem_of("256"), problem_of("128"), problem_of("64")};
    problems[0].dims[NORM_HIDDEN] = -1;
    problems[1].dtypes[0] = 77;
    EXPECT_REFUSED(tfops_engine_warm(engine, problems, 3), TFOPS_E_RANGE, "hidden");
    EXPECT_INT(stats().plans, 1);
    EXPECT_REFUSED(tfops_engine_warm(engine, NULL, 1), TFOPS_E_ARGUMENT, "problems");
    EXPECT_OK(tfops_engine_warm(engine, NULL, 0));
}

Test(engine, prepare_refuses_foreign_specs_and_bad_problems)
{
    static struct toy toy;
    struct tfops_plan *plan = NULL;
    toy_init(&toy);
    open_on("cpu");
    struct tfops_problem problem = problem_of("256");
    EXPECT_REFUSED(tfops_prepare(engine, NULL, &plan), TFOPS_E_ARGUMENT, "problem");
    EXPECT_REFUSED(tfops_prepare(engine, &problem, NULL), TFOPS_E_ARGUMENT, "ret_plan");
    EXPECT_REFUSED(tfops_prepare(NULL, &problem, &plan), TFOPS_E_ARGUMENT, "engine");
    problem.spec = &toy.spec;
    EXPECT_REFUSED(tfops_prepare(engine, &problem, &plan), TFOPS_E_UNKNOWN, "problem.spec");
    problem = problem_of("256");
    problem.size = 1;
    EXPECT_REFUSED(tfops_prepare(engine, &problem, &plan), TFOPS_E_ARGUMENT, "problem");
    cr_assert_null(plan);
}

Test(engine, a_plan_takes_any_extent_and_refuses_another_problem)
{
    struct tfops_plan *plan;
    open_on("cpu");
    make_tensors();
    const struct tfops_problem problem = problem_of("256");
    EXPECT_OK(tfops_prepare(engine, &problem, &plan));
    call.x.tensor.shape[0] = call.out.tensor.shape[0] = 3;
    EXPECT_OK(tfops_plan_launch(plan, &call.args, NULL));
    call.x.tensor.shape[0] = call.out.tensor.shape[0] = 0;
    EXPECT_OK(tfops_plan_launch(plan, &call.args, NULL));
    call.x.tensor.shape[0] = call.out.tensor.shape[0] = ROWS;
    call.args.options[NORM_WEIGHT_VARIANT] = 1;
    EXPECT_REFUSED(tfops_plan_launch(plan, &call.args, NULL), TFOPS_E_ARGUMENT, "weight_variant");
    call.args.options[NORM_WEIGHT_VARIANT] = 0;
    call.args.flags = TFOPS_BATCH_INVARIANT;
    EXPECT_REFUSED(tfops_plan_launch(plan, &call.args, NULL), TFOPS_E_ARGUMENT, "batch_invariant");
    call.args.flags = 0;
    call.x.tensor.shape[1] = call.out.tensor.shape[1] = call.weight.tensor.shape[0] = 128;
    EXPECT_REFUSED(tfops_plan_launch(plan, &call.args, NULL), TFOPS_E_ARGUMENT, "hidden");
    call.x.tensor.shape[1] = call.out.tensor.shape[1] = call.weight.tensor.shape[0] = HIDDEN;
    call.x.tensor.data = (char *)call.x.tensor.data + 2;
    call.x.tensor.shape[0] = call.out.tensor.shape[0] = ROWS - 1;
    EXPECT_REFUSED(tfops_plan_launch(plan, &call.args, NULL), TFOPS_E_ARGUMENT, "align");
    EXPECT_REFUSED(tfops_plan_launch(NULL, &call.args, NULL), TFOPS_E_ARGUMENT, "plan");
    EXPECT_REFUSED(tfops_plan_launch(plan, NULL, NULL), TFOPS_E_ARGUMENT, "args");
    tfops_plan_release(plan);
}

Test(engine, a_plan_may_be_released_after_its_engine)
{
    struct tfops_plan *plan;
    options.alloc = expect_heap_alloc, options.free = expect_heap_free, options.alloc_user = &heap;
    open_on("cpu");
    const struct tfops_problem problem = problem_of("256");
    EXPECT_OK(tfops_prepare(engine, &problem, &plan));
    cr_assert_eq(tfops_plan_retain(plan), plan);
    support_engine_shut(&support);
    cr_assert_gt(heap.live, 0u);
    tfops_plan_release(plan);
    tfops_plan_release(plan);
    tfops_plan_release(NULL);
    EXPECT_INT(heap.live, 0);
}

Test(engine, typed_calls_refuse_variants_that_are_none)
{
    open_on("cpu");
    make_tensors();
    static const int VARIANTS[] = {3, 255, 256, 258, -1, 1 << 20};
    for (int i = 0; i < 6; i++)
        EXPECT_REFUSED(tfops_rmsnorm(engine, &call.x.tensor, &call.weight.tensor, &call.out.tensor,
                           1e-6, (enum tfops_weight_variant)VARIANTS[i], NULL),
            TFOPS_E_RANGE, "weight_variant");
    EXPECT_OK(tfops_rmsnorm(engine, &call.x.tensor, &call.weight.tensor, &call.out.tensor, 1e-6,
        TFOPS_WEIGHT_ONE_PLUS, NULL));
}

Test(engine, launches_nothing_for_no_rows)
{
    open_on("cuda:0");
    make_tensors();
    call.x.tensor.shape[0] = call.out.tensor.shape[0] = 0;
    call.x.tensor.data = call.out.tensor.data = NULL;
    EXPECT_OK(launch(NULL));
    EXPECT_OK(launch(NULL));
    EXPECT_INT(counter("kernels"), 0);
}

Test(engine, an_arch_device_prepares_and_says_that_it_cannot_launch)
{
    SUPPORT_NEEDS_NVRTC();
    struct tfops_plan *plan;
    open_on("arch:sm_80");
    const struct tfops_problem problem = problem_of("256");
    EXPECT_OK(tfops_prepare(engine, &problem, &plan));
    cr_assert_gt(stats().compiles, 0u);
    static _Alignas(16) uint16_t host[3][ROWS * HIDDEN];
    const int64_t shape[] = {ROWS, HIDDEN};
    struct tfops_tensor a = tfops_tensor_contiguous(host[0], TFOPS_F16, 2, shape);
    struct tfops_tensor w = tfops_tensor_contiguous(host[1], TFOPS_F16, 1, shape + 1);
    struct tfops_tensor o = tfops_tensor_contiguous(host[2], TFOPS_F16, 2, shape);
    call.args = (struct tfops_args){.size = sizeof call.args, .operands = {&a, &w, &o}};
    EXPECT_STATUS(tfops_plan_launch(plan, &call.args, NULL), TFOPS_E_DRIVER);
    EXPECT_CONTAINS(expect_error().message, "only compiles");
    void *memory = NULL;
    EXPECT_STATUS(tfops_device_alloc(engine, 16, &memory), TFOPS_E_DRIVER);
    tfops_plan_release(plan);
}

Test(engine, without_nvrtc_what_is_built_in_still_runs)
{
    options.nvrtc_path = "/nonexistent/libnvrtc.so";
    open_on("cuda:0");
    make_tensors();
    EXPECT_OK(launch(NULL));
    EXPECT_INT(counter("kernels"), 1);
    struct tfops_plan *plan;
    struct tfops_plan_info info = {.size = sizeof info};
    const struct tfops_problem problem = problem_of("128");
    EXPECT_OK(tfops_prepare(engine, &problem, &plan)); /* nothing tuned: generic, and it says so */
    EXPECT_OK(tfops_plan_describe(plan, 8, &info));
    EXPECT_TEXT(info.source, "generic");
    EXPECT_CONTAINS(support.log, "served by the generic variant");
    EXPECT_CONTAINS(support.log, "/nonexistent/libnvrtc.so");
    tfops_plan_release(plan);
}

Test(engine, without_nvrtc_what_the_cache_holds_still_runs)
{
    SUPPORT_NEEDS_NVRTC();
    open_on("cuda:0");
    struct tfops_problem problem = problem_of("256");
    EXPECT_OK(tfops_engine_warm(engine, &problem, 1));
    support_engine_shut(&support);
    options.nvrtc_path = "/nonexistent/libnvrtc.so";
    open_on("cuda:0");
    problem = problem_of("256");
    EXPECT_OK(tfops_engine_warm(engine, &problem, 1));
    EXPECT_INT(stats().generic_plans, 0);
    EXPECT_INT(stats().misses_binary, 0);
}

/* A cache filled under a newer driver, and nothing older to compile with: no start compiles in vain. */
Test(engine, what_the_driver_cannot_load_is_not_compiled_again)
{
    SUPPORT_NEEDS_NVRTC();
    struct tfops_plan *plan;
    open_on("cuda:0");
    struct tfops_problem problem = problem_of("256");
    EXPECT_OK(tfops_engine_warm(engine, &problem, 1));
    char path[256], older[16];
    snprintf(path, sizeof path, "%s", engine->nvrtc.path);
    snprintf(older, sizeof older, "%d", engine->nvrtc.version / 1000 * 1000 - 910);
    support_engine_shut(&support);
    options.nvrtc_path = path;
    setenv("FAKE_CUDA_VERSION", older, 1);
    for (int start = 0; start < 2; start++) {
        open_on("cuda:0");
        problem = problem_of("256");
        EXPECT_STATUS(tfops_prepare(engine, &problem, &plan), TFOPS_E_NVRTC);
        EXPECT_CONTAINS(expect_error().message, "or older");
        make_tensors();
        EXPECT_STATUS(launch(NULL), TFOPS_E_COLD);
        EXPECT_INT(stats().compiles + stats().compile_failures, 0);
        EXPECT_CONTAINS(support.log, "needs a driver for CUDA");
        support_rmsnorm_free(&call);
        support_engine_shut(&support);
    }
    setenv("FAKE_CUDA_VERSION", "13000", 1);
    open_on("cuda:0"); /* the cache has lost nothing */
    problem = problem_of("256");
    EXPECT_OK(tfops_engine_warm(engine, &problem, 1));
    EXPECT_INT(stats().compiles, 0);
}

/* ---- operators of others --------------------------------------------------------------------- */

Test(engine, registers_operators_once)
{
    static struct toy toy;
    toy_init(&toy);
    open_on("cpu");
    EXPECT_OK(tfops_engine_register(engine, &toy.spec));
    EXPECT_REFUSED(tfops_engine_register(engine, &toy.spec), TFOPS_E_ARGUMENT, "toy");
    EXPECT_INT(tfops_engine_operator_count(engine), registry_count + 1);
    cr_assert_neq(tfops_engine_operator(engine, "toy"), &toy.spec);
    toy.spec.abi = 9;
    EXPECT_REFUSED(tfops_engine_register(engine, &toy.spec), TFOPS_E_ABI, "abi");
    EXPECT_REFUSED(tfops_engine_register(engine, NULL), TFOPS_E_ARGUMENT, "spec");
}

Test(engine, names_the_line_of_a_template_that_does_not_compile)
{
    SUPPORT_NEEDS_NVRTC();
    static struct toy toy;
    struct tfops_plan *plan;
    struct tfops_problem problem;
    toy_init(&toy);
    toy.spec.source = "struct toy_params { int n; };\nthis is no C++;\n";
    toy.spec.generic_body = NULL;
    open_on("arch:sm_90a");
    EXPECT_OK(tfops_engine_register(engine, &toy.spec));
    EXPECT_OK(tfops_problem_init(tfops_engine_operator(engine, "toy"), &problem));
    EXPECT_OK(tfops_problem_set(&problem, "n", "64"));
    EXPECT_OK(tfops_problem_set(&problem, "k", "1"));
    EXPECT_STATUS(tfops_prepare(engine, &problem, &plan), TFOPS_E_COMPILE);
    EXPECT_CONTAINS(expect_error().message, "toy.cu(2)");
}

Test(engine, refuses_plugins_that_are_none)
{
    const char *path = "/nonexistent/plugin.so";
    options.device = "cpu";
    options.cache_path = "";
    options.plugin_paths = &path;
    options.n_plugins = 1;
    EXPECT_REFUSED(tfops_engine_open(&options, &engine), TFOPS_E_ABI, path);
    path = "libm.so.6";
    EXPECT_REFUSED(tfops_engine_open(&options, &engine), TFOPS_E_ABI, path);
    EXPECT_CONTAINS(expect_error().expected, "tfops_plugin");
}

/* ---- capture, streams, faults ---------------------------------------------------------------- */

static CUstream new_stream(void)
{
    struct driver_scope scope;
    CUstream stream = NULL;
    EXPECT_OK(driver_enter(&engine->driver, engine->context, &scope));
    cr_assert_eq(engine->driver.stream_create(&stream, CU_STREAM_NON_BLOCKING), CUDA_SUCCESS);
    driver_leave(&engine->driver, &scope);
    return stream;
}

static CUgraph captured_launch(enum tfops_status wanted)
{
    struct driver_scope scope;
    CUgraph graph = NULL;
    CUstream stream = new_stream();
    EXPECT_OK(driver_enter(&engine->driver, engine->context, &scope));
    driver_leave(&engine->driver, &scope);
    engine->driver.ctx_push_current(engine->context);
    cr_assert_eq(
        engine->driver.stream_begin_capture(stream, CU_STREAM_CAPTURE_MODE_GLOBAL), CUDA_SUCCESS);
    const enum tfops_status status = launch(stream);
    cr_assert_eq(engine->driver.stream_end_capture(stream, &graph), CUDA_SUCCESS,
        "the launch broke the capture");
    cr_assert_eq(status, wanted, "%s: %s", tfops_status_name(status), expect_error().message);
    engine->driver.ctx_pop_current(NULL);
    return graph;
}

Test(engine, a_cold_launch_in_a_capture_is_generic)
{
    open_on("cuda:0");
    make_tensors();
    captured_launch(TFOPS_OK);
    EXPECT_INT(stats().compiles, 0);
    EXPECT_INT(stats().generic_plans, 1);
}

Test(engine, a_cold_launch_in_a_capture_never_compiles)
{
    options.miss_policy = TFOPS_MISS_COMPILE;
    open_on("cuda:0");
    make_tensors();
    const uint64_t loads = counter("cuModuleLoadDataEx");
    captured_launch(TFOPS_E_COLD);
    EXPECT_INT(stats().misses_capture, 1);
    EXPECT_INT(stats().compiles, 0);
    EXPECT_INT(counter("cuModuleLoadDataEx"), loads);
    EXPECT_CONTAINS(expect_error().actual, "capture");
}

Test(engine, a_stream_of_another_context_is_named)
{
    setenv("FAKE_CUDA_DEVICES", "2", 1);
    struct support_engine other = {0};
    open_on("cuda:0");
    make_tensors();
    EXPECT_OK(launch(NULL));
    support_engine_open(&other, "cuda:1", &options);
    struct tfops_engine *mine = engine;
    engine = other.engine;
    CUstream stream = new_stream();
    engine = mine;
    EXPECT_STATUS(launch(stream), TFOPS_E_CONTEXT);
    EXPECT_OK(launch(new_stream()));
    support_engine_close(&other);
}

Test(engine, launches_from_a_thread_with_another_context)
{
    setenv("FAKE_CUDA_DEVICES", "2", 1);
    CUcontext other = NULL, current = NULL;
    open_on("cuda:0");
    make_tensors();
    cr_assert_eq(engine->driver.primary_ctx_retain(&other, 1), CUDA_SUCCESS);
    engine->driver.ctx_push_current(other);
    EXPECT_OK(launch(NULL));
    EXPECT_OK(launch(NULL));
    engine->driver.ctx_get_current(&current);
    cr_assert_eq(current, other);
    engine->driver.ctx_pop_current(&current);
}

Test(engine, a_fault_says_that_earlier_work_may_be_the_culprit)
{
    open_on("cuda:0");
    make_tensors();
    EXPECT_OK(launch(NULL));
    fail("cuLaunchKernelEx", 1, CUDA_ERROR_ILLEGAL_ADDRESS);
    EXPECT_STATUS(launch(NULL), TFOPS_E_DRIVER);
    EXPECT_INT(expect_error().native, CUDA_ERROR_ILLEGAL_ADDRESS);
    EXPECT_CONTAINS(expect_error().message, "earlier work");
}

/* ---- forks ----------------------------------------------------------------------------------- */

static int calls_in_child(struct tfops_plan *plan, const struct tfops_problem *problem)
{
    struct tfops_plan *another;
    struct tfops_engine *second;
    struct tfops_engine_stats counted = {.size = sizeof counted};
    struct tfops_plan_info info = {.size = sizeof info};
    uint8_t digest[32];
    void *memory = NULL;
    char byte = 0;
    const enum tfops_status got[] = {
        launch(NULL),
        tfops_plan_launch(plan, &call.args, NULL),
        tfops_plan_describe(plan, 1, &info),
        tfops_prepare(engine, problem, &another),
        tfops_engine_warm(engine, problem, 1),
        tfops_engine_stats(engine, &counted),
        tfops_engine_fingerprint(engine, digest),
        tfops_engine_register(engine, &rmsnorm_spec),
        tfops_device_alloc(engine, 8, &memory),
        tfops_device_write(engine, &byte, &byte, 1),
        tfops_device_read(engine, &byte, &byte, 1),
        tfops_device_synchronize(engine),
        tfops_engine_open(&options, &second),
    };
    int wrong = 0;
    for (size_t i = 0; i < sizeof got / sizeof got[0]; i++)
        if (got[i] != TFOPS_E_FORKED) {
            fprintf(stderr, "call %zu after fork: %s\n", i, tfops_status_name(got[i]));
            wrong = 1;
        }
    tfops_device_free(engine, &byte);
    tfops_plan_release(plan);
    tfops_engine_close(engine);
    return wrong || counter("calls_after_fork") != 0;
}

Test(engine, after_a_fork_every_call_of_the_child_is_refused)
{
    struct tfops_plan *plan;
    int status = -1;
    open_on("cuda:0");
    make_tensors();
    const struct tfops_problem problem = problem_of("256");
    EXPECT_OK(launch(NULL));
    options.nvrtc_path = NULL;
    EXPECT_OK(tfops_prepare(engine, &problem, &plan));
    const pid_t child = fork();
    if (!child)
        _exit(calls_in_child(plan, &problem));
    waitpid(child, &status, 0);
    cr_assert(WIFEXITED(status) && !WEXITSTATUS(status), "the child ended with %#x", status);
    EXPECT_OK(launch(NULL)); /* the parent goes on */
    tfops_plan_release(plan);
}

/* ---- what it tells --------------------------------------------------------------------------- */

Test(engine, fingerprint_is_equal_for_equal_records)
{
    uint8_t one[32], two[32];
    open_on("cuda:0");
    EXPECT_OK(tfops_engine_fingerprint(engine, one));
    make_tensors();
    EXPECT_OK(launch(NULL));
    EXPECT_OK(tfops_engine_fingerprint(engine, two));
    cr_assert(!memcmp(one, two, 32), "a launch changed the fingerprint");
    EXPECT_REFUSED(tfops_engine_fingerprint(engine, NULL), TFOPS_E_ARGUMENT, "ret_digest");
    struct tfops_engine_stats small = {.size = 8};
    EXPECT_REFUSED(tfops_engine_stats(engine, &small), TFOPS_E_ARGUMENT, "ret_stats.size");
}

Test(engine, fingerprint_changes_with_every_field_of_a_record)
{
    uint8_t digests[5][32];
    open_on("cuda:0");
    struct tfops_record row = support_record(engine->sku, "rmsnorm", "hidden=256", 8, "A=1");
    EXPECT_OK(tfops_engine_fingerprint(engine, digests[0]));
    EXPECT_OK(overlay_put_record(engine->overlay, &row));
    EXPECT_OK(tfops_engine_fingerprint(engine, digests[1]));
    row.config = "A=2";
    EXPECT_OK(overlay_put_record(engine->overlay, &row));
    EXPECT_OK(tfops_engine_fingerprint(engine, digests[2]));
    row.binary_sha256[31] = 1;
    EXPECT_OK(overlay_put_record(engine->overlay, &row));
    EXPECT_OK(tfops_engine_fingerprint(engine, digests[3]));
    row.extent = 9;
    EXPECT_OK(overlay_put_record(engine->overlay, &row));
    EXPECT_OK(tfops_engine_fingerprint(engine, digests[4]));
    for (int i = 0; i < 5; i++)
        for (int k = 0; k < i; k++)
            cr_assert(memcmp(digests[i], digests[k], 32), "steps %d and %d look the same", i, k);
}

/* ---- every driver call fails once ------------------------------------------------------------ */

static const char *const OPENING[] = {"cuInit", "cuDriverGetVersion", "cuDeviceGet",
    "cuDeviceGetName", "cuDeviceTotalMem_v2", "cuDeviceGetAttribute", "cuDevicePrimaryCtxRetain"};

Test(engine, each_driver_call_that_fails_ends_the_opening)
{
    char text[64];
    options.device = "cuda:0";
    options.cache_path = "";
    options.alloc = expect_heap_alloc, options.free = expect_heap_free, options.alloc_user = &heap;
    EXPECT_OK(tfops_engine_open(&options, &engine)); /* loads the fake */
    RESOLVE(counter, "fake_cuda_counter");
    RESOLVE(fail, "fake_cuda_fail");
    tfops_engine_close(engine);
    for (size_t i = 0; i < sizeof OPENING / sizeof OPENING[0]; i++) {
        const uint64_t before = counter(OPENING[i]);
        EXPECT_OK(tfops_engine_open(&options, &engine));
        tfops_engine_close(engine);
        const uint64_t n = counter(OPENING[i]) - before;
        cr_assert_gt(n, 0u, "%s is not called", OPENING[i]);
        for (uint64_t nth = 1; nth <= n; nth++) {
            fail(OPENING[i], nth, CUDA_ERROR_UNKNOWN);
            snprintf(text, sizeof text, "%s, call %d", OPENING[i], (int)nth);
            cr_assert_eq(tfops_engine_open(&options, &engine), TFOPS_E_DRIVER, "%s", text);
            EXPECT_INT(expect_error().native, CUDA_ERROR_UNKNOWN);
            fail(NULL, 0, 0);
            EXPECT_INT(heap.live, 0);
        }
    }
}

/* Loading fails: the engine opens without a generic variant, says so, and refuses cold keys. */
Test(engine, each_driver_call_that_fails_in_loading_leaves_a_usable_engine)
{
    static const char *const LOADING[] = {"cuModuleLoadDataEx", "cuModuleGetFunction", "cuFuncLoad",
        "cuCtxPushCurrent_v2", "cuCtxGetCurrent"};
    open_on("cuda:0");
    support_engine_shut(&support);
    for (size_t i = 0; i < sizeof LOADING / sizeof LOADING[0]; i++) {
        const uint64_t live = counter("live_modules");
        for (uint64_t nth = 1; nth <= registry_count; nth++)
            fail(LOADING[i], nth, CUDA_ERROR_UNKNOWN);
        open_on("cuda:0");
        fail(NULL, 0, 0);
        EXPECT_INT(counter("live_modules"), live);
        EXPECT_CONTAINS(support.log, "has no generic variant");
        make_tensors();
        EXPECT_STATUS(launch(NULL), TFOPS_E_COLD);
        end();
    }
}

/* ---- every allocation fails once ------------------------------------------------------------- */

/* Opens, prepares and launches; returns the first status that is not TFOPS_OK. */
static enum tfops_status whole_way(void)
{
    struct tfops_plan *plan = NULL;
    engine = NULL;
    enum tfops_status status = tfops_engine_open(&options, &engine);
    if (status)
        return status;
    struct tfops_problem problem = problem_of("256");
    status = tfops_prepare(engine, &problem, &plan);
    if (!status)
        status = tfops_plan_launch(plan, &call.args, NULL);
    if (!status) {
        call.weight.tensor.dtype = TFOPS_F32; /* a key nothing was prepared for */
        status = launch(NULL);
        call.weight.tensor.dtype = TFOPS_F16;
    }
    tfops_plan_release(plan);
    tfops_engine_close(engine);
    return status;
}

static void fail_each_allocation(const char *device, const char *nvrtc)
{
    static const float weight[HIDDEN];
    size_t nth = 0;
    enum tfops_status status;
    open_on(device); /* for memory that the fake driver knows */
    make_tensors();
    tfops_device_free(engine, call.weight.memory); /* wide enough for f32 */
    EXPECT_OK(tfops_device_alloc(engine, sizeof weight, &call.weight.memory));
    EXPECT_OK(tfops_device_write(engine, call.weight.memory, weight, sizeof weight));
    call.weight.tensor.data = call.weight.memory;
    options.device = device;
    options.cache_path = "";
    options.nvrtc_path = nvrtc;
    options.alloc = expect_heap_alloc, options.free = expect_heap_free, options.alloc_user = &heap;
    do {
        heap = (struct expect_heap){.fail_at = ++nth};
        status = whole_way();
        /* Without its generic variant, a cold key is that, or what compiling it fails with. */
        cr_assert(status == TFOPS_OK || status == TFOPS_E_MEMORY || status == TFOPS_E_COLD ||
                      (nvrtc && status == TFOPS_E_NVRTC),
            "allocation %zu: %s: %s", nth, tfops_status_name(status), expect_error().message);
        cr_assert_eq(heap.live, 0, "allocation %zu: %zu blocks are left", nth, heap.live);
    } while (heap.calls >= heap.fail_at && nth < 5000);
    EXPECT_OK(status);
    cr_assert_gt(nth, 5u);
}

Test(engine, each_allocation_that_fails_is_survived_on_the_cpu)
{
    fail_each_allocation("cpu", NULL);
}

Test(engine, each_allocation_that_fails_is_survived_with_a_driver)
{
    fail_each_allocation("cuda:0", "/nonexistent/libnvrtc.so");
}
