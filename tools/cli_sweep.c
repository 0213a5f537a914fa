/* What a tuning run tried, as a table (see cli_sweep.h). */
#include "cli_sweep.h"
#include "cli.h"
#include "cli_table.h"
#include "cli_text.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REASON_COLUMNS 60 /* of a build log in the table; --json has the whole */

void cli_sweep_init(struct cli_sweep *sweep)
{
    *sweep = (struct cli_sweep){0};
}

void cli_sweep_add(struct cli_sweep *sweep, const struct tfops_candidate *candidate)
{
    void *items = sweep->items;
    char *config = cli_strdup(candidate->config_text ? candidate->config_text : "");
    char *text = cli_strdup(candidate->text ? candidate->text : "");
    if (!config || !text ||
        !cli_grow(&items, &sweep->capacity, sweep->count + 1, sizeof *sweep->items)) {
        free(config);
        free(text);
        sweep->failed = true;
        return;
    }
    sweep->items = items;
    struct tfops_candidate *copy = &sweep->items[sweep->count++];
    *copy = *candidate;
    copy->config_text = config;
    copy->text = text;
}

static int compare(const void *left, const void *right)
{
    const struct tfops_candidate *a = left, *b = right;
    double time_a = a->median_ns > 0 && a->verdict == TFOPS_VERDICT_OK ? a->median_ns : INFINITY;
    double time_b = b->median_ns > 0 && b->verdict == TFOPS_VERDICT_OK ? b->median_ns : INFINITY;
    if (time_a != time_b)
        return time_a < time_b ? -1 : 1;
    if (a->verdict != b->verdict)
        return a->verdict < b->verdict ? -1 : 1;
    if (a->spill_bytes != b->spill_bytes)
        return a->spill_bytes < b->spill_bytes ? -1 : 1;
    return strcmp(a->config_text, b->config_text);
}

void cli_sweep_sort(struct cli_sweep *sweep)
{
    if (sweep->count > 1)
        qsort(sweep->items, sweep->count, sizeof *sweep->items, compare);
}

/* Nothing was compiled, so there is nothing to say about resources. */
static bool has_resources(const struct tfops_candidate *candidate)
{
    return candidate->registers > 0;
}

static void add_resources(struct cli_table *table, const struct tfops_candidate *candidate)
{
    uint32_t values[] = {candidate->registers, candidate->spill_bytes, candidate->smem_bytes,
        candidate->blocks_per_sm};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        if (has_resources(candidate))
            cli_table_cell(table, "%u", values[i]);
        else
            cli_table_cell(table, "-");
    }
}

static void add_row(
    struct cli_table *table, const struct tfops_candidate *candidate, double roof_ns)
{
    char time[32];
    bool timed = candidate->median_ns > 0;
    cli_text_us(time, candidate->median_ns);
    cli_table_cell(
        table, "%s%s", candidate->config_text, candidate->is_default ? " (default)" : "");
    add_resources(table, candidate);
    cli_table_cell(table, "%s", time);
    if (timed && roof_ns > 0)
        cli_table_cell(table, "%.1f%%", 100 * roof_ns / candidate->median_ns);
    else
        cli_table_cell(table, "-");
    if (has_resources(candidate) && isfinite(candidate->error))
        cli_table_cell(table, "%.1e", candidate->error);
    else
        cli_table_cell(table, "-");
    char reason[REASON_COLUMNS + 1];
    cli_text_copy(reason, sizeof reason, candidate->text);
    cli_table_cell(table, "%s%s%s%s", tfops_verdict_name(candidate->verdict), reason[0] ? ": " : "",
        reason, strlen(candidate->text) > strlen(reason) ? "…" : "");
}

void cli_sweep_print(struct cli_sweep *sweep, double roof_ns, size_t top)
{
    static const char *const HEADS[] = {
        "config", "regs", "spill", "smem", "blocks/SM", "time µs", "of roof", "error", "verdict"};
    cli_sweep_sort(sweep);
    if (sweep->count == 0)
        return;
    size_t rows = top && top < sweep->count ? top : sweep->count;
    struct cli_table table;
    cli_table_init(&table, HEADS, sizeof HEADS / sizeof *HEADS, 0xfeu);
    for (size_t i = 0; i < rows; i++)
        add_row(&table, &sweep->items[i], roof_ns);
    table.failed |= sweep->failed;
    cli_table_print(&table);
    cli_table_release(&table);
    if (rows < sweep->count)
        printf("… and %zu more (--top 0 prints all)\n", sweep->count - rows);
}

void cli_sweep_release(struct cli_sweep *sweep)
{
    for (size_t i = 0; i < sweep->count; i++) {
        free((char *)sweep->items[i].config_text);
        free((char *)sweep->items[i].text);
    }
    free(sweep->items);
    *sweep = (struct cli_sweep){0};
}

static void measured_verdict(const struct tfops_tune_result *result, char *ret_text, size_t bytes)
{
    char winner[32], low[32], high[32], usual[32], roof[48] = "";
    cli_text_us(winner, result->winner_ns);
    cli_text_us(low, result->winner_low_ns);
    cli_text_us(high, result->winner_high_ns);
    cli_text_us(usual, result->default_ns);
    if (result->roof_ns > 0)
        snprintf(roof, sizeof roof, ", %.1f%% of the copy roof",
            100 * result->roof_ns / result->winner_ns);
    if (result->winner_is_default)
        snprintf(ret_text, bytes, "winner: %s, the default: %s µs [%s, %s]%s, error %.1e",
            result->winner_text, winner, low, high, roof, result->error);
    else
        snprintf(ret_text, bytes,
            "winner: %s: %s µs [%s, %s]%s, error %.1e; default %s µs: %.3f times faster",
            result->winner_text, winner, low, high, roof, result->error, usual, result->speedup);
}

void cli_sweep_verdict(
    const struct tfops_tune_result *result, bool compile_only, char *ret_text, size_t bytes)
{
    char head[1024] = "nothing measured";
    if (compile_only)
        snprintf(head, sizeof head, "binaries");
    else if (result->winner_ns > 0)
        measured_verdict(result, head, sizeof head);
    if (result->configs == 0 && result->winner_ns > 0)
        snprintf(ret_text, bytes, "%s; already recorded (--force tunes again)", head);
    else
        snprintf(ret_text, bytes,
            "%s; %u configs: %u compiled, %u from the cache, %u verified, %u rejected, %u failed "
            "in %.1f s%s",
            head, result->configs, result->compiled, result->cached, result->verified,
            result->rejected, result->failed, result->seconds,
            compile_only || result->recorded ? "" : "; not recorded");
}

json *cli_sweep_candidate_json(const struct tfops_candidate *candidate)
{
    json *line = cli_json_event("candidate");
    json_add_string(line, "config", candidate->config_text);
    json_add_string(line, "verdict", tfops_verdict_name(candidate->verdict));
    json_add_bool(line, "default", candidate->is_default);
    json_add_bool(line, "cached", candidate->cached);
    json_add_int(line, "registers", candidate->registers);
    json_add_int(line, "spill_bytes", candidate->spill_bytes);
    json_add_int(line, "smem_bytes", candidate->smem_bytes);
    json_add_int(line, "threads", candidate->threads);
    json_add_int(line, "cluster", candidate->cluster);
    json_add_int(line, "blocks_per_sm", candidate->blocks_per_sm);
    json_add_number(line, "compile_ms", candidate->compile_ms);
    json_add_number(line, "error", candidate->error);
    cli_json_measured(line, "median_ns", candidate->median_ns);
    cli_json_measured(line, "low_ns", candidate->low_ns);
    cli_json_measured(line, "high_ns", candidate->high_ns);
    json_add_int(line, "samples", candidate->samples);
    json_add_string(line, "text", candidate->text);
    return line;
}

void cli_sweep_result_json(json *line, const struct tfops_tune_result *result)
{
    json_add_string(line, "winner", result->winner_text[0] ? result->winner_text : NULL);
    json_add_bool(line, "winner_is_default", result->winner_is_default);
    json_add_bool(line, "recorded", result->recorded);
    cli_json_measured(line, "winner_ns", result->winner_ns);
    cli_json_measured(line, "winner_low_ns", result->winner_low_ns);
    cli_json_measured(line, "winner_high_ns", result->winner_high_ns);
    cli_json_measured(line, "default_ns", result->default_ns);
    cli_json_measured(line, "roof_ns", result->roof_ns);
    cli_json_measured(line, "speedup", result->speedup);
    json_add_number(line, "error", result->error);
    json_add_int(line, "configs", result->configs);
    json_add_int(line, "compiled", result->compiled);
    json_add_int(line, "cached", result->cached);
    json_add_int(line, "verified", result->verified);
    json_add_int(line, "rejected", result->rejected);
    json_add_int(line, "failed", result->failed);
    json_add_number(line, "seconds", result->seconds);
}
