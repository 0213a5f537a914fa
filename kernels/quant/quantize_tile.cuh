// quantize_tile.cuh: quantisation with a scale for each tile of 128 x 128, fewer at the edges.
//
// A block of threads takes a tile a turn and holds it in registers: each thread vectors of one place
// in every LINES-th row. Tunables: VEC_BYTES, THREADS_PER_ROW (threads of a block: fewer hold more),
// STORE_HINT. Shared memory: reduction scratch. Synchronisation: one block barrier a tile.
#pragma once
#include "device/mem.cuh"
#include "quant/quantize_values.cuh"
#include "row/row.cuh"

enum { QUANT_TILE = 128 };

template <class C, class T, class OUT> class QuantizeTile {
    static constexpr int VEC = C::VEC_BYTES / (int)sizeof(T), LANES = QUANT_TILE / VEC;
    static constexpr int LINES = C::THREADS / LANES, PER_THREAD = QUANT_TILE / LINES;
    static constexpr int TILES_ACROSS = ceil_div(C::HIDDEN, QUANT_TILE);
    static_assert(C::HIDDEN % VEC == 0 && VEC <= 16, "a row is whole vectors");
    static_assert(LINES >= 1 && C::THREADS % LANES == 0 && QUANT_TILE % LINES == 0, "whole lines");

    const quantize_params &p;
    QuantizeCount<C, OUT> count;
    Vec<T, VEC> held[PER_THREAD];
    long long first_row;
    int column;

    TF_METHOD long long row_of(int i) const
    {
        return first_row + i * LINES;
    }

    TF_METHOD bool owns(int i) const
    {
        return row_of(i) < p.rows && column < C::HIDDEN;
    }

    TF_METHOD void load()
    {
        TF_UNROLL
        for (int i = 0; i < PER_THREAD; i++)
            if (owns(i))
                held[i] = ld_vec<LD_ONCE, C::VEC_BYTES, T, VEC>(
                    static_cast<const T *>(p.x) + row_of(i) * p.x_stride + column);
            else
                held[i] = vec_zero<T, VEC>();
    }

    TF_METHOD float amax() const
    {
        float most = 0;
        TF_UNROLL
        for (int i = 0; i < PER_THREAD; i++) {
            float h[VEC];
            vec_unpack(held[i], h);
            TF_UNROLL
            for (int j = 0; j < VEC; j++)
                most = amax_nan(most, h[j]);
        }
        return most;
    }

    TF_METHOD void store(float scale)
    {
        constexpr int HINT = C::STORE_HINT ? ST_STREAM : ST_KEEP;
        TF_UNROLL
        for (int i = 0; i < PER_THREAD; i++) {
            float h[VEC], y[VEC];
            vec_unpack(held[i], h);
            quant_by(scale, h, y);
            count.take(y);
            if (owns(i))
                st_vec<HINT, VEC, OUT, VEC>(
                    static_cast<OUT *>(p.out) + row_of(i) * p.out_stride + column,
                    vec_pack<OUT, VEC>(y));
        }
        count.store();
    }

public:
    TF_METHOD QuantizeTile(const quantize_params &params) : p(params), count(params)
    {
    }

    TF_METHOD void run()
    {
        const int line = thread_index() / LANES, lane = thread_index() % LANES;
        const u64 tiles = (u64)((p.rows + QUANT_TILE - 1) / QUANT_TILE) * TILES_ACROSS;
        pdl_begin<C>();
        u32 turn = 0;
        for (u64 tile = block_index(); tile < tiles; tile += block_count(), turn++) {
            const long long down = (long long)(tile / TILES_ACROSS);
            const int across = (int)(tile % TILES_ACROSS);
            first_row = down * QUANT_TILE + line;
            column = across * QUANT_TILE + lane * VEC;
            load();
            const float scale = quant_scale<OUT>(
                group_reduce<ReduceMax, 1, C::THREADS, C::THREADS, 1>(
                    {{amax()}}, smem_at<float>(0), turn)
                    .f[0]);
            if (thread_index() == 0)
                st_elem(p.quant.scales + down * p.quant.row_stride +
                            across * p.quant.group_stride,
                    scale);
            store(scale);
        }
    }
};

// Element by element, each tile read twice.
template <class C, class OUT> TF_DEV void quantize_tiles_generic(const quantize_params &p)
{
    const u64 across = (u64)ceil_div(p.hidden, QUANT_TILE);
    const u64 tiles = (u64)((p.rows + QUANT_TILE - 1) / QUANT_TILE) * across;
    QuantizeCount<C, OUT> count(p);
    u32 turn = 0;
    pdl_begin<C>();
    for (u64 tile = block_index(); tile < tiles; tile += block_count(), turn++) {
        const long long row = (long long)(tile / across) * QUANT_TILE;
        const int column = (int)(tile % across) * QUANT_TILE + thread_index() % QUANT_TILE;
        const long long last = row + QUANT_TILE < p.rows ? row + QUANT_TILE : p.rows;
        const long long first = column < p.hidden ? row + thread_index() / QUANT_TILE : last;
        float most = 0;
        for (long long r = first; r < last; r += C::THREADS / QUANT_TILE)
            most = amax_nan(most, quantize_element(p, r, column));
        const float scale = quant_scale<OUT>(group_reduce<ReduceMax, 1, C::THREADS, C::THREADS, 1>(
            {{most}}, smem_at<float>(0), turn)
                                                 .f[0]);
        if (thread_index() == 0)
            st_elem(p.quant.scales + row / QUANT_TILE * p.quant.row_stride +
                        column / QUANT_TILE * p.quant.group_stride,
                scale);
        for (long long r = first; r < last; r += C::THREADS / QUANT_TILE)
            quantize_element_by(p, r, column, scale, count);
        count.store();
    }
}
