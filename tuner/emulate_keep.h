/*
 * The emulator compiled once for a user: an object beside the user's cache, named by what it was made
 * of, so that the second check of a template takes a second, not ten. Part of emulate_build.c's stage.
 */
#ifndef TFOPS_TUNER_EMULATE_KEEP_H
#define TFOPS_TUNER_EMULATE_KEEP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { EMULATE_KEEP_BYTES = 1024 };

/* Where the object of `mode` with that digest is or shall be: a folder that is the user's alone, made when it
 * is not there. False: nowhere can be trusted or written, and nothing is kept. */
bool emulate_keep_path(
    const char *mode, const uint8_t digest[32], char ret_path[EMULATE_KEEP_BYTES]);

/* Whether it is there and was written by this user. */
bool emulate_keep_has(const char *path);

/* `fresh`, in the same folder, becomes `path`; those of `mode` from other sources or compilers go. False: it
 * stays `fresh`. */
bool emulate_keep_take(const char *mode, const char *fresh, const char *path);

#endif
