// atomic.cuh: relaxed device-scope updates of global memory. PTX ISA 9.7.13.6 red.
#pragma once
#include "device/core.cuh"

TF_DEV void atomic_add(double *p, double v)
{
#ifdef TF_HOST
    emu::atomic_add(p, v);
#else
    atomicAdd(p, v);
#endif
}

TF_DEV void atomic_add(u64 *p, u64 v)
{
#ifdef TF_HOST
    emu::atomic_add(p, v);
#else
    atomicAdd(p, v);
#endif
}

TF_DEV void atomic_add(u32 *p, u32 v)
{
#ifdef TF_HOST
    emu::atomic_add(p, v);
#else
    atomicAdd(p, v);
#endif
}

TF_DEV void atomic_min(u64 *p, u64 v)
{
#ifdef TF_HOST
    emu::atomic_min(p, v);
#else
    atomicMin(p, v);
#endif
}

TF_DEV void atomic_max(u32 *p, u32 v)
{
#ifdef TF_HOST
    emu::atomic_max(p, v);
#else
    atomicMax(p, v);
#endif
}
