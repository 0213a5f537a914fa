/*
 * Rows as tables of fields: one description of a struct serves binding, reading and the row digest,
 * so that no field can be stored without being covered by the digest.
 *
 * The digest is the SHA-256 of the table's name and then each field in column order: text and
 * digests as their length (64 bits, little-endian) and bytes, integers as 64 bits two's complement,
 * reals as the 64 bits of their IEEE 754 form, all little-endian.
 */
#ifndef TFOPS_CACHE_ROW_H
#define TFOPS_CACHE_ROW_H

#include "base/hash.h"
#include <sqlite3.h>
#include <stddef.h>
#include <stdint.h>
#include <tfops/status.h>

enum row_type {
    ROW_TEXT,   /* const char * or char * */
    ROW_DIGEST, /* uint8_t[HASH_BYTES] */
    ROW_U32,
    ROW_I32,
    ROW_I64,
    ROW_REAL, /* finite double; -0 is stored as 0, as SQLite does on its own */
};

struct row_field {
    enum row_type type;
    size_t offset; /* in the struct */
};

struct row_table {
    const char *name; /* with the version of the encoding: "record/1" */
    const struct row_field *fields;
    int n;
};

/* Binds the fields to parameters 1 … n and the digest to n + 1. A NULL text counts as "".
 * TFOPS_E_ARGUMENT for a real that is not finite. The struct must live until the step. */
enum tfops_status row_bind(sqlite3_stmt *statement, const struct row_table *table, const void *row);

/*
 * Reads n fields from `column` on and checks the digest in the column after them. Texts point into
 * the statement and live until its next step. TFOPS_E_CACHE: a field has the wrong type or range,
 * or the digest does not hold; TFOPS_E_MEMORY. The error record is not set: bad rows are not
 * failures.
 */
enum tfops_status row_read(
    sqlite3_stmt *statement, int column, const struct row_table *table, void *ret_row);

/* The i-th field's text. */
const char *row_text(const struct row_table *table, int i, const void *row);

#endif
