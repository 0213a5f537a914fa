// access.cuh: loads and stores of a thread's part of a row. Second stage of the row template.
#pragma once
#include "device/mem.cuh"
#include "row/layout.cuh"

// COUNT of one thread's units of one tensor, and its edge element.
template <class C, class O, class U, int COUNT> struct RowPart {
    Vec<U, RowLayout<C, O>::VEC> v[COUNT][O::UNIT];
    U edge;
};

// The elements of a unit, one vector after the other.
template <int UNIT, class U, int VEC>
TF_DEV void row_unpack(const Vec<U, VEC> (&v)[UNIT], float (&f)[UNIT * VEC])
{
    if constexpr (UNIT == 1) {
        vec_unpack(v[0], f);
    } else {
        TF_UNROLL
        for (int k = 0; k < UNIT; k++) {
            float part[VEC];
            vec_unpack(v[k], part);
            TF_UNROLL
            for (int j = 0; j < VEC; j++)
                f[k * VEC + j] = part[j];
        }
    }
}

template <int UNIT, class U, int VEC>
TF_DEV void row_pack(const float (&f)[UNIT * VEC], Vec<U, VEC> (&v)[UNIT])
{
    if constexpr (UNIT == 1) {
        v[0] = vec_pack<U, VEC>(f);
    } else {
        TF_UNROLL
        for (int k = 0; k < UNIT; k++) {
            float part[VEC];
            TF_UNROLL
            for (int j = 0; j < VEC; j++)
                part[j] = f[k * VEC + j];
            v[k] = vec_pack<U, VEC>(part);
        }
    }
}

// Whether a row of another tensor may use the vectors of the span's row.
template <class C, class O> TF_DEV bool row_same_shift(const RowSpan &s, const void *row)
{
    return row_shift<C, O>(row) == s.shift;
}

// A row is a pointer, or what gives one for a column or, with UNIT 2, a unit that is added to it: rows of
// separate pieces, of which each holds whole units.

// The unit that many behind a thread's first.
template <class O> struct RowUnit {
    int first, behind;
};

// What is added for unit i, whose column is `first`.
template <class C, class O>
TF_DEV auto row_unit([[maybe_unused]] const RowSpan &s, [[maybe_unused]] int i, int first)
{
    if constexpr (O::UNIT == 1)
        return first;
    else
        return RowUnit<O>{s.first, i * C::THREADS_PER_ROW};
}

// Unit `at` into part.v[i], zeros where the thread reads none.
template <class C, class O, int HINT, int WIDTH, class U, int COUNT, class ROW>
TF_DEV void row_load_unit(RowPart<C, O, U, COUNT> &part, int i, const RowSpan &s, int at, ROW row)
{
    using L = RowLayout<C, O>;
    const bool reads = row_reads<C, O>(s, at);
    const int first = row_column<C, O>(s, at, 0);
    const U *const from = row + row_unit<C, O>(s, at, first);
    TF_UNROLL
    for (int k = 0; k < O::UNIT; k++)
        if (reads)
            part.v[i][k] = ld_vec<HINT, WIDTH, U, L::VEC>(from + (row_column<C, O>(s, at, k) - first));
        else
            part.v[i][k] = vec_zero<U, L::VEC>();
}

// Of those from unit FROM on.
template <class C, class O, int HINT, int WIDTH, int FROM, class U, int COUNT, class ROW>
TF_DEV void row_load_units(RowPart<C, O, U, COUNT> &part, const RowSpan &s, int at, ROW row)
{
    TF_UNROLL
    for (int i = 0; i < COUNT; i++)
        if (at + i >= FROM && at + i < RowLayout<C, O>::PER_THREAD)
            row_load_unit<C, O, HINT, WIDTH, U, COUNT>(part, i, s, at + i, row);
}

template <class C, class O, int HINT, class U, int COUNT>
TF_DEV void row_load_edge(RowPart<C, O, U, COUNT> &part, const RowSpan &s, const U *row)
{
    part.edge = from_f32<U>(0);
    if (s.edge >= 0 && (RowLayout<C, O>::LIVE || s.live))
        part.edge = ld_elem<HINT>(row + s.edge);
}

// Those from unit FROM on of [at, at + CHUNK) of an input row; the edge comes with the first chunk.
template <class C, class O, int HINT, int FROM, class ROW>
TF_DEV void row_load(
    RowPart<C, O, typename O::T, RowLayout<C, O>::CHUNK> &part, const RowSpan &s, int at, ROW row)
{
    using L = RowLayout<C, O>;
    using T = typename O::T;
    constexpr int CHUNK = L::CHUNK, WIDTH = L::row_width(L::ELEM);
    if constexpr (L::SHIFTED) {
        if (row_same_shift<C, O>(s, row))
            row_load_units<C, O, HINT, WIDTH, FROM, T, CHUNK>(part, s, at, row);
        else
            row_load_units<C, O, LD_KEEP, L::ELEM, FROM, T, CHUNK>(part, s, at, row);
    } else {
        row_load_units<C, O, HINT, WIDTH, FROM, T, CHUNK>(part, s, at, row);
    }
    if constexpr (L::EDGES > 0)
        if (at == 0)
            row_load_edge<C, O, LD_KEEP, T, CHUNK>(part, s, row);
}

// The lines of those to L2, by one thread each.
template <class C, class O, class ROW>
TF_DEV void row_prefetch(const RowSpan &s, int count, ROW row)
{
    constexpr int LINE = 128, BYTES = RowLayout<C, O>::VEC * (int)sizeof(*(row + 0));
    if (row_lane<C>() % max_int(LINE / BYTES, 1))
        return;
    TF_UNROLL
    for (int i = 0; i < count; i++)
        TF_UNROLL
        for (int k = 0; k < O::UNIT; k++)
            if (row_reads<C, O>(s, i))
                l2_prefetch(row + row_column<C, O>(s, i, k));
}

// A row of a tensor that is written.
template <class U, class ROW> struct RowOut {
    ROW row;
    bool whole; // the span's vectors are aligned in it
};

template <class C, class O, class U, class ROW>
TF_DEV RowOut<U, ROW> row_out(const RowSpan &s, ROW row)
{
    if constexpr (!RowLayout<C, O>::SHIFTED)
        return {row, true};
    else if constexpr (sizeof(U) != sizeof(typename O::T))
        return {row, false};
    else
        return {row, row_same_shift<C, O>(s, row)};
}

// Unit i, by the thread that owns it.
template <class C, class O, class U, class ROW>
TF_DEV void row_store(
    const RowOut<U, ROW> &out, const RowSpan &s, int i, const float (&y)[RowLayout<C, O>::N])
{
    using L = RowLayout<C, O>;
    constexpr int WIDTH = min_int(L::VEC * (int)sizeof(U), L::row_width((int)sizeof(U)));
    if (!row_owns<C, O>(s, i))
        return;
    Vec<U, L::VEC> v[O::UNIT];
    row_pack<O::UNIT>(y, v);
    const int first = row_column<C, O>(s, i, 0);
    U *const unit = out.row + row_unit<C, O>(s, i, first);
    TF_UNROLL
    for (int k = 0; k < O::UNIT; k++) {
        U *const to = unit + (row_column<C, O>(s, i, k) - first);
        if (!L::SHIFTED || out.whole)
            st_vec<L::ST_ROW, WIDTH, U, L::VEC>(to, v[k]);
        else
            st_vec<ST_KEEP, (int)sizeof(U), U, L::VEC>(to, v[k]);
    }
}
