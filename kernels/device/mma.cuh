// mma.cuh: matrix products of one warp on tensor cores, D += A * B in fp32.
//
// A is 16 x 16 row-major, B 16 x 8 column-major. With q = lane / 4 and p = lane % 4, in pairs along K:
// a[0] row q pair p, a[1] row q + 8 pair p, a[2] row q pair p + 4, a[3] row q + 8 pair p + 4; b[0]
// column q pair p, b[1] column q pair p + 4; d[0], d[1] row q columns 2p, 2p + 1; d[2], d[3] the same
// of row q + 8. PTX ISA 9.7.14.5.8 mma.m16n8k16 (sm_80 and later)
#pragma once
#include "device/num.cuh"

template <class T> struct Mma;

#ifdef TF_HOST
#    define TF_MMA(T, NAME)                                                                        \
        template <> struct Mma<T> {                                                                \
            TF_DEV void add(float (&d)[4], const u32 (&a)[4], const u32 (&b)[2])                   \
            {                                                                                      \
                emu::mma(d, a, b, emu::ELEMENT_##NAME, emu::ELEMENT_##NAME);                       \
            }                                                                                      \
        };
#else
#    define TF_MMA(T, NAME)                                                                        \
        template <> struct Mma<T> {                                                                \
            TF_DEV void add(float (&d)[4], const u32 (&a)[4], const u32 (&b)[2])                   \
            {                                                                                      \
                asm volatile("mma.sync.aligned.m16n8k16.row.col.f32." #T "." #T ".f32"             \
                             " {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"    \
                             : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])                      \
                             : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));  \
            }                                                                                      \
        };
#endif
TF_MMA(f16, F16)
TF_MMA(bf16, BF16)
#undef TF_MMA
