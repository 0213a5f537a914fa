/*
 * The emulated machine: kernels of machine.cu that are right run without a finding in every order of
 * threads; each of those with a bug is reported, with block, thread and line.
 */
#include "tests/support/emu_rig.h"
#include <stdio.h>
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
    {"meeting for a cluster barrier", "race on shared memory", {"peer write", "peer read"}},
    {"unwritten", "reads shared memory +0x", {"unwritten"}},
    {"beyond shared memory", "writes 4 bytes at +0x100 of shared memory; the block has 0x100",
        {"shared overrun"}},
    {"beyond an output", "writes 4 bytes out of bounds, 0 bytes behind the end of out",
        {"global overrun"}},
    {"input written", "to the input in[", {"input written"}},
    {"misaligned", "an access of 16 bytes at in[0, 1] is not aligned", {"misaligned"}},
    {"misaligned in shared memory", "an access of 16 bytes at +0x4 of shared memory is not aligned",
        {"shared misaligned"}},
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

/* ---- running ----------------------------------------------------------------------------------- */

static struct arena arena;

/* `args` has what differs from the usual launch. */
static void launch_as(const struct emu_rig *rig, size_t kernel, struct emu_launch_args args,
    struct emu_report *report)
{
    const struct emu_region regions[] = {
        {"in", (uintptr_t)arena.in, sizeof arena.in, false, 4, THREADS},
        {"out", (uintptr_t)arena.out, sizeof arena.out, true, 4, THREADS},
        {"counter", (uintptr_t)&arena.counter, sizeof arena.counter, true, 8, 1},
    };
    const struct machine_params params = {arena.in, arena.out, &arena.counter};
    args.params = &params;
    args.arena = (uintptr_t)&arena;
    args.arena_bytes = sizeof arena;
    args.regions = regions;
    args.n_regions = sizeof regions / sizeof *regions;
    args.seed = 7;
    args.max_switches = 1 << 20;
    args.cpu_seconds = 1;
    memset(&arena, 0, sizeof arena);
    emu_rig_launch(rig, kernel, &args, report);
}

static const struct emu_launch_args USUAL = {.grid = {BLOCKS, 1, 1},
    .threads = THREADS,
    .cluster = CLUSTER,
    .smem_bytes = SMEM_BYTES,
    .smem_limit = SMEM_BYTES};

static void launch(
    const struct emu_rig *rig, size_t kernel, enum emu_order order, struct emu_report *report)
{
    struct emu_launch_args args = USUAL;
    args.order = order;
    launch_as(rig, kernel, args, report);
}

/* What a driver would not launch. */
static void check_refusals(struct emu_rig *rig)
{
    static const struct {
        struct emu_launch_args args;
        const char *text;
    } REFUSALS[] = {
        {{.grid = {2, 1, 1}, .threads = 64, .cluster = 1, .smem_bytes = 0x101, .smem_limit = 0x100},
            "machine: 0x101 bytes of shared memory; a block has at most 0x100"},
        {{.grid = {2, 1, 1}, .threads = 1025, .cluster = 1}, "machine: a block of 1025 threads"},
        {{.grid = {2, 1, 1}, .cluster = 1}, "machine: a block of 0 threads"},
        {{.grid = {3, 1, 1}, .threads = 64, .cluster = 2},
            "machine: a grid of 3 blocks in clusters of 2"},
        {{.grid = {0, 1, 1}, .threads = 64, .cluster = 1}, "machine: a grid of 0 blocks"},
    };
    struct emu_report report;
    for (size_t i = 0; i < sizeof REFUSALS / sizeof *REFUSALS; i++) {
        launch_as(rig, 0, REFUSALS[i].args, &report);
        emu_rig_check(rig, report.findings == 1 && strstr(report.text, REFUSALS[i].text),
            "a launch that is refused", REFUSALS[i].text, report.text);
    }
}

static void check_report(struct emu_rig *rig, const struct kernel *kernel, enum emu_order order,
    const struct emu_report *report)
{
    char name[96], line[64];
    snprintf(name, sizeof name, "%s, order %d", kernel->name, (int)order);
    if (!kernel->text) {
        emu_rig_check(rig, !report->findings, name, "no finding", report->text);
        return;
    }
    emu_rig_check(
        rig, strstr(report->text, kernel->text) != NULL, name, kernel->text, report->text);
    for (size_t i = 0; i < 2 && kernel->lines[i]; i++) {
        emu_rig_line(rig, kernel->lines[i], line, sizeof line);
        emu_rig_check(rig, strstr(report->text, line) != NULL, name, line, report->text);
    }
    emu_rig_check(rig, strstr(report->text, "block ") && strstr(report->text, "thread "), name,
        "block and thread", report->text);
}

/* Those that only a bound ends. */
static bool slow(const struct kernel *kernel)
{
    return !strcmp(kernel->name, "endless") || !strcmp(kernel->name, "never done");
}

int main(void)
{
    static struct emu_rig rig;
    static char constants[N_KERNELS][64];
    const char *texts[N_KERNELS];
    struct emu_report report;
    for (size_t i = 0; i < N_KERNELS; i++) {
        snprintf(constants[i], sizeof constants[i], "KIND = %zu, THREADS = %d, CLUSTER = %d", i,
            THREADS, CLUSTER);
        texts[i] = constants[i];
    }
    emu_rig_open(&rig, "machine", texts, N_KERNELS);
    for (size_t i = 0; i < N_KERNELS; i++)
        for (int order = 0; order < (slow(&KERNELS[i]) ? 1 : EMU_ORDERS); order++) {
            launch(&rig, i, (enum emu_order)order, &report);
            check_report(&rig, &KERNELS[i], (enum emu_order)order, &report);
        }
    check_refusals(&rig);
    return emu_rig_close(&rig);
}
