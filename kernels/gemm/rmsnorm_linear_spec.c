/* The spec of rmsnorm_linear: linear with rows of x normalised on their way (gemm/rmsnorm_linear.cu). */
#include "gemm_spec_tables.h"
#include "rmsnorm_linear_params.h"
#include <stddef.h>

#define HALVES (1u << TFOPS_F16 | 1u << TFOPS_BF16)

static const struct tfops_dim_spec DIMS[] = {GEMM_PRODUCT_DIMS};

static const struct tfops_dtype_spec DTYPES[] = {
    [GEMM_DTYPE] = {"dtype", HALVES, "of x, weight and norm_weight"},
    [GEMM_OUT_DTYPE] = {"out_dtype", HALVES | 1u << TFOPS_F32, "of out, bias and residual"},
};

static const struct tfops_option_spec OPTIONS[] = {
    GEMM_ACTIVATION_OPTION, [GEMM_WEIGHTS] = GEMM_WEIGHTS_OPTION};

static const struct tfops_scalar_spec SCALARS[] = {
    [RMSNORM_LINEAR_EPS] = {"eps", 1e-6, 0, 1e30, "added to the mean square"},
};

static const struct tfops_operand_spec OPERANDS[] = {
    GEMM_X_OPERAND("rows to normalise"),
    GEMM_WEIGHT_OPERAND(GEMM_DTYPE, "as nn.Linear has it; several that read one x: packed by rows"),
    GEMM_OUTPUT_OPERANDS,
    [RMSNORM_LINEAR_NORM_WEIGHT] = {"norm_weight", TFOPS_IN, TFOPS_OPERAND_OPTIONAL, GEMM_DTYPE, 1,
        {GEMM_K}, 0, "of the normalised row; none: ones, or multiplied into weight beforehand"},
};

static const struct tfops_constant_spec CONSTANTS[] = {
    {"NORMED", 1}, {"SCALING", GEMM_UNSCALED}, {"FAST_ACCUM", 0}};

static const struct gemm_kind KIND = {.normed = true, .lasting = true};

/* As of linear, and x · norm_weight is rounded to x's dtype: half a unit of the last place, of each
 * product its own. atol: a row's largest numbers may be 1e4 times the rest. */
static void tolerance(void *user, const struct tfops_problem *problem, size_t operand,
    struct tfops_tolerance *ret_tolerance)
{
    (void)user, (void)operand;
    static const struct tfops_tolerance BOUND[TFOPS_DTYPE_COUNT] = {
        [TFOPS_F32] = {4e-6, 0.1, 1e-3},
        [TFOPS_F16] = {6e-4, 0.1, 2e-3},
        [TFOPS_BF16] = {4e-3, 0.1, 1.6e-2},
    };
    *ret_tolerance = BOUND[problem->dtypes[GEMM_OUT_DTYPE]];
    ret_tolerance->relative += 4e-9 * (double)problem->dims[GEMM_K];
    if (spec_has(problem, RMSNORM_LINEAR_NORM_WEIGHT))
        ret_tolerance->relative += problem->dtypes[GEMM_DTYPE] == TFOPS_F16 ? 4e-4 : 3e-3;
}

static void pack(void *user, const struct tfops_launch_args *launch, void *ret_params)
{
    struct rmsnorm_linear_params *params = ret_params;
    gemm_pack(user, launch, &params->gemm);
    params->norm_weight = launch->operands[RMSNORM_LINEAR_NORM_WEIGHT].data;
    params->eps = (float)launch->scalars[RMSNORM_LINEAR_EPS];
}

/* Consumers that normalise x need norm_weight beside it (gemm_norm_part.cuh). */
static size_t tensor_maps(
    void *user, const struct tfops_launch_args *launch, struct tfops_tensor_map *ret_maps)
{
    const size_t n = gemm_tensor_maps(user, launch, ret_maps);
    if (!n || launch->config->values[GEMM_SWAP] ||
        !spec_has(launch->problem, RMSNORM_LINEAR_NORM_WEIGHT))
        return n;
    const enum tfops_dtype dtype = (enum tfops_dtype)launch->problem->dtypes[GEMM_DTYPE];
    ret_maps[n] = gemm_vector_map(launch, RMSNORM_LINEAR_NORM_WEIGHT,
        offsetof(struct rmsnorm_linear_params, norm_map), dtype,
        128 / (int64_t)tfops_dtype_bytes(dtype));
    return n + 1;
}

static void cost(void *user, const struct tfops_problem *problem, struct tfops_cost *ret_cost)
{
    gemm_cost(user, problem, ret_cost);
    if (spec_has(problem, RMSNORM_LINEAR_NORM_WEIGHT))
        ret_cost->bytes_read +=
            (uint64_t)problem->dims[GEMM_K] * spec_elem_bytes(problem, GEMM_DTYPE);
}

/* A vector's values are about 1, as the default has them; the rest as of linear. */
static void values(void *user, const struct tfops_problem *problem, size_t operand,
    struct tfops_values *ret_values)
{
    gemm_values(user, problem, operand, ret_values);
    if (operand == RMSNORM_LINEAR_NORM_WEIGHT)
        *ret_values = (struct tfops_values){0.25f, 1, false};
}

const struct tfops_spec rmsnorm_linear_spec = {
    .size = sizeof(struct tfops_spec),
    .abi = TFOPS_SPEC_ABI,
    .version = 4,
    .name = "rmsnorm_linear",
    .summary = "matrix product of normalised rows",
    .formula = "out = activation(rmsnorm(x) · weightᵀ + bias) + residual (Zhang & Sennrich 2019)",
    .user = (void *)(uintptr_t)&KIND,
    SPEC_TABLE(dims, DIMS),
    SPEC_TABLE(dtypes, DTYPES),
    SPEC_TABLE(options, OPTIONS),
    SPEC_TABLE(scalars, SCALARS),
    SPEC_TABLE(operands, OPERANDS),
    SPEC_TABLE(constants, CONSTANTS),
    .tunables = gemm_whole_tunables,
    .n_tunables = GEMM_TUNABLES,
    .template_path = "gemm/rmsnorm_linear.cu",
    .body = "rmsnorm_linear",
    .generic_body = "rmsnorm_linear_generic",
    .params_type = "rmsnorm_linear_params",
    .param_bytes = sizeof(struct rmsnorm_linear_params),
    .constraint = gemm_constraint,
    .default_config = gemm_default_config,
    .predict = gemm_predict,
    .geometry = gemm_geometry,
    .pack = pack,
    .tensor_maps = tensor_maps,
    .cost = cost,
    .values = values,
    .tolerance = tolerance,
    .reference = rmsnorm_linear_reference,
};
