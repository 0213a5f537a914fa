/* Devices that look like an H200, their primary contexts, and each thread's stack of contexts. */
#include "fake.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct CUctx_st contexts[FAKE_MAX_DEVICES];
static int n_devices;
static bool initialised;
static _Thread_local CUcontext stack[FAKE_STACK];
static _Thread_local int depth;
static _Thread_local CUstreamCaptureMode thread_mode = CU_STREAM_CAPTURE_MODE_GLOBAL;

static unsigned long long env_number(const char *name, unsigned long long fallback)
{
    const char *text = getenv(name);
    return text && *text ? strtoull(text, NULL, 10) : fallback;
}

static CUresult init(void)
{
    const unsigned long long n = env_number("FAKE_CUDA_DEVICES", 1);
    n_devices = n > FAKE_MAX_DEVICES ? FAKE_MAX_DEVICES : (int)n;
    initialised = n_devices > 0;
    for (int i = 0; i < n_devices; i++)
        contexts[i].device = i;
    return initialised ? CUDA_SUCCESS : CUDA_ERROR_NO_DEVICE;
}

bool device_initialised(void)
{
    return initialised;
}

uint64_t device_memory_bytes(void)
{
    return env_number("FAKE_CUDA_MEMORY", 139ull << 30);
}

/* ---- devices ------------------------------------------------------------------------------ */

static const struct {
    CUdevice_attribute attribute;
    int value;
} attributes[] = {
#define ATTRIBUTE(name, value)                                                                     \
    {                                                                                              \
        CU_DEVICE_ATTRIBUTE_##name, value                                                          \
    }
    ATTRIBUTE(COMPUTE_CAPABILITY_MAJOR, 9),
    ATTRIBUTE(COMPUTE_CAPABILITY_MINOR, 0),
    ATTRIBUTE(MULTIPROCESSOR_COUNT, DEVICE_SMS),
    ATTRIBUTE(L2_CACHE_SIZE, 60 << 20),
    ATTRIBUTE(WARP_SIZE, 32),
    ATTRIBUTE(MAX_THREADS_PER_BLOCK, 1024),
    ATTRIBUTE(MAX_BLOCK_DIM_X, 1024),
    ATTRIBUTE(MAX_BLOCK_DIM_Y, 1024),
    ATTRIBUTE(MAX_BLOCK_DIM_Z, 64),
    ATTRIBUTE(MAX_GRID_DIM_X, 2147483647),
    ATTRIBUTE(MAX_GRID_DIM_Y, 65535),
    ATTRIBUTE(MAX_GRID_DIM_Z, 65535),
    ATTRIBUTE(MAX_THREADS_PER_MULTIPROCESSOR, 2048),
    ATTRIBUTE(MAX_BLOCKS_PER_MULTIPROCESSOR, 32),
    ATTRIBUTE(MAX_REGISTERS_PER_BLOCK, 65536),
    ATTRIBUTE(MAX_REGISTERS_PER_MULTIPROCESSOR, 65536),
    ATTRIBUTE(MAX_SHARED_MEMORY_PER_BLOCK, 49152),
    ATTRIBUTE(MAX_SHARED_MEMORY_PER_BLOCK_OPTIN, DEVICE_SMEM_OPTIN),
    ATTRIBUTE(MAX_SHARED_MEMORY_PER_MULTIPROCESSOR, DEVICE_SMEM_SM),
    ATTRIBUTE(RESERVED_SHARED_MEMORY_PER_BLOCK, 1024),
    ATTRIBUTE(CLOCK_RATE, 1980000),
    ATTRIBUTE(MEMORY_CLOCK_RATE, 3201000),
    ATTRIBUTE(GLOBAL_MEMORY_BUS_WIDTH, 6144),
    ATTRIBUTE(CLUSTER_LAUNCH, 1),
    ATTRIBUTE(TENSOR_MAP_ACCESS_SUPPORTED, 1),
    ATTRIBUTE(UNIFIED_ADDRESSING, 1),
    ATTRIBUTE(COMPUTE_MODE, 0),
    ATTRIBUTE(INTEGRATED, 0),
    ATTRIBUTE(ECC_ENABLED, 1),
    ATTRIBUTE(CONCURRENT_KERNELS, 1),
    ATTRIBUTE(STREAM_PRIORITIES_SUPPORTED, 1),
    ATTRIBUTE(COOPERATIVE_LAUNCH, 1),
    ATTRIBUTE(MANAGED_MEMORY, 1),
    ATTRIBUTE(MEMORY_POOLS_SUPPORTED, 1),
};

static bool is_device(CUdevice device)
{
    return device >= 0 && device < n_devices;
}

static CUresult attribute_get(int *value, CUdevice_attribute attribute, CUdevice device)
{
    if (!value)
        return CUDA_ERROR_INVALID_VALUE;
    if (!is_device(device))
        return CUDA_ERROR_INVALID_DEVICE;
    *value = attribute == CU_DEVICE_ATTRIBUTE_PCI_BUS_ID ? device + 1 : 0;
    for (size_t i = 0; i < sizeof attributes / sizeof *attributes; i++) {
        if (attributes[i].attribute == attribute)
            *value = attributes[i].value;
    }
    if (attribute == CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE)
        *value = (int)env_number("FAKE_CUDA_L2", (unsigned long long)*value);
    return CUDA_SUCCESS;
}

static CUresult text_get(char *to, int length, CUdevice device, const char *format)
{
    if (!to || length <= 0)
        return CUDA_ERROR_INVALID_VALUE;
    if (!is_device(device))
        return CUDA_ERROR_INVALID_DEVICE;
    snprintf(to, (size_t)length, format, device + 1);
    return CUDA_SUCCESS;
}

static CUresult uuid_get(CUuuid *uuid, CUdevice device)
{
    if (!uuid)
        return CUDA_ERROR_INVALID_VALUE;
    if (!is_device(device))
        return CUDA_ERROR_INVALID_DEVICE;
    char text[sizeof uuid->bytes + 1];
    snprintf(
        text, sizeof text, "fake-h200-%05llu%d", env_number("FAKE_CUDA_HOST", 0) % 100000, device);
    memcpy(uuid->bytes, text, sizeof uuid->bytes);
    return CUDA_SUCCESS;
}

static CUresult device_number(CUdevice *device, int ordinal)
{
    if (!device)
        return CUDA_ERROR_INVALID_VALUE;
    if (!is_device(ordinal))
        return CUDA_ERROR_INVALID_DEVICE;
    *device = ordinal;
    return CUDA_SUCCESS;
}

static CUresult set_int(int *to, int value)
{
    if (!to)
        return CUDA_ERROR_INVALID_VALUE;
    *to = value;
    return CUDA_SUCCESS;
}

static CUresult total_get(size_t *bytes, CUdevice device)
{
    if (!bytes)
        return CUDA_ERROR_INVALID_VALUE;
    *bytes = device_memory_bytes();
    return is_device(device) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_DEVICE;
}

CUresult fake_init(unsigned flags)
{
    FAKE_BODY(init, NEEDS_NOTHING, flags ? CUDA_ERROR_INVALID_VALUE : init());
}

CUresult fake_driver_get_version(int *version)
{
    FAKE_BODY(driver_get_version, NEEDS_NOTHING,
        set_int(version, (int)env_number("FAKE_CUDA_VERSION", 13000)));
}

CUresult fake_device_get_count(int *count)
{
    FAKE_BODY(device_get_count, NEEDS_INIT, set_int(count, n_devices));
}

CUresult fake_device_get(CUdevice *device, int ordinal)
{
    FAKE_BODY(device_get, NEEDS_INIT, device_number(device, ordinal));
}

CUresult fake_device_get_name(char *name, int length, CUdevice device)
{
    FAKE_BODY(device_get_name, NEEDS_INIT, text_get(name, length, device, "Fake H200"));
}

CUresult fake_device_get_attribute(int *value, CUdevice_attribute attribute, CUdevice device)
{
    FAKE_BODY(device_get_attribute, NEEDS_INIT, attribute_get(value, attribute, device));
}

CUresult fake_device_total_mem(size_t *bytes, CUdevice device)
{
    FAKE_BODY(device_total_mem, NEEDS_INIT, total_get(bytes, device));
}

CUresult fake_device_get_uuid(CUuuid *uuid, CUdevice device)
{
    FAKE_BODY(device_get_uuid, NEEDS_INIT, uuid_get(uuid, device));
}

CUresult fake_device_get_pci_bus_id(char *id, int length, CUdevice device)
{
    FAKE_BODY(device_get_pci_bus_id, NEEDS_INIT, text_get(id, length, device, "0000:%02X:00.0"));
}

/* ---- contexts ----------------------------------------------------------------------------- */

CUcontext context_current(void)
{
    return depth && stack[depth - 1]->refs > 0 ? stack[depth - 1] : NULL;
}

static CUresult retain(CUcontext *context, CUdevice device)
{
    if (!context)
        return CUDA_ERROR_INVALID_VALUE;
    if (!is_device(device))
        return CUDA_ERROR_INVALID_DEVICE;
    struct CUctx_st *primary = &contexts[device];
    if (!primary->legacy) {
        primary->legacy = handle_new(KIND_STREAM, sizeof *primary->legacy);
        if (!primary->legacy)
            return CUDA_ERROR_OUT_OF_MEMORY;
        primary->legacy->context = primary;
        primary->legacy->is_legacy = true;
    }
    primary->refs++;
    *context = primary;
    return CUDA_SUCCESS;
}

static CUresult release(CUdevice device)
{
    if (!is_device(device))
        return CUDA_ERROR_INVALID_DEVICE;
    if (contexts[device].refs == 0)
        return CUDA_ERROR_INVALID_CONTEXT;
    contexts[device].refs--;
    return CUDA_SUCCESS;
}

static CUresult current(CUcontext *context)
{
    if (!context)
        return CUDA_ERROR_INVALID_VALUE;
    *context = context_current();
    return CUDA_SUCCESS;
}

static CUresult push(CUcontext context)
{
    if (!context || context->refs == 0)
        return CUDA_ERROR_INVALID_CONTEXT;
    if (depth == FAKE_STACK)
        return CUDA_ERROR_OUT_OF_MEMORY;
    stack[depth++] = context;
    return CUDA_SUCCESS;
}

static CUresult pop(CUcontext *context)
{
    if (depth == 0)
        return CUDA_ERROR_INVALID_CONTEXT;
    depth--;
    if (context)
        *context = stack[depth];
    return CUDA_SUCCESS;
}

static CUresult exchange_mode(CUstreamCaptureMode *mode)
{
    if (!mode)
        return CUDA_ERROR_INVALID_VALUE;
    const CUstreamCaptureMode before = thread_mode;
    thread_mode = *mode;
    *mode = before;
    return CUDA_SUCCESS;
}

CUresult fake_primary_ctx_retain(CUcontext *context, CUdevice device)
{
    FAKE_BODY(primary_ctx_retain, NEEDS_INIT, retain(context, device));
}

CUresult fake_primary_ctx_release(CUdevice device)
{
    FAKE_BODY(primary_ctx_release, NEEDS_INIT, release(device));
}

CUresult fake_ctx_get_current(CUcontext *context)
{
    FAKE_BODY(ctx_get_current, NEEDS_INIT, current(context));
}

CUresult fake_ctx_push_current(CUcontext context)
{
    FAKE_BODY(ctx_push_current, NEEDS_INIT, push(context));
}

CUresult fake_ctx_pop_current(CUcontext *context)
{
    FAKE_BODY(ctx_pop_current, NEEDS_INIT, pop(context));
}

CUresult fake_thread_exchange_capture_mode(CUstreamCaptureMode *mode)
{
    FAKE_BODY(thread_exchange_capture_mode, NEEDS_INIT, exchange_mode(mode));
}

CUstreamCaptureMode context_capture_mode(void)
{
    return thread_mode;
}
