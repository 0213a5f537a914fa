// gated_mlp.cu: out = act(x * gateᵀ) * (x * upᵀ) in one kernel. Serves gated_mlp and fp8_gated_mlp.
//
// The kernels of gemm.cu with PAIRED tiles: rows of both weights side by side in shared memory, both
// sums of an output in one thread (gemm_pair.cuh); neither is written to memory.
#include "gemm/gated_mlp_generic.cuh"
#include "gemm/gemm_mma.cuh"
#include "gemm/gemm_sm90.cuh"

template <class C> TF_DEV void gated_mlp(const gated_mlp_params &p)
{
    if constexpr (C::MAINLOOP == GEMM_WGMMA)
        gemm_sm90<C>(p.gemm);
    else
        gemm_mma<C>(p.gemm);
}
