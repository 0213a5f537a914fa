// barrier.cuh: barriers in shared memory that count arrivals and bytes (mbarrier), and the numbered
// barriers of a block for some of its warps.
//
// An MBar completes a phase when all arrivals and all announced bytes are there. A waiter names the
// parity of the phase it waits for: 0 for the first. Waiting for parity 1 of a fresh barrier returns
// at once. sm_90 and later; named barriers everywhere.
#pragma once
#include "device/shared.cuh"

struct alignas(8) MBar {
    u64 state;
};

// PTX ISA 9.7.13.15 mbarrier
TF_DEV void mbar_init(MBar *bar, u32 arrivals)
{
#ifdef TF_HOST
    emu::mbar_init(bar, arrivals);
#else
    asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(shared_address(bar)), "r"(arrivals)
                 : "memory");
#endif
}

// After the inits, before others (TMA, other blocks of the cluster) use them. PTX ISA 9.7.13.4
TF_DEV void mbar_init_fence()
{
#ifdef TF_HOST
    emu::mbar_init_fence();
#else
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
#endif
}

// One arrival, and `bytes` more that TMA has to bring before the phase completes.
TF_DEV void mbar_expect(MBar *bar, u32 bytes)
{
#ifdef TF_HOST
    emu::mbar_expect(bar, bytes);
#else
    asm volatile(
        "mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(shared_address(bar)),
        "r"(bytes)
        : "memory");
#endif
}

TF_DEV void mbar_arrive(MBar *bar)
{
#ifdef TF_HOST
    emu::mbar_arrive(bar);
#else
    asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(shared_address(bar)) : "memory");
#endif
}

// Arrives at the same barrier of block `rank` of the cluster. Releases no memory accesses of the
// cluster: at that scope ptxas makes it a fence of the whole GPU, 1 us in a loop of wgmma. What a
// consumer has read by wgmma and waited for needs none.
TF_DEV void mbar_arrive_at(MBar *bar, int rank)
{
#ifdef TF_HOST
    emu::mbar_arrive_at(bar, rank);
#else
    asm volatile("{ .reg .b32 peer; mapa.shared::cluster.u32 peer, %0, %1;"
                 "  mbarrier.arrive.shared::cluster.b64 _, [peer]; }" ::"r"(shared_address(bar)),
                 "r"(rank)
                 : "memory");
#endif
}

TF_DEV void mbar_wait(MBar *bar, u32 parity)
{
#ifdef TF_HOST
    emu::mbar_wait(bar, parity);
#else
    asm volatile("{ .reg .pred done;"
                 "TRY_%=: mbarrier.try_wait.parity.shared::cta.b64 done, [%0], %1;"
                 "  @done bra END_%=;"
                 "  bra TRY_%=;"
                 "END_%=: }" ::"r"(shared_address(bar)),
                 "r"(parity)
                 : "memory");
#endif
}

// Waits until `threads` threads have arrived at or wait for barrier `id` (1 to 15; 0 is the block's).
// PTX ISA 9.7.13.1 barrier
TF_DEV void named_sync(int id, int threads)
{
#ifdef TF_HOST
    emu::named_sync(id, threads);
#else
    asm volatile("barrier.sync %0, %1;" ::"r"(id), "r"(threads) : "memory");
#endif
}

// The same; whether any of them came with `mine`. PTX ISA 9.7.13.1 barrier.red
TF_DEV bool named_any(int id, int threads, bool mine)
{
#ifdef TF_HOST
    return emu::named_any(id, threads, mine);
#else
    u32 any;
    asm volatile("{ .reg .pred mine, any;"
                 "  setp.ne.u32 mine, %3, 0;"
                 "  barrier.red.or.pred any, %1, %2, mine;"
                 "  selp.u32 %0, 1, 0, any; }"
                 : "=r"(any)
                 : "r"(id), "r"(threads), "r"((u32)mine)
                 : "memory");
    return any;
#endif
}

TF_DEV void named_arrive(int id, int threads)
{
#ifdef TF_HOST
    emu::named_arrive(id, threads);
#else
    asm volatile("barrier.arrive %0, %1;" ::"r"(id), "r"(threads) : "memory");
#endif
}
