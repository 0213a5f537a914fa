/* A table on stdout: columns as wide as their widest cell. */
#ifndef TFOPS_TOOLS_CLI_TABLE_H
#define TFOPS_TOOLS_CLI_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cli_table {
    const char *const *heads;
    size_t columns;
    uint32_t right; /* bit i: column i is a number */
    char **cells;
    size_t n_cells, capacity;
    bool failed; /* memory ran out: the table says so instead of missing rows silently */
};

void cli_table_init(
    struct cli_table *table, const char *const *heads, size_t columns, uint32_t right);
/* Adds the next cell, row by row. */
void cli_table_cell(struct cli_table *table, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void cli_table_print(const struct cli_table *table);
void cli_table_release(struct cli_table *table);

#endif
