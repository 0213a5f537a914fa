/*
 * One GPU as the stages of a session use it: a stream and the support kernels that fill, compare
 * and copy. Thin over the driver table: every call here is asynchronous on the stream unless it
 * says otherwise, and turns a driver result into a status with the error record set.
 */
#ifndef TFOPS_TUNER_GPU_H
#define TFOPS_TUNER_GPU_H

#include "base/env.h"
#include "cache/binary_store.h"
#include "driver.h"
#include "kernels/support/compare_params.h"
#include "module.h"
#include <tfops/spec.h>

struct gpu_kernel {
    struct module module; /* function NULL: not given */
    uint32_t threads, smem_bytes;
    uint32_t unroll; /* of the copy kernel: 16-byte vectors of one thread and turn */
};

struct gpu {
    const struct env *env;
    const struct driver *driver;
    struct tfops_device device;
    CUstream stream;
    struct gpu_kernel fill, compare, copy;
};

enum tfops_status gpu_check(const struct gpu *gpu, CUresult result, const char *call);

/* `binary` NULL leaves *ret_kernel empty. TFOPS_E_ABI when its parameters are not `param_bytes`. */
enum tfops_status gpu_kernel_load(const struct gpu *gpu, const struct binary *binary,
    size_t param_bytes, struct gpu_kernel *ret_kernel);
void gpu_kernel_unload(const struct gpu *gpu, struct gpu_kernel *kernel);

/* Blocks. */
enum tfops_status gpu_alloc(const struct gpu *gpu, size_t bytes, CUdeviceptr *ret_memory);
void gpu_free(const struct gpu *gpu, CUdeviceptr *memory); /* 0 is fine; sets 0 */
enum tfops_status gpu_sync(const struct gpu *gpu);         /* blocks */

enum tfops_status gpu_set(const struct gpu *gpu, CUdeviceptr to, uint8_t byte, size_t bytes);
enum tfops_status gpu_move(const struct gpu *gpu, CUdeviceptr to, CUdeviceptr from, size_t bytes);

/* Random values · scale + offset; every special_every-th element a special value (0: none). */
struct gpu_values {
    uint64_t seed, special_every;
    float scale, offset;
};
/* Whether the fill kernel knows the dtype's values, and whether the compare kernel does. */
bool gpu_knows(enum tfops_dtype dtype);
bool gpu_compares(enum tfops_dtype dtype);
/* `n` elements; a dtype whose values the kernel does not know is zeroed. */
enum tfops_status gpu_fill(const struct gpu *gpu, CUdeviceptr to, enum tfops_dtype dtype, size_t n,
    const struct gpu_values *values);
/* Whole numbers from bound - 1 down to 0 and again; distinct: then -1. dtype i32 or i64. */
enum tfops_status gpu_fill_indices(const struct gpu *gpu, CUdeviceptr to, enum tfops_dtype dtype,
    size_t n, int64_t bound, bool distinct);
enum tfops_status gpu_compare(const struct gpu *gpu, const struct compare_params *params);
/* Grid 0: one turn for each thread. */
enum tfops_status gpu_copy(
    const struct gpu *gpu, CUdeviceptr to, CUdeviceptr from, size_t bytes, uint32_t grid);

#endif
