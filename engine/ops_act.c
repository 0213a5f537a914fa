/* Typed calls of gated_act and softmax (see tfops/ops.h). */
#include "base/error.h"
#include "kernels/activation/activation_specs.h"
#include "kernels/softmax/softmax_specs.h"
#include "refuse.h"
#include "typed.h"
#include <stdio.h>

/* ---- gated_act ------------------------------------------------------------------------------ */

enum tfops_status tfops_gated_act(struct tfops_engine *engine, const struct tfops_tensor *gate,
    const struct tfops_tensor *up, const struct tfops_tensor *out,
    const struct tfops_tensor *scales, enum tfops_gate act, unsigned scaling,
    struct CUstream_st *stream)
{
    struct tfops_tensor halves[2], column;
    struct tfops_args args = {.size = sizeof args};
    enum tfops_status status = TFOPS_OK;
    args.operands[GATED_ACT_GATE] = gate;
    args.operands[GATED_ACT_UP] = up;
    args.operands[GATED_ACT_OUT] = out;
    args.operands[GATED_ACT_SCALES] = typed_scales(scales, scaling, &column);
    args.options[GATED_ACT_ACT] = typed_option(act);
    if (scales)
        status = typed_scaling(scaling, TFOPS_SCALES_PER_TOKEN, TFOPS_SCALES_PER_GROUP,
            &args.options[GATED_ACT_GRANULARITY], &args.options[GATED_ACT_SCALE_MAJOR]);
    if (!status && gate && !up) {
        status = typed_split(gate, gate->rank - 1, "gate", &halves[0], &halves[1]);
        args.operands[GATED_ACT_GATE] = &halves[0];
        args.operands[GATED_ACT_UP] = &halves[1];
    }
    return status ? status : tfops_launch(engine, &gated_act_spec, &args, stream);
}

/* ---- softmax -------------------------------------------------------------------------------- */

/*
 * Rows collapse, so a mask that repeats within them, not after all of them, would be taken for
 * another one: its extents must be the last of x.
 */
static enum tfops_status check_mask(const struct tfops_tensor *mask, const struct tfops_tensor *x)
{
    char expected[160], actual[160];
    int skip = 0;
    if (mask->rank < 1 || mask->rank > TFOPS_MAX_RANK || x->rank < 1 || x->rank > TFOPS_MAX_RANK)
        return TFOPS_OK; /* the request stage says so */
    while (skip < mask->rank - 1 && mask->shape[skip] == 1)
        skip++;
    bool same = mask->rank - skip <= x->rank;
    for (int i = mask->rank - 1, k = x->rank - 1; same && i >= skip; i--, k--)
        same = mask->shape[i] == x->shape[k];
    if (same)
        return TFOPS_OK;
    size_t length = (size_t)snprintf(expected, sizeof expected, "the last extents of x, ");
    refuse_print_shape(x, expected + length, sizeof expected - length);
    refuse_print_shape(mask, actual, sizeof actual);
    return error_set(TFOPS_E_SHAPE, "request", "mask", expected, actual);
}

enum tfops_status tfops_softmax(struct tfops_engine *engine, const struct tfops_tensor *x,
    const struct tfops_tensor *mask, const struct tfops_tensor *out, double scale, bool causal,
    struct CUstream_st *stream)
{
    struct tfops_args args = {.size = sizeof args, .n_scalars = 2};
    args.operands[SOFTMAX_X] = x;
    args.operands[SOFTMAX_MASK] = mask;
    args.operands[SOFTMAX_OUT] = out;
    args.options[SOFTMAX_CAUSAL] = causal;
    args.scalars[SOFTMAX_SCALE] = scale;
    if (causal && x && x->rank >= 1 && x->rank <= TFOPS_MAX_RANK)
        args.scalars[SOFTMAX_QUERIES] = x->rank > 1 ? (double)x->shape[x->rank - 2] : 1;
    const enum tfops_status status = mask && x ? check_mask(mask, x) : TFOPS_OK;
    return status ? status : tfops_launch(engine, &softmax_spec, &args, stream);
}
