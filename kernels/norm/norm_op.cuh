// norm_op.cuh: what the norms share as policies of the row template (row/row.cuh): rows, columns,
// the sum with the residual, and the run-time values of the generic variant.
//
//   h = x + residual (HAS_RESIDUAL) or x           residual_out = h
//
// RESIDUAL_ROUND 1: norm of h rounded to DTYPE, else of the fp32 sum.
#pragma once
#include "norm/norm_params.h"
#include "row/row_generic.cuh"

template <class C, class OUT_ = typename C::DTYPE> struct NormRows {
    using Params = norm_params;
    using T = typename C::DTYPE;
    using OUT = OUT_;
    using COLUMN = typename C::WEIGHT_DTYPE;
    // A row waits for its sums in T, unless h is more precise than T.
    using H = typename RowPick<C::HAS_RESIDUAL && !C::RESIDUAL_ROUND, float, T>::type;
    static constexpr int WIDTH = C::HIDDEN, INPUTS = C::HAS_RESIDUAL ? 2 : 1, UNIT = 1;
    static constexpr bool TAP = C::HAS_RESIDUAL, WAITS_RAW = !C::HAS_RESIDUAL;

    const norm_params &p;

    TF_METHOD NormRows(const norm_params &params) : p(params)
    {
    }

    // ---- addresses ----

    TF_DEV auto input(const norm_params &p, int k, long long row)
    {
        return k == 0 ? elements<T>(p.x, p.dtype, row * p.x_stride)
                      : elements<T>(p.residual, p.dtype, row * p.residual_stride);
    }
    TF_DEV auto column(const norm_params &p, int k)
    {
        return elements<COLUMN>(k == 0 ? p.weight : p.bias, p.weight_dtype, 0);
    }
    TF_DEV auto out(const norm_params &p, long long row)
    {
        return elements<OUT>(p.out, p.dtype, row * p.out_stride);
    }
    TF_DEV auto tap(const norm_params &p, long long row)
    {
        return elements<T>(p.residual_out, p.dtype, row * p.residual_out_stride);
    }

    // ---- run-time values of the generic variant ----

    TF_DEV int width(const norm_params &p)
    {
        return p.hidden;
    }
    TF_DEV int inputs(const norm_params &p)
    {
        return p.residual ? 2 : 1;
    }
    TF_DEV bool taps(const norm_params &p)
    {
        return p.residual && p.residual_out;
    }
    TF_METHOD float mean_factor() const
    {
        return C::GENERIC ? 1.0f / (float)p.hidden : 1.0f / WIDTH;
    }
    TF_METHOD int variant() const
    {
        return C::GENERIC ? p.weight_variant : C::WEIGHT_VARIANT;
    }
    TF_METHOD bool rounds() const
    {
        return C::GENERIC ? p.residual_round != 0 : C::HAS_RESIDUAL && C::RESIDUAL_ROUND;
    }

    // ---- h ----

    template <int N> TF_METHOD void enter(const float (&in)[INPUTS][N], float (&h)[N], RowAt)
    {
        TF_UNROLL
        for (int j = 0; j < N; j++) {
            h[j] = in[0][j];
            if constexpr (INPUTS == 2)
                h[j] += in[1][j];
            if (rounds())
                h[j] = round_to<T>(h[j], p.dtype);
        }
    }
};

// A sum over what a thread owns: four chains hide the latency of one.
struct NormSum {
    float part[4];

    TF_METHOD void clear()
    {
        TF_UNROLL
        for (int i = 0; i < 4; i++)
            part[i] = 0;
    }
    TF_METHOD Floats<1> value() const
    {
        return {{(part[0] + part[1]) + (part[2] + part[3])}};
    }
};

// ---- the generic variants: with and without residual (NULL) ----

template <class C> struct NormGenericCfg : C {
    using DTYPE = AnyFloat;
    using WEIGHT_DTYPE = AnyFloat;
    static constexpr int HIDDEN = 65536, HAS_RESIDUAL = 1, RESIDUAL_ROUND = 0, HAS_BIAS = 1;
    static constexpr int WEIGHT_VARIANT = 0;
};

template <class C, template <class> class O> TF_DEV void norm_generic(const norm_params &p)
{
    using G = NormGenericCfg<C>;
    RowGeneric<G, O<G>>(p,
        generic_aligned((u64)p.x | (u64)p.out | (u64)p.residual | (u64)p.residual_out,
            p.x_stride | p.out_stride | p.residual_stride | p.residual_out_stride))
        .run();
}
