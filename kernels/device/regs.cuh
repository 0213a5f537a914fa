// regs.cuh: moving registers from a warpgroup that loads to warpgroups that compute (sm_90a).
//
// Every warp of the warpgroup executes it. Takes effect only if ptxas knows the kernel's register
// count (__launch_bounds__). PTX ISA 9.7.19.5 setmaxnreg
#pragma once
#include "device/core.cuh"

template <int COUNT> TF_DEV void regs_release()
{
    static_assert(COUNT >= 24 && COUNT <= 256 && COUNT % 8 == 0, "a count setmaxnreg takes");
#ifndef TF_HOST
    asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(COUNT));
#endif
}

template <int COUNT> TF_DEV void regs_acquire()
{
    static_assert(COUNT >= 24 && COUNT <= 256 && COUNT % 8 == 0, "a count setmaxnreg takes");
#ifndef TF_HOST
    asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(COUNT));
#endif
}
