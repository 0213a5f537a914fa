// emu.h: what the host bodies in kernels/device/ call: the emulated machine as one thread sees it.
//
// A template is built for the host with -DTF_HOST=<arch> -include emu.h. Everything here acts on
// the running CUDA thread (a fiber). A kernel's mistakes end the launch with a report that names
// kernel, block, thread and line; see docs/emulator.md.
#pragma once
#include "emu_async.h"
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>

// So that a report's return address lies in the template, whose line is then known.
#define EMU_INLINE inline __attribute__((always_inline))

#ifndef __device__
#    define __device__
#    define __global__
#    define __forceinline__ inline
#    define __grid_constant__
#endif

namespace emu {

// What a thread can ask about itself without a call: written when it starts.
struct Identity {
    int thread;             // in its block
    unsigned block, blocks; // along x, of the grid
    unsigned rank;          // of the block in its cluster
    unsigned char *shared;  // of its block
};
extern const Identity *me;

// ---- collectives: every thread of the warp, block, cluster; others wait ----------------------

enum class Sync { BLOCK, WARP, SHUFFLE, VOTE, CLUSTER };

void block_sync();
void named_sync(int id, int threads);           // bar.sync: waits
bool named_any(int id, int threads, bool mine); // bar.red.or: waits; whether any of them
void named_arrive(int id, int threads);         // bar.arrive: does not
void warp_sync();
void cluster_arrive();
void cluster_arrive_relaxed(); // orders no memory
void cluster_wait();

// The value that lane `source` of the warp brings to this exchange.
uint64_t warp_exchange(uint64_t value, int source);

template <class T> EMU_INLINE T shuffle(T value, int source)
{
    static_assert(sizeof(T) <= sizeof(uint64_t), "one register or two");
    uint64_t bits = 0;
    std::memcpy(&bits, &value, sizeof value);
    bits = warp_exchange(bits, source);
    std::memcpy(&value, &bits, sizeof value);
    return value;
}

template <class T> EMU_INLINE T shuffle_xor(T value, int mask)
{
    return shuffle(value, (me->thread % 32) ^ mask);
}

// ---- memory ----------------------------------------------------------------------------------

void fail_misaligned(const void *at, size_t bytes);

// One access of BYTES, which the address must be a multiple of.
template <size_t BYTES> EMU_INLINE void load(void *to, const void *from)
{
    if (reinterpret_cast<uintptr_t>(from) % BYTES)
        fail_misaligned(from, BYTES);
    std::memcpy(to, from, BYTES);
}

template <size_t BYTES> EMU_INLINE void store(void *to, const void *from)
{
    if (reinterpret_cast<uintptr_t>(to) % BYTES)
        fail_misaligned(to, BYTES);
    std::memcpy(to, from, BYTES);
}

// Relaxed accesses to global memory that threads share. Nobody runs in between, but ThreadSanitizer,
// for which every fiber is a thread, has to be told.
template <class T> EMU_INLINE T atomic_load(const T *at)
{
#ifdef EMU_TSAN
    return __atomic_load_n(at, __ATOMIC_RELAXED);
#else
    return *at;
#endif
}

template <class T> EMU_INLINE void atomic_store(T *at, T value)
{
#ifdef EMU_TSAN
    __atomic_store_n(at, value, __ATOMIC_RELAXED);
#else
    *at = value;
#endif
}

// The same in order with what else threads read and write.
template <class T> EMU_INLINE T atomic_acquire(const T *at)
{
#ifdef EMU_TSAN
    return __atomic_load_n(at, __ATOMIC_ACQUIRE);
#else
    return *at;
#endif
}

template <class T> EMU_INLINE void atomic_release(T *at, T value)
{
#ifdef EMU_TSAN
    __atomic_store_n(at, value, __ATOMIC_RELEASE);
#else
    *at = value;
#endif
}

// Gives what was there before.
template <class T, class Change> EMU_INLINE T atomic_change(T *at, Change change)
{
#ifdef EMU_TSAN
    T before, after;
    __atomic_load(at, &before, __ATOMIC_RELAXED);
    do
        after = change(before);
    while (
        !__atomic_compare_exchange(at, &before, &after, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED));
    return before;
#else
    const T before = *at;
    *at = change(before);
    return before;
#endif
}

template <class T> EMU_INLINE T atomic_add(T *at, T value)
{
    return atomic_change(at, [value](T before) { return before + value; });
}

template <class T> EMU_INLINE void atomic_min(T *at, T value)
{
    atomic_change(at, [value](T before) { return value < before ? value : before; });
}

template <class T> EMU_INLINE void atomic_max(T *at, T value)
{
    atomic_change(at, [value](T before) { return value > before ? value : before; });
}

// The same place in the shared memory of block `rank` of the cluster.
void *cluster_map(void *shared, int rank);

// A place in the shared memory of this block as a 32-bit shared address, as descriptors hold it.
uint32_t shared_address(const void *shared);

// ---- 8x8 blocks of 16-bit elements: lane 8 i + r names row r of block i -------------------------

template <class Visit> EMU_INLINE void each_block(int blocks, const void *row, Visit visit)
{
    uint32_t own[2];
    std::memcpy(own, &row, sizeof row);
    const WarpWords given = warp_share(own, sizeof row / sizeof *own);
    for (int i = 0; i < blocks; i++) {
        unsigned char *rows[8];
        for (int r = 0; r < 8; r++) {
            std::memcpy(&rows[r], given[8 * i + r], sizeof *rows);
            if (reinterpret_cast<uintptr_t>(rows[r]) % 16)
                fail_misaligned(rows[r], 16);
        }
        visit(i, rows);
    }
}

template <int BLOCKS> EMU_INLINE void matrix_load(uint32_t *w, const void *row)
{
    const int lane = me->thread % 32;
    each_block(BLOCKS, row,
        [&](int i, unsigned char **rows) { std::memcpy(&w[i], rows[lane / 4] + lane % 4 * 4, 4); });
}

template <int BLOCKS> EMU_INLINE void matrix_store(void *row, const uint32_t *w)
{
    const int lane = me->thread % 32;
    each_block(BLOCKS, row,
        [&](int i, unsigned char **rows) { std::memcpy(rows[lane / 4] + lane % 4 * 4, &w[i], 4); });
}

template <int BLOCKS> EMU_INLINE void matrix_store_transposed(void *row, const uint32_t *w)
{
    const int lane = me->thread % 32;
    each_block(BLOCKS, row, [&](int i, unsigned char **rows) {
        const uint16_t pair[] = {(uint16_t)w[i], (uint16_t)(w[i] >> 16)};
        for (int half = 0; half < 2; half++)
            std::memcpy(rows[lane % 4 * 2 + half] + lane / 4 * 2, &pair[half], 2);
    });
}

// ---- waiting for memory ------------------------------------------------------------------------

// A turn of a loop that waits for another block's store; others run meanwhile.
void spin();

} // namespace emu
