/*
 * The tuner: finds, verifies and records the fastest config of a problem on the engine's device.
 *
 * Compilation, verification and timing happen in tfops-worker processes; a candidate that faults,
 * hangs or is wrong costs that candidate. One tuning run per GPU at a time (TFOPS_E_BUSY).
 */
#ifndef TFOPS_TUNER_H
#define TFOPS_TUNER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <tfops/engine.h>
#include <tfops/plan.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What became of one candidate. */
enum tfops_verdict {
    TFOPS_VERDICT_OK = 0,   /* compiled, verified, measured */
    TFOPS_VERDICT_COMPILED, /* compile-only runs stop here */
    TFOPS_VERDICT_PRUNED,   /* left out before compiling: resources, or the strategy */
    TFOPS_VERDICT_COMPILE_FAILED,
    TFOPS_VERDICT_SPILLS, /* or another line of the build log that disqualifies; a default that
                           * spills is measured, as it serves so: only a compile-only run fails by it */
    TFOPS_VERDICT_WRONG,  /* verification failed: error says by how much */
    TFOPS_VERDICT_FAULT,  /* the GPU reported an error */
    TFOPS_VERDICT_HANG,   /* the watchdog ended it */
    TFOPS_VERDICT_ERROR,  /* anything else: text says what */
    TFOPS_VERDICT_LISTED, /* dry runs stop here: it is in the space */
    TFOPS_VERDICT_COUNT
};
const char *tfops_verdict_name(enum tfops_verdict verdict);

struct tfops_candidate {
    size_t size;
    struct tfops_config config;
    const char *config_text;
    enum tfops_verdict verdict;
    bool is_default, cached; /* cached: its binary was in the cache */
    uint32_t registers, spill_bytes, smem_bytes, threads, cluster;
    uint32_t blocks_per_sm; /* occupancy */
    double compile_ms;
    double error;                      /* relative verification error; NaN when not verified */
    double median_ns, low_ns, high_ns; /* 0 when not measured */
    uint32_t samples;
    const char *text; /* reason, log line; "" when nothing */
};

struct tfops_tune_result {
    size_t size;
    /* Candidates: tried; of these compiled now, found in the cache, verified; rejected (spills, wrong,
     * fault, hang); failed (did not compile, error). A record that was there already: all 0. Compiled
     * in a compile-only run: the generic variant and the defaults of other extents too. */
    uint32_t configs, compiled, cached, verified, rejected, failed;
    bool recorded; /* a record was written */
    bool winner_is_default;
    struct tfops_config winner;
    char winner_text[512];
    /* roof: a copy of the bytes. */
    double winner_ns, winner_low_ns, winner_high_ns, default_ns, roof_ns;
    double speedup; /* default over winner, fresh samples, interleaved */
    double error;
    double seconds;
};

enum tfops_tune_stage { TFOPS_TUNE_COMPILE = 0, TFOPS_TUNE_MEASURE, TFOPS_TUNE_CONFIRM };

struct tfops_tune_options {
    size_t size;
    const char *strategy; /* "exhaustive" (NULL) or "random" */
    uint32_t max_configs; /* random: how many; 0: 64 */
    uint64_t seed;
    double budget_s;   /* 0: none; at the end of it what was measured decides */
    uint32_t jobs;     /* compile workers, at most 64; 0: one per core */
    double interval;   /* relative half width of the 95% interval aimed at; 0: 0.01 */
    double margin;     /* the winner must beat the default by this, and by 70 ns; 0: 0.01 */
    double watchdog_s; /* per candidate on the device; 0: 5 */
    bool compile_only; /* fill the cache with binaries for the device's architecture */
    bool force;        /* tune although a record is there */
    bool resume;       /* use the samples an interrupted run left */
    bool dry_run;      /* list the space, compile nothing */
    const struct tfops_config *only; /* run this one config beside the default, record nothing */
    const char *dump_dir;            /* write source, PTX, cubin and log of each candidate there */
    /* Called from tfops_tune's thread. candidate: after each one; progress: several times a second. */
    void (*candidate)(void *user, const struct tfops_candidate *candidate);
    void (*progress)(void *user, enum tfops_tune_stage stage, uint32_t done, uint32_t total);
    void *user;
    const volatile int *cancel; /* non-zero: stop soon, keep what was measured; NULL: none */
};

/*
 * Tunes one problem and writes the record; where a finished run has left one it is the result. Blocks.
 * options: NULL means all defaults. ret_result: its size is set by the caller; written on failure too,
 * with the counts of what was done. A record that cannot be written is a line in the log and
 * ret_result->recorded false; a compile-only run fails by it.
 *
 * TFOPS_E_CANCELLED after the cancel flag (a record is still written when the default and another
 * config were measured: "interrupted" in its provenance, launches use it, the next run tunes again or
 * resumes; one of a finished run stays as it is). TFOPS_E_BUSY: another process tunes this GPU.
 * TFOPS_E_UNSUPPORTED: there is no template for the architecture, or no GPU to measure on.
 * TFOPS_E_TIMEOUT: the budget ended before the default config was measured. Of the default config, without which nothing is decided:
 * TFOPS_E_COMPILE, TFOPS_E_NVRTC, TFOPS_E_WRONG (its verification failed), TFOPS_E_DRIVER (it faults),
 * TFOPS_E_TIMEOUT (it hangs). TFOPS_E_WORKER: worker processes do not start or do not stay alive.
 * TFOPS_E_ARGUMENT; TFOPS_E_RANGE: a number of the problem or the options, a config that is not in the
 * space; TFOPS_E_UNKNOWN: there is no such strategy; TFOPS_E_ABI: the spec's default config is not in
 * its own space; TFOPS_E_CACHE, TFOPS_E_IO, also of a compile-only run that cannot store what it
 * compiled; TFOPS_E_MEMORY; TFOPS_E_FORKED.
 */
enum tfops_status tfops_tune(struct tfops_engine *engine, const struct tfops_problem *problem,
    const struct tfops_tune_options *options, struct tfops_tune_result *ret_result);

/* ---- without a GPU -------------------------------------------------------------------------- */

struct tfops_emulate_options {
    size_t size;
    const struct tfops_config *config; /* NULL: the default */
    const char *arch;                  /* whose limits and code paths; NULL: "sm_90a" */
    const char *compiler;              /* a C++17 compiler; NULL: $CXX, else g++ */
    const char
        *dump_dir; /* an existing folder: sources and objects stay there; NULL: they do not */
    /* Operands in host memory to run on, once; the problem is theirs. NULL: made-up ones, several
     * times with threads in other orders, compared with the operator's reference. */
    const struct tfops_args *args;
    uint64_t seed;
    const volatile int *cancel; /* non-zero: stop soon, leave nothing; NULL: none */
};

struct tfops_emulate_result {
    size_t size;
    uint32_t runs;
    double error; /* the largest relative error; 0 with args */
    double build_s, run_s;
    char config[512];
    char text[4096]; /* what is wrong: kernel, block, thread, line; or the first wrong element */
};

/*
 * Executes an operator's template on the CPU: the source that a launch would have compiled is built
 * for the host and run, a thread of a block after the other, every access to memory watched. Finds
 * wrong results, races on shared memory, deadlocks, accesses out of bounds, misaligned or of what
 * nobody wrote. For kernel authors: it is some 10^5 times slower than a GPU.
 *
 * Blocks; works on any engine, the cpu device's too. The code runs in a tfops-worker process.
 * TFOPS_E_WRONG: ret_result->text says what and where. TFOPS_E_UNSUPPORTED: there is no compiler, or
 * no template for the architecture; TFOPS_E_COMPILE; TFOPS_E_RANGE: the config is not in the space;
 * TFOPS_E_CANCELLED: the cancel flag was seen, compiler and worker
 * were ended; TFOPS_E_UNKNOWN: there is no such architecture; TFOPS_E_ARGUMENT; TFOPS_E_IO; TFOPS_E_WORKER;
 * TFOPS_E_MEMORY; TFOPS_E_FORKED; of options.args those of a launch's arguments.
 * ret_result: its size is set by the caller; written on failure too.
 */
enum tfops_status tfops_emulate(struct tfops_engine *engine, const struct tfops_problem *problem,
    const struct tfops_emulate_options *options, struct tfops_emulate_result *ret_result);

/*
 * The body of the tfops-worker program: serves requests on `in_fd`, answers on `out_fd`, returns the
 * exit status. Not for other programs: the protocol is private and versioned with the library.
 */
int tfops_worker_main(int in_fd, int out_fd);

#ifdef __cplusplus
}
#endif
#endif
