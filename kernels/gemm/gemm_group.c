/*
 * The order of tiles: how many rectangles stand under one another in a band of the walk (gemm_tiles.cuh). What runs at
 * the same time shares rows of both operands, and what runs next has the rows of the first one again: whether L2 still
 * has them decides what comes from memory, and at the power that large products take that decides the clock
 * (docs/notes/gemm.md, section 18).
 */
#include "gemm_config.h"
#include "gemm_specs.h"

/* Bytes that come from memory for tiles that run at the same time, `group` rectangles of them under one another: the
 * rows of both operands, or where all of these stay in L2 until the next ones run, which have the same of the first
 * operand, the second one's alone. Half of L2: what comes from its other half is there twice. */
static int64_t wave_bytes(const struct tfops_problem *problem, const struct tfops_device *device,
    const int64_t *v, const struct gemm_layout *l, int64_t group)
{
    const int64_t down = group < l->down ? group : l->down, bytes = problem->dims[GEMM_K] * l->elem;
    const int64_t across = gemm_ceil_div(gemm_resident_clusters(device, l->cluster), down);
    const int64_t first = down * v[GEMM_BLOCK_M] * v[GEMM_CLUSTER_M] * bytes;
    const int64_t second = across * v[GEMM_BLOCK_N] * v[GEMM_CLUSTER_N] * bytes;
    return first + second <= device->l2_bytes / 2 ? second : first + second;
}

int64_t gemm_best_group(const struct tfops_problem *problem, const struct tfops_device *device,
    const struct tfops_config *config, const struct gemm_layout *l)
{
    const struct tfops_tunable_spec *groups = &gemm_tunables[GEMM_GROUP];
    const int64_t *v = config->values;
    int64_t best = GEMM_USUAL_GROUP;
    if (v[GEMM_MAINLOOP] != GEMM_WGMMA || v[GEMM_SWAP] || v[GEMM_SPLIT_K] > 1 ||
        l->down * l->across <= gemm_resident_clusters(device, l->cluster))
        return best;
    int64_t least = wave_bytes(problem, device, v, l, best);
    for (size_t i = 0; i < groups->n_values; i++) {
        const int64_t bytes = wave_bytes(problem, device, v, l, groups->values[i]);
        if (bytes < least) {
            least = bytes;
            best = groups->values[i];
        }
    }
    return best;
}

bool gemm_group_makes_sense(const struct tfops_problem *problem, const struct tfops_device *device,
    const struct tfops_config *config, const struct gemm_layout *l)
{
    const int64_t group = config->values[GEMM_GROUP];
    const int64_t best = gemm_best_group(problem, device, config, l);
    const int64_t other = best > GEMM_USUAL_GROUP ? best / 2 : 2 * best;
    return group == best || (group == other && (l->down > group || l->down > best));
}
