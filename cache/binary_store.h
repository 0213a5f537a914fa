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
    uint8_t build_key[HASH_BYTES]; /* of source, headers, config, options, arch, NVRTC build */
    uint8_t abi[HASH_BYTES];       /* of the entry ABI: parameters' type, size, spec version */
    char *op, *arch, *entry, *config, *nvrtc, *date;
    uint32_t registers, spill_bytes, smem_static_bytes;
    uint32_t threads, min_blocks, cluster, smem_bytes, param_bytes;
    int32_t min_driver; /* CUDA version of the NVRTC that made it, e.g. 13000 */
    void *image;
    size_t image_bytes;
};

void binary_release(const struct env *env, struct binary *binary);
/* A deep copy; NULL strings become "", a NULL image stays NULL. TFOPS_E_MEMORY. */
enum tfops_status binary_copy(
    const struct env *env, const struct binary *from, struct binary *ret_binary);

/*
 * Found: *ret_found true and *ret_binary filled. A missing or bad row: false with TFOPS_OK.
 * A binary's description is that of the build that came first: another build with the same image
 * (two configs may compile to one) finds the first one's config and geometry, which fit the image.
 * build_key is the one asked for, or of the first build. TFOPS_E_IO, TFOPS_E_BUSY, TFOPS_E_MEMORY.
 */
enum tfops_status binary_store_find(
    struct db *db, const uint8_t sha256[HASH_BYTES], bool *ret_found, struct binary *ret_binary);
enum tfops_status binary_store_find_build(
    struct db *db, const uint8_t build_key[HASH_BYTES], bool *ret_found, struct binary *ret_binary);
/*
 * Inserts; a good row that is there already stays and the build key leads to it too, a bad one is
 * replaced. sha256 is computed here. TFOPS_E_ARGUMENT without an image, TFOPS_E_RANGE when it is
 * too large, TFOPS_E_IO (disk full), TFOPS_E_BUSY, TFOPS_E_CACHE (read-only), TFOPS_E_MEMORY.
 */
enum tfops_status binary_store_put(struct db *db, struct binary *binary);

struct binary_info {
    struct binary binary; /* without its image, image_bytes is set */
    bool pinned;          /* a record names it */
    bool ok;              /* its image has the digest it is stored under */
};
/* Calls `fn` for each binary by ascending sha256 until it returns false; bad rows are left out and
 * counted. No lock is held during the call. */
enum tfops_status binary_store_each(
    struct db *db, bool (*fn)(void *user, const struct binary_info *info), void *user);

#endif
