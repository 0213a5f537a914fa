/*
 * ldmatrix, stmatrix, mma.sync and wgmma as kernels/device/ wraps them, emulated, against what the
 * PTX ISA says of their fragments: computed here from whole matrices.
 */
#include "base/half.h"
#include "tests/support/emu_rig.h"
#include <stdio.h>
#include <string.h>
#include <tfops/tensor.h>

enum {
    LOAD_4,
    LOAD_2,
    STORE_4,
    STORE_4_TRANSPOSED,
    STORE_2_TRANSPOSED,
    LOAD_MISALIGNED,
    MMA,
    WGMMA,
    WGMMA_HELD
};
enum { MOST_N = 256, IN_BYTES = (64 + MOST_N) * 128, OUT_BYTES = 64 * MOST_N * 4 };

static const struct kernel {
    const char *name;
    int kind, type, type_b, n; /* types: of A and B; n: columns of a wgmma */
} KERNELS[] = {
    {"ldmatrix x4", LOAD_4, 0, 0, 0},
    {"ldmatrix x2", LOAD_2, 0, 0, 0},
    {"stmatrix x4", STORE_4, 0, 0, 0},
    {"stmatrix x4 trans", STORE_4_TRANSPOSED, 0, 0, 0},
    {"stmatrix x2 trans", STORE_2_TRANSPOSED, 0, 0, 0},
    {"ldmatrix, a row misaligned", LOAD_MISALIGNED, 0, 0, 0},
    {"mma f16", MMA, TFOPS_F16, TFOPS_F16, 8},
    {"mma bf16", MMA, TFOPS_BF16, TFOPS_BF16, 8},
    {"mma e4m3", MMA, TFOPS_E4M3, TFOPS_E4M3, 8},
    {"mma e4m3 e5m2", MMA, TFOPS_E4M3, TFOPS_E5M2, 8},
    {"mma e5m2 e4m3", MMA, TFOPS_E5M2, TFOPS_E4M3, 8},
    {"mma e5m2", MMA, TFOPS_E5M2, TFOPS_E5M2, 8},
    {"wgmma f16", WGMMA, TFOPS_F16, TFOPS_F16, 8},
    {"wgmma bf16", WGMMA, TFOPS_BF16, TFOPS_BF16, 24},
    {"wgmma e4m3", WGMMA, TFOPS_E4M3, TFOPS_E4M3, 40},
    {"wgmma e4m3 e5m2", WGMMA, TFOPS_E4M3, TFOPS_E5M2, 16},
    {"wgmma e5m2 e4m3", WGMMA, TFOPS_E5M2, TFOPS_E4M3, 8},
    {"wgmma e5m2", WGMMA, TFOPS_E5M2, TFOPS_E5M2, 256},
    {"wgmma f16, A in registers", WGMMA_HELD, TFOPS_F16, TFOPS_F16, 24},
    {"wgmma bf16, A in registers", WGMMA_HELD, TFOPS_BF16, TFOPS_BF16, 8},
};
enum { N_KERNELS = sizeof KERNELS / sizeof *KERNELS };

struct matrix_params {
    const unsigned char *in;
    unsigned char *out;
};

static struct {
    _Alignas(128) unsigned char in[IN_BYTES], zone[128], out[OUT_BYTES], end[128];
} arena;

static void launch(
    const struct emu_rig *rig, size_t i, enum emu_order order, bool late, struct emu_report *report)
{
    const struct kernel *kernel = &KERNELS[i];
    const struct emu_region regions[] = {
        {"in", (uintptr_t)arena.in, IN_BYTES, false, 1, IN_BYTES},
        {"out", (uintptr_t)arena.out, OUT_BYTES, true, 1, OUT_BYTES},
    };
    const struct matrix_params params = {arena.in, arena.out};
    const uint32_t smem_bytes = kernel->kind >= WGMMA ? (uint32_t)(64 + kernel->n) * 128 : 512;
    struct emu_launch_args args = {.params = &params,
        .grid = {1, 1, 1},
        .threads = kernel->kind >= WGMMA ? 128 : 32,
        .cluster = 1,
        .smem_bytes = smem_bytes,
        .smem_limit = smem_bytes,
        .arena = (uintptr_t)&arena,
        .arena_bytes = sizeof arena,
        .regions = regions,
        .n_regions = sizeof regions / sizeof *regions,
        .order = order,
        .seed = 5,
        .late_copies = late};
    memset(arena.out, 0xff, sizeof arena.out);
    emu_rig_launch(rig, i, &args, report);
}

/* ---- blocks of 8 x 8 ------------------------------------------------------------------------------ */

static uint16_t half_at(const unsigned char *data, size_t i)
{
    uint16_t value;
    memcpy(&value, data + 2 * i, sizeof value);
    return value;
}

/* Element (row, col) of a block is half `which` of a word of the lane that holds it. */
static bool right_blocks(const struct kernel *kernel)
{
    const bool load = kernel->kind == LOAD_4 || kernel->kind == LOAD_2;
    const bool transposed =
        kernel->kind == STORE_4_TRANSPOSED || kernel->kind == STORE_2_TRANSPOSED;
    const size_t blocks = kernel->kind == LOAD_2 || kernel->kind == STORE_2_TRANSPOSED ? 2 : 4;
    const unsigned char *rows = load ? arena.in : arena.out, *words = load ? arena.out : arena.in;
    for (size_t block = 0; block < blocks; block++)
        for (size_t row = 0; row < 8; row++)
            for (size_t col = 0; col < 8; col++) {
                const size_t major = transposed ? col : row, minor = transposed ? row : col;
                const size_t lane = 4 * major + minor / 2, which = minor % 2;
                if (half_at(rows, (8 * block + row) * 8 + col) !=
                    half_at(words, (lane * blocks + block) * 2 + which))
                    return false;
            }
    return true;
}

/* ---- products ------------------------------------------------------------------------------------- */

/* Whole numbers of few digits: every sum is exact. */
static double small_number(unsigned *seed)
{
    *seed = *seed * 1664525u + 1013904223u;
    return (double)(int)(*seed >> 24 & 7) - 3;
}

/* A, B and, for mma, D as it was. */
static void fill_product(const struct kernel *kernel, int rows, int k)
{
    const int elem = kernel->type == TFOPS_F16 || kernel->type == TFOPS_BF16 ? 2 : 1;
    unsigned seed = 1;
    for (int i = 0; i < rows * k; i++)
        half_store(arena.in, (enum tfops_dtype)kernel->type, i, small_number(&seed));
    unsigned char *b = arena.in + rows * k * elem;
    for (int i = 0; i < kernel->n * k; i++)
        half_store(b, (enum tfops_dtype)kernel->type_b, i, small_number(&seed));
    unsigned char *d = b + kernel->n * k * elem;
    for (int i = 0; i < rows * kernel->n && kernel->kind == MMA; i++)
        half_store(d, TFOPS_F32, i, small_number(&seed));
}

static bool right_product(const struct kernel *kernel, int rows, int k)
{
    const int elem = kernel->type == TFOPS_F16 || kernel->type == TFOPS_BF16 ? 2 : 1;
    const unsigned char *b = arena.in + rows * k * elem, *before = b + kernel->n * k * elem;
    for (int row = 0; row < rows; row++)
        for (int col = 0; col < kernel->n; col++) {
            const int at = row * kernel->n + col;
            double sum = kernel->kind == MMA ? half_load(before, TFOPS_F32, at) : 0;
            for (int i = 0; i < k; i++)
                sum += half_load(arena.in, (enum tfops_dtype)kernel->type, row * k + i) *
                       half_load(b, (enum tfops_dtype)kernel->type_b, col * k + i);
            if (half_load(arena.out, TFOPS_F32, at) != sum)
                return false;
        }
    return true;
}

/* ---- all of them ---------------------------------------------------------------------------------- */

static void fill(const struct kernel *kernel)
{
    const int elem = kernel->type == TFOPS_F16 || kernel->type == TFOPS_BF16 ? 2 : 1;
    if (kernel->kind == MMA)
        fill_product(kernel, 16, 32 / elem);
    else if (kernel->kind >= WGMMA)
        fill_product(kernel, 64, 128 / elem);
    else
        for (int i = 0; i < 512; i++)
            arena.in[i] = (unsigned char)(i * 37 + i / 256);
}

static bool right(const struct kernel *kernel)
{
    const int elem = kernel->type == TFOPS_F16 || kernel->type == TFOPS_BF16 ? 2 : 1;
    if (kernel->kind == MMA)
        return right_product(kernel, 16, 32 / elem);
    if (kernel->kind >= WGMMA)
        return right_product(kernel, 64, 128 / elem);
    return right_blocks(kernel);
}

static void try_kernel(struct emu_rig *rig, size_t i, enum emu_order order, bool late)
{
    const struct kernel *kernel = &KERNELS[i];
    struct emu_report report;
    char line[64];
    launch(rig, i, order, late, &report);
    if (kernel->kind != LOAD_MISALIGNED) {
        emu_rig_check(rig, !report.findings, kernel->name, "no finding", report.text);
        emu_rig_check(rig, right(kernel), kernel->name, "the values of the PTX ISA", "others");
        return;
    }
    emu_rig_line(rig, "misaligned row", line, sizeof line);
    emu_rig_check(rig, strstr(report.text, line) && strstr(report.text, "is not aligned"),
        kernel->name, line, report.text);
}

int main(void)
{
    static struct emu_rig rig;
    static char constants[N_KERNELS][96];
    const char *texts[N_KERNELS];
    for (size_t i = 0; i < N_KERNELS; i++) {
        snprintf(constants[i], sizeof constants[i], "KIND = %d, TYPE = %d, TYPE_B = %d, N = %d",
            KERNELS[i].kind, KERNELS[i].type, KERNELS[i].type_b, KERNELS[i].n);
        texts[i] = constants[i];
    }
    emu_rig_open(&rig, "matrix", texts, N_KERNELS);
    for (size_t i = 0; i < N_KERNELS; i++) {
        fill(&KERNELS[i]);
        for (int order = 0; order < EMU_ORDERS; order++)
            try_kernel(&rig, i, (enum emu_order)order, order % 2);
    }
    return emu_rig_close(&rig);
}
