/*
 * What libfake_cuda.so exports beside the driver's symbols: for tests in the same process, found
 * with dlsym() on the library's handle. What it simulates and its environment: fake_cuda.c.
 */
#ifndef TFOPS_TESTS_FAKE_CUDA_H
#define TFOPS_TESTS_FAKE_CUDA_H

#include <stddef.h>
#include <stdint.h>

/* One kernel launch as a hook sees it. Device memory is host memory: pointers can be followed. */
struct fake_launch {
    const char *entry;
    const void *params; /* the one struct passed by value */
    size_t param_bytes; /* as the cubin says, 0 when it does not */
    unsigned grid[3], block[3], cluster[3], smem_bytes;
    void *stream;
    uint32_t markers; /* FAKE_MARKER_… of the module */
    double *ret_ns;   /* simulated time; preset to the launch overhead */
};

/* Symbols whose name contains tfops_fake_<x> in a module set these; the launch misbehaves so. */
#define FAKE_MARKER_WRONG 1u   /* the last eighth of each output row is 0 */
#define FAKE_MARKER_FAULT 2u   /* sticky CUDA_ERROR_ILLEGAL_ADDRESS */
#define FAKE_MARKER_HANG 4u    /* never ends: every later synchronisation of the context blocks */
#define FAKE_MARKER_OUTSIDE 8u /* also writes 16 bytes behind the output's last row */
#define FAKE_MARKER_UNWRITTEN 16u /* the output's last row is not written */

typedef void (*fake_launch_fn)(const struct fake_launch *launch);

/* Launches of entries that start with the prefix call `fn` in place of a built-in implementation;
 * the last registered match wins. NULL `fn` removes. */
void fake_cuda_on_launch(const char *entry_prefix, fake_launch_fn fn);
/*
 * Calls of an exported symbol ("cuLaunchKernel"), or a gauge: live_allocations, live_bytes,
 * peak_bytes, live_modules, live_streams, live_events, live_graphs, kernels, kernels_skipped,
 * kernels_unknown, kernel_faults, calls_after_fork. UINT64_MAX for another name.
 */
uint64_t fake_cuda_counter(const char *name);
/* The n-th call of `symbol` from now on (1: the next) fails with `result`. symbol NULL: clears all.
 */
void fake_cuda_fail(const char *symbol, uint64_t nth, int result);
/* Zeroes call counts, failures and hooks; live objects stay. */
void fake_cuda_reset(void);

#endif
