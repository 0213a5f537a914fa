// layernorm.cu: layer normalisation of rows, optionally of x + residual. Serves layernorm,
// add_layernorm.
//
//   h = x + residual (add_layernorm) or x        residual_out = h
//   m = mean(h)      r = 1 / sqrt(mean((h - m)^2) + eps)
//   out = (h - m) * r * weight + bias            bias optional; WEIGHT_VARIANT 1: 1 + weight
//
// Ba, Kiros and Hinton, "Layer Normalization", 2016. All arithmetic is fp32. The variance is that of
// centred values, from a second reduction while the row waits on chip: the difference of two large
// sums would lose it where the mean is large. rsqrt is the approximate instruction, relative error
// at most 2^-22.9.
//
// Flow, tunables, shared memory and synchronisation: row/row.cuh.
#include "norm/norm_op.cuh"

template <class C> struct LayernormOp : NormRows<C> {
    using Rows = NormRows<C>;
    static constexpr int COLUMNS = C::HAS_BIAS ? 2 : 1;
    static constexpr int STEPS = 2, COLUMNS_FROM = 2, WORDS = 1, GROUP = 0;
    static constexpr bool MAY_SHIFT = true;
    template <int K> using Reduce = ReduceSum;

    NormSum sum;
    float mean, r;

    TF_METHOD LayernormOp(const norm_params &params) : Rows(params)
    {
    }

    TF_METHOD bool has_bias() const
    {
        return C::GENERIC ? this->p.columns == 2 : C::HAS_BIAS;
    }

    TF_METHOD void begin(long long)
    {
        sum.clear();
    }

    // Zeros in place of other rows' elements are far from the mean.
    template <int K> TF_DEV constexpr bool guarded()
    {
        return K == 1;
    }

    template <int N> TF_METHOD void gather(const float (&h)[N])
    {
        TF_UNROLL
        for (int j = 0; j < N; j++)
            sum.part[j % 4] += h[j];
    }

    template <int K, int N, int G>
    TF_METHOD void measure(const float (&h)[N], const float (&)[G][N])
    {
        TF_UNROLL
        for (int j = 0; j < N; j++)
            sum.part[j % 4] += (h[j] - mean) * (h[j] - mean);
    }

    template <int K> TF_METHOD Floats<1> partial() const
    {
        return sum.value();
    }

    template <int K> TF_METHOD void settle(Floats<1> total)
    {
        const float average = total.f[0] * this->mean_factor();
        if constexpr (K == 0) {
            mean = average;
            sum.clear();
        } else {
            r = rsqrt_approx(average + this->p.eps);
        }
    }

    template <int N, int G>
    TF_METHOD void leave(const float (&h)[N], const float (&g)[G][N], float (&y)[N], RowAt)
    {
        TF_UNROLL
        for (int j = 0; j < N; j++) {
            const float weight = this->variant() == NORM_ONE_PLUS ? 1.0f + g[0][j] : g[0][j];
            y[j] = (h[j] - mean) * r * weight;
            if (has_bias())
                y[j] += g[G - 1][j];
        }
    }

    TF_METHOD void end(bool)
    {
    }
};

template <class C> TF_DEV void layernorm(const norm_params &p)
{
    static_assert(C::HIDDEN >= 1 && C::HIDDEN <= 65536, "hidden");
    row_run<C, LayernormOp<C>>(p);
}

template <class C> TF_DEV void layernorm_generic(const norm_params &p)
{
    norm_generic<C, LayernormOp>(p);
}
