/*
 * The spec of transpose (transpose/transpose.cu). Its one use on the way of a weight is to bring
 * [k, n] into the [n, k] that matrix products want, once; so rows, the dynamic extent, are of x.
 */
#include "kernels/spec_tables.h"
#include "transpose_params.h"
#include "transpose_specs.h"

enum { MAX_COLS = 1 << 22, WARP = 32 };

static const struct tfops_dim_spec DIMS[] = {
    [TRANSPOSE_ROWS] = {"rows", TFOPS_DIM_DYNAMIC, 0, INT32_MAX, "rows of x, columns of out"},
    [TRANSPOSE_COLS] = {"cols", 0, 1, MAX_COLS, "columns of x, rows of out"},
};

static const struct tfops_dtype_spec DTYPES[] = {
    [TRANSPOSE_DTYPE] = {"dtype", SPEC_FLOATS | SPEC_FP8, "of x and out"},
};

static const struct tfops_operand_spec OPERANDS[] = {
    [TRANSPOSE_X] = {"x", TFOPS_IN, 0, TRANSPOSE_DTYPE, 2, {TRANSPOSE_ROWS, TRANSPOSE_COLS}, 0,
        "a matrix"},
    [TRANSPOSE_OUT] = {"out", TFOPS_OUT, 0, TRANSPOSE_DTYPE, 2, {TRANSPOSE_COLS, TRANSPOSE_ROWS}, 0,
        "its transpose"},
};

/* ---- the space ------------------------------------------------------------------------------ */

enum { TILE_BYTES, LANES_ACROSS, THREADS, WARPS_ACROSS, STORE_HINT, N_TUNABLES };

static const int64_t TILE_BYTES_VALUES[] = {4, 8, 16};
static const int64_t LANES_ACROSS_VALUES[] = {4, 8, 16};
static const int64_t THREADS_VALUES[] = {64, 128, 256};
static const int64_t WARPS_ACROSS_VALUES[] = {1, 2};
static const int64_t STORE_HINT_VALUES[] = {0, 1};

#define TUNABLE(name, help)                                                                        \
    [name] = {#name, name##_VALUES, sizeof name##_VALUES / sizeof name##_VALUES[0], help}

static const struct tfops_tunable_spec TUNABLES[] = {
    TUNABLE(TILE_BYTES, "side of the square that a thread turns in registers"),
    TUNABLE(LANES_ACROSS, "lanes of a warp along a row of x, the others below them"),
    TUNABLE(THREADS, "of a block"),
    TUNABLE(WARPS_ACROSS, "warps of a block along a row of x, the others below them"),
    TUNABLE(STORE_HINT, "1: what is stored is streamed past L2"),
};

/* Every config is valid. */
static bool constraint(void *user, const struct tfops_problem *problem,
    const struct tfops_device *device, const struct tfops_config *config,
    char reason[TFOPS_REASON_BYTES])
{
    (void)user, (void)problem, (void)device, (void)config, (void)reason;
    return true;
}

/* 128 bytes of a row of x to a warp (measured: docs/notes/weight.md); a small matrix is cut smaller, so
 * that every SM has some of it. */
static void default_config(void *user, const struct tfops_problem *problem,
    const struct tfops_device *device, struct tfops_config *ret_config)
{
    (void)user;
    const int64_t elem = (int64_t)spec_elem_bytes(problem, TRANSPOSE_DTYPE);
    const int64_t bytes =
        problem->dims[TRANSPOSE_ROWS] * problem->dims[TRANSPOSE_COLS] * elem * elem;
    const int64_t threads = elem == 1 ? 64 : 128;
    int64_t side = 16;
    while (side > 4 && bytes / (side * side) < threads * device->sms)
        side /= 2;
    *ret_config = (struct tfops_config){.values = {[TILE_BYTES] = side,
                                            [LANES_ACROSS] = 8,
                                            [THREADS] = threads,
                                            [WARPS_ACROSS] = 1,
                                            [STORE_HINT] = 1}};
}

/* ---- launching ------------------------------------------------------------------------------ */

/* TransposeGenericCfg of the template. */
static const struct tfops_config GENERIC = {
    .values = {[TILE_BYTES] = 4, [LANES_ACROSS] = 8, [THREADS] = 256, [WARPS_ACROSS] = 1}};

/* At least one: the variant without extents has a grid too. */
static int64_t blocks_of(int64_t extent, int64_t block)
{
    return extent > block ? (extent + block - 1) / block : 1;
}

static void geometry(void *user, const struct tfops_problem *problem,
    const struct tfops_device *device, const struct tfops_config *config,
    struct tfops_geometry *ret_geometry)
{
    (void)user;
    const int64_t *v = config->generic ? GENERIC.values : config->values;
    const int64_t side = v[TILE_BYTES] / (int64_t)spec_elem_bytes(problem, TRANSPOSE_DTYPE);
    const int64_t warps_down = v[THREADS] / WARP / v[WARPS_ACROSS];
    const int64_t block_rows = side * (WARP / v[LANES_ACROSS]) * warps_down;
    const int64_t across =
        blocks_of(problem->dims[TRANSPOSE_COLS], side * v[LANES_ACROSS] * v[WARPS_ACROSS]);
    const int64_t down = blocks_of(problem->dims[TRANSPOSE_ROWS], block_rows);
    const int64_t most = INT32_MAX / across, groups = down < most ? down : most;
    *ret_geometry = (struct tfops_geometry){.threads = (uint32_t)v[THREADS],
        .min_blocks = 1,
        .cluster = 1,
        .pdl = device->cc >= 90,
        .grid = {(uint32_t)(groups * across), 1, 1},
        .extent_per_group = (uint32_t)block_rows,
        .most_groups = (uint32_t)most,
        .blocks_per_group = (uint32_t)across};
}

static void pack(void *user, const struct tfops_launch_args *launch, void *ret_params)
{
    (void)user;
    const struct tfops_problem *problem = launch->problem;
    const struct tfops_view *x = &launch->operands[TRANSPOSE_X];
    const struct tfops_view *out = &launch->operands[TRANSPOSE_OUT];
    *(struct transpose_params *)ret_params = (struct transpose_params){.x = x->data,
        .out = out->data,
        .x_stride = x->strides[0],
        .out_stride = out->strides[0],
        .rows = problem->dims[TRANSPOSE_ROWS],
        .cols = (int)problem->dims[TRANSPOSE_COLS],
        .dtype = problem->dtypes[TRANSPOSE_DTYPE]};
}

/* ---- cost and tolerance --------------------------------------------------------------------- */

static void cost(void *user, const struct tfops_problem *problem, struct tfops_cost *ret_cost)
{
    (void)user;
    const uint64_t bytes = (uint64_t)problem->dims[TRANSPOSE_ROWS] *
                           (uint64_t)problem->dims[TRANSPOSE_COLS] *
                           spec_elem_bytes(problem, TRANSPOSE_DTYPE);
    *ret_cost = (struct tfops_cost){.bytes_read = bytes, .bytes_written = bytes};
}

/* Bits are moved: nothing is off. */
static void tolerance(void *user, const struct tfops_problem *problem, size_t operand,
    struct tfops_tolerance *ret_tolerance)
{
    (void)user, (void)problem, (void)operand;
    *ret_tolerance = (struct tfops_tolerance){0, 0, 0};
}

const struct tfops_spec transpose_spec = {
    .size = sizeof(struct tfops_spec),
    .abi = TFOPS_SPEC_ABI,
    .version = 1,
    .name = "transpose",
    .summary = "a matrix with its rows as columns",
    .formula = "out[col][row] = x[row][col]",
    SPEC_TABLE(dims, DIMS),
    SPEC_TABLE(dtypes, DTYPES),
    SPEC_TABLE(operands, OPERANDS),
    SPEC_TABLE(tunables, TUNABLES),
    .template_path = "transpose/transpose.cu",
    .body = "transpose",
    .generic_body = "transpose_generic",
    .params_type = "transpose_params",
    .param_bytes = sizeof(struct transpose_params),
    .constraint = constraint,
    .default_config = default_config,
    .geometry = geometry,
    .pack = pack,
    .cost = cost,
    .tolerance = tolerance,
    .reference = transpose_reference,
};
