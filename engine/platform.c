/* What the host has, without an engine, and memory of an engine's device for tools and tests. */
#include "base/error.h"
#include "base/mem.h"
#include "device.h"
#include "engine_state.h"
#include <stdio.h>
#include <string.h>
#include <tfops/engine.h>

enum tfops_status tfops_platform_query(
    const char *driver_path, const char *nvrtc_path, struct tfops_platform *ret_platform)
{
    struct driver driver;
    struct nvrtc nvrtc;
    struct nvml nvml;
    if (!ret_platform || ret_platform->size != sizeof *ret_platform)
        return error_set(TFOPS_E_ARGUMENT, "platform", "ret_platform.size",
            "sizeof(struct tfops_platform)", "NULL or another size");
    struct tfops_platform platform = {.size = sizeof platform};
    if (!driver_open(driver_path, &driver)) {
        int count = 0;
        platform.driver_version = driver.version;
        memcpy(platform.driver_path, driver.path, sizeof platform.driver_path);
        driver.device_get_count(&count);
        platform.device_count = count;
        driver_close(&driver);
    } else {
        snprintf(platform.message, sizeof platform.message, "%s", error_message());
    }
    if (!nvrtc_open(nvrtc_path, platform.driver_version / 1000, &nvrtc)) {
        platform.nvrtc_version = nvrtc.version;
        memcpy(platform.nvrtc_path, nvrtc.path, sizeof platform.nvrtc_path);
        nvrtc_close(&nvrtc);
    } else {
        size_t length = strlen(platform.message);
        snprintf(platform.message + length, sizeof platform.message - length, "%s%s",
            length ? "; " : "", error_message());
    }
    platform.nvml = !nvml_open(&nvml);
    if (platform.nvml)
        nvml_close(&nvml);
    *ret_platform = platform;
    return TFOPS_OK;
}

enum tfops_status tfops_platform_device(
    const char *driver_path, int32_t index, struct tfops_device *ret_device)
{
    struct driver driver;
    if (!ret_device)
        return error_set(TFOPS_E_ARGUMENT, "platform", "ret_device", "not NULL", "NULL");
    enum tfops_status status = driver_open(driver_path, &driver);
    if (status)
        return status;
    status = device_query(&driver, index, ret_device);
    driver_close(&driver);
    return status;
}

/* ---- device memory -------------------------------------------------------------------------- */

static enum tfops_status check_memory(
    const struct tfops_engine *engine, const void *pointer, const char *name)
{
    enum tfops_status status = engine_usable(engine);
    if (status)
        return status;
    if (!pointer)
        return error_set(TFOPS_E_ARGUMENT, "memory", name, "not NULL", "NULL");
    if (engine->kind == ENGINE_ARCH)
        return error_set(TFOPS_E_DRIVER, "memory", engine->device.arch, "a device with memory",
            "an engine that only compiles");
    return TFOPS_OK;
}

enum tfops_status tfops_device_alloc(struct tfops_engine *engine, size_t bytes, void **ret_memory)
{
    struct driver_scope scope;
    CUdeviceptr memory = 0;
    enum tfops_status status = check_memory(engine, ret_memory, "ret_memory");
    if (status)
        return status;
    if (engine->kind == ENGINE_CPU) {
        void *host = mem_new(&engine->env, bytes, 1);
        if (!host)
            return TFOPS_E_MEMORY;
        *ret_memory = host;
        return TFOPS_OK;
    }
    status = driver_enter(&engine->driver, engine->context, &scope);
    if (status)
        return status;
    CUresult result = engine->driver.mem_alloc(&memory, bytes ? bytes : 1);
    driver_leave(&engine->driver, &scope);
    if (!result)
        *ret_memory = (void *)(uintptr_t)memory;
    return driver_error(&engine->driver, result, "cuMemAlloc", "");
}

void tfops_device_free(struct tfops_engine *engine, void *memory)
{
    struct driver_scope scope;
    if (!memory || check_memory(engine, memory, "memory"))
        return;
    if (engine->kind == ENGINE_CPU) {
        mem_free(&engine->env, memory);
    } else if (!driver_enter(&engine->driver, engine->context, &scope)) {
        engine->driver.mem_free((CUdeviceptr)(uintptr_t)memory);
        driver_leave(&engine->driver, &scope);
    }
}

enum direction { TO_DEVICE, TO_HOST };

static enum tfops_status copy(
    struct tfops_engine *engine, void *to, const void *from, size_t bytes, enum direction direction)
{
    struct driver_scope scope;
    enum tfops_status status = check_memory(engine, to ? from : NULL, to ? "from" : "to");
    if (status)
        return status;
    if (engine->kind == ENGINE_CPU) {
        memcpy(to, from, bytes);
        return TFOPS_OK;
    }
    status = driver_enter(&engine->driver, engine->context, &scope);
    if (status)
        return status;
    CUresult result = direction == TO_DEVICE
                          ? engine->driver.memcpy_htod((CUdeviceptr)(uintptr_t)to, from, bytes)
                          : engine->driver.memcpy_dtoh(to, (CUdeviceptr)(uintptr_t)from, bytes);
    /* From pageable memory it returns with the copy under way, seen too late by other streams. */
    if (!result && direction == TO_DEVICE)
        result = engine->driver.stream_synchronize(NULL);
    driver_leave(&engine->driver, &scope);
    return driver_error(
        &engine->driver, result, direction == TO_DEVICE ? "cuMemcpyHtoD" : "cuMemcpyDtoH", "");
}

enum tfops_status tfops_device_write(
    struct tfops_engine *engine, void *to, const void *from, size_t bytes)
{
    return copy(engine, to, from, bytes, TO_DEVICE);
}

enum tfops_status tfops_device_read(
    struct tfops_engine *engine, void *to, const void *from, size_t bytes)
{
    return copy(engine, to, from, bytes, TO_HOST);
}

enum tfops_status tfops_device_synchronize(struct tfops_engine *engine)
{
    struct driver_scope scope;
    enum tfops_status status = check_memory(engine, engine, "engine");
    if (status || engine->kind == ENGINE_CPU)
        return status;
    status = driver_enter(&engine->driver, engine->context, &scope);
    if (status)
        return status;
    CUresult result = engine->driver.stream_synchronize(NULL);
    driver_leave(&engine->driver, &scope);
    return driver_error(&engine->driver, result, "cuStreamSynchronize", "");
}
