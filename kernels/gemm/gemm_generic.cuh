// gemm_generic.cuh: the product with everything learned at run time, for every architecture and any
// stride. It serves keys nothing was prepared for and is what tuned kernels are compared with: plain
// fp32 arithmetic, no tensor cores.
//
// A block computes 64 x 64 outputs, 4 x 4 a thread, from two slices of 16 of K in shared memory. The
// products of a slice are summed first and then added, so that the error of the sum grows with K / 16.
#pragma once
#include "device/mem.cuh"
#include "device/thread.cuh"
#include "gemm/gemm_math.cuh"

struct GemmGeneric {
    static constexpr int TILE = 64, SLICE = 16, THREADS = 256, PITCH = TILE + 4;
    static constexpr int SMEM_BYTES = 2 * SLICE * PITCH * 4;

    TF_DEV float load(const void *base, int dtype, long long i)
    {
        const char *p = static_cast<const char *>(base);
        if (dtype == DTYPE_F32)
            return ld_elem<LD_KEEP>(reinterpret_cast<const float *>(p) + i);
        if (dtype == DTYPE_F16)
            return to_f32(ld_elem<LD_KEEP>(reinterpret_cast<const f16 *>(p) + i));
        if (dtype == DTYPE_BF16)
            return to_f32(ld_elem<LD_KEEP>(reinterpret_cast<const bf16 *>(p) + i));
        if (dtype == DTYPE_E4M3)
            return to_f32(e4m3{(u8)ld_byte(p + i)});
        return to_f32(e5m2{(u8)ld_byte(p + i)});
    }

    TF_DEV void store(void *base, int dtype, long long i, float v)
    {
        if (dtype == DTYPE_F32)
            st_elem(static_cast<float *>(base) + i, v);
        else if (dtype == DTYPE_F16)
            st_elem(static_cast<f16 *>(base) + i, from_f32<f16>(v));
        else if (dtype == DTYPE_BF16)
            st_elem(static_cast<bf16 *>(base) + i, from_f32<bf16>(v));
        else if (dtype == DTYPE_E4M3)
            st_elem(static_cast<e4m3 *>(base) + i, from_f32<e4m3>(v));
        else
            st_elem(static_cast<e5m2 *>(base) + i, from_f32<e5m2>(v));
    }

    TF_DEV float *slice(int operand)
    {
        return smem_at<float>((u32)(operand * SLICE * PITCH * 4));
    }

    // Rows [row, row + TILE) of columns [k, k + SLICE), transposed; zeros outside.
    TF_DEV void fetch(int operand, const void *base, int dtype, long long stride, int rows,
        int cols, int row, int k)
    {
        TF_UNROLL
        for (int i = 0; i < TILE * SLICE / THREADS; i++) {
            const int at = thread_index() + i * THREADS, r = at / SLICE, c = at % SLICE;
            const bool inside = row + r < rows && k + c < cols;
            slice(operand)[c * PITCH + r] =
                inside ? load(base, dtype, (row + r) * stride + k + c) : 0.0f;
        }
    }

    // Block scales of four rows of x or of weight, from `first` on, in the group of column k.
    TF_DEV void group_scales(
        const gemm_params &p, bool weight_side, int first, int k, float (&s)[4])
    {
        const int group = k / GEMM_GROUP_ELEMS;
        TF_UNROLL
        for (int i = 0; i < 4; i++) {
            const int row = min_int(first + i, (weight_side ? p.n : p.m) - 1);
            s[i] = weight_side
                       ? ld_elem<LD_KEEP>(p.weight_scale +
                                          row / GEMM_GROUP_ELEMS * p.weight_scale_stride + group)
                       : ld_elem<LD_KEEP>(
                             p.x_scale + row * p.x_scale_stride + group * p.x_group_stride);
        }
    }

    TF_DEV void multiply_slice(float (&part)[4][4], int down, int across)
    {
        TF_UNROLL
        for (int k = 0; k < SLICE; k++) {
            const float *a = slice(0) + k * PITCH + down, *b = slice(1) + k * PITCH + across;
            TF_UNROLL
            for (int i = 0; i < 4; i++)
                TF_UNROLL
            for (int j = 0; j < 4; j++)
                part[i][j] += a[i] * b[j];
        }
    }

    // (m, n): the first row of x and of weight of these sums.
    TF_DEV void add_slice(
        const gemm_params &p, float (&acc)[4][4], const float (&part)[4][4], int m, int n, int k)
    {
        float x[4] = {1, 1, 1, 1}, w[4] = {1, 1, 1, 1};
        if (p.scaling == GEMM_PER_BLOCK) {
            group_scales(p, false, m, k, x);
            group_scales(p, true, n, k, w);
        }
        TF_UNROLL
        for (int i = 0; i < 4; i++)
            TF_UNROLL
        for (int j = 0; j < 4; j++)
            acc[i][j] += part[i][j] * (x[i] * w[j]);
    }

    TF_DEV float finish(const gemm_params &p, int m, int n, float x)
    {
        if (p.scaling == GEMM_PER_TENSOR)
            x *= ld_elem<LD_KEEP>(p.x_scale) * ld_elem<LD_KEEP>(p.weight_scale);
        if (p.scaling == GEMM_PER_ROW)
            x *= ld_elem<LD_KEEP>(p.x_scale + m * p.x_scale_stride) *
                 ld_elem<LD_KEEP>(p.weight_scale + n * p.weight_scale_stride);
        if (p.bias)
            x += load(p.bias, p.out_dtype, n);
        x = gemm_activate(p.activation, x);
        return p.residual ? x + load(p.residual, p.out_dtype, m * p.residual_stride + n) : x;
    }

    // The first of the 4 x 4 outputs of this thread in its tile.
    TF_DEV int first_row()
    {
        return thread_index() / 16 * 4;
    }

    TF_DEV int first_col()
    {
        return thread_index() % 16 * 4;
    }

    // Their sums, with the rows of `weight` from `col` on.
    TF_DEV void sum(const gemm_params &p, const void *weight, long long weight_stride, int row,
        int col, float (&acc)[4][4])
    {
        for (int k = 0; k < p.k; k += SLICE) {
            fetch(0, p.x, p.dtype, p.x_stride, p.m, p.k, row, k);
            fetch(1, weight, p.weight_dtype, weight_stride, p.n, p.k, col, k);
            block_sync(); // both slices are there
            float part[4][4] = {};
            multiply_slice(part, first_row(), first_col());
            add_slice(p, acc, part, row + first_row(), col + first_col(), k);
            block_sync(); // and may be overwritten
        }
    }

    TF_DEV void tile(const gemm_params &p, int row, int col)
    {
        float acc[4][4] = {};
        sum(p, p.weight, p.weight_stride, row, col, acc);
        TF_UNROLL
        for (int i = 0; i < 4; i++)
            TF_UNROLL
        for (int j = 0; j < 4; j++) {
            const int m = row + first_row() + i, n = col + first_col() + j;
            if (m < p.m && n < p.n)
                store(p.out, p.out_dtype, m * p.out_stride + n, finish(p, m, n, acc[i][j]));
        }
    }
};

template <class C> TF_DEV void gemm_generic(const gemm_params &p)
{
    static_assert(C::THREADS == GemmGeneric::THREADS && C::SMEM_BYTES >= GemmGeneric::SMEM_BYTES,
        "the host's geometry agrees");
    const int down = ceil_div(p.m, GemmGeneric::TILE), across = ceil_div(p.n, GemmGeneric::TILE);
    for (int index = (int)block_index(); index < down * across; index += (int)block_count())
        GemmGeneric::tile(p, index % down * GemmGeneric::TILE, index / down * GemmGeneric::TILE);
}
