/* SHA-256 against the vectors of FIPS 180-4, prefixed strings, hexadecimal text. */
#include "base/hash.h"
#include "tests/support/expect.h"
#include <criterion/criterion.h>

static void hex_of(const void *data, size_t bytes, char text[HASH_HEX_BYTES])
{
    uint8_t digest[HASH_BYTES];
    hash_bytes(data, bytes, digest);
    hash_hex(digest, text);
}

Test(hash, bytes_give_the_published_digests)
{
    static const struct {
        const char *text, *digest;
    } CASES[] = {
        {"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
        {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
        {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
    };
    char hex[HASH_HEX_BYTES];
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        hex_of(CASES[i].text, strlen(CASES[i].text), hex);
        EXPECT_TEXT(hex, CASES[i].digest);
    }
}

Test(hash, a_million_bytes_in_pieces_give_the_published_digest)
{
    struct hash hash;
    uint8_t digest[HASH_BYTES];
    char hex[HASH_HEX_BYTES], piece[997];
    memset(piece, 'a', sizeof piece);
    hash_init(&hash);
    for (size_t left = 1000000; left;) {
        size_t n = left < sizeof piece ? left : sizeof piece;
        hash_add(&hash, piece, n);
        left -= n;
    }
    hash_final(&hash, digest);
    hash_hex(digest, hex);
    EXPECT_TEXT(hex, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

static void digest_strings(const char *a, const char *b, uint8_t digest[HASH_BYTES])
{
    struct hash hash;
    hash_init(&hash);
    hash_add_string(&hash, a);
    hash_add_string(&hash, b);
    hash_final(&hash, digest);
}

Test(hash, strings_never_run_into_each_other)
{
    static const char *const PAIRS[][2] = {{"ab", "c"}, {"a", "bc"}, {"abc", ""}, {"", "abc"}};
    uint8_t digests[4][HASH_BYTES];
    for (int i = 0; i < 4; i++) {
        digest_strings(PAIRS[i][0], PAIRS[i][1], digests[i]);
        for (int k = 0; k < i; k++)
            cr_assert(memcmp(digests[i], digests[k], HASH_BYTES), "pairs %d and %d are one", i, k);
    }
}

Test(hash, string_is_its_length_and_its_bytes)
{
    struct hash hash;
    uint8_t a[HASH_BYTES], b[HASH_BYTES];
    hash_init(&hash);
    hash_add_string(&hash, "abc");
    hash_final(&hash, a);
    hash_bytes("\3\0\0\0\0\0\0\0abc", 11, b);
    cr_assert(!memcmp(a, b, HASH_BYTES), "the prefix is not eight bytes, little-endian");
}

Test(hash, null_string_is_the_empty_one)
{
    uint8_t a[HASH_BYTES], b[HASH_BYTES];
    digest_strings(NULL, "x", a);
    digest_strings("", "x", b);
    cr_assert(!memcmp(a, b, HASH_BYTES));
}

Test(hash, number_is_little_endian)
{
    struct hash hash;
    uint8_t a[HASH_BYTES], b[HASH_BYTES];
    hash_init(&hash);
    hash_add_u64(&hash, 0x0102030405060708u);
    hash_final(&hash, a);
    hash_bytes("\x08\x07\x06\x05\x04\x03\x02\x01", 8, b);
    cr_assert(!memcmp(a, b, HASH_BYTES));
}

Test(hash, hexadecimal_text_comes_back)
{
    uint8_t digest[HASH_BYTES], back[HASH_BYTES];
    char hex[HASH_HEX_BYTES];
    for (int i = 0; i < HASH_BYTES; i++)
        digest[i] = (uint8_t)(i * 37 + 129);
    hash_hex(digest, hex);
    EXPECT_INT(hash_parse_hex(hex, back), 0);
    cr_assert(!memcmp(digest, back, HASH_BYTES), "%s came back different", hex);
}

Test(hash, parse_refuses_what_is_no_digest)
{
    static const char *const CASES[] = {"", "00",
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b8550",
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b85",
        "g3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b85 "};
    uint8_t digest[HASH_BYTES] = {1, 2, 3};
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        EXPECT_INT(hash_parse_hex(CASES[i], digest), -1);
        EXPECT_INT(digest[0], 1); /* written only on success */
    }
}

Test(hash, mix_depends_on_order_and_every_bit)
{
    cr_assert_neq(hash_mix(hash_mix(0, 1), 2), hash_mix(hash_mix(0, 2), 1));
    for (int i = 0; i < 64; i++)
        cr_assert_neq(hash_mix(7, 0), hash_mix(7, 1ull << i), "bit %d is lost", i);
}
