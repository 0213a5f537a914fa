/* Modules and functions: what the engine reads from a loaded cubin and the limits it is held to. */
#include "fake.h"
#include <stdlib.h>
#include <string.h>

static bool names(const char *variable, const char *text)
{
    const char *want = getenv(variable);
    return want && *want && (strcmp(want, "*") == 0 || strstr(text, want));
}

/* Misbehaviour that the environment asks of this module. */
static uint32_t asked_markers(const struct cubin *cubin, const void *image)
{
    const char *inside = getenv("FAKE_CUDA_FAULT_MODULE");
    uint32_t markers = 0;
    for (size_t i = 0; i < cubin->n_entries; i++) {
        const char *entry = cubin->entries[i].name;
        markers |= names("FAKE_CUDA_FAULT_ENTRY", entry) ? FAKE_MARKER_FAULT : 0;
        markers |= names("FAKE_CUDA_HANG", entry) ? FAKE_MARKER_HANG : 0;
        markers |= names("FAKE_CUDA_WRONG", entry) ? FAKE_MARKER_WRONG : 0;
    }
    if (inside && *inside && memmem(image, cubin->bytes, inside, strlen(inside)))
        markers |= FAKE_MARKER_FAULT;
    return markers;
}

static CUresult load(CUmodule *module, const void *image)
{
    struct cubin cubin;
    if (!module || !image)
        return CUDA_ERROR_INVALID_VALUE;
    if (!cubin_read(image, &cubin))
        return CUDA_ERROR_INVALID_IMAGE;
    if (cubin.sm != 90)
        return CUDA_ERROR_NO_BINARY_FOR_GPU;
    struct CUmod_st *loaded = handle_new(KIND_MODULE, sizeof *loaded);
    if (!loaded)
        return CUDA_ERROR_OUT_OF_MEMORY;
    loaded->context = context_current();
    loaded->cubin = cubin;
    loaded->asked = asked_markers(&cubin, image);
    gauges.live_modules++;
    *module = loaded;
    return CUDA_SUCCESS;
}

static CUresult unload(CUmodule module)
{
    if (!handle_is(module, KIND_MODULE))
        return CUDA_ERROR_INVALID_HANDLE;
    module->handle.live = false;
    gauges.live_modules--;
    return CUDA_SUCCESS;
}

static CUresult get_function(CUfunction *ret_function, CUmodule module, const char *name)
{
    if (!ret_function || !name)
        return CUDA_ERROR_INVALID_VALUE;
    if (!handle_is(module, KIND_MODULE))
        return CUDA_ERROR_INVALID_HANDLE;
    for (size_t i = 0; i < module->cubin.n_entries; i++) {
        if (strcmp(module->cubin.entries[i].name, name) != 0)
            continue;
        struct CUfunc_st *function = handle_new(KIND_FUNCTION, sizeof *function);
        if (!function)
            return CUDA_ERROR_OUT_OF_MEMORY;
        function->module = module;
        function->entry = &module->cubin.entries[i];
        function->kernel = kernel_find(name);
        function->max_dynamic_smem = 49152 - (int)function->entry->smem_static_bytes;
        *ret_function = function;
        return CUDA_SUCCESS;
    }
    return CUDA_ERROR_NOT_FOUND;
}

static bool is_usable(CUfunction function)
{
    return handle_is(function, KIND_FUNCTION) && function->module->handle.live;
}

static CUresult get_attribute(int *value, CUfunction_attribute attribute, CUfunction function)
{
    if (!value)
        return CUDA_ERROR_INVALID_VALUE;
    if (!is_usable(function))
        return CUDA_ERROR_INVALID_HANDLE;
    const struct cubin_entry *entry = function->entry;
    const int values[CU_FUNC_ATTRIBUTE_MAX] = {
        [CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK] = (int)entry->max_threads,
        [CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES] = (int)entry->smem_static_bytes,
        [CU_FUNC_ATTRIBUTE_LOCAL_SIZE_BYTES] = (int)entry->local_bytes,
        [CU_FUNC_ATTRIBUTE_NUM_REGS] = (int)entry->registers,
        [CU_FUNC_ATTRIBUTE_PTX_VERSION] = 90,
        [CU_FUNC_ATTRIBUTE_BINARY_VERSION] = 90,
        [CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES] = function->max_dynamic_smem,
        [CU_FUNC_ATTRIBUTE_NON_PORTABLE_CLUSTER_SIZE_ALLOWED] = function->any_cluster,
    };
    if ((unsigned)attribute >= CU_FUNC_ATTRIBUTE_MAX)
        return CUDA_ERROR_INVALID_VALUE;
    *value = values[attribute];
    return CUDA_SUCCESS;
}

static CUresult set_attribute(CUfunction function, CUfunction_attribute attribute, int value)
{
    if (!is_usable(function))
        return CUDA_ERROR_INVALID_HANDLE;
    if (attribute == CU_FUNC_ATTRIBUTE_NON_PORTABLE_CLUSTER_SIZE_ALLOWED) {
        function->any_cluster = value != 0;
        return CUDA_SUCCESS;
    }
    if (attribute == CU_FUNC_ATTRIBUTE_PREFERRED_SHARED_MEMORY_CARVEOUT)
        return value >= -1 && value <= 100 ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
    if (attribute != CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES || value < 0 ||
        value > DEVICE_SMEM_OPTIN - (int)function->entry->smem_static_bytes)
        return CUDA_ERROR_INVALID_VALUE;
    function->max_dynamic_smem = value;
    return CUDA_SUCCESS;
}

/* Loading is eager here: there is only the handle to check. */
static CUresult load_function(CUfunction function)
{
    return is_usable(function) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
}

static int least(int a, int b)
{
    return a < b ? a : b;
}

static CUresult occupancy(int *blocks, CUfunction function, int threads, size_t smem_bytes)
{
    if (!blocks || threads <= 0)
        return CUDA_ERROR_INVALID_VALUE;
    if (!is_usable(function))
        return CUDA_ERROR_INVALID_HANDLE;
    const int warps = (threads + 31) / 32;
    const int registers = ((int)function->entry->registers * 32 + 255) / 256 * 256 * warps;
    const size_t smem = smem_bytes + function->entry->smem_static_bytes + 1024;
    int n = least(32, 64 / warps);
    if (registers > 0)
        n = least(n, 65536 / registers);
    *blocks = smem > DEVICE_SMEM_SM ? 0 : least(n, (int)(DEVICE_SMEM_SM / smem));
    return CUDA_SUCCESS;
}

CUresult fake_module_load_data_ex(
    CUmodule *module, const void *image, unsigned n, CUjit_option *options, void **values)
{
    (void)n, (void)options, (void)values;
    FAKE_BODY(module_load_data_ex, NEEDS_CONTEXT | NEEDS_NO_CAPTURE, load(module, image));
}

CUresult fake_module_unload(CUmodule module)
{
    FAKE_BODY(module_unload, NEEDS_CONTEXT | NEEDS_NO_CAPTURE, unload(module));
}

CUresult fake_module_get_function(CUfunction *function, CUmodule module, const char *name)
{
    FAKE_BODY(module_get_function, NEEDS_CONTEXT, get_function(function, module, name));
}

CUresult fake_func_load(CUfunction function)
{
    FAKE_BODY(func_load, NEEDS_CONTEXT | NEEDS_NO_CAPTURE, load_function(function));
}

CUresult fake_func_get_attribute(int *value, CUfunction_attribute attribute, CUfunction function)
{
    FAKE_BODY(func_get_attribute, NEEDS_CONTEXT, get_attribute(value, attribute, function));
}

CUresult fake_func_set_attribute(CUfunction function, CUfunction_attribute attribute, int value)
{
    FAKE_BODY(func_set_attribute, NEEDS_CONTEXT, set_attribute(function, attribute, value));
}

CUresult fake_occupancy_max_active_blocks(
    int *blocks, CUfunction function, int threads, size_t smem_bytes)
{
    FAKE_BODY(occupancy_max_active_blocks, NEEDS_CONTEXT,
        occupancy(blocks, function, threads, smem_bytes));
}
