/* A table on stdout (see cli_table.h). */
#include "cli_table.h"
#include "cli.h"
#include "cli_text.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_COLUMNS 32

void cli_table_init(
    struct cli_table *table, const char *const *heads, size_t columns, uint32_t right)
{
    *table = (struct cli_table){.heads = heads, .columns = columns, .right = right};
}

void cli_table_cell(struct cli_table *table, const char *format, ...)
{
    char text[768];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    void *cells = table->cells;
    char *copy = cli_strdup(text);
    if (!copy || !cli_grow(&cells, &table->capacity, table->n_cells + 1, sizeof *table->cells)) {
        free(copy);
        table->failed = true;
        return;
    }
    table->cells = cells;
    table->cells[table->n_cells++] = copy;
}

static void print_row(const struct cli_table *table, const char *const *cells, const size_t *widths)
{
    for (size_t c = 0; c < table->columns; c++) {
        int pad = (int)(widths[c] - cli_text_width(cells[c]));
        bool right = table->right >> c & 1;
        bool last = c + 1 == table->columns;
        printf("%s%*s%s%*s", c ? "  " : "", right ? pad : 0, "", cells[c], right || last ? 0 : pad,
            "");
    }
    putchar('\n');
}

void cli_table_print(const struct cli_table *table)
{
    size_t widths[MAX_COLUMNS] = {0};
    size_t rows = table->n_cells / table->columns;
    for (size_t c = 0; c < table->columns; c++)
        widths[c] = cli_text_width(table->heads[c]);
    for (size_t i = 0; i < rows * table->columns; i++) {
        size_t width = cli_text_width(table->cells[i]);
        if (width > widths[i % table->columns])
            widths[i % table->columns] = width;
    }
    print_row(table, table->heads, widths);
    for (size_t r = 0; r < rows; r++)
        print_row(table, (const char *const *)table->cells + r * table->columns, widths);
    if (table->failed)
        printf("(out of memory: rows are missing)\n");
}

void cli_table_release(struct cli_table *table)
{
    for (size_t i = 0; i < table->n_cells; i++)
        free(table->cells[i]);
    free(table->cells);
    *table = (struct cli_table){0};
}
