/*
 * The fake driver's own objects. Everything is guarded by one recursive mutex, taken by
 * fake_enter() and left by fake_leave(), which each exported function calls first and last.
 */
#ifndef TFOPS_TESTS_FAKE_H
#define TFOPS_TESTS_FAKE_H

#include "../fake_cuda.h"
#include "engine/driver.h"
#include <pthread.h>
#include <stdint.h>

/* Declares fake_<field> under the exported name: definitions are checked against the table that the
 * engine resolves. */
#define FAKE_DECLARE(field, symbol, parameters)                                                    \
    __attribute__((visibility("default"))) CUresult CUDAAPI fake_##field parameters __asm__(symbol);
DRIVER_FUNCTIONS(FAKE_DECLARE)

#pragma GCC visibility push(hidden)

enum fake_call {
#define FAKE_CALL(field, symbol, parameters) CALL_##field,
    DRIVER_FUNCTIONS(FAKE_CALL) CALL_COUNT
};

enum { FAKE_MAX_DEVICES = 16, FAKE_STACK = 32, FAKE_MAX_OPERANDS = 8 };

/* ---- calls: fake_calls.c ------------------------------------------------------------------ */

#define NEEDS_NOTHING 0u
#define NEEDS_INIT 1u
#define NEEDS_CONTEXT 2u    /* a current context without a sticky fault; implies INIT */
#define NEEDS_NO_CAPTURE 4u /* not allowed while a stream captures, unless in relaxed mode */

CUresult fake_enter(enum fake_call call, unsigned needs);
CUresult fake_leave(CUresult result);
/* The body of an exported function: `expression` runs between enter and leave. */
#define FAKE_BODY(field, needs, expression)                                                        \
    do {                                                                                           \
        CUresult result = fake_enter(CALL_##field, needs);                                         \
        if (result == CUDA_SUCCESS)                                                                \
            result = (expression);                                                                 \
        return fake_leave(result);                                                                 \
    } while (0)

struct fake_gauges {
    uint64_t live_allocations, live_bytes, peak_bytes, live_modules, live_streams, live_events,
        live_graphs, kernels, kernels_skipped, kernels_unknown, kernel_faults, calls_after_fork;
};
extern struct fake_gauges gauges;
/* Leaves the mutex and sleeps for ever: what waiting for a hung kernel is. */
_Noreturn void fake_hang(void);

/* ---- handles: fake_handle.c --------------------------------------------------------------- */

enum fake_kind { KIND_MODULE = 1, KIND_FUNCTION, KIND_STREAM, KIND_EVENT, KIND_GRAPH, KIND_EXEC };

/* First member of every object. Closed objects stay allocated and are not `live`: using one is then
 * a status of the fake and no use after free. */
struct fake_handle {
    enum fake_kind kind;
    bool live;
    struct fake_handle *next;
};
void *handle_new(enum fake_kind kind, size_t bytes); /* zeroed, live; NULL: no memory */
bool handle_is(const void *object, enum fake_kind kind);
struct fake_handle *handle_first(void);

/* ---- devices and contexts: fake_device.c -------------------------------------------------- */

struct CUctx_st {
    int device;
    int refs;        /* retains of the primary context */
    CUresult sticky; /* fault that every later call returns */
    bool hung;
    uint64_t live_bytes;
    struct CUstream_st *legacy; /* the default stream, made with the context */
};
CUstreamCaptureMode context_capture_mode(void); /* of the calling thread */
bool device_initialised(void);
CUcontext context_current(void);
uint64_t device_memory_bytes(void);
enum { DEVICE_SMEM_OPTIN = 232448, DEVICE_SMEM_SM = 233472, DEVICE_SMS = 132 };

/* ---- memory: fake_memory.c ---------------------------------------------------------------- */

/* Whether [address, address + bytes) lies in one live allocation. */
bool memory_covers(const void *address, size_t bytes);
bool memory_is_displaced(void);

/* ---- modules: fake_module.c, fake_elf.c --------------------------------------------------- */

enum { ELF_MAX_ENTRIES = 16 };

/* What a cubin says of itself. */
struct cubin {
    size_t bytes;
    int sm; /* 90 */
    uint32_t markers;
    uint64_t hash; /* of the whole image */
    struct cubin_entry {
        char name[128];
        uint32_t registers, smem_static_bytes, param_bytes, max_threads, local_bytes;
    } entries[ELF_MAX_ENTRIES];
    size_t n_entries;
};
bool cubin_read(const void *image, struct cubin *ret_cubin);

struct CUmod_st {
    struct fake_handle handle;
    CUcontext context;
    struct cubin cubin;
    uint32_t asked; /* markers that the environment adds */
};

struct CUfunc_st {
    struct fake_handle handle;
    CUmodule module;
    const struct cubin_entry *entry;
    const struct fake_kernel *kernel; /* NULL: none for this entry */
    int max_dynamic_smem;
    bool any_cluster;
};

/* ---- streams, graphs: fake_stream.c, fake_graph.c ----------------------------------------- */

enum work_kind { WORK_LAUNCH, WORK_COPY, WORK_SET8, WORK_SET32, WORK_EVENT };

struct work {
    enum work_kind kind;
    union {
        struct {
            CUfunction function;
            unsigned grid[3], block[3], cluster[3], smem_bytes;
            void *params; /* a copy, owned by the graph; the caller's for immediate work */
        } launch;
        struct {
            void *to;
            const void *from;
            size_t bytes;
        } copy;
        struct {
            void *to;
            unsigned value;
            size_t n;
        } set;
    };
};

struct CUstream_st {
    struct fake_handle handle;
    CUcontext context;
    unsigned flags;
    bool is_legacy;
    uint64_t clock_ns;
    CUstreamCaptureStatus capture;
    CUstreamCaptureMode mode;
    pthread_t capturer;
    CUgraph graph;
};

struct CUgraph_st {
    struct fake_handle handle;
    struct work *works;
    size_t n, capacity;
};

struct CUgraphExec_st {
    struct fake_handle handle;
    CUcontext context;
    struct CUgraph_st copy;
    bool ran;
    uint64_t epoch; /* of the last replay that computed */
};

/* The stream behind a handle (NULL, 1 and 2: the context's default stream); NULL: not usable here.
 */
CUstream stream_resolve(CUstream stream);
CUresult stream_submit(CUstream stream, const struct work *work);
/* Invalidates captures that a call of this thread may not interleave with. */
CUresult stream_check_unsafe(void);
CUresult stream_wait(CUstream stream);
CUresult graph_append(CUgraph graph, const struct work *work);
void graph_clear(CUgraph graph);
/* Counts writes that are not of graph replays: see fake_graph.c. */
void graph_touch(void);

/* ---- execution: fake_run.c, fake_kernels.c ------------------------------------------------ */

/* Runs work now; `compute` false: advances the clock only. */
CUresult run_work(CUstream stream, const struct work *work, bool in_graph, bool compute);

/* A tensor that a kernel touches. */
struct fake_operand {
    void *data;
    int64_t rows, cols, stride;
    size_t elem_bytes;
    bool written;
};

/* A kernel in C: found by the entry's prefix. */
struct fake_kernel {
    const char *prefix;
    size_t param_bytes;
    size_t (*operands)(const void *params, struct fake_operand *ret_operands);
    void (*run)(const void *params);
};
const struct fake_kernel *kernel_find(const char *entry);

#pragma GCC visibility pop
#endif
