// thread.cuh: who a thread is, how threads wait for and talk to each other, and shared memory.
//
// Collectives here require every thread of the block (block_*) or warp (warp_*, shfl_*) to arrive.
#pragma once
#include "device/core.cuh"

TF_DEV int thread_index()
{
    return (int)threadIdx.x;
}

TF_DEV u32 block_index()
{
    return blockIdx.x;
}

TF_DEV u32 block_count()
{
    return gridDim.x;
}

// PTX ISA 9.7.13.1 barrier
TF_DEV void block_sync()
{
    __syncthreads();
}

// PTX ISA 9.7.13.2 bar.warp.sync
TF_DEV void warp_sync()
{
    __syncwarp();
}

// PTX ISA 9.7.9.6 shfl.sync; every lane of the warp takes part.
TF_DEV float shfl_xor(float v, int mask)
{
    return __shfl_xor_sync(0xffffffffu, v, mask);
}

TF_DEV double shfl_xor(double v, int mask)
{
    return __shfl_xor_sync(0xffffffffu, v, mask);
}

TF_DEV u32 shfl_xor(u32 v, int mask)
{
    return __shfl_xor_sync(0xffffffffu, v, mask);
}

TF_DEV u64 shfl_xor(u64 v, int mask)
{
    return __shfl_xor_sync(0xffffffffu, v, mask);
}

// The one dynamic shared-memory block of a kernel; its size comes from the host (SMEM_BYTES).
extern __shared__ __align__(1024) unsigned char tf_shared_base[];

template <class T> TF_DEV T *smem_at(u32 offset_bytes)
{
    return reinterpret_cast<T *>(tf_shared_base + offset_bytes);
}
