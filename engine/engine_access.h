/*
 * What the tuner and the benchmark see of an engine beyond the public API. Everything is borrowed
 * from the engine and valid as long as it is.
 */
#ifndef TFOPS_ENGINE_ENGINE_ACCESS_H
#define TFOPS_ENGINE_ENGINE_ACCESS_H

#include "base/env.h"
#include "cache/binary_store.h"
#include "cache/overlay.h"
#include "driver.h"
#include "nvml.h"
#include "support.h"
#include <tfops/engine.h>

struct engine_access {
    const struct env *env;
    const struct tfops_device *device;
    const struct driver *driver;     /* NULL on the cpu and arch devices */
    const struct nvml *nvml;         /* NULL: none */
    int ordinal;                     /* of the GPU; 0 without one */
    int nvrtc_version;               /* of the NVRTC the engine compiles with; 0: there is none */
    const char *nvrtc_path;          /* the file it was loaded from; "": none */
    const char *driver_path;         /* the same for libcuda */
    const char *worker_path;         /* the option; NULL: look for it */
    const char *const *plugin_paths; /* as opened: workers load the same */
    size_t n_plugins;
    struct overlay *overlay;
};
/* May open NVRTC. TFOPS_E_FORKED in a forked child. */
enum tfops_status engine_access(struct tfops_engine *engine, struct engine_access *ret_access);

/* From the cache or compiled now. An owned copy: binary_release(). */
enum tfops_status engine_support_binary(
    struct tfops_engine *engine, enum support_kernel kernel, struct binary *ret_binary);
/* The same for the trusted device reference of a problem: the spec's device_reference_body, else
 * the generic variant. */
enum tfops_status engine_reference_binary(
    struct tfops_engine *engine, const struct tfops_problem *problem, struct binary *ret_binary);
/* The same for the generic variant: what compile-only runs put into the cache beside the space. */
enum tfops_status engine_generic_binary(
    struct tfops_engine *engine, const struct tfops_problem *problem, struct binary *ret_binary);

/* Drops the plan of the problem's key, so that the next preparation sees the new record. Plans held
 * by callers stay as they are. */
void engine_forget(struct tfops_engine *engine, const struct tfops_problem *problem);

#endif
