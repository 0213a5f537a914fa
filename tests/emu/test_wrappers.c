/*
 * The other wrappers of kernels/device/, emulated: each thread's words are computed here from its
 * own and its neighbours'. Matrices and copies have tests of their own.
 */
#include "tests/support/emu_rig.h"
#include <stdio.h>
#include <string.h>

enum { SHUFFLES, ATOMICS, GRID, CLUSTERS, ARRIVALS, MEMORY, REDUCE, REDUCE_CLUSTER, N_KERNELS };
enum { BLOCKS = 4, BLOCK = 64, THREADS = BLOCKS * BLOCK, WORDS = 8, SMEM_BYTES = 2048 };

static const char *const NAMES[N_KERNELS] = {"shuffles and votes", "atomics",
    "words of every block", "clusters", "arrivals at peers", "global memory", "reduction",
    "reduction over a cluster"};

struct wrappers_params {
    const uint32_t *in;
    uint64_t *out, *sums;
};

static struct {
    _Alignas(128) uint32_t in[THREADS];
    uint64_t zone[16], out[THREADS * WORDS], zone2[16];
    struct {
        double added;
        uint64_t added64, added32, least, most;
        uint32_t state[BLOCKS + 2];
    } sums;
    uint64_t end[16];
} arena;

/* ---- what each thread's words should be ------------------------------------------------------------ */

static uint32_t most_of(int first, int n)
{
    uint32_t most = 0;
    for (int i = first; i < first + n; i++)
        most = arena.in[i] > most ? arena.in[i] : most;
    return most;
}

static uint64_t sum_of(int first, int n)
{
    uint64_t sum = 0;
    for (int i = first; i < first + n; i++)
        sum += arena.in[i];
    return sum;
}

static bool right_shuffles(int t, const uint64_t *out)
{
    const int lane = t % 32, warp = t - lane;
    const uint64_t peer = arena.in[warp + (lane ^ 16)];
    return out[0] == arena.in[warp + (lane ^ 5)] && out[1] == (peer << 32 | peer) &&
           out[2] == arena.in[warp + (lane ^ 1)] && out[3] == arena.in[warp + (lane ^ 31)] &&
           out[4] == arena.in[warp] && out[5] == (lane == 0) &&
           out[6] == (uint64_t)(t / BLOCK % 2) && out[7] == !(t / BLOCK % 2);
}

static bool right_grid(const uint64_t *out)
{
    bool right = true;
    for (int block = 0; block < BLOCKS; block++)
        right &= out[block] == arena.in[block * BLOCK];
    for (int i = 0; i < BLOCKS + 1; i++)
        right &= arena.sums.state[i] == 0;
    return right;
}

static bool right_clusters(int t, const uint64_t *out)
{
    bool right = out[4] == (uint64_t)(t / BLOCK);
    for (int rank = 0; rank < BLOCKS; rank++) {
        const uint64_t theirs = arena.in[rank * BLOCK + t % BLOCK];
        right &= out[rank] == (theirs << 32 | (theirs + 3));
    }
    return right;
}

static bool right_arrivals(const uint64_t *out)
{
    return out[0] == 1 && out[1] == 2 && out[2] == 3 && out[3] == 4;
}

/* Every fourth thread: 16 bytes five times, then elements of them. */
static bool right_memory(int t, const uint64_t *out)
{
    const unsigned char *in = (const unsigned char *)&arena.in[t];
    const uint32_t *w = &arena.in[t];
    uint64_t wide;
    unsigned char last[8];
    bool right = true;
    if (t % 4)
        return true;
    for (int copy = 0; copy < 5; copy++)
        right &= memcmp(out + 2 * copy, in, 16) == 0;
    memcpy(&wide, in + 8, sizeof wide);
    memcpy(last, &w[3], 4);
    memcpy(last + 4, &w[2], 2);
    memcpy(last + 6, &w[1], 1);
    memcpy(last + 7, &w[0], 1);
    return right && out[10] == w[1] && out[11] == wide &&
           out[12] == (uint64_t)(in[6] | in[7] << 8) && out[13] == in[7] &&
           memcmp(&out[14], last, 8) == 0;
}

static bool right_reduce(int t, int blocks, const uint64_t *out)
{
    const int first = blocks > 1 ? 0 : t / BLOCK * BLOCK;
    return out[0] == sum_of(first, blocks * BLOCK) && out[1] == most_of(first, blocks * BLOCK) &&
           out[2] == sum_of(t / 8 * 8, 8) && out[3] == most_of(t / 4 * 4, 4);
}

static bool right_atomics(void)
{
    const uint64_t sum = sum_of(0, THREADS);
    uint64_t least = UINT64_MAX;
    for (int i = 0; i < THREADS; i++)
        least = arena.in[i] < least ? arena.in[i] : least;
    return arena.sums.added == (double)sum && arena.sums.added64 == sum << 20 &&
           arena.sums.added32 == sum && arena.sums.least == least << 20 &&
           arena.sums.most == most_of(0, THREADS);
}

static bool right_thread(int kernel, int t)
{
    const uint64_t *out = &arena.out[t * WORDS];
    switch (kernel) {
    case SHUFFLES:
        return right_shuffles(t, out);
    case GRID:
        return right_grid(out);
    case CLUSTERS:
        return right_clusters(t, out);
    case ARRIVALS:
        return right_arrivals(out);
    case MEMORY:
        return right_memory(t, out);
    case REDUCE:
        return right_reduce(t, 1, out);
    case REDUCE_CLUSTER:
        return right_reduce(t, BLOCKS, out);
    default:
        return right_atomics();
    }
}

/* ---- running --------------------------------------------------------------------------------------- */

static void launch(
    const struct emu_rig *rig, int kernel, enum emu_order order, struct emu_report *report)
{
    const bool cluster = kernel == CLUSTERS || kernel == ARRIVALS || kernel == REDUCE_CLUSTER;
    const struct emu_region regions[] = {
        {"in", (uintptr_t)arena.in, sizeof arena.in, false, 4, THREADS},
        {"out", (uintptr_t)arena.out, sizeof arena.out, true, 8, WORDS},
        {"sums", (uintptr_t)&arena.sums, sizeof arena.sums, true, 8, 1},
    };
    const struct wrappers_params params = {arena.in, arena.out, (uint64_t *)&arena.sums};
    struct emu_launch_args args = {.params = &params,
        .grid = {BLOCKS, 1, 1},
        .threads = BLOCK,
        .cluster = cluster ? BLOCKS : 1,
        .smem_bytes = SMEM_BYTES,
        .smem_limit = SMEM_BYTES,
        .arena = (uintptr_t)&arena,
        .arena_bytes = sizeof arena,
        .regions = regions,
        .n_regions = sizeof regions / sizeof *regions,
        .order = order,
        .seed = 3,
        .late_copies = order % 2};
    for (uint32_t t = 0; t < THREADS; t++)
        arena.in[t] = (t * 2654435761u >> 20) + 1; /* sums are exact in fp32 */
    memset(arena.out, 0, sizeof arena.out);
    memset(&arena.sums, 0, sizeof arena.sums);
    arena.sums.least = UINT64_MAX;
    emu_rig_launch(rig, (size_t)kernel, &args, report);
}

static void try_kernel(struct emu_rig *rig, int kernel, enum emu_order order)
{
    struct emu_report report;
    char wrong[64];
    int t = 0;
    launch(rig, kernel, order, &report);
    emu_rig_check(rig, !report.findings, NAMES[kernel], "no finding", report.text);
    while (t < THREADS && right_thread(kernel, t))
        t++;
    snprintf(wrong, sizeof wrong, "others in thread %d, order %d", t, (int)order);
    emu_rig_check(rig, t == THREADS, NAMES[kernel], "every thread's words right", wrong);
}

int main(void)
{
    static struct emu_rig rig;
    static char constants[N_KERNELS][32];
    const char *texts[N_KERNELS];
    for (int i = 0; i < N_KERNELS; i++) {
        snprintf(constants[i], sizeof constants[i], "KIND = %d", i);
        texts[i] = constants[i];
    }
    emu_rig_open(&rig, "wrappers", texts, N_KERNELS);
    for (int kernel = 0; kernel < N_KERNELS; kernel++)
        for (int order = 0; order < EMU_ORDERS; order++)
            try_kernel(&rig, kernel, (enum emu_order)order);
    return emu_rig_close(&rig);
}
