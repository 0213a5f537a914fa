// gated_act.cu: gated activation of rows, optionally quantised to fp8.
//
//   out = act(gate) * up        silu: x / (1 + e^-x)        gelu: x * Phi(x)
//                               gelu_tanh: x / (1 + e^-2u), u = sqrt(2 / pi) * (x + 0.044715 x^3)
//
// Shazeer, "GLU Variants Improve Transformer", 2020. All arithmetic is fp32, in forms that do not
// cancel where the activation is small (device/math.cuh). fp8: quant/quant.cuh; per token the values
// wait in fp32 for the row's amax, per group they are quantised as they come.
//
// Flow, tunables, shared memory and synchronisation: row/row.cuh. Without a reduction CLUSTER is what
// spreads a row over blocks; with one unit a thread the blocks are those of a copy.
#include "activation/gated_act_params.h"
#include "quant/quant.cuh"
#include "row/plain.cuh"
#include "row/row_generic.cuh"

TF_DEV float gated_act_gelu_tanh(float x)
{
    constexpr float TWICE = 1.5957691216f, CUBE = TWICE * 0.044715f; // 2 sqrt(2 / pi)
    return x * sigmoid(x * (TWICE + CUBE * x * x));
}

TF_DEV float gated_act_of(int act, float x)
{
    return act == GATED_ACT_BY_SILU   ? x * sigmoid(x)
           : act == GATED_ACT_BY_GELU ? x * normal_cdf(x)
                                      : gated_act_gelu_tanh(x);
}

template <class C>
struct GatedActOp : RowPlain<gated_act_params, typename C::DTYPE>,
                    RowQuantised<C, typename C::OUT_DTYPE, C::GRANULARITY == 1> {
    using T = typename C::DTYPE;
    using OUT = typename C::OUT_DTYPE;
    using H = float;
    using Quantised = RowQuantised<C, OUT, C::GRANULARITY == 1>;
    static constexpr int WIDTH = C::FFN, INPUTS = 2;
    static constexpr bool WAITS_RAW = false, MAY_SHIFT = Quantised::GROUP == 0;

    const gated_act_params &p;

    TF_METHOD GatedActOp(const gated_act_params &params) : Quantised(params.quant), p(params) {}

    // ---- addresses and run-time values ----

    TF_DEV auto input(const gated_act_params &p, int k, long long row)
    {
        return k == 0 ? elements<T>(p.gate, p.dtype, row * p.gate_stride)
                      : elements<T>(p.up, p.dtype, row * p.up_stride);
    }
    TF_DEV auto out(const gated_act_params &p, long long row)
    {
        return elements<OUT>(p.out, p.out_dtype, row * p.out_stride);
    }
    TF_DEV int width(const gated_act_params &p)
    {
        return p.ffn;
    }
    TF_DEV int inputs(const gated_act_params &)
    {
        return INPUTS;
    }
    TF_METHOD int act() const
    {
        return C::GENERIC ? p.act : C::ACT;
    }

    // ---- arithmetic ----

    template <int N> TF_METHOD void enter(const float (&in)[INPUTS][N], float (&h)[N], RowAt) const
    {
        TF_UNROLL
        for (int j = 0; j < N; j++)
            h[j] = gated_act_of(act(), in[0][j]) * in[1][j];
    }

    template <int N, int G>
    TF_METHOD void leave(const float (&h)[N], const float (&)[G][N], float (&y)[N], RowAt at)
    {
        this->quant.leave(h, y, at);
    }
};

template <class C> TF_DEV void gated_act(const gated_act_params &p)
{
    static_assert(C::FFN >= 1 && C::FFN <= 131072, "ffn");
    row_run<C, GatedActOp<C>>(p);
}

// ---- the generic variant ----

template <class C, class O> struct GatedActGenericCfg : C {
    using DTYPE = AnyFloat;
    using OUT_DTYPE = O;
    static constexpr int FFN = 131072, ACT = 0, GRANULARITY = 0;
};

template <class C, class O> TF_DEV void gated_act_generic_to(const gated_act_params &p)
{
    using G = GatedActGenericCfg<C, O>;
    RowGeneric<G, GatedActOp<G>>(p, generic_aligned((u64)p.gate | (u64)p.up | (u64)p.out,
                                        p.gate_stride | p.up_stride | p.out_stride))
        .run();
}

template <class C> TF_DEV void gated_act_generic(const gated_act_params &p)
{
    if (p.out_dtype == DTYPE_E4M3)
        gated_act_generic_to<C, e4m3>(p);
    else if (p.out_dtype == DTYPE_E5M2)
        gated_act_generic_to<C, e5m2>(p);
    else
        gated_act_generic_to<C, AnyFloat>(p);
}
