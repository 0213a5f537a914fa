// rmsnorm_linear_generic.cuh: the product of normalised rows with everything learned at run time
// (gemm_generic.cuh). A slice of x is multiplied by norm_weight, and its squares added up, by the thread
// that loads it.
#pragma once
#include "device/reduce.cuh"
#include "gemm/gemm_generic.cuh"
#include "gemm/rmsnorm_linear_params.h"

struct RmsnormLinearGeneric {
    using G = GemmGeneric;
    static constexpr int EACH = G::TILE * G::SLICE / G::THREADS; // elements of a slice a thread
    static constexpr int ROW_STEP = G::THREADS / G::SLICE;

    TF_DEV void normalise(const rmsnorm_linear_params &p, int k, float (&part)[EACH])
    {
        const int c = thread_index() % G::SLICE;
        const bool weighted = p.norm_weight && k + c < p.gemm.k;
        const float weight = weighted ? G::load(p.norm_weight, p.gemm.dtype, k + c) : 1.0f;
        TF_UNROLL
        for (int i = 0; i < EACH; i++) {
            float *at = G::slice(0) + c * G::PITCH + thread_index() / G::SLICE + ROW_STEP * i;
            part[i] += *at * *at;
            *at *= weight;
        }
    }

    // The factor of each row of the tile, where the slice of x was.
    TF_DEV void leave_factors(const rmsnorm_linear_params &p, const float (&part)[EACH])
    {
        TF_UNROLL
        for (int i = 0; i < EACH; i++) {
            const float sum = lanes_sum<G::SLICE>(part[i]);
            if (thread_index() % G::SLICE == 0)
                G::slice(0)[thread_index() / G::SLICE + ROW_STEP * i] =
                    rsqrt_approx(sum / (float)p.gemm.k + p.eps);
        }
        block_sync(); // every factor is there
    }

    TF_DEV void tile(const rmsnorm_linear_params &p, int row, int col)
    {
        const gemm_params &g = p.gemm;
        float acc[4][4] = {}, part[EACH] = {};
        for (int k = 0; k < g.k; k += G::SLICE) {
            G::fetch(0, g.x, g.dtype, g.x_stride, g.m, g.k, row, k);
            G::fetch(1, g.weight, g.weight_dtype, g.weight_stride, g.n, g.k, col, k);
            normalise(p, k, part);
            block_sync(); // both slices are there
            float sums[4][4] = {};
            G::multiply_slice(sums, G::first_row(), G::first_col());
            G::add_slice(g, acc, sums, row + G::first_row(), col + G::first_col(), k);
            block_sync(); // and may be overwritten
        }
        leave_factors(p, part);
        TF_UNROLL
        for (int i = 0; i < 4; i++)
            TF_UNROLL
        for (int j = 0; j < 4; j++) {
            const int m = row + G::first_row() + i, n = col + G::first_col() + j;
            if (m < g.m && n < g.n)
                G::store(g.out, g.out_dtype, m * g.out_stride + n,
                    G::finish(g, m, n, acc[i][j] * G::slice(0)[G::first_row() + i]));
        }
        block_sync(); // the factors may be overwritten
    }
};

template <class C> TF_DEV void rmsnorm_linear_generic(const rmsnorm_linear_params &p)
{
    using G = GemmGeneric;
    static_assert(
        C::THREADS == G::THREADS && C::SMEM_BYTES >= G::SMEM_BYTES, "the host's geometry agrees");
    const int down = ceil_div(p.gemm.m, G::TILE), across = ceil_div(p.gemm.n, G::TILE);
    for (int index = (int)block_index(); index < down * across; index += (int)block_count())
        RmsnormLinearGeneric::tile(p, index % down * G::TILE, index / down * G::TILE);
}
