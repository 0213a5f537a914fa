/* The support kernels as build jobs (see support.h). */
#include "support.h"
#include "base/mem.h"
#include "base/strbuf.h"
#include "kernels/support/compare_params.h"
#include "kernels/support/copy_params.h"
#include "kernels/support/fill_params.h"
#include <stdio.h>

static const struct {
    const char *name, *constants;
    uint32_t threads, param_bytes;
} KERNEL[SUPPORT_COUNT] = {
    [SUPPORT_FILL] = {"fill", "", 256, sizeof(struct fill_params)},
    [SUPPORT_COMPARE] = {"compare", "", 256, sizeof(struct compare_params)},
    /* One vector a thread, streaming both ways: the fastest copy measured on an H200 (docs/notes). */
    [SUPPORT_COPY] = {"copy", ", UNROLL = 1, LOAD_HINT = 1, STORE_HINT = 1", 256,
        sizeof(struct copy_params)},
};

enum tfops_status support_job(const struct env *env, enum support_kernel kernel,
    const struct tfops_device *device, struct build_job *ret_job)
{
    const char *name = KERNEL[kernel].name;
    struct build_job job = {.op = name,
        .geometry = {.threads = KERNEL[kernel].threads, .min_blocks = 1, .cluster = 1},
        .param_bytes = KERNEL[kernel].param_bytes};
    struct strbuf source;
    char params[32];
    snprintf(job.arch, sizeof job.arch, "%s", device->arch);
    snprintf(job.entry, sizeof job.entry, "tfops_%s", name);
    snprintf(params, sizeof params, "%s_params", name);
    strbuf_init(&source, env);
    strbuf_addf(&source,
        "#include \"support/%s.cu\"\n\nstruct Cfg {\n"
        "    static constexpr int THREADS = %u, MIN_BLOCKS = 1%s;\n};\n\n"
        "TFOPS_ENTRY(%s, %s, %s)\n",
        name, job.geometry.threads, KERNEL[kernel].constants, job.entry, name, params);
    job.source = strbuf_take(&source);
    job.config = mem_strdup(env, "support");
    enum tfops_status status =
        job.source && job.config ? render_digest(env, params, 1, 0, &job) : TFOPS_E_MEMORY;
    if (status)
        build_job_release(env, &job);
    else
        *ret_job = job;
    return status;
}
