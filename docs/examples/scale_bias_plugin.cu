// scale_bias_plugin.cu: y[r, c] = x[r, c] * scale[c] + bias[c]: the example of docs/plugin.md.
//
// scale_bias_plugin.c includes this file for the struct, so that both sides have one definition, and carries
// its text as the spec's `source`. Above the #ifdef: plain C, built-in types, no include.
struct scale_bias_params {
    const void *x;     /* [rows, hidden] */
    const void *scale; /* [hidden] */
    const void *bias;  /* [hidden] or NULL */
    void *y;           /* [rows, hidden]; may be x, with the same stride */
    long long x_stride, y_stride, rows;
    int hidden;
    int dtype; /* enum tfops_dtype; the tuned variant has it as a type */
};

#ifdef __CUDACC_RTC__
// Tunables: VEC_BYTES per access (at most ALIGN; divides a row), BLOCK_THREADS, ROWS_PER_BLOCK rows
// that share one load of scale and bias. A block owns ROWS_PER_BLOCK rows, a thread every
// THREADS-th vector of them. No shared memory, no synchronisation.
#    include "device/core.cuh"
#    include "device/mem.cuh"
#    include "device/num.cuh"
#    include "device/thread.cuh"
#    include "device/vec.cuh"

static_assert(sizeof(scale_bias_params) == 64, "as in scale_bias_plugin.c");

template <class C> TF_DEV void scale_bias(const scale_bias_params &p)
{
    using T = typename C::DTYPE;
    constexpr int WIDTH = C::VEC_BYTES, N = WIDTH / (int)sizeof(T), VECS = C::HIDDEN / N;
    static_assert(N >= 1 && C::HIDDEN % N == 0, "whole vectors in a row");
    static_assert(C::ALIGN % WIDTH == 0, "every vector aligned");
    const long long first = (long long)block_index() * C::ROWS_PER_BLOCK;
    for (int at = thread_index() * N; at < VECS * N; at += C::THREADS * N) {
        float scale[N], bias[N] = {};
        vec_unpack(ld_vec<LD_CONST, WIDTH, T, N>(static_cast<const T *>(p.scale) + at), scale);
        if constexpr (C::HAS_BIAS)
            vec_unpack(ld_vec<LD_CONST, WIDTH, T, N>(static_cast<const T *>(p.bias) + at), bias);
        TF_UNROLL
        for (int r = 0; r < C::ROWS_PER_BLOCK; r++) {
            const long long row = first + r;
            if (row >= p.rows)
                break;
            float v[N];
            const T *x = static_cast<const T *>(p.x) + row * p.x_stride + at;
            T *y = static_cast<T *>(p.y) + row * p.y_stride + at;
            vec_unpack(ld_vec<LD_ONCE, WIDTH, T, N>(x), v);
            TF_UNROLL
            for (int i = 0; i < N; i++)
                v[i] = v[i] * scale[i] + bias[i];
            st_vec<ST_KEEP, WIDTH, T, N>(y, vec_pack<T, N>(v));
        }
    }
}

// The generic variant: no constant of the problem, one element at a time. One binary for all.
template <class C, class T> TF_DEV void scale_bias_any(const scale_bias_params &p)
{
    const T *scale = static_cast<const T *>(p.scale), *bias = static_cast<const T *>(p.bias);
    for (long long row = block_index(); row < p.rows; row += block_count()) {
        const T *x = static_cast<const T *>(p.x) + row * p.x_stride;
        T *y = static_cast<T *>(p.y) + row * p.y_stride;
        for (int at = thread_index(); at < p.hidden; at += C::THREADS) {
            const float b = bias ? to_f32(ld_elem<LD_CONST>(bias + at)) : 0.0f;
            const float v = to_f32(ld_elem<LD_ONCE>(x + at));
            st_elem(y + at, from_f32<T>(v * to_f32(ld_elem<LD_CONST>(scale + at)) + b));
        }
    }
}

template <class C> TF_DEV void scale_bias_generic(const scale_bias_params &p)
{
    if (p.dtype == DTYPE_F32)
        scale_bias_any<C, float>(p);
    else if (p.dtype == DTYPE_F16)
        scale_bias_any<C, f16>(p);
    else
        scale_bias_any<C, bf16>(p);
}
#endif
