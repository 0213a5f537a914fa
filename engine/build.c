/* Binaries on demand (see build.h). */
#include "build.h"
#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"
#include "compile.h"
#include "engine_state.h"
#include <stdlib.h>
#include <string.h>

enum { CLAIM_WAIT_MS = 10000 }; /* longer than a compile takes; then compile beside the claimant */

/* A binary of another entry ABI or geometry is a miss, whatever named it. */
static bool fits(const struct binary *binary, const struct build_job *job)
{
    return !memcmp(binary->abi, job->abi, HASH_BYTES) && !strcmp(binary->entry, job->entry) &&
           !strcmp(binary->arch, job->arch) && binary->param_bytes == job->param_bytes &&
           binary->threads == job->geometry.threads && binary->cluster == job->geometry.cluster &&
           binary->smem_bytes == job->geometry.smem_bytes;
}

/* On the cpu and arch devices nothing is loaded. */
static bool loadable(const struct tfops_engine *engine, const struct binary *binary)
{
    return engine->kind != ENGINE_CUDA || binary->min_driver <= engine->driver.version;
}

static enum tfops_status keep_if_fits(struct tfops_engine *engine, const struct build_job *job,
    bool *ret_found, struct binary *ret_binary)
{
    if (!*ret_found || (fits(ret_binary, job) && loadable(engine, ret_binary)))
        return TFOPS_OK;
    if (!fits(ret_binary, job))
        log_line(&engine->env, TFOPS_LOG_WARN,
            "cache: binary of %s %s has another entry ABI, left out", job->op, job->config);
    else
        log_line(&engine->env, TFOPS_LOG_WARN,
            "cache: binary of %s %s needs a driver for CUDA %d.%d, left out", job->op, job->config,
            ret_binary->min_driver / 1000, ret_binary->min_driver % 1000 / 10);
    binary_release(&engine->env, ret_binary);
    *ret_found = false;
    return TFOPS_OK;
}

static enum tfops_status find(struct tfops_engine *engine, const struct build_job *job,
    bool *ret_found, struct binary *ret_binary)
{
    enum tfops_status status =
        overlay_find_build(engine->overlay, job->build_key, ret_found, ret_binary);
    return status ? status : keep_if_fits(engine, job, ret_found, ret_binary);
}

/* What the environment asks for costs a launch nothing when it cannot be had. */
static void dump_logged(const struct tfops_engine *engine, const char *dir,
    const struct build_job *job, const struct compiled *compiled)
{
    struct tfops_error saved;
    error_save(&saved);
    if (compile_dump(dir, job, compiled))
        log_line(&engine->env, TFOPS_LOG_WARN, "%s", error_message());
    error_restore(&saved);
}

static enum tfops_status compile_here(
    struct tfops_engine *engine, const struct build_job *job, struct binary *ret_binary)
{
    const struct nvrtc *nvrtc;
    struct compiled compiled;
    enum tfops_status status = engine_nvrtc(engine, &nvrtc);
    if (status)
        return status;
    const char *dump = getenv("TFOPS_DUMP_DIR");
    pthread_mutex_lock(&engine->compile_lock);
    status = compile_job(&engine->env, nvrtc, job, dump != NULL, &compiled);
    pthread_mutex_unlock(&engine->compile_lock);
    if (dump)
        dump_logged(engine, dump, job, &compiled);
    if (!status && compiled.disqualified[0])
        log_line(&engine->env, TFOPS_LOG_WARN, "compile: %s %s: %s", job->op, job->config,
            compiled.disqualified);
    if (!status)
        status = compiled_to_binary(&engine->env, job, &compiled, nvrtc->version, ret_binary);
    compiled_release(&engine->env, &compiled);
    if (status)
        ENGINE_COUNT(engine, compile_failures);
    else
        ENGINE_COUNT(engine, compiles);
    return status;
}

static void store(struct tfops_engine *engine, struct binary *binary)
{
    if (!overlay_user(engine->overlay))
        return; /* none, or not to be written: said at open */
    if (overlay_put_binary(engine->overlay, binary))
        log_line(&engine->env, TFOPS_LOG_WARN, "cache: %s is not kept: %s", binary->config,
            error_message());
}

/* Under a claim: the wait may have brought the binary. */
static enum tfops_status compile_once(
    struct tfops_engine *engine, const struct build_job *job, struct binary *ret_binary)
{
    struct overlay_claim claim = {.fd = -1};
    bool claimed = false, found = false;
    if (overlay_claim(engine->overlay, job->build_key, CLAIM_WAIT_MS, &claimed, &claim))
        log_line(&engine->env, TFOPS_LOG_WARN, "cache: no claim for %s: %s", job->config,
            error_message());
    enum tfops_status status = find(engine, job, &found, ret_binary);
    if (!status && !found) {
        status = compile_here(engine, job, ret_binary);
        if (!status)
            store(engine, ret_binary);
    }
    if (claimed)
        overlay_claim_release(engine->overlay, &claim);
    return status;
}

enum tfops_status build_job_binary(struct tfops_engine *engine, const struct build_job *job,
    bool may_compile, struct binary *ret_binary)
{
    bool found = false;
    enum tfops_status status = find(engine, job, &found, ret_binary);
    if (status || found)
        return status;
    ENGINE_COUNT(engine, misses_binary);
    if (may_compile)
        return compile_once(engine, job, ret_binary);
    return error_set(TFOPS_E_COLD, "build", job->op, "a compiled binary", job->config);
}

enum tfops_status build_binary(struct tfops_engine *engine, const struct tfops_problem *problem,
    const struct tfops_config *config, enum render_body body, bool may_compile,
    struct binary *ret_binary)
{
    struct build_job job;
    enum tfops_status status =
        render_job(&engine->env, problem, &engine->device, config, body, 0, &job);
    if (status)
        return status;
    status = build_job_binary(engine, &job, may_compile, ret_binary);
    build_job_release(&engine->env, &job);
    return status;
}

enum tfops_status build_find_pinned(struct tfops_engine *engine,
    const struct tfops_problem *problem, const struct tfops_config *config,
    const uint8_t sha256[HASH_BYTES], bool *ret_found, struct binary *ret_binary)
{
    struct build_job job;
    enum tfops_status status =
        render_job(&engine->env, problem, &engine->device, config, RENDER_TUNED, 0, &job);
    if (status)
        return status;
    status = overlay_find_binary(engine->overlay, sha256, ret_found, ret_binary);
    if (!status)
        status = keep_if_fits(engine, &job, ret_found, ret_binary);
    build_job_release(&engine->env, &job);
    return status;
}

enum tfops_status build_store(struct tfops_engine *engine, const struct tfops_problem *problem,
    const struct tfops_config *config, struct binary *binary)
{
    struct build_job job;
    enum tfops_status status = overlay_put_binary(engine->overlay, binary);
    if (!status)
        status = render_job(&engine->env, problem, &engine->device, config, RENDER_TUNED, 0, &job);
    if (status)
        return status;
    memcpy(binary->build_key, job.build_key, HASH_BYTES);
    status = overlay_put_binary(engine->overlay, binary);
    build_job_release(&engine->env, &job);
    return status;
}
