/* Opening and configuring a SQLite connection (see connection.h). */
#include "cache/connection.h"
#include "base/error.h"
#include "base/hash.h"
#include "base/log.h"
#include <stdio.h>
#include <string.h>

#define APPLICATION_ID 0x74666f70 /* "tfop" */

extern const char cache_schema_sql[]; /* made from schema.sql by the build */

/* The i-th takes a file from version i to i + 1, and sets user_version. */
static const char *const MIGRATIONS[] = {cache_schema_sql};
#define VERSION ((int64_t)(sizeof MIGRATIONS / sizeof *MIGRATIONS))

uint32_t connection_schema_version(void)
{
    return (uint32_t)VERSION;
}

/* Errors. */

bool connection_is_damage(int rc)
{
    return (rc & 0xff) == SQLITE_CORRUPT || (rc & 0xff) == SQLITE_NOTADB;
}

static enum tfops_status status_of(int rc)
{
    static const struct {
        int rc;
        enum tfops_status status;
    } TABLE[] = {
        {SQLITE_CORRUPT, TFOPS_E_CACHE},
        {SQLITE_NOTADB, TFOPS_E_CACHE},
        {SQLITE_FORMAT, TFOPS_E_CACHE},
        {SQLITE_ERROR, TFOPS_E_CACHE}, /* the SQL is ours: the schema does not fit it */
        {SQLITE_SCHEMA, TFOPS_E_CACHE},
        {SQLITE_NOMEM, TFOPS_E_MEMORY},
        {SQLITE_BUSY, TFOPS_E_BUSY},
        {SQLITE_LOCKED, TFOPS_E_BUSY},
        {SQLITE_PROTOCOL, TFOPS_E_BUSY},
        {SQLITE_FULL, TFOPS_E_IO},
        {SQLITE_IOERR, TFOPS_E_IO},
        {SQLITE_READONLY, TFOPS_E_IO},
        {SQLITE_CANTOPEN, TFOPS_E_IO},
        {SQLITE_PERM, TFOPS_E_IO},
        {SQLITE_AUTH, TFOPS_E_IO},
        {SQLITE_TOOBIG, TFOPS_E_RANGE},
        {SQLITE_CONSTRAINT, TFOPS_E_ARGUMENT},
    };
    if (rc == SQLITE_IOERR_NOMEM)
        return TFOPS_E_MEMORY;
    for (size_t i = 0; i < sizeof TABLE / sizeof *TABLE; i++)
        if (TABLE[i].rc == (rc & 0xff))
            return TABLE[i].status;
    return TFOPS_E_INTERNAL;
}

enum tfops_status connection_fail(sqlite3 *sql, int rc, const char *path, const char *what)
{
    /* sqlite3_errmsg() speaks of the last call, which may have been a successful one since. */
    const char *text =
        sql && sqlite3_extended_errcode(sql) == rc ? sqlite3_errmsg(sql) : sqlite3_errstr(rc);
    return error_setf(status_of(rc), rc, "cache", path, "cannot %s: %s", what, text);
}

/* From the record, because clean-up on the connection has replaced its own error code. */
static bool is_damage_recorded(void)
{
    struct tfops_error last;
    error_save(&last);
    return connection_is_damage(last.native);
}

/* Small queries of the opening; everything later goes through prepared statements. */

static int run(sqlite3 *sql, const char *text)
{
    return sqlite3_exec(sql, text, NULL, NULL, NULL);
}

static int query_int(sqlite3 *sql, const char *text, int64_t *ret_value)
{
    sqlite3_stmt *statement;
    int rc = sqlite3_prepare_v2(sql, text, -1, &statement, NULL);
    if (rc)
        return rc;
    rc = sqlite3_step(statement);
    if (rc == SQLITE_ROW)
        *ret_value = sqlite3_column_int64(statement, 0);
    int end = sqlite3_finalize(statement);
    return rc == SQLITE_ROW ? SQLITE_OK : end ? end : SQLITE_CORRUPT;
}

/* Settings. */

static void limit(sqlite3 *sql)
{
    static const struct {
        int id, value;
    } LIMITS[] = {
        {SQLITE_LIMIT_LENGTH, CONNECTION_ROW_BYTES},
        {SQLITE_LIMIT_SQL_LENGTH, 1 << 16},
        {SQLITE_LIMIT_COLUMN, 64},
        {SQLITE_LIMIT_EXPR_DEPTH, 64},
        {SQLITE_LIMIT_COMPOUND_SELECT, 8},
        {SQLITE_LIMIT_ATTACHED, 1}, /* VACUUM needs one */
        {SQLITE_LIMIT_VARIABLE_NUMBER, 64},
        {SQLITE_LIMIT_TRIGGER_DEPTH, 1},
        {SQLITE_LIMIT_WORKER_THREADS, 0},
    };
    for (size_t i = 0; i < sizeof LIMITS / sizeof *LIMITS; i++)
        sqlite3_limit(sql, LIMITS[i].id, LIMITS[i].value);
}

static int harden(sqlite3 *sql)
{
    static const struct {
        int option, on;
    } SWITCHES[] = {
        {SQLITE_DBCONFIG_DEFENSIVE, 1},
        {SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0},
        {SQLITE_DBCONFIG_ENABLE_TRIGGER, 0},
        {SQLITE_DBCONFIG_ENABLE_VIEW, 0},
        {SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 0},
        {SQLITE_DBCONFIG_DQS_DML, 0},
        {SQLITE_DBCONFIG_DQS_DDL, 0},
    };
    for (size_t i = 0; i < sizeof SWITCHES / sizeof *SWITCHES; i++)
        sqlite3_db_config(sql, SWITCHES[i].option, SWITCHES[i].on, (int *)NULL);
    limit(sql);
    /* A mapped file would turn a disk error into SIGBUS in the host process. */
    return run(sql, "PRAGMA mmap_size=0; PRAGMA cell_size_check=ON; PRAGMA temp_store=MEMORY");
}

static int ask_wal(sqlite3 *sql, bool *ret_wal)
{
    sqlite3_stmt *statement;
    int rc = sqlite3_prepare_v2(sql, "PRAGMA journal_mode=WAL", -1, &statement, NULL);
    if (rc)
        return rc;
    rc = sqlite3_step(statement);
    const unsigned char *mode = rc == SQLITE_ROW ? sqlite3_column_text(statement, 0) : NULL;
    *ret_wal = mode && !strcmp((const char *)mode, "wal");
    int end = sqlite3_finalize(statement);
    return rc == SQLITE_ROW ? SQLITE_OK : end;
}

static enum tfops_status set_journal(
    const struct env *env, sqlite3 *sql, const struct connection_options *options)
{
    bool wal = false;
    int rc = options->network ? SQLITE_OK : ask_wal(sql, &wal);
    if (status_of(rc) == TFOPS_E_IO) /* shared memory that cannot be had shows as this */
        rc = SQLITE_OK;
    if (!rc && !wal) {
        log_line(env, TFOPS_LOG_WARN,
            "cache %s: write-ahead log %s; going on with a rollback journal", options->path,
            options->network ? "not used on a network file system" : "refused");
        rc = run(sql, "PRAGMA journal_mode=DELETE");
    }
    /* WAL + NORMAL may lose the last commits at a power cut, never the file. */
    if (!rc)
        rc = run(sql, wal ? "PRAGMA synchronous=NORMAL; PRAGMA journal_size_limit=16777216"
                          : "PRAGMA synchronous=FULL");
    return rc ? connection_fail(sql, rc, options->path, "set the journal mode") : TFOPS_OK;
}

/* Identity, version, schema. */

static enum tfops_status refuse(const char *path, const char *expected, const char *actual)
{
    return error_set(TFOPS_E_CACHE, "cache", path, expected, actual);
}

struct identity {
    int64_t application, version, objects;
};

static int read_identity(sqlite3 *sql, struct identity *ret_identity)
{
    int rc = query_int(sql, "PRAGMA application_id", &ret_identity->application);
    if (!rc)
        rc = query_int(sql, "PRAGMA user_version", &ret_identity->version);
    if (!rc)
        rc = query_int(sql, "SELECT count(*) FROM sqlite_schema", &ret_identity->objects);
    return rc;
}

static bool is_fresh(const struct identity *identity)
{
    return !identity->application && !identity->version && !identity->objects;
}

static enum tfops_status check_identity(
    const struct connection_options *options, const struct identity *identity)
{
    char actual[48];
    if (is_fresh(identity))
        return options->writable ? TFOPS_OK : refuse(options->path, "a tfops cache", "empty file");
    if (identity->application != APPLICATION_ID) {
        snprintf(actual, sizeof actual, "application %lld", (long long)identity->application);
        return refuse(options->path, "a tfops cache", actual);
    }
    if (identity->version < 1 || identity->version > VERSION) {
        char expected[64];
        snprintf(
            expected, sizeof expected, "a version up to %lld, this library's", (long long)VERSION);
        snprintf(actual, sizeof actual, "version %lld", (long long)identity->version);
        return refuse(options->path, expected, actual);
    }
    return TFOPS_OK;
}

static int migrate_from(sqlite3 *sql, int64_t version)
{
    int rc = SQLITE_OK;
    for (; !rc && version < VERSION; version++)
        rc = run(sql, MIGRATIONS[version]);
    return rc;
}

/* Under the write lock, and from the version that is there then: somebody may have been faster. */
static enum tfops_status migrate(sqlite3 *sql, const struct connection_options *options)
{
    struct identity identity;
    int rc = run(sql, "BEGIN IMMEDIATE");
    if (rc)
        return connection_fail(sql, rc, options->path, "begin a migration");
    rc = read_identity(sql, &identity);
    enum tfops_status status = rc ? TFOPS_OK : check_identity(options, &identity);
    if (!rc && !status)
        rc = migrate_from(sql, identity.version);
    if (!rc && !status)
        rc = run(sql, "COMMIT");
    if (rc)
        status = connection_fail(sql, rc, options->path, "migrate");
    if (!sqlite3_get_autocommit(sql))
        run(sql, "ROLLBACK");
    return status;
}

static int schema_digest(sqlite3 *sql, uint8_t ret_digest[HASH_BYTES])
{
    sqlite3_stmt *statement;
    struct hash hash;
    int rc = sqlite3_prepare_v2(sql,
        "SELECT type, name, tbl_name, sql FROM sqlite_schema WHERE substr(name, 1, 7) <> 'sqlite_' "
        "ORDER BY type, name LIMIT 64",
        -1, &statement, NULL);
    if (rc)
        return rc;
    hash_init(&hash);
    while (sqlite3_step(statement) == SQLITE_ROW)
        for (int i = 0; i < 4; i++)
            hash_add_string(&hash, (const char *)sqlite3_column_text(statement, i));
    hash_final(&hash, ret_digest);
    return sqlite3_finalize(statement);
}

static int expected_digest(uint8_t ret_digest[HASH_BYTES])
{
    sqlite3 *sql;
    int rc = sqlite3_open_v2(
        ":memory:", &sql, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL);
    if (!rc)
        rc = migrate_from(sql, 0);
    if (!rc)
        rc = schema_digest(sql, ret_digest);
    sqlite3_close(sql);
    return rc;
}

/* A crafted file could bring other constraints, generated columns, triggers: it must have none. */
static enum tfops_status check_schema(sqlite3 *sql, const char *path)
{
    uint8_t expected[HASH_BYTES], actual[HASH_BYTES];
    int rc = expected_digest(expected);
    if (rc)
        return connection_fail(NULL, rc, path, "make the schema to compare with");
    rc = schema_digest(sql, actual);
    if (rc)
        return connection_fail(sql, rc, path, "read the schema");
    if (memcmp(expected, actual, HASH_BYTES))
        return refuse(path, "the tables of a tfops cache", "others");
    return TFOPS_OK;
}

/* Opening. */

/* A path as a URI: what is special in one is escaped. */
static bool uri(const char *path, char *ret_uri, size_t bytes)
{
    size_t length = (size_t)snprintf(ret_uri, bytes, "file://");
    for (; *path && length + 32 < bytes; path++) {
        if (strchr("%?#", *path))
            length +=
                (size_t)snprintf(ret_uri + length, bytes - length, "%%%02X", (unsigned char)*path);
        else
            ret_uri[length++] = *path;
    }
    snprintf(ret_uri + length, bytes - length, "?mode=ro&immutable=1");
    return *path == '\0';
}

static int open_file(const struct connection_options *options, sqlite3 **ret_sql)
{
    /* No CREATE: place_create_file() has made the file with its mode. NOFOLLOW: it is no link. */
    int flags = SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_NOFOLLOW |
                (options->writable ? SQLITE_OPEN_READWRITE : SQLITE_OPEN_READONLY);
    if (!options->immutable)
        return sqlite3_open_v2(options->path, ret_sql, flags, NULL);
    char name[4096];
    if (!uri(options->path, name, sizeof name))
        return SQLITE_CANTOPEN;
    return sqlite3_open_v2(name, ret_sql, flags | SQLITE_OPEN_URI, NULL);
}

static enum tfops_status set_up(
    const struct env *env, sqlite3 *sql, const struct connection_options *options)
{
    struct identity identity;
    int rc = harden(sql);
    if (!rc)
        rc = read_identity(sql, &identity);
    if (rc)
        return connection_fail(sql, rc, options->path, "read it");
    if (options->writable && sqlite3_db_readonly(sql, "main") == 1)
        return connection_fail(NULL, SQLITE_READONLY, options->path, "write to it");
    enum tfops_status status = check_identity(options, &identity);
    if (!status && options->writable && identity.version < VERSION)
        status = migrate(sql, options);
    if (!status)
        status = check_schema(sql, options->path);
    if (!status && options->writable)
        status = set_journal(env, sql, options);
    return status;
}

enum tfops_status connection_open(const struct env *env, const struct connection_options *options,
    struct connection *ret_connection, bool *ret_damaged)
{
    sqlite3 *sql = NULL;
    *ret_damaged = false;
    if (!sqlite3_threadsafe())
        return error_set(
            TFOPS_E_CACHE, "cache", options->path, "a SQLite built for threads", "one without");
    int rc = open_file(options, &sql);
    enum tfops_status status = rc ? connection_fail(sql, rc, options->path, "open it") : TFOPS_OK;
    if (!status) {
        sqlite3_extended_result_codes(sql, 1);
        sqlite3_busy_timeout(sql, (int)options->busy_ms);
        status = set_up(env, sql, options);
        *ret_damaged = status && is_damage_recorded();
    }
    if (status) {
        sqlite3_close(sql);
        return status;
    }
    *ret_connection = (struct connection){.sql = sql};
    return TFOPS_OK;
}

void connection_close(struct connection *connection)
{
    for (int i = 0; i < CONNECTION_STATEMENTS; i++)
        sqlite3_finalize(connection->prepared[i].statement);
    sqlite3_close(connection->sql);
    *connection = (struct connection){0};
}

int connection_prepare(
    struct connection *connection, const char *text, sqlite3_stmt **ret_statement)
{
    int i = 0;
    while (i < CONNECTION_STATEMENTS && connection->prepared[i].text &&
           connection->prepared[i].text != text)
        i++;
    if (i == CONNECTION_STATEMENTS)
        return SQLITE_INTERNAL;
    if (!connection->prepared[i].statement) {
        int rc = sqlite3_prepare_v3(connection->sql, text, -1, SQLITE_PREPARE_PERSISTENT,
            &connection->prepared[i].statement, NULL);
        if (rc)
            return rc;
        connection->prepared[i].text = text;
    }
    *ret_statement = connection->prepared[i].statement;
    return SQLITE_OK;
}
