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
    const struct tfops_args args = gemm_args(from);
    return tfops_launch(engine, &linear_spec, &args, stream);
}

/* More elements than one. */
static bool is_many(const struct tfops_tensor *scale)
{
    for (int i = 0; scale && i < scale->rank && i < TFOPS_MAX_RANK; i++)
        if (scale->shape[i] > 1)
            return true;
    return false;
}

enum tfops_status tfops_fp8_gemm(
    struct tfops_engine *engine, const struct tfops_gemm_args *from, struct CUstream_st *stream)
{
    enum tfops_status status = typed_check(from, sizeof *from);
    if (!status)
        status = typed_check_flags(from->flags, TFOPS_BATCH_INVARIANT | TFOPS_FAST_ACCUM);
    if (status)
        return status;
    struct tfops_args args = gemm_args(from);
    args.operands[GEMM_X_SCALE] = from->x_scale;
    args.operands[GEMM_WEIGHT_SCALE] = from->weight_scale;
    args.options[GEMM_FAST_ACCUM] = (from->flags & TFOPS_FAST_ACCUM) != 0;
    args.options[GEMM_SCALING] =
        is_many(from->x_scale) || is_many(from->weight_scale) ? GEMM_PER_ROW : GEMM_PER_TENSOR;
    return tfops_launch(engine, &fp8_gemm_spec, &args, stream);
}
