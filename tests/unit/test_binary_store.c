/* Binaries: round trips, many builds of one image, rows and images that were changed. */
#include "../fakes/cache_fixture.h"
#include "cache/binary_store.h"

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
TestSuite(binary_store, .init = set_up, .fini = tear_down);

static struct binary put(int number)
{
    struct binary binary = fixture_binary(number);
    cr_assert(binary_store_put(db, &binary) == TFOPS_OK, "%s", error_message());
    return binary;
}

static bool is_found(const struct binary *binary)
{
    struct binary got;
    bool found = false;
    cr_assert(binary_store_find(db, binary->sha256, &found, &got) == TFOPS_OK);
    if (found)
        binary_release(&f.env, &got);
    return found;
}

static bool is_build_found(const struct binary *binary)
{
    struct binary got;
    bool found = false;
    cr_assert(binary_store_find_build(db, binary->build_key, &found, &got) == TFOPS_OK);
    if (found)
        binary_release(&f.env, &got);
    return found;
}

#define SAME(member)                                                                               \
    cr_assert(got->member == want->member, #member ": %lld, wanted %lld", (long long)got->member,  \
        (long long)want->member)

static void same(const struct binary *got, const struct binary *want)
{
    cr_assert_arr_eq(got->sha256, want->sha256, 32);
    cr_assert_arr_eq(got->build_key, want->build_key, 32);
    cr_assert_arr_eq(got->abi, want->abi, 32);
    cr_assert_str_eq(got->op, want->op);
    cr_assert_str_eq(got->arch, want->arch);
    cr_assert_str_eq(got->entry, want->entry);
    cr_assert_str_eq(got->config, want->config);
    cr_assert_str_eq(got->nvrtc, want->nvrtc);
    cr_assert_str_eq(got->date, want->date);
    SAME(registers);
    SAME(spill_bytes);
    SAME(smem_static_bytes);
    SAME(threads);
    SAME(min_blocks);
    SAME(cluster);
    SAME(smem_bytes);
    SAME(param_bytes);
    SAME(min_driver);
    SAME(image_bytes);
    cr_assert(!memcmp(got->image, want->image, want->image_bytes));
}

Test(binary_store, gives_back_every_field_when_found_by_content)
{
    struct binary want = put(1), got;
    bool found = false;
    cr_assert(binary_store_find(db, want.sha256, &found, &got) == TFOPS_OK && found);
    same(&got, &want);
    binary_release(&f.env, &got);
    cr_assert(f.live == 1, "%ld blocks besides the handle", f.live - 1);
}

Test(binary_store, gives_back_every_field_when_found_by_build)
{
    struct binary want = put(1), got;
    bool found = false;
    cr_assert(binary_store_find_build(db, want.build_key, &found, &got) == TFOPS_OK && found);
    same(&got, &want);
    binary_release(&f.env, &got);
}

Test(binary_store, computes_the_digest_when_put)
{
    struct binary binary = put(2);
    uint8_t want[32];
    hash_bytes(binary.image, binary.image_bytes, want);
    cr_assert_arr_eq(binary.sha256, want, 32);
}

Test(binary_store, finds_nothing_when_absent)
{
    struct binary binary = fixture_binary(3);
    put(1);
    cr_assert(!is_found(&binary) && !is_build_found(&binary));
    cr_assert(db_bad_rows(db) == 0);
}

Test(binary_store, leads_both_builds_to_one_row_when_images_are_equal)
{
    struct binary first = put(1), second = fixture_binary(1), got;
    bool found = false;
    memset(second.build_key, 0x77, 32);
    second.config = "THREADS=999";
    cr_assert(binary_store_put(db, &second) == TFOPS_OK);
    cr_assert(is_build_found(&first));
    cr_assert(binary_store_find_build(db, second.build_key, &found, &got) == TFOPS_OK && found);
    cr_assert_arr_eq(got.build_key, second.build_key, 32);
    cr_assert_str_eq(got.config, first.config); /* the first row stays */
    binary_release(&f.env, &got);
}

Test(binary_store, refuses_when_there_is_no_image)
{
    struct binary binary = fixture_binary(1);
    binary.image = NULL;
    cr_assert(binary_store_put(db, &binary) == TFOPS_E_ARGUMENT);
    binary = fixture_binary(1);
    binary.image_bytes = 0;
    cr_assert(binary_store_put(db, &binary) == TFOPS_E_ARGUMENT);
}

Test(binary_store, refuses_when_the_image_is_too_large)
{
    struct binary binary = fixture_binary(1);
    binary.image_bytes = 64u << 20;
    binary.image = calloc(1, binary.image_bytes);
    cr_assert(binary_store_put(db, &binary) == TFOPS_E_RANGE);
    binary.image_bytes -= 1024;
    cr_assert(binary_store_put(db, &binary) == TFOPS_OK, "%s", error_message());
    free(binary.image);
}

/* Changed rows. */

static void change(const char *table, const char *column)
{
    char sql[512];
    snprintf(sql, sizeof sql,
        "UPDATE %s SET %s = CASE typeof(%s) WHEN 'text' THEN %s || 'x' WHEN 'blob' THEN "
        "zeroblob(32) ELSE %s + 1 END",
        table, column, column, column, column);
    fixture_sql(&f, sql);
}

Test(binary_store, misses_and_counts_when_any_column_was_changed)
{
    static const char *const COLUMNS[] = {"build_key", "abi", "op", "arch", "entry", "config",
        "nvrtc", "date", "registers", "spill_bytes", "smem_static_bytes", "threads", "min_blocks",
        "cluster", "smem_bytes", "param_bytes", "min_driver", "digest", "image"};
    for (size_t i = 0; i < sizeof COLUMNS / sizeof *COLUMNS; i++) {
        fixture_sql(&f, "DELETE FROM binary");
        struct binary binary = put(1);
        change("binary", COLUMNS[i]);
        uint64_t before = db_bad_rows(db);
        cr_assert(!is_found(&binary), "column %s", COLUMNS[i]);
        cr_assert(!is_build_found(&binary), "column %s", COLUMNS[i]);
        cr_assert(db_bad_rows(db) == before + 2, "column %s", COLUMNS[i]);
    }
}

Test(binary_store, misses_when_its_name_was_changed)
{
    struct binary binary = put(1), zero = fixture_binary(1);
    memset(zero.sha256, 0, 32);
    change("binary", "sha256");
    cr_assert(!is_found(&binary) && !is_build_found(&binary));
    cr_assert(!is_found(&zero) && db_bad_rows(db) == 1);
}

Test(binary_store, misses_when_a_build_was_led_elsewhere)
{
    struct binary one = put(1), two = put(2);
    fixture_sql(&f, "UPDATE build SET sha256 = (SELECT sha256 FROM build ORDER BY build_key DESC)");
    int found = is_build_found(&one) + is_build_found(&two);
    cr_assert(found == 1, "%d builds found", found);
    cr_assert(db_bad_rows(db) == 1);
}

Test(binary_store, heals_a_bad_row_when_it_is_put_again)
{
    struct binary binary = put(1);
    change("binary", "image");
    cr_assert(!is_found(&binary));
    put(1);
    cr_assert(is_found(&binary) && is_build_found(&binary));
}

/* Listing. */

struct tally {
    int n, pinned, ok, stop_after;
    uint8_t last[32];
};

static bool count(void *user, const struct binary_info *info)
{
    struct tally *tally = user;
    cr_assert(!info->binary.image && info->binary.image_bytes == 5000);
    cr_assert(!tally->n || memcmp(info->binary.sha256, tally->last, 32) > 0, "not ascending");
    memcpy(tally->last, info->binary.sha256, 32);
    tally->pinned += info->pinned;
    tally->ok += info->ok;
    return ++tally->n != tally->stop_after;
}

Test(binary_store, lists_all_with_pins_when_asked)
{
    struct tally tally = {0};
    struct tfops_record row = fixture_record(1);
    for (int i = 0; i < 5; i++)
        memcpy(row.binary_sha256, put(i).sha256, 32);
    cr_assert(record_store_put(db, &row) == TFOPS_OK);
    cr_assert(binary_store_each(db, count, &tally) == TFOPS_OK);
    cr_assert(tally.n == 5 && tally.ok == 5 && tally.pinned == 1);
}

Test(binary_store, lists_with_not_ok_when_an_image_was_changed)
{
    struct tally tally = {0};
    put(1);
    put(2);
    fixture_sql(&f, "UPDATE binary SET image = zeroblob(5000) WHERE id = 1");
    cr_assert(binary_store_each(db, count, &tally) == TFOPS_OK);
    cr_assert(tally.n == 2 && tally.ok == 1);
}

Test(binary_store, stops_when_the_callback_says_so)
{
    struct tally tally = {.stop_after = 2};
    for (int i = 0; i < 5; i++)
        put(i);
    cr_assert(binary_store_each(db, count, &tally) == TFOPS_OK);
    cr_assert(tally.n == 2);
}

Test(binary_store, copies_deeply_when_asked)
{
    struct binary from = fixture_binary(1), copy;
    from.nvrtc = NULL;
    cr_assert(binary_copy(&f.env, &from, &copy) == TFOPS_OK);
    cr_assert(copy.image != from.image && copy.op != from.op);
    cr_assert_str_eq(copy.nvrtc, "");
    binary_release(&f.env, &copy);
    cr_assert(f.live == 1 && !copy.image);
}

/* Any byte of the file: the image that is found is the one that was put, or none is. */
Test(binary_store, never_gives_another_image_when_a_byte_of_the_file_is_flipped)
{
    size_t bytes, hits = 0;
    struct binary want = put(1), got;
    put(2);
    db_close(db);
    fixture_sql(&f, "PRAGMA journal_mode=DELETE");
    unsigned char *all = fixture_read(f.path, &bytes);
    for (size_t i = 100; i < bytes; i += 61) {
        struct db_options options = {.path = f.path, .access = DB_SHIPPED};
        bool found = false;
        all[i] ^= 0x81;
        fixture_write(f.path, all, bytes);
        all[i] ^= 0x81;
        if (db_open(&f.env, &options, &db))
            continue;
        cr_assert(binary_store_find_build(db, want.build_key, &found, &got) == TFOPS_OK);
        if (found) {
            same(&got, &want);
            binary_release(&f.env, &got);
            hits++;
        }
        db_close(db);
    }
    cr_assert(hits > 0);
    free(all);
    db = NULL;
}
