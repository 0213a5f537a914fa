// num.cuh: number formats and their conversions. The only file with cvt PTX.
//
// f16, bf16, e4m3 and e5m2 are storage only (bits, distinct types for overloads); arithmetic is
// fp32. All conversions to them round to nearest even. f16 and bf16 overflow to infinity and keep
// it; e4m3 and e5m2 saturate: overflow and infinity give the largest finite value (448, 57344). NaN
// stays NaN. Decoding is exact. e4m3 has no infinity; e5m2 is the upper byte of an f16.
//
// The instructions and the software of soft_num.cuh give the same codes for every float
// (tests/gpu/test_num_gpu.c, tests/emu/test_num.cpp).
#pragma once
#include "device/core.cuh"
#include "device/soft_num.cuh"

struct f16 {
    u16 bits;
};
struct bf16 {
    u16 bits;
};
struct e4m3 {
    u8 bits;
};
struct e5m2 {
    u8 bits;
};
static_assert(sizeof(f16) == 2 && sizeof(bf16) == 2, "16-bit storage");
static_assert(sizeof(e4m3) == 1 && sizeof(e5m2) == 1, "8-bit storage");

// Values of tfops_dtype (include/tfops/tensor.h), for kernels that learn the format at run time.
enum {
    DTYPE_F32 = 1,
    DTYPE_F16 = 2,
    DTYPE_BF16 = 3,
    DTYPE_E4M3 = 4,
    DTYPE_E5M2 = 5,
    DTYPE_I32 = 6,
    DTYPE_I64 = 7,
    DTYPE_U8 = 8
};

TF_DEV constexpr int dtype_bytes(int dtype)
{
    return dtype == DTYPE_F16 || dtype == DTYPE_BF16                         ? 2
           : dtype == DTYPE_E4M3 || dtype == DTYPE_E5M2 || dtype == DTYPE_U8 ? 1
           : dtype == DTYPE_I64                                              ? 8
                                                                             : 4;
}

// ---- to fp32: to_f32(x), unpack2<T>(word, lo, hi), unpack4<T>(word, values) --------------------
// The first of packed values is in the low bits.

TF_DEV float to_f32(float x)
{
    return x;
}

TF_DEV float to_f32(bf16 x)
{
    return f32_from_bits((u32)x.bits << 16);
}

// PTX ISA 9.7.9.21 cvt
TF_DEV float to_f32(f16 x)
{
#ifdef TF_HOST
    return soft_decode<SoftF16>(x.bits);
#else
    float r;
    asm("cvt.f32.f16 %0, %1;" : "=f"(r) : "h"(x.bits));
    return r;
#endif
}

TF_DEV float to_f32(e5m2 x)
{
    return to_f32(f16{(u16)(x.bits << 8)});
}

TF_DEV void unpack2_as(f16, u32 w, float &lo, float &hi)
{
    lo = to_f32(f16{(u16)w});
    hi = to_f32(f16{(u16)(w >> 16)});
}

TF_DEV void unpack2_as(bf16, u32 w, float &lo, float &hi)
{
    lo = to_f32(bf16{(u16)w});
    hi = to_f32(bf16{(u16)(w >> 16)});
}

TF_DEV void unpack2_as(e5m2, u32 w, float &lo, float &hi)
{
    lo = to_f32(e5m2{(u8)w});
    hi = to_f32(e5m2{(u8)(w >> 8)});
}

// Every e4m3 is an f16. PTX ISA 9.7.9.21 cvt (e4m3: sm_89 and later)
TF_DEV void unpack2_as(e4m3, u32 w, float &lo, float &hi)
{
#if defined(TF_HOST) || TF_ARCH < 890
    lo = soft_decode<SoftE4m3>(w);
    hi = soft_decode<SoftE4m3>(w >> 8);
#else
    u32 pair;
    asm("cvt.rn.f16x2.e4m3x2 %0, %1;" : "=r"(pair) : "h"((u16)w));
    unpack2_as(f16{}, pair, lo, hi);
#endif
}

template <class T> TF_DEV void unpack2(u32 w, float &lo, float &hi)
{
    unpack2_as(T{}, w, lo, hi);
}

template <class T> TF_DEV void unpack4(u32 w, float (&f)[4])
{
    static_assert(sizeof(T) == 1, "four to a word");
    unpack2_as(T{}, w, f[0], f[1]);
    unpack2_as(T{}, w >> 16, f[2], f[3]);
}

TF_DEV float to_f32(e4m3 x)
{
    float lo, hi;
    unpack2_as(e4m3{}, x.bits, lo, hi);
    return lo;
}

// ---- from fp32: from_f32<T>(x), pack2<T>(lo, hi), pack4<T>(values) -----------------------------

TF_DEV u32 pack2_as(f16, float lo, float hi)
{
#ifdef TF_HOST
    return soft_encode<SoftF16>(lo) | soft_encode<SoftF16>(hi) << 16;
#else
    u32 r;
    asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(r) : "f"(hi), "f"(lo));
    return r;
#endif
}

// PTX ISA 9.7.9.21 cvt (bf16: sm_80 and later)
TF_DEV u32 pack2_as(bf16, float lo, float hi)
{
#ifdef TF_HOST
    return soft_encode<SoftBf16>(lo) | soft_encode<SoftBf16>(hi) << 16;
#else
    u32 r;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(r) : "f"(hi), "f"(lo));
    return r;
#endif
}

// In the low half of the result. PTX ISA 9.7.9.21 cvt (e4m3 and e5m2: sm_89 and later)
TF_DEV u32 pack2_as(e4m3, float lo, float hi)
{
#if defined(TF_HOST) || TF_ARCH < 890
    return soft_encode<SoftE4m3>(lo) | soft_encode<SoftE4m3>(hi) << 8;
#else
    u16 r;
    asm("cvt.rn.satfinite.e4m3x2.f32 %0, %1, %2;" : "=h"(r) : "f"(hi), "f"(lo));
    return r;
#endif
}

TF_DEV u32 pack2_as(e5m2, float lo, float hi)
{
#if defined(TF_HOST) || TF_ARCH < 890
    return soft_encode<SoftE5m2>(lo) | soft_encode<SoftE5m2>(hi) << 8;
#else
    u16 r;
    asm("cvt.rn.satfinite.e5m2x2.f32 %0, %1, %2;" : "=h"(r) : "f"(hi), "f"(lo));
    return r;
#endif
}

template <class T> TF_DEV u32 pack2(float lo, float hi)
{
    return pack2_as(T{}, lo, hi);
}

// Two products, rounded once. PTX ISA 9.7.4.4 mul (f16x2)
TF_DEV u32 mul2_as(f16, u32 a, u32 b)
{
#ifdef TF_HOST
    float x[2], y[2];
    unpack2<f16>(a, x[0], x[1]);
    unpack2<f16>(b, y[0], y[1]);
    return pack2<f16>(x[0] * y[0], x[1] * y[1]);
#else
    u32 r;
    asm("mul.rn.f16x2 %0, %1, %2;" : "=r"(r) : "r"(a), "r"(b));
    return r;
#endif
}

// PTX ISA 9.7.4.4 mul (bf16x2: sm_90 and later); before that 9.7.4.5 fma: -0 changes no product.
TF_DEV u32 mul2_as(bf16, u32 a, u32 b)
{
#ifdef TF_HOST
    float x[2], y[2];
    unpack2<bf16>(a, x[0], x[1]);
    unpack2<bf16>(b, y[0], y[1]);
    return pack2<bf16>(x[0] * y[0], x[1] * y[1]);
#else
    u32 r;
    if constexpr (TF_ARCH >= 900)
        asm("mul.rn.bf16x2 %0, %1, %2;" : "=r"(r) : "r"(a), "r"(b));
    else
        asm("fma.rn.bf16x2 %0, %1, %2, %3;" : "=r"(r) : "r"(a), "r"(b), "r"(0x80008000u));
    return r;
#endif
}

template <class T> TF_DEV u32 mul2(u32 a, u32 b)
{
    return mul2_as(T{}, a, b);
}

#ifdef TF_HOST
template <class T> TF_DEV u32 max2_soft(u32 a, u32 b)
{
    float x[2], y[2];
    unpack2<T>(a, x[0], x[1]);
    unpack2<T>(b, y[0], y[1]);
    for (int i = 0; i < 2; i++)
        x[i] = x[i] != x[i] || x[i] > y[i] ? x[i] : y[i];
    return pack2<T>(x[0], x[1]);
}
#endif

// The greater values of two pairs, NaN where either is. PTX ISA 9.7.4.9 max (NaN: sm_80 and later)
TF_DEV u32 max2_as(f16, u32 a, u32 b)
{
#ifdef TF_HOST
    return max2_soft<f16>(a, b);
#else
    u32 r;
    asm("max.NaN.f16x2 %0, %1, %2;" : "=r"(r) : "r"(a), "r"(b));
    return r;
#endif
}

TF_DEV u32 max2_as(bf16, u32 a, u32 b)
{
#ifdef TF_HOST
    return max2_soft<bf16>(a, b);
#else
    u32 r;
    asm("max.NaN.bf16x2 %0, %1, %2;" : "=r"(r) : "r"(a), "r"(b));
    return r;
#endif
}

template <class T> TF_DEV u32 max2(u32 a, u32 b)
{
    return max2_as(T{}, a, b);
}

template <class T> TF_DEV u32 pack4(const float (&f)[4])
{
    static_assert(sizeof(T) == 1, "four to a word");
    return pack2_as(T{}, f[0], f[1]) | pack2_as(T{}, f[2], f[3]) << 16;
}

TF_DEV float from_f32_as(float, float x)
{
    return x;
}

// PTX ISA 9.7.9.21 cvt
TF_DEV f16 from_f32_as(f16, float x)
{
#ifdef TF_HOST
    return f16{(u16)soft_encode<SoftF16>(x)};
#else
    f16 r;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(r.bits) : "f"(x));
    return r;
#endif
}

// PTX ISA 9.7.9.21 cvt (bf16: sm_80 and later)
TF_DEV bf16 from_f32_as(bf16, float x)
{
#ifdef TF_HOST
    return bf16{(u16)soft_encode<SoftBf16>(x)};
#else
    bf16 r;
    asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(r.bits) : "f"(x));
    return r;
#endif
}

TF_DEV e4m3 from_f32_as(e4m3, float x)
{
    return e4m3{(u8)pack2_as(e4m3{}, x, 0.0f)};
}

TF_DEV e5m2 from_f32_as(e5m2, float x)
{
    return e5m2{(u8)pack2_as(e5m2{}, x, 0.0f)};
}

template <class T> TF_DEV T from_f32(float x)
{
    return from_f32_as(T{}, x);
}
