/*
 * Counts of what a warm launch must not do, by libhot_path_shim.so (LD_PRELOAD). The functions are
 * weak: NULL in a program that runs without the shim, which must then preload it or skip loudly.
 */
#ifndef TFOPS_TESTS_HOT_PATH_SHIM_H
#define TFOPS_TESTS_HOT_PATH_SHIM_H

#include <stdint.h>

struct hot_path_counts {
    uint64_t allocations; /* malloc calloc realloc aligned_alloc posix_memalign mmap */
    uint64_t frees;       /* free munmap */
    uint64_t locks;       /* mutex, rwlock, spin lock, condition, semaphore, futex by syscall() */
    uint64_t sqlite;      /* sqlite3_step prepare exec bind-less calls that reach a database */
    uint64_t files;       /* open openat read write pread pwrite fopen */
};

/* Starts counting on the calling thread, from zero. */
void hot_path_begin(void) __attribute__((weak));
/* Stops and says what was counted. */
void hot_path_end(struct hot_path_counts *ret_counts) __attribute__((weak));
/* Around calls into a driver, by the fake driver and the count shim: not counted. They nest. */
void hot_path_pause(void) __attribute__((weak));
void hot_path_resume(void) __attribute__((weak));

#endif
