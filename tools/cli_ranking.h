/*
 * A record's measured configs beside what the operator's model predicts of them: how far the model,
 * which decides what is compiled at all, can be trusted.
 */
#ifndef TFOPS_TOOLS_CLI_RANKING_H
#define TFOPS_TOOLS_CLI_RANKING_H

#include "cli_json.h"
#include <stdbool.h>
#include <stddef.h>
#include <tfops/cache.h>
#include <tfops/spec.h>

/* Ranks count from 1, equals share the mean of theirs. What the model does not tell is NaN. */
struct cli_ranked {
    char config[512];
    double measured_ns, measured_rank;
    double predicted_ns, predicted_rank;
};

struct cli_ranking {
    struct cli_ranked *rows; /* the fastest first */
    size_t n;
    double correlation; /* Spearman's, of the ranks; NaN where they do not tell */
    bool has_model;
    int64_t record, extent;
    char sku[256];
};

/*
 * Of the configs that `record` keeps, which is about `problem` at some extent; n is 0 where it keeps
 * none. False without memory. Release it.
 */
bool cli_ranking_make(const struct tfops_problem *problem, const struct tfops_device *device,
    const struct tfops_record *record, struct cli_ranking *ret_ranking);
void cli_ranking_release(struct cli_ranking *ranking);

void cli_ranking_print(const struct cli_ranking *ranking, const struct tfops_problem *problem,
    const struct tfops_device *device);
json *cli_ranking_json(const struct cli_ranking *ranking);

#endif
