/*
 * From a config to a binary: look it up, or compile it exactly once among all processes and store it.
 * Stage between records and modules; used by plans and by the tuner's set-up.
 */
#ifndef TFOPS_ENGINE_BUILD_H
#define TFOPS_ENGINE_BUILD_H

#include "cache/binary_store.h"
#include "render.h"
#include <tfops/engine.h>
#include <tfops/spec.h>

/*
 * may_compile false: TFOPS_E_COLD when no cache layer has it. The caller owns *ret_binary. A cache
 * that cannot be written is logged; the binary is returned all the same.
 */
enum tfops_status build_binary(struct tfops_engine *engine, const struct tfops_problem *problem,
    const struct tfops_config *config, enum render_body body, bool may_compile,
    struct binary *ret_binary);

/* The same for a job that is rendered already. */
enum tfops_status build_job_binary(struct tfops_engine *engine, const struct build_job *job,
    bool may_compile, struct binary *ret_binary);

/* The binary a record pins, if it is there and fits the config; *ret_found false otherwise. */
enum tfops_status build_find_pinned(struct tfops_engine *engine,
    const struct tfops_problem *problem, const struct tfops_config *config,
    const uint8_t sha256[HASH_BYTES], bool *ret_found, struct binary *ret_binary);

/* Stores under the job's key and under the key for any NVRTC. */
enum tfops_status build_store(struct tfops_engine *engine, const struct tfops_problem *problem,
    const struct tfops_config *config, struct binary *binary);

#endif
