/*
 * A weight's inside (weight.c: its life; weight_fill.c: how a source becomes its contents; ops_fp8_linear.c
 * reads it). One block of device memory: values, scales, the scale of inputs, counters of quantize.
 */
#ifndef TFOPS_ENGINE_WEIGHT_STATE_H
#define TFOPS_ENGINE_WEIGHT_STATE_H

#include "engine_state.h"
#include <stdatomic.h>
#include <tfops/ops.h>

struct tfops_weight {
    struct tfops_engine *engine;
    struct tfops_weight_options options; /* dtype is settled */
    int64_t n, k;
    int64_t stride; /* of a row of values: whole 16 bytes, which the copy engine wants */
    char *memory;
    size_t scales_at, input_scale_at, counters_at, counters_bytes, bytes;
    atomic_uint_fast64_t version; /* 0: no contents */
};

static inline bool weight_is_fp8(enum tfops_dtype dtype)
{
    return dtype == TFOPS_E4M3 || dtype == TFOPS_E5M2;
}

/* [n, k] */
static inline struct tfops_tensor weight_values(const struct tfops_weight *weight)
{
    struct tfops_tensor values = tfops_tensor_contiguous(
        weight->memory, weight->options.dtype, 2, (const int64_t[]){weight->n, weight->k});
    values.strides[0] = weight->stride;
    return values;
}

/* Rows of a weight's scales, and columns. */
static inline int64_t weight_scale_rows(const struct tfops_weight *weight)
{
    const uint32_t scaling = weight->options.scaling;
    return scaling == TFOPS_SCALES_PER_TENSOR  ? 1
           : scaling == TFOPS_SCALES_PER_TOKEN ? weight->n
                                               : (weight->n + 127) / 128;
}

static inline int64_t weight_scale_cols(const struct tfops_weight *weight)
{
    return weight->options.scaling == TFOPS_SCALES_PER_BLOCK ? (weight->k + 127) / 128 : 1;
}

static inline struct tfops_tensor weight_scales(const struct tfops_weight *weight)
{
    return tfops_tensor_contiguous(weight->memory + weight->scales_at, TFOPS_F32, 2,
        (const int64_t[]){weight_scale_rows(weight), weight_scale_cols(weight)});
}

/* One f32, of weights with options.input_scale. */
static inline void *weight_input_scale(const struct tfops_weight *weight)
{
    return weight->memory + weight->input_scale_at;
}

/* Whether the source is one that weight_fill() can take, in the caller's words. */
enum tfops_status weight_check_source(const struct tfops_weight *weight,
    const struct tfops_tensor *source, const struct tfops_tensor *source_scale);
/* Enqueues what makes it the contents. Of a checked source. */
enum tfops_status weight_fill(struct tfops_weight *weight, const struct tfops_tensor *source,
    const struct tfops_tensor *source_scale, struct CUstream_st *stream);

#endif
