/* Kept emulators (see emulate_keep.h). */
#include "emulate_keep.h"
#include "base/hash.h"
#include "cache/place.h"
#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Shells quote it by '. */
static bool is_plain(const char *path)
{
    return !strpbrk(path, "'\n");
}

bool emulate_keep_path(
    const char *mode, const uint8_t digest[32], char ret_path[EMULATE_KEEP_BYTES])
{
    char cache[PLACE_BYTES], hex[HASH_HEX_BYTES];
    static _Thread_local struct place place;
    if (place_default(cache, sizeof cache) || place_resolve(cache, true, &place) ||
        !is_plain(place.base))
        return false;
    hash_hex(digest, hex);
    const int folder = (int)(strrchr(place.base, '/') - place.base);
    const int length = snprintf(
        ret_path, EMULATE_KEEP_BYTES, "%.*s/emulator-%s-%.16s.o", folder, place.base, mode, hex);
    return length > 0 && length < EMULATE_KEEP_BYTES;
}

bool emulate_keep_has(const char *path)
{
    struct stat st;
    return !place_check_file(path, &st) && st.st_size > 0;
}

/* Of other sources or compilers. */
static void drop_others(const char *mode, const char *path)
{
    char folder[EMULATE_KEEP_BYTES], prefix[64];
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

bool emulate_keep_take(const char *mode, const char *fresh, const char *path)
{
    if (rename(fresh, path))
        return false;
    drop_others(mode, path);
    return true;
}
