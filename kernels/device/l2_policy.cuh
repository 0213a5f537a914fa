// l2_policy.cuh: how long lines that a load brings should stay in L2.
#pragma once
#include "device/core.cuh"

// L2_NORMAL is a load without a policy. One of evict_normal is not the same: it demotes lines, and what
// comes from the other half of the L2 comes from there each time it is read.
enum { L2_NORMAL, L2_EVICT_FIRST, L2_EVICT_LAST };

// PTX ISA 9.7.9.18 createpolicy
template <int HINT> TF_DEV u64 l2_policy()
{
    static_assert(HINT == L2_EVICT_FIRST || HINT == L2_EVICT_LAST, "L2_NORMAL has no policy");
#ifdef TF_HOST
    return HINT;
#else
    u64 policy;
    if constexpr (HINT == L2_EVICT_FIRST)
        asm("createpolicy.fractional.L2::evict_first.b64 %0, 1.0;" : "=l"(policy));
    else
        asm("createpolicy.fractional.L2::evict_last.b64 %0, 1.0;" : "=l"(policy));
    return policy;
#endif
}
