/*
 * Robust statistics of timing samples: medians, their distribution-free confidence intervals (order
 * statistics, binomial), paired comparison, and the rule that picks a winner. Pure.
 */
#ifndef TFOPS_TUNER_STATS_H
#define TFOPS_TUNER_STATS_H

#include "base/env.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sample_set {
    double *ns; /* in order of measurement */
    uint32_t n, capacity;
};

enum tfops_status sample_set_add(const struct env *env, struct sample_set *set, double ns);
void sample_set_release(const struct env *env, struct sample_set *set);

struct estimate {
    double median, low, high; /* 95% interval of the median; NaN when there are too few samples */
    uint32_t n;
};
/* Needs scratch of n doubles inside; n ≤ 4096 is exact. */
enum tfops_status stats_estimate(
    const struct env *env, const struct sample_set *set, struct estimate *ret_estimate);
/* Half width of the interval over the median; infinity when unknown. */
double stats_relative_width(const struct estimate *estimate);

#endif
