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
    uint64_t type;      /* dtype and rank as they stand in a tensor; 0: absent */
    uint32_t inner;     /* extent of the last dimension */
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
    uint16_t written;     /* bit i: operand i */
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

/* A present operand: fills *view, *ret_end and adds to *misfit; non-zero when something is wrong.
 */
static inline uint64_t match_tensor(const struct match_operand *match,
    const struct tfops_tensor *tensor, int64_t rows, struct tfops_view *view, uintptr_t *ret_end,
    uint64_t *misfit)
{
    /* All ones where there are rows, and where there are several: masks instead of branches. */
    const uint64_t in_rows = -(uint64_t)match->has_rows;
    const uint64_t in_pitch = in_rows & -(uint64_t)(rows > 1);
    const uint64_t inner = match->inner, begin = (uintptr_t)tensor->data;
    const uint64_t stride = inner + (((uint64_t)tensor->strides[0] - inner) & in_pitch);
    uint64_t type, wrong;
    memcpy(&type, &tensor->dtype, sizeof type);
    wrong = type ^ match->type;
    wrong |= (uint64_t)tensor->shape[match->has_rows] ^ inner;
    wrong |= ((uint64_t)tensor->shape[0] ^ (uint64_t)rows) & in_rows;
    wrong |= (uint64_t)tensor->strides[match->has_rows] ^ 1;
    wrong |= stride - inner > MATCH_MOST_GAP;
    wrong |= !begin;
    view->data = tensor->data;
    view->strides[0] = (int64_t)stride;
    view->strides[match->has_rows] = 1;
    *ret_end = begin + ((((uint64_t)rows - 1) & in_rows) * stride + inner) * match->elem_bytes;
    *misfit |= begin | ((stride * match->elem_bytes) & in_rows);
    return wrong;
}

/* Non-zero when something written overlaps an operand that it may not be the very same as. */
static inline uint64_t match_overlaps(
    const struct match *match, const struct tfops_view *views, const uintptr_t *ends)
{
    uint64_t wrong = 0;
    for (unsigned written = match->written; written; written &= written - 1) {
        const int i = __builtin_ctz(written);
        const uintptr_t begin = (uintptr_t)views[i].data, end = ends[i];
        const int64_t stride = views[i].strides[0];
        const unsigned may_alias = match->operands[i].may_alias;
        for (unsigned k = 0; k < match->n_operands; k++) {
            const uintptr_t other = (uintptr_t)views[k].data;
            /* The bits of `written` are operands below n_operands, whose ends are all set. */
            /* NOLINTNEXTLINE(clang-analyzer-core.UndefinedBinaryOperatorResult) */
            const unsigned overlap = (begin < ends[k]) & (other < end);
            const unsigned same =
                may_alias >> k & (begin == other) & (stride == views[k].strides[0]);
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
static inline __attribute__((always_inline)) bool match_bind(const struct match *match,
    const struct tfops_problem *problem, const struct tfops_args *args, enum match_align align,
    struct request *ret_request)
{
    uintptr_t ends[TFOPS_MAX_OPERANDS];
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
            wrong |=
                match_tensor(operand, tensor, rows, &ret_request->operands[i], &ends[i], &misfit);
        } else {
            ret_request->operands[i].data = NULL;
            ret_request->operands[i].strides[0] = 0;
            ends[i] = 0;
        }
    }
    wrong |= args->flags ^ match->flags;
    wrong |= memcmp(args->options, match->options, sizeof match->options) != 0;
    wrong |= match_scalars(match, args, &ret_request->scalars);
    wrong |= match_overlaps(match, ret_request->operands, ends);
    const uint64_t low = misfit & (~misfit + 1); /* the alignment class: the lowest set bit */
    wrong |= align == MATCH_ALIGN_EXACT ? low != match->align : low < match->align;
    if (wrong)
        return false;
    ret_request->problem = *problem;
    ret_request->problem.dims[match->dynamic_dim] = rows;
    return true;
}

#endif
