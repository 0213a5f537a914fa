/* Dtypes and tensors: the facts every stage shares (see tfops/tensor.h). */
#include <string.h>
#include <tfops/tensor.h>

static const struct {
    const char *name;
    size_t bytes;
} DTYPE[TFOPS_DTYPE_COUNT] = {
    [TFOPS_NONE] = {"none", 0},
    [TFOPS_F32] = {"f32", 4},
    [TFOPS_F16] = {"f16", 2},
    [TFOPS_BF16] = {"bf16", 2},
    [TFOPS_E4M3] = {"e4m3", 1},
    [TFOPS_E5M2] = {"e5m2", 1},
    [TFOPS_I32] = {"i32", 4},
    [TFOPS_I64] = {"i64", 8},
    [TFOPS_U8] = {"u8", 1},
};

const char *tfops_dtype_name(enum tfops_dtype dtype)
{
    return (unsigned)dtype < TFOPS_DTYPE_COUNT ? DTYPE[dtype].name : DTYPE[TFOPS_NONE].name;
}

enum tfops_dtype tfops_dtype_parse(const char *name)
{
    for (int i = 1; name && i < TFOPS_DTYPE_COUNT; i++)
        if (!strcmp(name, DTYPE[i].name))
            return (enum tfops_dtype)i;
    return TFOPS_NONE;
}

size_t tfops_dtype_bytes(enum tfops_dtype dtype)
{
    return (unsigned)dtype < TFOPS_DTYPE_COUNT ? DTYPE[dtype].bytes : 0;
}

struct tfops_tensor tfops_tensor_contiguous(
    void *data, enum tfops_dtype dtype, int32_t rank, const int64_t *shape)
{
    struct tfops_tensor tensor = {.data = data, .dtype = dtype, .rank = rank};
    int64_t stride = 1;
    for (int i = rank < TFOPS_MAX_RANK ? rank - 1 : TFOPS_MAX_RANK - 1; i >= 0; i--) {
        tensor.shape[i] = shape[i];
        tensor.strides[i] = stride;
        if (__builtin_mul_overflow(stride, shape[i], &stride))
            stride = INT64_MAX;
    }
    return tensor;
}
