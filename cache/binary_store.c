/*
 * Compiled kernels in a cache file (see binary_store.h). A binary is given out only when its row
 * digest holds, it is the one that was asked for, and its image has the SHA-256 it is named by.
 */
#include "cache/binary_store.h"
#include "base/error.h"
#include "base/mem.h"
#include "cache/connection.h"
#include "cache/db.h"
#include "cache/tables.h"
#include <string.h>

/* Copies. */

void binary_release(const struct env *env, struct binary *binary)
{
    char *texts[] = {
        binary->op, binary->arch, binary->entry, binary->config, binary->nvrtc, binary->date};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        mem_free(env, texts[i]);
    mem_free(env, binary->image);
    *binary = (struct binary){0};
}

static bool copy_text(const struct env *env, const char *from, char **ret_text)
{
    *ret_text = mem_strdup(env, from ? from : "");
    return *ret_text != NULL;
}

enum tfops_status binary_copy(
    const struct env *env, const struct binary *from, struct binary *ret_binary)
{
    struct binary copy = *from;
    copy.op = copy.arch = copy.entry = copy.config = copy.nvrtc = copy.date = NULL;
    copy.image = NULL;
    bool copied =
        copy_text(env, from->op, &copy.op) && copy_text(env, from->arch, &copy.arch) &&
        copy_text(env, from->entry, &copy.entry) && copy_text(env, from->config, &copy.config) &&
        copy_text(env, from->nvrtc, &copy.nvrtc) && copy_text(env, from->date, &copy.date);
    if (copied && from->image) {
        copy.image = mem_copy(env, from->image, from->image_bytes);
        copied = copy.image != NULL;
    }
    if (!copied) {
        binary_release(env, &copy);
        return TFOPS_E_MEMORY;
    }
    *ret_binary = copy;
    return TFOPS_OK;
}

/* Reading. */

static enum tfops_status bind_digest(sqlite3_stmt *statement, const uint8_t digest[HASH_BYTES])
{
    int rc = sqlite3_bind_blob(statement, 1, digest, HASH_BYTES, SQLITE_STATIC);
    return rc ? error_setf(TFOPS_E_MEMORY, rc, "cache", "", "cannot bind: %s", sqlite3_errstr(rc))
              : TFOPS_OK;
}

/* Points into the statement. False: the image is not what it is named by. */
static enum tfops_status read_image(
    sqlite3_stmt *statement, int column, struct binary *binary, bool *ret_ok)
{
    uint8_t digest[HASH_BYTES];
    *ret_ok = false;
    if (sqlite3_column_type(statement, column) != SQLITE_BLOB)
        return TFOPS_OK;
    binary->image_bytes = (size_t)sqlite3_column_bytes(statement, column);
    binary->image = (void *)(uintptr_t)sqlite3_column_blob(statement, column);
    if (!binary->image)
        return binary->image_bytes ? error_set(TFOPS_E_MEMORY, "cache", "binary", NULL, NULL)
                                   : TFOPS_OK;
    hash_bytes(binary->image, binary->image_bytes, digest);
    *ret_ok = !memcmp(digest, binary->sha256, HASH_BYTES);
    return TFOPS_OK;
}

/* The row the statement stands on: id, columns, image. */
static enum tfops_status read_row(struct db *db, sqlite3_stmt *statement,
    const uint8_t sha256[HASH_BYTES], bool *ret_found, struct binary *ret_binary)
{
    struct binary binary = {.image = NULL};
    int64_t id = sqlite3_column_int64(statement, 0);
    bool ok = false;
    enum tfops_status status = row_read(statement, 1, &table_binary, &binary);
    if (status == TFOPS_E_MEMORY)
        return error_set(status, "cache", "binary", NULL, NULL);
    const char *why = status ? "its digest does not hold" : NULL;
    if (!why && memcmp(binary.sha256, sha256, HASH_BYTES))
        why = "an index led to it that should not";
    if (!why) {
        status = read_image(statement, 1 + TABLE_BINARY_N, &binary, &ok);
        if (status)
            return status;
        why = ok ? NULL : "its image does not have the digest it is named by";
    }
    if (why) {
        db_bad_row(db, "binary", id, why);
        return TFOPS_OK;
    }
    status = binary_copy(db_env(db), &binary, ret_binary);
    *ret_found = !status;
    return status;
}

static const char FIND[] =
    "SELECT id, " TABLE_BINARY_COLUMNS ", image FROM binary WHERE sha256 = ?1";

/* Between enter and leave. *ret_found is false on entry. */
static enum tfops_status find(
    struct db *db, const uint8_t sha256[HASH_BYTES], bool *ret_found, struct binary *ret_binary)
{
    sqlite3_stmt *statement = NULL;
    bool row = false;
    enum tfops_status status = db_prepare(db, FIND, &statement);
    if (!status)
        status = bind_digest(statement, sha256);
    if (!status)
        status = db_step(db, statement, &row);
    if (!status && row)
        status = read_row(db, statement, sha256, ret_found, ret_binary);
    db_reset(statement);
    return db_look_up_status(status);
}

enum tfops_status binary_store_find(
    struct db *db, const uint8_t sha256[HASH_BYTES], bool *ret_found, struct binary *ret_binary)
{
    bool found = false;
    enum tfops_status status = db_enter(db, DB_USE_READ);
    if (status)
        return status;
    status = find(db, sha256, &found, ret_binary);
    db_leave(db);
    if (!status)
        *ret_found = found;
    return status;
}

static const char FIND_BUILD[] =
    "SELECT id, " TABLE_BUILD_COLUMNS " FROM build WHERE build_key = ?1";

/* The digest that a build key leads to; all of it between enter and leave. */
static enum tfops_status find_build(struct db *db, const uint8_t build_key[HASH_BYTES],
    bool *ret_found, struct table_build *ret_build)
{
    sqlite3_stmt *statement = NULL;
    bool row = false;
    enum tfops_status status = db_prepare(db, FIND_BUILD, &statement);
    if (!status)
        status = bind_digest(statement, build_key);
    if (!status)
        status = db_step(db, statement, &row);
    if (!status && row) {
        status = row_read(statement, 1, &table_build, ret_build);
        *ret_found = !status && !memcmp(ret_build->build_key, build_key, HASH_BYTES);
        if (!*ret_found && status != TFOPS_E_MEMORY)
            db_bad_row(db, "build", sqlite3_column_int64(statement, 0), "its digest does not hold");
    }
    db_reset(statement);
    return db_look_up_status(status);
}

enum tfops_status binary_store_find_build(
    struct db *db, const uint8_t build_key[HASH_BYTES], bool *ret_found, struct binary *ret_binary)
{
    struct table_build build;
    bool leads = false, found = false;
    enum tfops_status status = db_enter(db, DB_USE_READ);
    if (status)
        return status;
    status = find_build(db, build_key, &leads, &build);
    if (!status && leads)
        status = find(db, build.sha256, &found, ret_binary);
    db_leave(db);
    if (status)
        return status;
    if (found)
        memcpy(ret_binary->build_key, build_key, HASH_BYTES);
    *ret_found = found;
    return TFOPS_OK;
}

/* Writing. */

static const char PUT[] = "INSERT OR REPLACE INTO binary (" TABLE_BINARY_COLUMNS
                          ", image) VALUES (" TABLE_BINARY_PARAMETERS ", ?20)";
static const char PUT_BUILD[] =
    "INSERT OR REPLACE INTO build (" TABLE_BUILD_COLUMNS ") VALUES (" TABLE_BUILD_PARAMETERS ")";
_Static_assert(TABLE_BINARY_N == 19, "parameters of PUT");

static enum tfops_status insert(struct db *db, const struct binary *binary)
{
    sqlite3_stmt *statement = NULL;
    enum tfops_status status = db_prepare(db, PUT, &statement);
    if (status)
        return status;
    status = row_bind(statement, &table_binary, binary);
    int rc = status ? SQLITE_OK
                    : sqlite3_bind_blob64(statement, TABLE_BINARY_N + 1, binary->image,
                          binary->image_bytes, SQLITE_STATIC);
    if (rc)
        status = error_setf(TFOPS_E_MEMORY, rc, "cache", "binary", "cannot bind the image");
    if (!status)
        return db_run(db, statement);
    db_reset(statement);
    return status;
}

static enum tfops_status insert_build(struct db *db, const struct binary *binary)
{
    struct table_build row;
    sqlite3_stmt *statement = NULL;
    memcpy(row.build_key, binary->build_key, HASH_BYTES);
    memcpy(row.sha256, binary->sha256, HASH_BYTES);
    enum tfops_status status = db_prepare(db, PUT_BUILD, &statement);
    if (!status)
        status = row_bind(statement, &table_build, &row);
    if (!status)
        return db_run(db, statement);
    db_reset(statement);
    return status;
}

/* A good row stays: records may pin it. A bad one is replaced, or it would stay a miss for ever. */
static enum tfops_status put(struct db *db, const struct binary *binary)
{
    struct binary there;
    bool found = false;
    enum tfops_status status = find(db, binary->sha256, &found, &there);
    if (status)
        return status;
    if (found)
        binary_release(db_env(db), &there);
    else
        status = insert(db, binary);
    return status ? status : insert_build(db, binary);
}

enum tfops_status binary_store_put(struct db *db, struct binary *binary)
{
    if (!binary->image || !binary->image_bytes)
        return error_set(TFOPS_E_ARGUMENT, "cache", "binary", "an image", "none");
    if (binary->image_bytes >= CONNECTION_ROW_BYTES)
        return error_setf(TFOPS_E_RANGE, 0, "cache", "binary", "an image of %zu bytes is too large",
            binary->image_bytes);
    hash_bytes(binary->image, binary->image_bytes, binary->sha256);
    enum tfops_status status = db_enter(db, DB_USE_WRITE);
    if (status)
        return status;
    status = db_begin(db);
    if (!status)
        status = db_end(db, put(db, binary));
    db_leave(db);
    return status;
}

/* Listing. */

struct ids {
    const struct env *env;
    int64_t *ids;
    size_t n, capacity;
    uint8_t last[HASH_BYTES];
};

static enum tfops_status add_id(struct ids *ids, int64_t id, const void *sha256)
{
    if (ids->n == ids->capacity) {
        size_t capacity = ids->capacity ? 2 * ids->capacity : 64;
        void *moved = mem_grow(ids->env, ids->ids, ids->n, capacity, sizeof *ids->ids);
        if (!moved)
            return TFOPS_E_MEMORY;
        ids->ids = moved;
        ids->capacity = capacity;
    }
    ids->ids[ids->n++] = id;
    memcpy(ids->last, sha256, HASH_BYTES);
    return TFOPS_OK;
}

static const char IDS[] = "SELECT id, sha256 FROM binary ORDER BY sha256";

/* Ascending or damaged: a tree that runs in circles must end. */
static enum tfops_status list_ids(struct db *db, struct ids *ids)
{
    sqlite3_stmt *statement = NULL;
    bool row = true;
    enum tfops_status status = db_prepare(db, IDS, &statement);
    while (!status) {
        status = db_step(db, statement, &row);
        if (status || !row)
            break;
        const void *sha256 = sqlite3_column_blob(statement, 1);
        if (!sha256 || sqlite3_column_bytes(statement, 1) != HASH_BYTES ||
            (ids->n && memcmp(sha256, ids->last, HASH_BYTES) <= 0)) {
            db_damaged(db, "binaries out of order");
            break;
        }
        status = add_id(ids, sqlite3_column_int64(statement, 0), sha256);
    }
    db_reset(statement);
    return db_look_up_status(status);
}

static const char ONE[] =
    "SELECT id, " TABLE_BINARY_COLUMNS ", image, EXISTS (SELECT 1 FROM record "
    "WHERE binary_sha256 = binary.sha256) FROM binary WHERE id = ?1";

static enum tfops_status describe(
    struct db *db, sqlite3_stmt *statement, bool *ret_found, struct binary_info *ret_info)
{
    struct binary binary = {.image = NULL};
    enum tfops_status status = row_read(statement, 1, &table_binary, &binary);
    if (status == TFOPS_E_CACHE) {
        db_bad_row(db, "binary", sqlite3_column_int64(statement, 0), "its digest does not hold");
        return TFOPS_OK;
    }
    if (!status)
        status = read_image(statement, 1 + TABLE_BINARY_N, &binary, &ret_info->ok);
    binary.image = NULL;
    ret_info->pinned = sqlite3_column_int(statement, 2 + TABLE_BINARY_N);
    if (!status)
        status = binary_copy(db_env(db), &binary, &ret_info->binary);
    *ret_found = !status;
    return status;
}

static enum tfops_status load_info(
    struct db *db, int64_t id, bool *ret_found, struct binary_info *ret_info)
{
    sqlite3_stmt *statement = NULL;
    bool row = false;
    enum tfops_status status = db_enter(db, DB_USE_READ);
    if (status)
        return status;
    status = db_prepare(db, ONE, &statement);
    if (!status && sqlite3_bind_int64(statement, 1, id))
        status = error_set(TFOPS_E_MEMORY, "cache", "binary", NULL, NULL);
    if (!status)
        status = db_step(db, statement, &row);
    if (!status && row)
        status = describe(db, statement, ret_found, ret_info);
    db_reset(statement);
    db_leave(db);
    return db_look_up_status(status);
}

enum tfops_status binary_store_each(
    struct db *db, bool (*fn)(void *user, const struct binary_info *info), void *user)
{
    struct ids ids = {.env = db_env(db)};
    enum tfops_status status = db_enter(db, DB_USE_READ);
    if (status)
        return status;
    status = list_ids(db, &ids);
    db_leave(db);
    bool go_on = true;
    for (size_t i = 0; !status && go_on && i < ids.n; i++) {
        struct binary_info info = {.ok = false};
        bool found = false;
        status = load_info(db, ids.ids[i], &found, &info);
        if (status || !found)
            continue;
        go_on = fn(user, &info);
        binary_release(ids.env, &info.binary);
    }
    mem_free(ids.env, ids.ids);
    return status;
}
