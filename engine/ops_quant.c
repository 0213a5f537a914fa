/* Typed calls of quantize and dequantize (see tfops/ops.h). */
#include "kernels/quant/quant_specs.h"
#include "typed.h"

/* per_tensor_static is a granularity of its own, before all others. */
static void choose_granularity(
    const struct tfops_quantize_args *from, uint8_t granularity, struct tfops_args *args)
{
    const bool given = from->static_scale && granularity == TFOPS_SCALES_PER_TENSOR;
    args->options[QUANT_GRANULARITY] = given ? 0 : (uint8_t)(granularity + 1);
    args->options[QUANTIZE_OVERFLOW] = (from->flags & TFOPS_QUANTIZE_RESCALE) != 0;
}

enum tfops_status typed_quantize(const struct tfops_quantize_args *from,
    struct tfops_tensor *ret_column, struct tfops_args *ret_args)
{
    uint8_t granularity;
    struct tfops_args args = {.size = sizeof args, .n_scalars = 1};
    enum tfops_status status = typed_check(from, sizeof *from);
    if (!status)
        status = typed_check_flags(from->flags, TFOPS_BATCH_INVARIANT | TFOPS_QUANTIZE_RESCALE);
    if (!status)
        status = typed_scaling(from->scaling, TFOPS_SCALES_PER_TENSOR, TFOPS_SCALES_PER_BLOCK,
            &granularity, &args.options[QUANT_SCALE_MAJOR]);
    if (status)
        return status;
    choose_granularity(from, granularity, &args);
    args.flags = from->flags & TFOPS_BATCH_INVARIANT;
    args.operands[QUANTIZE_X] = from->x;
    args.operands[QUANTIZE_STATIC_SCALE] = from->static_scale;
    args.operands[QUANTIZE_OUT] = from->out;
    args.operands[QUANTIZE_SCALES] = typed_scales(from->scales, from->scaling, ret_column);
    args.operands[QUANTIZE_SATURATED] = from->saturated;
    args.operands[QUANTIZE_RETRIES] = from->retries;
    args.scalars[QUANTIZE_MAX_RETRIES] = from->max_retries;
    args.workspace = from->workspace;
    args.workspace_bytes = from->workspace_bytes;
    *ret_args = args;
    return TFOPS_OK;
}

enum tfops_status tfops_quantize(
    struct tfops_engine *engine, const struct tfops_quantize_args *from, struct CUstream_st *stream)
{
    struct tfops_tensor column;
    struct tfops_args args;
    enum tfops_status status = typed_quantize(from, &column, &args);
    if (!status && from->scaling == TFOPS_SCALES_PER_TENSOR)
        status = typed_check_scale(engine, "static_scale", from->static_scale);
    return status ? status : tfops_launch(engine, &quantize_spec, &args, stream);
}

enum tfops_status tfops_dequantize(struct tfops_engine *engine, const struct tfops_tensor *x,
    const struct tfops_tensor *scales, const struct tfops_tensor *out, unsigned scaling,
    struct CUstream_st *stream)
{
    struct tfops_tensor column;
    struct tfops_args args = {.size = sizeof args};
    enum tfops_status status = typed_scaling(scaling, TFOPS_SCALES_PER_TENSOR,
        TFOPS_SCALES_PER_BLOCK, &args.options[QUANT_GRANULARITY], &args.options[QUANT_SCALE_MAJOR]);
    if (status)
        return status;
    args.operands[DEQUANTIZE_X] = x;
    args.operands[DEQUANTIZE_SCALES] = typed_scales(scales, scaling, &column);
    args.operands[DEQUANTIZE_OUT] = out;
    return tfops_launch(engine, &dequantize_spec, &args, stream);
}
