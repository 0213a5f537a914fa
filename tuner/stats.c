/* Statistics of timing samples (see stats.h). */
#include "stats.h"
#include "base/mem.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum tfops_status sample_set_add(const struct env *env, struct sample_set *set, double ns)
{
    if (set->n == set->capacity) {
        uint32_t capacity = set->capacity ? 2 * set->capacity : 32;
        double *moved = mem_grow(env, set->ns, set->n, capacity, sizeof *moved);
        if (!moved)
            return TFOPS_E_MEMORY;
        set->ns = moved;
        set->capacity = capacity;
    }
    set->ns[set->n++] = ns;
    return TFOPS_OK;
}

void sample_set_release(const struct env *env, struct sample_set *set)
{
    mem_free(env, set->ns);
    memset(set, 0, sizeof *set);
}

static int ascending(const void *left, const void *right)
{
    double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

/*
 * The largest k ≥ 1 with P(Binomial(n, ½) < k) ≤ 0.025, 0 when there is none. Summed in logarithms:
 * 2⁻ⁿ underflows from n = 1075 on.
 */
static uint32_t interval_rank(uint32_t n)
{
    double log_term = -(double)n * log(2.0), below = 0;
    for (uint32_t k = 0; k < n; k++) {
        below += exp(log_term);
        if (below > 0.025)
            return k;
        log_term += log((double)(n - k) / (double)(k + 1));
    }
    return 0;
}

struct estimate stats_estimate_values(double *values, uint32_t n)
{
    struct estimate estimate = {NAN, NAN, NAN, n};
    if (!n)
        return estimate;
    qsort(values, n, sizeof *values, ascending);
    estimate.median = n % 2 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
    uint32_t rank = interval_rank(n);
    if (rank) {
        estimate.low = values[rank - 1];
        estimate.high = values[n - rank];
    }
    return estimate;
}

enum tfops_status stats_estimate(
    const struct env *env, const struct sample_set *set, struct estimate *ret_estimate)
{
    double *sorted = mem_copy(env, set->ns, set->n * sizeof *sorted);
    if (!sorted)
        return TFOPS_E_MEMORY;
    *ret_estimate = stats_estimate_values(sorted, set->n);
    mem_free(env, sorted);
    return TFOPS_OK;
}

double stats_relative_width(const struct estimate *estimate)
{
    double width = (estimate->high - estimate->low) / 2 / estimate->median;
    return width >= 0 ? width : INFINITY;
}

enum tfops_status stats_ratio(const struct env *env, const struct sample_set *a,
    const struct sample_set *b, struct estimate *ret_ratio)
{
    uint32_t n = a->n < b->n ? a->n : b->n;
    double *ratios = mem_new(env, n, sizeof *ratios);
    if (!ratios)
        return TFOPS_E_MEMORY;
    for (uint32_t i = 0; i < n; i++)
        ratios[i] = a->ns[i] / b->ns[i];
    *ret_ratio = stats_estimate_values(ratios, n);
    mem_free(env, ratios);
    return TFOPS_OK;
}

bool stats_beats(const struct estimate *ratio, double margin)
{
    return ratio->low > 1 + margin;
}

/* What a candidate with too few samples for an interval is taken for: a point. */
static double low_of(const struct estimate *estimate)
{
    return isnan(estimate->low) ? estimate->median : estimate->low;
}

static uint32_t fastest(const struct estimate *estimates, uint32_t n, uint32_t default_index)
{
    uint32_t best =
        default_index < n && !isnan(estimates[default_index].median) ? default_index : STATS_NONE;
    for (uint32_t i = 0; i < n; i++)
        if (!isnan(estimates[i].low) &&
            (best == STATS_NONE || estimates[i].median < estimates[best].median))
            best = i;
    return best;
}

static bool tied(const struct estimate *candidate, const struct estimate *best, double margin)
{
    return candidate->low <= best->high && candidate->median <= best->median * (1 + margin);
}

uint32_t stats_pick(
    const struct estimate *estimates, uint32_t n, uint32_t default_index, double margin)
{
    uint32_t best = fastest(estimates, n, default_index);
    if (best == STATS_NONE || best == default_index)
        return best;
    double bar = INFINITY; /* the winner's interval must end below */
    if (default_index < n && !isnan(estimates[default_index].median))
        bar = low_of(&estimates[default_index]) / (1 + margin);
    for (uint32_t i = 0; i < n; i++)
        if (i != default_index && tied(&estimates[i], &estimates[best], margin) &&
            estimates[i].high < bar)
            return i;
    return default_index;
}
