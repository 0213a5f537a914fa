/* Checks without a GPU: variants executed by the library's emulator (tfops_emulate()). */
#ifndef TFOPS_TOOLS_CLI_EMULATE_H
#define TFOPS_TOOLS_CLI_EMULATE_H

#include "cli.h"
#include "cli_options.h"

struct cli_emulation {
    const struct cli_common *common; /* words and plug-ins */
    const char *arch;                /* NULL: sm_90a */
    const char *dtype, *config;      /* as of --dtype; "K=V K=V", NULL: the default config */
    const char *dump;                /* a folder for sources and objects; NULL: none */
    uint64_t seed;
};

/* One variant of each problem. Prints a line each, or an object with --json; returns an exit code:
 * failed when one is wrong. */
int cli_emulate(const struct cli *cli, const struct cli_emulation *emulation);

#endif
