/*
 * RMSNorm and add + RMSNorm in plain C: what the templates are judged by, and the cpu device.
 * Sums and arithmetic in fp64; rounding only where the operator's definition rounds.
 */
#include "norm_ref.h"
#include "norm_specs.h"
#include <math.h>

/* One row as the formula sees it: element(i) is x, or x + residual. */
struct row {
    const struct tfops_view *x, *residual; /* residual NULL: rmsnorm */
    enum tfops_dtype dtype;
    bool round_sum;
    int64_t index;
};

static double element(const struct row *row, int64_t i)
{
    double value = half_load(row->x->data, row->dtype, row->index * row->x->strides[0] + i);
    if (!row->residual)
        return value;
    value += half_load(row->residual->data, row->dtype, row->index * row->residual->strides[0] + i);
    return row->round_sum ? half_round(row->dtype, value) : value;
}

static void norm_row(const struct tfops_launch_args *launch, const struct row *row,
    const struct tfops_view *weight, const struct tfops_view *out, const struct tfops_view *sum)
{
    const struct tfops_problem *problem = launch->problem;
    int64_t hidden = problem->dims[NORM_HIDDEN];
    enum tfops_dtype weight_dtype = (enum tfops_dtype)problem->dtypes[NORM_WEIGHT_DTYPE];
    double squares = 0;
    for (int64_t i = 0; i < hidden; i++)
        squares += element(row, i) * element(row, i);
    double scale = 1 / sqrt(squares / (double)hidden + launch->scalars[NORM_EPS]);
    for (int64_t i = 0; i < hidden; i++) {
        double value = element(row, i); /* read before out or sum, which may be its memory */
        double y = norm_weighted(row->dtype, problem->options[NORM_WEIGHT_VARIANT], value * scale,
            half_load(weight->data, weight_dtype, i));
        if (sum)
            half_store(sum->data, row->dtype, row->index * sum->strides[0] + i, value);
        half_store(out->data, row->dtype, row->index * out->strides[0] + i, y);
    }
}

enum tfops_status rmsnorm_reference(void *user, const struct tfops_launch_args *launch)
{
    (void)user;
    const struct tfops_view *operands = launch->operands;
    struct row row = {
        .x = &operands[RMSNORM_X], .dtype = (enum tfops_dtype)launch->problem->dtypes[NORM_DTYPE]};
    for (row.index = 0; row.index < launch->problem->dims[NORM_ROWS]; row.index++)
        norm_row(launch, &row, &operands[RMSNORM_WEIGHT], &operands[RMSNORM_OUT], NULL);
    return TFOPS_OK;
}

enum tfops_status add_rmsnorm_reference(void *user, const struct tfops_launch_args *launch)
{
    (void)user;
    const struct tfops_view *operands = launch->operands;
    const struct tfops_view *sum = operands[ADD_RMSNORM_RESIDUAL_OUT].data
                                       ? &operands[ADD_RMSNORM_RESIDUAL_OUT]
                                       : &operands[ADD_RMSNORM_RESIDUAL];
    struct row row = {.x = &operands[ADD_RMSNORM_X],
        .residual = &operands[ADD_RMSNORM_RESIDUAL],
        .dtype = (enum tfops_dtype)launch->problem->dtypes[NORM_DTYPE],
        .round_sum = launch->problem->options[ADD_RMSNORM_RESIDUAL_ROUND] != 0};
    for (row.index = 0; row.index < launch->problem->dims[NORM_ROWS]; row.index++)
        norm_row(launch, &row, &operands[ADD_RMSNORM_WEIGHT], &operands[ADD_RMSNORM_OUT], sum);
    return TFOPS_OK;
}
