// gemm_mma.cuh: matrix products by mma.sync, for every architecture and every alignment.
//
// 4 * CONSUMERS warps share a tile of BLOCK_M x BLOCK_N, two down and the rest across. K goes by in
// blocks of 128 bytes through a ring of STAGES in shared memory, filled by cp.async; rows of 128
// bytes, swizzled by 128, so that ldmatrix meets no bank twice. Before sm_89 fp8 becomes f16, which
// holds every fp8 value, on its way to the tensor cores: products are exact and sums fp32. Where they
// multiply fp8 and keep about 14 bits of a sum, it is added up in fp32 every 128 of K, unless FAST_ACCUM.
//
// Synchronisation: one block barrier a block of K. Known weakness: rows that start at odd addresses
// are loaded word by word (gemm_odd_rows.cuh); results are stored in fragment order.
#pragma once
#include "device/cp_async.cuh"
#include "device/matrix.cuh"
#include "device/mem.cuh"
#include "device/mma.cuh"
#include "device/pdl.cuh"
#include "device/thread.cuh"
#include "gemm/gemm_layout.cuh"
#include "gemm/gemm_math.cuh"
#include "gemm/gemm_mma_add_norm.cuh"
#include "gemm/gemm_mma_norm.cuh"
#include "gemm/gemm_odd_rows.cuh"
#include "gemm/gemm_pair.cuh"
#include "gemm/gemm_parts.cuh"
#include "gemm/gemm_scales.cuh"
#include "gemm/gemm_tiles.cuh"

template <class C> struct MmaLayout {
    using TX = typename C::DTYPE;
    using TW = typename GemmWeight<C>::type;
    using TO = typename C::OUT_DTYPE;

    static constexpr int ELEM = (int)sizeof(TX);
    static constexpr bool NATIVE = ELEM == 2 || TF_ARCH >= 890; // else multiplied as f16
    static constexpr bool PROMOTE = ELEM == 1 && MMA_FP8_IS_SHORT && !C::FAST_ACCUM;
    static constexpr int ROW_BYTES = 128;
    static constexpr int BLOCK_K = ROW_BYTES / ELEM;
    static constexpr int K_BLOCKS = ceil_div(C::K, BLOCK_K);
    static constexpr int WARPS_M = 2, WARPS_N = 2 * C::CONSUMERS;
    static constexpr int ROWS = C::BLOCK_M / WARPS_M, COLS = C::BLOCK_N / WARPS_N; // of a warp
    static constexpr int DOWN = ROWS / 16, ACROSS = COLS / 8; // products of a step
    // Of a pair a warp has both weights' rows of the same columns, one half after the other.
    static constexpr bool PAIRED = GemmPaired<C>::VALUE;
    static constexpr bool NORMED = GemmNormed<C>::VALUE;
    static constexpr int OUT_COLS = PAIRED ? COLS / 2 : COLS;
    static constexpr int TILE_ROWS = C::BLOCK_M, TILE_COLS = WARPS_N * OUT_COLS;
    static constexpr int RECTANGLE = 1; // no clusters
    static constexpr bool MULTICAST = false;
    static constexpr bool FULL_TILES = false; // rows that are not there cost nothing
    static constexpr int X_BYTES = C::BLOCK_M * ROW_BYTES;
    static constexpr int STAGE_BYTES = X_BYTES + C::BLOCK_N * ROW_BYTES;
    // Sums of normalised rows of the output, behind the stages.
    static constexpr bool ADD_NORMED = GemmAddNormed<C>::VALUE;
    using RowSums = GemmRowSumsLayout<C::BLOCK_M, WARPS_N, C::THREADS>;
    static constexpr int SUMS_AT = C::STAGES * STAGE_BYTES;
    static constexpr int SMEM_BYTES = SUMS_AT + (ADD_NORMED ? RowSums::BYTES : 0);
    static constexpr int WIDTH = min_int(C::ALIGN, 16); // of a copy
    static constexpr bool ODD = WIDTH < 4;              // too small for one
    template <int LINES>
    static constexpr int CHUNKS = ceil_div(LINES * 8, C::THREADS); // of a thread

    static_assert(C::THREADS == 32 * WARPS_M * WARPS_N, "the host's geometry agrees");
    static_assert(C::SMEM_BYTES >= SMEM_BYTES, "the host's geometry agrees");
    static_assert(ROWS % 16 == 0 && COLS % 16 == 0, "whole products, two across");
    static_assert(ELEM == 2 || BLOCK_K == GEMM_GROUP_ELEMS, "a sum for each group");
    static_assert(C::STAGES >= 2, "one stage is filled while one is used");
};

template <class C> struct GemmMma {
    using L = MmaLayout<C>;
    using Acc = float[L::DOWN][L::ACROSS][4];

    // A thread's sixteens of a stage, on their way from odd rows.
    struct Held {
        u32 x[L::template CHUNKS<C::BLOCK_M>][4], weight[L::template CHUNKS<C::BLOCK_N>][4];
    };
    struct alignas(16) Sixteen {
        u32 w[4];
    };

    // Sixteen bytes of a row, those beyond the tensor zero.
    template <class T> TF_DEV void copy16(u8 *to, const T *row, int k, bool inside)
    {
        const int left = inside ? (C::K - k) * L::ELEM : 0; // bytes of the row from here
        TF_UNROLL
        for (int i = 0; i < 16; i += L::WIDTH) {
            const int bytes = max_int(min_int(left - i, L::WIDTH), 0);
            cp_async<L::WIDTH>(to + i, bytes ? row + k + i / L::ELEM : row, bytes);
        }
    }

    TF_DEV u8 *chunk_at(u8 *tile, int line, int chunk)
    {
        return tile + gemm_swizzle<128>(line * L::ROW_BYTES + chunk * 16);
    }

    // Sixteen bytes of row `row` of a tensor into row `line` of a tile, or to be held.
    template <class T>
    TF_DEV void fill_chunk(u8 *tile, u32 (&held)[4], int line, int chunk, const T *base,
        long long stride, int rows, int row, int k)
    {
        const bool inside = row < rows;
        const T *from = base + (inside ? row : 0) * stride;
        if constexpr (L::ODD)
            GemmOddRows<T, C::K>::fetch(held, from, k + chunk * 16 / L::ELEM, inside);
        else
            copy16<T>(chunk_at(tile, line, chunk), from, k + chunk * 16 / L::ELEM, inside);
    }

    // What is held of a tile, to where it belongs.
    template <int CHUNKS> TF_DEV void leave_tile(u8 *tile, const u32 (&held)[CHUNKS][4])
    {
        TF_UNROLL
        for (int i = 0; i < CHUNKS; i++) {
            const int at = i * C::THREADS + thread_index();
            *reinterpret_cast<Sixteen *>(chunk_at(tile, at / 8, at % 8)) = {
                {held[i][0], held[i][1], held[i][2], held[i][3]}};
        }
    }

    TF_DEV void leave(const Held &held, int block)
    {
        u8 *stage = smem_at<u8>((u32)(block % C::STAGES * L::STAGE_BYTES));
        if (L::ODD && block < L::K_BLOCKS) {
            leave_tile(stage, held.x);
            leave_tile(stage + L::X_BYTES, held.weight);
        }
    }

    // Rows [first, first + ROWS) of one operand into a stage.
    template <class T, int ROWS>
    TF_DEV void fill_tile(u8 *tile, u32 (&held)[L::template CHUNKS<ROWS>][4], const T *base,
        long long stride, int rows, int first, int k)
    {
        TF_UNROLL
        for (int i = 0; i < ROWS * 8; i += C::THREADS) {
            const int at = i + thread_index(), row = at / 8, chunk = at % 8;
            fill_chunk<T>(
                tile, held[i / C::THREADS], row, chunk, base, stride, rows, first + row, k);
        }
    }

    // Of both weights of a pair, in turns of OUT_COLS rows.
    template <class T>
    TF_DEV void fill_pair(u8 *tile, u32 (&held)[L::template CHUNKS<C::BLOCK_N>][4],
        const gemm_params &p, int first, int k)
    {
        const T *gate = static_cast<const T *>(p.weight);
        const T *up = static_cast<const T *>(gemm_pair(p).up);
        TF_UNROLL
        for (int i = 0; i < C::BLOCK_N * 8; i += C::THREADS) {
            const int at = i + thread_index(), row = at / 8, chunk = at % 8;
            const int n = first + row / L::COLS * L::OUT_COLS + row % L::OUT_COLS;
            const bool is_up = row % L::COLS >= L::OUT_COLS;
            fill_chunk<T>(tile, held[i / C::THREADS], row, chunk, is_up ? up : gate,
                is_up ? gemm_pair(p).up_stride : p.weight_stride, C::N, n, k);
        }
    }

    TF_DEV void fill(const gemm_params &p, Held &held, int row, int col, int block)
    {
        u8 *stage = smem_at<u8>((u32)(block % C::STAGES * L::STAGE_BYTES));
        if (block < L::K_BLOCKS) {
            fill_tile<typename L::TX, C::BLOCK_M>(stage, held.x,
                static_cast<const typename L::TX *>(p.x), p.x_stride, p.m, row, block * L::BLOCK_K);
            if constexpr (L::PAIRED)
                fill_pair<typename L::TW>(
                    stage + L::X_BYTES, held.weight, p, col, block * L::BLOCK_K);
            else
                fill_tile<typename L::TW, C::BLOCK_N>(stage + L::X_BYTES, held.weight,
                    static_cast<const typename L::TW *>(p.weight), p.weight_stride,
                    GemmParts<C>::rows(p), col, block * L::BLOCK_K);
        }
        cp_async_commit();
    }

    // Two fp8 values as f16, in the bits of one word.
    template <class T> TF_DEV u32 halves(u32 w)
    {
        float lo, hi;
        unpack2<T>(w, lo, hi);
        return pack2<f16>(lo, hi);
    }

    // 32 bytes of K of 16 rows. Of fp8 as f16 the lower two bytes of every word make one product's
    // operand and the upper two the next one's: any order of K is right that both operands share.
    TF_DEV void load(u32 (&w)[4], const u8 *tile, int row, int byte)
    {
        matrix_load(w, tile + gemm_swizzle<128>(row * L::ROW_BYTES + byte));
    }

    template <class A, class B>
    TF_DEV void multiply_step(Acc &acc, const u32 (&a)[L::DOWN][4], const u32 (&b)[L::ACROSS][2])
    {
        TF_UNROLL
        for (int i = 0; i < L::DOWN; i++)
            TF_UNROLL
        for (int j = 0; j < L::ACROSS; j++)
            Mma<A, B>::add(acc[i][j], a[i], b[j]);
    }

    TF_DEV void multiply_decoded(Acc &acc, const u32 (&a)[L::DOWN][4], const u32 (&b)[L::ACROSS][2])
    {
        TF_UNROLL
        for (int word = 0; word < 2; word++) {
            u32 x[L::DOWN][4], w[L::ACROSS][2];
            TF_UNROLL
            for (int i = 0; i < L::DOWN; i++)
                TF_UNROLL
            for (int h = 0; h < 2; h++) {
                x[i][h] = halves<typename L::TX>(a[i][2 * word + h]);
                x[i][2 + h] = halves<typename L::TX>(a[i][2 * word + h] >> 16);
            }
            TF_UNROLL
            for (int j = 0; j < L::ACROSS; j++) {
                w[j][0] = halves<typename L::TW>(b[j][word]);
                w[j][1] = halves<typename L::TW>(b[j][word] >> 16);
            }
            multiply_step<f16, f16>(acc, x, w);
        }
    }

    TF_DEV void multiply(Acc &acc, const u8 *stage, int warp_row, int warp_col)
    {
        const int lane = thread_index() % 32, block = lane / 8, r = lane % 8;
        _Pragma("unroll 1") for (int step = 0; step < L::ROW_BYTES; step += 32)
        {
            u32 a[L::DOWN][4], b[L::ACROSS][2];
            TF_UNROLL
            for (int i = 0; i < L::DOWN; i++)
                load(a[i], stage, warp_row + 16 * i + block % 2 * 8 + r, step + block / 2 * 16);
            TF_UNROLL
            for (int j = 0; j < L::ACROSS; j += 2) {
                u32 w[4];
                load(w, stage + L::X_BYTES, warp_col + 8 * j + block / 2 * 8 + r,
                    step + block % 2 * 16);
                b[j][0] = w[0], b[j][1] = w[1], b[j + 1][0] = w[2], b[j + 1][1] = w[3];
            }
            if constexpr (L::NATIVE)
                multiply_step<typename L::TX, typename L::TW>(acc, a, b);
            else
                multiply_decoded(acc, a, b);
        }
    }

    // Adds up the sums of one group, a block of K, each times x's and weight's block scale.
    TF_DEV void add_scaled(
        const gemm_params &p, Acc &acc, const Acc &part, int row, int col, int group)
    {
        float x[L::DOWN][2];
        TF_UNROLL
        for (int i = 0; i < 2 * L::DOWN; i++)
            x[i / 2][i % 2] = GemmGroups::x(p, row + 16 * (i / 2) + i % 2 * 8, group);
        TF_UNROLL
        for (int j = 0; j < L::ACROSS; j++) {
            const float weight = GemmGroups::weight<C::N>(p, col + 8 * j, group);
            TF_UNROLL
            for (int i = 0; i < 4 * L::DOWN; i++)
                acc[i / 4][j][i % 4] += part[i / 4][j][i % 4] * (x[i / 4][i % 4 / 2] * weight);
        }
    }

    TF_DEV void add_part(Acc &acc, const Acc &part)
    {
        TF_UNROLL
        for (int i = 0; i < L::DOWN; i++)
            TF_UNROLL
        for (int j = 0; j < 4 * L::ACROSS; j++)
            acc[i][j / 4][j % 4] += part[i][j / 4][j % 4];
    }

    // A block of K, of fp8 one group.
    TF_DEV void add_block(const gemm_params &p, Acc &acc, const u8 *stage, int row, int col,
        int warp_row, int warp_col, int block)
    {
        if constexpr (C::SCALING == GEMM_PER_BLOCK) {
            const int lane = thread_index() % 32;
            Acc part = {};
            multiply(part, stage, warp_row, warp_col);
            add_scaled(
                p, acc, part, row + warp_row + lane / 4, col + warp_col + lane % 4 * 2, block);
        } else if constexpr (L::PROMOTE) {
            Acc part = {};
            multiply(part, stage, warp_row, warp_col);
            add_part(acc, part);
        } else {
            multiply(acc, stage, warp_row, warp_col);
        }
    }

    TF_DEV float join(const gemm_params &p, int m, int n, float gate, float up)
    {
        using Pair = GemmPair<C>;
        return Pair::value(Pair::side(p, false, m), Pair::side(p, true, n), gate, up) *
               Pair::out_factor(p);
    }

    // One product's results of a lane: two neighbours in each of two rows. `up`: of a pair.
    TF_DEV void store(
        const gemm_params &p, int row, int col, const float (&d)[4], const float (&up)[4])
    {
        typename L::TO *out = static_cast<typename L::TO *>(p.out);
        TF_UNROLL
        for (int i = 0; i < 4; i++) {
            const int m = row + i / 2 * 8, n = col + i % 2;
            if (m >= p.m || n >= GemmParts<C>::rows(p))
                continue;
            float x;
            if constexpr (L::PAIRED)
                x = join(p, m, n, d[i], up[i]);
            else
                x = gemm_finish<C>(p, m, n, d[i]);
            st_elem(out + m * p.out_stride + n, from_f32<typename L::TO>(x));
        }
    }

    // `factors` from this lane's first row on.
    TF_DEV void scale_rows(Acc &acc, const float *factors)
    {
        TF_UNROLL
        for (int i = 0; i < L::DOWN; i++)
            TF_UNROLL
        for (int j = 0; j < 4 * L::ACROSS; j++)
            acc[i][j / 4][j % 4] *= factors[16 * i + j % 4 / 2 * 8];
    }

    // The sums of the tile at `row` and `col`.
    TF_DEV void sum(const gemm_params &p, int row, int col, Acc &acc)
    {
        const int warp = thread_index() / 32, lane = thread_index() % 32;
        const int warp_row = warp % L::WARPS_M * L::ROWS, warp_n = warp / L::WARPS_M;
        TF_UNROLL
        for (int i = 0; i < 4 * L::DOWN * L::ACROSS; i++)
            acc[i / (4 * L::ACROSS)][i / 4 % L::ACROSS][i % 4] = 0;
        [[maybe_unused]] typename GemmMmaNorm<C>::Part squares = {};
        Held held;
        for (int block = 0; block < C::STAGES - 1; block++) {
            fill(p, held, row, col, block);
            leave(held, block);
        }
        for (int block = 0; block < L::K_BLOCKS; block++) {
            cp_async_wait<C::STAGES - 2>();
            block_sync(); // the stage is there, and nobody reads the one that is filled next
            fill(p, held, row, col, block + C::STAGES - 1);
            u8 *stage = smem_at<u8>((u32)(block % C::STAGES * L::STAGE_BYTES));
            if constexpr (L::NORMED)
                GemmMmaNorm<C>::normalise(p, stage, block, squares);
            add_block(p, acc, stage, row, col, warp_row, warp_n * L::COLS, block);
            leave(held, block + C::STAGES - 1);
        }
        if constexpr (L::NORMED)
            scale_rows(acc, GemmMmaNorm<C>::factors(p, squares) + warp_row + lane / 4);
    }

    TF_DEV void tile(const gemm_params &p, int row, int col)
    {
        const int warp = thread_index() / 32, lane = thread_index() % 32;
        const int warp_row = warp % L::WARPS_M * L::ROWS, warp_n = warp / L::WARPS_M;
        Acc acc;
        sum(p, row, col, acc);
        TF_UNROLL
        for (int i = 0; i < L::DOWN; i++)
            TF_UNROLL
        for (int j = 0; j < L::OUT_COLS / 8; j++)
            store(p, row + warp_row + 16 * i + lane / 4,
                col + warp_n * L::OUT_COLS + 8 * j + lane % 4 * 2, acc[i][j],
                acc[i][j + L::ACROSS - L::OUT_COLS / 8]);
    }

    // ---- normalised rows of the output ----

    using AddNorm = GemmMmaAddNorm<C, L, Acc>;

    // A tile of h in `acc`, its rows' parts of their sums left.
    TF_DEV typename AddNorm::Place settled(const gemm_params &p, int row, int col, Acc &acc)
    {
        const int warp = thread_index() / 32, lane = thread_index() % 32;
        const int warp_n = warp / L::WARPS_M;
        const typename AddNorm::Place at = {
            row, col, warp % L::WARPS_M * L::ROWS, warp_n * L::COLS, warp_n, lane / 4, lane % 4};
        sum(p, row, col, acc);
        AddNorm::settle(
            p, acc, at, [&](int m, int n, float x) { return gemm_finish<C>(p, m, n, x); });
        return at;
    }

    TF_DEV void exchange_rows(const gemm_params &p)
    {
        using Tiles = GemmTiles<C, L>;
        using Sums = typename AddNorm::Sums;
        const Tiles tiles = Tiles::start(p);
        Sums sums = Sums::start(gemm_add_norm(p).exchange);
        for (int index = tiles.next; index < tiles.count; index += tiles.step) {
            const GemmTile tile = Tiles::at(p, tiles, index);
            Acc acc;
            const typename AddNorm::Place at = settled(p, tile.row, tile.col, acc);
            AddNorm::exchange(sums, p, acc, at);
        }
        Sums::leave(sums);
    }

    TF_DEV void whole_rows(const gemm_params &p, int row)
    {
        for (int col = 0; col < C::N; col += L::TILE_COLS) {
            Acc acc;
            const typename AddNorm::Place at = settled(p, row, col, acc);
            AddNorm::Sums::add(col == 0);
            AddNorm::store(p, acc, at, p.out, p.out_stride);
        }
        AddNorm::normalise_rows(p, row);
    }
};

template <class C> TF_DEV void gemm_mma(const gemm_params &p)
{
    if constexpr (C::PDL) {
        pdl_launch();
        pdl_wait();
    }
    if constexpr (MmaLayout<C>::ADD_NORMED && !GemmAddNormed<C>::EXCHANGE) {
        for (int row = (int)block_index() * C::BLOCK_M; row < p.m;
             row += (int)block_count() * C::BLOCK_M)
            GemmMma<C>::whole_rows(p, row);
    } else if constexpr (MmaLayout<C>::ADD_NORMED) {
        GemmMma<C>::exchange_rows(p);
    } else {
        using Tiles = GemmTiles<C, MmaLayout<C>>;
        const Tiles tiles = Tiles::start(p);
        const GemmTile tile = Tiles::at(p, tiles, tiles.next);
        GemmMma<C>::tile(GemmParts<C>::params(p, tile.part), tile.row, tile.col);
    }
}
