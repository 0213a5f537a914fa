/*
 * Where a cache lies: its path made absolute, whether it may be trusted, its side files, and which
 * generation of it is in use. Never opens the database file itself: closing any descriptor of it
 * would drop the POSIX locks that SQLite holds on it for the whole process.
 *
 * Side files of <cache>: <cache>.lock (byte_lock.h), <cache>.generation (the pointer), <cache>.g1 …
 * (what is in use after <cache> was found damaged; the damaged file stays for inspection).
 */
#ifndef TFOPS_CACHE_PLACE_H
#define TFOPS_CACHE_PLACE_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <tfops/status.h>

#define PLACE_BYTES PATH_MAX
#define PLACE_MAX_GENERATION 16 /* then someone has to look at the disk */

struct place {
    char base[PLACE_BYTES]; /* absolute, its directory without symbolic links */
    char lock[PLACE_BYTES];
    char pointer[PLACE_BYTES];
    bool network; /* a network or FUSE file system: no WAL there, its index is shared memory */
};

/* Bytes of the lock file; those of claims lie above. */
enum { PLACE_LOCK_SETUP = 0, PLACE_LOCK_CLAIMS = 4096 };

/* TFOPS_CACHE, XDG_CACHE_HOME, HOME, the password file. TFOPS_E_UNKNOWN; TFOPS_E_RANGE: too long.
 */
enum tfops_status place_default(char *ret_path, size_t bytes);

/*
 * Resolves `path` and checks its directory. `create`: makes missing directories with mode 0700.
 * TFOPS_E_UNKNOWN when the directory is not there, TFOPS_E_CACHE when it is not to be trusted,
 * TFOPS_E_ARGUMENT when `path` names no file or is too long, TFOPS_E_RANGE when it is with its
 * directory, TFOPS_E_IO.
 */
enum tfops_status place_resolve(const char *path, bool create, struct place *ret_place);

/*
 * The rule of trust: a regular file, owned by the effective user or root, not writable by group or
 * others (an ACL that lets others write shows in the group bits). The directory is held to the
 * same, so nobody else can swap the file between this check and its use. Directories above it, and
 * what the server of a network file system does, are the administrator's.
 */
enum tfops_status place_check_stat(const char *path, const struct stat *st);
/* By lstat: a symbolic link is refused. TFOPS_E_UNKNOWN when it is not there. */
enum tfops_status place_check_file(const char *path, struct stat *ret_stat);

/* Makes an empty file of mode 0600; one that is there is fine. */
enum tfops_status place_create_file(const char *path);

/* The path of a generation; 0 is `base`. */
void place_file(const struct place *place, uint32_t generation, char ret_path[PLACE_BYTES]);
/* The generation in use. A pointer that is malformed or not to be trusted counts as 0. */
uint32_t place_generation(const struct place *place);
/*
 * Moves the pointer from `damaged` to the next generation, unless somebody has already done so.
 * The caller holds PLACE_LOCK_SETUP. TFOPS_E_IO; TFOPS_E_RANGE after PLACE_MAX_GENERATION.
 */
enum tfops_status place_advance(const struct place *place, uint32_t damaged);

#endif
