// gemm_load.cuh: the producer. One thread fills the ring, tile after tile.
#pragma once
#include "device/tma.cuh"
#include "gemm/gemm_pair.cuh"
#include "gemm/gemm_pipeline.cuh"
#include "gemm/gemm_tiles.cuh"

// Stages of K of this block: all of them, or its share of a split.
template <class C> struct GemmKRange {
    int first, count;

    // Which share: that of its rectangle of the cluster.
    TF_DEV int share()
    {
        return C::SPLIT_K == 1 ? 0 : cluster_rank() / GemmLayout<C>::RECTANGLE;
    }

    TF_DEV GemmKRange mine()
    {
        using L = GemmLayout<C>;
        if constexpr (C::SPLIT_K == 1)
            return {0, L::K_STAGES};
        const int first = share() * L::SPLIT_STAGES;
        return {first, min_int(L::SPLIT_STAGES, L::K_STAGES - first)};
    }
};

// SHARE blocks of a cluster need the same tile of ROWS rows: each loads its part for all of them.
template <int ROWS, int SHARE>
TF_DEV void gemm_load_tile(
    u8 *to, const tensor_map &map, MBar *bar, u64 policy, int k, int row, int part, u16 mask)
{
    constexpr int PART = ROWS / SHARE;
    if constexpr (SHARE == 1)
        tma_load(to, map, bar, policy, k, row);
    else
        tma_load_multicast(to + part * PART * 128, map, bar, policy, mask, k, row + part * PART);
}

// The same of both weights of a pair, PAIR_ROWS of one after as many of the other.
template <class C, int ROWS, int SHARE>
TF_DEV void gemm_load_pair(
    const gemm_params &p, u8 *to, MBar *bar, u64 policy, int k, int row, int part, u16 mask)
{
    constexpr int HALF = GemmLayout<C>::PAIR_ROWS;
    TF_UNROLL
    for (int i = 0; i < ROWS; i += 2 * HALF) {
        gemm_load_tile<HALF, SHARE>(
            to + i * 128, p.weight_map, bar, policy, k, row + i / 2, part, mask);
        gemm_load_tile<HALF, SHARE>(
            to + (i + HALF) * 128, gemm_pair(p).up_map, bar, policy, k, row + i / 2, part, mask);
    }
}

// R of a tile of K, and C of it: the weight or, with its pair, both.
template <class C, bool WEIGHT, int ROWS, int SHARE>
TF_DEV void gemm_load_operand(
    const gemm_params &p, u8 *to, MBar *bar, u64 policy, int k, int row, int part, u16 mask)
{
    if constexpr (WEIGHT && GemmLayout<C>::PAIRED)
        gemm_load_pair<C, ROWS, SHARE>(p, to, bar, policy, k, row, part, mask);
    else
        gemm_load_tile<ROWS, SHARE>(
            to, WEIGHT ? p.weight_map : p.x_map, bar, policy, k, row, part, mask);
}

template <class C> TF_DEV void gemm_produce(const gemm_params &p)
{
    using L = GemmLayout<C>;
    using Ring = GemmRing<C>;
    using Cursor = GemmCursor<C>;
    constexpr int WEIGHT_HINT = C::SWAP ? L2_EVICT_FIRST : L2_NORMAL;
    const u64 r_policy = l2_policy < C::SWAP ? WEIGHT_HINT : L2_NORMAL > ();
    const u64 c_policy = l2_policy < C::SWAP ? L2_NORMAL : WEIGHT_HINT > ();
    const GemmKRange<C> range = GemmKRange<C>::mine();
    const GemmTiles<C> tiles = GemmTiles<C>::start(p);
    // The blocks with the same R tile are those of this block's row of the rectangle.
    const int origin = GemmKRange<C>::share() * L::RECTANGLE;
    u16 r_mask = 0, c_mask = 0;
    for (int i = 0; i < C::CLUSTER_N; i++)
        r_mask |= (u16)(1u << (origin + i * C::CLUSTER_M + tiles.rank_m));
    for (int i = 0; i < C::CLUSTER_M; i++)
        c_mask |= (u16)(1u << (origin + tiles.rank_n * C::CLUSTER_M + i));
    Cursor cursor = {0, 0};
    tma_prefetch_map(p.x_map);
    tma_prefetch_map(p.weight_map);
    if constexpr (L::PAIRED)
        tma_prefetch_map(gemm_pair(p).up_map);
    for (int index = tiles.next; index < tiles.count; index += tiles.step) {
        const GemmTile tile = GemmTiles<C>::at(tiles, index);
        const gemm_params &part = GemmParts<C>::params(p, tile.part);
        for (int k = range.first; k < range.first + range.count; k++) {
            mbar_wait(Ring::empty(cursor.stage), cursor.parity ^ 1);
            MBar *full = Ring::full(cursor.stage);
            mbar_expect(full, L::STAGE_BYTES);
            TF_UNROLL
            for (int d = 0; d < C::DEPTH; d++) {
                const int at = k * L::BLOCK_K + d * (L::ROW_BYTES / L::ELEM);
                gemm_load_operand<C, C::SWAP, C::BLOCK_M, C::CLUSTER_N>(C::SWAP ? part : p,
                    Ring::r_tile(cursor.stage, d), full, r_policy, at, tile.row, tiles.rank_n,
                    r_mask);
                gemm_load_operand<C, !C::SWAP, C::BLOCK_N, C::CLUSTER_M>(C::SWAP ? p : part,
                    Ring::c_tile(cursor.stage, d), full, c_policy, at, tile.col, tiles.rank_m,
                    c_mask);
            }
            Cursor::advance(cursor);
        }
    }
}
