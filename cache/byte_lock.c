/*
 * One-byte OFD locks (see byte_lock.h). Polls with F_OFD_SETLK: the blocking form cannot be bounded
 * without signals, which a library must not touch.
 */
#include "cache/byte_lock.h"
#include "base/error.h"
#include "cache/place.h"
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define FIRST_PAUSE_NS 500000     /* 0.5 ms */
#define LONGEST_PAUSE_NS 16000000 /* how late a release may be noticed */

_Static_assert(sizeof(off_t) == 8, "offsets of locks need 64 bits");

static int64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static int set(int fd, uint64_t offset, short type)
{
    struct flock lock = {
        .l_type = type, .l_whence = SEEK_SET, .l_start = (off_t)offset, .l_len = 1};
    int rc;
    do {
        rc = fcntl(fd, F_OFD_SETLK, &lock);
    } while (rc < 0 && errno == EINTR);
    return rc < 0 ? errno : 0;
}

static int set_within(int fd, uint64_t offset, uint32_t wait_ms)
{
    int64_t end = now_ns() + (int64_t)wait_ms * 1000000;
    int64_t pause_ns = FIRST_PAUSE_NS;
    for (;;) {
        int error = set(fd, offset, F_WRLCK);
        if (error != EAGAIN && error != EACCES)
            return error;
        int64_t left = end - now_ns();
        if (left <= 0)
            return EAGAIN;
        struct timespec pause = {.tv_nsec = (long)(pause_ns < left ? pause_ns : left)};
        nanosleep(&pause, NULL);
        pause_ns = pause_ns < LONGEST_PAUSE_NS / 2 ? pause_ns * 2 : LONGEST_PAUSE_NS;
    }
}

static enum tfops_status open_file(const char *path, int *ret_fd)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
    if (fd < 0)
        return error_setf(
            TFOPS_E_IO, errno, "cache lock", path, "cannot open: %s", strerror(errno));
    struct stat st;
    enum tfops_status status =
        fstat(fd, &st) ? error_setf(TFOPS_E_IO, errno, "cache lock", path, "cannot stat")
                       : place_check_stat(path, &st);
    if (status) {
        close(fd);
        return status;
    }
    *ret_fd = fd;
    return TFOPS_OK;
}

enum tfops_status byte_lock_take(
    const char *path, uint64_t offset, uint32_t wait_ms, struct byte_lock *ret_lock)
{
    assert(offset < (uint64_t)1 << 62);
    int fd = -1;
    enum tfops_status status = open_file(path, &fd);
    if (status)
        return status;
    int error = set_within(fd, offset, wait_ms);
    if (error) {
        close(fd);
        if (error == EAGAIN)
            return error_setf(
                TFOPS_E_TIMEOUT, error, "cache lock", path, "still held after %u ms", wait_ms);
        return error_setf(
            TFOPS_E_IO, error, "cache lock", path, "cannot lock: %s", strerror(error));
    }
    *ret_lock = (struct byte_lock){.fd = fd, .offset = offset};
    return TFOPS_OK;
}

void byte_lock_release(struct byte_lock *lock)
{
    if (lock->fd < 0)
        return;
    set(lock->fd, lock->offset, F_UNLCK); /* for the case that a forked child shares it */
    close(lock->fd);
    lock->fd = -1;
}
