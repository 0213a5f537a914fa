/*
 * libfake_cuda.so: a libcuda without a GPU. TFOPS_LIBCUDA names it; the engine, the tools and the
 * worker processes then run their whole flow on a host that has none.
 *
 * Devices look like an H200; device memory is host memory in a registry, so that copies and kernels
 * are checked against the bounds of allocations. Cubins are read, never executed: a launch runs the
 * C implementation found by the entry's name (fake_kernels.c) or a test's hook. Time is simulated:
 * bytes over 4.2 TB/s and an overhead, times a factor from a hash of the image, so that configs
 * differ and every run finds the same winner. Streams run work when it is enqueued.
 *
 * Environment:
 *   FAKE_CUDA_DEVICES=N        devices (1); 0: cuInit returns CUDA_ERROR_NO_DEVICE
 *   FAKE_CUDA_VERSION=N        driver version (13000)
 *   FAKE_CUDA_MEMORY=BYTES     memory of a device (139 GiB)
 *   FAKE_CUDA_HOST=N           a number in the UUIDs (0): runs that share no GPU, and so no lock on it
 *   FAKE_CUDA_L2=BYTES         L2 cache (60 MiB): what timing cycles through, and so how long it takes
 *   FAKE_CUDA_NOISE=R[:SEED]   launch times vary by up to ±R (0.01 is 1%)
 *   FAKE_CUDA_PLACES=1         which image is faster depends on where memory begins
 *   FAKE_CUDA_FAIL=SYM:N[:CODE],…   the N-th call of SYM fails ("N+": that one and all later)
 *   FAKE_CUDA_FAULT_ENTRY=TEXT, FAKE_CUDA_FAULT_MODULE=TEXT   launches of entries whose name, or of
 *                              modules whose image, contains TEXT fault
 *   FAKE_CUDA_HANG=TEXT, FAKE_CUDA_WRONG=TEXT   the same by entry name: never ends, wrong numbers
 *   FAKE_CUDA_REPLAY=always    graph replays always compute (see fake_graph.c)
 *   FAKE_CUDA_COUNTS=FILE      appends one line of JSON per process at its exit: calls and gauges
 *
 * One translation unit, so that the build needs no list of parts.
 */
#include "fake_cuda/fake_calls.c"
#include "fake_cuda/fake_device.c"
#include "fake_cuda/fake_elf.c"
#include "fake_cuda/fake_graph.c"
#include "fake_cuda/fake_handle.c"
#include "fake_cuda/fake_kernels.c"
#include "fake_cuda/fake_memory.c"
#include "fake_cuda/fake_module.c"
#include "fake_cuda/fake_run.c"
#include "fake_cuda/fake_stream.c"
