// shared.cuh: addresses of shared memory as instructions take them, and the asynchronous proxy.
#pragma once
#include "device/core.cuh"

// PTX ISA 5.1.2 (state spaces): an address within the block's window of shared memory.
TF_DEV u32 shared_address(const void *p)
{
#ifdef TF_HOST
    return emu::shared_address(p);
#else
    return (u32)__cvta_generic_to_shared(p);
#endif
}

// Makes this thread's ordinary accesses of shared memory visible to TMA and wgmma, and orders them.
// PTX ISA 9.7.13.4 fence.proxy
TF_DEV void shared_fence_async()
{
#ifdef TF_HOST
    emu::fence_async();
#else
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
#endif
}
