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
    using Turn = GemmTurn<C>;
    using Slab = float[L::REGS];
    using Scales = GemmScales<C>;
    using Factors = typename Scales::Factors;
    static constexpr int UNITS = C::DEPTH * L::SLABS; // partial sums of a stage

    // Where this consumer's rows and the columns of a stage's first tile are.
    struct Operands {
        u64 r, c;
    };

    TF_DEV Operands operands(u32 stage, int row)
    {
        return {wgmma_operand(Ring::r_tile(stage, 0) + row * L::ROW_BYTES),
            wgmma_operand(Ring::c_tile(stage, 0))};
    }

    // Starts the products of one slab with tile `depth` of a stage.
    TF_DEV void issue(Slab &d, const Operands &from, int depth, int slab, bool keep)
    {
        const u64 a = wgmma_skip(from.r, depth * L::R_BYTES + slab * 64 * L::ROW_BYTES);
        const u64 b = wgmma_skip(from.c, depth * L::C_BYTES);
        TF_UNROLL
        for (int i = 0; i < L::K_STEPS; i++)
            Wgmma<C::BLOCK_N>::template multiply<typename L::TR, typename L::TC>(
                d, wgmma_advance(a, i), wgmma_advance(b, i), i > 0 || keep);
    }

    TF_DEV void pin(float (&acc)[L::SLABS][L::REGS])
    {
        TF_UNROLL
        for (int s = 0; s < L::SLABS; s++)
            wgmma_pin(acc[s]);
    }

    // Else ptxas keeps the registers of a tile's sums until the next one's, which are added to nothing.
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
        u32 last = 0;
        _Pragma("unroll 1") for (int k = 0; k < stages; k++)
        {
            mbar_wait(Ring::full(cursor.stage), cursor.parity);
            GemmNorm<C>::wait(cursor);
            const Operands from = operands(cursor.stage, row);
            pin(acc);
            wgmma_fence();
            TF_UNROLL
            for (int d = 0; d < C::DEPTH; d++)
                TF_UNROLL
            for (int s = 0; s < L::SLABS; s++)
                issue(acc[s], from, d, s, d > 0 || k > 0);
            wgmma_commit();
            wgmma_wait<1>();
            pin(acc);
            if (k > 0)
                Ring::release(last, at.rank_m, at.rank_n);
            last = cursor.stage;
            Cursor::advance(cursor);
        }
        Turn::give(turn);
        wgmma_wait<0>();
        pin(acc);
        Ring::release(last, at.rank_m, at.rank_n);
    }

    // One tile of K and one slab: a partial sum.
    TF_DEV void start(Slab &part, const Operands &from, int unit)
    {
        wgmma_pin(part);
        wgmma_fence();
        issue(part, from, unit / L::SLABS, unit % L::SLABS, false);
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
    TF_DEV void release(u32 stage, const GemmTiles<C> &at)
    {
        if constexpr (Scales::ON) {
            warp_sync(); // its lanes have read
            Ring::release_by(thread_index() % 32, stage, at.rank_m, at.rank_n);
        } else {
            Ring::release(stage, at.rank_m, at.rank_n);
        }
    }

    // Partial sums are added to fp32 registers: with two of them, one while the other is multiplied,
    // with one, while the other consumer's is. None is in flight at the loop's edge. A step is as long as what
    // lies between the end of its products and the next ones' begin, so the next stage's operands are known
    // before that; factors of few registers are read in one go while the first products run.
    TF_DEV void promote(float (&acc)[L::SLABS][L::REGS], Cursor &cursor, int row, int stages,
        const GemmTile &tile, const GemmTiles<C> &at, const GemmTurn<C> &turn)
    {
        constexpr int PARTS = L::PARTS;
        constexpr int TOGETHER = UNITS * Scales::USED <= 4 ? UNITS : 1; // of one reading of factors
        float part[PARTS][L::REGS];
        clear(acc);
        Operands from = operands(cursor.stage, row);
        _Pragma("unroll 1") for (int k = 0; k < stages; k++)
        {
            Factors factors[UNITS];
            mbar_wait(Ring::full(cursor.stage), cursor.parity);
            start(part[0], from, 0);
            TF_UNROLL
            for (int u = 0; u < UNITS; u++) {
                const bool two = PARTS == 2 && u + 1 < UNITS;
                if (two)
                    start(part[(u + 1) % PARTS], from, u + 1);
                if (u % TOGETHER == 0)
                    TF_UNROLL
                for (int i = u; i < u + TOGETHER; i++)
                    factors[i] = scale(tile, cursor.stage, i, row);
                if (two)
                    wgmma_wait<1>();
                else
                    wgmma_wait<0>();
                if (u == UNITS - 1) {
                    release(cursor.stage, at);
                    Cursor::advance(cursor);
                    from = operands(cursor.stage, row);
                }
                add(acc[u % L::SLABS], part[u % PARTS], factors[u]);
                if (PARTS == 1 && u + 1 < UNITS)
                    start(part[0], from, u + 1);
            }
        }
        Turn::give(turn);
        pin(acc);
    }
};
