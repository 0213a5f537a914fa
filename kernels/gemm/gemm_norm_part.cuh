// gemm_norm_part.cuh: norm_weight, as consumers need it that normalise x (gemm_held.cuh): of each stage its
// elements, beside the tiles, zeros behind its end. Read from memory by the consumers, it took 2 to 5% of a
// kernel.
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

    static constexpr u32 BYTES = ON ? L::NORM_PART_BYTES : 0; // that a stage waits for beside its tiles

    TF_DEV void load(const gemm_params &p, int k, u32 stage)
    {
        if constexpr (ON)
            tma_load(at(stage), gemm_norm(p).norm_map, GemmRing<C>::full(stage), k * L::BLOCK_K);
    }
};
