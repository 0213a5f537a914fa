/* Configs of the matrix kernels (see gemm_config.h). */
#include "gemm_config.h"
#include "gemm_params.h"
#include "gemm_specs.h"
#include <string.h>

enum { ROW_BYTES = 128, STORE_BUFFERS = 2 };

/* ---- tunables ------------------------------------------------------------------------------- */

static const int64_t BLOCK_M_VALUES[] = {16, 32, 64, 128, 192, 256};
static const int64_t BLOCK_N_VALUES[] = {1, 2, 4, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128,
    136, 144, 160, 176, 192, 208, 224, 240, 256};
static const int64_t STAGES_VALUES[] = {2, 3, 4, 5, 6, 7, 8, 12, GEMM_MOST_STAGES};
static const int64_t DEPTH_VALUES[] = {1, 2, 4};
static const int64_t MAINLOOP_VALUES[] = {GEMM_MMA, GEMM_WGMMA, GEMM_STREAM};
static const int64_t CONSUMERS_VALUES[] = {1, 2, 3};
static const int64_t CLUSTER_VALUES[] = {1, 2, 4};
static const int64_t SPLIT_VALUES[] = {1, 2, 4, 8};
static const int64_t GROUP_VALUES[] = {4, 8, 16, 32};
static const int64_t BOOL_VALUES[] = {0, 1};

#define VALUES(array) array, sizeof array / sizeof array[0]

/* clang-format off */
#define COMMON_TUNABLES \
    [GEMM_MAINLOOP] = {"MAINLOOP", VALUES(MAINLOOP_VALUES), \
        "0 mma.sync, 1 wgmma (sm_90a), 2 mma.sync, the weight streamed past few tokens"}, \
    [GEMM_BLOCK_M] = {"BLOCK_M", VALUES(BLOCK_M_VALUES), "rows of a tile"}, \
    [GEMM_BLOCK_N] = {"BLOCK_N", VALUES(BLOCK_N_VALUES), "columns of a tile"}, \
    [GEMM_STAGES] = {"STAGES", VALUES(STAGES_VALUES), "stages of the ring"}, \
    [GEMM_DEPTH] = {"DEPTH", VALUES(DEPTH_VALUES), "tiles of 128 bytes of K in a stage"}, \
    [GEMM_CONSUMERS] = {"CONSUMERS", VALUES(CONSUMERS_VALUES), \
        "groups of four warps that multiply"}, \
    [GEMM_PINGPONG] = {"PINGPONG", VALUES(BOOL_VALUES), \
        "0 consumers share a tile, 1 they take turns at tiles"}, \
    [GEMM_CLUSTER_M] = {"CLUSTER_M", VALUES(CLUSTER_VALUES), "blocks that share tiles of columns"}, \
    [GEMM_CLUSTER_N] = {"CLUSTER_N", VALUES(CLUSTER_VALUES), "blocks that share tiles of rows"}, \
    [GEMM_SPLIT_K] = {"SPLIT_K", VALUES(SPLIT_VALUES), "blocks of a cluster that share a sum"}, \
    [GEMM_GROUP] = {"GROUP", VALUES(GROUP_VALUES), "tiles down a band of the walk"}, \
    [GEMM_SWAP] = {"SWAP", VALUES(BOOL_VALUES), "1: weight rows run down a tile, tokens across"}
/* clang-format on */

const struct tfops_tunable_spec gemm_tunables[GEMM_TUNABLES] = {
    COMMON_TUNABLES,
    [GEMM_SPLIT_TAIL] = {"SPLIT_TAIL", VALUES(BOOL_VALUES),
        "1: the last tiles are cut along K, their sums joined through the workspace"},
};

/* Of operators that do not cut sums. */
const struct tfops_tunable_spec gemm_whole_tunables[GEMM_ADD_NORM_TUNABLES] = {
    COMMON_TUNABLES,
    [GEMM_SPLIT_TAIL] = {"SPLIT_TAIL", BOOL_VALUES, 1, "0: tiles are whole"},
    [GEMM_EXCHANGE] = {"EXCHANGE", VALUES(BOOL_VALUES),
        "0 a block has whole rows, 1 blocks exchange sums of rows through the workspace"},
};

/* ---- what follows from a config -------------------------------------------------------------- */

static int64_t dtype_bytes(const struct tfops_problem *problem, int dtype)
{
    return (int64_t)tfops_dtype_bytes((enum tfops_dtype)problem->dtypes[dtype]);
}

/* Of a tile's tokens, two boxes where one would take the room of a stage. */
static int64_t token_box(int64_t tokens)
{
    return tokens > 128 && tokens % 16 == 0 ? tokens / 2 : tokens;
}

static void lay_out_store(const int64_t *v, struct gemm_layout *l)
{
    int64_t parts = gemm_ceil_div(l->tile_cols / 8, v[GEMM_SPLIT_K]);
    l->out_cols = v[GEMM_SPLIT_K] > 1 ? 8 * parts : l->tile_cols;
    const bool whole_cols = !v[GEMM_SWAP] && l->out_cols == v[GEMM_BLOCK_N];
    l->edge_cols = whole_cols && l->out_cols > 64 ? l->out_cols % 16 : 0;
    int64_t line = (v[GEMM_SWAP] ? GEMM_SLAB_ROWS : l->out_cols - l->edge_cols) * l->out_elem;
    int64_t box = line % 128 == 0 ? 128 : line % 64 == 0 ? 64 : 32;
    l->box_cols = box / l->out_elem;
    l->box_rows = !v[GEMM_SWAP] ? GEMM_SLAB_ROWS : token_box(l->out_cols);
    int64_t buffer = gemm_ceil_div(l->box_rows * box, 1024) * 1024;
    l->fixed_bytes = v[GEMM_CONSUMERS] * STORE_BUFFERS * buffer;
}

static bool block_scaled(const struct tfops_problem *problem)
{
    return gemm_scaling(problem) == GEMM_PER_BLOCK;
}

/* Where x runs across a tile, sums of squares, and a barrier more a stage; where it runs down, factors. */
static int64_t norm_bytes(const int64_t *v)
{
    const int64_t x = v[GEMM_BLOCK_N];
    if (!v[GEMM_SWAP])
        return 4 * GEMM_KEPT_ROWS;
    const int64_t parts = (x > 64 ? 1 : 3) + (v[GEMM_SPLIT_K] > 1);
    return 4 * x * parts + GEMM_BARRIER_BYTES / 2 * (GEMM_MOST_STAGES + 2);
}

/* Block scales of a stage: of the tile's rows of x, of the blocks of weight that it touches. */
static int64_t scale_bytes(const int64_t *v)
{
    const int64_t x = v[v[GEMM_SWAP] ? GEMM_BLOCK_N : GEMM_BLOCK_M];
    return 4 * v[GEMM_DEPTH] * (x + GEMM_SCALE_PLACES);
}

/* GemmRowSumsLayout: of the warps that share a row of the output, of the threads that hear of it; on
 * Hopper what its columns are multiplied by. */
static int64_t row_sums_bytes(const int64_t *v)
{
    const bool wgmma = v[GEMM_MAINLOOP] == GEMM_WGMMA;
    const int64_t rows = v[v[GEMM_SWAP] ? GEMM_BLOCK_N : GEMM_BLOCK_M];
    const int64_t warps =
        wgmma ? (v[GEMM_SWAP] ? 4 * v[GEMM_CONSUMERS] : 1) : 2 * v[GEMM_CONSUMERS];
    const int64_t threads = 128 * v[GEMM_CONSUMERS];
    const int64_t columns = wgmma ? v[v[GEMM_SWAP] ? GEMM_BLOCK_M : GEMM_BLOCK_N] : 0;
    return 4 * (rows * (warps + (rows > 0 && threads > rows ? threads / rows : 1)) + columns);
}

/* A tile lies in one weight. */
static int64_t weight_tiles(const struct tfops_problem *problem, int64_t rows)
{
    const int64_t *dims = problem->dims;
    const int64_t tiles = gemm_ceil_div(dims[GEMM_N], rows);
    if (!gemm_parted(problem))
        return tiles;
    return tiles + gemm_ceil_div(dims[GEMM_N2], rows) + gemm_ceil_div(dims[GEMM_N3], rows);
}

struct gemm_layout gemm_lay_out(
    const struct tfops_problem *problem, const struct tfops_config *config)
{
    const int64_t *v = config->values, *dims = problem->dims;
    struct gemm_layout l = {0};
    l.elem = dtype_bytes(problem, GEMM_DTYPE);
    l.out_elem = dtype_bytes(problem, GEMM_OUT_DTYPE);
    l.k_stages = gemm_ceil_div(dims[GEMM_K] * l.elem, ROW_BYTES * v[GEMM_DEPTH]);
    l.cluster = v[GEMM_CLUSTER_M] * v[GEMM_CLUSTER_N] * v[GEMM_SPLIT_K];
    const bool paired = gemm_paired(problem), swap = v[GEMM_SWAP];
    l.tile_rows = v[GEMM_BLOCK_M] / (paired && swap ? 2 : 1);
    l.tile_cols = v[GEMM_BLOCK_N] / (paired && !swap ? 2 : 1);
    if (!l.tile_cols)
        l.tile_cols = 1; /* half of a single column: refused later */
    const int64_t rows = l.tile_rows * v[GEMM_CLUSTER_M], cols = l.tile_cols * v[GEMM_CLUSTER_N];
    l.down = swap ? weight_tiles(problem, rows) : gemm_ceil_div(dims[GEMM_M], rows);
    l.across = swap ? gemm_ceil_div(dims[GEMM_M], cols) : weight_tiles(problem, cols);
    l.row_tiles = swap ? l.down * v[GEMM_CLUSTER_M] : l.across * v[GEMM_CLUSTER_N];
    l.bands = swap ? l.across * v[GEMM_CLUSTER_N] : l.down * v[GEMM_CLUSTER_M];
    l.stage_bytes = (v[GEMM_BLOCK_M] + v[GEMM_BLOCK_N]) * ROW_BYTES * v[GEMM_DEPTH];
    l.threads = 128 * v[GEMM_CONSUMERS];
    if (v[GEMM_MAINLOOP] == GEMM_WGMMA) {
        l.threads += 128;
        l.slabs = v[GEMM_BLOCK_M] / (v[GEMM_PINGPONG] ? 1 : v[GEMM_CONSUMERS]) / GEMM_SLAB_ROWS;
        lay_out_store(v, &l);
        l.stage_extra_bytes = GEMM_BARRIER_BYTES + (block_scaled(problem) ? scale_bytes(v) : 0);
        if (gemm_normed(problem) && !swap)
            l.stage_extra_bytes += ROW_BYTES; /* of norm_weight */
        l.fixed_bytes += gemm_normed(problem) ? norm_bytes(v) : 0;
    }
    l.fixed_bytes += gemm_add_normed(problem) ? row_sums_bytes(v) : 0;
    if (v[GEMM_MAINLOOP] == GEMM_STREAM)
        gemm_stream_lay_out(v, &l);
    return l;
}

int64_t gemm_x_box(const struct tfops_problem *problem, const struct tfops_config *config)
{
    const int64_t *v = config->values, tokens = problem->dims[GEMM_M];
    const int64_t rows = v[v[GEMM_SWAP] ? GEMM_BLOCK_N : GEMM_BLOCK_M];
    const int64_t there = tokens < rows && !gemm_normed(problem) ? tokens : rows;
    return gemm_ceil_div(there, v[v[GEMM_SWAP] ? GEMM_CLUSTER_M : GEMM_CLUSTER_N]);
}

int64_t gemm_smem_bytes(const struct gemm_layout *layout, const struct tfops_config *config)
{
    return layout->fixed_bytes +
           config->values[GEMM_STAGES] * (layout->stage_bytes + layout->stage_extra_bytes);
}

struct gemm_tail gemm_tail_of(const struct gemm_layout *l, int64_t clusters)
{
    const int64_t tiles = l->down * l->across % clusters, idle = clusters - tiles;
    struct gemm_tail tail = {0, 1, 1};
    if (tiles == 0)
        return tail;
    if (tiles <= idle) {
        tail.parts = clusters / tiles;
        tail.parts = tail.parts < GEMM_MOST_PARTS ? tail.parts : GEMM_MOST_PARTS;
        tail.parts = tail.parts < l->k_stages ? tail.parts : l->k_stages;
        tail.tiles = tail.parts > 1 ? tiles : 0;
        return tail;
    }
    tail.each = gemm_ceil_div(tiles, idle);
    tail.parts = 2;
    tail.tiles = tail.each <= GEMM_MOST_EACH && tail.each < l->k_stages ? tiles : 0;
    return tail;
}

/* ---- which are possible ---------------------------------------------------------------------- */

bool gemm_refuse(char reason[TFOPS_REASON_BYTES], const char *text)
{
    if (reason) { /* millions of times in a space: snprintf() would be most of its cost */
        const size_t bytes = strnlen(text, TFOPS_REASON_BYTES - 1);
        memcpy(reason, text, bytes);
        reason[bytes] = '\0';
    }
    return false;
}

bool gemm_promoted(const struct tfops_problem *problem, const struct gemm_layout *l)
{
    return l->elem == 1 && !problem->options[GEMM_FAST_ACCUM];
}

bool gemm_two_sums(
    const struct tfops_problem *problem, const int64_t *v, const struct gemm_layout *l)
{
    enum { MOST = 216, MOST_SCALED = 192 };
    return gemm_promoted(problem, l) && !v[GEMM_SWAP] && l->slabs == 1 && v[GEMM_CONSUMERS] < 3 &&
           3 * v[GEMM_BLOCK_N] / 2 <= (block_scaled(problem) ? MOST_SCALED : MOST);
}

/* Accumulators of a thread, and one slab's partial sums where they are promoted, with a factor for
 * each token across where these have scales of their own. */
static int64_t accumulators(
    const struct tfops_problem *problem, const int64_t *v, const struct gemm_layout *l)
{
    const int64_t scales = block_scaled(problem) && v[GEMM_SWAP] ? v[GEMM_BLOCK_N] / 4 : 0;
    return (l->slabs + (gemm_promoted(problem, l) ? 1 : 0)) * v[GEMM_BLOCK_N] / 2 + scales;
}

static bool possible_cluster(const struct tfops_device *device, const int64_t *v,
    const struct gemm_layout *l, char reason[TFOPS_REASON_BYTES])
{
    enum { PORTABLE_CLUSTER = 8 };
    if (l->cluster > device->max_cluster || l->cluster > PORTABLE_CLUSTER)
        return gemm_refuse(reason, "larger clusters than every device has");
    if (v[GEMM_CLUSTER_M] * v[GEMM_CLUSTER_N] > 4)
        return gemm_refuse(reason, "more blocks than share a tile well");
    if (v[GEMM_SPLIT_K] > 1 && v[GEMM_PINGPONG])
        return gemm_refuse(reason, "a split sum takes no turns");
    if ((v[GEMM_SPLIT_K] - 1) * gemm_ceil_div(l->k_stages, v[GEMM_SPLIT_K]) >= l->k_stages)
        return gemm_refuse(reason, "SPLIT_K leaves a block without work");
    if (l->tile_cols % l->out_cols)
        return gemm_refuse(reason, "blocks of a split store equal parts of a tile");
    const int64_t least_across = v[GEMM_SWAP] ? GEMM_LEAST_SHARE : 8;
    if (v[GEMM_BLOCK_N] % (least_across * v[GEMM_CLUSTER_M]) ||
        v[GEMM_BLOCK_M] % (8 * v[GEMM_CLUSTER_N]))
        return gemm_refuse(
            reason, "blocks of a cluster load groups of 8 rows, or 2 tokens, of a shared tile");
    return true;
}

/* Where x runs down a tile consumers normalise it: two stages of it in registers beside the sums. */
static bool possible_held(const struct tfops_problem *problem, const int64_t *v,
    const struct gemm_layout *l, char reason[TFOPS_REASON_BYTES])
{
    enum { HELD_REGS = 32, MOST_REGS = 192, MOST_REGS_FLOATS = 168 };
    const int64_t most = l->out_elem == 4 ? MOST_REGS_FLOATS : MOST_REGS;
    if (v[GEMM_DEPTH] > 1 || v[GEMM_SPLIT_K] > 1 || problem->dims[GEMM_K] % 2)
        return gemm_refuse(reason, "x is normalised in registers by whole stages of a whole sum");
    if (l->slabs * (v[GEMM_BLOCK_N] / 2 + HELD_REGS) > most)
        return gemm_refuse(reason, "the sums and x do not fit in a thread's registers");
    return true;
}

/* The three warps that add up squares have registers for so many rows. */
static bool possible_norm(const struct tfops_problem *problem, const int64_t *v,
    const struct gemm_layout *l, char reason[TFOPS_REASON_BYTES])
{
    enum { MOST_ROWS = 128 };
    if (!v[GEMM_SWAP])
        return possible_held(problem, v, l, reason);
    if (v[GEMM_PINGPONG] || v[GEMM_CONSUMERS] > 2)
        return gemm_refuse(
            reason, "rows are normalised for one or two consumers that share a tile");
    if (v[GEMM_BLOCK_N] * v[GEMM_DEPTH] > MOST_ROWS)
        return gemm_refuse(reason, "more rows of x than the producers normalise");
    return true;
}

/* Both sums of an output are a consumer's, and a weight's rows come in whole groups of 8. */
static bool possible_pair(const struct tfops_problem *problem, const int64_t *v,
    const struct gemm_layout *l, char reason[TFOPS_REASON_BYTES])
{
    enum { MOST_REGS_SLABS = 192, MOST_REGS_SCALED = 160, MOST_REGS_ACROSS = 136 };
    const int64_t most_down = l->elem == 1 ? MOST_REGS_SCALED : MOST_REGS_SLABS;
    const int64_t most = v[GEMM_SWAP] ? MOST_REGS_ACROSS : most_down;
    if (l->slabs > 1 && accumulators(problem, v, l) > most)
        return gemm_refuse(
            reason, "the sums of a pair and what joins them do not fit in registers");
    if (v[GEMM_SWAP] ? l->slabs % 2 : v[GEMM_SPLIT_K] > 1)
        return gemm_refuse(reason, "pairs: of slabs with SWAP, else of columns of a whole sum");
    int64_t weight_rows = v[GEMM_SWAP] ? GEMM_SLAB_ROWS : l->tile_cols;
    if (weight_rows % (8 * (v[GEMM_SWAP] ? v[GEMM_CLUSTER_N] : v[GEMM_CLUSTER_M])))
        return gemm_refuse(
            reason, "blocks of a cluster load whole groups of 8 rows of both weights");
    return true;
}

bool gemm_exchanges(const struct tfops_problem *problem, const struct tfops_config *config)
{
    return gemm_add_normed(problem) && config->values[GEMM_EXCHANGE];
}

/* All tiles of a row run at a time, whatever the number of tokens: their blocks wait for each other. */
static bool possible_exchange(const struct tfops_problem *problem,
    const struct tfops_device *device, const int64_t *v, const struct gemm_layout *l,
    char reason[TFOPS_REASON_BYTES])
{
    if (!v[GEMM_EXCHANGE])
        return v[GEMM_MAINLOOP] == GEMM_MMA ||
               gemm_refuse(reason, "whole rows of a block: a choice of the mma.sync kernel");
    if (!gemm_has_workspace(problem))
        return gemm_refuse(reason, "sums are exchanged through the workspace");
    if (v[GEMM_PINGPONG] || v[GEMM_SPLIT_K] > 1)
        return gemm_refuse(reason, "all consumers exchange the sums of whole tiles");
    if (l->edge_cols)
        return gemm_refuse(reason, "an exchanging tile is stored in boxes");
    if ((v[GEMM_SWAP] ? l->down : l->across) > gemm_resident_clusters(device, l->cluster))
        return gemm_refuse(reason, "a row has more tiles than run at a time");
    return true;
}

/* What is read beside the sums of a whole tile wants registers for its addresses. */
static bool possible_residual(
    const struct tfops_problem *problem, const int64_t *v, const struct gemm_layout *l)
{
    enum { MOST_REGS_RESIDUAL = 160, MOST_REGS_BESIDE_BIAS = 112, MOST_REGS_THREE = 80 };
    const bool residual =
        !gemm_paired(problem) && !gemm_parted(problem) && problem->present >> GEMM_RESIDUAL & 1;
    const bool bias = problem->present >> GEMM_BIAS & 1;
    const int64_t of_two = bias ? MOST_REGS_BESIDE_BIAS : MOST_REGS_RESIDUAL;
    const int64_t most = v[GEMM_CONSUMERS] == 3 ? MOST_REGS_THREE : of_two;
    return !residual || l->slabs * v[GEMM_BLOCK_N] / 2 <= most;
}

/* Where tokens run across, each column has factors of its own beside the sums, and floats are stored one by one. */
static bool possible_across(
    const struct tfops_problem *problem, const int64_t *v, const struct gemm_layout *l)
{
    enum { MOST_REGS_FACTORS = 168 };
    const bool factors =
        gemm_scaling(problem) == GEMM_PER_ROW || (problem->present >> GEMM_BIAS & 1);
    const bool more = (gemm_promoted(problem, l) && factors) || l->out_elem == 4;
    return !v[GEMM_SWAP] || gemm_paired(problem) || !more ||
           accumulators(problem, v, l) <= MOST_REGS_FACTORS;
}

/* Parts of sums are left in the workspace, where they are cut depends on the number of tiles. */
static bool possible_tail(const struct tfops_problem *problem, const int64_t *v,
    const struct gemm_layout *l, char reason[TFOPS_REASON_BYTES])
{
    enum { MOST_REGS_TWO = 160, MOST_REGS_THREE = 80 };
    const int64_t most = v[GEMM_CONSUMERS] == 3 ? MOST_REGS_THREE : MOST_REGS_TWO;
    if (!v[GEMM_SPLIT_TAIL])
        return true;
    if (v[GEMM_MAINLOOP] != GEMM_WGMMA)
        return gemm_refuse(reason, "a choice of the wgmma kernel");
    if (!gemm_cuts_sums(problem))
        return gemm_refuse(
            reason, "SPLIT_TAIL leaves parts of sums in the workspace: workspace=yes");
    if (v[GEMM_PINGPONG] || v[GEMM_SPLIT_K] > 1)
        return gemm_refuse(reason, "SPLIT_TAIL: all consumers of a block on whole tiles");
    if (block_scaled(problem) || l->slabs * v[GEMM_BLOCK_N] / 2 > most)
        return gemm_refuse(reason, "parts of a sum do not fit in registers beside it");
    if (problem->flags & TFOPS_BATCH_INVARIANT)
        return gemm_refuse(reason, "the order of a batch-invariant sum depends on K alone");
    return true;
}

/* Columns from a multiple of their number on. */
static bool three_blocks(const int64_t *v)
{
    int64_t chunk = GEMM_GROUP_ELEMS;
    while (v[GEMM_BLOCK_N] % chunk)
        chunk /= 2;
    return v[GEMM_BLOCK_N] > GEMM_GROUP_ELEMS + chunk;
}

static bool possible_wgmma(const struct tfops_problem *problem, const struct tfops_device *device,
    const int64_t *v, const struct gemm_layout *l, char reason[TFOPS_REASON_BYTES])
{
    enum { MOST_REGS_TWO = 192, MOST_REGS_THREE = 96 };
    int64_t sharers = v[GEMM_PINGPONG] ? 1 : v[GEMM_CONSUMERS];
    if (strcmp(device->arch, "sm_90a") != 0)
        return gemm_refuse(reason, "wgmma is an instruction of sm_90a");
    if (problem->align < 16)
        return gemm_refuse(reason, "TMA takes rows that start at multiples of 16 bytes");
    if (v[GEMM_BLOCK_N] % 8)
        return gemm_refuse(reason, "wgmma has columns by eight");
    if (gemm_constant(problem) && v[GEMM_CONSUMERS] == 3)
        return gemm_refuse(
            reason, "a producer beside three consumers has no registers to begin early");
    if (v[GEMM_PINGPONG] && v[GEMM_CONSUMERS] != 2)
        return gemm_refuse(reason, "two consumers take turns");
    if (v[GEMM_BLOCK_M] % (GEMM_SLAB_ROWS * sharers))
        return gemm_refuse(reason, "a consumer has whole slabs of 64 rows");
    if (!v[GEMM_SWAP] && (l->out_cols - l->edge_cols) * l->out_elem % 32)
        return gemm_refuse(reason, "a store is a box of at least 32 bytes a row");
    if (block_scaled(problem) && (v[GEMM_PINGPONG] || (!v[GEMM_SWAP] && three_blocks(v))))
        return gemm_refuse(reason, "block scales: no turns, and columns of at most two blocks");
    if (accumulators(problem, v, l) > (v[GEMM_CONSUMERS] == 3 ? MOST_REGS_THREE : MOST_REGS_TWO))
        return gemm_refuse(reason, "the accumulators do not fit in a thread's registers");
    if (!possible_across(problem, v, l))
        return gemm_refuse(
            reason, "beside the accumulators the factors of columns do not fit in registers");
    if (!possible_residual(problem, v, l))
        return gemm_refuse(reason, "beside the accumulators a residual does not fit in registers");
    if (v[GEMM_SPLIT_K] > 1 &&
        v[GEMM_BLOCK_M] * v[GEMM_BLOCK_N] * 4 > v[GEMM_STAGES] * l->stage_bytes)
        return gemm_refuse(reason, "the stages do not hold a partial tile");
    if (gemm_paired(problem) && !possible_pair(problem, v, l, reason))
        return false;
    if (gemm_normed(problem) && !possible_norm(problem, v, l, reason))
        return false;
    return possible_cluster(device, v, l, reason);
}

/* Before sm_89 fp8 is decoded by whole-number instructions, which want registers of their own, and
 * what is scaled by blocks is summed twice. */
static int64_t most_mma_accumulators(
    const struct tfops_problem *problem, const struct tfops_device *device)
{
    bool fp8 = tfops_dtype_bytes((enum tfops_dtype)problem->dtypes[0]) == 1;
    return (fp8 && device->cc < 89) || block_scaled(problem) ? 32 : 64;
}

static bool possible_mma(const struct tfops_problem *problem, const struct tfops_device *device,
    const int64_t *v, char reason[TFOPS_REASON_BYTES])
{
    if (v[GEMM_PINGPONG] || v[GEMM_SWAP] || v[GEMM_SPLIT_K] > 1 || v[GEMM_DEPTH] > 1 ||
        v[GEMM_CLUSTER_M] * v[GEMM_CLUSTER_N] > 1)
        return gemm_refuse(reason, "a choice of the wgmma kernel");
    if (v[GEMM_CONSUMERS] > 2 || v[GEMM_BLOCK_M] > 128 || v[GEMM_BLOCK_N] > 128 ||
        v[GEMM_BLOCK_N] % (32 * v[GEMM_CONSUMERS]) || v[GEMM_BLOCK_M] % 64)
        return gemm_refuse(reason, "warps have whole products of at most a 128 x 128 tile");
    if (v[GEMM_BLOCK_M] * v[GEMM_BLOCK_N] / (128 * v[GEMM_CONSUMERS]) >
        most_mma_accumulators(problem, device))
        return gemm_refuse(reason, "the accumulators do not fit in a thread's registers");
    return true;
}

bool gemm_possible(const struct tfops_problem *problem, const struct tfops_device *device,
    const struct tfops_config *config, const struct gemm_layout *l, char reason[TFOPS_REASON_BYTES])
{
    const int64_t *v = config->values;
    if (v[GEMM_MAINLOOP] == GEMM_WGMMA && !possible_wgmma(problem, device, v, l, reason))
        return false;
    if (v[GEMM_MAINLOOP] == GEMM_MMA && !possible_mma(problem, device, v, reason))
        return false;
    if (v[GEMM_MAINLOOP] == GEMM_STREAM && !gemm_stream_possible(problem, v, l, reason))
        return false;
    if (!possible_tail(problem, v, l, reason))
        return false;
    if (gemm_add_normed(problem) && !possible_exchange(problem, device, v, l, reason))
        return false;
    if (problem->flags & TFOPS_BATCH_INVARIANT && (v[GEMM_SPLIT_K] > 1 || v[GEMM_SWAP]))
        return gemm_refuse(reason, "the order of a batch-invariant sum depends on K alone");
    if (gemm_smem_bytes(l, config) > device->smem_per_block_bytes)
        return gemm_refuse(reason, "more shared memory than a block has");
    return true;
}
