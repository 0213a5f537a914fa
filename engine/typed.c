/* Checks of the typed calls (see typed.h). */
#include "typed.h"
#include "base/error.h"
#include "engine_state.h"
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum tfops_status typed_check(const void *args, size_t bytes)
{
    char expected[32], actual[32];
    size_t size;
    if (!args)
        return error_set(TFOPS_E_ARGUMENT, "request", "args", "not NULL", "NULL");
    memcpy(&size, args, sizeof size);
    if (size == bytes)
        return TFOPS_OK;
    snprintf(expected, sizeof expected, "%zu, its sizeof", bytes);
    snprintf(actual, sizeof actual, "%zu", size);
    return error_set(TFOPS_E_ARGUMENT, "request", "args.size", expected, actual);
}

enum tfops_status typed_check_flags(uint32_t flags, uint32_t known)
{
    char expected[32], actual[32];
    if (!(flags & ~known))
        return TFOPS_OK;
    snprintf(expected, sizeof expected, "bits of %#" PRIx32, known);
    snprintf(actual, sizeof actual, "%#" PRIx32, flags);
    return error_set(TFOPS_E_ARGUMENT, "request", "args.flags", expected, actual);
}

enum tfops_status typed_scaling(
    unsigned scaling, unsigned least, unsigned most, uint8_t *ret_granularity, uint8_t *ret_major)
{
    static const char *const NAMES[] = {[TFOPS_SCALES_PER_TENSOR] = "TFOPS_SCALES_PER_TENSOR",
        [TFOPS_SCALES_PER_TOKEN] = "TFOPS_SCALES_PER_TOKEN",
        [TFOPS_SCALES_PER_GROUP] = "TFOPS_SCALES_PER_GROUP",
        [TFOPS_SCALES_PER_BLOCK] = "TFOPS_SCALES_PER_BLOCK"};
    const unsigned granularity = scaling & ~TFOPS_SCALES_TRANSPOSED;
    char expected[96], actual[32];
    if (granularity < least || granularity > most) {
        snprintf(expected, sizeof expected, "%s … %s", NAMES[least], NAMES[most]);
        snprintf(actual, sizeof actual, "%#x", scaling);
        return error_set(TFOPS_E_RANGE, "request", "scaling", expected,
            granularity <= TFOPS_SCALES_PER_BLOCK ? NAMES[granularity] : actual);
    }
    *ret_granularity = (uint8_t)(granularity - least);
    *ret_major = (scaling & TFOPS_SCALES_TRANSPOSED) != 0;
    return TFOPS_OK;
}

enum tfops_status typed_split(const struct tfops_tensor *packed, int dim, const char *name,
    struct tfops_tensor *ret_gate, struct tfops_tensor *ret_up)
{
    const bool has = dim >= 0 && dim < packed->rank && packed->rank <= TFOPS_MAX_RANK;
    const int64_t both = has ? packed->shape[dim] : 0;
    if (both % 2) {
        char expected[96], actual[32];
        snprintf(expected, sizeof expected,
            "an even %s extent, gate and up of a packed tensor, where up is NULL",
            dim == packed->rank - 1 ? "last" : "first");
        snprintf(actual, sizeof actual, "%" PRId64, both);
        return error_set(TFOPS_E_SHAPE, "request", name, expected, actual);
    }
    *ret_gate = *packed;
    if (has)
        ret_gate->shape[dim] = both / 2;
    *ret_up = *ret_gate;
    /* Numbers that overflow are refused by the request stage, of the gate. */
    if (both && packed->data)
        ret_up->data = (void *)((uintptr_t)packed->data + (uintptr_t)(both / 2) *
                                                              (uintptr_t)packed->strides[dim] *
                                                              tfops_dtype_bytes(packed->dtype));
    return TFOPS_OK;
}

enum tfops_status typed_check_scale(
    const struct tfops_engine *engine, const char *name, const struct tfops_tensor *scale)
{
    char actual[32];
    float value;
    if (!engine || engine->kind != ENGINE_CPU || !scale || !scale->data ||
        scale->dtype != TFOPS_F32 || (uintptr_t)scale->data % sizeof value)
        return TFOPS_OK;
    memcpy(&value, scale->data, sizeof value);
    if (value > 0 && isfinite(value))
        return TFOPS_OK;
    snprintf(actual, sizeof actual, "%g", (double)value);
    return error_set(TFOPS_E_RANGE, "request", name, "a positive number", actual);
}
