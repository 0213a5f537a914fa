// gemm_epilogue.cuh: from a consumer's sums to the output.
//
// Scales, bias, activation and residual are applied in registers; the result goes through a store
// buffer, a box of the output in shared memory, which TMA writes while the next box is made. What
// lies outside the output is not written by TMA. With SWAP rows of a tile run along n: the 8x8
// blocks are transposed on their way to shared memory.
//
// Known weakness: the residual is read in fragment order, 4 bytes (SWAP: 2) a lane.
#pragma once
#include "device/matrix.cuh"
#include "device/mem.cuh"
#include "device/tma.cuh"
#include "gemm/gemm_math.cuh"
#include "gemm/gemm_parts.cuh"
#include "gemm/gemm_tiles.cuh"

// What scales and shifts two neighbouring rows or columns of a fragment.
struct GemmFactors {
    float scale[2], bias[2];
};

template <class C> struct GemmEpilogue {
    using L = GemmLayout<C>;
    using TO = typename L::TO;

    int consumer, thread, warp, q, p; // q, p: lane / 4 and lane % 4
    int row, col;                     // of this consumer's first element, in rows of R and of C
    u32 turn;                         // boxes stored so far
    float scale;                      // of the whole tensors

    TF_DEV GemmEpilogue start(const gemm_params &params, int consumer)
    {
        GemmEpilogue e;
        e.consumer = consumer;
        e.thread = thread_index() % L::WARPGROUP;
        e.warp = e.thread / 32;
        e.q = e.thread % 32 / 4;
        e.p = e.thread % 4;
        e.turn = 0;
        e.scale = 1;
        if constexpr (L::EPILOGUE_SCALING == GEMM_PER_TENSOR)
            e.scale = ld_elem<LD_CONST>(params.x_scale) * ld_elem<LD_CONST>(params.weight_scale);
        return e;
    }

    // Whether index `at` of the n or the m side lies inside the tensor.
    TF_DEV bool inside(const gemm_params &params, bool weight_side, int at)
    {
        using Parts = GemmParts<C>;
        constexpr bool WHOLE = // no block of a cluster hangs over
            Parts::template whole < C::SWAP ? L::TILE_ROWS * C::CLUSTER_M
                                            : L::TILE_COLS * C::CLUSTER_N > ();
        return weight_side ? WHOLE || at < Parts::rows(params) : at < params.m;
    }

    // Factors of index and index + step of the n or the m side, those outside the tensor: any. Through the
    // non-coherent path ptxas would load a slab's ahead, across barriers, until registers spill.
    TF_DEV GemmFactors factors(const gemm_params &params, bool weight_side, int index, int step)
    {
        GemmFactors f;
        TF_UNROLL
        for (int i = 0; i < 2; i++) {
            const int at = index + i * step;
            const bool in = inside(params, weight_side, at);
            f.scale[i] = 1;
            f.bias[i] = 0;
            if constexpr (L::EPILOGUE_SCALING == GEMM_PER_ROW)
                f.scale[i] =
                    ld_f32_if(weight_side ? params.weight_scale + at * params.weight_scale_stride
                                          : params.x_scale + at * params.x_scale_stride,
                        in);
            if constexpr (C::HAS_BIAS)
                if (weight_side)
                    f.bias[i] = ld_f32_if(static_cast<const TO *>(params.bias) + at, in);
        }
        return f;
    }

    // Of the four elements of finish(); neighbours along n in one access where they never part.
    TF_DEV void residuals(const gemm_params &params, int row, int col, float (&r)[4])
    {
        const TO *residual = static_cast<const TO *>(params.residual);
        TF_UNROLL
        for (int h = 0; h < 2; h++) {
            if constexpr (!C::SWAP && C::N % 2 == 0) {
                const int m = row + 8 * h;
                float f[2];
                vec_unpack(ld_vec_if<TO, 2>(residual + m * params.residual_stride + col,
                               inside(params, false, m) && inside(params, true, col)),
                    f);
                r[2 * h] = f[0];
                r[2 * h + 1] = f[1];
            } else {
                TF_UNROLL
                for (int c = 0; c < 2; c++) {
                    const int m = C::SWAP ? col + c : row + 8 * h;
                    const int n = C::SWAP ? row + 8 * h : col + c;
                    r[2 * h + c] = ld_f32_if(residual + m * params.residual_stride + n,
                        inside(params, false, m) && inside(params, true, n));
                }
            }
        }
    }

    // The four elements of block column j of a slab: (row q or q + 8) x (column 2p or 2p + 1).
    TF_DEV void finish(const GemmEpilogue &e, const gemm_params &params, const GemmFactors &down,
        int slab, int j, const float *d, float (&v)[4])
    {
        const int row = e.row + 64 * slab + 16 * e.warp + e.q, col = e.col + 8 * j + 2 * e.p;
        const GemmFactors across = factors(params, !C::SWAP, col, 1);
        float r[4] = {};
        if constexpr (C::HAS_RESIDUAL)
            residuals(params, row, col, r);
        TF_UNROLL
        for (int i = 0; i < 4; i++) {
            const int h = i / 2, c = i % 2;
            float x = d[i] * e.scale;
            if constexpr (L::EPILOGUE_SCALING == GEMM_PER_ROW)
                x *= down.scale[h] * across.scale[c];
            if constexpr (C::HAS_BIAS)
                x += C::SWAP ? down.bias[h] : across.bias[c];
            x = gemm_activate(C::ACTIVATION, x);
            if constexpr (C::HAS_RESIDUAL)
                x += r[i];
            v[i] = x;
        }
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

    // One block column of fp32 results. SWAP: the two warps whose rows the box has.
    TF_DEV void put_floats(const GemmEpilogue &e, u8 *box, int part, int j, const float (&a)[4])
    {
        const int down = 16 * e.warp + e.q, across = 8 * j + 2 * e.p;
        TF_UNROLL
        for (int h = 0; h < 2; h++) {
            if constexpr (!C::SWAP) {
                float2_store(place(box, down + 8 * h, across * 4), a[2 * h], a[2 * h + 1]);
            } else if (e.warp / 2 == part) {
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

    // The results of one box of a slab into its buffer.
    template <int SLAB, int PART>
    TF_DEV void fill(const GemmEpilogue &e, const gemm_params &params, const GemmFactors &down,
        const float (&d)[L::OUT_REGS], u8 *box)
    {
        constexpr int FIRST = C::SWAP ? 0 : PART * L::BOX_COLS / 8;
        constexpr int COLUMNS = C::SWAP ? L::OUT_COLS / 8 : L::BOX_COLS / 8;
        constexpr int STEP = L::OUT_ELEM == 2 && COLUMNS % 2 == 0 ? 2 : 1;
        TF_UNROLL
        for (int j = 0; j < COLUMNS; j += STEP) {
            float a[4], b[4];
            finish(e, params, down, SLAB, FIRST + j, d + 4 * (FIRST + j), a);
            if constexpr (L::OUT_ELEM == 4) {
                put_floats(e, box, PART, j, a);
            } else if constexpr (L::OUT_ELEM == 1) {
                put_bytes(e, box, j, a);
            } else if constexpr (STEP == 2) {
                finish(e, params, down, SLAB, FIRST + j + 1, d + 4 * (FIRST + j + 1), b);
                put_pair(e, box, j, a, b);
            } else {
                put_one(e, box, j, a);
            }
        }
    }

    template <int SLAB, int PART>
    TF_DEV void store_box(GemmEpilogue &e, const gemm_params &params, const GemmFactors &down,
        const float (&d)[L::OUT_REGS])
    {
        u8 *box = buffer(e);
        if (e.thread == 0)
            bulk_wait_read<L::BUFFERS - 1>();
        named_sync(1 + e.consumer, L::WARPGROUP); // the buffer's last store has read it
        fill<SLAB, PART>(e, params, down, d, box);
        shared_fence_async();
        named_sync(1 + e.consumer, L::WARPGROUP); // the box is complete
        if (e.thread == 0) {
            const int row = e.row + 64 * SLAB;
            if constexpr (C::SWAP)
                tma_store(params.out_map, box, row + PART * L::BOX_COLS, e.col);
            else
                tma_store(params.out_map, box, e.col + PART * L::BOX_COLS, row);
            bulk_commit();
        }
        e.turn++;
    }

    template <int SLAB, int PART>
    TF_DEV void store_slab(GemmEpilogue &e, const gemm_params &params, const GemmFactors &down,
        const float (&d)[L::OUT_REGS])
    {
        store_box<SLAB, PART>(e, params, down, d);
        if constexpr (PART + 1 < L::BOXES)
            store_slab<SLAB, PART + 1>(e, params, down, d);
    }

    template <int SLAB = 0>
    TF_DEV void store(
        GemmEpilogue &e, const gemm_params &params, const float (&acc)[L::OUT_SLABS][L::OUT_REGS])
    {
        const int row = e.row + 64 * SLAB + 16 * e.warp + e.q;
        store_slab<SLAB, 0>(e, params, factors(params, C::SWAP, row, 8), acc[SLAB]);
        if constexpr (SLAB + 1 < L::OUT_SLABS)
            store<SLAB + 1>(e, params, acc);
    }

    // Before the block ends: its shared memory is still being read.
    TF_DEV void finish_stores(const GemmEpilogue &e)
    {
        if (e.thread == 0)
            bulk_wait_read<0>();
    }
};
