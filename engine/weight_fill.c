/*
 * How a source becomes the contents of a weight (see weight_state.h): checked in the caller's words,
 * then turned, quantised or copied by the library's own operators.
 */
#include "base/error.h"
#include "refuse.h"
#include "stream_work.h"
#include "weight_state.h"
#include <inttypes.h>
#include <stdio.h>

/* ---- the source ----------------------------------------------------------------------------- */

static enum tfops_status refuse_matrix(
    const char *name, int64_t rows, int64_t cols, bool vector, const struct tfops_tensor *tensor)
{
    char expected[96], actual[160];
    snprintf(expected, sizeof expected,
        vector ? "[%" PRId64 ", %" PRId64 "] or a vector of that many"
               : "[%" PRId64 ", %" PRId64 "]",
        rows, cols);
    refuse_print_shape(tensor, actual, sizeof actual);
    return error_set(TFOPS_E_SHAPE, "weight", name, expected, actual);
}

/* Rows that lie apart, each contiguous, at an address of the device. */
static enum tfops_status check_memory(
    const struct tfops_weight *weight, const char *name, const struct tfops_tensor *tensor)
{
    char expected[64], actual[32];
    const int64_t rows = tensor->shape[0], cols = tensor->shape[1];
    if ((cols > 1 && tensor->strides[1] != 1) || (rows > 1 && tensor->strides[0] < cols)) {
        snprintf(actual, sizeof actual, "[%" PRId64 ", %" PRId64 "]", tensor->strides[0],
            tensor->strides[1]);
        return error_set(TFOPS_E_SHAPE, "weight", name,
            "a last stride of 1, and rows that do not overlap", actual);
    }
    if (!tensor->data)
        return error_set(TFOPS_E_ARGUMENT, "weight", name, "an address of its data", "NULL");
    if ((uintptr_t)tensor->data % tfops_dtype_bytes(tensor->dtype)) {
        snprintf(
            expected, sizeof expected, "a multiple of %zu bytes", tfops_dtype_bytes(tensor->dtype));
        snprintf(actual, sizeof actual, "%p", tensor->data);
        return error_set(TFOPS_E_ALIGNMENT, "weight", name, expected, actual);
    }
    return stream_work_reaches(weight->engine, name, tensor->data);
}

/* A vector is a column; of one row it is that row. */
static struct tfops_tensor as_matrix(const struct tfops_tensor *tensor, int64_t rows)
{
    struct tfops_tensor matrix = *tensor;
    if (tensor->rank >= 2)
        return matrix;
    const int64_t extent = tensor->rank ? tensor->shape[0] : 1;
    const int64_t stride = tensor->rank ? tensor->strides[0] : 1;
    matrix.rank = 2;
    matrix.shape[0] = rows == 1 ? 1 : extent;
    matrix.shape[1] = rows == 1 ? extent : 1;
    matrix.strides[0] = rows == 1 ? extent : stride;
    matrix.strides[1] = rows == 1 ? stride : 1;
    return matrix;
}

/* Of the scales as they come with the source. */
static int64_t given_rows(const struct tfops_weight *weight)
{
    return weight->options.flags & TFOPS_WEIGHT_TRANSPOSED ? weight_scale_cols(weight)
                                                           : weight_scale_rows(weight);
}

static int64_t given_cols(const struct tfops_weight *weight)
{
    return weight->options.flags & TFOPS_WEIGHT_TRANSPOSED ? weight_scale_rows(weight)
                                                           : weight_scale_cols(weight);
}

static enum tfops_status check_scale(
    const struct tfops_weight *weight, const struct tfops_tensor *scale)
{
    const int64_t rows = given_rows(weight), cols = given_cols(weight);
    if (!scale)
        return error_set(
            TFOPS_E_ARGUMENT, "weight", "source_scale", "a tensor, as source is fp8", "NULL");
    if (scale->dtype != TFOPS_F32)
        return error_set(
            TFOPS_E_DTYPE, "weight", "source_scale", "f32", tfops_dtype_name(scale->dtype));
    const bool vector = rows == 1 || cols == 1;
    if (scale->rank != 2 && (scale->rank < 0 || scale->rank > 1 || !vector))
        return refuse_matrix("source_scale", rows, cols, vector, scale);
    const struct tfops_tensor matrix = as_matrix(scale, rows);
    if (matrix.shape[0] != rows || matrix.shape[1] != cols)
        return refuse_matrix("source_scale", rows, cols, vector, scale);
    return check_memory(weight, "source_scale", &matrix);
}

enum tfops_status weight_check_source(const struct tfops_weight *weight,
    const struct tfops_tensor *source, const struct tfops_tensor *source_scale)
{
    const bool transposed = weight->options.flags & TFOPS_WEIGHT_TRANSPOSED;
    const int64_t rows = transposed ? weight->k : weight->n;
    const int64_t cols = transposed ? weight->n : weight->k;
    if (!source)
        return error_set(TFOPS_E_ARGUMENT, "weight", "source", "a tensor", "NULL");
    if (source->rank != 2 || source->shape[0] != rows || source->shape[1] != cols)
        return refuse_matrix("source", rows, cols, false, source);
    const bool fp8 = weight_is_fp8(source->dtype);
    if (fp8 ? source->dtype != weight->options.dtype
            : source->dtype < TFOPS_F32 || source->dtype > TFOPS_BF16) {
        char expected[48];
        snprintf(expected, sizeof expected, "f32, f16, bf16 or %s, the weight's",
            tfops_dtype_name(weight->options.dtype));
        return error_set(
            TFOPS_E_DTYPE, "weight", "source", expected, tfops_dtype_name(source->dtype));
    }
    enum tfops_status status = check_memory(weight, "source", source);
    if (status || fp8)
        return status ? status : check_scale(weight, source_scale);
    if (source_scale)
        return error_set(TFOPS_E_ARGUMENT, "weight", "source_scale",
            "NULL, as source is quantised here", "a tensor");
    return TFOPS_OK;
}

/* ---- its way -------------------------------------------------------------------------------- */

static enum tfops_status quantise(
    struct tfops_weight *weight, const struct tfops_tensor *from, struct CUstream_st *stream)
{
    const struct tfops_tensor values = weight_values(weight), scales = weight_scales(weight);
    const struct tfops_quantize_args args = {.size = sizeof args,
        .x = from,
        .out = &values,
        .scales = &scales,
        .scaling = weight->options.scaling,
        .workspace = weight->memory + weight->counters_at,
        .workspace_bytes = weight->counters_bytes};
    return tfops_quantize(weight->engine, &args, stream);
}

/* Turned before it is quantised: a row of the weight may have a scale of its own. */
static enum tfops_status turn_and_quantise(
    struct tfops_weight *weight, const struct tfops_tensor *source, struct CUstream_st *stream)
{
    const struct tfops_weight_options *options = &weight->options;
    const size_t elem = tfops_dtype_bytes(source->dtype);
    const size_t bytes = (size_t)weight->n * (size_t)weight->stride * elem;
    char actual[48];
    struct tfops_tensor turned = weight_values(weight);
    turned.dtype = source->dtype;
    turned.data = options->alloc(options->alloc_user, bytes, stream);
    if (!turned.data) {
        snprintf(actual, sizeof actual, "NULL for %zu bytes", bytes);
        return error_set(TFOPS_E_MEMORY, "weight", "options.alloc",
            "memory for the time of a transposition", actual);
    }
    enum tfops_status status = tfops_transpose(weight->engine, source, &turned, stream);
    if (!status)
        status = quantise(weight, &turned, stream);
    options->free(options->alloc_user, turned.data, stream);
    return status;
}

static enum tfops_status place(struct tfops_weight *weight, const struct tfops_tensor *from,
    const struct tfops_tensor *to, struct CUstream_st *stream)
{
    return weight->options.flags & TFOPS_WEIGHT_TRANSPOSED
               ? tfops_transpose(weight->engine, from, to, stream)
               : stream_work_copy(weight->engine, from, to, stream);
}

enum tfops_status weight_fill(struct tfops_weight *weight, const struct tfops_tensor *source,
    const struct tfops_tensor *source_scale, struct CUstream_st *stream)
{
    if (!weight_is_fp8(source->dtype))
        return weight->options.flags & TFOPS_WEIGHT_TRANSPOSED
                   ? turn_and_quantise(weight, source, stream)
                   : quantise(weight, source, stream);
    const struct tfops_tensor values = weight_values(weight), scales = weight_scales(weight);
    const struct tfops_tensor given = as_matrix(source_scale, given_rows(weight));
    enum tfops_status status = place(weight, source, &values, stream);
    if (!status)
        status = place(weight, &given, &scales, stream);
    return status;
}
