// layernorm.cu: layer normalisation of rows, optionally of x + residual. Serves layernorm,
// add_layernorm.
//
//   h = x + residual (add_layernorm) or x        residual_out = h
//   m = mean(h)      r = 1 / sqrt(mean((h - m)^2) + eps)
//   out = (h - m) * r * weight + bias            bias optional; WEIGHT_VARIANT 1: 1 + weight
//
// Ba, Kiros and Hinton, "Layer Normalization", 2016. All arithmetic is fp32. rsqrt is the approximate
// instruction, relative error at most 2^-22.9. The difference of two large sums would lose the variance
// where the mean is large, so:
//
//   f32, or with a residual   it is that of centred values, from a second reduction while the row waits;
//   else (SAMPLED)            one reduction of x - c and (x - c)^2, c the mean of the row's first elements,
//                             one a lane. With L lanes (c - m)^2 <= variance * hidden / L, whatever the row,
//                             so the subtraction of squares costs at most log2(hidden / L) of fp32's 24 bits.
//
// Flow, tunables, shared memory and synchronisation: row/row.cuh.
#include "norm/norm_op.cuh"

// Two sums at once.
struct LayernormSums {
    static constexpr int WORDS = 2;
    using Value = Floats<2>;
    TF_DEV Value none()
    {
        return {{0.0f, 0.0f}};
    }
    TF_DEV void combine(Value &a, const Value &b)
    {
        a.f[0] += b.f[0];
        a.f[1] += b.f[1];
    }
};

template <class C> struct LayernormOp : NormRows<C> {
    using Rows = NormRows<C>;
    using T = typename C::DTYPE;
    static constexpr bool SAMPLED = !C::GENERIC && !C::HAS_RESIDUAL && sizeof(T) == 2;
    static constexpr int COLUMNS = C::HAS_BIAS ? 2 : 1;
    static constexpr int STEPS = SAMPLED ? 1 : 2, COLUMNS_FROM = 2, WORDS = SAMPLED ? 2 : 1,
                         GROUP = 0;
    static constexpr bool MAY_SHIFT = true;
    template <int K> using Reduce = typename RowPick<SAMPLED, LayernormSums, ReduceSum>::type;

    NormSum sum, squares; // SAMPLED: of x - shift
    float mean, r, shift;

    TF_METHOD LayernormOp(const norm_params &params) : Rows(params) {}

    TF_METHOD bool has_bias() const
    {
        return C::GENERIC ? this->p.columns == 2 : C::HAS_BIAS;
    }

    // Of a warp, those that share a row: each samples an element.
    TF_DEV constexpr int lanes()
    {
        return min_int(C::THREADS_PER_ROW, 32);
    }

    TF_METHOD void begin(long long row)
    {
        sum.clear();
        if constexpr (SAMPLED) {
            const int lane = thread_index() % lanes();
            shift = 0;
            squares.clear();
            if (row < this->p.rows)
                shift = to_f32(
                    ld_elem<LD_KEEP>(Rows::input(this->p, 0, row) + (lane < C::HIDDEN ? lane : 0)));
        }
    }

    // The row's own loads are under way.
    TF_METHOD void loading()
    {
        if constexpr (SAMPLED)
            shift = lanes_reduce<ReduceSum, lanes()>({{shift}}).f[0] * (1.0f / lanes());
    }

    // Zeros in place of other rows' elements are far from the mean.
    template <int K> TF_DEV constexpr bool guarded()
    {
        return SAMPLED || K == 1;
    }

    template <int N> TF_METHOD void gather(const float (&h)[N])
    {
        TF_UNROLL
        for (int j = 0; j < N; j++) {
            const float x = SAMPLED ? h[j] - shift : h[j];
            sum.part[j % 4] += x;
            if constexpr (SAMPLED)
                squares.part[j % 4] += x * x;
        }
    }

    template <int K, int N, int G>
    TF_METHOD void measure(const float (&h)[N], const float (&)[G][N])
    {
        TF_UNROLL
        for (int j = 0; j < N; j++)
            sum.part[j % 4] += (h[j] - mean) * (h[j] - mean);
    }

    template <int K> TF_METHOD auto partial() const
    {
        if constexpr (SAMPLED)
            return Floats<2>{{sum.value().f[0], squares.value().f[0]}};
        else
            return sum.value();
    }

    template <int K> TF_METHOD void settle(Floats<2> total)
    {
        const float beyond = total.f[0] * this->mean_factor();
        mean = shift + beyond;
        r = rsqrt_approx(
            max_nan(total.f[1] * this->mean_factor() - beyond * beyond, 0.0f) + this->p.eps);
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

    TF_METHOD void end(bool) {}
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
