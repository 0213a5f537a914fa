// gated_mlp_generic.cuh: the gated product with everything learned at run time (gemm_generic.cuh):
// the two sums of a tile one after the other.
#pragma once
#include "gemm/gemm_generic.cuh"
#include "gemm/gemm_pair.cuh"

struct GatedMlpGeneric {
    using G = GemmGeneric;

    TF_DEV float finish(const gated_mlp_params &p, int m, int n, float gate, float up)
    {
        const gemm_params &g = p.gemm;
        if (g.scaling != GEMM_UNSCALED) {
            const float x = ld_elem<LD_KEEP>(g.x_scale + m * g.x_scale_stride);
            gate *= x * ld_elem<LD_KEEP>(g.weight_scale + n * g.weight_scale_stride);
            up *= x * ld_elem<LD_KEEP>(p.up_scale + n * p.up_scale_stride);
        }
        const float joined = gemm_join(p.act, p.activates, gate, up);
        return p.out_scale ? joined * (1.0f / ld_elem<LD_KEEP>(p.out_scale)) : joined;
    }

    TF_DEV void tile(const gated_mlp_params &p, int row, int col)
    {
        float gate[4][4] = {}, up[4][4] = {};
        G::sum(p.gemm, p.gemm.weight, p.gemm.weight_stride, row, col, gate);
        G::sum(p.gemm, p.up, p.up_stride, row, col, up);
        TF_UNROLL
        for (int i = 0; i < 4; i++)
            TF_UNROLL
        for (int j = 0; j < 4; j++) {
            const int m = row + G::first_row() + i, n = col + G::first_col() + j;
            if (m < p.gemm.m && n < p.gemm.n)
                G::store(p.gemm.out, p.gemm.out_dtype, m * p.gemm.out_stride + n,
                    finish(p, m, n, gate[i][j], up[i][j]));
        }
    }
};

template <class C> TF_DEV void gated_mlp_generic(const gated_mlp_params &p)
{
    using G = GemmGeneric;
    static_assert(
        C::THREADS == G::THREADS && C::SMEM_BYTES >= G::SMEM_BYTES, "the host's geometry agrees");
    const int down = ceil_div(p.gemm.m, G::TILE), across = ceil_div(p.gemm.n, G::TILE);
    for (int index = (int)block_index(); index < down * across; index += (int)block_count())
        GatedMlpGeneric::tile(p, index % down * G::TILE, index / down * G::TILE);
}
