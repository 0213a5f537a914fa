/* The specs of the norms, what they share (see norm_family.h). */
#include "norm_family.h"
#include "kernels/quant/quant_spec.h"

static int option_at(const struct tfops_problem *problem, uint8_t at)
{
    return at ? problem->options[at - 1] : 0;
}

static struct quant_layout layout_of(
    const struct norm_family *family, const struct tfops_problem *problem)
{
    return quant_row_layout((uint8_t)option_at(problem, family->granularity),
        (uint8_t)option_at(problem, family->scale_major), problem->dims[NORM_ROWS],
        problem->dims[NORM_HIDDEN]);
}

static bool is_grouped(const struct norm_family *family, const struct tfops_problem *problem)
{
    return layout_of(family, problem).granularity == QUANT_PER_GROUP;
}

static int columns_of(const struct norm_family *family, const struct tfops_problem *problem)
{
    return 1 + (family->bias && spec_has(problem, family->bias - 1));
}

static uint8_t out_dtype(const struct norm_family *family)
{
    return family->out_dtype ? family->out_dtype - 1 : NORM_DTYPE;
}

/* A row that is quantised as a whole is reduced once more. */
void norm_shape(const struct tfops_problem *problem, struct row_shape *ret_shape)
{
    const struct norm_family *family = problem->spec->user;
    const int64_t elem_bytes = (int64_t)spec_elem_bytes(problem, NORM_DTYPE);
    const bool add = family->residual != 0, grouped = is_grouped(family, problem);
    enum { LAYERNORM_REGISTERS = 44 };
    const bool wide = add && !option_at(problem, family->residual_round);
    *ret_shape = (struct row_shape){.rows = problem->dims[NORM_ROWS],
        .width = problem->dims[NORM_HIDDEN],
        .elem_bytes = elem_bytes,
        .held_bytes = wide ? 4 : elem_bytes,
        .column_bytes = (int64_t)spec_elem_bytes(problem, NORM_WEIGHT_DTYPE),
        .out_bytes = (int64_t)spec_elem_bytes(problem, out_dtype(family)),
        .inputs = add ? 2 : 1,
        .columns = columns_of(family, problem),
        .steps = family->steps + (family->scales && !grouped),
        .words = 1,
        .unit = 1,
        .group = grouped ? QUANT_GROUP : 0};
    /* Else the compiler takes what costs an SM a quarter of its rows (docs/notes/rmsnorm.md, section 11). */
    if (ret_shape->columns > 1 && !add && elem_bytes == 2)
        ret_shape->state_registers = LAYERNORM_REGISTERS;
}

static const struct tfops_view *view_at(const struct tfops_launch_args *launch, uint8_t at)
{
    static const struct tfops_view NONE;
    return at ? &launch->operands[at - 1] : &NONE;
}

static struct quant_params quant_of(
    const struct norm_family *family, const struct tfops_launch_args *launch)
{
    const struct quant_layout layout = layout_of(family, launch->problem);
    return family->scales ? quant_params_of(&layout, view_at(launch, family->scales))
                          : (struct quant_params){0};
}

void norm_pack(void *user, const struct tfops_launch_args *launch, void *ret_params)
{
    const struct norm_family *family = user;
    const struct tfops_problem *problem = launch->problem;
    const struct tfops_view *x = view_at(launch, family->x), *out = view_at(launch, family->out);
    const struct tfops_view *residual = view_at(launch, family->residual);
    const struct tfops_view *given = view_at(launch, family->residual_out);
    const struct tfops_view *sum = given->data ? given : residual;
    *(struct norm_params *)ret_params = (struct norm_params){.x = x->data,
        .weight = view_at(launch, family->weight)->data,
        .bias = view_at(launch, family->bias)->data,
        .residual = residual->data,
        .out = out->data,
        .residual_out = sum->data,
        .x_stride = x->strides[0],
        .residual_stride = residual->strides[0],
        .out_stride = out->strides[0],
        .residual_out_stride = sum->strides[0],
        .rows = problem->dims[NORM_ROWS],
        .quant = quant_of(family, launch),
        .hidden = (int)problem->dims[NORM_HIDDEN],
        .eps = (float)launch->scalars[NORM_EPS],
        .dtype = problem->dtypes[NORM_DTYPE],
        .weight_dtype = problem->dtypes[NORM_WEIGHT_DTYPE],
        .out_dtype = problem->dtypes[out_dtype(family)],
        .weight_variant = problem->options[NORM_WEIGHT_VARIANT],
        .residual_round = option_at(problem, family->residual_round),
        .columns = columns_of(family, problem)};
}

void norm_cost(void *user, const struct tfops_problem *problem, struct tfops_cost *ret_cost)
{
    const struct norm_family *family = user;
    const struct quant_layout layout = layout_of(family, problem);
    const uint64_t hidden = (uint64_t)problem->dims[NORM_HIDDEN];
    const uint64_t elems = (uint64_t)problem->dims[NORM_ROWS] * hidden;
    const uint64_t rows = elems * spec_elem_bytes(problem, NORM_DTYPE);
    const uint64_t columns = (uint64_t)columns_of(family, problem);
    const uint64_t sums = family->residual != 0;
    const uint64_t scales = family->scales ? quant_scales_bytes(&layout) : 0;
    *ret_cost = (struct tfops_cost){
        .bytes_read =
            (1 + sums) * rows + columns * hidden * spec_elem_bytes(problem, NORM_WEIGHT_DTYPE),
        .bytes_written = sums * rows + elems * spec_elem_bytes(problem, out_dtype(family)) + scales,
        .flops = ((uint64_t)family->flops + sums) * elems};
}
