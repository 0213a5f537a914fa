// gemm_scales.cuh: block scales, one for 128 of K of a row of x, one for 128 x 128 of weight.
//
// A tile of K in the ring is one such group, so a factor, x's scale times weight's, multiplies a
// consumer's partial sum where it is added up. Both scales come into the stage: as far ahead as the ring is
// long, because a step of K is shorter than a load from memory takes. Who brings them:
//
//   rows side by side (x_scale by column, sixteens of bytes)   the thread that loads the operands, in one bulk
//                                                              copy a tile of K
//   any other strides                                          a warp of the producers, by copies of 4 bytes
//
// A kernel without that warp is a tenth faster (docs/notes/gemm.md, section 10).
//
// Products of rows and groups beyond the tensors are zeros or not stored, whatever their scales.
#pragma once
#include "device/cp_async.cuh"
#include "device/mem.cuh"
#include "device/tma.cuh"
#include "gemm/gemm_pipeline.cuh"
#include "gemm/gemm_walk.cuh"

struct GemmGroups {
    // Of row m of x in a group.
    TF_DEV const float *x_at(const gemm_params &p, int m, int group)
    {
        const int row = min_int(m, p.m - 1);
        return p.x_scale + row * p.x_scale_stride + group * p.x_group_stride;
    }

    TF_DEV float x(const gemm_params &p, int m, int group)
    {
        return ld_elem<LD_CONST>(x_at(p, m, group));
    }

    // Of the block with row n of weight.
    template <int N> TF_DEV const float *weight_at(const gemm_params &p, int n, int group)
    {
        const int block = min_int(n, N - 1) / GEMM_GROUP_ELEMS;
        return p.weight_scale + block * p.weight_scale_stride + group;
    }

    template <int N> TF_DEV float weight(const gemm_params &p, int n, int group)
    {
        return ld_elem<LD_CONST>(weight_at<N>(p, n, group));
    }
};

template <class C> struct GemmScales {
    using L = GemmLayout<C>;
    using Cursor = GemmCursor<C>;
    static constexpr bool ON = L::BLOCK_SCALED;
    static constexpr int GROUPS = ceil_div(C::K, GEMM_GROUP_ELEMS);
    static constexpr int LINES = L::SCALE_LINES, BLOCKS = L::SCALE_BLOCKS;
    static constexpr int PITCH = LINES + GEMM_SCALE_PLACES;
    // Columns that surely share a block of weight, where tiles have weight across.
    static constexpr int ALIGNED = C::BLOCK_N & -C::BLOCK_N;
    static constexpr int CHUNK = BLOCKS == 1 ? C::BLOCK_N : min_int(ALIGNED, GEMM_GROUP_ELEMS);
    // Of a consumer's lane, for a slab.
    static constexpr int USED = C::SWAP ? C::BLOCK_N / 4 : 2 * (C::BLOCK_N / CHUNK);
    static_assert(!ON || L::BLOCK_K == C::DEPTH * GEMM_GROUP_ELEMS, "a sum for each group");
    static_assert(!ON || !C::PINGPONG, "all consumers take a stage's scales");
    static_assert(
        !ON || C::SWAP || C::BLOCK_N <= GEMM_GROUP_ELEMS + CHUNK, "columns of at most two blocks");

    struct Factors {
        float of[USED];
    };

    // Scales of tile `depth` of a stage: of x, then of its blocks of weight.
    TF_DEV float *place(u32 stage, int depth)
    {
        return smem_at<float>(L::SCALES_AT) + ((int)stage * C::DEPTH + depth) * PITCH;
    }

    // ---- by the thread that loads the operands ----

    TF_DEV bool in_bulk([[maybe_unused]] const gemm_params &p)
    {
        if constexpr (!ON)
            return false;
        else
            return p.x_scale_stride == 1 && p.x_group_stride % 4 == 0 && p.m % 4 == 0 &&
                   reinterpret_cast<u64>(p.x_scale) % 16 == 0;
    }

    // Who arrives at a stage's barrier: that thread, and the copies of 4 bytes.
    TF_DEV u32 fillers(const gemm_params &p)
    {
        return !ON ? 1 : in_bulk(p) ? 2 : 33;
    }

    // By all threads, before they meet: the rows of a tile that x does not have are never brought.
    TF_DEV void clear([[maybe_unused]] const gemm_params &p)
    {
        if constexpr (ON)
            if (in_bulk(p) && p.m % LINES) {
                for (int i = thread_index(); i < C::STAGES * C::DEPTH * PITCH; i += L::THREADS)
                    place(0, 0)[i] = 0;
                shared_fence_async();
                if constexpr (C::CLUSTER > 1)
                    block_sync(); // blocks that meet order no memory
            }
    }

    // The first of a tile's rows of x; of a block of a cluster that has none any others.
    TF_DEV int first_row(const gemm_params &p, const GemmTile &tile)
    {
        const int first = C::SWAP ? tile.col : tile.row;
        return first < p.m ? first : 0;
    }

    // Of a tile of K, bytes that the copy engine counts.
    TF_DEV u32 bulk_bytes(const gemm_params &p, const GemmTile &tile)
    {
        return 4u * (u32)min_int(LINES, p.m - first_row(p, tile));
    }

    // Stage k of a sum.
    TF_DEV void load(const gemm_params &p, const GemmTile &tile, int k, u32 stage)
    {
        const float *const x = p.x_scale + first_row(p, tile);
        const int weight_first = C::SWAP ? tile.row : tile.col;
        TF_UNROLL
        for (int d = 0; d < C::DEPTH; d++) {
            const int group = min_int(k * C::DEPTH + d, GROUPS - 1);
            float *const to = place(stage, d);
            bulk_load(to, x + group * p.x_group_stride, bulk_bytes(p, tile),
                GemmRing<C>::full(stage));
            TF_UNROLL
            for (int i = 0; i < BLOCKS; i++)
                cp_async<4>(to + LINES + i,
                    GemmGroups::weight_at<C::N>(p, weight_first + i * GEMM_GROUP_ELEMS, group), 4);
        }
        cp_async_arrive(GemmRing<C>::full(stage));
    }

    // ---- by a warp ----

    TF_DEV void produce(const gemm_params &p)
    {
        if (in_bulk(p))
            return;
        const GemmTiles<C> tiles = GemmTiles<C>::start(p);
        GemmWalk<C> walk = GemmWalk<C>::start(tiles);
        GemmPiece piece;
        Cursor cursor = {0, 0};
        while (GemmWalk<C>::next(walk, tiles, piece)) {
            const GemmTile tile = GemmTiles<C>::at(p, tiles, piece.tile);
            for (int k = piece.first; k < piece.first + piece.count; k++) {
                mbar_wait(GemmRing<C>::empty(cursor.stage), cursor.parity ^ 1);
                copy(p, tile, k, cursor.stage);
                cp_async_arrive(GemmRing<C>::full(cursor.stage));
                Cursor::advance(cursor);
            }
        }
    }

    TF_DEV void copy(const gemm_params &p, const GemmTile &tile, int k, u32 stage)
    {
        const int lane = thread_index() % 32;
        const int x_first = C::SWAP ? tile.col : tile.row;
        const int weight_first = C::SWAP ? tile.row : tile.col;
        TF_UNROLL
        for (int d = 0; d < C::DEPTH; d++) {
            const int group = min_int(k * C::DEPTH + d, GROUPS - 1);
            float *const to = place(stage, d);
            TF_UNROLL
            for (int i = 0; i < LINES; i += 32)
                if (i + 32 <= LINES || i + lane < LINES)
                    cp_async<4>(to + i + lane, GemmGroups::x_at(p, x_first + i + lane, group), 4);
            if (lane < BLOCKS)
                cp_async<4>(to + LINES + lane,
                    GemmGroups::weight_at<C::N>(p, weight_first + lane * GEMM_GROUP_ELEMS, group),
                    4);
        }
    }

    // ---- the consumers ----

    // Of a partial sum: tile `depth` of a stage, the slab with row `row` of the tile as its first.
    TF_DEV Factors read(const GemmTile &tile, u32 stage, int depth, int row)
    {
        const int thread = thread_index() % L::WARPGROUP, lane = thread % 32;
        const int left = GEMM_GROUP_ELEMS - (C::SWAP ? tile.row : tile.col) % GEMM_GROUP_ELEMS;
        const float *const x = place(stage, depth), *const weight = x + LINES;
        Factors f;
        if constexpr (C::SWAP) {
            const float scale = weight[BLOCKS > 1 && row >= left];
            TF_UNROLL
            for (int i = 0; i < USED; i++)
                f.of[i] = x[lane % 4 * 2 + i / 2 * 8 + i % 2] * scale;
        } else {
            const int line = row + thread / 32 * 16 + lane / 4;
            TF_UNROLL
            for (int i = 0; i < USED; i++)
                f.of[i] = x[line + i % 2 * 8] * weight[BLOCKS > 1 && i / 2 * CHUNK >= left];
        }
        return f;
    }

    // Element i of a slab's sums.
    TF_DEV void add(const Factors &f, float &acc, float part, int i)
    {
        if constexpr (C::SWAP)
            acc += part * f.of[i / 4 * 2 + i % 2];
        else
            acc += part * f.of[i / 4 * 8 / CHUNK * 2 + i / 2 % 2];
    }
};
