/*
 * Typed calls of the built-in operators: arguments by name, then tfops_launch().
 *
 * What holds for all of them. Tensors are device memory on a CUDA engine, host memory on the cpu
 * device; nothing is kept of them after the call, which enqueues one kernel on `stream` (NULL: the
 * legacy default stream; on the cpu device NULL, and the call computes before it returns). Any number
 * of threads may call at once; a warm call takes no lock, allocates nothing and does not block. The
 * last stride of a tensor is 1, the others are any; leading extents "…" collapse into rows where they
 * have one common stride. No rows at all is a successful no-op. Outputs must not overlap what they are
 * not said to be.
 *
 * Errors: TFOPS_E_ARGUMENT for a tensor that is missing or not wanted, TFOPS_E_SHAPE, TFOPS_E_DTYPE,
 * TFOPS_E_ALIGNMENT, TFOPS_E_OVERLAP, TFOPS_E_RANGE, each with a record that names the tensor, what
 * was expected and what came (tfops_error_last()); else those of tfops_launch().
 */
#ifndef TFOPS_OPS_H
#define TFOPS_OPS_H

#include <stdbool.h>
#include <stdint.h>
#include <tfops/plan.h>
#include <tfops/weight.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- norms ---------------------------------------------------------------------------------- */

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

/*
 * Layer normalisation over the last dimension (Ba et al., "Layer Normalization", 2016):
 * out = (x − mean(x)) / sqrt(var(x) + eps) · weight + bias, var with divisor hidden.
 * x, out: [..., hidden], f16, bf16 or f32, same dtype; out may be x. weight, bias: [hidden], both of
 * one float dtype; bias may be NULL. variant: PLAIN, or ONE_PLUS (Nemotron's layernorm1p).
 */
enum tfops_status tfops_layernorm(struct tfops_engine *engine, const struct tfops_tensor *x,
    const struct tfops_tensor *weight, const struct tfops_tensor *bias,
    const struct tfops_tensor *out, double eps, enum tfops_weight_variant variant,
    struct CUstream_st *stream);

/* h = x + residual; out = layernorm(h). h goes where tfops_add_rmsnorm() has it. */
enum tfops_status tfops_add_layernorm(struct tfops_engine *engine, const struct tfops_tensor *x,
    const struct tfops_tensor *residual, const struct tfops_tensor *weight,
    const struct tfops_tensor *bias, const struct tfops_tensor *out,
    const struct tfops_tensor *residual_out, double eps, enum tfops_weight_variant variant,
    struct CUstream_st *stream);

/* ---- fp8 ------------------------------------------------------------------------------------ */

/*
 * What shares a scale, and how scales stand in memory. One convention everywhere: q = x / scale,
 * rounded to nearest and saturating, x ≈ q · scale; a dynamic scale is max(amax, 1/512) / 448 for
 * e4m3, / 57344 for e5m2. Scales are f32:
 *   PER_TENSOR [1] · PER_TOKEN [rows, 1] or [rows] · PER_GROUP [rows, hidden / 128] ·
 *   PER_BLOCK [⌈rows / 128⌉, ⌈hidden / 128⌉]
 * and the transpose of that with TFOPS_SCALES_TRANSPOSED, as block-scaled GEMMs want them.
 */
#define TFOPS_SCALES_PER_TENSOR 0u
#define TFOPS_SCALES_PER_TOKEN 1u
#define TFOPS_SCALES_PER_GROUP 2u /* 128 elements of a row; hidden is a multiple of it */
#define TFOPS_SCALES_PER_BLOCK 3u /* 128 × 128 elements, fewer at the edges */
#define TFOPS_SCALES_TRANSPOSED 0x10u

/*
 * rmsnorm quantised to fp8: out [..., hidden] in e4m3 or e5m2, scales as `scaling` says: PER_TOKEN or
 * PER_GROUP. The norm is not rounded in between. x and weight as in tfops_rmsnorm().
 */
enum tfops_status tfops_rmsnorm_quant(struct tfops_engine *engine, const struct tfops_tensor *x,
    const struct tfops_tensor *weight, const struct tfops_tensor *out,
    const struct tfops_tensor *scales, unsigned scaling, double eps,
    enum tfops_weight_variant variant, struct CUstream_st *stream);

/* h = x + residual; out, scales = rmsnorm_quant(h). h goes where tfops_add_rmsnorm() has it. */
enum tfops_status tfops_add_rmsnorm_quant(struct tfops_engine *engine, const struct tfops_tensor *x,
    const struct tfops_tensor *residual, const struct tfops_tensor *weight,
    const struct tfops_tensor *out, const struct tfops_tensor *scales,
    const struct tfops_tensor *residual_out, unsigned scaling, double eps,
    enum tfops_weight_variant variant, struct CUstream_st *stream);

/* A given scale that is too small is doubled until nothing saturates, at most max_retries times. */
#define TFOPS_QUANTIZE_RESCALE 2u

/*
 * Conversion to fp8. x: [..., hidden], f16, bf16 or f32; out: the same shape, e4m3 or e5m2.
 * Without static_scale, scales are computed and written. With it (one f32 on the device, positive, which
 * the cpu device alone looks at; PER_TENSOR)
 * they are not: `scales` is NULL, or with TFOPS_QUANTIZE_RESCALE takes the one scale that was used.
 * saturated, retries: one i32 or i64 each, both of one dtype, or NULL. saturated is raised by the
 * elements that lie beyond the range by more than rounding; retries takes the number of doublings.
 * A dynamic PER_TENSOR scale and RESCALE need a workspace: tfops_plan_workspace(), 256-byte aligned,
 * zeroed once before its first use, one stream at a time.
 */
struct tfops_quantize_args {
    size_t size;
    const struct tfops_tensor *x, *out, *scales, *static_scale, *saturated, *retries;
    uint32_t scaling;    /* TFOPS_SCALES_… */
    uint32_t flags;      /* TFOPS_BATCH_INVARIANT, TFOPS_QUANTIZE_RESCALE */
    int32_t max_retries; /* 0 … 64, as given: 0 is none */
    void *workspace;
    size_t workspace_bytes;
};
enum tfops_status tfops_quantize(struct tfops_engine *engine,
    const struct tfops_quantize_args *args, struct CUstream_st *stream);

/* out = x · scale. x: [..., hidden], e4m3 or e5m2; out: the same shape, f16, bf16 or f32. */
enum tfops_status tfops_dequantize(struct tfops_engine *engine, const struct tfops_tensor *x,
    const struct tfops_tensor *scales, const struct tfops_tensor *out, unsigned scaling,
    struct CUstream_st *stream);

/* ---- activation and softmax ----------------------------------------------------------------- */

/* Values index the option "act". */
enum tfops_gate {
    TFOPS_GATE_SILU = 0,  /* x · σ(x)         SwiGLU */
    TFOPS_GATE_GELU,      /* x · Φ(x), by erf GeGLU  */
    TFOPS_GATE_GELU_TANH, /* its approximation 0.5·x·(1 + tanh(√(2/π)·(x + 0.044715·x³))) */
};

/*
 * out = act(gate) · up (Shazeer, "GLU Variants Improve Transformer", 2020).
 * gate, up, out: [..., ffn], f16, bf16 or f32, same dtype; out may be gate or up. With up NULL, gate
 * is a packed [..., 2·ffn] whose rows hold gate and then up. out may also be e4m3 or e5m2: then scales
 * take what `scaling` says, PER_TOKEN or PER_GROUP; else scales is NULL.
 */
enum tfops_status tfops_gated_act(struct tfops_engine *engine, const struct tfops_tensor *gate,
    const struct tfops_tensor *up, const struct tfops_tensor *out,
    const struct tfops_tensor *scales, enum tfops_gate act, unsigned scaling,
    struct CUstream_st *stream);

/*
 * out = softmax(scale · x + mask) over the last dimension, 1 … 2^20 wide.
 * x: [..., queries, width], f16, bf16 or f32; out: the same shape, a float dtype; may be x when of its
 * dtype. mask: NULL, or a float tensor of the last extents of x, e.g. [queries, width] or [width],
 * which is the same for all that stands before them (leading extents of 1 do not count); −∞ hides.
 * causal: query q sees columns up to width − queries + q. A row that a mask hides wholly is 0; one of −∞ without a mask is NaN.
 */
enum tfops_status tfops_softmax(struct tfops_engine *engine, const struct tfops_tensor *x,
    const struct tfops_tensor *mask, const struct tfops_tensor *out, double scale, bool causal,
    struct CUstream_st *stream);

/* ---- rotary embedding ----------------------------------------------------------------------- */

/* INTERLEAVED: pairs (2i, 2i + 1) as GPT-J; else (i, i + half) as GPT-NeoX and HF.
 * HEADS_FIRST: q, k, v and their outputs are [batch, heads, seq, head_dim]. */
#define TFOPS_ROPE_INTERLEAVED 2u
#define TFOPS_ROPE_HEADS_FIRST 4u

/*
 * (a, b) → (a·cos − b·sin, b·cos + a·sin) for the pairs of each head (Su et al., "RoFormer", 2021).
 * q: [batch, seq, heads, head_dim] or [tokens, heads, head_dim], any strides (slices of a packed qkv
 * too), f16, bf16 or f32; k, v: the same with their own number of heads, or NULL. head_dim is even.
 * cos, sin: [max_pos, d] or [1, max_pos, 1, d] in any float dtype, with d = rotary_dim, or half of it
 * (one for each pair). rotary_dim 0: head_dim; less: only the first elements of a head rotate.
 * positions: [batch, seq] (or [tokens]) i32 or i64, the row of cos and sin for each token, below
 * max_pos; NULL: its place in seq. q_out may be q, k_out k.
 * k_cache, v_cache: [num_blocks, block_size, heads, head_dim], written at slots [batch, seq] (i32 or
 * i64; slot s is offset s mod block_size of block s / block_size; below 0: none; no two alike). A
 * contiguous cache [batch, max_seq, heads, head_dim] is one block a sequence.
 */
struct tfops_rope_args {
    size_t size;
    const struct tfops_tensor *q, *k, *v, *cos, *sin, *positions, *slots;
    const struct tfops_tensor *q_out, *k_out, *k_cache, *v_cache;
    int64_t rotary_dim;
    uint32_t flags; /* TFOPS_BATCH_INVARIANT, TFOPS_ROPE_… */
};
enum tfops_status tfops_rope(
    struct tfops_engine *engine, const struct tfops_rope_args *args, struct CUstream_st *stream);

/* Each head is normalised by itself (q/k norm); weight: [head_dim]. */
#define TFOPS_NORM_PER_HEAD 8u

/*
 * RMSNorm of whole rows (or of each head), then rotary embedding of the heads.
 * x, out: [batch, seq, hidden] (or [tokens, hidden], one sequence), f16, bf16 or f32, same dtype; out
 * may be x. weight: [hidden], a float dtype. cos, sin, positions, rotary_dim as in tfops_rope_args;
 * without positions each sequence begins at 0.
 * num_heads 0: hidden / head_dim; head_dim 0: hidden / num_heads; both 0: head_dim is the extent of a
 * row of cos; both given: their product is checked against hidden.
 */
struct tfops_rmsnorm_rope_args {
    size_t size;
    const struct tfops_tensor *x, *weight, *cos, *sin, *positions, *out;
    int64_t num_heads, head_dim, rotary_dim;
    double eps; /* as given: 0 is 0; models have 1e-6 mostly */
    enum tfops_weight_variant variant;
    uint32_t flags; /* TFOPS_BATCH_INVARIANT, TFOPS_ROPE_INTERLEAVED, TFOPS_NORM_PER_HEAD */
};
enum tfops_status tfops_rmsnorm_rope(struct tfops_engine *engine,
    const struct tfops_rmsnorm_rope_args *args, struct CUstream_st *stream);

/* ---- matrices ------------------------------------------------------------------------------- */

/* Values index the option "activation". */
enum tfops_activation {
    TFOPS_ACTIVATION_NONE = 0,
    TFOPS_ACTIVATION_RELU,
    TFOPS_ACTIVATION_SILU,
    TFOPS_ACTIVATION_GELU, /* by erf */
    TFOPS_ACTIVATION_GELU_TANH,
};

/* Sums may stay in the tensor core, which keeps about 14 bits of products of fp8: one of k products of
 * the same sign is off by up to 1.6e-5 · k of itself (measured). */
#define TFOPS_FAST_ACCUM 2u
/* The host has waited for what wrote the weights: they are read while earlier kernels of the stream may
 * still run, which saves few tokens up to 2 µs a launch. */
#define TFOPS_CONSTANT_WEIGHTS 0x10u

/*
 * out = activation(x · weightᵀ · x_scale · weight_scale + bias) + residual, fp32 sums.
 * x: [..., k]; weight: [n, k], as nn.Linear has it; out, residual: [..., n]; bias: [n]; bias and
 * residual are of the dtype of out or NULL; out may be residual.
 * tfops_linear(): x and weight f16 or bf16, out that or f32; no scales.
 * tfops_fp8_gemm(): x and weight e4m3 or e5m2 each, out f16, bf16 or f32; x_scale and weight_scale f32
 * as `scaling` says:
 *   PER_TENSOR  one each
 *   PER_TOKEN   [m, 1] or [m] for the rows of x, [n, 1] or [n] for those of weight
 *   PER_GROUP   [m, ⌈k / 128⌉] for 1 × 128 of x, [⌈n / 128⌉, ⌈k / 128⌉] for 128 × 128 of weight;
 *               not with TFOPS_FAST_ACCUM
 * and x_scale transposed with TFOPS_SCALES_TRANSPOSED. A weight of [k, n] is refused: tfops_weight_new()
 * turns it, once. Scales are positive numbers; on the cpu device those of tensors are looked at.
 */
struct tfops_gemm_args {
    size_t size;
    const struct tfops_tensor *x, *weight, *bias, *residual, *out, *x_scale, *weight_scale;
    enum tfops_activation activation;
    uint32_t scaling; /* TFOPS_SCALES_…; tfops_linear(): 0 */
    uint32_t flags;   /* TFOPS_BATCH_INVARIANT; TFOPS_FAST_ACCUM of tfops_fp8_gemm(), of the others
                       * TFOPS_CONSTANT_WEIGHTS */
    /* As much as tfops_plan_workspace() says, zero before the first launch and left so by each, for sums
     * that several blocks share: problems with workspace=yes. NULL: those without, whose configs need none. */
    void *workspace;
    size_t workspace_bytes;
};
enum tfops_status tfops_linear(
    struct tfops_engine *engine, const struct tfops_gemm_args *args, struct CUstream_st *stream);
enum tfops_status tfops_fp8_gemm(
    struct tfops_engine *engine, const struct tfops_gemm_args *args, struct CUstream_st *stream);

/*
 * out = activation(rmsnorm(x) · weightᵀ + bias) + residual; the normalised x is not written. args as of
 * tfops_linear(); weights that read one x may be packed by rows. norm_weight: [k], of the dtype of x,
 * or NULL where it is folded into weight. eps ≥ 0. Saves a launch and the buffer between
 * tfops_rmsnorm() and tfops_linear(); with norm_weight it takes about as long as the two for up to 16 tokens,
 * and from 256 on up to 7% longer (n = 4096: 17%; docs/notes/gated_mlp.md, section 9).
 */
enum tfops_status tfops_rmsnorm_linear(struct tfops_engine *engine,
    const struct tfops_gemm_args *args, const struct tfops_tensor *norm_weight, double eps,
    struct CUstream_st *stream);

#define TFOPS_MOST_LINEARS 3
/*
 * outs[i] = rmsnorm(x) · weights[i]ᵀ + biases[i] in one kernel, for two or three weights that read one x
 * (q, k, v; gate, up), not repacked: [n_i, k] each, of the dtype of x. outs[i]: [..., n_i], all of a
 * dtype; biases[i]: [n_i] of that dtype, or NULL, all of them. Of two weights weights[2], biases[2] and
 * outs[2] are NULL. Else as tfops_rmsnorm_linear().
 */
struct tfops_linears_args {
    size_t size;
    const struct tfops_tensor *x, *norm_weight;
    const struct tfops_tensor *weights[TFOPS_MOST_LINEARS], *biases[TFOPS_MOST_LINEARS];
    const struct tfops_tensor *outs[TFOPS_MOST_LINEARS];
    double eps;
    uint32_t flags;  /* TFOPS_BATCH_INVARIANT, TFOPS_CONSTANT_WEIGHTS */
    void *workspace; /* as in struct tfops_args */
    size_t workspace_bytes;
};
enum tfops_status tfops_rmsnorm_linears(
    struct tfops_engine *engine, const struct tfops_linears_args *args, struct CUstream_st *stream);

/*
 * h = x · weightᵀ + bias + residual; out = rmsnorm(h), of h as rounded, which is written to residual_out,
 * or to residual when residual_out is NULL. args as of tfops_linear(), without activation; out, residual,
 * residual_out and norm_weight, [n], are f16 or bf16, all the same. eps ≥ 0. Without
 * args->workspace few rows are slow. TFOPS_CONSTANT_WEIGHTS changes nothing.
 */
enum tfops_status tfops_linear_add_rmsnorm(struct tfops_engine *engine,
    const struct tfops_gemm_args *args, const struct tfops_tensor *norm_weight,
    const struct tfops_tensor *residual_out, double eps, enum tfops_weight_variant variant,
    struct CUstream_st *stream);

/*
 * out = activation(x · weightᵀ + bias) + residual with a weight that is fp8 (tfops/weight.h), as
 * published: Micikevicius et al., "FP8 Formats for Deep Learning", 2022; scales by 1 × 128 and 128 × 128
 * DeepSeek-AI, "DeepSeek-V3 Technical Report", 2024. Enqueues tfops_quantize() of x into the workspace,
 * then tfops_fp8_gemm(): two kernels, of which the second starts while the first ends.
 * x: [..., k], f16, bf16 or f32, is quantised to e4m3 by options.input_scale of the weight where it has
 * one, else by scales of its own that match the weight's: one (that all tokens decide together, batch
 * invariant or not), one a token, or one for each 1 × 128 (k is a multiple of 128); x_scale NULL. Or x is
 * e4m3 or e5m2: x_scale as tfops_fp8_gemm() has it, with TFOPS_SCALES_TRANSPOSED in flags transposed, or
 * NULL: options.input_scale.
 * out, residual: [..., n]; bias: [n]; f16, bf16 or f32, as tfops_fp8_gemm() has them.
 */
struct tfops_fp8_linear_args {
    size_t size;
    const struct tfops_weight *weight;
    uint64_t weight_version; /* the weight's, else the call is refused; 0: any */
    const struct tfops_tensor *x, *x_scale, *bias, *residual, *out;
    enum tfops_activation activation;
    uint32_t flags; /* TFOPS_BATCH_INVARIANT, TFOPS_FAST_ACCUM, TFOPS_SCALES_TRANSPOSED */
    /* What tfops_fp8_linear_prepare() says, 256-byte aligned (on the cpu device: as malloc() does), zeroed
     * once before its first use by this operator, for one stream at a time; any weights, any rows. */
    void *workspace;
    size_t workspace_bytes;
};
enum tfops_status tfops_fp8_linear(struct tfops_engine *engine,
    const struct tfops_fp8_linear_args *args, struct CUstream_st *stream);

/*
 * Prepares both kernels for what `args` describes (tfops_prepare(): may compile and block, not while
 * capturing), so that calls like it hit, and says how large their workspace must be: for as many rows as x
 * has, and any fewer. Of args.workspace nothing is looked at. Refuses tensors that the device cannot read.
 * Errors as above, and those of tfops_prepare().
 */
enum tfops_status tfops_fp8_linear_prepare(struct tfops_engine *engine,
    const struct tfops_fp8_linear_args *args, size_t *ret_workspace_bytes);

/* out[j][i] = x[i][j]. x: [rows, cols], out: [cols, rows], of one dtype, a float or fp8. */
enum tfops_status tfops_transpose(struct tfops_engine *engine, const struct tfops_tensor *x,
    const struct tfops_tensor *out, struct CUstream_st *stream);

/* gate · act(up) instead of act(gate) · up. */
#define TFOPS_ACTIVATE_UP 4u

/*
 * out = act(x · gateᵀ) · (x · upᵀ) in one kernel (Shazeer, "GLU Variants Improve Transformer", 2020).
 * x: [..., k]; gate, up: [n, k], or up NULL and gate [2·n, k], gate's rows first; out: [..., n].
 * f16 or bf16, weights of the dtype of x; or x e4m3 or e5m2, both weights one of them, with x_scale,
 * gate_scale and up_scale as tfops_fp8_gemm() has them, PER_TENSOR or PER_TOKEN (of packed weights
 * up_scale NULL: gate_scale serves both, PER_TOKEN with 2·n elements). out: a float dtype, or fp8 of
 * which out_scale, one f32 on the device, is the scale (NULL: 1).
 */
struct tfops_gated_mlp_args {
    size_t size;
    const struct tfops_tensor *x, *gate, *up, *out, *out_scale, *x_scale, *gate_scale, *up_scale;
    enum tfops_gate act;
    uint32_t scaling; /* TFOPS_SCALES_PER_TENSOR or _PER_TOKEN; 0 without scales */
    uint32_t flags;   /* TFOPS_BATCH_INVARIANT, TFOPS_ACTIVATE_UP; in fp8 TFOPS_FAST_ACCUM */
    void *workspace;  /* as in struct tfops_args */
    size_t workspace_bytes;
};
enum tfops_status tfops_gated_mlp(struct tfops_engine *engine,
    const struct tfops_gated_mlp_args *args, struct CUstream_st *stream);

#ifdef __cplusplus
}
#endif
#endif
