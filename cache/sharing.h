/*
 * Connections shared within the process: one owner for each inode, because POSIX locks belong to
 * the process and not to a descriptor. Decides which generation of a cache is opened, and moves on
 * from one that is found damaged. The registry behind it is the one global of cache/: that an inode
 * has one owner can only be kept by the process.
 */
#ifndef TFOPS_CACHE_SHARING_H
#define TFOPS_CACHE_SHARING_H

#include "cache/connection.h"
#include "cache/db.h"
#include "cache/place.h"
#include <pthread.h>
#include <stdatomic.h>
#include <sys/types.h>

/* A connection and who shares it. Not from a caller's allocator: it may outlive its first user. */
struct shared_file {
    struct shared_file *next; /* the registry's, like refs; the rest up to path never changes */
    size_t refs;
    dev_t dev;
    ino_t ino;
    bool writable, immutable;
    uint32_t generation;
    char path[PLACE_BYTES];
    atomic_bool retired; /* nobody opens it any more; its users move on */
    pthread_mutex_t lock;
    struct connection connection; /* lock */
};

static inline bool sharing_is_writer(enum db_access access)
{
    return access == DB_WRITE || access == DB_CREATE;
}

/*
 * Shares or opens the file in use for these options; busy_ms is set. Errors: those of db_open().
 * `env` is for log lines of this call only.
 */
enum tfops_status sharing_acquire(const struct env *env, const struct place *place,
    const struct db_options *options, struct shared_file **ret_file);
void sharing_release(struct shared_file *file);

/*
 * Moves the pointer on from a file that was found damaged in use and retires it. False when that is
 * not to be or cannot be done: what can still be read of it is.
 */
bool sharing_replace(const struct env *env, const struct place *place, struct shared_file *file);

/* Sets TFOPS_E_FORKED. */
enum tfops_status sharing_forked(const char *path);

#endif
