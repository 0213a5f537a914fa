// rmsnorm.cu: RMS normalisation of rows, optionally of x + residual. Serves rmsnorm, add_rmsnorm.
//
//   h = x + residual (add_rmsnorm) or x          residual_out = h
//   r = 1 / sqrt(mean(h^2) + eps)                out = h * r * weight
//
// Zhang and Sennrich, "Root Mean Square Layer Normalization", 2019; arithmetic: norm/rmsnorm_op.cuh.
//
// Flow, tunables, shared memory and synchronisation: row/row.cuh.
#include "norm/rmsnorm_op.cuh"

template <class C> struct RmsnormOp : RmsnormRows<C> {
    using Rows = RmsnormRows<C>;
    static constexpr int STEPS = 1, COLUMNS_FROM = 1, WORDS = 1, GROUP = 0;
    static constexpr bool MAY_SHIFT = true;
    template <int K> using Reduce = ReduceSum;

    TF_METHOD RmsnormOp(const norm_params &params) : Rows(params)
    {
    }

    TF_METHOD void begin(long long)
    {
        this->squares.clear();
    }

    template <int K> TF_METHOD Floats<1> partial() const
    {
        return this->squares.value();
    }

    template <int K> TF_METHOD void settle(Floats<1> sum)
    {
        this->settle_rms(sum);
    }

    template <int N, int G>
    TF_METHOD void leave(const float (&h)[N], const float (&weight)[G][N], float (&y)[N], RowAt)
    {
        this->normalise(h, weight[0], y);
    }

    TF_METHOD void end(bool)
    {
    }
};

template <class C> TF_DEV void rmsnorm(const norm_params &p)
{
    static_assert(C::HIDDEN >= 1 && C::HIDDEN <= 65536, "hidden");
    row_run<C, RmsnormOp<C>>(p);
}

template <class C> TF_DEV void rmsnorm_generic(const norm_params &p)
{
    norm_generic<C, RmsnormOp>(p);
}
