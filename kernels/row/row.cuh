// row.cuh: the row template: operators whose rows are independent, each tensor read and written
// once. Serves the norms, their quantised and rotated forms, gated activations, softmax and
// quantisation; layout.cuh says who owns what, access.cuh moves it, this file is the flow:
//
//   load inputs -> enter -> [gather | measure -> reduce -> settle] x STEPS -> leave -> store
//
// An operator is a policy `template <class C> struct Op` of the configuration C:
//   Params                    the parameter struct, with long long rows
//   T, OUT, COLUMN, H         types: inputs; output; tensors along the row; h while it waits
//   WIDTH, INPUTS, COLUMNS    elements of a row; tensors of T read; tensors of COLUMN read
//   COLUMNS_FROM              the first step whose measure() uses the columns; STEPS: only leave() does
//   STEPS, WORDS              reductions of a row; floats of the widest value reduced
//   WAITS_RAW                 whether h is the first input unchanged (then H is T)
//   TAP                       whether h, as entered, is written to a second output
//   UNIT                      vectors that belong together (2: rotation by halves; else 1)
//   GROUP                     neighbouring elements that leave() reduces among lanes; 0: none
//   ROLLED                    optional: enter() is long (layout.cuh)
//   HIDES                     optional: units behind the first seen(p, row) columns are not read, and
//                             come out as zeros; leave() sees to the unit where they end, each lane alone
//   SURVEYS                   optional, of one input that waits raw: survey(v) sees the vectors of up to
//                             two units and says what gather() shall see of them, after surveyed()
//   REMADE                    optional: addresses of the output are made again (docs/notes/rope.md)
//   MAY_SHIFT                 whether rows may be shifted (layout.cuh): only with UNIT 1 and GROUP 0
//   Reduce<K>                 the reduction of step K (device/reduce.cuh)
//   input(p, k, row), column(p, k), out(p, row), tap(p, row)      addresses
//   place(unit, k, vec)       UNIT 2: column of vector k of a unit
//   unit(row, first, behind)  UNIT 2: address of vector 0 of the unit that many behind the thread's first
//   Op(p); begin(row)         what is the same for all rows; what is a row's own
//   enter(in, h, at)          h of the inputs, in fp32
//   gather(h)                 takes h into step 0
//   measure<K>(h, g)          takes h into step K > 0; g: the columns' values
//   guarded<K>()              whether zeros in place of what a thread does not own would count
//   partial<K>(), settle<K>(v)    what this thread took in; the row's result
//   leave(h, g, y, at)        the output; every lane of the warp comes here together
//   end(first)                after the row; first: the thread that may write per-row results
// enter, gather, measure and leave are templates of N, the elements they are given: those of a unit, or
// the one of an edge. Functions see only the values of `at` and their arguments, so that the same
// operator runs with run-time dimensions in row_generic.cuh.
//
// Tunables (constraints: the static_asserts of RowLayout; measured: docs/notes/rmsnorm.md):
//   VEC_BYTES        bytes of one access.
//   THREADS_PER_ROW  more: fewer registers a thread and a wider reduction. What counts is that the
//                    blocks resident on an SM have 40 to 64 KB of loads in flight.
//   ROWS_PER_BLOCK   groups in a block: fills blocks when rows are short.
//   CLUSTER          blocks that share a row: long rows. Reductions go through DSMEM; with STEPS 0 the
//                    blocks know nothing of each other.
//   RELOAD           where the row waits: 0 registers; 1 shared memory, as much of it as fits; 2 nowhere.
//                    What does not wait is read again, each walk over it turning round: the chunk
//                    that one ends with is still in registers.
//   BLOCKS_PER_SM    0: a block per ROWS_PER_BLOCK rows; k: k blocks an SM walk over all rows.
//   STAGES           1; 2: walking blocks load the next row before they reduce this one.
//   WEIGHT_LOAD      columns: 0 when used; 1 under the row's own latency; 2 once a block, kept in
//                    registers (shifted rows: read again when the shift changes).
//   STORE_HINT       0 default, 1 streaming: 2 to 3 us of 67 on tensors larger than L2.
//   LOAD_HINT        inputs that are read once: 0 past L1, 1 and kept longest by L2, which then writes back
//                    sooner: 2.5% of 130 us on tensors of several times L2.
//   PREFETCH         blocks of a large grid that bring their rows to L2 while the kernel before ends: 3%
//                    of 10 us, or a loss.
//
// Shared memory: reduction scratch, then (RELOAD 1) one slot for each thread and unit that waits.
// Synchronisation: one block (or cluster) barrier a step, inside group_reduce. Where the architecture
// has it, the blocks of the next launch start as this one's end and wait for its results (PDL); of few
// rows they bring theirs to L2 meanwhile. For one row 1.2 us a launch instead of 1.7.
// Known weakness: shifted rows whose tensors differ in shift use single-element accesses for the
// tensors that differ from the first input; shifted columns are read element by element.
#pragma once
#include "device/pdl.cuh"
#include "row/access.cuh"

// Where a unit or edge stands: the column of its first element; whether this thread owns it.
struct RowAt {
    int column;
    bool mine;
};

template <class C, class O> class RowKernel {
    using L = RowLayout<C, O>;
    using T = typename O::T;
    using H = typename L::H;
    static constexpr int N = L::N, CHUNK = L::CHUNK;
    static constexpr int COLUMNS = max_int(O::COLUMNS, 1); // arrays are never empty
    static constexpr int LAST_READ = C::RELOAD == 1 ? LD_STREAM : LD_ONCE;

    struct Raw {
        RowPart<C, O, T, CHUNK> in[O::INPUTS];
    };

    const typename O::Params &p;
    O op;
    RowSpan s;
    Raw raw;
    RowPart<C, O, H, L::WAITS ? L::PER_THREAD : 1> held;
    RowPart<C, O, typename O::COLUMN, L::COLUMN_UNITS> columns[COLUMNS];
    int columns_shift; // of the row that they were read for

    TF_METHOD bool live() const
    {
        return L::LIVE || s.live;
    }

    TF_METHOD RowAt at_unit(int i) const
    {
        return {row_column<C, O>(s, i, 0), row_owns<C, O>(s, i)};
    }

    TF_METHOD bool owns_edge() const
    {
        return L::EDGES > 0 && s.edge >= 0 && live();
    }

    // Of the block's groups that of this thread.
    TF_DEV int group()
    {
        return (int)((u32)thread_index() / (u32)C::THREADS_PER_ROW);
    }

    TF_METHOD RowSpan span(long long row) const
    {
        const void *start = nullptr;
        if constexpr (L::SHIFTED)
            start = O::input(p, 0, row);
        RowSpan of = row_span<C, O>(row, p.rows, start);
        if constexpr (L::HIDES)
            of.seen = O::seen(p, row);
        return of;
    }

    // The n-th unit's chunk of walk K over the row. Where chunks are read again each walk turns round:
    // what was read last is likeliest still near.
    template <int K> TF_DEV constexpr int chunk(int n)
    {
        return L::AGAIN && K % 2 ? L::LAST_CHUNK - n : n;
    }

    TF_DEV constexpr bool waits(int unit)
    {
        return unit < L::WAITING;
    }

    // Whether a walk reads the n-th unit's chunk again: not the one that the walk before ended with.
    TF_DEV constexpr bool rereads(int n, int at)
    {
        return L::AGAIN && n > 0 && !waits(at + CHUNK - 1);
    }

    // ---- loads ----

    template <int HINT, int FROM = 0> TF_METHOD void fetch(Raw &to, const RowSpan &of, int at) const
    {
        TF_UNROLL
        for (int k = 0; k < O::INPUTS; k++)
            row_load<C, O, HINT, FROM>(to.in[k], of, at, O::input(p, k, of.row));
    }

    // What waits in shared memory need not stay in L2, where the rest is wanted again.
    TF_METHOD void fetch_first(int at)
    {
        if constexpr (C::RELOAD != 1 || !L::AGAIN)
            fetch<L::LD_FIRST>(raw, s, at);
        else if (waits(at + CHUNK - 1))
            fetch<LD_STREAM>(raw, s, at);
        else
            fetch<LD_LAST>(raw, s, at);
    }

    // What the first turn reads first, columns for all rows by one, to L2; of long rows a unit a thread, as
    // much as arrives in time. The compiler shall not keep addresses from here: they cost the many blocks
    // that do without 3%.
    TF_METHOD void prefetch() const
    {
        constexpr int FIRST = C::RELOAD ? 1 : CHUNK;
        u32 block[1] = {block_index() / C::CLUSTER};
        words_forget(block);
        const RowSpan at = span((long long)block[0] * C::ROWS_PER_BLOCK + group());
        if (!L::LIVE && !at.live)
            return;
        TF_UNROLL
        for (int k = 0; k < O::INPUTS; k++)
            row_prefetch<C, O>(at, FIRST, O::input(p, k, at.row));
        if (at.row == 0) {
            TF_UNROLL
            for (int k = 0; k < O::COLUMNS; k++)
                row_prefetch<C, O>(at, FIRST, O::column(p, k));
        }
    }

    // Columns of units [at, at + COUNT), to where column_values() looks for them.
    template <int COUNT> TF_METHOD void fetch_columns(int at)
    {
        using W = typename O::COLUMN;
        TF_UNROLL
        for (int k = 0; k < O::COLUMNS; k++) {
            const auto row = O::column(p, k);
            TF_UNROLL
            for (int i = 0; i < COUNT; i++)
                if (at + i < L::PER_THREAD)
                    row_load_unit<C, O, LD_CONST, L::COLUMN_WIDTH, W, L::COLUMN_UNITS>(
                        columns[k], kept(at, i), s, at + i, row);
            if constexpr (L::EDGES > 0)
                if (at == 0)
                    row_load_edge<C, O, LD_CONST, W, L::COLUMN_UNITS>(columns[k], s, row);
        }
    }

    // Where the columns of unit at + i of a chunk are.
    TF_DEV int kept(int at, int i)
    {
        return C::WEIGHT_LOAD ? at + i : i;
    }

    TF_METHOD void column_values(int at, int i, float (&g)[COLUMNS][N])
    {
        TF_UNROLL
        for (int k = 0; k < O::COLUMNS; k++)
            row_unpack<O::UNIT>(columns[k].v[kept(at, i)], g[k]);
    }

    TF_METHOD void column_edge(float (&g)[COLUMNS][1])
    {
        TF_UNROLL
        for (int k = 0; k < O::COLUMNS; k++)
            g[k][0] = to_f32(columns[k].edge);
    }

    // ---- h ----

    TF_METHOD void enter(int at, int i, float (&h)[N])
    {
        float in[O::INPUTS][N];
        TF_UNROLL
        for (int k = 0; k < O::INPUTS; k++)
            row_unpack<O::UNIT>(raw.in[k].v[i], in[k]);
        op.enter(in, h, at_unit(at + i));
    }

    TF_METHOD void enter_edge(float (&h)[1])
    {
        float in[O::INPUTS][1];
        TF_UNROLL
        for (int k = 0; k < O::INPUTS; k++)
            in[k][0] = to_f32(raw.in[k].edge);
        op.enter(in, h, RowAt{s.edge, owns_edge()});
    }

    // Where unit i waits in shared memory (RELOAD 1); only its own thread reads it.
    TF_METHOD Vec<H, L::VEC> (&slot(int i))[O::UNIT]
    {
        struct Slot {
            Vec<H, L::VEC> v[O::UNIT];
        };
        return (smem_at<Slot>(L::SLOT_OFFSET) + i * C::THREADS + thread_index())->v;
    }

    // Unit at + i of the chunk in raw, as entered.
    TF_METHOD void keep(int at, int i, const float (&h)[N])
    {
        Vec<H, L::VEC> v[O::UNIT];
        TF_UNROLL
        for (int k = 0; k < O::UNIT; k++)
            if constexpr (O::WAITS_RAW)
                v[k] = raw.in[0].v[i][k];
        if constexpr (!O::WAITS_RAW)
            row_pack<O::UNIT>(h, v);
        TF_UNROLL
        for (int k = 0; k < O::UNIT; k++)
            if constexpr (L::WAITS)
                held.v[at + i][k] = v[k];
            else if (waits(at + i))
                slot(at + i)[k] = v[k];
    }

    // h of unit at + i; raw holds the chunk that begins with unit `at` unless that waits.
    TF_METHOD void recall(int at, int i, float (&h)[N])
    {
        if constexpr (L::WAITS) {
            TF_UNROLL
            for (int k = 0; k < O::UNIT; k++)
                vec_forget(held.v[at + i][k]); // else it waits unpacked too
            row_unpack<O::UNIT>(held.v[at + i], h);
        } else {
            if (waits(at + i))
                row_unpack<O::UNIT>(slot(at + i), h);
            else
                enter(at, i, h);
        }
    }

    // The span as the output sees it: what REMADE makes again takes no registers while the row waits.
    TF_METHOD decltype(auto) span_again() const
    {
        if constexpr (L::REMADE) {
            RowSpan again = s;
            u32 first[1] = {(u32)s.first};
            words_hide(first);
            again.first = (int)first[0];
            return again;
        } else {
            return (s);
        }
    }

    // ---- passes ----

    // What is written with TAP waits for the last pass when the row is read again: the tap may be
    // the input's memory.
    TF_METHOD void tap_unit(int i, const float (&h)[N])
    {
        if constexpr (O::TAP)
            row_store<C, O>(row_out<C, O, T>(s, O::tap(p, s.row)), s, i, h);
    }

    TF_METHOD void gather_units(int at)
    {
        TF_UNROLL
        for (int i = 0; i < CHUNK && at + i < L::PER_THREAD; i++) {
            float h[N] = {};
            if (!L::HIDES || row_reads<C, O>(s, at + i)) {
                enter(at, i, h);
                if (!O::template guarded<0>() || row_owns<C, O>(s, at + i))
                    op.gather(h);
            }
            if (waits(at + i))
                tap_unit(at + i, h);
            keep(at, i, h);
        }
    }

    // The like of an operator that SURVEYS.
    TF_METHOD void survey_units(int at)
    {
        constexpr int MOST = L::WAITS && L::PER_THREAD <= 4 ? 4 : 2;
        TF_UNROLL
        for (int i = 0; i < CHUNK && at + i < L::PER_THREAD; i += MOST) {
            const int count = min_int(min_int(CHUNK, L::PER_THREAD - at) - i, MOST);
            Vec<T, L::VEC> seen[MOST];
            TF_UNROLL
            for (int k = 0; k < MOST; k++)
                if (k < count && row_owns<C, O>(s, at + i + k))
                    seen[k] = op.survey(raw.in[0].v[i + k][0]);
            op.surveyed();
            TF_UNROLL
            for (int k = 0; k < MOST; k++) {
                if (k >= count)
                    break;
                float h[N] = {};
                if (row_owns<C, O>(s, at + i + k)) {
                    vec_unpack(seen[k], h);
                    op.gather(h);
                }
                keep(at, i + k, h);
            }
        }
    }

    TF_METHOD void first_pass(int at)
    {
        if constexpr (L::SURVEYS)
            survey_units(at);
        else
            gather_units(at);
        if constexpr (L::EDGES > 0) {
            if (at > 0)
                return;
            float h[1];
            enter_edge(h);
            if (owns_edge())
                op.gather(h);
            held.edge = from_f32<H>(h[0]);
            if constexpr (O::TAP)
                if (owns_edge())
                    st_elem(O::tap(p, s.row) + s.edge, from_f32<T>(h[0]));
        }
    }

    template <int K> TF_METHOD void next_pass()
    {
        constexpr bool MEASURED = O::COLUMNS > 0 && K >= O::COLUMNS_FROM;
        TF_UNROLL_BY(L::UNROLLED)
        for (int n = 0; n < L::PER_THREAD; n += CHUNK) {
            const int at = chunk<K>(n);
            if (rereads(n, at))
                fetch<LD_KEEP, L::WAITING>(raw, s, at);
            if constexpr (MEASURED && C::WEIGHT_LOAD == 0)
                fetch_columns<CHUNK>(at);
            TF_UNROLL
            for (int i = 0; i < CHUNK && at + i < L::PER_THREAD; i++) {
                float h[N], g[COLUMNS][N];
                recall(at, i, h);
                if constexpr (MEASURED)
                    column_values(at, i, g);
                if (!O::template guarded<K>() || row_owns<C, O>(s, at + i))
                    op.template measure<K>(h, g);
            }
        }
        if constexpr (L::EDGES > 0)
            if (owns_edge()) {
                float h[1] = {to_f32(held.edge)}, g[COLUMNS][1];
                if constexpr (MEASURED)
                    column_edge(g);
                op.template measure<K>(h, g);
            }
    }

    TF_METHOD void last_pass(int at)
    {
        using OUT = typename O::OUT;
        const RowSpan &s = span_again();
        const auto out = row_out<C, O, OUT>(s, O::out(p, s.row));
        TF_UNROLL
        for (int i = 0; i < CHUNK && at + i < L::PER_THREAD; i++) {
            float h[N], g[COLUMNS][N], y[N] = {};
            if (!L::HIDES || row_reads<C, O>(s, at + i)) {
                recall(at, i, h);
                if (L::AGAIN && !waits(at + i))
                    tap_unit(at + i, h);
                column_values(at, i, g);
                op.leave(h, g, y, at_unit(at + i));
            }
            row_store<C, O>(out, s, at + i, y);
        }
        if constexpr (L::EDGES > 0)
            if (at == 0) {
                float h[1], g[COLUMNS][1], y[1];
                if constexpr (O::STEPS > 0)
                    h[0] = to_f32(held.edge);
                else
                    enter_edge(h);
                column_edge(g);
                op.leave(h, g, y, RowAt{s.edge, owns_edge()});
                if (owns_edge())
                    st_elem(out.row + s.edge, from_f32<OUT>(y[0]));
            }
    }

    template <int K> TF_METHOD void reduce(u32 turn)
    {
        using R = typename O::template Reduce<K>;
        op.template settle<K>(
            group_reduce<R, O::WORDS, C::THREADS, C::THREADS_PER_ROW, C::CLUSTER>(
                op.template partial<K>(), smem_at<float>(0), turn * O::STEPS + K));
    }

    template <int K> TF_METHOD void later_steps(u32 turn)
    {
        if constexpr (K < O::STEPS) {
            next_pass<K>();
            reduce<K>(turn);
            later_steps<K + 1>(turn);
        }
    }

    TF_METHOD void all_steps(u32 turn)
    {
        TF_UNROLL_BY(L::UNROLLED)
        for (int at = 0; at < L::PER_THREAD; at += CHUNK) {
            if constexpr (!L::AHEAD)
                fetch_first(at);
            if constexpr (C::WEIGHT_LOAD == 1)
                fetch_columns<CHUNK>(at);
            first_pass(at);
        }
        reduce<0>(turn);
        refresh_columns();
        later_steps<1>(turn);
    }

    // Kept columns are those of a shift.
    TF_METHOD void refresh_columns()
    {
        if constexpr (C::WEIGHT_LOAD == 2 && L::SHIFTED)
            if (s.shift != columns_shift) {
                fetch_columns<L::PER_THREAD>(0);
                columns_shift = s.shift;
            }
    }

    TF_METHOD void store_row()
    {
        TF_UNROLL_BY(L::UNROLLED)
        for (int n = 0; n < L::PER_THREAD; n += CHUNK) {
            const int at = chunk<O::STEPS>(n);
            if constexpr (O::STEPS == 0)
                fetch<L::LD_FIRST>(raw, s, at);
            else if (rereads(n, at))
                fetch<LAST_READ, L::WAITING>(raw, s, at);
            if constexpr (C::WEIGHT_LOAD == 0)
                fetch_columns<CHUNK>(at);
            last_pass(at);
        }
    }

public:
    TF_METHOD RowKernel(const typename O::Params &params) : p(params), op(params)
    {
    }

    TF_METHOD void run()
    {
        if constexpr (C::CLUSTER > 1 && O::STEPS > 0)
            cluster_arrive(); // the first reduction waits for it
        pdl_begin<C>([&] { prefetch(); }, C::PREFETCH);
        const long long step = (long long)(block_count() / C::CLUSTER) * C::ROWS_PER_BLOCK;
        s = span((long long)(block_index() / C::CLUSTER) * C::ROWS_PER_BLOCK + group());
        Raw next;
        columns_shift = s.shift;
        if constexpr (L::AHEAD)
            fetch<L::LD_FIRST>(next, s, 0);
        if constexpr (C::WEIGHT_LOAD == 2)
            fetch_columns<L::PER_THREAD>(0);

        // All groups of a block take the same number of turns: the barriers are theirs.
        for (u32 turn = 0; s.row - group() < p.rows; turn++) {
            RowSpan ahead = s;
            op.begin(s.row);
            if constexpr (L::AHEAD) {
                raw = next;
                ahead = span(s.row + step);
                fetch<L::LD_FIRST>(next, ahead, 0);
            }
            if constexpr (O::STEPS > 0)
                all_steps(turn);
            else
                refresh_columns();
            store_row();
            op.end(live() && row_lane<C>() == 0 && row_rank<C>() == 0);
            if constexpr (C::BLOCKS_PER_SM == 0)
                break;
            s = L::AHEAD ? ahead : span(s.row + step);
        }
    }
};

template <class C, class O> TF_DEV void row_run(const typename O::Params &p)
{
    RowKernel<C, O>(p).run();
}
