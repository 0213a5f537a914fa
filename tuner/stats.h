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

/* Fewest samples that have a 95% interval of the median: 1 − 2·2⁻⁶ = 0.97. */
enum { STATS_MIN_SAMPLES = 6 };

/*
 * Order statistics of the set: the interval [x(k), x(n+1−k)] with the largest k whose coverage is
 * at least 95% whatever the distribution (David and Nagaraja, Order Statistics, 7.1). Allocates
 * scratch of n doubles. An empty set gives NaN.
 */
enum tfops_status stats_estimate(
    const struct env *env, const struct sample_set *set, struct estimate *ret_estimate);
/* The same of n values, which are sorted in place. */
struct estimate stats_estimate_values(double *values, uint32_t n);
/* Half width of the interval over the median; infinity when unknown. */
double stats_relative_width(const struct estimate *estimate);

/*
 * Paired comparison: the estimate of a[i] / b[i] over the samples both have, so that what disturbed
 * a round disturbs both sides of its ratio. For samples of one interleaved run without racing.
 */
enum tfops_status stats_ratio(const struct env *env, const struct sample_set *a,
    const struct sample_set *b, struct estimate *ret_ratio);
/* Whether the first of a stats_ratio(slower, faster) is slower by the margin with 95% confidence.
 */
bool stats_beats(const struct estimate *ratio, double margin);

/*
 * The winner's index among estimates in canonical (space) order. Tied with the best are those whose
 * interval overlaps the best's and whose median is within `margin` of it; of these the first in
 * canonical order that beats the default wins, so that retuning gives the same winner. The default
 * (an index, STATS_NONE: none) stays unless its interval lies above the winner's by the margin.
 * Not measured: median NaN. STATS_NONE when nothing was measured.
 */
#define STATS_NONE UINT32_MAX
uint32_t stats_pick(
    const struct estimate *estimates, uint32_t n, uint32_t default_index, double margin);

#endif
