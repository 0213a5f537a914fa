/*
 * Problems by chance, for what walks over every operator: extents of models beside odd ones, any dtype, option and
 * optional operand. What a list of typical problems does not reach.
 */
#ifndef TFOPS_BUILD_RANDOM_PROBLEM_H
#define TFOPS_BUILD_RANDOM_PROBLEM_H

#include <stdbool.h>
#include <stdint.h>
#include <tfops/plan.h>
#include <tfops/spec.h>

/* A checked problem of the operator; the same of the same *seed, which moves on. False: none of many was one. */
bool random_problem(
    const struct tfops_spec *spec, uint64_t *seed, struct tfops_problem *ret_problem);

#endif
