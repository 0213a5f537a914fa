/* What matching compares with (see match.h): computed once for a plan. */
#include "match.h"
#include "key.h"
#include "problem.h"

static uint64_t tensor_type(enum tfops_dtype dtype, int32_t rank)
{
    const struct tfops_tensor tensor = {.dtype = dtype, .rank = rank};
    uint64_t type;
    memcpy(&type, &tensor.dtype, sizeof type);
    return type;
}

/*
 * [inner], only read, or [dynamic, inner], all of it in the alignment class. An inner extent of 1
 * would have no stride of its own; an alignment below an element's would leave addresses within one
 * to be found.
 */
static bool usual_shape(const struct tfops_problem *problem, size_t i)
{
    const struct tfops_spec *spec = problem->spec;
    const struct tfops_operand_spec *operand = &spec->operands[i];
    const int inner = operand->dims[operand->rank - 1];
    return !(operand->flags & TFOPS_OPERAND_ELEMENTS) && !spec->dims[inner].flags &&
           problem->dims[inner] > 1 && problem->dims[inner] <= MATCH_MOST_INNER &&
           problem->align >= problem_operand_bytes(problem, i) &&
           ((operand->rank == 1 && operand->access == TFOPS_IN) ||
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
    const int64_t inner = problem->dims[operand->dims[operand->rank - 1]];
    const size_t elem_bytes = problem_operand_bytes(problem, i);
    struct match_operand *row = &match->table[match->n_operands].operand;
    *row = (struct match_operand){
        .type = tensor_type((enum tfops_dtype)problem->dtypes[operand->dtype], operand->rank),
        .inner = (uint32_t)inner,
        .row_bytes = (uint32_t)((size_t)inner * elem_bytes),
        .index = (uint8_t)i,
        .elem_bytes = (uint8_t)elem_bytes};
    if (operand->access != TFOPS_IN)
        row->n_apart = match->n_operands;
    for (unsigned k = 0; k < row->n_apart; k++) {
        const size_t other = match->table[k].operand.index;
        const bool may =
            (operand->may_alias >> other & 1 || spec->operands[other].may_alias >> i & 1) &&
            problem_operand_bytes(problem, other) == elem_bytes;
        row->may_alias |= (uint16_t)((may && k >= match->n_vectors) << k);
    }
    match->n_operands++;
    if (operand->rank == 2)
        match->rows_index = (uint8_t)i;
    else
        match->n_vectors++;
}

/* The present operands of a rank that are written, or that are not. */
static void fill_operands(
    const struct tfops_problem *problem, int rank, bool written, struct match *match)
{
    const struct tfops_spec *spec = problem->spec;
    for (size_t i = 0; i < spec->n_operands; i++) {
        const struct tfops_operand_spec *operand = &spec->operands[i];
        if (problem->present >> i & 1 && operand->rank == rank &&
            (operand->access != TFOPS_IN) == written)
            fill_operand(problem, i, match);
    }
}

static void fill_rows(const struct tfops_problem *problem, struct match *match)
{
    const int dynamic_dim = key_dynamic_dim(problem->spec);
    const struct tfops_dim_spec *dim = &problem->spec->dims[dynamic_dim];
    match->usable &= match->n_operands > match->n_vectors && dim->min <= MATCH_MOST_ROWS;
    match->dynamic_dim = (uint8_t)dynamic_dim;
    match->least_rows = dim->min > 1 ? (uint32_t)dim->min : 1;
    match->most_rows = dim->max < MATCH_MOST_ROWS ? (uint32_t)dim->max : MATCH_MOST_ROWS;
}

void match_init(const struct tfops_problem *problem, struct match *ret_match)
{
    const struct tfops_spec *spec = problem->spec;
    *ret_match = (struct match){.usable = all_told(problem)};
    for (size_t i = 0; i < spec->n_operands; i++) {
        if (problem->present >> i & 1)
            ret_match->usable &= usual_shape(problem, i);
        else
            ret_match->absent |= (uint16_t)(1u << i);
    }
    fill_operands(problem, 1, false, ret_match);
    fill_operands(problem, 2, false, ret_match);
    fill_operands(problem, 2, true, ret_match);
    fill_rows(problem, ret_match);
    ret_match->n_scalars = (uint8_t)spec->n_scalars;
    for (size_t i = 0; i < spec->n_scalars; i++) {
        const struct tfops_scalar_spec *scalar = &spec->scalars[i];
        ret_match->table[ret_match->n_operands + i].scalar =
            (struct match_scalar){scalar->min, scalar->max, scalar->default_value};
    }
}
