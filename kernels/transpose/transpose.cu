// transpose.cu: a matrix with its rows as columns: out[col][row] = x[row][col].
//
// Layouts: x [rows, cols], out [cols, rows], rows of each contiguous. A thread loads a square of
// TILE_BYTES x TILE_BYTES / sizeof(T), a vector of each row, turns it in registers and stores a vector
// of each column. Neither side waits for another thread: no shared memory, no synchronisation.
//
// Tunables: TILE_BYTES, the side of a thread's square: more bytes in flight, more registers (16 bytes
// of fp8: 64). LANES_ACROSS, lanes of a warp beside each other along a row of x, the others below
// them: many make wide loads, few make wide stores. WARPS_ACROSS, the same for the warps of a block of
// THREADS. STORE_HINT: 1 streams what is stored past L2.
// Accesses are as wide as TILE_BYTES and the alignment class allow; squares that stick out of the
// matrix go element by element.
// Known weakness: rows that are not aligned to vectors are loaded and stored by element.
#include "device/mem.cuh"
#include "device/pdl.cuh"
#include "device/permute.cuh"
#include "device/thread.cuh"
#include "transpose/transpose_params.h"

// Four bytes of each of four rows.
TF_DEV void transpose_bytes(u32 &r0, u32 &r1, u32 &r2, u32 &r3)
{
    const u32 low01 = byte_permute<0x5140>(r0, r1), low23 = byte_permute<0x5140>(r2, r3);
    const u32 high01 = byte_permute<0x7362>(r0, r1), high23 = byte_permute<0x7362>(r2, r3);
    r0 = byte_permute<0x5410>(low01, low23);
    r1 = byte_permute<0x7632>(low01, low23);
    r2 = byte_permute<0x5410>(high01, high23);
    r3 = byte_permute<0x7632>(high01, high23);
}

// Two halves of each of two rows.
TF_DEV void transpose_halves(u32 &r0, u32 &r1)
{
    const u32 low = byte_permute<0x5410>(r0, r1);
    r1 = byte_permute<0x7632>(r0, r1);
    r0 = low;
}

// A square of SIDE vectors: squares of one word's elements are turned, then words change places.
template <class T, int SIDE> TF_DEV void transpose_square(Vec<T, SIDE> (&v)[SIDE])
{
    constexpr int PER_WORD = 4 / (int)sizeof(T), WORDS = SIDE / PER_WORD;
    TF_UNROLL
    for (int a = 0; a < WORDS; a++)
        TF_UNROLL
        for (int b = 0; b < WORDS; b++) {
            if constexpr (PER_WORD == 4)
                transpose_bytes(v[4 * a].w[b], v[4 * a + 1].w[b], v[4 * a + 2].w[b],
                    v[4 * a + 3].w[b]);
            if constexpr (PER_WORD == 2)
                transpose_halves(v[2 * a].w[b], v[2 * a + 1].w[b]);
        }
    TF_UNROLL
    for (int a = 0; a < WORDS; a++)
        TF_UNROLL
        for (int b = 0; b < a; b++)
            TF_UNROLL
            for (int i = 0; i < PER_WORD; i++) {
                const u32 w = v[PER_WORD * a + i].w[b];
                v[PER_WORD * a + i].w[b] = v[PER_WORD * b + i].w[a];
                v[PER_WORD * b + i].w[a] = w;
            }
}

template <class C, class T> class Transpose {
    static constexpr int SIDE = C::TILE_BYTES / (int)sizeof(T);
    static constexpr int WIDTH = max_int(C::ALIGN, (int)sizeof(T));
    static constexpr int LANES_DOWN = 32 / C::LANES_ACROSS;
    static constexpr int WARPS_DOWN = C::THREADS / 32 / C::WARPS_ACROSS;
    static constexpr int BLOCK_COLS = SIDE * C::LANES_ACROSS * C::WARPS_ACROSS;
    static constexpr int BLOCK_ROWS = SIDE * LANES_DOWN * WARPS_DOWN;
    static constexpr int HINT = C::STORE_HINT ? ST_STREAM : ST_KEEP;
    static_assert(C::TILE_BYTES >= 4 && C::TILE_BYTES <= 16, "whole words, one vector");
    static_assert(LANES_DOWN >= 1 && WARPS_DOWN >= 1, "threads for what lies across");

    const transpose_params &p;

    TF_METHOD int cols() const
    {
        return C::GENERIC ? p.cols : C::COLS;
    }

    TF_METHOD const T *x_at(long long row, int col) const
    {
        return static_cast<const T *>(p.x) + row * p.x_stride + col;
    }

    TF_METHOD T *out_at(int col, long long row) const
    {
        return static_cast<T *>(p.out) + col * p.out_stride + row;
    }

    TF_METHOD void whole(long long row, int col) const
    {
        Vec<T, SIDE> v[SIDE];
        TF_UNROLL
        for (int i = 0; i < SIDE; i++)
            v[i] = ld_vec<LD_ONCE, WIDTH, T, SIDE>(x_at(row + i, col));
        transpose_square<T, SIDE>(v);
        TF_UNROLL
        for (int i = 0; i < SIDE; i++)
            st_vec<HINT, WIDTH, T, SIDE>(out_at(col + i, row), v[i]);
    }

    TF_METHOD void part(long long row, int col) const
    {
        for (int j = 0; j < SIDE && col + j < cols(); j++)
            for (int i = 0; i < SIDE && row + i < p.rows; i++)
                st_elem(out_at(col + j, row + i), ld_elem<LD_KEEP>(x_at(row + i, col + j)));
    }

  public:
    TF_METHOD Transpose(const transpose_params &params) : p(params) {}

    TF_METHOD void run() const
    {
        const int lane = thread_index() % 32, warp = thread_index() / 32;
        const int across = warp % C::WARPS_ACROSS * C::LANES_ACROSS + lane % C::LANES_ACROSS;
        const int down = warp / C::WARPS_ACROSS * LANES_DOWN + lane / C::LANES_ACROSS;
        const u64 tiles_across = (u64)ceil_div(cols(), BLOCK_COLS);
        const u64 tiles = (u64)((p.rows + BLOCK_ROWS - 1) / BLOCK_ROWS) * tiles_across;
        pdl_begin<C>();
        for (u64 tile = block_index(); tile < tiles; tile += block_count()) {
            const long long row = (long long)(tile / tiles_across) * BLOCK_ROWS + down * SIDE;
            const int col = (int)(tile % tiles_across) * BLOCK_COLS + across * SIDE;
            if (row + SIDE <= p.rows && col + SIDE <= cols())
                whole(row, col);
            else
                part(row, col);
        }
    }
};

template <class C> TF_DEV void transpose(const transpose_params &p)
{
    Transpose<C, typename C::DTYPE>(p).run();
}

// ---- the generic variant ----

template <class C> struct TransposeGenericCfg : C {
    static constexpr int COLS = 0, ALIGN = 1; // known at run time; elements
    static constexpr int TILE_BYTES = 4, LANES_ACROSS = 8, WARPS_ACROSS = 1, STORE_HINT = 0;
};

template <class C> TF_DEV void transpose_generic(const transpose_params &p)
{
    using G = TransposeGenericCfg<C>;
    if (dtype_bytes(p.dtype) == 1)
        Transpose<G, e4m3>(p).run();
    else if (dtype_bytes(p.dtype) == 2)
        Transpose<G, f16>(p).run();
    else
        Transpose<G, float>(p).run();
}
