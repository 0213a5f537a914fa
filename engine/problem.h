/* Facts about a problem that several stages need (see problem.c). */
#ifndef TFOPS_ENGINE_PROBLEM_H
#define TFOPS_ENGINE_PROBLEM_H

#include <stdbool.h>
#include <tfops/spec.h>

/* A whole decimal integer. */
bool problem_parse_int(const char *text, int64_t *ret_value);
/* Strides and element count of a contiguous operand; false when its size overflows. */
bool problem_natural_strides(const struct tfops_problem *problem, size_t operand,
    int64_t ret_strides[TFOPS_MAX_OPERAND_RANK], int64_t *ret_elems);
/* Bytes of one element of an operand. */
size_t problem_operand_bytes(const struct tfops_problem *problem, size_t operand);

/* What dtype parameter i is when nothing tells it. */
enum tfops_dtype problem_default_dtype(const struct tfops_problem *problem, size_t i);
/* Bit i: a present operand has dimension i. */
uint32_t problem_told_dims(const struct tfops_problem *problem);
/* Fills the derived dimensions from the others. */
void problem_derive(struct tfops_problem *problem);
/* Sets the dynamic extent and what follows from it. */
void problem_set_extent(struct tfops_problem *problem, int64_t extent);

/* The least extent a tensor may show: 0 of a static or free one only says that no operand has it. */
static inline int64_t problem_least_extent(const struct tfops_dim_spec *dim)
{
    return dim->min || dim->flags & (TFOPS_DIM_DYNAMIC | TFOPS_DIM_DERIVED) ? dim->min : 1;
}

#endif
