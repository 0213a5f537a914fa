// bad_plugin.cu: y = x * factor, and eight ways to get it wrong, chosen by KIND (bad_plugin.c).
//
// Each way that a running kernel shows sits in a function that is not inlined and is instantiated
// for its KIND only: its name in the cubin tells the fake driver to misbehave alike.
struct bad_scale_params {
    const float *x; /* [rows, hidden] */
    float *y;       /* [rows, hidden]; may be x, with the same stride */
    long long x_stride, y_stride, rows;
    int hidden;
    float factor;
};

#ifdef __CUDACC_RTC__
#    include "device/core.cuh"
#    include "device/thread.cuh"

enum {
    KIND_RIGHT,
    KIND_WRONG,
    KIND_FAULT,
    KIND_HANG,
    KIND_NO_COMPILE,
    KIND_SPILL,
    KIND_OUTSIDE,
    KIND_UNWRITTEN,
    KIND_SMEM
};

TF_DEV void bad_rows(const bad_scale_params &p, long long rows, int threads)
{
    for (long long row = block_index(); row < rows; row += block_count())
        for (int at = thread_index(); at < p.hidden; at += threads)
            p.y[row * p.y_stride + at] = p.x[row * p.x_stride + at] * p.factor;
}

#    define BAD static __device__ __noinline__ void

template <class C> BAD tfops_fake_wrong(const bad_scale_params &p)
{
    for (long long row = block_index(); row < p.rows; row += block_count())
        for (int at = thread_index(); at < p.hidden; at += C::THREADS) {
            const bool tail = at >= p.hidden - (p.hidden + 7) / 8;
            p.y[row * p.y_stride + at] = tail ? 0.0f : p.x[row * p.x_stride + at] * p.factor;
        }
}

template <class C> BAD tfops_fake_fault(const bad_scale_params &p)
{
    bad_rows(p, p.rows, C::THREADS);
    *reinterpret_cast<volatile float *>(16) = p.factor;
}

template <class C> BAD tfops_fake_hang(const bad_scale_params &p)
{
    const volatile u32 *word = reinterpret_cast<const volatile u32 *>(p.x);
    while (*word == *word) // two loads: the compiler may not know that they agree
        ;
    bad_rows(p, p.rows, C::THREADS);
}

template <class C> BAD tfops_fake_outside(const bad_scale_params &p)
{
    bad_rows(p, p.rows, C::THREADS);
    if (block_index() == 0 && thread_index() < 4)
        p.y[(p.rows - 1) * p.y_stride + p.hidden + thread_index()] = 1.0f;
}

template <class C> BAD tfops_fake_unwritten(const bad_scale_params &p)
{
    bad_rows(p, p.rows - 1, C::THREADS);
}

TF_DEV int bad_next(const bad_scale_params &p, int at)
{
    return at + 1 < p.hidden ? at + 1 : 0;
}

// More live values than registers: the volatile loads cannot be repeated, the sum needs them all.
template <class C> TF_DEV void bad_spill(const bad_scale_params &p)
{
    constexpr int LIVE = 96;
    const volatile float *x = p.x;
    float v[LIVE], sum = 0;
    int at = 0;
    TF_UNROLL
    for (int i = 0; i < LIVE; i++) {
        sum += v[i] = x[at];
        at = bad_next(p, at);
    }
    bad_rows(p, p.rows, C::THREADS);
    if (sum != 12345.0f)
        return;
    TF_UNROLL
    for (int i = 0; i < LIVE; i++) {
        p.y[at] = v[i] * sum;
        at = bad_next(p, at);
    }
}

// Static beside dynamic shared memory: each fits, both do not.
template <class C> TF_DEV void bad_smem(const bad_scale_params &p)
{
    __shared__ volatile float buffer[10 * 1024];
    volatile float *dynamic = smem_at<volatile float>(0);
    for (int i = thread_index(); i < 10 * 1024; i += C::THREADS)
        dynamic[i % 1024] = buffer[i] = p.factor;
    block_sync();
    if (buffer[p.hidden % 1024] == dynamic[p.hidden % 1024])
        bad_rows(p, p.rows, C::THREADS);
}

template <class C> TF_DEV void bad_scale(const bad_scale_params &p)
{
    static_assert(C::KIND != KIND_NO_COMPILE, "KIND 4 does not compile");
    if constexpr (C::KIND == KIND_WRONG)
        tfops_fake_wrong<C>(p);
    else if constexpr (C::KIND == KIND_FAULT)
        tfops_fake_fault<C>(p);
    else if constexpr (C::KIND == KIND_HANG)
        tfops_fake_hang<C>(p);
    else if constexpr (C::KIND == KIND_SPILL)
        bad_spill<C>(p);
    else if constexpr (C::KIND == KIND_OUTSIDE)
        tfops_fake_outside<C>(p);
    else if constexpr (C::KIND == KIND_UNWRITTEN)
        tfops_fake_unwritten<C>(p);
    else if constexpr (C::KIND == KIND_SMEM)
        bad_smem<C>(p);
    else
        bad_rows(p, p.rows, C::THREADS);
}

template <class C> TF_DEV void bad_scale_generic(const bad_scale_params &p)
{
    bad_rows(p, p.rows, C::THREADS);
}
#endif
