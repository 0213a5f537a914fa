/* The first SIGINT or SIGTERM sets a flag, so that a run stops cleanly; the second one kills. */
#ifndef TFOPS_TOOLS_CLI_CANCEL_H
#define TFOPS_TOOLS_CLI_CANCEL_H

#include <stdbool.h>

/* `text` is a constant that goes to stderr at the first one. */
void cli_cancel_install(const char *text);
#define CLI_CANCEL_KEEPS "\nstopping; what was measured is kept (once more: stop now)\n"
/* For tfops_tune_options.cancel. */
const volatile int *cli_cancel_flag(void);
bool cli_cancelled(void);

#endif
