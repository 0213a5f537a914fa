/* The spec of linear_add_rmsnorm: linear, then RMSNorm of its rows (gemm/linear_add_rmsnorm.cu). */
#include "gemm_spec_tables.h"
#include "linear_add_rmsnorm_params.h"
#include <stddef.h>

#define HALVES (1u << TFOPS_F16 | 1u << TFOPS_BF16)

static const struct tfops_dim_spec DIMS[] = {GEMM_PRODUCT_DIMS};

static const struct tfops_dtype_spec DTYPES[] = {
    [GEMM_DTYPE] = {"dtype", HALVES, "of x and weight"},
    [GEMM_OUT_DTYPE] = {"out_dtype", HALVES, "of all others"},
};

static const char *const WEIGHT_VARIANTS[] = {"plain", "one_plus", "round_before"};
static const char *const WORKSPACES[] = {"yes", "no"};

static const struct tfops_option_spec OPTIONS[] = {
    [LINEAR_ADD_RMSNORM_WEIGHT_VARIANT] = {"weight_variant", WEIGHT_VARIANTS, 3,
        "h·r·w; h·r·(1 + w), Gemma; round(h·r)·w, HF Llama"},
    [LINEAR_ADD_RMSNORM_WORKSPACE] = {"workspace", WORKSPACES, 2,
        "whether the caller has one; without, few rows are slow"},
};

static const struct tfops_scalar_spec SCALARS[] = {
    [LINEAR_ADD_RMSNORM_EPS] = {"eps", 1e-6, 0, 1e30, "added to the mean square"},
};

#define OUTPUT(name, access, flags, alias, help)                                                   \
    {                                                                                              \
        name, access, TFOPS_OPERAND_ROWS | (flags), GEMM_OUT_DTYPE, 2, {GEMM_M, GEMM_N}, alias,    \
            help                                                                                   \
    }
#define COLUMN(name, flags, help)                                                                  \
    {                                                                                              \
        name, TFOPS_IN, TFOPS_OPERAND_ELEMENTS | (flags), GEMM_OUT_DTYPE, 1, {GEMM_N}, 0, help     \
    }

static const struct tfops_operand_spec OPERANDS[] = {
    GEMM_X_OPERAND("input rows"),
    GEMM_WEIGHT_OPERAND(GEMM_DTYPE, "as nn.Linear has it"),
    [GEMM_BIAS] = COLUMN("bias", TFOPS_OPERAND_OPTIONAL, "added to the product"),
    [GEMM_RESIDUAL] = OUTPUT("residual", TFOPS_INOUT, 0, 1u << LINEAR_ADD_RMSNORM_RESIDUAL_OUT,
        "added to it; takes the sum when residual_out is absent"),
    [GEMM_OUT] = OUTPUT("out", TFOPS_OUT, 0, 0, "normalised sum"),
    [LINEAR_ADD_RMSNORM_NORM_WEIGHT] = COLUMN("norm_weight", 0, "gamma"),
    [LINEAR_ADD_RMSNORM_RESIDUAL_OUT] = OUTPUT("residual_out", TFOPS_OUT, TFOPS_OPERAND_OPTIONAL,
        1u << GEMM_RESIDUAL, "takes the sum instead of residual"),
};

/* The kernels' residual is there always; what bias and residual are added to is h. */
static const struct tfops_constant_spec CONSTANTS[] = {{"ADD_NORMED", 1},
    {"SCALING", GEMM_UNSCALED}, {"FAST_ACCUM", 0}, {"ACTIVATION", GEMM_NONE}, {"HAS_RESIDUAL", 1}};

static const struct gemm_kind KIND = {
    .add_normed = true, .workspace = LINEAR_ADD_RMSNORM_WORKSPACE};

/* h: as of linear. Its rows normalised: as of rmsnorm, and what h is off by. */
static void tolerance(void *user, const struct tfops_problem *problem, size_t operand,
    struct tfops_tolerance *ret_tolerance)
{
    (void)user;
    static const struct tfops_tolerance SUM[TFOPS_DTYPE_COUNT] = {
        [TFOPS_F16] = {6e-4, 0.1, 2e-3},
        [TFOPS_BF16] = {4e-3, 0.1, 1.6e-2},
    };
    const bool normed = operand == GEMM_OUT;
    const bool twice = normed && problem->options[LINEAR_ADD_RMSNORM_WEIGHT_VARIANT] == 2;
    *ret_tolerance = SUM[problem->dtypes[GEMM_OUT_DTYPE]];
    ret_tolerance->relative *= normed ? twice ? 3 : 2 : 1;
    ret_tolerance->rtol *= normed ? 2 : 1;
    ret_tolerance->relative += 4e-9 * (double)problem->dims[GEMM_K];
}

static const struct tfops_view *sum_of(const struct tfops_launch_args *launch, int *ret_operand)
{
    *ret_operand = launch->operands[LINEAR_ADD_RMSNORM_RESIDUAL_OUT].data
                       ? LINEAR_ADD_RMSNORM_RESIDUAL_OUT
                       : GEMM_RESIDUAL;
    return &launch->operands[*ret_operand];
}

static void pack(void *user, const struct tfops_launch_args *launch, void *ret_params)
{
    struct linear_add_rmsnorm_params *params = ret_params;
    const struct tfops_view *out = &launch->operands[GEMM_OUT];
    int operand;
    const struct tfops_view *sum = sum_of(launch, &operand);
    gemm_pack(user, launch, &params->gemm);
    params->gemm.out = sum->data;
    params->gemm.out_stride = sum->strides[0];
    params->gemm.activation = GEMM_NONE;
    params->norm_out = out->data;
    params->norm_out_stride = out->strides[0];
    params->norm_weight = launch->operands[LINEAR_ADD_RMSNORM_NORM_WEIGHT].data;
    params->exchange = launch->workspace;
    params->eps = (float)launch->scalars[LINEAR_ADD_RMSNORM_EPS];
    params->weight_variant = launch->problem->options[LINEAR_ADD_RMSNORM_WEIGHT_VARIANT];
}

/* Of linear, but that its output is the sum. */
static size_t tensor_maps(
    void *user, const struct tfops_launch_args *launch, struct tfops_tensor_map *ret_maps)
{
    enum { OUT_MAP = 2 };
    const size_t n = gemm_tensor_maps(user, launch, ret_maps);
    if (!n)
        return 0;
    const enum tfops_dtype dtype = (enum tfops_dtype)launch->problem->dtypes[GEMM_OUT_DTYPE];
    const int64_t cols = ret_maps[OUT_MAP].box[0], rows = ret_maps[OUT_MAP].box[1];
    int operand;
    sum_of(launch, &operand);
    ret_maps[OUT_MAP] = gemm_map(launch, operand,
        offsetof(struct linear_add_rmsnorm_params, gemm.out_map), dtype, cols, rows);
    ret_maps[n] = gemm_map(launch, GEMM_OUT,
        offsetof(struct linear_add_rmsnorm_params, norm_out_map), dtype, cols, rows);
    return n + 1;
}

/* gemm_row_sums.cuh: a word for each band, then one for each of its rows and tiles. */
static size_t workspace(void *user, const struct tfops_problem *problem,
    const struct tfops_device *device, const struct tfops_config *config)
{
    (void)user, (void)device;
    enum { GRANULE = 256 };
    const int64_t *v = config->values;
    if (config->generic || !v[GEMM_EXCHANGE])
        return 0;
    const struct gemm_layout l = gemm_lay_out(problem, config);
    const int64_t rows = v[v[GEMM_SWAP] ? GEMM_BLOCK_N : GEMM_BLOCK_M];
    const int64_t bytes = 4 * l.bands * (1 + l.row_tiles * rows);
    return (size_t)(gemm_ceil_div(bytes, GRANULE) * GRANULE);
}

static void cost(void *user, const struct tfops_problem *problem, struct tfops_cost *ret_cost)
{
    gemm_cost(user, problem, ret_cost);
    const uint64_t n = (uint64_t)problem->dims[GEMM_N], m = (uint64_t)problem->dims[GEMM_M];
    const uint64_t elem = spec_elem_bytes(problem, GEMM_OUT_DTYPE);
    ret_cost->bytes_read += n * elem;
    ret_cost->bytes_written += m * n * elem;
    ret_cost->flops += 4 * m * n;
}

/* A vector's values are about 1, as the default has them; the rest as of linear. */
static void values(void *user, const struct tfops_problem *problem, size_t operand,
    struct tfops_values *ret_values)
{
    gemm_values(user, problem, operand, ret_values);
    if (operand == LINEAR_ADD_RMSNORM_NORM_WEIGHT)
        *ret_values = (struct tfops_values){0.25f, 1, false};
}

const struct tfops_spec linear_add_rmsnorm_spec = {
    .size = sizeof(struct tfops_spec),
    .abi = TFOPS_SPEC_ABI,
    .version = 5,
    .name = "linear_add_rmsnorm",
    .summary = "matrix product added to the residual stream, and RMSNorm of the sum",
    .formula = "h = x · weightᵀ + bias + residual; residual_out = h; "
               "out = h / sqrt(mean(h²) + eps) · norm_weight",
    .user = (void *)(uintptr_t)&KIND,
    SPEC_TABLE(dims, DIMS),
    SPEC_TABLE(dtypes, DTYPES),
    SPEC_TABLE(options, OPTIONS),
    SPEC_TABLE(scalars, SCALARS),
    SPEC_TABLE(operands, OPERANDS),
    SPEC_TABLE(constants, CONSTANTS),
    .tunables = gemm_whole_tunables,
    .n_tunables = GEMM_ADD_NORM_TUNABLES,
    .template_path = "gemm/linear_add_rmsnorm.cu",
    .body = "linear_add_rmsnorm",
    .generic_body = "linear_add_rmsnorm_generic",
    .params_type = "linear_add_rmsnorm_params",
    .param_bytes = sizeof(struct linear_add_rmsnorm_params),
    .constraint = gemm_constraint,
    .default_config = gemm_default_config,
    .predict = gemm_predict,
    .geometry = gemm_geometry,
    .pack = pack,
    .tensor_maps = tensor_maps,
    .workspace = workspace,
    .cost = cost,
    .values = values,
    .tolerance = tolerance,
    .reference = linear_add_rmsnorm_reference,
};
