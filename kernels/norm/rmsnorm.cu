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
// A group of THREADS_PER_ROW threads, in each of CLUSTER blocks, owns a row. Thread t holds vectors
// t, t + THREADS_PER_ROW, ... of VEC_BYTES each and every element of the row is read and written
// by one thread only: that is why out may be x, and residual_out may be residual.
//
// Tunables (constraints: the static_asserts of RmsnormLayout; times: docs/notes/rmsnorm.md):
//   VEC_BYTES        bytes of one access. Above ALIGN: rows start anywhere, and each is covered by
//                    aligned vectors plus single elements at both edges ("shifted" rows).
//   THREADS_PER_ROW  more: fewer registers a thread and a wider reduction. What counts is that the
//                    blocks resident on an SM have 40 to 64 KB of loads in flight.
//   ROWS_PER_BLOCK   groups in a block: fills blocks when rows are short.
//   CLUSTER          blocks that share a row, sums exchanged through DSMEM: long rows.
//   RELOAD           where the row waits for its sum: 0 registers; 1 shared memory; 2 nowhere, it
//                    is read again.
//   BLOCKS_PER_SM    0: a block per ROWS_PER_BLOCK rows; k: k blocks an SM walk over all rows.
//   STAGES           1; 2: persistent blocks load the next row before they reduce this one.
//   WEIGHT_LOAD      0 after the reduction; 1 before it, under the row's own latency; 2 once a
//                    block, kept in registers (shifted rows: read again when the shift changes).
//   LOAD_HINT        0 no allocation in L1, 1 streaming (evict first).
//   STORE_HINT       0 default, 1 streaming: 2 to 3 us of 67 on tensors larger than L2.
//
// Shared memory: reduction scratch, then (RELOAD 1) one slot for each thread and vector.
// Synchronisation: one block (or cluster) barrier a row, inside GroupSum.
// Known weakness: shifted rows whose tensors differ in shift use single-element accesses for the
// tensors that differ from x; shifted weights are read element by element.
#include "device/core.cuh"
#include "device/math.cuh"
#include "device/mem.cuh"
#include "device/num.cuh"
#include "device/reduce.cuh"
#include "device/thread.cuh"
#include "device/vec.cuh"
#include "norm/rmsnorm_params.h"

template <bool B, class T, class F> struct RmsnormPick {
    using type = T;
};
template <class T, class F> struct RmsnormPick<false, T, F> {
    using type = F;
};

// Everything that follows from the configuration.
template <class C> struct RmsnormLayout {
    using T = typename C::DTYPE;
    using W = typename C::WEIGHT_DTYPE;
    // A row waits for its sum in T, unless h is more precise than T.
    using H = typename RmsnormPick<C::HAS_RESIDUAL && !C::RESIDUAL_ROUND, float, T>::type;

    static constexpr int ELEM = (int)sizeof(T);
    static constexpr int VEC = C::VEC_BYTES / ELEM;
    static constexpr bool SHIFTED = C::VEC_BYTES > C::ALIGN;
    // Bytes that one access of a tensor of T, or of the weight, may have.
    static constexpr int WIDTH = C::VEC_BYTES;
    static constexpr int WEIGHT_WIDTH = SHIFTED ? (int)sizeof(W) : max_int(C::ALIGN, (int)sizeof(W));
    static constexpr int LD_ROW = C::LOAD_HINT ? LD_STREAM : LD_ONCE;
    static constexpr int LD_FIRST = C::RELOAD == 2 ? LD_KEEP : LD_ROW;
    static constexpr bool AHEAD = C::STAGES == 2;
    static constexpr int ST_ROW = C::STORE_HINT ? ST_STREAM : ST_KEEP;

    static constexpr int VECS = C::HIDDEN / VEC;                  // most vectors in a row
    static constexpr int VECS_BLOCK = ceil_div(VECS, C::CLUSTER); // of them in one block
    static constexpr int PER_THREAD = ceil_div(VECS_BLOCK, C::THREADS_PER_ROW);
    // Vectors in registers at a time: all of them only if they wait there.
    static constexpr int CHUNK =
        C::RELOAD == 0 ? PER_THREAD
                       : min_int(PER_THREAD, C::HAS_RESIDUAL || C::RELOAD == 2 ? 4 : 8);
    // Vectors that every block has in every row: those below need no check.
    static constexpr int LEAST_SHIFT = SHIFTED ? VEC - 1 : 0;
    static constexpr int LEAST =
        min_int((C::HIDDEN - LEAST_SHIFT) / VEC - (C::CLUSTER - 1) * VECS_BLOCK, VECS_BLOCK);
    // Most elements outside whole vectors; each is one thread's.
    static constexpr int EDGES = SHIFTED ? 2 * (VEC - 1) : C::HIDDEN % VEC;

    using Sum = GroupSum<C::THREADS, C::THREADS_PER_ROW, C::CLUSTER>;
    static constexpr int SLOT_OFFSET = ceil_div(Sum::SCRATCH_BYTES, 128) * 128;
    static constexpr int SLOT_BYTES = (int)sizeof(Vec<H, VEC>);
    static constexpr int SMEM_BYTES =
        C::RELOAD == 1 ? SLOT_OFFSET + PER_THREAD * C::THREADS * SLOT_BYTES : Sum::SCRATCH_BYTES;

    static_assert(C::HIDDEN >= 1 && C::HIDDEN <= 65536, "hidden");
    static_assert(C::ALIGN >= ELEM, "elements are aligned");
    static_assert(C::VEC_BYTES == 16 || C::VEC_BYTES == 8 || C::VEC_BYTES == 4 || C::VEC_BYTES == 2,
        "access width");
    static_assert(VEC >= 1 && VECS >= (SHIFTED ? 2 : 1), "a row has whole vectors");
    static_assert(EDGES <= C::THREADS_PER_ROW, "one edge element a thread");
    static_assert(C::THREADS == C::THREADS_PER_ROW * C::ROWS_PER_BLOCK && C::THREADS <= 1024 &&
                      C::THREADS % 32 == 0,
        "block size");
    static_assert(C::CLUSTER >= 1 && C::CLUSTER <= 16, "cluster size");
    static_assert(C::CLUSTER == 1 || TF_ARCH == 0 || TF_ARCH >= 900, "clusters need sm_90");
    static_assert((C::CLUSTER - 1) * VECS_BLOCK < VECS, "every block of the cluster has work");
    static_assert(
        C::RELOAD > 0 || PER_THREAD * C::VEC_BYTES <= 256, "a thread's part fits in registers");
    static_assert(C::RELOAD >= 0 && C::RELOAD <= 2, "reload source");
    static_assert(C::WEIGHT_LOAD != 1 || C::RELOAD == 0, "early weights wait in registers");
    static_assert(C::WEIGHT_LOAD < 2 || C::BLOCKS_PER_SM > 0, "kept weights need several rows");
    static_assert(C::STAGES == 1 || (AHEAD && C::BLOCKS_PER_SM > 0 && C::RELOAD == 0),
        "a next row exists and waits in registers");
    static_assert(C::SMEM_BYTES >= SMEM_BYTES, "the host's geometry agrees");
};

// The part of one row that a thread owns: vectors at start, start + THREADS_PER_ROW * VEC, ...
// and at most one edge element. Offsets count elements from the start of the row.
struct RmsnormSpan {
    long long row;
    bool live; // the row exists
    int start; // of the first vector
    int vecs;  // vector i is ours if i * THREADS_PER_ROW < vecs
    int edge;  // the edge element, -1 for none
    int shift; // elements before the first vector of the row
};

template <class C> TF_DEV int rmsnorm_shift(const void *row)
{
    const int past = (int)((u64)row % C::VEC_BYTES);
    return (past ? C::VEC_BYTES - past : 0) / RmsnormLayout<C>::ELEM;
}

template <class C> TF_DEV RmsnormSpan rmsnorm_span(const rmsnorm_params &p, long long row)
{
    using L = RmsnormLayout<C>;
    using T = typename C::DTYPE;
    const int lane = thread_index() % C::THREADS_PER_ROW;
    int rank = 0;
    if constexpr (C::CLUSTER > 1)
        rank = cluster_rank();

    RmsnormSpan s;
    s.row = row;
    s.live = row < p.rows;
    s.shift = 0;
    if constexpr (L::SHIFTED)
        s.shift = rmsnorm_shift<C>(static_cast<const T *>(p.x) + row * p.x_stride);
    const int vecs = (C::HIDDEN - s.shift) / L::VEC;
    const int first = rank * L::VECS_BLOCK;
    s.start = s.shift + (first + lane) * L::VEC;
    s.vecs = min_int(vecs - first, L::VECS_BLOCK) - lane;
    // Edges: [0, shift) and [shift + vecs * VEC, HIDDEN), dealt to the threads of block 0.
    const int edges = C::HIDDEN - vecs * L::VEC;
    s.edge = rank == 0 && lane < edges ? (lane < s.shift ? lane : vecs * L::VEC + lane) : -1;
    return s;
}

// The check folds away for vectors that every thread has.
template <class C> TF_DEV bool rmsnorm_owns(const RmsnormSpan &s, int i)
{
    return (i + 1) * C::THREADS_PER_ROW <= RmsnormLayout<C>::LEAST ||
           i * C::THREADS_PER_ROW < s.vecs;
}

template <class C> TF_DEV constexpr int rmsnorm_step(int i)
{
    return i * C::THREADS_PER_ROW * RmsnormLayout<C>::VEC;
}

// COUNT of one thread's vectors of one tensor, and its edge element.
template <class C, class U, int COUNT> struct RmsnormPart {
    Vec<U, RmsnormLayout<C>::VEC> v[COUNT];
    U edge;
};

template <class C> using RmsnormChunk = RmsnormPart<C, typename C::DTYPE, RmsnormLayout<C>::CHUNK>;
template <class C>
using RmsnormHeld = RmsnormPart<C, typename RmsnormLayout<C>::H, RmsnormLayout<C>::PER_THREAD>;
template <class C>
using RmsnormWeight = RmsnormPart<C, typename C::WEIGHT_DTYPE, RmsnormLayout<C>::PER_THREAD>;

// Whether a row of another tensor may use the vectors of x's row.
template <class C> TF_DEV bool rmsnorm_same_shift(const RmsnormSpan &s, const void *row)
{
    return !RmsnormLayout<C>::SHIFTED || rmsnorm_shift<C>(row) == s.shift;
}

// Vectors [at, at + CHUNK) of this thread; the edge element comes with the first chunk.
template <class C, int HINT>
TF_DEV void rmsnorm_load(
    RmsnormChunk<C> &part, const RmsnormSpan &s, int at, const void *base, long long stride)
{
    using L = RmsnormLayout<C>;
    using T = typename C::DTYPE;
    const T *row = static_cast<const T *>(base) + s.row * stride;
    const T *from = row + s.start;
    const bool whole = rmsnorm_same_shift<C>(s, row);
    TF_UNROLL
    for (int i = 0; i < L::CHUNK; i++) {
        part.v[i] = vec_zero<T, L::VEC>();
        if (!s.live || !rmsnorm_owns<C>(s, at + i))
            continue;
        if (whole)
            part.v[i] = ld_vec<HINT, L::WIDTH, T, L::VEC>(from + rmsnorm_step<C>(at + i));
        else
            part.v[i] = ld_vec<LD_KEEP, L::ELEM, T, L::VEC>(from + rmsnorm_step<C>(at + i));
    }
    if constexpr (L::EDGES > 0) {
        if (at > 0)
            return;
        part.edge = from_f32<T>(0);
        if (s.live && s.edge >= 0)
            part.edge = ld_elem<LD_KEEP>(row + s.edge);
    }
}

template <class C>
TF_DEV void rmsnorm_load_weight(
    RmsnormWeight<C> &part, const RmsnormSpan &s, int at, int count, const rmsnorm_params &p)
{
    using L = RmsnormLayout<C>;
    using W = typename C::WEIGHT_DTYPE;
    const W *weight = static_cast<const W *>(p.weight);
    TF_UNROLL
    for (int i = at; i < at + count; i++)
        if (i < L::PER_THREAD && rmsnorm_owns<C>(s, i))
            part.v[i] =
                ld_vec<LD_CONST, L::WEIGHT_WIDTH, W, L::VEC>(weight + s.start + rmsnorm_step<C>(i));
    if constexpr (L::EDGES > 0)
        if (at == 0 && s.edge >= 0)
            part.edge = ld_elem<LD_CONST>(weight + s.edge);
}

// A row of an output tensor, ready for this thread's stores.
template <class C> struct RmsnormOut {
    typename C::DTYPE *row;
    bool whole;
};

template <class C>
TF_DEV RmsnormOut<C> rmsnorm_out(const RmsnormSpan &s, void *base, long long stride)
{
    typename C::DTYPE *row = static_cast<typename C::DTYPE *>(base) + s.row * stride;
    return {row, rmsnorm_same_shift<C>(s, row)};
}

template <class C>
TF_DEV void rmsnorm_store(const RmsnormOut<C> &out, const RmsnormSpan &s, int i,
    const Vec<typename C::DTYPE, RmsnormLayout<C>::VEC> &v)
{
    using L = RmsnormLayout<C>;
    using T = typename C::DTYPE;
    if (!s.live || !rmsnorm_owns<C>(s, i))
        return;
    T *to = out.row + s.start + rmsnorm_step<C>(i);
    if (out.whole)
        st_vec<L::ST_ROW, L::WIDTH, T, L::VEC>(to, v);
    else
        st_vec<ST_KEEP, L::ELEM, T, L::VEC>(to, v);
}

// A chunk of x and residual as loaded, before any arithmetic.
template <class C> struct RmsnormRaw {
    RmsnormChunk<C> x, residual;
};

template <class C, int HINT>
TF_DEV void rmsnorm_fetch(RmsnormRaw<C> &raw, const RmsnormSpan &s, int at, const rmsnorm_params &p)
{
    rmsnorm_load<C, HINT>(raw.x, s, at, p.x, p.x_stride);
    if constexpr (C::HAS_RESIDUAL)
        rmsnorm_load<C, HINT>(raw.residual, s, at, p.residual, p.residual_stride);
}

// h of one vector in fp32, rounded first where the configuration says so.
template <class C>
TF_DEV void rmsnorm_sum_vec(const RmsnormRaw<C> &raw, int i, float (&h)[RmsnormLayout<C>::VEC])
{
    using L = RmsnormLayout<C>;
    using T = typename C::DTYPE;
    vec_unpack(raw.x.v[i], h);
    if constexpr (C::HAS_RESIDUAL) {
        float q[L::VEC];
        vec_unpack(raw.residual.v[i], q);
        TF_UNROLL
        for (int j = 0; j < L::VEC; j++)
            h[j] += q[j];
        if constexpr (C::RESIDUAL_ROUND)
            vec_unpack(vec_pack<T, L::VEC>(h), h);
    }
}

template <class C> TF_DEV float rmsnorm_sum_edge(const RmsnormRaw<C> &raw)
{
    using T = typename C::DTYPE;
    if constexpr (!C::HAS_RESIDUAL)
        return to_f32(raw.x.edge);
    const float h = to_f32(raw.x.edge) + to_f32(raw.residual.edge);
    return C::RESIDUAL_ROUND ? to_f32(from_f32<T>(h)) : h;
}

// Where vector i waits in shared memory (RELOAD 1); only its own thread reads it.
template <class C>
TF_DEV Vec<typename RmsnormLayout<C>::H, RmsnormLayout<C>::VEC> *rmsnorm_slot(int i)
{
    using L = RmsnormLayout<C>;
    using V = Vec<typename L::H, L::VEC>;
    return smem_at<V>(L::SLOT_OFFSET) + i * C::THREADS + thread_index();
}

// What the first pass knows of a row.
template <class C> struct RmsnormRow {
    RmsnormSpan span;
    float square[4];
    RmsnormHeld<C> held;
};

// First pass over one chunk: h, its square sum, residual_out. With RELOAD 2 residual_out is written
// by the second pass instead: the residual, perhaps the same memory, is read again there.
template <class C>
TF_DEV void rmsnorm_first(
    RmsnormRow<C> &row, const RmsnormRaw<C> &raw, int at, const rmsnorm_params &p)
{
    using L = RmsnormLayout<C>;
    using T = typename C::DTYPE;
    using H = typename L::H;
    constexpr bool WRITE = C::HAS_RESIDUAL && C::RELOAD != 2;
    const RmsnormSpan &s = row.span;
    const RmsnormOut<C> sum_out = rmsnorm_out<C>(s, p.residual_out, p.residual_out_stride);
    TF_UNROLL
    for (int i = 0; i < L::CHUNK && at + i < L::PER_THREAD; i++) {
        float h[L::VEC];
        rmsnorm_sum_vec<C>(raw, i, h);
        TF_UNROLL
        for (int j = 0; j < L::VEC; j++)
            row.square[j % 4] += h[j] * h[j];
        if constexpr (WRITE)
            rmsnorm_store<C>(sum_out, s, at + i, vec_pack<T, L::VEC>(h));
        if constexpr (C::RELOAD == 0)
            row.held.v[i] = vec_pack<H, L::VEC>(h);
        if constexpr (C::RELOAD == 1)
            *rmsnorm_slot<C>(at + i) = vec_pack<H, L::VEC>(h);
    }
    if constexpr (L::EDGES > 0) {
        if (at > 0)
            return;
        const float h = rmsnorm_sum_edge<C>(raw);
        row.square[0] += h * h;
        row.held.edge = from_f32<H>(h);
        if (C::HAS_RESIDUAL && s.live && s.edge >= 0)
            st_elem(sum_out.row + s.edge, from_f32<T>(h));
    }
}

template <class C> TF_DEV float rmsnorm_apply(float h, float r, float weight)
{
    using T = typename C::DTYPE;
    float n = h * r;
    if constexpr (C::WEIGHT_VARIANT == RMSNORM_ROUND_BEFORE)
        n = to_f32(from_f32<T>(n));
    if constexpr (C::WEIGHT_VARIANT == RMSNORM_ONE_PLUS)
        weight += 1.0f;
    return n * weight;
}

// Second pass over one chunk: out = h * r * weight.
template <class C>
TF_DEV void rmsnorm_second(const RmsnormRow<C> &row, const RmsnormWeight<C> &weight, float r,
    int at, const rmsnorm_params &p)
{
    using L = RmsnormLayout<C>;
    using T = typename C::DTYPE;
    const RmsnormSpan &s = row.span;
    const RmsnormOut<C> out = rmsnorm_out<C>(s, p.out, p.out_stride);
    const RmsnormOut<C> sum_out = rmsnorm_out<C>(s, p.residual_out, p.residual_out_stride);
    RmsnormRaw<C> raw;
    if constexpr (C::RELOAD == 2)
        rmsnorm_fetch<C, L::LD_ROW>(raw, s, at, p);
    TF_UNROLL
    for (int i = 0; i < L::CHUNK && at + i < L::PER_THREAD; i++) {
        float h[L::VEC], g[L::VEC], y[L::VEC];
        if constexpr (C::RELOAD == 0)
            vec_unpack(row.held.v[i], h);
        if constexpr (C::RELOAD == 1)
            vec_unpack(*rmsnorm_slot<C>(at + i), h);
        if constexpr (C::RELOAD == 2) {
            rmsnorm_sum_vec<C>(raw, i, h);
            if constexpr (C::HAS_RESIDUAL)
                rmsnorm_store<C>(sum_out, s, at + i, vec_pack<T, L::VEC>(h));
        }
        vec_unpack(weight.v[at + i], g);
        TF_UNROLL
        for (int j = 0; j < L::VEC; j++)
            y[j] = rmsnorm_apply<C>(h[j], r, g[j]);
        rmsnorm_store<C>(out, s, at + i, vec_pack<T, L::VEC>(y));
    }
    if constexpr (L::EDGES > 0)
        if (at == 0 && s.live && s.edge >= 0) {
            const float y = rmsnorm_apply<C>(to_f32(row.held.edge), r, to_f32(weight.edge));
            st_elem(out.row + s.edge, from_f32<T>(y));
        }
}

template <class C> TF_DEV void rmsnorm(const rmsnorm_params &p)
{
    using L = RmsnormLayout<C>;
    if constexpr (C::CLUSTER > 1)
        cluster_arrive(); // the first sum waits for it
    const long long step = (long long)(block_count() / C::CLUSTER) * C::ROWS_PER_BLOCK;
    const int group = thread_index() / C::THREADS_PER_ROW;

    RmsnormRow<C> row;
    row.span =
        rmsnorm_span<C>(p, (long long)(block_index() / C::CLUSTER) * C::ROWS_PER_BLOCK + group);
    const RmsnormSpan &s = row.span;
    RmsnormSpan ahead = s;
    RmsnormRaw<C> raw, next;
    RmsnormWeight<C> weight;
    int weight_shift = s.shift;
    if constexpr (L::AHEAD)
        rmsnorm_fetch<C, L::LD_FIRST>(next, s, 0, p);
    if constexpr (C::WEIGHT_LOAD == 2)
        rmsnorm_load_weight<C>(weight, s, 0, L::PER_THREAD, p);

    // All groups of a block take the same number of turns: the barrier in the sum is theirs.
    for (u32 turn = 0; s.row - group < p.rows; turn++) {
        TF_UNROLL
        for (int i = 0; i < 4; i++)
            row.square[i] = 0;
        if constexpr (L::AHEAD) {
            raw = next;
            ahead = rmsnorm_span<C>(p, s.row + step);
            rmsnorm_fetch<C, L::LD_FIRST>(next, ahead, 0, p);
        }
        TF_UNROLL
        for (int at = 0; at < L::PER_THREAD; at += L::CHUNK) {
            if constexpr (!L::AHEAD)
                rmsnorm_fetch<C, L::LD_FIRST>(raw, s, at, p);
            if constexpr (C::WEIGHT_LOAD == 1)
                rmsnorm_load_weight<C>(weight, s, at, L::CHUNK, p);
            rmsnorm_first<C>(row, raw, at, p);
        }
        const float square = (row.square[0] + row.square[1]) + (row.square[2] + row.square[3]);
        const float sum = L::Sum::sum(square, smem_at<float>(0), turn);
        const float r = rsqrt_approx(sum * (1.0f / C::HIDDEN) + p.eps);

        if constexpr (C::WEIGHT_LOAD == 2 && L::SHIFTED)
            if (s.shift != weight_shift) {
                rmsnorm_load_weight<C>(weight, s, 0, L::PER_THREAD, p);
                weight_shift = s.shift;
            }
        TF_UNROLL
        for (int at = 0; at < L::PER_THREAD; at += L::CHUNK) {
            if constexpr (C::WEIGHT_LOAD == 0)
                rmsnorm_load_weight<C>(weight, s, at, L::CHUNK, p);
            rmsnorm_second<C>(row, weight, r, at, p);
        }
        if constexpr (C::BLOCKS_PER_SM == 0)
            break;
        row.span = L::AHEAD ? ahead : rmsnorm_span<C>(p, s.row + step);
    }
}

#include "norm/rmsnorm_generic.cu"
