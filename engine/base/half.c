/* Small floats on the host (see half.h). */
#include "base/half.h"
#include <math.h>
#include <string.h>

/* A sign, an exponent, `mantissa` bits. Codes are without the sign. */
struct format {
    int mantissa, least;     /* exponent of the least normal value */
    uint16_t most, infinite; /* codes of the largest finite value, of infinity (0: none) */
    uint16_t above;          /* what overflow and infinity become */
    uint16_t sign;           /* its bit; all bits below it are a NaN's */
};

static const struct format F16 = {10, -14, 0x7bff, 0x7c00, 0x7c00, 0x8000};
static const struct format BF16 = {7, -126, 0x7f7f, 0x7f80, 0x7f80, 0x8000};
static const struct format E4M3 = {3, -6, 0x7e, 0, 0x7e, 0x80};
static const struct format E5M2 = {2, -14, 0x7b, 0x7c, 0x7b, 0x80};

/* The bits of a float. */
static float float_of(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* A normal number is a float's with another bias; a subnormal one counts units of the least. References
 * decode each factor of each product: no call of libm on that way. */
static float decode(const struct format *format, unsigned bits)
{
    enum { FLOAT_MANTISSA = 23, FLOAT_BIAS = 127 };
    const unsigned code = bits & (format->sign - 1u),
                   above = (unsigned)(format->least - 1 + FLOAT_BIAS);
    float value;
    if (code > format->most)
        value = code == format->infinite ? INFINITY : NAN;
    else if (code >> format->mantissa)
        value = float_of((code << (FLOAT_MANTISSA - format->mantissa)) + (above << FLOAT_MANTISSA));
    else
        value = (float)code * float_of((above + 1 - (unsigned)format->mantissa) << FLOAT_MANTISSA);
    return bits & format->sign ? -value : value;
}

/* Scaling by powers of two is exact in double, nearbyint rounds to even. */
static uint16_t encode(const struct format *format, double value)
{
    uint16_t sign = signbit(value) ? format->sign : 0;
    double magnitude = fabs(value);
    int exponent;
    if (isnan(value))
        return (uint16_t)(format->sign - 1);
    if (isinf(value))
        return sign | format->above;
    if (magnitude == 0)
        return sign;
    frexp(magnitude, &exponent); /* magnitude = m · 2^exponent, m in [½, 1) */
    exponent = exponent - 1 < format->least ? format->least : exponent - 1;
    double units = nearbyint(ldexp(magnitude, format->mantissa - exponent));
    double code = units + (double)(exponent - format->least) * (double)(1 << format->mantissa);
    return sign | (code > format->most ? format->above : (uint16_t)code);
}

float half_from_bf16(uint16_t bits)
{
    return float_of((uint32_t)bits << 16);
}

float half_from_f16(uint16_t bits)
{
    return decode(&F16, bits);
}

float half_from_e4m3(uint8_t bits)
{
    return decode(&E4M3, bits);
}

float half_from_e5m2(uint8_t bits)
{
    return decode(&E5M2, bits);
}

uint16_t half_to_f16(double value)
{
    return encode(&F16, value);
}

uint16_t half_to_bf16(double value)
{
    return encode(&BF16, value);
}

uint8_t half_to_e4m3(double value)
{
    return (uint8_t)encode(&E4M3, value);
}

uint8_t half_to_e5m2(double value)
{
    return (uint8_t)encode(&E5M2, value);
}

bool half_knows(enum tfops_dtype dtype)
{
    return dtype >= TFOPS_F32 && dtype <= TFOPS_E5M2;
}

double half_load(const void *data, enum tfops_dtype dtype, int64_t i)
{
    switch (dtype) {
    case TFOPS_F32:
        return ((const float *)data)[i];
    case TFOPS_F16:
        return half_from_f16(((const uint16_t *)data)[i]);
    case TFOPS_BF16:
        return half_from_bf16(((const uint16_t *)data)[i]);
    case TFOPS_E4M3:
        return half_from_e4m3(((const uint8_t *)data)[i]);
    case TFOPS_E5M2:
        return half_from_e5m2(((const uint8_t *)data)[i]);
    default:
        return NAN;
    }
}

void half_store(void *data, enum tfops_dtype dtype, int64_t i, double value)
{
    if (dtype == TFOPS_F32)
        ((float *)data)[i] = (float)value;
    else if (dtype == TFOPS_F16)
        ((uint16_t *)data)[i] = half_to_f16(value);
    else if (dtype == TFOPS_BF16)
        ((uint16_t *)data)[i] = half_to_bf16(value);
    else if (dtype == TFOPS_E4M3)
        ((uint8_t *)data)[i] = half_to_e4m3(value);
    else if (dtype == TFOPS_E5M2)
        ((uint8_t *)data)[i] = half_to_e5m2(value);
}

double half_round(enum tfops_dtype dtype, double value)
{
    float cell = 0;
    half_store(&cell, dtype, 0, value);
    return half_knows(dtype) ? half_load(&cell, dtype, 0) : NAN;
}
