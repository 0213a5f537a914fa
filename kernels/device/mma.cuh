// mma.cuh: matrix products of one warp on tensor cores, D += A * B in fp32.
//
// A is 16 rows, B 8 columns of 32 bytes of K: 16 elements of f16 or bf16, 32 of e4m3 or e5m2, which
// sm_89 and later take in any pair. With q = lane / 4 and p = lane % 4, in words along K: a[0] row q
// word p, a[1] row q + 8 word p, a[2] row q word p + 4, a[3] row q + 8 word p + 4; b[0] column q word p,
// b[1] column q word p + 4; d[0], d[1] row q columns 2p, 2p + 1; d[2], d[3] the same of row q + 8.
// PTX ISA 9.7.14.5 matrix fragments for mma.m16n8k16 and mma.m16n8k32 (sm_80 and later)
#pragma once
#include "device/num.cuh"

// Whether sums of fp8 products are kept with about 14 bits. sm_90 and sm_100 have no such instruction:
// ptxas makes conversions to f16 of it, each word's once, and products of those.
static constexpr bool MMA_FP8_IS_SHORT = TF_ARCH == 890 || TF_ARCH >= 1200;

template <class A, class B> struct Mma;

#ifdef TF_HOST
#    define TF_MMA(A, B, NAME_A, NAME_B, SHAPE)                                                    \
        template <> struct Mma<A, B> {                                                             \
            TF_DEV void add(float (&d)[4], const u32 (&a)[4], const u32 (&b)[2])                   \
            {                                                                                      \
                emu::mma(d, a, b, emu::ELEMENT_##NAME_A, emu::ELEMENT_##NAME_B);                   \
            }                                                                                      \
        };
#else
#    define TF_MMA(A, B, NAME_A, NAME_B, SHAPE)                                                    \
        template <> struct Mma<A, B> {                                                             \
            TF_DEV void add(float (&d)[4], const u32 (&a)[4], const u32 (&b)[2])                   \
            {                                                                                      \
                asm volatile("mma.sync.aligned." SHAPE ".row.col.f32." #A "." #B ".f32"            \
                             " {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"    \
                             : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])                      \
                             : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));  \
            }                                                                                      \
        };
#endif
TF_MMA(f16, f16, F16, F16, "m16n8k16")
TF_MMA(bf16, bf16, BF16, BF16, "m16n8k16")
TF_MMA(e4m3, e4m3, E4M3, E4M3, "m16n8k32")
TF_MMA(e4m3, e5m2, E4M3, E5M2, "m16n8k32")
TF_MMA(e5m2, e4m3, E5M2, E4M3, "m16n8k32")
TF_MMA(e5m2, e5m2, E5M2, E5M2, "m16n8k32")
#undef TF_MMA
