// core.cuh: the floor of every template: integer types, the function qualifier, the entry macro.
//
// Templates include this first. It owns nothing that touches data; it must not include a toolkit
// header (a deployment has only libnvrtc), and nothing but this folder may contain PTX.
#pragma once

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
static_assert(sizeof(u16) == 2 && sizeof(u32) == 4 && sizeof(u64) == 8, "fixed-size integers");

// TF_HOST: a test compiles the template for the host, with a C++ compiler and no toolkit.
#ifdef TF_HOST
#    define TF_DEV static inline
#    define TF_METHOD inline
#    define TF_UNROLL
#    define TF_UNROLL_BY(count)
#else
#    define TF_DEV static __device__ __forceinline__
#    define TF_METHOD __device__ __forceinline__ // of a member function
#    define TF_UNROLL _Pragma("unroll")
#    define TF_PRAGMA(text) _Pragma(#text)
#    define TF_UNROLL_BY(count) TF_PRAGMA(unroll count)
#endif

// 0 in a host pass, else 800, 860, 890, 900, 1000, 1030, 1200.
#ifdef __CUDA_ARCH__
#    define TF_ARCH __CUDA_ARCH__
#else
#    define TF_ARCH 0
#endif

// One kernel of fixed name per translation unit: the renderer emits Cfg, then this.
#define TFOPS_ENTRY(name, body, params)                                                            \
    extern "C" __global__ void __launch_bounds__(Cfg::THREADS, Cfg::MIN_BLOCKS)                    \
        name(const __grid_constant__ params p)                                                     \
    {                                                                                              \
        body<Cfg>(p);                                                                              \
    }

TF_DEV constexpr int ceil_div(int a, int b)
{
    return (a + b - 1) / b;
}

TF_DEV constexpr int min_int(int a, int b)
{
    return a < b ? a : b;
}

TF_DEV constexpr int max_int(int a, int b)
{
    return a > b ? a : b;
}
