/* Loading binaries (see module.h). */
#include "module.h"
#include "base/error.h"

enum { PORTABLE_CLUSTER = 8, DEFAULT_SMEM_BYTES = 48 * 1024 };

static CUresult set_attributes(
    const struct driver *driver, const struct binary *binary, CUfunction function)
{
    CUresult result = CUDA_SUCCESS;
    if (binary->smem_bytes > DEFAULT_SMEM_BYTES)
        result = driver->func_set_attribute(
            function, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, (int)binary->smem_bytes);
    if (!result && binary->cluster > PORTABLE_CLUSTER)
        result = driver->func_set_attribute(
            function, CU_FUNC_ATTRIBUTE_NON_PORTABLE_CLUSTER_SIZE_ALLOWED, 1);
    return result;
}

enum tfops_status module_load(
    const struct driver *driver, const struct binary *binary, struct module *ret_module)
{
    struct module module = {0};
    const char *call = "cuModuleLoadDataEx";
    CUresult result = driver->module_load_data_ex(&module.handle, binary->image, 0, NULL, NULL);
    if (result)
        return driver_error(driver, result, call, binary->op);
    call = "cuModuleGetFunction";
    result = driver->module_get_function(&module.function, module.handle, binary->entry);
    if (!result) {
        call = "cuFuncSetAttribute";
        result = set_attributes(driver, binary, module.function);
    }
    if (!result) {
        call = "cuFuncLoad"; /* else lazy loading would do it inside the first launch */
        result = driver->func_load(module.function);
    }
    if (result) {
        enum tfops_status status = driver_error(driver, result, call, binary->entry);
        driver->module_unload(module.handle);
        return status;
    }
    *ret_module = module;
    return TFOPS_OK;
}

void module_unload(const struct driver *driver, struct module *module)
{
    if (module->handle)
        driver->module_unload(module->handle);
    *module = (struct module){0};
}
