// l2_policy.cuh: how long lines that a load brings should stay in L2.
#pragma once
#include "device/core.cuh"

enum { L2_NORMAL, L2_EVICT_FIRST, L2_EVICT_LAST };

// PTX ISA 9.7.9.18 createpolicy
template <int HINT> TF_DEV u64 l2_policy()
{
#ifdef TF_HOST
    return HINT;
#else
    u64 policy;
    if constexpr (HINT == L2_EVICT_FIRST)
        asm("createpolicy.fractional.L2::evict_first.b64 %0, 1.0;" : "=l"(policy));
    else if constexpr (HINT == L2_EVICT_LAST)
        asm("createpolicy.fractional.L2::evict_last.b64 %0, 1.0;" : "=l"(policy));
    else
        asm("createpolicy.fractional.L2::evict_normal.b64 %0, 1.0;" : "=l"(policy));
    return policy;
#endif
}
