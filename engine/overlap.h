/*
 * Whether strided operands share memory, exactly: not by the ranges they span. Part of the request
 * stage, asked where ranges and ordered strides do not settle it. Pure; the work is bounded, and
 * what it does not prove to be apart counts as overlapping.
 */
#ifndef TFOPS_ENGINE_OVERLAP_H
#define TFOPS_ENGINE_OVERLAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <tfops/spec.h>

/* An operand that has elements: every extent is at least 1, no stride is negative. */
struct overlap_operand {
    uintptr_t begin;
    int rank;
    int64_t extents[TFOPS_MAX_OPERAND_RANK], strides[TFOPS_MAX_OPERAND_RANK]; /* in elements */
    size_t elem_bytes;
};

/* Whether two indices lead to one element. */
bool overlap_within(const struct overlap_operand *operand);
/* Whether an element of one shares a byte with an element of the other. */
bool overlap_between(const struct overlap_operand *a, const struct overlap_operand *b);

#endif
