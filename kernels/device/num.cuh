// num.cuh: number formats and their conversions. The only file with cvt PTX.
//
// f16 and bf16 are storage only (bits, distinct types for overloads); arithmetic is fp32. All
// conversions round to nearest even, overflow to infinity, and keep NaN and infinity.
#pragma once
#include "device/core.cuh"

struct f16 {
    u16 bits;
};
struct bf16 {
    u16 bits;
};
static_assert(sizeof(f16) == 2 && sizeof(bf16) == 2, "16-bit storage");

// Values of tfops_dtype (include/tfops/tensor.h), for kernels that learn the format at run time.
enum { DTYPE_F32 = 1, DTYPE_F16 = 2, DTYPE_BF16 = 3, DTYPE_I32 = 6, DTYPE_U8 = 8 };

TF_DEV u32 f32_bits(float f)
{
    return __float_as_uint(f);
}

TF_DEV float f32_from_bits(u32 u)
{
    return __uint_as_float(u);
}

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
    float r;
    asm("cvt.f32.f16 %0, %1;" : "=f"(r) : "h"(x.bits));
    return r;
}

template <class T> TF_DEV T from_f32(float x);

template <> __device__ __forceinline__ float from_f32<float>(float x)
{
    return x;
}

// PTX ISA 9.7.9.21 cvt
template <> __device__ __forceinline__ f16 from_f32<f16>(float x)
{
    f16 r;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(r.bits) : "f"(x));
    return r;
}

// PTX ISA 9.7.9.21 cvt (bf16: sm_80 and later)
template <> __device__ __forceinline__ bf16 from_f32<bf16>(float x)
{
    bf16 r;
    asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(r.bits) : "f"(x));
    return r;
}

// Two 16-bit values in one word: the first in the low half. PTX ISA 9.7.9.21 cvt
template <class T> TF_DEV u32 pack2(float lo, float hi);

template <> __device__ __forceinline__ u32 pack2<f16>(float lo, float hi)
{
    u32 r;
    asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(r) : "f"(hi), "f"(lo));
    return r;
}

template <> __device__ __forceinline__ u32 pack2<bf16>(float lo, float hi)
{
    u32 r;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(r) : "f"(hi), "f"(lo));
    return r;
}

// rsqrt.approx.f32 (PTX ISA 9.7.3.17): relative error at most 2^-22.9, exact at 0 (inf), inf (0)
// and NaN; subnormal inputs are kept (no ftz).
TF_DEV float rsqrt_approx(float x)
{
    float r;
    asm("rsqrt.approx.f32 %0, %1;" : "=f"(r) : "f"(x));
    return r;
}

// The greater, NaN if either is. PTX ISA 9.7.3.11 max (NaN: sm_80 and later)
TF_DEV float max_nan(float a, float b)
{
    float r;
    asm("max.NaN.f32 %0, %1, %2;" : "=f"(r) : "f"(a), "f"(b));
    return r;
}
