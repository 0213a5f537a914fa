/* NVRTC, opened at run time (see nvrtc.h). */
#include "nvrtc.h"
#include "base/error.h"
#include <dlfcn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Where the build found one (a toolkit or a wheel): the last resort. */
#ifndef TFOPS_NVRTC_HINT
#    define TFOPS_NVRTC_HINT ""
#endif

enum { MAJOR_NEWEST = 20, MAJOR_OLDEST = 12 };

static const struct {
    const char *symbol;
    size_t offset;
} FUNCTIONS[] = {
    {"nvrtcCreateProgram", offsetof(struct nvrtc, create)},
    {"nvrtcDestroyProgram", offsetof(struct nvrtc, destroy)},
    {"nvrtcCompileProgram", offsetof(struct nvrtc, compile)},
    {"nvrtcGetCUBINSize", offsetof(struct nvrtc, get_cubin_size)},
    {"nvrtcGetCUBIN", offsetof(struct nvrtc, get_cubin)},
    {"nvrtcGetPTXSize", offsetof(struct nvrtc, get_ptx_size)},
    {"nvrtcGetPTX", offsetof(struct nvrtc, get_ptx)},
    {"nvrtcGetProgramLogSize", offsetof(struct nvrtc, get_log_size)},
    {"nvrtcGetProgramLog", offsetof(struct nvrtc, get_log)},
    {"nvrtcGetErrorString", offsetof(struct nvrtc, get_error_string)},
};

/* Stays loaded for the process: NVRTC leaves 70 KB behind each time that it is unloaded. */
static bool open_at(const char *path, int flags, struct nvrtc *nvrtc)
{
    if (!path || !*path)
        return false;
    nvrtc->library = dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE | flags);
    if (nvrtc->library)
        snprintf(nvrtc->path, sizeof nvrtc->path, "%s", path);
    return nvrtc->library != NULL;
}

static enum tfops_status resolve(struct nvrtc *nvrtc)
{
    for (size_t i = 0; i < sizeof FUNCTIONS / sizeof FUNCTIONS[0]; i++) {
        void *address = dlsym(nvrtc->library, FUNCTIONS[i].symbol);
        if (!address)
            return error_setf(TFOPS_E_NVRTC, 0, "nvrtc", nvrtc->path,
                "has no %s: version 12 or newer is needed", FUNCTIONS[i].symbol);
        memcpy((char *)nvrtc + FUNCTIONS[i].offset, &address, sizeof address);
    }
    int (*version)(int *major, int *minor) = NULL;
    void *address = dlsym(nvrtc->library, "nvrtcVersion");
    memcpy(&version, &address, sizeof address);
    int major = 0, minor = 0;
    if (!version || version(&major, &minor))
        return error_setf(TFOPS_E_NVRTC, 0, "nvrtc", nvrtc->path, "does not tell its version");
    nvrtc->version = major * 1000 + minor * 10;
    return TFOPS_OK;
}

/* One candidate. What a newer major version makes, the driver would refuse to load: known here, before
 * anything is compiled. */
static enum tfops_status open_one(
    const char *path, int flags, int max_major, struct nvrtc *ret_nvrtc)
{
    struct nvrtc nvrtc = {0};
    char expected[48], actual[32];
    if (!open_at(path, flags, &nvrtc)) {
        const char *reason = dlerror();
        return error_setf(
            TFOPS_E_NVRTC, 0, "nvrtc", path, "cannot be opened: %s", reason ? reason : "not found");
    }
    enum tfops_status status = resolve(&nvrtc);
    if (!status && max_major > 0 && nvrtc.version / 1000 > max_major) {
        snprintf(expected, sizeof expected, "version %d or older, as the driver is", max_major);
        snprintf(actual, sizeof actual, "%d.%d", nvrtc.version / 1000, nvrtc.version % 1000 / 10);
        status = error_set(TFOPS_E_NVRTC, "nvrtc", path, expected, actual);
    }
    if (status)
        nvrtc_close(&nvrtc);
    else
        *ret_nvrtc = nvrtc;
    return status;
}

static bool open_numbered(int flags, int max_major, struct nvrtc *nvrtc)
{
    char name[32];
    if (max_major <= 0 || max_major > MAJOR_NEWEST)
        max_major = MAJOR_NEWEST;
    for (int major = max_major; major >= MAJOR_OLDEST; major--) {
        snprintf(name, sizeof name, "libnvrtc.so.%d", major);
        if (!open_one(name, flags, max_major, nvrtc))
            return true;
    }
    return false;
}

enum tfops_status nvrtc_open(const char *path, int max_major, struct nvrtc *ret_nvrtc)
{
    static const char *const PLACES[] = {"/usr/local/cuda/lib64/libnvrtc.so", TFOPS_NVRTC_HINT};
    const char *environment = getenv("TFOPS_LIBNVRTC");
    if (!path && environment && *environment)
        path = environment;
    if (path)
        return open_one(path, 0, max_major, ret_nvrtc);
    if (open_numbered(RTLD_NOLOAD, max_major, ret_nvrtc) || open_numbered(0, max_major, ret_nvrtc))
        return TFOPS_OK;
    enum tfops_status status =
        error_set(TFOPS_E_NVRTC, "nvrtc", "libnvrtc", "an NVRTC to compile with", "none");
    for (size_t i = 0; status && i < sizeof PLACES / sizeof PLACES[0]; i++)
        if (!access(PLACES[i], R_OK))
            status = open_one(PLACES[i], 0, max_major, ret_nvrtc);
    return status;
}

void nvrtc_close(struct nvrtc *nvrtc)
{
    if (nvrtc->library)
        dlclose(nvrtc->library);
    memset(nvrtc, 0, sizeof *nvrtc);
}
