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
    u32 w[WORDS]; // a single 16-bit element sits in the low half
};

template <class T, int N> TF_DEV Vec<T, N> vec_zero()
{
    Vec<T, N> v;
    TF_UNROLL
    for (int i = 0; i < v.WORDS; i++)
        v.w[i] = 0;
    return v;
}

template <int N> TF_DEV void vec_unpack(const Vec<float, N> &v, float (&f)[N])
{
    TF_UNROLL
    for (int i = 0; i < N; i++)
        f[i] = f32_from_bits(v.w[i]);
}

template <class T, int N> TF_DEV void vec_unpack(const Vec<T, N> &v, float (&f)[N])
{
    TF_UNROLL
    for (int i = 0; i < N; i++)
        f[i] = to_f32(T{(u16)(i & 1 ? v.w[i / 2] >> 16 : v.w[i / 2])});
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
        else
            v.w[i] = pack2<T>(f[2 * i], f[2 * i + 1]);
    }
    return v;
}
