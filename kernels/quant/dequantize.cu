// dequantize.cu: rows of fp8 and their scales to floats: out = x * scale.
//
// GRANULARITY as in kernels/quant/quantize.cu, without the given one. A scale is loaded beside the
// row that it belongs to, or with the vector, which lies in one group: then rows are not shifted.
//
// Flow, tunables, shared memory and synchronisation: row/row.cuh.
#include "quant/quantize_params.h"
#include "row/plain.cuh"
#include "row/row_generic.cuh"

template <class C> struct DequantizeOp : RowPlain<dequantize_params, typename C::DTYPE> {
    using T = typename C::DTYPE;
    using OUT = typename C::OUT_DTYPE;
    using H = T;
    static constexpr int WIDTH = C::HIDDEN, INPUTS = 1, STEPS = 0, WORDS = 1, GROUP = 0;
    static constexpr bool WAITS_RAW = true;
    static constexpr bool MAY_SHIFT = BY_TENSOR + C::GRANULARITY < BY_GROUP;
    template <int K> using Reduce = ReduceSum;

    const dequantize_params &p;
    const float *scales; // of the row
    float scale;

    TF_METHOD DequantizeOp(const dequantize_params &params) : p(params), scales(nullptr), scale(0)
    {
    }

    TF_METHOD int granularity() const
    {
        return C::GENERIC ? p.granularity : BY_TENSOR + C::GRANULARITY;
    }

    // ---- addresses and run-time values ----

    TF_DEV auto input(const dequantize_params &p, int, long long row)
    {
        return elements<T>(p.x, p.dtype, row * p.x_stride);
    }
    TF_DEV auto out(const dequantize_params &p, long long row)
    {
        return elements<OUT>(p.out, p.out_dtype, row * p.out_stride);
    }
    TF_DEV int width(const dequantize_params &p)
    {
        return p.hidden;
    }
    TF_DEV int inputs(const dequantize_params &)
    {
        return INPUTS;
    }

    // ---- arithmetic ----

    TF_METHOD void begin(long long row)
    {
        const long long down = granularity() == BY_TENSOR  ? 0
                               : granularity() == BY_BLOCK ? row / QUANT_GROUP_ELEMS
                                                           : row;
        scales = p.quant.scales + down * p.quant.row_stride;
        if (granularity() < BY_GROUP && row < p.rows)
            scale = ld_elem<LD_CONST>(scales);
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
        if (granularity() >= BY_GROUP && at.mine)
            scale = ld_elem<LD_CONST>(scales + at.column / QUANT_GROUP_ELEMS * p.quant.group_stride);
        TF_UNROLL
        for (int j = 0; j < N; j++)
            y[j] = h[j] * scale;
    }

    TF_METHOD void end(bool)
    {
    }
};

template <class C> TF_DEV void dequantize(const dequantize_params &p)
{
    static_assert(C::HIDDEN >= 1 && C::HIDDEN <= 131072, "hidden");
    row_run<C, DequantizeOp<C>>(p);
}

// ---- the generic variant ----

template <class C, class D> struct DequantizeGenericCfg : C {
    using DTYPE = D;
    using OUT_DTYPE = AnyFloat;
    static constexpr int HIDDEN = 131072, GRANULARITY = 0; // known at run time
};

template <class C, class D> TF_DEV void dequantize_generic_from(const dequantize_params &p)
{
    using G = DequantizeGenericCfg<C, D>;
    RowGeneric<G, DequantizeOp<G>>(
        p, generic_aligned((u64)p.x | (u64)p.out, p.x_stride | p.out_stride))
        .run();
}

template <class C> TF_DEV void dequantize_generic(const dequantize_params &p)
{
    if (p.dtype == DTYPE_E4M3)
        dequantize_generic_from<C, e4m3>(p);
    else
        dequantize_generic_from<C, e5m2>(p);
}
