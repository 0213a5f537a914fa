/* Typed calls of the built-in operators (see tfops/ops.h): arguments in the spec's order, then
 * tfops_launch(). */
#include "engine_state.h"
#include "kernels/norm/norm_specs.h"
#include <tfops/ops.h>

/* An option of args is a byte: what does not fit becomes one that no operator has. */
static uint8_t option_of(enum tfops_weight_variant variant)
{
    return (unsigned)variant < UINT8_MAX ? (uint8_t)variant : UINT8_MAX;
}

enum tfops_status tfops_rmsnorm(struct tfops_engine *engine, const struct tfops_tensor *x,
    const struct tfops_tensor *weight, const struct tfops_tensor *out, double eps,
    enum tfops_weight_variant variant, struct CUstream_st *stream)
{
    struct tfops_args args = {.size = sizeof args, .n_scalars = 1};
    args.operands[RMSNORM_X] = x;
    args.operands[RMSNORM_WEIGHT] = weight;
    args.operands[RMSNORM_OUT] = out;
    args.scalars[NORM_EPS] = eps;
    args.options[NORM_WEIGHT_VARIANT] = option_of(variant);
    return tfops_launch(engine, &rmsnorm_spec, &args, stream);
}

enum tfops_status tfops_add_rmsnorm(struct tfops_engine *engine, const struct tfops_tensor *x,
    const struct tfops_tensor *residual, const struct tfops_tensor *weight,
    const struct tfops_tensor *out, const struct tfops_tensor *residual_out, double eps,
    enum tfops_weight_variant variant, struct CUstream_st *stream)
{
    struct tfops_args args = {.size = sizeof args, .n_scalars = 1};
    args.operands[ADD_RMSNORM_X] = x;
    args.operands[ADD_RMSNORM_RESIDUAL] = residual;
    args.operands[ADD_RMSNORM_WEIGHT] = weight;
    args.operands[ADD_RMSNORM_OUT] = out;
    args.operands[ADD_RMSNORM_RESIDUAL_OUT] = residual_out;
    args.scalars[NORM_EPS] = eps;
    args.options[NORM_WEIGHT_VARIANT] = option_of(variant);
    return tfops_launch(engine, &add_rmsnorm_spec, &args, stream);
}
