/* tfops-cache explain: what an engine would run for a problem, and the records that speak to it. */
#ifndef TFOPS_TOOLS_CLI_EXPLAIN_H
#define TFOPS_TOOLS_CLI_EXPLAIN_H

#include "cli.h"
#include "cli_options.h"

struct cli_explain {
    const char *const *files; /* the first as the user's cache (read only), the others shipped */
    size_t n_files;
    const char *device, *arch, *dtype; /* may be NULL */
    const struct cli_list *plugins;
};

/* `words` is OP DIM=VALUE…. Returns the exit code. */
int cli_explain(
    const struct cli *cli, const struct cli_explain *explain, const struct cli_list *words);

#endif
