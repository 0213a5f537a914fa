/*
 * Compiling one rendered source with NVRTC, in this process. Knows nothing of caches. Used by the
 * engine for what it trusts (default configs, generic variants) and by worker processes.
 */
#ifndef TFOPS_ENGINE_COMPILE_H
#define TFOPS_ENGINE_COMPILE_H

#include "base/env.h"
#include "cache/binary_store.h"
#include "nvrtc.h"
#include "render.h"
#include <stdbool.h>

struct compiled {
    void *image;
    size_t image_bytes;
    char *ptx; /* where asked for, else NULL */
    char *log;
    double ms;
    uint32_t registers, spill_bytes, smem_static_bytes; /* from the build log */
    char disqualified[160]; /* the line of the log that rules this variant out; "" when none */
};

/*
 * TFOPS_E_COMPILE when NVRTC refuses; ret_compiled->log is filled in this case too (release it).
 * A disqualified variant is TFOPS_OK with `disqualified` set: the caller decides.
 */
enum tfops_status compile_job(const struct env *env, const struct nvrtc *nvrtc,
    const struct build_job *job, bool want_ptx, struct compiled *ret_compiled);
void compiled_release(const struct env *env, struct compiled *compiled);

/* The storable form: takes the image out of *compiled. */
enum tfops_status compiled_to_binary(const struct env *env, const struct build_job *job,
    struct compiled *compiled, int nvrtc_version, struct binary *ret_binary);

/* Writes source, PTX, cubin and log under `dir` (named by op and build key). TFOPS_E_IO. */
enum tfops_status compile_dump(
    const char *dir, const struct build_job *job, const struct compiled *compiled);

#endif
