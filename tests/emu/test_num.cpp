/*
 * The number formats of kernels/device/ as the host computes them, against an oracle that knows
 * only what a format is: the values of all codes, in fp64, from sign · m · 2^e, and that a number
 * becomes the nearer of two neighbours, or the even one. It searches; what it judges shifts and
 * adds.
 *
 *   test_num          all codes; floats at and beside every code and every tie, mantissa patterns
 *                     of every exponent, random ones; the same with subnormals flushed
 *   test_num --full   all 2^32 floats as well
 */
#ifndef TF_HOST
#    define TF_HOST 900
#endif
#include "device/math.cuh"
#include "device/vec.cuh"
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <thread>
#include <vector>
#ifdef __SSE__
#    include <xmmintrin.h>
#endif

struct Format {
    const char *name;
    unsigned mantissa, bias, most, sign; /* most: the largest finite code */
    bool has_infinity, saturates;

    double value(unsigned code) const /* beyond most: as if the range went on */
    {
        unsigned exponent = code >> mantissa, unit = 1u << mantissa;
        double digits = exponent ? code % unit + unit : code;
        return std::ldexp(digits, (int)(exponent ? exponent : 1) - (int)(bias + mantissa));
    }
    unsigned above() const
    {
        return saturates ? most : most + 1;
    }
};

static const Format FORMATS[] = {
    {"f16", 10, 15, 0x7bff, 0x8000, true, false},
    {"bf16", 7, 127, 0x7f7f, 0x8000, true, false},
    {"e4m3", 3, 7, 0x7e, 0x80, false, true},
    {"e5m2", 2, 15, 0x7b, 0x80, true, true},
};
enum { F16, BF16, E4M3, E5M2, N_FORMATS };

/* Rounds by the ties between neighbours; quick when magnitudes ascend. */
class Oracle {
    const Format &format;
    std::vector<double> ties; /* ties[c]: between codes c and c + 1 */
    size_t code = 0;
    double last = 0;

  public:
    explicit Oracle(const Format &of) : format(of)
    {
        for (unsigned c = 0; c <= of.most; c++)
            ties.push_back((of.value(c) + of.value(c + 1)) / 2);
    }
    unsigned round(u32 bits)
    {
        const u32 magnitude_bits = bits & 0x7fffffffu;
        if (magnitude_bits > 0x7f800000u)
            return format.sign - 1;
        /* Not a conversion: subnormals may be flushed. */
        const double magnitude = magnitude_bits < 0x00800000u ? magnitude_bits * 0x1p-149
                                                              : f32_from_bits(magnitude_bits);
        if (magnitude < last)
            code = (size_t)(std::lower_bound(ties.begin(), ties.end(), magnitude) - ties.begin());
        while (code < ties.size() && ties[code] < magnitude)
            code++;
        last = magnitude;
        const bool up = code < ties.size() && ties[code] == magnitude && code % 2 == 1;
        const unsigned rounded = (unsigned)code + up;
        return (rounded > format.most ? format.above() : rounded) | (bits >> 31) * format.sign;
    }
};

static unsigned failures; /* of the test that runs; the first few are printed */
static unsigned passed, failed;

static void fail(const char *what, const char *format, u32 input, u32 got, u32 want)
{
    if (__atomic_fetch_add(&failures, 1, __ATOMIC_RELAXED) < 5)
        printf("  %s: %s(%#010x) is %#x, expected %#x\n", format, what, input, got, want);
}

static void finish(const char *name)
{
    printf("%s %s\n", failures ? "FAILED" : "ok", name);
    failures ? failed++ : passed++;
    failures = 0;
}

/* ---- encoding ----------------------------------------------------------------------------- */

static u32 encode(int format, float x)
{
    return format == F16    ? from_f32<f16>(x).bits
           : format == BF16 ? from_f32<bf16>(x).bits
           : format == E4M3 ? from_f32<e4m3>(x).bits
                            : from_f32<e5m2>(x).bits;
}

static void check_encode(int format, Oracle &oracle, u32 bits)
{
    const u32 got = encode(format, f32_from_bits(bits)), want = oracle.round(bits);
    if (got != want)
        fail("from_f32", FORMATS[format].name, bits, got, want);
}

static u64 random_u64(u64 i)
{
    u64 z = (i + 1) * 0x9e3779b97f4a7c15ull;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ z >> 27) * 0x94d049bb133111ebull;
    return z ^ z >> 31;
}

/* Both signs of a magnitude and of those up to two steps away from it. */
static void add_around(std::vector<u32> &to, u32 magnitude)
{
    for (u32 bits = magnitude < 2 ? 0 : magnitude - 2; bits <= magnitude + 2; bits++)
        if (bits < 0x80000000u) {
            to.push_back(bits);
            to.push_back(bits | 0x80000000u);
        }
}

/* Where something can change, and a sample of the rest, ascending. */
static std::vector<u32> telling_floats()
{
    std::vector<u32> bits;
    for (const Format &format : FORMATS)
        for (unsigned code = 0; code <= format.most + 1; code++) {
            add_around(bits, f32_bits((float)format.value(code)));
            if (format.value(code) + format.value(code + 1) < 0x1p128)
                add_around(
                    bits, f32_bits((float)((format.value(code) + format.value(code + 1)) / 2)));
        }
    for (u32 exponent = 0; exponent < 256; exponent++)
        for (u32 bit = 0; bit < 23; bit++) {
            add_around(bits, exponent << 23 | 1u << bit);
            add_around(bits, exponent << 23 | (0x7fffffu & ~((1u << bit) - 1)));
            add_around(bits, exponent << 23 | (0x2aaaaau & ~((1u << bit) - 1)));
        }
    for (u64 i = 0; i < 4000000; i++)
        bits.push_back((u32)random_u64(i));
    std::sort(bits.begin(), bits.end(),
        [](u32 a, u32 b) { return (a & 0x7fffffffu) < (b & 0x7fffffffu); });
    return bits;
}

static void encode_telling(const std::vector<u32> &floats)
{
    for (int f = 0; f < N_FORMATS; f++) {
        Oracle oracle(FORMATS[f]);
        for (u32 bits : floats)
            check_encode(f, oracle, bits);
    }
}

static void encode_range(u64 first, u64 end)
{
    for (int f = 0; f < N_FORMATS; f++) {
        Oracle oracle(FORMATS[f]);
        for (u64 magnitude = first; magnitude < end; magnitude++) {
            check_encode(f, oracle, (u32)magnitude);
            check_encode(f, oracle, (u32)magnitude | 0x80000000u);
        }
    }
}

static void encode_all()
{
    const auto start = std::chrono::steady_clock::now();
    const u64 n = std::max(1u, std::thread::hardware_concurrency()), all = 1ull << 31;
    std::vector<std::thread> threads;
    for (u64 i = 0; i < n; i++)
        threads.emplace_back(encode_range, all * i / n, all * (i + 1) / n);
    for (std::thread &thread : threads)
        thread.join();
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
    printf("  4 formats x 2^32 floats in %.1f s on %llu threads\n", took.count(), n);
}

/* ---- decoding ----------------------------------------------------------------------------- */

/* Bits of the fp32 value of each code, made before anything is flushed. */
static std::vector<u32> decoded[N_FORMATS];

static void make_decoded(int f)
{
    const Format &format = FORMATS[f];
    for (u32 code = 0; code < 2 * format.sign; code++) {
        const u32 magnitude = code & (format.sign - 1);
        const bool infinite = format.has_infinity && magnitude == format.most + 1;
        const double value = magnitude <= format.most ? format.value(magnitude)
                             : infinite               ? (double)INFINITY
                                                      : (double)NAN;
        decoded[f].push_back(f32_bits((float)value) | (code & format.sign ? 0x80000000u : 0));
    }
}

static bool is_nan(u32 bits)
{
    return (bits & 0x7fffffffu) > 0x7f800000u;
}

static void check_value(int f, const char *how, u32 code, float got)
{
    const u32 bits = f32_bits(got), want = decoded[f][code];
    if (is_nan(want) ? !is_nan(bits) : bits != want)
        fail(how, FORMATS[f].name, code, bits, want);
}

/* Each code through every way there is, in each place of a word. */
template <class T> static void decode_all(int f)
{
    using Bits = decltype(T::bits);
    constexpr int PER_WORD = 4 / (int)sizeof(T);
    for (u32 code = 0; code < 2 * FORMATS[f].sign; code++) {
        const u32 other = ~code & (2 * FORMATS[f].sign - 1);
        float lo, hi;
        check_value(f, "to_f32", code, to_f32(T{(Bits)code}));
        unpack2<T>(code | other << 8 * (int)sizeof(T), lo, hi);
        check_value(f, "unpack2, first", code, lo);
        check_value(f, "unpack2, second", other, hi);
        Vec<T, 8> v = vec_zero<T, 8>();
        for (int i = 0; i < 8; i++)
            v.w[i / PER_WORD] |= (i % 3 ? other : code) << i % PER_WORD * 8 * (int)sizeof(T);
        float values[8];
        vec_unpack(v, values);
        for (int i = 0; i < 8; i++)
            check_value(f, "vec_unpack", i % 3 ? other : code, values[i]);
        Vec<T, 1> one;
        one.w[0] = code;
        float value[1];
        vec_unpack(one, value);
        check_value(f, "vec_unpack of one", code, value[0]);
    }
}

static void decode_every_code()
{
    decode_all<f16>(F16);
    decode_all<bf16>(BF16);
    decode_all<e4m3>(E4M3);
    decode_all<e5m2>(E5M2);
}

template <class T> static void round_trip(int f)
{
    for (u32 code = 0; code < 2 * FORMATS[f].sign; code++) {
        const float value = to_f32(T{(decltype(T::bits))code});
        const u32 back = from_f32<T>(value).bits, magnitude = code & (FORMATS[f].sign - 1);
        const u32 want = magnitude <= FORMATS[f].most ? code
                         : std::isnan(value)          ? FORMATS[f].sign - 1
                                             : FORMATS[f].above() | (code & FORMATS[f].sign);
        if (back != want)
            fail("round trip", FORMATS[f].name, code, back, want);
    }
}

static void round_trips()
{
    round_trip<f16>(F16);
    round_trip<bf16>(BF16);
    round_trip<e4m3>(E4M3);
    round_trip<e5m2>(E5M2);
}

/* ---- packing ------------------------------------------------------------------------------ */

template <class T, int N> static void check_pack(int f, const float (&values)[N])
{
    constexpr int PER_WORD = 4 / (int)sizeof(T), SIZE = 8 * (int)sizeof(T);
    const Vec<T, N> v = vec_pack<T, N>(values);
    for (int i = 0; i < N; i++) {
        const u32 got = v.w[i / PER_WORD] >> i % PER_WORD * SIZE & ((1u << SIZE) - 1);
        if (got != from_f32<T>(values[i]).bits)
            fail(
                "vec_pack", FORMATS[f].name, f32_bits(values[i]), got, from_f32<T>(values[i]).bits);
    }
}

template <class T> static void pack_random(int f)
{
    for (u64 i = 0; i < 20000; i++) {
        float one[1], two[2], four[4], many[16];
        for (int k = 0; k < 16; k++)
            many[k] = f32_from_bits((u32)random_u64(i * 16 + (u64)k));
        std::copy_n(many, 1, one);
        std::copy_n(many, 2, two);
        std::copy_n(many, 4, four);
        check_pack<T>(f, one);
        check_pack<T>(f, two);
        check_pack<T>(f, four);
        check_pack<T>(f, many);
        if constexpr (sizeof(T) == 1)
            if (pack4<T>(four) != vec_pack<T, 4>(four).w[0])
                fail("pack4", FORMATS[f].name, f32_bits(four[0]), pack4<T>(four), 0);
    }
}

static void packs()
{
    pack_random<f16>(F16);
    pack_random<bf16>(BF16);
    pack_random<e4m3>(E4M3);
    pack_random<e5m2>(E5M2);
}

/* ---- functions ---------------------------------------------------------------------------- */

static void max_takes_nan_and_orders_zeros()
{
    const float inf = INFINITY;
    const struct {
        float a, b, max;
    } TABLE[] = {{1, 2, 2}, {-1, -2, -1}, {-inf, 3, 3}, {inf, 3, inf}, {0.0f, -0.0f, 0.0f},
        {-0.0f, 0.0f, 0.0f}, {-0.0f, -0.0f, -0.0f}, {NAN, inf, NAN}, {-1, NAN, NAN}};
    for (const auto &row : TABLE) {
        const float got = max_nan(row.a, row.b);
        if (std::isnan(row.max) ? !std::isnan(got) : f32_bits(got) != f32_bits(row.max))
            fail("max_nan", "f32", f32_bits(row.a), f32_bits(got), f32_bits(row.max));
    }
    if (amax_nan(3, -5) != 5 || amax_nan(3, -2) != 3 || !std::isnan(amax_nan(3, -NAN)) ||
        !std::isnan(amax_nan(NAN, 3)))
        fail("amax_nan", "f32", 0, 0, 0);
}

template <class T> static void max2_of(int f)
{
    const float inf = INFINITY;
    const struct {
        float a[2], b[2], max[2];
    } TABLE[] = {{{1, -1}, {2, -2}, {2, -1}}, {{-inf, inf}, {-3, 3}, {-3, inf}},
        {{NAN, 3}, {inf, -inf}, {NAN, 3}}, {{-4, 0}, {-5, NAN}, {-4, NAN}}};
    for (const auto &row : TABLE) {
        const u32 got = max2<T>(pack2<T>(row.a[0], row.a[1]), pack2<T>(row.b[0], row.b[1]));
        float most[2];
        unpack2<T>(got, most[0], most[1]);
        for (int i = 0; i < 2; i++)
            if (std::isnan(row.max[i]) ? !std::isnan(most[i]) : most[i] != row.max[i])
                fail("max2", FORMATS[f].name, pack2<T>(row.a[0], row.a[1]), got,
                    pack2<T>(row.max[0], row.max[1]));
    }
}

static void max2_takes_nan()
{
    max2_of<f16>(F16);
    max2_of<bf16>(BF16);
}

/* Within the bound of math.cuh, for every 4099th float. */
static void sigmoid_is_as_exact_as_it_says()
{
    for (u64 bits = 0; bits < 1ull << 32; bits += 4099) {
        const float x = f32_from_bits((u32)bits);
        const double want = 1 / (1 + std::exp(-(double)x)), got = sigmoid(x);
        const double bound = 0x1p-22 + (x < 0 ? -(double)x * 0x1p-23 : 0);
        const bool right = std::isnan(x)     ? std::isnan(got)
                           : want < 0x1p-126 ? got >= 0 && got <= 0x1p-125
                                             : std::fabs(got - want) <= bound * want;
        if (!right)
            fail("sigmoid", "f32", (u32)bits, f32_bits((float)got), f32_bits((float)want));
    }
}

static void flushing_functions_flush()
{
    const float tiny = f32_from_bits(1), least = f32_from_bits(0x00800000u);
    const bool right =
        exp2_ftz(-126) == least && exp2_ftz(-127) == 0 && exp2_approx(-149) == tiny &&
        exp2_ftz(tiny) == 1 && rcp_ftz(tiny) == INFINITY && rcp_ftz(-tiny) == -INFINITY &&
        rcp_ftz(0x1p126f) == least && rcp_ftz(0x1p127f) == 0 && rcp_approx(0x1p127f) == 0x1p-127f &&
        rsqrt_approx(4) == 0.5f && rsqrt_approx(0) == INFINITY && log2_ftz(0.125f) == -3 &&
        log2_ftz(tiny) == -INFINITY && log2_ftz(INFINITY) == INFINITY && std::isnan(log2_ftz(-1));
    if (!right)
        fail("exp2, log2, rcp, rsqrt", "f32", 0, 0, 0);
}

int main(int argc, char **argv)
{
    const bool full = argc > 1 && !strcmp(argv[1], "--full");
    const std::vector<u32> floats = telling_floats();
    for (int f = 0; f < N_FORMATS; f++)
        make_decoded(f);
    decode_every_code();
    finish("every code decodes to its value");
    encode_telling(floats);
    finish("floats at codes, ties and patterns round to the nearest code");
    round_trips();
    finish("every code comes back");
    packs();
    finish("packed values are the single ones, in order");
#ifdef __SSE__
    const unsigned control = _mm_getcsr();
    _mm_setcsr(control | 0x8040); /* flush results, take arguments for zeros */
    decode_every_code();
    encode_telling(floats);
    _mm_setcsr(control);
    finish("the same with fp32 subnormals flushed");
#endif
    max_takes_nan_and_orders_zeros();
    max2_takes_nan();
    finish("max takes NaN and orders zeros");
    sigmoid_is_as_exact_as_it_says();
    finish("sigmoid is as exact as it says");
    flushing_functions_flush();
    finish("flushing functions flush, others do not");
    if (full) {
        encode_all();
        finish("all floats round to the nearest code");
    }
    printf("%u passed, %u failed, 0 skipped\n", passed, failed);
    return failed != 0;
}
