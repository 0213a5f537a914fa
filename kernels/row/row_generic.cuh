// row_generic.cuh: the row template with everything at run time: one binary an architecture serves
// every dtype, size and alignment of an operator. It is the variant that is always loaded and the
// device reference, never the fastest.
//
// A block takes a row a turn and reads it once a step and once more for the output. The operator is
// the policy of row.cuh, made of a configuration whose GENERIC is 1; it gives in addition
//   width(p)               elements of a row
//   inputs(p)              how many of its inputs are there
//   taps(p)                whether h is written
// Shared memory: reduction scratch. Synchronisation: one block barrier a step.
#pragma once
#include "row/any_float.cuh"
#include "row/row.cuh"

// Where every row of every tensor starts on a whole vector of GENERIC_VEC elements, whatever its dtype.
enum { GENERIC_VEC = 8 };
TF_DEV bool generic_aligned(u64 bases, long long strides)
{
    return bases % 16 == 0 && strides % GENERIC_VEC == 0;
}

// aligned: vectors may be used.
template <class C, class O> class RowGeneric {
    static constexpr int VEC = O::UNIT == 1 ? GENERIC_VEC : 1, N = O::UNIT * VEC;
    static constexpr int COLUMNS = max_int(O::COLUMNS, 1);
    static constexpr int BLOCK = C::THREADS;

    const typename O::Params &p;
    O op;
    long long row;
    int width;
    bool aligned;

    // Column of vector k of a unit; a single element is its own unit.
    template <int LEN> TF_METHOD int place(int unit, int k) const
    {
        if constexpr (O::UNIT == 1)
            return unit * LEN;
        else
            return O::place(p, unit, k, VEC);
    }

    template <int LEN, class ROW> TF_METHOD void load_unit(ROW from, int unit, float (&f)[LEN])
    {
        constexpr int PART = LEN / O::UNIT;
        TF_UNROLL
        for (int k = 0; k < O::UNIT; k++) {
            float part[PART];
            load_floats<LD_KEEP>(from + place<PART>(unit, k), aligned, part);
            TF_UNROLL
            for (int j = 0; j < PART; j++)
                f[k * PART + j] = part[j];
        }
    }

    // Columns may start anywhere.
    template <int LEN> TF_METHOD void load_columns(int unit, float (&g)[COLUMNS][LEN])
    {
        if constexpr (O::COLUMNS > 0) {
            TF_UNROLL
            for (int k = 0; k < O::COLUMNS; k++)
                if (const auto column = O::column(p, k))
                    load_floats<LD_CONST>(column + place<LEN>(unit, 0), false, g[k]);
        }
    }

    template <int LEN> TF_METHOD RowAt enter(int unit, bool mine, float (&h)[LEN])
    {
        float in[O::INPUTS][LEN];
        TF_UNROLL
        for (int k = 0; k < O::INPUTS; k++) {
            TF_UNROLL
            for (int j = 0; j < LEN; j++)
                in[k][j] = 0;
            if (mine && k < O::inputs(p))
                load_unit<LEN>(O::input(p, k, row), unit, in[k]);
        }
        const RowAt at = {place<LEN / O::UNIT>(unit, 0), mine};
        op.enter(in, h, at);
        return at;
    }

    template <int K, int LEN> TF_METHOD void measure(int unit, bool mine)
    {
        float h[LEN];
        [[maybe_unused]] float g[COLUMNS][LEN];
        enter(unit, mine, h);
        if (!mine)
            return;
        if constexpr (K == 0) {
            op.gather(h);
        } else {
            if constexpr (K >= O::COLUMNS_FROM)
                load_columns(unit, g);
            op.template measure<K>(h, g);
        }
    }

    template <int LEN> TF_METHOD void leave(int unit, bool mine)
    {
        float h[LEN], g[COLUMNS][LEN], y[LEN];
        constexpr int PART = LEN / O::UNIT;
        const RowAt at = enter(unit, mine, h);
        if (mine)
            load_columns(unit, g);
        op.leave(h, g, y, at);
        if (!mine)
            return;
        TF_UNROLL
        for (int k = 0; k < O::UNIT; k++) {
            float part[PART], tap[PART];
            TF_UNROLL
            for (int j = 0; j < PART; j++) {
                part[j] = y[k * PART + j];
                tap[j] = h[k * PART + j];
            }
            if constexpr (O::TAP)
                if (O::taps(p))
                    store_floats(O::tap(p, row) + place<PART>(unit, k), aligned, tap);
            store_floats(O::out(p, row) + place<PART>(unit, k), aligned, part);
        }
    }

    // Whole units, all threads in step, then single elements.
    template <class F, class G> TF_METHOD void walk(F unit_at, G element_at)
    {
        const int units = width / N;
#pragma unroll 1
        for (int first = 0; first < units; first += BLOCK)
            unit_at(first + thread_index(), first + thread_index() < units);
        if constexpr (O::UNIT == 1 && VEC > 1) {
#pragma unroll 1
            for (int at = units * N + thread_index(); at < width; at += BLOCK)
                element_at(at);
        }
    }

    template <int K> TF_METHOD void steps(u32 turn)
    {
        if constexpr (K < O::STEPS) {
            using R = typename O::template Reduce<K>;
            walk([&](int unit, bool mine) { measure<K, N>(unit, mine); },
                [&](auto at) { measure<K, 1>(at, true); });
            op.template settle<K>(group_reduce<R, O::WORDS, BLOCK, BLOCK, 1>(
                op.template partial<K>(), smem_at<float>(0), turn * O::STEPS + K));
            steps<K + 1>(turn);
        }
    }

public:
    TF_METHOD RowGeneric(const typename O::Params &params, bool may_use_vectors)
        : p(params), op(params), row(0), width(O::width(params)), aligned(may_use_vectors)
    {
    }

    TF_METHOD void run()
    {
        static_assert(C::SMEM_BYTES >= GroupScratch<BLOCK, BLOCK, 1>::bytes(O::WORDS) ||
                          O::STEPS == 0,
            "the host's geometry agrees");
        pdl_begin<C>();
        u32 turn = 0;
        for (row = block_index(); row < p.rows; row += block_count(), turn++) {
            op.begin(row);
            steps<0>(turn);
            walk([&](int unit, bool mine) { leave<N>(unit, mine); },
                [&](auto at) { leave<1>(at, true); });
            op.end(thread_index() == 0);
        }
    }
};
