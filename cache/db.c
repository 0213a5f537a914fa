/*
 * Handles, statements, transactions, bad rows (see db.h).
 *
 * Lock order: handle, then the registry of sharing.c, then connection.
 */
#include "cache/db.h"
#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"
#include "cache/sharing.h"
#include <unistd.h>

#define BUSY_MS 5000

struct db {
    const struct env *env;
    struct db_options options;
    struct place place;
    pid_t pid;
    pthread_mutex_t lock;
    struct shared_file *file;       /* lock */
    bool bad_logged, damage_logged; /* lock */
    atomic_uint_least64_t bad_rows;
};

/* Handles. */

enum tfops_status db_open(
    const struct env *env, const struct db_options *options, struct db **ret_db)
{
    struct db *db = mem_new(env, 1, sizeof *db);
    if (!db)
        return TFOPS_E_MEMORY;
    db->env = env;
    db->options = *options;
    db->options.busy_ms = options->busy_ms ? options->busy_ms : BUSY_MS;
    db->pid = getpid();
    enum tfops_status status =
        place_resolve(options->path, options->access == DB_CREATE, &db->place);
    db->options.path = db->place.base;
    if (!status)
        status = sharing_acquire(env, &db->place, &db->options, &db->file);
    if (status) {
        mem_free(env, db);
        return status;
    }
    pthread_mutex_init(&db->lock, NULL);
    *ret_db = db;
    return TFOPS_OK;
}

void db_close(struct db *db)
{
    if (!db || db->pid != getpid())
        return;
    sharing_release(db->file);
    pthread_mutex_destroy(&db->lock);
    mem_free(db->env, db);
}

const struct env *db_env(const struct db *db)
{
    return db->env;
}

const char *db_path(const struct db *db)
{
    return db->place.base;
}

const char *db_lock_path(const struct db *db)
{
    return db->place.lock;
}

const char *db_file_path(const struct db *db)
{
    return db->file->path;
}

bool db_is_writable(const struct db *db)
{
    return sharing_is_writer(db->options.access);
}

uint64_t db_bad_rows(const struct db *db)
{
    return atomic_load(&db->bad_rows);
}

/* Under db->lock. A reader stays on what it has until that is damaged; a writer asks each time, so
 * that nothing is written where nobody looks any more. */
static bool is_current(const struct db *db, enum db_use use)
{
    struct stat st;
    const struct shared_file *file = db->file;
    if (db->options.access == DB_SHIPPED)
        return true;
    if (atomic_load(&file->retired))
        return false;
    if (use == DB_USE_READ)
        return true;
    return place_generation(&db->place) == file->generation && !lstat(file->path, &st) &&
           st.st_dev == file->dev && st.st_ino == file->ino;
}

static enum tfops_status reopen(struct db *db)
{
    struct shared_file *fresh;
    /* First: a replaced file may have got another inode, and must not be found by the old one. */
    atomic_store(&db->file->retired, true);
    enum tfops_status status = sharing_acquire(db->env, &db->place, &db->options, &fresh);
    if (status)
        return status;
    sharing_release(db->file);
    db->file = fresh;
    return TFOPS_OK;
}

enum tfops_status db_enter(struct db *db, enum db_use use)
{
    if (db->pid != getpid())
        return sharing_forked(db->place.base);
    if (use == DB_USE_WRITE && !db_is_writable(db))
        return error_set(
            TFOPS_E_CACHE, "cache", db->place.base, "a cache open for writing", "a read-only one");
    pthread_mutex_lock(&db->lock);
    enum tfops_status status = is_current(db, use) ? TFOPS_OK : reopen(db);
    if (status)
        pthread_mutex_unlock(&db->lock);
    else
        pthread_mutex_lock(&db->file->lock);
    return status;
}

void db_leave(struct db *db)
{
    pthread_mutex_unlock(&db->file->lock);
    pthread_mutex_unlock(&db->lock);
}

/* Damage and bad rows. */

/* The pointer moves on; this handle follows at its next use. When it cannot, what can still be read
 * of the file is. */
static void on_damage(struct db *db, const char *why)
{
    atomic_fetch_add(&db->bad_rows, 1);
    if (atomic_load(&db->file->retired))
        return;
    if (sharing_replace(db->env, &db->place, db->file))
        return;
    if (!db->damage_logged)
        log_line(db->env, TFOPS_LOG_ERROR, "cache %s: damaged (%s); what cannot be read is a miss",
            db->file->path, why);
    db->damage_logged = true;
}

void db_damaged(struct db *db, const char *why)
{
    struct tfops_error saved;
    error_save(&saved);
    on_damage(db, why);
    error_restore(&saved);
}

void db_bad_row(struct db *db, const char *table, int64_t id, const char *why)
{
    atomic_fetch_add(&db->bad_rows, 1);
    if (!db->bad_logged)
        log_line(db->env, TFOPS_LOG_WARN,
            "cache %s: %s %lld ignored: %s (further bad rows are counted, not logged)",
            db->file->path, table, (long long)id, why);
    db->bad_logged = true;
}

enum tfops_status db_look_up_status(enum tfops_status status)
{
    return status == TFOPS_E_CACHE ? TFOPS_OK : status;
}

/* Statements. */

static enum tfops_status fail(struct db *db, int rc, const char *what)
{
    enum tfops_status status = connection_fail(db->file->connection.sql, rc, db->file->path, what);
    if (connection_is_damage(rc))
        db_damaged(db, sqlite3_errstr(rc));
    return status;
}

enum tfops_status db_prepare(struct db *db, const char *text, sqlite3_stmt **ret_statement)
{
    int rc = connection_prepare(&db->file->connection, text, ret_statement);
    return rc ? fail(db, rc, "prepare a statement") : TFOPS_OK;
}

enum tfops_status db_step(struct db *db, sqlite3_stmt *statement, bool *ret_row)
{
    int rc = sqlite3_step(statement);
    if (rc != SQLITE_ROW && rc != SQLITE_DONE)
        return fail(db, rc, sqlite3_sql(statement)[0] == 'S' ? "read" : "write");
    *ret_row = rc == SQLITE_ROW;
    return TFOPS_OK;
}

void db_reset(sqlite3_stmt *statement)
{
    if (!statement)
        return;
    sqlite3_reset(statement);
    sqlite3_clear_bindings(statement);
}

enum tfops_status db_run(struct db *db, sqlite3_stmt *statement)
{
    bool row;
    enum tfops_status status = db_step(db, statement, &row);
    db_reset(statement);
    return status;
}

static const char BEGIN[] = "BEGIN IMMEDIATE";
static const char COMMIT[] = "COMMIT";
static const char ROLLBACK[] = "ROLLBACK";

static enum tfops_status run_text(struct db *db, const char *text)
{
    sqlite3_stmt *statement;
    enum tfops_status status = db_prepare(db, text, &statement);
    return status ? status : db_run(db, statement);
}

/* SQLite has rolled back on its own after some errors, and not after others. */
static void roll_back(struct db *db)
{
    struct tfops_error saved;
    if (sqlite3_get_autocommit(db->file->connection.sql))
        return;
    error_save(&saved);
    run_text(db, ROLLBACK);
    error_restore(&saved);
}

enum tfops_status db_begin(struct db *db)
{
    roll_back(db); /* of a rollback that failed before */
    return run_text(db, BEGIN);
}

enum tfops_status db_end(struct db *db, enum tfops_status status)
{
    if (!status)
        status = run_text(db, COMMIT);
    roll_back(db);
    return status;
}
