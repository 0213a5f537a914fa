// gemm_tokens.cuh: the tokens of a streamed product (gemm_stream.cuh), in shared memory.
//
// NORMED: what is there is x * norm_weight, rounded to x's dtype; the factor of a token's norm
// commutes with the product and multiplies the sums. Teams of warps take a token each.
#pragma once
#include "device/mem.cuh"
#include "device/reduce.cuh"
#include "gemm/gemm_layout.cuh"
#include "gemm/gemm_norm.cuh"
#include "gemm/gemm_parts.cuh"

template <class C> struct StreamLayout {
    using TX = typename C::DTYPE;
    using TW = typename GemmWeight<C>::type;
    struct alignas(16) Sixteen {
        u32 w[4];
    };

    static constexpr bool NORMED = GemmNormed<C>::VALUE, WEIGHTED = GemmNormed<C>::WEIGHTED;
    static constexpr int ELEM = (int)sizeof(TX);
    static constexpr int WARPS = C::THREADS / 32;
    static constexpr int CHUNK_BYTES = 128, CHUNK = CHUNK_BYTES / ELEM; // of K, a stage of a warp
    static constexpr int CHUNKS = ceil_div(C::K, CHUNK), EACH = ceil_div(CHUNKS, WARPS);
    static constexpr bool WHOLE_STEPS = CHUNKS % WARPS == 0,
                          WHOLE_ROWS = GemmParts<C>::template whole<C::BLOCK_M>();
    static constexpr bool WHOLE_K = C::K % (CHUNK * WARPS) == 0;
    static constexpr int TILES = GemmParts<C>::template tiles<C::BLOCK_M>();
    static constexpr int ROW_GROUPS = C::BLOCK_M / 16, TOKEN_GROUPS = ceil_div(C::BLOCK_N, 8);
    static constexpr int PIECES = 4 * ROW_GROUPS; // of sixteen bytes a lane in a stage

    // Warps that share a token's sum of squares.
    static constexpr int TEAM = max_int(WARPS / C::BLOCK_N, 1), TEAMS = WARPS / TEAM;
    // Rows of x begin half of the banks apart: eight lanes read sixteen bytes each of two.
    static constexpr int X_PITCH = CHUNKS * CHUNK_BYTES + 64;
    static constexpr int TILE_SUMS = ROW_GROUPS * TOKEN_GROUPS * 128;

    static constexpr int SUMS_AT = C::BLOCK_N * X_PITCH;
    static constexpr int SQUARES_AT = SUMS_AT + 2 * WARPS * TILE_SUMS * 4;
    static constexpr int RING_AT = SQUARES_AT + ceil_div(C::BLOCK_N * TEAM * 4, 16) * 16;
    static constexpr int SMEM_BYTES = RING_AT + C::STAGES * WARPS * PIECES * 512;

    // Of this lane's sixteen bytes in a chunk.
    TF_DEV int offset(int half)
    {
        return (half * 4 + thread_index() % 4) * 16 / ELEM;
    }

    static_assert(sizeof(TX) == 2 && sizeof(TW) == 2 && C::SCALING == GEMM_UNSCALED, "16 bits");
    static_assert(!GemmPaired<C>::VALUE, "one weight");
    static_assert(C::ALIGN >= 16 && C::K * ELEM % 16 == 0, "whole copies");
    static_assert(C::BLOCK_M % 16 == 0 && C::THREADS % 128 == 0, "whole products");
    static_assert(C::BLOCK_N <= 16 && (C::BLOCK_N & (C::BLOCK_N - 1)) == 0, "teams of warps");
    static_assert(C::STAGES >= 2, "one stage is filled while one is used");
    static_assert(C::SMEM_BYTES >= SMEM_BYTES, "the host's geometry agrees");
};

template <class C> struct GemmTokens {
    using L = StreamLayout<C>;
    using T = typename L::TX;
    using Sixteen = typename L::Sixteen;
    static constexpr int PER = 16 / L::ELEM, VECTORS = C::K / PER; // of a row
    static constexpr int STEP = 32 * L::TEAM, AT_ONCE = 4;
    using V = Vec<T, PER>;

    TF_DEV u8 *row(int token)
    {
        return smem_at<u8>((u32)(token * L::X_PITCH));
    }

    TF_DEV float *squares(int token)
    {
        return smem_at<float>(L::SQUARES_AT) + token * L::TEAM;
    }

    // This lane's part of a product: of token lane / 4, the last ones again where there are less.
    TF_DEV Sixteen read(int group, int chunk, int half)
    {
        const int token = (group * 8 + thread_index() % 32 / 4) % C::BLOCK_N;
        return *reinterpret_cast<const Sixteen *>(
            row(token) + chunk * L::CHUNK_BYTES + L::offset(half) * L::ELEM);
    }

    TF_DEV V fetch(const void *from, int vector, bool inside)
    {
        if (!inside || vector >= VECTORS)
            return vec_zero<T, PER>();
        return ld_vec<LD_CONST, 16, T, PER>(static_cast<const T *>(from) + vector * PER);
    }

    // Weighs a vector of a row; returns the sum of its squares before that.
    TF_DEV float weigh(V &value, [[maybe_unused]] const V &weight)
    {
        float x[PER], sum = 0;
        vec_unpack(value, x);
        TF_UNROLL
        for (int e = 0; e < PER; e++)
            sum += x[e] * x[e];
        if constexpr (L::WEIGHTED)
            TF_UNROLL
        for (int e = 0; e < value.WORDS; e++)
            value.w[e] = mul2<T>(value.w[e], weight.w[e]);
        return sum;
    }

    // Vectors `first`, first + STEP and so on of a token, AT_ONCE of them under way together.
    TF_DEV float load_some(const gemm_params &p, const T *from, u8 *to, int first, bool inside)
    {
        V value[AT_ONCE], weight[AT_ONCE];
        float sum = 0;
        TF_UNROLL
        for (int i = 0; i < AT_ONCE; i++) {
            value[i] = fetch(from, first + i * STEP, inside);
            if constexpr (L::WEIGHTED)
                weight[i] = fetch(gemm_norm(p).norm_weight, first + i * STEP, inside);
        }
        TF_UNROLL
        for (int i = 0; i < AT_ONCE; i++) {
            const int vector = first + i * STEP;
            if constexpr (L::NORMED)
                sum += weigh(value[i], weight[i]);
            if (vector < L::CHUNKS * 8) // zeros behind K
                *reinterpret_cast<V *>(to + vector * 16) = value[i];
        }
        return sum;
    }

    // Tokens [first, first + BLOCK_N); zeros for those that are none.
    TF_DEV void load(const gemm_params &p, int first)
    {
        const int lane = thread_index() % 32, warp = thread_index() / 32;
        for (int token = warp / L::TEAM; token < C::BLOCK_N; token += L::TEAMS) {
            const bool inside = first + token < p.m;
            const T *from =
                static_cast<const T *>(p.x) + (inside ? first + token : first) * p.x_stride;
            float sum = 0;
            _Pragma("unroll 1") for (int v = warp % L::TEAM * 32 + lane; v < L::CHUNKS * 8;
                                     v += AT_ONCE * STEP) sum +=
                load_some(p, from, row(token), v, inside);
            if constexpr (L::NORMED) {
                sum = lanes_sum<32>(sum);
                if (lane == 0)
                    squares(token)[warp % L::TEAM] = sum;
            }
        }
    }

    // What multiplies the sums of a token.
    TF_DEV float factor([[maybe_unused]] const gemm_params &p, [[maybe_unused]] int token)
    {
        if constexpr (!L::NORMED)
            return 1;
        float sum = 0;
        TF_UNROLL
        for (int i = 0; i < L::TEAM; i++)
            sum += squares(token)[i];
        return rsqrt_approx(sum * (1.0f / (float)C::K) + gemm_norm(p).eps);
    }
};
