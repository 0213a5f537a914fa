/* A seeded sample without replacement: the prefix of a Fisher-Yates permutation, so that a longer
 * run with the same seed tries the same configs first. The default is outside the draw. */
#include "strategy.h"

enum { DEFAULT_CONFIGS = 64 };

/* splitmix64 (Steele, Lea, Flood 2014): the same numbers on every machine. */
static uint64_t next_random(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15ull;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
}

/* Uniform below `bound` by rejection. */
static uint32_t random_below(uint64_t *state, uint32_t bound)
{
    uint64_t limit = UINT64_MAX - UINT64_MAX % bound, value;
    do {
        value = next_random(state);
    } while (value >= limit);
    return (uint32_t)(value % bound);
}

uint32_t strategy_random_order(const struct strategy_options *options, uint32_t *ret_order)
{
    uint32_t wanted = options->max_configs ? options->max_configs : DEFAULT_CONFIGS;
    uint32_t n = wanted < options->n ? wanted : options->n;
    uint64_t state = options->seed;
    for (uint32_t i = 0; i < options->n; i++)
        ret_order[i] = i;
    for (uint32_t i = 1; i < n; i++) {
        uint32_t other = i + random_below(&state, options->n - i);
        uint32_t taken = ret_order[other];
        ret_order[other] = ret_order[i];
        ret_order[i] = taken;
    }
    return n;
}
