// gemm_pair.cuh: two products of the same rows, joined into one output.
//
//   out = act(gate) * up / out_scale, or gate * act(up) / out_scale, gate and up scaled sums
//
// Shazeer 2020, GLU Variants Improve Transformer. A thread has both sums of a column: block columns
// j and j + OUT_REGS / 4 of a slab, or with SWAP the same place of two slabs.
#pragma once
#include "device/mem.cuh"
#include "gemm/gated_mlp_params.h"
#include "gemm/gemm_layout.cuh"
#include "gemm/gemm_math.cuh"

// Of an operator whose parameters begin with those of a product.
TF_DEV const gated_mlp_params &gemm_pair(const gemm_params &p)
{
    return reinterpret_cast<const gated_mlp_params &>(p);
}

TF_DEV float gemm_join(int act, int activates, float gate, float up)
{
    const bool by_gate = activates == GATED_MLP_GATE;
    return gemm_activate(GEMM_SILU + act, by_gate ? gate : up) * (by_gate ? up : gate);
}

template <class C> struct GemmPair {
    // What multiplies the two sums.
    struct Scale {
        float gate, up;
    };

    // Of one row of x or of both weights; outside the tensor: any.
    TF_DEV Scale side(const gemm_params &p, bool weight_side, int at)
    {
        if constexpr (C::SCALING == GEMM_UNSCALED) {
            return {1, 1};
        } else {
            const int last = weight_side ? C::N - 1 : p.m - 1;
            const int i = C::SCALING == GEMM_PER_ROW ? min_int(at, last) : 0;
            if (weight_side)
                return {ld_elem<LD_CONST>(p.weight_scale + i * p.weight_scale_stride),
                    ld_elem<LD_CONST>(gemm_pair(p).up_scale + i * gemm_pair(p).up_scale_stride)};
            const float x = ld_elem<LD_CONST>(p.x_scale + i * p.x_scale_stride);
            return {x, x};
        }
    }

    TF_DEV float out_factor(const gemm_params &p)
    {
        if constexpr (C::HAS_OUT_SCALE)
            return 1.0f / ld_elem<LD_CONST>(gemm_pair(p).out_scale);
        else
            return 1;
    }

    TF_DEV float value(const Scale &a, const Scale &b, float gate, float up)
    {
        return gemm_join(C::ACT, C::ACTIVATES, gate * (a.gate * b.gate), up * (a.up * b.up));
    }

    // A consumer's sums, `e` naming its place in the output.
    template <class E, int SLABS, int REGS, int OUT_SLABS, int OUT_REGS>
    TF_DEV void join(const E &e, const gemm_params &p, const float (&sum)[SLABS][REGS],
        float (&out)[OUT_SLABS][OUT_REGS])
    {
        constexpr int SLAB_STEP = C::SWAP ? 2 : 1, ACROSS = C::SWAP ? 0 : OUT_REGS; // gate to up
        const float factor = out_factor(p);
        Scale down[OUT_SLABS][2];
        TF_UNROLL
        for (int i = 0; i < 2 * OUT_SLABS; i++)
            down[i / 2][i % 2] =
                side(p, C::SWAP, e.row + i / 2 * 64 + 16 * e.warp + e.q + i % 2 * 8);
        TF_UNROLL
        for (int j = 0; j < OUT_REGS / 2; j++) { // columns of this thread
            const Scale across = side(p, !C::SWAP, e.col + j / 2 * 8 + 2 * e.p + j % 2);
            TF_UNROLL
            for (int s = 0; s < OUT_SLABS; s++)
                TF_UNROLL
            for (int h = 0; h < 2; h++) {
                const int i = j / 2 * 4 + 2 * h + j % 2;
                const float gate = sum[SLAB_STEP * s][i],
                            up = sum[SLAB_STEP * s + C::SWAP][i + ACROSS];
                out[s][i] = value(down[s][h], across, gate, up) * factor;
            }
        }
    }
};
