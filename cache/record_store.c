/*
 * Tuning results and unfinished samples in a cache file (see record_store.h). Each row is checked
 * twice when it is read: its digest holds, and it is what was asked for (an index that lies is
 * found by the second).
 */
#include "cache/record_store.h"
#include "base/error.h"
#include "base/mem.h"
#include "cache/db.h"
#include "cache/tables.h"
#include <string.h>

#define MAX_BAD_ROWS 65536 /* in one look-up: a tree that runs in circles must end */

/* Reading. */

struct look_up {
    const struct record_key *key; /* NULL: by sku */
    const char *sku;              /* NULL: all */
    struct record_list *list;
    size_t first; /* of this look-up in the list */
    int bad;
};

static bool belongs(const struct look_up *look_up, const struct tfops_record *row)
{
    const struct record_key *key = look_up->key;
    if (!key)
        return !look_up->sku || !strcmp(row->sku, look_up->sku);
    return !strcmp(row->sku, key->sku) && !strcmp(row->op, key->op) &&
           row->spec_version == key->spec_version && !strcmp(row->problem, key->problem);
}

static bool ascends(const struct look_up *look_up, const struct tfops_record *row)
{
    const struct record_list *list = look_up->list;
    return list->n == look_up->first || record_compare(&list->records[list->n - 1].row, row) < 0;
}

/* One row; *ret_stop when nothing after it can be trusted. */
static enum tfops_status take_row(
    struct db *db, sqlite3_stmt *statement, struct look_up *look_up, bool *ret_stop)
{
    struct tfops_record row = {.size = sizeof row, .id = sqlite3_column_int64(statement, 0)};
    enum tfops_status status = row_read(statement, 1, &table_record, &row);
    if (status == TFOPS_E_MEMORY)
        return error_set(status, "cache", "record", NULL, NULL);
    const char *why = status                    ? "its digest does not hold"
                      : !belongs(look_up, &row) ? "an index led to it that should not"
                                                : NULL;
    if (why) {
        db_bad_row(db, "record", row.id, why);
        *ret_stop = ++look_up->bad >= MAX_BAD_ROWS;
        return TFOPS_OK;
    }
    if (!ascends(look_up, &row)) {
        db_damaged(db, "records out of order");
        *ret_stop = true;
        return TFOPS_OK;
    }
    return record_list_add(db_env(db), look_up->list, &row);
}

static enum tfops_status take_rows(struct db *db, sqlite3_stmt *statement, struct look_up *look_up)
{
    bool row = true, stop = false;
    enum tfops_status status = TFOPS_OK;
    while (!status && !stop) {
        status = db_step(db, statement, &row);
        if (status || !row)
            break;
        status = take_row(db, statement, look_up, &stop);
    }
    return db_look_up_status(status);
}

static const char FIND[] = "SELECT id, " TABLE_RECORD_COLUMNS " FROM record WHERE sku = ?1 AND "
                           "op = ?2 AND spec_version = ?3 AND problem = ?4 ORDER BY extent";

static int bind_key(sqlite3_stmt *statement, const struct record_key *key)
{
    int rc = sqlite3_bind_text(statement, 1, key->sku, -1, SQLITE_STATIC);
    if (!rc)
        rc = sqlite3_bind_text(statement, 2, key->op, -1, SQLITE_STATIC);
    if (!rc)
        rc = sqlite3_bind_int64(statement, 3, key->spec_version);
    if (!rc)
        rc = sqlite3_bind_text(statement, 4, key->problem, -1, SQLITE_STATIC);
    return rc;
}

static enum tfops_status bind_error(int rc)
{
    return rc ? error_setf(TFOPS_E_MEMORY, rc, "cache", "", "cannot bind: %s", sqlite3_errstr(rc))
              : TFOPS_OK;
}

/* Leaves the list as it was when it fails. */
static enum tfops_status finish(struct db *db, struct look_up *look_up, enum tfops_status status)
{
    while (status && look_up->list->n > look_up->first)
        record_release(db_env(db), &look_up->list->records[--look_up->list->n]);
    return status;
}

enum tfops_status record_store_find(
    struct db *db, const struct record_key *key, struct record_list *list)
{
    struct look_up look_up = {.key = key, .list = list, .first = list->n};
    sqlite3_stmt *statement = NULL;
    enum tfops_status status = db_enter(db, DB_USE_READ);
    if (status)
        return status;
    status = db_look_up_status(db_prepare(db, FIND, &statement));
    if (!status && statement)
        status = bind_error(bind_key(statement, key));
    if (!status && statement)
        status = take_rows(db, statement, &look_up);
    db_reset(statement);
    db_leave(db);
    return finish(db, &look_up, status);
}

#define ORDER " ORDER BY sku, op, spec_version, problem, extent"
static const char LIST_ALL[] = "SELECT id, " TABLE_RECORD_COLUMNS " FROM record" ORDER;
static const char LIST_SKU[] =
    "SELECT id, " TABLE_RECORD_COLUMNS " FROM record WHERE sku = ?1" ORDER;

enum tfops_status record_store_list(struct db *db, const char *sku, struct record_list *list)
{
    struct look_up look_up = {.sku = sku, .list = list, .first = list->n};
    sqlite3_stmt *statement = NULL;
    enum tfops_status status = db_enter(db, DB_USE_READ);
    if (status)
        return status;
    status = db_look_up_status(db_prepare(db, sku ? LIST_SKU : LIST_ALL, &statement));
    if (!status && statement && sku)
        status = bind_error(sqlite3_bind_text(statement, 1, sku, -1, SQLITE_STATIC));
    if (!status && statement)
        status = take_rows(db, statement, &look_up);
    db_reset(statement);
    db_leave(db);
    return finish(db, &look_up, status);
}

/* Writing. */

static const char PUT[] =
    "INSERT OR REPLACE INTO record (" TABLE_RECORD_COLUMNS ") VALUES (" TABLE_RECORD_PARAMETERS ")";
static const char PUT_SAMPLE[] =
    "INSERT OR REPLACE INTO sample (" TABLE_SAMPLE_COLUMNS ") VALUES (" TABLE_SAMPLE_PARAMETERS ")";

static enum tfops_status put_row(
    struct db *db, const char *text, const struct row_table *table, const void *row)
{
    sqlite3_stmt *statement = NULL;
    enum tfops_status status = db_enter(db, DB_USE_WRITE);
    if (status)
        return status;
    status = db_begin(db);
    if (!status) {
        status = db_prepare(db, text, &statement);
        if (!status)
            status = row_bind(statement, table, row);
        if (!status)
            status = db_run(db, statement);
        db_reset(statement);
        status = db_end(db, status);
    }
    db_leave(db);
    return status;
}

static enum tfops_status check_key(
    const char *sku, const char *op, const char *problem, int64_t extent)
{
    if (!sku || !op || !problem)
        return error_set(TFOPS_E_ARGUMENT, "cache", "record", "SKU, operator and problem", "NULL");
    if (extent < 0)
        return error_set(TFOPS_E_RANGE, "cache", "record", "an extent of 0 or more", "a negative");
    return TFOPS_OK;
}

enum tfops_status record_store_put(struct db *db, const struct tfops_record *row)
{
    enum tfops_status status = check_key(row->sku, row->op, row->problem, row->extent);
    return status ? status : put_row(db, PUT, &table_record, row);
}

/* Samples. */

enum tfops_status record_store_put_sample(struct db *db, const struct record_key *key,
    int64_t extent, const char *config, const char *samples_json)
{
    struct table_sample row = {.sku = key->sku,
        .op = key->op,
        .spec_version = key->spec_version,
        .problem = key->problem,
        .extent = extent,
        .config = config,
        .samples = samples_json};
    enum tfops_status status = check_key(key->sku, key->op, key->problem, extent);
    return status ? status : put_row(db, PUT_SAMPLE, &table_sample, &row);
}

/* Config and samples of each row, one after the other, each with its terminator. */
struct sample_texts {
    const struct env *env;
    char *text;
    size_t length, capacity;
};

static enum tfops_status add_text(struct sample_texts *texts, const char *text)
{
    size_t length = strlen(text) + 1;
    if (texts->capacity - texts->length < length) {
        size_t capacity = 2 * texts->capacity + length;
        char *moved = mem_grow(texts->env, texts->text, texts->length, capacity, 1);
        if (!moved)
            return TFOPS_E_MEMORY;
        texts->text = moved;
        texts->capacity = capacity;
    }
    memcpy(texts->text + texts->length, text, length);
    texts->length += length;
    return TFOPS_OK;
}

static bool same_sample_key(
    const struct table_sample *row, const struct record_key *key, int64_t extent)
{
    return !strcmp(row->sku, key->sku) && !strcmp(row->op, key->op) &&
           row->spec_version == key->spec_version && !strcmp(row->problem, key->problem) &&
           row->extent == extent;
}

struct sample_look_up {
    const struct record_key *key;
    int64_t extent;
    struct sample_texts texts;
    size_t last; /* where the last row's config lies in the texts */
    int bad;
};

static enum tfops_status take_sample(
    struct db *db, sqlite3_stmt *statement, struct sample_look_up *look_up, bool *ret_stop)
{
    struct table_sample row;
    struct sample_texts *texts = &look_up->texts;
    int64_t id = sqlite3_column_int64(statement, 0);
    enum tfops_status status = row_read(statement, 1, &table_sample, &row);
    if (status == TFOPS_E_MEMORY)
        return error_set(status, "cache", "sample", NULL, NULL);
    if (status || !same_sample_key(&row, look_up->key, look_up->extent)) {
        db_bad_row(db, "sample", id, "its digest or key does not hold");
        *ret_stop = ++look_up->bad >= MAX_BAD_ROWS;
        return TFOPS_OK;
    }
    if (texts->length && strcmp(texts->text + look_up->last, row.config) >= 0) {
        db_damaged(db, "samples out of order");
        *ret_stop = true;
        return TFOPS_OK;
    }
    look_up->last = texts->length;
    status = add_text(texts, row.config);
    return status ? status : add_text(texts, row.samples);
}

static const char FIND_SAMPLES[] =
    "SELECT id, " TABLE_SAMPLE_COLUMNS " FROM sample WHERE sku = ?1 AND op = ?2 AND "
    "spec_version = ?3 AND problem = ?4 AND extent = ?5 ORDER BY config";

static enum tfops_status read_samples(struct db *db, struct sample_look_up *look_up)
{
    sqlite3_stmt *statement = NULL;
    bool row = true, stop = false;
    enum tfops_status status = db_prepare(db, FIND_SAMPLES, &statement);
    if (!status)
        status = bind_error(bind_key(statement, look_up->key));
    if (!status)
        status = bind_error(sqlite3_bind_int64(statement, 5, look_up->extent));
    while (!status && !stop) {
        status = db_step(db, statement, &row);
        if (status || !row)
            break;
        status = take_sample(db, statement, look_up, &stop);
    }
    db_reset(statement);
    return db_look_up_status(status);
}

enum tfops_status record_store_each_sample(struct db *db, const struct record_key *key,
    int64_t extent, void (*fn)(void *user, const char *config, const char *samples_json),
    void *user)
{
    struct sample_look_up look_up = {.key = key, .extent = extent, .texts.env = db_env(db)};
    enum tfops_status status = db_enter(db, DB_USE_READ);
    if (status)
        return status;
    status = read_samples(db, &look_up);
    db_leave(db);
    for (size_t at = 0; !status && at < look_up.texts.length;) {
        const char *config = look_up.texts.text + at;
        const char *samples = config + strlen(config) + 1;
        fn(user, config, samples);
        at += strlen(config) + strlen(samples) + 2;
    }
    mem_free(db_env(db), look_up.texts.text);
    return status;
}

static const char DROP_SAMPLES[] = "DELETE FROM sample WHERE sku = ?1 AND op = ?2 AND "
                                   "spec_version = ?3 AND problem = ?4 AND extent = ?5";

static enum tfops_status drop(struct db *db, const struct record_key *key, int64_t extent)
{
    sqlite3_stmt *statement;
    enum tfops_status status = db_prepare(db, DROP_SAMPLES, &statement);
    if (!status)
        status = bind_error(bind_key(statement, key));
    if (!status)
        status = bind_error(sqlite3_bind_int64(statement, 5, extent));
    return status ? status : db_run(db, statement);
}

enum tfops_status record_store_drop_samples(
    struct db *db, const struct record_key *key, int64_t extent)
{
    enum tfops_status status = db_enter(db, DB_USE_WRITE);
    if (status)
        return status;
    status = db_begin(db);
    if (!status)
        status = db_end(db, drop(db, key, extent));
    db_leave(db);
    return status;
}
