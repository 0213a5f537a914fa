/*
 * Copies, barriers and matrix products of the emulated machine: the GEMM of pipeline.cu is right in
 * every order of threads, with copies that land at once and late; each of its bugs is found by at
 * least one of them, with the words and lines that say what it is.
 */
#include "base/half.h"
#include "tests/support/emu_rig.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

enum {
    M = 60,
    N = 32,
    K_BLOCKS = 5,
    ROW = 128,
    K_BYTES = K_BLOCKS * ROW,
    STAGES = 2,
    THREADS = 256
};
enum { STAGE = (64 + N) * ROW, SMEM_BYTES = STAGES * STAGE + 64 * N * 4 + STAGES * 16 };

/* In the order of pipeline.cu's kinds. */
static const struct bug {
    const char *name, *text, *line;
} BUGS[] = {
    {"right", NULL, NULL},
    {"wrong phase", "deadlock: ", "wrong phase"},
    {"missing wait", "race on shared memory", "multiply"},
    {"early release", "race on shared memory", "multiply"},
    {"expect less", "race on shared memory", "multiply"},
    {"expect more", "0 arrivals and 128 bytes are missing", NULL},
    {"wrong advance", "wrong values", NULL},
    {"missing barrier", "was not initialised", NULL},
    {"no release", "1 arrivals and 0 bytes are missing", NULL},
    {"no fence", "no fence for the asynchronous proxy", "store"},
    {"no wait for the store", "may still read shared memory", NULL},
    {"no wgmma wait", "wrong values", NULL},
    {"no wgmma fence", "without a wgmma fence", "multiply"},
};
enum { N_BUGS = sizeof BUGS / sizeof *BUGS, F16_RIGHT = N_BUGS, N_KERNELS = N_BUGS + 1 };

struct pipeline_params {
    _Alignas(64) unsigned char a[128], b[128], d[128];
    int k_blocks;
};

struct arena {
    unsigned char zone0[128], a[M * K_BYTES], zone1[128], b[N * K_BYTES], zone2[128];
    float d[M * N], zone3[32];
};

/* ---- running ----------------------------------------------------------------------------------- */

static void encode(unsigned char map[128], const void *base, uint64_t width, uint64_t rows,
    uint16_t box_rows, uint8_t elem_bytes, uint8_t swizzle)
{
    struct emu_tensor_map tile = {.base = (uint64_t)(uintptr_t)base,
        .dims = {width, rows},
        .strides = {width * elem_bytes},
        .magic = EMU_TENSOR_MAP_MAGIC,
        .box = {(uint16_t)(ROW / elem_bytes), box_rows},
        .rank = 2,
        .elem_bytes = elem_bytes,
        .swizzle = swizzle};
    memcpy(map, &tile, sizeof tile);
}

static double element(const unsigned char *rows, int row, int k, bool fp8)
{
    return half_load(rows + row * K_BYTES, fp8 ? TFOPS_E4M3 : TFOPS_F16, k);
}

/* Small whole numbers: every sum is exact. */
static void fill(unsigned char *rows, int n, bool fp8, unsigned seed)
{
    for (int row = 0; row < n; row++)
        for (int k = 0; k < K_BYTES / (fp8 ? 1 : 2); k++) {
            seed = seed * 1664525u + 1013904223u;
            half_store(rows + row * K_BYTES, fp8 ? TFOPS_E4M3 : TFOPS_F16, k,
                (double)(int)(seed >> 24 & 15) - 7);
        }
}

static _Alignas(128) struct arena arena;

static bool right_values(bool fp8)
{
    for (int m = 0; m < M; m++)
        for (int n = 0; n < N; n++) {
            double sum = 0;
            for (int k = 0; k < K_BYTES / (fp8 ? 1 : 2); k++)
                sum += element(arena.a, m, k, fp8) * element(arena.b, n, k, fp8);
            if (!(fabs(sum - arena.d[m * N + n]) < 0.5))
                return false;
        }
    return true;
}

static void launch(const struct emu_rig *rig, size_t kernel, enum emu_order order, bool late,
    struct emu_report *report)
{
    const bool fp8 = kernel != F16_RIGHT;
    const struct emu_region regions[] = {
        {"a", (uintptr_t)arena.a, sizeof arena.a, false, 1, K_BYTES},
        {"b", (uintptr_t)arena.b, sizeof arena.b, false, 1, K_BYTES},
        {"d", (uintptr_t)arena.d, sizeof arena.d, true, 4, N},
    };
    struct pipeline_params params = {.k_blocks = K_BLOCKS};
    struct emu_launch_args args = {.params = &params,
        .grid = {1, 1, 1},
        .threads = THREADS,
        .cluster = 1,
        .smem_bytes = SMEM_BYTES,
        .smem_limit = 227 << 10,
        .arena = (uintptr_t)&arena,
        .arena_bytes = sizeof arena,
        .regions = regions,
        .n_regions = sizeof regions / sizeof *regions,
        .order = order,
        .seed = 3,
        .late_copies = late};
    memset(arena.d, 0xff, sizeof arena.d);
    fill(arena.a, M, fp8, 1);
    fill(arena.b, N, fp8, 2);
    encode(params.a, arena.a, K_BYTES / (fp8 ? 1 : 2), M, 64, fp8 ? 1 : 2, 3);
    encode(params.b, arena.b, K_BYTES / (fp8 ? 1 : 2), N, N, fp8 ? 1 : 2, 3);
    encode(params.d, arena.d, N, M, 64, 4, 0);
    emu_rig_launch(rig, kernel, &args, report);
    if (!report->findings && !right_values(fp8)) {
        report->findings = 1;
        snprintf(report->text, sizeof report->text, "wrong values\n");
    }
}

/* Every schedule of a right kernel is clean; some schedule of a wrong one says what is wrong. */
static void try_kernel(struct emu_rig *rig, size_t kernel)
{
    const struct bug *bug = &BUGS[kernel == F16_RIGHT ? 0 : kernel];
    static char all[2 * EMU_ORDERS * EMU_TEXT_BYTES];
    struct emu_report report;
    char line[64];
    all[0] = '\0';
    for (int order = 0; order < EMU_ORDERS; order++)
        for (int late = 0; late < 2; late++) {
            launch(rig, kernel, (enum emu_order)order, late, &report);
            strcat(all, report.text);
            if (!bug->text)
                emu_rig_check(rig, !report.findings, bug->name, "no finding", report.text);
        }
    if (!bug->text)
        return;
    emu_rig_check(rig, strstr(all, bug->text) != NULL, bug->name, bug->text, all);
    if (bug->line) {
        emu_rig_line(rig, bug->line, line, sizeof line);
        emu_rig_check(rig, strstr(all, line) != NULL, bug->name, line, all);
    }
}

int main(void)
{
    static struct emu_rig rig;
    static char constants[N_KERNELS][96];
    const char *texts[N_KERNELS];
    for (size_t i = 0; i < N_KERNELS; i++) {
        snprintf(constants[i], sizeof constants[i],
            "KIND = %zu, FP8 = %d, N = %d, STAGES = %d, SMEM_BYTES = %d", i == F16_RIGHT ? 0 : i,
            i != F16_RIGHT, N, STAGES, SMEM_BYTES);
        texts[i] = constants[i];
    }
    emu_rig_open(&rig, "pipeline", texts, N_KERNELS);
    for (size_t kernel = 0; kernel < N_KERNELS; kernel++)
        try_kernel(&rig, kernel);
    return emu_rig_close(&rig);
}
