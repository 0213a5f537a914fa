/* Totals, verification, pruning (see audit.h). */
#include "cache/audit.h"
#include "base/error.h"
#include "cache/binary_store.h"
#include "cache/connection.h"
#include "cache/db.h"
#include "cache/tables.h"
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* Totals. */

static const char TOTALS[] =
    "SELECT (SELECT count(*) FROM record), (SELECT count(*) FROM binary), "
    "(SELECT coalesce(sum(length(image)), 0) FROM binary), (SELECT count(*) FROM binary WHERE "
    "sha256 NOT IN (SELECT binary_sha256 FROM record))";

static enum tfops_status totals(struct db *db, struct tfops_cache_totals *ret_totals)
{
    sqlite3_stmt *statement = NULL;
    struct stat st;
    bool row = false;
    enum tfops_status status = db_prepare(db, TOTALS, &statement);
    if (!status)
        status = db_step(db, statement, &row);
    if (!status && row) {
        ret_totals->records = (uint64_t)sqlite3_column_int64(statement, 0);
        ret_totals->binaries = (uint64_t)sqlite3_column_int64(statement, 1);
        ret_totals->binary_bytes = (uint64_t)sqlite3_column_int64(statement, 2);
        ret_totals->unpinned_binaries = (uint64_t)sqlite3_column_int64(statement, 3);
        ret_totals->file_bytes = stat(db_file_path(db), &st) ? 0 : (uint64_t)st.st_size;
        ret_totals->schema = connection_schema_version(); /* others are not opened */
    }
    db_reset(statement);
    return status;
}

enum tfops_status audit_totals(struct db *db, struct tfops_cache_totals *ret_totals)
{
    enum tfops_status status = db_enter(db, DB_USE_READ);
    if (status)
        return status;
    status = totals(db, ret_totals);
    db_leave(db);
    return status;
}

/* Verification. */

struct check {
    struct db *db;
    struct strbuf *lines;
    uint64_t bad;
};

static void say(struct check *check, const char *table, int64_t id, const char *why)
{
    check->bad++;
    strbuf_addf(check->lines, "%s %lld: %s\n", table, (long long)id, why);
}

/* `visit` is called for each row of the statement. A damaged tree ends the walk and is one line:
 * the page check has said more. */
static enum tfops_status walk(struct check *check, const char *text, const char *table,
    enum tfops_status (*visit)(struct check *check, sqlite3_stmt *statement))
{
    sqlite3_stmt *statement = NULL;
    bool row = true;
    int64_t last = INT64_MIN;
    enum tfops_status status = db_prepare(check->db, text, &statement);
    while (!status) {
        status = db_step(check->db, statement, &row);
        if (status || !row)
            break;
        int64_t id = sqlite3_column_int64(statement, 0);
        if (id <= last && last != INT64_MIN)
            status = TFOPS_E_CACHE; /* in circles */
        last = id;
        if (!status)
            status = visit(check, statement);
    }
    db_reset(statement);
    if (status == TFOPS_E_CACHE)
        say(check, table, 0, "rows cannot be read to the end");
    return db_look_up_status(status);
}

static enum tfops_status check_row(
    struct check *check, sqlite3_stmt *statement, const struct row_table *table, void *row)
{
    enum tfops_status status = row_read(statement, 1, table, row);
    if (status == TFOPS_E_CACHE) {
        char name[16];
        snprintf(name, sizeof name, "%.*s", (int)strcspn(table->name, "/"), table->name);
        say(check, name, sqlite3_column_int64(statement, 0), "its digest does not hold");
        return TFOPS_OK;
    }
    return status ? error_set(status, "cache", table->name, NULL, NULL) : TFOPS_OK;
}

static enum tfops_status check_record(struct check *check, sqlite3_stmt *statement)
{
    struct tfops_record row = {0};
    return check_row(check, statement, &table_record, &row);
}

static enum tfops_status check_build(struct check *check, sqlite3_stmt *statement)
{
    struct table_build row;
    return check_row(check, statement, &table_build, &row);
}

static enum tfops_status check_sample(struct check *check, sqlite3_stmt *statement)
{
    struct table_sample row;
    return check_row(check, statement, &table_sample, &row);
}

static enum tfops_status check_binary(struct check *check, sqlite3_stmt *statement)
{
    struct binary row = {.image = NULL};
    enum tfops_status status = check_row(check, statement, &table_binary, &row);
    uint8_t digest[HASH_BYTES];
    size_t bytes = (size_t)sqlite3_column_bytes(statement, 1 + TABLE_BINARY_N);
    const void *image = sqlite3_column_blob(statement, 1 + TABLE_BINARY_N);
    const void *name = sqlite3_column_blob(statement, 1);
    if (status)
        return status;
    hash_bytes(image ? image : "", image ? bytes : 0, digest);
    if (!name || sqlite3_column_bytes(statement, 1) != HASH_BYTES ||
        memcmp(name, digest, HASH_BYTES))
        say(check, "binary", sqlite3_column_int64(statement, 0),
            "its image does not have the digest it is named by");
    return TFOPS_OK;
}

static enum tfops_status check_dangling_record(struct check *check, sqlite3_stmt *statement)
{
    say(check, "record", sqlite3_column_int64(statement, 0), "the binary it pins is missing");
    return TFOPS_OK;
}

static enum tfops_status check_dangling_build(struct check *check, sqlite3_stmt *statement)
{
    say(check, "build", sqlite3_column_int64(statement, 0), "the binary it leads to is missing");
    return TFOPS_OK;
}

#define ROWS(columns, table) "SELECT id, " columns " FROM " table " NOT INDEXED ORDER BY id"
#define DANGLING(table, column)                                                                    \
    "SELECT id FROM " table                                                                        \
    " NOT INDEXED WHERE NOT EXISTS (SELECT 1 FROM binary WHERE sha256 = " column ") ORDER BY id"

static const struct {
    const char *text, *table;
    enum tfops_status (*visit)(struct check *check, sqlite3_stmt *statement);
} CHECKS[] = {
    {ROWS(TABLE_RECORD_COLUMNS, "record"), "record", check_record},
    {ROWS(TABLE_BINARY_COLUMNS ", image", "binary"), "binary", check_binary},
    {ROWS(TABLE_BUILD_COLUMNS, "build"), "build", check_build},
    {ROWS(TABLE_SAMPLE_COLUMNS, "sample"), "sample", check_sample},
    {DANGLING("record", "binary_sha256"), "record", check_dangling_record},
    {DANGLING("build", "build.sha256"), "build", check_dangling_build},
};

/* SQLite's own check of pages and indexes: one row "ok", or one for each finding. */
static enum tfops_status check_pages(struct check *check)
{
    static const char INTEGRITY[] = "PRAGMA integrity_check(100)";
    sqlite3_stmt *statement = NULL;
    bool row = true;
    enum tfops_status status = db_prepare(check->db, INTEGRITY, &statement);
    while (!status) {
        status = db_step(check->db, statement, &row);
        if (status || !row)
            break;
        const char *text = (const char *)sqlite3_column_text(statement, 0);
        if (!text || !strcmp(text, "ok"))
            continue;
        check->bad++;
        strbuf_addf(check->lines, "file: %.*s\n", (int)strcspn(text, "\n"), text);
    }
    db_reset(statement);
    if (status == TFOPS_E_CACHE)
        say(check, "file", 0, "its pages cannot be checked to the end");
    return db_look_up_status(status);
}

enum tfops_status audit_verify(struct db *db, struct strbuf *lines, uint64_t *ret_bad)
{
    struct check check = {.db = db, .lines = lines};
    enum tfops_status status = db_enter(db, DB_USE_READ);
    if (status)
        return status;
    status = check_pages(&check);
    for (size_t i = 0; !status && i < sizeof CHECKS / sizeof *CHECKS; i++)
        status = walk(&check, CHECKS[i].text, CHECKS[i].table, CHECKS[i].visit);
    db_leave(db);
    if (!status && lines->failed)
        status = error_set(TFOPS_E_MEMORY, "cache", "verify", NULL, NULL);
    if (!status)
        *ret_bad = check.bad;
    return status;
}

/* Pruning. ?1 operator, ?2 SKU, ?3 date; NULL matches all. */

#define MATCHES                                                                                    \
    "(?1 IS NULL OR op = ?1) AND (?2 IS NULL OR sku = ?2) AND (?3 IS NULL OR date <= ?3)"
#define BINARY_MATCHES "(?1 IS NULL OR op = ?1) AND (?3 IS NULL OR date <= ?3)"

static const char PRUNE_RECORDS[] = "DELETE FROM record WHERE " MATCHES;
/* Before the records go: binaries that only they pin. */
static const char PRUNE_THEIRS[] =
    "DELETE FROM binary WHERE " BINARY_MATCHES " AND sha256 IN (SELECT binary_sha256 FROM record "
    "WHERE " MATCHES ") AND sha256 NOT IN (SELECT binary_sha256 FROM record WHERE NOT (" MATCHES
    "))";
static const char PRUNE_UNPINNED[] = "DELETE FROM binary WHERE " BINARY_MATCHES
                                     " AND sha256 NOT IN (SELECT binary_sha256 FROM record)";
static const char PRUNE_BUILDS[] =
    "DELETE FROM build WHERE sha256 NOT IN (SELECT sha256 FROM binary)";

static int bind_optional(sqlite3_stmt *statement, int i, const char *text)
{
    if (i > sqlite3_bind_parameter_count(statement))
        return SQLITE_OK;
    return text ? sqlite3_bind_text(statement, i, text, -1, SQLITE_STATIC)
                : sqlite3_bind_null(statement, i);
}

static enum tfops_status delete_rows(
    struct db *db, const char *text, const struct audit_prune *prune, uint64_t *deleted)
{
    sqlite3_stmt *statement = NULL;
    enum tfops_status status = db_prepare(db, text, &statement);
    if (status)
        return status;
    if (bind_optional(statement, 1, prune->op) || bind_optional(statement, 2, prune->sku) ||
        bind_optional(statement, 3, prune->until))
        status = error_set(TFOPS_E_MEMORY, "cache", "prune", NULL, NULL);
    if (!status)
        status = db_run(db, statement);
    if (!status)
        *deleted += (uint64_t)sqlite3_changes64(sqlite3_db_handle(statement));
    db_reset(statement);
    return status;
}

/* A SKU names records only: with it, a binary goes when the last record that pinned it does. */
static enum tfops_status delete_all(
    struct db *db, const struct audit_prune *prune, uint64_t *records, uint64_t *binaries)
{
    uint64_t builds = 0;
    enum tfops_status status = TFOPS_OK;
    if (prune->records && prune->sku)
        status = delete_rows(db, PRUNE_THEIRS, prune, binaries);
    if (!status && prune->records)
        status = delete_rows(db, PRUNE_RECORDS, prune, records);
    if (!status && !prune->sku)
        status = delete_rows(db, PRUNE_UNPINNED, prune, binaries);
    if (!status)
        status = delete_rows(db, PRUNE_BUILDS, prune, &builds);
    return status;
}

static const char VACUUM[] = "VACUUM";

/* Gives the disk its space back where nobody is in the way; the rows are gone either way. */
static void shrink(struct db *db)
{
    sqlite3_stmt *statement;
    struct tfops_error saved;
    error_save(&saved);
    if (!db_prepare(db, VACUUM, &statement))
        (void)db_run(db, statement);
    error_restore(&saved);
}

enum tfops_status audit_prune(
    struct db *db, const struct audit_prune *prune, uint64_t *ret_records, uint64_t *ret_binaries)
{
    uint64_t records = 0, binaries = 0;
    enum tfops_status status = db_enter(db, DB_USE_WRITE);
    if (status)
        return status;
    status = db_begin(db);
    if (!status) {
        status = delete_all(db, prune, &records, &binaries);
        bool keep = !status && !prune->dry_run;
        enum tfops_status end = db_end(db, keep ? TFOPS_OK : TFOPS_E_CANCELLED);
        status = keep ? end : status;
    }
    if (!status && !prune->dry_run && records + binaries)
        shrink(db);
    db_leave(db);
    if (status)
        return status;
    *ret_records = records;
    *ret_binaries = binaries;
    return TFOPS_OK;
}
