/* Pruning cache files (see cli_prune.h). */
#include "cli_prune.h"
#include "cli_json.h"
#include "cli_options.h"
#include "cli_text.h"
#include <stdio.h>
#include <string.h>

static bool parse_age(const char *text, int64_t *ret_seconds)
{
    static const struct {
        char unit;
        int64_t seconds;
    } UNITS[] = {{'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}};
    char number[24];
    uint64_t count;
    size_t length = strlen(text);
    if (length < 2 || length >= sizeof number)
        return false;
    memcpy(number, text, length - 1);
    number[length - 1] = 0;
    for (size_t i = 0; i < sizeof UNITS / sizeof *UNITS; i++)
        if (text[length - 1] == UNITS[i].unit && cli_parse_uint(number, &count) &&
            count <= (uint64_t)(INT64_MAX / UNITS[i].seconds)) {
            *ret_seconds = (int64_t)count * UNITS[i].seconds;
            return true;
        }
    return false;
}

static void prune_line(
    const struct cli *cli, bool dry, const char *path, uint64_t records, uint64_t binaries)
{
    if (!cli->json) {
        printf("%s: %s %llu records and %llu binaries\n", path, dry ? "would delete" : "deleted",
            (unsigned long long)records, (unsigned long long)binaries);
        return;
    }
    json *line = cli_json_event("prune");
    json_add_string(line, "path", path);
    json_add_int(line, "records", (int64_t)records);
    json_add_int(line, "binaries", (int64_t)binaries);
    json_add_bool(line, "dry_run", dry);
    cli_json_emit(line);
}

int cli_prune(struct cli *cli, const char *const *files, size_t n_files,
    struct tfops_prune_options prune, const char *older_than)
{
    if (older_than && !parse_age(older_than, &prune.older_than_s))
        return cli_usage(cli, "--older-than", "90d, 12h, 30m or 10s", older_than,
            "--older-than: '%.40s' is not like 90d, 12h, 30m or 10s", older_than);
    int code = CLI_OK;
    for (size_t i = 0; i < n_files; i++) {
        struct tfops_cache *cache = NULL;
        uint64_t records = 0, binaries = 0;
        enum tfops_status status = tfops_cache_open_writable(files[i], &cache);
        if (status == TFOPS_OK)
            status = tfops_cache_prune(cache, &prune, &records, &binaries);
        tfops_cache_close(cache);
        if (status == TFOPS_OK)
            prune_line(cli, prune.dry_run, files[i], records, binaries);
        else
            code = cli_fail_last(cli, status, NULL);
    }
    return code;
}
