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
#define MATCH_MOST_ROWS (1u << 31)
#define MATCH_MOST_INNER (1ll << 26)
#define MATCH_GAP_BITS 26 /* of the elements between two rows */

/* What an operand must look like, computed once for a plan: [dynamic, inner] or [inner]. */
struct match_operand {
    uint64_t type;      /* dtype and rank as they stand in a tensor */
    uint32_t inner;     /* extent of the last dimension */
    uint32_t row_bytes; /* of these */
    uint16_t may_alias; /* bit k: may be the very same as row k of the table */
    uint8_t n_apart;    /* rows of the table, from the first, that it must keep off */
    uint8_t index;      /* in the arguments */
    uint8_t elem_bytes;
};

struct match_scalar {
    double min, max, default_value;
};

/* The table: the operands that are present, those of one row first, then those with rows, what is
 * written last, so that a written one keeps off all before it; then the scalars. */
union match_row {
    struct match_operand operand;
    struct match_scalar scalar;
};
_Static_assert(sizeof(union match_row) == 24, "five rows of the table on two lines");
_Static_assert(offsetof(struct tfops_tensor, rank) == offsetof(struct tfops_tensor, dtype) + 4,
    "dtype and rank are compared as one word");

struct match {
    uint32_t least_rows, most_rows;
    uint16_t absent; /* bit i: operand i of the arguments must be NULL */
    bool usable;     /* false: the operator has other shapes; every launch takes request_bind() */
    /* Rows of the table: vectors before n_vectors, all operands before n_operands, then scalars. */
    uint8_t n_vectors, n_operands, n_scalars;
    uint8_t dynamic_dim;
    uint8_t rows_index; /* in the arguments: an operand with rows */
    union match_row table[TFOPS_MAX_OPERANDS + TFOPS_MAX_SCALARS];
};

void match_init(const struct tfops_problem *problem, struct match *ret_match);

/* How the arguments' alignment must relate to the problem's. */
enum match_align {
    MATCH_ALIGN_ENOUGH, /* at least that: a held plan serves better-aligned tensors too */
    MATCH_ALIGN_EXACT,  /* that very class: what the key of a look-up would say */
};

/* What was found so far; all is well while nothing is wrong and nothing far. */
struct match_findings {
    uint64_t wrong;
    uint64_t far; /* bits from MATCH_GAP_BITS up: rows too far apart or backwards, or no address */
    uint64_t misfit; /* addresses and strides in bytes: the low bits tell the alignment */
};

struct match_range {
    uintptr_t begin, end;
};

/* What operands with and without rows have in common. NULL - 1 has its high bits set: it is far. */
static inline void match_memory(const struct match_operand *match,
    const struct tfops_tensor *tensor, struct tfops_view *view, struct match_range *range,
    struct match_findings *found)
{
    uint64_t type;
    memcpy(&type, &tensor->dtype, sizeof type);
    view->data = tensor->data;
    range->begin = (uintptr_t)tensor->data;
    range->end = range->begin + match->row_bytes;
    found->wrong |= type ^ match->type;
    found->far |= (range->begin - 1) >> (63 - MATCH_GAP_BITS);
    found->misfit |= range->begin;
}

static inline void match_vector(const struct match_operand *match,
    const struct tfops_tensor *tensor, struct tfops_view *view, struct match_findings *found)
{
    found->wrong |= (uint64_t)tensor->shape[0] ^ match->inner;
    found->wrong |= (uint64_t)tensor->strides[0] ^ 1;
    view->strides[0] = 1;
}

/* `many`: all ones where there are several rows, so that their stride counts. */
static inline void match_matrix(const struct match_operand *match,
    const struct tfops_tensor *tensor, uint64_t rows, uint64_t many, struct tfops_view *view,
    struct match_range *range, struct match_findings *found)
{
    const uint64_t inner = match->inner;
    const uint64_t gap = ((uint64_t)tensor->strides[0] - inner) & many;
    const uint64_t stride = inner + gap, stride_bytes = stride * match->elem_bytes;
    found->wrong |= (uint64_t)tensor->shape[0] ^ rows;
    found->wrong |= (uint64_t)tensor->shape[1] ^ inner;
    found->wrong |= (uint64_t)tensor->strides[1] ^ 1;
    found->far |= gap;
    found->misfit |= stride_bytes;
    range->end += (rows - 1) * stride_bytes;
    view->strides[0] = (int64_t)stride;
    view->strides[1] = 1;
}

/* Non-zero when operand `i` of the table overlaps one before it that it is not the very same as. */
static inline uint64_t match_overlaps(const struct match *match, unsigned i,
    const struct match_range *ranges, const struct tfops_view *views)
{
    const struct match_operand *operand = &match->table[i].operand;
    uint64_t wrong = 0;
    for (unsigned k = 0; k < operand->n_apart; k++) {
        /* The rows of the table before this one have all been through: their ranges are set. */
        /* NOLINTNEXTLINE(clang-analyzer-core.UndefinedBinaryOperatorResult) */
        const int64_t before = (int64_t)(ranges[i].begin - ranges[k].end);
        const int64_t behind = (int64_t)(ranges[k].begin - ranges[i].end);
        if (__builtin_expect((before & behind) < 0, 0)) {
            const unsigned other = match->table[k].operand.index;
            wrong |= !(operand->may_alias >> k & (ranges[i].begin == ranges[k].begin) &
                       (views[operand->index].strides[0] == views[other].strides[0]));
        }
    }
    return wrong;
}

/* Non-zero when a scalar is out of its bounds, or there are too many. */
static inline uint64_t match_scalars(
    const struct match *match, const struct tfops_args *args, double *ret_scalars)
{
    uint64_t wrong = args->n_scalars > match->n_scalars;
    for (unsigned i = 0; i < match->n_scalars; i++) {
        const struct match_scalar *scalar = &match->table[match->n_operands + i].scalar;
        const double value = i < args->n_scalars ? args->scalars[i] : scalar->default_value;
        wrong |= !((value >= scalar->min) & (value <= scalar->max));
        ret_scalars[i] = value;
    }
    return wrong;
}

/* Non-zero when they differ. */
static inline uint64_t match_options(const uint8_t *a, const uint8_t *b)
{
    uint32_t a_first, b_first;
    uint16_t a_last, b_last;
    _Static_assert(TFOPS_MAX_OPTIONS == sizeof a_first + sizeof a_last, "compared as two words");
    memcpy(&a_first, a, sizeof a_first);
    memcpy(&b_first, b, sizeof b_first);
    memcpy(&a_last, a + sizeof a_first, sizeof a_last);
    memcpy(&b_last, b + sizeof b_first, sizeof b_last);
    return (a_first ^ b_first) | (uint32_t)(a_last ^ b_last);
}

/*
 * Fills *ret_request and returns true when the arguments are right in the usual form. The dynamic
 * extent is at least 1.
 */
static inline __attribute__((always_inline)) bool match_bind(const struct match *match,
    const struct tfops_problem *problem, const struct tfops_args *args, enum match_align align,
    struct request *ret_request)
{
    struct match_range ranges[TFOPS_MAX_OPERANDS];
    struct match_findings found = {.misfit = 16};
    if (!match->usable || !args || args->size != sizeof *args)
        return false;
    const struct tfops_tensor *with_rows = args->operands[match->rows_index];
    if (!with_rows)
        return false;
    const uint64_t rows = (uint64_t)with_rows->shape[0], many = -(uint64_t)(rows > 1);
    found.wrong = (rows < match->least_rows) | (rows > match->most_rows);
    for (unsigned i = 0; i < match->n_operands; i++) {
        const struct match_operand *operand = &match->table[i].operand;
        const struct tfops_tensor *tensor = args->operands[operand->index];
        struct tfops_view *view = &ret_request->operands[operand->index];
        if (!tensor)
            return false;
        match_memory(operand, tensor, view, &ranges[i], &found);
        if (i < match->n_vectors) {
            match_vector(operand, tensor, view, &found);
            continue;
        }
        match_matrix(operand, tensor, rows, many, view, &ranges[i], &found);
        found.wrong |= match_overlaps(match, i, ranges, ret_request->operands);
    }
    for (unsigned absent = match->absent; absent; absent &= absent - 1) {
        const int i = __builtin_ctz(absent);
        found.wrong |= (uintptr_t)args->operands[i];
        ret_request->operands[i] = (struct tfops_view){.data = NULL};
    }
    found.wrong |= found.far >> MATCH_GAP_BITS;
    found.wrong |= args->flags ^ problem->flags;
    found.wrong |= match_options(args->options, problem->options);
    found.wrong |= match_scalars(match, args, ret_request->scalars);
    const uint64_t low = found.misfit & (~found.misfit + 1); /* the class: the lowest set bit */
    found.wrong |= align == MATCH_ALIGN_EXACT ? low ^ problem->align : low < problem->align;
    if (found.wrong)
        return false;
    ret_request->problem = *problem;
    ret_request->problem.dims[match->dynamic_dim] = rows;
    return true;
}

#endif
