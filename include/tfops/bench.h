/*
 * Benchmarks: an operator's time beside the copy roof (the better of cuMemcpyAsync and a copy kernel
 * moving the same bytes), and the host's cost of a launch, in one interleaved run.
 */
#ifndef TFOPS_BENCH_H
#define TFOPS_BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <tfops/engine.h>
#include <tfops/plan.h>

#ifdef __cplusplus
extern "C" {
#endif

struct tfops_bench_options {
    size_t size;
    double interval; /* relative half width of the 95% interval aimed at; 0: 0.01 */
    double budget_s; /* 0: 5 */
    uint64_t seed;
    bool l2_warm;     /* one set of operands, so that small ones stay in L2 */
    bool one_output;  /* inputs alone rotate: calls share an output, as from a caching allocator */
    const char *peer; /* another library to time in the same run: "cublaslt"; NULL: none */
};

/* Medians over a CUDA graph of repeats, inputs rotated past 3× L2, random data; nanoseconds. */
struct tfops_bench_result {
    size_t size;
    double tuned_ns, tuned_low_ns, tuned_high_ns; /* what the engine's caches choose */
    double default_ns;                            /* the spec's default config */
    double generic_ns;                            /* the generic variant */
    double copy_kernel_ns, copy_memcpy_ns, roof_ns;
    double ratio;   /* roof over tuned: 1 is the speed of a copy */
    uint64_t bytes; /* read and written */
    uint32_t samples;
    int32_t sm_clock_mhz, memory_clock_mhz; /* 0 unknown */
    char source[16];                        /* of the tuned plan: "record", "nearest", "default" */
    char config[512];
    double peer_ns;        /* of the peer's fastest kernel; 0: no peer */
    uint32_t peer_kernels; /* it was chosen from */
};
/*
 * Measures one problem. Blocks; compiles what is missing; writes no record. options: NULL means all
 * defaults. ret_result: its size is set by the caller; written on success only.
 * TFOPS_E_ARGUMENT; TFOPS_E_UNSUPPORTED: the engine has no GPU, no template for its architecture, or the
 * peer is not there or does not take the problem; TFOPS_E_UNKNOWN: there is no such peer; TFOPS_E_RANGE:
 * an extent of 0, among others; TFOPS_E_NVRTC, TFOPS_E_COMPILE: the default or the generic variant
 * cannot be compiled; TFOPS_E_MEMORY; TFOPS_E_DRIVER; else those of tfops_prepare().
 */
enum tfops_status tfops_bench(struct tfops_engine *engine, const struct tfops_problem *problem,
    const struct tfops_bench_options *options, struct tfops_bench_result *ret_result);

/* Host time per call in nanoseconds: medians over interleaved batches. */
struct tfops_bench_launch_result {
    size_t size;
    /* cuLaunchKernel of the plan's function with ready parameters; of clusters and cooperative grids
     * cuLaunchKernelEx, not overlapped. */
    double raw_ns;
    double plan_ns;                              /* tfops_plan_launch */
    double lookup_ns;                            /* tfops_launch */
    double plan_over_raw_ns, lookup_over_raw_ns; /* medians of paired differences */
    uint32_t batches, calls_per_batch;
    /* The driver call that the plan itself makes, with ready parameters: cuLaunchKernelEx where launches
     * overlap (programmatic dependent launch), which can be cheaper than cuLaunchKernel. */
    double same_ns, plan_over_same_ns, lookup_over_same_ns;
    /* What the operator's tensor maps are of a launch: with the operands of the call before, with all
     * operands moved since, and if they were encoded each time. 0: it has none. */
    double maps_ns, maps_moved_ns, maps_encode_ns;
};
/*
 * Blocks. ret_result: its size is set by the caller; written on success only.
 * TFOPS_E_ARGUMENT; TFOPS_E_UNSUPPORTED: the engine has no GPU; TFOPS_E_RANGE: an extent of 0, among
 * others; TFOPS_E_MEMORY; TFOPS_E_DRIVER; else those of tfops_prepare() and tfops_launch().
 */
enum tfops_status tfops_bench_launch(struct tfops_engine *engine,
    const struct tfops_problem *problem, struct tfops_bench_launch_result *ret_result);

#ifdef __cplusplus
}
#endif
#endif
