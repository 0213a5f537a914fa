/* The space of quantize (see quantize_space.h). */
#include "quantize_space.h"
#include "quant_scales.h"
#include "quant_specs.h"
#include "quantize_params.h"
#include <stdio.h>
#include <string.h>

enum { SCRATCH_ALIGN = 128, SM_RESERVED_BYTES = 1024 };

enum quantize_flow quantize_flow(const struct tfops_problem *problem)
{
    switch ((enum quant_granularity)problem->options[QUANT_GRANULARITY]) {
    case QUANT_PER_TENSOR:
        return QUANTIZE_FLOW_TENSOR;
    case QUANT_PER_BLOCK:
        return QUANTIZE_FLOW_TILES;
    case QUANT_PER_TENSOR_STATIC:
        return problem->options[QUANTIZE_OVERFLOW] ? QUANTIZE_FLOW_TENSOR : QUANTIZE_FLOW_ROWS;
    default:
        return QUANTIZE_FLOW_ROWS;
    }
}

static int64_t elem_bytes(const struct tfops_problem *problem)
{
    return (int64_t)tfops_dtype_bytes((enum tfops_dtype)problem->dtypes[QUANT_DTYPE]);
}

/* The widest access that the alignment allows and rows are made of. */
static int64_t widest(const struct tfops_problem *problem)
{
    int64_t elem = elem_bytes(problem), bytes = problem->align;
    while (bytes > elem && problem->dims[QUANT_HIDDEN] % (bytes / elem))
        bytes /= 2;
    return bytes < elem ? elem : bytes;
}

/* ---- tiles -------------------------------------------------------------------------------------- */

/* Vectors of a tile that a thread holds: in registers. */
static int64_t tile_vectors(const struct tfops_problem *problem, const int64_t *v)
{
    const int64_t vec = v[ROW_VEC_BYTES] / elem_bytes(problem);
    return QUANT_GROUP * (QUANT_GROUP / vec) / v[ROW_THREADS_PER_ROW];
}

static bool tile_fits(const struct tfops_problem *problem, const int64_t *v)
{
    enum { HELD_WORDS = 128, LEAST_VECTORS = 2 };
    const int64_t vec = v[ROW_VEC_BYTES] / elem_bytes(problem), threads = v[ROW_THREADS_PER_ROW];
    const int64_t lanes = QUANT_GROUP / vec, words = (v[ROW_VEC_BYTES] + 3) / 4;
    const int64_t vectors = tile_vectors(problem, v);
    return threads >= 32 && threads % lanes == 0 && QUANT_GROUP % (threads / lanes) == 0 &&
           vectors >= LEAST_VECTORS && vectors * words <= HELD_WORDS;
}

static int64_t tiles(const struct tfops_problem *problem)
{
    return quant_groups(problem->dims[QUANT_ROWS]) * quant_groups(problem->dims[QUANT_HIDDEN]);
}

/* ---- the tensor --------------------------------------------------------------------------------- */

static int64_t tensor_blocks_per_sm(const int64_t *v)
{
    return v[ROW_BLOCKS_PER_SM] ? v[ROW_BLOCKS_PER_SM] : 1;
}

static uint32_t scratch_bytes(int64_t threads)
{
    return threads > 32 ? (uint32_t)(2 * 4 * ((threads / 32 + 3) / 4 * 4)) : 0;
}

/* All of a block's share, for vectors that wait. */
static uint32_t tensor_smem_bytes(const struct tfops_device *device, const int64_t *v)
{
    const int64_t share = device->smem_per_sm_bytes / tensor_blocks_per_sm(v) - SM_RESERVED_BYTES;
    const int64_t most =
        share < device->smem_per_block_bytes ? share : device->smem_per_block_bytes;
    return v[ROW_RELOAD] == 1 ? (uint32_t)(most / SCRATCH_ALIGN * SCRATCH_ALIGN)
                              : scratch_bytes(v[ROW_THREADS_PER_ROW]);
}

/* Less than a chunk of vectors (quantize_tensor.cuh) is not worth waiting. */
static bool chunk_waits(const struct tfops_device *device, const int64_t *v)
{
    enum { CHUNK = 4 };
    const int64_t threads = v[ROW_THREADS_PER_ROW], scratch = scratch_bytes(threads);
    const int64_t slots = tensor_smem_bytes(device, v) -
                          (scratch + SCRATCH_ALIGN - 1) / SCRATCH_ALIGN * SCRATCH_ALIGN;
    return slots >= CHUNK * threads * v[ROW_VEC_BYTES];
}

static bool tensor_fits(const struct tfops_device *device, const int64_t *v)
{
    const int64_t threads = v[ROW_THREADS_PER_ROW];
    return threads >= 256 && v[ROW_RELOAD] >= 1 &&
           threads * tensor_blocks_per_sm(v) <= device->max_threads_per_sm &&
           (v[ROW_RELOAD] != 1 || chunk_waits(device, v));
}

static int64_t tensor_blocks(
    const struct tfops_problem *problem, const struct tfops_device *device, const int64_t *v)
{
    const int64_t vectors = problem->dims[QUANT_ROWS] *
                            (problem->dims[QUANT_HIDDEN] * elem_bytes(problem) / v[ROW_VEC_BYTES]);
    const int64_t needed = (vectors + v[ROW_THREADS_PER_ROW] - 1) / v[ROW_THREADS_PER_ROW];
    const int64_t most = tensor_blocks_per_sm(v) * device->sms;
    return needed < 1 ? 1 : needed < most ? needed : most;
}

/* ---- callbacks ---------------------------------------------------------------------------------- */

static bool refuse(char reason[TFOPS_REASON_BYTES], const char *text)
{
    snprintf(reason, TFOPS_REASON_BYTES, "%s", text);
    return false;
}

/* What neither tiles nor the tensor vary is at its default. */
static bool is_plain(const int64_t *v)
{
    return v[ROW_ROWS_PER_BLOCK] == 1 && v[ROW_CLUSTER] == 1 && v[ROW_STAGES] == 1 &&
           v[ROW_WEIGHT_LOAD] == 0 && !v[ROW_LOAD_HINT] && !v[ROW_PREFETCH];
}

bool quantize_constraint(void *user, const struct tfops_problem *problem,
    const struct tfops_device *device, const struct tfops_config *config,
    char reason[TFOPS_REASON_BYTES])
{
    const int64_t *v = config->values;
    const enum quantize_flow flow = quantize_flow(problem);
    if (flow == QUANTIZE_FLOW_ROWS)
        return row_constraint(user, problem, device, config, reason);
    if (v[ROW_VEC_BYTES] != widest(problem))
        return refuse(reason, "VEC_BYTES is not the widest access of these rows");
    if (!is_plain(v))
        return refuse(reason, "rows are not what shares a scale");
    if (flow == QUANTIZE_FLOW_TENSOR)
        return tensor_fits(device, v) || refuse(reason, "not a grid that is resident at once");
    if (v[ROW_RELOAD] || v[ROW_BLOCKS_PER_SM])
        return refuse(reason, "a tile waits in registers, of a block of its own");
    return tile_fits(problem, v) || refuse(reason, "a tile is not dealt evenly to registers");
}

/* Four vectors a thread, or what comes next. */
static void tile_default(const struct tfops_problem *problem, int64_t *v)
{
    static const int64_t THREADS[] = {512, 256, 1024, 128};
    for (size_t i = 0; i < sizeof THREADS / sizeof THREADS[0]; i++) {
        v[ROW_THREADS_PER_ROW] = THREADS[i];
        if (tile_fits(problem, v))
            return;
    }
}

void quantize_default_config(void *user, const struct tfops_problem *problem,
    const struct tfops_device *device, struct tfops_config *ret_config)
{
    enum { LARGE_BYTES = 4 << 20 };
    int64_t *v = ret_config->values;
    const enum quantize_flow flow = quantize_flow(problem);
    if (flow == QUANTIZE_FLOW_ROWS) {
        row_default_config(user, problem, device, ret_config);
        return;
    }
    memset(ret_config, 0, sizeof *ret_config);
    v[ROW_VEC_BYTES] = widest(problem);
    v[ROW_ROWS_PER_BLOCK] = v[ROW_CLUSTER] = v[ROW_STAGES] = 1;
    const int64_t bytes =
        problem->dims[QUANT_ROWS] * problem->dims[QUANT_HIDDEN] * elem_bytes(problem);
    v[ROW_STORE_HINT] = bytes >= LARGE_BYTES;
    if (flow == QUANTIZE_FLOW_TILES) {
        tile_default(problem, v);
    } else {
        /* Fewer blocks exchange fewer words; a small tensor wants them small. */
        v[ROW_THREADS_PER_ROW] = bytes >= LARGE_BYTES ? 1024 : 512;
        v[ROW_BLOCKS_PER_SM] = bytes >= LARGE_BYTES ? 0 : 2;
        v[ROW_RELOAD] = bytes >= LARGE_BYTES ? 1 : 2;
    }
}

/* The row family's, with a grid that every flow can walk; resident at once where it must be. */
static void generic_geometry(void *user, const struct tfops_problem *problem,
    const struct tfops_device *device, const struct tfops_config *config,
    struct tfops_geometry *geometry)
{
    row_geometry(user, problem, device, config, geometry);
    geometry->extent_per_group = geometry->most_groups = 0;
    if (quantize_flow(problem) != QUANTIZE_FLOW_TENSOR)
        return;
    if (geometry->grid[0] > (uint32_t)device->sms)
        geometry->grid[0] = (uint32_t)device->sms;
    geometry->cooperative = geometry->grid[0] > 1;
}

void quantize_geometry(void *user, const struct tfops_problem *problem,
    const struct tfops_device *device, const struct tfops_config *config,
    struct tfops_geometry *ret_geometry)
{
    const int64_t *v = config->values;
    const enum quantize_flow flow = quantize_flow(problem);
    if (config->generic) {
        generic_geometry(user, problem, device, config, ret_geometry);
        return;
    }
    if (flow == QUANTIZE_FLOW_ROWS) {
        row_geometry(user, problem, device, config, ret_geometry);
        return;
    }
    const bool tensor = flow == QUANTIZE_FLOW_TENSOR;
    const int64_t blocks = tensor ? tensor_blocks(problem, device, v) : tiles(problem);
    *ret_geometry = (struct tfops_geometry){.threads = (uint32_t)v[ROW_THREADS_PER_ROW],
        .min_blocks = tensor ? (uint32_t)tensor_blocks_per_sm(v) : 1,
        .cluster = 1,
        .smem_bytes = tensor ? tensor_smem_bytes(device, v) : scratch_bytes(v[ROW_THREADS_PER_ROW]),
        .pdl = device->cc >= 90,
        .cooperative = tensor && blocks > 1, /* a block alone waits for none */
        .grid = {blocks < 1           ? 1
                 : blocks > INT32_MAX ? INT32_MAX
                                      : (uint32_t)blocks,
            1, 1}};
}

size_t quantize_workspace(void *user, const struct tfops_problem *problem,
    const struct tfops_device *device, const struct tfops_config *config)
{
    (void)user, (void)config;
    enum { MOST_BLOCKS_PER_SM = 4, GRANULE = 256 };
    const int64_t words = GRID_WORDS((int64_t)device->sms * MOST_BLOCKS_PER_SM);
    return quantize_flow(problem) == QUANTIZE_FLOW_TENSOR
               ? (size_t)((4 * words + GRANULE - 1) / GRANULE * GRANULE)
               : 0;
}
