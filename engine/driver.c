/* libcuda, opened at run time (see driver.h). */
#include "driver.h"
#include "base/error.h"
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *symbol;
    size_t offset;
} FUNCTIONS[] = {
#define ROW(field, symbol, parameters) {symbol, offsetof(struct driver, field)},
    DRIVER_FUNCTIONS(ROW)
#undef ROW
};

static const char *choose_path(const char *path)
{
    if (path)
        return path;
    const char *environment = getenv("TFOPS_LIBCUDA");
    return environment && *environment ? environment : "libcuda.so.1";
}

static enum tfops_status resolve(struct driver *driver)
{
    for (size_t i = 0; i < sizeof FUNCTIONS / sizeof FUNCTIONS[0]; i++) {
        void *address = dlsym(driver->library, FUNCTIONS[i].symbol);
        if (!address)
            return error_setf(TFOPS_E_DRIVER, 0, "driver", driver->path,
                "has no %s: a driver for CUDA %d.%d or newer is needed", FUNCTIONS[i].symbol,
                DRIVER_MINIMUM / 1000, DRIVER_MINIMUM % 1000 / 10);
        memcpy((char *)driver + FUNCTIONS[i].offset, &address, sizeof address);
    }
    return TFOPS_OK;
}

static enum tfops_status start(struct driver *driver)
{
    CUresult result = driver->init(0);
    if (result)
        return driver_error(driver, result, "cuInit", driver->path);
    result = driver->driver_get_version(&driver->version);
    if (result)
        return driver_error(driver, result, "cuDriverGetVersion", driver->path);
    if (driver->version < DRIVER_MINIMUM)
        return error_setf(TFOPS_E_DRIVER, driver->version, "driver", driver->path,
            "supports CUDA %d.%d, %d.%d is needed", driver->version / 1000,
            driver->version % 1000 / 10, DRIVER_MINIMUM / 1000, DRIVER_MINIMUM % 1000 / 10);
    return TFOPS_OK;
}

enum tfops_status driver_open(const char *path, struct driver *ret_driver)
{
    struct driver driver = {0};
    path = choose_path(path);
    snprintf(driver.path, sizeof driver.path, "%s", path);
    driver.library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!driver.library)
        return error_setf(TFOPS_E_DRIVER, 0, "driver", path, "cannot be opened: %s", dlerror());
    enum tfops_status status = resolve(&driver);
    if (!status)
        status = start(&driver);
    if (!status)
        *ret_driver = driver;
    return status;
}

void driver_close(struct driver *driver)
{
    memset(driver, 0, sizeof *driver);
}

bool driver_is_fault(CUresult result)
{
    switch (result) {
    case CUDA_ERROR_ILLEGAL_ADDRESS:
    case CUDA_ERROR_LAUNCH_TIMEOUT:
    case CUDA_ERROR_ASSERT:
    case CUDA_ERROR_HARDWARE_STACK_ERROR:
    case CUDA_ERROR_ILLEGAL_INSTRUCTION:
    case CUDA_ERROR_MISALIGNED_ADDRESS:
    case CUDA_ERROR_INVALID_ADDRESS_SPACE:
    case CUDA_ERROR_INVALID_PC:
    case CUDA_ERROR_LAUNCH_FAILED:
    case CUDA_ERROR_ECC_UNCORRECTABLE:
        return true;
    default:
        return false;
    }
}

enum tfops_status driver_error(
    const struct driver *driver, CUresult result, const char *call, const char *subject)
{
    if (result == CUDA_SUCCESS)
        return TFOPS_OK;
    const char *name = NULL, *text = NULL;
    if (driver->get_error_name)
        driver->get_error_name(result, &name);
    if (driver->get_error_string)
        driver->get_error_string(result, &text);
    enum tfops_status status = result == CUDA_ERROR_OUT_OF_MEMORY ? TFOPS_E_MEMORY : TFOPS_E_DRIVER;
    return error_setf(status, (int32_t)result, call, subject, "%s (%d): %s%s",
        name ? name : "CUDA error", (int)result, text ? text : "no description",
        driver_is_fault(result) ? "; earlier work on this context may be the culprit" : "");
}

enum tfops_status driver_enter(
    const struct driver *driver, CUcontext context, struct driver_scope *ret_scope)
{
    CUcontext current = NULL;
    const char *call = "cuCtxGetCurrent";
    *ret_scope = (struct driver_scope){.mode = CU_STREAM_CAPTURE_MODE_RELAXED};
    CUresult result = driver->ctx_get_current(&current);
    if (!result && current != context) {
        call = "cuCtxPushCurrent";
        result = driver->ctx_push_current(context);
        ret_scope->pushed = !result;
    }
    if (result)
        return driver_error(driver, result, call, "");
    ret_scope->relaxed = !driver->thread_exchange_capture_mode(&ret_scope->mode);
    return TFOPS_OK;
}

void driver_leave(const struct driver *driver, const struct driver_scope *scope)
{
    CUstreamCaptureMode mode = scope->mode;
    CUcontext popped;
    if (scope->relaxed)
        driver->thread_exchange_capture_mode(&mode);
    if (scope->pushed)
        driver->ctx_pop_current(&popped);
}
