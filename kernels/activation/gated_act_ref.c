/*
 * Gated activations in plain C: what the template is judged by, and the cpu device. fp64, one
 * rounding at the end; the forms do not cancel where the activation is small.
 */
#include "activation_specs.h"
#include "kernels/quant/quant_ref.h"
#include <math.h>

struct gated_act {
    struct ref_rows gate, up, out;
    enum gated_act_function act;
};

static double activate(enum gated_act_function act, double x)
{
    switch (act) {
    case GATED_ACT_GELU: /* x · Φ(x) */
        return 0.5 * x * erfc(-x * sqrt(0.5));
    case GATED_ACT_GELU_TANH: /* ½x · (1 + tanh u) = x / (1 + exp(−2u)) */
        return x / (1 + exp(-2 * sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
    default:
        return x / (1 + exp(-x));
    }
}

static double value(const void *context, int64_t row, int64_t col)
{
    const struct gated_act *gated = context;
    return activate(gated->act, ref_get(&gated->gate, row, col)) * ref_get(&gated->up, row, col);
}

enum tfops_status gated_act_reference(void *user, const struct tfops_launch_args *launch)
{
    (void)user;
    const struct tfops_problem *problem = launch->problem;
    const int64_t rows = problem->dims[GATED_ACT_ROWS], ffn = problem->dims[GATED_ACT_FFN];
    const struct gated_act gated = {.gate = ref_rows(launch, GATED_ACT_GATE),
        .up = ref_rows(launch, GATED_ACT_UP),
        .out = ref_rows(launch, GATED_ACT_OUT),
        .act = (enum gated_act_function)problem->options[GATED_ACT_ACT]};
    if (launch->operands[GATED_ACT_SCALES].data) {
        const struct quant_target target = {
            .layout = quant_row_layout(problem->options[GATED_ACT_GRANULARITY],
                problem->options[GATED_ACT_SCALE_MAJOR], rows, ffn),
            .out = gated.out,
            .scales = ref_rows(launch, GATED_ACT_SCALES)};
        quant_put_rows(&target, &(struct quant_source){value, &gated}, 0, rows);
        return TFOPS_OK;
    }
    for (int64_t row = 0; row < rows; row++)
        for (int64_t col = 0; col < ffn; col++)
            ref_put(&gated.out, row, col, value(&gated, row, col));
    return TFOPS_OK;
}
