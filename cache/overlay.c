/*
 * Looking through the layers (see overlay.h). What goes wrong in one layer is logged and the next
 * one is asked; only running out of memory and a fork end a look-up.
 */
#include "cache/overlay.h"
#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"
#include "cache/byte_lock.h"
#include "cache/db.h"
#include "cache/place.h"
#include <pthread.h>
#include <string.h>

struct layer {
    struct db *db;
    bool failed; /* its trouble has been logged; lock */
};

struct overlay {
    const struct env *env;
    const struct binary *builtin;
    size_t n_builtin;
    struct db *user;   /* layers[0].db when it is writable */
    bool claim_logged; /* lock */
    pthread_mutex_t lock;
    size_t n;
    struct layer layers[]; /* nearest first */
};

/* Opening. */

static bool is_fatal(enum tfops_status status)
{
    return status == TFOPS_E_MEMORY || status == TFOPS_E_FORKED;
}

static void log_left_out(const struct overlay *overlay)
{
    log_line(overlay->env, TFOPS_LOG_WARN, "cache layer left out: %s", error_message());
}

static enum tfops_status open_layer(
    struct overlay *overlay, const char *path, enum db_access access, struct db **ret_db)
{
    struct db_options options = {.path = path, .access = access};
    enum tfops_status status = db_open(overlay->env, &options, ret_db);
    if (!status)
        overlay->layers[overlay->n++].db = *ret_db;
    return status;
}

/* A disk that cannot be written may still be read. */
static enum tfops_status open_user(struct overlay *overlay, const char *path, bool read_only)
{
    struct db *db = NULL;
    enum tfops_status status = TFOPS_E_IO;
    if (!read_only) {
        status = open_layer(overlay, path, DB_CREATE, &db);
        if (!status)
            overlay->user = db;
        if (status != TFOPS_E_IO)
            return status;
        log_line(overlay->env, TFOPS_LOG_WARN, "cache cannot be written: %s", error_message());
    }
    status = open_layer(overlay, path, DB_READ, &db);
    return status == TFOPS_E_UNKNOWN ? TFOPS_OK : status;
}

static enum tfops_status open_user_or_default(
    struct overlay *overlay, const struct overlay_options *options)
{
    char path[PLACE_BYTES];
    const char *user_path = options->user_path;
    if (!user_path) {
        enum tfops_status status = place_default(path, sizeof path);
        if (status)
            return status;
        user_path = path;
    }
    return user_path[0] ? open_user(overlay, user_path, options->read_only) : TFOPS_OK;
}

static enum tfops_status open_layers(struct overlay *overlay, const struct overlay_options *options)
{
    struct db *db;
    enum tfops_status status = open_user_or_default(overlay, options);
    for (size_t i = 0;; i++) {
        if (is_fatal(status))
            return status;
        if (status)
            log_left_out(overlay);
        if (i == options->n_shipped)
            return TFOPS_OK;
        status = open_layer(overlay, options->shipped_paths[i], DB_SHIPPED, &db);
    }
}

enum tfops_status overlay_open(
    const struct env *env, const struct overlay_options *options, struct overlay **ret_overlay)
{
    size_t bytes;
    if (__builtin_mul_overflow(options->n_shipped + 1, sizeof(struct layer), &bytes) ||
        __builtin_add_overflow(bytes, sizeof(struct overlay), &bytes))
        return error_set(TFOPS_E_ARGUMENT, "cache", "shipped paths", "fewer", NULL);
    struct overlay *overlay = mem_new(env, 1, bytes);
    if (!overlay)
        return TFOPS_E_MEMORY;
    overlay->env = env;
    overlay->builtin = options->builtin;
    overlay->n_builtin = options->n_builtin;
    pthread_mutex_init(&overlay->lock, NULL);
    enum tfops_status status = open_layers(overlay, options);
    if (status) {
        overlay_close(overlay);
        return status;
    }
    *ret_overlay = overlay;
    return TFOPS_OK;
}

void overlay_close(struct overlay *overlay)
{
    if (!overlay)
        return;
    for (size_t i = 0; i < overlay->n; i++)
        db_close(overlay->layers[i].db);
    pthread_mutex_destroy(&overlay->lock);
    mem_free(overlay->env, overlay);
}

/* What one layer's status means for the look-up: all but the fatal ones are a miss there. */
static enum tfops_status layer_status(
    struct overlay *overlay, struct layer *layer, enum tfops_status status)
{
    if (!status || is_fatal(status))
        return status;
    if (!layer->failed)
        log_line(overlay->env, TFOPS_LOG_WARN, "cache layer gives nothing: %s", error_message());
    layer->failed = true;
    return TFOPS_OK;
}

/* Records. */

static enum tfops_status reserve(const struct env *env, struct record_list *list, size_t capacity)
{
    list->records = mem_new(env, capacity, sizeof *list->records);
    if (!list->records)
        return TFOPS_E_MEMORY;
    list->capacity = capacity;
    return TFOPS_OK;
}

/* Merges two ascending lists into `near`; where both have a key, the nearer one's record stays.
 * Consumes `far`. */
static enum tfops_status merge(
    const struct env *env, struct record_list *near, struct record_list *far)
{
    struct record_list both = {0};
    if (!far->n)
        return TFOPS_OK;
    enum tfops_status status = reserve(env, &both, near->n + far->n);
    if (status)
        return status;
    for (size_t i = 0, j = 0; i < near->n || j < far->n;) {
        int order = i == near->n  ? 1
                    : j == far->n ? -1
                                  : record_compare(&near->records[i].row, &far->records[j].row);
        both.records[both.n++] = order <= 0 ? near->records[i++] : far->records[j++];
        if (order == 0)
            record_release(env, &far->records[j++]);
    }
    near->n = far->n = 0; /* their records have moved */
    record_list_release(env, near);
    record_list_release(env, far);
    *near = both;
    return TFOPS_OK;
}

/* `key`, or every record of `sku` when it is NULL. */
static enum tfops_status collect(struct overlay *overlay, const struct record_key *key,
    const char *sku, struct record_list *ret_list)
{
    struct record_list all = {0}, far = {0};
    enum tfops_status status = TFOPS_OK;
    pthread_mutex_lock(&overlay->lock);
    for (size_t i = 0; !status && i < overlay->n; i++) {
        struct layer *layer = &overlay->layers[i];
        status =
            key ? record_store_find(layer->db, key, &far) : record_store_list(layer->db, sku, &far);
        status = layer_status(overlay, layer, status);
        if (!status)
            status = merge(overlay->env, &all, &far);
        record_list_release(overlay->env, &far);
    }
    pthread_mutex_unlock(&overlay->lock);
    if (status)
        record_list_release(overlay->env, &all);
    else
        *ret_list = all;
    return status;
}

enum tfops_status overlay_records(
    struct overlay *overlay, const struct record_key *key, struct record_list *ret_list)
{
    return collect(overlay, key, NULL, ret_list);
}

enum tfops_status overlay_all_records(
    struct overlay *overlay, const char *sku, struct record_list *ret_list)
{
    return collect(overlay, NULL, sku, ret_list);
}

static enum tfops_status no_user_file(void)
{
    return error_set(
        TFOPS_E_CACHE, "cache", "user file", "one open for writing", "none, or a read-only one");
}

enum tfops_status overlay_put_record(struct overlay *overlay, const struct tfops_record *row)
{
    if (!overlay->user)
        return no_user_file();
    pthread_mutex_lock(&overlay->lock);
    enum tfops_status status = record_store_put(overlay->user, row);
    pthread_mutex_unlock(&overlay->lock);
    return status;
}

/* Binaries. */

typedef enum tfops_status find_fn(
    struct db *db, const uint8_t digest[HASH_BYTES], bool *ret_found, struct binary *ret_binary);

static enum tfops_status find_in_layers(struct overlay *overlay, find_fn *find,
    const uint8_t digest[HASH_BYTES], bool *ret_found, struct binary *ret_binary)
{
    enum tfops_status status = TFOPS_OK;
    pthread_mutex_lock(&overlay->lock);
    for (size_t i = 0; !status && !*ret_found && i < overlay->n; i++) {
        struct layer *layer = &overlay->layers[i];
        status = layer_status(overlay, layer, find(layer->db, digest, ret_found, ret_binary));
    }
    pthread_mutex_unlock(&overlay->lock);
    return status;
}

/* `member`: where in a binary the digest lies. */
static enum tfops_status find_binary(struct overlay *overlay, find_fn *find, size_t member,
    const uint8_t digest[HASH_BYTES], bool *ret_found, struct binary *ret_binary)
{
    bool found = false;
    enum tfops_status status = find_in_layers(overlay, find, digest, &found, ret_binary);
    for (size_t i = 0; !status && !found && i < overlay->n_builtin; i++) {
        const struct binary *builtin = &overlay->builtin[i];
        if (memcmp((const char *)builtin + member, digest, HASH_BYTES))
            continue;
        status = binary_copy(overlay->env, builtin, ret_binary);
        found = !status;
    }
    if (!status)
        *ret_found = found;
    return status;
}

enum tfops_status overlay_find_binary(struct overlay *overlay, const uint8_t sha256[HASH_BYTES],
    bool *ret_found, struct binary *ret_binary)
{
    return find_binary(
        overlay, binary_store_find, offsetof(struct binary, sha256), sha256, ret_found, ret_binary);
}

enum tfops_status overlay_find_build(struct overlay *overlay, const uint8_t build_key[HASH_BYTES],
    bool *ret_found, struct binary *ret_binary)
{
    return find_binary(overlay, binary_store_find_build, offsetof(struct binary, build_key),
        build_key, ret_found, ret_binary);
}

enum tfops_status overlay_put_binary(struct overlay *overlay, struct binary *binary)
{
    if (!overlay->user)
        return no_user_file();
    pthread_mutex_lock(&overlay->lock);
    enum tfops_status status = binary_store_put(overlay->user, binary);
    pthread_mutex_unlock(&overlay->lock);
    return status;
}

struct db *overlay_user(struct overlay *overlay)
{
    return overlay->user;
}

/* Claims: without the overlay's lock, since they wait. */

static uint64_t claim_offset(const uint8_t build_key[HASH_BYTES])
{
    uint64_t value = 0;
    for (int i = 0; i < 8; i++)
        value |= (uint64_t)build_key[i] << (8 * i);
    return PLACE_LOCK_CLAIMS + (value >> 3); /* below 2^62; a collision only serialises */
}

static void log_claim(struct overlay *overlay)
{
    pthread_mutex_lock(&overlay->lock);
    bool logged = overlay->claim_logged;
    overlay->claim_logged = true;
    pthread_mutex_unlock(&overlay->lock);
    if (!logged)
        log_line(overlay->env, TFOPS_LOG_WARN,
            "cache: processes may compile the same kernel, its lock cannot be taken: %s",
            error_message());
}

enum tfops_status overlay_claim(struct overlay *overlay, const uint8_t build_key[HASH_BYTES],
    uint32_t wait_ms, bool *ret_claimed, struct overlay_claim *ret_claim)
{
    struct byte_lock lock = {.fd = -1};
    enum tfops_status status = TFOPS_OK;
    if (overlay->user)
        status =
            byte_lock_take(db_lock_path(overlay->user), claim_offset(build_key), wait_ms, &lock);
    if (status && status != TFOPS_E_TIMEOUT)
        log_claim(overlay);
    *ret_claimed = status != TFOPS_E_TIMEOUT;
    *ret_claim = (struct overlay_claim){.fd = lock.fd, .offset = lock.offset};
    return TFOPS_OK;
}

void overlay_claim_release(struct overlay *overlay, struct overlay_claim *claim)
{
    (void)overlay;
    struct byte_lock lock = {.fd = claim->fd, .offset = claim->offset};
    byte_lock_release(&lock);
    claim->fd = -1;
}

uint64_t overlay_bad_rows(const struct overlay *overlay)
{
    uint64_t bad = 0;
    for (size_t i = 0; i < overlay->n; i++)
        bad += db_bad_rows(overlay->layers[i].db);
    return bad;
}
