/*
 * What the tables of the matrix operators share: rows for dimensions, options and operands, and the
 * callbacks of the one template.
 */
#ifndef TFOPS_KERNELS_GEMM_SPEC_TABLES_H
#define TFOPS_KERNELS_GEMM_SPEC_TABLES_H

#include "gemm_config.h"
#include "gemm_launch.h"
#include "gemm_params.h"
#include "gemm_specs.h"
#include "kernels/spec_tables.h"

/* clang-format off */
#define GEMM_PRODUCT_DIMS                                                                          \
    [GEMM_M] = {"m", TFOPS_DIM_DYNAMIC, 0, INT32_MAX / 256, "rows of x and out, e.g. tokens"},     \
    [GEMM_N] = {"n", 0, 1, 1 << 22, "rows of weight, columns of out"},                             \
    [GEMM_K] = {"k", 0, 1, 1 << 22, "columns of x and weight"}

#define GEMM_ACTIVATION_OPTION                                                                     \
    [GEMM_ACTIVATION] = {"activation",                                                             \
        (const char *const[]){"none", "relu", "silu", "gelu", "gelu_tanh"}, 5,                     \
        "of the biased product"}

#define GEMM_WEIGHTS_OPTION                                                                        \
    {"weights", (const char *const[]){"any", "constant"}, 2,                                       \
        "constant: the host has waited for what wrote them; read before earlier kernels end"}

#define GEMM_WORKSPACE_OPTION                                                                      \
    {"workspace", (const char *const[]){"no", "yes"}, 2,                                           \
        "yes: the caller has as much as the plan says, zero before the first launch"}

#define GEMM_X_OPERAND(help)                                                                       \
    [GEMM_X] = {"x", TFOPS_IN, TFOPS_OPERAND_ROWS, GEMM_DTYPE, 2, {GEMM_M, GEMM_K}, 0, help}

#define GEMM_WEIGHT_OPERAND(dtype, help)                                                           \
    [GEMM_WEIGHT] = {"weight", TFOPS_IN, 0, dtype, 2, {GEMM_N, GEMM_K}, 0, help}

/* What follows the product, all of out's dtype. */
#define GEMM_OUTPUT_OPERANDS                                                                       \
    [GEMM_BIAS] = {"bias", TFOPS_IN, TFOPS_OPERAND_OPTIONAL | TFOPS_OPERAND_ELEMENTS,              \
        GEMM_OUT_DTYPE, 1, {GEMM_N}, 0, "added before the activation"},                            \
    [GEMM_RESIDUAL] = {"residual", TFOPS_IN, TFOPS_OPERAND_ROWS | TFOPS_OPERAND_OPTIONAL,          \
        GEMM_OUT_DTYPE, 2, {GEMM_M, GEMM_N}, 1u << GEMM_OUT, "added after it"},                    \
    [GEMM_OUT] = {"out", TFOPS_OUT, TFOPS_OPERAND_ROWS, GEMM_OUT_DTYPE, 2, {GEMM_M, GEMM_N},       \
        1u << GEMM_RESIDUAL, "output rows; may be residual"}

/* The fields of a spec that say: gemm/gemm.cu. */
#define GEMM_TEMPLATE                                                                              \
    .tunables = gemm_tunables,                                                                     \
    .n_tunables = GEMM_TUNABLES,                                                                   \
    .template_path = "gemm/gemm.cu",                                                               \
    .body = "gemm",                                                                                \
    .generic_body = "gemm_generic",                                                                \
    .params_type = "gemm_params",                                                                  \
    .param_bytes = sizeof(struct gemm_params),                                                     \
    .constraint = gemm_constraint,                                                                 \
    .default_config = gemm_default_config,                                                         \
    .predict = gemm_predict,                                                                       \
    .geometry = gemm_geometry,                                                                     \
    .pack = gemm_pack,                                                                             \
    .tensor_maps = gemm_tensor_maps,                                                               \
    .workspace = gemm_workspace,                                                                   \
    .cost = gemm_cost,                                                                             \
    .values = gemm_values,                                                                         \
    .reference = gemm_reference
/* clang-format on */

#endif
