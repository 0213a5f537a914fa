/* What the spec of softmax gives its kernels beside shapes and addresses. */
#include "kernels/softmax/softmax_params.h"
#include "kernels/softmax/softmax_specs.h"
#include <criterion/criterion.h>

#include "tests/support/spec_checks.h"

static const float LOG2E = 1.44269504f;

static struct softmax_params pack(double scale, bool causal, bool masked)
{
    const struct tfops_problem problem = {.spec = &softmax_spec,
        .align = 16,
        .dims = {[SOFTMAX_ROWS] = 4, [SOFTMAX_WIDTH] = 64, [SOFTMAX_MASK_ROWS] = masked},
        .dtypes = {TFOPS_F16, TFOPS_F16, TFOPS_F16},
        .options = {[SOFTMAX_CAUSAL] = causal},
        .present = 1u << SOFTMAX_X | 1u << SOFTMAX_OUT | (masked ? 1u << SOFTMAX_MASK : 0)};
    const struct tfops_view operands[TFOPS_MAX_OPERANDS] = {{0}};
    const double scalars[TFOPS_MAX_SCALARS] = {[SOFTMAX_SCALE] = scale};
    const struct tfops_launch_args launch = {
        .problem = &problem, .operands = operands, .scalars = scalars};
    struct softmax_params params;
    spec_pack_twice(&launch, &params, sizeof params);
    return params;
}

Test(softmax_spec, pack_splits_the_factor_into_a_signed_quarter_and_its_steepness)
{
    const struct softmax_params up = pack(2, false, false), down = pack(-0.5, false, false);
    cr_assert_eq(up.quarter, 0.25f);
    cr_assert_eq(up.steep, 8 * LOG2E);
    cr_assert_eq(down.quarter, -0.25f);
    cr_assert_eq(down.steep, 2 * LOG2E);
}

/* Under a mask the logits are scaled before the mask is added. */
Test(softmax_spec, pack_leaves_the_scale_out_of_the_factor_when_masked)
{
    const struct softmax_params params = pack(-3, false, true);
    cr_assert_eq(params.scale, -3.0f);
    cr_assert_eq(params.quarter, 0.25f);
    cr_assert_eq(params.steep, 4 * LOG2E);
}

/* 0 times a hidden column's infinity would be NaN. */
Test(softmax_spec, pack_keeps_a_factor_above_0_when_causal)
{
    cr_assert_eq(pack(0, false, false).steep, 0.0f);
    cr_assert_gt(pack(0, true, false).steep, 0.0f);
}
