/* How a list of problems stands against a peer: its time over ours, all problems alike. */
#ifndef TFOPS_TOOLS_CLI_RATIO_H
#define TFOPS_TOOLS_CLI_RATIO_H

#include "cli.h"

struct cli_ratios {
    size_t count;
    double logs, least; /* sum of logarithms */
};

/* Times that were not measured are left out. */
void cli_ratios_add(struct cli_ratios *ratios, double peer_ns, double ours_ns);
/* Prints the geometric mean and the least, if there are any. */
void cli_ratios_report(const struct cli_ratios *ratios, const struct cli *cli, const char *peer);

#endif
