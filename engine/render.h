/*
 * Rendering: problem + config → the source text NVRTC compiles: the template by #include, struct Cfg
 * with every compiled-in value, and the entry. Also the digests that name what was rendered.
 * Stage between key and compile. Pure but for reading TFOPS_KERNEL_DIR.
 */
#ifndef TFOPS_ENGINE_RENDER_H
#define TFOPS_ENGINE_RENDER_H

#include "base/env.h"
#include "base/hash.h"
#include "base/strbuf.h"
#include <tfops/engine.h>
#include <tfops/spec.h>

/* Everything a compiler needs, on any machine, and everything that names the result. */
struct build_job {
    char *source;   /* complete: templates and headers are passed beside it by compile.c */
    char *config;   /* canonical text, "generic" for the generic variant */
    const char *op; /* the spec's name */
    const char *header_source; /* a plug-in's template text, NULL for embedded ones */
    const char *header_path;   /* the name it is included by */
    char entry[96];
    char arch[16];
    uint8_t build_key[HASH_BYTES], abi[HASH_BYTES];
    struct tfops_geometry geometry; /* compiled-in part */
    uint32_t param_bytes;
};

enum render_body { RENDER_TUNED = 0, RENDER_DEVICE_REFERENCE };

/*
 * `nvrtc_version` enters the build key. 0: any; what the engine looks up, so that a host without
 * NVRTC, or with a newer one, uses what is there. The tuner asks for its own version.
 */
enum tfops_status render_job(const struct env *env, const struct tfops_problem *problem,
    const struct tfops_device *device, const struct tfops_config *config, enum render_body body,
    int nvrtc_version, struct build_job *ret_job);
/* Fills build_key and abi of a job whose source, entry, arch and param_bytes stand. */
enum tfops_status render_digest(const struct env *env, const char *params_type, uint32_t version,
    int nvrtc_version, struct build_job *job);
void build_job_release(const struct env *env, struct build_job *job);

/* The files a source includes, transitively, in order of first appearance: what NVRTC is given and
 * what the build key covers. An include that is not under the kernel root is left to NVRTC to report. */
struct render_includes {
    const char **paths, **texts; /* parallel; paths are owned here, texts where owned[i] says so */
    char **owned;
    size_t n, capacity;
};
enum tfops_status render_collect(const struct env *env, const char *source, const char *header_path,
    const char *header_source, struct render_includes *ret_includes);
void render_includes_release(const struct env *env, struct render_includes *includes);

/* The text of a file under the kernel root: TFOPS_KERNEL_DIR where set, else the embedded one; NULL
 * when there is none. *ret_owned is the text to mem_free when it was read from the directory.
 * TFOPS_E_IO: there is no such directory, or its path is too long. */
enum tfops_status render_file(
    const struct env *env, const char *path, const char **ret_text, char **ret_owned);

#endif
