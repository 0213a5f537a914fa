/*
 * How long a process takes from an existing CUDA context to the end of its first launch: engine
 * open, look-up in a warm cache, module load, launch. Measured in fresh processes.
 */
#ifndef TFOPS_TOOLS_CLI_BENCH_OPEN_H
#define TFOPS_TOOLS_CLI_BENCH_OPEN_H

#include "cli.h"
#include "cli_options.h"
#include <stdint.h>

struct cli_bench_open {
    const char *device, *cache; /* "cuda:0"; NULL: the user's cache */
    const struct cli_list *plugins;
    const char *const *words; /* OP DIM=VALUE…: the first of its problems is launched */
    size_t n_words;
    uint64_t samples;
};

struct cli_bench_open_result {
    double context_ms; /* cuInit and the primary context */
    double open_ms;    /* tfops_engine_open */
    double prepare_ms; /* tfops_prepare */
    double launch_ms;  /* first launch, to its end on the device */
    double beyond_ms;  /* the three together */
    uint64_t compiles, module_loads;
    char source[16];
};

/* One measurement in this process, which must not have touched CUDA yet. */
int cli_bench_open_once(const struct cli *cli, const struct cli_bench_open *bench,
    struct cli_bench_open_result *ret_result);

/*
 * Fills the cache, then measures `samples` times, each in a fresh process of this program, and
 * gives the sample with the median total. Returns the exit code.
 */
int cli_bench_open(const struct cli *cli, const struct cli_bench_open *bench,
    struct cli_bench_open_result *ret_result);

#endif
