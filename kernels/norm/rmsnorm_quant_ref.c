/*
 * RMSNorm to fp8, with and without residual addition, in plain C: what the templates are judged by.
 * The normalised row is not rounded before it is quantised.
 */
#include "kernels/quant/quant_ref.h"
#include "norm_ref.h"
#include "norm_specs.h"
#include <math.h>

struct rmsnorm_quant {
    struct ref_rows x, residual, weight, sum; /* data NULL: absent */
    struct quant_target target;
    int64_t hidden;
    double eps, scale; /* 1 / rms of the row at work */
    int variant;
    bool round_sum;
};

static double element(const struct rmsnorm_quant *norm, int64_t row, int64_t i)
{
    double value = ref_get(&norm->x, row, i);
    if (!norm->residual.view.data)
        return value;
    value += ref_get(&norm->residual, row, i);
    return norm->round_sum ? half_round(norm->x.dtype, value) : value;
}

static double normed(const void *context, int64_t row, int64_t i)
{
    const struct rmsnorm_quant *norm = context;
    return norm_weighted(norm->x.dtype, norm->variant, element(norm, row, i) * norm->scale,
        ref_get(&norm->weight, 0, i));
}

/* The sum is written last: it may be the residual's memory. */
static void norm_row(struct rmsnorm_quant *norm, int64_t row)
{
    double squares = 0;
    for (int64_t i = 0; i < norm->hidden; i++)
        squares += element(norm, row, i) * element(norm, row, i);
    norm->scale = 1 / sqrt(squares / (double)norm->hidden + norm->eps);
    quant_put_rows(&norm->target, &(struct quant_source){normed, norm}, row, 1);
    for (int64_t i = 0; i < norm->hidden && norm->sum.view.data; i++)
        ref_put(&norm->sum, row, i, element(norm, row, i));
}

static enum tfops_status norm_rows(
    const struct tfops_launch_args *launch, struct rmsnorm_quant *norm, int out, int scales)
{
    const struct tfops_problem *problem = launch->problem;
    const int64_t rows = problem->dims[NORM_ROWS];
    norm->hidden = problem->dims[NORM_HIDDEN];
    norm->eps = launch->scalars[NORM_EPS];
    norm->variant = problem->options[NORM_WEIGHT_VARIANT];
    norm->target =
        (struct quant_target){.layout = quant_row_layout(problem->options[NORM_QUANT_GRANULARITY],
                                  problem->options[NORM_QUANT_SCALE_MAJOR], rows, norm->hidden),
            .out = ref_rows(launch, out),
            .scales = ref_rows(launch, scales)};
    for (int64_t row = 0; row < rows; row++)
        norm_row(norm, row);
    return TFOPS_OK;
}

enum tfops_status rmsnorm_quant_reference(void *user, const struct tfops_launch_args *launch)
{
    (void)user;
    struct rmsnorm_quant norm = {
        .x = ref_rows(launch, RMSNORM_QUANT_X), .weight = ref_rows(launch, RMSNORM_QUANT_WEIGHT)};
    return norm_rows(launch, &norm, RMSNORM_QUANT_OUT, RMSNORM_QUANT_SCALES);
}

enum tfops_status add_rmsnorm_quant_reference(void *user, const struct tfops_launch_args *launch)
{
    (void)user;
    const bool in_place = !launch->operands[ADD_RMSNORM_QUANT_RESIDUAL_OUT].data;
    struct rmsnorm_quant norm = {.x = ref_rows(launch, ADD_RMSNORM_QUANT_X),
        .residual = ref_rows(launch, ADD_RMSNORM_QUANT_RESIDUAL),
        .weight = ref_rows(launch, ADD_RMSNORM_QUANT_WEIGHT),
        .sum = ref_rows(
            launch, in_place ? ADD_RMSNORM_QUANT_RESIDUAL : ADD_RMSNORM_QUANT_RESIDUAL_OUT),
        .round_sum = launch->problem->options[ADD_RMSNORM_QUANT_RESIDUAL_ROUND] != 0};
    return norm_rows(launch, &norm, ADD_RMSNORM_QUANT_OUT, ADD_RMSNORM_QUANT_SCALES);
}
