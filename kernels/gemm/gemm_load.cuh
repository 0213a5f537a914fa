// gemm_load.cuh: the producer. One thread fills the ring, tile after tile.
#pragma once
#include "device/pdl.cuh"
#include "device/tma.cuh"
#include "gemm/gemm_norm_part.cuh"
#include "gemm/gemm_pair.cuh"
#include "gemm/gemm_pipeline.cuh"
#include "gemm/gemm_scales.cuh"
#include "gemm/gemm_walk.cuh"

// Rows of x that a block brings of a tile. Where one tile has all tokens no more than there are: the copy engine
// takes longer to put zeros in the place of a row than to bring one (docs/notes/gemm.md, section 14). What is in
// the other rows, anything, comes to rows of the sums that are not stored.
template <class C> struct GemmXRows {
    using L = GemmLayout<C>;
    static constexpr int SHARE = C::SWAP ? C::CLUSTER_M : C::CLUSTER_N; // blocks that bring a tile

    // Of each of these blocks. The same as gemm_x_box() on the host.
    TF_DEV int each(const gemm_params &p)
    {
        return L::NORMED ? L::X_ROWS / SHARE : ceil_div(min_int(p.m, L::X_ROWS), SHARE);
    }

    // Of a stage, of all of them.
    TF_DEV u32 stage_bytes(const gemm_params &p)
    {
        return (u32)(C::DEPTH * SHARE * L::ROW_BYTES * each(p));
    }
};

// The boxes of a tile of ROWS rows that this block brings, its part of those that SHARE blocks of a cluster
// need: act(map, first row, its place in the tile). Of the weight's tile with its pair PAIR_ROWS are of
// one after as many of the other.
template <class C, bool WEIGHT, int ROWS, int SHARE, class ACT>
TF_DEV void gemm_each_box(const gemm_params &p, int row, int rank, ACT act)
{
    constexpr bool PAIRED = WEIGHT && GemmLayout<C>::PAIRED;
    constexpr int BOX = PAIRED ? GemmLayout<C>::PAIR_ROWS : ROWS;
    const int part = SHARE > 1 ? rank * (WEIGHT ? BOX / SHARE : GemmXRows<C>::each(p)) : 0;
    if constexpr (PAIRED) {
        TF_UNROLL
        for (int i = 0; i < ROWS; i += 2 * BOX) {
            act(p.weight_map, row + i / 2 + part, i + part);
            act(gemm_pair(p).up_map, row + i / 2 + part, i + BOX + part);
        }
    } else {
        act(WEIGHT ? p.weight_map : p.x_map, row + part, part);
    }
}

// R of a tile of K, or C of it.
template <class C, bool WEIGHT, int HINT, int ROWS, int SHARE>
TF_DEV void gemm_load_operand(
    const gemm_params &p, u8 *to, MBar *bar, int k, int row, int rank, u16 mask)
{
    gemm_each_box<C, WEIGHT, ROWS, SHARE>(
        p, row, rank, [&](const tensor_map &map, int first, int place) {
            if constexpr (SHARE == 1)
                tma_load<HINT>(to + place * 128, map, bar, k, first);
            else
                tma_load_multicast<HINT>(to + place * 128, map, bar, mask, k, first);
        });
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
    bool once, scales; // tiles of the weight are read once; block scales are loaded, too

    TF_DEV GemmProducer start(const gemm_params &p)
    {
        GemmProducer it = {Tiles::start(p), 0, 0, false, GemmScales<C>::in_bulk(p)};
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
        if constexpr (L::BLOCK_SCALED && (WHICH & X))
            if (it.scales)
                GemmScales<C>::load(p, tile, k, stage);
        if constexpr (WHICH & X)
            GemmNormPart<C>::load(p, k, stage);
    }

    // That a stage waits for.
    TF_DEV u32 stage_bytes(
        [[maybe_unused]] const GemmProducer &it, const gemm_params &p, const GemmTile &tile)
    {
        constexpr int WEIGHT_BYTES = C::DEPTH * (C::SWAP ? L::R_BYTES : L::C_BYTES);
        const u32 bytes = WEIGHT_BYTES + GemmXRows<C>::stage_bytes(p) + GemmNormPart<C>::BYTES;
        if constexpr (L::BLOCK_SCALED)
            if (it.scales)
                return bytes + C::DEPTH * GemmScales<C>::bulk_bytes(p, tile);
        return bytes;
    }

    // Where no tile of the weight is read twice, what one needs first comes to L2 while the kernel before
    // this one ends: a quarter of a sum. All that the ring holds makes a K of 3584 9 to 14% slower.
    TF_DEV void prefetch(
        const GemmProducer &it, const gemm_params &p, const GemmTile &tile, const GemmPiece &piece)
    {
        constexpr int ROWS = C::SWAP ? C::BLOCK_M : C::BLOCK_N;
        constexpr int SHARE = C::SWAP ? C::CLUSTER_N : C::CLUSTER_M;
        const gemm_params &part = GemmParts<C>::params(p, tile.part);
        const int row = C::SWAP ? tile.row : tile.col;
        const int rank = C::SWAP ? it.tiles.rank_n : it.tiles.rank_m;
        const int count = it.once ? min_int(C::STAGES, (piece.count + 3) / 4) * C::DEPTH : 0;
        for (int i = 0; i < count; i++)
            gemm_each_box<C, true, ROWS, SHARE>(
                part, row, rank, [&](const tensor_map &map, int first, int) {
                    tma_prefetch(map,
                        piece.first * L::BLOCK_K + i * (L::ROW_BYTES / L::ELEM), first);
                });
    }

    // The first stages, of which a constant weight need not wait for earlier kernels; how many.
    TF_DEV int begin(
        const GemmProducer &it, const gemm_params &p, const GemmTile &tile, const GemmPiece &piece)
    {
        const int count = min_int(C::STAGES, piece.count);
        const u32 bytes = stage_bytes(it, p, tile);
        for (int i = 0; i < count; i++) {
            mbar_expect(Ring::full((u32)i), bytes);
            load<WEIGHT>(it, p, tile, piece.first + i, (u32)i);
        }
        pdl_wait();
        for (int i = 0; i < count; i++)
            load<X>(it, p, tile, piece.first + i, (u32)i);
        return count;
    }

    // Whether a tile's stages may come from the last one to the first (gemm_tiles.cuh).
    TF_DEV bool turns_round(const gemm_params &p, const Tiles &tiles, int index)
    {
        if constexpr (!L::TURNS_ROUND)
            return false;
        return !Tiles::overlaps(p, tiles, Tiles::find(tiles, index));
    }

    // Until every block that shares this one's tiles has let go of them: no arrival is under way to a block
    // that has ended.
    TF_DEV void drain(Cursor &cursor)
    {
        for (int i = 0; i < C::STAGES; i++) {
            mbar_wait(Ring::empty(cursor.stage), cursor.parity ^ 1);
            Cursor::advance(cursor);
        }
    }

    TF_DEV void run(const gemm_params &p)
    {
        const GemmProducer it = start(p);
        Cursor cursor = {0, 0};
        tma_prefetch_map(p.x_map);
        tma_prefetch_map(p.weight_map);
        if constexpr (L::PAIRED)
            tma_prefetch_map(gemm_pair(p).up_map);
        if constexpr (GemmNormPart<C>::ON)
            tma_prefetch_map(gemm_norm(p).norm_map);
        GemmWalk<C> walk = GemmWalk<C>::start(it.tiles);
        GemmPiece piece;
        bool first = C::PDL, odd = false;
        while (GemmWalk<C>::next(walk, it.tiles, piece)) {
            const GemmTile tile = Tiles::at(p, it.tiles, piece.tile);
            int done = 0;
            if (first) {
                first = false;
                if constexpr (L::EARLY) {
                    done = begin(it, p, tile, piece);
                    Cursor::skip(cursor, (u32)done);
                } else {
                    prefetch(it, p, tile, piece);
                    pdl_wait();
                }
            }
            const u32 bytes = stage_bytes(it, p, tile);
            const bool back = odd && turns_round(p, it.tiles, piece.tile);
            odd = !odd;
            for (int i = done; i < piece.count; i++) {
                mbar_wait(Ring::empty(cursor.stage), cursor.parity ^ 1);
                const int k = piece.first + (back ? piece.count - 1 - i : i);
                mbar_expect(Ring::full(cursor.stage), bytes);
                load<BOTH>(it, p, tile, k, cursor.stage);
                Cursor::advance(cursor);
            }
        }
        if constexpr (L::MULTICAST)
            drain(cursor);
    }
};
