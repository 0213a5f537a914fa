/*
 * Typed calls of the built-in operators: thin wrappers over tfops_launch(). Threads, streams and
 * errors as there. Tensors are device memory on a CUDA engine, host memory on the cpu device.
 */
#ifndef TFOPS_OPS_H
#define TFOPS_OPS_H

#include <tfops/plan.h>

#ifdef __cplusplus
extern "C" {
#endif

/* How the weight enters; values index the option "weight_variant". r = 1 / sqrt(mean(x²) + eps). */
enum tfops_weight_variant {
    TFOPS_WEIGHT_PLAIN = 0, /* y = x · r · w                       Zhang & Sennrich 2019      */
    TFOPS_WEIGHT_ONE_PLUS,  /* y = x · r · (1 + w)                 Gemma                      */
    TFOPS_WEIGHT_ROUND_BEFORE, /* y = round(x · r) · w, rounded to the dtype of x    HF Llama    */
};

/*
 * RMSNorm over the last dimension (Zhang & Sennrich, "Root Mean Square Layer Normalization", 2019).
 * x, out: [..., hidden], f16, bf16 or f32, same dtype, last stride 1, any row stride; out may be x.
 * weight: [hidden], that dtype or f32. eps ≥ 0.
 */
enum tfops_status tfops_rmsnorm(struct tfops_engine *engine, const struct tfops_tensor *x,
    const struct tfops_tensor *weight, const struct tfops_tensor *out, double eps,
    enum tfops_weight_variant variant, struct CUstream_st *stream);

/*
 * h = x + residual; out = rmsnorm(h). h, rounded to the dtype of x, is written to residual_out, or
 * to residual when residual_out is NULL. The norm is of the unrounded sum.
 */
enum tfops_status tfops_add_rmsnorm(struct tfops_engine *engine, const struct tfops_tensor *x,
    const struct tfops_tensor *residual, const struct tfops_tensor *weight,
    const struct tfops_tensor *out, const struct tfops_tensor *residual_out, double eps,
    enum tfops_weight_variant variant, struct CUstream_st *stream);

#ifdef __cplusplus
}
#endif
#endif
