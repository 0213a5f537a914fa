/*
 * What the tables of all specs share: sets of dtypes, rows of struct tfops_spec, sizes, and the
 * wording of refusals ("x: expected …, got …").
 */
#ifndef TFOPS_KERNELS_SPEC_TABLES_H
#define TFOPS_KERNELS_SPEC_TABLES_H

#include <stdarg.h>
#include <stdio.h>
#include <tfops/spec.h>

#define SPEC_FLOATS (1u << TFOPS_F32 | 1u << TFOPS_F16 | 1u << TFOPS_BF16)
#define SPEC_FP8 (1u << TFOPS_E4M3 | 1u << TFOPS_E5M2)
#define SPEC_INDICES (1u << TFOPS_I32 | 1u << TFOPS_I64)

/* A table and its length, as two fields of a spec. */
#define SPEC_TABLE(field, array) .field = array, .n_##field = sizeof array / sizeof array[0]

static inline uint64_t spec_elem_bytes(const struct tfops_problem *problem, size_t dtype)
{
    return tfops_dtype_bytes((enum tfops_dtype)problem->dtypes[dtype]);
}

static inline bool spec_has(const struct tfops_problem *problem, size_t operand)
{
    return problem->present >> operand & 1;
}

/* Writes the reason of a refusal and returns false, so that it is one statement. */
__attribute__((format(printf, 2, 3))) static inline bool spec_refuse(
    char reason[TFOPS_REASON_BYTES], const char *format, ...)
{
    va_list list;
    va_start(list, format);
    vsnprintf(reason, TFOPS_REASON_BYTES, format, list);
    va_end(list);
    return false;
}

#endif
