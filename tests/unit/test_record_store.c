/* Records and samples: round trips, refusals, rows that were changed behind the library's back. */
#include "../fakes/cache_fixture.h"
#include "cache/record_store.h"
#include <float.h>
#include <math.h>

static struct fixture f;
static struct db *db;

static void set_up(void)
{
    fixture_open(&f);
    db = fixture_db(&f, DB_CREATE);
}
static void tear_down(void)
{
    db_close(db);
    fixture_close(&f);
}
TestSuite(record_store, .init = set_up, .fini = tear_down);

static struct record_list find(void)
{
    struct record_list list = {0};
    struct record_key key = fixture_key();
    cr_assert(record_store_find(db, &key, &list) == TFOPS_OK, "%s", error_message());
    return list;
}

#define SAME_TEXT(member)                                                                          \
    cr_assert_str_eq(                                                                              \
        got->member, want->member, #member ": '%s', wanted '%s'", got->member, want->member)
#define SAME_NUMBER(member)                                                                        \
    cr_assert(got->member == want->member, #member ": %g, wanted %g", (double)got->member,         \
        (double)want->member)

static void same(const struct tfops_record *got, const struct tfops_record *want)
{
    SAME_TEXT(sku);
    SAME_TEXT(op);
    SAME_NUMBER(spec_version);
    SAME_TEXT(problem);
    SAME_NUMBER(extent);
    SAME_TEXT(config);
    cr_assert_arr_eq(got->binary_sha256, want->binary_sha256, 32);
    SAME_NUMBER(median_ns);
    SAME_NUMBER(low_ns);
    SAME_NUMBER(high_ns);
    SAME_NUMBER(default_ns);
    SAME_TEXT(runner_up);
    SAME_NUMBER(runner_up_ns);
    SAME_NUMBER(samples);
    SAME_NUMBER(error);
    SAME_NUMBER(sm_clock_mhz);
    SAME_TEXT(driver);
    SAME_TEXT(nvrtc);
    SAME_TEXT(host);
    SAME_TEXT(tfops_version);
    SAME_TEXT(date);
    SAME_TEXT(provenance);
}

Test(record_store, gives_back_every_field_when_put)
{
    struct tfops_record want = fixture_record(4096);
    cr_assert(record_store_put(db, &want) == TFOPS_OK, "%s", error_message());
    struct record_list list = find();
    cr_assert(list.n == 1 && list.records[0].row.size == sizeof want);
    same(&list.records[0].row, &want);
    record_list_release(&f.env, &list);
    cr_assert(f.live == 1, "%ld blocks besides the handle", f.live - 1);
}

Test(record_store, keeps_numbers_exact_when_extreme)
{
    struct tfops_record want = fixture_record(INT64_MAX);
    want.spec_version = UINT32_MAX;
    want.samples = UINT32_MAX;
    want.sm_clock_mhz = INT32_MIN;
    want.median_ns = DBL_MAX;
    want.low_ns = DBL_MIN / 2;
    want.high_ns = 9007199254740993.0;
    want.default_ns = -1e300;
    want.error = 0.1;
    cr_assert(record_store_put(db, &want) == TFOPS_OK, "%s", error_message());
    struct record_list list = {0};
    cr_assert(record_store_list(db, want.sku, &list) == TFOPS_OK);
    cr_assert(list.n == 1, "%zu records, %s", list.n, f.log);
    same(&list.records[0].row, &want);
    record_list_release(&f.env, &list);
}

Test(record_store, reads_zero_when_negative_zero_was_put)
{
    struct tfops_record row = fixture_record(1);
    row.error = -0.0;
    cr_assert(record_store_put(db, &row) == TFOPS_OK);
    struct record_list list = find();
    cr_assert(list.n == 1 && !signbit(list.records[0].row.error), "%zu records", list.n);
    record_list_release(&f.env, &list);
}

Test(record_store, takes_null_texts_as_empty_when_not_in_the_key)
{
    struct tfops_record row = fixture_record(1);
    row.runner_up = row.host = row.provenance = NULL;
    cr_assert(record_store_put(db, &row) == TFOPS_OK);
    struct record_list list = find();
    cr_assert(list.n == 1);
    cr_assert_str_eq(list.records[0].row.runner_up, "");
    record_list_release(&f.env, &list);
}

Test(record_store, replaces_when_key_and_extent_are_there)
{
    struct tfops_record row = fixture_record(8);
    fixture_put(db, 8);
    row.config = "THREADS=512";
    cr_assert(record_store_put(db, &row) == TFOPS_OK);
    struct record_list list = find();
    cr_assert(list.n == 1);
    cr_assert_str_eq(list.records[0].row.config, "THREADS=512");
    record_list_release(&f.env, &list);
}

Test(record_store, orders_by_extent_when_found)
{
    static const int64_t EXTENTS[] = {4096, 1, 65536, 16, 0};
    for (size_t i = 0; i < 5; i++)
        fixture_put(db, EXTENTS[i]);
    struct record_list list = find();
    cr_assert(list.n == 5);
    for (size_t i = 1; i < list.n; i++)
        cr_assert(list.records[i - 1].row.extent < list.records[i].row.extent);
    record_list_release(&f.env, &list);
}

Test(record_store, finds_nothing_when_any_part_of_the_key_differs)
{
    fixture_put(db, 1);
    struct record_key keys[4];
    for (int i = 0; i < 4; i++)
        keys[i] = fixture_key();
    keys[0].sku = "NVIDIA H20";
    keys[1].op = "layernorm";
    keys[2].spec_version++;
    keys[3].problem = "hidden=4096 dtype=f16 align=8";
    for (int i = 0; i < 4; i++) {
        struct record_list list = {0};
        cr_assert(record_store_find(db, &keys[i], &list) == TFOPS_OK);
        cr_assert(list.n == 0, "key %d", i);
    }
}

Test(record_store, lists_in_canonical_order_when_skus_mix)
{
    static const char *const OPS[] = {"rope", "gemm", "rmsnorm"};
    static const char *const SKUS[] = {"b", "a"};
    for (int sku = 0; sku < 2; sku++)
        for (int op = 0; op < 3; op++)
            for (int extent = 20; extent >= 0; extent -= 10) {
                struct tfops_record row = fixture_record(extent);
                row.sku = SKUS[sku];
                row.op = OPS[op];
                cr_assert(record_store_put(db, &row) == TFOPS_OK);
            }
    struct record_list all = {0}, one = {0};
    cr_assert(record_store_list(db, NULL, &all) == TFOPS_OK && all.n == 18);
    for (size_t i = 1; i < all.n; i++)
        cr_assert(record_compare(&all.records[i - 1].row, &all.records[i].row) < 0);
    cr_assert(record_store_list(db, "a", &one) == TFOPS_OK && one.n == 9);
    record_list_release(&f.env, &all);
    record_list_release(&f.env, &one);
}

/* Refusals. */

Test(record_store, refuses_when_a_number_is_not_finite)
{
    struct tfops_record row = fixture_record(1);
    row.median_ns = NAN;
    cr_assert(record_store_put(db, &row) == TFOPS_E_ARGUMENT);
    row = fixture_record(1);
    row.error = INFINITY;
    cr_assert(record_store_put(db, &row) == TFOPS_E_ARGUMENT);
    cr_assert(fixture_count(&f, db) == 0);
    fixture_put(db, 1); /* its transaction has ended */
}

Test(record_store, refuses_when_the_key_is_not_whole)
{
    struct tfops_record row = fixture_record(1);
    row.sku = NULL;
    cr_assert(record_store_put(db, &row) == TFOPS_E_ARGUMENT);
    row = fixture_record(-1);
    cr_assert(record_store_put(db, &row) == TFOPS_E_RANGE);
}

Test(record_store, refuses_when_a_text_is_too_large)
{
    struct tfops_record row = fixture_record(1);
    size_t n = (64u << 20) + 1;
    char *text = malloc(n + 1);
    memset(text, 'x', n);
    text[n] = '\0';
    row.provenance = text;
    cr_assert(record_store_put(db, &row) == TFOPS_E_RANGE, "%s", error_message());
    free(text);
    fixture_put(db, 1);
}

/* Changed rows. */

static const char *const COLUMNS[] = {"sku", "op", "spec_version", "problem", "extent", "config",
    "binary_sha256", "median_ns", "low_ns", "high_ns", "default_ns", "runner_up", "runner_up_ns",
    "samples", "error", "sm_clock_mhz", "driver", "nvrtc", "host", "tfops_version", "date",
    "provenance", "digest"};

static void change(const char *table, const char *column)
{
    char sql[512];
    snprintf(sql, sizeof sql,
        "UPDATE %s SET %s = CASE typeof(%s) WHEN 'text' THEN %s || 'x' WHEN 'blob' THEN "
        "zeroblob(32) ELSE %s + 1 END",
        table, column, column, column, column);
    fixture_sql(&f, sql);
}

Test(record_store, misses_and_counts_when_any_column_was_changed)
{
    for (size_t i = 0; i < sizeof COLUMNS / sizeof *COLUMNS; i++) {
        struct record_list list = {0};
        fixture_sql(&f, "DELETE FROM record");
        fixture_put(db, 16);
        change("record", COLUMNS[i]);
        uint64_t before = db_bad_rows(db);
        cr_assert(record_store_list(db, NULL, &list) == TFOPS_OK);
        cr_assert(list.n == 0, "column %s", COLUMNS[i]);
        cr_assert(db_bad_rows(db) == before + 1, "column %s", COLUMNS[i]);
        cr_assert(fixture_count(&f, db) == 0, "column %s", COLUMNS[i]);
    }
}

Test(record_store, logs_once_when_many_rows_are_bad)
{
    for (int i = 0; i < 20; i++)
        fixture_put(db, i);
    change("record", "median_ns");
    cr_assert(fixture_count(&f, db) == 0 && db_bad_rows(db) == 20);
    cr_assert(f.log_lines == 1 && strstr(f.log, "record"), "log: %s", f.log);
}

Test(record_store, keeps_good_rows_when_one_is_bad)
{
    for (int i = 0; i < 3; i++)
        fixture_put(db, i);
    fixture_sql(&f, "UPDATE record SET config = 'evil' WHERE extent = 1");
    cr_assert(fixture_count(&f, db) == 2);
}

Test(record_store, heals_a_bad_row_when_it_is_put_again)
{
    fixture_put(db, 1);
    change("record", "config");
    cr_assert(fixture_count(&f, db) == 0);
    fixture_put(db, 1);
    cr_assert(fixture_count(&f, db) == 1);
}

Test(record_store, misses_when_text_has_a_zero_in_it)
{
    fixture_put(db, 1);
    fixture_sql(&f, "UPDATE record SET config = config || char(0) || 'x'");
    cr_assert(fixture_count(&f, db) == 0);
}

/* Any byte of the file: what is found is what was put, or nothing. */
Test(record_store, never_gives_another_row_when_a_byte_of_the_file_is_flipped)
{
    size_t bytes, found = 0;
    struct tfops_record want = fixture_record(1);
    fixture_put(db, 1);
    db_close(db);
    fixture_sql(&f, "PRAGMA journal_mode=DELETE");
    unsigned char *all = fixture_read(f.path, &bytes);
    for (size_t i = 0; i < bytes; i += i < 120 ? 1 : 23) {
        struct db_options options = {.path = f.path, .access = DB_SHIPPED};
        struct record_list list = {0};
        all[i] ^= 0x5a;
        fixture_write(f.path, all, bytes);
        all[i] ^= 0x5a;
        if (db_open(&f.env, &options, &db))
            continue;
        cr_assert(
            record_store_list(db, NULL, &list) == TFOPS_OK, "byte %zu: %s", i, error_message());
        cr_assert(list.n <= 1);
        if (list.n)
            same(&list.records[0].row, &want);
        found += list.n;
        record_list_release(&f.env, &list);
        db_close(db);
    }
    cr_assert(found > bytes / 46, "found %zu times", found);
    free(all);
    fixture_write(f.path, "", 0);
    db = NULL;
}

/* Samples. */

static void join(void *user, const char *config, const char *samples)
{
    char *text = user;
    snprintf(text + strlen(text), 512 - strlen(text), "[%s:%s]", config, samples);
}

static const char *samples_of(int64_t extent)
{
    static char text[512];
    struct record_key key = fixture_key();
    text[0] = '\0';
    cr_assert(record_store_each_sample(db, &key, extent, join, text) == TFOPS_OK);
    return text;
}

static void put_sample(int64_t extent, const char *config, const char *samples)
{
    struct record_key key = fixture_key();
    cr_assert(record_store_put_sample(db, &key, extent, config, samples) == TFOPS_OK);
}

Test(record_store, gives_samples_by_config_when_put)
{
    put_sample(1, "B", "[2]");
    put_sample(1, "A", "[1]");
    put_sample(2, "C", "[3]");
    cr_assert_str_eq(samples_of(1), "[A:[1]][B:[2]]");
    cr_assert_str_eq(samples_of(2), "[C:[3]]");
    cr_assert_str_eq(samples_of(3), "");
}

Test(record_store, replaces_samples_when_put_again)
{
    put_sample(1, "A", "[1]");
    put_sample(1, "A", "[1,2]");
    cr_assert_str_eq(samples_of(1), "[A:[1,2]]");
}

Test(record_store, drops_samples_of_one_extent_when_asked)
{
    struct record_key key = fixture_key();
    put_sample(1, "A", "[1]");
    put_sample(2, "A", "[2]");
    cr_assert(record_store_drop_samples(db, &key, 1) == TFOPS_OK);
    cr_assert_str_eq(samples_of(1), "");
    cr_assert_str_eq(samples_of(2), "[A:[2]]");
}

Test(record_store, misses_samples_when_any_column_was_changed)
{
    static const char *const SAMPLE[] = {
        "sku", "op", "spec_version", "problem", "extent", "config", "samples", "digest"};
    for (size_t i = 0; i < 8; i++) {
        fixture_sql(&f, "DELETE FROM sample");
        put_sample(1, "A", "[1]");
        change("sample", SAMPLE[i]);
        cr_assert_str_eq(samples_of(1), "", "column %s", SAMPLE[i]);
        cr_assert_str_eq(samples_of(2), "", "column %s", SAMPLE[i]);
    }
}
