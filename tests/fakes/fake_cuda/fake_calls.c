/*
 * What surrounds every exported call: the lock, counting, failures on demand, the checks that most
 * calls share, and the report at exit.
 */
#include "fake.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Of hot_path_shim.c where it is preloaded: the driver's own locks and memory are not the
 * library's. */
extern void hot_path_pause(void) __attribute__((weak, visibility("default")));
extern void hot_path_resume(void) __attribute__((weak, visibility("default")));

static const char *const call_names[CALL_COUNT] = {
#define CALL_NAME(field, symbol, parameters) symbol,
    DRIVER_FUNCTIONS(CALL_NAME)};

struct failure {
    char symbol[64];
    uint64_t from;
    bool onward;
    int result; /* 0: what is usual for the call */
};

enum { MAX_FAILURES = 32 };

struct fake_gauges gauges;
static uint64_t calls[CALL_COUNT];
static struct failure failures[MAX_FAILURES];
static size_t n_failures;
static pthread_mutex_t lock;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static volatile bool forked;

static void read_failures(const char *text)
{
    for (; text && *text && n_failures < MAX_FAILURES; text += *text == ',') {
        struct failure *f = &failures[n_failures];
        unsigned long long nth = 0;
        int used = 0;
        memset(f, 0, sizeof *f);
        if (sscanf(text, "%63[^:,]:%llu%n", f->symbol, &nth, &used) < 2)
            return;
        text += used;
        f->from = nth;
        f->onward = *text == '+';
        text += f->onward;
        if (*text == ':')
            f->result = (int)strtol(text + 1, (char **)&text, 10);
        n_failures++;
    }
}

static void in_child(void)
{
    forked = true;
}

static void setup(void)
{
    pthread_mutexattr_t attributes;
    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_RECURSIVE);
    pthread_mutex_init(&lock, &attributes);
    pthread_mutexattr_destroy(&attributes);
    pthread_atfork(NULL, NULL, in_child);
    read_failures(getenv("FAKE_CUDA_FAIL"));
}

static CUresult usual_failure(enum fake_call call)
{
    return call == CALL_mem_alloc || call == CALL_module_load_data_ex ? CUDA_ERROR_OUT_OF_MEMORY
                                                                      : CUDA_ERROR_UNKNOWN;
}

static CUresult injected(enum fake_call call)
{
    for (size_t i = 0; i < n_failures; i++) {
        const struct failure *f = &failures[i];
        if (strcmp(f->symbol, call_names[call]) != 0)
            continue;
        if (calls[call] == f->from || (f->onward && calls[call] > f->from))
            return f->result ? (CUresult)f->result : usual_failure(call);
    }
    return CUDA_SUCCESS;
}

CUresult fake_enter(enum fake_call call, unsigned needs)
{
    if (hot_path_pause)
        hot_path_pause();
    pthread_once(&once, setup);
    if (forked) { /* the lock may be held by a thread that is not in this process */
        gauges.calls_after_fork++;
        return CUDA_ERROR_NOT_INITIALIZED;
    }
    pthread_mutex_lock(&lock);
    calls[call]++;
    CUresult result = injected(call);
    if (result != CUDA_SUCCESS || needs == NEEDS_NOTHING)
        return result;
    if (!device_initialised())
        return CUDA_ERROR_NOT_INITIALIZED;
    const CUcontext context = context_current();
    if (needs & NEEDS_CONTEXT && !context)
        return CUDA_ERROR_INVALID_CONTEXT;
    if (needs & NEEDS_CONTEXT && context->sticky != CUDA_SUCCESS)
        return context->sticky;
    return needs & NEEDS_NO_CAPTURE ? stream_check_unsafe() : CUDA_SUCCESS;
}

CUresult fake_leave(CUresult result)
{
    if (!forked)
        pthread_mutex_unlock(&lock);
    if (hot_path_resume)
        hot_path_resume();
    return result;
}

_Noreturn void fake_hang(void)
{
    while (pthread_mutex_unlock(&lock) == 0) /* recursive, at most as deep as the hooks */
        ;
    for (;;)
        pause();
}

/* ---- errors as text ----------------------------------------------------------------------- */

static const struct {
    CUresult result;
    const char *name, *text;
} error_names[] = {
#define ERROR_NAME(result, text)                                                                   \
    {                                                                                              \
        result, #result, text                                                                      \
    }
    ERROR_NAME(CUDA_SUCCESS, "no error"),
    ERROR_NAME(CUDA_ERROR_INVALID_VALUE, "invalid argument"),
    ERROR_NAME(CUDA_ERROR_OUT_OF_MEMORY, "out of memory"),
    ERROR_NAME(CUDA_ERROR_NOT_INITIALIZED, "initialization error"),
    ERROR_NAME(CUDA_ERROR_DEINITIALIZED, "driver shutting down"),
    ERROR_NAME(CUDA_ERROR_NO_DEVICE, "no CUDA-capable device is detected"),
    ERROR_NAME(CUDA_ERROR_INVALID_DEVICE, "invalid device ordinal"),
    ERROR_NAME(CUDA_ERROR_INVALID_IMAGE, "device kernel image is invalid"),
    ERROR_NAME(CUDA_ERROR_INVALID_CONTEXT, "invalid device context"),
    ERROR_NAME(CUDA_ERROR_NO_BINARY_FOR_GPU, "no kernel image is available for execution"),
    ERROR_NAME(CUDA_ERROR_INVALID_HANDLE, "invalid resource handle"),
    ERROR_NAME(CUDA_ERROR_NOT_FOUND, "named symbol not found"),
    ERROR_NAME(CUDA_ERROR_NOT_READY, "device not ready"),
    ERROR_NAME(CUDA_ERROR_ILLEGAL_ADDRESS, "an illegal memory access was encountered"),
    ERROR_NAME(CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES, "too many resources requested for launch"),
    ERROR_NAME(CUDA_ERROR_LAUNCH_TIMEOUT, "the launch timed out and was terminated"),
    ERROR_NAME(CUDA_ERROR_ILLEGAL_INSTRUCTION, "an illegal instruction was encountered"),
    ERROR_NAME(CUDA_ERROR_MISALIGNED_ADDRESS, "misaligned address"),
    ERROR_NAME(CUDA_ERROR_LAUNCH_FAILED, "unspecified launch failure"),
    ERROR_NAME(CUDA_ERROR_NOT_SUPPORTED, "operation not supported"),
    ERROR_NAME(
        CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, "operation not permitted when stream is capturing"),
    ERROR_NAME(CUDA_ERROR_STREAM_CAPTURE_INVALIDATED,
        "operation failed due to a previous error during capture"),
    ERROR_NAME(CUDA_ERROR_STREAM_CAPTURE_IMPLICIT,
        "operation would make the legacy stream depend on a capturing blocking stream"),
    ERROR_NAME(CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD,
        "attempt to terminate a thread-local capture sequence from another thread"),
    ERROR_NAME(CUDA_ERROR_INVALID_CLUSTER_SIZE, "cluster misconfiguration"),
    ERROR_NAME(CUDA_ERROR_UNKNOWN, "unknown error"),
};

static CUresult error_text(CUresult error, const char **ret_text, bool want_name)
{
    if (!ret_text)
        return CUDA_ERROR_INVALID_VALUE;
    *ret_text = NULL;
    for (size_t i = 0; i < sizeof error_names / sizeof *error_names; i++) {
        if (error_names[i].result == error)
            *ret_text = want_name ? error_names[i].name : error_names[i].text;
    }
    return *ret_text ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

CUresult fake_get_error_name(CUresult error, const char **name)
{
    FAKE_BODY(get_error_name, NEEDS_NOTHING, error_text(error, name, true));
}

CUresult fake_get_error_string(CUresult error, const char **text)
{
    FAKE_BODY(get_error_string, NEEDS_NOTHING, error_text(error, text, false));
}

/* ---- for tests ---------------------------------------------------------------------------- */

static const struct {
    const char *name;
    const uint64_t *value;
} gauge_names[] = {
#define GAUGE(field)                                                                               \
    {                                                                                              \
#        field, &gauges.field                                                                      \
    }
    GAUGE(live_allocations),
    GAUGE(live_bytes),
    GAUGE(peak_bytes),
    GAUGE(live_modules),
    GAUGE(live_streams),
    GAUGE(live_events),
    GAUGE(live_graphs),
    GAUGE(kernels),
    GAUGE(kernels_skipped),
    GAUGE(kernels_unknown),
    GAUGE(kernel_faults),
    GAUGE(calls_after_fork),
};
enum { GAUGE_COUNT = sizeof gauge_names / sizeof *gauge_names };

__attribute__((visibility("default"))) uint64_t fake_cuda_counter(const char *name)
{
    for (int i = 0; i < CALL_COUNT; i++) {
        if (strcmp(name, call_names[i]) == 0)
            return calls[i];
    }
    for (int i = 0; i < GAUGE_COUNT; i++) {
        if (strcmp(name, gauge_names[i].name) == 0)
            return *gauge_names[i].value;
    }
    return UINT64_MAX;
}

__attribute__((visibility("default"))) void fake_cuda_fail(
    const char *symbol, uint64_t nth, int result)
{
    pthread_once(&once, setup);
    if (!symbol) {
        n_failures = 0;
        return;
    }
    const uint64_t made = fake_cuda_counter(symbol);
    if (n_failures == MAX_FAILURES || made == UINT64_MAX)
        return;
    struct failure *f = &failures[n_failures++];
    *f = (struct failure){.from = made + nth, .result = result};
    snprintf(f->symbol, sizeof f->symbol, "%s", symbol);
}

__attribute__((visibility("default"))) void fake_cuda_reset(void)
{
    memset(calls, 0, sizeof calls);
    n_failures = 0;
    fake_cuda_on_launch(NULL, NULL);
}

__attribute__((destructor)) static void report(void)
{
    const char *path = getenv("FAKE_CUDA_COUNTS");
    FILE *file = path && *path ? fopen(path, "ae") : NULL;
    if (!file)
        return;
    char line[8192];
    int at = snprintf(line, sizeof line, "{\"pid\":%ld", (long)getpid());
    for (int i = 0; i < CALL_COUNT; i++)
        at += snprintf(line + at, sizeof line - (size_t)at, ",\"%s\":%llu", call_names[i],
            (unsigned long long)calls[i]);
    for (int i = 0; i < GAUGE_COUNT; i++)
        at += snprintf(line + at, sizeof line - (size_t)at, ",\"%s\":%llu", gauge_names[i].name,
            (unsigned long long)*gauge_names[i].value);
    snprintf(line + at, sizeof line - (size_t)at, "}\n");
    fputs(line, file); /* one write: lines of several processes do not mix */
    fclose(file);
}
