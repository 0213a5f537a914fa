// wgmma.cuh: matrix products of a warpgroup on Hopper's tensor cores, D = A * B (+ D), fp32 (sm_90a).
//
// A is 64 x KSTEP, B N x KSTEP, both K-major in shared memory (32 bytes of K a step); D is spread
// over the warpgroup: warp w holds rows 16 w to 16 w + 15, and with q = lane / 4, p = lane % 4
// element d[4 j + 2 h + i] is row q + 8 h, column 8 j + 2 p + i.
//
// Issue order: fence, multiply ..., commit, wait. Between issue and wait the accumulators belong to
// the hardware: pin them around the wait, or the compiler moves their uses.
// PTX ISA 9.7.15 (asynchronous warpgroup-level matrix multiply-accumulate).
#pragma once
#include "device/num.cuh"
#include "device/shared.cuh"

// Orders register accesses before the first multiply. PTX ISA 9.7.15.7.1
TF_DEV void wgmma_fence()
{
#ifdef TF_HOST
    emu::wgmma_fence();
#else
    asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
#endif
}

TF_DEV void wgmma_commit()
{
#ifdef TF_HOST
    emu::wgmma_commit();
#else
    asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
#endif
}

// At most PENDING groups are still running.
template <int PENDING> TF_DEV void wgmma_wait()
{
#ifdef TF_HOST
    emu::wgmma_wait(PENDING);
#else
    asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(PENDING) : "memory");
#endif
}

// Keeps accumulators in their registers across this point, and uses of them on their side of it.
template <int COUNT> TF_DEV void wgmma_pin(float (&d)[COUNT])
{
    static_assert(COUNT % 4 == 0, "accumulators come in fours");
#ifndef TF_HOST
    TF_UNROLL
    for (int i = 0; i < COUNT; i += 4)
        asm volatile("" : "+f"(d[i]), "+f"(d[i + 1]), "+f"(d[i + 2]), "+f"(d[i + 3]));
#endif
}

// A K-major operand in shared memory whose rows are 128 bytes, swizzled by 128: groups of 8 rows
// follow each other after 1024 bytes. `p` is a multiple of 1024 bytes, plus 32 for each K step.
// Byte addresses count in sixteens. PTX ISA 9.7.15.5.1 matrix descriptor
TF_DEV u64 wgmma_operand(const void *p)
{
    constexpr u64 SWIZZLE_128 = 1ull << 62, GROUP_STRIDE = 64ull << 32, ROW_STRIDE = 1ull << 16;
    return (u64)((shared_address(p) & 0x3ffffu) >> 4) | ROW_STRIDE | GROUP_STRIDE | SWIZZLE_128;
}

enum { WGMMA_STEP_BYTES = 32, WGMMA_STEPS = 4 }; // of a row

// Moves an operand by multiples of 1024 bytes, within shared memory: its address does not leave the low word.
TF_DEV u64 wgmma_skip(u64 operand, int bytes)
{
    return (operand & ~0xffffffffull) | (u32)((u32)operand + (u32)(bytes / 16));
}

// Moves an operand by whole K steps.
TF_DEV u64 wgmma_advance(u64 operand, int steps)
{
    return operand + (u64)(steps * (WGMMA_STEP_BYTES / 16));
}

// Which instruction multiplies A by B.
enum { WGMMA_F16, WGMMA_BF16, WGMMA_E4M3, WGMMA_E4M3_E5M2, WGMMA_E5M2_E4M3, WGMMA_E5M2 };
template <class A, class B> struct WgmmaTypes;
#define TF_WGMMA_TYPES(A, B, NAME)                                                                 \
    template <> struct WgmmaTypes<A, B> {                                                          \
        static constexpr int VALUE = NAME;                                                         \
    };
TF_WGMMA_TYPES(f16, f16, WGMMA_F16)
TF_WGMMA_TYPES(bf16, bf16, WGMMA_BF16)
TF_WGMMA_TYPES(e4m3, e4m3, WGMMA_E4M3)
TF_WGMMA_TYPES(e4m3, e5m2, WGMMA_E4M3_E5M2)
TF_WGMMA_TYPES(e5m2, e4m3, WGMMA_E5M2_E4M3)
TF_WGMMA_TYPES(e5m2, e5m2, WGMMA_E5M2)
#undef TF_WGMMA_TYPES

#ifdef TF_HOST
template <class T> struct WgmmaElement;
template <> struct WgmmaElement<f16> {
    static constexpr emu::Element VALUE = emu::ELEMENT_F16;
};
template <> struct WgmmaElement<bf16> {
    static constexpr emu::Element VALUE = emu::ELEMENT_BF16;
};
template <> struct WgmmaElement<e4m3> {
    static constexpr emu::Element VALUE = emu::ELEMENT_E4M3;
};
template <> struct WgmmaElement<e5m2> {
    static constexpr emu::Element VALUE = emu::ELEMENT_E5M2;
};
#endif

// Wgmma<N>::multiply_row<A, B>(d, a, b, accumulate): the four steps of rows of 128 bytes; accumulate 0
// overwrites d. A and B: f16, bf16, or any of e4m3 and e5m2. multiply<T>: one step, whose A is held in
// registers, which are the hardware's until the wait, too: row q and pair p of K, row q + 8 of it, then
// pair p + 4 of both; T: f16 or bf16.
#ifdef TF_HOST
template <int N> struct Wgmma {
    template <class TA, class TB>
    TF_DEV void multiply_row(float (&d)[N / 2], u64 a, u64 b, int accumulate)
    {
        for (int i = 0; i < WGMMA_STEPS; i++)
            emu::wgmma(d, N, wgmma_advance(a, i), wgmma_advance(b, i), i > 0 || accumulate,
                WgmmaElement<TA>::VALUE, WgmmaElement<TB>::VALUE);
    }

    template <class T>
    TF_DEV void multiply(float (&d)[N / 2], const u32 (&a)[4], u64 b, int accumulate)
    {
        emu::wgmma_held(d, N, a, b, accumulate, WgmmaElement<T>::VALUE);
    }
};
#else
template <int N> struct Wgmma;

// The operand lists, each the one before it and its own. Only the widths that templates
// use: each costs compile time.
#    define TF_D_8 "%0, %1, %2, %3"
#    define TF_D_16 TF_D_8 ", %4, %5, %6, %7"
#    define TF_D_24 TF_D_16 ", %8, %9, %10, %11"
#    define TF_D_32 TF_D_24 ", %12, %13, %14, %15"
#    define TF_D_40 TF_D_32 ", %16, %17, %18, %19"
#    define TF_D_48 TF_D_40 ", %20, %21, %22, %23"
#    define TF_D_56 TF_D_48 ", %24, %25, %26, %27"
#    define TF_D_64 TF_D_56 ", %28, %29, %30, %31"
#    define TF_D_80 TF_D_64 ", %32, %33, %34, %35, %36, %37, %38, %39"
#    define TF_D_96 TF_D_80 ", %40, %41, %42, %43, %44, %45, %46, %47"
#    define TF_D_112 TF_D_96 ", %48, %49, %50, %51, %52, %53, %54, %55"
#    define TF_D_128 TF_D_112 ", %56, %57, %58, %59, %60, %61, %62, %63"
#    define TF_D_136 TF_D_128 ", %64, %65, %66, %67"
#    define TF_D_144 TF_D_136 ", %68, %69, %70, %71"
#    define TF_D_160 TF_D_144 ", %72, %73, %74, %75, %76, %77, %78, %79"
#    define TF_D_176 TF_D_160 ", %80, %81, %82, %83, %84, %85, %86, %87"
#    define TF_D_192 TF_D_176 ", %88, %89, %90, %91, %92, %93, %94, %95"
#    define TF_D_208 TF_D_192 ", %96, %97, %98, %99, %100, %101, %102, %103"
#    define TF_D_224 TF_D_208 ", %104, %105, %106, %107, %108, %109, %110, %111"
#    define TF_D_240 TF_D_224 ", %112, %113, %114, %115, %116, %117, %118, %119"
#    define TF_D_256 TF_D_240 ", %120, %121, %122, %123, %124, %125, %126, %127"
#    define TF_F4(i) "+f"(d[i]), "+f"(d[i + 1]), "+f"(d[i + 2]), "+f"(d[i + 3])
#    define TF_F8(i) TF_F4(i), TF_F4(i + 4)
#    define TF_F_8 TF_F4(0)
#    define TF_F_16 TF_F_8, TF_F4(4)
#    define TF_F_24 TF_F_16, TF_F4(8)
#    define TF_F_32 TF_F_24, TF_F4(12)
#    define TF_F_40 TF_F_32, TF_F4(16)
#    define TF_F_48 TF_F_40, TF_F4(20)
#    define TF_F_56 TF_F_48, TF_F4(24)
#    define TF_F_64 TF_F_56, TF_F4(28)
#    define TF_F_80 TF_F_64, TF_F8(32)
#    define TF_F_96 TF_F_80, TF_F8(40)
#    define TF_F_112 TF_F_96, TF_F8(48)
#    define TF_F_128 TF_F_112, TF_F8(56)
#    define TF_F_136 TF_F_128, TF_F4(64)
#    define TF_F_144 TF_F_136, TF_F4(68)
#    define TF_F_160 TF_F_144, TF_F8(72)
#    define TF_F_176 TF_F_160, TF_F8(80)
#    define TF_F_192 TF_F_176, TF_F8(88)
#    define TF_F_208 TF_F_192, TF_F8(96)
#    define TF_F_224 TF_F_208, TF_F8(104)
#    define TF_F_240 TF_F_224, TF_F8(112)
#    define TF_F_256 TF_F_240, TF_F8(120)

// The four steps of a row. A, B, C: where the two descriptors and the predicate stand behind the
// accumulators; TAIL: the factors 1 of A and B, and for 16-bit types "not transposed". One statement: what
// it costs to compile is the accumulators that it names.
#    define TF_WGMMA_STEP(N, K, TYPES, A, B, KEEP, TAIL)                                           \
        "wgmma.mma_async.sync.aligned.m64n" #N K ".f32." TYPES " {" TF_D_##N "}, " A ", " B        \
        ", " KEEP ", " TAIL ";"
#    define TF_WGMMA_OP(N, K, TYPES, A, B, C, TAIL)                                                \
        asm volatile("{ .reg .pred keep, yes; .reg .b64 a, b;"                                     \
                     "setp.ne.b32 keep, " C ", 0; setp.eq.b32 yes, 0, 0;"                          \
                     TF_WGMMA_STEP(N, K, TYPES, A, B, "keep", TAIL)                                \
                     "add.s64 a, " A ", 2; add.s64 b, " B ", 2;"                                   \
                     TF_WGMMA_STEP(N, K, TYPES, "a", "b", "yes", TAIL)                             \
                     "add.s64 a, " A ", 4; add.s64 b, " B ", 4;"                                   \
                     TF_WGMMA_STEP(N, K, TYPES, "a", "b", "yes", TAIL)                             \
                     "add.s64 a, " A ", 6; add.s64 b, " B ", 6;"                                   \
                     TF_WGMMA_STEP(N, K, TYPES, "a", "b", "yes", TAIL) "}"                         \
                     : TF_F_##N                                                                    \
                     : "l"(a), "l"(b), "r"(accumulate));

#    define TF_WGMMA_HELD_OP(N, TYPES, A, B, C)                                                    \
        asm volatile("{ .reg .pred accumulate; setp.ne.b32 accumulate, " C ", 0;"                  \
                     "wgmma.mma_async.sync.aligned.m64n" #N "k16.f32." TYPES " {" TF_D_##N         \
                     "}, {" A "}, " B ", accumulate, 1, 1, 0; }"                                   \
                     : TF_F_##N                                                                    \
                     : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(accumulate));

#    define TF_WGMMA(N, A, B, C, D, E, F)                                                          \
        template <> struct Wgmma<N> {                                                              \
            template <class TA, class TB>                                                          \
            TF_DEV void multiply_row(float (&d)[N / 2], u64 a, u64 b, int accumulate)              \
            {                                                                                      \
                constexpr int TYPES = WgmmaTypes<TA, TB>::VALUE;                                   \
                if constexpr (TYPES == WGMMA_F16)                                                  \
                    TF_WGMMA_OP(N, "k16", "f16.f16", A, B, C, "1, 1, 0, 0")                        \
                if constexpr (TYPES == WGMMA_BF16)                                                 \
                    TF_WGMMA_OP(N, "k16", "bf16.bf16", A, B, C, "1, 1, 0, 0")                      \
                if constexpr (TYPES == WGMMA_E4M3)                                                 \
                    TF_WGMMA_OP(N, "k32", "e4m3.e4m3", A, B, C, "1, 1")                            \
                if constexpr (TYPES == WGMMA_E4M3_E5M2)                                            \
                    TF_WGMMA_OP(N, "k32", "e4m3.e5m2", A, B, C, "1, 1")                            \
                if constexpr (TYPES == WGMMA_E5M2_E4M3)                                            \
                    TF_WGMMA_OP(N, "k32", "e5m2.e4m3", A, B, C, "1, 1")                            \
                if constexpr (TYPES == WGMMA_E5M2)                                                 \
                    TF_WGMMA_OP(N, "k32", "e5m2.e5m2", A, B, C, "1, 1")                            \
            }                                                                                      \
            template <class T>                                                                     \
            TF_DEV void multiply(float (&d)[N / 2], const u32 (&a)[4], u64 b, int accumulate)      \
            {                                                                                      \
                if constexpr (WgmmaTypes<T, T>::VALUE == WGMMA_F16)                                \
                    TF_WGMMA_HELD_OP(N, "f16.f16", A ", " B ", " C ", " D, E, F)                   \
                else                                                                               \
                    TF_WGMMA_HELD_OP(N, "bf16.bf16", A ", " B ", " C ", " D, E, F)                 \
            }                                                                                      \
        };
TF_WGMMA(8, "%4", "%5", "%6", "%7", "%8", "%9")
TF_WGMMA(16, "%8", "%9", "%10", "%11", "%12", "%13")
TF_WGMMA(24, "%12", "%13", "%14", "%15", "%16", "%17")
TF_WGMMA(32, "%16", "%17", "%18", "%19", "%20", "%21")
TF_WGMMA(40, "%20", "%21", "%22", "%23", "%24", "%25")
TF_WGMMA(48, "%24", "%25", "%26", "%27", "%28", "%29")
TF_WGMMA(56, "%28", "%29", "%30", "%31", "%32", "%33")
TF_WGMMA(64, "%32", "%33", "%34", "%35", "%36", "%37")
TF_WGMMA(80, "%40", "%41", "%42", "%43", "%44", "%45")
TF_WGMMA(96, "%48", "%49", "%50", "%51", "%52", "%53")
TF_WGMMA(112, "%56", "%57", "%58", "%59", "%60", "%61")
TF_WGMMA(128, "%64", "%65", "%66", "%67", "%68", "%69")
TF_WGMMA(136, "%68", "%69", "%70", "%71", "%72", "%73")
TF_WGMMA(144, "%72", "%73", "%74", "%75", "%76", "%77")
TF_WGMMA(160, "%80", "%81", "%82", "%83", "%84", "%85")
TF_WGMMA(176, "%88", "%89", "%90", "%91", "%92", "%93")
TF_WGMMA(192, "%96", "%97", "%98", "%99", "%100", "%101")
TF_WGMMA(208, "%104", "%105", "%106", "%107", "%108", "%109")
TF_WGMMA(224, "%112", "%113", "%114", "%115", "%116", "%117")
TF_WGMMA(240, "%120", "%121", "%122", "%123", "%124", "%125")
TF_WGMMA(256, "%128", "%129", "%130", "%131", "%132", "%133")
#    undef TF_WGMMA
#    undef TF_WGMMA_OP
#    undef TF_WGMMA_STEP
#    undef TF_WGMMA_HELD_OP
#    undef TF_F4
#    undef TF_F8
#endif
