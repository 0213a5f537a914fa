/*
 * Which variants of an operator are executed without a GPU: defaults, the generic one, each
 * tunable's extremes, and a pairwise covering array over dtypes, options, shapes, alignment and
 * tunables. From the spec's tables alone: a new operator needs no line here.
 */
#ifndef TFOPS_TESTS_EMU_PLAN_H
#define TFOPS_TESTS_EMU_PLAN_H

#include "base/env.h"
#include <tfops/spec.h>

struct emu_variant {
    struct tfops_problem problem; /* its dynamic extent is the one the config was chosen for */
    struct tfops_config config;
};

/* Values of tunables, and pairs of values of any two factors. */
struct emu_coverage {
    size_t values, pairs;
};

struct emu_plan {
    struct emu_variant *variants;
    size_t n, capacity;
    struct emu_coverage all, covered; /* by the pool that is drawn from; by the array */
};

/* How much of it. */
struct emu_share {
    size_t problems; /* that the pool is drawn from */
    size_t most;     /* variants of the covering array; SIZE_MAX: until all pairs are covered */
    bool extremes;
};

/* Exits when memory runs out: a test program's helper. */
void emu_plan_make(const struct tfops_spec *spec, const struct tfops_device *device,
    const struct emu_share *share, struct emu_plan *ret_plan);
void emu_plan_release(struct emu_plan *plan);

#endif
