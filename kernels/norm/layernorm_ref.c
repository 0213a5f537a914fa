/*
 * LayerNorm and add + LayerNorm in plain C: what the templates are judged by, and the cpu device.
 * Sums in fp64, the variance from a second pass; rounding only where the definition rounds.
 */
#include "kernels/ref_rows.h"
#include "norm_specs.h"
#include <math.h>

struct layernorm {
    struct ref_rows x, residual, weight, bias, out, sum; /* data NULL: absent */
    int64_t hidden;
    double eps;
    bool one_plus, round_sum;
};

static double element(const struct layernorm *norm, int64_t row, int64_t i)
{
    double value = ref_get(&norm->x, row, i);
    if (!norm->residual.view.data)
        return value;
    value += ref_get(&norm->residual, row, i);
    return norm->round_sum ? half_round(norm->x.dtype, value) : value;
}

static double affine(const struct layernorm *norm, int64_t i, double normed)
{
    double weight = ref_get(&norm->weight, 0, i) + norm->one_plus;
    return normed * weight + (norm->bias.view.data ? ref_get(&norm->bias, 0, i) : 0);
}

static void norm_row(const struct layernorm *norm, int64_t row)
{
    double sum = 0, squares = 0;
    for (int64_t i = 0; i < norm->hidden; i++)
        sum += element(norm, row, i);
    const double mean = sum / (double)norm->hidden;
    for (int64_t i = 0; i < norm->hidden; i++) {
        const double deviation = element(norm, row, i) - mean;
        squares += deviation * deviation;
    }
    const double scale = 1 / sqrt(squares / (double)norm->hidden + norm->eps);
    for (int64_t i = 0; i < norm->hidden; i++) {
        const double value = element(norm, row, i); /* before out or sum, maybe its memory */
        if (norm->sum.view.data)
            ref_put(&norm->sum, row, i, value);
        ref_put(&norm->out, row, i, affine(norm, i, (value - mean) * scale));
    }
}

static enum tfops_status norm_rows(
    const struct tfops_launch_args *launch, const struct layernorm *norm)
{
    for (int64_t row = 0; row < launch->problem->dims[NORM_ROWS]; row++)
        norm_row(norm, row);
    return TFOPS_OK;
}

enum tfops_status layernorm_reference(void *user, const struct tfops_launch_args *launch)
{
    (void)user;
    const struct layernorm norm = {.x = ref_rows(launch, LAYERNORM_X),
        .weight = ref_rows(launch, LAYERNORM_WEIGHT),
        .bias = ref_rows(launch, LAYERNORM_BIAS),
        .out = ref_rows(launch, LAYERNORM_OUT),
        .hidden = launch->problem->dims[NORM_HIDDEN],
        .eps = launch->scalars[NORM_EPS],
        .one_plus = launch->problem->options[NORM_WEIGHT_VARIANT] != 0};
    return norm_rows(launch, &norm);
}

enum tfops_status add_layernorm_reference(void *user, const struct tfops_launch_args *launch)
{
    (void)user;
    const bool in_place = !launch->operands[ADD_LAYERNORM_RESIDUAL_OUT].data;
    const struct layernorm norm = {.x = ref_rows(launch, ADD_LAYERNORM_X),
        .residual = ref_rows(launch, ADD_LAYERNORM_RESIDUAL),
        .weight = ref_rows(launch, ADD_LAYERNORM_WEIGHT),
        .bias = ref_rows(launch, ADD_LAYERNORM_BIAS),
        .out = ref_rows(launch, ADD_LAYERNORM_OUT),
        .sum = ref_rows(launch, in_place ? ADD_LAYERNORM_RESIDUAL : ADD_LAYERNORM_RESIDUAL_OUT),
        .hidden = launch->problem->dims[NORM_HIDDEN],
        .eps = launch->scalars[NORM_EPS],
        .one_plus = launch->problem->options[NORM_WEIGHT_VARIANT] != 0,
        .round_sum = launch->problem->options[ADD_RMSNORM_RESIDUAL_ROUND] != 0};
    return norm_rows(launch, &norm);
}
