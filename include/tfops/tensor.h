/*
 * Tensors as callers describe them: a pointer, a dtype, extents and element strides.
 * A tensor owns nothing; it is read during the call it is passed to and may live on the stack.
 */
#ifndef TFOPS_TENSOR_H
#define TFOPS_TENSOR_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define TFOPS_MAX_RANK 8

/* Codes are part of cache keys and of kernel parameters: append only. */
enum tfops_dtype {
    TFOPS_NONE = 0,
    TFOPS_F32 = 1,
    TFOPS_F16 = 2,  /* IEEE 754 binary16 */
    TFOPS_BF16 = 3, /* bfloat16 */
    TFOPS_E4M3 = 4, /* OCP FP8 E4M3 */
    TFOPS_E5M2 = 5, /* OCP FP8 E5M2 */
    TFOPS_I32 = 6,
    TFOPS_I64 = 7,
    TFOPS_U8 = 8,
    TFOPS_DTYPE_COUNT
};

/* "f16", "bf16", …; "none" for an unknown code. */
const char *tfops_dtype_name(enum tfops_dtype dtype);
/* The code for a name as tfops_dtype_name() writes it; TFOPS_NONE when there is none. */
enum tfops_dtype tfops_dtype_parse(const char *name);
/* Bytes of one element; 0 for TFOPS_NONE. */
size_t tfops_dtype_bytes(enum tfops_dtype dtype);

struct tfops_tensor {
    void *data; /* device memory, host memory on the cpu device; const inputs too */
    enum tfops_dtype dtype;
    int32_t rank;                  /* 0 … TFOPS_MAX_RANK */
    int64_t shape[TFOPS_MAX_RANK]; /* extents, ≥ 0 */
    /* In elements, ≥ 0, in any order; ignored where the extent is 1. Of an output each element has a
     * place of its own, and shares no byte with another operand but where the operator says so. */
    int64_t strides[TFOPS_MAX_RANK];
};

/* A row-major contiguous tensor over `data`. Rank beyond TFOPS_MAX_RANK is cut (and refused later). */
struct tfops_tensor tfops_tensor_contiguous(
    void *data, enum tfops_dtype dtype, int32_t rank, const int64_t *shape);

#ifdef __cplusplus
}
#endif
#endif
