/*
 * The specs of gated_mlp and fp8_gated_mlp: one template (gemm/gated_mlp.cu), the tunables of linear.
 *
 * One packed weight [2·n, k] is two operands: gate and up are its halves, with its row stride.
 */
#include "gated_mlp_launch.h"
#include "gated_mlp_params.h"
#include "gemm_config.h"
#include "gemm_launch.h"
#include "gemm_params.h"
#include "gemm_spec_tables.h"
#include "gemm_specs.h"
#include "kernels/quant/quant_spec.h"
#include <math.h>

#define HALVES (1u << TFOPS_F16 | 1u << TFOPS_BF16)

/* ---- what both have -------------------------------------------------------------------------- */

#define PRODUCT_DIMS                                                                               \
    [GEMM_M] = {"m", TFOPS_DIM_DYNAMIC, 0, INT32_MAX / 256, "rows of x and out, e.g. tokens"},     \
    [GEMM_N] = {"n", 0, 1, 1 << 22, "rows of gate and of up, columns of out"},                     \
    [GEMM_K] = {"k", 0, 1, 1 << 22, "columns of x, gate and up"}
#define ONE_DIM                                                                                    \
    {                                                                                              \
        "one", TFOPS_DIM_DERIVED, 1, 1, "1"                                                        \
    }
#define OUT_DTYPE_ROW                                                                              \
    {                                                                                              \
        "out_dtype", SPEC_FLOATS | SPEC_FP8, "of out: a float, or fp8 for the next product"        \
    }

static const char *const ACTS[] = {"silu", "gelu", "gelu_tanh"};
static const char *const ACTIVATES[] = {[GATED_MLP_GATE] = "gate", [GATED_MLP_UP] = "up"};

#define ACT_OPTION                                                                                 \
    {                                                                                              \
        "act", ACTS, 3, "x·σ(x); x·Φ(x) by erf; its approximation by tanh"                     \
    }
#define ACTIVATES_OPTION                                                                           \
    {                                                                                              \
        "activates", ACTIVATES, 2, "act(gate) · up, or gate · act(up)"                           \
    }

#define PRODUCT_OPERANDS(weight_dtype, one, scale_dtype)                                           \
    [GATED_MLP_X] = {"x", TFOPS_IN, TFOPS_OPERAND_ROWS, GEMM_DTYPE, 2, {GEMM_M, GEMM_K}, 0,        \
        "input rows"},                                                                             \
    [GATED_MLP_GATE_WEIGHT] = {"gate", TFOPS_IN, 0, weight_dtype, 2, {GEMM_N, GEMM_K}, 0,          \
        "weight of the gate, as nn.Linear has it; the first half of a packed one"},                \
    [GATED_MLP_UP_WEIGHT] = {"up", TFOPS_IN, 0, weight_dtype, 2, {GEMM_N, GEMM_K}, 0,              \
        "weight of what it multiplies; the second half"},                                          \
    [GATED_MLP_OUT] = {"out", TFOPS_OUT, TFOPS_OPERAND_ROWS, GEMM_OUT_DTYPE, 2, {GEMM_M, GEMM_N},  \
        0, "output rows"},                                                                         \
    [GATED_MLP_OUT_SCALE] = {"out_scale", TFOPS_IN,                                                \
        TFOPS_OPERAND_OPTIONAL | TFOPS_OPERAND_ELEMENTS, scale_dtype, 2, {one, one}, 0,            \
        "what out is multiplied by to have the result"}

/* Sums as of linear and fp8_gemm, two of them multiplied, one rounding to the output's format. */
static const struct tfops_tolerance HALF_BOUND[TFOPS_DTYPE_COUNT] = {
    [TFOPS_F32] = {8e-6, 1e-3, 1e-3},
    [TFOPS_F16] = {6e-4, 1e-3, 2e-3},
    [TFOPS_BF16] = {4e-3, 1e-3, 1.6e-2},
};
static const struct tfops_tolerance FP8_BOUND[TFOPS_DTYPE_COUNT] = {
    [TFOPS_F32] = {8e-4, 0.1, 1e-2},
    [TFOPS_F16] = {1.2e-3, 0.1, 1e-2},
    [TFOPS_BF16] = {4e-3, 0.1, 1.6e-2},
};

/* Of an fp8 result off by one step where the sums' error carries it over the middle between two codes;
 * near 0, by what the sums are, in units of a scale about 0.01 where there is one. */
static struct tfops_tolerance bound(
    const struct tfops_problem *problem, const struct tfops_tolerance *table)
{
    const enum tfops_dtype out = (enum tfops_dtype)problem->dtypes[GEMM_OUT_DTYPE];
    const bool quantised = SPEC_FP8 >> out & 1;
    const double unit = spec_has(problem, GATED_MLP_OUT_SCALE) ? 100 : 1;
    struct tfops_tolerance tolerance = table[out];
    if (quantised) {
        const double step = out == TFOPS_E4M3 ? 0.09 : 0.18;
        tolerance = quant_tolerance(out, TFOPS_F32, problem->dims[GEMM_M] * problem->dims[GEMM_N]);
        tolerance.relative += sqrt(table[TFOPS_F32].relative * step);
    }
    tolerance.atol = unit * table[quantised ? TFOPS_F32 : out].atol;
    return tolerance;
}

static void tolerance(void *user, const struct tfops_problem *problem, size_t operand,
    struct tfops_tolerance *ret_tolerance)
{
    (void)user, (void)operand;
    const bool fp8 = gemm_scaling(problem) != GEMM_UNSCALED;
    *ret_tolerance = bound(problem, fp8 ? FP8_BOUND : HALF_BOUND);
    ret_tolerance->relative += 8e-9 * (double)problem->dims[GEMM_K];
    if (fp8 && problem->options[GEMM_FAST_ACCUM]) {
        ret_tolerance->relative += 2e-6 * (double)problem->dims[GEMM_K];
        ret_tolerance->atol *= 4;
    }
}

#define CALLBACKS                                                                                  \
    .tunables = gemm_tunables, .n_tunables = GEMM_TUNABLES, .template_path = "gemm/gated_mlp.cu",  \
    .body = "gated_mlp", .generic_body = "gated_mlp_generic", .params_type = "gated_mlp_params",   \
    .param_bytes = sizeof(struct gated_mlp_params), .constraint = gemm_constraint,                 \
    .default_config = gemm_default_config, .predict = gemm_predict, .geometry = gemm_geometry,     \
    .pack = gated_mlp_pack, .tensor_maps = gated_mlp_tensor_maps, .workspace = gemm_workspace,     \
    .cost = gated_mlp_cost, .values = gated_mlp_values, .tolerance = tolerance,                    \
    .reference = gated_mlp_reference

#define PAIR_CONSTANTS                                                                             \
    {"PAIRED", 1}, {"ACTIVATION", GEMM_NONE}, {"HAS_BIAS", 0},                                     \
    {                                                                                              \
        "HAS_RESIDUAL", 0                                                                          \
    }

int gated_mlp_activates(const struct tfops_problem *problem)
{
    const bool fp8 = gemm_scaling(problem) != GEMM_UNSCALED;
    return problem->options[fp8 ? FP8_GATED_MLP_ACTIVATES : GATED_MLP_ACTIVATES];
}

/* ---- gated_mlp ------------------------------------------------------------------------------- */

enum { HALF_ONE = GEMM_K + 1, HALF_SCALE_DTYPE = GEMM_OUT_DTYPE + 1 };

static const struct tfops_dim_spec HALF_DIMS[] = {PRODUCT_DIMS, [HALF_ONE] = ONE_DIM};

static const struct tfops_dtype_spec HALF_DTYPES[] = {
    [GEMM_DTYPE] = {"dtype", HALVES, "of x, gate and up"},
    [GEMM_OUT_DTYPE] = OUT_DTYPE_ROW,
    [HALF_SCALE_DTYPE] = {"scale_dtype", 1u << TFOPS_F32, "of out_scale"},
};

static const struct tfops_option_spec HALF_OPTIONS[] = {ACT_OPTION,
    [GATED_MLP_ACTIVATES] = ACTIVATES_OPTION, [GATED_MLP_WORKSPACE] = GEMM_WORKSPACE_OPTION};

static const struct tfops_operand_spec HALF_OPERANDS[] = {
    PRODUCT_OPERANDS(GEMM_DTYPE, HALF_ONE, HALF_SCALE_DTYPE)};

static const struct tfops_constant_spec HALF_CONSTANTS[] = {
    PAIR_CONSTANTS, {"SCALING", GEMM_UNSCALED}, {"FAST_ACCUM", 0}};

static const struct gemm_kind HALF_KIND = {
    .paired = true, .workspace = GATED_MLP_WORKSPACE, .given = 1};

static int64_t derive_one(void *user, const struct tfops_problem *problem, size_t dim)
{
    (void)user, (void)problem, (void)dim;
    return 1;
}

const struct tfops_spec gated_mlp_spec = {
    .size = sizeof(struct tfops_spec),
    .abi = TFOPS_SPEC_ABI,
    .version = 3,
    .name = "gated_mlp",
    .summary = "two matrix products joined by a gated activation",
    .formula = "out = act(x · gateᵀ) · (x · upᵀ) / out_scale (Shazeer 2020)",
    .user = (void *)(uintptr_t)&HALF_KIND,
    SPEC_TABLE(dims, HALF_DIMS),
    SPEC_TABLE(dtypes, HALF_DTYPES),
    SPEC_TABLE(options, HALF_OPTIONS),
    SPEC_TABLE(operands, HALF_OPERANDS),
    SPEC_TABLE(constants, HALF_CONSTANTS),
    .derive = derive_one,
    CALLBACKS,
};

/* ---- fp8_gated_mlp --------------------------------------------------------------------------- */

enum { FP8_X_SCALES = GEMM_K + 1, FP8_WEIGHT_SCALES, FP8_ONE };

static const struct tfops_dim_spec FP8_DIMS[] = {PRODUCT_DIMS,
    [FP8_X_SCALES] = {"x_scales", TFOPS_DIM_DERIVED, 0, INT32_MAX, "1, or m with scaling=row"},
    [FP8_WEIGHT_SCALES] = {"weight_scales", TFOPS_DIM_DERIVED, 1, 1 << 22,
        "1, or n with scaling=row"},
    [FP8_ONE] = ONE_DIM};

static const struct tfops_dtype_spec FP8_DTYPES[] = {
    [GEMM_DTYPE] = {"dtype", SPEC_FP8, "of x"},
    [GEMM_OUT_DTYPE] = OUT_DTYPE_ROW,
    [GEMM_WEIGHT_DTYPE] = {"weight_dtype", SPEC_FP8, "of gate and up"},
    [GEMM_SCALE_DTYPE] = {"scale_dtype", 1u << TFOPS_F32, "of the scales"},
};

static const char *const FAST_ACCUM[] = {"no", "yes"};
static const char *const SCALINGS[] = {[GEMM_PER_TENSOR] = "tensor", [GEMM_PER_ROW] = "row"};

static const struct tfops_option_spec FP8_OPTIONS[] = {
    ACT_OPTION,
    [GEMM_FAST_ACCUM] = {"fast_accum", FAST_ACCUM, 2,
        "yes: sums may stay in the tensor core, which keeps about 14 bits"},
    [GEMM_SCALING] = {"scaling", SCALINGS, 2,
        "what shares a scale: a tensor; a row of x, gate or up"},
    [FP8_GATED_MLP_ACTIVATES] = ACTIVATES_OPTION,
    [FP8_GATED_MLP_WORKSPACE] = GEMM_WORKSPACE_OPTION,
};

#define SCALE_OPERAND(name, dim, of)                                                               \
    {                                                                                              \
        name, TFOPS_IN, TFOPS_OPERAND_ROWS | TFOPS_OPERAND_ELEMENTS, GEMM_SCALE_DTYPE, 2,          \
            {dim, FP8_ONE}, 0, "what " of " is multiplied by"                                      \
    }

static const struct tfops_operand_spec FP8_OPERANDS[] = {
    PRODUCT_OPERANDS(GEMM_WEIGHT_DTYPE, FP8_ONE, GEMM_SCALE_DTYPE),
    [GATED_MLP_X_SCALE] = SCALE_OPERAND("x_scale", FP8_X_SCALES, "x"),
    [GATED_MLP_GATE_SCALE] = SCALE_OPERAND("gate_scale", FP8_WEIGHT_SCALES, "gate"),
    [GATED_MLP_UP_SCALE] = SCALE_OPERAND("up_scale", FP8_WEIGHT_SCALES, "up"),
};

static const struct tfops_constant_spec FP8_CONSTANTS[] = {PAIR_CONSTANTS};

static const struct gemm_kind FP8_KIND = {
    .paired = true, .scaled = true, .workspace = FP8_GATED_MLP_WORKSPACE, .given = 1};

static int64_t derive_scales(void *user, const struct tfops_problem *problem, size_t dim)
{
    (void)user;
    if (dim == FP8_ONE || problem->options[GEMM_SCALING] == GEMM_PER_TENSOR)
        return 1;
    return problem->dims[dim == FP8_X_SCALES ? GEMM_M : GEMM_N];
}

const struct tfops_spec fp8_gated_mlp_spec = {
    .size = sizeof(struct tfops_spec),
    .abi = TFOPS_SPEC_ABI,
    .version = 3,
    .name = "fp8_gated_mlp",
    .summary = "two products of fp8 matrices joined by a gated activation",
    .formula = "out = act(x · gateᵀ · scales) · (x · upᵀ · scales) / out_scale",
    .user = (void *)(uintptr_t)&FP8_KIND,
    SPEC_TABLE(dims, FP8_DIMS),
    SPEC_TABLE(dtypes, FP8_DTYPES),
    SPEC_TABLE(options, FP8_OPTIONS),
    SPEC_TABLE(operands, FP8_OPERANDS),
    SPEC_TABLE(constants, FP8_CONSTANTS),
    .derive = derive_scales,
    CALLBACKS,
};
