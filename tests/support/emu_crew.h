/*
 * Forked children that do numbered jobs, a few at a time; one that dies costs what it was at, and
 * another goes on behind it. For tests that execute unverified code.
 */
#ifndef TFOPS_TESTS_EMU_CREW_H
#define TFOPS_TESTS_EMU_CREW_H

#include <stdbool.h>
#include <stddef.h>

/* What a child tells its parent while it works; in shared memory. */
struct crew_progress {
    unsigned passed, failed;
    size_t step;        /* the step that is running, counted from 0 */
    bool done;          /* the job is */
    char current[1536]; /* what the step is about */
};

/* Does the job from step `first` on, in a child. Each step: crew_step(), then passed or failed++. */
typedef void crew_job_fn(
    void *user, size_t job, size_t first, volatile struct crew_progress *progress);

struct crew_result {
    unsigned passed, failed;
};

/* Runs jobs 0 … n − 1. A child may take `seconds` for a job. */
struct crew_result crew_run(
    size_t n, unsigned at_a_time, unsigned seconds, crew_job_fn *job, void *user);

/* Says what the step that now begins is about. */
void crew_step(volatile struct crew_progress *progress, size_t step, const char *about);

#endif
