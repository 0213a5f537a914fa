/* Typed calls of the norms (see tfops/ops.h): arguments in the spec's order, then tfops_launch(). */
#include "kernels/norm/norm_specs.h"
#include "typed.h"

static struct tfops_args norm_args(double eps, enum tfops_weight_variant variant)
{
    struct tfops_args args = {.size = sizeof args, .n_scalars = 1};
    args.scalars[NORM_EPS] = eps;
    args.options[NORM_WEIGHT_VARIANT] = typed_option(variant);
    return args;
}

enum tfops_status tfops_rmsnorm(struct tfops_engine *engine, const struct tfops_tensor *x,
    const struct tfops_tensor *weight, const struct tfops_tensor *out, double eps,
    enum tfops_weight_variant variant, struct CUstream_st *stream)
{
    struct tfops_args args = norm_args(eps, variant);
    args.operands[RMSNORM_X] = x;
    args.operands[RMSNORM_WEIGHT] = weight;
    args.operands[RMSNORM_OUT] = out;
    return tfops_launch(engine, &rmsnorm_spec, &args, stream);
}

enum tfops_status tfops_add_rmsnorm(struct tfops_engine *engine, const struct tfops_tensor *x,
    const struct tfops_tensor *residual, const struct tfops_tensor *weight,
    const struct tfops_tensor *out, const struct tfops_tensor *residual_out, double eps,
    enum tfops_weight_variant variant, struct CUstream_st *stream)
{
    struct tfops_args args = norm_args(eps, variant);
    args.operands[ADD_RMSNORM_X] = x;
    args.operands[ADD_RMSNORM_RESIDUAL] = residual;
    args.operands[ADD_RMSNORM_WEIGHT] = weight;
    args.operands[ADD_RMSNORM_OUT] = out;
    args.operands[ADD_RMSNORM_RESIDUAL_OUT] = residual_out;
    return tfops_launch(engine, &add_rmsnorm_spec, &args, stream);
}

enum tfops_status tfops_layernorm(struct tfops_engine *engine, const struct tfops_tensor *x,
    const struct tfops_tensor *weight, const struct tfops_tensor *bias,
    const struct tfops_tensor *out, double eps, enum tfops_weight_variant variant,
    struct CUstream_st *stream)
{
    struct tfops_args args = norm_args(eps, variant);
    args.operands[LAYERNORM_X] = x;
    args.operands[LAYERNORM_WEIGHT] = weight;
    args.operands[LAYERNORM_BIAS] = bias;
    args.operands[LAYERNORM_OUT] = out;
    return tfops_launch(engine, &layernorm_spec, &args, stream);
}

enum tfops_status tfops_add_layernorm(struct tfops_engine *engine, const struct tfops_tensor *x,
    const struct tfops_tensor *residual, const struct tfops_tensor *weight,
    const struct tfops_tensor *bias, const struct tfops_tensor *out,
    const struct tfops_tensor *residual_out, double eps, enum tfops_weight_variant variant,
    struct CUstream_st *stream)
{
    struct tfops_args args = norm_args(eps, variant);
    args.operands[ADD_LAYERNORM_X] = x;
    args.operands[ADD_LAYERNORM_RESIDUAL] = residual;
    args.operands[ADD_LAYERNORM_WEIGHT] = weight;
    args.operands[ADD_LAYERNORM_BIAS] = bias;
    args.operands[ADD_LAYERNORM_OUT] = out;
    args.operands[ADD_LAYERNORM_RESIDUAL_OUT] = residual_out;
    return tfops_launch(engine, &add_layernorm_spec, &args, stream);
}

/* ---- quantised ------------------------------------------------------------------------------ */

static enum tfops_status norm_scaling(unsigned scaling, struct tfops_args *args)
{
    return typed_scaling(scaling, TFOPS_SCALES_PER_TOKEN, TFOPS_SCALES_PER_GROUP,
        &args->options[NORM_QUANT_GRANULARITY], &args->options[NORM_QUANT_SCALE_MAJOR]);
}

enum tfops_status tfops_rmsnorm_quant(struct tfops_engine *engine, const struct tfops_tensor *x,
    const struct tfops_tensor *weight, const struct tfops_tensor *out,
    const struct tfops_tensor *scales, unsigned scaling, double eps,
    enum tfops_weight_variant variant, struct CUstream_st *stream)
{
    struct tfops_tensor column;
    struct tfops_args args = norm_args(eps, variant);
    enum tfops_status status = norm_scaling(scaling, &args);
    if (status)
        return status;
    args.operands[RMSNORM_QUANT_X] = x;
    args.operands[RMSNORM_QUANT_WEIGHT] = weight;
    args.operands[RMSNORM_QUANT_OUT] = out;
    args.operands[RMSNORM_QUANT_SCALES] = typed_scales(scales, scaling, &column);
    return tfops_launch(engine, &rmsnorm_quant_spec, &args, stream);
}

enum tfops_status tfops_add_rmsnorm_quant(struct tfops_engine *engine, const struct tfops_tensor *x,
    const struct tfops_tensor *residual, const struct tfops_tensor *weight,
    const struct tfops_tensor *out, const struct tfops_tensor *scales,
    const struct tfops_tensor *residual_out, unsigned scaling, double eps,
    enum tfops_weight_variant variant, struct CUstream_st *stream)
{
    struct tfops_tensor column;
    struct tfops_args args = norm_args(eps, variant);
    enum tfops_status status = norm_scaling(scaling, &args);
    if (status)
        return status;
    args.operands[ADD_RMSNORM_QUANT_X] = x;
    args.operands[ADD_RMSNORM_QUANT_RESIDUAL] = residual;
    args.operands[ADD_RMSNORM_QUANT_WEIGHT] = weight;
    args.operands[ADD_RMSNORM_QUANT_OUT] = out;
    args.operands[ADD_RMSNORM_QUANT_SCALES] = typed_scales(scales, scaling, &column);
    args.operands[ADD_RMSNORM_QUANT_RESIDUAL_OUT] = residual_out;
    return tfops_launch(engine, &add_rmsnorm_quant_spec, &args, stream);
}
