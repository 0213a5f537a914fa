/*
 * Matching: whether the arguments of a launch are the usual form of a plan's problem. The short way
 * through the request stage for launches that hit: what it accepts is exactly what request_bind()
 * would accept with the same result; what it does not recognise goes there.
 *
 * Between two launches the driver runs for microseconds and leaves caches and branch predictors
 * cold. So what is compared stands on few lines, one after the other, and what is wrong is gathered
 * in a word that is looked at once instead of branched on. Inline: it is part of the launch.
 */
#ifndef TFOPS_ENGINE_MATCH_H
#define TFOPS_ENGINE_MATCH_H

#include "request.h"
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/*
 * Far beyond what fits in memory; a size in bytes stays below 2^62. Arguments beyond take the long
 * way, and so does every launch of an operator that is itself beyond.
 */
#define MATCH_MOST_ROWS (1ll << 31)
#define MATCH_MOST_INNER (1ll << 26)
#define MATCH_MOST_GAP (1ll << 26) /* elements between two rows */

/* What an operand must look like, computed once for a plan. */
struct match_operand {
    uint64_t type; /* dtype and rank as they stand in a tensor; 0: absent */
    uint32_t inner; /* extent of the last dimension */
    uint16_t may_alias; /* operands it may be the very same as, itself among them */
    uint8_t elem_bytes;
    bool has_rows; /* [dynamic, inner], else [inner] */
};
_Static_assert(sizeof(struct match_operand) == 16, "four operands on a line");
_Static_assert(offsetof(struct tfops_tensor, rank) == offsetof(struct tfops_tensor, dtype) + 4,
    "dtype and rank are compared as one word");

struct match_scalar {
    double min, max;
};

struct match {
    int64_t least_rows, most_rows;
    uint32_t flags, align;
    uint8_t options[TFOPS_MAX_OPTIONS];
    bool usable; /* false: the operator has other shapes; every launch takes request_bind() */
    uint8_t n_operands, n_scalars;
    uint8_t dynamic_dim;
    uint8_t rows_operand; /* the first operand with rows */
    uint16_t written; /* bit i: operand i */
    struct match_operand operands[TFOPS_MAX_OPERANDS];
    struct match_scalar scalars[TFOPS_MAX_SCALARS];
    double defaults[TFOPS_MAX_SCALARS];
};

void match_init(const struct tfops_problem *problem, struct match *ret_match);

/* How the arguments' alignment must relate to the problem's. */
enum match_align {
    MATCH_ALIGN_ENOUGH, /* at least that: a held plan serves better-aligned tensors too */
    MATCH_ALIGN_EXACT,  /* that very class: what the key of a look-up would say */
};

/* The bytes an operand spans. */
struct match_range {
    uintptr_t begin, end;
    int64_t stride;
};

/* A present operand: fills *view and *range; non-zero when something is wrong. */
static inline uint64_t match_tensor(const struct match_operand *match,
    const struct tfops_tensor *tensor, int64_t rows, struct tfops_view *view,
    struct match_range *range, uint64_t *misfit)
{
    uint64_t type, wrong;
    const uintptr_t begin = (uintptr_t)tensor->data;
    const int64_t inner = match->inner;
    const int last = match->has_rows;
    const int64_t stride = match->has_rows && rows > 1 ? tensor->strides[0] : inner;
    const int64_t steps = match->has_rows ? rows - 1 : 0;
    memcpy(&type, &tensor->dtype, sizeof type);
    wrong = type ^ match->type;
    wrong |= (uint64_t)(tensor->shape[last] ^ inner);
    wrong |= (uint64_t)(tensor->shape[0] ^ (match->has_rows ? rows : inner));
    wrong |= (uint64_t)(tensor->strides[last] ^ 1);
    wrong |= (uint64_t)stride - (uint64_t)inner > MATCH_MOST_GAP;
    wrong |= !begin;
    wrong |= begin & (uintptr_t)(match->elem_bytes - 1);
    view->data = tensor->data;
    view->strides[0] = stride;
    view->strides[last] = 1;
    range->begin = begin;
    range->end = begin + ((uint64_t)steps * (uint64_t)stride + (uint64_t)inner) * match->elem_bytes;
    range->stride = stride;
    *misfit |= begin | (match->has_rows ? (uint64_t)stride * match->elem_bytes : 0);
    return wrong;
}

/* Non-zero when something written overlaps an operand that it may not be the very same as. */
static inline uint64_t match_overlaps(const struct match *match, const struct match_range *ranges)
{
    uint64_t wrong = 0;
    for (unsigned written = match->written; written; written &= written - 1) {
        const int i = __builtin_ctz(written);
        const struct match_range a = ranges[i];
        const unsigned may_alias = match->operands[i].may_alias;
        for (unsigned k = 0; k < match->n_operands; k++) {
            const struct match_range *b = &ranges[k];
            const unsigned overlap = (a.begin < b->end) & (b->begin < a.end);
            const unsigned same = may_alias >> k & (a.begin == b->begin) & (a.stride == b->stride);
            wrong |= overlap & ~same;
        }
    }
    return wrong;
}

/* All of the operator's scalars, or none: the defaults. Some of them is the long way's. */
static inline uint64_t match_scalars(
    const struct match *match, const struct tfops_args *args, const double **ret_scalars)
{
    uint64_t wrong = 0;
    *ret_scalars = match->defaults;
    if (!args->n_scalars)
        return 0;
    for (unsigned i = 0; i < match->n_scalars; i++)
        wrong |= !((args->scalars[i] >= match->scalars[i].min) &
                   (args->scalars[i] <= match->scalars[i].max));
    *ret_scalars = args->scalars;
    return wrong | (args->n_scalars ^ match->n_scalars);
}

/*
 * Fills *ret_request and returns true when the arguments are right in the usual form. The dynamic
 * extent is at least 1.
 */
static inline __attribute__((always_inline)) bool match_bind(const struct match *match, const struct tfops_problem *problem,
    const struct tfops_args *args, enum match_align align, struct request *ret_request)
{
    struct match_range ranges[TFOPS_MAX_OPERANDS];
    uint64_t misfit = 16;
    if (!match->usable || !args || args->size != sizeof *args)
        return false;
    const struct tfops_tensor *with_rows = args->operands[match->rows_operand];
    if (!with_rows)
        return false;
    const int64_t rows = with_rows->shape[0];
    uint64_t wrong = (rows < match->least_rows) | (rows > match->most_rows);
    for (unsigned i = 0; i < match->n_operands; i++) {
        const struct match_operand *operand = &match->operands[i];
        const struct tfops_tensor *tensor = args->operands[i];
        if (!tensor != !operand->type)
            return false;
        if (tensor) {
            wrong |= match_tensor(
                operand, tensor, rows, &ret_request->operands[i], &ranges[i], &misfit);
        } else {
            ret_request->operands[i].data = NULL;
            ranges[i] = (struct match_range){0};
        }
    }
    wrong |= args->flags ^ match->flags;
    wrong |= memcmp(args->options, match->options, sizeof match->options) != 0;
    wrong |= match_scalars(match, args, &ret_request->scalars);
    wrong |= match_overlaps(match, ranges);
    const uint64_t low = misfit & (~misfit + 1); /* the alignment class: the lowest set bit */
    wrong |= align == MATCH_ALIGN_EXACT ? low != match->align : low < match->align;
    if (wrong)
        return false;
    ret_request->problem = *problem;
    ret_request->problem.dims[match->dynamic_dim] = rows;
    return true;
}

#endif
