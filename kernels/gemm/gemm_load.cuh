// gemm_load.cuh: the producer. One thread fills the ring, tile after tile.
#pragma once
#include "device/pdl.cuh"
#include "device/tma.cuh"
#include "gemm/gemm_pair.cuh"
#include "gemm/gemm_pipeline.cuh"
#include "gemm/gemm_walk.cuh"

// SHARE blocks of a cluster need the same tile of ROWS rows: each loads its part for all of them.
template <int HINT, int ROWS, int SHARE>
TF_DEV void gemm_load_tile(
    u8 *to, const tensor_map &map, MBar *bar, int k, int row, int part, u16 mask)
{
    constexpr int PART = ROWS / SHARE;
    if constexpr (SHARE == 1)
        tma_load<HINT>(to, map, bar, k, row);
    else
        tma_load_multicast<HINT>(to + part * PART * 128, map, bar, mask, k, row + part * PART);
}

// The same of both weights of a pair, PAIR_ROWS of one after as many of the other.
template <class C, int HINT, int ROWS, int SHARE>
TF_DEV void gemm_load_pair(
    const gemm_params &p, u8 *to, MBar *bar, int k, int row, int part, u16 mask)
{
    constexpr int HALF = GemmLayout<C>::PAIR_ROWS;
    TF_UNROLL
    for (int i = 0; i < ROWS; i += 2 * HALF) {
        gemm_load_tile<HINT, HALF, SHARE>(
            to + i * 128, p.weight_map, bar, k, row + i / 2, part, mask);
        gemm_load_tile<HINT, HALF, SHARE>(
            to + (i + HALF) * 128, gemm_pair(p).up_map, bar, k, row + i / 2, part, mask);
    }
}

// R of a tile of K, and C of it: the weight or, with its pair, both.
template <class C, bool WEIGHT, int HINT, int ROWS, int SHARE>
TF_DEV void gemm_load_operand(
    const gemm_params &p, u8 *to, MBar *bar, int k, int row, int part, u16 mask)
{
    if constexpr (WEIGHT && GemmLayout<C>::PAIRED)
        gemm_load_pair<C, HINT, ROWS, SHARE>(p, to, bar, k, row, part, mask);
    else
        gemm_load_tile<HINT, ROWS, SHARE>(
            to, WEIGHT ? p.weight_map : p.x_map, bar, k, row, part, mask);
}

// The residual of a tile, which its end waits for: some rows with stage k, all with the last one.
template <class C>
TF_DEV void gemm_prefetch_residual(const gemm_params &p, const GemmTile &tile, int k)
{
    using L = GemmLayout<C>;
    using TO = typename L::TO;
    constexpr int EACH = ceil_div(L::X_ROWS, L::K_STAGES), WHOLE = 16 / (int)sizeof(TO);
    const int first = C::SWAP ? tile.col : tile.row, n = C::SWAP ? tile.row : tile.col;
    const int columns = min_int(L::N_ROWS, C::N - n) / WHOLE * WHOLE;
    const int end = min_int(p.m, first + min_int(L::X_ROWS, (k + 1) * EACH));
    for (int m = first + k * EACH; columns > 0 && m < end; m++)
        bulk_prefetch(static_cast<const TO *>(p.residual) + m * p.residual_stride + n,
            (u32)(columns * (int)sizeof(TO)));
}

// The producing thread: which blocks share its tiles, whether the weight is read once.
template <class C> struct GemmProducer {
    using L = GemmLayout<C>;
    using Ring = GemmRing<C>;
    using Cursor = GemmCursor<C>;
    using Tiles = GemmTiles<C>;
    enum { WEIGHT = 1, X = 2, BOTH = WEIGHT | X };

    Tiles tiles;
    u16 r_mask, c_mask;
    bool once;

    TF_DEV GemmProducer start(const gemm_params &p)
    {
        GemmProducer it = {Tiles::start(p), 0, 0, false};
        it.once = (C::SWAP ? it.tiles.across : it.tiles.down) == 1;
        // The blocks with the same R tile are those of this block's row of the rectangle.
        const int origin = GemmKRange<C>::share() * L::RECTANGLE;
        for (int i = 0; i < C::CLUSTER_N; i++)
            it.r_mask |= (u16)(1u << (origin + i * C::CLUSTER_M + it.tiles.rank_m));
        for (int i = 0; i < C::CLUSTER_M; i++)
            it.c_mask |= (u16)(1u << (origin + it.tiles.rank_n * C::CLUSTER_M + i));
        return it;
    }

    // One operand of a tile of K: R or C.
    template <bool R, int HINT>
    TF_DEV void load_part(const GemmProducer &it, const gemm_params &p, const GemmTile &tile,
        u8 *to, MBar *full, int at)
    {
        constexpr bool WEIGHED = R == (bool)C::SWAP;
        if constexpr (R)
            gemm_load_operand<C, WEIGHED, HINT, C::BLOCK_M, C::CLUSTER_N>(
                p, to, full, at, tile.row, it.tiles.rank_n, it.r_mask);
        else
            gemm_load_operand<C, WEIGHED, HINT, C::BLOCK_N, C::CLUSTER_M>(
                p, to, full, at, tile.col, it.tiles.rank_m, it.c_mask);
    }

    // Stage k of a sum, one operand of it or both.
    template <int WHICH>
    TF_DEV void load(
        const GemmProducer &it, const gemm_params &p, const GemmTile &tile, int k, u32 stage)
    {
        const gemm_params &part = GemmParts<C>::params(p, tile.part);
        MBar *full = Ring::full(stage);
        TF_UNROLL
        for (int d = 0; d < C::DEPTH; d++) {
            const int at = k * L::BLOCK_K + d * (L::ROW_BYTES / L::ELEM);
            u8 *const r = Ring::r_tile(stage, d), *const c = Ring::c_tile(stage, d);
            u8 *const weight = C::SWAP ? r : c, *const x = C::SWAP ? c : r;
            if constexpr (WHICH & WEIGHT) {
                if (it.once)
                    load_part<C::SWAP, L2_EVICT_FIRST>(it, part, tile, weight, full, at);
                else
                    load_part<C::SWAP, L2_NORMAL>(it, part, tile, weight, full, at);
            }
            if constexpr (WHICH & X)
                load_part<!C::SWAP, L2_NORMAL>(it, p, tile, x, full, at);
        }
    }

    // The first stages, of which a constant weight need not wait for earlier kernels; how many.
    TF_DEV int begin(
        const GemmProducer &it, const gemm_params &p, const GemmTile &tile, const GemmPiece &piece)
    {
        const int count = min_int(C::STAGES, piece.count);
        for (int i = 0; i < count; i++) {
            mbar_expect(Ring::full((u32)i), L::STAGE_BYTES);
            load<WEIGHT>(it, p, tile, piece.first + i, (u32)i);
        }
        pdl_wait();
        for (int i = 0; i < count; i++)
            load<X>(it, p, tile, piece.first + i, (u32)i);
        return count;
    }

    TF_DEV void run(const gemm_params &p)
    {
        const GemmProducer it = start(p);
        Cursor cursor = {0, 0};
        tma_prefetch_map(p.x_map);
        tma_prefetch_map(p.weight_map);
        if constexpr (L::PAIRED)
            tma_prefetch_map(gemm_pair(p).up_map);
        GemmWalk<C> walk = GemmWalk<C>::start(it.tiles);
        GemmPiece piece;
        bool early = L::EARLY;
        while (GemmWalk<C>::next(walk, it.tiles, piece)) {
            const GemmTile tile = Tiles::at(it.tiles, piece.tile);
            int done = 0;
            if (early) {
                done = begin(it, p, tile, piece);
                Cursor::skip(cursor, (u32)done);
                early = false;
            }
            for (int i = done; i < piece.count; i++) {
                if constexpr (L::ADD_NORMED)
                    gemm_prefetch_residual<C>(p, tile, i);
                mbar_wait(Ring::empty(cursor.stage), cursor.parity ^ 1);
                mbar_expect(Ring::full(cursor.stage), L::STAGE_BYTES);
                load<BOTH>(it, p, tile, piece.first + i, cursor.stage);
                Cursor::advance(cursor);
            }
        }
    }
};
