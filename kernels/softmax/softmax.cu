// softmax.cu: softmax of rows, scaled, optionally under a causal or an additive mask.
//
//   t = scale * x + mask        out = exp(t - max t) / sum exp(t - max t)
//
// In the online form: a running maximum and the sum of exponentials below it, which is rescaled when
// the maximum rises (Milakov and Gimelshein, "Online normalizer calculation for softmax", 2018). So a
// row is reduced once, in one step of two floats, and a row that fits nowhere on chip is read twice.
//
// All arithmetic is fp32, exponentials are those of base 2: exp(t - max) = 2^(h * factor - top), one
// fused operation, with h = x and factor = scale * log2(e), or under a mask h = t and log2(e). `top` is
// the greatest h * factor, rounded down: what its rounding takes off is in every term and in the sum,
// and drops out. Where it exceeds the exponents of fp32 (logits above 2^30) the cap keeps the greatest
// terms finite and equal. Products beyond the range of fp32 count as equal.
//
// NaN, +inf, and -inf in all of a row give NaN as the formula does; a row whose columns a mask hides all
// is 0. A masked logit is rounded to fp32 before the maximum is taken off: an error of 2^-24 of its size. The sum of a row is in an order that the configuration fixes, whatever the number of rows.
//
// Flow, tunables, shared memory and synchronisation: row/row.cuh.
#include "row/plain.cuh"
#include "row/row_generic.cuh"
#include "softmax/softmax_params.h"

TF_DEV float softmax_infinity()
{
    return f32_from_bits(0x7f800000u);
}

// What powers of 2 are taken relative to, for a running maximum: nothing is left of -inf - 0.
TF_DEV float softmax_base(float top)
{
    return top == -softmax_infinity() ? 0.0f : top;
}

// The maximum, and the sum of 2^(. - softmax_base(maximum)).
struct SoftmaxReduce {
    static constexpr int WORDS = 2;
    using Value = Floats<2>;
    TF_DEV Value none()
    {
        return {{-softmax_infinity(), 0.0f}};
    }
    TF_DEV void combine(Value &a, const Value &b)
    {
        const float top = max_nan(a.f[0], b.f[0]), base = softmax_base(top);
        a.f[1] = a.f[1] * exp2_ftz(a.f[0] - base) + b.f[1] * exp2_ftz(b.f[0] - base);
        a.f[0] = top;
    }
};

template <class C> struct SoftmaxOp : RowPlain<softmax_params, typename C::DTYPE> {
    using T = typename C::DTYPE;
    using OUT = typename C::OUT_DTYPE;
    using MASK = typename C::MASK_DTYPE;
    using H = typename RowPick<C::HAS_MASK != 0, float, T>::type;
    static constexpr int WIDTH = C::WIDTH, INPUTS = 1, STEPS = 1, WORDS = 2, GROUP = 0;
    static constexpr bool WAITS_RAW = !C::HAS_MASK, MAY_SHIFT = true;
    static constexpr bool ROLLED = C::HAS_MASK != 0, HIDES = C::CAUSAL != 0;
    template <int K> using Reduce = SoftmaxReduce;
    static constexpr float LOG2E = 1.44269504f, CAP = 100.0f;

    const softmax_params &p;
    long long row;
    float factor, hidden; // hidden: h of a column that is not seen
    int columns;          // of this row that are seen
    Floats<2> sum;        // as SoftmaxReduce has it
    float base, inverse;

    TF_METHOD SoftmaxOp(const softmax_params &params) : p(params)
    {
        factor = has_mask() ? LOG2E : p.scale * LOG2E;
        if (causal() && factor == 0) // so that what is hidden stays infinite
            factor = f32_from_bits(1);
        hidden = factor < 0 ? softmax_infinity() : -softmax_infinity();
    }

    // ---- addresses and run-time values ----

    TF_DEV auto input(const softmax_params &p, int, long long row)
    {
        return elements<T>(p.x, p.dtype, row * p.x_stride);
    }
    TF_DEV auto out(const softmax_params &p, long long row)
    {
        return elements<OUT>(p.out, p.out_dtype, row * p.out_stride);
    }
    TF_DEV int width(const softmax_params &p)
    {
        return p.width;
    }
    TF_DEV int inputs(const softmax_params &)
    {
        return INPUTS;
    }
    TF_DEV int seen(const softmax_params &p, long long row)
    {
        return p.width + (int)((u32)row % (u32)p.queries) + 1 - p.queries;
    }
    TF_METHOD bool has_mask() const
    {
        return C::GENERIC ? p.mask != nullptr : C::HAS_MASK != 0;
    }
    TF_METHOD bool causal() const
    {
        return C::GENERIC ? p.causal != 0 : C::CAUSAL != 0;
    }

    // ---- the mask ----

    // Of N columns; rows of the mask are as aligned as all others, unless those start anywhere.
    template <int N> TF_METHOD void mask_values(int column, float (&m)[N]) const
    {
        const auto from = elements<MASK>(p.mask, p.mask_dtype,
            (long long)((u32)row % (u32)p.mask_rows) * p.mask_stride + column);
        if constexpr (C::GENERIC)
            load_floats<LD_CONST>(from, false, m);
        else
            vec_unpack(ld_vec<LD_CONST, mask_width((int)sizeof(MASK)), MASK, N>(from), m);
    }

    TF_DEV constexpr int mask_width(int elem)
    {
        return C::VEC_BYTES > C::ALIGN ? elem : max_int(C::ALIGN, elem);
    }

    template <int N> TF_METHOD void masked(float (&h)[N], RowAt at) const
    {
        float m[N] = {};
        if (!at.mine)
            return;
        mask_values(at.column, m);
        TF_UNROLL
        for (int j = 0; j < N; j++)
            h[j] = h[j] * p.scale + m[j];
    }

    // ---- arithmetic ----

    TF_METHOD void begin(long long of)
    {
        row = of;
        sum = SoftmaxReduce::none();
        columns = causal() ? seen(p, row) : p.width;
    }

    template <int N> TF_METHOD void enter(const float (&in)[INPUTS][N], float (&h)[N], RowAt at) const
    {
        TF_UNROLL
        for (int j = 0; j < N; j++)
            h[j] = in[0][j];
        if (has_mask())
            masked(h, at);
        if (causal()) {
            TF_UNROLL
            for (int j = 0; j < N; j++)
                h[j] = at.column + j < columns ? h[j] : hidden;
        }
    }

    TF_METHOD float power(float h, float of) const
    {
        return exp2_ftz(min_nan(fma_f32(h, factor, -of), CAP));
    }

    template <int K> TF_DEV constexpr bool guarded()
    {
        return true;
    }

    template <int N> TF_METHOD void gather(const float (&h)[N])
    {
        constexpr int PARTS = min_int(N, 4);
        float most[PARTS], part[PARTS] = {}, top = sum.f[0];
        TF_UNROLL
        for (int j = 0; j < N; j++) {
            const float t = mul_down(h[j], factor);
            most[j % PARTS] = j < PARTS ? t : max_nan(most[j % PARTS], t);
        }
        TF_UNROLL
        for (int j = 0; j < PARTS; j++)
            top = max_nan(top, most[j]);
        const float under = softmax_base(top);
        TF_UNROLL
        for (int j = 0; j < N; j++)
            part[j % PARTS] += power(h[j], under);
        TF_UNROLL
        for (int j = 1; j < PARTS; j++)
            part[0] += part[j];
        sum.f[1] = sum.f[1] * exp2_ftz(sum.f[0] - under) + part[0];
        sum.f[0] = top;
    }

    template <int K> TF_METHOD Floats<2> partial() const
    {
        return sum;
    }

    template <int K> TF_METHOD void settle(Floats<2> whole)
    {
        const bool nothing = (has_mask() || causal()) && whole.f[0] == -softmax_infinity();
        base = softmax_base(whole.f[0]);
        inverse = nothing ? 0.0f : rcp_ftz(whole.f[1]);
    }

    template <int N, int G>
    TF_METHOD void leave(const float (&h)[N], const float (&)[G][N], float (&y)[N], RowAt at) const
    {
        TF_UNROLL
        for (int j = 0; j < N; j++) {
            y[j] = power(h[j], base) * inverse;
            if (causal()) // also beside a NaN
                y[j] = at.column + j < columns ? y[j] : 0.0f;
        }
    }

    TF_METHOD void end(bool) const
    {
    }
};

template <class C> TF_DEV void softmax(const softmax_params &p)
{
    static_assert(C::WIDTH >= 1 && C::WIDTH <= 1 << 20, "width");
    row_run<C, SoftmaxOp<C>>(p);
}

// ---- the generic variant ----

template <class C> struct SoftmaxGenericCfg : C {
    using DTYPE = AnyFloat;
    using OUT_DTYPE = AnyFloat;
    using MASK_DTYPE = AnyFloat;
    static constexpr int WIDTH = 1 << 20, CAUSAL = 0, HAS_MASK = 0;
};

template <class C> TF_DEV void softmax_generic(const softmax_params &p)
{
    using G = SoftmaxGenericCfg<C>;
    RowGeneric<G, SoftmaxOp<G>>(
        p, generic_aligned((u64)p.x | (u64)p.out, p.x_stride | p.out_stride))
        .run();
}
