// pdl.cuh: overlapping a kernel's start with the end of the one before it in its stream (sm_90 and
// later). Launched without the attribute, and emulated, both are no-ops: clusters run in turn.
// PTX ISA 9.7.13.13 griddepcontrol
#pragma once
#include "device/thread.cuh"

// Before the first read of what an earlier kernel wrote, and before the first write.
TF_DEV void pdl_wait()
{
#ifndef TF_HOST
    asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}

// The next kernel may start now; it waits by itself for what it reads.
TF_DEV void pdl_launch()
{
#ifndef TF_HOST
    asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
#endif
}

// First in a kernel. Every block waits, also one without work: a launch must not end before the one
// it follows.
template <class C> TF_DEV void pdl_begin()
{
    if constexpr (C::PDL) {
        pdl_launch();
        pdl_wait();
    }
}

// Of a grid so small that its blocks stand beside those of the kernel before: ahead() brings to L2 what
// they read first, which may still be written. In larger grids most blocks start when that kernel has
// ended; what they ask for twice often costs more than the `first` ones gain (docs/notes/rmsnorm.md).
template <class C, class AHEAD> TF_DEV void pdl_begin(AHEAD ahead, u32 first = 0)
{
    constexpr u32 FEW_BLOCKS = 256;
    if constexpr (C::PDL) {
        pdl_launch();
        if (block_count() <= FEW_BLOCKS || block_index() < first)
            ahead();
        pdl_wait();
    }
}
