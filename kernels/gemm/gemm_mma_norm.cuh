// gemm_mma_norm.cuh: RMSNorm of the rows of x in the mma.sync kernel (what and why: gemm_norm.cuh).
//
// All threads add up the squares of a tile of x and multiply it by norm_weight between its arrival and
// its products, one more barrier a block of K. Known weakness: nothing runs under that.
#pragma once
#include "device/mem.cuh"
#include "device/thread.cuh"
#include "gemm/gemm_norm.cuh"

template <class C> struct GemmMmaNorm {
    using T = typename C::DTYPE;
    using Sixteen = Vec<T, 8>;
    static constexpr int ROW_BYTES = 128, BLOCK_K = 64, LANES = 8; // threads of a row
    static constexpr int EACH = C::BLOCK_M * LANES / C::THREADS;
    using Part = float[EACH];

    // Eight elements from k on, zeros behind the end; at any address.
    TF_DEV void fetch(const gemm_params &p, int k, float (&w)[8])
    {
        const T *weight = static_cast<const T *>(gemm_norm(p).norm_weight);
        TF_UNROLL
        for (int e = 0; e < 8; e++)
            w[e] = k + e < C::K ? to_f32(ld_elem<LD_KEEP>(weight + k + e)) : 0.0f;
    }

    TF_DEV void normalise(const gemm_params &p, u8 *tile, int block, Part &part)
    {
        const int chunk = thread_index() % LANES;
        [[maybe_unused]] float w[8];
        if constexpr (C::HAS_NORM_WEIGHT)
            fetch(p, block * BLOCK_K + 8 * chunk, w);
        TF_UNROLL
        for (int i = 0; i < EACH; i++) {
            const int row = (thread_index() + i * C::THREADS) / LANES;
            Sixteen *at =
                reinterpret_cast<Sixteen *>(tile + gemm_swizzle<128>(row * ROW_BYTES + chunk * 16));
            float x[8];
            vec_unpack(*at, x);
            TF_UNROLL
            for (int e = 0; e < 8; e++)
                part[i] += x[e] * x[e];
            if constexpr (C::HAS_NORM_WEIGHT) {
                TF_UNROLL
                for (int e = 0; e < 8; e++)
                    x[e] *= w[e];
                *at = vec_pack<T, 8>(x);
            }
        }
        block_sync(); // the tile is normalised
    }

    // The rows' factors, where the stages were.
    TF_DEV float *factors(const gemm_params &p, const Part &part)
    {
        float *to = smem_at<float>(0);
        block_sync(); // nobody reads the stages any more
        TF_UNROLL
        for (int i = 0; i < EACH; i++) {
            const float sum = lanes_sum<LANES>(part[i]);
            if (thread_index() % LANES == 0)
                to[(thread_index() + i * C::THREADS) / LANES] =
                    rsqrt_approx(sum * (1.0f / (float)C::K) + gemm_norm(p).eps);
        }
        block_sync(); // every factor is there
        return to;
    }
};
