/*
 * libcount_shim.so: stands between tfops and libcuda or NVRTC and counts every call, so that "zero
 * compiles" is shown by something that the library does not know of.
 *
 *   TFOPS_LIBCUDA=libcount_shim.so  COUNT_SHIM_CUDA=FILE    libcuda to forward to (libcuda.so.1)
 *   TFOPS_LIBNVRTC=libcount_shim.so COUNT_SHIM_NVRTC=FILE   NVRTC to forward to (libnvrtc.so)
 *   COUNT_SHIM_OUT=FILE|fd:N        appends one line of JSON per process at its exit
 *
 * Calls are forwarded with twelve words, the most that any of them has: in the calling conventions
 * of x86-64 and AArch64 words that the callee does not have are ignored.
 */
#include "count_shim.h"
#include "engine/driver.h"
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

extern void hot_path_pause(void) __attribute__((weak)); /* hot_path_shim.c */
extern void hot_path_resume(void) __attribute__((weak));

#define NVRTC_FUNCTIONS(X)                                                                         \
    X(nvrtc_version, "nvrtcVersion", )                                                             \
    X(nvrtc_create, "nvrtcCreateProgram", )                                                        \
    X(nvrtc_destroy, "nvrtcDestroyProgram", )                                                      \
    X(nvrtc_compile, "nvrtcCompileProgram", )                                                      \
    X(nvrtc_cubin_size, "nvrtcGetCUBINSize", )                                                     \
    X(nvrtc_cubin, "nvrtcGetCUBIN", )                                                              \
    X(nvrtc_ptx_size, "nvrtcGetPTXSize", )                                                         \
    X(nvrtc_ptx, "nvrtcGetPTX", )                                                                  \
    X(nvrtc_log_size, "nvrtcGetProgramLogSize", )                                                  \
    X(nvrtc_log, "nvrtcGetProgramLog", )                                                           \
    X(nvrtc_add_name, "nvrtcAddNameExpression", )                                                  \
    X(nvrtc_lowered_name, "nvrtcGetLoweredName", )                                                 \
    X(nvrtc_num_archs, "nvrtcGetNumSupportedArchs", )                                              \
    X(nvrtc_archs, "nvrtcGetSupportedArchs", )                                                     \
    X(nvrtc_error_string, "nvrtcGetErrorString", )

enum slot {
#define SLOT(field, symbol, parameters) SLOT_##field,
    DRIVER_FUNCTIONS(SLOT) FIRST_NVRTC,
    BEFORE_NVRTC = FIRST_NVRTC - 1,
    NVRTC_FUNCTIONS(SLOT) SLOT_COUNT
};

enum { NO_DEVICE = 100, NVRTC_INTERNAL = 11 };

static const char *const symbols[SLOT_COUNT] = {
#define SYMBOL(field, symbol, parameters) [SLOT_##field] = symbol,
    DRIVER_FUNCTIONS(SYMBOL) NVRTC_FUNCTIONS(SYMBOL)};

typedef uintptr_t forward_fn(uintptr_t, uintptr_t, uintptr_t, uintptr_t, uintptr_t, uintptr_t,
    uintptr_t, uintptr_t, uintptr_t, uintptr_t, uintptr_t, uintptr_t);

static _Atomic uint64_t calls[SLOT_COUNT];
static forward_fn *targets[SLOT_COUNT];
static pthread_once_t once_cuda = PTHREAD_ONCE_INIT, once_nvrtc = PTHREAD_ONCE_INIT;

static void resolve(const char *variable, const char *fallback, int from, int to)
{
    const char *path = getenv(variable);
    void *library = dlopen(path && *path ? path : fallback, RTLD_NOW | RTLD_LOCAL);
    for (int i = from; library && i < to; i++) {
        void *symbol = dlsym(library, symbols[i]);
        memcpy(&targets[i], &symbol, sizeof symbol); /* ISO C has no such conversion */
    }
}

static void resolve_cuda(void)
{
    resolve("COUNT_SHIM_CUDA", "libcuda.so.1", 0, FIRST_NVRTC);
}

static void resolve_nvrtc(void)
{
    resolve("COUNT_SHIM_NVRTC", "libnvrtc.so", FIRST_NVRTC, SLOT_COUNT);
}

static uintptr_t absent(enum slot slot)
{
    if (slot == SLOT_nvrtc_error_string)
        return (uintptr_t) "no NVRTC behind the count shim";
    return slot < FIRST_NVRTC ? NO_DEVICE : NVRTC_INTERNAL;
}

static forward_fn *enter(enum slot slot)
{
    if (hot_path_pause) /* what the driver does itself is not the library's doing */
        hot_path_pause();
    atomic_fetch_add_explicit(&calls[slot], 1, memory_order_relaxed);
    if (slot < FIRST_NVRTC)
        pthread_once(&once_cuda, resolve_cuda);
    else
        pthread_once(&once_nvrtc, resolve_nvrtc);
    return targets[slot];
}

#define FORWARD(field, symbol, parameters)                                                         \
    __attribute__((visibility("default"))) uintptr_t shim_##field(uintptr_t a, uintptr_t b,        \
        uintptr_t c, uintptr_t d, uintptr_t e, uintptr_t f, uintptr_t g, uintptr_t h, uintptr_t i, \
        uintptr_t j, uintptr_t k, uintptr_t l) __asm__(symbol);                                    \
    uintptr_t shim_##field(uintptr_t a, uintptr_t b, uintptr_t c, uintptr_t d, uintptr_t e,        \
        uintptr_t f, uintptr_t g, uintptr_t h, uintptr_t i, uintptr_t j, uintptr_t k, uintptr_t l) \
    {                                                                                              \
        forward_fn *target = enter(SLOT_##field);                                                  \
        const uintptr_t result =                                                                   \
            target ? target(a, b, c, d, e, f, g, h, i, j, k, l) : absent(SLOT_##field);            \
        if (hot_path_resume)                                                                       \
            hot_path_resume();                                                                     \
        return result;                                                                             \
    }
DRIVER_FUNCTIONS(FORWARD)
NVRTC_FUNCTIONS(FORWARD)

/* ---- the report --------------------------------------------------------------------------- */

static uint64_t count(enum slot slot)
{
    return atomic_load_explicit(&calls[slot], memory_order_relaxed);
}

static const struct {
    const char *name;
    enum slot slots[3];
    int n;
} sums[] = {
    {"compiles", {SLOT_nvrtc_compile}, 1},
    {"module_loads", {SLOT_module_load_data_ex}, 1},
    {"launches", {SLOT_launch_kernel, SLOT_launch_kernel_ex, SLOT_graph_launch}, 3},
    {"allocations", {SLOT_mem_alloc}, 1},
};
enum { SUM_COUNT = sizeof sums / sizeof *sums };

static uint64_t sum(int which)
{
    uint64_t total = 0;
    for (int i = 0; i < sums[which].n; i++)
        total += count(sums[which].slots[i]);
    return total;
}

__attribute__((visibility("default"))) uint64_t count_shim_value(const char *name)
{
    for (int i = 0; i < SUM_COUNT; i++) {
        if (strcmp(name, sums[i].name) == 0)
            return sum(i);
    }
    for (int i = 0; i < SLOT_COUNT; i++) {
        if (strcmp(name, symbols[i]) == 0)
            return count((enum slot)i);
    }
    return UINT64_MAX;
}

static FILE *open_out(const char *out)
{
    if (strncmp(out, "fd:", 3) != 0)
        return fopen(out, "ae");
    const int fd = dup((int)strtol(out + 3, NULL, 10));
    return fd < 0 ? NULL : fdopen(fd, "a");
}

__attribute__((visibility("default"))) void count_shim_report(void)
{
    const char *out = getenv("COUNT_SHIM_OUT");
    FILE *file = out && *out ? open_out(out) : NULL;
    if (!file)
        return;
    char line[8192];
    int at = snprintf(line, sizeof line, "{\"pid\":%ld,\"program\":\"%s\"", (long)getpid(),
        program_invocation_short_name);
    for (int i = 0; i < SUM_COUNT; i++)
        at += snprintf(line + at, sizeof line - (size_t)at, ",\"%s\":%llu", sums[i].name,
            (unsigned long long)sum(i));
    for (int i = 0; i < SLOT_COUNT; i++)
        at += snprintf(line + at, sizeof line - (size_t)at, ",\"%s\":%llu", symbols[i],
            (unsigned long long)count((enum slot)i));
    snprintf(line + at, sizeof line - (size_t)at, "}\n");
    fputs(line, file); /* one write: lines of several processes do not mix */
    fclose(file);
}

__attribute__((destructor)) static void at_exit(void)
{
    count_shim_report();
}
