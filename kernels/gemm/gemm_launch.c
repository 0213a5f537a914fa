/* Launching the matrix kernels (see gemm_launch.h). */
#include "gemm_launch.h"
#include "gemm_config.h"
#include "gemm_params.h"
#include "gemm_specs.h"
#include <math.h>
#include <stddef.h>
#include <string.h>

/* GemmGeneric of the template. */
enum { GENERIC_TILE = 64, GENERIC_THREADS = 256, GENERIC_SMEM_BYTES = 2 * 16 * (64 + 4) * 4 };

/* Of cuda.h, which kernels do not include. */
enum { MAP_U8 = 0, MAP_F16 = 6, MAP_F32 = 7, MAP_BF16 = 9 };
enum { SWIZZLE_32 = 1, SWIZZLE_64 = 2, SWIZZLE_128 = 3, L2_PROMOTION_128 = 2 };

enum { MOST_BLOCKS = INT32_MAX };

static int64_t at_most(int64_t value, int64_t most)
{
    return value < most ? value : most;
}

/* ---- geometry -------------------------------------------------------------------------------- */

/* Where rows of the output are normalised, a block has whole ones. */
static void generic_geometry(const struct tfops_problem *problem, const struct tfops_device *device,
    struct tfops_geometry *geometry)
{
    int64_t across =
        gemm_add_normed(problem) ? 1 : gemm_ceil_div(problem->dims[GEMM_N], GENERIC_TILE);
    int64_t tiles = gemm_ceil_div(problem->dims[GEMM_M], GENERIC_TILE) * across;
    *geometry = (struct tfops_geometry){.threads = GENERIC_THREADS,
        .min_blocks = 1,
        .cluster = 1,
        .smem_bytes = GENERIC_SMEM_BYTES,
        .grid = {(uint32_t)at_most(tiles > 0 ? tiles : 1, 8 * (int64_t)device->sms), 1, 1}};
}

static int64_t min_blocks(const struct tfops_device *device, const struct tfops_config *config,
    const struct gemm_layout *l)
{
    if (config->values[GEMM_MAINLOOP] != GEMM_STREAM)
        return 1;
    return gemm_stream_blocks(device, l, gemm_smem_bytes(l, config));
}

/* Of blocks that walk over rows of weight, each with all tokens, on a multiprocessor. With a constant
 * weight half of the room is the next kernel's, whose blocks begin while these run. */
static int64_t stream_share(const struct tfops_problem *problem, const struct tfops_device *device,
    const struct tfops_config *config, const struct gemm_layout *l)
{
    const int64_t blocks = min_blocks(device, config, l);
    return gemm_constant(problem) ? (blocks + 1) / 2 : blocks;
}

/* Of normalised rows: a block for each band of whole ones; or as many as run at a time, and those of a
 * row's tiles always: blocks that wait for one that is not there are refused by the driver. */
static int64_t row_clusters(const struct tfops_device *device, const struct tfops_config *config,
    const struct gemm_layout *l)
{
    const int64_t resident = gemm_resident_clusters(device, l->cluster);
    const int64_t of_a_row = config->values[GEMM_SWAP] ? l->down : l->across;
    if (!config->values[GEMM_EXCHANGE])
        return at_most(l->bands, MOST_BLOCKS);
    return at_most(l->down * l->across, resident > of_a_row ? resident : of_a_row);
}

/* Blocks that walk over tiles: as many clusters as the device runs at a time; a split sum and the
 * mma.sync kernel: one for each tile. */
static int64_t clusters(const struct tfops_problem *problem, const struct tfops_device *device,
    const struct tfops_config *config, const struct gemm_layout *l)
{
    int64_t tiles = l->down * l->across;
    if (gemm_add_normed(problem))
        return row_clusters(device, config, l);
    if (config->values[GEMM_MAINLOOP] == GEMM_MMA || config->values[GEMM_SPLIT_K] > 1)
        return at_most(tiles, MOST_BLOCKS / l->cluster);
    if (config->values[GEMM_MAINLOOP] == GEMM_STREAM)
        return at_most(l->down, device->sms * stream_share(problem, device, config, l));
    int64_t resident = gemm_resident_clusters(device, l->cluster);
    return at_most(config->values[GEMM_SPLIT_TAIL] ? tiles * l->k_stages : tiles, resident);
}

/* gemm_tail.cuh: a word for each consumer, a tile of sums for each block. */
size_t gemm_workspace(void *user, const struct tfops_problem *problem,
    const struct tfops_device *device, const struct tfops_config *config)
{
    (void)user;
    enum { GRANULE = 256 };
    const int64_t *v = config->values;
    if (config->generic || !v[GEMM_SPLIT_TAIL])
        return 0;
    const struct gemm_layout l = gemm_lay_out(problem, config);
    const int64_t blocks = gemm_resident_clusters(device, l.cluster) * l.cluster;
    const int64_t words = gemm_ceil_div(4 * blocks * v[GEMM_CONSUMERS], GRANULE) * GRANULE;
    return (size_t)(words + 4 * blocks * v[GEMM_BLOCK_M] * v[GEMM_BLOCK_N]);
}

void gemm_geometry(void *user, const struct tfops_problem *problem,
    const struct tfops_device *device, const struct tfops_config *config,
    struct tfops_geometry *ret_geometry)
{
    (void)user;
    if (config->generic) {
        generic_geometry(problem, device, ret_geometry);
        return;
    }
    const struct gemm_layout l = gemm_lay_out(problem, config);
    *ret_geometry = (struct tfops_geometry){.threads = (uint32_t)l.threads,
        .min_blocks = (uint32_t)min_blocks(device, config, &l),
        .cluster = (uint32_t)l.cluster,
        .smem_bytes = (uint32_t)gemm_smem_bytes(&l, config),
        .pdl = device->cc >= 90,
        .cooperative = gemm_exchanges(problem, config),
        .grid = {(uint32_t)(clusters(problem, device, config, &l) * l.cluster), 1, 1}};
}

/* ---- parameters ------------------------------------------------------------------------------ */

/* The scale of a whole tensor has no stride. */
static void pack_scales(const struct tfops_launch_args *launch, struct gemm_params *params)
{
    const struct tfops_problem *problem = launch->problem;
    const struct tfops_view *x = &launch->operands[GEMM_X_SCALE];
    const struct tfops_view *weight = &launch->operands[GEMM_WEIGHT_SCALE];
    params->scaling = gemm_scaling(problem);
    params->x_scale = params->weight_scale = NULL;
    params->x_scale_stride = params->x_group_stride = params->weight_scale_stride = 0;
    if (params->scaling == GEMM_UNSCALED)
        return;
    params->x_scale = x->data;
    params->weight_scale = weight->data;
    if (params->scaling == GEMM_PER_TENSOR)
        return;
    const bool transposed = problem->options[GEMM_SCALE_MAJOR] != 0;
    params->x_scale_stride = transposed ? 1 : x->strides[0];
    params->x_group_stride = transposed ? x->strides[0] : 1;
    params->weight_scale_stride = weight->strides[0];
}

void gemm_pack(void *user, const struct tfops_launch_args *launch, void *ret_params)
{
    (void)user;
    struct gemm_params *params = ret_params;
    const struct tfops_problem *problem = launch->problem;
    const struct tfops_view *operands = launch->operands;
    params->x = operands[GEMM_X].data;
    params->weight = operands[GEMM_WEIGHT].data;
    params->bias = operands[GEMM_BIAS].data;
    params->residual = operands[GEMM_RESIDUAL].data;
    params->out = operands[GEMM_OUT].data;
    params->workspace = launch->workspace;
    params->x_stride = operands[GEMM_X].strides[0];
    params->weight_stride = operands[GEMM_WEIGHT].strides[0];
    params->residual_stride = operands[GEMM_RESIDUAL].strides[0];
    params->out_stride = operands[GEMM_OUT].strides[0];
    params->m = (int)problem->dims[GEMM_M];
    params->n = (int)problem->dims[GEMM_N];
    params->k = (int)problem->dims[GEMM_K];
    params->dtype = problem->dtypes[GEMM_DTYPE];
    params->weight_dtype = (int)gemm_weight_dtype(problem);
    params->out_dtype = problem->dtypes[GEMM_OUT_DTYPE];
    params->activation = problem->options[GEMM_ACTIVATION];
    pack_scales(launch, params);
}

/* ---- tensor maps ----------------------------------------------------------------------------- */

static uint32_t map_type(enum tfops_dtype dtype)
{
    switch (dtype) {
    case TFOPS_F16:
        return MAP_F16;
    case TFOPS_BF16:
        return MAP_BF16;
    case TFOPS_F32:
        return MAP_F32;
    default:
        return MAP_U8; /* fp8: bytes to the copy engine */
    }
}

struct tfops_tensor_map gemm_map(const struct tfops_launch_args *launch, int operand,
    size_t param_offset, enum tfops_dtype dtype, int64_t box_cols, int64_t box_rows)
{
    const struct tfops_operand_spec *spec = &launch->problem->spec->operands[operand];
    const int64_t *dims = launch->problem->dims;
    const uint64_t elem = tfops_dtype_bytes(dtype);
    const uint64_t box_bytes = (uint64_t)box_cols * elem;
    return (struct tfops_tensor_map){.operand = operand,
        .param_offset = (uint32_t)param_offset,
        .rank = 2,
        .data_type = map_type(dtype),
        .swizzle = box_bytes == 128  ? SWIZZLE_128
                   : box_bytes == 64 ? SWIZZLE_64
                                     : SWIZZLE_32,
        .l2_promotion = L2_PROMOTION_128, /* of 256: few tokens take 3 to 10% longer */
        .dims = {(uint64_t)dims[spec->dims[1]], (uint64_t)dims[spec->dims[0]]},
        .strides_bytes = {(uint64_t)launch->operands[operand].strides[0] * elem},
        .box = {(uint32_t)box_cols, (uint32_t)box_rows},
        .element_strides = {1, 1}};
}

struct tfops_tensor_map gemm_vector_map(const struct tfops_launch_args *launch, int operand,
    size_t param_offset, enum tfops_dtype dtype, int64_t box_elems)
{
    const struct tfops_operand_spec *spec = &launch->problem->spec->operands[operand];
    return (struct tfops_tensor_map){.operand = operand,
        .param_offset = (uint32_t)param_offset,
        .rank = 1,
        .data_type = map_type(dtype),
        .l2_promotion = L2_PROMOTION_128,
        .dims = {(uint64_t)launch->problem->dims[spec->dims[0]]},
        .box = {(uint32_t)box_elems},
        .element_strides = {1}};
}

size_t gemm_tensor_maps(
    void *user, const struct tfops_launch_args *launch, struct tfops_tensor_map *ret_maps)
{
    (void)user;
    const int64_t *v = launch->config->values;
    if (launch->config->generic || v[GEMM_MAINLOOP] != GEMM_WGMMA)
        return 0;
    const struct tfops_problem *problem = launch->problem;
    const struct gemm_layout l = gemm_lay_out(problem, launch->config);
    const int64_t k = 128 / l.elem;
    const int64_t weight_rows =
        v[GEMM_SWAP] ? v[GEMM_BLOCK_M] / v[GEMM_CLUSTER_N] : v[GEMM_BLOCK_N] / v[GEMM_CLUSTER_M];
    ret_maps[0] = gemm_map(launch, GEMM_X, offsetof(struct gemm_params, x_map),
        (enum tfops_dtype)problem->dtypes[GEMM_DTYPE], k, gemm_x_box(problem, launch->config));
    ret_maps[1] = gemm_map(launch, GEMM_WEIGHT, offsetof(struct gemm_params, weight_map),
        gemm_weight_dtype(problem), k, weight_rows);
    ret_maps[2] = gemm_map(launch, GEMM_OUT, offsetof(struct gemm_params, out_map),
        (enum tfops_dtype)problem->dtypes[GEMM_OUT_DTYPE], l.box_cols, l.box_rows);
    return 3;
}

/* ---- trials ---------------------------------------------------------------------------------- */

void gemm_values(void *user, const struct tfops_problem *problem, size_t operand,
    struct tfops_values *ret_values)
{
    (void)user;
    const bool fp8 = gemm_scaling(problem) != GEMM_UNSCALED;
    const float small = 1 / sqrtf((float)problem->dims[GEMM_K]);
    /* Hopper's fp8 sums lose what lies 14 bits below the largest product. */
    ret_values->special = (operand == GEMM_X && !fp8) || operand == GEMM_RESIDUAL;
    if (operand == GEMM_WEIGHT &&
        !fp8) /* small numbers are few in fp8: its scale is small instead */
        ret_values->scale = small;
    if (operand == GEMM_X_SCALE || operand == GEMM_WEIGHT_SCALE)
        *ret_values = operand == GEMM_X_SCALE ? (struct tfops_values){0.25f, 1, false}
                                              : (struct tfops_values){small / 4, small, false};
}

/* ---- cost ------------------------------------------------------------------------------------ */

void gemm_cost(void *user, const struct tfops_problem *problem, struct tfops_cost *ret_cost)
{
    (void)user;
    const uint64_t m = (uint64_t)problem->dims[GEMM_M], n = (uint64_t)problem->dims[GEMM_N];
    const uint64_t k = (uint64_t)problem->dims[GEMM_K];
    const uint64_t elem = tfops_dtype_bytes((enum tfops_dtype)problem->dtypes[GEMM_DTYPE]);
    const uint64_t out = tfops_dtype_bytes((enum tfops_dtype)problem->dtypes[GEMM_OUT_DTYPE]);
    const bool residual = problem->present >> GEMM_RESIDUAL & 1;
    *ret_cost = (struct tfops_cost){.bytes_read = (m + n) * k * elem + (residual ? m * n * out : 0),
        .bytes_written = m * n * out,
        .flops = 2 * m * n * k};
}
