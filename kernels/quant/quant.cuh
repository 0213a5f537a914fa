// quant.cuh: fp8 outputs with scales of their own, for operators of the row template (row/row.cuh).
//
//   scale = max(amax, 1/512) / MOST        q = y / scale, rounded to nearest even, saturating
//
// amax is that of a row: one of the operator's reductions; or of a group of 128 elements of it: the
// neighbouring lanes that own one find it in leave() (GROUP of the policy). A NaN makes the scale
// NaN, and so all that shares it; beside an infinity numbers become 0 and the infinity NaN. y is
// multiplied by the reciprocal: 3 roundings of fp32 before the one to fp8.
#pragma once
#include "device/mem.cuh"
#include "device/reduce.cuh"
#include "quant/quant_params.h"

enum { QUANT_GROUP = 128 };

// MOST: the largest value. ABOVE: what lies beyond it is lost by more than rounding.
template <class FP8> struct QuantRange;
template <> struct QuantRange<e4m3> {
    static constexpr float MOST = 448, ABOVE = 464;
};
template <> struct QuantRange<e5m2> {
    static constexpr float MOST = 57344, ABOVE = 61440;
};

template <class FP8> TF_DEV float quant_scale(float amax)
{
    return max_nan(amax, 1.0f / 512) * (1 / QuantRange<FP8>::MOST);
}

// The largest magnitude of what a thread has seen; four chains hide the latency of one.
struct QuantAmax {
    float part[4];

    TF_METHOD void clear()
    {
        TF_UNROLL
        for (int i = 0; i < 4; i++)
            part[i] = 0;
    }
    template <int N> TF_METHOD void take(const float (&y)[N])
    {
        TF_UNROLL
        for (int j = 0; j < N; j++)
            part[j % 4] = amax_nan(part[j % 4], y[j]);
    }
    TF_METHOD Floats<1> value() const
    {
        return {{max_nan(max_nan(part[0], part[1]), max_nan(part[2], part[3]))}};
    }
};

// What a policy holds of a row's scale: clear() in begin(), take() where the row is measured by
// ReduceMax, settle() with the result, leave() in leave(), store() in end().
template <class FP8> struct QuantRow {
    QuantAmax amax;
    float scale, inverse;

    TF_METHOD void clear()
    {
        amax.clear();
    }
    TF_METHOD void settle(Floats<1> most)
    {
        scale = quant_scale<FP8>(most.f[0]);
        inverse = rcp_approx(scale);
    }
    template <int N> TF_METHOD void leave(float (&y)[N]) const
    {
        TF_UNROLL
        for (int j = 0; j < N; j++)
            y[j] *= inverse;
    }
    TF_METHOD void store(const quant_scales &scales, long long row) const
    {
        st_elem(scales.data + row * scales.row_step, scale);
    }
};

// The same for groups, in leave(): every lane of the warp comes here, a group's lanes own all of it
// or none. N divides QUANT_GROUP; an edge never comes here, as rows are whole groups.
template <class FP8, int N>
TF_DEV void quant_leave_group(
    const quant_scales &scales, long long row, int column, bool mine, float (&y)[N])
{
    constexpr int LANES = QUANT_GROUP / N;
    if constexpr (LANES <= 32) {
        QuantAmax amax;
        amax.clear();
        amax.take(y);
        const float scale = quant_scale<FP8>(lanes_reduce<ReduceMax, LANES>(amax.value()).f[0]);
        const float inverse = rcp_approx(scale);
        TF_UNROLL
        for (int j = 0; j < N; j++)
            y[j] *= inverse;
        if (mine && column % QUANT_GROUP == 0)
            st_elem(scales.data + row * scales.row_step + column / QUANT_GROUP * scales.group_step,
                scale);
    }
}
