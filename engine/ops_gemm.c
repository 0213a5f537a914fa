/* Typed calls of the matrix operators (see tfops/ops.h). */
#include "base/error.h"
#include "kernels/gemm/gemm_params.h"
#include "kernels/gemm/gemm_specs.h"
#include "kernels/transpose/transpose_specs.h"
#include "typed.h"
#include <inttypes.h>
#include <stdio.h>

static struct tfops_args gemm_args(const struct tfops_gemm_args *from)
{
    struct tfops_args args = {.size = sizeof args,
        .flags = from->flags & TFOPS_BATCH_INVARIANT,
        .workspace = from->workspace,
        .workspace_bytes = from->workspace_bytes};
    args.operands[GEMM_X] = from->x;
    args.operands[GEMM_WEIGHT] = from->weight;
    args.operands[GEMM_BIAS] = from->bias;
    args.operands[GEMM_RESIDUAL] = from->residual;
    args.operands[GEMM_OUT] = from->out;
    args.options[GEMM_ACTIVATION] = typed_option(from->activation);
    return args;
}

/* Of the operators without scales. */
static enum tfops_status check_unscaled(const struct tfops_gemm_args *from)
{
    enum tfops_status status = typed_check(from, sizeof *from);
    if (!status)
        status = typed_check_flags(from->flags, TFOPS_BATCH_INVARIANT | TFOPS_CONSTANT_WEIGHTS);
    if (status)
        return status;
    if (from->x_scale || from->weight_scale)
        return error_set(TFOPS_E_ARGUMENT, "request", from->x_scale ? "x_scale" : "weight_scale",
            "NULL, as nothing of linear is quantised", "a tensor");
    if (from->scaling)
        return error_set(TFOPS_E_ARGUMENT, "request", "args.scaling", "0", "scales");
    return TFOPS_OK;
}

static uint8_t weights_option(uint32_t flags)
{
    return (flags & TFOPS_CONSTANT_WEIGHTS) != 0;
}

enum tfops_status tfops_linear(
    struct tfops_engine *engine, const struct tfops_gemm_args *from, struct CUstream_st *stream)
{
    enum tfops_status status = check_unscaled(from);
    if (status)
        return status;
    struct tfops_args args = gemm_args(from);
    args.options[GEMM_WEIGHTS] = weights_option(from->flags);
    args.options[LINEAR_WORKSPACE] = from->workspace != NULL;
    return tfops_launch(engine, &linear_spec, &args, stream);
}

enum tfops_status tfops_rmsnorm_linear(struct tfops_engine *engine,
    const struct tfops_gemm_args *from, const struct tfops_tensor *norm_weight, double eps,
    struct CUstream_st *stream)
{
    enum tfops_status status = check_unscaled(from);
    if (status)
        return status;
    struct tfops_args args = gemm_args(from);
    args.operands[RMSNORM_LINEAR_NORM_WEIGHT] = norm_weight;
    args.options[GEMM_WEIGHTS] = weights_option(from->flags);
    args.n_scalars = 1;
    args.scalars[RMSNORM_LINEAR_EPS] = eps;
    return tfops_launch(engine, &rmsnorm_linear_spec, &args, stream);
}

enum tfops_status tfops_linear_add_rmsnorm(struct tfops_engine *engine,
    const struct tfops_gemm_args *from, const struct tfops_tensor *norm_weight,
    const struct tfops_tensor *residual_out, double eps, enum tfops_weight_variant variant,
    struct CUstream_st *stream)
{
    enum tfops_status status = check_unscaled(from);
    if (status)
        return status;
    if (from->activation)
        return error_set(TFOPS_E_ARGUMENT, "request", "args.activation", "0", "an activation");
    struct tfops_args args = gemm_args(from);
    args.operands[LINEAR_ADD_RMSNORM_NORM_WEIGHT] = norm_weight;
    args.operands[LINEAR_ADD_RMSNORM_RESIDUAL_OUT] = residual_out;
    args.options[LINEAR_ADD_RMSNORM_WEIGHT_VARIANT] = typed_option(variant);
    args.options[LINEAR_ADD_RMSNORM_WORKSPACE] = !from->workspace;
    args.n_scalars = 1;
    args.scalars[LINEAR_ADD_RMSNORM_EPS] = eps;
    return tfops_launch(engine, &linear_add_rmsnorm_spec, &args, stream);
}

enum tfops_status tfops_rmsnorm_linears(
    struct tfops_engine *engine, const struct tfops_linears_args *from, struct CUstream_st *stream)
{
    enum tfops_status status = typed_check(from, sizeof *from);
    if (!status)
        status = typed_check_flags(from->flags, TFOPS_BATCH_INVARIANT | TFOPS_CONSTANT_WEIGHTS);
    if (status)
        return status;
    struct tfops_args args = {.size = sizeof args,
        .flags = from->flags & TFOPS_BATCH_INVARIANT,
        .workspace = from->workspace,
        .workspace_bytes = from->workspace_bytes,
        .options = {weights_option(from->flags)},
        .n_scalars = 1,
        .scalars = {[RMSNORM_LINEAR_EPS] = from->eps}};
    args.operands[GEMM_X] = from->x;
    args.operands[LINEARS_NORM_WEIGHT] = from->norm_weight;
    for (int i = 0; i < TFOPS_MOST_LINEARS; i++) {
        args.operands[LINEARS_WEIGHT(i)] = from->weights[i];
        args.operands[LINEARS_BIAS(i)] = from->biases[i];
        args.operands[LINEARS_OUT(i)] = from->outs[i];
    }
    return tfops_launch(engine, &rmsnorm_linears_spec, &args, stream);
}

enum tfops_status typed_fp8_gemm(const struct tfops_gemm_args *from,
    struct tfops_tensor ret_columns[2], struct tfops_args *ret_args)
{
    enum tfops_status status = typed_check(from, sizeof *from);
    if (!status)
        status = typed_check_flags(from->flags, TFOPS_BATCH_INVARIANT | TFOPS_FAST_ACCUM);
    if (status)
        return status;
    struct tfops_args args = gemm_args(from);
    status = typed_scaling(from->scaling, TFOPS_SCALES_PER_TENSOR, TFOPS_SCALES_PER_GROUP,
        &args.options[GEMM_SCALING], &args.options[GEMM_SCALE_MAJOR]);
    if (status)
        return status;
    args.operands[GEMM_X_SCALE] = typed_column(from->x_scale, &ret_columns[0]);
    args.operands[GEMM_WEIGHT_SCALE] = typed_column(from->weight_scale, &ret_columns[1]);
    args.options[GEMM_FAST_ACCUM] = (from->flags & TFOPS_FAST_ACCUM) != 0;
    args.options[FP8_GEMM_WORKSPACE] = from->workspace != NULL;
    *ret_args = args;
    return TFOPS_OK;
}

static enum tfops_status check_scales(
    const struct tfops_engine *engine, const struct tfops_gemm_args *from)
{
    enum tfops_status status = typed_check_scale(engine, "x_scale", from->x_scale);
    return status ? status : typed_check_scale(engine, "weight_scale", from->weight_scale);
}

/* A weight of [k, n], or a view of one as [n, k]. */
static bool is_turned(const struct tfops_gemm_args *from)
{
    const struct tfops_tensor *weight = from->weight;
    if (!from->x || !weight || weight->rank != 2)
        return false;
    const int64_t k = typed_last(from->x);
    return weight->shape[1] == k ? weight->strides[1] != 1 && weight->strides[0] == 1
                                 : weight->shape[0] == k;
}

static enum tfops_status refuse_turned(const struct tfops_gemm_args *from)
{
    char expected[128], actual[96];
    const struct tfops_tensor *weight = from->weight;
    snprintf(expected, sizeof expected,
        "[n, k=%" PRId64 "], rows of k contiguous (tfops_weight_new() turns [k, n] once)",
        typed_last(from->x));
    snprintf(actual, sizeof actual, "[%" PRId64 ", %" PRId64 "] of strides %" PRId64 ", %" PRId64,
        weight->shape[0], weight->shape[1], weight->strides[0], weight->strides[1]);
    return error_set(TFOPS_E_SHAPE, "request", "weight", expected, actual);
}

enum tfops_status tfops_fp8_gemm(
    struct tfops_engine *engine, const struct tfops_gemm_args *from, struct CUstream_st *stream)
{
    struct tfops_tensor columns[2];
    struct tfops_args args;
    enum tfops_status status = typed_fp8_gemm(from, columns, &args);
    if (!status && from->scaling == TFOPS_SCALES_PER_TENSOR)
        status = check_scales(engine, from);
    if (!status)
        status = tfops_launch(engine, &fp8_gemm_spec, &args, stream);
    return status == TFOPS_E_SHAPE && is_turned(from) ? refuse_turned(from) : status;
}

enum tfops_status tfops_transpose(struct tfops_engine *engine, const struct tfops_tensor *x,
    const struct tfops_tensor *out, struct CUstream_st *stream)
{
    struct tfops_args args = {.size = sizeof args};
    args.operands[TRANSPOSE_X] = x;
    args.operands[TRANSPOSE_OUT] = out;
    return tfops_launch(engine, &transpose_spec, &args, stream);
}

/* ---- gated_mlp ------------------------------------------------------------------------------ */

static bool is_fp8(const struct tfops_tensor *x)
{
    return x && (x->dtype == TFOPS_E4M3 || x->dtype == TFOPS_E5M2);
}

static enum tfops_status check_mlp(const struct tfops_gated_mlp_args *from)
{
    const uint32_t any = TFOPS_BATCH_INVARIANT | TFOPS_ACTIVATE_UP;
    enum tfops_status status = typed_check(from, sizeof *from);
    if (!status)
        status = typed_check_flags(from->flags, is_fp8(from->x) ? any | TFOPS_FAST_ACCUM : any);
    if (status || is_fp8(from->x))
        return status;
    if (from->x_scale || from->gate_scale || from->up_scale)
        return error_set(TFOPS_E_ARGUMENT, "request",
            from->x_scale      ? "x_scale"
            : from->gate_scale ? "gate_scale"
                               : "up_scale",
            "NULL, as x is no fp8", "a tensor");
    if (from->scaling)
        return error_set(TFOPS_E_ARGUMENT, "request", "args.scaling", "0", "scales");
    return TFOPS_OK;
}

/* Views that the call makes of what it is given. */
struct mlp_views {
    struct tfops_tensor gate, up, gate_scale, up_scale, columns[3];
};

static enum tfops_status add_scales(
    const struct tfops_gated_mlp_args *from, struct mlp_views *views, struct tfops_args *args)
{
    uint8_t major;
    const struct tfops_tensor *gate = from->gate_scale, *up = from->up_scale;
    enum tfops_status status = typed_scaling(from->scaling, TFOPS_SCALES_PER_TENSOR,
        TFOPS_SCALES_PER_TOKEN, &args->options[GEMM_SCALING], &major);
    if (!status && major)
        status = error_set(TFOPS_E_ARGUMENT, "request", "args.scaling",
            "scales that are not transposed", "TFOPS_SCALES_TRANSPOSED");
    if (!status && !from->up && gate && !up) {
        if (from->scaling == TFOPS_SCALES_PER_TENSOR) {
            up = gate;
        } else {
            status = typed_split(gate, 0, "gate_scale", &views->gate_scale, &views->up_scale);
            gate = &views->gate_scale, up = &views->up_scale;
        }
    }
    if (status)
        return status;
    args->options[GEMM_FAST_ACCUM] = (from->flags & TFOPS_FAST_ACCUM) != 0;
    args->operands[GATED_MLP_X_SCALE] = typed_column(from->x_scale, &views->columns[0]);
    args->operands[GATED_MLP_GATE_SCALE] = typed_column(gate, &views->columns[1]);
    args->operands[GATED_MLP_UP_SCALE] = typed_column(up, &views->columns[2]);
    return TFOPS_OK;
}

enum tfops_status tfops_gated_mlp(struct tfops_engine *engine,
    const struct tfops_gated_mlp_args *from, struct CUstream_st *stream)
{
    struct mlp_views views;
    struct tfops_tensor out_scale;
    enum tfops_status status = check_mlp(from);
    if (status)
        return status;
    const bool fp8 = is_fp8(from->x);
    const struct tfops_spec *spec = fp8 ? &fp8_gated_mlp_spec : &gated_mlp_spec;
    struct tfops_args args = {.size = sizeof args,
        .flags = from->flags & TFOPS_BATCH_INVARIANT,
        .workspace = from->workspace,
        .workspace_bytes = from->workspace_bytes};
    args.operands[GATED_MLP_X] = from->x;
    args.operands[GATED_MLP_GATE_WEIGHT] = from->gate;
    args.operands[GATED_MLP_UP_WEIGHT] = from->up;
    args.operands[GATED_MLP_OUT] = from->out;
    args.operands[GATED_MLP_OUT_SCALE] = typed_column(from->out_scale, &out_scale);
    args.options[0] = typed_option(from->act);
    args.options[fp8 ? FP8_GATED_MLP_ACTIVATES : GATED_MLP_ACTIVATES] =
        (from->flags & TFOPS_ACTIVATE_UP) != 0;
    args.options[fp8 ? FP8_GATED_MLP_WORKSPACE : GATED_MLP_WORKSPACE] = from->workspace != NULL;
    if (from->gate && !from->up) {
        status = typed_split(from->gate, 0, "gate", &views.gate, &views.up);
        args.operands[GATED_MLP_GATE_WEIGHT] = &views.gate;
        args.operands[GATED_MLP_UP_WEIGHT] = &views.up;
    }
    if (!status && fp8)
        status = add_scales(from, &views, &args);
    return status ? status : tfops_launch(engine, spec, &args, stream);
}
