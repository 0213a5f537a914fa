/* f16 and bf16 on the host (see half.h). */
#include "base/half.h"
#include <math.h>
#include <string.h>

float half_from_bf16(uint16_t bits)
{
    uint32_t wide = (uint32_t)bits << 16;
    float value;
    memcpy(&value, &wide, sizeof value);
    return value;
}

float half_from_f16(uint16_t bits)
{
    int exponent = bits >> 10 & 31, mantissa = bits & 1023;
    float value = exponent == 31 ? (mantissa ? NAN : INFINITY)
                  : exponent     ? ldexpf((float)(mantissa + 1024), exponent - 25)
                                 : ldexpf((float)mantissa, -24);
    return bits >> 15 ? -value : value;
}

/*
 * Rounds |value| to a format of `mantissa` stored bits whose least exponent is `least`; the result is
 * its code without the sign. Scaling by powers of two is exact in double, nearbyint rounds to even.
 */
static uint16_t encode(double magnitude, int mantissa, int least, uint16_t infinity)
{
    int exponent;
    if (isinf(magnitude))
        return infinity;
    if (magnitude == 0)
        return 0;
    frexp(magnitude, &exponent); /* magnitude = m · 2^exponent, m in [½, 1) */
    exponent = exponent - 1 < least ? least : exponent - 1;
    double units = nearbyint(ldexp(magnitude, mantissa - exponent));
    double code = units + (double)(exponent - least) * (double)(1 << mantissa);
    return code >= infinity ? infinity : (uint16_t)code;
}

uint16_t half_to_f16(double value)
{
    uint16_t sign = signbit(value) ? 0x8000 : 0;
    return isnan(value) ? 0x7fff : (uint16_t)(sign | encode(fabs(value), 10, -14, 0x7c00));
}

uint16_t half_to_bf16(double value)
{
    uint16_t sign = signbit(value) ? 0x8000 : 0;
    return isnan(value) ? 0x7fff : (uint16_t)(sign | encode(fabs(value), 7, -126, 0x7f80));
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
}

double half_round(enum tfops_dtype dtype, double value)
{
    switch (dtype) {
    case TFOPS_F32:
        return (float)value;
    case TFOPS_F16:
        return half_from_f16(half_to_f16(value));
    case TFOPS_BF16:
        return half_from_bf16(half_to_bf16(value));
    default:
        return NAN;
    }
}
