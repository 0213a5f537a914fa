/*
 * Numbers on the host: float elements of any dtype, conversions that round to nearest even, seeded
 * random data and comparison. Header only: test programs, the fake driver and the example's check
 * share it without a library.
 */
#ifndef TFOPS_TESTS_HOST_DATA_H
#define TFOPS_TESTS_HOST_DATA_H

#include <math.h>
#include <stdint.h>
#include <string.h>
#include <tfops/tensor.h>

static inline uint32_t host_f32_bits(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static inline float host_f32_from_bits(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static inline float host_f16_to_f32(uint16_t half)
{
    const uint32_t sign = (uint32_t)(half & 0x8000u) << 16, magnitude = half & 0x7fffu;
    if (magnitude >= 0x7c00u) /* infinity, NaN */
        return host_f32_from_bits(sign | 0x7f800000u | magnitude << 13);
    if (magnitude < 0x0400u) /* subnormal: steps of 2^-24 */
        return host_f32_from_bits(sign | host_f32_bits((float)magnitude * 0x1p-24f));
    return host_f32_from_bits(sign | ((magnitude << 13) + 0x38000000u));
}

static inline uint16_t host_f32_to_f16(float value)
{
    const uint32_t bits = host_f32_bits(value), magnitude = bits & 0x7fffffffu;
    const uint16_t sign = (uint16_t)(bits >> 16 & 0x8000u);
    if (magnitude > 0x7f800000u)
        return 0x7fffu;
    if (magnitude >= 0x477ff000u) /* rounds to 2^16 or more */
        return sign | 0x7c00u;
    if (magnitude < 0x38800000u) { /* below 2^-14: adding 0.5 leaves the rounded steps of 2^-24 */
        const float steps = host_f32_from_bits(magnitude) + 0.5f;
        return sign | (uint16_t)(host_f32_bits(steps) - host_f32_bits(0.5f));
    }
    const uint32_t rounded = magnitude + 0xfffu + (magnitude >> 13 & 1u) - 0x38000000u;
    return sign | (uint16_t)(rounded >> 13);
}

static inline float host_bf16_to_f32(uint16_t half)
{
    return host_f32_from_bits((uint32_t)half << 16);
}

static inline uint16_t host_f32_to_bf16(float value)
{
    const uint32_t bits = host_f32_bits(value);
    if ((bits & 0x7fffffffu) > 0x7f800000u)
        return 0x7fffu;
    return (uint16_t)((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}

static inline float host_e5m2_to_f32(uint8_t code)
{
    return host_f16_to_f32((uint16_t)(code << 8));
}

/* The exponent's bias is 7, an f16's 15; the code of all ones is NaN. */
static inline float host_e4m3_to_f32(uint8_t code)
{
    const uint16_t half = (uint16_t)((code & 0x80u) << 8 | (code & 0x7fu) << 7);
    return (code & 0x7fu) == 0x7fu ? NAN : host_f16_to_f32(half) * 0x1p8f;
}

static inline float host_f8_to_f32(enum tfops_dtype dtype, uint8_t code)
{
    return dtype == TFOPS_E4M3 ? host_e4m3_to_f32(code) : host_e5m2_to_f32(code);
}

/* Saturates. The codes of magnitudes ascend: finds the greatest that is not above the value. */
static inline uint8_t host_f32_to_f8(enum tfops_dtype dtype, float value)
{
    const float magnitude = fabsf(value);
    uint8_t low = 0, past = dtype == TFOPS_E4M3 ? 0x7f : 0x7c;
    const uint8_t most = past - 1, sign = signbit(value) ? 0x80 : 0;
    if (isnan(value))
        return 0x7f;
    while (past - low > 1) {
        const uint8_t middle = (uint8_t)((low + past) / 2);
        if (host_f8_to_f32(dtype, middle) <= magnitude)
            low = middle;
        else
            past = middle;
    }
    if (low == most)
        return sign | most;
    const double below = (double)magnitude - (double)host_f8_to_f32(dtype, low);
    const double above = (double)host_f8_to_f32(dtype, low + 1) - (double)magnitude;
    return sign | (below < above || (below == above && low % 2 == 0) ? low : (uint8_t)(low + 1));
}

/* Element i of an array of a float dtype. */
static inline float host_load(const void *base, enum tfops_dtype dtype, int64_t i)
{
    if (dtype == TFOPS_F32)
        return ((const float *)base)[i];
    if (dtype == TFOPS_E4M3 || dtype == TFOPS_E5M2)
        return host_f8_to_f32(dtype, ((const uint8_t *)base)[i]);
    const uint16_t half = ((const uint16_t *)base)[i];
    return dtype == TFOPS_F16 ? host_f16_to_f32(half) : host_bf16_to_f32(half);
}

static inline void host_store(void *base, enum tfops_dtype dtype, int64_t i, float value)
{
    if (dtype == TFOPS_F32)
        ((float *)base)[i] = value;
    else if (dtype == TFOPS_E4M3 || dtype == TFOPS_E5M2)
        ((uint8_t *)base)[i] = host_f32_to_f8(dtype, value);
    else
        ((uint16_t *)base)[i] =
            dtype == TFOPS_F16 ? host_f32_to_f16(value) : host_f32_to_bf16(value);
}

/* The value as it would be after a store and a load. */
static inline float host_round(float value, enum tfops_dtype dtype)
{
    uint32_t cell;
    host_store(&cell, dtype, 0, value);
    return host_load(&cell, dtype, 0);
}

/* SplitMix64: equal seeds give equal data on every host. */
static inline uint64_t host_random(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15ull;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ z >> 27) * 0x94d049bb133111ebull;
    return z ^ z >> 31;
}

/* n values in [-1, 1). */
static inline void host_fill(void *base, enum tfops_dtype dtype, int64_t n, uint64_t seed)
{
    uint64_t state = seed;
    for (int64_t i = 0; i < n; i++)
        host_store(base, dtype, i, (float)(host_random(&state) >> 40) * 0x1p-23f - 1);
}

/* ‖a − b‖ / ‖b‖; infinite where one has a NaN or an infinity that the other has not. */
static inline double host_distance(const void *a, const void *b, enum tfops_dtype dtype, int64_t n)
{
    double differences = 0, squares = 0;
    for (int64_t i = 0; i < n; i++) {
        const double x = (double)host_load(a, dtype, i), y = (double)host_load(b, dtype, i);
        if (!isfinite(x) || !isfinite(y)) {
            if (x == y || (isnan(x) && isnan(y)))
                continue;
            return INFINITY;
        }
        differences += (x - y) * (x - y);
        squares += y * y;
    }
    return squares > 0 ? sqrt(differences / squares) : sqrt(differences);
}

#endif
