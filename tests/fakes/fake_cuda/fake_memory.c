/* Device memory: host memory in a registry, so that every access is checked against an allocation.
 */
#include "fake.h"
#include <stdlib.h>
#include <string.h>

enum { ALIGNMENT = 512 };

struct allocation {
    char *base;
    size_t bytes;
    CUcontext context;
};

static struct allocation *allocations; /* sorted by address */
static size_t n_allocations, capacity;
static size_t first_bytes; /* of the allocation made when there was none */

/* Index of the first allocation that starts behind `address`. */
static size_t upper_bound(const void *address)
{
    size_t low = 0, high = n_allocations;
    while (low < high) {
        const size_t middle = (low + high) / 2;
        if ((uintptr_t)allocations[middle].base <= (uintptr_t)address)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

bool memory_covers(const void *address, size_t bytes)
{
    const size_t i = upper_bound(address);
    if (bytes == 0)
        return true;
    if (i == 0)
        return false;
    const struct allocation *a = &allocations[i - 1];
    const size_t offset = (size_t)((uintptr_t)address - (uintptr_t)a->base);
    return offset <= a->bytes && bytes <= a->bytes - offset;
}

/* Whether memory begins an odd number of pages of 2 MiB behind where it can. */
bool memory_is_displaced(void)
{
    return first_bytes >> 21 & 1;
}

static bool grow(void)
{
    if (n_allocations < capacity)
        return true;
    const size_t more = capacity ? capacity * 2 : 64;
    struct allocation *bigger = realloc(allocations, more * sizeof *bigger);
    if (!bigger)
        return false;
    allocations = bigger;
    capacity = more;
    return true;
}

static CUresult allocate(CUdeviceptr *memory, size_t bytes)
{
    const CUcontext context = context_current();
    if (!memory || bytes == 0)
        return CUDA_ERROR_INVALID_VALUE;
    if (bytes > device_memory_bytes() || context->live_bytes > device_memory_bytes() - bytes)
        return CUDA_ERROR_OUT_OF_MEMORY;
    char *base = aligned_alloc(ALIGNMENT, (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT);
    if (!base || !grow()) {
        free(base);
        return CUDA_ERROR_OUT_OF_MEMORY;
    }
    const size_t i = upper_bound(base);
    if (!n_allocations)
        first_bytes = bytes;
    memmove(allocations + i + 1, allocations + i, (n_allocations - i) * sizeof *allocations);
    allocations[i] = (struct allocation){base, bytes, context};
    n_allocations++;
    context->live_bytes += bytes;
    gauges.live_allocations++;
    gauges.live_bytes += bytes;
    if (gauges.live_bytes > gauges.peak_bytes)
        gauges.peak_bytes = gauges.live_bytes;
    *memory = (CUdeviceptr)(uintptr_t)base;
    return CUDA_SUCCESS;
}

static CUresult release_memory(CUdeviceptr memory)
{
    const size_t i = upper_bound((void *)(uintptr_t)memory);
    if (memory == 0)
        return CUDA_SUCCESS;
    if (i == 0 || (uintptr_t)allocations[i - 1].base != memory)
        return CUDA_ERROR_INVALID_VALUE;
    const CUresult waited = stream_wait(allocations[i - 1].context->legacy); /* as cuMemFree does */
    if (waited != CUDA_SUCCESS)
        return waited;
    struct allocation *a = &allocations[i - 1];
    a->context->live_bytes -= a->bytes;
    gauges.live_allocations--;
    gauges.live_bytes -= a->bytes;
    free(a->base);
    memmove(a, a + 1, (n_allocations - i) * sizeof *a);
    n_allocations--;
    return CUDA_SUCCESS;
}

static CUresult get_info(size_t *free_bytes, size_t *total_bytes)
{
    if (!free_bytes || !total_bytes)
        return CUDA_ERROR_INVALID_VALUE;
    *total_bytes = device_memory_bytes();
    *free_bytes = *total_bytes - context_current()->live_bytes;
    return CUDA_SUCCESS;
}

CUresult fake_mem_alloc(CUdeviceptr *memory, size_t bytes)
{
    FAKE_BODY(mem_alloc, NEEDS_CONTEXT | NEEDS_NO_CAPTURE, allocate(memory, bytes));
}

CUresult fake_mem_free(CUdeviceptr memory)
{
    FAKE_BODY(mem_free, NEEDS_CONTEXT | NEEDS_NO_CAPTURE, release_memory(memory));
}

CUresult fake_mem_get_info(size_t *free_bytes, size_t *total_bytes)
{
    FAKE_BODY(mem_get_info, NEEDS_CONTEXT, get_info(free_bytes, total_bytes));
}

/* ---- copies and fills --------------------------------------------------------------------- */

static CUresult copy(
    void *to, const void *from, size_t bytes, bool to_device, bool from_device, CUstream stream)
{
    if ((bytes && (!to || !from)) || (to_device && !memory_covers(to, bytes)) ||
        (from_device && !memory_covers(from, bytes)))
        return CUDA_ERROR_INVALID_VALUE;
    const struct work work = {.kind = WORK_COPY, .copy = {to, from, bytes}};
    return stream_submit(stream, &work);
}

static CUresult copy_and_wait(void *to, const void *from, size_t bytes, bool to_device)
{
    CUresult result = stream_wait(NULL);
    if (result == CUDA_SUCCESS)
        result = copy(to, from, bytes, to_device, !to_device, NULL);
    return result;
}

static CUresult set(enum work_kind kind, CUdeviceptr to, unsigned value, size_t n, CUstream stream)
{
    void *address = (void *)(uintptr_t)to;
    if (!memory_covers(address, kind == WORK_SET32 ? n * 4 : n) ||
        (kind == WORK_SET32 && to % 4 != 0))
        return CUDA_ERROR_INVALID_VALUE;
    const struct work work = {.kind = kind, .set = {address, value, n}};
    return stream_submit(stream, &work);
}

#define DEVICE(address) ((void *)(uintptr_t)(address))

CUresult fake_memcpy_htod(CUdeviceptr to, const void *from, size_t bytes)
{
    FAKE_BODY(memcpy_htod, NEEDS_CONTEXT, copy_and_wait(DEVICE(to), from, bytes, true));
}

CUresult fake_memcpy_dtoh(void *to, CUdeviceptr from, size_t bytes)
{
    FAKE_BODY(memcpy_dtoh, NEEDS_CONTEXT, copy_and_wait(to, DEVICE(from), bytes, false));
}

CUresult fake_memcpy_htod_async(CUdeviceptr to, const void *from, size_t bytes, CUstream stream)
{
    FAKE_BODY(memcpy_htod_async, NEEDS_CONTEXT, copy(DEVICE(to), from, bytes, true, false, stream));
}

CUresult fake_memcpy_dtoh_async(void *to, CUdeviceptr from, size_t bytes, CUstream stream)
{
    FAKE_BODY(memcpy_dtoh_async, NEEDS_CONTEXT, copy(to, DEVICE(from), bytes, false, true, stream));
}

CUresult fake_memcpy_dtod_async(CUdeviceptr to, CUdeviceptr from, size_t bytes, CUstream stream)
{
    FAKE_BODY(memcpy_dtod_async, NEEDS_CONTEXT,
        copy(DEVICE(to), DEVICE(from), bytes, true, true, stream));
}

/* As a copy for each row. */
static CUresult copy_rows(const CUDA_MEMCPY2D *c, CUstream stream)
{
    CUresult result = CUDA_SUCCESS;
    if (c->srcMemoryType != CU_MEMORYTYPE_DEVICE || c->dstMemoryType != CU_MEMORYTYPE_DEVICE ||
        c->srcXInBytes || c->srcY || c->dstXInBytes || c->dstY || c->srcPitch < c->WidthInBytes ||
        c->dstPitch < c->WidthInBytes)
        return CUDA_ERROR_INVALID_VALUE;
    for (size_t row = 0; row < c->Height && !result; row++)
        result = copy(DEVICE(c->dstDevice + row * c->dstPitch),
            DEVICE(c->srcDevice + row * c->srcPitch), c->WidthInBytes, true, true, stream);
    return result;
}

CUresult fake_memcpy_2d_async(const CUDA_MEMCPY2D *c, CUstream stream)
{
    FAKE_BODY(memcpy_2d_async, NEEDS_CONTEXT, c ? copy_rows(c, stream) : CUDA_ERROR_INVALID_VALUE);
}

/* Which device may touch it: all memory is of devices, and no peer sees another's. */
static CUresult pointer_attribute(void *value, CUpointer_attribute attribute, const void *pointer)
{
    const size_t i = upper_bound(pointer);
    if (!value || !memory_covers(pointer, 1))
        return CUDA_ERROR_INVALID_VALUE;
    if (attribute != CU_POINTER_ATTRIBUTE_ACCESS_FLAGS)
        return CUDA_ERROR_NOT_SUPPORTED;
    *(unsigned *)value = allocations[i - 1].context == context_current()
                             ? CU_POINTER_ATTRIBUTE_ACCESS_FLAG_READWRITE
                             : CU_POINTER_ATTRIBUTE_ACCESS_FLAG_NONE;
    return CUDA_SUCCESS;
}

CUresult fake_pointer_get_attribute(void *value, CUpointer_attribute attribute, CUdeviceptr pointer)
{
    FAKE_BODY(
        pointer_get_attribute, NEEDS_CONTEXT, pointer_attribute(value, attribute, DEVICE(pointer)));
}

CUresult fake_memset_d8_async(CUdeviceptr to, unsigned char value, size_t n, CUstream stream)
{
    FAKE_BODY(memset_d8_async, NEEDS_CONTEXT, set(WORK_SET8, to, value, n, stream));
}

CUresult fake_memset_d32_async(CUdeviceptr to, unsigned value, size_t n, CUstream stream)
{
    FAKE_BODY(memset_d32_async, NEEDS_CONTEXT, set(WORK_SET32, to, value, n, stream));
}
