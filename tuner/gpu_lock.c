/* The lock per GPU (see gpu_lock.h). /tmp and not $TMPDIR: sessions of one user must agree on it.
 */
#include "gpu_lock.h"
#include "base/error.h"
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* A directory that nobody else can have put there: ours, not a link, not writable by others. */
static enum tfops_status lock_directory(char *ret_path, size_t bytes)
{
    struct stat stat;
    snprintf(ret_path, bytes, "/tmp/tfops-%u", (unsigned)geteuid());
    if (mkdir(ret_path, 0700) && errno != EEXIST)
        return error_setf(
            TFOPS_E_IO, errno, "gpu lock", ret_path, "mkdir %s: %s", ret_path, strerror(errno));
    if (lstat(ret_path, &stat) || !S_ISDIR(stat.st_mode) || stat.st_uid != geteuid() ||
        (stat.st_mode & 022))
        return error_set(TFOPS_E_IO, "gpu lock", ret_path,
            "a directory of this user that no one else may write", NULL);
    return TFOPS_OK;
}

static enum tfops_status busy(int fd, const char *path)
{
    char holder[32] = "";
    ssize_t length = pread(fd, holder, sizeof holder - 1, 0);
    holder[length > 0 ? length : 0] = '\0';
    holder[strspn(holder, "0123456789")] = '\0';
    return error_setf(TFOPS_E_BUSY, 0, "gpu lock", path, "process %s is tuning on this GPU (%s)",
        holder[0] ? holder : "unknown", path);
}

/* The number is a courtesy only: half of one is none, and neither is a failure. */
static void sign(int fd)
{
    char text[32];
    const int length = snprintf(text, sizeof text, "%ld\n", (long)getpid());
    bool written = ftruncate(fd, 0) == 0 && pwrite(fd, text, (size_t)length, 0) == length;
    if (!written)
        written = ftruncate(fd, 0) == 0;
    (void)written;
}

enum tfops_status gpu_lock_take(const uint8_t uuid[16], struct gpu_lock *ret_lock)
{
    char directory[64], path[160];
    enum tfops_status status = lock_directory(directory, sizeof directory);
    if (status)
        return status;
    int length = snprintf(path, sizeof path, "%s/gpu-", directory);
    for (int i = 0; i < 16; i++)
        length += snprintf(path + length, sizeof path - (size_t)length, "%02x", uuid[i]);
    snprintf(path + length, sizeof path - (size_t)length, ".lock");
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return error_setf(
            TFOPS_E_IO, errno, "gpu lock", path, "open %s: %s", path, strerror(errno));
    if (flock(fd, LOCK_EX | LOCK_NB)) {
        status = errno == EWOULDBLOCK ? busy(fd, path)
                                      : error_setf(TFOPS_E_IO, errno, "gpu lock", path,
                                            "flock %s: %s", path, strerror(errno));
        close(fd);
        return status;
    }
    sign(fd);
    ret_lock->fd = fd;
    return TFOPS_OK;
}

void gpu_lock_drop(struct gpu_lock *lock)
{
    if (lock->fd >= 0)
        close(lock->fd);
    lock->fd = -1;
}
