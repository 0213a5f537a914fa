/*
 * For tests of cache/: a private directory, an env that captures log lines and can fail its n-th
 * allocation, rows with every field set, and raw SQLite beside the library.
 */
#ifndef TFOPS_TESTS_CACHE_FIXTURE_H
#define TFOPS_TESTS_CACHE_FIXTURE_H

#include "base/env.h"
#include "base/error.h"
#include "base/hash.h"
#include "cache/binary_store.h"
#include "cache/db.h"
#include "cache/record_store.h"
#include "tests/support/test_support.h"
#include <criterion/criterion.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct fixture {
    char directory[64], path[160];
    struct env env;
    char log[8192];
    int log_lines;
    long allocations, fail_at; /* the fail_at-th fails; 0: none */
    long live;                 /* blocks not freed yet */
};

static inline void fixture_log(void *user, enum tfops_log_level level, const char *line)
{
    struct fixture *fixture = user;
    (void)level;
    size_t used = strlen(fixture->log);
    snprintf(fixture->log + used, sizeof fixture->log - used, "%s\n", line);
    fixture->log_lines++;
}

static inline void *fixture_alloc(void *user, size_t bytes)
{
    struct fixture *fixture = user;
    if (++fixture->allocations == fixture->fail_at)
        return NULL;
    fixture->live++;
    return malloc(bytes);
}

static inline void fixture_free(void *user, void *memory)
{
    struct fixture *fixture = user;
    fixture->live--;
    free(memory);
}

/* As an ordinary user where the tests run as root: else no file is unreadable. */
static inline void fixture_drop_root(void)
{
    if (geteuid() == 0 && seteuid(65534))
        abort();
}

static inline void fixture_open(struct fixture *fixture)
{
    memset(fixture, 0, sizeof *fixture);
    support_dir_make_in("/tmp", fixture->directory, sizeof fixture->directory);
    snprintf(fixture->path, sizeof fixture->path, "%s/cache.db", fixture->directory);
    fixture->env = (struct env){.alloc = fixture_alloc,
        .free = fixture_free,
        .alloc_user = fixture,
        .log = fixture_log,
        .log_user = fixture};
}

static inline void fixture_close(struct fixture *fixture)
{
    chmod(fixture->directory, 0700);
    support_dir_remove(fixture->directory);
}

static inline const char *fixture_name(
    const struct fixture *fixture, const char *name, char ret_path[128])
{
    snprintf(ret_path, 128, "%s/%s", fixture->directory, name);
    return ret_path;
}

static inline struct db *fixture_db(struct fixture *fixture, enum db_access access)
{
    struct db *db = NULL;
    struct db_options options = {.path = fixture->path, .access = access, .busy_ms = 50};
    enum tfops_status status = db_open(&fixture->env, &options, &db);
    cr_assert(status == TFOPS_OK, "db_open: %s", error_message());
    return db;
}

static inline enum tfops_status fixture_try(struct fixture *fixture, enum db_access access)
{
    struct db *db = NULL;
    struct db_options options = {.path = fixture->path, .access = access, .busy_ms = 50};
    enum tfops_status status = db_open(&fixture->env, &options, &db);
    db_close(db);
    return status;
}

static inline struct tfops_record fixture_record(int64_t extent)
{
    struct tfops_record row = {.size = sizeof row,
        .sku = "NVIDIA H200/sm_90/132sm/60mb-l2/140gib/",
        .op = "rmsnorm",
        .spec_version = 3,
        .problem = "hidden=4096 dtype=f16 align=16",
        .extent = extent,
        .config = "THREADS=256 VEC=8",
        .median_ns = 1234.5,
        .low_ns = 1200,
        .high_ns = 1300.25,
        .default_ns = 2000,
        .runner_up = "THREADS=128 VEC=8",
        .runner_up_ns = 1250,
        .samples = 77,
        .error = 0.0009765625,
        .sm_clock_mhz = 1980,
        .driver = "580.65.06",
        .nvrtc = "13.0",
        .host = "node-7",
        .tfops_version = "0.1.0",
        .date = "2026-01-02T03:04:05Z",
        .provenance = "{\"power_limit_w\":700}"};
    memset(row.binary_sha256, 0xab, sizeof row.binary_sha256);
    return row;
}

static inline struct record_key fixture_key(void)
{
    struct tfops_record row = fixture_record(0);
    return (struct record_key){
        .sku = row.sku, .op = row.op, .spec_version = row.spec_version, .problem = row.problem};
}

/* Strings and image are static: not for binary_release(). */
static inline struct binary fixture_binary(int number)
{
    static char images[16][5000];
    char *image = images[number & 15];
    memset(image, 'a' + (number & 15), sizeof images[0]);
    struct binary binary = {.op = "rmsnorm",
        .arch = "sm_90a",
        .entry = "rmsnorm_entry",
        .config = "THREADS=256 VEC=8",
        .nvrtc = "13.0.48",
        .date = "2026-01-02T03:04:05Z",
        .registers = 40,
        .spill_bytes = 1,
        .smem_static_bytes = 2,
        .threads = 256,
        .min_blocks = 3,
        .cluster = 4,
        .smem_bytes = 5,
        .param_bytes = 64,
        .min_driver = 13000,
        .image = image,
        .image_bytes = sizeof images[0]};
    memset(binary.build_key, 0x10 + number, sizeof binary.build_key);
    memset(binary.abi, 0x5a, sizeof binary.abi);
    return binary;
}

static inline void fixture_put(struct db *db, int64_t extent)
{
    struct tfops_record row = fixture_record(extent);
    cr_assert(record_store_put(db, &row) == TFOPS_OK, "%s", error_message());
}

static inline size_t fixture_count(struct fixture *fixture, struct db *db)
{
    struct record_list list = {0};
    struct record_key key = fixture_key();
    cr_assert(record_store_find(db, &key, &list) == TFOPS_OK, "%s", error_message());
    size_t n = list.n;
    record_list_release(&fixture->env, &list);
    return n;
}

/* Runs SQL beside the library. */
static inline void fixture_sql_at(const char *path, const char *sql)
{
    sqlite3 *raw;
    char *message = NULL;
    cr_assert(sqlite3_open(path, &raw) == SQLITE_OK);
    int rc = sqlite3_exec(raw, sql, NULL, NULL, &message);
    cr_assert(rc == SQLITE_OK, "%s: %s", sql, message);
    sqlite3_close(raw);
}

static inline void fixture_sql(const struct fixture *fixture, const char *sql)
{
    fixture_sql_at(fixture->path, sql);
}

static inline void fixture_write(const char *path, const void *bytes, size_t n)
{
    FILE *file = fopen(path, "wb");
    cr_assert(file && fwrite(bytes, 1, n, file) == n && !fclose(file), "cannot write %s", path);
}

static inline void *fixture_read(const char *path, size_t *ret_bytes)
{
    FILE *file = fopen(path, "rb");
    cr_assert(file != NULL, "cannot read %s", path);
    fseek(file, 0, SEEK_END);
    long n = ftell(file);
    rewind(file);
    void *bytes = malloc((size_t)n + 1);
    cr_assert(bytes && fread(bytes, 1, (size_t)n, file) == (size_t)n);
    fclose(file);
    *ret_bytes = (size_t)n;
    return bytes;
}

#endif
