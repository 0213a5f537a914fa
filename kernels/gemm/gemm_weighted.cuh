// gemm_weighted.cuh: the sum of products of one tile of x * norm_weight, by one consumer.
//
// wgmma takes A from registers: a warp loads its rows of a stage's x tile (ldmatrix), multiplies them by
// norm_weight, rounded to x's dtype, and has the tensor core read the result there. Nothing more goes
// through shared memory than without norm_weight. While the products of one stage run, the next one's
// operand is made: two sets of registers, so that the loop has two stages.
#pragma once
#include "device/matrix.cuh"
#include "device/wgmma.cuh"
#include "gemm/gemm_norm.cuh"
#include "gemm/gemm_pipeline.cuh"

template <class C> struct GemmWeighted {
    using L = GemmLayout<C>;
    using T = typename L::TX;
    using Ring = GemmRing<C>;
    using Cursor = GemmCursor<C>;
    using Sums = float[L::SLABS][L::REGS];
    using Held = u32[L::SLABS][L::K_STEPS][4]; // of A, a stage
    using Weight = u32[2 * L::K_STEPS];        // norm_weight: this lane's pairs of a stage

    // Ahead of their use: L2 is far.
    TF_DEV void fetch(const gemm_params &p, int k, Weight &weight)
    {
        const T *from = static_cast<const T *>(gemm_norm(p).norm_weight);
        const int at = k * L::BLOCK_K + thread_index() % 4 * 2;
        TF_UNROLL
        for (int i = 0; i < 2 * L::K_STEPS; i++) {
            weight[i] = 0;
            if (L::BLOCK_K * L::K_STAGES == C::K ? k < L::K_STAGES : at + 8 * i < C::K)
                ld_words<LD_CONST, 1>(from + at + 8 * i, &weight[i]);
        }
    }

    TF_DEV void hold(Held &held, const Weight &weight, u32 stage, int row)
    {
        const int lane = thread_index() % 32, warp = thread_index() % L::WARPGROUP / 32;
        const int line = row + 16 * warp + lane % 16, byte = lane / 16 * 16;
        TF_UNROLL
        for (int s = 0; s < L::SLABS; s++)
            TF_UNROLL
        for (int i = 0; i < L::K_STEPS; i++) {
            matrix_load(held[s][i],
                Ring::r_tile(stage, 0) + gemm_swizzle<128>((line + 64 * s) * L::ROW_BYTES +
                                                           i * WGMMA_STEP_BYTES + byte));
            TF_UNROLL
            for (int e = 0; e < 4; e++)
                held[s][i][e] = mul2<T>(held[s][i][e], weight[2 * i + e / 2]);
        }
    }

    TF_DEV void pin(Sums &acc)
    {
        TF_UNROLL
        for (int s = 0; s < L::SLABS; s++)
            wgmma_pin(acc[s]);
    }

    TF_DEV void issue(Sums &acc, const Held &held, u32 stage, bool keep)
    {
        const u64 b = wgmma_operand(Ring::c_tile(stage, 0));
        pin(acc);
        wgmma_fence();
        TF_UNROLL
        for (int i = 0; i < L::K_STEPS; i++)
            TF_UNROLL
        for (int s = 0; s < L::SLABS; s++)
            Wgmma<C::BLOCK_N>::template multiply<T>(
                acc[s], held[s][i], wgmma_advance(b, i), i > 0 || keep);
        wgmma_commit();
    }

    // Each warp for itself, whose lanes have read x.
    TF_DEV void release(u32 stage, const GemmTiles<C> &at)
    {
        warp_sync();
        Ring::release_by(thread_index() % 32, stage, at.rank_m, at.rank_n);
    }

    // Stage k; lets go of the one before it, `last`, when its products are done.
    TF_DEV void step(const gemm_params &p, Sums &acc, Held &held, Weight &weight, Cursor &cursor,
        u32 &last, int row, int k, const GemmTiles<C> &at)
    {
        mbar_wait(Ring::full(cursor.stage), cursor.parity);
        hold(held, weight, cursor.stage, row);
        issue(acc, held, cursor.stage, k > 0);
        fetch(p, k + 1, weight);
        wgmma_wait<1>();
        pin(acc);
        if (k > 0)
            release(last, at);
        last = cursor.stage;
        Cursor::advance(cursor);
    }

    TF_DEV void accumulate(
        const gemm_params &p, Sums &acc, Cursor &cursor, int row, const GemmTiles<C> &at)
    {
        Held even, odd;
        Weight weight;
        u32 last = 0;
        fetch(p, 0, weight);
        _Pragma("unroll 1") for (int k = 0; k + 1 < L::K_STAGES; k += 2)
        {
            step(p, acc, even, weight, cursor, last, row, k, at);
            step(p, acc, odd, weight, cursor, last, row, k + 1, at);
        }
        if constexpr (L::K_STAGES % 2)
            step(p, acc, even, weight, cursor, last, row, L::K_STAGES - 1, at);
        wgmma_wait<0>();
        pin(acc);
        release(last, at);
    }
};
