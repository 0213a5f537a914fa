// gemm_mainloop.cuh: the sum of products of one tile, by one consumer.
//
// Every wait stands in straight-line code: ptxas serialises all wgmma of a loop when a wait is under
// a condition or a result in flight crosses the loop's edge (C7514).
#pragma once
#include "device/wgmma.cuh"
#include "gemm/gemm_load.cuh"
#include "gemm/gemm_norm.cuh"
#include "gemm/gemm_pipeline.cuh"
#include "gemm/gemm_scales.cuh"
#include "gemm/gemm_turn.cuh"

template <class C> struct GemmMainloop {
    using L = GemmLayout<C>;
    using Ring = GemmRing<C>;
    using Cursor = GemmCursor<C>;
    using Slot = GemmSlot<C>;
    using Turn = GemmTurn<C>;
    using Slab = float[L::REGS];
    using Scales = GemmScales<C>;
    using Factors = typename Scales::Factors;
    static constexpr int UNITS = L::UNITS;

    // Starts the products of one slab with tile `depth` of a stage.
    TF_DEV void issue(Slab &d, const Slot &from, int row, int depth, int slab, bool keep)
    {
        const u64 a = wgmma_skip(
            from.tile, depth * L::R_BYTES + (row + slab * 64) * L::ROW_BYTES);
        const u64 b = wgmma_skip(from.tile, C::DEPTH * L::R_BYTES + depth * L::C_BYTES);
        Wgmma<C::BLOCK_N>::template multiply_row<typename L::TR, typename L::TC>(d, a, b, keep);
    }

    TF_DEV void pin(float (&acc)[L::SLABS][L::REGS])
    {
        TF_UNROLL
        for (int s = 0; s < L::SLABS; s++)
            wgmma_pin(acc[s]);
    }

    // GemmLayout::CLEARED: else ptxas keeps a tile's sums until the next one's, which are added to nothing.
    TF_DEV void clear(float (&acc)[L::SLABS][L::REGS])
    {
        TF_UNROLL
        for (int s = 0; s < L::SLABS; s++)
            TF_UNROLL
        for (int i = 0; i < L::REGS; i++)
            acc[s][i] = 0;
    }

    // The tensor core keeps the sum. A stage is released one step late, when its products are done.
    TF_DEV void accumulate(float (&acc)[L::SLABS][L::REGS], Cursor &cursor, int row, int stages,
        const GemmTiles<C> &at, const GemmTurn<C> &turn)
    {
        MBar *last = nullptr;
        Slot from = Slot::at(cursor);
        _Pragma("unroll 1") for (int k = 0; k < stages; k++)
        {
            mbar_wait(from.full, cursor.parity);
            GemmNorm<C>::wait(cursor);
            pin(acc);
            wgmma_fence();
            TF_UNROLL
            for (int d = 0; d < C::DEPTH; d++)
                TF_UNROLL
            for (int s = 0; s < L::SLABS; s++)
                issue(acc[s], from, row, d, s, d > 0 || k > 0);
            wgmma_commit();
            wgmma_wait<1>();
            pin(acc);
            if (k > 0)
                Ring::release(last, at.rank_m, at.rank_n);
            last = Slot::empty(from);
            Slot::advance(cursor, from);
        }
        Turn::give(turn);
        wgmma_wait<0>();
        pin(acc);
        Ring::release(last, at.rank_m, at.rank_n);
    }

    // One tile of K and one slab: a partial sum.
    TF_DEV void start(Slab &part, const Slot &from, int row, int unit)
    {
        wgmma_pin(part);
        wgmma_fence();
        issue(part, from, row, unit / L::SLABS, unit % L::SLABS, false);
        wgmma_commit();
    }

    TF_DEV void add(Slab &acc, Slab &part, const Factors &factors)
    {
        wgmma_pin(part);
        TF_UNROLL
        for (int i = 0; i < L::REGS; i++)
            if constexpr (Scales::ON)
                Scales::add(factors, acc[i], part[i], i);
            else
                acc[i] += part[i];
    }

    // What a unit's sum is multiplied by.
    TF_DEV Factors scale(const GemmTile &tile, u32 stage, int unit, int row)
    {
        Factors factors;
        if constexpr (Scales::ON)
            factors = Scales::read(tile, stage, unit / L::SLABS, row + 64 * (unit % L::SLABS));
        return factors;
    }

    // Of a stage whose sums are done; each warp for itself, where its lanes have read scales.
    TF_DEV void release(MBar *empty, const GemmTiles<C> &at)
    {
        if constexpr (Scales::ON) {
            warp_sync(); // its lanes have read
            Ring::release_by(thread_index() % 32, empty, at.rank_m, at.rank_n);
        } else {
            Ring::release(empty, at.rank_m, at.rank_n);
        }
    }

    // What a loop over stages carries beside its sums.
    struct Promotion {
        Slab part[L::PARTS];
        Factors factors[UNITS]; // of this stage
        Slot from;             // of the stage to come
    };

    // Unit N of ALL, whose products run, and the start of the next one. With two partial sums one is added while
    // the next one's products run, with one while the other consumer's do. A step is as long as what lies between
    // the end of its products and the next ones' begin, so the next stage's operands are known before that;
    // factors of few registers are read in one go while a stage's first products run.
    template <int N, int ALL>
    TF_DEV void promote_unit(float (&acc)[L::SLABS][L::REGS], Promotion &p, Cursor &cursor, int row,
        const GemmTile &tile, const GemmTiles<C> &at)
    {
        constexpr int TOGETHER = UNITS * Scales::USED <= 4 ? UNITS : 1; // of one reading of factors
        constexpr int U = N % UNITS, NEXT = (N + 1) % UNITS;
        constexpr bool MORE = N + 1 < ALL, TWO = L::PARTS == 2 && MORE;
        const u32 stage = cursor.stage;
        MBar *const done = Slot::empty(p.from);
        if constexpr (NEXT == 0) {
            Slot::advance(cursor, p.from);
            if constexpr (TWO)
                mbar_wait(p.from.full, cursor.parity);
        }
        if constexpr (TWO)
            start(p.part[(N + 1) % L::PARTS], p.from, row, NEXT);
        if constexpr (U % TOGETHER == 0)
            TF_UNROLL
        for (int i = U; i < U + TOGETHER; i++)
            p.factors[i] = scale(tile, stage, i, row);
        wgmma_wait<TWO ? 1 : 0>();
        if constexpr (NEXT == 0)
            release(done, at);
        add(acc[U % L::SLABS], p.part[N % L::PARTS], p.factors[U]);
        if constexpr (!TWO && MORE)
            start(p.part[0], p.from, row, NEXT);
        if constexpr (MORE)
            promote_unit<N + 1, ALL>(acc, p, cursor, row, tile, at);
    }

    template <int COUNT>
    TF_DEV void promote_stages(float (&acc)[L::SLABS][L::REGS], Promotion &p, Cursor &cursor,
        int row, const GemmTile &tile, const GemmTiles<C> &at)
    {
        mbar_wait(p.from.full, cursor.parity);
        start(p.part[0], p.from, row, 0);
        promote_unit<0, COUNT * UNITS>(acc, p, cursor, row, tile, at);
    }

    // Partial sums are added to fp32 registers. None is in flight at a loop's edge, so the loop takes several stages.
    TF_DEV void promote(float (&acc)[L::SLABS][L::REGS], Cursor &cursor, int row, int stages,
        const GemmTile &tile, const GemmTiles<C> &at, const GemmTurn<C> &turn)
    {
        Promotion p;
        p.from = Slot::at(cursor);
        clear(acc);
        int k = 0;
        _Pragma("unroll 1") for (; k + L::RUN <= stages; k += L::RUN)
            promote_stages<L::RUN>(acc, p, cursor, row, tile, at);
        if constexpr (L::EACH % L::RUN)
            _Pragma("unroll 1") for (; k < stages; k++)
                promote_stages<1>(acc, p, cursor, row, tile, at);
        Turn::give(turn);
        pin(acc);
    }
};
