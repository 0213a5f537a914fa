// linear_add_rmsnorm.cu: h = x * weightᵀ + bias + residual and its RMSNorm, in one launch.
//
// The kernels of gemm.cu with another end: blocks exchange the sums of their rows' squares and normalise
// h while it is in registers (gemm_add_norm.cuh). EXCHANGE 0: a block has whole rows and reads h again,
// which needs no workspace.
#include "gemm/gemm_mma.cuh"
#include "gemm/gemm_sm90.cuh"
#include "gemm/linear_add_rmsnorm_generic.cuh"

template <class C> TF_DEV void linear_add_rmsnorm(const linear_add_rmsnorm_params &p)
{
    if constexpr (C::MAINLOOP)
        gemm_sm90<C>(p.gemm);
    else
        gemm_mma<C>(p.gemm);
}
