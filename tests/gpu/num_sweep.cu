// num_sweep.cu: the number formats and functions of kernels/device/ on the GPU, over all floats and
// all codes: instructions against soft_num.cuh, functions against fp64.
//
// test_num_gpu.c includes this file for the structs and compiles its text. Above the #ifdef: C.
enum num_check {
    NUM_ENCODE_F16,
    NUM_ENCODE_BF16,
    NUM_ENCODE_E4M3,
    NUM_ENCODE_E5M2,
    NUM_MAX_NAN,
    NUM_MAX2_F16,
    NUM_MAX2_BF16,
    NUM_DECODE_F16,
    NUM_DECODE_BF16,
    NUM_DECODE_E4M3,
    NUM_DECODE_E5M2,
    NUM_MEMORY_F16,
    NUM_MEMORY_E4M3,
    NUM_MEMORY_E5M2,
    NUM_CHECKS
};
enum num_function {
    NUM_RSQRT,
    NUM_RCP,
    NUM_RCP_FTZ,
    NUM_EXP2,
    NUM_EXP2_FTZ,
    NUM_LOG2_FTZ,
    NUM_SIGMOID,
    NUM_TANH,
    NUM_ERF,
    NUM_FUNCTIONS
};

/* The host writes zeros, and all ones into `first` and `first_wrong`. */
struct num_sweep_result {
    unsigned long long differ[NUM_CHECKS]; /* inputs where instruction and software differ */
    unsigned long long first[NUM_CHECKS];  /* the least of them */
    /* Inputs whose result is NaN, infinite, tiny or flushed where it should not, or the reverse. */
    unsigned long long wrong[NUM_FUNCTIONS];
    unsigned long long first_wrong[NUM_FUNCTIONS];
    /* Bits of the largest relative error, a float, above those of the input that has it. */
    unsigned long long worst[NUM_FUNCTIONS];
};

struct num_sweep_params {
    struct num_sweep_result *result;
    unsigned char *cells;   /* 32 bytes for each thread, a multiple of 16 */
    unsigned long long end; /* bits of floats below it; codes are those below 2^16 among them */
};

#ifdef __CUDACC_RTC__
#    include "device/atomic.cuh"
#    include "device/core.cuh"
#    include "device/math.cuh"
#    include "device/mem.cuh"
#    include "device/num.cuh"
#    include "device/thread.cuh"
#    include "device/vec.cuh"

struct NumTally {
    u64 count, first;
};

TF_DEV void num_note(NumTally &tally, bool bad, u64 input)
{
    if (!bad)
        return;
    tally.count++;
    tally.first = input < tally.first ? input : tally.first;
}

TF_DEV void num_add(u64 *count, u64 *first, const NumTally &tally)
{
    if (!tally.count)
        return;
    atomic_add(count, tally.count);
    atomic_min(first, tally.first);
}

TF_DEV u64 num_thread()
{
    return (u64)block_index() * blockDim.x + thread_index();
}

// Some other float, so that a pair's halves differ.
TF_DEV float num_partner(u32 bits)
{
    return f32_from_bits(bits * 2654435761u ^ bits >> 7);
}

// ---- conversions -------------------------------------------------------------------------------

template <class T, class F> struct NumEncode {
    TF_DEV bool differs(u32 bits)
    {
        const float x = f32_from_bits(bits), y = num_partner(bits);
        const u32 a = soft_encode<F>(x), b = soft_encode<F>(y);
        constexpr int SIZE = 8 * (int)sizeof(T);
        bool bad = from_f32<T>(x).bits != a || pack2<T>(x, y) != (a | b << SIZE);
        if constexpr (sizeof(T) == 1) {
            const float four[4] = {y, x, x, y};
            bad |= pack4<T>(four) != (b | a << 8 | a << 16 | b << 24);
        }
        return bad;
    }
};

template <class F> TF_DEV bool num_decoded(float got, u32 code)
{
    const float want = soft_decode<F>(code);
    return want != want ? got != got : f32_bits(got) == f32_bits(want);
}

template <class T, class F> struct NumDecode {
    TF_DEV bool differs(u32 code)
    {
        constexpr int SIZE = 8 * (int)sizeof(T);
        constexpr u32 MASK = (1u << SIZE) - 1;
        if (code > MASK)
            return false;
        const u32 other = ~code & MASK;
        float lo, hi;
        unpack2<T>(code | other << SIZE, lo, hi);
        bool right = num_decoded<F>(lo, code) && num_decoded<F>(hi, other);
        right &= num_decoded<F>(to_f32(T{(decltype(T::bits))code}), code);
        if constexpr (sizeof(T) == 1) {
            float four[4];
            unpack4<T>(code | other << 8 | other << 16 | code << 24, four);
            for (int i = 0; i < 4; i++)
                right &= num_decoded<F>(four[i], i % 3 ? other : code);
        }
        return !right;
    }
};

struct NumMax {
    TF_DEV bool differs_from(float a, float b)
    {
        const float got = max_nan(a, b);
        if (a != a || b != b)
            return got == got;
        const u32 equal = f32_bits(a) & f32_bits(b);
        return f32_bits(got) != (a == b ? equal : f32_bits(a > b ? a : b));
    }
    TF_DEV bool differs(u32 bits)
    {
        const float x = f32_from_bits(bits);
        return differs_from(x, num_partner(bits)) ||
               differs_from(x, f32_from_bits(bits ^ 1u << 31));
    }
};

// Of all pairs of codes.
template <class T> struct NumMax2 {
    TF_DEV bool differs(u32 bits)
    {
        float lo[2], hi[2], got[2];
        const u32 other = bits >> 16 | bits << 16;
        unpack2<T>(bits, lo[0], lo[1]);
        unpack2<T>(other, hi[0], hi[1]);
        unpack2<T>(max2<T>(bits, other), got[0], got[1]);
        bool same = true;
        for (int i = 0; i < 2; i++) {
            const float want = max_nan(lo[i], hi[i]);
            same &= want != want ? got[i] != got[i] : got[i] == want;
        }
        return !same;
    }
};

// Sixteen elements written WIDTH bytes at a time, read back, one of them rewritten alone.
template <class T, int WIDTH> TF_DEV bool num_kept(T *cell, const float (&f)[16], u32 input)
{
    st_vec<ST_KEEP, WIDTH, T, 16>(cell, vec_pack<T, 16>(f));
    st_elem(cell + input % 16, from_f32<T>(f[0]));
    float back[16];
    vec_unpack(ld_vec<LD_KEEP, WIDTH, T, 16>(cell), back);
    bool right = true;
    TF_UNROLL
    for (int i = 0; i < 16; i++) {
        const float want = to_f32(from_f32<T>(i == (int)(input % 16) ? f[0] : f[i]));
        const float alone = to_f32(ld_elem<LD_KEEP>(cell + i));
        right &= want != want ? back[i] != back[i] && alone != alone
                              : f32_bits(back[i]) == f32_bits(want) && alone == want;
    }
    return right;
}

template <class T> TF_DEV void num_sweep_memory(const num_sweep_params &p, int check, u64 end)
{
    NumTally tally = {0, ~0ull};
    T *cell = reinterpret_cast<T *>(p.cells + num_thread() * 32);
    for (u64 input = num_thread(); input < end; input += (u64)block_count() * blockDim.x) {
        float f[16];
        TF_UNROLL
        for (int i = 0; i < 16; i++)
            f[i] = num_partner((u32)input * 16 + i);
        bool right = num_kept<T, 16>(cell, f, (u32)input) && num_kept<T, 8>(cell, f, (u32)input) &&
                     num_kept<T, 4>(cell, f, (u32)input) && num_kept<T, 2>(cell, f, (u32)input);
        if constexpr (sizeof(T) == 1)
            right = right && num_kept<T, 1>(cell, f, (u32)input);
        num_note(tally, !right, input);
    }
    num_add(&p.result->differ[check], &p.result->first[check], tally);
}

template <class Check> TF_DEV void num_sweep_check(const num_sweep_params &p, int check, u64 end)
{
    NumTally tally = {0, ~0ull};
    const u64 threads = (u64)block_count() * blockDim.x;
    const u64 first = num_thread();
    for (u64 input = first; input < end; input += threads)
        num_note(tally, Check::differs((u32)input), input);
    num_add(&p.result->differ[check], &p.result->first[check], tally);
}

// ---- functions ---------------------------------------------------------------------------------

// approx(x), exact(x), what the error is relative to beside the value, whether it flushes.
#    define NUM_FUNCTION(name, flushes, approx_x, exact_x, scale_x)                                \
        struct name {                                                                              \
            static constexpr bool FTZ = flushes;                                                   \
            TF_DEV float approx(float x)                                                           \
            {                                                                                      \
                return approx_x;                                                                   \
            }                                                                                      \
            TF_DEV double exact(double x)                                                          \
            {                                                                                      \
                return exact_x;                                                                    \
            }                                                                                      \
            TF_DEV double scale(double x)                                                          \
            {                                                                                      \
                return scale_x;                                                                    \
            }                                                                                      \
        }
NUM_FUNCTION(NumRsqrt, false, rsqrt_approx(x), 1 / sqrt(x), 1);
NUM_FUNCTION(NumRcp, false, rcp_approx(x), 1 / x, 1);
NUM_FUNCTION(NumRcpFtz, true, rcp_ftz(x), 1 / x, 1);
NUM_FUNCTION(NumExp2, false, exp2_approx(x), exp2(x), 1);
NUM_FUNCTION(NumExp2Ftz, true, exp2_ftz(x), exp2(x), 1);
NUM_FUNCTION(NumLog2Ftz, true, log2_ftz(x), log2(x), fabs(log2(x)) < 1 ? 1 / fabs(log2(x)) : 1);
NUM_FUNCTION(NumSigmoid, true, sigmoid(x), 1 / (1 + exp(-x)), x < 0 ? 1 - x / 2 : 1);
NUM_FUNCTION(NumTanh, false, tanh_f32(x), tanh(x), 1);
NUM_FUNCTION(NumErf, false, erf_f32(x), erf(x), 1);

// Whether a result outside the normal numbers is what it must be.
template <class F> TF_DEV bool num_right_at_edge(float got, double want)
{
    if (want != want)
        return got != got;
    if (fabs(want) >= 0x1p128)
        return got == (want > 0 ? f32_from_bits(0x7f800000u) : f32_from_bits(0xff800000u));
    if (F::FTZ)
        return fabs((double)got) <= 0x1p-126;
    return fabs((double)got - want) <= 0x1p-147;
}

template <class F> TF_DEV void num_sweep_function(const num_sweep_params &p, int function)
{
    NumTally tally = {0, ~0ull};
    u64 worst = 0;
    const u64 threads = (u64)block_count() * blockDim.x;
    const u64 first = num_thread();
    for (u64 input = first; input < p.end; input += threads) {
        const float x = f32_from_bits((u32)input);
        const float got = F::approx(x), seen = F::FTZ ? flush_subnormal(x) : x;
        const double want = F::exact((double)seen), size = fabs(want);
        if (!(size >= 0x1p-126 && size < 0x1p128)) {
            num_note(tally, !num_right_at_edge<F>(got, want), input);
            continue;
        }
        const double error = fabs((double)got - want) / (size * F::scale((double)seen));
        num_note(tally, !(error < 1), input);
        const u64 mark = (u64)f32_bits((float)error) << 32 | input;
        worst = error < 1 && mark > worst ? mark : worst;
    }
    num_add(&p.result->wrong[function], &p.result->first_wrong[function], tally);
    atomicMax(&p.result->worst[function], worst);
}

template <class C> TF_DEV void num_sweep(const num_sweep_params &p)
{
    const u64 codes = p.end < 65536 ? p.end : 65536;
    num_sweep_check<NumEncode<f16, SoftF16>>(p, NUM_ENCODE_F16, p.end);
    num_sweep_check<NumEncode<bf16, SoftBf16>>(p, NUM_ENCODE_BF16, p.end);
    num_sweep_check<NumEncode<e4m3, SoftE4m3>>(p, NUM_ENCODE_E4M3, p.end);
    num_sweep_check<NumEncode<e5m2, SoftE5m2>>(p, NUM_ENCODE_E5M2, p.end);
    num_sweep_check<NumMax>(p, NUM_MAX_NAN, p.end);
    num_sweep_check<NumMax2<f16>>(p, NUM_MAX2_F16, p.end);
    num_sweep_check<NumMax2<bf16>>(p, NUM_MAX2_BF16, p.end);
    num_sweep_check<NumDecode<f16, SoftF16>>(p, NUM_DECODE_F16, codes);
    num_sweep_check<NumDecode<bf16, SoftBf16>>(p, NUM_DECODE_BF16, codes);
    num_sweep_check<NumDecode<e4m3, SoftE4m3>>(p, NUM_DECODE_E4M3, codes);
    num_sweep_check<NumDecode<e5m2, SoftE5m2>>(p, NUM_DECODE_E5M2, codes);
    num_sweep_memory<f16>(p, NUM_MEMORY_F16, codes);
    num_sweep_memory<e4m3>(p, NUM_MEMORY_E4M3, codes);
    num_sweep_memory<e5m2>(p, NUM_MEMORY_E5M2, codes);
    num_sweep_function<NumRsqrt>(p, NUM_RSQRT);
    num_sweep_function<NumRcp>(p, NUM_RCP);
    num_sweep_function<NumRcpFtz>(p, NUM_RCP_FTZ);
    num_sweep_function<NumExp2>(p, NUM_EXP2);
    num_sweep_function<NumExp2Ftz>(p, NUM_EXP2_FTZ);
    num_sweep_function<NumLog2Ftz>(p, NUM_LOG2_FTZ);
    num_sweep_function<NumSigmoid>(p, NUM_SIGMOID);
    num_sweep_function<NumTanh>(p, NUM_TANH);
    num_sweep_function<NumErf>(p, NUM_ERF);
}
#endif
