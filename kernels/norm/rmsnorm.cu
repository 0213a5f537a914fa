// rmsnorm.cu: RMS normalisation of rows, optionally of x + residual. Serves rmsnorm, add_rmsnorm.
//
//   h = x + residual (add_rmsnorm) or x          residual_out = h
//   r = 1 / sqrt(mean(h^2) + eps)                out = h * r * weight
//
// Zhang and Sennrich, "Root Mean Square Layer Normalization", 2019. All arithmetic is fp32; the sum
// of a row is fp32 in an order that the configuration fixes (and the row's alignment, if shifted),
// whatever the number of rows. rsqrt is the approximate instruction, relative error at most
// 2^-22.9. WEIGHT_VARIANT: 0 plain, 1 one_plus (1 + weight, Gemma), 2 round_before (h * r rounded
// to DTYPE, then times weight, HF Llama). RESIDUAL_ROUND 1: norm of h rounded to DTYPE, else of the
// fp32 sum.
//
// Flow, tunables, shared memory and synchronisation: row/row.cuh.
#include "norm/rmsnorm_params.h"
#include "row/row_generic.cuh"

template <class C> struct RmsnormOp {
    using Params = rmsnorm_params;
    using T = typename C::DTYPE;
    using OUT = T;
    using COLUMN = typename C::WEIGHT_DTYPE;
    // A row waits for its sum in T, unless h is more precise than T.
    using H = typename RowPick<C::HAS_RESIDUAL && !C::RESIDUAL_ROUND, float, T>::type;
    static constexpr int WIDTH = C::HIDDEN, INPUTS = C::HAS_RESIDUAL ? 2 : 1, COLUMNS = 1;
    static constexpr int STEPS = 1, COLUMNS_FROM = 1, WORDS = 1, UNIT = 1, GROUP = 0;
    static constexpr int GENERIC_VEC = 16 / (int)sizeof(T);
    static constexpr bool TAP = C::HAS_RESIDUAL, WAITS_RAW = !C::HAS_RESIDUAL;
    static constexpr bool MAY_SHIFT = true;
    template <int K> using Reduce = ReduceSum;

    const rmsnorm_params &p;
    float square[4];
    float r;

    TF_METHOD RmsnormOp(const rmsnorm_params &params) : p(params)
    {
    }

    // ---- addresses ----

    TF_DEV const T *input(const rmsnorm_params &p, int k, long long row)
    {
        return k == 0 ? static_cast<const T *>(p.x) + row * p.x_stride
                      : static_cast<const T *>(p.residual) + row * p.residual_stride;
    }
    TF_DEV const COLUMN *column(const rmsnorm_params &p, int)
    {
        return static_cast<const COLUMN *>(p.weight);
    }
    TF_DEV T *out(const rmsnorm_params &p, long long row)
    {
        return static_cast<T *>(p.out) + row * p.out_stride;
    }
    TF_DEV T *tap(const rmsnorm_params &p, long long row)
    {
        return static_cast<T *>(p.residual_out) + row * p.residual_out_stride;
    }

    // ---- run-time values of the generic variant ----

    TF_DEV int width(const rmsnorm_params &p)
    {
        return p.hidden;
    }
    TF_DEV int inputs(const rmsnorm_params &p)
    {
        return p.residual ? 2 : 1;
    }
    TF_DEV bool taps(const rmsnorm_params &p)
    {
        return p.residual && p.residual_out;
    }
    TF_DEV int column_dtype(const rmsnorm_params &p)
    {
        return p.weight_dtype;
    }
    TF_METHOD float mean_factor() const
    {
        return C::GENERIC ? 1.0f / (float)p.hidden : 1.0f / WIDTH;
    }
    TF_METHOD int variant() const
    {
        return C::GENERIC ? p.weight_variant : C::WEIGHT_VARIANT;
    }
    TF_METHOD bool rounds() const
    {
        return C::GENERIC ? p.residual_round != 0 : C::HAS_RESIDUAL && C::RESIDUAL_ROUND;
    }

    // ---- arithmetic ----

    TF_METHOD void begin(long long)
    {
        TF_UNROLL
        for (int i = 0; i < 4; i++)
            square[i] = 0;
    }

    template <int N> TF_METHOD void enter(const float (&in)[INPUTS][N], float (&h)[N], RowAt)
    {
        TF_UNROLL
        for (int j = 0; j < N; j++) {
            h[j] = in[0][j];
            if constexpr (INPUTS == 2)
                h[j] += in[1][j];
            if (rounds())
                h[j] = to_f32(from_f32<T>(h[j]));
        }
    }

    template <int K> TF_DEV constexpr bool guarded()
    {
        return false;
    }

    template <int N> TF_METHOD void gather(const float (&h)[N])
    {
        TF_UNROLL
        for (int j = 0; j < N; j++)
            square[j % 4] += h[j] * h[j];
    }

    template <int K> TF_METHOD Floats<1> partial() const
    {
        return {{(square[0] + square[1]) + (square[2] + square[3])}};
    }

    template <int K> TF_METHOD void settle(Floats<1> sum)
    {
        r = rsqrt_approx(sum.f[0] * mean_factor() + p.eps);
    }

    template <int N, int G>
    TF_METHOD void leave(const float (&h)[N], const float (&weight)[G][N], float (&y)[N], RowAt)
    {
        TF_UNROLL
        for (int j = 0; j < N; j++)
            y[j] = weighted(h[j] * r, weight[0][j]);
    }

    TF_METHOD float weighted(float n, float weight) const
    {
        if (variant() == RMSNORM_ROUND_BEFORE)
            n = to_f32(from_f32<T>(n));
        if (variant() == RMSNORM_ONE_PLUS)
            weight += 1.0f;
        return n * weight;
    }

    TF_METHOD void end(bool)
    {
    }
};

template <class C> TF_DEV void rmsnorm(const rmsnorm_params &p)
{
    static_assert(C::HIDDEN >= 1 && C::HIDDEN <= 65536, "hidden");
    row_run<C, RmsnormOp<C>>(p);
}

// ---- the generic variant: both operators, residual NULL for rmsnorm ----

template <class C, class D> struct RmsnormGenericCfg : C {
    using DTYPE = D;
    using WEIGHT_DTYPE = void; // known at run time
    static constexpr int HIDDEN = 65536, HAS_RESIDUAL = 1, RESIDUAL_ROUND = 0;
    static constexpr int WEIGHT_VARIANT = 0;
};

template <class C, class D> TF_DEV void rmsnorm_generic_dtype(const rmsnorm_params &p)
{
    using G = RmsnormGenericCfg<C, D>;
    using O = RmsnormOp<G>;
    const u64 bases = (u64)p.x | (u64)p.out | (u64)p.residual | (u64)p.residual_out;
    const u64 strides =
        (u64)(p.x_stride | p.out_stride | p.residual_stride | p.residual_out_stride);
    if (bases % 16 == 0 && strides % (16 / sizeof(D)) == 0)
        RowGeneric<G, O, true>(p).run();
    else
        RowGeneric<G, O, false>(p).run();
}

template <class C> TF_DEV void rmsnorm_generic(const rmsnorm_params &p)
{
    if (p.dtype == DTYPE_F32)
        rmsnorm_generic_dtype<C, float>(p);
    else if (p.dtype == DTYPE_F16)
        rmsnorm_generic_dtype<C, f16>(p);
    else
        rmsnorm_generic_dtype<C, bf16>(p);
}
