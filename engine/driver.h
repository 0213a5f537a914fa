/*
 * libcuda as a table of functions, opened at run time: nothing links it, a host without it still
 * runs the cpu device, and tests put a fake in its place. Types come from cuda.h, which only engine/
 * and tuner/ may include.
 */
#ifndef TFOPS_ENGINE_DRIVER_H
#define TFOPS_ENGINE_DRIVER_H

#include <cuda.h>
#include <stdbool.h>
#include <tfops/status.h>

/*
 * X(field, exported symbol, result and parameters). The symbols are the versions named here, whatever
 * macros cuda.h of the build maps the plain names to.
 */
#define DRIVER_FUNCTIONS(X)                                                                        \
    X(init, "cuInit", (unsigned flags))                                                            \
    X(driver_get_version, "cuDriverGetVersion", (int *version))                                    \
    X(get_error_name, "cuGetErrorName", (CUresult error, const char **name))                       \
    X(get_error_string, "cuGetErrorString", (CUresult error, const char **text))                   \
    X(device_get_count, "cuDeviceGetCount", (int *count))                                          \
    X(device_get, "cuDeviceGet", (CUdevice * device, int ordinal))                                 \
    X(device_get_name, "cuDeviceGetName", (char *name, int length, CUdevice device))               \
    X(device_get_attribute, "cuDeviceGetAttribute",                                                \
        (int *value, CUdevice_attribute attribute, CUdevice device))                               \
    X(device_total_mem, "cuDeviceTotalMem_v2", (size_t * bytes, CUdevice device))                  \
    X(device_get_uuid, "cuDeviceGetUuid_v2", (CUuuid * uuid, CUdevice device))                     \
    X(device_get_pci_bus_id, "cuDeviceGetPCIBusId", (char *id, int length, CUdevice device))       \
    X(primary_ctx_retain, "cuDevicePrimaryCtxRetain", (CUcontext * context, CUdevice device))      \
    X(primary_ctx_release, "cuDevicePrimaryCtxRelease_v2", (CUdevice device))                      \
    X(ctx_get_current, "cuCtxGetCurrent", (CUcontext * context))                                   \
    X(ctx_push_current, "cuCtxPushCurrent_v2", (CUcontext context))                                \
    X(ctx_pop_current, "cuCtxPopCurrent_v2", (CUcontext * context))                                \
    X(thread_exchange_capture_mode, "cuThreadExchangeStreamCaptureMode",                           \
        (CUstreamCaptureMode * mode))                                                              \
    X(module_load_data_ex, "cuModuleLoadDataEx",                                                   \
        (CUmodule * module, const void *image, unsigned n, CUjit_option *options, void **values))  \
    X(module_unload, "cuModuleUnload", (CUmodule module))                                          \
    X(module_get_function, "cuModuleGetFunction",                                                  \
        (CUfunction * function, CUmodule module, const char *name))                                \
    X(func_load, "cuFuncLoad", (CUfunction function))                                              \
    X(func_get_attribute, "cuFuncGetAttribute",                                                    \
        (int *value, CUfunction_attribute attribute, CUfunction function))                         \
    X(func_set_attribute, "cuFuncSetAttribute",                                                    \
        (CUfunction function, CUfunction_attribute attribute, int value))                          \
    X(occupancy_max_active_blocks, "cuOccupancyMaxActiveBlocksPerMultiprocessor",                  \
        (int *blocks, CUfunction function, int threads, size_t smem_bytes))                        \
    X(launch_kernel, "cuLaunchKernel",                                                             \
        (CUfunction function, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x, \
            unsigned block_y, unsigned block_z, unsigned smem_bytes, CUstream stream,              \
            void **params, void **extra))                                                          \
    X(launch_kernel_ex, "cuLaunchKernelEx",                                                        \
        (const CUlaunchConfig *config, CUfunction function, void **params, void **extra))          \
    X(mem_alloc, "cuMemAlloc_v2", (CUdeviceptr * memory, size_t bytes))                            \
    X(mem_free, "cuMemFree_v2", (CUdeviceptr memory))                                              \
    X(mem_get_info, "cuMemGetInfo_v2", (size_t * free_bytes, size_t * total_bytes))                \
    X(memcpy_htod, "cuMemcpyHtoD_v2", (CUdeviceptr to, const void *from, size_t bytes))            \
    X(memcpy_dtoh, "cuMemcpyDtoH_v2", (void *to, CUdeviceptr from, size_t bytes))                  \
    X(memcpy_htod_async, "cuMemcpyHtoDAsync_v2",                                                   \
        (CUdeviceptr to, const void *from, size_t bytes, CUstream stream))                         \
    X(memcpy_dtoh_async, "cuMemcpyDtoHAsync_v2",                                                   \
        (void *to, CUdeviceptr from, size_t bytes, CUstream stream))                               \
    X(memcpy_dtod_async, "cuMemcpyDtoDAsync_v2",                                                   \
        (CUdeviceptr to, CUdeviceptr from, size_t bytes, CUstream stream))                         \
    X(memset_d8_async, "cuMemsetD8Async",                                                          \
        (CUdeviceptr to, unsigned char value, size_t n, CUstream stream))                          \
    X(memset_d32_async, "cuMemsetD32Async",                                                        \
        (CUdeviceptr to, unsigned value, size_t n, CUstream stream))                               \
    X(stream_create, "cuStreamCreate", (CUstream * stream, unsigned flags))                        \
    X(stream_destroy, "cuStreamDestroy_v2", (CUstream stream))                                     \
    X(stream_synchronize, "cuStreamSynchronize", (CUstream stream))                                \
    X(stream_get_ctx, "cuStreamGetCtx", (CUstream stream, CUcontext * context))                    \
    X(stream_is_capturing, "cuStreamIsCapturing",                                                  \
        (CUstream stream, CUstreamCaptureStatus * status))                                         \
    X(event_create, "cuEventCreate", (CUevent * event, unsigned flags))                            \
    X(event_destroy, "cuEventDestroy_v2", (CUevent event))                                         \
    X(event_record, "cuEventRecord", (CUevent event, CUstream stream))                             \
    X(event_synchronize, "cuEventSynchronize", (CUevent event))                                    \
    X(event_elapsed_time, "cuEventElapsedTime", (float *ms, CUevent start, CUevent end))           \
    X(graph_create, "cuGraphCreate", (CUgraph * graph, unsigned flags))                            \
    X(graph_destroy, "cuGraphDestroy", (CUgraph graph))                                            \
    X(stream_begin_capture, "cuStreamBeginCapture_v2",                                             \
        (CUstream stream, CUstreamCaptureMode mode))                                               \
    X(stream_end_capture, "cuStreamEndCapture", (CUstream stream, CUgraph * graph))                \
    X(graph_instantiate, "cuGraphInstantiateWithFlags",                                            \
        (CUgraphExec * exec, CUgraph graph, unsigned long long flags))                             \
    X(graph_launch, "cuGraphLaunch", (CUgraphExec exec, CUstream stream))                          \
    X(graph_exec_destroy, "cuGraphExecDestroy", (CUgraphExec exec))                                \
    X(tensor_map_encode_tiled, "cuTensorMapEncodeTiled",                                           \
        (CUtensorMap * map, CUtensorMapDataType type, cuuint32_t rank, void *address,              \
            const cuuint64_t *dims, const cuuint64_t *strides, const cuuint32_t *box,              \
            const cuuint32_t *element_strides, CUtensorMapInterleave interleave,                   \
            CUtensorMapSwizzle swizzle, CUtensorMapL2promotion l2_promotion,                       \
            CUtensorMapFloatOOBfill oob_fill))                                                     \
    X(tensor_map_replace_address, "cuTensorMapReplaceAddress", (CUtensorMap * map, void *address))

/* A member or variable that points to the function of that field. */
#define DRIVER_FUNCTION(field) __typeof__(((struct driver *)NULL)->field) field

struct driver {
    void *library; /* dlopen handle; NULL for a table made by a test */
    char path[256];
    int version; /* CUDA version of the driver, e.g. 13000 */
#define DRIVER_FIELD(field, symbol, parameters) CUresult(CUDAAPI *field) parameters;
    DRIVER_FUNCTIONS(DRIVER_FIELD)
#undef DRIVER_FIELD
};

/*
 * Opens libcuda (path NULL: $TFOPS_LIBCUDA, else libcuda.so.1), resolves the table and calls cuInit.
 * TFOPS_E_DRIVER when it is absent, older than DRIVER_MINIMUM, or has no device.
 */
enum { DRIVER_MINIMUM = 12040 };
enum tfops_status driver_open(const char *path, struct driver *ret_driver);
/* The library stays loaded: other code of the process may use it. */
void driver_close(struct driver *driver);

/* Sets the error record for a failed call; `call` is the symbol. Says of sticky faults that earlier
 * work may be the culprit. CUDA_SUCCESS gives TFOPS_OK and touches nothing. */
enum tfops_status driver_error(
    const struct driver *driver, CUresult result, const char *call, const char *subject);
/* Whether the context is unusable after this result (illegal address, launch failure …). */
bool driver_is_fault(CUresult result);

/* Makes `context` current where it is not; driver_leave() undoes what driver_enter() did. */
struct driver_scope {
    bool pushed, relaxed;
    CUstreamCaptureMode mode; /* restored: tfops' own work runs in relaxed capture mode */
};
enum tfops_status driver_enter(
    const struct driver *driver, CUcontext context, struct driver_scope *ret_scope);
void driver_leave(const struct driver *driver, const struct driver_scope *scope);

#endif
