/* `tfops-cache verify`: every page, row and digest of cache files. */
#ifndef TFOPS_TOOLS_CLI_VERIFY_H
#define TFOPS_TOOLS_CLI_VERIFY_H

#include "cli.h"
#include <stddef.h>

/* Returns the exit code. A file that cannot be opened counts as one bad thing: the summary must not
 * look clean. */
int cli_verify(struct cli *cli, const char *const *files, size_t n_files);

#endif
