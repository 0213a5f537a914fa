/* Records in memory (see record_store.h). */
#include "base/mem.h"
#include "cache/record_store.h"
#include "cache/tables.h"
#include <string.h>

void record_release(const struct env *env, struct record *record)
{
    mem_free(env, record->text);
    *record = (struct record){0};
}

void record_list_release(const struct env *env, struct record_list *list)
{
    for (size_t i = 0; i < list->n; i++)
        record_release(env, &list->records[i]);
    mem_free(env, list->records);
    *list = (struct record_list){0};
}

static bool is_text(int i)
{
    return table_record.fields[i].type == ROW_TEXT;
}

static enum tfops_status copy_record(
    const struct env *env, const struct tfops_record *row, struct record *ret_record)
{
    size_t bytes = 0;
    for (int i = 0; i < table_record.n; i++)
        if (is_text(i))
            bytes += strlen(row_text(&table_record, i, row)) + 1;
    char *text = mem_new(env, bytes, 1);
    if (!text)
        return TFOPS_E_MEMORY;
    *ret_record = (struct record){.row = *row, .text = text};
    ret_record->row.size = sizeof *row;
    for (int i = 0; i < table_record.n; i++) {
        if (!is_text(i))
            continue;
        const char *from = row_text(&table_record, i, row);
        size_t length = strlen(from) + 1;
        memcpy(text, from, length);
        memcpy((char *)&ret_record->row + table_record.fields[i].offset, &text, sizeof text);
        text += length;
    }
    return TFOPS_OK;
}

enum tfops_status record_list_add(
    const struct env *env, struct record_list *list, const struct tfops_record *row)
{
    if (list->n == list->capacity) {
        size_t capacity = list->capacity ? 2 * list->capacity : 8;
        void *moved = mem_grow(env, list->records, list->n, capacity, sizeof *list->records);
        if (!moved)
            return TFOPS_E_MEMORY;
        list->records = moved;
        list->capacity = capacity;
    }
    enum tfops_status status = copy_record(env, row, &list->records[list->n]);
    if (!status)
        list->n++;
    return status;
}

static int compare_u64(uint64_t a, uint64_t b)
{
    return (a > b) - (a < b);
}

int record_compare(const struct tfops_record *a, const struct tfops_record *b)
{
    int order = strcmp(a->sku, b->sku);
    if (!order)
        order = strcmp(a->op, b->op);
    if (!order)
        order = compare_u64(a->spec_version, b->spec_version);
    if (!order)
        order = strcmp(a->problem, b->problem);
    return order ? order : (a->extent > b->extent) - (a->extent < b->extent);
}
