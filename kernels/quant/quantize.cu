// quantize.cu: rows of floats to fp8 with scales, scale conventions as in quant/quant.cuh.
//
//   out = x / scale, rounded to nearest even, saturating
//
// GRANULARITY   flow
//   given       the row template without a reduction; OVERFLOW 1 (the given scale is doubled until
//               nothing saturates, at most max_retries times): as by tensor
//   by tensor   quant/quantize_tensor.cuh: all blocks agree on the amax
//   by token    the row template with one reduction, the amax
//   by group    the row template, the amax of 128 elements among their lanes
//   by block    quant/quantize_tile.cuh: a block of threads a tile of 128 x 128
// Tunables: those of the row template (row/row.cuh), by tensor and by block as said there.
#include "quant/quantize_tensor.cuh"
#include "quant/quantize_tile.cuh"
#include "row/plain.cuh"
#include "row/row_generic.cuh"

template <class C>
struct QuantizeOp : RowPlain<quantize_params, typename C::DTYPE>,
                    RowQuantised<C, typename C::OUT_DTYPE, C::GRANULARITY == BY_GROUP> {
    using T = typename C::DTYPE;
    using OUT = typename C::OUT_DTYPE;
    using H = T;
    using Quantised = RowQuantised<C, OUT, C::GRANULARITY == BY_GROUP>;
    static constexpr bool GIVEN = !C::GENERIC && C::GRANULARITY == BY_TENSOR_GIVEN;
    static constexpr int WIDTH = C::HIDDEN, INPUTS = 1, STEPS = GIVEN ? 0 : Quantised::STEPS;
    static constexpr bool WAITS_RAW = true, MAY_SHIFT = Quantised::GROUP == 0;

    const quantize_params &p;
    QuantizeCount<C, OUT> count;
    float given;

    TF_METHOD QuantizeOp(const quantize_params &params)
        : Quantised(params.quant), p(params), count(params), given(0)
    {
    }

    TF_METHOD bool is_given() const
    {
        return C::GENERIC ? p.granularity == BY_TENSOR_GIVEN : GIVEN;
    }

    // ---- addresses and run-time values ----

    TF_DEV auto input(const quantize_params &p, int, long long row)
    {
        return elements<T>(p.x, p.dtype, row * p.x_stride);
    }
    TF_DEV auto out(const quantize_params &p, long long row)
    {
        return elements<OUT>(p.out, p.out_dtype, row * p.out_stride);
    }
    TF_DEV int width(const quantize_params &p)
    {
        return p.hidden;
    }
    TF_DEV int inputs(const quantize_params &)
    {
        return INPUTS;
    }

    // ---- arithmetic ----

    TF_METHOD void begin(long long row)
    {
        Quantised::begin(row);
        if (is_given())
            given = ld_elem<LD_KEEP>(p.static_scale);
    }

    template <int N> TF_METHOD void enter(const float (&in)[INPUTS][N], float (&h)[N], RowAt) const
    {
        TF_UNROLL
        for (int j = 0; j < N; j++)
            h[j] = in[0][j];
    }

    template <int N, int G>
    TF_METHOD void leave(const float (&h)[N], const float (&)[G][N], float (&y)[N], RowAt at)
    {
        if (is_given())
            quant_by(given, h, y);
        else
            this->quant.leave(h, y, at);
        count.take(y);
    }

    TF_METHOD void end(bool first)
    {
        if (!is_given())
            Quantised::end(first);
        count.store();
    }
};

template <class C> TF_DEV void quantize(const quantize_params &p)
{
    using T = typename C::DTYPE;
    using OUT = typename C::OUT_DTYPE;
    static_assert(C::HIDDEN >= 1 && C::HIDDEN <= 131072, "hidden");
    if constexpr (C::GRANULARITY == BY_BLOCK)
        QuantizeTile<C, T, OUT>(p).run();
    else if constexpr (C::GRANULARITY == BY_TENSOR || C::OVERFLOW)
        QuantizeTensor<C, T, OUT>(p).run();
    else
        row_run<C, QuantizeOp<C>>(p);
}

// ---- the generic variant ----

template <class C, class O> struct QuantizeGenericCfg : C {
    using DTYPE = AnyFloat;
    using OUT_DTYPE = O;
    static constexpr int HIDDEN = 131072, HAS_SATURATED = 0, GRANULARITY = BY_TOKEN; // run time
};

template <class C, class O> TF_DEV void quantize_generic_to(const quantize_params &p)
{
    using G = QuantizeGenericCfg<C, O>;
    if (p.granularity == BY_BLOCK)
        quantize_tiles_generic<G, O>(p);
    else if (p.granularity == BY_TENSOR || (p.granularity == BY_TENSOR_GIVEN && p.quant.scales))
        quantize_tensor_generic<G, O>(p);
    else
        RowGeneric<G, QuantizeOp<G>>(
            p, generic_aligned((u64)p.x | (u64)p.out, p.x_stride | p.out_stride))
            .run();
}

template <class C> TF_DEV void quantize_generic(const quantize_params &p)
{
    if (p.out_dtype == DTYPE_E4M3)
        quantize_generic_to<C, e4m3>(p);
    else
        quantize_generic_to<C, e5m2>(p);
}
