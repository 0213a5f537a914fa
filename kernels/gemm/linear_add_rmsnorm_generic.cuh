// linear_add_rmsnorm_generic.cuh: the product with normalised rows, everything learned at run time
// (gemm_generic.cuh). A block has whole rows: it stores h tile by tile, adds up its squares, and reads
// it again.
#pragma once
#include "device/reduce.cuh"
#include "gemm/gemm_generic.cuh"
#include "gemm/linear_add_rmsnorm_params.h"
#include "norm/norm_params.h"

struct LinearAddRmsnormGeneric {
    using G = GemmGeneric;
    static constexpr int LANES = 16; // threads of a row

    TF_DEV float round(int dtype, float x)
    {
        return dtype == DTYPE_F16 ? to_f32(from_f32<f16>(x)) : to_f32(from_f32<bf16>(x));
    }

    // A tile of h; its squares to those of this thread's rows.
    TF_DEV void make(const gemm_params &p, int row, int col, float (&squares)[4])
    {
        float acc[4][4] = {};
        G::sum(p, p.weight, p.weight_stride, row, col, acc);
        TF_UNROLL
        for (int i = 0; i < 4; i++)
            TF_UNROLL
        for (int j = 0; j < 4; j++) {
            const int m = row + G::first_row() + i, n = col + G::first_col() + j;
            if (m < p.m && n < p.n) {
                const float h = round(p.out_dtype, G::finish(p, m, n, acc[i][j]));
                G::store(p.out, p.out_dtype, m * p.out_stride + n, h);
                squares[i] += h * h;
            }
        }
    }

    TF_DEV float weighted(const linear_add_rmsnorm_params &p, float normed, int n)
    {
        const float weight = G::load(p.norm_weight, p.gemm.out_dtype, n);
        if (p.weight_variant == NORM_ROUND_BEFORE)
            normed = round(p.gemm.out_dtype, normed);
        return normed * (p.weight_variant == NORM_ONE_PLUS ? weight + 1.0f : weight);
    }

    // The rows from `row` on.
    TF_DEV void rows(const linear_add_rmsnorm_params &p, int row)
    {
        const gemm_params &g = p.gemm;
        float *factors = G::slice(0), squares[4] = {};
        for (int col = 0; col < g.n; col += G::TILE)
            make(g, row, col, squares);
        TF_UNROLL
        for (int i = 0; i < 4; i++) {
            const float sum = lanes_sum<LANES>(squares[i]);
            if (thread_index() % LANES == 0)
                factors[G::first_row() + i] = rsqrt_approx(sum / (float)g.n + p.eps);
        }
        block_sync(); // h and every factor are there
        for (int line = 0; line < G::TILE && row + line < g.m; line++)
            for (int n = thread_index(); n < g.n; n += G::THREADS) {
                const long long m = row + line;
                const float h = G::load(g.out, g.out_dtype, m * g.out_stride + n);
                G::store(p.norm_out, g.out_dtype, m * p.norm_out_stride + n,
                    weighted(p, h * factors[line], n));
            }
        block_sync(); // the factors may be overwritten
    }
};

template <class C> TF_DEV void linear_add_rmsnorm_generic(const linear_add_rmsnorm_params &p)
{
    using G = GemmGeneric;
    static_assert(
        C::THREADS == G::THREADS && C::SMEM_BYTES >= G::SMEM_BYTES, "the host's geometry agrees");
    for (int row = (int)block_index() * G::TILE; row < p.gemm.m;
         row += (int)block_count() * G::TILE)
        LinearAddRmsnormGeneric::rows(p, row);
}
