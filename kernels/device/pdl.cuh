// pdl.cuh: overlapping a kernel's start with the end of the one before it in its stream (sm_90 and
// later). Launched without the attribute, both are no-ops. PTX ISA 9.7.13.13 griddepcontrol
#pragma once
#include "device/core.cuh"

// Before the first read of what an earlier kernel wrote, and before the first write.
TF_DEV void pdl_wait()
{
    asm volatile("griddepcontrol.wait;" ::: "memory");
}

// The next kernel may start now; it waits by itself for what it reads.
TF_DEV void pdl_launch()
{
    asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
}
