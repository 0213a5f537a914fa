// gemm_add_norm.cuh: rows of the output, which other tiles have a part of, normalised from registers.
//
//   h = sum + bias + residual, rounded        norm_out = h / sqrt(mean(h^2) + eps) * norm_weight
//
// A consumer makes and keeps h, rounded, and leaves the sums of its squares. All blocks of these rows
// exchange those (gemm_row_sums.cuh), while h is stored; then what was kept is normalised and stored:
// nothing is read again. A tile too large for that is stored as it is made, before the exchange. Known
// weakness: nothing is multiplied while blocks wait.
#pragma once
#include "gemm/gemm_epilogue.cuh"
#include "gemm/gemm_row_sums.cuh"
#include "gemm/linear_add_rmsnorm_params.h"
#include "norm/norm_params.h"

// Of an operator whose parameters begin with those of a product.
TF_DEV const linear_add_rmsnorm_params &gemm_add_norm(const gemm_params &p)
{
    return reinterpret_cast<const linear_add_rmsnorm_params &>(p);
}

template <class C> TF_DEV float gemm_add_norm_factor(const gemm_params &p, float squares)
{
    return rsqrt_approx(squares * (1.0f / (float)C::N) + gemm_add_norm(p).eps);
}

// Of column n. Outside: any.
template <class C> TF_DEV float gemm_add_norm_weight(const gemm_params &p, int n, bool inside)
{
    using TO = typename C::OUT_DTYPE;
    const TO *weight = static_cast<const TO *>(gemm_add_norm(p).norm_weight);
    const float w = ld_f32_if(weight + n, inside);
    return C::WEIGHT_VARIANT == NORM_ONE_PLUS ? w + 1.0f : w;
}

template <class C> TF_DEV float gemm_add_norm_weighted(float normed, float weight)
{
    using TO = typename C::OUT_DTYPE;
    if constexpr (C::WEIGHT_VARIANT == NORM_ROUND_BEFORE)
        normed = to_f32(from_f32<TO>(normed));
    return normed * weight;
}

// Rounded pairs of h that a thread keeps: two for four neighbours of a fragment.
template <class C> using GemmMade = u32[GemmLayout<C>::OUT_SLABS][GemmLayout<C>::OUT_REGS / 2];

// h, kept when it is made, and the sums of its squares (gemm_values.cuh). Sums: of the tile's rows.
template <class C, class Sums> struct GemmMadeValues : GemmValues<C> {
    using L = GemmLayout<C>;
    using TO = typename L::TO;
    using Down = GemmFactors;

    GemmMade<C> made;
    float squares[2]; // of two rows of a slab so far; with SWAP of two columns of one fragment
    int warp, lane;   // of the block's consumers; of the warp

    // Every warp has whole rows.
    TF_DEV void leave_row(GemmMadeValues &values, int line)
    {
        TF_UNROLL
        for (int h = 0; h < 2; h++) {
            const float sum = lanes_sum<4>(values.squares[h]);
            if (values.lane % 4 == 0)
                Sums::part(0)[line + 8 * h] = sum;
        }
    }

    // Every warp has a part of each row: they run across.
    TF_DEV void leave_columns(GemmMadeValues &values, int slab, int column)
    {
        TF_UNROLL
        for (int c = 0; c < 2; c++) {
            const float sum = lanes_sum<8, 4>(values.squares[c]);
            float *part = Sums::part(values.warp) + 8 * column + 2 * (values.lane % 4) + c;
            if (values.lane < 4)
                *part = slab ? *part + sum : sum;
        }
    }

    TF_DEV void square(
        GemmMadeValues &values, const gemm_params &p, const GemmPlace &place, int h, u32 pair)
    {
        float x[2];
        unpack2<TO>(pair, x[0], x[1]);
        TF_UNROLL
        for (int c = 0; c < 2; c++) {
            const int n = C::SWAP ? place.row + 8 * h : place.col + c;
            // Beyond the last column are products with zeros: of infinity, NaN.
            const float inside = GemmValues<C>::inside(p, true, n) ? x[c] : 0.0f;
            values.squares[C::SWAP ? c : h] += inside * inside;
        }
    }

    TF_DEV void finish(GemmMadeValues &values, const gemm_params &p, const Down &down,
        const GemmPlace &place, const float *d, float (&v)[4])
    {
        GemmValues<C>::finish(values, p, down, place, d, v);
        if (C::SWAP || place.column == 0)
            values.squares[0] = values.squares[1] = 0;
        TF_UNROLL
        for (int h = 0; h < 2; h++) {
            const u32 pair = pack2<TO>(v[2 * h], v[2 * h + 1]);
            values.made[place.slab][2 * place.column + h] = pair;
            square(values, p, place, h, pair);
        }
        if constexpr (C::SWAP)
            leave_columns(values, place.slab, place.column);
        else if (place.column == L::OUT_REGS / 4 - 1)
            leave_row(values, place.row % L::TILE_ROWS);
    }
};

// What was kept of h.
template <class C> struct GemmKeptValues {
    using TO = typename C::OUT_DTYPE;
    using Held = u32;
    static constexpr int EACH = 2;

    struct Down {};

    TF_DEV Down down(const GemmKeptValues &, const gemm_params &, int)
    {
        return {};
    }

    TF_DEV void finish(const GemmKeptValues &, const gemm_params &, const Down &, const GemmPlace &,
        const u32 *d, float (&v)[4])
    {
        unpack2<TO>(d[0], v[0], v[1]);
        unpack2<TO>(d[1], v[2], v[3]);
    }
};

// What was kept of h, normalised.
template <class C, class Sums> struct GemmNormedValues {
    using TO = typename C::OUT_DTYPE;
    using Held = u32;
    static constexpr int EACH = 2;

    struct Down {
        float of[2];
    };

    int row, col; // of the tile

    // Of row m of h or of column n, in the tile: what multiplies it.
    TF_DEV float side(const gemm_params &p, bool column, int at)
    {
        return column ? Sums::columns()[at] : gemm_add_norm_factor<C>(p, Sums::total(at));
    }

    TF_DEV Down down(const GemmNormedValues &values, const gemm_params &p, int row)
    {
        const int at = row - values.row;
        return {{side(p, C::SWAP, at), side(p, C::SWAP, at + 8)}};
    }

    TF_DEV void finish(const GemmNormedValues &values, const gemm_params &p, const Down &down,
        const GemmPlace &place, const u32 *d, float (&v)[4])
    {
        unpack2<TO>(d[0], v[0], v[1]);
        unpack2<TO>(d[1], v[2], v[3]);
        TF_UNROLL
        for (int c = 0; c < 2; c++) {
            const float across = side(p, !C::SWAP, place.col - values.col + c);
            TF_UNROLL
            for (int i = c; i < 4; i += 2)
                v[i] = gemm_add_norm_weighted<C>(
                    v[i] * (C::SWAP ? across : down.of[i / 2]), C::SWAP ? down.of[i / 2] : across);
        }
    }
};

template <class C> struct GemmAddNorm {
    using L = GemmLayout<C>;
    using Store = GemmEpilogue<C>;
    // Tiles of a row; bands of rows in a rectangle of a cluster.
    static constexpr int ACROSS = C::SWAP ? C::CLUSTER_M : C::CLUSTER_N;
    static constexpr int DOWN = C::SWAP ? C::CLUSTER_N : C::CLUSTER_M;
    static constexpr int TILES =
        ceil_div(C::N, (C::SWAP ? L::TILE_ROWS : L::TILE_COLS) * ACROSS) * ACROSS;
    using Sums = GemmRowSums<C, typename L::RowSums, L::WARPGROUP, L::SCALES_AT, TILES>;
    using Made = GemmMadeValues<C, Sums>;
    using Normed = GemmNormedValues<C, Sums>;
    // A thread has registers for what it makes of all its sums: said before it is stored.
    static constexpr bool MADE_FIRST = L::OUT_SLABS * L::OUT_REGS <= 64;

    Store out;
    Sums sums;
    int row, col; // as Store has them

    TF_DEV GemmAddNorm start(const gemm_params &p, int consumer)
    {
        return {Store::start(p, consumer), Sums::start(gemm_add_norm(p).exchange), 0, 0};
    }

    // Keeps h, says and hears the sums of its rows. norm_weight comes in the meantime.
    TF_DEV void exchange(GemmAddNorm &e, const gemm_params &p, Made &made,
        const float (&acc)[L::OUT_SLABS][L::OUT_REGS])
    {
        constexpr int OWNERS = L::WARPGROUP * C::CONSUMERS, EACH = ceil_div(L::N_ROWS, OWNERS);
        const int down = e.row / L::TILE_ROWS, across = e.col / L::TILE_COLS;
        const int bands = ceil_div(p.m, L::X_ROWS * DOWN) * DOWN;
        const int first = C::SWAP ? down * L::TILE_ROWS : e.col, thread = Sums::thread();
        float weight[EACH];
        if constexpr (MADE_FIRST)
            Store::make_values(e.out, p, made, acc);
        else
            Store::store_values(e.out, p, made, acc);
        Sums::say(e.sums, bands, C::SWAP ? across : down, C::SWAP ? down : across);
        TF_UNROLL
        for (int i = 0; i < EACH; i++) {
            const int n = first + thread + i * OWNERS;
            weight[i] = gemm_add_norm_weight<C>(p, n, n < C::N);
        }
        if constexpr (MADE_FIRST) {
            GemmKeptValues<C> kept;
            Store::store_values(e.out, p, kept, made.made);
        }
        Sums::hear(e.sums);
        TF_UNROLL
        for (int i = 0; i < EACH; i++)
            if (thread + i * OWNERS < L::N_ROWS)
                Sums::columns()[thread + i * OWNERS] = weight[i];
        Sums::meet(e.sums);
    }

    TF_DEV void store(
        GemmAddNorm &e, const gemm_params &p, const float (&acc)[L::OUT_SLABS][L::OUT_REGS])
    {
        Made made;
        made.scale = 1;
        made.warp = thread_index() / 32 - 4;
        made.lane = thread_index() % 32;
        e.out.row = e.row;
        e.out.col = e.col;
        e.out.map = &p.out_map;
        exchange(e, p, made, acc);
        TF_UNROLL
        for (int s = 0; s < L::OUT_SLABS; s++)
            words_forget(made.made[s]); // else it waits unpacked
        Normed normed = {e.row / L::TILE_ROWS * L::TILE_ROWS, e.col};
        e.out.map = &gemm_add_norm(p).norm_out_map;
        Store::store_values(e.out, p, normed, made.made);
    }

    TF_DEV void finish_stores(GemmAddNorm &e)
    {
        Sums::leave(e.sums);
        Store::finish_stores(e.out);
    }
};

// What stores a tile.
template <class C>
using GemmStore = typename GemmPick<GemmAddNormed<C>::VALUE, GemmAddNorm<C>, GemmEpilogue<C>>::type;
