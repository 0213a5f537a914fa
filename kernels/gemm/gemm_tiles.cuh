// gemm_tiles.cuh: which tiles a block computes, in which order.
//
// A cluster takes a rectangle of CLUSTER_M x CLUSTER_N tiles at a time and walks over the rectangles
// by the number of clusters. Order: bands of GROUP rectangles down, within a band column by column,
// so that what runs at the same time shares rows of both operands in L2. Where blocks exchange sums of
// rows, a row's tiles are so near in that order that all of them run at a time.
//
// FULL_TILES: the last one begins so early that it is full. Rows that are not there cost the copy engine,
// which puts zeros in their place, several times what rows cost (docs/notes/gemm.md, section 14). What two
// tiles have they compute alike, and both write it.
//
// TURNS_ROUND: of a block's tiles each begins at the end of K where the one before ended: what was brought last
// L2 still has, and the tiles beside it want it again. Tiles with outputs in common all begin at the first end.
#pragma once
#include "device/cluster.cuh"
#include "device/thread.cuh"
#include "gemm/gemm_layout.cuh"
#include "gemm/gemm_parts.cuh"

struct GemmTile {
    int row, col; // of the first output, in rows of R and of C
    int part;     // of the weight
};

// By rectangles, down and across.
struct GemmRectangle {
    int row, col;
};

// Rectangles down a band. One that waits for another of its rows must not come a step or more before
// it: the block would wait for itself.
template <class C> TF_DEV int gemm_group(int down, int across, int step)
{
    if constexpr (!GemmAddNormed<C>::EXCHANGE)
        return C::GROUP;
    return C::SWAP ? down : max_int(1, min_int(C::GROUP, step / across));
}

template <class C, class L = GemmLayout<C>> struct GemmTiles {
    using Parts = GemmParts<C>;
    static constexpr int ROWS = L::TILE_ROWS * C::CLUSTER_M, COLS = L::TILE_COLS * C::CLUSTER_N;
    static constexpr int WEIGHT_ROWS = C::SWAP ? ROWS : COLS; // of a rectangle
    static constexpr int ANYWHERE = 0x7fffffff;
    static constexpr int TILE_TOKENS = C::SWAP ? L::TILE_COLS : L::TILE_ROWS;
    static constexpr int TILE_WEIGHT = C::SWAP ? L::TILE_ROWS : L::TILE_COLS; // rows
    static constexpr bool FULL_WEIGHT =
        L::FULL_TILES && !Parts::SEVERAL && C::N > TILE_WEIGHT && C::N % 8 == 0;

    int down, across, count; // rectangles
    int next, step, group;
    int rank_m, rank_n; // of this block in its rectangle

    TF_DEV GemmTiles start(const gemm_params &p)
    {
        GemmTiles t;
        constexpr int WEIGHT_TILES = Parts::template tiles<WEIGHT_ROWS>();
        t.down = C::SWAP ? WEIGHT_TILES : ceil_div(p.m, ROWS);
        t.across = C::SWAP ? ceil_div(p.m, COLS) : WEIGHT_TILES;
        t.count = t.down * t.across;
        t.next = (int)(block_index() / C::CLUSTER);
        t.step = (int)(block_count() / C::CLUSTER);
        t.group = gemm_group<C>(t.down, t.across, t.step);
        const int rank = L::MULTICAST ? cluster_rank() % L::RECTANGLE : 0;
        t.rank_m = rank % C::CLUSTER_M;
        t.rank_n = rank / C::CLUSTER_M;
        return t;
    }

    // That a tile begins at: of tokens, of rows of weight. An output that is its residual, too, is read once
    // before it is written. From the parameters, not held in registers beside the sums.
    TF_DEV int last_token(const gemm_params &p)
    {
        const bool full = L::FULL_TILES && p.m > TILE_TOKENS && p.residual != p.out;
        return full ? p.m - TILE_TOKENS : ANYWHERE;
    }

    TF_DEV int last_row(const gemm_params &p)
    {
        return FULL_WEIGHT && p.residual != p.out ? C::N - TILE_WEIGHT : ANYWHERE;
    }

    // The rectangle at a place of the order.
    TF_DEV GemmRectangle find(const GemmTiles &t, int index)
    {
        const int band = index / (t.group * t.across), in_band = index % (t.group * t.across);
        const int first = band * t.group;
        const int height = min_int(t.down - first, t.group);
        return {first + in_band % height, in_band / height};
    }

    // Whether a tile of the rectangle has outputs that one of another has, too.
    TF_DEV bool overlaps(const gemm_params &p, const GemmTiles &t, GemmRectangle at)
    {
        const int tokens = C::SWAP ? t.across : t.down, weight = C::SWAP ? t.down : t.across;
        const bool token = p.m % TILE_TOKENS && (C::SWAP ? at.col : at.row) >= tokens - 2;
        const bool row = C::N % TILE_WEIGHT && (C::SWAP ? at.row : at.col) >= weight - 2;
        return (L::FULL_TILES && token) || (FULL_WEIGHT && row);
    }

    TF_DEV GemmTile at(const gemm_params &p, const GemmTiles &t, int index)
    {
        const GemmRectangle rectangle = find(t, index);
        int row = rectangle.row, col = rectangle.col;
        const GemmPart part = Parts::template find<WEIGHT_ROWS>(C::SWAP ? row : col);
        (C::SWAP ? row : col) = part.tile;
        row = (row * C::CLUSTER_M + t.rank_m) * L::TILE_ROWS;
        col = (col * C::CLUSTER_N + t.rank_n) * L::TILE_COLS;
        return {min_int(row, C::SWAP ? last_row(p) : last_token(p)),
            min_int(col, C::SWAP ? last_token(p) : last_row(p)), part.part};
    }
};
