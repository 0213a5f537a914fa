/*
 * cp.async, bulk copies and TMA tiles as kernels/device/ wraps them, emulated: what lands where is
 * computed here from coordinates; a copy that is read too early, or whose place is used again too
 * early, is reported.
 */
#include "tests/support/emu_rig.h"
#include <stdio.h>
#include <string.h>

enum {
    CP_ASYNC,
    CP_ASYNC_EARLY,
    CP_ASYNC_NO_BARRIER,
    CP_ASYNC_MISALIGNED,
    CP_ASYNC_ARRIVE,
    CP_ASYNC_ARRIVE_EARLY,
    BULK,
    BULK_REUSED,
    BULK_MISALIGNED,
    TILE,
    TILE_MISALIGNED,
    MULTICAST,
    MULTICAST_EARLY,
    MULTICAST_UNFENCED,
};
enum { THREADS = 64, BYTES = 8192, SMEM_BYTES = BYTES + 1024, MAP_BYTES = 128 };

/* A tile of a tensor, innermost first. */
struct tile {
    int rank, elem_bytes, swizzle;
    int dims[5], box[5], at[5];
};

static const struct tile NO_TILE = {.elem_bytes = 1};
/* Beyond an end, before a beginning, wholly inside, wholly outside. */
static const struct tile TILES[] = {
    {1, 4, 0, {40}, {32}, {16}},
    {2, 2, 1, {48, 20}, {16, 24}, {40, 10}},
    {2, 2, 2, {64, 40}, {32, 16}, {-8, -3}},
    {2, 1, 3, {256, 20}, {128, 16}, {128, 3}},
    {2, 2, 0, {24, 9}, {16, 4}, {24, 2}},
    {3, 4, 3, {40, 5, 4}, {32, 3, 2}, {16, 3, -1}},
    {4, 2, 0, {16, 3, 4, 3}, {16, 2, 2, 2}, {0, 2, 1, 2}},
    {5, 1, 1, {48, 2, 3, 2, 3}, {32, 2, 2, 2, 2}, {16, 0, 2, 1, -1}},
};
enum { N_TILES = sizeof TILES / sizeof *TILES };

static const struct kernel {
    const char *name;
    int kind, width, tile; /* of cp.async; of TILES */
    const char *text, *line;
} KERNELS[] = {
    {"cp.async 4", CP_ASYNC, 4, 0, NULL, NULL},
    {"cp.async 8", CP_ASYNC, 8, 0, NULL, NULL},
    {"cp.async 16", CP_ASYNC, 16, 0, NULL, NULL},
    {"cp.async read before its group was waited for", CP_ASYNC_EARLY, 16, 0,
        "reads shared memory +0x", "own"},
    {"cp.async of neighbours without a barrier", CP_ASYNC_NO_BARRIER, 16, 0,
        "race on shared memory", "copied"},
    {"cp.async misaligned", CP_ASYNC_MISALIGNED, 8, 0, "that is not aligned", "cp_async"},
    {"cp.async, a barrier told", CP_ASYNC_ARRIVE, 4, 0, NULL, NULL},
    {"cp.async, a barrier told too early", CP_ASYNC_ARRIVE_EARLY, 4, 0, "shared memory", "copied"},
    {"bulk copies", BULK, 0, 0, NULL, NULL},
    {"bulk store overtaken", BULK_REUSED, 0, 0, "a copy or wgmma reads shared memory", "reused"},
    {"bulk copy misaligned", BULK_MISALIGNED, 0, 0, "multiples of 16", "load"},
    {"tile, rank 1", TILE, 0, 0, NULL, NULL},
    {"tile, swizzle 32", TILE, 0, 1, NULL, NULL},
    {"tile, swizzle 64", TILE, 0, 2, NULL, NULL},
    {"tile, swizzle 128", TILE, 0, 3, NULL, NULL},
    {"tile outside", TILE, 0, 4, NULL, NULL},
    {"tile, rank 3", TILE, 0, 5, NULL, NULL},
    {"tile, rank 4", TILE, 0, 6, NULL, NULL},
    {"tile, rank 5", TILE, 0, 7, NULL, NULL},
    {"tile misaligned", TILE_MISALIGNED, 0, 3, "a multiple of 128 bytes", "tile"},
    {"multicast", MULTICAST, 0, 3, NULL, NULL},
    {"multicast before the peer's barrier", MULTICAST_EARLY, 0, 3, "mbarrier", "multicast"},
    {"multicast, the peer's barrier not fenced", MULTICAST_UNFENCED, 0, 3, "no fence of the init",
        "multicast"},
};
enum { N_KERNELS = sizeof KERNELS / sizeof *KERNELS };

struct copies_params {
    _Alignas(128) unsigned char from_map[MAP_BYTES], to_map[MAP_BYTES];
    const unsigned char *in;
    unsigned char *out;
    int at[5];
};

static struct {
    _Alignas(128) unsigned char in[BYTES], zone[128], out[2 * BYTES], zone2[128], to[BYTES],
        end[128];
} arena;

/* ---- tiles ---------------------------------------------------------------------------------------- */

static const struct tile *tile_of(const struct kernel *kernel)
{
    return kernel->kind >= TILE ? &TILES[kernel->tile] : &NO_TILE;
}

static int tile_bytes(const struct tile *tile)
{
    int bytes = tile->elem_bytes;
    for (int d = 0; d < tile->rank; d++)
        bytes *= tile->box[d];
    return bytes;
}

static void encode(const struct tile *tile, const void *base, unsigned char map[MAP_BYTES])
{
    struct emu_tensor_map encoded = {.base = (uint64_t)(uintptr_t)base,
        .magic = EMU_TENSOR_MAP_MAGIC,
        .rank = (uint8_t)tile->rank,
        .elem_bytes = (uint8_t)tile->elem_bytes,
        .swizzle = (uint8_t)tile->swizzle};
    uint64_t stride = (uint64_t)tile->elem_bytes;
    for (int d = 0; d < tile->rank; d++) {
        encoded.dims[d] = (uint64_t)tile->dims[d];
        encoded.box[d] = (uint16_t)tile->box[d];
        stride *= (uint64_t)tile->dims[d];
        if (d + 1 < tile->rank)
            encoded.strides[d] = stride;
    }
    memset(map, 0, MAP_BYTES);
    memcpy(map, &encoded, sizeof encoded);
}

/* Where byte `at` of a box, counted line after line, lies in shared memory: the sixteen bytes it is in
 * change places within `span` bytes, by the number of the 128 bytes they are in. */
static int shared_place(const struct tile *tile, int at)
{
    const int span = 16 << tile->swizzle, chunks = span / 16;
    const int chunk = at % span / 16 ^ at / 128 % chunks;
    return at / span * span + chunk * 16 + at % 16;
}

/* Where byte `at` of the box lies in the tensor; -1: outside. */
static int tensor_place(const struct tile *tile, int at)
{
    int place = 0, stride = tile->elem_bytes, rest = at / tile->elem_bytes;
    for (int d = 0; d < tile->rank; d++) {
        const int i = tile->at[d] + rest % tile->box[d];
        if (i < 0 || i >= tile->dims[d])
            return -1;
        place += i * stride;
        stride *= tile->dims[d];
        rest /= tile->box[d];
    }
    return place + at % tile->elem_bytes;
}

/* Both blocks' shared memory, and the tensor that the tile was stored to. */
static bool right_tile(const struct kernel *kernel)
{
    const struct tile *tile = tile_of(kernel);
    const int bytes = tile_bytes(tile), blocks = kernel->kind == MULTICAST ? 2 : 1;
    unsigned char to[BYTES];
    memset(to, 0xff, sizeof to);
    for (int at = 0; at < bytes; at++) {
        const int place = tensor_place(tile, at);
        const unsigned char value = place < 0 ? 0 : arena.in[place];
        for (int block = 0; block < blocks; block++)
            if (arena.out[block * bytes + shared_place(tile, at)] != value)
                return false;
        if (place >= 0 && kernel->kind == TILE)
            to[place] = value;
    }
    return memcmp(to, arena.to, sizeof to) == 0;
}

/* ---- other copies --------------------------------------------------------------------------------- */

static bool right_cp_async(const struct kernel *kernel)
{
    const int width = kernel->width;
    for (int group = 0; group < 3; group++)
        for (int t = 0; t < THREADS; t++)
            for (int i = 0; i < width; i++) {
                const int at = (group * THREADS + t) * width + i;
                if (arena.out[at] != (i < (t + group) % (width + 1) ? arena.in[at] : 0))
                    return false;
            }
    return true;
}

static bool right_arrive(const struct kernel *kernel)
{
    return memcmp(arena.out, arena.in, 3 * (size_t)(THREADS * kernel->width)) == 0;
}

static bool right_bulk(void)
{
    for (int i = 0; i < 1024 + 512; i++) {
        const int from = i < 1024 ? i : i - 512;
        if (arena.out[i] != (from == 5 ? 77 : arena.in[from]))
            return false;
    }
    return true;
}

/* ---- all of them ---------------------------------------------------------------------------------- */

static void launch(
    const struct emu_rig *rig, size_t i, enum emu_order order, bool late, struct emu_report *report)
{
    const struct tile *tile = tile_of(&KERNELS[i]);
    const uint32_t blocks = KERNELS[i].kind >= MULTICAST ? 2 : 1;
    const struct emu_region regions[] = {
        {"in", (uintptr_t)arena.in, sizeof arena.in, false, 1, BYTES},
        {"out", (uintptr_t)arena.out, sizeof arena.out, true, 1, BYTES},
        {"to", (uintptr_t)arena.to, sizeof arena.to, true, 1, BYTES},
    };
    struct copies_params params = {.in = arena.in, .out = arena.out};
    struct emu_launch_args args = {.params = &params,
        .grid = {blocks, 1, 1},
        .threads = THREADS,
        .cluster = blocks,
        .smem_bytes = SMEM_BYTES,
        .smem_limit = SMEM_BYTES,
        .arena = (uintptr_t)&arena,
        .arena_bytes = sizeof arena,
        .regions = regions,
        .n_regions = sizeof regions / sizeof *regions,
        .order = order,
        .seed = 11,
        .late_copies = late};
    for (int k = 0; k < BYTES; k++)
        arena.in[k] = (unsigned char)(k * 31 + k / 256 + 1);
    memset(arena.out, 0xff, sizeof arena.out);
    memset(arena.to, 0xff, sizeof arena.to);
    encode(tile, arena.in, params.from_map);
    encode(tile, arena.to, params.to_map);
    memcpy(params.at, tile->at, sizeof params.at);
    emu_rig_launch(rig, i, &args, report);
}

static bool right(const struct kernel *kernel)
{
    return kernel->kind == CP_ASYNC          ? right_cp_async(kernel)
           : kernel->kind == CP_ASYNC_ARRIVE ? right_arrive(kernel)
           : kernel->kind == BULK            ? right_bulk()
                                             : right_tile(kernel);
}

/* A right kernel is right in every order; of a wrong one some order tells. */
static void try_kernel(struct emu_rig *rig, size_t i)
{
    const struct kernel *kernel = &KERNELS[i];
    static char all[2 * EMU_ORDERS * EMU_TEXT_BYTES];
    struct emu_report report;
    char line[64];
    all[0] = '\0';
    for (int order = 0; order < EMU_ORDERS; order++)
        for (int late = 0; late < 2; late++) {
            launch(rig, i, (enum emu_order)order, late, &report);
            strcat(all, report.text);
            if (kernel->text)
                continue;
            emu_rig_check(rig, !report.findings, kernel->name, "no finding", report.text);
            emu_rig_check(rig, right(kernel), kernel->name, "every byte in its place", "others");
        }
    if (!kernel->text)
        return;
    emu_rig_line(rig, kernel->line, line, sizeof line);
    emu_rig_check(rig, strstr(all, kernel->text) != NULL, kernel->name, kernel->text, all);
    emu_rig_check(rig, strstr(all, line) != NULL, kernel->name, line, all);
}

int main(void)
{
    static struct emu_rig rig;
    static char constants[N_KERNELS][96];
    const char *texts[N_KERNELS];
    for (size_t i = 0; i < N_KERNELS; i++) {
        const struct tile *tile = tile_of(&KERNELS[i]);
        snprintf(constants[i], sizeof constants[i], "KIND = %d, WIDTH = %d, RANK = %d, BYTES = %d",
            KERNELS[i].kind, KERNELS[i].width ? KERNELS[i].width : 4, tile->rank, tile_bytes(tile));
        texts[i] = constants[i];
    }
    emu_rig_open(&rig, "copies", texts, N_KERNELS);
    for (size_t i = 0; i < N_KERNELS; i++)
        try_kernel(&rig, i);
    return emu_rig_close(&rig);
}
