/*
 * Strategies: which configs of a space are tried, in which order. A strategy sees indices only; the
 * default (index 0) always comes first. Adding one: a function and a line in the table of
 * strategy.c.
 */
#ifndef TFOPS_TUNER_STRATEGY_H
#define TFOPS_TUNER_STRATEGY_H

#include "base/env.h"
#include <stdint.h>

struct strategy_options {
    uint32_t n;           /* configs in the space, at least 1 */
    uint32_t max_configs; /* 0: the strategy's own default */
    uint64_t seed;
};

struct strategy {
    const char *name, *help;
    /* Writes distinct indices, 0 first, to ret_order (room for options->n); returns how many. */
    uint32_t (*order)(const struct strategy_options *options, uint32_t *ret_order);
};

/* NULL name: the first. TFOPS_E_UNKNOWN lists what there is. */
enum tfops_status strategy_find(const char *name, const struct strategy **ret_strategy);

uint32_t strategy_exhaustive_order(const struct strategy_options *options, uint32_t *ret_order);
uint32_t strategy_random_order(const struct strategy_options *options, uint32_t *ret_order);

#endif
