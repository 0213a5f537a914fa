// rmsnorm_rope.cu: RMS normalisation of rows or heads, then rotary embedding. Serves rmsnorm_rope.
//
//   n = x / sqrt(mean(x^2) + eps) * weight        out = n with the pairs of each head turned
//
// x is [rows, heads, head_dim]. NORM 0: the mean is over a row of all heads; 1, per_head: over each
// head, which then is a row of the template. The angles are those of the token's position. Norm:
// norm/rmsnorm_op.cuh; rotation, STYLE and TABLE: rotate.cuh.
//
// Where a group's threads are a multiple of a head's units, all units of a thread have the same
// angles: loaded once, behind the row's own loads and in time for its reduction. Else each unit's
// angles are loaded when it leaves.
//
// Flow, tunables, shared memory and synchronisation: row/row.cuh.
#include "norm/rmsnorm_op.cuh"
#include "rope/rmsnorm_rope_params.h"
#include "rope/rotate.cuh"

// A row of heads that stand `pitch` elements apart. Columns count as if there were no gaps; vectors
// lie in one head.
template <class U> struct HeadRow {
    U *base;
    long long pitch;
    int head_dim;

    TF_METHOD U *operator+(int column) const
    {
        const u32 head = (u32)column / (u32)head_dim;
        return base + (long long)head * pitch + (u32)column % (u32)head_dim;
    }
    template <class O> TF_METHOD U *operator+(RowUnit<O> unit) const
    {
        return O::unit(*this, unit.first, unit.behind);
    }
};

template <class C> struct RmsnormRopeOp : RmsnormRows<C> {
    using Params = rmsnorm_rope_params;
    using T = typename C::DTYPE;
    using TABLE = typename C::TABLE_DTYPE;
    static constexpr int STEPS = 1, COLUMNS = C::GENERIC ? 0 : 1, COLUMNS_FROM = 1, WORDS = 1;
    static constexpr int UNIT = 2, GROUP = 0;
    // A head of its own, or more blocks on an SM than 80 registers a thread allow.
    static constexpr bool MAY_SHIFT = false, REMADE = C::NORM || C::MIN_BLOCKS * C::THREADS >= 800;
    template <int K> using Reduce = ReduceSum;

    static constexpr int VEC = C::VEC_BYTES / (int)sizeof(T);
    using R = RotateLayout<C, VEC>;
    static constexpr bool SHARED_ANGLES =
        !C::GENERIC && C::CLUSTER == 1 && C::THREADS_PER_ROW % R::UNITS == 0;

    const rmsnorm_rope_params &p;
    long long row;
    u32 position;
    Angles<C, VEC> angles;
    bool placed; // the row has its position

    TF_METHOD RmsnormRopeOp(const rmsnorm_rope_params &params)
        : RmsnormRows<C>(params.norm), p(params)
    {
    }

    // ---- addresses ----

    TF_DEV int heads(const Params &p)
    {
        return C::GENERIC ? p.heads : C::NORM ? C::NUM_HEADS : 1;
    }
    TF_DEV int head_dim(const Params &p)
    {
        return C::GENERIC ? p.head_dim : C::HEAD_DIM;
    }
    // Of a row of the template: there are less than 2^31.
    TF_DEV u32 token_of(const Params &p, long long row)
    {
        return (u32)row / (u32)heads(p);
    }
    template <class U>
    static TF_METHOD HeadRow<U> head_row(
        const Params &p, U *base, long long row, long long stride, long long pitch)
    {
        const long long head = (u32)row % (u32)heads(p);
        return {base + token_of(p, row) * stride + head * pitch, pitch, head_dim(p)};
    }
    TF_DEV HeadRow<const T> input(const Params &p, int, long long row)
    {
        return head_row(p, static_cast<const T *>(p.norm.x), row, p.norm.x_stride, p.x_pitch);
    }
    TF_DEV HeadRow<T> out(const Params &p, long long row)
    {
        return head_row(p, static_cast<T *>(p.norm.out), row, p.norm.out_stride, p.out_pitch);
    }
    TF_DEV auto column(const Params &p, int)
    {
        using W = typename C::WEIGHT_DTYPE;
        if constexpr (C::GENERIC) // leave() reads it
            return static_cast<const void *>(nullptr);
        else
            return HeadRow<const W>{
                static_cast<const W *>(p.norm.weight), p.weight_pitch, C::HEAD_DIM};
    }
    TF_DEV T *tap(const Params &, long long)
    {
        return nullptr;
    }
    TF_DEV constexpr int place(int unit, int k, int)
    {
        constexpr u32 UNITS = R::UNITS; // unsigned: a division of few instructions
        return (int)((u32)unit / UNITS) * C::HEAD_DIM + R::place((int)((u32)unit % UNITS), k);
    }

    // Vector 0 of the unit that many behind a thread's first: where they are whole heads, so many pitches, if
    // there are few: what many have in common would take registers.
    template <class U> TF_DEV U *unit(const HeadRow<U> &row, int first, int behind)
    {
        constexpr u32 UNITS = R::UNITS;
        if constexpr (C::THREADS_PER_ROW % R::UNITS || C::RELOAD)
            return row + place(first + behind, 0, VEC);
        U *const own = row.base + (long long)((u32)first / UNITS) * row.pitch +
                       R::place((int)((u32)first % UNITS), 0);
        return own + (long long)((u32)behind / UNITS) * row.pitch;
    }

    // ---- run-time values of the generic variant ----

    TF_DEV int place(const Params &p, int unit, int k, int)
    {
        const int pairs = p.head_dim / 2;
        const PairAt at = pair_at(p, unit % pairs);
        return unit / pairs * p.head_dim + (k ? at.b : at.a);
    }
    TF_DEV int width(const Params &p)
    {
        return p.norm.hidden;
    }
    TF_DEV int inputs(const Params &)
    {
        return 1;
    }
    TF_DEV bool taps(const Params &)
    {
        return false;
    }

    // ---- arithmetic ----

    TF_METHOD u32 position_of(u32 token) const
    {
        if constexpr (C::GENERIC) {
            if (p.positions)
                return (u32)rotate_index(
                    p.positions, p.position_dtype, token * p.positions_stride);
        } else if constexpr (C::HAS_POSITIONS) {
            using I = typename C::POSITION_DTYPE;
            return (u32)ld_elem<LD_CONST>(
                static_cast<const I *>(p.positions) + token * p.positions_stride);
        }
        return token < p.max_pos ? token : token % p.max_pos;
    }

    TF_METHOD void begin(long long of)
    {
        this->squares.clear();
        row = of;
        placed = false;
        if constexpr (C::GENERIC)
            find_place();
    }

    TF_METHOD void find_place()
    {
        position = (u32)row < (u32)p.rows ? position_of(token_of(p, row)) : 0;
        if constexpr (SHARED_ANGLES)
            fetch_angles(row_lane<C>() % R::UNITS);
        placed = true;
    }

    TF_METHOD void fetch_angles(int unit)
    {
        const int first = R::angle_place(unit, 0); // added to the row: both vectors have one address
        if (unit < R::TURNED)
            angles.load(static_cast<const TABLE *>(p.cos) + position * p.cos_stride + first,
                static_cast<const TABLE *>(p.sin) + position * p.sin_stride + first, 0);
    }

    // By now the row's loads are under way: they wait for no position.
    template <int N> TF_METHOD void enter(const float (&in)[1][N], float (&h)[N], RowAt)
    {
        if (!placed)
            find_place();
        TF_UNROLL
        for (int j = 0; j < N; j++)
            h[j] = in[0][j];
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
    TF_METHOD void leave(const float (&h)[N], const float (&weight)[G][N], float (&y)[N], RowAt at)
    {
        if constexpr (C::GENERIC)
            leave_pair(h, y, at);
        else
            leave_unit(h, weight[0], y, at);
    }

    TF_METHOD void leave_unit(
        const float (&h)[2 * VEC], const float (&weight)[2 * VEC], float (&y)[2 * VEC], RowAt at)
    {
        const int unit =
            SHARED_ANGLES ? row_lane<C>() % R::UNITS : R::unit_of(at.column % C::HEAD_DIM);
        if constexpr (!SHARED_ANGLES)
            fetch_angles(unit);
        float n[2 * VEC], x[2][VEC];
        this->normalise(h, weight, n);
        TF_UNROLL
        for (int j = 0; j < 2 * VEC; j++)
            x[j / VEC][j % VEC] = n[j];
        if (unit < R::TURNED)
            angles.turn(x);
        TF_UNROLL
        for (int j = 0; j < 2 * VEC; j++)
            y[j] = x[j / VEC][j % VEC];
    }

    TF_METHOD void leave_pair(const float (&h)[2], float (&y)[2], RowAt at) const
    {
        y[0] = y[1] = 0;
        if (!at.mine)
            return;
        const int head = at.column / p.head_dim, first = at.column % p.head_dim;
        const bool paired = p.interleaved || first >= p.rotary_dim;
        const PairAt pair = pair_at(p, paired ? first / 2 : first);
        const long long weights = head * p.weight_pitch;
        y[0] = this->weighted(
            h[0] * this->r, rotate_load(p.norm.weight, p.norm.weight_dtype, weights + pair.a));
        y[1] = this->weighted(
            h[1] * this->r, rotate_load(p.norm.weight, p.norm.weight_dtype, weights + pair.b));
        if (first < p.rotary_dim)
            pair_turn(p, pair, position, y[0], y[1]);
    }

    TF_METHOD void end(bool) {}
};

// What the norm's policy wants to know.
template <class C> struct RmsnormRopeCfg : C {
    static constexpr int HIDDEN = C::NORM ? C::HEAD_DIM : C::NUM_HEADS * C::HEAD_DIM;
    static constexpr int HAS_RESIDUAL = 0, RESIDUAL_ROUND = 0, HAS_BIAS = 0;
};

template <class C> TF_DEV void rmsnorm_rope(const rmsnorm_rope_params &p)
{
    using R = RmsnormRopeCfg<C>;
    row_run<R, RmsnormRopeOp<R>>(p);
}

// ---- the generic variant: pair by pair ----

template <class C, class D> struct RmsnormRopeGenericCfg : C {
    using DTYPE = D;
    using WEIGHT_DTYPE = void; // known at run time
    using TABLE_DTYPE = float;
    static constexpr int HIDDEN = 65536, HAS_RESIDUAL = 0, RESIDUAL_ROUND = 0, HAS_BIAS = 0;
    // Stand-ins for what leave_pair() has at run time.
    static constexpr int VEC_BYTES = sizeof(D), THREADS_PER_ROW = 1;
    static constexpr int WEIGHT_VARIANT = 0, ALIGN = 4, NORM = 0, NUM_HEADS = 1, RELOAD = 0;
    static constexpr int HEAD_DIM = 2, TABLE_DIM = 2, STYLE = 0, TABLE = 0;
};

template <class C, class D> TF_DEV void rmsnorm_rope_generic_dtype(const rmsnorm_rope_params &p)
{
    using G = RmsnormRopeGenericCfg<C, D>;
    RowGeneric<G, RmsnormRopeOp<G>>(p, false).run();
}

template <class C> TF_DEV void rmsnorm_rope_generic(const rmsnorm_rope_params &p)
{
    if (p.norm.dtype == DTYPE_F32)
        rmsnorm_rope_generic_dtype<C, float>(p);
    else if (p.norm.dtype == DTYPE_F16)
        rmsnorm_rope_generic_dtype<C, f16>(p);
    else
        rmsnorm_rope_generic_dtype<C, bf16>(p);
}
