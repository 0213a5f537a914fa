/*
 * Weights in fp8 that persist on the device: made once of what a model has, read by every
 * tfops_fp8_linear(). A weight holds one copy of its values, K-major as tensor cores want them, and
 * their scales; nothing of a source is kept.
 *
 * Nothing here waits for the device: what is made, is made in the order of the stream of the call.
 * Launches that read a weight follow on that stream, or wait for it (an event) on theirs.
 */
#ifndef TFOPS_WEIGHT_H
#define TFOPS_WEIGHT_H

#include <stddef.h>
#include <stdint.h>
#include <tfops/plan.h>

#ifdef __cplusplus
extern "C" {
#endif

struct tfops_weight;

/* Sources are [k, n], and their scales by block [⌈k / 128⌉, ⌈n / 128⌉]; else [n, k], as nn.Linear has it. */
#define TFOPS_WEIGHT_TRANSPOSED 1u

struct tfops_weight_options {
    size_t size;
    enum tfops_dtype dtype; /* e4m3 or e5m2; TFOPS_NONE: that of an fp8 source, else e4m3 */
    /* What shares a scale: TFOPS_SCALES_PER_TENSOR; _PER_TOKEN, a row of the weight, which is an output
     * channel; _PER_BLOCK, 128 × 128. Inputs are scaled to match: by tensor, by token, by 1 × 128. */
    uint32_t scaling;
    uint32_t flags; /* TFOPS_WEIGHT_TRANSPOSED */
    /* The scale of inputs that are quantised inside, as calibration has it; 0: each input's own. Not
     * with _PER_BLOCK. */
    float input_scale;
    /*
     * Memory of the engine's device, 256-byte aligned (of the cpu device: as malloc() does). `alloc` returns
     * what work may use that is enqueued on `stream` from now on, NULL when there is none; what `free`
     * takes, work enqueued on `stream` before may still use. So cudaMallocAsync and cudaFreeAsync do,
     * or a framework's allocator of that stream; cudaMalloc and cudaFree too, which wait.
     */
    void *(*alloc)(void *user, size_t bytes, struct CUstream_st *stream);
    void (*free)(void *user, void *memory, struct CUstream_st *stream);
    void *alloc_user;
};

/*
 * Makes a weight of `source`, two dimensions, the last stride 1: f16, bf16 or f32, which is quantised
 * (tfops_quantize()), source_scale NULL; or fp8 of options.dtype with source_scale, f32, [1], [n] (or
 * [n, 1], transposed [1, n]) or by block. A source that is not [n, k] is turned once (tfops_transpose());
 * if it is no fp8, a copy of it lives until that work is done. version: the caller's number for these
 * contents, not 0, e.g. a tensor's modification counter + 1.
 *
 * Enqueues at most four kernels and copies on `stream`, after options.alloc. While the stream captures
 * all of it becomes part of the graph if the allocator's calls do; kernels that are not loaded are what
 * tfops_launch() says of them. Compiles nothing: conversions that nothing was prepared for
 * (tfops_engine_warm() of "quantize", "transpose") run their generic variants.
 *
 * TFOPS_E_ARGUMENT (the record names options.alloc, source_scale, …), TFOPS_E_SHAPE, TFOPS_E_DTYPE,
 * TFOPS_E_ALIGNMENT, TFOPS_E_RANGE (options.input_scale that is no positive number, …), TFOPS_E_MEMORY;
 * else those of tfops_launch(). The weight must be freed before its engine is closed.
 */
enum tfops_status tfops_weight_new(struct tfops_engine *engine,
    const struct tfops_weight_options *options, const struct tfops_tensor *source,
    const struct tfops_tensor *source_scale, uint64_t version, struct CUstream_st *stream,
    struct tfops_weight **ret_weight);

/*
 * Replaces the contents, in the order of `stream`: a source of the same shape, its dtype any. Launches
 * that are enqueued before and still run, must be on that stream or waited for by it. One thread at a
 * time; launches of other threads see the old version or the new one. Of a refresh that fails midway
 * the weight has version 0, and launches refuse it until one succeeds. Errors as of tfops_weight_new().
 */
enum tfops_status tfops_weight_refresh(struct tfops_weight *weight,
    const struct tfops_tensor *source, const struct tfops_tensor *source_scale, uint64_t version,
    struct CUstream_st *stream);

/* The version of the contents; 0: none, a refresh failed. Any thread. */
uint64_t tfops_weight_version(const struct tfops_weight *weight);

struct tfops_weight_info {
    size_t size;
    uint64_t version;
    /* Views of the weight's memory, valid as long as it is: values [n, k], and scales as
     * tfops_fp8_gemm() takes them, [1, 1], [n, 1] or [⌈n / 128⌉, ⌈k / 128⌉]. */
    struct tfops_tensor values, scales;
    uint32_t scaling;
    float input_scale;
    size_t device_bytes; /* all that it holds */
};
/* TFOPS_E_ARGUMENT. */
enum tfops_status tfops_weight_describe(
    const struct tfops_weight *weight, struct tfops_weight_info *ret_info);

/* Gives the memory back in the order of `stream`. NULL is fine. */
void tfops_weight_free(struct tfops_weight *weight, struct CUstream_st *stream);

#ifdef __cplusplus
}
#endif
#endif
