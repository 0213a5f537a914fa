// gemm_walk.cuh: which parts of which sums a block computes, in which order.
//
// A piece is some stages of K of a tile's sum: all of them, the share of a block in a split, or with
// SPLIT_TAIL a part of one of the last tiles. All clusters have as many whole tiles; those that are left,
// fewer than clusters, are cut along K so that (nearly) all clusters have something of them:
//   several clusters for a tile:   parts of equal length, a cluster each;
//   too many tiles for that:       the greater part of each by a cluster of its own, the rest of EACH tiles
//                                  by one more.
// Clusters with the same part of different tiles read the same stages of K at a time, which L2 has then: a
// cut into ranges of equal length (Osama et al. 2023, Stream-K) reads most of the weight once for each row
// of tiles. Parts behind the first are those of the clusters with small numbers, which start first and which
// the others wait for (gemm_tail.cuh).
#pragma once
#include "gemm/gemm_tiles.cuh"

// Of a sum's parts the `part`th.
struct GemmPiece {
    int tile, first, count; // stages
    int part, parts;
};

// Stages of K of a split's block in every tile, or all.
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

// The tiles that are cut. The same as gemm_tail_of() on the host.
template <class C> struct GemmTail {
    static constexpr int K_STAGES = GemmLayout<C>::K_STAGES;

    int tiles; // 0: none
    int parts; // of a sum
    int each;  // tiles whose rests are a cluster's

    TF_DEV GemmTail of(const GemmTiles<C> &all)
    {
        const int tiles = all.count % all.step, idle = all.step - tiles;
        if (!C::SPLIT_TAIL || tiles == 0)
            return {0, 1, 1};
        if (tiles <= idle) {
            const int parts = min_int(min_int(all.step / tiles, GEMM_MOST_PARTS), K_STAGES);
            return {parts > 1 ? tiles : 0, parts, 1};
        }
        const int each = ceil_div(tiles, idle);
        return {each <= GEMM_MOST_EACH && each < K_STAGES ? tiles : 0, 2, each};
    }

    // Where part `part` begins and the one before it ends.
    TF_DEV int begin(const GemmTail &tail, int part)
    {
        const int shares = tail.each == 1 ? tail.parts : tail.each + 1;
        return part < tail.parts ? ceil_div(K_STAGES * part * tail.each, shares) : K_STAGES;
    }
};

template <class C> struct GemmWalk {
    using Tiles = GemmTiles<C>;
    using Tail = GemmTail<C>;

    int tile, step, end; // the next tile, to the one after it; whole tiles, then those that are cut
    int first, count;    // stages of each
    int part, parts;     // of each sum; parts > 1: of a tile that is cut

    // The first piece is this block's `skipped`th, the next one `each` on.
    TF_DEV GemmWalk start(const Tiles &tiles, int skipped = 0, int each = 1)
    {
        const GemmKRange<C> range = GemmKRange<C>::mine();
        return {tiles.next + skipped * tiles.step, each * tiles.step,
            tiles.count - Tail::of(tiles).tiles, range.first, range.count, 0, 1};
    }

    // What is this block's of the tiles that are cut.
    TF_DEV void turn_to_tail(GemmWalk &walk, const Tiles &tiles)
    {
        const Tail tail = Tail::of(tiles);
        const int cluster = tiles.step - 1 - tiles.next; // counted from the one that starts last
        const int rest = cluster - tail.tiles;           // of those with no beginning of a sum
        const bool begins = rest<0, several = tail.each> 1;
        walk.parts = tail.parts;
        walk.part = begins ? 0 : several ? 1 : 1 + rest / tail.tiles;
        const int at = begins ? cluster : several ? rest * tail.each : rest % tail.tiles;
        const int tiles_each = walk.part >= tail.parts ? 0 : begins ? 1 : tail.each;
        walk.tile = walk.end + at;
        walk.end += min_int(at + tiles_each, tail.tiles);
        walk.step = 1;
        walk.first = Tail::begin(tail, walk.part);
        walk.count = Tail::begin(tail, walk.part + 1) - walk.first;
    }

    TF_DEV bool next(GemmWalk &walk, const Tiles &tiles, GemmPiece &ret_piece)
    {
        if (C::SPLIT_TAIL && walk.tile >= walk.end && walk.parts == 1 && Tail::of(tiles).tiles > 0)
            turn_to_tail(walk, tiles);
        if (walk.tile >= walk.end)
            return false;
        ret_piece = {walk.tile, walk.first, walk.count, walk.part, walk.parts};
        walk.tile += walk.step;
        return true;
    }
};
