/*
 * The public face of a cache file (include/tfops/cache.h): checks arguments, turns stored rows into
 * the public structs, calls back without any lock held. Has no SQL of its own.
 */
#include "base/error.h"
#include "base/mem.h"
#include "cache/audit.h"
#include "cache/binary_store.h"
#include "cache/db.h"
#include "cache/place.h"
#include "cache/record_store.h"
#include <string.h>
#include <tfops/cache.h>
#include <time.h>

struct tfops_cache {
    struct env env; /* malloc, silent */
    struct db *db;
};

static enum tfops_status refuse_argument(
    const char *where, const char *argument, const char *expected)
{
    return error_set(TFOPS_E_ARGUMENT, where, argument, expected, NULL);
}

static enum tfops_status open_file(
    const char *path, enum db_access access, struct tfops_cache **ret_cache)
{
    if (!path || !ret_cache)
        return refuse_argument("tfops_cache_open", path ? "ret_cache" : "path", "not NULL");
    struct tfops_cache *cache = mem_new(NULL, 1, sizeof *cache);
    if (!cache)
        return TFOPS_E_MEMORY;
    struct db_options options = {.path = path, .access = access};
    enum tfops_status status = db_open(&cache->env, &options, &cache->db);
    if (status) {
        mem_free(NULL, cache);
        return status;
    }
    *ret_cache = cache;
    return TFOPS_OK;
}

enum tfops_status tfops_cache_open(const char *path, struct tfops_cache **ret_cache)
{
    return open_file(path, DB_READ, ret_cache);
}

enum tfops_status tfops_cache_open_writable(const char *path, struct tfops_cache **ret_cache)
{
    return open_file(path, DB_WRITE, ret_cache);
}

void tfops_cache_close(struct tfops_cache *cache)
{
    if (!cache)
        return;
    db_close(cache->db);
    mem_free(NULL, cache);
}

enum tfops_status tfops_cache_default_path(char *ret_path, size_t bytes)
{
    if (!ret_path || !bytes)
        return refuse_argument("tfops_cache_default_path", "ret_path", "a buffer");
    return place_default(ret_path, bytes);
}

/* Records. */

/* The newest driver among the records of one SKU, by natural order of its version text. */
static const char *newest_driver(const struct record_list *list, const char *sku)
{
    const char *newest = "";
    for (size_t i = 0; i < list->n; i++) {
        const struct tfops_record *row = &list->records[i].row;
        if (!strcmp(row->sku, sku) && strverscmp(row->driver, newest) > 0)
            newest = row->driver;
    }
    return newest;
}

/* The list is ordered by SKU, so each SKU is asked for once. */
static void mark_revalidate(struct record_list *list)
{
    const char *sku = NULL, *newest = "";
    for (size_t i = 0; i < list->n; i++) {
        struct tfops_record *row = &list->records[i].row;
        if (!sku || strcmp(sku, row->sku)) {
            sku = row->sku;
            newest = newest_driver(list, sku);
        }
        row->revalidate = strcmp(row->driver, newest) != 0;
    }
}

enum tfops_status tfops_cache_each_record(struct tfops_cache *cache, const char *op,
    const char *sku, bool (*fn)(void *user, const struct tfops_record *record), void *user)
{
    struct record_list list = {0};
    if (!cache || !fn)
        return refuse_argument("tfops_cache_each_record", cache ? "fn" : "cache", "not NULL");
    enum tfops_status status = record_store_list(cache->db, sku, &list);
    if (!status)
        mark_revalidate(&list);
    for (size_t i = 0; !status && i < list.n; i++) {
        const struct tfops_record *row = &list.records[i].row;
        if ((!op || !strcmp(op, row->op)) && !fn(user, row))
            break;
    }
    record_list_release(&cache->env, &list);
    return status;
}

/* Binaries. */

struct binary_call {
    bool (*fn)(void *user, const struct tfops_binary *binary);
    void *user;
};

static bool call_with_binary(void *user, const struct binary_info *info)
{
    const struct binary_call *call = user;
    const struct binary *from = &info->binary;
    struct tfops_binary binary = {
        .size = sizeof binary,
        .op = from->op,
        .arch = from->arch,
        .entry = from->entry,
        .config = from->config,
        .bytes = from->image_bytes,
        .registers = from->registers,
        .spill_bytes = from->spill_bytes,
        .smem_static_bytes = from->smem_static_bytes,
        .threads = from->threads,
        .cluster = from->cluster,
        .smem_bytes = from->smem_bytes,
        .param_bytes = from->param_bytes,
        .nvrtc = from->nvrtc,
        .date = from->date,
        .pinned = info->pinned,
        .ok = info->ok,
    };
    memcpy(binary.sha256, from->sha256, sizeof binary.sha256);
    return call->fn(call->user, &binary);
}

enum tfops_status tfops_cache_each_binary(struct tfops_cache *cache,
    bool (*fn)(void *user, const struct tfops_binary *binary), void *user)
{
    struct binary_call call = {.fn = fn, .user = user};
    if (!cache || !fn)
        return refuse_argument("tfops_cache_each_binary", cache ? "fn" : "cache", "not NULL");
    return binary_store_each(cache->db, call_with_binary, &call);
}

/* Totals and verification. */

/* The caller's struct may be an older, shorter one, or a newer one whose tail stays as it is. */
static enum tfops_status check_totals(const struct tfops_cache_totals *totals, const char *where)
{
    if (!totals || totals->size < offsetof(struct tfops_cache_totals, bad))
        return refuse_argument(where, "ret_totals", "totals with their size set");
    return TFOPS_OK;
}

static void give_totals(
    const struct tfops_cache_totals *full, struct tfops_cache_totals *ret_totals)
{
    size_t bytes = ret_totals->size < sizeof *full ? ret_totals->size : sizeof *full;
    memcpy((char *)ret_totals + sizeof full->size, (const char *)full + sizeof full->size,
        bytes - sizeof full->size);
}

enum tfops_status tfops_cache_totals(
    struct tfops_cache *cache, struct tfops_cache_totals *ret_totals)
{
    struct tfops_cache_totals full = {.size = sizeof full};
    if (!cache)
        return refuse_argument("tfops_cache_totals", "cache", "not NULL");
    enum tfops_status status = check_totals(ret_totals, "tfops_cache_totals");
    if (!status)
        status = audit_totals(cache->db, &full);
    if (!status)
        give_totals(&full, ret_totals);
    return status;
}

static void call_with_lines(
    struct strbuf *lines, void (*fn)(void *user, const char *problem), void *user)
{
    char *line = lines->text;
    while (fn && line && *line) {
        char *end = strchr(line, '\n');
        *end = '\0';
        fn(user, line);
        line = end + 1;
    }
}

enum tfops_status tfops_cache_verify(struct tfops_cache *cache,
    void (*fn)(void *user, const char *problem), void *user, struct tfops_cache_totals *ret_totals)
{
    struct tfops_cache_totals full = {.size = sizeof full};
    struct strbuf lines;
    if (!cache)
        return refuse_argument("tfops_cache_verify", "cache", "not NULL");
    enum tfops_status status = check_totals(ret_totals, "tfops_cache_verify");
    if (status)
        return status;
    strbuf_init(&lines, &cache->env);
    status = audit_verify(cache->db, &lines, &full.bad);
    if (!status) {
        /* Counting fails on a file whose trees are broken, which has been said by then. */
        enum tfops_status counted = audit_totals(cache->db, &full);
        status = counted == TFOPS_E_CACHE && full.bad ? TFOPS_OK : counted;
    }
    if (!status) {
        call_with_lines(&lines, fn, user);
        give_totals(&full, ret_totals);
    }
    strbuf_release(&lines);
    return status;
}

/* Pruning. */

static enum tfops_status check_prune(const struct tfops_prune_options *options)
{
    if (!options || options->size < sizeof *options)
        return refuse_argument("tfops_cache_prune", "options", "options with their size set");
    const unsigned char *tail = (const unsigned char *)options;
    for (size_t i = sizeof *options; i < options->size; i++)
        if (tail[i])
            return refuse_argument(
                "tfops_cache_prune", "options", "options of this version of the library");
    if (options->older_than_s < 0)
        return error_set(
            TFOPS_E_RANGE, "tfops_cache_prune", "older_than_s", "0 or more", "a negative");
    return TFOPS_OK;
}

/* The date that long ago, as dates are stored: ISO 8601, UTC, which compares as text. */
static enum tfops_status date_before(int64_t seconds, char *ret_date, size_t bytes)
{
    int64_t then = (int64_t)time(NULL) - seconds;
    time_t clock = (time_t)(then > 0 ? then : 0);
    struct tm utc;
    if (!gmtime_r(&clock, &utc) || !strftime(ret_date, bytes, "%Y-%m-%dT%H:%M:%SZ", &utc))
        return error_set(TFOPS_E_RANGE, "tfops_cache_prune", "older_than_s", "a date", NULL);
    return TFOPS_OK;
}

enum tfops_status tfops_cache_prune(struct tfops_cache *cache,
    const struct tfops_prune_options *options, uint64_t *ret_records, uint64_t *ret_binaries)
{
    char until[32];
    uint64_t records, binaries;
    if (!cache)
        return refuse_argument("tfops_cache_prune", "cache", "not NULL");
    enum tfops_status status = check_prune(options);
    if (!status && options->older_than_s)
        status = date_before(options->older_than_s, until, sizeof until);
    if (status)
        return status;
    struct audit_prune prune = {.op = options->op,
        .sku = options->sku,
        .until = options->older_than_s ? until : NULL,
        .records = options->records,
        .dry_run = options->dry_run};
    status = audit_prune(cache->db, &prune, &records, &binaries);
    if (status)
        return status;
    if (ret_records)
        *ret_records = records;
    if (ret_binaries)
        *ret_binaries = binaries;
    return TFOPS_OK;
}
