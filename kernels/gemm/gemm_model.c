/*
 * What a config should take: waves of tiles, each as long as its products or its bytes from L2 take,
 * and no less than the memory bus needs. It ranks configs before anything is compiled.
 */
#include "gemm_config.h"
#include "gemm_specs.h"

/* H200: dense 16-bit products of one SM, bytes from L2 of one SM, bytes of the memory bus. */
static const double MACS_NS = 3400, L2_BYTES_NS = 58, MEMORY_BYTES_NS = 4200;
/* A launch; a tile's fill and drain where nothing else runs under it; a wait for a stage. */
static const double LAUNCH_NS = 2200, TILE_NS = 900, PINGPONG_TILE_NS = 250, STAGE_NS = 15;
/* A sum over a cluster, and its partial tile: left in shared memory, read by the cluster. */
static const double SPLIT_NS = 1200, SPLIT_BYTES_NS = 24;

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
static double tile_math_ns(
    const struct tfops_config *config, const struct gemm_layout *l, int64_t depth, bool promoted)
{
    const int64_t *v = config->values;
    double macs = (double)(v[GEMM_BLOCK_M] * v[GEMM_BLOCK_N]) * (double)depth;
    double rate = MACS_NS * (l->elem == 1 ? 2 : 1);
    if (v[GEMM_MAINLOOP] == GEMM_MMA)
        return macs / (0.55 * MACS_NS);
    if (v[GEMM_CONSUMERS] == 1) /* nothing runs while the one consumer waits */
        rate *= 0.7;
    return macs / rate * slab_slowdown(v[GEMM_BLOCK_N]) * (promoted ? 1.05 : 1);
}

static double tile_load_ns(const struct tfops_config *config, int64_t k_bytes)
{
    const int64_t *v = config->values;
    double rows = (double)v[GEMM_BLOCK_M] / (double)v[GEMM_CLUSTER_N] +
                  (double)v[GEMM_BLOCK_N] / (double)v[GEMM_CLUSTER_M];
    return rows * (double)k_bytes / L2_BYTES_NS;
}

static double memory_ns(const struct tfops_problem *problem, const struct gemm_layout *l)
{
    const int64_t *dims = problem->dims;
    double in = (double)(dims[GEMM_M] + dims[GEMM_N]) * (double)(dims[GEMM_K] * l->elem);
    double out = (double)dims[GEMM_M] * (double)(dims[GEMM_N] * l->out_elem);
    return (in + out) / MEMORY_BYTES_NS;
}

double gemm_model_ns(const struct tfops_problem *problem, const struct tfops_device *device,
    const struct tfops_config *config)
{
    const int64_t *v = config->values;
    const struct gemm_layout l = gemm_lay_out(problem, config);
    const int64_t stages = gemm_ceil_div(l.k_stages, v[GEMM_SPLIT_K]);
    const int64_t depth = stages * v[GEMM_DEPTH] * 128; /* bytes of K */
    const int64_t clusters = gemm_resident_clusters(device, l.cluster);
    const double waves = (double)gemm_ceil_div(l.down * l.across, clusters);
    const bool promoted = l.elem == 1 && !problem->options[GEMM_FAST_ACCUM];
    const double math = tile_math_ns(config, &l, depth / l.elem, promoted);
    const double waits = STAGE_NS * (double)stages;
    const double tile = greater(math + waits, tile_load_ns(config, depth));
    const double extra = v[GEMM_PINGPONG] ? PINGPONG_TILE_NS : TILE_NS;
    const double partial = (double)(v[GEMM_BLOCK_M] * v[GEMM_BLOCK_N] * 4);
    const double split = v[GEMM_SPLIT_K] > 1 ? SPLIT_NS + partial / SPLIT_BYTES_NS : 0;
    /* The last tiles' stores and the first tiles' loads stand alone. */
    const double work =
        waves * (tile + extra * (double)(v[GEMM_BLOCK_M] * v[GEMM_BLOCK_N]) / 32768);
    return LAUNCH_NS + split + greater(work, memory_ns(problem, &l));
}
