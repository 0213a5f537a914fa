/* The life of a weight (see tfops/weight.h): options, memory, versions. Contents: weight_fill.c. */
#include "base/error.h"
#include "base/mem.h"
#include "kernels/gemm/gemm_specs.h"
#include "kernels/quant/quant_specs.h"
#include "stream_work.h"
#include "typed.h"
#include "weight_state.h"
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { GRANULE = 256, ROW_BYTES = 16 };

/* ---- what is asked for ---------------------------------------------------------------------- */

static enum tfops_status check_scaling(uint32_t scaling)
{
    char actual[32];
    if (scaling == TFOPS_SCALES_PER_TENSOR || scaling == TFOPS_SCALES_PER_TOKEN ||
        scaling == TFOPS_SCALES_PER_BLOCK)
        return TFOPS_OK;
    snprintf(actual, sizeof actual, "%#" PRIx32, scaling);
    return error_set(TFOPS_E_RANGE, "weight", "options.scaling",
        "TFOPS_SCALES_PER_TENSOR, TFOPS_SCALES_PER_TOKEN or TFOPS_SCALES_PER_BLOCK", actual);
}

static enum tfops_status check_input_scale(const struct tfops_weight_options *options)
{
    char actual[32];
    snprintf(actual, sizeof actual, "%g", (double)options->input_scale);
    if (!isfinite(options->input_scale) || options->input_scale < 0)
        return error_set(TFOPS_E_RANGE, "weight", "options.input_scale",
            "a positive number, or 0: each input's own", actual);
    if (options->input_scale > 0 && options->scaling == TFOPS_SCALES_PER_BLOCK)
        return error_set(TFOPS_E_RANGE, "weight", "options.input_scale",
            "0 with TFOPS_SCALES_PER_BLOCK, whose inputs have a scale for each 1 × 128", actual);
    return TFOPS_OK;
}

static enum tfops_status check_options(const struct tfops_weight_options *options)
{
    enum tfops_status status = typed_check(options, sizeof *options);
    if (!status)
        status = typed_check_flags(options->flags, TFOPS_WEIGHT_TRANSPOSED);
    if (!status)
        status = check_scaling(options->scaling);
    if (!status)
        status = check_input_scale(options);
    if (status)
        return status;
    if (options->dtype != TFOPS_NONE && !weight_is_fp8(options->dtype))
        return error_set(TFOPS_E_DTYPE, "weight", "options.dtype", "e4m3, e5m2 or none",
            tfops_dtype_name(options->dtype));
    if (!options->alloc || !options->free)
        return error_set(TFOPS_E_ARGUMENT, "weight",
            options->alloc ? "options.free" : "options.alloc", "a function", "NULL");
    return TFOPS_OK;
}

static enum tfops_status check_version(uint64_t version)
{
    if (version)
        return TFOPS_OK;
    return error_set(TFOPS_E_ARGUMENT, "weight", "version", "any number but 0", "0");
}

static enum tfops_status check_extent(const char *name, int64_t extent, int64_t most)
{
    char expected[48], actual[32];
    if (extent >= 1 && extent <= most)
        return TFOPS_OK;
    snprintf(expected, sizeof expected, "%s from 1 to %" PRId64, name, most);
    snprintf(actual, sizeof actual, "%" PRId64, extent);
    return error_set(TFOPS_E_RANGE, "weight", "source", expected, actual);
}

/* Extents and dtype, as the source has them. */
static enum tfops_status take_source(struct tfops_weight *weight, const struct tfops_tensor *source)
{
    const bool transposed = weight->options.flags & TFOPS_WEIGHT_TRANSPOSED;
    if (!source || source->rank != 2)
        return error_set(source ? TFOPS_E_SHAPE : TFOPS_E_ARGUMENT, "weight", "source",
            transposed ? "[k, n]" : "[n, k]", source ? "another rank" : "NULL");
    weight->n = source->shape[transposed];
    weight->k = source->shape[!transposed];
    weight->stride = (weight->k + ROW_BYTES - 1) / ROW_BYTES * ROW_BYTES;
    if (!weight->options.dtype)
        weight->options.dtype = weight_is_fp8(source->dtype) ? source->dtype : TFOPS_E4M3;
    enum tfops_status status = check_extent("n", weight->n, fp8_gemm_spec.dims[GEMM_N].max);
    if (!status)
        status = check_extent("k", weight->k, quantize_spec.dims[QUANT_HIDDEN].max);
    return status;
}

/* ---- memory --------------------------------------------------------------------------------- */

static size_t granules(size_t bytes)
{
    return (bytes + GRANULE - 1) / GRANULE * GRANULE;
}

/* What quantize counts in, of the one scaling in which all blocks agree on a scale. */
static size_t counter_bytes(const struct tfops_weight *weight)
{
    struct tfops_problem problem = {.spec = &quantize_spec};
    if (weight->options.scaling != TFOPS_SCALES_PER_TENSOR)
        return 0;
    problem.options[QUANT_GRANULARITY] = TFOPS_SCALES_PER_TENSOR + 1;
    return quantize_spec.workspace(quantize_spec.user, &problem, &weight->engine->device, NULL);
}

static void lay_out(struct tfops_weight *weight)
{
    const int64_t scales = weight_scale_rows(weight) * weight_scale_cols(weight);
    weight->scales_at = granules((size_t)weight->n * (size_t)weight->stride);
    weight->input_scale_at = weight->scales_at + granules((size_t)scales * sizeof(float));
    weight->counters_at = weight->input_scale_at + GRANULE;
    weight->counters_bytes = counter_bytes(weight);
    weight->bytes = weight->counters_at + weight->counters_bytes;
}

static enum tfops_status take_memory(struct tfops_weight *weight, struct CUstream_st *stream)
{
    char actual[64];
    weight->memory = weight->options.alloc(weight->options.alloc_user, weight->bytes, stream);
    snprintf(actual, sizeof actual, "%p for %zu bytes", (void *)weight->memory, weight->bytes);
    if (!weight->memory)
        return error_set(TFOPS_E_MEMORY, "weight", "options.alloc", "memory", actual);
    if (weight->engine->kind == ENGINE_CUDA && (uintptr_t)weight->memory % GRANULE)
        return error_set(
            TFOPS_E_ALIGNMENT, "weight", "options.alloc", "memory aligned to 256 bytes", actual);
    return TFOPS_OK;
}

/* What contents do not change. Counters reset themselves from then on. */
static enum tfops_status start(struct tfops_weight *weight, struct CUstream_st *stream)
{
    enum tfops_status status = TFOPS_OK;
    uint32_t word;
    memcpy(&word, &weight->options.input_scale, sizeof word);
    if (weight->counters_bytes)
        status = stream_work_zero(
            weight->engine, weight->memory + weight->counters_at, weight->counters_bytes, stream);
    if (!status && weight->options.input_scale > 0)
        status = stream_work_set_word(weight->engine, weight_input_scale(weight), word, stream);
    return status;
}

/* ---- the object ----------------------------------------------------------------------------- */

enum tfops_status tfops_weight_new(struct tfops_engine *engine,
    const struct tfops_weight_options *options, const struct tfops_tensor *source,
    const struct tfops_tensor *source_scale, uint64_t version, struct CUstream_st *stream,
    struct tfops_weight **ret_weight)
{
    enum tfops_status status = stream_work_check(engine, stream);
    if (!status && !ret_weight)
        status = error_set(TFOPS_E_ARGUMENT, "weight", "ret_weight", "not NULL", "NULL");
    if (!status)
        status = check_options(options);
    if (!status)
        status = check_version(version);
    if (status)
        return status;
    struct tfops_weight *weight = mem_new(&engine->env, 1, sizeof *weight);
    if (!weight)
        return TFOPS_E_MEMORY;
    weight->engine = engine;
    weight->options = *options;
    status = take_source(weight, source);
    if (!status)
        status = weight_check_source(weight, source, source_scale);
    if (status)
        goto out;
    lay_out(weight);
    status = take_memory(weight, stream);
    if (!status)
        status = start(weight, stream);
    if (!status)
        status = weight_fill(weight, source, source_scale, stream);
    if (status)
        goto out;
    atomic_store(&weight->version, version);
    *ret_weight = weight;
    weight = NULL;
out:
    tfops_weight_free(weight, stream);
    return status;
}

enum tfops_status tfops_weight_refresh(struct tfops_weight *weight,
    const struct tfops_tensor *source, const struct tfops_tensor *source_scale, uint64_t version,
    struct CUstream_st *stream)
{
    if (!weight)
        return error_set(TFOPS_E_ARGUMENT, "weight", "weight", "not NULL", "NULL");
    enum tfops_status status = stream_work_check(weight->engine, stream);
    if (!status)
        status = check_version(version);
    if (!status)
        status = weight_check_source(weight, source, source_scale);
    if (status)
        return status; /* nothing was touched */
    status = weight_fill(weight, source, source_scale, stream);
    atomic_store(&weight->version, status ? 0 : version);
    return status;
}

uint64_t tfops_weight_version(const struct tfops_weight *weight)
{
    return weight ? atomic_load_explicit(&weight->version, memory_order_acquire) : 0;
}

enum tfops_status tfops_weight_describe(
    const struct tfops_weight *weight, struct tfops_weight_info *ret_info)
{
    if (!weight)
        return error_set(TFOPS_E_ARGUMENT, "weight", "weight", "not NULL", "NULL");
    if (!ret_info || ret_info->size != sizeof *ret_info)
        return error_set(TFOPS_E_ARGUMENT, "weight", "ret_info.size",
            "sizeof(struct tfops_weight_info)", "NULL or another size");
    *ret_info = (struct tfops_weight_info){.size = sizeof *ret_info,
        .version = tfops_weight_version(weight),
        .values = weight_values(weight),
        .scales = weight_scales(weight),
        .scaling = weight->options.scaling,
        .input_scale = weight->options.input_scale,
        .device_bytes = weight->bytes};
    return TFOPS_OK;
}

void tfops_weight_free(struct tfops_weight *weight, struct CUstream_st *stream)
{
    if (!weight || weight->engine->generation != engine_fork_generation)
        return; /* in a child of fork() nothing of it is ours */
    if (weight->memory)
        weight->options.free(weight->options.alloc_user, weight->memory, stream);
    mem_free(&weight->engine->env, weight);
}
