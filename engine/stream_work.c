/* Copies and fills in stream order (see stream_work.h). */
#include "stream_work.h"
#include "base/error.h"
#include <string.h>

enum tfops_status stream_work_check(const struct tfops_engine *engine, struct CUstream_st *stream)
{
    enum tfops_status status = engine_usable(engine);
    if (status)
        return status;
    if (engine->kind == ENGINE_ARCH)
        return error_set(TFOPS_E_DRIVER, "memory", engine->device.arch, "a device with memory",
            "an engine that only compiles");
    if (engine->kind == ENGINE_CPU && stream)
        return error_set(
            TFOPS_E_CONTEXT, "memory", "stream", "no stream on the cpu device", "a stream");
    return TFOPS_OK;
}

static CUdeviceptr address_of(const void *pointer)
{
    return (CUdeviceptr)(uintptr_t)pointer;
}

enum tfops_status stream_work_zero(
    struct tfops_engine *engine, void *to, size_t bytes, struct CUstream_st *stream)
{
    struct driver_scope scope;
    if (engine->kind == ENGINE_CPU) {
        memset(to, 0, bytes);
        return TFOPS_OK;
    }
    enum tfops_status status = driver_enter(&engine->driver, engine->context, &scope);
    if (status)
        return status;
    const CUresult result = engine->driver.memset_d8_async(address_of(to), 0, bytes, stream);
    driver_leave(&engine->driver, &scope);
    return driver_error(&engine->driver, result, "cuMemsetD8Async", "");
}

enum tfops_status stream_work_set_word(
    struct tfops_engine *engine, void *to, uint32_t word, struct CUstream_st *stream)
{
    struct driver_scope scope;
    if (engine->kind == ENGINE_CPU) {
        memcpy(to, &word, sizeof word);
        return TFOPS_OK;
    }
    enum tfops_status status = driver_enter(&engine->driver, engine->context, &scope);
    if (status)
        return status;
    const CUresult result = engine->driver.memset_d32_async(address_of(to), word, 1, stream);
    driver_leave(&engine->driver, &scope);
    return driver_error(&engine->driver, result, "cuMemsetD32Async", "");
}

/* ---- copies --------------------------------------------------------------------------------- */

/* Rows in bytes. */
struct rows {
    const char *from;
    char *to;
    size_t from_pitch, to_pitch, width, height;
};

static struct rows rows_of(const struct tfops_tensor *from, const struct tfops_tensor *to)
{
    const size_t elem = tfops_dtype_bytes(from->dtype);
    const size_t width = (size_t)from->shape[1] * elem, height = (size_t)from->shape[0];
    return (struct rows){.from = from->data,
        .to = to->data,
        .from_pitch = height > 1 ? (size_t)from->strides[0] * elem : width,
        .to_pitch = height > 1 ? (size_t)to->strides[0] * elem : width,
        .width = width,
        .height = height};
}

static CUresult copy_on_device(
    const struct driver *driver, const struct rows *rows, CUstream stream, const char **ret_call)
{
    if (rows->from_pitch == rows->width && rows->to_pitch == rows->width) {
        *ret_call = "cuMemcpyDtoDAsync";
        return driver->memcpy_dtod_async(
            address_of(rows->to), address_of(rows->from), rows->width * rows->height, stream);
    }
    const CUDA_MEMCPY2D copy = {.srcMemoryType = CU_MEMORYTYPE_DEVICE,
        .srcDevice = address_of(rows->from),
        .srcPitch = rows->from_pitch,
        .dstMemoryType = CU_MEMORYTYPE_DEVICE,
        .dstDevice = address_of(rows->to),
        .dstPitch = rows->to_pitch,
        .WidthInBytes = rows->width,
        .Height = rows->height};
    *ret_call = "cuMemcpy2DAsync";
    return driver->memcpy_2d_async(&copy, stream);
}

enum tfops_status stream_work_copy(struct tfops_engine *engine, const struct tfops_tensor *from,
    const struct tfops_tensor *to, struct CUstream_st *stream)
{
    const struct rows rows = rows_of(from, to);
    struct driver_scope scope;
    const char *call;
    if (engine->kind == ENGINE_CPU) {
        for (size_t row = 0; row < rows.height; row++)
            memcpy(rows.to + row * rows.to_pitch, rows.from + row * rows.from_pitch, rows.width);
        return TFOPS_OK;
    }
    enum tfops_status status = driver_enter(&engine->driver, engine->context, &scope);
    if (status)
        return status;
    const CUresult result = copy_on_device(&engine->driver, &rows, stream, &call);
    driver_leave(&engine->driver, &scope);
    return driver_error(&engine->driver, result, call, "");
}

/* ---- whose memory it is --------------------------------------------------------------------- */

/* Some devices read what the host allocated. */
static bool reads_host_memory(const struct tfops_engine *engine)
{
    int reads = 0;
    return !engine->driver.device_get_attribute(
               &reads, CU_DEVICE_ATTRIBUTE_PAGEABLE_MEMORY_ACCESS, engine->handle) &&
           reads;
}

enum tfops_status stream_work_reaches(
    struct tfops_engine *engine, const char *name, const void *address)
{
    struct driver_scope scope;
    uint64_t flags = CU_POINTER_ATTRIBUTE_ACCESS_FLAG_READWRITE; /* of which 32 bits are written */
    if (engine->kind != ENGINE_CUDA)
        return TFOPS_OK;
    enum tfops_status status = driver_enter(&engine->driver, engine->context, &scope);
    if (status)
        return status;
    const CUresult result = engine->driver.pointer_get_attribute(
        &flags, CU_POINTER_ATTRIBUTE_ACCESS_FLAGS, address_of(address));
    driver_leave(&engine->driver, &scope);
    if (result == CUDA_ERROR_INVALID_VALUE && !reads_host_memory(engine))
        return error_set(TFOPS_E_ARGUMENT, "memory", name, "memory of the engine's device",
            "an address that CUDA does not know, e.g. of the host");
    if (!result && flags == CU_POINTER_ATTRIBUTE_ACCESS_FLAG_NONE)
        return error_set(TFOPS_E_ARGUMENT, "memory", name, "memory of the engine's device",
            "memory of a device that it cannot read");
    return TFOPS_OK;
}
