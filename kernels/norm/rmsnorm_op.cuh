// rmsnorm_op.cuh: the arithmetic of RMSNorm, for the operators that store it as it is, quantise or
// rotate it.
//
//   r = 1 / sqrt(mean(h^2) + eps)      n = h * r * weight
//
// All arithmetic is fp32; the sum of a row is fp32 in an order that the configuration fixes (and the
// row's alignment, if shifted), whatever the number of rows. rsqrt is the approximate instruction,
// relative error at most 2^-22.9. WEIGHT_VARIANT: 0 plain, 1 one_plus (1 + weight, Gemma),
// 2 round_before (h * r rounded to DTYPE, then times weight, HF Llama).
#pragma once
#include "norm/norm_op.cuh"

// begin() clears squares, gather() takes them, settle_rms() takes the row's.
template <class C, class OUT = typename C::DTYPE> struct RmsnormRows : NormRows<C, OUT> {
    using T = typename C::DTYPE;
    static constexpr int COLUMNS = 1;

    NormSum squares;
    float r;

    TF_METHOD RmsnormRows(const norm_params &params) : NormRows<C, OUT>(params)
    {
    }

    template <int K> TF_DEV constexpr bool guarded()
    {
        return false;
    }

    template <int N> TF_METHOD void gather(const float (&h)[N])
    {
        TF_UNROLL
        for (int j = 0; j < N; j++)
            squares.part[j % 4] += h[j] * h[j];
    }

    TF_METHOD void settle_rms(Floats<1> sum)
    {
        r = rsqrt_approx(sum.f[0] * this->mean_factor() + this->p.eps);
    }

    template <int N>
    TF_METHOD void normalise(const float (&h)[N], const float (&weight)[N], float (&n)[N]) const
    {
        TF_UNROLL
        for (int j = 0; j < N; j++)
            n[j] = weighted(h[j] * r, weight[j]);
    }

    TF_METHOD float weighted(float n, float weight) const
    {
        if (this->variant() == NORM_ROUND_BEFORE)
            n = round_to<T>(n, this->p.dtype);
        if (this->variant() == NORM_ONE_PLUS)
            weight += 1.0f;
        return n * weight;
    }
};
