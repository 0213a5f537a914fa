/* Overlap of strided operands, against counting every byte of small ones. */
#include "overlap.h"
#include "tests/support/expect.h"
#include "tests/support/host_data.h"
#include <criterion/criterion.h>

enum { BYTES = 1 << 12 };

static uint64_t seed = 7;

static int64_t pick(int64_t n)
{
    return (int64_t)(host_random(&seed) % (uint64_t)n);
}

/* Counts in `bytes` how many elements cover each byte, from `base` on. */
static void cover(const struct overlap_operand *operand, uintptr_t base, uint8_t *bytes)
{
    int64_t index[TFOPS_MAX_OPERAND_RANK] = {0};
    for (int d = 0; d >= 0;) {
        int64_t at = (int64_t)(operand->begin - base);
        for (d = 0; d < operand->rank; d++)
            at += index[d] * operand->strides[d] * (int64_t)operand->elem_bytes;
        for (size_t i = 0; i < operand->elem_bytes; i++)
            bytes[at + (int64_t)i]++;
        for (d = operand->rank - 1; d >= 0 && ++index[d] == operand->extents[d]; d--)
            index[d] = 0;
    }
}

static struct overlap_operand random_operand(uintptr_t base)
{
    struct overlap_operand operand = {.rank = 1 + (int)pick(4), .elem_bytes = (size_t)1 << pick(3)};
    operand.begin = base + (uintptr_t)pick(160) * (pick(4) ? operand.elem_bytes : 1);
    for (int d = 0; d < operand.rank; d++) {
        operand.extents[d] = 1 + pick(5);
        operand.strides[d] = pick(3) ? pick(32) : 1 + pick(4);
    }
    return operand;
}

Test(overlap, within_an_operand_is_what_counting_finds)
{
    int shared = 0, apart = 0;
    for (int i = 0; i < 20000; i++) {
        uint8_t bytes[BYTES] = {0};
        const struct overlap_operand operand = random_operand(4096);
        cover(&operand, 4096, bytes);
        bool twice = false;
        for (int k = 0; k < BYTES; k++)
            twice |= bytes[k] > 1;
        cr_assert_eq(overlap_within(&operand), twice, "case %d: rank %d, %lld of %lld, …", i,
            operand.rank, (long long)operand.extents[0], (long long)operand.strides[0]);
        shared += twice;
        apart += !twice;
    }
    cr_assert(shared > 1000 && apart > 1000, "%d shared, %d apart", shared, apart);
}

Test(overlap, between_operands_is_what_counting_finds)
{
    int shared = 0, apart = 0;
    for (int i = 0; i < 20000; i++) {
        uint8_t bytes[2][BYTES] = {{0}};
        struct overlap_operand a = random_operand(4096), b = random_operand(4096);
        if (pick(2)) { /* two views of one layout, as heads of a fused buffer are */
            const uintptr_t begin = b.begin;
            b = a;
            b.begin = begin;
            b.extents[0] = 1 + pick(5);
        }
        cover(&a, 4096, bytes[0]);
        cover(&b, 4096, bytes[1]);
        bool both = false;
        for (int k = 0; k < BYTES; k++)
            both |= bytes[0][k] && bytes[1][k];
        cr_assert_eq(overlap_between(&a, &b), both, "case %d", i);
        cr_assert_eq(overlap_between(&b, &a), both, "case %d, the other way round", i);
        shared += both;
        apart += !both;
    }
    cr_assert(shared > 1000 && apart > 1000, "%d shared, %d apart", shared, apart);
}

/* q, k and v of one projection: [tokens, heads, 128], one row of it 48 heads long. */
Test(overlap, heads_of_a_fused_buffer_are_apart_at_any_length)
{
    struct overlap_operand q = {.begin = 1 << 20,
        .rank = 3,
        .extents = {1 << 20, 32, 128},
        .strides = {48 * 128, 128, 1},
        .elem_bytes = 2};
    struct overlap_operand k = q;
    k.begin += 32 * 128 * 2, k.extents[1] = 8;
    cr_assert(!overlap_between(&q, &k));
    k.begin -= 2; /* the last element of each row of q */
    cr_assert(overlap_between(&q, &k));
    k.begin += 8 * 128 * 2 + 2; /* v */
    cr_assert(!overlap_between(&q, &k));
    k.extents[1] = 9; /* one head too many: into the next row of q */
    cr_assert(!overlap_within(&k) && overlap_between(&q, &k));
}

Test(overlap, what_would_take_too_long_or_overflow_counts_as_overlap)
{
    const struct overlap_operand wide = {
        .rank = 2, .extents = {INT64_MAX / 2, 3}, .strides = {4, 1}, .elem_bytes = 4};
    cr_assert(overlap_within(&wide));
    /* Apart, for both steps are prime: but that takes more tries than are made. */
    const struct overlap_operand primes = {
        .rank = 2, .extents = {100000, 100000}, .strides = {100003, 100019}, .elem_bytes = 4};
    cr_assert(overlap_within(&primes));
}
