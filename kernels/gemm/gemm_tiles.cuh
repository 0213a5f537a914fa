// gemm_tiles.cuh: which tiles a block computes, in which order.
//
// A cluster takes a rectangle of CLUSTER_M x CLUSTER_N tiles at a time and walks over the rectangles
// by the number of clusters. Order: bands of GROUP rectangles down, within a band column by column,
// so that what runs at the same time shares rows of both operands in L2.
#pragma once
#include "device/cluster.cuh"
#include "device/thread.cuh"
#include "gemm/gemm_layout.cuh"
#include "gemm/gemm_parts.cuh"

struct GemmTile {
    int row, col; // of the first output, in rows of R and of C
    int part;     // of the weight
};

template <class C> struct GemmTiles {
    using L = GemmLayout<C>;
    using Parts = GemmParts<C>;
    static constexpr int ROWS = L::TILE_ROWS * C::CLUSTER_M, COLS = L::TILE_COLS * C::CLUSTER_N;
    static constexpr int WEIGHT_ROWS = C::SWAP ? ROWS : COLS; // of a rectangle

    int down, across, count; // rectangles
    int next, step;
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
        const int rank = L::MULTICAST ? cluster_rank() % L::RECTANGLE : 0;
        t.rank_m = rank % C::CLUSTER_M;
        t.rank_n = rank / C::CLUSTER_M;
        return t;
    }

    TF_DEV GemmTile at(const GemmTiles &t, int index)
    {
        const int band = index / (C::GROUP * t.across), in_band = index % (C::GROUP * t.across);
        const int first = band * C::GROUP;
        const int height = min_int(t.down - first, C::GROUP);
        int row = first + in_band % height, col = in_band / height;
        const GemmPart part = Parts::template find<WEIGHT_ROWS>(C::SWAP ? row : col);
        (C::SWAP ? row : col) = part.tile;
        return {(row * C::CLUSTER_M + t.rank_m) * L::TILE_ROWS,
            (col * C::CLUSTER_N + t.rank_n) * L::TILE_COLS, part.part};
    }
};
