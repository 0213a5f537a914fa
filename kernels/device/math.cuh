// math.cuh: fp32 functions of row operators and epilogues: an instruction, or what is made of it.
//
// Each states its relative error on the GPU: the largest over all floats with a normal result,
// measured on an H200 against fp64 by tests/gpu/test_num_gpu.c, which asserts it. The host's bodies
// are the C library's value, rounded to fp32. NaN gives NaN. "_ftz" takes subnormal arguments for
// zeros and gives zeros for subnormal results; the others keep both.
#pragma once
#include "device/soft_num.cuh"

// The greater one; NaN if either is. +0 is above -0. PTX ISA 9.7.3.12 max (NaN: sm_80 and later)
TF_DEV float max_nan(float a, float b)
{
#ifdef TF_HOST
    if (a != a || b != b)
        return f32_from_bits(0x7fffffffu);
    return a == b ? f32_from_bits(f32_bits(a) & f32_bits(b)) : a > b ? a : b;
#else
    float r;
    asm("max.NaN.f32 %0, %1, %2;" : "=f"(r) : "f"(a), "f"(b));
    return r;
#endif
}

// a * b + c, rounded once, whatever else the compiler needs a * b for.
TF_DEV float fma_f32(float a, float b, float c)
{
#ifdef TF_HOST
    return __builtin_fmaf(a, b, c);
#else
    return __fmaf_rn(a, b, c);
#endif
}

// |x| as part of the instruction that uses it.
TF_DEV float abs_f32(float x)
{
#ifdef TF_HOST
    return __builtin_fabsf(x);
#else
    return fabsf(x);
#endif
}

// A step of the largest magnitude: of NaN as well, once there is one.
TF_DEV float amax_nan(float amax, float x)
{
    return max_nan(amax, abs_f32(x));
}

// 1 / sqrt(x): error at most 2^-22.9, exact at 0 (inf) and inf (0). PTX ISA 9.7.3.16 rsqrt
TF_DEV float rsqrt_approx(float x)
{
#ifdef TF_HOST
    return (float)(1 / __builtin_sqrt((double)x));
#else
    float r;
    asm("rsqrt.approx.f32 %0, %1;" : "=f"(r) : "f"(x));
    return r;
#endif
}

TF_DEV float flush_subnormal(float x)
{
    const u32 bits = f32_bits(x);
    return f32_from_bits(bits & 0x7f800000u ? bits : bits & 0x80000000u);
}

// 1 / x: error at most 2^-23.2 (1 ulp). Seven instructions, rcp_ftz is one. PTX ISA 9.7.3.13 rcp
TF_DEV float rcp_approx(float x)
{
#ifdef TF_HOST
    return 1 / x;
#else
    float r;
    asm("rcp.approx.f32 %0, %1;" : "=f"(r) : "f"(x));
    return r;
#endif
}

TF_DEV float rcp_ftz(float x)
{
#ifdef TF_HOST
    return flush_subnormal(1 / flush_subnormal(x));
#else
    float r;
    asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(r) : "f"(x));
    return r;
#endif
}

// 2^x: error at most 2^-22.7, 0 at -inf. Four instructions, exp2_ftz is one.
// PTX ISA 9.7.3.21 ex2
TF_DEV float exp2_approx(float x)
{
#ifdef TF_HOST
    return (float)__builtin_exp2((double)x);
#else
    float r;
    asm("ex2.approx.f32 %0, %1;" : "=f"(r) : "f"(x));
    return r;
#endif
}

TF_DEV float exp2_ftz(float x)
{
#ifdef TF_HOST
    return flush_subnormal((float)__builtin_exp2((double)x));
#else
    float r;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(r) : "f"(x));
    return r;
#endif
}

// log2(x): error at most 2^-22, relative where |log2(x)| is above 1; NaN below 0. PTX ISA 9.7.3.20 lg2
TF_DEV float log2_ftz(float x)
{
#ifdef TF_HOST
    return (float)__builtin_log2((double)flush_subnormal(x));
#else
    float r;
    asm("lg2.approx.ftz.f32 %0, %1;" : "=f"(r) : "f"(x));
    return r;
#endif
}

// 1 / (1 + e^-x): error at most 2^-22.4, times 1 + |x| / 2 where x is negative; 0 below 2^-126.
// Four instructions. Half of 1 + tanh(u) is sigmoid(2u), without its cancellation.
TF_DEV float sigmoid(float x)
{
    return rcp_ftz(1.0f + exp2_ftz(x * -1.44269504f));
}

// Error at most 2^-22.2, in 15 instructions without a branch; tanh.approx (2^-11) is too coarse for
// f16.
TF_DEV float tanh_f32(float x)
{
#ifdef TF_HOST
    return (float)__builtin_tanh((double)x);
#else
    return tanhf(x);
#endif
}

// Error at most 2^-23.4, in 26 instructions without a branch.
TF_DEV float erf_f32(float x)
{
#ifdef TF_HOST
    return (float)__builtin_erf((double)x);
#else
    return erff(x);
#endif
}

// The normal distribution's Phi(x) = erfc(-x / sqrt(2)) / 2: relative error at most 2^-20 (1 + x^2 / 2)
// where x is negative, 2^-20 where not; 0 below 2^-126. 17 instructions. With a = |x| and
// t = 1 / (1 + 0.4 a), log2(Phi(-a) / t) + a^2 / 2 log2(e) is a polynomial in t within 2^-23 on
// 0 <= a <= 13.3 (Chebyshev series); so nothing cancels in the tail, as 1 + erf(x) would.
TF_DEV float normal_cdf(float x)
{
#ifdef TF_HOST
    return (float)(0.5 * __builtin_erfc(-0.70710678118654752 * (double)x));
#else
    constexpr float P[] = {-2.64750224f, 1.43822888f, 0.538945176f, -0.270371791f, 0.803143337f,
        -2.55802106f, 2.83919386f, -1.42138702f, 0.277770994f};
    const float a = abs_f32(x), t = rcp_ftz(1.0f + 0.4f * a);
    float power = P[8];
    TF_UNROLL
    for (int i = 7; i >= 0; i--)
        power = power * t + P[i];
    const float tail = t * exp2_ftz(a * a * -0.72134752f + power);
    return x > 0 ? 1.0f - tail : tail;
#endif
}
