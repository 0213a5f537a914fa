/* The process-wide registry of connections (see sharing.h). */
#include "cache/sharing.h"
#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"
#include "cache/byte_lock.h"
#include <stdio.h>

#define SETUP_WAIT_MS 5000
#define DAMAGE_WAIT_MS 1000

static struct {
    pthread_mutex_t lock;
    struct shared_file *first; /* lock */
    bool busy;      /* lock; read by a child of fork that cannot know what it interrupted */
    bool inherited; /* written in the child of a fork only */
} registry = {.lock = PTHREAD_MUTEX_INITIALIZER};
static pthread_once_t once = PTHREAD_ONCE_INIT;

/* The parent's connections must not be touched, and SQLite's own table of files holds them too. */
static void after_fork(void)
{
    if (registry.first || registry.busy)
        registry.inherited = true;
    registry.first = NULL;
    registry.busy = false;
    pthread_mutex_init(&registry.lock, NULL);
}

static void watch_forks(void)
{
    pthread_atfork(NULL, NULL, after_fork);
}

enum tfops_status sharing_forked(const char *path)
{
    return error_setf(TFOPS_E_FORKED, 0, "cache", path,
        "in use by the parent of this process at fork(): exec first");
}

/* Files of the registry: all under registry.lock. */

static void file_close(struct shared_file *file)
{
    if (--file->refs)
        return;
    struct shared_file **link = &registry.first;
    while (*link != file)
        link = &(*link)->next;
    *link = file->next;
    connection_close(&file->connection);
    pthread_mutex_destroy(&file->lock);
    mem_free(NULL, file);
}

static bool serves(const struct shared_file *file, enum db_access access)
{
    return sharing_is_writer(access) ? file->writable : true;
}

/*
 * A connection that takes its file for immutable would read pages that change under it, so none is
 * opened for writing beside it. A live one serves readers of both kinds.
 */
static enum tfops_status find_open(
    const struct stat *st, const struct db_options *options, struct shared_file **ret_file)
{
    struct shared_file *found = NULL;
    bool immutable = false;
    for (struct shared_file *file = registry.first; file; file = file->next) {
        if (file->dev != st->st_dev || file->ino != st->st_ino || atomic_load(&file->retired))
            continue;
        immutable |= file->immutable;
        if (serves(file, options->access))
            found = file;
    }
    if (!found && immutable)
        return error_setf(TFOPS_E_BUSY, 0, "cache", options->path,
            "open in this process as a shipped file, so it cannot be written");
    *ret_file = found;
    return TFOPS_OK;
}

static enum tfops_status open_connection(const struct env *env, const struct place *place,
    const struct db_options *options, struct shared_file *file, bool *ret_damaged)
{
    struct connection_options how = {.path = file->path,
        .writable = file->writable,
        .immutable = file->immutable,
        .network = place->network,
        .busy_ms = options->busy_ms};
    return connection_open(env, &how, &file->connection, ret_damaged);
}

static enum tfops_status file_open(const struct env *env, const struct place *place,
    const struct db_options *options, const struct stat *st, struct shared_file *file,
    bool *ret_damaged)
{
    file->dev = st->st_dev;
    file->ino = st->st_ino;
    file->writable = sharing_is_writer(options->access);
    file->immutable = options->access == DB_SHIPPED;
    return open_connection(env, place, options, file, ret_damaged);
}

static bool has_content(const char *path, const char *suffix)
{
    char side[PLACE_BYTES + 16];
    struct stat st;
    snprintf(side, sizeof side, "%s%s", path, suffix);
    return !stat(side, &st) && st.st_size > 0;
}

/* A file in WAL mode needs its side files to be read; where they can be neither found nor made,
 * nobody who lacks more rights than this process has can be writing it. */
static bool can_only_be_immutable(const struct db_options *options, const struct shared_file *file)
{
    struct tfops_error last;
    error_save(&last);
    int rc = last.native & 0xff;
    return options->access == DB_READ && (rc == SQLITE_CANTOPEN || rc == SQLITE_READONLY) &&
           !has_content(file->path, "-wal");
}

static enum tfops_status file_new(const struct env *env, const struct place *place,
    const struct db_options *options, uint32_t generation, const struct stat *st,
    struct shared_file **ret_file, bool *ret_damaged)
{
    struct shared_file *file = mem_new(NULL, 1, sizeof *file);
    if (!file)
        return TFOPS_E_MEMORY;
    file->generation = generation;
    place_file(place, generation, file->path);
    enum tfops_status status = file_open(env, place, options, st, file, ret_damaged);
    if (status == TFOPS_E_IO && can_only_be_immutable(options, file)) {
        log_line(env, TFOPS_LOG_INFO, "cache %s: its directory is read-only; opened as it is now",
            file->path);
        file->immutable = true;
        status = open_connection(env, place, options, file, ret_damaged);
    }
    if (status) {
        mem_free(NULL, file);
        return status;
    }
    pthread_mutex_init(&file->lock, NULL);
    file->next = registry.first;
    registry.first = file;
    *ret_file = file;
    return TFOPS_OK;
}

static enum tfops_status check_shipped(const char *path)
{
    if (has_content(path, "-wal") || has_content(path, "-journal"))
        return error_set(TFOPS_E_CACHE, "cache", path, "a file without a journal beside it",
            "one that is being written: export it and ship the export");
    return TFOPS_OK;
}

/* Opens or shares one generation. */
static enum tfops_status attach(const struct env *env, const struct place *place,
    const struct db_options *options, uint32_t generation, struct shared_file **ret_file,
    bool *ret_damaged)
{
    char path[PLACE_BYTES];
    struct stat st;
    struct shared_file *file = NULL;
    place_file(place, generation, path);
    enum tfops_status status = options->access == DB_CREATE ? place_create_file(path) : TFOPS_OK;
    if (!status)
        status = place_check_file(path, &st);
    if (!status)
        status = find_open(&st, options, &file);
    if (!status && !file && options->access == DB_SHIPPED)
        status = check_shipped(path);
    if (!status && !file)
        status = file_new(env, place, options, generation, &st, &file, ret_damaged);
    if (status)
        return status;
    file->refs++;
    *ret_file = file;
    return TFOPS_OK;
}

static void log_switch(const struct env *env, const char *path, const struct place *place)
{
    log_line(env, TFOPS_LOG_ERROR,
        "cache %s: damaged; kept for inspection, going on with an empty %s.g%u", path, place->base,
        place_generation(place));
}

/* What can be no cache gets no lock file beside it. */
static enum tfops_status check_before_lock(const struct place *place)
{
    char path[PLACE_BYTES];
    struct stat st;
    place_file(place, place_generation(place), path);
    enum tfops_status status = place_check_file(path, &st);
    return status == TFOPS_E_UNKNOWN ? TFOPS_OK : status;
}

/*
 * Owners set up one at a time among processes: else N starting ranks race to create, to switch to
 * WAL and to migrate. Without the lock (it cannot be made) the busy timeout has to do. Only an
 * owner replaces a damaged file: a tool may have been given the path of anything.
 */
static enum tfops_status attach_owner(const struct env *env, const struct place *place,
    const struct db_options *options, struct shared_file **ret_file)
{
    struct byte_lock setup = {.fd = -1};
    bool damaged, locked;
    enum tfops_status status = check_before_lock(place);
    if (status)
        return status;
    locked = !byte_lock_take(place->lock, PLACE_LOCK_SETUP, SETUP_WAIT_MS, &setup);
    for (;;) {
        uint32_t generation = place_generation(place);
        damaged = false;
        status = attach(env, place, options, generation, ret_file, &damaged);
        if (!damaged || !locked || place_advance(place, generation))
            break;
        char path[PLACE_BYTES];
        place_file(place, generation, path);
        log_switch(env, path, place);
    }
    byte_lock_release(&setup);
    return status;
}

enum tfops_status sharing_acquire(const struct env *env, const struct place *place,
    const struct db_options *options, struct shared_file **ret_file)
{
    bool damaged = false;
    enum tfops_status status;
    pthread_once(&once, watch_forks);
    if (registry.inherited)
        return sharing_forked(options->path);
    pthread_mutex_lock(&registry.lock);
    registry.busy = true;
    if (options->access == DB_CREATE)
        status = attach_owner(env, place, options, ret_file);
    else
        status = attach(env, place, options,
            options->access == DB_SHIPPED ? 0 : place_generation(place), ret_file, &damaged);
    registry.busy = false;
    pthread_mutex_unlock(&registry.lock);
    return status;
}

void sharing_release(struct shared_file *file)
{
    pthread_mutex_lock(&registry.lock);
    registry.busy = true;
    file_close(file);
    registry.busy = false;
    pthread_mutex_unlock(&registry.lock);
}

bool sharing_replace(const struct env *env, const struct place *place, struct shared_file *file)
{
    struct byte_lock lock = {.fd = -1};
    if (!file->writable || byte_lock_take(place->lock, PLACE_LOCK_SETUP, DAMAGE_WAIT_MS, &lock))
        return false;
    bool advanced = !place_advance(place, file->generation);
    byte_lock_release(&lock);
    if (!advanced)
        return false;
    log_switch(env, file->path, place);
    atomic_store(&file->retired, true);
    return true;
}
