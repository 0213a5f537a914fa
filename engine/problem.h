/* Facts about a problem that several stages need (see problem.c). */
#ifndef TFOPS_ENGINE_PROBLEM_H
#define TFOPS_ENGINE_PROBLEM_H

#include <stdbool.h>
#include <tfops/spec.h>

/* Strides and element count of a contiguous operand; false when its size overflows. */
bool problem_natural_strides(const struct tfops_problem *problem, size_t operand,
    int64_t ret_strides[TFOPS_MAX_OPERAND_RANK], int64_t *ret_elems);
/* Bytes of one element of an operand. */
size_t problem_operand_bytes(const struct tfops_problem *problem, size_t operand);

#endif
