/* The public cache file: paths, listing, totals, verification, pruning. */
#include "../fakes/cache_fixture.h"
#include <tfops/cache.h>
#include <time.h>

static struct fixture f;

static void set_up(void)
{
    fixture_open(&f);
}
static void tear_down(void)
{
    fixture_close(&f);
}
TestSuite(cache_file, .init = set_up, .fini = tear_down);

/* Three records of two SKUs; binary 1 pinned by both SKUs, 2 by the second, 3 by none. */
static void fill(void)
{
    struct db *db = fixture_db(&f, DB_CREATE);
    struct binary binaries[4];
    for (int i = 1; i < 4; i++) {
        binaries[i] = fixture_binary(i);
        cr_assert(binary_store_put(db, &binaries[i]) == TFOPS_OK);
    }
    static const struct {
        const char *sku, *op, *driver;
        int64_t extent;
        int binary;
    } ROWS[] = {{"A", "rmsnorm", "580.65", 1, 1}, {"B", "rmsnorm", "570.9", 1, 1},
        {"B", "gemm", "570.124", 1, 2}};
    for (int i = 0; i < 3; i++) {
        struct tfops_record row = fixture_record(ROWS[i].extent);
        row.sku = ROWS[i].sku;
        row.op = ROWS[i].op;
        row.driver = ROWS[i].driver;
        memcpy(row.binary_sha256, binaries[ROWS[i].binary].sha256, 32);
        cr_assert(record_store_put(db, &row) == TFOPS_OK);
    }
    db_close(db);
}

static struct tfops_cache *open_cache(bool writable)
{
    struct tfops_cache *cache = NULL;
    enum tfops_status status =
        writable ? tfops_cache_open_writable(f.path, &cache) : tfops_cache_open(f.path, &cache);
    cr_assert(status == TFOPS_OK, "%s", error_message());
    return cache;
}

static struct tfops_cache_totals totals_of(struct tfops_cache *cache)
{
    struct tfops_cache_totals totals = {.size = sizeof totals};
    cr_assert(tfops_cache_totals(cache, &totals) == TFOPS_OK, "%s", error_message());
    return totals;
}

/* Default path. */

Test(cache_file, takes_tfops_cache_when_it_is_set)
{
    char path[256];
    setenv("TFOPS_CACHE", "/x/y.db", 1);
    setenv("XDG_CACHE_HOME", "/xdg", 1);
    cr_assert(tfops_cache_default_path(path, sizeof path) == TFOPS_OK);
    cr_assert_str_eq(path, "/x/y.db");
}

Test(cache_file, takes_xdg_when_it_is_absolute)
{
    char path[256];
    unsetenv("TFOPS_CACHE");
    setenv("XDG_CACHE_HOME", "/xdg", 1);
    cr_assert(tfops_cache_default_path(path, sizeof path) == TFOPS_OK);
    cr_assert_str_eq(path, "/xdg/tfops/cache.db");
}

Test(cache_file, takes_home_when_xdg_is_relative)
{
    char path[256];
    unsetenv("TFOPS_CACHE");
    setenv("XDG_CACHE_HOME", "xdg", 1);
    setenv("HOME", "/home/someone", 1);
    cr_assert(tfops_cache_default_path(path, sizeof path) == TFOPS_OK);
    cr_assert_str_eq(path, "/home/someone/.cache/tfops/cache.db");
}

Test(cache_file, asks_the_password_file_when_home_is_unset)
{
    char path[256];
    unsetenv("TFOPS_CACHE");
    unsetenv("XDG_CACHE_HOME");
    unsetenv("HOME");
    cr_assert(tfops_cache_default_path(path, sizeof path) == TFOPS_OK, "%s", error_message());
    cr_assert(path[0] == '/' && strstr(path, "/.cache/tfops/cache.db"), "%s", path);
}

Test(cache_file, says_so_when_there_is_no_home_at_all)
{
    char path[256];
    if (geteuid())
        cr_skip("needs root to become a user without an entry");
    unsetenv("TFOPS_CACHE");
    unsetenv("XDG_CACHE_HOME");
    unsetenv("HOME");
    cr_assert(seteuid(4123456) == 0);
    enum tfops_status status = tfops_cache_default_path(path, sizeof path);
    cr_assert(seteuid(0) == 0);
    cr_assert(status == TFOPS_E_UNKNOWN, "%s", tfops_status_name(status));
}

Test(cache_file, refuses_when_the_path_does_not_fit)
{
    char path[4];
    setenv("TFOPS_CACHE", "/x/y.db", 1);
    cr_assert(tfops_cache_default_path(path, sizeof path) == TFOPS_E_RANGE);
    cr_assert_str_eq(path, "/x/");
}

/* Opening. */

Test(cache_file, refuses_when_arguments_are_null)
{
    struct tfops_cache *cache;
    cr_assert(tfops_cache_open(NULL, &cache) == TFOPS_E_ARGUMENT);
    cr_assert(tfops_cache_open("x", NULL) == TFOPS_E_ARGUMENT);
    cr_assert(tfops_cache_each_record(NULL, NULL, NULL, NULL, NULL) == TFOPS_E_ARGUMENT);
    cr_assert(tfops_cache_each_binary(NULL, NULL, NULL) == TFOPS_E_ARGUMENT);
    cr_assert(tfops_cache_totals(NULL, NULL) == TFOPS_E_ARGUMENT);
    cr_assert(tfops_cache_verify(NULL, NULL, NULL, NULL) == TFOPS_E_ARGUMENT);
    cr_assert(tfops_cache_prune(NULL, NULL, NULL, NULL) == TFOPS_E_ARGUMENT);
    cr_assert(tfops_cache_default_path(NULL, 0) == TFOPS_E_ARGUMENT);
    tfops_cache_close(NULL);
}

Test(cache_file, creates_nothing_when_it_is_not_there)
{
    struct tfops_cache *cache;
    cr_assert(tfops_cache_open(f.path, &cache) == TFOPS_E_UNKNOWN);
    cr_assert(tfops_cache_open_writable(f.path, &cache) == TFOPS_E_UNKNOWN);
    cr_assert(access(f.path, F_OK) != 0);
}

Test(cache_file, leaves_no_side_files_when_a_foreign_file_is_opened_writable)
{
    struct tfops_cache *cache;
    char name[128];
    fixture_write(f.path,
        "not a database, but some text that is longer than a header.......\n"
        "..............................................................",
        120);
    chmod(f.path, 0600);
    cr_assert(tfops_cache_open_writable(f.path, &cache) == TFOPS_E_CACHE);
    cr_assert(access(fixture_name(&f, "cache.db.lock", name), F_OK) != 0);
    cr_assert(access(fixture_name(&f, "cache.db.generation", name), F_OK) != 0);
}

/* Listing. */

struct seen {
    char text[1024];
    int n, stop_after;
};

static bool see_record(void *user, const struct tfops_record *record)
{
    struct seen *seen = user;
    size_t used = strlen(seen->text);
    cr_assert(record->size == sizeof *record && record->id > 0);
    snprintf(seen->text + used, sizeof seen->text - used, "%s/%s%s ", record->sku, record->op,
        record->revalidate ? "!" : "");
    return ++seen->n != seen->stop_after;
}

static bool see_binary(void *user, const struct tfops_binary *binary)
{
    struct seen *seen = user;
    cr_assert(binary->size == sizeof *binary && binary->ok && binary->bytes == 5000);
    cr_assert_str_eq(binary->entry, "rmsnorm_entry");
    seen->n += binary->pinned ? 100 : 1;
    return seen->n != seen->stop_after;
}

static void expect_records(const char *op, const char *sku, const char *wanted)
{
    struct seen seen = {.n = 0};
    struct tfops_cache *cache = open_cache(false);
    cr_assert(tfops_cache_each_record(cache, op, sku, see_record, &seen) == TFOPS_OK);
    cr_assert_str_eq(seen.text, wanted, "got '%s', wanted '%s'", seen.text, wanted);
    tfops_cache_close(cache);
}

Test(cache_file, gives_records_in_canonical_order)
{
    fill();
    expect_records(NULL, NULL, "A/rmsnorm B/gemm B/rmsnorm! ");
}

Test(cache_file, filters_by_operator_and_sku_when_given)
{
    fill();
    expect_records("rmsnorm", NULL, "A/rmsnorm B/rmsnorm! ");
    expect_records(NULL, "B", "B/gemm B/rmsnorm! ");
    expect_records("gemm", "A", "");
}

Test(cache_file, stops_when_the_callback_says_so)
{
    struct seen seen = {.stop_after = 2};
    fill();
    struct tfops_cache *cache = open_cache(false);
    cr_assert(tfops_cache_each_record(cache, NULL, NULL, see_record, &seen) == TFOPS_OK);
    cr_assert(seen.n == 2);
    tfops_cache_close(cache);
}

Test(cache_file, gives_binaries_with_their_pins)
{
    struct seen seen = {.n = 0};
    fill();
    struct tfops_cache *cache = open_cache(false);
    cr_assert(tfops_cache_each_binary(cache, see_binary, &seen) == TFOPS_OK);
    cr_assert(seen.n == 201, "%d", seen.n);
    tfops_cache_close(cache);
}

/* Totals and verification. */

Test(cache_file, counts_rows_and_bytes)
{
    fill();
    struct tfops_cache *cache = open_cache(false);
    struct tfops_cache_totals totals = totals_of(cache);
    cr_assert(totals.records == 3 && totals.binaries == 3 && totals.binary_bytes == 15000);
    cr_assert(totals.unpinned_binaries == 1 && totals.schema == 1 && totals.bad == 0);
    cr_assert(totals.file_bytes > 15000);
    tfops_cache_close(cache);
}

Test(cache_file, refuses_totals_when_their_size_is_not_set)
{
    fill();
    struct tfops_cache *cache = open_cache(false);
    struct tfops_cache_totals totals = {.size = 0};
    cr_assert(tfops_cache_totals(cache, &totals) == TFOPS_E_ARGUMENT);
    cr_assert(tfops_cache_verify(cache, NULL, NULL, &totals) == TFOPS_E_ARGUMENT);
    tfops_cache_close(cache);
}

static void see_problem(void *user, const char *problem)
{
    struct seen *seen = user;
    size_t used = strlen(seen->text);
    snprintf(seen->text + used, sizeof seen->text - used, "%s|", problem);
    seen->n++;
}

static struct seen verify(void)
{
    struct seen seen = {.n = 0};
    struct tfops_cache_totals totals = {.size = sizeof totals};
    struct tfops_cache *cache = open_cache(false);
    enum tfops_status status = tfops_cache_verify(cache, see_problem, &seen, &totals);
    cr_assert(status == TFOPS_OK, "%s", error_message());
    cr_assert(
        (uint64_t)seen.n == totals.bad, "%d lines, %lu bad", seen.n, (unsigned long)totals.bad);
    tfops_cache_close(cache);
    return seen;
}

Test(cache_file, finds_nothing_when_all_is_sound)
{
    fill();
    struct seen seen = verify();
    cr_assert(seen.n == 0, "%s", seen.text);
}

Test(cache_file, finds_each_kind_of_bad_row)
{
    static const struct {
        const char *sql, *wanted;
    } CASES[] = {
        {"UPDATE record SET median_ns = 0 WHERE id = 2", "record 2: its digest does not hold|"},
        {"UPDATE binary SET threads = 1 WHERE id = 3", "binary 3: its digest does not hold|"},
        {"UPDATE binary SET image = x'00' WHERE id = 3",
            "binary 3: its image does not have the digest it is named by|"},
        {"UPDATE build SET sha256 = (SELECT sha256 FROM binary WHERE id = 1) WHERE id = 3",
            "build 3: its digest does not hold|"},
        {"DELETE FROM binary WHERE id = 2; DELETE FROM build WHERE id = 2",
            "record 3: the binary it pins is missing|"},
        {"DELETE FROM binary WHERE id = 3", "build 3: the binary it leads to is missing|"},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        unlink(f.path);
        fill();
        fixture_sql(&f, CASES[i].sql);
        struct seen seen = verify();
        cr_assert_str_eq(seen.text, CASES[i].wanted, "%s: got %s", CASES[i].sql, seen.text);
    }
}

Test(cache_file, finds_broken_pages_when_they_are_overwritten)
{
    size_t bytes;
    fill();
    fixture_sql(&f, "PRAGMA journal_mode=DELETE");
    char *all = fixture_read(f.path, &bytes);
    for (size_t page = 1; page < bytes / 4096; page++) {
        char *spoilt = malloc(bytes);
        memcpy(spoilt, all, bytes);
        memset(spoilt + page * 4096, 0xee, 4096);
        fixture_write(f.path, spoilt, bytes);
        free(spoilt);
        struct tfops_cache *cache = NULL;
        if (tfops_cache_open(f.path, &cache))
            continue;
        tfops_cache_close(cache);
        cr_assert(verify().n > 0, "page %zu", page);
    }
    free(all);
}

/* Pruning. */

static void prune(const struct tfops_prune_options *options, uint64_t records, uint64_t binaries)
{
    uint64_t got_records = 99, got_binaries = 99;
    struct tfops_cache *cache = open_cache(true);
    enum tfops_status status = tfops_cache_prune(cache, options, &got_records, &got_binaries);
    cr_assert(status == TFOPS_OK, "%s", error_message());
    cr_assert(got_records == records && got_binaries == binaries, "%lu records, %lu binaries",
        (unsigned long)got_records, (unsigned long)got_binaries);
    tfops_cache_close(cache);
    cr_assert(verify().n == 0, "%s", verify().text);
}

static void expect_left(uint64_t records, uint64_t binaries)
{
    struct tfops_cache *cache = open_cache(false);
    struct tfops_cache_totals totals = totals_of(cache);
    cr_assert(totals.records == records && totals.binaries == binaries,
        "left: %lu records, %lu binaries", (unsigned long)totals.records,
        (unsigned long)totals.binaries);
    tfops_cache_close(cache);
}

Test(cache_file, prunes_unpinned_binaries_when_nothing_else_is_asked)
{
    struct tfops_prune_options options = {.size = sizeof options};
    fill();
    prune(&options, 0, 1);
    expect_left(3, 2);
}

Test(cache_file, changes_nothing_when_pruning_dry)
{
    struct tfops_prune_options options = {.size = sizeof options, .records = true, .dry_run = true};
    fill();
    prune(&options, 3, 3);
    expect_left(3, 3);
}

Test(cache_file, prunes_records_and_what_only_they_pinned_when_a_sku_is_given)
{
    struct tfops_prune_options options = {.size = sizeof options, .records = true, .sku = "B"};
    fill();
    prune(&options, 2, 1);
    expect_left(1, 2);
}

Test(cache_file, prunes_one_operator_when_it_is_given)
{
    struct tfops_prune_options options = {.size = sizeof options, .records = true, .op = "gemm"};
    fill();
    prune(&options, 1, 0); /* the binaries are rmsnorm's */
    expect_left(2, 3);
}

Test(cache_file, keeps_what_is_younger_when_an_age_is_given)
{
    char now[32];
    time_t clock = time(NULL);
    strftime(now, sizeof now, "%Y-%m-%dT%H:%M:%SZ", gmtime(&clock));
    struct db *db = fixture_db(&f, DB_CREATE);
    struct tfops_record old = fixture_record(1), young = fixture_record(2);
    old.date = "2020-01-01T00:00:00Z";
    young.date = now;
    cr_assert(record_store_put(db, &old) == TFOPS_OK && record_store_put(db, &young) == TFOPS_OK);
    db_close(db);
    struct tfops_prune_options options = {
        .size = sizeof options, .records = true, .older_than_s = 3600};
    uint64_t records = 0;
    struct tfops_cache *cache = open_cache(true);
    cr_assert(tfops_cache_prune(cache, &options, &records, NULL) == TFOPS_OK && records == 1);
    tfops_cache_close(cache);
    expect_left(1, 0);
}

Test(cache_file, refuses_to_prune_when_read_only_or_options_are_unknown)
{
    fill();
    struct {
        struct tfops_prune_options options;
        char tail[8];
    } newer = {.options = {.size = sizeof newer}, .tail = {1}};
    struct tfops_prune_options options = {.size = sizeof options};
    struct tfops_cache *cache = open_cache(false);
    cr_assert(tfops_cache_prune(cache, &options, NULL, NULL) == TFOPS_E_CACHE);
    cr_assert(tfops_cache_prune(cache, &newer.options, NULL, NULL) == TFOPS_E_ARGUMENT);
    options.older_than_s = -1;
    cr_assert(tfops_cache_prune(cache, &options, NULL, NULL) == TFOPS_E_RANGE);
    tfops_cache_close(cache);
}

Test(cache_file, gives_space_back_when_pruned)
{
    struct db *db = fixture_db(&f, DB_CREATE);
    struct stat before, after;
    struct binary binary = fixture_binary(1);
    binary.image_bytes = 1 << 20;
    binary.image = calloc(1, binary.image_bytes);
    cr_assert(binary_store_put(db, &binary) == TFOPS_OK);
    free(binary.image);
    db_close(db);
    stat(f.path, &before);
    struct tfops_prune_options options = {.size = sizeof options};
    prune(&options, 0, 1);
    stat(f.path, &after);
    cr_assert(after.st_size < before.st_size / 4, "%ld bytes, then %ld", (long)before.st_size,
        (long)after.st_size);
}
