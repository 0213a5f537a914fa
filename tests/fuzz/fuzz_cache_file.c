/*
 * libFuzzer: any bytes as a cache file. Opened through the public face (list, totals, verify), as a
 * shipped layer, and as a user's file that is written to. Nothing may crash, hang, or give out a
 * binary whose content is not what it is named by.
 *
 * Seeds: cache files made by the library, with journal_mode=DELETE. FUZZ_SEED=FILE writes one and
 * exits. FUZZ_DIRECTORY: where the files lie; /dev/shm.
 */
#include "base/hash.h"
#include "cache/overlay.h"
#include "tests/support/test_support.h"
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <tfops/cache.h>
#include <unistd.h>

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static char directory[96], path[128];
static const struct env env;

static const struct tfops_record ROW = {.size = sizeof ROW,
    .sku = "sku",
    .op = "rmsnorm",
    .spec_version = 1,
    .problem = "hidden=64",
    .extent = 16,
    .config = "THREADS=32",
    .median_ns = 1.5};
static uint8_t build_key[HASH_BYTES] = {1, 2, 3};

static void remove_all(void)
{
    static const char *const NAMES[] = {
        "", "-wal", "-shm", "-journal", ".lock", ".generation", ".g1", ".g1-wal", ".g1-shm"};
    char name[160];
    for (size_t i = 0; i < sizeof NAMES / sizeof *NAMES; i++) {
        snprintf(name, sizeof name, "%s%s", path, NAMES[i]);
        unlink(name);
    }
}

static void clean_up(void)
{
    support_dir_remove(directory);
}

static void write_rows(struct overlay *overlay)
{
    for (int i = 0; i < 3; i++) {
        struct tfops_record row = ROW;
        char image[300];
        memset(image, 'a' + i, sizeof image);
        struct binary binary = {.op = "rmsnorm", .image = image, .image_bytes = sizeof image};
        memcpy(binary.build_key, build_key, HASH_BYTES);
        binary.build_key[31] = (uint8_t)i;
        overlay_put_binary(overlay, &binary);
        memcpy(row.binary_sha256, binary.sha256, HASH_BYTES);
        row.extent = 1 << i;
        overlay_put_record(overlay, &row);
    }
    struct record_key key = {.sku = ROW.sku, .op = ROW.op, .spec_version = 1, .problem = "p"};
    if (overlay_user(overlay))
        record_store_put_sample(overlay_user(overlay), &key, 1, "THREADS=32", "[1,2]");
}

static void make_seed(const char *to)
{
    struct overlay_options options = {.user_path = to};
    struct overlay *overlay;
    sqlite3 *raw;
    if (overlay_open(&env, &options, &overlay))
        exit(1);
    write_rows(overlay);
    overlay_close(overlay);
    if (sqlite3_open(to, &raw) || sqlite3_exec(raw, "PRAGMA journal_mode=DELETE", 0, 0, 0))
        exit(1);
    sqlite3_close(raw);
    exit(0);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    const char *seed = getenv("FUZZ_SEED"), *base = getenv("FUZZ_DIRECTORY");
    if (seed)
        make_seed(seed);
    support_dir_make_in(base ? base : "/dev/shm", directory, sizeof directory);
    snprintf(path, sizeof path, "%s/cache.db", directory);
    atexit(clean_up);
    return 0;
}

static void write_file(const uint8_t *data, size_t bytes)
{
    umask(077);
    FILE *file = fopen(path, "wb");
    if (!file || fwrite(data, 1, bytes, file) != bytes || fclose(file))
        exit(1);
}

static bool touch_record(void *user, const struct tfops_record *record)
{
    size_t *sum = user;
    *sum += strlen(record->sku) + strlen(record->provenance) + strlen(record->date);
    return true;
}

static bool touch_binary(void *user, const struct tfops_binary *binary)
{
    size_t *sum = user;
    *sum += strlen(binary->op) + strlen(binary->config);
    return true;
}

static void as_public_file(void)
{
    struct tfops_cache_totals totals = {.size = sizeof totals};
    struct tfops_cache *cache;
    size_t sum = 0;
    if (tfops_cache_open(path, &cache))
        return;
    tfops_cache_each_record(cache, NULL, NULL, touch_record, &sum);
    tfops_cache_each_binary(cache, touch_binary, &sum);
    tfops_cache_totals(cache, &totals);
    tfops_cache_verify(cache, NULL, NULL, &totals);
    tfops_cache_close(cache);
}

static void check(const struct binary *binary)
{
    uint8_t digest[HASH_BYTES];
    hash_bytes(binary->image, binary->image_bytes, digest);
    if (memcmp(digest, binary->sha256, HASH_BYTES))
        abort();
}

static void look_up(struct overlay *overlay)
{
    struct record_key key = {
        .sku = ROW.sku, .op = ROW.op, .spec_version = ROW.spec_version, .problem = ROW.problem};
    struct record_list list = {0};
    struct binary binary;
    bool found = false;
    if (!overlay_records(overlay, &key, &list))
        for (size_t i = 0; i < list.n; i++) {
            found = false;
            if (overlay_find_binary(overlay, list.records[i].row.binary_sha256, &found, &binary) ||
                !found)
                continue;
            check(&binary);
            binary_release(&env, &binary);
        }
    record_list_release(&env, &list);
    found = false;
    if (!overlay_find_build(overlay, build_key, &found, &binary) && found) {
        check(&binary);
        binary_release(&env, &binary);
    }
}

static void as_shipped_layer(void)
{
    const char *paths[] = {path};
    struct overlay_options options = {.user_path = "", .shipped_paths = paths, .n_shipped = 1};
    struct overlay *overlay;
    if (overlay_open(&env, &options, &overlay))
        abort();
    look_up(overlay);
    overlay_close(overlay);
}

static void as_user_file(void)
{
    struct overlay_options options = {.user_path = path};
    struct overlay *overlay;
    if (overlay_open(&env, &options, &overlay))
        abort();
    look_up(overlay);
    write_rows(overlay);
    look_up(overlay);
    overlay_close(overlay);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    if (bytes > 1 << 18)
        return -1;
    remove_all();
    write_file(data, bytes);
    as_public_file();
    as_shipped_layer();
    uint8_t digest[HASH_BYTES];
    hash_bytes(data, bytes, digest);
    if (digest[0] % 8 ==
        0) /* the slowest by far: for some, by content so that it can be repeated */
        as_user_file();
    return 0;
}
