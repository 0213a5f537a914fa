/*
 * The emulated machine: kernels of machine.cu that are right run without a finding in every order of
 * threads; each of those with a bug is reported, with block, thread and line.
 */
#include "base/error.h"
#include "tuner/emulate_build.h"
#include "tuner/emulate_run.h"
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { THREADS = 64, CLUSTER = 2, BLOCKS = 4, SMEM_BYTES = THREADS * 4 };

/* In the order of machine.cu's kinds. `lines`: names of lines, all in the report, behind `text`. */
static const struct kernel {
    const char *name, *text, *lines[2];
} KERNELS[] = {
    {"block barrier", NULL, {NULL}},
    {"warp barrier", NULL, {NULL}},
    {"named barriers", NULL, {NULL}},
    {"cluster barrier", NULL, {NULL}},
    {"atomics", NULL, {NULL}},
    {"waiting for another block", NULL, {NULL}},
    {"missing barrier", "race on shared memory", {"block write", "block read"}},
    {"missing barrier before reuse", "race on shared memory", {"block read", "block reuse"}},
    {"shuffle for a barrier", "race on shared memory", {"warp write", "warp read"}},
    {"refill without asking", "race on shared memory", {"named write", "named read"}},
    {"missing cluster barrier", "race on shared memory", {"peer write", "peer read"}},
    {"unwritten", "reads shared memory +0x", {"unwritten"}},
    {"beyond shared memory", "writes 4 bytes at +0x100 of shared memory; the block has 0x100",
        {"shared overrun"}},
    {"beyond an output", "writes 4 bytes out of bounds, 0 bytes behind the end of out",
        {"global overrun"}},
    {"input written", "to the input in[", {"input written"}},
    {"misaligned", "an access of 16 bytes at in[0, 1] is not aligned", {"misaligned"}},
    {"a thread leaves before the barrier", "(63 of 64 are there)", {"block deadlock"}},
    {"lanes do not come", "(7 of 32 are there)", {"warp deadlock"}},
    {"different warp collectives", "while thread", {"mixed barrier", "mixed shuffle"}},
    {"peer may not have started", "may not have started", {"peer write"}},
    {"peer is gone", "end", {"peer write"}},
    {"fault", "signal 11", {"fault"}},
    {"endless", "of processor time", {"endless"}},
    {"never done", "still not done after", {"never done"}},
};
enum { N_KERNELS = sizeof KERNELS / sizeof *KERNELS };

struct machine_params {
    const float *in;
    float *out;
    unsigned long long *counter;
};

struct arena {
    float before[16], in[THREADS], between[16], out[THREADS], behind[16];
    unsigned long long counter, end[16];
};

struct test {
    char dir[64], *text;
    struct emulate_library library;
    _Alignas(64) struct arena arena;
    unsigned passed, failed;
};

/* ---- building ---------------------------------------------------------------------------------- */

static char *read_text(const char *path)
{
    FILE *file = fopen(path, "re");
    char *text = calloc(1, 1 << 16);
    if (!file || !text || !fread(text, 1, (1 << 16) - 1, file)) {
        fprintf(stderr, "cannot read %s\n", path);
        exit(1);
    }
    fclose(file);
    return text;
}

static void build(struct test *test)
{
    static char sources[N_KERNELS][512];
    struct build_job jobs[N_KERNELS] = {{0}};
    char path[EMULATE_PATH_BYTES];
    const struct emulate_builder builder = {.dir = test->dir, .mode = EMULATE_TRACE};
    const struct emulate_batch batch = {jobs, N_KERNELS, 90, "machine"};
    for (int i = 0; i < N_KERNELS; i++) {
        snprintf(sources[i], sizeof sources[i],
            "#include \"machine.cu\"\n\nstruct Cfg {\n    static constexpr int KIND = %d, THREADS "
            "= "
            "%d, CLUSTER = %d;\n};\n\nTFOPS_ENTRY(tfops_machine, machine, machine_params)\n",
            i, THREADS, CLUSTER);
        jobs[i] = (struct build_job){.source = sources[i],
            .op = "machine",
            .header_path = "machine.cu",
            .header_source = test->text};
    }
    if (emulate_build_runtime(&builder) || emulate_build(&builder, &batch, path) ||
        emulate_open(path, &test->library)) {
        fprintf(stderr, "%s\n", error_message());
        exit(1);
    }
}

/* ---- running ----------------------------------------------------------------------------------- */

static void launch(struct test *test, int kernel, enum emu_order order, struct emu_report *report)
{
    struct arena *arena = &test->arena;
    const struct emu_region regions[] = {
        {"in", (uintptr_t)arena->in, sizeof arena->in, false, 4, THREADS},
        {"out", (uintptr_t)arena->out, sizeof arena->out, true, 4, THREADS},
        {"counter", (uintptr_t)&arena->counter, sizeof arena->counter, true, 8, 1},
    };
    const struct machine_params params = {arena->in, arena->out, &arena->counter};
    char entry[32];
    struct emu_launch_args args = {.kernel = "machine",
        .params = &params,
        .grid = {BLOCKS, 1, 1},
        .threads = THREADS,
        .cluster = CLUSTER,
        .smem_bytes = SMEM_BYTES,
        .smem_limit = SMEM_BYTES,
        .arena = (uintptr_t)arena,
        .arena_bytes = sizeof *arena,
        .regions = regions,
        .n_regions = sizeof regions / sizeof *regions,
        .order = order,
        .seed = 7,
        .max_switches = 1 << 20,
        .cpu_seconds = 1};
    snprintf(entry, sizeof entry, "emu_entry_%d", kernel);
    *(void **)&args.entry = dlsym(test->library.handle, entry);
    memset(arena, 0, sizeof *arena);
    test->library.launch(&args, report);
}

/* "machine.cu:57" of the line whose comment is `name`. */
static void line_of(const struct test *test, const char *name, char *text, size_t bytes)
{
    char comment[64];
    snprintf(comment, sizeof comment, "// %s\n", name);
    const char *at = strstr(test->text, comment);
    int line = 1;
    for (const char *c = test->text; at && c < at; c++)
        line += *c == '\n';
    snprintf(text, bytes, "machine.cu:%d", at ? line : 0);
}

static void check(struct test *test, bool right, const struct kernel *kernel, enum emu_order order,
    const char *wanted, const struct emu_report *report)
{
    test->passed += right;
    test->failed += !right;
    if (!right)
        fprintf(stderr, "%s, order %d: wanted %s, the report is:\n%s\n", kernel->name, (int)order,
            wanted, report->findings ? report->text : "(nothing)");
}

static void check_report(struct test *test, const struct kernel *kernel, enum emu_order order,
    const struct emu_report *report)
{
    char line[64];
    if (!kernel->text) {
        check(test, !report->findings, kernel, order, "no finding", report);
        return;
    }
    check(test, strstr(report->text, kernel->text) != NULL, kernel, order, kernel->text, report);
    for (size_t i = 0; i < 2 && kernel->lines[i]; i++) {
        line_of(test, kernel->lines[i], line, sizeof line);
        check(test, strstr(report->text, line) != NULL, kernel, order, line, report);
    }
    check(test, strstr(report->text, "block ") && strstr(report->text, "thread "), kernel, order,
        "block and thread", report);
}

/* Those that only a bound ends. */
static bool slow(int kernel)
{
    return !strcmp(KERNELS[kernel].name, "endless") || !strcmp(KERNELS[kernel].name, "never done");
}

int main(void)
{
    static struct test test;
    struct emu_report report;
    const char *source = getenv("TFOPS_SOURCE");
    char path[1024], command[128];
    snprintf(path, sizeof path, "%s/tests/emu/machine.cu", source ? source : ".");
    snprintf(test.dir, sizeof test.dir, "%.40s/tfops-emu-XXXXXX",
        getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
    if (!mkdtemp(test.dir))
        return 1;
    test.text = read_text(path);
    build(&test);
    for (int kernel = 0; kernel < N_KERNELS; kernel++)
        for (int order = 0; order < (slow(kernel) ? 1 : EMU_ORDERS); order++) {
            launch(&test, kernel, (enum emu_order)order, &report);
            check_report(&test, &KERNELS[kernel], (enum emu_order)order, &report);
        }
    emulate_close(&test.library);
    free(test.text);
    snprintf(command, sizeof command, "rm -rf '%s'", test.dir);
    if (system(command))
        test.failed++;
    printf("%u passed, %u failed, 0 skipped\n", test.passed, test.failed);
    return test.failed != 0;
}
