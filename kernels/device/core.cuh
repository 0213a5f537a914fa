// core.cuh: the floor of every template: integer types, the function qualifier, the entry macro.
//
// Templates include this first. It owns nothing that touches data; it must not include a toolkit
// header (a deployment has only libnvrtc), and nothing but this folder may contain PTX.
//
// Templates are also built for the host, with -DTF_HOST=<arch> (900: as for sm_90a), and executed
// by the emulator of tests/emu/, whose emu.h the compiler is told to include first. Every wrapper
// in this folder with PTX or an intrinsic has a second body for that, under #ifdef TF_HOST;
// tools/check-templates.sh wants both.
#pragma once

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
static_assert(sizeof(u16) == 2 && sizeof(u32) == 4 && sizeof(u64) == 8, "fixed-size integers");

#ifdef TF_HOST
#    define TF_DEV static inline __attribute__((always_inline))
#    define TF_METHOD inline __attribute__((always_inline))
#    define TF_UNROLL
#    define TF_UNROLL_BY(count)
#else
#    define TF_DEV static __device__ __forceinline__
#    define TF_METHOD __device__ __forceinline__ // of a member function
#    define TF_UNROLL _Pragma("unroll")
#    define TF_PRAGMA(text) _Pragma(#text)
#    define TF_UNROLL_BY(count) TF_PRAGMA(unroll count)
#endif

// 0 in a host pass, else 800, 860, 890, 900, 1000, 1030, 1200; emulated: the same.
#if defined(__CUDA_ARCH__)
#    define TF_ARCH __CUDA_ARCH__
#elif defined(TF_HOST)
#    define TF_ARCH TF_HOST
#else
#    define TF_ARCH 0
#endif

// One kernel of fixed name per translation unit: the renderer emits Cfg, then this. Emulated: one
// in each of the namespaces that a variant is wrapped in.
#ifdef TF_HOST
#    define TFOPS_ENTRY(name, body, params)                                                        \
        static void name(const params &p)                                                          \
        {                                                                                          \
            body<Cfg>(p);                                                                          \
        }                                                                                          \
        static void entry(const void *p)                                                           \
        {                                                                                          \
            name(*static_cast<const params *>(p));                                                 \
        }
#else
#    define TFOPS_ENTRY(name, body, params)                                                        \
        extern "C" __global__ void __launch_bounds__(Cfg::THREADS, Cfg::MIN_BLOCKS)                \
            name(const __grid_constant__ params p)                                                 \
        {                                                                                          \
            body<Cfg>(p);                                                                          \
        }
#endif

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
