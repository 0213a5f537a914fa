// fill.cu: test and tuning data made on the device: element i is a function of (seed, i) alone.
//
// Uniform: [-1, 1) in steps of 2^-23. Normal: sum of four uniform 16-bit numbers, variance 1,
// within +-3.47. Both times scale plus offset, rounded to dtype. Special values: +0, -0, the
// smallest subnormal, +-1e4 (e4m3: +-448). Pattern: the bytes of a 32-bit word, repeated (poison,
// red zones). Index: whole numbers below a bound, downwards, so that one is not its place by chance.
// A thread makes 16 bytes a turn; any grid is right. No shared memory, no synchronisation.
#include "device/core.cuh"
#include "device/mem.cuh"
#include "device/num.cuh"
#include "device/thread.cuh"
#include "support/fill_params.h"

// SplitMix64 (Steele, Lea, Flood 2014), as a function of its counter.
TF_DEV u64 fill_random(u64 seed, u64 i)
{
    u64 z = seed + (i + 1) * 0x9e3779b97f4a7c15ull;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ z >> 27) * 0x94d049bb133111ebull;
    return z ^ z >> 31;
}

TF_DEV float fill_value(const fill_params &p, u64 random)
{
    float unit;
    if (p.mode == FILL_NORMAL) {
        const u32 sum = (u32)(random & 0xffff) + (u32)(random >> 16 & 0xffff) +
                        (u32)(random >> 32 & 0xffff) + (u32)(random >> 48);
        unit = ((float)sum - 131070.0f) * (1.7320508f / 65536.0f);
    } else {
        unit = (float)(int)(random >> 40) * (1.0f / 8388608.0f) - 1.0f;
    }
    return unit * p.scale + p.offset;
}

template <class T> TF_DEV u32 fill_bits(float v)
{
    if constexpr (sizeof(T) == 4)
        return f32_bits(v);
    else
        return from_f32<T>(v).bits;
}

template <class T> TF_DEV u32 fill_special(u64 random)
{
    constexpr u32 SIGN = 1u << (sizeof(T) * 8 - 1), SMALLEST = 1;
    const u32 sign = random >> 2 & 1 ? SIGN : 0;
    switch (random & 3) {
    case 0:
        return 0;
    case 1:
        return SIGN;
    case 2:
        return SMALLEST | sign;
    default:
        return fill_bits<T>(1e4f) | sign;
    }
}

template <class T> TF_DEV u32 fill_element(const fill_params &p, u64 i)
{
    const u64 random = fill_random(p.seed, i);
    if (p.special_every && (i + 1) % p.special_every == 0)
        return fill_special<T>(random);
    return fill_bits<T>(fill_value(p, random));
}

TF_DEV u32 fill_raw(const fill_params &p, u64 i, int size)
{
    if (p.mode == FILL_PATTERN)
        return size == 4 ? p.pattern : p.pattern >> (i * size % 4 * 8) & ((1u << size * 8) - 1);
    if (p.dtype == DTYPE_F16)
        return fill_element<f16>(p, i);
    if (p.dtype == DTYPE_BF16)
        return fill_element<bf16>(p, i);
    if (p.dtype == DTYPE_E4M3)
        return fill_element<e4m3>(p, i);
    if (p.dtype == DTYPE_E5M2)
        return fill_element<e5m2>(p, i);
    return fill_element<float>(p, i);
}

template <int SIZE> TF_DEV void fill_chunk(const fill_params &p, u64 chunk)
{
    constexpr int PER = 16 / SIZE;
    u8 *to = static_cast<u8 *>(p.data) + chunk * 16;
    const u64 first = chunk * PER;
    if ((u64)to % 16 == 0 && first + PER <= p.n) {
        u32 w[4] = {0, 0, 0, 0};
#pragma unroll 1 // unrolled, this kernel takes a second to compile
        for (int j = 0; j < PER; j++) {
            if (j % (4 / SIZE) == 0)
                w[0] = w[1], w[1] = w[2], w[2] = w[3], w[3] = 0;
            w[3] |= fill_raw(p, first + j, SIZE) << (j * SIZE % 4 * 8);
        }
        st_words<ST_KEEP, 4>(to, w);
        return;
    }
    for (int j = 0; j < PER && first + j < p.n; j++) {
        const u32 raw = fill_raw(p, first + j, SIZE);
        if constexpr (SIZE == 4)
            st_words<ST_KEEP, 1>(to + j * SIZE, &raw);
        else if constexpr (SIZE == 2)
            st_half(to + j * SIZE, (u16)raw);
        else
            st_byte(to + j * SIZE, raw);
    }
}

TF_DEV void fill_index(const fill_params &p, u64 i)
{
    const long long at = (long long)i, left = p.bound - 1 - at % p.bound;
    const u64 value = (u64)(p.distinct && at >= p.bound ? -1 : left);
    const u32 words[2] = {(u32)value, (u32)(value >> 32)};
    if (p.dtype == DTYPE_I32)
        st_words<ST_KEEP, 1>(static_cast<u32 *>(p.data) + i, words);
    else
        st_words<ST_KEEP, 2>(static_cast<u64 *>(p.data) + i, words);
}

template <class C> TF_DEV void fill(const fill_params &p)
{
    const u64 threads = (u64)block_count() * C::THREADS;
    if (p.mode == FILL_INDEX) {
        for (u64 i = (u64)block_index() * C::THREADS + thread_index(); i < p.n; i += threads)
            fill_index(p, i);
        return;
    }
    const int size = dtype_bytes(p.dtype);
    const u64 chunks = (p.n * size + 15) / 16;
    for (u64 c = (u64)block_index() * C::THREADS + thread_index(); c < chunks; c += threads) {
        if (size == 4)
            fill_chunk<4>(p, c);
        else if (size == 2)
            fill_chunk<2>(p, c);
        else
            fill_chunk<1>(p, c);
    }
}
