/*
 * A lock on one byte of a lock file, among processes and among threads: an OFD lock, which the
 * kernel releases when its holder dies. Each lock has its own open file description, so that two
 * threads of one process exclude each other too.
 *
 * A child that is forked without exec shares the description: the lock then also lasts until the
 * child has ended. byte_lock_release() unlocks for both.
 */
#ifndef TFOPS_CACHE_BYTE_LOCK_H
#define TFOPS_CACHE_BYTE_LOCK_H

#include <stdint.h>
#include <tfops/status.h>

struct byte_lock {
    int fd; /* -1: nothing held */
    uint64_t offset;
};

/*
 * Locks the byte at `offset` (below 2^62) of the file at `path`, which is created with mode 0600.
 * Waits at most wait_ms. TFOPS_E_TIMEOUT when it is still held then; TFOPS_E_CACHE when the file is
 * not to be trusted; TFOPS_E_IO when it cannot be opened or locked (read-only disk, no lock
 * manager).
 */
enum tfops_status byte_lock_take(
    const char *path, uint64_t offset, uint32_t wait_ms, struct byte_lock *ret_lock);
void byte_lock_release(struct byte_lock *lock); /* nothing held: fine */

#endif
