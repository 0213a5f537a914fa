// gemm_math.cuh: what happens to a sum of products before it is stored, the same in every kernel.
//
//   out = activation(sum * x_scale * weight_scale + bias) + residual          in fp32
#pragma once
#include "device/math.cuh"
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
