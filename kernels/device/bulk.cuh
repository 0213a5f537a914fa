// bulk.cuh: bulk copies global -> shared that complete on an mbarrier (sm_90 and later).
//
// Addresses and sizes are multiples of 16 bytes. One thread arms the barrier with the byte count and
// issues the copies; everyone waits for the phase. The spin loop lives here, never in a template.
#pragma once
#include "device/core.cuh"

typedef u64 Mbar;

TF_DEV u32 shared_address(const void *p)
{
    return (u32)__cvta_generic_to_shared(p);
}

// PTX ISA 9.7.13.15.9 mbarrier.init
TF_DEV void mbar_init(Mbar *bar, u32 arrivals)
{
    asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(shared_address(bar)), "r"(arrivals)
        : "memory");
}

// Makes initialised barriers visible to the copy engine. PTX ISA 9.7.13.4 fence.mbarrier_init
TF_DEV void mbar_init_fence()
{
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
}

// One arrival that also expects `bytes` of copies. PTX ISA 9.7.13.15.13 mbarrier.arrive
TF_DEV void mbar_arrive_expect(Mbar *bar, u32 bytes)
{
    asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(
                     shared_address(bar)),
        "r"(bytes)
        : "memory");
}

// Returns when the phase of that parity is complete. PTX ISA 9.7.13.15.16 mbarrier.try_wait
TF_DEV void mbar_wait(Mbar *bar, u32 parity)
{
    asm volatile("{ .reg .pred done;\n"
                 "again_%=: mbarrier.try_wait.parity.shared::cta.b64 done, [%0], %1;\n"
                 "@!done bra again_%=; }" ::"r"(shared_address(bar)),
        "r"(parity)
        : "memory");
}

// PTX ISA 9.7.9.25.4.1 cp.async.bulk
TF_DEV void bulk_load(void *dst_shared, const void *src, u32 bytes, Mbar *bar)
{
    asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes"
                 " [%0], [%1], %2, [%3];" ::"r"(shared_address(dst_shared)),
        "l"(src), "r"(bytes), "r"(shared_address(bar))
        : "memory");
}
