// layernorm.cu: layer normalisation of rows, optionally of x + residual. Serves layernorm,
// add_layernorm.
//
//   h = x + residual (add_layernorm) or x        residual_out = h
//   m = mean(h)      r = 1 / sqrt(mean((h - m)^2) + eps)
//   out = (h - m) * r * weight + bias            bias optional; WEIGHT_VARIANT 1: 1 + weight
//
// Ba, Kiros and Hinton, "Layer Normalization", 2016. All arithmetic is fp32. One reduction: a thread sums
// the distances of its elements from the mean of its first ones, and their squares; the parts' moments
// are then joined pairwise. Of two sums that are subtracted the greater is never more than so many times
// the difference as a thread has elements, so nothing is lost where the mean is large. rsqrt is the
// approximate instruction, relative error at most 2^-22.9.
//
// Flow, tunables, shared memory and synchronisation: row/row.cuh.
#include "norm/norm_op.cuh"

template <class C> struct LayernormOp : NormRows<C> {
    using Rows = NormRows<C>;
    static constexpr int COLUMNS = C::HAS_BIAS ? 2 : 1;
    static constexpr int STEPS = 1, COLUMNS_FROM = 1, WORDS = 3, GROUP = 0;
    static constexpr bool MAY_SHIFT = true;
    template <int K> using Reduce = ReduceMoments;

    NormSum distances, squares;
    float number, from; // of elements taken in; what distances are from
    float mean, r;

    TF_METHOD LayernormOp(const norm_params &params) : Rows(params)
    {
    }

    // By pairs: that of equal values is exact.
    template <int N> TF_DEV float sum_of(const float (&h)[N])
    {
        float part[N];
        TF_UNROLL
        for (int j = 0; j < N; j++)
            part[j] = h[j];
        TF_UNROLL
        for (int step = 1; step < N; step *= 2)
            TF_UNROLL
            for (int j = 0; j + step < N; j += 2 * step)
                part[j] += part[j + step];
        return part[0];
    }

    TF_METHOD bool has_bias() const
    {
        return C::GENERIC ? this->p.columns == 2 : C::HAS_BIAS;
    }

    TF_METHOD void begin(long long)
    {
        distances.clear();
        squares.clear();
        number = 0;
    }

    // Zeros in place of other rows' elements are far from the mean.
    template <int K> TF_DEV constexpr bool guarded()
    {
        return true;
    }

    template <int N> TF_METHOD void gather(const float (&h)[N])
    {
        if (number == 0)
            from = sum_of(h) * (1.0f / N);
        TF_UNROLL
        for (int j = 0; j < N; j++) {
            const float distance = h[j] - from;
            distances.part[j % 4] += distance;
            squares.part[j % 4] += distance * distance;
        }
        number += N;
    }

    template <int K> TF_METHOD Floats<3> partial() const
    {
        const float sum = distances.value().f[0];
        const float off = sum * rcp_ftz(number > 0 ? number : 1.0f);
        const float spread = max_nan(squares.value().f[0] - sum * off, 0.0f);
        return {{number > 0 ? from + off : 0.0f, spread, number}};
    }

    template <int K> TF_METHOD void settle(Floats<3> whole)
    {
        mean = whole.f[0];
        r = rsqrt_approx(whole.f[1] * this->mean_factor() + this->p.eps);
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
