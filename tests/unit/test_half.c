/*
 * Small floats on the host, exhaustively, against the formats' definition: value = (-1)^s · m · 2^e.
 * Every value here is a small integer times a power of two, so all comparisons are exact in double.
 */
#include "base/half.h"
#include "tests/support/expect.h"
#include "tests/support/host_data.h"
#include <criterion/criterion.h>
#include <math.h>

struct format {
    const char *name;
    enum tfops_dtype dtype;
    int mantissa, bias;
    uint16_t most, sign; /* codes: the largest finite value, the sign */
    bool has_infinity, saturates;
    float (*decode)(uint16_t bits);
    uint16_t (*encode)(double value);
};

static float from_e4m3(uint16_t bits)
{
    return half_from_e4m3((uint8_t)bits);
}

static float from_e5m2(uint16_t bits)
{
    return half_from_e5m2((uint8_t)bits);
}

static uint16_t to_e4m3(double value)
{
    return half_to_e4m3(value);
}

static uint16_t to_e5m2(double value)
{
    return half_to_e5m2(value);
}

enum { N_FORMATS = 4 };
static const struct format FORMATS[N_FORMATS] = {
    {"f16", TFOPS_F16, 10, 15, 0x7bff, 0x8000, true, false, half_from_f16, half_to_f16},
    {"bf16", TFOPS_BF16, 7, 127, 0x7f7f, 0x8000, true, false, half_from_bf16, half_to_bf16},
    {"e4m3", TFOPS_E4M3, 3, 7, 0x7e, 0x80, false, true, from_e4m3, to_e4m3},
    {"e5m2", TFOPS_E5M2, 2, 15, 0x7b, 0x80, true, true, from_e5m2, to_e5m2},
};

/* The value of a finite code without sign, by definition; beyond them that of the next step. */
static double value_of(const struct format *format, uint16_t code)
{
    int exponent = code >> format->mantissa, fraction = code & ((1 << format->mantissa) - 1);
    if (!exponent)
        return ldexp(fraction, 1 - format->bias - format->mantissa);
    return ldexp(fraction + (1 << format->mantissa), exponent - format->bias - format->mantissa);
}

/* What a value becomes that rounds to more than the largest. */
static uint16_t above(const struct format *format)
{
    return format->saturates ? format->most : (uint16_t)(format->most + 1);
}

static void expect_code(const struct format *format, double value, uint16_t want)
{
    uint16_t got = format->encode(value);
    cr_assert_eq(got, want, "%s(%a) is %#06x, wanted %#06x", format->name, value, got, want);
}

Test(half, codes_have_the_values_of_the_format)
{
    for (int f = 0; f < N_FORMATS; f++)
        for (uint32_t code = 0; code <= FORMATS[f].most; code++) {
            double want = value_of(&FORMATS[f], (uint16_t)code);
            double got = (double)FORMATS[f].decode((uint16_t)code);
            double negative = (double)FORMATS[f].decode((uint16_t)(code | FORMATS[f].sign));
            cr_assert(got == want && negative == -want && signbit(negative),
                "%s code %#06x is %a and %a, wanted ±%a", FORMATS[f].name, code, got, negative,
                want);
        }
}

Test(half, largest_values_are_those_of_the_standards)
{
    static const double MOST[N_FORMATS] = {65504, 0x1.fep127, 448, 57344};
    for (int f = 0; f < N_FORMATS; f++)
        cr_assert_eq((double)FORMATS[f].decode(FORMATS[f].most), MOST[f], "%s", FORMATS[f].name);
}

Test(half, codes_of_infinity_and_nan_are_that)
{
    for (int f = 0; f < N_FORMATS; f++) {
        const struct format *format = &FORMATS[f];
        uint32_t code = format->most + 1u;
        if (format->has_infinity) {
            cr_assert_eq(format->decode((uint16_t)code), INFINITY);
            cr_assert_eq(format->decode((uint16_t)(code | format->sign)), -INFINITY);
            code++;
        }
        for (; code < format->sign; code++)
            cr_assert(isnan(format->decode((uint16_t)code)) &&
                          isnan(format->decode((uint16_t)(code | format->sign))),
                "%s code %#06x is a number", format->name, code);
    }
}

Test(half, every_code_comes_back)
{
    for (int f = 0; f < N_FORMATS; f++)
        for (uint32_t code = 0; code < 2u * FORMATS[f].sign; code++) {
            const struct format *format = &FORMATS[f];
            double value = (double)format->decode((uint16_t)code);
            uint16_t back = format->encode(value);
            if (isnan(value))
                cr_assert(isnan(format->decode(back)), "NaN %#06x became %#06x", code, back);
            else if (!isinf(value) || !format->saturates)
                cr_assert_eq(back, code, "%s %#06x came back as %#06x", format->name, code, back);
        }
}

/* Between each two neighbours: the middle goes to the even one, all else to the nearer one. */
Test(half, rounds_to_the_nearer_neighbour_and_ties_to_even)
{
    for (int f = 0; f < N_FORMATS; f++)
        for (uint32_t code = 0; code <= FORMATS[f].most; code++) {
            const struct format *format = &FORMATS[f];
            uint16_t low = (uint16_t)code, high = (uint16_t)(code + 1);
            double a = value_of(format, low), b = value_of(format, high), middle = (a + b) / 2;
            if (low == format->most)
                high = above(format);
            uint16_t even = low & 1 ? high : low;
            expect_code(format, middle, even);
            expect_code(format, nextafter(middle, 0), low);
            expect_code(format, nextafter(middle, INFINITY), high);
            expect_code(format, nextafter(a, INFINITY), low);
            expect_code(format, nextafter(b, 0), high);
            expect_code(format, -middle, even | format->sign);
            expect_code(format, -nextafter(middle, 0), low | format->sign);
        }
}

Test(half, overflow_gives_infinity_or_saturates)
{
    for (int f = 0; f < N_FORMATS; f++) {
        const struct format *format = &FORMATS[f];
        double next = value_of(format, (uint16_t)(format->most + 1));
        expect_code(format, value_of(format, format->most), format->most);
        expect_code(format, next, above(format));
        expect_code(format, -next, above(format) | format->sign);
        expect_code(format, 1e300, above(format));
        expect_code(format, INFINITY, above(format));
        expect_code(format, -INFINITY, above(format) | format->sign);
    }
}

Test(half, underflow_keeps_the_sign)
{
    for (int f = 0; f < N_FORMATS; f++) {
        expect_code(&FORMATS[f], 0.0, 0);
        expect_code(&FORMATS[f], -0.0, FORMATS[f].sign);
        expect_code(&FORMATS[f], 4.9e-324, 0);
        expect_code(&FORMATS[f], -4.9e-324, FORMATS[f].sign);
    }
}

Test(half, nan_stays_nan)
{
    for (int f = 0; f < N_FORMATS; f++) {
        expect_code(&FORMATS[f], NAN, FORMATS[f].sign - 1);
        expect_code(&FORMATS[f], -NAN, FORMATS[f].sign - 1);
        cr_assert(isnan(half_round(FORMATS[f].dtype, NAN)));
    }
}

/* One rounding from double: a value just above a middle must not be rounded to f32 first. */
Test(half, does_not_round_twice)
{
    expect_code(&FORMATS[0], 1 + 0x1p-11 + 0x1p-40, 0x3c01);
    expect_code(&FORMATS[1], 1 + 0x1p-8 + 0x1p-40, 0x3f81);
    expect_code(&FORMATS[2], 1 + 0x1p-4 + 0x1p-40, 0x39);
    expect_code(&FORMATS[3], 1 + 0x1p-3 + 0x1p-40, 0x3d);
}

/* Fakes and GPU tests convert by other means (tests/support/host_data.h). */
Test(half, tests_own_conversions_agree)
{
    for (int f = 0; f < N_FORMATS; f++)
        for (uint32_t code = 0; code < 2u * FORMATS[f].sign; code++) {
            const struct format *format = &FORMATS[f];
            uint32_t cell = code, back = 0; /* little-endian hosts */
            double value = (double)format->decode((uint16_t)code);
            double theirs = (double)host_load(&cell, format->dtype, 0);
            cr_assert(value == theirs || (isnan(value) && isnan(theirs)), "%s %#06x is %a, not %a",
                format->name, code, theirs, value);
            float between = (float)(value + value_of(format, 1) * 0.5);
            host_store(&back, format->dtype, 0, between);
            uint16_t want = format->encode((double)between);
            cr_assert_eq(back, want, "%s(%a) is %#06x, not %#06x", format->name, (double)between,
                back, want);
        }
}

Test(half, load_and_store_take_every_float_dtype)
{
    for (int d = 0; d < TFOPS_DTYPE_COUNT; d++) {
        if (!half_knows((enum tfops_dtype)d))
            continue;
        _Alignas(4) unsigned char cells[4 * 4] = {0};
        for (int i = 0; i < 4; i++)
            half_store(cells, (enum tfops_dtype)d, i, i - 1.5);
        for (int i = 0; i < 4; i++)
            cr_assert_eq(half_load(cells, (enum tfops_dtype)d, i), i - 1.5, "%s element %d is %g",
                tfops_dtype_name((enum tfops_dtype)d), i, half_load(cells, (enum tfops_dtype)d, i));
    }
}

Test(half, other_dtypes_load_nan_and_store_nothing)
{
    static const enum tfops_dtype OTHERS[] = {
        TFOPS_NONE, TFOPS_I32, TFOPS_I64, TFOPS_U8, TFOPS_DTYPE_COUNT};
    uint64_t cell = 0x1122334455667788u;
    for (size_t d = 0; d < sizeof OTHERS / sizeof *OTHERS; d++) {
        cr_assert_not(half_knows(OTHERS[d]), "dtype %d", OTHERS[d]);
        half_store(&cell, OTHERS[d], 0, 1);
        cr_assert_eq(
            cell, 0x1122334455667788u, "dtype %d wrote %#llx", OTHERS[d], (unsigned long long)cell);
        cr_assert(isnan(half_load(&cell, OTHERS[d], 0)), "dtype %d", OTHERS[d]);
        cr_assert(isnan(half_round(OTHERS[d], 1)), "dtype %d", OTHERS[d]);
    }
}

Test(half, round_is_store_then_load)
{
    static const double VALUES[] = {0.1, 1.0 / 3, 65519.999, 1e-7, -2049.5};
    for (int i = 0; i < 5; i++) {
        cr_assert_eq(half_round(TFOPS_F32, VALUES[i]), (double)(float)VALUES[i]);
        for (int f = 0; f < N_FORMATS; f++) {
            uint16_t cell;
            half_store(&cell, FORMATS[f].dtype, 0, VALUES[i]);
            double want = half_load(&cell, FORMATS[f].dtype, 0);
            cr_assert_eq(
                half_round(FORMATS[f].dtype, VALUES[i]), want, "%s %g", FORMATS[f].name, VALUES[i]);
        }
    }
}
