// layout.cuh: how a row is dealt to threads. First stage of the row template (row.cuh).
//
// A row is WIDTH elements. A group of THREADS_PER_ROW threads, in each of CLUSTER blocks, owns it:
// thread t holds units t, t + THREADS_PER_ROW, ... of UNIT vectors of VEC_BYTES each. Elements
// outside whole vectors ("edges") are dealt one to a thread. An element is read and written by one
// thread only: that is why an output may be an input.
//
// VEC_BYTES above ALIGN: rows start anywhere. If the operator may, each is covered by aligned vectors
// with edges at both ends ("shifted" rows); else a vector is several accesses of ALIGN bytes.
#pragma once
#include "device/reduce.cuh"
#include "device/vec.cuh"

template <bool B, class T, class F> struct RowPick {
    using type = T;
};
template <class T, class F> struct RowPick<false, T, F> {
    using type = F;
};

// Whether O says ROLLED: its enter() is long, so that rows that are read again are walked by a loop.
template <class O, class = void> struct RowRolled {
    static constexpr bool VALUE = false;
};
template <class O> struct RowRolled<O, decltype((void)O::ROLLED)> {
    static constexpr bool VALUE = O::ROLLED;
};

// Whether O says HIDES: of a row only the first O::seen(p, row) columns are read (row.cuh).
template <class O, class = void> struct RowHides {
    static constexpr bool VALUE = false;
};
template <class O> struct RowHides<O, decltype((void)O::HIDES)> {
    static constexpr bool VALUE = O::HIDES;
};

// Whether O says REMADE: addresses of the output are made again, not kept since the row was loaded (row.cuh).
template <class O, class = void> struct RowRemade {
    static constexpr bool VALUE = false;
};
template <class O> struct RowRemade<O, decltype((void)O::REMADE)> {
    static constexpr bool VALUE = O::REMADE;
};

// Whether O says SURVEYS: it sees the loaded vectors of several units before it gathers them (row.cuh).
template <class O, class = void> struct RowSurveys {
    static constexpr bool VALUE = false;
};
template <class O> struct RowSurveys<O, decltype((void)O::SURVEYS)> {
    static constexpr bool VALUE = O::SURVEYS;
};

// Everything that follows from the configuration C and the operator O.
template <class C, class O> struct RowLayout {
    using T = typename O::T;
    using H = typename O::H;

    static constexpr int ELEM = (int)sizeof(T);
    static constexpr int VEC = C::VEC_BYTES / ELEM;
    static constexpr int N = O::UNIT * VEC; // elements of a unit
    static constexpr bool SHIFTED = C::VEC_BYTES > max_int(C::ALIGN, ELEM) && O::MAY_SHIFT;
    // Bytes that one access may have: of rows with elements of `elem` bytes (ALIGN is less than that
    // where another tensor's are smaller), and of a tensor along the rows.
    TF_DEV constexpr int row_width(int elem)
    {
        return SHIFTED ? C::VEC_BYTES : max_int(C::ALIGN, elem);
    }
    static constexpr int COLUMN_WIDTH =
        SHIFTED ? (int)sizeof(typename O::COLUMN)
                : max_int(C::ALIGN, (int)sizeof(typename O::COLUMN));
    static constexpr bool HIDES = RowHides<O>::VALUE, SURVEYS = RowSurveys<O>::VALUE && VEC > 1;
    static constexpr bool REMADE = RowRemade<O>::VALUE;
    static constexpr int ST_ROW = C::STORE_HINT ? ST_STREAM : ST_KEEP;
    static constexpr bool AHEAD = C::STAGES == 2;

    static constexpr int UNITS = O::WIDTH / N;                      // most units in a row
    // Neighbouring lanes that hold a group, which no two blocks share.
    static constexpr int LANES = O::GROUP ? O::GROUP / VEC : 1;
    static constexpr int UNITS_BLOCK = ceil_div(UNITS, C::CLUSTER * LANES) * LANES; // of a block
    static constexpr int PER_THREAD = ceil_div(UNITS_BLOCK, C::THREADS_PER_ROW);
    // Units in registers at a time: all of them only if they wait there.
    static constexpr bool WAITS = C::RELOAD == 0 && O::STEPS > 0;
    static constexpr int CHUNK =
        WAITS ? PER_THREAD
              : min_int(PER_THREAD, max_int(1, (O::STEPS > 0 ? 4 : 8 / O::INPUTS) / O::UNIT));
    // Columns in registers at a time.
    static constexpr int COLUMN_UNITS = C::WEIGHT_LOAD ? PER_THREAD : CHUNK;
    // Chunks are code of their own only while they are few or their registers must be known.
    static constexpr int MOST_UNROLLED = !WAITS && RowRolled<O>::VALUE ? CHUNK : 32;
    static constexpr int UNROLLED = WAITS || C::WEIGHT_LOAD || PER_THREAD <= MOST_UNROLLED ? PER_THREAD : 1;
    // Units that every block has in every row: those below need no check.
    static constexpr int LEAST_SHIFT = SHIFTED ? VEC - 1 : 0;
    static constexpr int LEAST =
        min_int((O::WIDTH - LEAST_SHIFT) / N - (C::CLUSTER - 1) * UNITS_BLOCK, UNITS_BLOCK);
    // Most elements outside whole vectors; each is one thread's.
    static constexpr int EDGES = SHIFTED ? 2 * (VEC - 1) : O::WIDTH % VEC;
    // Every row that a group comes to exists: a block stops at the last one.
    static constexpr bool LIVE = C::ROWS_PER_BLOCK == 1 && !AHEAD;

    using Scratch = GroupScratch<C::THREADS, C::THREADS_PER_ROW, C::CLUSTER>;
    static constexpr int SCRATCH_BYTES = O::STEPS ? Scratch::bytes(O::WORDS) : 0;
    static constexpr int SLOT_OFFSET = ceil_div(SCRATCH_BYTES, 128) * 128;
    static constexpr int SLOT_BYTES = (int)sizeof(Vec<H, N>);
    // Units of a thread that wait in shared memory: the first ones; the others are read again.
    static constexpr int FIT = (C::SMEM_BYTES - SLOT_OFFSET) / (C::THREADS * SLOT_BYTES);
    static constexpr int SLOTS = C::RELOAD == 1 ? min_int(FIT, PER_THREAD) : 0;
    // Units before this one wait on chip.
    static constexpr int WAITING = WAITS ? PER_THREAD : SLOTS;
    static constexpr bool AGAIN = O::STEPS > 0 && WAITING < PER_THREAD; // others are read again
    static constexpr int LD_FIRST = AGAIN          ? LD_KEEP
                                    : C::LOAD_HINT ? LD_LAST
                                    : O::UNIT > 1  ? LD_LINE
                                                   : LD_ONCE;
    static constexpr int LAST_CHUNK = (PER_THREAD - 1) / CHUNK * CHUNK;

    static_assert(O::WIDTH >= 1, "row length");
    static_assert(C::VEC_BYTES == 16 || C::VEC_BYTES == 8 || C::VEC_BYTES == 4 ||
                      C::VEC_BYTES == 2 || C::VEC_BYTES == 1,
        "access width");
    static_assert(VEC >= 1 && UNITS >= (SHIFTED ? 2 : 1), "a row has whole units");
    static_assert(O::UNIT == 1 || (!SHIFTED && O::WIDTH % N == 0), "units of several vectors");
    static_assert(O::GROUP == 0 || (!SHIFTED && O::WIDTH % O::GROUP == 0 && O::GROUP % VEC == 0 &&
                                       O::GROUP / VEC <= 32 &&
                                       C::THREADS_PER_ROW % (O::GROUP / VEC) == 0),
        "a group of elements is whole neighbouring lanes");
    static_assert(EDGES <= C::THREADS_PER_ROW, "one edge element a thread");
    static_assert(C::THREADS == C::THREADS_PER_ROW * C::ROWS_PER_BLOCK && C::THREADS <= 1024 &&
                      C::THREADS % 32 == 0,
        "block size");
    static_assert(C::CLUSTER >= 1 && C::CLUSTER <= 16, "cluster size");
    static_assert(C::CLUSTER == 1 || O::STEPS == 0 || TF_ARCH == 0 || TF_ARCH >= 900,
        "clusters need sm_90");
    static_assert((C::CLUSTER - 1) * UNITS_BLOCK < UNITS, "every block of the cluster has work");
    static_assert(!WAITS || PER_THREAD * O::UNIT * C::VEC_BYTES <= 256,
        "a thread's part fits in registers");
    static_assert(C::RELOAD >= 0 && C::RELOAD <= 2, "reload source");
    static_assert(C::RELOAD == 0 || O::STEPS > 0, "only what is reduced waits");
    static_assert(C::WEIGHT_LOAD != 1 || C::RELOAD == 0, "early columns wait in registers");
    static_assert(C::WEIGHT_LOAD < 2 || C::BLOCKS_PER_SM > 0, "kept columns need several rows");
    static_assert(C::STAGES == 1 || (AHEAD && C::BLOCKS_PER_SM > 0 && WAITS),
        "a next row exists and waits in registers");
    static_assert(C::SMEM_BYTES >= SCRATCH_BYTES && (C::RELOAD != 1 || SLOTS > 0),
        "the host's geometry agrees");
};

// The part of one row that a thread owns. Columns count elements from the start of the row.
struct RowSpan {
    long long row;
    bool live; // the row exists
    int first; // unit 0 of this thread
    int units; // unit i is ours if i * THREADS_PER_ROW < units
    int edge;  // column of our edge element, -1 for none
    int shift; // elements before the first vector of the row
    int seen;  // columns that are read, of an operator that hides some
};

// Elements from the start of a row to its first aligned vector.
template <class C, class O> TF_DEV int row_shift(const void *row)
{
    const int past = (int)((u64)row % (u64)C::VEC_BYTES);
    return (past ? C::VEC_BYTES - past : 0) / RowLayout<C, O>::ELEM;
}

template <class C> TF_DEV int row_lane()
{
    return (int)((u32)thread_index() % (u32)C::THREADS_PER_ROW);
}

// Of the blocks that share a row: a cluster if it is reduced, else neighbours in the grid.
template <class C> TF_DEV int row_rank()
{
    return (int)(block_index() % (u32)C::CLUSTER);
}

// `start` is the row of the input that decides the shift.
template <class C, class O>
TF_DEV RowSpan row_span(long long row, long long rows, const void *start)
{
    using L = RowLayout<C, O>;
    const int lane = row_lane<C>(), rank = row_rank<C>();
    RowSpan s = {row, L::LIVE || row < rows, 0, 0, -1, 0, O::WIDTH};
    if constexpr (L::SHIFTED)
        s.shift = row_shift<C, O>(start);
    const int units = (O::WIDTH - s.shift) / L::N;
    s.first = rank * L::UNITS_BLOCK + lane;
    s.units = min_int(units - rank * L::UNITS_BLOCK, L::UNITS_BLOCK) - lane;
    if constexpr (L::EDGES > 0) {
        // [0, shift) and [shift + units * N, WIDTH), dealt to the threads of block 0.
        const int edges = O::WIDTH - units * L::N;
        if (rank == 0 && lane < edges)
            s.edge = lane < s.shift ? lane : units * L::N + lane;
    }
    return s;
}

// The check folds away for units that every thread has.
template <class C, class O> TF_DEV bool row_owns(const RowSpan &s, int i)
{
    using L = RowLayout<C, O>;
    if (!L::LIVE && !s.live)
        return false;
    return (i + 1) * C::THREADS_PER_ROW <= L::LEAST || i * C::THREADS_PER_ROW < s.units;
}

// Column of vector k of this thread's unit i.
template <class C, class O> TF_DEV int row_column(const RowSpan &s, int i, int k)
{
    using L = RowLayout<C, O>;
    if constexpr (O::UNIT == 1)
        return s.shift + s.first * L::VEC + i * (C::THREADS_PER_ROW * L::VEC);
    else
        return O::place(s.first + i * C::THREADS_PER_ROW, k, L::VEC);
}

// Of the units that the thread owns, those that are not hidden wholly.
template <class C, class O> TF_DEV bool row_reads(const RowSpan &s, int i)
{
    return row_owns<C, O>(s, i) &&
           (!RowLayout<C, O>::HIDES || row_column<C, O>(s, i, 0) < s.seen);
}
