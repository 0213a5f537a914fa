// quantize_tensor.cuh: quantisation with one scale, which follows from the tensor's amax: that of a
// dynamic scale, or a given one that is doubled until nothing saturates.
//
// One launch: all blocks walk over the tensor, agree on the greatest amax (device/grid.cuh) and walk
// again, from the last vector to the first. What a thread sees first waits in registers, then in shared
// memory; what it sees last, in registers again; of the rest the L2 cache is told to hold the end of the
// tensor and to let the middle go. Memory is read once as far as those hold the tensor.
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
    static constexpr bool GIVEN = C::GRANULARITY == BY_TENSOR_GIVEN;
    // Vectors that wait in registers, as many as fit beside what counts; of a small tensor a thread has few.
    static constexpr bool COUNTS = GIVEN || C::HAS_SATURATED;
    static constexpr int HELD = C::RELOAD == 2 ? 3 : COUNTS || TF_ARCH != 900 ? 6 : 8;
    static constexpr int CHUNK = 4; // loads in flight
    static constexpr int FIT = (C::SMEM_BYTES - SLOT_OFFSET) / (C::THREADS * SLOT_BYTES);
    static constexpr int SLOTS = C::RELOAD == 1 ? FIT : 0;
    static constexpr long long L2_BYTES = 32 << 20; // less than it has: results pass through it
    static constexpr u32 L2_ROWS = (u32)(L2_BYTES / ((long long)C::HIDDEN * (int)sizeof(T)));
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

    TF_METHOD const T *address(const Place &place) const
    {
        return static_cast<const T *>(p.x) + (long long)place.row * p.x_stride + place.at * VEC;
    }

    template <int HINT> TF_METHOD Vec<T, VEC> load(const Place &place) const
    {
        if (place.row >= rows)
            return vec_zero<T, VEC>();
        return ld_vec<HINT, C::VEC_BYTES, T, VEC>(address(place));
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

    // This thread's next vectors.
    template <int HINT, int COUNT>
    TF_METHOD void measure(Place &place, Vec<T, VEC> (&v)[COUNT])
    {
        TF_UNROLL
        for (int i = 0; i < COUNT; i++) {
            v[i] = load<HINT>(place);
            place.step(step_rows, step_vectors);
        }
        TF_UNROLL
        for (int i = 0; i < COUNT; i++)
            take(v[i]);
    }

    template <int COUNT> TF_METHOD void measure_slots(Place &place, int n)
    {
        Vec<T, VEC> v[COUNT];
        measure<LD_STREAM>(place, v);
        TF_UNROLL
        for (int i = 0; i < COUNT; i++)
            *slot(n + i) = v[i];
    }

    // Gives how many slots are taken.
    TF_METHOD int measure_into_slots(Place &place)
    {
        constexpr int WHOLE = SLOTS / CHUNK * CHUNK;
        int n = 0;
#pragma unroll 1
        for (; n < WHOLE && place.row < rows; n += CHUNK)
            measure_slots<CHUNK>(place, n);
        if constexpr (SLOTS > WHOLE)
            if (place.row < rows) {
                measure_slots<SLOTS - WHOLE>(place, n);
                n = SLOTS;
            }
        return n;
    }

    // What nothing holds; gives how many chunks there are. The last one stays in `v`.
    TF_METHOD int measure_rest(Place &place, Vec<T, VEC> (&v)[CHUNK])
    {
        int chunks = 0;
        const u32 kept = rows > L2_ROWS ? rows - L2_ROWS : 0;
#pragma unroll 1
        for (; place.row < rows; chunks++) {
            if (place.row >= kept)
                measure<LD_LAST>(place, v);
            else
                measure<LD_STREAM>(place, v);
        }
        return chunks;
    }

    // Backwards, `place` being that of the last one.
    template <int COUNT>
    TF_METHOD void store_back(Place &place, const Vec<T, VEC> (&v)[COUNT], float scale)
    {
        TF_UNROLL
        for (int i = COUNT; i-- > 0;) {
            store(place, v[i], scale);
            place.step(-step_rows, -step_vectors);
        }
    }

    TF_METHOD void store_rest(Place &place, float scale)
    {
        Vec<T, VEC> v[CHUNK];
        Place at = place;
        TF_UNROLL
        for (int i = CHUNK; i-- > 0;) {
            v[i] = load<LD_STREAM>(at);
            at.step(-step_rows, -step_vectors);
        }
        store_back(place, v, scale);
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
        Vec<T, VEC> held[HELD], end[CHUNK];
        bool last;
        pdl_begin<C>([&] {
            if (place.row < rows)
                l2_prefetch(address(place));
        });
        measure<LD_STREAM>(place, held);
        int slots = measure_into_slots(place), chunks = measure_rest(place, end);
        const float scale = quantize_tensor_scale<OUT, C::THREADS>(p, GIVEN, most, last);
        place.step(-step_rows, -step_vectors);
        if (chunks > 0)
            store_back(place, end, scale);
#pragma unroll 1
        for (; chunks > 1; chunks--)
            store_rest(place, scale);
        TF_UNROLL_BY(CHUNK)
        while (slots-- > 0) {
            store(place, *slot(slots), scale);
            place.step(-step_rows, -step_vectors);
        }
        TF_UNROLL
        for (int i = 0; i < HELD; i++)
            vec_forget(held[i]); // else it waits unpacked too
        store_back(place, held, scale);
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
