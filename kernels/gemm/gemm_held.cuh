// gemm_held.cuh: the sum of products of one tile of normalised rows, by one consumer whose tile has
// them down it.
//
// wgmma takes A from registers: a warp loads its rows of a stage's x tile (ldmatrix), adds up their
// squares, and multiplies them by norm_weight, rounded to x's dtype. Nothing more goes through shared
// memory than without a norm, and a row's factor is made where its sums are. While the products of one
// stage run, the next one's operand is made, in a second set of registers: the loop has two stages. No
// register of an operand is written between the instructions of a stage: ptxas would fence each (C7519).
#pragma once
#include "device/matrix.cuh"
#include "device/reduce.cuh"
#include "device/wgmma.cuh"
#include "gemm/gemm_norm.cuh"
#include "gemm/gemm_pipeline.cuh"
#include "gemm/gemm_turn.cuh"

template <class C> struct GemmHeld {
    using L = GemmLayout<C>;
    using T = typename L::TX;
    using Ring = GemmRing<C>;
    using Cursor = GemmCursor<C>;
    using Slot = GemmSlot<C>;
    using Sums = float[L::SLABS][L::REGS];
    using Held = u32[L::K_STEPS][L::SLABS][4]; // of A, a stage
    using Weight = u32[2 * L::K_STEPS];        // norm_weight: this lane's pairs of a stage
    using Squares = float[L::SLABS][2];        // of this lane's rows: q and q + 8 of a slab

    // Ahead of their use: L2 is far.
    TF_DEV void fetch(const gemm_params &p, int k, Weight &weight)
    {
        if constexpr (L::WEIGHTED) {
            const T *from = static_cast<const T *>(gemm_norm(p).norm_weight);
            const int at = k * L::BLOCK_K + thread_index() % 4 * 2;
            TF_UNROLL
            for (int i = 0; i < 2 * L::K_STEPS; i++) {
                weight[i] = 0;
                if (L::BLOCK_K * L::K_STAGES == C::K ? k < L::K_STAGES : at + 8 * i < C::K)
                    ld_words<LD_CONST, 1>(from + at + 8 * i, &weight[i]);
            }
        }
    }

    TF_DEV void load(u32 (&held)[L::SLABS][4], int step, u32 stage, int row)
    {
        const int lane = thread_index() % 32, warp = thread_index() % L::WARPGROUP / 32;
        const int line = row + 16 * warp + lane % 16, byte = lane / 16 * 16;
        TF_UNROLL
        for (int s = 0; s < L::SLABS; s++)
            matrix_load(held[s],
                Ring::r_tile(stage, 0) + gemm_swizzle<128>((line + 64 * s) * L::ROW_BYTES +
                                                           step * WGMMA_STEP_BYTES + byte));
    }

    TF_DEV void weigh(
        u32 (&held)[L::SLABS][4], int step, [[maybe_unused]] const Weight &weight, Squares &squares)
    {
        TF_UNROLL
        for (int i = 0; i < 4 * L::SLABS; i++) {
            u32 &word = held[i / 4][i % 4];
            float x, y;
            unpack2<T>(word, x, y);
            float &sum = squares[i / 4][i % 2];
            sum += x * x;
            sum += y * y;
            if constexpr (L::WEIGHTED)
                word = mul2<T>(word, weight[2 * step + i % 4 / 2]);
        }
    }

    // A stage's operand. All loads stand before the first use of one.
    TF_DEV void hold(Held &held, u32 stage, int row, const Weight &weight, Squares &squares)
    {
        TF_UNROLL
        for (int i = 0; i < L::K_STEPS; i++)
            load(held[i], i, stage, row);
        TF_UNROLL
        for (int i = 0; i < L::K_STEPS; i++)
            weigh(held[i], i, weight, squares);
    }

    TF_DEV void pin(Sums &acc)
    {
        TF_UNROLL
        for (int s = 0; s < L::SLABS; s++)
            wgmma_pin(acc[s]);
    }

    TF_DEV void start(Sums &acc, Held &held, u64 b, bool keep)
    {
        pin(acc);
        wgmma_fence();
        TF_UNROLL
        for (int i = 0; i < L::K_STEPS; i++)
            TF_UNROLL
        for (int s = 0; s < L::SLABS; s++)
            Wgmma<C::BLOCK_N>::template multiply<T>(
                acc[s], held[i][s], wgmma_advance(b, i), i > 0 || keep);
        wgmma_commit();
    }

    // Each warp for itself, whose lanes have read x.
    TF_DEV void release(MBar *empty, const GemmTiles<C> &at)
    {
        warp_sync();
        Ring::release_by(thread_index() % 32, empty, at.rank_m, at.rank_n);
    }

    // Where a consumer is in its sum.
    struct Walk {
        Cursor cursor;
        Slot slot;
        MBar *last; // to let go of
        int k;
    };

    // Stage k: its products are started when the set of registers is ready, and the stage before it is
    // let go of when its own are done, before that set is written anew.
    TF_DEV void step(const gemm_params &p, Sums &acc, Held &held, Weight &weight, Squares &squares,
        Walk &walk, int row, const GemmTiles<C> &at)
    {
        mbar_wait(walk.slot.full, walk.cursor.parity);
        hold(held, walk.cursor.stage, row, weight, squares);
        start(acc, held, wgmma_skip(walk.slot.tile, C::DEPTH * L::R_BYTES), walk.k > 0);
        fetch(p, walk.k + 1, weight);
        wgmma_wait<1>();
        pin(acc);
        if (walk.k > 0)
            release(walk.last, at);
        walk.last = Slot::empty(walk.slot);
        walk.k++;
        Slot::advance(walk.cursor, walk.slot);
    }

    TF_DEV void accumulate(const gemm_params &p, Sums &acc, Squares &squares, Cursor &cursor,
        int row, const GemmTiles<C> &at, const GemmTurn<C> &turn)
    {
        Held even, odd;
        Weight weight;
        Walk walk = {cursor, Slot::at(cursor), nullptr, 0};
        fetch(p, 0, weight);
        _Pragma("unroll 1") for (int pair = 0; pair < L::K_STAGES / 2; pair++)
        {
            step(p, acc, even, weight, squares, walk, row, at);
            step(p, acc, odd, weight, squares, walk, row, at);
        }
        if constexpr (L::K_STAGES % 2)
            step(p, acc, even, weight, squares, walk, row, at);
        GemmTurn<C>::give(turn);
        wgmma_wait<0>();
        pin(acc);
        release(walk.last, at);
        cursor = walk.cursor;
    }

    // The factors of the rows, from the squares of the four lanes that share them.
    TF_DEV void apply(const gemm_params &p, Squares &squares, Sums &acc)
    {
        TF_UNROLL
        for (int s = 0; s < L::SLABS; s++)
            TF_UNROLL
        for (int h = 0; h < 2; h++) {
            const float sum = lanes_sum<4>(squares[s][h]);
            const float factor = GemmNorm<C>::factor_of(p, sum);
            TF_UNROLL
            for (int i = 0; i < L::REGS / 2; i++)
                acc[s][i / 2 * 4 + 2 * h + i % 2] *= factor;
        }
    }

    TF_DEV void multiply(const gemm_params &p, Sums &acc, Cursor &cursor, int row,
        const GemmTiles<C> &at, const GemmTurn<C> &turn)
    {
        Squares squares = {};
        accumulate(p, acc, squares, cursor, row, at, turn);
        apply(p, squares, acc);
    }
};
