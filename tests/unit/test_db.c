/* Handles: refusals, sharing, transactions, generations, forks, failing disks. */
#include "../fakes/cache_fixture.h"
#include "../fakes/fault_vfs.h"
#include "cache/db.h"
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>

static struct fixture f;

static void set_up(void)
{
    fixture_open(&f);
}
static void tear_down(void)
{
    fixture_close(&f);
}
TestSuite(db, .init = set_up, .fini = tear_down);

static void make_cache(void)
{
    struct db *db = fixture_db(&f, DB_CREATE);
    fixture_put(db, 16);
    db_close(db);
}

/* No WAL left behind: all of it is in the one file. */
static void make_shipped(void)
{
    make_cache();
    fixture_sql(&f, "PRAGMA journal_mode=DELETE");
}

static int64_t ask(const char *sql)
{
    sqlite3 *raw;
    sqlite3_stmt *statement;
    cr_assert(sqlite3_open(f.path, &raw) == SQLITE_OK);
    cr_assert(sqlite3_prepare_v2(raw, sql, -1, &statement, NULL) == SQLITE_OK);
    cr_assert(sqlite3_step(statement) == SQLITE_ROW);
    int64_t value = sqlite3_column_int64(statement, 0);
    sqlite3_finalize(statement);
    sqlite3_close(raw);
    return value;
}

#define CHECK_STATUS(actual, wanted)                                                               \
    do {                                                                                           \
        enum tfops_status got = (actual);                                                          \
        cr_assert(got == (wanted), "got %s, wanted %s: %s", tfops_status_name(got),                \
            tfops_status_name(wanted), error_message());                                           \
    } while (0)

/* Creating. */

Test(db, creates_file_and_directories_private_when_absent)
{
    struct stat st;
    char path[128];
    umask(0);
    snprintf(f.path, sizeof f.path, "%s/a/b/cache.db", f.directory);
    CHECK_STATUS(fixture_try(&f, DB_CREATE), TFOPS_OK);
    cr_assert(stat(f.path, &st) == 0);
    cr_assert((st.st_mode & 07777) == 0600, "file mode %o", st.st_mode & 07777);
    cr_assert(stat(fixture_name(&f, "a", path), &st) == 0);
    cr_assert((st.st_mode & 07777) == 0700, "directory mode %o", st.st_mode & 07777);
}

Test(db, marks_file_with_application_and_version_when_created)
{
    make_cache();
    cr_assert(ask("PRAGMA application_id") == 0x74666f70);
    cr_assert(ask("PRAGMA user_version") == 1);
}

Test(db, keeps_rows_when_opened_again)
{
    make_cache();
    struct db *db = fixture_db(&f, DB_CREATE);
    cr_assert(fixture_count(&f, db) == 1);
    db_close(db);
}

Test(db, uses_wal_when_disk_is_local)
{
    struct db *db = fixture_db(&f, DB_CREATE);
    char wal[128];
    fixture_put(db, 1);
    cr_assert(access(fixture_name(&f, "cache.db-wal", wal), F_OK) == 0);
    cr_assert(f.log_lines == 0, "log: %s", f.log);
    db_close(db);
}

Test(db, falls_back_to_rollback_journal_when_wal_is_refused)
{
    fault_install();
    fault.no_shm = 1;
    struct db *db = fixture_db(&f, DB_CREATE);
    fixture_put(db, 1);
    cr_assert(fixture_count(&f, db) == 1);
    cr_assert(strstr(f.log, "write-ahead log refused") && f.log_lines == 1, "log: %s", f.log);
    db_close(db);
}

Test(db, creates_nothing_when_not_asked_to)
{
    struct stat st;
    CHECK_STATUS(fixture_try(&f, DB_READ), TFOPS_E_UNKNOWN);
    CHECK_STATUS(fixture_try(&f, DB_WRITE), TFOPS_E_UNKNOWN);
    CHECK_STATUS(fixture_try(&f, DB_SHIPPED), TFOPS_E_UNKNOWN);
    cr_assert(stat(f.path, &st) != 0);
}

/* Refusals. */

static const enum db_access ALL[] = {DB_READ, DB_SHIPPED, DB_WRITE, DB_CREATE};

static void refused_by_all(enum tfops_status wanted)
{
    for (size_t i = 0; i < 4; i++)
        CHECK_STATUS(fixture_try(&f, ALL[i]), wanted);
}

Test(db, refuses_when_file_is_writable_by_others)
{
    make_shipped();
    chmod(f.path, 0602);
    refused_by_all(TFOPS_E_CACHE);
    cr_assert(strstr(error_message(), "0602") != NULL, "%s", error_message());
}

Test(db, refuses_when_file_is_writable_by_group)
{
    make_shipped();
    chmod(f.path, 0620);
    refused_by_all(TFOPS_E_CACHE);
}

Test(db, refuses_when_directory_is_writable_by_others)
{
    make_shipped();
    chmod(f.directory, 01777);
    refused_by_all(TFOPS_E_CACHE);
}

Test(db, refuses_when_owner_is_another_user)
{
    if (geteuid())
        cr_skip("needs root to give a file away");
    make_shipped();
    cr_assert(chown(f.path, 65534, 65534) == 0);
    refused_by_all(TFOPS_E_CACHE);
}

Test(db, refuses_when_file_is_a_symbolic_link)
{
    char real[128];
    make_shipped();
    rename(f.path, fixture_name(&f, "real.db", real));
    cr_assert(symlink(real, f.path) == 0);
    refused_by_all(TFOPS_E_CACHE);
}

Test(db, opens_when_directory_is_reached_by_a_symbolic_link)
{
    char link[128];
    make_shipped();
    cr_assert(symlink(f.directory, fixture_name(&f, "link", link)) == 0);
    snprintf(f.path, sizeof f.path, "%s/cache.db", link);
    for (size_t i = 0; i < 4; i++)
        CHECK_STATUS(fixture_try(&f, ALL[i]), TFOPS_OK);
}

Test(db, refuses_when_path_is_a_directory)
{
    mkdir(f.path, 0700);
    refused_by_all(TFOPS_E_CACHE);
}

Test(db, refuses_when_path_names_no_file)
{
    snprintf(f.path, sizeof f.path, "%s/", f.directory);
    refused_by_all(TFOPS_E_ARGUMENT);
}

Test(db, refuses_when_file_is_unreadable)
{
    fixture_close(&f);
    fixture_drop_root();
    fixture_open(&f);
    make_shipped();
    chmod(f.path, 0);
    refused_by_all(TFOPS_E_IO);
}

Test(db, refuses_when_version_is_newer)
{
    make_shipped();
    fixture_sql(&f, "PRAGMA user_version = 2");
    refused_by_all(TFOPS_E_CACHE);
    cr_assert(strstr(error_message(), "version 2") != NULL, "%s", error_message());
}

Test(db, leaves_newer_file_as_it_is_when_refused)
{
    size_t before, after;
    make_shipped();
    fixture_sql(&f, "PRAGMA user_version = 2");
    void *old = fixture_read(f.path, &before);
    CHECK_STATUS(fixture_try(&f, DB_CREATE), TFOPS_E_CACHE);
    void *now = fixture_read(f.path, &after);
    cr_assert(before == after && !memcmp(old, now, before));
    free(old);
    free(now);
}

Test(db, refuses_when_application_is_another)
{
    make_shipped();
    fixture_sql(&f, "PRAGMA application_id = 77");
    refused_by_all(TFOPS_E_CACHE);
}

Test(db, refuses_when_database_is_foreign)
{
    fixture_sql(&f, "CREATE TABLE t (x); INSERT INTO t VALUES (1)");
    chmod(f.path, 0600);
    refused_by_all(TFOPS_E_CACHE);
    cr_assert(ask("SELECT count(*) FROM t") == 1);
}

Test(db, refuses_when_schema_is_not_ours)
{
    make_shipped();
    fixture_sql(&f, "CREATE TRIGGER t AFTER INSERT ON record BEGIN DELETE FROM binary; END");
    refused_by_all(TFOPS_E_CACHE);
}

Test(db, refuses_shipped_file_when_a_journal_lies_beside_it)
{
    char wal[128];
    make_shipped();
    fixture_write(fixture_name(&f, "cache.db-wal", wal), "x", 1);
    CHECK_STATUS(fixture_try(&f, DB_SHIPPED), TFOPS_E_CACHE);
}

Test(db, refuses_shipped_or_read_when_file_is_garbage)
{
    char garbage[8192];
    memset(garbage, 'x', sizeof garbage);
    fixture_write(f.path, garbage, sizeof garbage);
    chmod(f.path, 0600);
    CHECK_STATUS(fixture_try(&f, DB_READ), TFOPS_E_CACHE);
    CHECK_STATUS(fixture_try(&f, DB_SHIPPED), TFOPS_E_CACHE);
    CHECK_STATUS(fixture_try(&f, DB_WRITE), TFOPS_E_CACHE);
    char pointer[128];
    cr_assert(access(fixture_name(&f, "cache.db.generation", pointer), F_OK) != 0);
}

Test(db, refuses_or_misses_when_truncated_anywhere)
{
    size_t bytes;
    make_shipped();
    char *all = fixture_read(f.path, &bytes);
    for (size_t n = 0; n < bytes; n += n < 200 ? 7 : 509) {
        struct db *db = NULL;
        struct db_options options = {.path = f.path, .access = DB_SHIPPED};
        fixture_write(f.path, all, n);
        enum tfops_status status = db_open(&f.env, &options, &db);
        if (status)
            cr_assert(status == TFOPS_E_CACHE, "%zu bytes: %s", n, error_message());
        else
            cr_assert(fixture_count(&f, db) <= 1);
        db_close(db);
    }
    free(all);
}

/* Read-only places. */

Test(db, reads_wal_file_when_directory_is_read_only)
{
    fixture_close(&f);
    fixture_drop_root();
    fixture_open(&f);
    make_cache();
    chmod(f.directory, 0500);
    struct db *db = fixture_db(&f, DB_READ);
    cr_assert(fixture_count(&f, db) == 1);
    db_close(db);
}

Test(db, refuses_to_write_when_directory_is_read_only)
{
    fixture_close(&f);
    fixture_drop_root();
    fixture_open(&f);
    chmod(f.directory, 0500);
    CHECK_STATUS(fixture_try(&f, DB_CREATE), TFOPS_E_IO);
}

Test(db, refuses_write_when_handle_is_read_only)
{
    make_cache();
    struct tfops_record row = fixture_record(5);
    struct db *db = fixture_db(&f, DB_READ);
    CHECK_STATUS(record_store_put(db, &row), TFOPS_E_CACHE);
    db_close(db);
}

/* Sharing. */

Test(db, shows_writes_of_one_handle_when_another_reads)
{
    struct db *a = fixture_db(&f, DB_CREATE), *b = fixture_db(&f, DB_CREATE);
    fixture_put(a, 1);
    cr_assert(fixture_count(&f, b) == 1);
    db_close(a);
    fixture_put(b, 2);
    cr_assert(fixture_count(&f, b) == 2);
    db_close(b);
    cr_assert(f.live == 0, "%ld blocks left", f.live);
}

/* Whether this process holds SQLite's shared lock, as another process sees it. */
static bool is_locked(void)
{
    int status;
    pid_t pid = fork();
    if (pid == 0) {
        struct flock lock = {
            .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 0x40000002, .l_len = 510};
        int fd = open(f.path, O_RDWR);
        _exit(fcntl(fd, F_GETLK, &lock) == 0 && lock.l_type != F_UNLCK ? 0 : 1);
    }
    waitpid(pid, &status, 0);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

Test(db, keeps_lock_against_other_processes_when_another_handle_closes)
{
    static const enum db_access OTHERS[] = {DB_READ, DB_SHIPPED, DB_WRITE, DB_CREATE};
    struct db *db = fixture_db(&f, DB_CREATE);
    cr_assert(fixture_count(&f, db) == 0 && is_locked());
    for (size_t i = 0; i < 4; i++) {
        cr_assert(fixture_try(&f, OTHERS[i]) == TFOPS_OK, "%s", error_message());
        cr_assert(is_locked(), "lost by access %d", (int)OTHERS[i]);
    }
    db_close(db);
}

Test(db, shows_live_rows_when_a_shipped_handle_meets_a_live_one)
{
    struct db *live = fixture_db(&f, DB_CREATE);
    fixture_put(live, 1);
    struct db *shipped = fixture_db(&f, DB_SHIPPED);
    fixture_put(live, 2);
    cr_assert(fixture_count(&f, shipped) == 2);
    db_close(live);
    cr_assert(fixture_count(&f, shipped) == 2);
    db_close(shipped);
}

Test(db, refuses_to_write_when_open_as_shipped)
{
    make_shipped();
    struct db *shipped = fixture_db(&f, DB_SHIPPED);
    CHECK_STATUS(fixture_try(&f, DB_CREATE), TFOPS_E_BUSY);
    db_close(shipped);
    CHECK_STATUS(fixture_try(&f, DB_CREATE), TFOPS_OK);
}

Test(db, returns_busy_and_stays_usable_when_another_writes)
{
    make_cache();
    sqlite3 *raw;
    struct tfops_record row = fixture_record(5);
    struct db *db = fixture_db(&f, DB_CREATE);
    sqlite3_open(f.path, &raw);
    cr_assert(sqlite3_exec(raw, "BEGIN IMMEDIATE", NULL, NULL, NULL) == SQLITE_OK);
    CHECK_STATUS(record_store_put(db, &row), TFOPS_E_BUSY);
    cr_assert(fixture_count(&f, db) == 1);
    sqlite3_exec(raw, "ROLLBACK", NULL, NULL, NULL);
    CHECK_STATUS(record_store_put(db, &row), TFOPS_OK);
    cr_assert(fixture_count(&f, db) == 2);
    sqlite3_close(raw);
    db_close(db);
}

Test(db, returns_io_and_reads_on_when_disk_is_full)
{
    fault_install();
    struct db *db = fixture_db(&f, DB_CREATE);
    fixture_put(db, 1);
    struct tfops_record row = fixture_record(2);
    fault.rc = SQLITE_FULL;
    fault.sticky = 1;
    fault.fail_at = fault.calls + 1;
    CHECK_STATUS(record_store_put(db, &row), TFOPS_E_IO);
    fault.fail_at = 0;
    cr_assert(fixture_count(&f, db) == 1);
    CHECK_STATUS(record_store_put(db, &row), TFOPS_OK);
    db_close(db);
}

/* Forks. */

static int in_child(int (*fn)(struct db *db), struct db *db)
{
    int status;
    pid_t pid = fork();
    if (pid == 0)
        _exit(fn(db));
    waitpid(pid, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 200;
}

static int use_inherited(struct db *db)
{
    int status = (int)db_enter(db, DB_USE_READ);
    db_close(db);
    return status;
}
static int open_again(struct db *db)
{
    (void)db;
    return (int)fixture_try(&f, DB_READ);
}

Test(db, refuses_in_child_when_parent_has_it_open)
{
    struct db *db = fixture_db(&f, DB_CREATE);
    cr_assert(in_child(use_inherited, db) == TFOPS_E_FORKED);
    cr_assert(in_child(open_again, db) == TFOPS_E_FORKED);
    fixture_put(db, 1);
    db_close(db);
}

Test(db, opens_in_child_when_parent_has_closed_it)
{
    make_cache();
    cr_assert(in_child(open_again, NULL) == TFOPS_OK);
}

/* Generations. */

static void spoil(const char *path)
{
    FILE *file = fopen(path, "r+b");
    for (int i = 0; i < 4096; i++)
        fputc(0xee, file);
    fclose(file);
}

Test(db, starts_next_generation_when_live_file_is_garbage)
{
    char name[128];
    size_t bytes;
    make_shipped();
    spoil(f.path);
    char *damaged = fixture_read(f.path, &bytes);
    struct db *db = fixture_db(&f, DB_CREATE);
    cr_assert(fixture_count(&f, db) == 0);
    fixture_put(db, 3);
    db_close(db);
    cr_assert(access(fixture_name(&f, "cache.db.g1", name), F_OK) == 0);
    size_t now_bytes;
    char *now = fixture_read(f.path, &now_bytes);
    cr_assert(now_bytes == bytes && !memcmp(now, damaged, bytes), "the damaged file was changed");
    cr_assert(f.log_lines == 1 && strstr(f.log, "damaged"), "log: %s", f.log);
    free(damaged);
    free(now);
    db = fixture_db(&f, DB_READ);
    cr_assert(fixture_count(&f, db) == 1);
    db_close(db);
}

/* Pages after the first: the file opens, and breaks when it is read. */
static void spoil_tables(const char *path)
{
    struct stat st;
    stat(path, &st);
    FILE *file = fopen(path, "r+b");
    fseek(file, 4096, SEEK_SET);
    for (long i = 4096; i < st.st_size; i++)
        fputc(0xee, file);
    fclose(file);
}

Test(db, goes_on_in_next_generation_when_damage_is_found_later)
{
    make_shipped();
    spoil_tables(f.path);
    struct db *db = fixture_db(&f, DB_CREATE);
    cr_assert(fixture_count(&f, db) == 0); /* a miss, not an error */
    cr_assert(db_bad_rows(db) == 1);
    fixture_put(db, 4);
    cr_assert(fixture_count(&f, db) == 1);
    cr_assert(strstr(db_file_path(db), "cache.db.g1") != NULL, "%s", db_file_path(db));
    db_close(db);
}

Test(db, follows_the_pointer_when_another_process_has_switched)
{
    make_cache();
    char name[128];
    int to_child[2], to_parent[2], status;
    char byte = 0;
    cr_assert(pipe(to_child) == 0 && pipe(to_parent) == 0);
    pid_t pid = fork();
    if (pid == 0) { /* has the old file open, then writes */
        struct db *db = fixture_db(&f, DB_CREATE);
        size_t before = fixture_count(&f, db);
        if (write(to_parent[1], "o", 1) != 1 || read(to_child[0], &byte, 1) != 1)
            _exit(9);
        size_t still = fixture_count(&f, db);
        fixture_put(db, 50);
        size_t after = fixture_count(&f, db);
        int moved = strstr(db_file_path(db), ".g1") != NULL;
        db_close(db);
        _exit(before == 1 && still == 1 && after == 1 && moved ? 0 : 8);
    }
    cr_assert(read(to_parent[0], &byte, 1) == 1);
    fixture_write(fixture_name(&f, "cache.db.generation", name), "1\n", 2);
    cr_assert(write(to_child[1], "g", 1) == 1);
    waitpid(pid, &status, 0);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0, "child: %d", WEXITSTATUS(status));
    struct db *db = fixture_db(&f, DB_READ);
    cr_assert(fixture_count(&f, db) == 1);
    db_close(db);
}

Test(db, opens_first_generation_when_pointer_is_malformed)
{
    static const char *const TEXTS[] = {
        "", "x", "1", "-1\n", "99\n", "1 \n", " 1\n", "0\n", "18446744073709551617\n"};
    char name[128];
    make_cache();
    fixture_name(&f, "cache.db.generation", name);
    for (size_t i = 0; i < sizeof TEXTS / sizeof *TEXTS; i++) {
        fixture_write(name, TEXTS[i], strlen(TEXTS[i]));
        chmod(name, 0600);
        struct db *db = fixture_db(&f, DB_READ);
        cr_assert(fixture_count(&f, db) == 1, "pointer '%s'", TEXTS[i]);
        db_close(db);
    }
}

Test(db, gives_up_when_every_generation_is_damaged)
{
    char name[128], garbage[4096];
    memset(garbage, 'x', sizeof garbage);
    umask(077);
    fixture_write(f.path, garbage, sizeof garbage);
    for (int i = 1; i <= 16; i++) {
        char file[32];
        snprintf(file, sizeof file, "cache.db.g%d", i);
        fixture_write(fixture_name(&f, file, name), garbage, sizeof garbage);
    }
    CHECK_STATUS(fixture_try(&f, DB_CREATE), TFOPS_E_CACHE);
}

Test(db, makes_file_again_when_it_is_deleted_under_a_writer)
{
    struct db *db = fixture_db(&f, DB_CREATE);
    char name[128];
    fixture_put(db, 1);
    unlink(f.path);
    unlink(fixture_name(&f, "cache.db-wal", name));
    unlink(fixture_name(&f, "cache.db-shm", name));
    fixture_put(db, 2);
    db_close(db);
    db = fixture_db(&f, DB_READ);
    cr_assert(fixture_count(&f, db) == 1);
    db_close(db);
}

/* Migration. */

Test(db, changes_nothing_when_version_is_current)
{
    make_shipped();
    int64_t before = ask("PRAGMA schema_version");
    CHECK_STATUS(fixture_try(&f, DB_CREATE), TFOPS_OK);
    int64_t after = ask("PRAGMA schema_version");
    cr_assert(before == after, "schema_version %ld, then %ld", (long)before, (long)after);
}

Test(db, makes_the_whole_schema_when_a_first_try_failed)
{
    fault_install();
    enum tfops_status status = TFOPS_E_IO;
    for (long n = 1; status; n++) {
        fault.fail_at = fault.calls + n;
        status = fixture_try(&f, DB_CREATE);
        cr_assert(!status || status == TFOPS_E_IO || status == TFOPS_E_BUSY, "call %ld: %s", n,
            error_message());
        cr_assert(n < 1000);
    }
    fault.fail_at = 0;
    struct db *db = fixture_db(&f, DB_CREATE);
    fixture_put(db, 1);
    cr_assert(fixture_count(&f, db) == 1);
    db_close(db);
}

/* Failing below. */

/* Opens, writes a record and a binary, reads them, lists; the status of the first that failed. */
static enum tfops_status work(struct db **ret_db)
{
    struct db_options options = {.path = f.path, .access = DB_CREATE, .busy_ms = 20};
    struct tfops_record row = fixture_record(2);
    struct binary binary = fixture_binary(1), found_binary;
    struct record_list list = {0};
    struct record_key key = fixture_key();
    bool found = false;
    enum tfops_status status = db_open(&f.env, &options, ret_db);
    if (!status)
        status = record_store_put(*ret_db, &row);
    if (!status)
        status = binary_store_put(*ret_db, &binary);
    if (!status)
        status = record_store_find(*ret_db, &key, &list);
    if (!status)
        status = record_store_list(*ret_db, NULL, &list);
    if (!status)
        status = binary_store_find_build(*ret_db, binary.build_key, &found, &found_binary);
    if (found)
        binary_release(&f.env, &found_binary);
    record_list_release(&f.env, &list);
    return status;
}

static void forget_second(void)
{
    fixture_sql(&f, "DELETE FROM record WHERE extent = 2; DELETE FROM binary; DELETE FROM build");
}

static void check_first_row_is_there(long n)
{
    struct db *db = fixture_db(&f, DB_CREATE);
    size_t rows = fixture_count(&f, db);
    cr_assert(rows == 1, "after failure %ld: %zu rows", n, rows);
    db_close(db);
    cr_assert(f.live == 0, "after failure %ld: %ld blocks left", n, f.live);
}

static void fail_every_io(int rc, int sticky, int no_shm)
{
    fault_install();
    fault.no_shm = no_shm;
    make_cache();
    enum tfops_status status = TFOPS_E_IO;
    for (long n = 1; status; n++) {
        struct db *db = NULL;
        fault.rc = rc;
        fault.sticky = sticky;
        fault.fail_at = fault.calls + n;
        status = work(&db);
        fault.fail_at = 0;
        db_close(db);
        cr_assert(!status || status == TFOPS_E_IO || status == TFOPS_E_BUSY, "call %ld: %s", n,
            error_message());
        cr_assert(n < 2000);
        forget_second();
        check_first_row_is_there(n);
    }
}

Test(db, loses_nothing_when_any_io_fails_once)
{
    fail_every_io(SQLITE_IOERR_WRITE, 0, 0);
}

Test(db, loses_nothing_when_disk_fails_for_good)
{
    fail_every_io(SQLITE_IOERR_WRITE, 1, 0);
}

Test(db, loses_nothing_when_disk_is_full)
{
    fail_every_io(SQLITE_FULL, 1, 0);
}

Test(db, loses_nothing_when_any_io_fails_with_a_rollback_journal)
{
    fail_every_io(SQLITE_FULL, 0, 1);
}

Test(db, loses_nothing_when_any_allocation_of_sqlite_fails)
{
    fault_install_memory();
    make_cache();
    enum tfops_status status = TFOPS_E_MEMORY;
    /* A failure that SQLite can do without leaves the work whole: look for the end, not the first.
     */
    for (long n = 1, succeeded = 0; succeeded < 20; n++) {
        struct db *db = NULL;
        fault.allocations = 0;
        fault.fail_allocation = n;
        status = work(&db);
        fault.fail_allocation = 0;
        db_close(db);
        cr_assert(!status || status == TFOPS_E_MEMORY || status == TFOPS_E_IO, "allocation %ld: %s",
            n, error_message());
        succeeded = status ? 0 : succeeded + 1;
        cr_assert(n < 20000);
        forget_second();
        check_first_row_is_there(n);
    }
}

Test(db, loses_nothing_when_any_allocation_of_ours_fails)
{
    make_cache();
    enum tfops_status status = TFOPS_E_MEMORY;
    for (long n = 1; status; n++) {
        struct db *db = NULL;
        f.allocations = 0;
        f.fail_at = n;
        status = work(&db);
        f.fail_at = 0;
        db_close(db);
        cr_assert(!status || status == TFOPS_E_MEMORY, "allocation %ld: %s", n, error_message());
        cr_assert(n < 2000);
        forget_second();
        check_first_row_is_there(n);
    }
}
