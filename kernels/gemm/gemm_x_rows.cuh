// gemm_x_rows.cuh: the rows of x that a block brings of a tile.
//
// Where one tile has all tokens these alone are brought: the copy engine takes longer to put zeros in the
// place of a row than to bring one (docs/notes/gemm.md, section 14). The other rows of the tile are zeros
// from the beginning, in every stage.
#pragma once
#include "device/barrier.cuh"
#include "device/thread.cuh"
#include "gemm/gemm_pipeline.cuh"

template <class C> struct GemmXRows {
    using L = GemmLayout<C>;
    static constexpr int SHARE = C::SWAP ? C::CLUSTER_M : C::CLUSTER_N; // blocks that bring a tile

    // That each of the blocks brings. The same as gemm_x_box() on the host.
    TF_DEV int each(const gemm_params &p)
    {
        return ceil_div(min_int(p.m, L::X_ROWS), SHARE);
    }

    // Of a stage, that all of them bring.
    TF_DEV u32 stage_bytes(const gemm_params &p)
    {
        return (u32)(C::DEPTH * SHARE * L::ROW_BYTES * each(p));
    }

    // By all threads, before they meet.
    TF_DEV void clear(const gemm_params &p)
    {
        constexpr int WORDS = L::ROW_BYTES / 16;
        struct alignas(16) Zeros {
            u32 w[4];
        };
        const int first = SHARE * each(p) * WORDS;
        if (first == L::X_ROWS * WORDS)
            return;
        for (u32 stage = 0; stage < C::STAGES; stage++)
            for (int depth = 0; depth < C::DEPTH; depth++) {
                u8 *tile = C::SWAP ? GemmRing<C>::c_tile(stage, depth)
                                   : GemmRing<C>::r_tile(stage, depth);
                for (int i = first + thread_index(); i < L::X_ROWS * WORDS; i += L::THREADS)
                    reinterpret_cast<Zeros *>(tile)[i] = {};
            }
        shared_fence_async();
        if constexpr (C::CLUSTER > 1)
            block_sync(); // blocks that meet order no memory
    }
};
