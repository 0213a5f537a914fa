/*
 * The demo's parts: demo.c tells the story, demo_check.c runs and judges, demo_rows.c has the numbers.
 * What returns int returns a CLI_ code, with the error reported.
 */
#ifndef TOOLS_DEMO_H
#define TOOLS_DEMO_H

#include "cli.h"
#include "cli_options.h"
#include "cli_progress.h"
#include "cli_sweep.h"
#include <tfops/tfops.h>

#define DEMO_ARCH "sm_90a"
#define DEMO_ROWS 2048

struct demo_model {
    const char *name;
    int64_t hidden;
};

struct demo_options {
    struct cli_common common;
    const char *cache;
    int progress;
    double budget;
    uint64_t top;
};

struct demo {
    struct cli cli;
    struct demo_options options;
    bool gpu;
    char device[32], cache[4096];
    struct cli_sweep sweep;
    struct cli_progress progress;
    struct tfops_engine *reference; /* the cpu device */
};

/* bf16 rmsnorm of the model's hidden size. */
int demo_problem(const struct demo *demo, const struct tfops_engine *engine, int64_t rows,
    const struct demo_model *model, struct tfops_problem *ret_problem);

/* Launches on the engine's device; the result is judged if `check`. */
int demo_check_launch(const struct demo *demo, struct tfops_engine *engine,
    const struct tfops_problem *problem, const struct demo_model *model, double *ret_ms,
    bool check);

/* The same operator on the cpu device: both must agree with the formula. */
int demo_check_cpu(const struct demo *demo, const struct demo_model *model);

/* The kernel itself, not the reference, on the CPU: what a GPU would run. Needs a C++ compiler;
 * without one it says so and goes on. */
int demo_check_template(const struct demo *demo, const struct demo_model *model);

#endif
