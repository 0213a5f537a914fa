// gemm_norm_part.cuh: norm_weight, as consumers need it that normalise x (gemm_held.cuh): of each stage its
// elements, beside the tiles. Read from memory by the consumers, it took 2 to 5% of a kernel.
#pragma once
#include "device/tma.cuh"
#include "gemm/gemm_pipeline.cuh"
#include "gemm/rmsnorm_linear_params.h"

// Of an operator whose parameters begin with those of a product.
TF_DEV const rmsnorm_linear_params &gemm_norm(const gemm_params &p)
{
    return reinterpret_cast<const rmsnorm_linear_params &>(p);
}

template <class C> struct GemmNormPart {
    using L = GemmLayout<C>;
    static constexpr bool ON = L::HELD && L::WEIGHTED;

    TF_DEV u8 *at(u32 stage)
    {
        return smem_at<u8>(L::SCALES_AT) + stage * L::NORM_PART_BYTES;
    }

    // That stage k waits for beside its tiles: whole sixteens, like x's rows.
    TF_DEV u32 bytes(int k)
    {
        return ON ? (u32)min_int(L::NORM_PART_BYTES, (C::K - k * L::BLOCK_K) * L::ELEM) : 0;
    }

    TF_DEV void load(const gemm_params &p, int k, u32 stage)
    {
        if constexpr (ON)
            bulk_load(at(stage),
                static_cast<const typename L::TX *>(gemm_norm(p).norm_weight) + k * L::BLOCK_K,
                bytes(k), GemmRing<C>::full(stage));
    }
};
