// gemm_values.cuh: what becomes of a consumer's sums before they are stored: scales, bias, activation,
// residual. A kind of values has Held, of which EACH are four neighbours of a fragment; Down, what it reads
// once for the rows of a slab; and finish().
//
// Known weakness: the residual is read in fragment order, 4 bytes (SWAP: 2) a lane.
#pragma once
#include "device/mem.cuh"
#include "gemm/gemm_layout.cuh"
#include "gemm/gemm_math.cuh"
#include "gemm/gemm_parts.cuh"

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

    float scale; // of the whole tensors

    TF_DEV GemmValues start(const gemm_params &params)
    {
        if constexpr (L::EPILOGUE_SCALING == GEMM_PER_TENSOR)
            return {ld_elem<LD_CONST>(params.x_scale) * ld_elem<LD_CONST>(params.weight_scale)};
        return {1};
    }

    // Whether index `at` of the n or the m side lies inside the tensor.
    TF_DEV bool inside(const gemm_params &params, bool weight_side, int at)
    {
        using Parts = GemmParts<C>;
        constexpr bool WHOLE = // no block of a cluster hangs over
            Parts::template whole < C::SWAP ? L::TILE_ROWS * C::CLUSTER_M
                                            : L::TILE_COLS * C::CLUSTER_N > ();
        return weight_side ? WHOLE || at < Parts::rows(params) : at < params.m;
    }

    // Factors of index and index + step of the n or the m side, those outside the tensor: any. Through the
    // non-coherent path ptxas would load a slab's ahead, across barriers, until registers spill.
    TF_DEV GemmFactors factors(const gemm_params &params, bool weight_side, int index, int step)
    {
        GemmFactors f;
        TF_UNROLL
        for (int i = 0; i < 2; i++) {
            const int at = index + i * step;
            const bool in = inside(params, weight_side, at);
            f.scale[i] = 1;
            f.bias[i] = 0;
            if constexpr (L::EPILOGUE_SCALING == GEMM_PER_ROW)
                f.scale[i] =
                    ld_f32_if(weight_side ? params.weight_scale + at * params.weight_scale_stride
                                          : params.x_scale + at * params.x_scale_stride,
                        in);
            if constexpr (C::HAS_BIAS)
                if (weight_side)
                    f.bias[i] = ld_f32_if(static_cast<const TO *>(params.bias) + at, in);
        }
        return f;
    }

    // Of the four elements of finish(); neighbours along n in one access where they never part.
    TF_DEV void residuals(const gemm_params &params, int row, int col, float (&r)[4])
    {
        const TO *residual = static_cast<const TO *>(params.residual);
        TF_UNROLL
        for (int h = 0; h < 2; h++) {
            if constexpr (!C::SWAP && C::N % 2 == 0) {
                const int m = row + 8 * h;
                float f[2];
                vec_unpack(ld_vec_if<TO, 2>(residual + m * params.residual_stride + col,
                               inside(params, false, m) && inside(params, true, col)),
                    f);
                r[2 * h] = f[0];
                r[2 * h + 1] = f[1];
            } else {
                TF_UNROLL
                for (int c = 0; c < 2; c++) {
                    const int m = C::SWAP ? col + c : row + 8 * h;
                    const int n = C::SWAP ? row + 8 * h : col + c;
                    r[2 * h + c] = ld_f32_if(residual + m * params.residual_stride + n,
                        inside(params, false, m) && inside(params, true, n));
                }
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
