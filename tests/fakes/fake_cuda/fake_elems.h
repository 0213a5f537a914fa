/* Operands and elements of kernels in C. */
#ifndef TFOPS_FAKE_ELEMS_H
#define TFOPS_FAKE_ELEMS_H

#include "fake.h"
#include "tests/support/host_data.h"

static inline size_t dtype_bytes(int dtype)
{
    return dtype == TFOPS_I64                          ? 8
           : dtype == TFOPS_F32 || dtype == TFOPS_I32  ? 4
           : dtype == TFOPS_F16 || dtype == TFOPS_BF16 ? 2
                                                       : 1;
}

static inline struct fake_operand rows_of(
    const void *data, int64_t rows, int64_t cols, int64_t stride, int dtype, bool written)
{
    return (struct fake_operand){
        (void *)(uintptr_t)data, data ? rows : 0, cols, stride, dtype_bytes(dtype), written};
}

static inline float load_elem(const void *base, int dtype, int64_t i)
{
    if (dtype == TFOPS_U8)
        return ((const uint8_t *)base)[i];
    return host_load(base, (enum tfops_dtype)dtype, i);
}

static inline void store_elem(void *base, int dtype, int64_t i, float value)
{
    host_store(base, (enum tfops_dtype)dtype, i, value);
}

#endif
