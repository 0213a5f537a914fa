/*
 * Binaries: compiled kernels named by the SHA-256 of their content, found by that name (a record's
 * pin) or by the digest of what they were built from (the build key, which dedups compiles).
 * Rows whose digest does not hold are misses, counted and logged once, never an error.
 */
#ifndef TFOPS_CACHE_BINARY_STORE_H
#define TFOPS_CACHE_BINARY_STORE_H

#include "base/env.h"
#include "base/hash.h"
#include <stdbool.h>
#include <stdint.h>

struct db;

/* One binary. Strings and image are owned by it: binary_release(). */
struct binary {
    uint8_t sha256[HASH_BYTES];    /* of the image */
    uint8_t build_key[HASH_BYTES]; /* of source, headers, config, options, architecture, NVRTC build */
    uint8_t abi[HASH_BYTES];       /* of the entry ABI: template parameters' type, size, spec version */
    char *op, *arch, *entry, *config, *nvrtc, *date;
    uint32_t registers, spill_bytes, smem_static_bytes;
    uint32_t threads, min_blocks, cluster, smem_bytes, param_bytes;
    int32_t min_driver; /* CUDA version of the NVRTC that made it, e.g. 13000 */
    void *image;
    size_t image_bytes;
};

void binary_release(const struct env *env, struct binary *binary);
/* A deep copy; TFOPS_E_MEMORY. */
enum tfops_status binary_copy(
    const struct env *env, const struct binary *from, struct binary *ret_binary);

/* Found: *ret_found true and *ret_binary filled. A missing or bad row: false with TFOPS_OK. */
enum tfops_status binary_store_find(struct db *db, const uint8_t sha256[HASH_BYTES],
    bool *ret_found, struct binary *ret_binary);
enum tfops_status binary_store_find_build(struct db *db, const uint8_t build_key[HASH_BYTES],
    bool *ret_found, struct binary *ret_binary);
/* Inserts; a row that is there already stays (its build key is added to it). sha256 is computed here. */
enum tfops_status binary_store_put(struct db *db, struct binary *binary);

#endif
