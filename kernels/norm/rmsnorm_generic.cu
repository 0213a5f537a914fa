// rmsnorm_generic.cu: rmsnorm.cu's formula with everything at run time: one binary an architecture
// serves every dtype, size, alignment, weight variant and both operators. It is the variant that is
// always loaded, never the fastest.
//
// A block takes a row a turn and reads it twice. residual NULL: plain rmsnorm; residual_out NULL:
// the sum is not written. Rows and hidden that are whole 16-byte vectors in every tensor use them,
// all others single elements. Each element is read and written by one thread only (in-place rules
// of rmsnorm_params.h). Shared memory: reduction scratch, 64 bytes at 256 threads. Synchronisation:
// one block barrier a row.
#include "device/core.cuh"
#include "device/math.cuh"
#include "device/mem.cuh"
#include "device/num.cuh"
#include "device/reduce.cuh"
#include "device/thread.cuh"
#include "device/vec.cuh"
#include "norm/rmsnorm_params.h"

// h of VEC elements from column `at`, rounded where the arguments say so.
template <class T, int VEC>
TF_DEV void rmsnorm_generic_h(const rmsnorm_params &p, long long row, int at, float (&h)[VEC])
{
    constexpr int WIDTH = VEC * (int)sizeof(T);
    const T *x = static_cast<const T *>(p.x) + row * p.x_stride;
    vec_unpack(ld_vec<LD_KEEP, WIDTH, T, VEC>(x + at), h);
    if (!p.residual)
        return;
    const T *residual = static_cast<const T *>(p.residual) + row * p.residual_stride;
    float q[VEC];
    vec_unpack(ld_vec<LD_KEEP, WIDTH, T, VEC>(residual + at), q);
    TF_UNROLL
    for (int j = 0; j < VEC; j++) {
        h[j] += q[j];
        if (p.residual_round)
            h[j] = to_f32(from_f32<T>(h[j]));
    }
}

template <class W, int VEC>
TF_DEV void rmsnorm_generic_weight_as(const rmsnorm_params &p, int at, float (&g)[VEC])
{
    const W *weight = static_cast<const W *>(p.weight) + at;
    vec_unpack(ld_vec<LD_CONST, (int)sizeof(W), W, VEC>(weight), g);
}

template <int VEC>
TF_DEV void rmsnorm_generic_weight(const rmsnorm_params &p, int at, float (&g)[VEC])
{
    if (p.weight_dtype == DTYPE_F32)
        rmsnorm_generic_weight_as<float>(p, at, g);
    else if (p.weight_dtype == DTYPE_F16)
        rmsnorm_generic_weight_as<f16>(p, at, g);
    else
        rmsnorm_generic_weight_as<bf16>(p, at, g);
}

template <class T> TF_DEV float rmsnorm_generic_apply(int variant, float n, float weight)
{
    if (variant == RMSNORM_ROUND_BEFORE)
        n = to_f32(from_f32<T>(n));
    return n * (variant == RMSNORM_ONE_PLUS ? weight + 1.0f : weight);
}

// BATCH vectors of a thread at a time: all their loads come before the first store.
template <class C, class T, int VEC, int BATCH>
TF_DEV void rmsnorm_generic_second(const rmsnorm_params &p, long long row, float r)
{
    constexpr int WIDTH = VEC * (int)sizeof(T), STEP = C::THREADS * VEC;
    T *out = static_cast<T *>(p.out) + row * p.out_stride;
    T *sum_out = static_cast<T *>(p.residual_out) + row * p.residual_out_stride;
#pragma unroll 1
    for (int at = thread_index() * VEC; at < p.hidden; at += STEP * BATCH) {
        float h[BATCH][VEC], g[BATCH][VEC];
        TF_UNROLL
        for (int i = 0; i < BATCH; i++)
            if (at + i * STEP < p.hidden) {
                rmsnorm_generic_h<T, VEC>(p, row, at + i * STEP, h[i]);
                rmsnorm_generic_weight<VEC>(p, at + i * STEP, g[i]);
            }
        TF_UNROLL
        for (int i = 0; i < BATCH; i++) {
            const int to = at + i * STEP;
            if (to >= p.hidden)
                break;
            if (p.residual && p.residual_out)
                st_vec<ST_KEEP, WIDTH, T, VEC>(sum_out + to, vec_pack<T, VEC>(h[i]));
            TF_UNROLL
            for (int j = 0; j < VEC; j++)
                h[i][j] = rmsnorm_generic_apply<T>(p.weight_variant, h[i][j] * r, g[i][j]);
            st_vec<ST_KEEP, WIDTH, T, VEC>(out + to, vec_pack<T, VEC>(h[i]));
        }
    }
}

template <class C, class T, int VEC, int BATCH>
TF_DEV float rmsnorm_generic_first(const rmsnorm_params &p, long long row)
{
    constexpr int STEP = C::THREADS * VEC;
    float square = 0;
#pragma unroll 1
    for (int at = thread_index() * VEC; at < p.hidden; at += STEP * BATCH) {
        float h[BATCH][VEC];
        TF_UNROLL
        for (int i = 0; i < BATCH; i++) {
            TF_UNROLL
            for (int j = 0; j < VEC; j++)
                h[i][j] = 0;
            if (at + i * STEP < p.hidden)
                rmsnorm_generic_h<T, VEC>(p, row, at + i * STEP, h[i]);
        }
        TF_UNROLL
        for (int i = 0; i < BATCH * VEC; i++)
            square += h[i / VEC][i % VEC] * h[i / VEC][i % VEC];
    }
    return square;
}

template <class C, class T, int VEC, int BATCH>
TF_DEV void rmsnorm_generic_rows(const rmsnorm_params &p)
{
    using Sum = GroupSum<C::THREADS, C::THREADS, 1>;
    static_assert(C::SMEM_BYTES >= Sum::SCRATCH_BYTES, "the host's geometry agrees");
    u32 turn = 0;
    for (long long row = block_index(); row < p.rows; row += block_count(), turn++) {
        const float square = rmsnorm_generic_first<C, T, VEC, BATCH>(p, row);
        const float sum = Sum::sum(square, smem_at<float>(0), turn);
        const float r = rsqrt_approx(sum / (float)p.hidden + p.eps);
        rmsnorm_generic_second<C, T, VEC, BATCH>(p, row, r);
    }
}

template <class C, class T> TF_DEV void rmsnorm_generic_dtype(const rmsnorm_params &p)
{
    constexpr int VEC = 16 / (int)sizeof(T);
    const u64 bases = (u64)p.x | (u64)p.out | (u64)p.residual | (u64)p.residual_out;
    const u64 strides =
        (u64)(p.x_stride | p.out_stride | p.residual_stride | p.residual_out_stride | p.hidden);
    if (bases % 16 == 0 && strides % VEC == 0)
        rmsnorm_generic_rows<C, T, VEC, 1>(p);
    else
        rmsnorm_generic_rows<C, T, 1, 4>(p);
}

template <class C> TF_DEV void rmsnorm_generic(const rmsnorm_params &p)
{
    if (p.dtype == DTYPE_F32)
        rmsnorm_generic_dtype<C, float>(p);
    else if (p.dtype == DTYPE_F16)
        rmsnorm_generic_dtype<C, f16>(p);
    else
        rmsnorm_generic_dtype<C, bf16>(p);
}
