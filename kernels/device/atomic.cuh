// atomic.cuh: relaxed device-scope updates of global memory. PTX ISA 9.7.13.6 red.
#pragma once
#include "device/core.cuh"

TF_DEV void atomic_add(double *p, double v)
{
    atomicAdd(p, v);
}

TF_DEV void atomic_add(u64 *p, u64 v)
{
    atomicAdd(p, v);
}

TF_DEV void atomic_min(u64 *p, u64 v)
{
    atomicMin(p, v);
}

TF_DEV void atomic_max(u32 *p, u32 v)
{
    atomicMax(p, v);
}
