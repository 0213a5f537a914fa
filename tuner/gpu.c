/* One GPU as the stages of a session use it (see gpu.h). */
#include "gpu.h"
#include "base/error.h"
#include "base/half.h"
#include "kernels/support/copy_params.h"
#include "kernels/support/fill_params.h"
#include <stdlib.h>
#include <string.h>

/* Blocks per SM that fill and compare get at most: more only adds atomics. */
enum { BLOCKS_PER_SM = 8, VECTOR_BYTES = 16, COMPARE_TILE = 16 };

enum tfops_status gpu_check(const struct gpu *gpu, CUresult result, const char *call)
{
    return result ? driver_error(gpu->driver, result, call, gpu->device.name) : TFOPS_OK;
}

static uint32_t parse_unroll(const char *config)
{
    const char *at = config ? strstr(config, "UNROLL=") : NULL;
    long value = at ? strtol(at + strlen("UNROLL="), NULL, 10) : 1;
    return value > 0 && value <= 64 ? (uint32_t)value : 1;
}

enum tfops_status gpu_kernel_load(const struct gpu *gpu, const struct binary *binary,
    size_t param_bytes, struct gpu_kernel *ret_kernel)
{
    if (!binary)
        return TFOPS_OK;
    if (binary->param_bytes != param_bytes || !binary->threads)
        return error_setf(TFOPS_E_ABI, 0, "session", binary->entry ? binary->entry : "",
            "has %u bytes of parameters, expected %zu", binary->param_bytes, param_bytes);
    enum tfops_status status = module_load(gpu->driver, binary, &ret_kernel->module);
    if (status)
        return status;
    ret_kernel->threads = binary->threads;
    ret_kernel->smem_bytes = binary->smem_bytes;
    ret_kernel->unroll = parse_unroll(binary->config);
    return TFOPS_OK;
}

void gpu_kernel_unload(const struct gpu *gpu, struct gpu_kernel *kernel)
{
    if (kernel->module.handle)
        module_unload(gpu->driver, &kernel->module);
    memset(kernel, 0, sizeof *kernel);
}

static enum tfops_status launch(
    const struct gpu *gpu, const struct gpu_kernel *kernel, uint64_t grid, void *params)
{
    void *list[] = {params};
    if (!kernel->module.function)
        return error_set(TFOPS_E_ARGUMENT, "session", "support kernel", "a binary", "NULL");
    if (!grid)
        grid = 1;
    if (grid > INT32_MAX)
        grid = INT32_MAX;
    return gpu_check(gpu,
        gpu->driver->launch_kernel(kernel->module.function, (unsigned)grid, 1, 1, kernel->threads,
            1, 1, kernel->smem_bytes, gpu->stream, list, NULL),
        "cuLaunchKernel");
}

enum tfops_status gpu_alloc(const struct gpu *gpu, size_t bytes, CUdeviceptr *ret_memory)
{
    CUdeviceptr memory = 0;
    CUresult result = gpu->driver->mem_alloc(&memory, bytes ? bytes : 1);
    if (!result)
        *ret_memory = memory;
    return gpu_check(gpu, result, "cuMemAlloc");
}

void gpu_free(const struct gpu *gpu, CUdeviceptr *memory)
{
    if (*memory)
        gpu->driver->mem_free(*memory);
    *memory = 0;
}

enum tfops_status gpu_sync(const struct gpu *gpu)
{
    return gpu_check(gpu, gpu->driver->stream_synchronize(gpu->stream), "cuStreamSynchronize");
}

enum tfops_status gpu_set(const struct gpu *gpu, CUdeviceptr to, uint8_t byte, size_t bytes)
{
    if (!bytes)
        return TFOPS_OK;
    return gpu_check(
        gpu, gpu->driver->memset_d8_async(to, byte, bytes, gpu->stream), "cuMemsetD8Async");
}

enum tfops_status gpu_move(const struct gpu *gpu, CUdeviceptr to, CUdeviceptr from, size_t bytes)
{
    if (!bytes)
        return TFOPS_OK;
    return gpu_check(
        gpu, gpu->driver->memcpy_dtod_async(to, from, bytes, gpu->stream), "cuMemcpyDtoDAsync");
}

bool gpu_knows(enum tfops_dtype dtype)
{
    return half_knows(dtype);
}

bool gpu_compares(enum tfops_dtype dtype)
{
    return half_knows(dtype) || dtype == TFOPS_I32 || dtype == TFOPS_I64;
}

static uint64_t capped(const struct gpu *gpu, uint64_t grid)
{
    uint64_t most = (uint64_t)(gpu->device.sms > 0 ? gpu->device.sms : 1) * BLOCKS_PER_SM;
    return grid < most ? grid : most;
}

static enum tfops_status launch_fill(const struct gpu *gpu, struct fill_params *params)
{
    uint64_t bytes = params->n * tfops_dtype_bytes((enum tfops_dtype)params->dtype);
    uint64_t per_block = (uint64_t)gpu->fill.threads * VECTOR_BYTES;
    uint64_t grid = per_block ? (bytes + per_block - 1) / per_block : 1;
    return launch(gpu, &gpu->fill, capped(gpu, grid), params);
}

enum tfops_status gpu_fill(const struct gpu *gpu, CUdeviceptr to, enum tfops_dtype dtype, size_t n,
    const struct gpu_values *values)
{
    if (!gpu_knows(dtype))
        return gpu_set(gpu, to, 0, n * tfops_dtype_bytes(dtype));
    struct fill_params params = {.data = (void *)(uintptr_t)to,
        .n = n,
        .seed = values->seed,
        .special_every = values->special_every,
        .dtype = (int)dtype,
        .mode = FILL_NORMAL,
        .scale = values->scale,
        .offset = values->offset};
    return launch_fill(gpu, &params);
}

enum tfops_status gpu_fill_indices(const struct gpu *gpu, CUdeviceptr to, enum tfops_dtype dtype,
    size_t n, int64_t bound, bool distinct)
{
    struct fill_params params = {.data = (void *)(uintptr_t)to,
        .n = n,
        .dtype = (int)dtype,
        .mode = FILL_INDEX,
        .distinct = distinct,
        .bound = bound};
    return launch_fill(gpu, &params);
}

enum tfops_status gpu_compare(const struct gpu *gpu, const struct compare_params *params)
{
    struct compare_params copy = *params;
    long long tile = (long long)gpu->compare.threads * COMPARE_TILE;
    uint64_t tiles = tile ? (uint64_t)((copy.cols + tile - 1) / tile * copy.rows) : 1;
    return launch(gpu, &gpu->compare, capped(gpu, tiles), &copy);
}

enum tfops_status gpu_copy(
    const struct gpu *gpu, CUdeviceptr to, CUdeviceptr from, size_t bytes, uint32_t grid)
{
    struct copy_params params = {
        .src = (const void *)(uintptr_t)from, .dst = (void *)(uintptr_t)to, .bytes = bytes};
    uint64_t tile = (uint64_t)gpu->copy.threads * gpu->copy.unroll * VECTOR_BYTES;
    return launch(gpu, &gpu->copy, grid ? grid : tile ? (bytes + tile - 1) / tile : 1, &params);
}
