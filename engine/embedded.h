/*
 * What the build puts into the library: the sources of the kernels and of the emulator, and the
 * binaries of the generic variants. The tables are generated under build/gen/ (tools/embed.sh,
 * tools/build/embed_generic.c) and const; nothing here is freed.
 */
#ifndef TFOPS_ENGINE_EMBEDDED_H
#define TFOPS_ENGINE_EMBEDDED_H

#include "base/hash.h"
#include "cache/binary_store.h"
#include <stddef.h>

/* One file: under kernels/ *.cu, *.cuh, *_params.h. */
struct embedded_source {
    const char *path; /* relative to its root, e.g. kernels/: "norm/rmsnorm.cu" */
    const char *text; /* terminated */
    size_t bytes;     /* without the terminator */
    uint8_t sha256[HASH_BYTES];
};

/* Sorted by path in byte order. */
extern const struct embedded_source embedded_sources[];
extern const size_t embedded_sources_count;

/* The emulator's, relative to the root of the tree. */
extern const struct embedded_source emulator_sources[];
extern const size_t emulator_sources_count;

/* The operators' generic variants and the support kernels for one architecture. */
struct embedded_binaries {
    const char *arch;
    const struct binary *binaries;
    size_t n;
};

/* One for every architecture; none in the program that makes them. */
extern const struct embedded_binaries *const builtin_binaries[];
extern const size_t builtin_binaries_count;

#endif
