// thread.cuh: who a thread is, how threads wait for and talk to each other, and shared memory.
//
// Collectives here require every thread of the block (block_*) or warp (warp_*, shfl_*) to arrive.
#pragma once
#include "device/core.cuh"

TF_DEV int thread_index()
{
#ifdef TF_HOST
    return emu::me->thread;
#else
    return (int)threadIdx.x;
#endif
}

TF_DEV u32 block_index()
{
#ifdef TF_HOST
    return emu::me->block;
#else
    return blockIdx.x;
#endif
}

TF_DEV u32 block_count()
{
#ifdef TF_HOST
    return emu::me->blocks;
#else
    return gridDim.x;
#endif
}

// PTX ISA 9.7.13.1 barrier
TF_DEV void block_sync()
{
#ifdef TF_HOST
    emu::block_sync();
#else
    __syncthreads();
#endif
}

// PTX ISA 9.7.13.2 bar.warp.sync
TF_DEV void warp_sync()
{
#ifdef TF_HOST
    emu::warp_sync();
#else
    __syncwarp();
#endif
}

// PTX ISA 9.7.9.6 shfl.sync; every lane of the warp takes part.
TF_DEV float shfl_xor(float v, int mask)
{
#ifdef TF_HOST
    return emu::shuffle_xor(v, mask);
#else
    return __shfl_xor_sync(0xffffffffu, v, mask);
#endif
}

TF_DEV double shfl_xor(double v, int mask)
{
#ifdef TF_HOST
    return emu::shuffle_xor(v, mask);
#else
    return __shfl_xor_sync(0xffffffffu, v, mask);
#endif
}

TF_DEV u32 shfl_xor(u32 v, int mask)
{
#ifdef TF_HOST
    return emu::shuffle_xor(v, mask);
#else
    return __shfl_xor_sync(0xffffffffu, v, mask);
#endif
}

TF_DEV u64 shfl_xor(u64 v, int mask)
{
#ifdef TF_HOST
    return emu::shuffle_xor(v, mask);
#else
    return __shfl_xor_sync(0xffffffffu, v, mask);
#endif
}

// The value of the warp's first lane: what is the same in all of them, known to be so.
TF_DEV int warp_uniform(int v)
{
#ifdef TF_HOST
    return emu::shuffle(v, 0);
#else
    return __shfl_sync(0xffffffffu, v, 0);
#endif
}

// True in one lane of the warp. PTX ISA 9.7.13.14 elect.sync (sm_90 and later)
TF_DEV bool warp_elect()
{
#ifdef TF_HOST
    return thread_index() % 32 == 0;
#else
    u32 elected;
    asm volatile("{ .reg .pred p; elect.sync _|p, 0xffffffff; selp.u32 %0, 1, 0, p; }"
                 : "=r"(elected));
    return elected != 0;
#endif
}

// The one dynamic shared-memory block of a kernel; its size comes from the host (SMEM_BYTES).
#ifndef TF_HOST
extern __shared__ __align__(1024) unsigned char tf_shared_base[];
#endif

template <class T> TF_DEV T *smem_at(u32 offset_bytes)
{
#ifdef TF_HOST
    return reinterpret_cast<T *>(emu::me->shared + offset_bytes);
#else
    return reinterpret_cast<T *>(tf_shared_base + offset_bytes);
#endif
}
