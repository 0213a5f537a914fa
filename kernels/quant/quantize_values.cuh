// quantize_values.cuh: what the flows of quantize share: quotients by a scale, how many of them saturate
// (lie beyond the range by more than rounding), single elements.
#pragma once
#include "device/atomic.cuh"
#include "quant/quant.cuh"
#include "quant/quantize_params.h"
#include "row/any_float.cuh"

template <class OUT> struct QuantAbove;
template <> struct QuantAbove<e4m3> {
    static constexpr float VALUE = 464.0f;
};
template <> struct QuantAbove<e5m2> {
    static constexpr float VALUE = 61440.0f;
};

// By a scale that may be any number: the reciprocal keeps subnormals.
template <int N> TF_DEV void quant_by(float scale, const float (&h)[N], float (&y)[N])
{
    const float inverse = rcp_approx(scale);
    TF_UNROLL
    for (int j = 0; j < N; j++)
        y[j] = h[j] * inverse;
}

TF_DEV void quantize_add(const quantize_params &p, void *counter, u32 count)
{
    if (p.count_dtype == DTYPE_I64)
        atomic_add(static_cast<u64 *>(counter), (u64)count);
    else
        atomic_add(static_cast<u32 *>(counter), count);
}

template <class C, class OUT> class QuantizeCount {
    const quantize_params &p;
    u32 count;

    TF_METHOD bool wanted() const
    {
        return C::GENERIC ? p.saturated != nullptr : C::HAS_SATURATED;
    }

public:
    TF_METHOD QuantizeCount(const quantize_params &params) : p(params), count(0)
    {
    }

    // Quotients; zeros in place of what a thread does not own count nothing.
    template <int N> TF_METHOD void take(const float (&q)[N])
    {
        if (wanted()) {
            TF_UNROLL
            for (int j = 0; j < N; j++)
                count += abs_f32(q[j]) > QuantAbove<OUT>::VALUE;
        }
    }

    // Once a row or tile, by all lanes of the warp.
    TF_METHOD void store()
    {
        if (!wanted())
            return;
        const u32 sum = lanes_sum<32>(count);
        if (sum && thread_index() % 32 == 0)
            quantize_add(p, p.saturated, sum);
        count = 0;
    }
};

// ---- single elements, for the generic variants ----

TF_DEV float quantize_element(const quantize_params &p, long long row, int column)
{
    float h[1];
    load_floats<LD_KEEP>(elements<AnyFloat>(p.x, p.dtype, row * p.x_stride + column), false, h);
    return h[0];
}

template <class C, class OUT>
TF_DEV void quantize_element_by(const quantize_params &p, long long row, int column, float scale,
    QuantizeCount<C, OUT> &count)
{
    const float h[1] = {quantize_element(p, row, column)};
    float y[1];
    quant_by(scale, h, y);
    count.take(y);
    st_elem(static_cast<OUT *>(p.out) + row * p.out_stride + column, from_f32<OUT>(y[0]));
}
