// cp_async.cuh: asynchronous copies of 4, 8 or 16 bytes a thread, global to shared (sm_80 and later).
// PTX ISA 9.7.9.25.3 cp.async
#pragma once
#include "device/barrier.cuh"

// Copies `count` bytes and writes zeros behind them, WIDTH in all. Both addresses are multiples of
// WIDTH; `src` is in the tensor's memory even if count is 0.
template <int WIDTH> TF_DEV void cp_async(void *dst, const void *src, int count)
{
    static_assert(WIDTH == 4 || WIDTH == 8 || WIDTH == 16, "an access width");
#ifdef TF_HOST
    emu::cp_async(dst, src, WIDTH, (u32)count);
#else
    if constexpr (WIDTH == 16)
        asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(dst)),
                     "l"(src), "r"(count)
                     : "memory");
    else
        asm volatile("cp.async.ca.shared.global [%0], [%1], %3, %2;" ::"r"(shared_address(dst)),
                     "l"(src), "r"(count), "n"(WIDTH)
                     : "memory");
#endif
}

TF_DEV void cp_async_commit()
{
#ifdef TF_HOST
    emu::cp_async_commit();
#else
    asm volatile("cp.async.commit_group;" ::: "memory");
#endif
}

// At most PENDING of this thread's groups are not yet in shared memory.
template <int PENDING> TF_DEV void cp_async_wait()
{
#ifdef TF_HOST
    emu::cp_async_wait(PENDING);
#else
    asm volatile("cp.async.wait_group %0;" ::"n"(PENDING) : "memory");
#endif
}

// Arrives at `bar` once all earlier copies of this thread are in shared memory (sm_90 and later).
// PTX ISA 9.7.13.15.17 cp.async.mbarrier.arrive
TF_DEV void cp_async_arrive(MBar *bar)
{
#ifdef TF_HOST
    emu::cp_async_arrive(bar);
#else
    asm volatile("cp.async.mbarrier.arrive.noinc.shared::cta.b64 [%0];" ::"r"(shared_address(bar))
                 : "memory");
#endif
}
