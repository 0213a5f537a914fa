/* Binding, reading and digests of rows (see row.h). Knows no table and no SQL. */
#include "cache/row.h"
#include "base/error.h"
#include <math.h>
#include <stdbool.h>
#include <string.h>

static const void *at(const struct row_table *table, int i, const void *row)
{
    return (const char *)row + table->fields[i].offset;
}

const char *row_text(const struct row_table *table, int i, const void *row)
{
    const char *text;
    memcpy(&text, at(table, i, row), sizeof text);
    return text ? text : "";
}

static int64_t integer(const struct row_table *table, int i, const void *row)
{
    const void *field = at(table, i, row);
    switch (table->fields[i].type) {
    case ROW_U32:
        return *(const uint32_t *)field;
    case ROW_I32:
        return *(const int32_t *)field;
    default:
        return *(const int64_t *)field;
    }
}

static double real(const struct row_table *table, int i, const void *row)
{
    return *(const double *)at(table, i, row) + 0.0; /* makes -0 a 0 */
}

static void add_field(struct hash *hash, const struct row_table *table, int i, const void *row)
{
    uint64_t bits;
    double value;
    switch (table->fields[i].type) {
    case ROW_TEXT:
        hash_add_string(hash, row_text(table, i, row));
        break;
    case ROW_DIGEST:
        hash_add_u64(hash, HASH_BYTES);
        hash_add(hash, at(table, i, row), HASH_BYTES);
        break;
    case ROW_REAL:
        value = real(table, i, row);
        memcpy(&bits, &value, sizeof bits);
        hash_add_u64(hash, bits);
        break;
    default:
        hash_add_u64(hash, (uint64_t)integer(table, i, row));
    }
}

static void digest(const struct row_table *table, const void *row, uint8_t ret_digest[HASH_BYTES])
{
    struct hash hash;
    hash_init(&hash);
    hash_add_string(&hash, table->name);
    for (int i = 0; i < table->n; i++)
        add_field(&hash, table, i, row);
    hash_final(&hash, ret_digest);
}

static int bind_field(
    sqlite3_stmt *statement, const struct row_table *table, int i, const void *row)
{
    switch (table->fields[i].type) {
    case ROW_TEXT:
        return sqlite3_bind_text(statement, i + 1, row_text(table, i, row), -1, SQLITE_STATIC);
    case ROW_DIGEST:
        return sqlite3_bind_blob(statement, i + 1, at(table, i, row), HASH_BYTES, SQLITE_STATIC);
    case ROW_REAL:
        return sqlite3_bind_double(statement, i + 1, real(table, i, row));
    default:
        return sqlite3_bind_int64(statement, i + 1, integer(table, i, row));
    }
}

enum tfops_status row_bind(sqlite3_stmt *statement, const struct row_table *table, const void *row)
{
    for (int i = 0; i < table->n; i++) {
        if (table->fields[i].type == ROW_REAL && !isfinite(real(table, i, row)))
            return error_setf(TFOPS_E_ARGUMENT, 0, "cache", table->name,
                "column %d is not a finite number", i + 1);
        int rc = bind_field(statement, table, i, row);
        if (rc)
            return error_setf(rc == SQLITE_TOOBIG ? TFOPS_E_RANGE : TFOPS_E_MEMORY, rc, "cache",
                table->name, "cannot bind column %d: %s", i + 1, sqlite3_errstr(rc));
    }
    uint8_t bytes[HASH_BYTES];
    digest(table, row, bytes);
    int rc = sqlite3_bind_blob(statement, table->n + 1, bytes, HASH_BYTES, SQLITE_TRANSIENT);
    return rc ? error_setf(TFOPS_E_MEMORY, rc, "cache", table->name, "cannot bind the digest")
              : TFOPS_OK;
}

static enum tfops_status read_text(sqlite3_stmt *statement, int column, void *ret_field)
{
    if (sqlite3_column_type(statement, column) != SQLITE_TEXT)
        return TFOPS_E_CACHE;
    const char *text = (const char *)sqlite3_column_text(statement, column);
    if (!text)
        return TFOPS_E_MEMORY;
    if (strlen(text) != (size_t)sqlite3_column_bytes(statement, column))
        return TFOPS_E_CACHE;
    memcpy(ret_field, &text, sizeof text);
    return TFOPS_OK;
}

static enum tfops_status read_digest(sqlite3_stmt *statement, int column, uint8_t *ret_digest)
{
    if (sqlite3_column_type(statement, column) != SQLITE_BLOB ||
        sqlite3_column_bytes(statement, column) != HASH_BYTES)
        return TFOPS_E_CACHE;
    const void *bytes = sqlite3_column_blob(statement, column);
    if (!bytes)
        return TFOPS_E_MEMORY;
    memcpy(ret_digest, bytes, HASH_BYTES);
    return TFOPS_OK;
}

static enum tfops_status read_integer(
    sqlite3_stmt *statement, int column, enum row_type type, void *ret_field)
{
    if (sqlite3_column_type(statement, column) != SQLITE_INTEGER)
        return TFOPS_E_CACHE;
    int64_t value = sqlite3_column_int64(statement, column);
    if (type == ROW_U32) {
        if (value < 0 || value > UINT32_MAX)
            return TFOPS_E_CACHE;
        *(uint32_t *)ret_field = (uint32_t)value;
    } else if (type == ROW_I32) {
        if (value < INT32_MIN || value > INT32_MAX)
            return TFOPS_E_CACHE;
        *(int32_t *)ret_field = (int32_t)value;
    } else {
        *(int64_t *)ret_field = value;
    }
    return TFOPS_OK;
}

static enum tfops_status read_real(sqlite3_stmt *statement, int column, double *ret_value)
{
    if (sqlite3_column_type(statement, column) != SQLITE_FLOAT)
        return TFOPS_E_CACHE;
    double value = sqlite3_column_double(statement, column);
    if (!isfinite(value))
        return TFOPS_E_CACHE;
    *ret_value = value;
    return TFOPS_OK;
}

static enum tfops_status read_field(
    sqlite3_stmt *statement, int column, enum row_type type, void *ret_field)
{
    switch (type) {
    case ROW_TEXT:
        return read_text(statement, column, ret_field);
    case ROW_DIGEST:
        return read_digest(statement, column, ret_field);
    case ROW_REAL:
        return read_real(statement, column, ret_field);
    default:
        return read_integer(statement, column, type, ret_field);
    }
}

enum tfops_status row_read(
    sqlite3_stmt *statement, int column, const struct row_table *table, void *ret_row)
{
    for (int i = 0; i < table->n; i++) {
        void *field = (char *)ret_row + table->fields[i].offset;
        enum tfops_status status = read_field(statement, column + i, table->fields[i].type, field);
        if (status)
            return status;
    }
    uint8_t stored[HASH_BYTES], computed[HASH_BYTES];
    enum tfops_status status = read_digest(statement, column + table->n, stored);
    if (status)
        return status;
    digest(table, ret_row, computed);
    return memcmp(stored, computed, HASH_BYTES) ? TFOPS_E_CACHE : TFOPS_OK;
}
