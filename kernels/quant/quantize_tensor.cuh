// quantize_tensor.cuh: quantisation with one scale, which follows from the tensor's amax: that of a
// dynamic scale, or a given one that is doubled until nothing saturates.
//
// One launch: all blocks walk over the tensor, agree on the greatest amax (device/grid.cuh) and walk
// again. What a thread sees first waits in registers, then in shared memory; the rest is read again
// from the last vector to the first, so that what the L2 cache still has is hit. Memory is read once
// as far as those hold the tensor.
//
// Tunables: VEC_BYTES; THREADS_PER_ROW: threads of a block; BLOCKS_PER_SM: blocks an SM, 0 is 1;
// RELOAD 1: shared memory takes what it can, 2: nothing waits; STORE_HINT.
// Shared memory: reduction scratch, then a slot for each thread and waiting vector.
// Synchronisation: two block barriers and one of the grid, whose state is cleared behind the results.
#pragma once
#include "device/grid.cuh"
#include "device/mem.cuh"
#include "quant/quantize_values.cuh"
#include "row/row.cuh"

// Doubles a given scale until `most`, the largest magnitude, does not saturate.
template <class OUT>
TF_DEV float quantize_fit(const quantize_params &p, float most, int &ret_retries)
{
    float scale = ld_elem<LD_KEEP>(p.static_scale);
    for (ret_retries = 0; ret_retries < p.max_retries; ret_retries++) {
        if (most / abs_f32(scale) <= QuantAbove<OUT>::VALUE)
            break;
        scale *= 2;
    }
    return scale;
}

// The scale, in every thread; what is reported of it is written by the first. `most`: this thread's.
// ret_last: whether this thread's warp shall call grid_clear() at its end.
template <class OUT, int THREADS>
TF_DEV float quantize_tensor_scale(const quantize_params &p, bool given, float most, bool &ret_last)
{
    ret_last = false;
    Floats<1> all = group_reduce<ReduceMax, 1, THREADS, THREADS, 1>({{most}}, smem_at<float>(0), 0);
    if (block_count() > 1) {
        if (thread_index() == 0)
            grid_say(p.turnstile, f32_bits(all.f[0]));
        for (u32 block = (u32)thread_index(); block < block_count(); block += THREADS)
            all.f[0] = max_nan(all.f[0], f32_from_bits(grid_hear(p.turnstile, block)));
        all = group_reduce<ReduceMax, 1, THREADS, THREADS, 1>(all, smem_at<float>(0), 1);
        if (thread_index() == 0)
            ret_last = grid_heard(p.turnstile);
    }
    int retries = 0;
    const float scale =
        given ? quantize_fit<OUT>(p, all.f[0], retries) : quant_scale<OUT>(all.f[0]);
    if (thread_index() == 0 && block_index() == 0) {
        st_elem(p.quant.scales, scale);
        if (p.retries && p.count_dtype == DTYPE_I64)
            *static_cast<long long *>(p.retries) = retries;
        else if (p.retries)
            *static_cast<int *>(p.retries) = retries;
    }
    return scale;
}

// Behind the results; `last` as quantize_tensor_scale() says.
TF_DEV void quantize_tensor_end(const quantize_params &p, bool last)
{
    if (thread_index() < 32 && lanes_sum<32>((u32)last))
        grid_clear(p.turnstile);
}

// A given scale does not see NaN: no scale would hold it.
TF_DEV float quantize_amax(bool given, float most, float x)
{
    return amax_nan(most, given && x != x ? 0.0f : x);
}

template <class C, class T, class OUT> class QuantizeTensor {
    static constexpr int VEC = C::VEC_BYTES / (int)sizeof(T), PER_ROW = C::HIDDEN / VEC;
    static constexpr int SCRATCH = ceil_div(GroupScratch<C::THREADS, C::THREADS, 1>::bytes(1), 128);
    static constexpr int SLOT_OFFSET = SCRATCH * 128, SLOT_BYTES = (int)sizeof(Vec<T, VEC>);
    static constexpr int HELD = 8;  // vectors that wait in registers
    static constexpr int CHUNK = 4; // loads in flight
    static constexpr int FIT = (C::SMEM_BYTES - SLOT_OFFSET) / (C::THREADS * SLOT_BYTES);
    static constexpr int SLOTS = C::RELOAD == 1 ? FIT / CHUNK * CHUNK : 0;
    static constexpr bool GIVEN = C::GRANULARITY == BY_TENSOR_GIVEN;
    static_assert(C::HIDDEN % VEC == 0, "a row is whole vectors");
    static_assert(C::RELOAD != 1 || SLOTS >= 1, "something waits");

    // A vector's place; step() goes on to that of this thread's next or, backwards, last one. There are
    // less than 2^31 rows: one before the first is behind the last, too.
    struct Place {
        u32 row;
        int at; // in the row

        TF_METHOD void step(u32 rows, int vectors)
        {
            row += rows;
            at += vectors;
            if (at >= PER_ROW) {
                at -= PER_ROW;
                row++;
            } else if (at < 0) {
                at += PER_ROW;
                row--;
            }
        }
    };

    const quantize_params &p;
    QuantizeCount<C, OUT> count;
    u32 rows, step_rows;
    int step_vectors;
    float most;

    TF_METHOD Vec<T, VEC> *slot(int i)
    {
        return smem_at<Vec<T, VEC>>(SLOT_OFFSET) + i * C::THREADS + thread_index();
    }

    template <int HINT> TF_METHOD Vec<T, VEC> load(const Place &place) const
    {
        if (place.row >= rows)
            return vec_zero<T, VEC>();
        return ld_vec<HINT, C::VEC_BYTES, T, VEC>(
            static_cast<const T *>(p.x) + (long long)place.row * p.x_stride + place.at * VEC);
    }

    TF_METHOD void take(const Vec<T, VEC> &v)
    {
        float h[VEC];
        vec_unpack(v, h);
        TF_UNROLL
        for (int j = 0; j < VEC; j++)
            most = quantize_amax(GIVEN, most, h[j]);
    }

    // Of places outside the tensor nothing counts and nothing is written.
    TF_METHOD void store(const Place &place, const Vec<T, VEC> &v, float scale)
    {
        constexpr int HINT = C::STORE_HINT ? ST_STREAM : ST_KEEP;
        float h[VEC], y[VEC];
        vec_unpack(v, h);
        quant_by(scale, h, y);
        count.take(y);
        if (place.row < rows)
            st_vec<HINT, VEC, OUT, VEC>(
                static_cast<OUT *>(p.out) + (long long)place.row * p.out_stride + place.at * VEC,
                vec_pack<OUT, VEC>(y));
    }

    TF_METHOD void measure_held(Place &place, Vec<T, VEC> (&held)[HELD])
    {
        TF_UNROLL
        for (int i = 0; i < HELD; i++) {
            held[i] = load<LD_ONCE>(place);
            place.step(step_rows, step_vectors);
        }
        TF_UNROLL
        for (int i = 0; i < HELD; i++)
            take(held[i]);
    }

    // From this thread's vector n behind those on.
    TF_METHOD void measure_chunk(Place &place, int n)
    {
        Vec<T, VEC> v[CHUNK];
        TF_UNROLL
        for (int i = 0; i < CHUNK; i++) {
            v[i] = load<LD_KEEP>(place);
            place.step(step_rows, step_vectors);
        }
        TF_UNROLL
        for (int i = 0; i < CHUNK; i++) {
            take(v[i]);
            if (n < SLOTS)
                *slot(n + i) = v[i];
        }
    }

    // Backwards from `place`.
    TF_METHOD void store_chunk(Place &place, float scale)
    {
        Vec<T, VEC> v[CHUNK];
        Place at = place;
        TF_UNROLL
        for (int i = 0; i < CHUNK; i++) {
            v[i] = load<LD_ONCE>(at);
            at.step(-step_rows, -step_vectors);
        }
        TF_UNROLL
        for (int i = 0; i < CHUNK; i++) {
            store(place, v[i], scale);
            place.step(-step_rows, -step_vectors);
        }
    }

  public:
    TF_METHOD QuantizeTensor(const quantize_params &params)
        : p(params), count(params), rows((u32)params.rows), most(0)
    {
        const u64 stride = (u64)block_count() * C::THREADS;
        step_rows = (u32)(stride / PER_ROW);
        step_vectors = (int)(stride % PER_ROW);
    }

    TF_METHOD void run()
    {
        const u64 mine = (u64)block_index() * C::THREADS + thread_index();
        Place place = {(u32)(mine / PER_ROW), (int)(mine % PER_ROW)};
        Vec<T, VEC> held[HELD];
        bool last;
        pdl_begin<C>();
        measure_held(place, held);
        int n = 0; // whole chunks: the last ones may lie beyond the tensor
        for (; place.row < rows; n += CHUNK)
            measure_chunk(place, n);
        const float scale = quantize_tensor_scale<OUT, C::THREADS>(p, GIVEN, most, last);
        place.step(-step_rows, -step_vectors);
        for (; n > SLOTS; n -= CHUNK)
            store_chunk(place, scale);
        TF_UNROLL_BY(CHUNK)
        while (n-- > 0) {
            store(place, *slot(n), scale);
            place.step(-step_rows, -step_vectors);
        }
        TF_UNROLL
        for (int i = HELD; i-- > 0;) {
            vec_forget(held[i]); // else it waits unpacked too
            store(place, held[i], scale);
            place.step(-step_rows, -step_vectors);
        }
        count.store();
        quantize_tensor_end(p, last);
    }
};

// Element by element, the tensor read twice.
template <class C, class OUT> TF_DEV void quantize_tensor_generic(const quantize_params &p)
{
    const bool given = p.granularity == BY_TENSOR_GIVEN;
    float most = 0;
    pdl_begin<C>();
    for (long long row = block_index(); row < p.rows; row += block_count())
        for (int column = thread_index(); column < p.hidden; column += C::THREADS)
            most = quantize_amax(given, most, quantize_element(p, row, column));
    bool last;
    const float scale = quantize_tensor_scale<OUT, C::THREADS>(p, given, most, last);
    QuantizeCount<C, OUT> count(p);
    for (long long row = block_index(); row < p.rows; row += block_count())
        for (int column = thread_index(); column < p.hidden; column += C::THREADS)
            quantize_element_by(p, row, column, scale, count);
    count.store();
    quantize_tensor_end(p, last);
}
