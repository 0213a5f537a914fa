/*
 * Tuning many problems on one or several devices: a lane is an engine with its device, lanes of
 * equal devices share one queue of problems, each lane works in its own thread. Reports go through
 * one lock. What is reported and where it ends is the whole of it: the tuner does the work.
 */
#ifndef TFOPS_TOOLS_CLI_LANE_H
#define TFOPS_TOOLS_CLI_LANE_H

#include "cli.h"
#include "cli_problem.h"
#include "cli_progress.h"
#include "cli_sweep.h"
#include <pthread.h>
#include <tfops/engine.h>
#include <tfops/tuner.h>

#define CLI_MAX_LANES 64

struct cli_totals {
    uint64_t problems, problems_failed, configs, compiled, cached, verified, rejected, failed;
};

/* The "summary" line of --json. */
void cli_totals_emit(const struct cli_totals *totals, double seconds);

struct cli_run;

struct cli_lane {
    struct cli_run *run;
    char device[32]; /* "cuda:0" */
    struct tfops_engine *engine;
    struct cli_problems problems; /* against this engine's operators */
    size_t queue;                 /* index into run->next: lanes of equal devices share it */
    /* While a problem is tuned: */
    const char *text; /* the problem */
    struct cli_sweep sweep;
    double fraction;
};

struct cli_run {
    const struct cli *cli;
    /* Copied for each problem; callbacks, user, cancel, budget_s and only are set here. */
    struct tfops_tune_options options;
    char *config;           /* "K=V K=V" for the one config to run, NULL: the space */
    bool records;           /* a measured problem without its record has failed */
    double deadline;        /* cli_seconds(); 0: none */
    uint64_t shard, shards; /* problem i belongs to shard i % shards, counted from 0 */
    size_t top;             /* rows of a table, 0: all */
    struct cli_lane lanes[CLI_MAX_LANES];
    size_t n_lanes;

    pthread_mutex_t lock; /* guards all below, and stdout */
    size_t next[CLI_MAX_LANES], done, total;
    struct cli_progress progress;
    struct cli_totals totals;
};

/* Runs everything in the queues. Returns the exit code. */
int cli_run_all(struct cli_run *run);

#endif
