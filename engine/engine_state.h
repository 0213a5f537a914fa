/*
 * The engine's inside, shared by the stages that live in it (build, plan, launch). Fields are written
 * at open and read freely afterwards, but for those that name a guard.
 */
#ifndef TFOPS_ENGINE_ENGINE_STATE_H
#define TFOPS_ENGINE_ENGINE_STATE_H

#include "base/env.h"
#include "cache/overlay.h"
#include "driver.h"
#include "nvml.h"
#include "nvrtc.h"
#include "operators.h"
#include "plan_table.h"
#include <pthread.h>
#include <stdatomic.h>
#include <tfops/engine.h>

enum engine_kind { ENGINE_CUDA, ENGINE_CPU, ENGINE_ARCH };

/* One counter per field of struct tfops_engine_stats that counts events. */
struct counters {
    atomic_uint_fast64_t hits, misses_unseen, misses_record, misses_binary, misses_capture;
    atomic_uint_fast64_t generic_plans, compiles, compile_failures, module_loads, device_bytes;
};

/* A module loaded for this engine; plans share it by the binary's digest. */
struct loaded {
    uint8_t sha256[32];
    CUmodule handle;
    CUfunction function;
    struct loaded *next;
};

struct tfops_engine {
    unsigned generation; /* of fork(): differs from engine_fork_generation in a child */
    enum engine_kind kind;
    struct counters counters; /* a launch that hits touches this line anyway */
    struct env env;
    int ordinal;
    uint32_t flags;
    enum tfops_miss_policy miss_policy;
    struct tfops_device device;
    char sku[256];
    struct driver driver; /* ENGINE_CUDA */
    CUdevice handle;
    CUcontext context;
    struct overlay *overlay;
    char *nvrtc_path, *worker_path; /* NULL: defaults */
    uint64_t open_ns;

    pthread_mutex_t lock; /* guards what follows, but for atomics; not held during a compile */
    struct nvrtc nvrtc;   /* opened at the first compile */
    enum tfops_status nvrtc_status;
    struct tfops_error nvrtc_error; /* where that is not OK */
    bool nvrtc_tried;
    struct nvml nvml;
    bool nvml_tried;
    struct loaded *modules;
    struct plan_table plans;       /* readers need no lock */
    pthread_mutex_t compile_lock;  /* one NVRTC program at a time */
    pthread_mutex_t register_lock; /* one operator added at a time; taken before the others */
    struct operators operators;    /* readers need no lock */
};

/* Raised in the child of every fork() after the first engine was opened. */
extern unsigned engine_fork_generation __attribute__((visibility("hidden")));

#define ENGINE_COUNT(engine, field)                                                                \
    atomic_fetch_add_explicit(&(engine)->counters.field, 1, memory_order_relaxed)

/* TFOPS_E_ARGUMENT for NULL, TFOPS_E_FORKED in a child. */
enum tfops_status engine_usable(const struct tfops_engine *engine);

/* Puts a resolved plan into the table; where a prepared one came first, that one is taken instead.
 * Takes `plan` over; *ret_plan is the table's, without a new reference. */
enum tfops_status engine_publish(
    struct tfops_engine *engine, struct tfops_plan *plan, struct tfops_plan **ret_plan);

/* NVRTC of this engine, opened at first use. */
enum tfops_status engine_nvrtc(struct tfops_engine *engine, const struct nvrtc **ret_nvrtc);
/* NVML of this engine, opened at first use; NULL when absent. */
const struct nvml *engine_nvml(struct tfops_engine *engine);

#endif
