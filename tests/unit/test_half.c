/*
 * f16 and bf16 on the host, exhaustively, against the formats' definition: value = (-1)^s · m · 2^e.
 * Every value here is a small integer times a power of two, so all comparisons are exact in double.
 */
#include "base/half.h"
#include "tests/support/expect.h"
#include <criterion/criterion.h>
#include <math.h>

struct format {
    const char *name;
    enum tfops_dtype dtype;
    int mantissa, bias;
    uint16_t infinity;
    float (*decode)(uint16_t bits);
    uint16_t (*encode)(double value);
};

static const struct format FORMATS[] = {
    {"f16", TFOPS_F16, 10, 15, 0x7c00, half_from_f16, half_to_f16},
    {"bf16", TFOPS_BF16, 7, 127, 0x7f80, half_from_bf16, half_to_bf16},
};

/* The value of a finite code without sign, by definition; that of infinity is the next step. */
static double value_of(const struct format *format, uint16_t code)
{
    int exponent = code >> format->mantissa, fraction = code & ((1 << format->mantissa) - 1);
    if (!exponent)
        return ldexp(fraction, 1 - format->bias - format->mantissa);
    return ldexp(fraction + (1 << format->mantissa), exponent - format->bias - format->mantissa);
}

static void expect_code(const struct format *format, double value, uint16_t want)
{
    uint16_t got = format->encode(value);
    cr_assert_eq(got, want, "%s(%a) is %#06x, wanted %#06x", format->name, value, got, want);
}

Test(half, codes_have_the_values_of_the_format)
{
    for (int f = 0; f < 2; f++)
        for (uint32_t code = 0; code < FORMATS[f].infinity; code++) {
            double want = value_of(&FORMATS[f], (uint16_t)code);
            double got = (double)FORMATS[f].decode((uint16_t)code);
            double negative = (double)FORMATS[f].decode((uint16_t)(code | 0x8000));
            cr_assert(got == want && negative == -want && signbit(negative),
                "%s code %#06x is %a and %a, wanted ±%a", FORMATS[f].name, code, got, negative,
                want);
        }
}

Test(half, codes_of_infinity_and_nan_are_that)
{
    for (int f = 0; f < 2; f++) {
        const uint32_t infinity = FORMATS[f].infinity;
        cr_assert_eq(FORMATS[f].decode((uint16_t)infinity), INFINITY);
        cr_assert_eq(FORMATS[f].decode((uint16_t)(infinity | 0x8000)), -INFINITY);
        for (uint32_t code = infinity + 1; code < 0x8000; code++)
            cr_assert(isnan(FORMATS[f].decode((uint16_t)code)) &&
                          isnan(FORMATS[f].decode((uint16_t)(code | 0x8000))),
                "%s code %#06x is a number", FORMATS[f].name, code);
    }
}

Test(half, every_code_comes_back)
{
    for (int f = 0; f < 2; f++)
        for (uint32_t code = 0; code < 0x10000; code++) {
            double value = (double)FORMATS[f].decode((uint16_t)code);
            uint16_t back = FORMATS[f].encode(value);
            if (isnan(value))
                cr_assert(isnan(FORMATS[f].decode(back)), "NaN %#06x became %#06x", code, back);
            else
                cr_assert_eq(
                    back, code, "%s %#06x came back as %#06x", FORMATS[f].name, code, back);
        }
}

/* Between each two neighbours: the middle goes to the even one, all else to the nearer one. */
Test(half, rounds_to_the_nearer_neighbour_and_ties_to_even)
{
    for (int f = 0; f < 2; f++)
        for (uint32_t code = 0; code < FORMATS[f].infinity; code++) {
            const struct format *format = &FORMATS[f];
            uint16_t low = (uint16_t)code, high = (uint16_t)(code + 1);
            double a = value_of(format, low), b = value_of(format, high), middle = (a + b) / 2;
            uint16_t even = low & 1 ? high : low;
            expect_code(format, middle, even);
            expect_code(format, nextafter(middle, 0), low);
            expect_code(format, nextafter(middle, INFINITY), high);
            expect_code(format, nextafter(a, INFINITY), low);
            expect_code(format, nextafter(b, 0), high);
            expect_code(format, -middle, even | 0x8000);
            expect_code(format, -nextafter(middle, 0), low | 0x8000);
        }
}

Test(half, overflow_gives_infinity)
{
    for (int f = 0; f < 2; f++) {
        const struct format *format = &FORMATS[f];
        double largest = value_of(format, (uint16_t)(format->infinity - 1));
        double next = value_of(format, format->infinity);
        expect_code(format, largest, (uint16_t)(format->infinity - 1));
        expect_code(format, next, format->infinity);
        expect_code(format, -next, format->infinity | 0x8000);
        expect_code(format, 1e300, format->infinity);
        expect_code(format, INFINITY, format->infinity);
        expect_code(format, -INFINITY, format->infinity | 0x8000);
    }
}

Test(half, underflow_keeps_the_sign)
{
    for (int f = 0; f < 2; f++) {
        expect_code(&FORMATS[f], 0.0, 0);
        expect_code(&FORMATS[f], -0.0, 0x8000);
        expect_code(&FORMATS[f], 4.9e-324, 0);
        expect_code(&FORMATS[f], -4.9e-324, 0x8000);
    }
}

Test(half, nan_stays_nan)
{
    for (int f = 0; f < 2; f++) {
        cr_assert(isnan(FORMATS[f].decode(FORMATS[f].encode(NAN))));
        cr_assert(isnan(FORMATS[f].decode(FORMATS[f].encode(-NAN))));
        cr_assert(isnan(half_round(FORMATS[f].dtype, NAN)));
    }
}

/* One rounding from double: a value just above a middle must not be rounded to f32 first. */
Test(half, does_not_round_twice)
{
    expect_code(&FORMATS[0], 1 + 0x1p-11 + 0x1p-40, 0x3c01);
    expect_code(&FORMATS[1], 1 + 0x1p-8 + 0x1p-40, 0x3f81);
}

Test(half, load_and_store_take_every_float_dtype)
{
    static const enum tfops_dtype DTYPES[] = {TFOPS_F32, TFOPS_F16, TFOPS_BF16};
    for (int d = 0; d < 3; d++) {
        _Alignas(4) unsigned char cells[4 * 4] = {0};
        for (int i = 0; i < 4; i++)
            half_store(cells, DTYPES[d], i, i - 1.5);
        for (int i = 0; i < 4; i++)
            cr_assert_eq(half_load(cells, DTYPES[d], i), i - 1.5, "%s element %d is %g",
                tfops_dtype_name(DTYPES[d]), i, half_load(cells, DTYPES[d], i));
    }
}

Test(half, other_dtypes_load_nan_and_store_nothing)
{
    uint64_t cell = 0x1122334455667788u;
    for (int d = 0; d < TFOPS_DTYPE_COUNT; d++) {
        if (d == TFOPS_F32 || d == TFOPS_F16 || d == TFOPS_BF16)
            continue;
        half_store(&cell, (enum tfops_dtype)d, 0, 1);
        cr_assert_eq(
            cell, 0x1122334455667788u, "dtype %d wrote %#llx", d, (unsigned long long)cell);
        cr_assert(isnan(half_load(&cell, (enum tfops_dtype)d, 0)), "dtype %d", d);
        cr_assert(isnan(half_round((enum tfops_dtype)d, 1)), "dtype %d", d);
    }
}

Test(half, round_is_store_then_load)
{
    static const double VALUES[] = {0.1, 1.0 / 3, 65519.999, 1e-7, -2049.5};
    for (int i = 0; i < 5; i++) {
        cr_assert_eq(half_round(TFOPS_F32, VALUES[i]), (double)(float)VALUES[i]);
        for (int f = 0; f < 2; f++) {
            uint16_t cell;
            half_store(&cell, FORMATS[f].dtype, 0, VALUES[i]);
            double want = half_load(&cell, FORMATS[f].dtype, 0);
            cr_assert_eq(
                half_round(FORMATS[f].dtype, VALUES[i]), want, "%s %g", FORMATS[f].name, VALUES[i]);
        }
    }
}
