// rmsnorm_linear.cu: y = rmsnorm(x) * weightᵀ and what follows it; the normalised x is not written.
//
// The kernels of gemm.cu; the rows' factors multiply the sums (gemm_norm.cuh).
#include "gemm/gemm_mma.cuh"
#include "gemm/gemm_sm90.cuh"
#include "gemm/gemm_stream.cuh"
#include "gemm/rmsnorm_linear_generic.cuh"

template <class C> TF_DEV void rmsnorm_linear(const rmsnorm_linear_params &p)
{
    if constexpr (C::MAINLOOP == GEMM_WGMMA)
        gemm_sm90<C>(p.gemm);
    else if constexpr (C::MAINLOOP == GEMM_STREAM)
        gemm_stream<C>(p.gemm);
    else
        gemm_mma<C>(p.gemm);
}
