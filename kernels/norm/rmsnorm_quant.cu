// rmsnorm_quant.cu: RMS normalisation of rows to fp8, optionally of x + residual. Serves
// rmsnorm_quant, add_rmsnorm_quant.
//
//   h = x + residual (add_rmsnorm_quant) or x      residual_out = h
//   y = h / sqrt(mean(h^2) + eps) * weight         arithmetic: norm/rmsnorm_op.cuh
//   out = y / scale                                scales: quant/quant.cuh
//
// GRANULARITY 0, per_token: a second reduction finds the row's amax, and y is computed again from
// what waits; 1, per_group: leave() finds it among the lanes of a group. y is not rounded before it
// is quantised.
//
// Flow, tunables, shared memory and synchronisation: row/row.cuh.
#include "norm/rmsnorm_op.cuh"
#include "quant/quant.cuh"

template <class C> struct RmsnormQuantOp : RmsnormRows<C, typename C::OUT_DTYPE> {
    using Rows = RmsnormRows<C, typename C::OUT_DTYPE>;
    using Quant = RowQuant<C, typename C::OUT_DTYPE, C::GRANULARITY == 1>;
    static constexpr int STEPS = 1 + Quant::STEPS, COLUMNS_FROM = 1, WORDS = 1;
    static constexpr int GROUP = Quant::GROUP;
    static constexpr bool MAY_SHIFT = GROUP == 0;
    template <int K> using Reduce = typename RowPick<K == 0, ReduceSum, ReduceMax>::type;

    Quant quant;

    TF_METHOD RmsnormQuantOp(const norm_params &params) : Rows(params), quant(params.quant)
    {
    }

    TF_METHOD void begin(long long row)
    {
        this->squares.clear();
        quant.begin(row);
    }

    template <int K, int N, int G>
    TF_METHOD void measure(const float (&h)[N], const float (&weight)[G][N])
    {
        float y[N];
        this->normalise(h, weight[0], y);
        quant.gather(y);
    }

    template <int K> TF_METHOD Floats<1> partial() const
    {
        if constexpr (K == 0)
            return this->squares.value();
        else
            return quant.partial();
    }

    template <int K> TF_METHOD void settle(Floats<1> total)
    {
        if constexpr (K == 0)
            this->settle_rms(total);
        else
            quant.settle(total);
    }

    template <int N, int G>
    TF_METHOD void leave(const float (&h)[N], const float (&weight)[G][N], float (&y)[N], RowAt at)
    {
        float n[N];
        this->normalise(h, weight[0], n);
        quant.leave(n, y, at);
    }

    TF_METHOD void end(bool first)
    {
        quant.end(first);
    }
};

template <class C> TF_DEV void rmsnorm_quant(const norm_params &p)
{
    static_assert(C::HIDDEN >= 1 && C::HIDDEN <= 65536, "hidden");
    row_run<C, RmsnormQuantOp<C>>(p);
}

// ---- the generic variant ----

template <class C, class FP8> struct RmsnormQuantGenericCfg : C {
    using OUT_DTYPE = FP8;
    static constexpr int GRANULARITY = 0; // known at run time
};

template <class C> TF_DEV void rmsnorm_quant_generic(const norm_params &p)
{
    if (p.out_dtype == DTYPE_E4M3)
        norm_generic<RmsnormQuantGenericCfg<C, e4m3>, RmsnormQuantOp>(p);
    else
        norm_generic<RmsnormQuantGenericCfg<C, e5m2>, RmsnormQuantOp>(p);
}
