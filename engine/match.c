/* Matching (see match.h). On the path of every launch: no call out, no division, no allocation. */
#include "match.h"
#include "problem.h"
#include <string.h>

static bool usual_shape(const struct tfops_spec *spec, size_t i)
{
    const struct tfops_operand_spec *operand = &spec->operands[i];
    int last = operand->dims[operand->rank - 1];
    bool inner_is_static = !(spec->dims[last].flags & TFOPS_DIM_DYNAMIC);
    return inner_is_static &&
           (operand->rank == 1 || (operand->rank == 2 && spec->dims[operand->dims[0]].flags &
                                                              TFOPS_DIM_DYNAMIC));
}

void match_init(const struct tfops_problem *problem, struct match *ret_match)
{
    const struct tfops_spec *spec = problem->spec;
    *ret_match = (struct match){.usable = true,
        .n_operands = (uint8_t)spec->n_operands,
        .n_scalars = (uint8_t)spec->n_scalars};
    for (size_t i = 0; i < spec->n_dims; i++)
        if (spec->dims[i].flags & TFOPS_DIM_DYNAMIC)
            ret_match->dynamic_dim = (uint8_t)i;
    for (size_t i = 0; i < spec->n_operands; i++) {
        const struct tfops_operand_spec *operand = &spec->operands[i];
        struct match_operand *match = &ret_match->operands[i];
        ret_match->usable &= usual_shape(spec, i);
        if (!(problem->present >> i & 1))
            continue;
        match->inner = problem->dims[operand->dims[operand->rank - 1]];
        match->dtype = problem->dtypes[operand->dtype];
        match->rank = operand->rank;
        match->elem_bytes = (uint32_t)problem_operand_bytes(problem, i);
        match->written = operand->access != TFOPS_IN;
        match->may_alias = operand->may_alias;
        for (size_t k = 0; k < spec->n_operands; k++)
            match->may_alias |= (spec->operands[k].may_alias >> i & 1u) << k;
    }
}

/* The bytes an operand spans, and what it adds to the misfit of the alignment. */
struct range {
    uintptr_t begin, end;
    int64_t stride;
};

/* Far beyond what fits in memory, far below what overflows in bytes; the rest takes the long way. */
#define MOST (1ll << 40)
#define MOST_REACH (1ll << 56)

static inline bool bind_one(const struct match_operand *match, const struct tfops_tensor *tensor,
    int64_t rows, struct tfops_view *view, struct range *range, uint64_t *misfit)
{
    if (!match->rank) {
        view->data = NULL;
        *range = (struct range){0};
        return !tensor;
    }
    if (!tensor || tensor->rank != match->rank || (uint32_t)tensor->dtype != match->dtype ||
        !tensor->data)
        return false;
    int last = match->rank - 1;
    int64_t stride = match->inner, steps = 0, reach;
    if (last) {
        if (tensor->shape[0] != rows)
            return false;
        if (rows > 1)
            stride = tensor->strides[0];
        steps = rows - 1;
        view->strides[0] = stride;
        *misfit |= (uint64_t)stride * match->elem_bytes;
    }
    if (tensor->shape[last] != match->inner || (tensor->strides[last] != 1 && match->inner != 1) ||
        stride < match->inner || stride > MOST)
        return false;
    view->strides[last] = 1;
    view->data = tensor->data;
    range->begin = (uintptr_t)tensor->data;
    if (range->begin & (match->elem_bytes - 1) || __builtin_mul_overflow(steps, stride, &reach) ||
        reach > MOST_REACH)
        return false;
    range->end = range->begin + (uintptr_t)(reach + match->inner) * match->elem_bytes;
    range->stride = stride;
    *misfit |= range->begin;
    return true;
}

static inline bool apart(const struct match *match, const struct range *ranges)
{
    for (size_t i = 0; i < match->n_operands; i++) {
        if (!match->operands[i].written)
            continue;
        for (size_t k = 0; k < match->n_operands; k++) {
            if (k == i || ranges[i].begin >= ranges[k].end || ranges[k].begin >= ranges[i].end)
                continue;
            if (!(match->operands[i].may_alias >> k & 1) ||
                ranges[i].begin != ranges[k].begin || ranges[i].stride != ranges[k].stride)
                return false;
        }
    }
    return true;
}

static inline bool same_numbers(
    const struct match *match, const struct tfops_problem *problem, const struct tfops_args *args)
{
    const struct tfops_spec *spec = problem->spec;
    if (args->size != sizeof *args || args->flags != problem->flags ||
        args->n_scalars != match->n_scalars)
        return false;
    if (memcmp(args->options, problem->options, sizeof args->options)) /* 0 beyond the operator's */
        return false;
    for (size_t i = 0; i < match->n_scalars; i++)
        if (!(args->scalars[i] >= spec->scalars[i].min && args->scalars[i] <= spec->scalars[i].max))
            return false;
    return true;
}

/* The dynamic extent, from the first operand that has it; 0 when there is none. */
static inline int64_t dynamic_extent(const struct match *match, const struct tfops_args *args)
{
    for (size_t i = 0; i < match->n_operands; i++)
        if (match->operands[i].rank == 2)
            return args->operands[i] ? args->operands[i]->shape[0] : 0;
    return 0;
}

bool match_bind(const struct match *match, const struct tfops_problem *problem,
    const struct tfops_args *args, enum match_align align, struct request *ret_request)
{
    struct range ranges[TFOPS_MAX_OPERANDS];
    uint64_t misfit = 16;
    if (!match->usable || !args || !same_numbers(match, problem, args))
        return false;
    int64_t rows = dynamic_extent(match, args);
    if (rows < 1 || rows > problem->spec->dims[match->dynamic_dim].max || rows > MOST)
        return false;
    for (size_t i = 0; i < match->n_operands; i++)
        if (!bind_one(&match->operands[i], args->operands[i], rows, &ret_request->operands[i],
                &ranges[i], &misfit))
            return false;
    for (size_t i = match->n_operands; i < TFOPS_MAX_OPERANDS; i++)
        if (args->operands[i])
            return false;
    uint64_t low = misfit & (~misfit + 1); /* the alignment class: the lowest set bit */
    if (align == MATCH_ALIGN_EXACT ? low != problem->align : low < problem->align)
        return false;
    if (!apart(match, ranges))
        return false;
    ret_request->problem = *problem;
    ret_request->problem.dims[match->dynamic_dim] = rows;
    ret_request->scalars = args->scalars;
    return true;
}
