/*
 * The emulator compiled once for a user: an object beside the user's cache, named by what it was made
 * of, so that the second check of a template takes a second, not ten. Part of emulate_build.c's stage.
 */
#ifndef TFOPS_TUNER_EMULATE_KEEP_H
#define TFOPS_TUNER_EMULATE_KEEP_H

#include <stdbool.h>
#include <stdint.h>

/* A copy of the kept object of `mode` with that digest, at `object`. False: there is none that this user or root
 * alone could have written, or no copy. */
bool emulate_keep_load(const char *mode, const uint8_t digest[32], const char *object);

/* Keeps a copy of `object`, in place of those of `mode` from other sources or compilers, in a folder that is made
 * when it is not there. Where nothing can be written nothing is kept, and that is no failure. */
void emulate_keep_store(const char *mode, const uint8_t digest[32], const char *object);

#endif
