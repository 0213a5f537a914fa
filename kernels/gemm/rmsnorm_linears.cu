// rmsnorm_linears.cu: products of rmsnorm(x) with two or three weights, each with an output of its own.
//
// The kernels of rmsnorm_linear.cu; a tile lies in one weight's part (gemm_parts.cuh).
#include "gemm/gemm_mma.cuh"
#include "gemm/gemm_sm90.cuh"
#include "gemm/gemm_stream.cuh"
#include "gemm/rmsnorm_linear_generic.cuh"
#include "gemm/rmsnorm_linears_params.h"

template <class C> TF_DEV void rmsnorm_linears(const rmsnorm_linears_params &p)
{
    const gemm_params &first = p.part[0].gemm;
    if constexpr (C::MAINLOOP == GEMM_WGMMA)
        gemm_sm90<C>(first);
    else if constexpr (C::MAINLOOP == GEMM_STREAM)
        gemm_stream<C>(first);
    else
        gemm_mma<C>(first);
}

template <class C> TF_DEV void rmsnorm_linears_generic(const rmsnorm_linears_params &p)
{
    for (int i = 0; i < LINEARS_MOST; i++)
        rmsnorm_linear_generic<C>(p.part[i]);
}
