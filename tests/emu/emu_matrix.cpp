// What tensor cores compute from: number formats as floats, and the fragments of a warp.
#include "emu_matrix.h"
#include <cmath>

namespace emu {

namespace {

// sign, exponent, mantissa of a small format; `top`: the exponent of all ones is NaN and infinity.
float small_float(uint32_t bits, int exponent_bits, int mantissa_bits, bool top)
{
    const uint32_t mantissa = bits & ((1u << mantissa_bits) - 1);
    const int exponent = (int)(bits >> mantissa_bits & ((1u << exponent_bits) - 1));
    const int bias = (1 << (exponent_bits - 1)) - 1, most = (1 << exponent_bits) - 1;
    const bool negative = bits >> (exponent_bits + mantissa_bits) & 1;
    float value;
    if (top && exponent == most)
        value = mantissa ? NAN : INFINITY;
    else if (!top && exponent == most && mantissa == (1u << mantissa_bits) - 1)
        value = NAN;
    else if (exponent)
        value =
            std::ldexp((float)(mantissa | 1u << mantissa_bits), exponent - bias - mantissa_bits);
    else
        value = std::ldexp((float)mantissa, 1 - bias - mantissa_bits);
    return negative ? -value : value;
}

struct Tables {
    float f16[1 << 16], e4m3[256], e5m2[256];

    Tables()
    {
        for (uint32_t i = 0; i < 1 << 16; i++)
            f16[i] = small_float(i, 5, 10, true);
        for (uint32_t i = 0; i < 256; i++) {
            e4m3[i] = small_float(i, 4, 3, false);
            e5m2[i] = small_float(i, 5, 2, true);
        }
    }
};

// Element i along K of a fragment's words.
float element_of(const uint32_t *words, int i, Element type)
{
    const int per_word = 4 / element_bytes(type), bits = 32 / per_word;
    return element_value(type, words[i / per_word] >> (i % per_word * bits));
}

} // namespace

float element_value(Element type, uint32_t bits)
{
    static const Tables tables;
    float value;
    switch (type) {
    case ELEMENT_F16:
        return tables.f16[bits & 0xffff];
    case ELEMENT_E4M3:
        return tables.e4m3[bits & 0xff];
    case ELEMENT_E5M2:
        return tables.e5m2[bits & 0xff];
    default:
        bits <<= 16;
        std::memcpy(&value, &bits, sizeof value);
        return value;
    }
}

// With q = lane / 4, p = lane % 4: a[0], a[2] are row q, a[1], a[3] row q + 8, b[0], b[1] column q;
// lane 4 q + p has words p and p + 4 of K. d: rows q, q + 8, columns 2 p, 2 p + 1.
void mma(float *d, const uint32_t *a, const uint32_t *b, Element type_a, Element type_b)
{
    const Unseen unseen;
    const uint32_t own[6] = {a[0], a[1], a[2], a[3], b[0], b[1]};
    const WarpWords words = warp_share(own, 6);
    const int lane = me->thread % 32, q = lane / 4, p = lane % 4;
    const int per_word = 4 / element_bytes(type_a);
    for (int half = 0; half < 2; half++)
        for (int column = 0; column < 2; column++) {
            float sum = 0;
            for (int word = 0; word < 8; word++) {
                const uint32_t *from_a = words[4 * q + word % 4];
                const uint32_t *from_b = words[4 * (2 * p + column) + word % 4];
                for (int i = 0; i < per_word; i++)
                    sum += element_of(&from_a[word / 4 * 2 + half], i, type_a) *
                           element_of(&from_b[4 + word / 4], i, type_b);
            }
            d[half * 2 + column] += sum;
        }
}

} // namespace emu
