/* Ratios of times (see cli_ratio.h). */
#include "cli_ratio.h"
#include "cli_json.h"
#include <math.h>
#include <stdio.h>

void cli_ratios_add(struct cli_ratios *ratios, double peer_ns, double ours_ns)
{
    if (!(peer_ns > 0 && ours_ns > 0))
        return;
    const double ratio = peer_ns / ours_ns;
    if (!ratios->count || ratio < ratios->least)
        ratios->least = ratio;
    ratios->logs += log(ratio);
    ratios->count++;
}

void cli_ratios_report(const struct cli_ratios *ratios, const struct cli *cli, const char *peer)
{
    if (!ratios->count)
        return;
    const double mean = exp(ratios->logs / (double)ratios->count);
    if (!cli->json) {
        printf("%s ÷ tuned: geometric mean %.3f, least %.3f, %zu problems\n", peer, mean,
            ratios->least, ratios->count);
        return;
    }
    json *line = cli_json_event("summary");
    json_add_string(line, "peer", peer);
    json_add_int(line, "problems", (int64_t)ratios->count);
    json_add_number(line, "geometric_mean", mean);
    json_add_number(line, "least", ratios->least);
    cli_json_emit(line);
}
