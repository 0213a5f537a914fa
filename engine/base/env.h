/*
 * What every module is handed: where memory comes from and where log lines go. The floor of the
 * tree: includes nothing above it. An env is embedded in its owner (engine, cache handle) and
 * outlives everything made with it.
 */
#ifndef TFOPS_BASE_ENV_H
#define TFOPS_BASE_ENV_H

#include <stddef.h>
#include <tfops/status.h>

struct env {
    void *(*alloc)(void *user, size_t bytes); /* both NULL: malloc and free */
    void (*free)(void *user, void *memory);
    void *alloc_user;
    tfops_log_fn log; /* NULL: silent */
    void *log_user;
};

#endif
