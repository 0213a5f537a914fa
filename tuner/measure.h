/*
 * Timing: lanes (graphs of repeats) raced against each other in interleaved rounds until their
 * medians are known well enough. Stage of a session after verification. Knows graphs, not kernels.
 */
#ifndef TFOPS_TUNER_MEASURE_H
#define TFOPS_TUNER_MEASURE_H

#include "gpu.h"
#include "nvml.h"
#include "session.h"
#include "stats.h"

enum { MEASURE_CLOCKS = 15 };

/* What timing needs beside the lanes. Embedded in a session. */
struct meter {
    const struct gpu *gpu;
    const struct nvml *nvml; /* NULL: clocks unknown */
    struct nvmlDevice_st *nvml_device;
    CUdeviceptr flush; /* a buffer beyond L2, and what the kernel that reads it writes to */
    CUdeviceptr flush_result;
    size_t flush_bytes;
    /* Enqueues what must be made anew between rounds, outside the timed regions. NULL: nothing. */
    enum tfops_status (*refresh)(void *user);
    void *user;
    int32_t clocks[MEASURE_CLOCKS]; /* the last SM clocks, a ring */
    uint32_t n_clocks;
    uint32_t dropped_rounds; /* contaminated ones, over the meter's life */
};

/* `flush_bytes` 0: no lane will ask for it. */
enum tfops_status meter_init(struct meter *meter, const struct gpu *gpu, const struct nvml *nvml,
    int ordinal, size_t flush_bytes);
void meter_release(struct meter *meter);

/* A graph that is timed. The caller owns exec and samples. */
struct lane {
    CUgraphExec exec;
    uint32_t launches;  /* in the graph */
    bool flush;         /* empty L2 before each replay */
    bool lead_in;       /* an untimed replay before each timed one, where nothing is flushed */
    double expected_ns; /* per launch, roughly; 0: unknown */
    struct sample_set samples;
    struct estimate estimate;
    bool out; /* dropped from the race */
};

/* Captures `launches` calls of enqueue(user, i) into a graph. */
enum tfops_status meter_capture(const struct gpu *gpu, uint32_t launches,
    enum tfops_status (*enqueue)(void *user, uint32_t i), void *user, CUgraphExec *ret_exec);

/* Time of one enqueue(user, 0) after a warm-up one; nanoseconds. `cold`: behind a flush of L2, which lasts
 * until the host has enqueued what is timed. Blocks. */
enum tfops_status meter_probe(const struct meter *meter, bool cold,
    enum tfops_status (*enqueue)(void *user, uint32_t i), void *user, double *ret_ns);

/*
 * Races the lanes (see session_measure). Samples are appended in rounds: without racing, the i-th
 * samples of all lanes belong to one round. Blocks.
 */
enum tfops_status meter_race(struct meter *meter, struct lane *lanes, uint32_t n,
    const struct measure_options *options, struct nvml_sample *ret_clocks);

/* Whether a round at this state is not comparable: throttled by hardware or heat, or an SM clock
 * more than 10% off the median of the last ones. */
bool meter_contaminated(const struct meter *meter, const struct nvml_sample *sample);

#endif
