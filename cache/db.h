/*
 * A handle on a cache file: sharing, access, transactions, and what happens when the file turns out
 * to be damaged. The stores are written on this; nothing above cache/ calls it.
 *
 * Within a process all handles on one file (inode) share one connection: POSIX locks belong to the
 * process, not to a descriptor, so the file has one owner there. A handle may be used from any
 * thread; between db_enter() and db_leave() it is the caller's alone.
 *
 * After fork() a child may neither use nor replace what it inherited: TFOPS_E_FORKED. Closing an
 * inherited handle leaves it be.
 */
#ifndef TFOPS_CACHE_DB_H
#define TFOPS_CACHE_DB_H

#include "base/env.h"
#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>

struct db;

enum db_access {
    DB_READ,    /* a live file, read only; creates nothing */
    DB_SHIPPED, /* a file that nobody changes: opened immutable, no locks */
    DB_WRITE,   /* a live file that is there */
    DB_CREATE,  /* the same, made when it is not there, its directories with mode 0700 */
};

struct db_options {
    const char *path;
    enum db_access access;
    uint32_t busy_ms; /* how long to wait for another writer; 0: 5000 */
};

/*
 * Opens. TFOPS_E_UNKNOWN when there is no file; TFOPS_E_CACHE when it is not to be trusted (owner
 * or mode of file or directory, a link, a directory), not a tfops cache, newer than this library,
 * or malformed; TFOPS_E_BUSY; TFOPS_E_IO; TFOPS_E_MEMORY; TFOPS_E_ARGUMENT; TFOPS_E_FORKED.
 *
 * A live file that is malformed is left where it is, for inspection and for whoever has it open,
 * and a writable handle goes on with its next generation (place.h), at opening as well as later.
 */
enum tfops_status db_open(
    const struct env *env, const struct db_options *options, struct db **ret_db);
void db_close(struct db *db); /* NULL is fine */

const struct env *db_env(const struct db *db);
const char *db_path(const struct db *db);      /* as asked for, absolute */
const char *db_lock_path(const struct db *db); /* the lock file beside it */
/* The file in use, which a reopening may change: between enter and leave. */
const char *db_file_path(const struct db *db);
bool db_is_writable(const struct db *db);
/* Rows ignored since open. Any thread, at any time. */
uint64_t db_bad_rows(const struct db *db);

enum db_use { DB_USE_READ, DB_USE_WRITE };

/*
 * Locks the handle for one operation; reopens it when the file in use is not the current one any
 * more (damaged, replaced, another generation). TFOPS_E_FORKED, TFOPS_E_CACHE (read-only), and what
 * db_open() returns. Pair with db_leave() on success only.
 */
enum tfops_status db_enter(struct db *db, enum db_use use);
void db_leave(struct db *db);

/* Between enter and leave. `text` is a constant, known by its address. A statement is given back by
 * db_reset(), which forgets its parameters. */
enum tfops_status db_prepare(struct db *db, const char *text, sqlite3_stmt **ret_statement);
enum tfops_status db_step(struct db *db, sqlite3_stmt *statement, bool *ret_row);
/* Steps a statement that gives no row, and resets it. */
enum tfops_status db_run(struct db *db, sqlite3_stmt *statement);
void db_reset(sqlite3_stmt *statement); /* NULL is fine */

/* BEGIN IMMEDIATE, then COMMIT when `status` is TFOPS_OK and ROLLBACK otherwise or when it fails.
 */
enum tfops_status db_begin(struct db *db);
enum tfops_status db_end(struct db *db, enum tfops_status status);

/* Counts a row that is ignored; logs the first one of this handle. */
void db_bad_row(struct db *db, const char *table, int64_t id, const char *why);
/* Rows cannot be trusted to end: counts, and treats the file as damaged. */
void db_damaged(struct db *db, const char *why);
/* The status of a look-up: what a damaged file cannot give is a miss. */
enum tfops_status db_look_up_status(enum tfops_status status);

#endif
