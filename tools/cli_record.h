/* Cache records and binaries, for people and as JSON. */
#ifndef TFOPS_TOOLS_CLI_RECORD_H
#define TFOPS_TOOLS_CLI_RECORD_H

#include "cli_json.h"
#include "cli_table.h"
#include <stdbool.h>
#include <tfops/cache.h>

extern const char *const CLI_RECORD_HEADS[];
#define CLI_RECORD_COLUMNS 10
#define CLI_RECORD_RIGHT 0xf1u
void cli_record_row(struct cli_table *table, const struct tfops_record *record);
/* Every field, one per line. */
void cli_record_print(const struct tfops_record *record);
json *cli_record_json(const struct tfops_record *record);

extern const char *const CLI_BINARY_HEADS[];
#define CLI_BINARY_COLUMNS 9
#define CLI_BINARY_RIGHT 0x78u
void cli_binary_row(struct cli_table *table, const struct tfops_binary *binary);
json *cli_binary_json(const struct tfops_binary *binary);

/* Whether `text` has the word `word` between blanks. */
bool cli_has_word(const char *text, const char *word, size_t bytes);
/* Adds what a file holds to a line. */
void cli_totals_json(json *line, const struct tfops_cache_totals *totals);

#endif
