/* Every config in canonical order; max_configs cuts the tail. */
#include "strategy.h"

uint32_t strategy_exhaustive_order(const struct strategy_options *options, uint32_t *ret_order)
{
    uint32_t n = options->n;
    if (options->max_configs && options->max_configs < n)
        n = options->max_configs;
    for (uint32_t i = 0; i < n; i++)
        ret_order[i] = i;
    return n;
}
