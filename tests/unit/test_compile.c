/*
 * Compiling: how the build log is read (a table, with a stand-in for NVRTC), and what the real NVRTC
 * makes of right, wrong and spilling templates where there is one.
 */
#include "compile.h"
#include "device.h"
#include "tests/support/expect.h"
#include "tests/support/test_support.h"
#include "tests/support/toy_spec.h"
#include <criterion/criterion.h>
#include <stdio.h>
#include <tfops/plan.h>

static struct toy toy;
static struct tfops_problem problem;
static struct tfops_device device;
static struct tfops_config config = {.values = {128, 2}};
static struct expect_heap heap;
static struct env env = {expect_heap_alloc, expect_heap_free, &heap, NULL, NULL};
static struct build_job job;
static struct compiled compiled;

static void render_toy(const char *source)
{
    toy_init(&toy);
    toy.spec.source = source;
    EXPECT_OK(tfops_problem_init(&toy.spec, &problem));
    EXPECT_OK(tfops_problem_set(&problem, "m", "1"));
    EXPECT_OK(tfops_problem_set(&problem, "n", "64"));
    EXPECT_OK(tfops_problem_set(&problem, "k", "1"));
    EXPECT_OK(tfops_problem_check(&problem));
    EXPECT_OK(device_nominal("sm_90a", &device));
    EXPECT_OK(render_job(&env, &problem, &device, &config, RENDER_TUNED, 0, &job));
}

static void end(void)
{
    build_job_release(&env, &job);
    compiled_release(&env, &compiled);
    EXPECT_INT(heap.live, 0);
}

TestSuite(compile, .fini = end);

/* ---- a stand-in for NVRTC ----------------------------------------------------------------------- */

static struct {
    const char *log;
    int result; /* of the compilation */
    int fails;  /* the call that fails, counted from 1 */
    int calls, programs;
    size_t image_bytes;
    bool old; /* knows no --no-cache */
    int compiles;
    bool uncached; /* the last compilation had --no-cache */
} fake;

static int step(void)
{
    return ++fake.calls == fake.fails ? 5 : 0;
}

static int create(struct _nvrtcProgram **program, const char *source, const char *name, int n,
    const char *const *headers, const char *const *names)
{
    (void)source, (void)name, (void)n, (void)headers, (void)names;
    const int result = step();
    if (!result) {
        *program = (struct _nvrtcProgram *)(void *)&fake;
        fake.programs++;
    }
    return result;
}

static int destroy(struct _nvrtcProgram **program)
{
    *program = NULL;
    fake.programs--;
    return 0;
}

static int compile(struct _nvrtcProgram *program, int n, const char *const *options)
{
    (void)program;
    fake.compiles++;
    fake.uncached = false;
    for (int i = 0; i < n; i++)
        fake.uncached |= !strcmp(options[i], "--no-cache");
    return fake.old && fake.uncached ? 5 : fake.result; /* NVRTC_ERROR_INVALID_OPTION */
}

static int get_size(struct _nvrtcProgram *program, size_t *bytes)
{
    (void)program;
    *bytes = fake.image_bytes;
    return step();
}

static int get_bytes(struct _nvrtcProgram *program, char *data)
{
    (void)program;
    memset(data, 'E', fake.image_bytes);
    return step();
}

static int get_log_size(struct _nvrtcProgram *program, size_t *bytes)
{
    (void)program;
    *bytes = strlen(fake.log) + 1;
    return step();
}

static int get_log(struct _nvrtcProgram *program, char *log)
{
    (void)program;
    strcpy(log, fake.log);
    return step();
}

static const char *error_string(int result)
{
    return result == 6 ? "NVRTC_ERROR_COMPILATION" : "NVRTC_ERROR_OTHER";
}

static const struct nvrtc stand_in = {.version = 13000,
    .create = create,
    .destroy = destroy,
    .compile = compile,
    .get_cubin_size = get_size,
    .get_cubin = get_bytes,
    .get_ptx_size = get_size,
    .get_ptx = get_bytes,
    .get_log_size = get_log_size,
    .get_log = get_log,
    .get_error_string = error_string};

static enum tfops_status compile_with_log(const char *log)
{
    fake.log = log;
    fake.image_bytes = 16;
    fake.calls = 0;
    compiled_release(&env, &compiled);
    return compile_job(&env, &stand_in, &job, false, &compiled);
}

/* What NVRTC takes from its own cache comes without a build log: spills would not be seen. */
Test(compile, goes_past_the_cache_of_nvrtc)
{
    render_toy(TOY_SOURCE);
    EXPECT_OK(compile_with_log(""));
    EXPECT_INT(fake.uncached, true);
    EXPECT_INT(fake.compiles, 1);
}

Test(compile, does_without_the_option_when_nvrtc_is_too_old_for_it)
{
    render_toy(TOY_SOURCE);
    fake.old = true;
    EXPECT_OK(compile_with_log("ptxas info    : Used 32 registers"));
    EXPECT_INT(fake.compiles, 2);
    EXPECT_INT(fake.uncached, false);
    EXPECT_INT(compiled.registers, 32);
}

Test(compile, reads_resources_from_the_log)
{
    static const struct {
        const char *log;
        uint32_t registers, spills, smem;
        const char *disqualified;
    } CASES[] = {
        {"", 0, 0, 0, ""},
        {"ptxas info    : 0 bytes gmem\nptxas info    : Compiling entry function 'f' for 'sm_90a'\n"
         "ptxas info    : Function properties for f\n"
         "    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads\n"
         "ptxas info    : Used 32 registers, used 1 barriers, 1024 bytes smem\n",
            32, 0, 1024, ""},
        {"    8 bytes stack frame, 12 bytes spill stores, 20 bytes spill loads\n"
         "ptxas info    : Used 255 registers, 128 bytes smem, 512 bytes cmem[0]\n",
            255, 32, 128, "32 bytes of spills"},
        {"ptxas info    : Used 40 registers\n"
         "ptxas info    : (C7510) Potential Performance Loss: wgmma serialized in f\nmore\n",
            40, 0, 0, "ptxas info    : (C7510) Potential Performance Loss: wgmma serialized in f"},
        {"ptxas info    : (C7508) setmaxnreg ignored to maintain minimum register count\n", 0, 0, 0,
            "ptxas info    : (C7508) setmaxnreg ignored to maintain minimum register count"},
        {"registers\n registers\nno spill stores here\n", 0, 0, 0, ""},
    };
    render_toy(TOY_SOURCE);
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        EXPECT_OK(compile_with_log(CASES[i].log));
        EXPECT_INT(compiled.registers, CASES[i].registers);
        EXPECT_INT(compiled.spill_bytes, CASES[i].spills);
        EXPECT_INT(compiled.smem_static_bytes, CASES[i].smem);
        EXPECT_TEXT(compiled.disqualified, CASES[i].disqualified);
    }
}

Test(compile, cuts_a_line_that_is_too_long)
{
    char log[1000];
    render_toy(TOY_SOURCE);
    memset(log, 'x', sizeof log - 1);
    log[sizeof log - 1] = '\0';
    memcpy(log, "C7510", 5);
    EXPECT_OK(compile_with_log(log));
    EXPECT_INT(strlen(compiled.disqualified), sizeof compiled.disqualified - 1);
}

Test(compile, a_refusal_names_the_line_and_keeps_the_log)
{
    render_toy(TOY_SOURCE);
    fake.result = 6;
    EXPECT_STATUS(compile_with_log("a warning\ntoy.cu(7): error: what is this\n1 error detected\n"),
        TFOPS_E_COMPILE);
    EXPECT_CONTAINS(expect_error().message, "toy.cu(7): error: what is this");
    EXPECT_CONTAINS(expect_error().message, "THREADS=128 UNROLL=2");
    EXPECT_LACKS(expect_error().message, "a warning");
    EXPECT_INT(expect_error().native, 6);
    EXPECT_CONTAINS(compiled.log, "a warning");
    EXPECT_INT(fake.programs, 0);
}

Test(compile, each_call_that_fails_is_named_and_nothing_is_left)
{
    render_toy(TOY_SOURCE);
    for (fake.fails = 1; fake.fails <= 5; fake.fails++) {
        EXPECT_STATUS(compile_with_log("log"), TFOPS_E_NVRTC);
        EXPECT_CONTAINS(expect_error().where, "nvrtc");
        EXPECT_INT(expect_error().native, 5);
        EXPECT_INT(fake.programs, 0);
    }
    EXPECT_OK(compile_with_log("log"));
    EXPECT_INT(fake.programs, 0);
}

Test(compile, no_cubin_is_a_failure)
{
    render_toy(TOY_SOURCE);
    fake.log = "";
    EXPECT_STATUS(compile_job(&env, &stand_in, &job, false, &compiled), TFOPS_E_COMPILE);
    EXPECT_CONTAINS(expect_error().message, "no cubin");
}

Test(compile, binary_carries_what_a_launch_needs)
{
    struct binary binary;
    render_toy(TOY_SOURCE);
    EXPECT_OK(compile_with_log("ptxas info    : Used 32 registers\n"));
    EXPECT_OK(compiled_to_binary(&env, &job, &compiled, 12090, &binary));
    EXPECT_TEXT(binary.op, "toy");
    EXPECT_TEXT(binary.arch, "sm_90a");
    EXPECT_TEXT(binary.entry, "tfops_toy");
    EXPECT_TEXT(binary.config, "THREADS=128 UNROLL=2");
    EXPECT_TEXT(binary.nvrtc, "12.9");
    EXPECT_INT(strlen(binary.date), 20);
    EXPECT_INT(binary.min_driver, 12000);
    EXPECT_INT(binary.registers, 32);
    EXPECT_INT(binary.threads, 128);
    EXPECT_INT(binary.param_bytes, sizeof(struct toy_params));
    EXPECT_INT(binary.image_bytes, 16);
    cr_assert(binary.image && !compiled.image);
    cr_assert(!memcmp(binary.build_key, job.build_key, HASH_BYTES));
    cr_assert(!memcmp(binary.abi, job.abi, HASH_BYTES));
    uint8_t digest[HASH_BYTES];
    hash_bytes(binary.image, binary.image_bytes, digest);
    cr_assert(!memcmp(binary.sha256, digest, HASH_BYTES), "not the digest of the image");
    binary_release(&env, &binary);
}

/* ---- the real one ------------------------------------------------------------------------------- */

static struct nvrtc nvrtc;

static void open_nvrtc(void)
{
    EXPECT_OK(nvrtc_open(NULL, 0, &nvrtc));
    cr_assert_geq(nvrtc.version, 12000);
}

Test(compile, an_nvrtc_newer_than_the_driver_is_refused_wherever_it_stands)
{
    SUPPORT_NEEDS_NVRTC();
    char path[256];
    open_nvrtc();
    const int major = nvrtc.version / 1000;
    snprintf(path, sizeof path, "%s", nvrtc.path);
    nvrtc_close(&nvrtc);
    EXPECT_OK(nvrtc_open(path, major, &nvrtc));
    nvrtc_close(&nvrtc);
    EXPECT_STATUS(nvrtc_open(path, major - 1, &nvrtc), TFOPS_E_NVRTC);
    EXPECT_CONTAINS(expect_error().subject, path);
    EXPECT_CONTAINS(expect_error().expected, "or older");
    setenv("TFOPS_LIBNVRTC", path, 1);
    EXPECT_STATUS(nvrtc_open(NULL, major - 1, &nvrtc), TFOPS_E_NVRTC);
    unsetenv("TFOPS_LIBNVRTC");
    if (!nvrtc_open(NULL, major - 1, &nvrtc)) /* an older one stands beside it */
        cr_assert_lt(nvrtc.version / 1000, major, "%s is version %d", nvrtc.path, nvrtc.version);
}

Test(compile, a_right_template_becomes_a_cubin)
{
    SUPPORT_NEEDS_NVRTC();
    open_nvrtc();
    render_toy(TOY_SOURCE);
    EXPECT_OK(compile_job(&env, &nvrtc, &job, true, &compiled));
    cr_assert(compiled.image_bytes > 64 && !memcmp(compiled.image,
                                               "\x7f"
                                               "ELF",
                                               4),
        "no ELF image");
    EXPECT_CONTAINS(compiled.ptx, ".entry tfops_toy");
    cr_assert_gt(compiled.registers, 0u);
    EXPECT_INT(compiled.spill_bytes, 0);
    EXPECT_TEXT(compiled.disqualified, "");
    cr_assert_gt(compiled.ms, 0);
}

Test(compile, a_wrong_template_is_refused_with_its_line)
{
    SUPPORT_NEEDS_NVRTC();
    open_nvrtc();
    render_toy("struct toy_params { int n; };\n\nint broken = undeclared;\n");
    EXPECT_STATUS(compile_job(&env, &nvrtc, &job, false, &compiled), TFOPS_E_COMPILE);
    EXPECT_CONTAINS(expect_error().message, "toy.cu(3)");
    EXPECT_CONTAINS(expect_error().message, "undeclared");
}

Test(compile, an_include_that_is_not_there_is_named)
{
    SUPPORT_NEEDS_NVRTC();
    open_nvrtc();
    render_toy("#include \"device/nothing.cuh\"\n");
    EXPECT_STATUS(compile_job(&env, &nvrtc, &job, false, &compiled), TFOPS_E_COMPILE);
    EXPECT_CONTAINS(expect_error().message, "device/nothing.cuh");
}

Test(compile, spills_disqualify)
{
    SUPPORT_NEEDS_NVRTC();
    open_nvrtc();
    render_toy(
        "#include \"device/core.cuh\"\n"
        "#include \"device/num.cuh\"\n"
        "#include \"device/thread.cuh\"\n"
        "struct toy_params { void *x, *y; long long m; double alpha; };\n"
        "template <class C> TF_DEV void toy(const toy_params &p)\n"
        "{ volatile float *x = static_cast<float *>(p.x); float v[600];\n"
        "#pragma unroll\n for (int i = 0; i < 600; i++) v[i] = x[i * thread_index()];\n"
        "#pragma unroll\n for (int i = 0; i < 600; i++) x[600 - i] = v[i] * v[599 - i]; }\n");
    EXPECT_OK(compile_job(&env, &nvrtc, &job, false, &compiled));
    cr_assert_gt(compiled.spill_bytes, 0u, "no spills: %s", compiled.log);
    EXPECT_CONTAINS(compiled.disqualified, "spills");
}

Test(compile, every_allocation_that_fails_is_survived)
{
    size_t nth = 0;
    enum tfops_status status;
    render_toy(TOY_SOURCE);
    do {
        heap.calls = 0;
        heap.fail_at = ++nth;
        status = compile_with_log("log");
        EXPECT_INT(fake.programs, 0);
        cr_assert(status == TFOPS_OK || status == TFOPS_E_MEMORY, "%s", tfops_status_name(status));
    } while (heap.calls >= heap.fail_at);
    heap.fail_at = 0;
    EXPECT_OK(status);
    cr_assert_gt(nth, 3u);
}
