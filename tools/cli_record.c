/* Cache records and binaries (see cli_record.h). */
#include "cli_record.h"
#include "cli_text.h"
#include <stdio.h>
#include <string.h>

const char *const CLI_RECORD_HEADS[CLI_RECORD_COLUMNS] = {
    "id", "op", "problem", "sku", "extent", "time µs", "±", "of default", "date", "config"};
const char *const CLI_BINARY_HEADS[CLI_BINARY_COLUMNS] = {
    "sha256", "op", "arch", "bytes", "regs", "spill", "smem", "state", "config"};

static const char *text_or(const char *text)
{
    return text ? text : "";
}

static void short_digest(char ret_text[13], const uint8_t sha256[32])
{
    for (size_t i = 0; i < 6; i++)
        snprintf(ret_text + 2 * i, 3, "%02x", sha256[i]);
}

/* It comes from what a run had measured when it was interrupted: the next one tunes again. */
static bool is_interrupted(const struct tfops_record *record)
{
    return json_text_has(record->provenance, "interrupted");
}

void cli_record_row(struct cli_table *table, const struct tfops_record *record)
{
    char time[32];
    cli_text_us(time, record->median_ns);
    cli_table_cell(table, "%lld", (long long)record->id);
    cli_table_cell(table, "%s", text_or(record->op));
    cli_table_cell(table, "%s", text_or(record->problem));
    cli_table_cell(table, "%s", text_or(record->sku));
    cli_table_cell(table, "%lld", (long long)record->extent);
    cli_table_cell(table, "%s", time);
    if (record->median_ns > 0)
        cli_table_cell(
            table, "%.1f%%", 50 * (record->high_ns - record->low_ns) / record->median_ns);
    else
        cli_table_cell(table, "-");
    if (record->default_ns > 0)
        cli_table_cell(table, "%.3f", record->median_ns / record->default_ns);
    else
        cli_table_cell(table, "-");
    cli_table_cell(table, "%s%s%s", text_or(record->date),
        record->revalidate ? " (old driver)" : "", is_interrupted(record) ? " (interrupted)" : "");
    cli_table_cell(table, "%s", text_or(record->config));
}

void cli_record_print(const struct tfops_record *record)
{
    char median[32], low[32], high[32], usual[32], second[32], digest[13];
    cli_text_us(median, record->median_ns);
    cli_text_us(low, record->low_ns);
    cli_text_us(high, record->high_ns);
    cli_text_us(usual, record->default_ns);
    cli_text_us(second, record->runner_up_ns);
    short_digest(digest, record->binary_sha256);
    printf("record       %lld\n", (long long)record->id);
    printf("operator     %s, spec version %u\n", text_or(record->op), record->spec_version);
    printf("problem      %s\n", text_or(record->problem));
    printf("extent       %lld\n", (long long)record->extent);
    printf("sku          %s\n", text_or(record->sku));
    printf("config       %s\n", text_or(record->config));
    printf("binary       %s…\n", digest);
    printf("time         %s µs [%s, %s], %u samples\n", median, low, high, record->samples);
    printf("default      %s µs\n", usual);
    printf("runner-up    %s µs  %s\n", second, text_or(record->runner_up));
    printf("error        %.2e\n", record->error);
    if (record->sm_clock_mhz)
        printf("clock        %d MHz\n", record->sm_clock_mhz);
    else
        printf("clock        unknown\n");
    printf("driver       %s%s\n", text_or(record->driver),
        record->revalidate ? " (older than the newest seen: tune again)" : "");
    printf("NVRTC        %s\n", text_or(record->nvrtc));
    printf("host         %s\n", text_or(record->host));
    printf("tfops        %s\n", text_or(record->tfops_version));
    printf("date         %s%s\n", text_or(record->date),
        is_interrupted(record) ? " (of an interrupted run: tune again, or --resume)" : "");
    printf("provenance   %s\n", text_or(record->provenance));
}

json *cli_record_json(const struct tfops_record *record)
{
    json *line = cli_json_event("record");
    json_add_int(line, "id", record->id);
    json_add_string(line, "sku", record->sku);
    json_add_string(line, "op", record->op);
    json_add_int(line, "spec_version", record->spec_version);
    json_add_string(line, "problem", record->problem);
    json_add_int(line, "extent", record->extent);
    json_add_string(line, "config", record->config);
    cli_json_digest(line, "binary_sha256", record->binary_sha256);
    json_add_number(line, "median_ns", record->median_ns);
    json_add_number(line, "low_ns", record->low_ns);
    json_add_number(line, "high_ns", record->high_ns);
    json_add_number(line, "default_ns", record->default_ns);
    json_add_string(line, "runner_up", record->runner_up);
    json_add_number(line, "runner_up_ns", record->runner_up_ns);
    json_add_int(line, "samples", record->samples);
    json_add_number(line, "error", record->error);
    json_add_int(line, "sm_clock_mhz", record->sm_clock_mhz);
    json_add_string(line, "driver", record->driver);
    json_add_string(line, "nvrtc", record->nvrtc);
    json_add_string(line, "host", record->host);
    json_add_string(line, "tfops_version", record->tfops_version);
    json_add_string(line, "date", record->date);
    json_add_bool(line, "revalidate", record->revalidate);
    json_add_bool(line, "interrupted", is_interrupted(record));
    json_add_string(line, "provenance", record->provenance); /* JSON inside a string */
    return line;
}

static const char *binary_state(const struct tfops_binary *binary)
{
    if (!binary->ok)
        return "bad digest";
    return binary->pinned ? "pinned" : "free";
}

void cli_binary_row(struct cli_table *table, const struct tfops_binary *binary)
{
    char digest[13];
    short_digest(digest, binary->sha256);
    cli_table_cell(table, "%s", digest);
    cli_table_cell(table, "%s", text_or(binary->op));
    cli_table_cell(table, "%s", text_or(binary->arch));
    cli_table_cell(table, "%llu", (unsigned long long)binary->bytes);
    cli_table_cell(table, "%u", binary->registers);
    cli_table_cell(table, "%u", binary->spill_bytes);
    cli_table_cell(table, "%u", binary->smem_static_bytes + binary->smem_bytes);
    cli_table_cell(table, "%s", binary_state(binary));
    cli_table_cell(table, "%s", text_or(binary->config));
}

json *cli_binary_json(const struct tfops_binary *binary)
{
    json *line = cli_json_event("binary");
    cli_json_digest(line, "sha256", binary->sha256);
    json_add_string(line, "op", binary->op);
    json_add_string(line, "arch", binary->arch);
    json_add_string(line, "entry", binary->entry);
    json_add_string(line, "config", binary->config);
    json_add_int(line, "bytes", (int64_t)binary->bytes);
    json_add_int(line, "registers", binary->registers);
    json_add_int(line, "spill_bytes", binary->spill_bytes);
    json_add_int(line, "smem_static_bytes", binary->smem_static_bytes);
    json_add_int(line, "smem_bytes", binary->smem_bytes);
    json_add_int(line, "threads", binary->threads);
    json_add_int(line, "cluster", binary->cluster);
    json_add_int(line, "param_bytes", binary->param_bytes);
    json_add_string(line, "nvrtc", binary->nvrtc);
    json_add_string(line, "date", binary->date);
    json_add_bool(line, "pinned", binary->pinned);
    json_add_bool(line, "ok", binary->ok);
    return line;
}

bool cli_has_word(const char *text, const char *word, size_t bytes)
{
    while (text && *text) {
        size_t n = strcspn(text, " ");
        if (n == bytes && memcmp(text, word, bytes) == 0)
            return true;
        text += n + strspn(text + n, " ");
    }
    return false;
}

void cli_totals_json(json *line, const struct tfops_cache_totals *totals)
{
    json_add_int(line, "records", (int64_t)totals->records);
    json_add_int(line, "binaries", (int64_t)totals->binaries);
    json_add_int(line, "unpinned_binaries", (int64_t)totals->unpinned_binaries);
    json_add_int(line, "binary_bytes", (int64_t)totals->binary_bytes);
    json_add_int(line, "file_bytes", (int64_t)totals->file_bytes);
    json_add_int(line, "schema", totals->schema);
}
