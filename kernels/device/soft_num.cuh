// soft_num.cuh: conversions of small number formats in plain arithmetic: the host's bodies of
// num.cuh, and the device's where the architecture has no instruction.
//
// Encoding rounds to nearest even, once; a NaN becomes the code of all ones without sign. There is
// no branch, and no step relies on fp32 subnormals, so that flushing them changes nothing (f16,
// e4m3, e5m2; bf16 has the exponents of fp32 and is a matter of integers).
#pragma once
#include "device/core.cuh"

TF_DEV u32 f32_bits(float f)
{
#ifdef TF_HOST
    u32 u;
    __builtin_memcpy(&u, &f, sizeof u);
    return u;
#else
    return __float_as_uint(f);
#endif
}

TF_DEV float f32_from_bits(u32 u)
{
#ifdef TF_HOST
    float f;
    __builtin_memcpy(&f, &u, sizeof f);
    return f;
#else
    return __uint_as_float(u);
#endif
}

// A sign, E bits of exponent, M of mantissa. Codes without sign: MOST the greatest finite one,
// INFINITE that of infinity (~0: the format has none), ABOVE what overflow and infinity become.
// Codes beyond MOST that are not INFINITE are NaN.
template <int E, int M, u32 MOST_, u32 INFINITE_, u32 ABOVE_> struct SoftFormat {
    static constexpr int MANTISSA = M, SIGN = E + M;
    static constexpr u32 MOST = MOST_, INFINITE = INFINITE_, ABOVE = ABOVE_;
    static constexpr u32 NOT_A_NUMBER = (1u << SIGN) - 1;
    static constexpr u32 FRACTION_DROPPED = 23 - M;
    // Exponent fields of fp32: of the format's field 0, and of its least normal value.
    static constexpr u32 REBIAS = 127 - ((1 << (E - 1)) - 1), LEAST = REBIAS + 1;
};

using SoftF16 = SoftFormat<5, 10, 0x7bffu, 0x7c00u, 0x7c00u>;
using SoftBf16 = SoftFormat<8, 7, 0x7f7fu, 0x7f80u, 0x7f80u>;
using SoftE4m3 = SoftFormat<4, 3, 0x7eu, ~0u, 0x7eu>;
using SoftE5m2 = SoftFormat<5, 2, 0x7bu, 0x7cu, 0x7bu>;

// The code of a magnitude that is at least the format's least normal value.
template <class F> TF_DEV u32 soft_encode_normal(u32 magnitude)
{
    constexpr u32 DROP = F::FRACTION_DROPPED;
    const u32 half = (1u << (DROP - 1)) - 1 + (magnitude >> DROP & 1);
    return ((magnitude + half) >> DROP) - (F::REBIAS << F::MANTISSA);
}

// Below it: the addition aligns the format's smallest step with the last bit of the sum and rounds.
template <class F> TF_DEV u32 soft_encode_subnormal(u32 magnitude)
{
    constexpr u32 ALIGN = (F::LEAST - F::MANTISSA + 23) << 23;
    return f32_bits(f32_from_bits(magnitude) + f32_from_bits(ALIGN)) - ALIGN;
}

template <class F> TF_DEV u32 soft_encode(float x)
{
    const u32 bits = f32_bits(x), magnitude = bits & 0x7fffffffu;
    u32 code = soft_encode_normal<F>(magnitude);
    if constexpr (F::REBIAS > 0)
        code = magnitude < F::LEAST << 23 ? soft_encode_subnormal<F>(magnitude) : code;
    code = code < F::ABOVE ? code : F::ABOVE;
    code |= bits >> 31 << F::SIGN;
    return magnitude > 0x7f800000u ? F::NOT_A_NUMBER : code;
}

// Exact. Subnormals: a difference of two normal floats.
template <class F> TF_DEV float soft_decode(u32 code)
{
    const u32 magnitude = code & F::NOT_A_NUMBER, wide = magnitude << F::FRACTION_DROPPED;
    u32 bits = wide + (F::REBIAS << 23);
    if constexpr (F::REBIAS > 0) {
        const float small = f32_from_bits(wide + (F::LEAST << 23)) - f32_from_bits(F::LEAST << 23);
        bits = magnitude < 1u << F::MANTISSA ? f32_bits(small) : bits;
    }
    bits = magnitude > F::MOST ? (magnitude == F::INFINITE ? 0x7f800000u : 0x7fffffffu) : bits;
    return f32_from_bits(bits | (code >> F::SIGN & 1) << 31);
}
