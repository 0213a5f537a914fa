/* Rendering: the source's constants, the closure of includes, what the digests cover. */
#include "base/error.h"
#include "base/mem.h"
#include "device.h"
#include "embedded.h"
#include "kernels/norm/norm_specs.h"
#include "render.h"
#include "tests/support/expect.h"
#include "tests/support/test_support.h"
#include "tests/support/toy_spec.h"
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <tfops/plan.h>

static struct toy toy;
static struct tfops_problem problem;
static struct tfops_device device;
static struct tfops_config config = {.values = {128, 4}};
static struct expect_heap heap;
static struct env env = {expect_heap_alloc, expect_heap_free, &heap, NULL, NULL};
static char dir[SUPPORT_PATH_BYTES];

static void begin(void)
{
    unsetenv("TFOPS_KERNEL_DIR");
    toy_init(&toy);
    EXPECT_OK(tfops_problem_init(&toy.spec, &problem));
    EXPECT_OK(tfops_problem_set(&problem, "m", "5"));
    EXPECT_OK(tfops_problem_set(&problem, "n", "1099511627776"));
    EXPECT_OK(tfops_problem_set(&problem, "k", "8"));
    EXPECT_OK(tfops_problem_set(&problem, "mode", "third"));
    EXPECT_OK(tfops_problem_set(&problem, "z", "1"));
    problem.dtypes[1] = TFOPS_F32;
    problem.align = 8;
    EXPECT_OK(device_nominal("sm_90a", &device));
}

static void end(void)
{
    support_dir_remove(dir);
    EXPECT_INT(heap.live, 0);
}

TestSuite(render, .init = begin, .fini = end);

static struct build_job render(void)
{
    struct build_job job;
    EXPECT_OK(render_job(&env, &problem, &device, &config, RENDER_TUNED, 0, &job));
    return job;
}

static size_t occurrences(const char *text, const char *part)
{
    size_t n = 0;
    for (; (text = strstr(text, part)) != NULL; text += strlen(part))
        n++;
    return n;
}

Test(render, source_holds_each_constant_once)
{
    static const char *const LINES[] = {"using DTYPE = f16;", "using OUT_DTYPE = float;",
        "long long N = 1099511627776;", "int K = 8;", "int MODE = 2;", "int FLAVOUR = 0;",
        "int HAS_EXTRA = 0;", "int HAS_Z = 1;", "int SEVEN = 7;", "int ALIGN = 8;",
        "int BATCH_INVARIANT = 0;", "int THREADS = 128;", "int UNROLL = 4;", "int MIN_BLOCKS = 1;",
        "int CLUSTER = 1;", "int SMEM_BYTES = 0;", "int PDL = 0;", "int GENERIC = 0;"};
    struct build_job job = render();
    for (size_t i = 0; i < sizeof LINES / sizeof LINES[0]; i++)
        cr_assert_eq(occurrences(job.source, LINES[i]), 1, "%s stands %zu times in %s", LINES[i],
            occurrences(job.source, LINES[i]), job.source);
    EXPECT_INT(occurrences(job.source, "static constexpr"), 16);
    EXPECT_LACKS(job.source, " M = ");
    EXPECT_CONTAINS(job.source, "#include \"toy.cu\"");
    EXPECT_CONTAINS(job.source, "TFOPS_ENTRY(tfops_toy, toy, toy_params)");
    EXPECT_TEXT(job.entry, "tfops_toy");
    EXPECT_TEXT(job.config, "THREADS=128 UNROLL=4");
    EXPECT_TEXT(job.arch, "sm_90a");
    EXPECT_INT(job.geometry.threads, 128);
    EXPECT_INT(job.param_bytes, sizeof(struct toy_params));
    build_job_release(&env, &job);
}

Test(render, generic_source_does_not_depend_on_the_problem)
{
    config.generic = true;
    struct build_job one = render();
    EXPECT_OK(tfops_problem_init(&toy.spec, &problem));
    struct build_job two = render();
    EXPECT_TEXT(one.source, two.source);
    cr_assert(!memcmp(one.build_key, two.build_key, HASH_BYTES));
    EXPECT_TEXT(one.entry, "tfops_toy_any");
    EXPECT_TEXT(one.config, "generic");
    EXPECT_LACKS(one.source, "UNROLL");
    build_job_release(&env, &one);
    build_job_release(&env, &two);
}

Test(render, refuses_a_generic_variant_that_is_not_there)
{
    struct build_job job;
    toy.spec.generic_body = NULL;
    config.generic = true;
    EXPECT_REFUSED(render_job(&env, &problem, &device, &config, RENDER_TUNED, 0, &job),
        TFOPS_E_UNSUPPORTED, "toy");
}

Test(render, device_reference_takes_its_own_body)
{
    struct build_job job;
    toy.spec.device_reference_body = "toy_slowly";
    EXPECT_OK(render_job(&env, &problem, &device, &config, RENDER_DEVICE_REFERENCE, 0, &job));
    EXPECT_CONTAINS(job.source, "toy_slowly");
    build_job_release(&env, &job);
}

/* ---- digests --------------------------------------------------------------------------------- */

static uint8_t base[HASH_BYTES], base_abi[HASH_BYTES];

static void take_base(void)
{
    struct build_job job = render();
    memcpy(base, job.build_key, HASH_BYTES);
    memcpy(base_abi, job.abi, HASH_BYTES);
    build_job_release(&env, &job);
}

static void expect_keys(bool build_same, bool abi_same, int nvrtc, const char *what)
{
    struct build_job job;
    EXPECT_OK(render_job(&env, &problem, &device, &config, RENDER_TUNED, nvrtc, &job));
    cr_assert_eq(!memcmp(base, job.build_key, HASH_BYTES), build_same, "%s: build key", what);
    cr_assert_eq(!memcmp(base_abi, job.abi, HASH_BYTES), abi_same, "%s: ABI digest", what);
    build_job_release(&env, &job);
}

Test(render, build_key_is_the_same_again)
{
    take_base();
    expect_keys(true, true, 0, "nothing");
    problem.dims[TOY_M] = 77;
    expect_keys(true, true, 0, "the dynamic extent");
}

Test(render, build_key_changes_with_everything_that_is_compiled)
{
    take_base();
    expect_keys(false, true, 13000, "NVRTC version");
    config.values[TOY_UNROLL] = 1;
    expect_keys(false, true, 0, "a tunable");
    config.values[TOY_UNROLL] = 4;
    problem.dims[TOY_K] = 9;
    expect_keys(false, true, 0, "a dimension");
    problem.dims[TOY_K] = 8;
    EXPECT_OK(device_nominal("sm_100a", &device));
    expect_keys(false, true, 0, "the architecture");
    EXPECT_OK(device_nominal("sm_90a", &device));
    toy.spec.source = TOY_SOURCE "// changed\n";
    expect_keys(false, true, 0, "the template's text");
    toy.spec.source = TOY_SOURCE;
    expect_keys(true, true, 0, "all as before");
}

Test(render, abi_digest_changes_with_the_entrys_contract)
{
    take_base();
    toy.spec.param_bytes++;
    expect_keys(true, false, 0, "the parameters' size");
    toy.spec.param_bytes--;
    toy.spec.version++;
    expect_keys(true, false, 0, "the spec's version");
    toy.spec.version--;
    toy.spec.params_type = "other_params";
    expect_keys(false, false, 0, "the parameters' type");
}

/* ---- files ----------------------------------------------------------------------------------- */

static void write_file(const char *name, const char *text)
{
    char path[SUPPORT_PATH_BYTES + 64];
    if (!dir[0]) {
        support_dir_make(dir);
        snprintf(path, sizeof path, "%s/device", dir);
        mkdir(path, 0700);
        snprintf(path, sizeof path, "%s/norm", dir);
        mkdir(path, 0700);
        setenv("TFOPS_KERNEL_DIR", dir, 1);
    }
    snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *file = fopen(path, "we");
    cr_assert(file && fputs(text, file) >= 0);
    fclose(file);
}

static const char *text_of(const char *path, char **ret_owned)
{
    const char *text;
    EXPECT_OK(render_file(&env, path, &text, ret_owned));
    return text;
}

Test(render, kernel_dir_overrides_embedded_files)
{
    char *owned;
    const char *embedded = text_of("device/core.cuh", &owned);
    cr_assert(embedded && !owned);
    write_file("device/core.cuh", "// mine\n");
    EXPECT_TEXT(text_of("device/core.cuh", &owned), "// mine\n");
    cr_assert(owned);
    mem_free(&env, owned);
    const char *other = text_of("device/thread.cuh", &owned);
    cr_assert(other && !owned, "a file that is not in the directory is the embedded one");
}

Test(render, kernel_dir_does_not_lead_out_of_itself)
{
    char *owned;
    write_file("norm/x.cu", "// inside\n");
    write_file("x.cu", "// outside\n");
    char inside[SUPPORT_PATH_BYTES + 8];
    snprintf(inside, sizeof inside, "%s/norm", dir);
    setenv("TFOPS_KERNEL_DIR", inside, 1);
    cr_assert_null(text_of("../x.cu", &owned));
    EXPECT_TEXT(text_of("x.cu", &owned), "// inside\n");
    mem_free(&env, owned);
}

Test(render, kernel_dir_is_refused_when_it_is_no_folder)
{
    const char *text;
    char *owned, path[SUPPORT_PATH_BYTES + 8], *endless = calloc(8192, 1);
    write_file("x.cu", "");
    snprintf(path, sizeof path, "%s/gone", dir);
    setenv("TFOPS_KERNEL_DIR", path, 1);
    EXPECT_STATUS(render_file(&env, "device/core.cuh", &text, &owned), TFOPS_E_IO);
    EXPECT_CONTAINS(error_message(), "TFOPS_KERNEL_DIR");
    EXPECT_CONTAINS(error_message(), "gone: no such folder");
    snprintf(path, sizeof path, "%s/x.cu", dir);
    setenv("TFOPS_KERNEL_DIR", path, 1);
    EXPECT_STATUS(render_file(&env, "device/core.cuh", &text, &owned), TFOPS_E_IO);
    memset(endless, '/', 8191);
    setenv("TFOPS_KERNEL_DIR", endless, 1);
    EXPECT_STATUS(render_file(&env, "device/core.cuh", &text, &owned), TFOPS_E_IO);
    EXPECT_CONTAINS(error_message(), "too long");
    free(endless);
}

Test(render, kernel_dir_enters_the_build_key)
{
    take_base();
    write_file("device/vec.cuh", "// not included by the toy\n");
    expect_keys(true, true, 0, "an unrelated file");
    write_file("device/core.cuh", "// mine\n");
    expect_keys(false, true, 0, "a header");
}

Test(render, a_parameter_header_enters_the_abi_digest)
{
    toy.spec.source = "#include \"toy_params.h\"\n";
    write_file("toy_params.h", "struct toy_params { int a; };\n");
    take_base();
    write_file("toy_params.h", "struct toy_params { int b; };\n");
    expect_keys(false, false, 0, "a parameter header");
}

Test(render, collects_the_closure_of_includes_once_each)
{
    struct render_includes includes;
    write_file("a.cuh", "#include \"b.cuh\"\n#  include   \"c.cuh\"\n#include \"a.cuh\"\n");
    write_file("b.cuh", "#include \"c.cuh\"\n#include <system>\n#include \"missing.cuh\"\n");
    write_file("c.cuh", "#include \"a.cuh\"\nint c; // #define\n#include \"unterminated\n");
    EXPECT_OK(render_collect(&env, "#include \"a.cuh\"\n", "t.cu", NULL, &includes));
    EXPECT_INT(includes.n, 3);
    EXPECT_TEXT(includes.paths[0], "a.cuh");
    EXPECT_TEXT(includes.paths[1], "b.cuh");
    EXPECT_TEXT(includes.paths[2], "c.cuh");
    EXPECT_CONTAINS(includes.texts[2], "int c;");
    render_includes_release(&env, &includes);
}

Test(render, a_plugins_template_is_its_own_text)
{
    struct render_includes includes;
    write_file("toy.cu", "// not this one\n");
    EXPECT_OK(render_collect(&env, "#include \"toy.cu\"\n", "toy.cu", "// this one\n", &includes));
    EXPECT_INT(includes.n, 1);
    EXPECT_TEXT(includes.texts[0], "// this one\n");
    render_includes_release(&env, &includes);
}

Test(render, collects_more_includes_than_fit_at_first)
{
    struct render_includes includes;
    char source[4096], name[32];
    size_t length = 0;
    for (int i = 0; i < 60; i++) {
        snprintf(name, sizeof name, "h%02d.cuh", i);
        write_file(name, "int x;\n");
        length +=
            (size_t)snprintf(source + length, sizeof source - length, "#include \"%s\"\n", name);
    }
    EXPECT_OK(render_collect(&env, source, "t.cu", NULL, &includes));
    EXPECT_INT(includes.n, 60);
    EXPECT_TEXT(includes.paths[59], "h59.cuh");
    render_includes_release(&env, &includes);
}

Test(render, embedded_files_are_sorted_and_complete)
{
    cr_assert_gt(embedded_sources_count, 5u);
    for (size_t i = 0; i < embedded_sources_count; i++) {
        uint8_t sha256[HASH_BYTES];
        hash_bytes(embedded_sources[i].text, embedded_sources[i].bytes, sha256);
        cr_assert(!memcmp(sha256, embedded_sources[i].sha256, HASH_BYTES), "%s: digest",
            embedded_sources[i].path);
        EXPECT_INT(embedded_sources[i].bytes, strlen(embedded_sources[i].text));
        if (i)
            cr_assert_lt(strcmp(embedded_sources[i - 1].path, embedded_sources[i].path), 0);
    }
    char *owned;
    cr_assert(
        text_of(rmsnorm_spec.template_path, &owned), "no text of %s", rmsnorm_spec.template_path);
}

Test(render, each_allocation_that_fails_is_survived)
{
    struct build_job job;
    enum tfops_status status = TFOPS_E_MEMORY;
    write_file("device/core.cuh", "#include \"device/mine.cuh\"\n");
    write_file("device/mine.cuh", "int mine;\n");
    take_base();
    size_t nth = 0;
    for (bool failed = true; failed;) {
        heap.calls = 0;
        heap.fail_at = ++nth;
        status = render_job(&env, &problem, &device, &config, RENDER_TUNED, 0, &job);
        failed = heap.calls >= heap.fail_at;
        heap.fail_at = 0;
        if (failed)
            cr_assert_eq(
                status, TFOPS_E_MEMORY, "allocation %zu: %s", nth, tfops_status_name(status));
        if (status)
            EXPECT_INT(heap.live, 0);
    }
    EXPECT_OK(status);
    cr_assert(!memcmp(base, job.build_key, HASH_BYTES), "another key");
    build_job_release(&env, &job);
    cr_assert_gt(nth, 8u);
}
