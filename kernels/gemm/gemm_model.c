/*
 * What a config should take: waves of tiles, each as long as its products or its bytes from L2 take,
 * and no less than the memory bus needs. It ranks configs before anything is compiled.
 */
#include "gemm_config.h"
#include "gemm_specs.h"
#include <math.h>

/*
 * Fitted to 13000 configs of 361 problems on an H200 (docs/notes/gemm.md, section 10), what decides where memory does
 * to 9200 of 71 later ones (section 14); parts of sums, streams and exchanges to earlier runs. Dense 16-bit products
 * of one SM; bytes from L2 of one SM and of all; of the memory bus.
 */
static const double MACS_NS = 3841, SM_BYTES_NS = 111, L2_BYTES_NS = 13560, MEMORY_BYTES_NS = 4600;
/* Of the time that a tile's loads take beside longer products, or products beside longer loads; the same where
 * consumers take turns at several tiles each (section 18). */
static const double LOADS_BESIDE = 0.164, LOADS_BESIDE_TURNS = 0.135, SEVERAL_WAVES = 4;
/* Of a tile that is stored before the next one begins, in boxes of 128 bytes a row; what narrower boxes take
 * longer (section 16). */
static const double STORE_BYTES_NS = 45, BOX_OF_64_BYTES = 1.3, BOX_OF_32_BYTES = 1.9,
                    FLOATS_ACROSS = 2.5; /* transposed, they are stored one by one */
/* Pairs of sums that are joined: two special functions each, of 16 a cycle (docs/notes/gated_mlp.md, section 7). */
static const double PAIRS_NS = 20;
/* Bytes that come from memory, not L2: of a block that has both SMs of a pair for itself; of one beside
 * another. Of 66 pairs none has two blocks while there are at most 66. */
static const double ALONE_BYTES_NS = 67.7, PAIRED_BYTES_NS = 37;
/* Of a weight's bytes, for clusters that read it at a time (weight_reads). */
static const double MERGED_READS = 0.99, UNMERGED_READS = 1.45;
/* Of rows of tokens that are not there: the copy engine fills them with zeros (section 14). */
static const double EMPTY_BYTES_NS = 16;
/* A launch, one of the mma.sync kernel; a wait for a stage, longer for each block that shares it; until the
 * bytes of one are there. */
static const double LAUNCH_NS = 950, MMA_LAUNCH_NS = 6000, STAGE_NS = 46.4, SHARED_STAGE_NS = 3.4,
                    ARRIVAL_NS = 1380;
/* Of each doubling of a cluster, whose blocks wait for the last one. */
static const double DOUBLED_CLUSTER = 0.01;
/* Two meetings of a cluster; a partial tile of a split sum, left in shared memory, read by the cluster. */
static const double SPLIT_NS = 1165, SPLIT_BYTES_NS = 32;
/* Parts of sums left in the workspace or added from there, a block's; until one left last is there. */
static const double CUT_BYTES_NS = 39, CUT_NS = 2700;
/* Between what a block says of its rows and what it hears of the others'. */
static const double EXCHANGE_NS = 2000;
/* Of a cluster whose blocks exchange sums of rows; of one that shares tokens, beyond that. */
static const double EXCHANGING_CLUSTER_NS = 600, EXCHANGING_SHARED_TOKENS_NS = 2000;
/* Of the tensor cores' rate with one consumer that adds up a single partial sum. */
static const double ONE_PARTIAL_SUM = 0.693;
static const double PROMOTION = 1.113, OVERLAP = 0.05;
/* Of a consumer that adds one partial sum up while the next one's products run, stage after stage; measured
 * (docs/notes/gemm.md, section 12), not fitted. */
static const double TWO_SUMS = 0.98;
/* Of block scales, with one slab of rows a consumer. */
static const double BLOCK_SCALED_SLAB = 1.3;
/* A streamed weight: a launch; the bus; the tokens, which each block reads whole; four warps instead of eight
 * (docs/notes/gated_mlp.md). */
static const double STREAM_LAUNCH_NS = 3500, STREAM_BYTES_NS = 4050, STREAM_TOKENS_NS = 4000,
                    STREAM_FEW_WARPS = 1.25;
/* Of a stage and a slab of x that is held, beside its products; squares, where rows have no factors yet; wider
 * tiles hide all of it from some width on; of consumers that take turns (docs/notes/gated_mlp.md, section 9). */
static const double HELD_NS = 25, SQUARES_NS = 70, HELD_TURNS = 1.1, HIDDEN_FROM = 208,
                    HIDDEN_OVER = 80;
/* What a kernel gains whose weight is constant: it is loaded while the one before it ends. */
static const double EARLY_NS = 1000;

static double greater(double a, double b)
{
    return a > b ? a : b;
}

/* 64 rows by BLOCK_N by 32 bytes of K: cycles of the tensor cores, or of reading both operands. */
static double slab_slowdown(int64_t block_n)
{
    double products = (double)block_n / 2, reads = (double)(64 + block_n) / 4;
    return greater(1, reads / products);
}

/* The products of one tile. */
static double tile_math_ns(const struct tfops_config *config, const struct gemm_layout *l,
    int64_t depth, bool promoted, bool two_sums)
{
    const int64_t *v = config->values;
    double macs = (double)(v[GEMM_BLOCK_M] * v[GEMM_BLOCK_N]) * (double)depth;
    double rate = MACS_NS * (l->elem == 1 ? 2 : 1);
    if (v[GEMM_MAINLOOP] == GEMM_MMA)
        return macs / (0.55 * MACS_NS);
    if (v[GEMM_CONSUMERS] == 1 && promoted && l->slabs * v[GEMM_DEPTH] == 1 && !two_sums)
        rate *= ONE_PARTIAL_SUM; /* nothing runs while it is added up */
    return macs / rate * slab_slowdown(v[GEMM_BLOCK_N]) * (promoted ? PROMOTION : 1);
}

/* Tokens that a cluster shares are read as fast as those that it does not: L2 merges the loads. */
static double tile_load_ns(const struct tfops_config *config, int64_t k_bytes, double blocks)
{
    const int64_t *v = config->values;
    const double r = (double)v[GEMM_BLOCK_M], c = (double)v[GEMM_BLOCK_N];
    const double rows =
        v[GEMM_SWAP] ? r / (double)v[GEMM_CLUSTER_N] + c : r + c / (double)v[GEMM_CLUSTER_M];
    const double rate = L2_BYTES_NS / blocks;
    return rows * (double)k_bytes / (rate < SM_BYTES_NS ? rate : SM_BYTES_NS);
}

/* How often the bytes of a weight are what a block waits for, when several clusters read them at a time: L2
 * merges their loads, less well those of clusters that multicast their tokens. */
static double weight_reads(const struct gemm_layout *l, const int64_t *v)
{
    const double clusters = (double)(v[GEMM_SWAP] ? l->across : l->down);
    if (v[v[GEMM_SWAP] ? GEMM_CLUSTER_M : GEMM_CLUSTER_N] == 1)
        return MERGED_READS;
    return clusters < UNMERGED_READS ? clusters : UNMERGED_READS;
}

/* Rows of the last tile of tokens that are none of the problem's, where it does not begin earlier and so
 * have none (FULL_TILES of gemm_layout.cuh). */
static int64_t empty_rows(const struct tfops_problem *problem, const int64_t *v)
{
    const int64_t tokens = problem->dims[GEMM_M],
                  tile = v[v[GEMM_SWAP] ? GEMM_BLOCK_N : GEMM_BLOCK_M];
    const bool full =
        !v[GEMM_SPLIT_TAIL] && !gemm_add_normed(problem) && gemm_scaling(problem) != GEMM_PER_BLOCK;
    const bool brought = tokens > tile || gemm_normed(problem); /* gemm_x_box() */
    return full || !brought ? 0 : gemm_ceil_div(tokens, tile) * tile - tokens;
}

/* The bus, or a block's share of a weight, which comes from memory. */
static double memory_ns(const struct tfops_problem *problem, const struct tfops_device *device,
    const struct tfops_config *config, const struct gemm_layout *l, int64_t k_bytes, double blocks,
    double waves)
{
    const int64_t *dims = problem->dims, *v = config->values;
    double in =
        (double)(dims[GEMM_M] + gemm_weight_rows(problem)) * (double)(dims[GEMM_K] * l->elem);
    double out = (double)dims[GEMM_M] * (double)(dims[GEMM_N] * l->out_elem);
    const double bus = (in + out) / MEMORY_BYTES_NS;
    const double r = (double)v[GEMM_BLOCK_M] / (double)v[GEMM_CLUSTER_N];
    const double c = (double)v[GEMM_BLOCK_N] / (double)v[GEMM_CLUSTER_M];
    const double weight =
        (v[GEMM_SWAP] ? r : c) * weight_reads(l, v) / (double)(v[GEMM_SWAP] ? l->across : l->down);
    const double rate = 2 * blocks > (double)device->sms ? PAIRED_BYTES_NS : ALONE_BYTES_NS;
    return greater(bus, waves * weight * (double)k_bytes / rate);
}

/* Of the sums that SPLIT_TAIL cuts. */
static double longest_part(const struct gemm_tail *tail)
{
    return tail->each > 1 ? (double)tail->each / (double)(tail->each + 1) : 1 / (double)tail->parts;
}

/* Until the parts of a sum are left and added up again. */
static double join_ns(const struct tfops_device *device, const struct tfops_config *config,
    const struct gemm_layout *l)
{
    const int64_t *v = config->values;
    const double partial = (double)(v[GEMM_BLOCK_M] * v[GEMM_BLOCK_N] * 4);
    if (v[GEMM_SPLIT_K] > 1)
        return SPLIT_NS + partial / SPLIT_BYTES_NS;
    const struct gemm_tail tail = gemm_tail_of(l, gemm_resident_clusters(device, l->cluster));
    if (!v[GEMM_SPLIT_TAIL] || !tail.tiles)
        return 0;
    return CUT_NS + partial / CUT_BYTES_NS * (double)(tail.each > 1 ? 2 : tail.parts);
}

/* Blocks that work at a time, and tiles that one of them computes. */
static void count_tiles(const struct tfops_problem *problem, const struct tfops_device *device,
    const struct tfops_config *config, const struct gemm_layout *l, double *ret_blocks,
    double *ret_waves)
{
    const bool whole_rows = gemm_add_normed(problem) && !config->values[GEMM_EXCHANGE];
    const int64_t clusters = gemm_resident_clusters(device, l->cluster);
    const int64_t tiles = whole_rows ? l->bands : l->down * l->across;
    *ret_blocks = (double)((tiles < clusters ? tiles : clusters) * l->cluster);
    *ret_waves = (double)(gemm_ceil_div(tiles, clusters) * (whole_rows ? l->across : 1));
    const struct gemm_tail tail = gemm_tail_of(l, clusters);
    if (config->values[GEMM_SPLIT_TAIL] && tail.tiles) {
        *ret_blocks = (double)(clusters * l->cluster);
        const int64_t whole = tiles / clusters;
        *ret_waves = (double)whole + longest_part(&tail);
    }
}

static double early_ns(const struct tfops_problem *problem)
{
    return gemm_constant(problem) ? EARLY_NS : 0;
}

/* Every block has all tokens of a tile, and the weight comes once for each tile of them. */
static double stream_ns(const struct tfops_problem *problem, const struct tfops_device *device,
    const struct tfops_config *config, const struct gemm_layout *l)
{
    const double blocks = (double)(l->down < device->sms ? l->down : device->sms);
    const double tokens =
        (double)config->values[GEMM_BLOCK_N] * (double)(problem->dims[GEMM_K] * l->elem);
    const double weight = (double)(gemm_weight_rows(problem) * problem->dims[GEMM_K] * l->elem);
    const double few_warps = config->values[GEMM_CONSUMERS] == 1 ? STREAM_FEW_WARPS : 1;
    const double tile = blocks * tokens / STREAM_TOKENS_NS + weight / STREAM_BYTES_NS * few_warps;
    return STREAM_LAUNCH_NS - early_ns(problem) + (double)l->across * tile;
}

static int64_t common_divisor(int64_t a, int64_t b)
{
    while (b) {
        const int64_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

/* What x, normalised on its way to the tensor cores, takes of a stage. A block walks over tiles by the number of
 * clusters, and makes the factors of rows once. */
static double held_ns(const struct tfops_problem *problem, const struct tfops_device *device,
    const int64_t *v, const struct gemm_layout *l, double waves)
{
    if (!gemm_normed(problem) || v[GEMM_SWAP])
        return 0;
    const int64_t band = l->down < v[GEMM_GROUP] ? l->down : v[GEMM_GROUP];
    const int64_t clusters = gemm_resident_clusters(device, l->cluster);
    const int64_t bands = band / common_divisor(clusters, band); /* that a block comes to */
    const double fresh = (double)bands / waves;
    const double shown = (HIDDEN_FROM - (double)v[GEMM_BLOCK_N]) / HIDDEN_OVER;
    const double slab = HELD_NS + SQUARES_NS * (fresh < 1 ? fresh : 1);
    return slab * (double)l->slabs * (v[GEMM_PINGPONG] ? HELD_TURNS : 1) *
           greater(0, shown < 1 ? shown : 1);
}

/* A tile's sum, without what a split adds: the longest of its products, its loads and the ring's turns. */
static double tile_ns(const struct tfops_problem *problem, const struct tfops_device *device,
    const struct tfops_config *config, const struct gemm_layout *l, int64_t stages, double blocks,
    double waves)
{
    const int64_t *v = config->values;
    const int64_t depth = stages * v[GEMM_DEPTH] * 128; /* bytes of K */
    const bool promoted = l->elem == 1 && !problem->options[GEMM_FAST_ACCUM];
    const bool slab_scaled = gemm_scaling(problem) == GEMM_PER_BLOCK && l->slabs == 1;
    const double sharers = (double)(v[GEMM_CLUSTER_M] * v[GEMM_CLUSTER_N] - 1);
    const bool two_sums = gemm_two_sums(problem, v, l) && v[GEMM_DEPTH] == 1;
    const double math =
        (tile_math_ns(config, l, depth / l->elem, promoted, two_sums) *
                (slab_scaled ? BLOCK_SCALED_SLAB : 1) +
            (STAGE_NS + SHARED_STAGE_NS * sharers + held_ns(problem, device, v, l, waves)) *
                (double)stages) *
        (two_sums && v[GEMM_CONSUMERS] == 2 ? TWO_SUMS : 1);
    const double arrival = ARRIVAL_NS * (double)stages / (double)(v[GEMM_STAGES] - 1);
    const double load = tile_load_ns(config, depth, blocks);
    const double beside =
        v[GEMM_PINGPONG] && waves >= SEVERAL_WAVES ? LOADS_BESIDE_TURNS : LOADS_BESIDE;
    return greater(greater(math, arrival), load) + beside * (math < load ? math : load);
}

/* What tiles with rows that are not there take longer: in the last wave one of them, before it their share. */
static double last_tile_delay_ns(const struct tfops_problem *problem,
    const struct tfops_config *config, const struct gemm_layout *l, double tile, int64_t depth,
    double waves)
{
    const int64_t *v = config->values;
    const double empty = (double)(empty_rows(problem, v) * depth) / EMPTY_BYTES_NS;
    const double bands = (double)(v[GEMM_SWAP] ? l->across : l->down);
    return greater(0, empty - tile) * (1 + greater(0, waves - 1) / bands);
}

/* How much longer than in boxes of whole lines a tile's bytes take. Not for parts of sums, which were fitted
 * without it: there it chose defaults that are up to a fifth slower (section 16). */
static double box_slowdown(const struct tfops_config *config, const struct gemm_layout *l)
{
    const int64_t *v = config->values, bytes = l->box_cols * l->out_elem;
    if (v[GEMM_SWAP] && l->out_elem == 4)
        return FLOATS_ACROSS;
    if (v[GEMM_SPLIT_K] > 1 || bytes >= 128)
        return 1;
    return bytes >= 64 ? BOX_OF_64_BYTES : BOX_OF_32_BYTES;
}

/* All tiles are stored one after the other, pairs joined before, or with PINGPONG each beside the next one's
 * products. */
static double store_ns(const struct tfops_problem *problem, const struct tfops_config *config,
    const struct gemm_layout *l, double waves)
{
    const int64_t *v = config->values;
    const double sums = (double)(v[GEMM_BLOCK_M] * v[GEMM_BLOCK_N]) / (double)v[GEMM_SPLIT_K];
    const double bytes = sums * (double)l->out_elem * box_slowdown(config, l);
    const double joined = gemm_paired(problem) ? sums / 2 / PAIRS_NS : 0;
    return (bytes / STORE_BYTES_NS + joined) * (v[GEMM_PINGPONG] ? 1 : waves);
}

/* Two bands of tiles whose blocks exchange sums of rows load their weight as fast alone as in a cluster, which
 * they are taken for here; and clusters cost (docs/notes/linear_add_rmsnorm.md, section 5). */
static struct tfops_config as_loaded(
    const struct tfops_problem *problem, const struct tfops_config *config)
{
    struct tfops_config loaded = *config;
    int64_t *v = loaded.values;
    if (gemm_exchanges(problem, config) && v[GEMM_MAINLOOP] == GEMM_WGMMA && !v[GEMM_SWAP] &&
        v[GEMM_CLUSTER_M] == 1 && v[GEMM_CLUSTER_N] == 1 && problem->dims[GEMM_M] > v[GEMM_BLOCK_M])
        v[GEMM_CLUSTER_M] = 2;
    return loaded;
}

static double exchanging_cluster_ns(
    const struct tfops_problem *problem, const struct tfops_config *config)
{
    const int64_t *v = config->values;
    if (!gemm_exchanges(problem, config) || v[GEMM_CLUSTER_M] * v[GEMM_CLUSTER_N] == 1)
        return 0;
    return EXCHANGING_CLUSTER_NS + (v[GEMM_CLUSTER_N] > 1 ? EXCHANGING_SHARED_TOKENS_NS : 0);
}

double gemm_model_ns(const struct tfops_problem *problem, const struct tfops_device *device,
    const struct tfops_config *asked)
{
    const struct tfops_config loaded = as_loaded(problem, asked), *config = &loaded;
    const int64_t *v = config->values;
    const struct gemm_layout l = gemm_lay_out(problem, config);
    if (v[GEMM_MAINLOOP] == GEMM_STREAM)
        return stream_ns(problem, device, config, &l);
    const int64_t stages = gemm_ceil_div(l.k_stages, v[GEMM_SPLIT_K]);
    const int64_t depth = stages * v[GEMM_DEPTH] * 128; /* bytes of K */
    double blocks, waves;
    count_tiles(problem, device, config, &l, &blocks, &waves);
    const double split = join_ns(device, config, &l);
    const double exchange = gemm_exchanges(problem, config) ? EXCHANGE_NS : 0;
    const double tile = tile_ns(problem, device, config, &l, stages, blocks, waves);
    const double late = last_tile_delay_ns(problem, config, &l, tile, depth, waves);
    const double work = waves * (tile + exchange) + late + store_ns(problem, config, &l, waves);
    /* Where the memory bus decides, what is easier on the rest is still a little faster. */
    const double memory = memory_ns(problem, device, config, &l, depth, blocks, waves);
    const double launch =
        v[GEMM_MAINLOOP] == GEMM_MMA ? MMA_LAUNCH_NS : LAUNCH_NS - early_ns(problem);
    const double both = greater(work, memory) + OVERLAP * (work < memory ? work : memory);
    const double sharers = (double)(asked->values[GEMM_CLUSTER_M] * asked->values[GEMM_CLUSTER_N]);
    return launch + split + exchanging_cluster_ns(problem, asked) +
           both * (1 + DOUBLED_CLUSTER * log2(sharers));
}

double gemm_predict(void *user, const struct tfops_problem *problem,
    const struct tfops_device *device, const struct tfops_config *config)
{
    (void)user;
    return gemm_model_ns(problem, device, config);
}
