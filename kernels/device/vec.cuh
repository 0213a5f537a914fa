// vec.cuh: N consecutive elements as the machine words that one vector access moves.
//
// A Vec lives in registers: index it with constants only, or it falls into local memory.
#pragma once
#include "device/num.cuh"

TF_DEV constexpr int vec_align(int bytes)
{
    return bytes >= 16 ? 16 : bytes >= 8 ? 8 : 4;
}

template <class T, int N> struct alignas(vec_align(N *(int)sizeof(T))) Vec {
    static_assert(N > 0 && (N & (N - 1)) == 0, "a power of two of elements");
    static constexpr int BYTES = N * (int)sizeof(T);
    static constexpr int WORDS = ceil_div(BYTES, 4);
    u32 w[WORDS]; // less than a word sits in its low bits
};

template <class T, int N> TF_DEV Vec<T, N> vec_zero()
{
    Vec<T, N> v;
    TF_UNROLL
    for (int i = 0; i < v.WORDS; i++)
        v.w[i] = 0;
    return v;
}

// What was computed of w is computed again behind this, not kept in registers until then.
template <int COUNT> TF_DEV void words_forget([[maybe_unused]] u32 (&w)[COUNT])
{
#ifndef TF_HOST
    TF_UNROLL
    for (int i = 0; i < COUNT; i++)
        asm volatile("" : "+r"(w[i]));
#endif
}

// The like for the assembler, too, which sees through that: it cannot know that grids have one row of
// blocks. Of an instruction each.
template <int COUNT> TF_DEV void words_hide([[maybe_unused]] u32 (&w)[COUNT])
{
#ifndef TF_HOST
    TF_UNROLL
    for (int i = 0; i < COUNT; i++)
        asm volatile("xor.b32 %0, %0, %1;" : "+r"(w[i]) : "r"(blockIdx.y));
#endif
}

template <class T, int N> TF_DEV void vec_forget(Vec<T, N> &v)
{
    words_forget(v.w);
}

template <int N> TF_DEV void vec_unpack(const Vec<float, N> &v, float (&f)[N])
{
    TF_UNROLL
    for (int i = 0; i < N; i++)
        f[i] = f32_from_bits(v.w[i]);
}

template <class T, int N> TF_DEV void vec_unpack(const Vec<T, N> &v, float (&f)[N])
{
    if constexpr (N == 1) {
        f[0] = to_f32(T{(decltype(T::bits))v.w[0]});
    } else {
        constexpr int PER_WORD = 4 / (int)sizeof(T);
        TF_UNROLL
        for (int i = 0; i < N; i += 2)
            unpack2<T>(v.w[i / PER_WORD] >> i % PER_WORD * 8, f[i], f[i + 1]);
    }
}

template <class T, int N> TF_DEV Vec<T, N> vec_pack(const float (&f)[N])
{
    Vec<T, N> v;
    TF_UNROLL
    for (int i = 0; i < v.WORDS; i++) {
        if constexpr (sizeof(T) == 4)
            v.w[i] = f32_bits(f[i]);
        else if constexpr (N == 1)
            v.w[i] = from_f32<T>(f[i]).bits;
        else if constexpr (sizeof(T) == 2 || N == 2)
            v.w[i] = pack2<T>(f[2 * i], f[2 * i + 1]);
        else
            v.w[i] = pack2<T>(f[4 * i], f[4 * i + 1]) | pack2<T>(f[4 * i + 2], f[4 * i + 3]) << 16;
    }
    return v;
}
