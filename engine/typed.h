/*
 * What the typed calls (ops_*.c, see tfops/ops.h) share: the checks that come before a request, of
 * what only they have. Everything about tensors is left to the request stage where it can be.
 */
#ifndef TFOPS_ENGINE_TYPED_H
#define TFOPS_ENGINE_TYPED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <tfops/ops.h>

/* An option of args is a byte: what does not fit becomes one that no operator has. */
static inline uint8_t typed_option(unsigned value)
{
    return value < UINT8_MAX ? (uint8_t)value : UINT8_MAX;
}

/* Of a struct of arguments that begins with its size; `flags` holds no other bits than `known`. */
enum tfops_status typed_check(const void *args, size_t bytes);
enum tfops_status typed_check_flags(uint32_t flags, uint32_t known);

/* TFOPS_SCALES_… of an operator with granularities from `least` to `most`: the indices of its options
 * "granularity", counted from `least`, and "scale_major". */
enum tfops_status typed_scaling(
    unsigned scaling, unsigned least, unsigned most, uint8_t *ret_granularity, uint8_t *ret_major);

/* A vector of scales as the column that operators know; anything else as it is. */
static inline const struct tfops_tensor *typed_column(
    const struct tfops_tensor *scale, struct tfops_tensor *column)
{
    if (!scale || scale->rank != 1)
        return scale;
    *column = *scale;
    column->rank = 2;
    column->shape[1] = column->strides[1] = 1;
    return column;
}

/* The same of scales as `scaling` says: one for each token is a vector. */
static inline const struct tfops_tensor *typed_scales(
    const struct tfops_tensor *scales, unsigned scaling, struct tfops_tensor *column)
{
    return scaling == TFOPS_SCALES_PER_TOKEN ? typed_column(scales, column) : scales;
}

/* The halves of dimension `dim` of a packed tensor: gate's, then up's. */
enum tfops_status typed_split(const struct tfops_tensor *packed, int dim, const char *name,
    struct tfops_tensor *ret_gate, struct tfops_tensor *ret_up);

/* Whether a scale that the caller gives is a positive number: looked at on the cpu device alone, where
 * it can be read without waiting. `name` is the record's subject; what is no scale is let pass. */
enum tfops_status typed_check_scale(
    const struct tfops_engine *engine, const char *name, const struct tfops_tensor *scale);

/* The launch that a typed call makes, for calls that are made of it. Views that it needs go to
 * `columns`, which the launch's arguments then point to. */
enum tfops_status typed_quantize(const struct tfops_quantize_args *from,
    struct tfops_tensor *ret_column, struct tfops_args *ret_args);
enum tfops_status typed_fp8_gemm(const struct tfops_gemm_args *from,
    struct tfops_tensor ret_columns[2], struct tfops_args *ret_args);

/* The extent of the last dimension; 0 where there is none. */
static inline int64_t typed_last(const struct tfops_tensor *tensor)
{
    const bool has = tensor && tensor->rank > 0 && tensor->rank <= TFOPS_MAX_RANK;
    return has ? tensor->shape[tensor->rank - 1] : 0;
}

#endif
