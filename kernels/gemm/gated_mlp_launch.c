/* Launching the gated products (see gated_mlp_launch.h). */
#include "gated_mlp_launch.h"
#include "gated_mlp_params.h"
#include "gemm_config.h"
#include "gemm_launch.h"
#include "gemm_specs.h"
#include <math.h>
#include <stddef.h>

/* ---- parameters ------------------------------------------------------------------------------ */

/* The scale of a whole tensor has no stride. */
static void pack_scales(const struct tfops_launch_args *launch, struct gated_mlp_params *params)
{
    const struct tfops_view *operands = launch->operands;
    struct gemm_params *gemm = &params->gemm;
    params->out_scale = operands[GATED_MLP_OUT_SCALE].data;
    gemm->x_scale = gemm->weight_scale = params->up_scale = NULL;
    gemm->x_scale_stride = gemm->x_group_stride = gemm->weight_scale_stride = 0;
    params->up_scale_stride = 0;
    if (gemm->scaling == GEMM_UNSCALED)
        return;
    gemm->x_scale = operands[GATED_MLP_X_SCALE].data;
    gemm->weight_scale = operands[GATED_MLP_GATE_SCALE].data;
    params->up_scale = operands[GATED_MLP_UP_SCALE].data;
    if (gemm->scaling == GEMM_PER_TENSOR)
        return;
    gemm->x_scale_stride = operands[GATED_MLP_X_SCALE].strides[0];
    gemm->weight_scale_stride = operands[GATED_MLP_GATE_SCALE].strides[0];
    params->up_scale_stride = operands[GATED_MLP_UP_SCALE].strides[0];
}

static void pack_gemm(const struct tfops_launch_args *launch, struct gemm_params *params)
{
    const struct tfops_problem *problem = launch->problem;
    const struct tfops_view *operands = launch->operands;
    params->x = operands[GATED_MLP_X].data;
    params->weight = operands[GATED_MLP_GATE_WEIGHT].data;
    params->bias = params->residual = NULL;
    params->out = operands[GATED_MLP_OUT].data;
    params->workspace = launch->workspace;
    params->x_stride = operands[GATED_MLP_X].strides[0];
    params->weight_stride = operands[GATED_MLP_GATE_WEIGHT].strides[0];
    params->residual_stride = 0;
    params->out_stride = operands[GATED_MLP_OUT].strides[0];
    params->m = (int)problem->dims[GEMM_M];
    params->n = (int)problem->dims[GEMM_N];
    params->k = (int)problem->dims[GEMM_K];
    params->dtype = problem->dtypes[GEMM_DTYPE];
    params->weight_dtype = (int)gemm_weight_dtype(problem);
    params->out_dtype = problem->dtypes[GEMM_OUT_DTYPE];
    params->activation = GEMM_NONE;
    params->scaling = gemm_scaling(problem);
}

void gated_mlp_pack(void *user, const struct tfops_launch_args *launch, void *ret_params)
{
    (void)user;
    struct gated_mlp_params *params = ret_params;
    const struct tfops_problem *problem = launch->problem;
    pack_gemm(launch, &params->gemm);
    pack_scales(launch, params);
    params->up = launch->operands[GATED_MLP_UP_WEIGHT].data;
    params->up_stride = launch->operands[GATED_MLP_UP_WEIGHT].strides[0];
    params->act = problem->options[0];
    params->activates = gated_mlp_activates(problem);
}

size_t gated_mlp_tensor_maps(
    void *user, const struct tfops_launch_args *launch, struct tfops_tensor_map *ret_maps)
{
    (void)user;
    enum { SLAB_ROWS = 64 };
    const int64_t *v = launch->config->values;
    if (launch->config->generic || v[GEMM_MAINLOOP] != GEMM_WGMMA)
        return 0;
    const struct tfops_problem *problem = launch->problem;
    const struct gemm_layout l = gemm_lay_out(problem, launch->config);
    const enum tfops_dtype weight = gemm_weight_dtype(problem);
    const bool swap = v[GEMM_SWAP];
    const int64_t k = 128 / l.elem;
    const int64_t weight_rows =
        swap ? SLAB_ROWS / v[GEMM_CLUSTER_N] : l.tile_cols / v[GEMM_CLUSTER_M];
    ret_maps[0] = gemm_map(launch, GATED_MLP_X, offsetof(struct gated_mlp_params, gemm.x_map),
        (enum tfops_dtype)problem->dtypes[GEMM_DTYPE], k, gemm_x_box(problem, launch->config));
    ret_maps[1] = gemm_map(launch, GATED_MLP_GATE_WEIGHT,
        offsetof(struct gated_mlp_params, gemm.weight_map), weight, k, weight_rows);
    ret_maps[2] = gemm_map(launch, GATED_MLP_UP_WEIGHT, offsetof(struct gated_mlp_params, up_map),
        weight, k, weight_rows);
    ret_maps[3] = gemm_map(launch, GATED_MLP_OUT, offsetof(struct gated_mlp_params, gemm.out_map),
        (enum tfops_dtype)problem->dtypes[GEMM_OUT_DTYPE], l.box_cols, l.box_rows);
    return 4;
}

/* ---- trials and cost ------------------------------------------------------------------------- */

void gated_mlp_values(void *user, const struct tfops_problem *problem, size_t operand,
    struct tfops_values *ret_values)
{
    (void)user;
    const bool fp8 = gemm_scaling(problem) != GEMM_UNSCALED;
    const float small = 1 / sqrtf((float)problem->dims[GEMM_K]);
    const bool weight = operand == GATED_MLP_GATE_WEIGHT || operand == GATED_MLP_UP_WEIGHT;
    /* Outputs are products of two sums: of large inputs they leave what 16 bits hold. */
    ret_values->special = false;
    if (weight && !fp8) /* small numbers are few in fp8: its scale is small instead */
        ret_values->scale = small;
    if (operand == GATED_MLP_OUT_SCALE)
        *ret_values = (struct tfops_values){0.002f, 0.01f, false};
    if (operand == GATED_MLP_X_SCALE)
        *ret_values = (struct tfops_values){0.25f, 1, false};
    if (operand == GATED_MLP_GATE_SCALE || operand == GATED_MLP_UP_SCALE)
        *ret_values = (struct tfops_values){small / 4, small, false};
}

void gated_mlp_cost(void *user, const struct tfops_problem *problem, struct tfops_cost *ret_cost)
{
    (void)user;
    const uint64_t m = (uint64_t)problem->dims[GEMM_M], n = (uint64_t)problem->dims[GEMM_N];
    const uint64_t k = (uint64_t)problem->dims[GEMM_K];
    const uint64_t elem = tfops_dtype_bytes((enum tfops_dtype)problem->dtypes[GEMM_DTYPE]);
    const uint64_t out = tfops_dtype_bytes((enum tfops_dtype)problem->dtypes[GEMM_OUT_DTYPE]);
    *ret_cost = (struct tfops_cost){
        .bytes_read = (m + 2 * n) * k * elem, .bytes_written = m * n * out, .flops = 4 * m * n * k};
}
