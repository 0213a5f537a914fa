// quant.cuh: row operators that write fp8: q = x / scale, rounded to nearest and saturating.
//
// A scale is max(amax, 1/512) / MOST of a row, which takes one reduction before leave(), or of a group
// of 128 elements, which leave() reduces among the lanes that hold it. NaN spreads over what shares
// its scale. The conventions are those of quant_scales.h.
//
// RowQuant is a part of an operator (row/row.cuh): the operator forwards begin, gather, partial,
// settle and end to it, takes STEPS and GROUP from it and hands its values to leave(). Where OUT is
// no fp8 all of it folds away. RowQuantised is the base of operators that reduce nothing else.
#pragma once
#include "device/mem.cuh"
#include "device/reduce.cuh"
#include "quant/quant_params.h"

// The largest finite value; 0: not fp8, no scales.
template <class OUT> struct QuantMost {
    static constexpr float VALUE = 0;
};
template <> struct QuantMost<e4m3> {
    static constexpr float VALUE = 448.0f;
};
template <> struct QuantMost<e5m2> {
    static constexpr float VALUE = 57344.0f;
};

// NaN stays NaN; never subnormal, so that its inverse is one instruction.
template <class OUT> TF_DEV float quant_scale(float amax)
{
    return max_nan(amax, 1.0f / 512) * (1.0f / QuantMost<OUT>::VALUE);
}

// Of N elements of this lane and of its neighbours that hold the same group.
template <int N> TF_DEV float quant_group_amax(const float (&h)[N])
{
    float amax = 0;
    TF_UNROLL
    for (int j = 0; j < N; j++)
        amax = amax_nan(amax, h[j]);
    return lanes_reduce<ReduceMax, QUANT_GROUP_ELEMS / N>({{amax}}).f[0];
}

// BY_GROUP: of the configuration; the generic variant is told at run time.
template <class C, class OUT, bool BY_GROUP> class RowQuant {
    static constexpr bool FP8 = QuantMost<OUT>::VALUE > 0;

    const quant_params &q;
    long long row;
    float amax, scale, inverse;

    TF_METHOD bool by_group() const
    {
        return FP8 && (C::GENERIC ? q.by_group != 0 : BY_GROUP);
    }

    TF_METHOD void set_scale(float of)
    {
        scale = quant_scale<OUT>(of);
        inverse = rcp_ftz(scale);
    }

    TF_METHOD void store_scale(int group) const
    {
        st_elem(q.scales + row * q.row_stride + group * q.group_stride, scale);
    }

  public:
    static constexpr int STEPS = FP8 && (C::GENERIC || !BY_GROUP) ? 1 : 0;
    static constexpr int GROUP = FP8 && !C::GENERIC && BY_GROUP ? QUANT_GROUP_ELEMS : 0;

    TF_METHOD RowQuant(const quant_params &params) : q(params) {}

    TF_METHOD void begin(long long of)
    {
        row = of;
        amax = 0;
    }

    template <int N> TF_METHOD void gather(const float (&h)[N])
    {
        TF_UNROLL
        for (int j = 0; j < N; j++)
            amax = amax_nan(amax, h[j]);
    }

    TF_METHOD Floats<1> partial() const
    {
        return {{amax}};
    }

    TF_METHOD void settle(Floats<1> most)
    {
        set_scale(most.f[0]);
    }

    // y: what is written; h itself where that is no fp8. Every lane of the warp comes here together.
    template <int N, class At>
    TF_METHOD void leave(const float (&h)[N], float (&y)[N], const At &at)
    {
        if constexpr (QUANT_GROUP_ELEMS / N <= 32) // rows of groups have no single elements
            if (by_group()) {
                set_scale(quant_group_amax(h));
                if (at.mine && at.column % QUANT_GROUP_ELEMS == 0)
                    store_scale(at.column / QUANT_GROUP_ELEMS);
            }
        TF_UNROLL
        for (int j = 0; j < N; j++)
            y[j] = FP8 ? h[j] * inverse : h[j];
    }

    TF_METHOD void end(bool first) const
    {
        if (FP8 && !by_group() && first)
            store_scale(0);
    }
};

template <class C, class OUT, bool BY_GROUP> struct RowQuantised {
    using Quant = RowQuant<C, OUT, BY_GROUP>;
    static constexpr int STEPS = Quant::STEPS, WORDS = 1, GROUP = Quant::GROUP;
    template <int K> using Reduce = ReduceMax;

    Quant quant;

    TF_METHOD RowQuantised(const quant_params &params) : quant(params) {}

    TF_METHOD void begin(long long row)
    {
        quant.begin(row);
    }

    template <int K> TF_DEV constexpr bool guarded()
    {
        return false;
    }

    template <int N> TF_METHOD void gather(const float (&h)[N])
    {
        quant.gather(h);
    }

    template <int K> TF_METHOD Floats<1> partial() const
    {
        return quant.partial();
    }

    template <int K> TF_METHOD void settle(Floats<1> amax)
    {
        quant.settle(amax);
    }

    TF_METHOD void end(bool first)
    {
        quant.end(first);
    }
};
