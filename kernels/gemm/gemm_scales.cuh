// gemm_scales.cuh: block scales, one for 128 of K of a row of x, one for 128 x 128 of weight.
//
// A tile of K in the ring is one such group, so the scales multiply a consumer's partial sum where it
// is added up. They come straight from global memory, a stage ahead: few enough to stay in registers.
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

// Other scalings: nothing to load, nothing to multiply by.
template <class C, bool BLOCKS = C::SCALING == GEMM_PER_BLOCK> struct GemmScales {
    using L = GemmLayout<C>;
    struct Stage {};
    struct Factors {};

    TF_DEV GemmScales start(const gemm_params &, const GemmTile &, int)
    {
        return {};
    }

    TF_DEV void load(const GemmScales &, const gemm_params &, int, Stage &) {}

    TF_DEV Factors factors(const GemmScales &, const Stage &, int, int)
    {
        return {};
    }

    TF_DEV void add(const Factors &, float &acc, float part, int)
    {
        acc += part;
    }
};

template <class C> struct GemmScales<C, true> {
    using L = GemmLayout<C>;
    static constexpr int GROUPS = ceil_div(C::K, GEMM_GROUP_ELEMS);
    // Of a lane: rows of x in its consumer's slabs, or with SWAP columns of the tile.
    static constexpr int LINES = C::SWAP ? C::BLOCK_N / 4 : 2 * L::SLABS;
    // Blocks of weight that a tile's columns lie in, or with SWAP a consumer's slabs.
    static constexpr int BLOCKS = C::SWAP ? L::SLABS : GEMM_GROUP_ELEMS % C::BLOCK_N ? 2 : 1;
    static_assert(L::PROMOTE && L::BLOCK_K == C::DEPTH * GEMM_GROUP_ELEMS, "a sum for each group");
    static_assert(C::SWAP || C::BLOCK_N <= 160, "columns of at most two blocks");

    struct Stage {
        float x[C::DEPTH][LINES], weight[C::DEPTH][BLOCKS];
    };
    struct Factors {
        float of[C::SWAP ? LINES : 2 * BLOCKS];
        int left;
    };

    int row, col; // of x and of weight, or with SWAP of weight and of x: this lane's first
    int left;     // columns of the tile in its first block

    // `consumer_row`: the first row of the tile that this consumer has.
    TF_DEV GemmScales start(const gemm_params &, const GemmTile &tile, int consumer_row)
    {
        const int thread = thread_index() % L::WARPGROUP, lane = thread % 32;
        GemmScales s;
        s.row = tile.row + consumer_row + (C::SWAP ? 0 : thread / 32 * 16 + lane / 4);
        s.col = tile.col + (C::SWAP ? lane % 4 * 2 : 0);
        s.left = GEMM_GROUP_ELEMS - tile.col % GEMM_GROUP_ELEMS;
        return s;
    }

    TF_DEV void load(const GemmScales &s, const gemm_params &p, int stage, Stage &scales)
    {
        TF_UNROLL
        for (int d = 0; d < C::DEPTH; d++) {
            const int group = min_int(stage * C::DEPTH + d, GROUPS - 1);
            TF_UNROLL
            for (int i = 0; i < LINES; i++)
                scales.x[d][i] = GemmGroups::x(
                    p, C::SWAP ? s.col + i / 2 * 8 + i % 2 : s.row + i / 2 * 64 + i % 2 * 8, group);
            TF_UNROLL
            for (int i = 0; i < BLOCKS; i++)
                scales.weight[d][i] = GemmGroups::weight<C::N>(
                    p, C::SWAP ? s.row + 64 * i : s.col + i * GEMM_GROUP_ELEMS, group);
        }
    }

    // Of a partial sum: tile `d` of a stage, one slab.
    TF_DEV Factors factors(const GemmScales &s, const Stage &scales, int d, int slab)
    {
        Factors f;
        f.left = s.left;
        if constexpr (C::SWAP) {
            TF_UNROLL
            for (int i = 0; i < LINES; i++)
                f.of[i] = scales.x[d][i] * scales.weight[d][slab];
        } else {
            TF_UNROLL
            for (int i = 0; i < 2 * BLOCKS; i++)
                f.of[i] = scales.x[d][2 * slab + i % 2] * scales.weight[d][i / 2];
        }
        return f;
    }

    // Element i of a slab's sums.
    TF_DEV void add(const Factors &f, float &acc, float part, int i)
    {
        const int column = i / 4 * 8, half = i / 2 % 2;
        float factor;
        if constexpr (C::SWAP)
            factor = f.of[i / 4 * 2 + i % 2];
        else if constexpr (BLOCKS == 1)
            factor = f.of[half];
        else
            factor = column < f.left ? f.of[half] : f.of[2 + half];
        acc += part * factor;
    }
};
