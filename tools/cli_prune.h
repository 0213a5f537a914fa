/* `tfops-cache prune`: deletes from cache files what is not needed. */
#ifndef TFOPS_TOOLS_CLI_PRUNE_H
#define TFOPS_TOOLS_CLI_PRUNE_H

#include "cli.h"
#include <stddef.h>
#include <tfops/cache.h>

/* older_than: "90d", or NULL; goes into prune.older_than_s. Returns the exit code. */
int cli_prune(struct cli *cli, const char *const *files, size_t n_files,
    struct tfops_prune_options prune, const char *older_than);

#endif
