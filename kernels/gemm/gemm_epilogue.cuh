// gemm_epilogue.cuh: from a consumer's sums to the output.
//
// Values are made in registers (gemm_values.cuh); the result goes through a store
// buffer, a box of the output in shared memory, which TMA writes while the next box is made. What
// lies outside the output is not written by TMA. With SWAP rows of a tile run along n: the 8x8
// blocks are transposed on their way to shared memory. Eight columns too many for boxes are written by
// the threads that have them.
#pragma once
#include "device/matrix.cuh"
#include "device/mem.cuh"
#include "device/tma.cuh"
#include "gemm/gemm_tiles.cuh"
#include "gemm/gemm_values.cuh"

template <class C> struct GemmEpilogue {
    using L = GemmLayout<C>;
    using TO = typename L::TO;

    // With SWAP a box of fp32 results has the rows of two warps; the others' results, made in vain, would
    // stay in registers until their box.
    static constexpr bool HALF_OF_WARPS = C::SWAP && L::OUT_ELEM == 4;

    // What a thread holds of a slab.
    template <class V> using Slab = typename V::Held[L::OUT_REGS / 4 * V::EACH];

    int consumer, thread, warp, q, p; // q, p: lane / 4 and lane % 4
    int row, col;                     // of this consumer's first element, in rows of R and of C
    u32 turn;                         // boxes stored so far
    GemmValues<C> values;             // what is stored unless another is given
    const tensor_map *map;            // of what is stored

    TF_DEV GemmEpilogue start(const gemm_params &params, int consumer)
    {
        GemmEpilogue e;
        e.consumer = consumer;
        e.thread = thread_index() % L::WARPGROUP;
        e.warp = e.thread / 32;
        e.q = e.thread % 32 / 4;
        e.p = e.thread % 4;
        e.turn = 0;
        e.values = GemmValues<C>::start(params);
        e.map = &params.out_map;
        return e;
    }

    TF_DEV u8 *buffer(const GemmEpilogue &e)
    {
        return smem_at<u8>(L::BUFFER_AT + (e.consumer * L::BUFFERS + (int)(e.turn % L::BUFFERS)) *
                                              L::BUFFER_BYTES);
    }

    // Byte `at` of row `line` of a box.
    TF_DEV u8 *place(u8 *box, int line, int at)
    {
        return box + gemm_swizzle<L::BOX_BYTES>(line * L::BOX_BYTES + at);
    }

    // Two block columns of 16-bit results, the first at column `j` of the box.
    TF_DEV void put_pair(
        const GemmEpilogue &e, u8 *box, int j, const float (&a)[4], const float (&b)[4])
    {
        const int lane = e.thread % 32, block = lane / 8, r = lane % 8;
        const u32 w[4] = {pack2<TO>(a[0], a[1]), pack2<TO>(a[2], a[3]), pack2<TO>(b[0], b[1]),
            pack2<TO>(b[2], b[3])};
        const int down = 16 * e.warp + block % 2 * 8, across = 8 * (j + block / 2);
        if constexpr (C::SWAP)
            matrix_store_transposed(place(box, across + r, down * 2), w);
        else
            matrix_store(place(box, down + r, across * 2), w);
    }

    TF_DEV void put_one(const GemmEpilogue &e, u8 *box, int j, const float (&a)[4])
    {
        const int lane = e.thread % 32, down = 16 * e.warp + lane / 8 % 2 * 8;
        const u32 w[2] = {pack2<TO>(a[0], a[1]), pack2<TO>(a[2], a[3])};
        matrix_store_transposed(place(box, 8 * j + lane % 8, down * 2), w);
    }

    // One block column of fp32 results.
    TF_DEV void put_floats(const GemmEpilogue &e, u8 *box, int j, const float (&a)[4])
    {
        const int down = 16 * e.warp + e.q, across = 8 * j + 2 * e.p;
        TF_UNROLL
        for (int h = 0; h < 2; h++) {
            if constexpr (!C::SWAP) {
                float2_store(place(box, down + 8 * h, across * 4), a[2 * h], a[2 * h + 1]);
            } else {
                const int at = (down + 8 * h) % 32 * 4;
                *reinterpret_cast<float *>(place(box, across, at)) = a[2 * h];
                *reinterpret_cast<float *>(place(box, across + 1, at)) = a[2 * h + 1];
            }
        }
    }

    // One block column of fp8 results.
    TF_DEV void put_bytes(const GemmEpilogue &e, u8 *box, int j, const float (&a)[4])
    {
        const int down = 16 * e.warp + e.q, across = 8 * j + 2 * e.p;
        TF_UNROLL
        for (int h = 0; h < 2; h++) {
            const u32 pair = pack2<TO>(a[2 * h], a[2 * h + 1]);
            if constexpr (C::SWAP) {
                *place(box, across, down + 8 * h) = (u8)pair;
                *place(box, across + 1, down + 8 * h) = (u8)(pair >> 8);
            } else {
                *reinterpret_cast<u16 *>(place(box, down + 8 * h, across)) = (u16)pair;
            }
        }
    }

    TF_DEV void float2_store(u8 *to, float x, float y)
    {
        struct alignas(8) Pair {
            float x, y;
        };
        *reinterpret_cast<Pair *>(to) = {x, y};
    }

    // The four elements of block column j of a slab: (row q or q + 8) x (column 2p or 2p + 1).
    template <class V>
    TF_DEV void finish(const GemmEpilogue &e, const gemm_params &params, V &values,
        const typename V::Down &down, int slab, int j, const typename V::Held *d, float (&v)[4])
    {
        const GemmPlace place = {
            e.row + 64 * slab + 16 * e.warp + e.q, e.col + 8 * j + 2 * e.p, slab, j};
        V::finish(values, params, down, place, d, v);
    }

    // The results of one box of a slab into its buffer. Slab and part are constants once the loops over them are
    // unrolled; as template parameters of functions that call one another they cost NVVM a third of a variant's
    // time (docs/notes/gemm.md, Compiling).
    template <class V>
    TF_DEV void fill(const GemmEpilogue &e, const gemm_params &params, V &values,
        const typename V::Down &down, int slab, int part, const Slab<V> &d, u8 *box)
    {
        const int line = part % L::LINE_BOXES, tokens = part / L::LINE_BOXES;
        const int first = (C::SWAP ? tokens * L::BOX_ROWS : line * L::BOX_COLS) / 8;
        constexpr int COLUMNS = (C::SWAP ? L::BOX_ROWS : L::BOX_COLS) / 8;
        constexpr int STEP = L::OUT_ELEM == 2 && COLUMNS % 2 == 0 ? 2 : 1;
        if constexpr (HALF_OF_WARPS)
            if (e.warp / 2 != line)
                return;
        TF_UNROLL
        for (int j = 0; j < COLUMNS; j += STEP) {
            float a[4], b[4];
            finish(e, params, values, down, slab, first + j, d + V::EACH * (first + j), a);
            if constexpr (L::OUT_ELEM == 4) {
                put_floats(e, box, j, a);
            } else if constexpr (L::OUT_ELEM == 1) {
                put_bytes(e, box, j, a);
            } else if constexpr (STEP == 2) {
                finish(
                    e, params, values, down, slab, first + j + 1, d + V::EACH * (first + j + 1), b);
                put_pair(e, box, j, a, b);
            } else {
                put_one(e, box, j, a);
            }
        }
    }

    template <class V>
    TF_DEV void store_box(GemmEpilogue &e, const gemm_params &params, V &values,
        const typename V::Down &down, int slab, int part, const Slab<V> &d)
    {
        u8 *box = buffer(e);
        if (e.thread == 0)
            bulk_wait_read<L::BUFFERS - 1>();
        named_sync(1 + e.consumer, L::WARPGROUP); // the buffer's last store has read it
        fill(e, params, values, down, slab, part, d, box);
        shared_fence_async();
        named_sync(1 + e.consumer, L::WARPGROUP); // the box is complete
        if (e.thread == 0) {
            const int row = e.row + 64 * slab;
            const int line = part % L::LINE_BOXES * L::BOX_COLS;
            if constexpr (C::SWAP)
                tma_store(*e.map, box, row + line, e.col + part / L::LINE_BOXES * L::BOX_ROWS);
            else
                tma_store(*e.map, box, e.col + line, row);
            bulk_commit();
        }
        e.turn++;
    }

    // Two neighbours along n, where they lie inside the output.
    TF_DEV void store_two(const gemm_params &params, int row, int col, float x, float y)
    {
        const float two[2] = {x, y};
        TO *out = static_cast<TO *>(params.out) + row * params.out_stride + col;
        if (!GemmValues<C>::inside(params, false, row) || !GemmValues<C>::inside(params, true, col))
            return;
        if constexpr (C::N % 2 == 0) {
            st_vec<ST_KEEP, 2 * L::OUT_ELEM>(out, vec_pack<TO, 2>(two));
        } else {
            st_elem(out, from_f32<TO>(x));
            if (GemmValues<C>::inside(params, true, col + 1))
                st_elem(out + 1, from_f32<TO>(y));
        }
    }

    // The columns of a slab behind its last box.
    template <class V>
    TF_DEV void store_edge(const GemmEpilogue &e, const gemm_params &params, V &values,
        const typename V::Down &down, int slab, const Slab<V> &d)
    {
        constexpr int FIRST = (L::OUT_COLS - L::EDGE_COLS) / 8;
        TF_UNROLL
        for (int j = FIRST; j < L::OUT_COLS / 8; j++) {
            const int row = e.row + 64 * slab + 16 * e.warp + e.q, col = e.col + 8 * j + 2 * e.p;
            float v[4];
            finish(e, params, values, down, slab, j, d + V::EACH * j, v);
            store_two(params, row, col, v[0], v[1]);
            store_two(params, row + 8, col, v[2], v[3]);
        }
    }

    // All of a tile's values, none of which is stored.
    template <class V>
    TF_DEV void make_values(const GemmEpilogue &e, const gemm_params &params, V &values,
        const Slab<V> (&acc)[L::OUT_SLABS])
    {
        TF_UNROLL
        for (int slab = 0; slab < L::OUT_SLABS; slab++) {
            const typename V::Down down =
                V::down(values, params, e.row + 64 * slab + 16 * e.warp + e.q);
            TF_UNROLL
            for (int j = 0; j < L::OUT_COLS / 8; j++) {
                float v[4];
                finish(e, params, values, down, slab, j, acc[slab] + V::EACH * j, v);
            }
        }
    }

    template <class V>
    TF_DEV void store_values(
        GemmEpilogue &e, const gemm_params &params, V &values, const Slab<V> (&acc)[L::OUT_SLABS])
    {
        TF_UNROLL
        for (int slab = 0; slab < L::OUT_SLABS; slab++) {
            const typename V::Down down =
                V::down(values, params, e.row + 64 * slab + 16 * e.warp + e.q);
            store_edge(e, params, values, down, slab, acc[slab]);
            TF_UNROLL
            for (int part = 0; part < L::BOXES; part++)
                store_box(e, params, values, down, slab, part, acc[slab]);
        }
    }

    TF_DEV void store(
        GemmEpilogue &e, const gemm_params &params, const float (&acc)[L::OUT_SLABS][L::OUT_REGS])
    {
        if constexpr (GemmParts<C>::
                          SEVERAL) // a part of several, which may be another than the last tile's
            e.map = &params.out_map;
        store_values(e, params, e.values, acc);
    }

    // Before the block ends: its shared memory is still being read.
    TF_DEV void finish_stores(const GemmEpilogue &e)
    {
        if (e.thread == 0)
            bulk_wait_read<0>();
    }
};
