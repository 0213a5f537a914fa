// matrix.cu: the wrappers of matrix instructions, one a kernel, for test_matrix.c: what comes out of
// registers and shared memory is laid out plainly, for a host that computes it another way.
#include "device/matrix.cuh"
#include "device/mma.cuh"
#include "device/thread.cuh"
#include "device/wgmma.cuh"

struct matrix_params {
    const u8 *in;
    u8 *out;
};

enum {
    LOAD_4,
    LOAD_2,
    STORE_4,
    STORE_4_TRANSPOSED,
    STORE_2_TRANSPOSED,
    LOAD_MISALIGNED,
    MMA,
    WGMMA,
    WGMMA_HELD
};

template <int TYPE> struct MatrixType;
template <> struct MatrixType<DTYPE_F16> {
    using type = f16;
};
template <> struct MatrixType<DTYPE_BF16> {
    using type = bf16;
};
template <> struct MatrixType<DTYPE_E4M3> {
    using type = e4m3;
};
template <> struct MatrixType<DTYPE_E5M2> {
    using type = e5m2;
};

// Rows of 16 bytes, none beside its neighbour.
TF_DEV u8 *matrix_row(int row)
{
    return smem_at<u8>((u32)(row * 5 % 32 * 16));
}

TF_DEV void matrix_copy(u8 *to, const u8 *from, int bytes)
{
    for (int i = 0; i < bytes; i += 4)
        *reinterpret_cast<u32 *>(to + i) = *reinterpret_cast<const u32 *>(from + i);
}

// Row r of `in` is row r % 8 of block r / 8; out: each lane's words.
template <class C> TF_DEV void matrix_loaded(const matrix_params &p)
{
    constexpr int COUNT = C::KIND == LOAD_2 ? 2 : 4;
    const int lane = thread_index();
    u32 w[COUNT];
    matrix_copy(matrix_row(lane), p.in + lane * 16, 16);
    warp_sync();
    if constexpr (C::KIND == LOAD_MISALIGNED)
        matrix_load(w, matrix_row(lane) + (lane == 9 ? 8 : 0)); // misaligned row
    else
        matrix_load(w, matrix_row(lane % (COUNT * 8)));
    matrix_copy(p.out + lane * COUNT * 4, reinterpret_cast<u8 *>(w), COUNT * 4);
}

// The same the other way.
template <class C> TF_DEV void matrix_stored(const matrix_params &p)
{
    constexpr int COUNT = C::KIND == STORE_2_TRANSPOSED ? 2 : 4;
    const int lane = thread_index();
    u32 w[COUNT];
    matrix_copy(reinterpret_cast<u8 *>(w), p.in + lane * COUNT * 4, COUNT * 4);
    if constexpr (C::KIND == STORE_4)
        matrix_store(matrix_row(lane), w);
    else
        matrix_store_transposed(matrix_row(lane), w);
    warp_sync();
    if (lane < COUNT * 8)
        matrix_copy(p.out + lane * 16, matrix_row(lane), 16);
}

// in: A, 16 rows of 32 bytes, B, 8 rows, then D [16][8] as it was; out: D.
template <class C> TF_DEV void matrix_mma(const matrix_params &p)
{
    const int q = thread_index() / 4, pair = thread_index() % 4;
    const u32 *a = reinterpret_cast<const u32 *>(p.in), *b = a + 16 * 8;
    const float *before = reinterpret_cast<const float *>(b + 8 * 8);
    float *after = reinterpret_cast<float *>(p.out), d[4];
    const u32 wa[4] = {
        a[q * 8 + pair], a[(q + 8) * 8 + pair], a[q * 8 + pair + 4], a[(q + 8) * 8 + pair + 4]};
    const u32 wb[2] = {b[q * 8 + pair], b[q * 8 + pair + 4]};
    for (int i = 0; i < 4; i++)
        d[i] = before[(q + i / 2 * 8) * 8 + 2 * pair + i % 2];
    Mma<typename MatrixType<C::TYPE>::type, typename MatrixType<C::TYPE_B>::type>::add(d, wa, wb);
    for (int i = 0; i < 4; i++)
        after[(q + i / 2 * 8) * 8 + 2 * pair + i % 2] = d[i];
}

// Sixteen bytes of a row of 128 change places by the row's number: PTX ISA 5.5.6, 128-byte swizzle.
TF_DEV void matrix_swizzled(int at, const u8 *rows, int n)
{
    for (int i = thread_index(); i < n * 8; i += 128) {
        const int row = i / 8, chunk = i % 8;
        matrix_copy(smem_at<u8>((u32)(at + row * 128 + (chunk ^ row % 8) * 16)), rows + i * 16, 16);
    }
}

// This lane's part of A, of all steps.
TF_DEV void matrix_hold(u32 (&held)[4][4])
{
    const int lane = thread_index() % 32, warp = thread_index() / 32;
    for (int step = 0; step < 4; step++)
        for (int i = 0; i < 4; i++) {
            const int row = 16 * warp + lane / 4 + i % 2 * 8, chunk = 2 * step + i / 2;
            held[step][i] = *smem_at<u32>((u32)(row * 128 + (chunk ^ row % 8) * 16 + lane % 4 * 4));
        }
}

// in: A, 64 rows of 128 bytes, then B, N rows; out: D [64][N].
template <class C> TF_DEV void matrix_wgmma(const matrix_params &p)
{
    using A = typename MatrixType<C::TYPE>::type;
    using B = typename MatrixType<C::TYPE_B>::type;
    constexpr int A_BYTES = 64 * 128;
    float d[C::N / 2], *out = reinterpret_cast<float *>(p.out);
    for (float &x : d)
        x = 1e30f; // overwritten by the first product
    matrix_swizzled(0, p.in, 64);
    matrix_swizzled(A_BYTES, p.in + A_BYTES, C::N);
    shared_fence_async();
    block_sync();
    const u64 a = wgmma_operand(smem_at<u8>(0)), b = wgmma_operand(smem_at<u8>(A_BYTES));
    wgmma_fence();
    [[maybe_unused]] u32 held[4][4];
    if constexpr (C::KIND == WGMMA_HELD)
        matrix_hold(held);
    if constexpr (C::KIND == WGMMA_HELD) {
        TF_UNROLL
        for (int step = 0; step < WGMMA_STEPS; step++)
            Wgmma<C::N>::template multiply<A>(d, held[step], wgmma_advance(b, step), step > 0);
    } else {
        Wgmma<C::N>::template multiply_row<A, B>(d, a, b, 0);
    }
    wgmma_commit();
    wgmma_wait<0>();
    wgmma_pin(d);
    const int lane = thread_index() % 32, row = thread_index() / 32 * 16 + lane / 4;
    for (int i = 0; i < C::N / 2; i++)
        out[(row + i % 4 / 2 * 8) * C::N + i / 4 * 8 + lane % 4 * 2 + i % 2] = d[i];
}

template <class C> TF_DEV void matrix(const matrix_params &p)
{
    if constexpr (C::KIND == MMA)
        matrix_mma<C>(p);
    else if constexpr (C::KIND >= WGMMA)
        matrix_wgmma<C>(p);
    else if constexpr (C::KIND == STORE_4 || C::KIND == STORE_4_TRANSPOSED ||
                       C::KIND == STORE_2_TRANSPOSED)
        matrix_stored<C>(p);
    else
        matrix_loaded<C>(p);
}
