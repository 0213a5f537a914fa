/* Paths, trust and generations of a cache (see place.h). */
#include "cache/place.h"
#include "base/error.h"
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/vfs.h>
#include <unistd.h>

#define SUFFIX_BYTES 32 /* room for the longest side file's */

static enum tfops_status io_error(const char *what, const char *path)
{
    int code = errno;
    return error_setf(TFOPS_E_IO, code, "cache", path, "cannot %s: %s", what, strerror(code));
}

/* Absent is not the same as failed: the caller may want to create it. */
static enum tfops_status stat_error(const char *path)
{
    if (errno == ENOENT || errno == ENOTDIR)
        return error_setf(TFOPS_E_UNKNOWN, errno, "cache", path, "no such file");
    return io_error("look at it", path);
}

/* Default path. */

static enum tfops_status join(
    char *ret_path, size_t bytes, const char *a, const char *b, const char *c)
{
    int length = snprintf(ret_path, bytes, "%s%s%s", a, b, c);
    if (length < 0 || (size_t)length >= bytes)
        return error_setf(TFOPS_E_RANGE, 0, "cache", a, "path does not fit into %zu bytes", bytes);
    return TFOPS_OK;
}

static enum tfops_status home_from_passwd(char *ret_path, size_t bytes)
{
    char text[4096];
    struct passwd entry, *found = NULL;
    int code = getpwuid_r(geteuid(), &entry, text, sizeof text, &found);
    if (code || !found || found->pw_dir[0] != '/')
        return error_setf(TFOPS_E_UNKNOWN, code, "cache", "default path",
            "none of TFOPS_CACHE, XDG_CACHE_HOME and HOME is usable, and user %u has no home "
            "directory",
            (unsigned)geteuid());
    return join(ret_path, bytes, found->pw_dir, "/.cache/tfops/cache.db", "");
}

enum tfops_status place_default(char *ret_path, size_t bytes)
{
    /* secure_: a set-user-ID program must not write where its caller's environment says. */
    const char *own = secure_getenv("TFOPS_CACHE");
    if (own && own[0])
        return join(ret_path, bytes, own, "", "");
    const char *xdg = secure_getenv("XDG_CACHE_HOME");
    if (xdg && xdg[0] == '/')
        return join(ret_path, bytes, xdg, "/tfops/cache.db", "");
    const char *home = secure_getenv("HOME");
    if (home && home[0] == '/')
        return join(ret_path, bytes, home, "/.cache/tfops/cache.db", "");
    return home_from_passwd(ret_path, bytes);
}

/* Trust. */

static enum tfops_status check_owner(const char *path, const struct stat *st)
{
    char actual[32];
    if (st->st_uid != geteuid() && st->st_uid != 0) {
        snprintf(actual, sizeof actual, "user %u", (unsigned)st->st_uid);
        return error_set(TFOPS_E_CACHE, "cache", path, "this user or root as its owner", actual);
    }
    if (st->st_mode & (S_IWGRP | S_IWOTH)) {
        snprintf(actual, sizeof actual, "mode %04o", (unsigned)st->st_mode & 07777);
        return error_set(
            TFOPS_E_CACHE, "cache", path, "no right to write for group and others", actual);
    }
    return TFOPS_OK;
}

enum tfops_status place_check_stat(const char *path, const struct stat *st)
{
    if (!S_ISREG(st->st_mode))
        return error_set(TFOPS_E_CACHE, "cache", path, "a regular file",
            S_ISDIR(st->st_mode)   ? "a directory"
            : S_ISLNK(st->st_mode) ? "a symbolic link"
                                   : "a special file");
    return check_owner(path, st);
}

enum tfops_status place_check_file(const char *path, struct stat *ret_stat)
{
    struct stat st;
    if (lstat(path, &st))
        return stat_error(path);
    enum tfops_status status = place_check_stat(path, &st);
    if (!status)
        *ret_stat = st;
    return status;
}

static enum tfops_status check_directory(const char *path)
{
    struct stat st;
    if (stat(path, &st))
        return stat_error(path);
    if (!S_ISDIR(st.st_mode))
        return error_set(TFOPS_E_CACHE, "cache", path, "a directory", "a file");
    return check_owner(path, &st);
}

/* Resolving. */

static bool is_network(const char *directory)
{
    static const uint32_t KINDS[] = {
        0x6969,     /* NFS */
        0x517b,     /* SMB */
        0xff534d42, /* CIFS */
        0xfe534d42, /* SMB 2 */
        0x5346414f, /* AFS */
        0x0bd00bd0, /* Lustre */
        0x47504653, /* GPFS */
        0x00c36400, /* Ceph */
        0x19830326, /* BeeGFS */
        0x01021997, /* 9p */
        0x65735546, /* FUSE: what is behind it cannot be known */
    };
    struct statfs fs;
    if (statfs(directory, &fs))
        return false;
    for (size_t i = 0; i < sizeof KINDS / sizeof *KINDS; i++)
        if ((uint32_t)fs.f_type == KINDS[i])
            return true;
    return false;
}

static enum tfops_status make_directories(char *path)
{
    for (char *end = path + 1;; end++) {
        if (*end != '/' && *end != '\0')
            continue;
        char kept = *end;
        *end = '\0';
        int rc = mkdir(path, 0700);
        bool failed = rc && errno != EEXIST && access(path, X_OK);
        enum tfops_status status = failed ? io_error("create the directory", path) : TFOPS_OK;
        *end = kept;
        if (status || kept == '\0')
            return status;
    }
}

static enum tfops_status split(
    const char *path, char ret_directory[PLACE_BYTES], const char **ret_name)
{
    const char *slash = path ? strrchr(path, '/') : NULL;
    const char *name = slash ? slash + 1 : path;
    if (!name || !name[0] || strlen(path) + SUFFIX_BYTES >= PLACE_BYTES)
        return error_set(
            TFOPS_E_ARGUMENT, "cache", path ? path : "", "the path of a file", "none, or too long");
    size_t length = slash ? (size_t)(slash - path) : 1;
    memcpy(ret_directory, slash ? path : ".", length);
    ret_directory[length] = '\0';
    if (length == 0)
        memcpy(ret_directory, "/", 2);
    *ret_name = name;
    return TFOPS_OK;
}

enum tfops_status place_resolve(const char *path, bool create, struct place *ret_place)
{
    char directory[PLACE_BYTES], real[PLACE_BYTES];
    const char *name = NULL;
    enum tfops_status status = split(path, directory, &name);
    if (!status && create)
        status = make_directories(directory);
    if (status)
        return status;
    if (!realpath(directory, real))
        return stat_error(directory);
    status = check_directory(real);
    if (status)
        return status;
    /* Leaves room for every suffix, place_file() counts on it. */
    status = join(ret_place->base, PLACE_BYTES - SUFFIX_BYTES, real[1] ? real : "", "/", name);
    if (status)
        return status;
    join(ret_place->lock, PLACE_BYTES, ret_place->base, ".lock", "");
    join(ret_place->pointer, PLACE_BYTES, ret_place->base, ".generation", "");
    ret_place->network = is_network(real);
    return TFOPS_OK;
}

enum tfops_status place_create_file(const char *path)
{
    /* mknod, not open: nothing to close, so no lock of this process can be dropped by it. */
    if (mknod(path, S_IFREG | 0600, 0) && errno != EEXIST)
        return io_error("create it", path);
    return TFOPS_OK;
}

/* Generations. */

void place_file(const struct place *place, uint32_t generation, char ret_path[PLACE_BYTES])
{
    /* place_resolve() left room for the suffix. */
    size_t length = strlen(place->base);
    memcpy(ret_path, place->base, length + 1);
    if (generation)
        snprintf(ret_path + length, SUFFIX_BYTES, ".g%u", generation);
}

static bool parse_generation(const char *text, uint32_t *ret_generation)
{
    char *end;
    unsigned long value = strtoul(text, &end, 10);
    if (text[0] < '1' || text[0] > '9' || strcmp(end, "\n") || value > PLACE_MAX_GENERATION)
        return false;
    *ret_generation = (uint32_t)value;
    return true;
}

uint32_t place_generation(const struct place *place)
{
    char text[16];
    uint32_t generation = 0;
    struct stat st;
    int fd = open(place->pointer, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0)
        return 0;
    if (!fstat(fd, &st) && S_ISREG(st.st_mode) && !check_owner(place->pointer, &st)) {
        ssize_t bytes = read(fd, text, sizeof text - 1);
        text[bytes > 0 ? bytes : 0] = '\0';
        if (!parse_generation(text, &generation))
            generation = 0;
    }
    close(fd);
    return generation;
}

/* The directory entry must be on disk too, or a crash could bring the damaged file back. */
static void sync_directory(const char *path)
{
    char directory[PLACE_BYTES];
    snprintf(directory, sizeof directory, "%s", path);
    char *slash = strrchr(directory, '/');
    slash[slash == directory] = '\0';
    int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return;
    (void)fsync(fd); /* not every file system can; the rename itself has succeeded */
    close(fd);
}

static enum tfops_status write_file(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return io_error("create it", path);
    size_t length = strlen(text);
    bool written = write(fd, text, length) == (ssize_t)length && !fsync(fd);
    enum tfops_status status = written ? TFOPS_OK : io_error("write it", path);
    close(fd);
    return status;
}

enum tfops_status place_advance(const struct place *place, uint32_t damaged)
{
    uint32_t now = place_generation(place);
    if (now != damaged)
        return TFOPS_OK;
    if (now >= PLACE_MAX_GENERATION)
        return error_setf(TFOPS_E_RANGE, 0, "cache", place->base,
            "%u generations were found damaged; look at the disk, then remove them and %s", now + 1,
            place->pointer);
    char text[16], fresh[PLACE_BYTES + 8];
    snprintf(text, sizeof text, "%u\n", now + 1);
    snprintf(fresh, sizeof fresh, "%s.new", place->pointer);
    enum tfops_status status = write_file(fresh, text);
    if (!status && rename(fresh, place->pointer))
        status = io_error("move the generation pointer", place->pointer);
    if (status)
        unlink(fresh);
    else
        sync_directory(place->pointer);
    return status;
}
