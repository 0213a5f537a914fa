/* Verifying cache files (see cli_verify.h). */
#include "cli_verify.h"
#include "cli_json.h"
#include "cli_record.h"
#include <stdio.h>
#include <tfops/tfops.h>

static void bad_row(void *user, const char *problem)
{
    const struct cli *cli = user;
    if (!cli->json) {
        printf("  %s\n", problem);
        return;
    }
    json *line = cli_json_event("bad");
    json_add_string(line, "problem", problem);
    cli_json_emit(line);
}

static void verify_line(
    const struct cli *cli, const char *path, const struct tfops_cache_totals *totals)
{
    if (!cli->json) {
        printf("%s: %llu records, %llu binaries, %llu bad\n", path,
            (unsigned long long)totals->records, (unsigned long long)totals->binaries,
            (unsigned long long)totals->bad);
        return;
    }
    json *line = cli_json_event("file");
    json_add_string(line, "path", path);
    cli_totals_json(line, totals);
    json_add_int(line, "bad", (int64_t)totals->bad);
    cli_json_emit(line);
}

int cli_verify(struct cli *cli, const char *const *files, size_t n_files)
{
    uint64_t records = 0, binaries = 0, bad = 0;
    for (size_t i = 0; i < n_files; i++) {
        struct tfops_cache *cache = NULL;
        struct tfops_cache_totals totals = {.size = sizeof totals};
        enum tfops_status status = tfops_cache_open(files[i], &cache);
        if (status == TFOPS_OK)
            status = tfops_cache_verify(cache, bad_row, cli, &totals);
        tfops_cache_close(cache);
        if (status == TFOPS_OK)
            verify_line(cli, files[i], &totals);
        else
            cli_fail_last(cli, status, NULL);
        records += totals.records;
        binaries += totals.binaries;
        bad += status == TFOPS_OK ? totals.bad : 1;
    }
    if (cli->json) {
        json *line = cli_json_event("summary");
        json_add_int(line, "records", (int64_t)records);
        json_add_int(line, "binaries", (int64_t)binaries);
        json_add_int(line, "bad", (int64_t)bad);
        cli_json_emit(line);
    }
    return bad ? CLI_FAILED : CLI_OK;
}
