/* SHA-256 through libsodium (see hash.h). crypto_hash_sha256 needs no sodium_init(). */
#include "base/hash.h"
#include <sodium/crypto_hash_sha256.h>
#include <string.h>

_Static_assert(sizeof(struct hash) >= sizeof(crypto_hash_sha256_state), "struct hash too small");
_Static_assert(HASH_BYTES == crypto_hash_sha256_BYTES, "digest size");

static crypto_hash_sha256_state *state(struct hash *hash)
{
    return (crypto_hash_sha256_state *)(void *)hash->state;
}

void hash_init(struct hash *hash)
{
    crypto_hash_sha256_init(state(hash));
}

void hash_add(struct hash *hash, const void *data, size_t bytes)
{
    crypto_hash_sha256_update(state(hash), data, bytes);
}

void hash_add_u64(struct hash *hash, uint64_t value)
{
    unsigned char bytes[8];
    for (int i = 0; i < 8; i++)
        bytes[i] = (unsigned char)(value >> (8 * i));
    hash_add(hash, bytes, sizeof bytes);
}

void hash_add_string(struct hash *hash, const char *text)
{
    size_t length = text ? strlen(text) : 0;
    hash_add_u64(hash, length);
    if (length)
        hash_add(hash, text, length);
}

void hash_final(struct hash *hash, uint8_t ret_digest[HASH_BYTES])
{
    crypto_hash_sha256_final(state(hash), ret_digest);
}

void hash_bytes(const void *data, size_t bytes, uint8_t ret_digest[HASH_BYTES])
{
    crypto_hash_sha256(ret_digest, data, bytes);
}

void hash_hex(const uint8_t digest[HASH_BYTES], char ret_text[HASH_HEX_BYTES])
{
    static const char DIGITS[] = "0123456789abcdef";
    for (int i = 0; i < HASH_BYTES; i++) {
        ret_text[2 * i] = DIGITS[digest[i] >> 4];
        ret_text[2 * i + 1] = DIGITS[digest[i] & 15];
    }
    ret_text[2 * HASH_BYTES] = '\0';
}

static int digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return -1;
}

int hash_parse_hex(const char *text, uint8_t ret_digest[HASH_BYTES])
{
    uint8_t digest[HASH_BYTES];
    if (strlen(text) != 2 * HASH_BYTES)
        return -1;
    for (int i = 0; i < HASH_BYTES; i++) {
        int high = digit(text[2 * i]), low = digit(text[2 * i + 1]);
        if (high < 0 || low < 0)
            return -1;
        digest[i] = (uint8_t)(high << 4 | low);
    }
    memcpy(ret_digest, digest, HASH_BYTES);
    return 0;
}
