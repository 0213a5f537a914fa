/* The table of strategies (see strategy.h). */
#include "strategy.h"
#include "base/error.h"
#include <stdio.h>
#include <string.h>

static const struct strategy STRATEGIES[] = {
    {"exhaustive", "every config, in canonical order", strategy_exhaustive_order},
    {"random", "a seeded sample without replacement", strategy_random_order},
};
enum { N_STRATEGIES = sizeof STRATEGIES / sizeof STRATEGIES[0] };

enum tfops_status strategy_find(const char *name, const struct strategy **ret_strategy)
{
    char known[128] = "";
    for (int i = 0; i < N_STRATEGIES; i++) {
        if (!name || !strcmp(name, STRATEGIES[i].name)) {
            *ret_strategy = &STRATEGIES[i];
            return TFOPS_OK;
        }
        size_t at = strlen(known);
        snprintf(known + at, sizeof known - at, "%s%s", at ? ", " : "", STRATEGIES[i].name);
    }
    return error_set(TFOPS_E_UNKNOWN, "strategy", "strategy", known, name);
}
