// permute.cuh: bytes of words in another order.
#pragma once
#include "device/core.cuh"

// Byte i of the result is byte (selector >> 4 * i & 7) of b:a, a's being 0 to 3.
// PTX ISA 9.7.9.7 prmt
template <u32 SELECTOR> TF_DEV u32 byte_permute(u32 a, u32 b)
{
    static_assert((SELECTOR & 0xffff8888u) == 0, "four bytes of eight");
#ifdef TF_HOST
    const u64 both = (u64)b << 32 | a;
    u32 out = 0;
    for (int i = 0; i < 4; i++)
        out |= (u32)(both >> (SELECTOR >> 4 * i & 7) * 8 & 0xff) << 8 * i;
    return out;
#else
    u32 out;
    asm("prmt.b32 %0, %1, %2, %3;" : "=r"(out) : "r"(a), "r"(b), "n"(SELECTOR));
    return out;
#endif
}
