/*
 * tfops-cache: looks into cache files and tidies them. Works on files alone; only `explain` opens
 * an engine.
 */
#include "cli.h"
#include "cli_explain.h"
#include "cli_json.h"
#include "cli_options.h"
#include "cli_prune.h"
#include "cli_record.h"
#include "cli_table.h"
#include "cli_text.h"
#include "cli_verify.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tfops/tfops.h>

struct cache_options {
    struct cli_common common;
    struct cli_list caches;
    const char *op, *sku, *device, *arch, *dtype, *older_than;
    bool binaries, records, dry_run;
};

#define AT(field) offsetof(struct cache_options, field)
static const struct cli_option OPTIONS[] = {
    {"--cache", "FILE", CLI_LIST, AT(caches), "a cache file, as FILE; may be given again"},
    {"--op", "OP", CLI_TEXT, AT(op), "list, show, prune: only this operator"},
    {"--sku", "SKU", CLI_TEXT, AT(sku), "list, show, prune: only this SKU, as list prints it"},
    {"--binaries", NULL, CLI_FLAG, AT(binaries), "list: the binaries instead of the records"},
    {"--older-than", "TIME", CLI_TEXT, AT(older_than),
        "prune: only what is at least this old: 90d, 12h, 30m or 10s"},
    {"--records", NULL, CLI_FLAG, AT(records),
        "prune: records too, not only binaries that no record pins"},
    {"--dry-run", NULL, CLI_FLAG, AT(dry_run), "prune: say what would go and change nothing"},
    {"--device", "N|cpu", CLI_TEXT, AT(device), "explain: the device to choose for (default: 0)"},
    {"--arch", "ARCH", CLI_TEXT, AT(arch), "explain: a nominal device of this architecture"},
    {"--dtype", "f16|bf16|…", CLI_TEXT, AT(dtype), "explain: the first dtype"},
    CLI_COMMON_OPTIONS(struct cache_options),
};

static const struct cli_program PROGRAM = {
    "list|verify|stats|prune [FILE…] [OPTION…]\n"
    "show [ID] [FILE…] [OPTION…]\n"
    "explain OP DIM=VALUE… [FILE…] [OPTION…]",
    "Looks into cache files and tidies them. Without FILE: the user's cache.",
    OPTIONS,
    sizeof OPTIONS / sizeof *OPTIONS,
    "list     the records, one line each (--binaries: the binaries)\n"
    "show     records in full: the one with this ID, or all that --op and --sku leave\n"
    "explain  what an engine would run for a problem and why, with the records around it and\n"
    "         measured configs beside the times that the operator's model predicts\n"
    "verify   check every page, row and digest; exits 1 when something is bad\n"
    "stats    totals of each file\n"
    "prune    delete binaries that no record pins (--records: records too)",
};

struct tool {
    struct cli *cli;
    const struct cache_options *options;
    const char **files; /* FILE words and --cache */
    size_t n_files;
    struct cli_list problem; /* explain: OP DIM=VALUE… */
    uint64_t id;             /* show */
    bool has_id;
    struct cli_table table;
    size_t shown;
};

/* ---- list, show ------------------------------------------------------------------------------ */

static bool list_record(void *user, const struct tfops_record *record)
{
    struct tool *tool = user;
    tool->shown++;
    if (tool->cli->json)
        cli_json_emit(cli_record_json(record));
    else
        cli_record_row(&tool->table, record);
    return true;
}

static bool list_binary(void *user, const struct tfops_binary *binary)
{
    struct tool *tool = user;
    if (tool->options->op && (!binary->op || strcmp(binary->op, tool->options->op) != 0))
        return true;
    tool->shown++;
    if (tool->cli->json)
        cli_json_emit(cli_binary_json(binary));
    else
        cli_binary_row(&tool->table, binary);
    return true;
}

static bool show_record(void *user, const struct tfops_record *record)
{
    struct tool *tool = user;
    if (tool->has_id && (record->id < 0 || (uint64_t)record->id != tool->id))
        return true;
    if (tool->cli->json)
        cli_json_emit(cli_record_json(record));
    else if (tool->shown > 0)
        putchar('\n');
    if (!tool->cli->json)
        cli_record_print(record);
    tool->shown++;
    return !tool->has_id;
}

static enum tfops_status list_file(struct tool *tool, struct tfops_cache *cache)
{
    bool binaries = tool->options->binaries;
    if (binaries)
        cli_table_init(&tool->table, CLI_BINARY_HEADS, CLI_BINARY_COLUMNS, CLI_BINARY_RIGHT);
    else
        cli_table_init(&tool->table, CLI_RECORD_HEADS, CLI_RECORD_COLUMNS, CLI_RECORD_RIGHT);
    enum tfops_status status = binaries ? tfops_cache_each_binary(cache, list_binary, tool)
                                        : tfops_cache_each_record(cache, tool->options->op,
                                              tool->options->sku, list_record, tool);
    if (!tool->cli->json)
        cli_table_print(&tool->table);
    cli_table_release(&tool->table);
    return status;
}

static enum tfops_status show_file(struct tool *tool, struct tfops_cache *cache)
{
    return tfops_cache_each_record(cache, tool->options->op, tool->options->sku, show_record, tool);
}

/* ---- stats ----------------------------------------------------------------------------------- */

static enum tfops_status stats_file(struct tool *tool, struct tfops_cache *cache, const char *path)
{
    struct tfops_cache_totals totals = {.size = sizeof totals};
    enum tfops_status status = tfops_cache_totals(cache, &totals);
    if (status != TFOPS_OK)
        return status;
    if (tool->cli->json) {
        json *line = cli_json_event("stats");
        json_add_string(line, "path", path);
        cli_totals_json(line, &totals);
        cli_json_emit(line);
        return TFOPS_OK;
    }
    char file[32], binaries[32];
    cli_text_bytes(file, totals.file_bytes);
    cli_text_bytes(binaries, totals.binary_bytes);
    printf("%s\n  schema %u, %s\n  %llu records\n  %llu binaries, %s, %llu of them not pinned\n",
        path, totals.schema, file, (unsigned long long)totals.records,
        (unsigned long long)totals.binaries, binaries,
        (unsigned long long)totals.unpinned_binaries);
    return TFOPS_OK;
}

/* ---- one handle after the other -------------------------------------------------------------- */

enum verb { VERB_LIST = 0, VERB_SHOW, VERB_EXPLAIN, VERB_VERIFY, VERB_PRUNE, VERB_STATS };
static const char *const VERBS[] = {"list", "show", "explain", "verify", "prune", "stats"};
#define N_VERBS (sizeof VERBS / sizeof *VERBS)

static int read_files(struct tool *tool, enum verb verb)
{
    int code = CLI_OK;
    for (size_t i = 0; i < tool->n_files; i++) {
        struct tfops_cache *cache = NULL;
        enum tfops_status status = tfops_cache_open(tool->files[i], &cache);
        if (!tool->cli->json && tool->n_files > 1 && verb == VERB_LIST && status == TFOPS_OK)
            printf("%s%s\n", i ? "\n" : "", tool->files[i]);
        if (status == TFOPS_OK)
            status = verb == VERB_LIST   ? list_file(tool, cache)
                     : verb == VERB_SHOW ? show_file(tool, cache)
                                         : stats_file(tool, cache, tool->files[i]);
        tfops_cache_close(cache);
        if (status != TFOPS_OK)
            code = cli_fail_last(tool->cli, status, NULL);
    }
    return code;
}

static int run_show(struct tool *tool)
{
    int code = read_files(tool, VERB_SHOW);
    if (code != CLI_OK || tool->shown > 0 || !tool->has_id)
        return code;
    struct tfops_error error;
    char id[32];
    snprintf(id, sizeof id, "%llu", (unsigned long long)tool->id);
    cli_error(&error, TFOPS_E_UNKNOWN, id, "an ID that list prints", id, "no record %s", id);
    return cli_fail(tool->cli, CLI_FAILED, &error);
}

/* ---- the command line ------------------------------------------------------------------------ */

static int find_verb(const struct cli *cli, const char *word, enum verb *ret_verb)
{
    char hint[96];
    struct cli_guess guess = cli_guess_start(word ? word : "");
    for (size_t i = 0; word && i < N_VERBS; i++) {
        if (strcmp(word, VERBS[i]) == 0) {
            *ret_verb = (enum verb)i;
            return CLI_OK;
        }
        cli_guess_try(&guess, VERBS[i]);
    }
    static const char EXPECTED[] = "list, show, explain, verify, prune or stats";
    if (!word)
        return cli_usage(cli, "command", EXPECTED, "", "no command given: %s", EXPECTED);
    cli_guess_text(&guess, hint, sizeof hint);
    return cli_usage(
        cli, word, EXPECTED, word, "unknown command '%.40s'%s (%s)", word, hint, EXPECTED);
}

/*
 * After the verb: `show` takes an ID in front; `explain` takes OP and every word with '='; the rest
 * are files.
 */
static bool sort_words(struct tool *tool, enum verb verb, const char *default_path)
{
    const struct cli_list *words = &tool->options->common.words;
    const struct cli_list *caches = &tool->options->caches;
    tool->files = cli_new(words->count + caches->count + 1, sizeof(char *));
    tool->problem.items = cli_new(words->count, sizeof(char *));
    if (!tool->files || !tool->problem.items)
        return false;
    for (size_t i = 1; i < words->count; i++) {
        const char *word = words->items[i];
        if (verb == VERB_EXPLAIN && (i == 1 || strchr(word, '=')))
            tool->problem.items[tool->problem.count++] = word;
        else if (verb == VERB_SHOW && i == 1 && cli_parse_uint(word, &tool->id))
            tool->has_id = true;
        else
            tool->files[tool->n_files++] = word;
    }
    for (size_t i = 0; i < caches->count; i++)
        tool->files[tool->n_files++] = caches->items[i];
    if (tool->n_files == 0)
        tool->files[tool->n_files++] = default_path;
    return true;
}

static int run_explain(struct tool *tool)
{
    const struct cache_options *options = tool->options;
    struct cli_explain explain = {
        .files = tool->files,
        .n_files = tool->n_files,
        .device = options->device,
        .arch = options->arch,
        .dtype = options->dtype,
        .plugins = &options->common.plugins,
    };
    return cli_explain(tool->cli, &explain, &tool->problem);
}

static int run_prune(struct tool *tool)
{
    const struct cache_options *options = tool->options;
    const struct tfops_prune_options prune = {.size = sizeof prune,
        .op = options->op,
        .sku = options->sku,
        .records = options->records,
        .dry_run = options->dry_run};
    return cli_prune(tool->cli, tool->files, tool->n_files, prune, options->older_than);
}

static int run(struct tool *tool)
{
    static char path[4096];
    const struct cli_list *words = &tool->options->common.words;
    enum verb verb = VERB_LIST;
    int code = find_verb(tool->cli, words->count ? words->items[0] : NULL, &verb);
    if (code != CLI_OK)
        return code;
    enum tfops_status status = tfops_cache_default_path(path, sizeof path);
    if (!sort_words(tool, verb, path))
        return cli_fail_memory(tool->cli);
    if (status != TFOPS_OK && tool->files[0] == path)
        return cli_fail_last(tool->cli, status, NULL);
    switch (verb) {
    case VERB_EXPLAIN:
        return run_explain(tool);
    case VERB_VERIFY:
        return cli_verify(tool->cli, tool->files, tool->n_files);
    case VERB_PRUNE:
        return run_prune(tool);
    case VERB_SHOW:
        return run_show(tool);
    default:
        return read_files(tool, verb);
    }
}

int main(int argc, char **argv)
{
    struct cli cli;
    struct cache_options options = {.common = CLI_COMMON_DEFAULTS};
    struct tool tool = {.cli = &cli, .options = &options};
    int code;
    cli_init(&cli, "tfops-cache", argc, argv);
    if (cli_options_parse(&cli, &PROGRAM, argc, argv, &options.common, &code))
        code = run(&tool);
    free(tool.files);
    free(tool.problem.items);
    cli_options_release(&PROGRAM, &options.common);
    return cli_finish(&cli, code);
}
