/* Typed calls of the matrix operators (see tfops/ops.h). */
#include "base/error.h"
#include "kernels/gemm/gemm_params.h"
#include "kernels/gemm/gemm_specs.h"
#include "typed.h"

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

enum tfops_status tfops_linear(
    struct tfops_engine *engine, const struct tfops_gemm_args *from, struct CUstream_st *stream)
{
    enum tfops_status status = typed_check(from, sizeof *from);
    if (!status)
        status = typed_check_flags(from->flags, TFOPS_BATCH_INVARIANT);
    if (status)
        return status;
    if (from->x_scale || from->weight_scale)
        return error_set(TFOPS_E_ARGUMENT, "request", from->x_scale ? "x_scale" : "weight_scale",
            "NULL, as nothing of linear is quantised", "a tensor");
    if (from->scaling)
        return error_set(TFOPS_E_ARGUMENT, "request", "args.scaling", "0", "scales");
    const struct tfops_args args = gemm_args(from);
    return tfops_launch(engine, &linear_spec, &args, stream);
}

enum tfops_status tfops_fp8_gemm(
    struct tfops_engine *engine, const struct tfops_gemm_args *from, struct CUstream_st *stream)
{
    enum tfops_status status = typed_check(from, sizeof *from);
    if (!status)
        status = typed_check_flags(from->flags, TFOPS_BATCH_INVARIANT | TFOPS_FAST_ACCUM);
    if (status)
        return status;
    struct tfops_tensor x_column, weight_column;
    struct tfops_args args = gemm_args(from);
    status = typed_scaling(from->scaling, TFOPS_SCALES_PER_TENSOR, TFOPS_SCALES_PER_GROUP,
        &args.options[GEMM_SCALING], &args.options[GEMM_SCALE_MAJOR]);
    if (status)
        return status;
    args.operands[GEMM_X_SCALE] = typed_column(from->x_scale, &x_column);
    args.operands[GEMM_WEIGHT_SCALE] = typed_column(from->weight_scale, &weight_column);
    args.options[GEMM_FAST_ACCUM] = (from->flags & TFOPS_FAST_ACCUM) != 0;
    return tfops_launch(engine, &fp8_gemm_spec, &args, stream);
}
