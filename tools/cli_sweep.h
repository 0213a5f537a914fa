/* What a tuning run tried, as a table: shared by tfops-tune and the demo. */
#ifndef TFOPS_TOOLS_CLI_SWEEP_H
#define TFOPS_TOOLS_CLI_SWEEP_H

#include "cli_json.h"
#include <stdbool.h>
#include <stddef.h>
#include <tfops/tuner.h>

struct cli_sweep {
    struct tfops_candidate *items; /* their strings are copies */
    size_t count, capacity;
    bool failed; /* memory ran out: some are missing */
};

void cli_sweep_init(struct cli_sweep *sweep);
void cli_sweep_add(struct cli_sweep *sweep, const struct tfops_candidate *candidate);
/* Best first: measured by time, then by how far they came; ties by config, so that runs compare. */
void cli_sweep_sort(struct cli_sweep *sweep);
/* Sorts and prints at most `top` rows (0: all). `roof_ns` 0: unknown. */
void cli_sweep_print(struct cli_sweep *sweep, double roof_ns, size_t top);
void cli_sweep_release(struct cli_sweep *sweep);

/* "winner: …" with interval, default, margin, cold and warm counts: one line, no newline. */
void cli_sweep_verdict(
    const struct tfops_tune_result *result, bool compile_only, char *ret_text, size_t bytes);

json *cli_sweep_candidate_json(const struct tfops_candidate *candidate);
void cli_sweep_result_json(json *line, const struct tfops_tune_result *result);

#endif
