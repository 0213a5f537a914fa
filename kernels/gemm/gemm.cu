// gemm.cu: y = x * weightᵀ and what follows it, on tensor cores. Serves linear and fp8_gemm.
//
//   out = activation(x * weightᵀ * x_scale * weight_scale + bias) + residual
//
// x [m, k], weight [n, k], out [m, n]; sums in fp32. The tensor cores of Hopper add fp8 products with
// about 14 bits: their sums are added to fp32 registers every 128 of K, unless FAST_ACCUM.
#include "gemm/gemm_generic.cuh"
#include "gemm/gemm_mma.cuh"
#include "gemm/gemm_sm90.cuh"
#include "gemm/gemm_stream.cuh"

template <class C> TF_DEV void gemm(const gemm_params &p)
{
    if constexpr (C::MAINLOOP == GEMM_WGMMA)
        gemm_sm90<C>(p);
    else if constexpr (C::MAINLOOP == GEMM_STREAM)
        gemm_stream<C>(p);
    else
        gemm_mma<C>(p);
}
