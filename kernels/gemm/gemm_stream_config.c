/* Configs of the kernel that streams the weight past few tokens (see gemm_config.h, gemm_stream.cuh). */
#include "gemm_config.h"
#include "gemm_specs.h"

enum { CHUNK_BYTES = 128, ROW_PAD_BYTES = 64, GROUP_ROWS = 16, GROUP_TOKENS = 8, MOST_TOKENS = 16 };
/* Threads of a multiprocessor for which 80 registers each are left. */
enum { MOST_THREADS = 768, SYSTEM_SMEM_BYTES = 1024 };

static int64_t warps(const int64_t *v)
{
    return 4 * v[GEMM_CONSUMERS];
}

void gemm_stream_lay_out(const int64_t *v, struct gemm_layout *l)
{
    const int64_t tokens = v[GEMM_BLOCK_N];
    const int64_t team = warps(v) / tokens > 1 ? warps(v) / tokens : 1;
    const int64_t sums = v[GEMM_BLOCK_M] / GROUP_ROWS * gemm_ceil_div(tokens, GROUP_TOKENS) *
                         GROUP_ROWS * GROUP_TOKENS;
    l->stage_bytes = warps(v) * v[GEMM_BLOCK_M] * CHUNK_BYTES;
    l->fixed_bytes = tokens * (l->k_stages * CHUNK_BYTES + ROW_PAD_BYTES) +
                     2 * warps(v) * sums * 4 + gemm_ceil_div(tokens * team * 4, 16) * 16;
}

bool gemm_stream_possible(const struct tfops_problem *problem, const int64_t *v,
    const struct gemm_layout *l, char reason[TFOPS_REASON_BYTES])
{
    const int64_t tokens = v[GEMM_BLOCK_N];
    if (v[GEMM_PINGPONG] || !v[GEMM_SWAP] || v[GEMM_SPLIT_K] > 1 || v[GEMM_DEPTH] > 1 ||
        v[GEMM_CLUSTER_M] * v[GEMM_CLUSTER_N] > 1 || v[GEMM_GROUP] != GEMM_USUAL_GROUP)
        return gemm_refuse(reason, "a choice of the wgmma kernel");
    if (v[GEMM_BLOCK_M] > 2 * GROUP_ROWS || tokens > MOST_TOKENS || (tokens & (tokens - 1)))
        return gemm_refuse(reason, "a stream has tiles of 16 or 32 rows and at most 16 tokens");
    if (v[GEMM_CONSUMERS] > 2)
        return gemm_refuse(reason, "4 or 8 warps share a stream's tile");
    if (l->elem != 2 || gemm_paired(problem))
        return gemm_refuse(reason, "one weight of 16 bits is streamed");
    if (gemm_add_normed(problem))
        return gemm_refuse(reason, "a stream's blocks have no rows of the output to normalise");
    if (problem->align < 16 || problem->dims[GEMM_K] * l->elem % 16)
        return gemm_refuse(reason, "a stream is of rows of whole 16 bytes");
    return true;
}

int64_t gemm_stream_width(int64_t tokens)
{
    int64_t width = 1;
    while (width < tokens && width < MOST_TOKENS)
        width *= 2;
    return width;
}

int64_t gemm_stream_blocks(
    const struct tfops_device *device, const struct gemm_layout *l, int64_t smem_bytes)
{
    const int64_t by_threads = MOST_THREADS / l->threads;
    const int64_t by_smem = device->smem_per_sm_bytes / (smem_bytes + SYSTEM_SMEM_BYTES);
    const int64_t blocks = by_smem < by_threads ? by_smem : by_threads;
    return blocks > 1 ? blocks : 1;
}
