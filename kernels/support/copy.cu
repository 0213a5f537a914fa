// copy.cu: device-to-device copy as fast as the memory allows: the roof that row kernels aim at.
//
// Cfg: THREADS; UNROLL 16-byte vectors in flight in a thread; LOAD_HINT, STORE_HINT (0 no L1
// allocation / default, 1 streaming). A block moves tiles of THREADS * UNROLL vectors, so that each
// access of a warp is 512 consecutive bytes. Any grid is right; ceil(bytes / 16 / tile) blocks is
// fastest. 256 threads, UNROLL 1, both hints streaming is the roof from 64 MB up, UNROLL 4 below
// (docs/notes/rmsnorm.md). The last bytes % 16 are copied singly. No shared memory, no barrier.
#include "device/core.cuh"
#include "device/mem.cuh"
#include "device/thread.cuh"
#include "support/copy_params.h"

template <class C> TF_DEV void copy(const copy_params &p)
{
    constexpr int LD = C::LOAD_HINT ? LD_STREAM : LD_ONCE;
    constexpr int ST = C::STORE_HINT ? ST_STREAM : ST_KEEP;
    constexpr u64 TILE = (u64)C::THREADS * C::UNROLL;
    static_assert(C::UNROLL >= 1 && C::UNROLL <= 16, "vectors in flight");
    const u64 vecs = p.bytes / 16;
    const float *src = static_cast<const float *>(p.src);
    float *dst = static_cast<float *>(p.dst);
    for (u64 tile = block_index() * TILE; tile < vecs; tile += block_count() * TILE) {
        const u64 first = tile + thread_index();
        Vec<float, 4> v[C::UNROLL];
        TF_UNROLL
        for (int i = 0; i < C::UNROLL; i++)
            if (first + i * C::THREADS < vecs)
                v[i] = ld_vec<LD, 16, float, 4>(src + (first + i * C::THREADS) * 4);
        TF_UNROLL
        for (int i = 0; i < C::UNROLL; i++)
            if (first + i * C::THREADS < vecs)
                st_vec<ST, 16, float, 4>(dst + (first + i * C::THREADS) * 4, v[i]);
    }
    const u64 tail = vecs * 16 + thread_index();
    if (block_index() == 0 && tail < p.bytes)
        st_byte(static_cast<u8 *>(p.dst) + tail, ld_byte(static_cast<const u8 *>(p.src) + tail));
}
