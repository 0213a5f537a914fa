/*
 * The spec of rmsnorm_linears: rmsnorm_linear with two or three weights that read one x (q, k, v; gate,
 * up), none of them repacked. Each is a part: its weight, bias and output stand in a launch of
 * rmsnorm_linear's operands, of which parameters and reference are made.
 */
#include "gemm_spec_tables.h"
#include "rmsnorm_linears_params.h"
#include <string.h>

#define HALVES (1u << TFOPS_F16 | 1u << TFOPS_BF16)

static const struct tfops_dim_spec DIMS[] = {
    GEMM_PRODUCT_DIMS,
    [GEMM_N2] = {"n2", 0, 1, 1 << 22, "rows of weight2, columns of out2"},
    [GEMM_N3] = {"n3", 0, 0, 1 << 22, "rows of weight3, columns of out3"},
};

static const struct tfops_dtype_spec DTYPES[] = {
    [GEMM_DTYPE] = {"dtype", HALVES, "of x, the weights and norm_weight"},
    [GEMM_OUT_DTYPE] = {"out_dtype", HALVES | 1u << TFOPS_F32, "of the outputs and biases"},
};

static const struct tfops_option_spec OPTIONS[] = {GEMM_WEIGHTS_OPTION};

static const struct tfops_scalar_spec SCALARS[] = {
    [RMSNORM_LINEAR_EPS] = {"eps", 1e-6, 0, 1e30, "added to the mean square"},
};

/* clang-format off */
#define PART(i, n, suffix, optional)                                                               \
    [LINEARS_WEIGHT(i)] = {"weight" suffix, TFOPS_IN, optional, GEMM_DTYPE, 2, {n, GEMM_K}, 0,     \
        "as nn.Linear has it"},                                                                    \
    [LINEARS_BIAS(i)] = {"bias" suffix, TFOPS_IN,                                                  \
        TFOPS_OPERAND_OPTIONAL | TFOPS_OPERAND_ELEMENTS, GEMM_OUT_DTYPE, 1, {n}, 0,                \
        "added to the product; all have one or none"},                                             \
    [LINEARS_OUT(i)] = {"out" suffix, TFOPS_OUT, TFOPS_OPERAND_ROWS | (optional), GEMM_OUT_DTYPE,  \
        2, {GEMM_M, n}, 0, "output rows"}
/* clang-format on */

static const struct tfops_operand_spec OPERANDS[] = {
    GEMM_X_OPERAND("rows to normalise"),
    [LINEARS_NORM_WEIGHT] = {"norm_weight", TFOPS_IN, TFOPS_OPERAND_OPTIONAL, GEMM_DTYPE, 1,
        {GEMM_K}, 0, "of the normalised row; none: ones, or multiplied into the weights"},
    PART(0, GEMM_N, "", 0),
    PART(1, GEMM_N2, "2", 0),
    PART(2, GEMM_N3, "3", TFOPS_OPERAND_OPTIONAL),
};

static const struct tfops_constant_spec CONSTANTS[] = {{"NORMED", 1}, {"SCALING", GEMM_UNSCALED},
    {"FAST_ACCUM", 0}, {"ACTIVATION", GEMM_NONE}, {"HAS_RESIDUAL", 0}};

static const struct gemm_kind KIND = {.normed = true, .parted = true, .lasting = true};

static bool accepts(
    void *user, const struct tfops_problem *problem, char reason[TFOPS_REASON_BYTES])
{
    (void)user;
    const bool third = spec_has(problem, LINEARS_WEIGHT(2));
    if (third != spec_has(problem, LINEARS_OUT(2)))
        return spec_refuse(reason, "weight3 and out3: expected both or neither");
    if (third && problem->dims[GEMM_N3] < 1)
        return spec_refuse(reason, "weight3: expected rows, got none");
    for (int i = 1; i < LINEARS_MOST; i++)
        if (spec_has(problem, LINEARS_BIAS(i)) !=
            (spec_has(problem, LINEARS_BIAS(0)) && (i < 2 || third)))
            return spec_refuse(reason, "bias: expected one for each weight or none at all");
    return true;
}

/* ---- a part as a launch of rmsnorm_linear ------------------------------------------------------ */

struct part {
    struct tfops_problem problem;
    struct tfops_view operands[TFOPS_MAX_OPERANDS];
    struct tfops_launch_args launch;
};

static uint32_t present_if(const struct tfops_view *view, int operand)
{
    return (uint32_t)(view->data != NULL) << operand;
}

static void take_part(const struct tfops_launch_args *from, int i, struct part *part)
{
    const struct tfops_view *given = from->operands;
    const int64_t *dims = from->problem->dims;
    struct tfops_problem *problem = &part->problem;
    *problem = *from->problem;
    problem->spec = &rmsnorm_linear_spec;
    problem->dims[GEMM_N] = dims[i ? GEMM_N2 + i - 1 : GEMM_N];
    problem->options[GEMM_WEIGHTS] = from->problem->options[0];
    problem->options[GEMM_ACTIVATION] = GEMM_NONE;
    memset(part->operands, 0, sizeof part->operands);
    part->operands[GEMM_X] = given[GEMM_X];
    part->operands[GEMM_WEIGHT] = given[LINEARS_WEIGHT(i)];
    part->operands[GEMM_BIAS] = given[LINEARS_BIAS(i)];
    part->operands[GEMM_OUT] = given[LINEARS_OUT(i)];
    part->operands[RMSNORM_LINEAR_NORM_WEIGHT] = given[LINEARS_NORM_WEIGHT];
    problem->present = 0;
    for (int operand = 0; operand <= RMSNORM_LINEAR_NORM_WEIGHT; operand++)
        problem->present |= present_if(&part->operands[operand], operand);
    part->launch = *from;
    part->launch.problem = problem;
    part->launch.operands = part->operands;
}

static void pack(void *user, const struct tfops_launch_args *launch, void *ret_params)
{
    struct rmsnorm_linears_params *params = ret_params;
    for (int i = 0; i < LINEARS_MOST; i++) {
        struct part part;
        take_part(launch, i, &part);
        rmsnorm_linear_spec.pack(user, &part.launch, &params->part[i]);
    }
}

static enum tfops_status reference(void *user, const struct tfops_launch_args *launch)
{
    enum tfops_status status = TFOPS_OK;
    for (int i = 0; !status && i < LINEARS_MOST; i++) {
        struct part part;
        take_part(launch, i, &part);
        status = rmsnorm_linear_reference(user, &part.launch);
    }
    return status;
}

/* The maps of x and norm_weight stand in the first part alone. */
static size_t tensor_maps(
    void *user, const struct tfops_launch_args *launch, struct tfops_tensor_map *ret_maps)
{
    enum { X_MAP, WEIGHT_MAP, OUT_MAP, NORM_MAP };
    size_t n = 0;
    for (int i = 0; i < LINEARS_MOST && launch->operands[LINEARS_WEIGHT(i)].data; i++) {
        struct tfops_tensor_map maps[TFOPS_MAX_TENSOR_MAPS];
        struct part part;
        take_part(launch, i, &part);
        const size_t count = rmsnorm_linear_spec.tensor_maps(user, &part.launch, maps);
        if (!count)
            return 0;
        maps[WEIGHT_MAP].operand = LINEARS_WEIGHT(i);
        maps[OUT_MAP].operand = LINEARS_OUT(i);
        maps[NORM_MAP].operand = LINEARS_NORM_WEIGHT;
        for (size_t m = i ? WEIGHT_MAP : X_MAP; m < (i ? NORM_MAP : count); m++) {
            ret_maps[n] = maps[m];
            ret_maps[n++].param_offset +=
                (uint32_t)((size_t)i * sizeof(struct rmsnorm_linear_params));
        }
    }
    return n;
}

/* ---- cost and trials ---------------------------------------------------------------------------- */

static void cost(void *user, const struct tfops_problem *problem, struct tfops_cost *ret_cost)
{
    (void)user;
    const uint64_t m = (uint64_t)problem->dims[GEMM_M], k = (uint64_t)problem->dims[GEMM_K];
    const uint64_t n = (uint64_t)gemm_weight_rows(problem);
    const uint64_t norm_weight = spec_has(problem, LINEARS_NORM_WEIGHT) ? k : 0;
    *ret_cost = (struct tfops_cost){
        .bytes_read = ((m + n) * k + norm_weight) * spec_elem_bytes(problem, GEMM_DTYPE),
        .bytes_written = m * n * spec_elem_bytes(problem, GEMM_OUT_DTYPE),
        .flops = 2 * m * n * k};
}

static bool is_weight(size_t operand)
{
    for (int i = 0; i < LINEARS_MOST; i++)
        if (operand == (size_t)LINEARS_WEIGHT(i))
            return true;
    return false;
}

/* As of rmsnorm_linear. */
static void values(void *user, const struct tfops_problem *problem, size_t operand,
    struct tfops_values *ret_values)
{
    if (operand == LINEARS_NORM_WEIGHT)
        *ret_values = (struct tfops_values){0.25f, 1, false};
    else if (operand == GEMM_X || is_weight(operand))
        gemm_values(user, problem, operand == GEMM_X ? GEMM_X : GEMM_WEIGHT, ret_values);
}

static void tolerance(void *user, const struct tfops_problem *problem, size_t operand,
    struct tfops_tolerance *ret_tolerance)
{
    struct tfops_problem part = *problem;
    part.present = (uint32_t)spec_has(problem, LINEARS_NORM_WEIGHT) << RMSNORM_LINEAR_NORM_WEIGHT;
    rmsnorm_linear_spec.tolerance(user, &part, operand, ret_tolerance);
}

const struct tfops_spec rmsnorm_linears_spec = {
    .size = sizeof(struct tfops_spec),
    .abi = TFOPS_SPEC_ABI,
    .version = 4,
    .name = "rmsnorm_linears",
    .summary = "products of normalised rows with two or three weights",
    .formula = "out_i = rmsnorm(x) · weight_iᵀ + bias_i (Zhang & Sennrich 2019)",
    .user = (void *)(uintptr_t)&KIND,
    SPEC_TABLE(dims, DIMS),
    SPEC_TABLE(dtypes, DTYPES),
    SPEC_TABLE(options, OPTIONS),
    SPEC_TABLE(scalars, SCALARS),
    SPEC_TABLE(operands, OPERANDS),
    SPEC_TABLE(constants, CONSTANTS),
    .tunables = gemm_whole_tunables,
    .n_tunables = GEMM_TUNABLES,
    .template_path = "gemm/rmsnorm_linears.cu",
    .body = "rmsnorm_linears",
    .generic_body = "rmsnorm_linears_generic",
    .params_type = "rmsnorm_linears_params",
    .param_bytes = sizeof(struct rmsnorm_linears_params),
    .accepts = accepts,
    .constraint = gemm_constraint,
    .predict = gemm_predict,
    .default_config = gemm_default_config,
    .geometry = gemm_geometry,
    .pack = pack,
    .tensor_maps = tensor_maps,
    .cost = cost,
    .values = values,
    .tolerance = tolerance,
    .reference = reference,
};
