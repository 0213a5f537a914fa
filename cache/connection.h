/*
 * One SQLite connection to one file: opened with everything switched off that a cache does not
 * need, its identity, version and schema checked, its statements kept. The only file that
 * configures SQLite. Knows nothing of sharing, trust or generations (db.c, place.c). One thread at
 * a time.
 */
#ifndef TFOPS_CACHE_CONNECTION_H
#define TFOPS_CACHE_CONNECTION_H

#include "base/env.h"
#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>

#define CONNECTION_STATEMENTS 48
#define CONNECTION_ROW_BYTES (64 << 20) /* no row and no image may be larger */

struct connection {
    sqlite3 *sql;
    struct {
        const char *text; /* by address: SQL texts are constants */
        sqlite3_stmt *statement;
    } prepared[CONNECTION_STATEMENTS];
};

struct connection_options {
    const char *path;
    bool writable;  /* creates the schema in an empty file, migrates an older one */
    bool immutable; /* nobody changes the file while it is open: no locks, no side files */
    bool network;   /* no WAL */
    uint32_t busy_ms;
};

/*
 * Opens. TFOPS_E_CACHE when the file is not a tfops cache, of a newer version, or malformed;
 * *ret_damaged then tells the last from the others (set whenever that is returned). TFOPS_E_BUSY,
 * TFOPS_E_IO, TFOPS_E_MEMORY. `env` is for log lines of this call.
 */
enum tfops_status connection_open(const struct env *env, const struct connection_options *options,
    struct connection *ret_connection, bool *ret_damaged);
void connection_close(struct connection *connection); /* zeroed: fine */

/* The prepared statement of that text, reset; prepared at its first use. */
int connection_prepare(
    struct connection *connection, const char *text, sqlite3_stmt **ret_statement);

/* The version this library writes. */
uint32_t connection_schema_version(void);

bool connection_is_damage(int rc); /* the file's content is broken, not its access */
/* Sets the error record from the connection's last failure and returns its status. */
enum tfops_status connection_fail(sqlite3 *sql, int rc, const char *path, const char *what);

#endif
