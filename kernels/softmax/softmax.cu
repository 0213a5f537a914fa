// softmax.cu: softmax of rows, scaled, optionally under a causal or an additive mask.
//
//   t = scale * x + mask        out = exp(t - max t) / sum exp(t - max t)
//
// In the online form: a running maximum and the sum of exponentials below it, which is rescaled when
// the maximum rises (Milakov and Gimelshein, "Online normalizer calculation for softmax", 2018). So a
// row is reduced once, in one step, and a row that fits nowhere on chip is read twice.
//
// All arithmetic is fp32, exponentials are those of base 2: exp(t - max) = 2^((u - top) * steep), with u
// a quarter of h, negated where the factor is negative, top the greatest u, steep = 4 |factor|; h = x and
// factor = scale * log2(e), or under a mask h = t and log2(e); the host gives both. Differences of
// quarters are rounded once, never overflow and are never positive: logits and scales of any size do.
// The sum divides as a logarithm, in the exponent. Two exponentials and some ten instructions an
// element: packed values are surveyed for their maximum first, in pairs, so that the sum is rescaled
// once for two units.
//
// NaN, +inf, and -inf in all of a row give NaN as the formula does; a row whose columns a mask hides all
// is 0. A masked logit is rounded to fp32 before the maximum is taken off: an error of 2^-24 of its
// size. The sum of a row is in an order that the configuration fixes, whatever the number of rows.
//
// Flow, tunables, shared memory and synchronisation: row/row.cuh.
#include "row/plain.cuh"
#include "row/row_generic.cuh"
#include "softmax/softmax_params.h"

TF_DEV float softmax_infinity()
{
    return f32_from_bits(0x7f800000u);
}

// Below every quarter of a finite logit, and near enough that their difference is finite.
TF_DEV float softmax_lowest()
{
    return f32_from_bits(0xff000000u); // -2^127
}

// The greatest u, the sum of powers relative to it, and steep, which all values have in common.
struct SoftmaxReduce {
    static constexpr int WORDS = 3;
    static constexpr bool RELATIVE = true;
    using Value = Floats<3>;
    using Base = ReduceMax;
    TF_DEV Value none()
    {
        return {{softmax_lowest(), 0.0f, 0.0f}};
    }
    TF_DEV Floats<1> base(const Value &v)
    {
        return {{v.f[0]}};
    }
    TF_DEV void relate(Value &v, Floats<1> top)
    {
        v.f[1] *= exp2_ftz((v.f[0] - top.f[0]) * v.f[2]);
        v.f[0] = top.f[0];
    }
};

template <class C> struct SoftmaxOp : RowPlain<softmax_params, typename C::DTYPE> {
    using T = typename C::DTYPE;
    using OUT = typename C::OUT_DTYPE;
    using MASK = typename C::MASK_DTYPE;
    using H = typename RowPick<C::HAS_MASK != 0, float, T>::type;
    static constexpr int WIDTH = C::WIDTH, INPUTS = 1, STEPS = 1, WORDS = 3, GROUP = 0;
    static constexpr bool WAITS_RAW = !C::HAS_MASK, MAY_SHIFT = true;
    static constexpr bool ROLLED = C::HAS_MASK != 0, HIDES = C::CAUSAL != 0;
    static constexpr bool SURVEYS = !C::GENERIC && !C::HAS_MASK && !C::CAUSAL && sizeof(T) == 2;
    template <int K> using Reduce = SoftmaxReduce;

    const softmax_params &p;
    long long row;
    float hidden;    // h of a column that is not seen
    u32 flip;        // what negates a pair where u does
    u32 most[4];     // the greatest of what was surveyed, so negated
    int columns;     // of this row that are seen
    Floats<3> sum;   // as SoftmaxReduce has it
    float logarithm; // of the whole sum

    TF_METHOD SoftmaxOp(const softmax_params &params) : p(params)
    {
        flip = p.quarter < 0 ? 0x80008000u : 0;
        hidden = p.quarter < 0 ? softmax_infinity() : -softmax_infinity();
        sum.f[2] = p.steep;
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
        sum.f[0] = softmax_lowest();
        sum.f[1] = 0;
        if constexpr (SURVEYS) {
            TF_UNROLL
            for (int i = 0; i < 4; i++)
                most[i] = pack2<T>(-softmax_infinity(), -softmax_infinity());
        }
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

    // u, that of h times `of`, less its maximum so far.
    TF_METHOD float below(float h, float of) const
    {
        return fma_f32(h, of, -sum.f[0]);
    }

    template <int K> TF_DEV constexpr bool guarded()
    {
        return true;
    }

    // Gives the vector with u's sign. leave() unpacks it without: the compiler cannot keep what gather()
    // has unpacked, which would be twice the registers.
    template <int VEC> TF_METHOD Vec<T, VEC> survey(Vec<T, VEC> v)
    {
        TF_UNROLL
        for (int i = 0; i < v.WORDS; i++) {
            v.w[i] ^= flip;
            most[i] = max2<T>(most[i], v.w[i]);
        }
        return v;
    }

    TF_METHOD void surveyed()
    {
        const u32 both = max2<T>(max2<T>(most[0], most[1]), max2<T>(most[2], most[3]));
        float lo, hi;
        unpack2<T>(both, lo, hi);
        SoftmaxReduce::relate(sum, {{max_nan(sum.f[0], 0.25f * max_nan(lo, hi))}});
        TF_UNROLL
        for (int i = 0; i < 4; i++)
            most[i] = both;
    }

    template <int N> TF_METHOD void survey_unpacked(const float (&h)[N])
    {
        constexpr int PARTS = min_int(N, 4);
        float u[PARTS], top = sum.f[0];
        TF_UNROLL
        for (int j = 0; j < N; j++)
            u[j % PARTS] = j < PARTS ? h[j] * p.quarter : max_nan(u[j % PARTS], h[j] * p.quarter);
        TF_UNROLL
        for (int j = 0; j < PARTS; j++)
            top = max_nan(top, u[j]);
        SoftmaxReduce::relate(sum, {{top}});
    }

    template <int N> TF_METHOD void gather(const float (&h)[N])
    {
        constexpr int PARTS = min_int(N, 4);
        constexpr bool SURVEYED = SURVEYS && N > 1; // single elements are not
        const float of = SURVEYED ? 0.25f : p.quarter;
        float part[PARTS] = {};
        if constexpr (!SURVEYED)
            survey_unpacked(h);
        TF_UNROLL
        for (int j = 0; j < N; j++)
            part[j % PARTS] += exp2_ftz(below(h[j], of) * p.steep);
        TF_UNROLL
        for (int j = 1; j < PARTS; j++)
            part[0] += part[j];
        sum.f[1] += part[0];
    }

    template <int K> TF_METHOD Floats<3> partial() const
    {
        return sum;
    }

    template <int K> TF_METHOD void settle(Floats<3> whole)
    {
        const bool nothing = (has_mask() || causal()) && whole.f[0] == softmax_lowest();
        sum.f[0] = whole.f[0];
        logarithm = nothing ? softmax_infinity() : log2_ftz(whole.f[1]);
    }

    template <int N, int G>
    TF_METHOD void leave(const float (&h)[N], const float (&)[G][N], float (&y)[N], RowAt at) const
    {
        TF_UNROLL
        for (int j = 0; j < N; j++) {
            y[j] = exp2_ftz(fma_f32(below(h[j], p.quarter), p.steep, -logarithm));
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
