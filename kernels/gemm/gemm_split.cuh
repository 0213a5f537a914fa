// gemm_split.cuh: one tile's sum over K by blocks of a cluster, one in each of its rectangles.
//
// Every block leaves its partial sums in its own shared memory, where the stages were; each adds
// up a part of the columns in the order of K, so that the same inputs give the same bits, and no
// workspace is needed.
#pragma once
#include "device/barrier.cuh"
#include "device/cluster.cuh"
#include "gemm/gemm_layout.cuh"

template <class C> struct GemmSplit {
    using L = GemmLayout<C>;
    static constexpr int OWNERS = L::WARPGROUP * C::CONSUMERS;
    enum { STAGES_DONE = 8 }; // a named barrier beyond the store buffers'

    struct alignas(16) Four {
        float sum[4];
    };

    // Four sums of one thread; neighbouring threads side by side.
    TF_DEV Four *place(int index)
    {
        return smem_at<Four>(0) + index * OWNERS + (thread_index() - L::WARPGROUP);
    }

    TF_DEV void leave(const float (&acc)[L::SLABS][L::REGS])
    {
        named_sync(STAGES_DONE, OWNERS); // no consumer reads the stages any more
        TF_UNROLL
        for (int s = 0; s < L::SLABS; s++)
            TF_UNROLL
        for (int i = 0; i < L::REGS; i += 4)
            *place((s * L::REGS + i) / 4) = {
                {acc[s][i], acc[s][i + 1], acc[s][i + 2], acc[s][i + 3]}};
    }

    // The sums of this block's columns, from `first` on.
    TF_DEV void gather(float (&sum)[L::SLABS][L::OUT_REGS], int first)
    {
        const int place_in_rectangle = cluster_rank() % L::RECTANGLE;
        TF_UNROLL
        for (int share = 0; share < C::SPLIT_K; share++)
            TF_UNROLL
        for (int s = 0; s < L::SLABS; s++)
            TF_UNROLL
        for (int i = 0; i < L::OUT_REGS; i += 4) {
            float part[4];
            cluster_load(place((s * L::REGS + i) / 4 + first / 8)->sum,
                share * L::RECTANGLE + place_in_rectangle, part);
            TF_UNROLL
            for (int k = 0; k < 4; k++)
                sum[s][i + k] = share ? sum[s][i + k] + part[k] : part[k];
        }
    }
};
