// gemm_held.cuh: the sum of products of one tile of normalised rows, by one consumer whose tile has
// them down it.
//
// wgmma takes A from registers: a warp loads its rows of a stage's x tile (ldmatrix) and multiplies them
// by norm_weight, of which a stage brings its part, rounded to x's dtype. While the products of one stage
// run, the next one's operand is made, in a second set of registers: the loop has two stages. No register of
// an operand is written between the instructions of a stage: ptxas would fence each (C7519).
//
// Squares of x are added up once for the rows that a consumer has in several tiles: their factors are kept in
// shared memory. Beside the products where x is not itself their operand, of which nothing may be read while
// they run (PTX ISA 9.7.15); else before them (docs/notes/gated_mlp.md, section 9).
#pragma once
#include "device/known.cuh"
#include "device/matrix.cuh"
#include "device/reduce.cuh"
#include "device/wgmma.cuh"
#include "gemm/gemm_norm.cuh"
#include "gemm/gemm_pipeline.cuh"
#include "gemm/gemm_turn.cuh"

// Which rows' factors a consumer has kept: those of so many of its last tiles with rows of their own.
template <class C> struct GemmKept {
    using L = GemmLayout<C>;
    static constexpr int PLACES = max_int(L::KEPT_ROWS / (L::ROWS * C::CONSUMERS), 1);

    int rows[PLACES]; // the first of each
    int next;         // place to be given away

    TF_DEV GemmKept none()
    {
        GemmKept kept;
        TF_UNROLL
        for (int i = 0; i < PLACES; i++)
            kept.rows[i] = -1;
        kept.next = 0;
        return kept;
    }

    // The place of the factors of the rows from `row` on; whether they have yet to be made.
    TF_DEV int find(GemmKept &kept, int row, bool &ret_fresh)
    {
        int place = -1;
        TF_UNROLL
        for (int i = 0; i < PLACES; i++)
            if (kept.rows[i] == row)
                place = i;
        ret_fresh = place < 0;
        if (!ret_fresh)
            return place;
        place = kept.next;
        kept.next = place + 1 < PLACES ? place + 1 : 0;
        TF_UNROLL
        for (int i = 0; i < PLACES; i++)
            if (i == place)
                kept.rows[i] = row;
        return place;
    }

    // Of a place. A warp reads what it wrote itself.
    TF_DEV float *factors(int place)
    {
        const int consumer = thread_index() / L::WARPGROUP - 1;
        return smem_at<float>(L::KEPT_AT) + (place * C::CONSUMERS + consumer) * L::ROWS;
    }
};

template <class C> struct GemmHeld {
    using L = GemmLayout<C>;
    using T = typename L::TX;
    using Ring = GemmRing<C>;
    using Cursor = GemmCursor<C>;
    using Slot = GemmSlot<C>;
    using Sums = float[L::SLABS][L::REGS];
    using Held = u32[L::K_STEPS][L::SLABS][4]; // of A, a stage
    using Weight = u32[L::K_STEPS / 2][4];     // norm_weight: this lane's pairs of a stage
    // Of this lane's rows, q and q + 8 of a slab: of the even and of the odd columns, then the factors.
    using Squares = float[L::SLABS][2][2];

    // `part` of norm_weight, beside a stage. Every row of a block of eight is the same one.
    TF_DEV void load(Weight &weight, const u8 *part)
    {
        TF_UNROLL
        for (int i = 0; i < L::K_STEPS / 2; i++)
            matrix_load(weight[i], part + 64 * i + thread_index() % 32 / 8 * 16);
    }

    // This warp's rows of the tile of x whose rows begin at `tile`.
    TF_DEV void load(Held &x, const u8 *tile)
    {
        const int lane = thread_index() % 32, warp = thread_index() % L::WARPGROUP / 32;
        const int line = 16 * warp + lane % 16, byte = lane / 16 * 16;
        TF_UNROLL
        for (int i = 0; i < L::K_STEPS; i++)
            TF_UNROLL
        for (int s = 0; s < L::SLABS; s++)
            matrix_load(x[i][s], tile + gemm_swizzle<128>((line + 64 * s) * L::ROW_BYTES +
                                                          i * WGMMA_STEP_BYTES + byte));
    }

    TF_DEV void weigh(Held &held, const Held &x, const Weight &weight)
    {
        TF_UNROLL
        for (int i = 0; i < L::K_STEPS; i++)
            TF_UNROLL
        for (int e = 0; e < 4 * L::SLABS; e++)
            held[i][e / 4][e % 4] =
                mul2<T>(x[i][e / 4][e % 4], weight[i / 2][i % 2 * 2 + e % 4 / 2]);
    }

    TF_DEV void square(const Held &x, Squares &squares)
    {
        TF_UNROLL
        for (int i = 0; i < L::K_STEPS; i++)
            TF_UNROLL
        for (int e = 0; e < 4 * L::SLABS; e++) {
            float low, high;
            unpack2<T>(x[i][e / 4][e % 4], low, high);
            float(&sums)[2] = squares[e / 4][e % 2];
            sums[0] += low * low;
            sums[1] += high * high;
        }
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

    // Where a consumer is in its sum: its places of x and of norm_weight move with the cursor.
    struct Walk {
        Cursor cursor;
        Slot slot;
        const u8 *x, *part;
        MBar *last; // to let go of
        int k;
    };

    TF_DEV Walk walk_at(const Cursor &cursor, int row)
    {
        return {cursor, Slot::at(cursor), Ring::r_tile(cursor.stage, 0) + row * L::ROW_BYTES,
            GemmNormPart<C>::at(cursor.stage), nullptr, 0};
    }

    // While products run.
    TF_DEV void advance(Walk &walk)
    {
        Slot::advance(walk.cursor, walk.slot);
        const int stages = walk.cursor.stage ? 1 : 1 - C::STAGES;
        walk.x += stages * L::STAGE_BYTES;
        walk.part += stages * L::NORM_PART_BYTES;
        walk.k++;
        known_here(walk.cursor.stage, walk.cursor.parity, walk.slot.full, walk.slot.tile, walk.x,
            walk.part);
    }

    // Stage k: its products are started when the set of registers is ready, and the stage before it is
    // let go of when its own are done, before that set is written anew.
    TF_DEV void step(
        Sums &acc, Held &held, Squares &squares, bool fresh, Walk &walk, const GemmTiles<C> &at)
    {
        Held read;
        Held &x = L::WEIGHTED ? read : held;
        Weight weight;
        mbar_wait(walk.slot.full, walk.cursor.parity);
        if constexpr (L::WEIGHTED)
            load(weight, walk.part);
        load(x, walk.x);
        if constexpr (L::WEIGHTED)
            weigh(held, x, weight);
        else if (fresh)
            square(x, squares);
        start(acc, held, wgmma_skip(walk.slot.tile, C::DEPTH * L::R_BYTES), walk.k > 0);
        MBar *const own = Slot::empty(walk.slot);
        advance(walk);
        if constexpr (L::WEIGHTED)
            if (fresh)
                square(x, squares);
        wgmma_wait<1>();
        pin(acc);
        if (walk.k > 1)
            release(walk.last, at);
        walk.last = own;
    }

    TF_DEV void accumulate(Sums &acc, Squares &squares, bool fresh, Cursor &cursor, int row,
        const GemmTiles<C> &at, const GemmTurn<C> &turn)
    {
        Held even, odd;
        Walk walk = walk_at(cursor, row);
        _Pragma("unroll 1") for (int pair = 0; pair < L::K_STAGES / 2; pair++)
        {
            step(acc, even, squares, fresh, walk, at);
            step(acc, odd, squares, fresh, walk, at);
        }
        if constexpr (L::K_STAGES % 2)
            step(acc, even, squares, fresh, walk, at);
        GemmTurn<C>::give(turn);
        wgmma_wait<0>();
        pin(acc);
        release(walk.last, at);
        cursor = walk.cursor;
    }

    // The factors of this lane's rows, from the squares of the four lanes that share them or as they were kept.
    TF_DEV void settle(const gemm_params &p, Squares &squares, bool fresh, float *factors)
    {
        const int lane = thread_index() % 32, warp = thread_index() % L::WARPGROUP / 32;
        TF_UNROLL
        for (int i = 0; i < 2 * L::SLABS; i++) {
            float &own = squares[i / 2][i % 2][0];
            float *const kept = factors + 64 * (i / 2) + 16 * warp + 8 * (i % 2) + lane / 4;
            if (fresh) {
                own = GemmNorm<C>::factor_of(p, lanes_sum<4>(own + squares[i / 2][i % 2][1]));
                if (lane % 4 == 0)
                    *kept = own;
            } else {
                own = *kept;
            }
        }
        warp_sync();
    }

    TF_DEV void apply(const Squares &factors, Sums &acc)
    {
        TF_UNROLL
        for (int s = 0; s < L::SLABS; s++)
            TF_UNROLL
        for (int i = 0; i < L::REGS; i++)
            acc[s][i] *= factors[s][i % 4 / 2][0];
    }

    // `row`: of the tile, whose first is x's row `first`.
    TF_DEV void multiply(const gemm_params &p, Sums &acc, Cursor &cursor, GemmKept<C> &kept,
        int first, int row, const GemmTiles<C> &at, const GemmTurn<C> &turn)
    {
        Squares squares = {};
        bool fresh;
        const int place = GemmKept<C>::find(kept, first, fresh);
        accumulate(acc, squares, fresh, cursor, row, at, turn);
        settle(p, squares, fresh, GemmKept<C>::factors(place));
        apply(squares, acc);
    }
};
