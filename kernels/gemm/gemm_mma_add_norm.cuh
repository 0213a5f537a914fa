// gemm_mma_add_norm.cuh: rows of the output normalised in the mma.sync kernel (what: gemm_add_norm.cuh).
//
// With EXCHANGE blocks walk over tiles as on Hopper and normalise from registers. Without it, so without a
// workspace, a block has whole rows: it stores h tile by tile, then reads it again. Known weakness of
// that: few rows are few blocks.
#pragma once
#include "gemm/gemm_add_norm.cuh"

// L: MmaLayout<C>; Acc: its sums.
template <class C, class L, class Acc> struct GemmMmaAddNorm {
    using TO = typename L::TO;
    static constexpr bool EXCHANGE = GemmAddNormed<C>::EXCHANGE;
    static constexpr int TILES = ceil_div(C::N, L::TILE_COLS);
    using Sums = GemmRowSums<C, typename L::RowSums, 0, L::SUMS_AT, TILES>;

    struct Place {
        int row, col;           // of the tile
        int warp_row, warp_col; // in the tile
        int warp;               // of those that share rows
        int q, p;               // lane / 4 and lane % 4
    };

    // h in place of the sums, `finish` their bias and residual; its squares' sums left.
    template <class Finish>
    TF_DEV void settle(const gemm_params &p, Acc &acc, const Place &at, Finish finish)
    {
        TF_UNROLL
        for (int i = 0; i < 2 * L::DOWN; i++) {
            const int line = at.warp_row + 16 * (i / 2) + 8 * (i % 2) + at.q, m = at.row + line;
            float squares = 0;
            TF_UNROLL
            for (int j = 0; j < 2 * L::ACROSS; j++) {
                const int n = at.col + at.warp_col + 8 * (j / 2) + 2 * at.p + j % 2;
                float *sum = &acc[i / 2][j / 2][i % 2 * 2 + j % 2], h = 0;
                if (m < p.m && n < C::N)
                    h = to_f32(from_f32<TO>(finish(m, n, *sum)));
                *sum = h;
                squares += h * h;
            }
            squares = lanes_sum<4>(squares);
            if (at.p == 0)
                Sums::part(at.warp)[line] = squares;
        }
    }

    TF_DEV void store(
        const gemm_params &p, const Acc &acc, const Place &at, void *out, long long stride)
    {
        TF_UNROLL
        for (int i = 0; i < 4 * L::DOWN * L::ACROSS; i++) {
            const int m = at.row + at.warp_row + i / (4 * L::ACROSS) * 16 + i % 4 / 2 * 8 + at.q;
            const int n = at.col + at.warp_col + i / 4 % L::ACROSS * 8 + 2 * at.p + i % 2;
            if (m < p.m && n < C::N)
                st_elem(static_cast<TO *>(out) + m * stride + n,
                    from_f32<TO>(acc[i / (4 * L::ACROSS)][i / 4 % L::ACROSS][i % 4]));
        }
    }

    TF_DEV void normalise(const gemm_params &p, Acc &acc, const Place &at)
    {
        float factor[2 * L::DOWN];
        TF_UNROLL
        for (int i = 0; i < 2 * L::DOWN; i++)
            factor[i] = gemm_add_norm_factor<C>(
                p, Sums::total(at.warp_row + 16 * (i / 2) + 8 * (i % 2) + at.q));
        TF_UNROLL
        for (int j = 0; j < 2 * L::ACROSS; j++) {
            const int n = at.col + at.warp_col + 8 * (j / 2) + 2 * at.p + j % 2;
            const float weight = gemm_add_norm_weight<C>(p, n, n < C::N);
            TF_UNROLL
            for (int i = 0; i < 2 * L::DOWN; i++) {
                float *h = &acc[i / 2][j / 2][i % 2 * 2 + j % 2];
                *h = gemm_add_norm_weighted<C>(*h * factor[i], weight);
            }
        }
    }

    // Of a tile whose sums settle() has left: those of all its rows' tiles, and what follows.
    TF_DEV void exchange(Sums &sums, const gemm_params &p, Acc &acc, const Place &at)
    {
        const linear_add_rmsnorm_params &own = gemm_add_norm(p);
        Sums::say(sums, ceil_div(p.m, C::BLOCK_M), at.row / C::BLOCK_M, at.col / L::TILE_COLS);
        store(p, acc, at, p.out, p.out_stride);
        Sums::hear(sums);
        Sums::meet(sums);
        normalise(p, acc, at);
        store(p, acc, at, own.norm_out, own.norm_out_stride);
    }

    // A block's rows, from what it stored of them.
    TF_DEV void normalise_rows(const gemm_params &p, int row)
    {
        const linear_add_rmsnorm_params &own = gemm_add_norm(p);
        block_sync(); // all of h is there
        for (int line = 0; line < C::BLOCK_M && row + line < p.m; line++) {
            const float factor = gemm_add_norm_factor<C>(p, Sums::share(0)[line]);
            const TO *h = static_cast<const TO *>(p.out) + (row + line) * p.out_stride;
            TO *out = static_cast<TO *>(own.norm_out) + (row + line) * own.norm_out_stride;
            for (int n = thread_index(); n < C::N; n += C::THREADS)
                st_elem(out + n,
                    from_f32<TO>(gemm_add_norm_weighted<C>(to_f32(ld_elem<LD_KEEP>(h + n)) * factor,
                        gemm_add_norm_weight<C>(p, n, true))));
        }
        block_sync(); // the sums may be overwritten
    }
};
