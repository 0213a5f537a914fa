/* Digests: SHA-256 through libsodium for what is stored, a cheap mix for the in-memory tables. */
#ifndef TFOPS_BASE_HASH_H
#define TFOPS_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

#define HASH_BYTES 32
#define HASH_HEX_BYTES (2 * HASH_BYTES + 1)

struct hash {
    _Alignas(16) unsigned char state[128]; /* crypto_hash_sha256_state */
};

void hash_init(struct hash *hash);
void hash_add(struct hash *hash, const void *data, size_t bytes);
/* Length first, then the bytes: so that two strings never run into each other. */
void hash_add_string(struct hash *hash, const char *text); /* NULL: as "" */
void hash_add_u64(struct hash *hash, uint64_t value);      /* little-endian */
void hash_final(struct hash *hash, uint8_t ret_digest[HASH_BYTES]);
void hash_bytes(const void *data, size_t bytes, uint8_t ret_digest[HASH_BYTES]);
void hash_hex(const uint8_t digest[HASH_BYTES], char ret_text[HASH_HEX_BYTES]);
/* 0 on success, -1 when `text` is not 64 hexadecimal digits. */
int hash_parse_hex(const char *text, uint8_t ret_digest[HASH_BYTES]);

/* Cheap, not stable across versions: for hash tables in memory. */
static inline uint64_t hash_mix(uint64_t hash, uint64_t word)
{
    hash = (hash ^ word) * 0x9e3779b97f4a7c15ull;
    return hash ^ (hash >> 29);
}

#endif
