// gemm_values.cuh: what becomes of a consumer's sums before they are stored: scales, bias, activation,
// residual. A kind of values has Held, of which EACH are four neighbours of a fragment; Down, what it reads
// once for the rows of a slab; and finish().
//
// Known weakness: the residual is read in fragment order, 4 bytes (SWAP: 2) a lane.
#pragma once
#include "device/mem.cuh"
#include "gemm/gemm_layout.cuh"
#include "gemm/gemm_math.cuh"

// What scales and shifts two neighbouring rows or columns of a fragment.
struct GemmFactors {
    float scale[2], bias[2];
};

// Of four neighbours of a fragment: their first row and column in rows of R and of C; which block column of
// which of the consumer's slabs they are.
struct GemmPlace {
    int row, col, slab, column;
};

template <class C> struct GemmValues {
    using L = GemmLayout<C>;
    using TO = typename L::TO;
    using Held = float;
    using Down = GemmFactors;
    static constexpr int EACH = 4;

    // Whether tiles reach beyond the last column.
    static constexpr bool OVERHANGS =
        C::N % (C::SWAP ? L::TILE_ROWS * C::CLUSTER_M : L::TILE_COLS * C::CLUSTER_N);

    float scale; // of the whole tensors

    TF_DEV bool has_column(int n)
    {
        return !OVERHANGS || n < C::N;
    }

    TF_DEV GemmValues start(const gemm_params &params)
    {
        if constexpr (L::EPILOGUE_SCALING == GEMM_PER_TENSOR)
            return {ld_elem<LD_CONST>(params.x_scale) * ld_elem<LD_CONST>(params.weight_scale)};
        return {1};
    }

    // Factors of index and index + step of the n or the m side, those outside the tensor: nothing.
    TF_DEV GemmFactors factors(const gemm_params &params, bool weight_side, int index, int step)
    {
        GemmFactors f;
        TF_UNROLL
        for (int i = 0; i < 2; i++) {
            const int at = index + i * step;
            const bool inside = weight_side ? has_column(at) : at < params.m;
            f.scale[i] = 1;
            f.bias[i] = 0;
            if constexpr (L::EPILOGUE_SCALING == GEMM_PER_ROW)
                if (inside)
                    f.scale[i] = ld_elem<LD_CONST>(
                        weight_side ? params.weight_scale + at * params.weight_scale_stride
                                    : params.x_scale + at * params.x_scale_stride);
            if constexpr (C::HAS_BIAS)
                if (weight_side && inside)
                    f.bias[i] =
                        to_f32(ld_elem<LD_CONST>(static_cast<const TO *>(params.bias) + at));
        }
        return f;
    }

    TF_DEV float residual(const gemm_params &params, int m, int n)
    {
        if (m >= params.m || !has_column(n))
            return 0;
        return to_f32(ld_elem<LD_KEEP>(
            static_cast<const TO *>(params.residual) + m * params.residual_stride + n));
    }

    // Of four neighbours of a fragment; neighbours along n in one access where they never part.
    TF_DEV void residuals(const gemm_params &params, int row, int col, float (&r)[4])
    {
        TF_UNROLL
        for (int h = 0; h < 2; h++) {
            if constexpr (!C::SWAP && C::N % 2 == 0) {
                const TO *at = static_cast<const TO *>(params.residual) +
                               (row + 8 * h) * params.residual_stride + col;
                Vec<TO, 2> pair = vec_zero<TO, 2>();
                float f[2];
                if (row + 8 * h < params.m && has_column(col))
                    pair = ld_vec<LD_KEEP, 2 * L::OUT_ELEM, TO, 2>(at);
                vec_unpack(pair, f);
                r[2 * h] = f[0];
                r[2 * h + 1] = f[1];
            } else {
                TF_UNROLL
                for (int c = 0; c < 2; c++)
                    r[2 * h + c] = C::SWAP ? residual(params, col + c, row + 8 * h)
                                           : residual(params, row + 8 * h, col + c);
            }
        }
    }

    TF_DEV Down down(const GemmValues &, const gemm_params &params, int row)
    {
        return factors(params, C::SWAP, row, 8);
    }

    // Of four sums: those of the place's row or the 8th behind it and its column or the next.
    TF_DEV void finish(const GemmValues &values, const gemm_params &params, const Down &down,
        const GemmPlace &place, const float *d, float (&v)[4])
    {
        const GemmFactors across = factors(params, !C::SWAP, place.col, 1);
        float r[4] = {};
        if constexpr (C::HAS_RESIDUAL)
            residuals(params, place.row, place.col, r);
        TF_UNROLL
        for (int i = 0; i < 4; i++) {
            const int h = i / 2, c = i % 2;
            float x = d[i] * values.scale;
            if constexpr (L::EPILOGUE_SCALING == GEMM_PER_ROW)
                x *= down.scale[h] * across.scale[c];
            if constexpr (C::HAS_BIAS)
                x += C::SWAP ? down.bias[h] : across.bias[c];
            x = gemm_activate(C::ACTIVATION, x);
            if constexpr (C::HAS_RESIDUAL)
                x += r[i];
            v[i] = x;
        }
    }
};
