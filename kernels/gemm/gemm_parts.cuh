// gemm_parts.cuh: several weights that read one x (q, k, v; gate, up), their products in one launch.
//
// Parameters are then an array of those with one weight, a part each. Tiles are counted through all
// parts along the weights' rows; a tile lies in one part.
#pragma once
#include "device/core.cuh"
#include "gemm/rmsnorm_linear_params.h"

struct GemmPart {
    int part, tile; // of the part
};

template <class C, class = void> struct GemmParts {
    static constexpr bool SEVERAL = false;

    // Rows of weight of the part whose parameters these are.
    TF_DEV int rows([[maybe_unused]] const gemm_params &p)
    {
        return C::N;
    }

    template <int ROWS> TF_DEV constexpr int tiles()
    {
        return ceil_div(C::N, ROWS);
    }

    template <int ROWS> TF_DEV constexpr bool whole()
    {
        return C::N % ROWS == 0;
    }

    template <int ROWS> TF_DEV GemmPart find(int tile)
    {
        return {0, tile};
    }

    TF_DEV const gemm_params &params(const gemm_params &p, [[maybe_unused]] int part)
    {
        return p;
    }
};

template <class C> struct GemmParts<C, decltype((void)C::N3)> {
    static constexpr bool SEVERAL = true;

    TF_DEV int rows(const gemm_params &p)
    {
        return p.n;
    }

    template <int ROWS> TF_DEV constexpr int tiles()
    {
        return ceil_div(C::N, ROWS) + ceil_div(C::N2, ROWS) + ceil_div(C::N3, ROWS);
    }

    template <int ROWS> TF_DEV constexpr bool whole()
    {
        return C::N % ROWS == 0 && C::N2 % ROWS == 0 && C::N3 % ROWS == 0;
    }

    template <int ROWS> TF_DEV GemmPart find(int tile)
    {
        constexpr int FIRST = ceil_div(C::N, ROWS), SECOND = FIRST + ceil_div(C::N2, ROWS);
        if (tile < FIRST)
            return {0, tile};
        if (tile < SECOND || C::N3 == 0)
            return {1, tile - FIRST};
        return {2, tile - SECOND};
    }

    TF_DEV const gemm_params &params(const gemm_params &p, int part)
    {
        return reinterpret_cast<const rmsnorm_linear_params *>(&p)[part].gemm;
    }
};
