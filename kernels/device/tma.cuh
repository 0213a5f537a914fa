// tma.cuh: asynchronous copies between global and shared memory by the copy engine (sm_90).
//
// A tile is named by a tensor map and the coordinates of its first element, innermost first; what
// lies outside the tensor is read as zeros and not written. Loads complete on an MBar by their
// bytes, stores in groups of the issuing thread. One thread issues. Addresses in shared memory are
// multiples of 128 bytes (1024 under a 128-byte swizzle).
// PTX ISA 9.7.9.25 (cp.async.bulk and cp.async.bulk.tensor).
#pragma once
#include "device/barrier.cuh"
#include "device/l2_policy.cuh"
#include "device/tensor_map_params.h"

TF_DEV void tma_prefetch_map(const tensor_map &map)
{
#ifndef TF_HOST
    asm volatile("prefetch.tensormap [%0];" ::"l"(&map) : "memory");
#endif
}

// Brings a tile of two coordinates to L2; nobody learns when. Of what an earlier kernel still writes, too:
// L2 is where all see the same. Emulated it does nothing.
// PTX ISA 9.7.9 cp.async.bulk.prefetch.tensor
TF_DEV void tma_prefetch([[maybe_unused]] const tensor_map &map, [[maybe_unused]] int x,
    [[maybe_unused]] int y)
{
#ifndef TF_HOST
    asm volatile("cp.async.bulk.prefetch.tensor.2d.L2.global.tile [%0, {%1, %2}];" ::"l"(&map),
                 "r"(x), "r"(y)
                 : "memory");
#endif
}

// For each rank: tma_load, tma_load_multicast (the same tile to the blocks of `mask`, each of which
// counts its bytes on its own barrier at the same offset), tma_store. HINT: how long lines stay in L2
// (l2_policy.cuh). AT is the coordinates' place in the operand list of a load, NEXT and AFTER what follows
// them, TO the coordinates' in that of a store.
#ifdef TF_HOST
#    define TF_TMA(RANK, AT, NEXT, AFTER, TO, PARAMS, OPERANDS)                                    \
        template <int HINT = L2_NORMAL>                                                            \
        TF_DEV void tma_load(void *dst, const tensor_map &map, MBar *bar, PARAMS)                  \
        {                                                                                          \
            const int at[] = {OPERANDS};                                                           \
            emu::tensor_load(dst, &map, bar, at, sizeof at / sizeof *at, 0);                       \
        }                                                                                          \
        template <int HINT = L2_NORMAL>                                                            \
        TF_DEV void tma_load_multicast(                                                            \
            void *dst, const tensor_map &map, MBar *bar, u16 mask, PARAMS)                         \
        {                                                                                          \
            const int at[] = {OPERANDS};                                                           \
            emu::tensor_load(dst, &map, bar, at, sizeof at / sizeof *at, mask);                    \
        }                                                                                          \
        TF_DEV void tma_store(const tensor_map &map, const void *src, PARAMS)                      \
        {                                                                                          \
            const int at[] = {OPERANDS};                                                           \
            emu::tensor_store(&map, src, at, sizeof at / sizeof *at);                              \
        }
#    define TF_R(name) name
#else
#    define TF_TMA_LOAD(RANK, REST, ...)                                                           \
        asm volatile("cp.async.bulk.tensor." RANK                                                  \
                     ".shared::cluster.global.tile.mbarrier::complete_tx::bytes" REST ::"r"(       \
                         shared_address(dst)),                                                     \
                     "l"(&map), "r"(shared_address(bar)), __VA_ARGS__                              \
                     : "memory")
#    define TF_TMA(RANK, AT, NEXT, AFTER, TO, PARAMS, OPERANDS)                                    \
        template <int HINT = L2_NORMAL>                                                            \
        TF_DEV void tma_load(void *dst, const tensor_map &map, MBar *bar, PARAMS)                  \
        {                                                                                          \
            if constexpr (HINT == L2_NORMAL)                                                       \
                TF_TMA_LOAD(RANK, " [%0], [%1, {" AT "}], [%2];", OPERANDS);                       \
            else                                                                                   \
                TF_TMA_LOAD(RANK, ".L2::cache_hint [%0], [%1, {" AT "}], [%2], " NEXT ";",         \
                    OPERANDS, "l"(l2_policy<HINT>()));                                             \
        }                                                                                          \
        template <int HINT = L2_NORMAL>                                                            \
        TF_DEV void tma_load_multicast(                                                            \
            void *dst, const tensor_map &map, MBar *bar, u16 mask, PARAMS)                         \
        {                                                                                          \
            if constexpr (HINT == L2_NORMAL)                                                       \
                TF_TMA_LOAD(RANK, ".multicast::cluster [%0], [%1, {" AT "}], [%2], " NEXT ";",     \
                    OPERANDS, "h"(mask));                                                          \
            else                                                                                   \
                TF_TMA_LOAD(RANK,                                                                  \
                    ".multicast::cluster.L2::cache_hint [%0], [%1, {" AT "}], [%2], " NEXT         \
                    ", " AFTER ";",                                                                \
                    OPERANDS, "h"(mask), "l"(l2_policy<HINT>()));                                  \
        }                                                                                          \
        TF_DEV void tma_store(const tensor_map &map, const void *src, PARAMS)                      \
        {                                                                                          \
            asm volatile("cp.async.bulk.tensor." RANK ".global.shared::cta.tile.bulk_group"        \
                         " [%0, {" TO "}], [%1];" ::"l"(&map),                                     \
                         "r"(shared_address(src)), OPERANDS                                        \
                         : "memory");                                                              \
        }
#    define TF_R(name) "r"(name)
#endif

#define TF_X int x
#define TF_XY TF_X, int y
#define TF_XYZ TF_XY, int z
#define TF_XYZV TF_XYZ, int v
#define TF_XYZVW TF_XYZV, int w
#define TF_RX TF_R(x)
#define TF_RXY TF_RX, TF_R(y)
#define TF_RXYZ TF_RXY, TF_R(z)
#define TF_RXYZV TF_RXYZ, TF_R(v)
#define TF_RXYZVW TF_RXYZV, TF_R(w)
#define TF_EACH(...) __VA_ARGS__
TF_TMA("1d", "%3", "%4", "%5", "%2", TF_EACH(TF_X), TF_EACH(TF_RX))
TF_TMA("2d", "%3, %4", "%5", "%6", "%2, %3", TF_EACH(TF_XY), TF_EACH(TF_RXY))
TF_TMA("3d", "%3, %4, %5", "%6", "%7", "%2, %3, %4", TF_EACH(TF_XYZ), TF_EACH(TF_RXYZ))
TF_TMA("4d", "%3, %4, %5, %6", "%7", "%8", "%2, %3, %4, %5", TF_EACH(TF_XYZV), TF_EACH(TF_RXYZV))
TF_TMA("5d", "%3, %4, %5, %6, %7", "%8", "%9", "%2, %3, %4, %5, %6", TF_EACH(TF_XYZVW),
    TF_EACH(TF_RXYZVW))
#undef TF_TMA
#undef TF_TMA_LOAD
#undef TF_R
#undef TF_X
#undef TF_XY
#undef TF_XYZ
#undef TF_XYZV
#undef TF_XYZVW
#undef TF_RX
#undef TF_RXY
#undef TF_RXYZ
#undef TF_RXYZV
#undef TF_RXYZVW
#undef TF_EACH

// `bytes` contiguous bytes, a multiple of 16; both addresses too.
TF_DEV void bulk_load(void *dst, const void *src, u32 bytes, MBar *bar)
{
#ifdef TF_HOST
    emu::bulk_load(dst, src, bytes, bar);
#else
    asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes"
                 " [%0], [%1], %2, [%3];" ::"r"(shared_address(dst)),
                 "l"(src), "r"(bytes), "r"(shared_address(bar))
                 : "memory");
#endif
}

TF_DEV void bulk_store(void *dst, const void *src, u32 bytes)
{
#ifdef TF_HOST
    emu::bulk_store(dst, src, bytes);
#else
    asm volatile("cp.async.bulk.global.shared::cta.bulk_group [%0], [%1], %2;" ::"l"(dst),
                 "r"(shared_address(src)), "r"(bytes)
                 : "memory");
#endif
}

// Closes the group of this thread's stores so far.
TF_DEV void bulk_commit()
{
#ifdef TF_HOST
    emu::bulk_commit();
#else
    asm volatile("cp.async.bulk.commit_group;" ::: "memory");
#endif
}

// At most PENDING of this thread's groups still read shared memory.
template <int PENDING> TF_DEV void bulk_wait_read()
{
#ifdef TF_HOST
    emu::bulk_wait(PENDING, true);
#else
    asm volatile("cp.async.bulk.wait_group.read %0;" ::"n"(PENDING) : "memory");
#endif
}

// At most PENDING of this thread's groups are not yet written.
template <int PENDING> TF_DEV void bulk_wait()
{
#ifdef TF_HOST
    emu::bulk_wait(PENDING, false);
#else
    asm volatile("cp.async.bulk.wait_group %0;" ::"n"(PENDING) : "memory");
#endif
}
