// gemm_scales.cuh: block scales, one for 128 of K of a row of x, one for 128 x 128 of weight.
//
// A tile of K in the ring is one such group, so a factor multiplies a consumer's partial sum where it
// is added up. Two more warps of the producers make the factors, x's scale times weight's, and leave
// them in a small ring of its own in shared memory: read in the loop itself, a scale that is late keeps
// the next product from being issued (30% of the time of a large product).
//
// Rows and groups beyond the tensors take the last one's scale; their products are zeros or not stored.
#pragma once
#include "device/mem.cuh"
#include "gemm/gemm_load.cuh"

struct GemmGroups {
    // Of row m of x in a group.
    TF_DEV float x(const gemm_params &p, int m, int group)
    {
        const int row = min_int(m, p.m - 1);
        return ld_elem<LD_CONST>(p.x_scale + row * p.x_scale_stride + group * p.x_group_stride);
    }

    // Of the block with row n of weight.
    template <int N> TF_DEV float weight(const gemm_params &p, int n, int group)
    {
        const int block = min_int(n, N - 1) / GEMM_GROUP_ELEMS;
        return ld_elem<LD_CONST>(p.weight_scale + block * p.weight_scale_stride + group);
    }
};

// A place in the ring of factors; `parity` of its barriers' phase.
struct GemmScaleCursor {
    u32 stage, parity;
};

template <class C> struct GemmScales {
    using L = GemmLayout<C>;
    static constexpr bool ON = L::BLOCK_SCALED;
    static constexpr int GROUPS = ceil_div(C::K, GEMM_GROUP_ELEMS);
    static constexpr int LINES = L::SCALE_LINES, BLOCKS = L::SCALE_BLOCKS;
    // Of a lane of the warps that make them; of a consumer's lane, for a slab.
    static constexpr int MADE = ceil_div(LINES, 32), USED = C::SWAP ? C::BLOCK_N / 4 : 2 * BLOCKS;
    static_assert(!ON || L::BLOCK_K == C::DEPTH * GEMM_GROUP_ELEMS, "a sum for each group");
    static_assert(!ON || !C::PINGPONG, "all consumers take the factors in one order");
    static_assert(!ON || C::SWAP || C::BLOCK_N <= 160, "columns of at most two blocks");

    struct Factors {
        float of[USED];
        int left; // columns of the tile in its first block of weight
    };

    TF_DEV MBar *full(u32 stage)
    {
        return smem_at<MBar>(L::SCALE_BARRIER_AT) + stage;
    }

    TF_DEV MBar *empty(u32 stage)
    {
        return smem_at<MBar>(L::SCALE_BARRIER_AT) + L::SCALE_STAGES + stage;
    }

    // Factor `line` of a group of a stage, with block `block` of the tile's.
    TF_DEV float *place(u32 stage, int depth, int block, int line)
    {
        return smem_at<float>(L::SCALES_AT) +
               (((int)stage * C::DEPTH + depth) * BLOCKS + block) * LINES + line;
    }

    TF_DEV void init()
    {
        for (u32 s = 0; ON && s < L::SCALE_STAGES; s++) {
            mbar_init(full(s), 1);
            mbar_init(empty(s), 4 * L::SHARERS); // warps
        }
    }

    TF_DEV void advance(GemmScaleCursor &cursor)
    {
        cursor.stage ^= 1;
        cursor.parity ^= cursor.stage ^ 1;
    }

    // ---- the warps that make them ----

    // Each has a stage of the ring: a step of K is shorter than a load from memory takes.
    TF_DEV void produce(const gemm_params &p, u32 mine)
    {
        const GemmTiles<C> tiles = GemmTiles<C>::start(p);
        GemmWalk<C> walk = GemmWalk<C>::start(tiles);
        GemmPiece piece;
        GemmScaleCursor cursor = {0, 0};
        while (GemmWalk<C>::next(walk, tiles, piece)) {
            const GemmTile tile = GemmTiles<C>::at(tiles, piece.tile);
            for (int k = piece.first; k < piece.first + piece.count; k++) {
                if (cursor.stage == mine)
                    make(p, tile, k, cursor);
                advance(cursor);
            }
        }
    }

    TF_DEV void make(
        const gemm_params &p, const GemmTile &tile, int k, const GemmScaleCursor &cursor)
    {
        float x[C::DEPTH][MADE], weight[C::DEPTH][BLOCKS];
        fetch(p, tile, k, x, weight);
        mbar_wait(empty(cursor.stage), cursor.parity ^ 1);
        leave(cursor.stage, x, weight);
        warp_sync();
        if (thread_index() % 32 == 0)
            mbar_arrive(full(cursor.stage));
    }

    TF_DEV void fetch(const gemm_params &p, const GemmTile &tile, int k, float (&x)[C::DEPTH][MADE],
        float (&weight)[C::DEPTH][BLOCKS])
    {
        const int x_first = (C::SWAP ? tile.col : tile.row) + thread_index() % 32;
        const int weight_first = C::SWAP ? tile.row : tile.col;
        TF_UNROLL
        for (int d = 0; d < C::DEPTH; d++) {
            const int group = min_int(k * C::DEPTH + d, GROUPS - 1);
            TF_UNROLL
            for (int i = 0; i < MADE; i++)
                x[d][i] = GemmGroups::x(p, x_first + 32 * i, group);
            TF_UNROLL
            for (int b = 0; b < BLOCKS; b++)
                weight[d][b] =
                    GemmGroups::weight<C::N>(p, weight_first + b * GEMM_GROUP_ELEMS, group);
        }
    }

    TF_DEV void leave(
        u32 stage, const float (&x)[C::DEPTH][MADE], const float (&weight)[C::DEPTH][BLOCKS])
    {
        TF_UNROLL
        for (int d = 0; d < C::DEPTH; d++)
            TF_UNROLL
        for (int b = 0; b < BLOCKS; b++)
            TF_UNROLL
        for (int i = 0; i < MADE; i++) {
            const int line = thread_index() % 32 + 32 * i;
            if (line < LINES)
                *place(stage, d, b, line) = x[d][i] * weight[d][b];
        }
    }

    // ---- the consumers ----

    // Of a partial sum: tile `depth` of a stage, the slab with row `row` of the tile as its first.
    TF_DEV Factors read(const GemmTile &tile, const GemmScaleCursor &cursor, int depth, int row)
    {
        const int thread = thread_index() % L::WARPGROUP, lane = thread % 32;
        const int weight_first = C::SWAP ? tile.row : tile.col;
        Factors f;
        f.left = GEMM_GROUP_ELEMS - weight_first % GEMM_GROUP_ELEMS;
        if constexpr (C::SWAP) {
            const float *at = place(cursor.stage, depth, BLOCKS > 1 && row >= f.left, lane % 4 * 2);
            TF_UNROLL
            for (int i = 0; i < USED; i++)
                f.of[i] = at[i / 2 * 8 + i % 2];
        } else {
            TF_UNROLL
            for (int i = 0; i < USED; i++)
                f.of[i] = *place(
                    cursor.stage, depth, i / 2, row + thread / 32 * 16 + lane / 4 + i % 2 * 8);
        }
        return f;
    }

    TF_DEV void wait(const GemmScaleCursor &cursor)
    {
        if constexpr (ON)
            mbar_wait(full(cursor.stage), cursor.parity);
    }

    // By all threads of a consumer, after their last read of the stage.
    TF_DEV void release(GemmScaleCursor &cursor)
    {
        if constexpr (ON) {
            warp_sync();
            if (thread_index() % 32 == 0)
                mbar_arrive(empty(cursor.stage));
            advance(cursor);
        }
    }

    // Element i of a slab's sums.
    TF_DEV void add(const Factors &f, float &acc, float part, int i)
    {
        const int half = i / 2 % 2;
        if constexpr (C::SWAP)
            acc += part * f.of[i / 4 * 2 + i % 2];
        else if constexpr (BLOCKS == 1)
            acc += part * f.of[half];
        else
            acc += part * (i / 4 * 8 < f.left ? f.of[half] : f.of[2 + half]);
    }
};
