/*
 * Configs of the matrix kernels: the tunables, what follows from their values (the host's side of
 * GemmLayout and MmaLayout, which assert that the two agree), which are possible (gemm_config.c), which
 * are worth compiling, and the one to use when nothing was measured (gemm_space.c).
 */
#ifndef TFOPS_KERNELS_GEMM_CONFIG_H
#define TFOPS_KERNELS_GEMM_CONFIG_H

#include "gemm_params.h"
#include <tfops/spec.h>

enum {
    GEMM_MAINLOOP,
    GEMM_BLOCK_M,
    GEMM_BLOCK_N,
    GEMM_STAGES,
    GEMM_DEPTH,
    GEMM_CONSUMERS,
    GEMM_PINGPONG,
    GEMM_CLUSTER_M,
    GEMM_CLUSTER_N,
    GEMM_SPLIT_K,
    GEMM_GROUP,
    GEMM_SWAP,
    GEMM_SPLIT_TAIL,
    GEMM_TUNABLES,
    /* Of operators whose output rows are normalised, one more. */
    GEMM_EXCHANGE = GEMM_TUNABLES,
    GEMM_ADD_NORM_TUNABLES,
};

/* Of 64 rows is a wgmma; of a stage are two barriers; a default has at most so many stages. */
enum {
    GEMM_SLAB_ROWS = 64,
    GEMM_BARRIER_BYTES = 16,
    GEMM_MOST_STAGES = 16,
    GEMM_DEFAULT_STAGES = 8,
    GEMM_USUAL_GROUP = 8,
};

/* The second: of operators that do more with rows than to sum them up. */
extern const struct tfops_tunable_spec gemm_tunables[GEMM_TUNABLES],
    gemm_whole_tunables[GEMM_ADD_NORM_TUNABLES];

/* What follows from a config. */
struct gemm_layout {
    int64_t elem, out_elem;       /* bytes */
    int64_t tile_rows, tile_cols; /* outputs of a tile: half of its products where they are pairs */
    int64_t down, across;         /* rectangles of a cluster's tiles */
    int64_t threads, cluster;     /* of a block; blocks */
    int64_t k_stages;             /* stages that a whole sum takes */
    int64_t slabs;                /* 64-row parts of a consumer's tile */
    int64_t out_cols;             /* columns of a tile that a block stores */
    int64_t edge_cols;            /* of these, stored from registers */
    int64_t box_rows, box_cols;   /* of a store to the output */
    int64_t row_tiles, bands;     /* tiles that share rows of the output; sets of such tiles */
    int64_t fixed_bytes;          /* of shared memory, without the stages */
    int64_t stage_bytes;          /* of operands */
    int64_t stage_extra_bytes;    /* of barriers and scales */
};

struct gemm_layout gemm_lay_out(
    const struct tfops_problem *problem, const struct tfops_config *config);
/* Rows of x that a block brings of a tile: GemmXRows of gemm_load.cuh. */
int64_t gemm_x_box(const struct tfops_problem *problem, const struct tfops_config *config);
int64_t gemm_smem_bytes(const struct gemm_layout *layout, const struct tfops_config *config);
/* What SPLIT_TAIL cuts (gemm_walk.cuh): rectangles, 0 where nothing is; into parts; those whose rests are
 * a cluster's. */
struct gemm_tail {
    int64_t tiles, parts, each;
};
struct gemm_tail gemm_tail_of(const struct gemm_layout *layout, int64_t clusters);

/* Whether the kernels can do it; false writes the reason, where there is room for one. */
bool gemm_possible(const struct tfops_problem *problem, const struct tfops_device *device,
    const struct tfops_config *config, const struct gemm_layout *layout,
    char reason[TFOPS_REASON_BYTES]);
bool gemm_refuse(char reason[TFOPS_REASON_BYTES], const char *text);
/* Whether blocks exchange sums of rows, so that all of them must run at a time. */
bool gemm_exchanges(const struct tfops_problem *problem, const struct tfops_config *config);
/* Whether sums of the tensor cores are added up in fp32 registers. */
bool gemm_promoted(const struct tfops_problem *problem, const struct gemm_layout *layout);
/* Whether a consumer of one slab has two partial sums in turn (GemmLayout::PARTS), tokens down. */
bool gemm_two_sums(
    const struct tfops_problem *problem, const int64_t *values, const struct gemm_layout *layout);

bool gemm_constraint(void *user, const struct tfops_problem *problem,
    const struct tfops_device *device, const struct tfops_config *config,
    char reason[TFOPS_REASON_BYTES]);
void gemm_default_config(void *user, const struct tfops_problem *problem,
    const struct tfops_device *device, struct tfops_config *ret_config);

/* Rectangles down a band of the walk (gemm_group.c): as many as bring the fewest bytes from memory; whether GROUP is
 * that or its neighbour, and does not come to the same. */
int64_t gemm_best_group(const struct tfops_problem *problem, const struct tfops_device *device,
    const struct tfops_config *config, const struct gemm_layout *l);
bool gemm_group_makes_sense(const struct tfops_problem *problem, const struct tfops_device *device,
    const struct tfops_config *config, const struct gemm_layout *l);

/* Of the kernel that streams the weight (gemm_stream_config.c): what follows, beside what all have;
 * the tokens of a tile; the blocks that share a multiprocessor. */
void gemm_stream_lay_out(const int64_t *v, struct gemm_layout *l);
bool gemm_stream_possible(const struct tfops_problem *problem, const int64_t *v,
    const struct gemm_layout *l, char reason[TFOPS_REASON_BYTES]);
int64_t gemm_stream_width(int64_t tokens);
int64_t gemm_stream_blocks(
    const struct tfops_device *device, const struct gemm_layout *l, int64_t smem_bytes);

static inline int64_t gemm_ceil_div(int64_t a, int64_t b)
{
    return (a + b - 1) / b;
}

/* Clusters that run at a time, a block on each multiprocessor: GPCs have 16 or 18 of these, and a
 * cluster stays in one. Of clusters of 4 the driver promises an H200 30, but with 29 some are late. */
static inline int64_t gemm_resident_clusters(const struct tfops_device *device, int64_t cluster)
{
    int64_t sms = cluster > 2 ? (int64_t)device->sms / 18 * 16 : device->sms;
    return sms >= cluster ? sms / cluster : 1;
}

/* Expected nanoseconds (gemm_model.c); the same as a spec's callback. */
double gemm_model_ns(const struct tfops_problem *problem, const struct tfops_device *device,
    const struct tfops_config *config);
double gemm_predict(void *user, const struct tfops_problem *problem,
    const struct tfops_device *device, const struct tfops_config *config);

#endif
