// gemm_math.cuh: what happens to a sum of products before it is stored, the same in every kernel.
//
//   out = activation(sum * x_scale * weight_scale + bias) + residual          in fp32
#pragma once
#include "device/math.cuh"
#include "device/mem.cuh"
#include "device/num.cuh"
#include "gemm/gemm_params.h"

// gelu: x * Phi(x). gelu_tanh: Hendrycks and Gimpel 2016, 0.5 x (1 + tanh(sqrt(2 / pi) (x + 0.044715
// x^3))), written with the sigmoid of twice the argument. Errors of the functions: math.cuh.
TF_DEV float gemm_activate(int activation, float x)
{
    switch (activation) {
    case GEMM_RELU:
        return x < 0.0f ? 0.0f : x; // NaN stays
    case GEMM_SILU:
        return x * sigmoid(x);
    case GEMM_GELU:
        return x * normal_cdf(x);
    case GEMM_GELU_TANH:
        return x * sigmoid(1.59576912f * (x + 0.044715f * x * x * x));
    default:
        return x;
    }
}

// Of one output, each value read where it is needed.
template <class C> TF_DEV float gemm_finish(const gemm_params &p, int m, int n, float x)
{
    using TO = typename C::OUT_DTYPE;
    if constexpr (C::SCALING == GEMM_PER_TENSOR)
        x *= ld_elem<LD_CONST>(p.x_scale) * ld_elem<LD_CONST>(p.weight_scale);
    if constexpr (C::SCALING == GEMM_PER_ROW)
        x *= ld_elem<LD_CONST>(p.x_scale + m * p.x_scale_stride) *
             ld_elem<LD_CONST>(p.weight_scale + n * p.weight_scale_stride);
    if constexpr (C::HAS_BIAS)
        x += to_f32(ld_elem<LD_CONST>(static_cast<const TO *>(p.bias) + n));
    x = gemm_activate(C::ACTIVATION, x);
    if constexpr (C::HAS_RESIDUAL)
        x += to_f32(
            ld_elem<LD_KEEP>(static_cast<const TO *>(p.residual) + m * p.residual_stride + n));
    return x;
}
