/* What matching compares with (see match.h): computed once for a plan. */
#include "match.h"
#include "problem.h"

static uint64_t tensor_type(enum tfops_dtype dtype, int32_t rank)
{
    const struct tfops_tensor tensor = {.dtype = dtype, .rank = rank};
    uint64_t type;
    memcpy(&type, &tensor.dtype, sizeof type);
    return type;
}

/*
 * [inner] or [dynamic, inner], all of it in the alignment class. An inner extent of 1 would have no stride of its own; an alignment
 * below an element's would leave addresses within one to be found.
 */
static bool usual_shape(const struct tfops_problem *problem, size_t i)
{
    const struct tfops_spec *spec = problem->spec;
    const struct tfops_operand_spec *operand = &spec->operands[i];
    const int inner = operand->dims[operand->rank - 1];
    return !(operand->flags & TFOPS_OPERAND_ELEMENTS) && !spec->dims[inner].flags &&
           problem->dims[inner] > 1 && problem->dims[inner] <= MATCH_MOST_INNER &&
           problem->align >= problem_operand_bytes(problem, i) &&
           (operand->rank == 1 ||
               (operand->rank == 2 && spec->dims[operand->dims[0]].flags & TFOPS_DIM_DYNAMIC));
}

/* What no present operand tells, request_bind() takes to be what it is in a request without it. */
static bool all_told(const struct tfops_problem *problem)
{
    const struct tfops_spec *spec = problem->spec;
    uint32_t dims = problem_told_dims(problem), dtypes = 1;
    for (size_t i = 0; i < spec->n_operands; i++)
        if (problem->present >> i & 1)
            dtypes |= 1u << spec->operands[i].dtype;
    for (size_t i = 0; i < spec->n_dtypes; i++)
        if (!(dtypes >> i & 1) && problem->dtypes[i] != problem_default_dtype(problem, i))
            return false;
    for (size_t i = 0; i < spec->n_dims; i++)
        if (!(dims >> i & 1) && problem->dims[i])
            return false;
    return true;
}

static void fill_operand(const struct tfops_problem *problem, size_t i, struct match *match)
{
    const struct tfops_spec *spec = problem->spec;
    const struct tfops_operand_spec *operand = &spec->operands[i];
    uint32_t may_alias = operand->may_alias | 1u << i;
    for (size_t k = 0; k < spec->n_operands; k++) {
        may_alias |= (spec->operands[k].may_alias >> i & 1u) << k;
        if (problem_operand_bytes(problem, k) != problem_operand_bytes(problem, i))
            may_alias &= ~(1u << k);
    }
    match->operands[i] = (struct match_operand){
        .type = tensor_type((enum tfops_dtype)problem->dtypes[operand->dtype], operand->rank),
        .inner = (uint32_t)problem->dims[operand->dims[operand->rank - 1]],
        .may_alias = (uint16_t)may_alias,
        .elem_bytes = (uint8_t)problem_operand_bytes(problem, i),
        .has_rows = operand->rank == 2};
    match->written |= (uint16_t)((operand->access != TFOPS_IN) << i);
}

static void fill_rows(const struct tfops_problem *problem, struct match *match)
{
    const struct tfops_spec *spec = problem->spec;
    for (size_t i = 0; i < spec->n_dims; i++) {
        const struct tfops_dim_spec *dim = &spec->dims[i];
        if (!(dim->flags & TFOPS_DIM_DYNAMIC))
            continue;
        match->dynamic_dim = (uint8_t)i;
        match->least_rows = dim->min > 1 ? dim->min : 1;
        match->most_rows = dim->max < MATCH_MOST_ROWS ? dim->max : MATCH_MOST_ROWS;
    }
    for (size_t i = spec->n_operands; i-- > 0;)
        if (match->operands[i].has_rows)
            match->rows_operand = (uint8_t)i;
    match->usable &= match->operands[match->rows_operand].has_rows;
}

void match_init(const struct tfops_problem *problem, struct match *ret_match)
{
    const struct tfops_spec *spec = problem->spec;
    *ret_match = (struct match){.usable = all_told(problem),
        .flags = problem->flags,
        .align = problem->align,
        .n_operands = (uint8_t)spec->n_operands,
        .n_scalars = (uint8_t)spec->n_scalars};
    memcpy(ret_match->options, problem->options, sizeof ret_match->options);
    for (size_t i = 0; i < spec->n_scalars; i++) {
        ret_match->scalars[i] = (struct match_scalar){spec->scalars[i].min, spec->scalars[i].max};
        ret_match->defaults[i] = spec->scalars[i].default_value;
    }
    for (size_t i = 0; i < spec->n_operands; i++) {
        if (!(problem->present >> i & 1))
            continue;
        ret_match->usable &= usual_shape(problem, i);
        fill_operand(problem, i, ret_match);
    }
    fill_rows(problem, ret_match);
}
