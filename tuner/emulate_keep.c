/* Kept emulators (see emulate_keep.h). */
#include "emulate_keep.h"
#include "base/hash.h"
#include "cache/place.h"
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { PATH_BYTES = PLACE_BYTES + 64 };

/* Beside the user's cache, whose folder is held to the rule of trust. */
static bool path_of(
    const char *mode, const uint8_t digest[32], bool create, char ret_path[PATH_BYTES])
{
    char cache[PLACE_BYTES], hex[HASH_HEX_BYTES];
    struct place place;
    if (place_default(cache, sizeof cache) || place_resolve(cache, create, &place))
        return false;
    hash_hex(digest, hex);
    const int folder = (int)(strrchr(place.base, '/') - place.base);
    snprintf(ret_path, PATH_BYTES, "%.*s/emulator-%s-%.16s.o", folder, place.base, mode, hex);
    return true;
}

/* `to` is replaced, readable by this user alone. */
static bool copy_file(const char *from, const char *to)
{
    char bytes[1 << 16];
    size_t n = 0;
    unlink(to);
    FILE *in = fopen(from, "re");
    const int fd = in ? open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600) : -1;
    FILE *out = fd >= 0 ? fdopen(fd, "w") : NULL;
    if (!out && fd >= 0)
        close(fd);
    bool copied = out != NULL;
    while (copied && (n = fread(bytes, 1, sizeof bytes, in)) > 0)
        copied = fwrite(bytes, 1, n, out) == n;
    if (in) {
        copied = copied && !ferror(in);
        fclose(in);
    }
    return out && !fclose(out) && copied;
}

/* Of other sources or compilers. */
static void drop_others(const char *mode, const char *path)
{
    char folder[PATH_BYTES], prefix[64];
    const char *name = strrchr(path, '/') + 1;
    snprintf(folder, sizeof folder, "%.*s", (int)(name - path), path);
    snprintf(prefix, sizeof prefix, "emulator-%s-", mode);
    DIR *dir = opendir(folder);
    for (struct dirent *entry; dir && (entry = readdir(dir));)
        if (!strncmp(entry->d_name, prefix, strlen(prefix)) && strcmp(entry->d_name, name) != 0 &&
            strlen(entry->d_name) == strlen(name))
            unlinkat(dirfd(dir), entry->d_name, 0);
    if (dir)
        closedir(dir);
}

bool emulate_keep_load(const char *mode, const uint8_t digest[32], const char *object)
{
    char path[PATH_BYTES];
    struct stat st;
    return path_of(mode, digest, false, path) && !place_check_file(path, &st) && st.st_size > 0 &&
           copy_file(path, object);
}

void emulate_keep_store(const char *mode, const uint8_t digest[32], const char *object)
{
    char path[PATH_BYTES], fresh[PATH_BYTES + 16];
    if (!path_of(mode, digest, true, path))
        return;
    snprintf(fresh, sizeof fresh, "%s.%ld", path, (long)getpid());
    if (copy_file(object, fresh) && !rename(fresh, path))
        drop_others(mode, path);
    else
        unlink(fresh);
}
