/*
 * The overlay: the layers an engine looks through, nearest first: the user's file, the shipped
 * read-only files, the variants built into the library. This is the only face of cache/ that the
 * engine and the tuner use.
 *
 * Threads: any, guarded by one lock inside; never called by a launch that hits. A layer that cannot
 * be used is logged once and left out: opening succeeds with fewer layers. After fork() the child
 * must not call it (the engine refuses before it gets here).
 */
#ifndef TFOPS_CACHE_OVERLAY_H
#define TFOPS_CACHE_OVERLAY_H

#include "cache/binary_store.h"
#include "cache/record_store.h"

struct overlay;

struct overlay_options {
    const char *user_path; /* NULL: the default path; "": none */
    const char *const *shipped_paths;
    size_t n_shipped;
    bool read_only;               /* never write the user's file, open it only when it is there */
    const struct binary *builtin; /* static table; strings and images are static */
    size_t n_builtin;
};

enum tfops_status overlay_open(
    const struct env *env, const struct overlay_options *options, struct overlay **ret_overlay);
void overlay_close(struct overlay *overlay);

/* Records of the key by ascending extent; of the same extent the nearest layer's. */
enum tfops_status overlay_records(
    struct overlay *overlay, const struct record_key *key, struct record_list *ret_list);
/* Every effective record of the SKU in canonical order: for the fingerprint. */
enum tfops_status overlay_all_records(
    struct overlay *overlay, const char *sku, struct record_list *ret_list);
/* To the user's file. TFOPS_E_CACHE when there is none or it is read-only: callers go on. */
enum tfops_status overlay_put_record(struct overlay *overlay, const struct tfops_record *row);

enum tfops_status overlay_find_binary(struct overlay *overlay, const uint8_t sha256[HASH_BYTES],
    bool *ret_found, struct binary *ret_binary);
enum tfops_status overlay_find_build(struct overlay *overlay, const uint8_t build_key[HASH_BYTES],
    bool *ret_found, struct binary *ret_binary);
enum tfops_status overlay_put_binary(struct overlay *overlay, struct binary *binary);

/* The user's layer for resume samples; NULL when it is absent or read-only. */
struct db *overlay_user(struct overlay *overlay);

/*
 * Compile exactly once: claims the right to compile `build_key` among processes. Waits at most
 * wait_ms for another claimant. *ret_claimed false: the wait ended without the claim; look the key
 * up again and, if it is still missing, compile without one. Without a user file every claim
 * succeeds. The kernel releases the claim of a killed process.
 */
struct overlay_claim {
    int fd; /* of the lock file, -1: nothing held */
    uint64_t offset;
};
enum tfops_status overlay_claim(struct overlay *overlay, const uint8_t build_key[HASH_BYTES],
    uint32_t wait_ms, bool *ret_claimed, struct overlay_claim *ret_claim);
void overlay_claim_release(struct overlay *overlay, struct overlay_claim *claim);

/* Rows ignored since open for a bad digest, ABI or encoding. */
uint64_t overlay_bad_rows(const struct overlay *overlay);

#endif
