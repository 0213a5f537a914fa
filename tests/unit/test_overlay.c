/* The overlay: layers and their order, layers that cannot be used, claims. */
#include "../fakes/cache_fixture.h"
#include "cache/byte_lock.h"
#include "cache/overlay.h"
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>

static struct fixture f;
static char shipped_a[128], shipped_b[128];

static void set_up(void)
{
    fixture_open(&f);
    fixture_name(&f, "a.db", shipped_a);
    fixture_name(&f, "b.db", shipped_b);
}
static void tear_down(void)
{
    fixture_close(&f);
}
TestSuite(overlay, .init = set_up, .fini = tear_down);

/* A shipped file with one record per extent, all with this config, and one binary. */
static void ship(const char *path, const char *config, const int64_t *extents, size_t n, int image)
{
    struct db *db = NULL;
    struct db_options options = {.path = path, .access = DB_CREATE};
    struct binary binary = fixture_binary(image);
    cr_assert(db_open(&f.env, &options, &db) == TFOPS_OK, "%s", error_message());
    for (size_t i = 0; i < n; i++) {
        struct tfops_record row = fixture_record(extents[i]);
        row.config = config;
        cr_assert(record_store_put(db, &row) == TFOPS_OK);
    }
    cr_assert(binary_store_put(db, &binary) == TFOPS_OK);
    db_close(db);
    fixture_sql_at(path, "PRAGMA journal_mode=DELETE");
}

static struct overlay *open_with(const struct overlay_options *options)
{
    struct overlay *overlay = NULL;
    enum tfops_status status = overlay_open(&f.env, options, &overlay);
    cr_assert(status == TFOPS_OK, "overlay_open: %s", error_message());
    return overlay;
}

static struct overlay *open_all(void)
{
    const char *paths[] = {shipped_a, shipped_b};
    struct overlay_options options = {.user_path = f.path, .shipped_paths = paths, .n_shipped = 2};
    return open_with(&options);
}

static struct overlay *open_user(void)
{
    struct overlay_options options = {.user_path = f.path};
    return open_with(&options);
}

static void expect(struct overlay *overlay, const char *wanted)
{
    char got[512] = "";
    struct record_list list = {0};
    struct record_key key = fixture_key();
    cr_assert(overlay_records(overlay, &key, &list) == TFOPS_OK, "%s", error_message());
    for (size_t i = 0; i < list.n; i++)
        snprintf(got + strlen(got), sizeof got - strlen(got), "%ld=%s ",
            (long)list.records[i].row.extent, list.records[i].row.config);
    record_list_release(&f.env, &list);
    cr_assert_str_eq(got, wanted, "got '%s', wanted '%s'", got, wanted);
}

/* Layers. */

Test(overlay, prefers_the_nearest_layer_when_extents_meet)
{
    static const int64_t IN_A[] = {1, 16, 64}, IN_B[] = {1, 32, 64, 128};
    ship(shipped_a, "A", IN_A, 3, 1);
    ship(shipped_b, "B", IN_B, 4, 2);
    struct overlay *overlay = open_all();
    struct tfops_record row = fixture_record(16);
    row.config = "U";
    cr_assert(overlay_put_record(overlay, &row) == TFOPS_OK);
    expect(overlay, "1=A 16=U 32=B 64=A 128=B ");
    overlay_close(overlay);
    cr_assert(f.live == 0, "%ld blocks left", f.live);
}

Test(overlay, lists_effective_records_in_canonical_order)
{
    static const int64_t IN_A[] = {64, 1}, IN_B[] = {1, 32};
    ship(shipped_a, "A", IN_A, 2, 1);
    ship(shipped_b, "B", IN_B, 2, 2);
    struct overlay *overlay = open_all();
    struct record_list list = {0};
    cr_assert(overlay_all_records(overlay, fixture_key().sku, &list) == TFOPS_OK && list.n == 3);
    for (size_t i = 1; i < list.n; i++)
        cr_assert(record_compare(&list.records[i - 1].row, &list.records[i].row) < 0);
    cr_assert_str_eq(list.records[0].row.config, "A");
    record_list_release(&f.env, &list);
    overlay_close(overlay);
}

Test(overlay, finds_binaries_in_every_layer_and_the_built_in_table)
{
    static const int64_t ONE[] = {1};
    ship(shipped_a, "A", ONE, 1, 1);
    ship(shipped_b, "B", ONE, 1, 2);
    struct binary wanted[4], got;
    for (int i = 0; i < 4; i++) {
        wanted[i] = fixture_binary(i);
        hash_bytes(wanted[i].image, wanted[i].image_bytes, wanted[i].sha256);
    }
    const char *paths[] = {shipped_a, shipped_b};
    struct overlay_options options = {.user_path = f.path,
        .shipped_paths = paths,
        .n_shipped = 2,
        .builtin = &wanted[3],
        .n_builtin = 1};
    struct overlay *overlay = open_with(&options);
    cr_assert(overlay_put_binary(overlay, &wanted[0]) == TFOPS_OK);
    for (int i = 0; i < 4; i++) {
        bool found = false;
        cr_assert(overlay_find_binary(overlay, wanted[i].sha256, &found, &got) == TFOPS_OK);
        cr_assert(found, "binary %d by content", i);
        binary_release(&f.env, &got);
        cr_assert(overlay_find_build(overlay, wanted[i].build_key, &found, &got) == TFOPS_OK);
        cr_assert(found, "binary %d by build", i);
        binary_release(&f.env, &got);
    }
    overlay_close(overlay);
}

Test(overlay, asks_the_next_layer_when_a_row_is_bad)
{
    static const int64_t ONE[] = {1};
    ship(shipped_a, "A", ONE, 1, 1);
    ship(shipped_b, "B", ONE, 1, 1);
    fixture_sql_at(shipped_a, "UPDATE record SET median_ns = 1; UPDATE binary SET image = x'00'");
    struct overlay *overlay = open_all();
    struct binary want = fixture_binary(1), got;
    bool found = false;
    expect(overlay, "1=B ");
    cr_assert(overlay_find_build(overlay, want.build_key, &found, &got) == TFOPS_OK && found);
    binary_release(&f.env, &got);
    cr_assert(overlay_bad_rows(overlay) == 2, "%lu", (unsigned long)overlay_bad_rows(overlay));
    overlay_close(overlay);
}

Test(overlay, leaves_out_and_logs_once_when_a_layer_is_unusable)
{
    static const int64_t ONE[] = {1};
    ship(shipped_a, "A", ONE, 1, 1);
    ship(shipped_b, "B", ONE, 1, 2);
    chmod(shipped_a, 0666);
    struct overlay *overlay = open_all();
    expect(overlay, "1=B ");
    cr_assert(f.log_lines == 1 && strstr(f.log, "a.db"), "log: %s", f.log);
    overlay_close(overlay);
}

Test(overlay, opens_with_no_layers_when_all_are_absent)
{
    const char *paths[] = {shipped_a};
    struct overlay_options options = {.user_path = "", .shipped_paths = paths, .n_shipped = 1};
    struct overlay *overlay = open_with(&options);
    struct tfops_record row = fixture_record(1);
    struct binary binary = fixture_binary(1);
    expect(overlay, "");
    cr_assert(overlay_user(overlay) == NULL);
    cr_assert(overlay_put_record(overlay, &row) == TFOPS_E_CACHE);
    cr_assert(overlay_put_binary(overlay, &binary) == TFOPS_E_CACHE);
    overlay_close(overlay);
}

Test(overlay, uses_the_default_path_when_none_is_given)
{
    struct overlay_options options = {.user_path = NULL};
    setenv("TFOPS_CACHE", f.path, 1);
    struct overlay *overlay = open_with(&options);
    cr_assert(overlay_user(overlay) && access(f.path, F_OK) == 0);
    overlay_close(overlay);
}

Test(overlay, creates_nothing_when_read_only)
{
    struct overlay_options options = {.user_path = f.path, .read_only = true};
    struct overlay *overlay = open_with(&options);
    struct tfops_record row = fixture_record(1);
    cr_assert(access(f.path, F_OK) != 0 && f.log_lines == 0, "log: %s", f.log);
    cr_assert(overlay_put_record(overlay, &row) == TFOPS_E_CACHE);
    overlay_close(overlay);
}

Test(overlay, reads_on_when_the_user_file_cannot_be_written)
{
    fixture_close(&f);
    fixture_drop_root();
    set_up();
    struct overlay *overlay = open_user();
    struct tfops_record row = fixture_record(7);
    cr_assert(overlay_put_record(overlay, &row) == TFOPS_OK);
    overlay_close(overlay);
    chmod(f.path, 0400);
    chmod(f.directory, 0500);
    overlay = open_user();
    expect(overlay, "7=THREADS=256 VEC=8 ");
    cr_assert(overlay_put_record(overlay, &row) == TFOPS_E_CACHE);
    cr_assert(strstr(f.log, "cannot be written") != NULL, "log: %s", f.log);
    overlay_close(overlay);
}

Test(overlay, fails_cleanly_when_any_allocation_fails)
{
    static const int64_t TWO[] = {1, 2};
    ship(shipped_a, "A", TWO, 2, 1);
    ship(shipped_b, "B", TWO, 2, 2);
    struct overlay *overlay = open_user();
    struct tfops_record row = fixture_record(1);
    cr_assert(overlay_put_record(overlay, &row) == TFOPS_OK);
    overlay_close(overlay);
    enum tfops_status status = TFOPS_E_MEMORY;
    for (long n = 1; status; n++) {
        const char *paths[] = {shipped_a, shipped_b};
        struct overlay_options options = {
            .user_path = f.path, .shipped_paths = paths, .n_shipped = 2};
        struct record_list list = {0};
        struct record_key key = fixture_key();
        overlay = NULL;
        f.allocations = 0;
        f.fail_at = n;
        status = overlay_open(&f.env, &options, &overlay);
        if (!status)
            status = overlay_records(overlay, &key, &list);
        f.fail_at = 0;
        cr_assert(status == TFOPS_OK || status == TFOPS_E_MEMORY, "%s", error_message());
        cr_assert(status || list.n == 2);
        record_list_release(&f.env, &list);
        overlay_close(overlay);
        cr_assert(f.live == 0, "allocation %ld: %ld blocks left", n, f.live);
    }
}

/* Claims. */

static double now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static bool claim(struct overlay *overlay, int key, uint32_t wait_ms, struct overlay_claim *ret)
{
    uint8_t build_key[32];
    bool claimed = false;
    memset(build_key, key, sizeof build_key);
    cr_assert(overlay_claim(overlay, build_key, wait_ms, &claimed, ret) == TFOPS_OK);
    return claimed;
}

Test(overlay, gives_a_claim_once_when_two_want_it)
{
    struct overlay *overlay = open_user();
    struct overlay_claim one, two, other;
    cr_assert(claim(overlay, 0xff, 0, &one) && one.fd >= 0);
    double start = now_ms();
    cr_assert(!claim(overlay, 0xff, 60, &two) && two.fd < 0);
    double waited = now_ms() - start;
    cr_assert(waited >= 60 && waited < 1000, "waited %.1f ms", waited);
    cr_assert(claim(overlay, 2, 0, &other), "another key is free");
    overlay_claim_release(overlay, &one);
    cr_assert(claim(overlay, 0xff, 0, &two));
    overlay_claim_release(overlay, &two);
    overlay_claim_release(overlay, &other);
    overlay_claim_release(overlay, &other); /* nothing held */
    overlay_close(overlay);
}

Test(overlay, makes_the_lock_file_private)
{
    struct overlay *overlay = open_user();
    struct overlay_claim held;
    struct stat st;
    char lock[128];
    cr_assert(claim(overlay, 1, 0, &held));
    cr_assert(stat(fixture_name(&f, "cache.db.lock", lock), &st) == 0);
    cr_assert((st.st_mode & 07777) == 0600);
    cr_assert(fcntl(held.fd, F_GETFD) & FD_CLOEXEC);
    overlay_claim_release(overlay, &held);
    overlay_close(overlay);
}

Test(overlay, succeeds_without_a_lock_when_there_is_no_user_file)
{
    struct overlay_options options = {.user_path = ""};
    struct overlay *overlay = open_with(&options);
    struct overlay_claim one, two;
    cr_assert(claim(overlay, 1, 0, &one) && claim(overlay, 1, 0, &two) && one.fd < 0);
    overlay_close(overlay);
}

Test(overlay, succeeds_and_logs_once_when_the_lock_cannot_be_trusted)
{
    struct overlay *overlay = open_user();
    struct overlay_claim one, two;
    char lock[128];
    chmod(fixture_name(&f, "cache.db.lock", lock), 0666);
    cr_assert(claim(overlay, 1, 0, &one) && claim(overlay, 1, 0, &two));
    cr_assert(f.log_lines == 1, "log: %s", f.log);
    overlay_close(overlay);
}

struct race {
    struct overlay *overlay;
    pthread_mutex_t lock;
    int inside, most, n;
};

static void *contend(void *user)
{
    struct race *race = user;
    for (int i = 0; i < 5; i++) {
        struct overlay_claim held;
        if (!claim(race->overlay, 9, 10000, &held))
            continue;
        pthread_mutex_lock(&race->lock);
        race->n++;
        if (++race->inside > race->most)
            race->most = race->inside;
        pthread_mutex_unlock(&race->lock);
        usleep(500);
        pthread_mutex_lock(&race->lock);
        race->inside--;
        pthread_mutex_unlock(&race->lock);
        overlay_claim_release(race->overlay, &held);
    }
    return NULL;
}

Test(overlay, excludes_threads_of_one_process_when_they_claim)
{
    struct race race = {.overlay = open_user(), .lock = PTHREAD_MUTEX_INITIALIZER};
    pthread_t threads[6];
    for (int i = 0; i < 6; i++)
        pthread_create(&threads[i], NULL, contend, &race);
    for (int i = 0; i < 6; i++)
        pthread_join(threads[i], NULL);
    cr_assert(race.n == 30 && race.most == 1, "%d claims, %d at once", race.n, race.most);
    overlay_close(race.overlay);
}

Test(overlay, serves_threads_when_they_read_and_write_at_once)
{
    struct race race = {.overlay = open_user(), .lock = PTHREAD_MUTEX_INITIALIZER};
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, contend, &race);
    for (int i = 0; i < 50; i++) {
        struct tfops_record row = fixture_record(i);
        cr_assert(overlay_put_record(race.overlay, &row) == TFOPS_OK);
    }
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    overlay_close(race.overlay);
}
