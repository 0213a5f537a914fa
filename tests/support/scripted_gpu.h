/*
 * A GPU in a driver table, for unit tests of the tuner: device memory is host memory, kernels are C
 * functions chosen by what the "image" says, and time is a script. One at a time, one thread.
 */
#ifndef TESTS_SCRIPTED_GPU_H
#define TESTS_SCRIPTED_GPU_H

#include "cache/binary_store.h"
#include "driver.h"
#include "nvml.h"
#include <tfops/spec.h>

/* What a kernel does. The candidates do out = (x + acc) · w, with one thing wrong each. */
enum scripted_role {
    SCRIPTED_FILL = 1,
    SCRIPTED_COMPARE,
    SCRIPTED_COPY,
    SCRIPTED_RIGHT,
    SCRIPTED_DROPS_LAST_ROW,
    SCRIPTED_WRONG_VALUE,    /* out[0][1] */
    SCRIPTED_SLIGHTLY_WRONG, /* all a little: only the relative error shows it */
    SCRIPTED_NAN,            /* out[0][0] */
    SCRIPTED_SWALLOWS_NAN,   /* 0 where the reference has NaN */
    SCRIPTED_WRITES_ROW_BEHIND,
    SCRIPTED_WRITES_BEFORE,
    SCRIPTED_WRITES_PADDING,
    SCRIPTED_WRITES_INPUT,
    SCRIPTED_WRONG_IN_PLACE,
    SCRIPTED_PACKS_ROWS,    /* takes the number of columns for the stride of out */
    SCRIPTED_SHARES_STRIDE, /* takes the stride of x for that of out */
    SCRIPTED_WRONG_BEYOND_A_WAVE,
    SCRIPTED_DEPENDS_ON_ROWS,
    SCRIPTED_WRITES_BEHIND_WORKSPACE,
    SCRIPTED_FAULT, /* the stream fails from then on */
};

struct scripted_image {
    enum scripted_role role;
    double ns;    /* of a launch */
    double noise; /* relative, uniform */
};

struct scripted_gpu {
    int calls, fail_at; /* the fail_at-th call fails, from 1; 0: none does */
    CUresult failure;
    int live; /* memory, streams, events, graphs, modules, contexts that exist */
    double clock_ns;
    bool faulted, no_memory;
    uint64_t random;
    /* What was done. */
    int syncs, launches, captured, replays, flushes;
    struct scripted_set {
        uintptr_t addresses[256];
        int n;
    } xs, outs;               /* distinct inputs and outputs of candidates in graphs */
    int32_t sm_clock_mhz[64]; /* what NVML says, sample by sample; 0: 1980 */
    uint64_t reasons[64];
    int nvml_reads;
    double disturb; /* factor on times while a sample is not the normal state */
};
extern struct scripted_gpu scripted;

/* Resets the state and returns the table. */
const struct driver *scripted_open(void);
const struct nvml *scripted_nvml(void);

/* x [rows, cols], w [cols], acc [rows, cols] optional and updated in place, out [rows, cols] which
 * may be x; f32. Its config's only tunable is THREADS; a block does one row. */
const struct tfops_spec *scripted_spec(void);
struct tfops_problem scripted_problem(int64_t rows, int64_t cols);
enum { SCRIPTED_X, SCRIPTED_W, SCRIPTED_ACC, SCRIPTED_OUT };
extern size_t scripted_workspace_bytes; /* what the spec asks for */
extern double scripted_reference_error; /* relative, of the CPU reference */

/* A binary with that image; borrowed, no release. */
struct binary scripted_binary(const struct scripted_image *image);

#endif
