/* Rendering (see render.h). */
#include "render.h"
#include "base/error.h"
#include "base/mem.h"
#include "embedded.h"
#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* ---- files under the kernel root ------------------------------------------------------------- */

/* *ret_text NULL where there is no such file. */
static enum tfops_status read_file(const struct env *env, const char *path, char **ret_text)
{
    FILE *file = fopen(path, "rbe");
    *ret_text = NULL;
    if (!file)
        return TFOPS_OK;
    struct strbuf text;
    char chunk[4096];
    size_t n;
    strbuf_init(&text, env);
    while ((n = fread(chunk, 1, sizeof chunk, file)) > 0)
        strbuf_add_bytes(&text, chunk, n);
    fclose(file);
    *ret_text = strbuf_take(&text);
    return *ret_text ? TFOPS_OK : TFOPS_E_MEMORY;
}

static const struct embedded_source *find_embedded(const char *path)
{
    for (size_t i = 0; i < embedded_sources_count; i++)
        if (!strcmp(embedded_sources[i].path, path))
            return &embedded_sources[i];
    return NULL;
}

/* The text under TFOPS_KERNEL_DIR; NULL where the folder lacks the file or the variable is not set. */
static enum tfops_status read_override(const struct env *env, const char *path, char **ret_text)
{
    static const char VARIABLE[] = "TFOPS_KERNEL_DIR";
    const char *root = getenv(VARIABLE);
    char full[PATH_MAX];
    struct stat st;
    *ret_text = NULL;
    if (!root || !*root || strstr(path, ".."))
        return TFOPS_OK;
    if ((size_t)snprintf(full, sizeof full, "%s/%s", root, path) >= sizeof full)
        return error_setf(TFOPS_E_IO, ENAMETOOLONG, VARIABLE, root, "too long for a path");
    if (stat(root, &st) || !S_ISDIR(st.st_mode))
        return error_setf(TFOPS_E_IO, ENOENT, VARIABLE, root, "no such folder");
    return read_file(env, full, ret_text);
}

enum tfops_status render_file(
    const struct env *env, const char *path, const char **ret_text, char **ret_owned)
{
    enum tfops_status status = read_override(env, path, ret_owned);
    if (status)
        return status; /* never the embedded text in place of one that is there */
    const struct embedded_source *embedded = *ret_owned ? NULL : find_embedded(path);
    *ret_text = embedded ? embedded->text : *ret_owned;
    return TFOPS_OK;
}

/* ---- the closure of includes ---------------------------------------------------------------- */

static bool contains(const struct render_includes *includes, const char *path)
{
    for (size_t i = 0; i < includes->n; i++)
        if (!strcmp(includes->paths[i], path))
            return true;
    return false;
}

static bool grow(const struct env *env, struct render_includes *includes)
{
    if (includes->n < includes->capacity)
        return true;
    size_t old = includes->capacity, capacity = old ? 2 * old : 16;
    const char **paths = mem_grow(env, NULL, 0, capacity, sizeof *paths);
    const char **texts = mem_grow(env, NULL, 0, capacity, sizeof *texts);
    char **owned = mem_grow(env, NULL, 0, capacity, sizeof *owned);
    if (!paths || !texts || !owned) {
        mem_free(env, paths);
        mem_free(env, texts);
        mem_free(env, owned);
        return false;
    }
    for (size_t i = 0; i < includes->n; i++) {
        paths[i] = includes->paths[i];
        texts[i] = includes->texts[i];
        owned[i] = includes->owned[i];
    }
    mem_free(env, includes->paths);
    mem_free(env, includes->texts);
    mem_free(env, includes->owned);
    *includes = (struct render_includes){paths, texts, owned, includes->n, capacity};
    return true;
}

/* Takes `owned` over, also on failure. */
static enum tfops_status add_include(const struct env *env, struct render_includes *includes,
    const char *path, const char *text, char *owned)
{
    char *name = mem_strdup(env, path);
    if (!name || !grow(env, includes)) {
        mem_free(env, name);
        mem_free(env, owned);
        return TFOPS_E_MEMORY;
    }
    includes->paths[includes->n] = name;
    includes->texts[includes->n] = text;
    includes->owned[includes->n++] = owned;
    return TFOPS_OK;
}

/* The next `#include "path"` at or after `at`; returns where to go on, NULL at the end. */
static const char *next_include(const char *at, char *path, size_t bytes)
{
    for (; (at = strstr(at, "#")) != NULL; at++) {
        const char *word = at + 1;
        while (*word == ' ' || *word == '\t')
            word++;
        if (strncmp(word, "include", 7))
            continue;
        const char *open = word + 7 + strspn(word + 7, " \t");
        const char *close = *open == '"' ? strpbrk(open + 1, "\"\n") : NULL;
        if (!close || *close != '"' || (size_t)(close - open) > bytes)
            continue;
        memcpy(path, open + 1, (size_t)(close - open - 1));
        path[close - open - 1] = '\0';
        return close;
    }
    return NULL;
}

static enum tfops_status scan(const struct env *env, struct render_includes *includes,
    const char *text, const char *header_path, const char *header_source)
{
    char path[256], *owned;
    enum tfops_status status = TFOPS_OK;
    for (const char *at = text; !status && (at = next_include(at, path, sizeof path));) {
        if (contains(includes, path))
            continue;
        owned = NULL;
        const char *body = header_source;
        if (!header_source || strcmp(path, header_path))
            status = render_file(env, path, &body, &owned);
        if (!status && body)
            status = add_include(env, includes, path, body, owned);
    }
    return status;
}

enum tfops_status render_collect(const struct env *env, const char *source, const char *header_path,
    const char *header_source, struct render_includes *ret_includes)
{
    struct render_includes includes = {0};
    enum tfops_status status = scan(env, &includes, source, header_path, header_source);
    for (size_t i = 0; !status && i < includes.n; i++) /* the list grows while it is walked */
        status = scan(env, &includes, includes.texts[i], header_path, header_source);
    if (status)
        render_includes_release(env, &includes);
    else
        *ret_includes = includes;
    return status;
}

void render_includes_release(const struct env *env, struct render_includes *includes)
{
    for (size_t i = 0; i < includes->n; i++) {
        mem_free(env, (void *)(uintptr_t)includes->paths[i]);
        mem_free(env, includes->owned[i]);
    }
    mem_free(env, includes->paths);
    mem_free(env, includes->texts);
    mem_free(env, includes->owned);
    *includes = (struct render_includes){0};
}

/* ---- the source ----------------------------------------------------------------------------- */

static const char *const CXX_TYPE[TFOPS_DTYPE_COUNT] = {
    [TFOPS_NONE] = "void",
    [TFOPS_F32] = "float",
    [TFOPS_F16] = "f16",
    [TFOPS_BF16] = "bf16",
    [TFOPS_E4M3] = "e4m3",
    [TFOPS_E5M2] = "e5m2",
    [TFOPS_I32] = "int",
    [TFOPS_I64] = "long long",
    [TFOPS_U8] = "u8",
};

static void add_name(struct strbuf *source, const char *name)
{
    for (; *name; name++) {
        char upper = (char)toupper((unsigned char)*name);
        strbuf_add_bytes(source, &upper, 1);
    }
}

static void add_constant(
    struct strbuf *source, const char *prefix, const char *name, long long value)
{
    bool wide = value > INT_MAX || value < INT_MIN;
    strbuf_addf(source, "    static constexpr %s %s", wide ? "long long" : "int", prefix);
    add_name(source, name);
    strbuf_addf(source, " = %lld;\n", value);
}

static void add_specialisation(
    struct strbuf *source, const struct tfops_problem *problem, const struct tfops_config *config)
{
    const struct tfops_spec *spec = problem->spec;
    for (size_t i = 0; i < spec->n_dtypes; i++) {
        strbuf_add(source, "    using ");
        add_name(source, spec->dtypes[i].name);
        strbuf_addf(source, " = %s;\n", CXX_TYPE[problem->dtypes[i]]);
    }
    for (size_t i = 0; i < spec->n_dims; i++)
        if (!spec->dims[i].flags)
            add_constant(source, "", spec->dims[i].name, problem->dims[i]);
    for (size_t i = 0; i < spec->n_options; i++)
        add_constant(source, "", spec->options[i].name, problem->options[i]);
    for (size_t i = 0; i < spec->n_operands; i++)
        if (spec->operands[i].flags & TFOPS_OPERAND_OPTIONAL)
            add_constant(source, "HAS_", spec->operands[i].name, problem->present >> i & 1);
    for (size_t i = 0; i < spec->n_constants; i++)
        add_constant(source, "", spec->constants[i].name, spec->constants[i].value);
    add_constant(source, "", "ALIGN", problem->align);
    add_constant(source, "", "BATCH_INVARIANT", (problem->flags & TFOPS_BATCH_INVARIANT) != 0);
    for (size_t i = 0; i < spec->n_tunables; i++)
        add_constant(source, "", spec->tunables[i].name, config->values[i]);
}

static bool tunable_named(const struct tfops_spec *spec, const char *name)
{
    for (size_t i = 0; i < spec->n_tunables; i++)
        if (!strcmp(spec->tunables[i].name, name))
            return true;
    return false;
}

static void add_geometry(struct strbuf *source, const struct tfops_spec *spec,
    const struct tfops_geometry *geometry, bool generic)
{
    const struct {
        const char *name;
        long long value;
    } CONSTANTS[] = {{"THREADS", geometry->threads}, {"MIN_BLOCKS", geometry->min_blocks},
        {"CLUSTER", geometry->cluster}, {"SMEM_BYTES", geometry->smem_bytes},
        {"PDL", geometry->pdl}, {"GENERIC", generic}};
    for (size_t i = 0; i < sizeof CONSTANTS / sizeof CONSTANTS[0]; i++)
        if (generic || !tunable_named(spec, CONSTANTS[i].name))
            add_constant(source, "", CONSTANTS[i].name, CONSTANTS[i].value);
}

static void add_source(struct strbuf *source, const struct tfops_problem *problem,
    const struct tfops_config *config, const struct build_job *job, const char *body)
{
    const struct tfops_spec *spec = problem->spec;
    strbuf_addf(source, "#include \"%s\"\n\nstruct Cfg {\n", spec->template_path);
    if (!config->generic)
        add_specialisation(source, problem, config);
    add_geometry(source, spec, &job->geometry, config->generic);
    strbuf_addf(source, "};\n\nTFOPS_ENTRY(%s, %s, %s)\n", job->entry, body, spec->params_type);
}

/* ---- digests -------------------------------------------------------------------------------- */

static bool is_params(const char *path)
{
    size_t length = strlen(path), suffix = strlen("_params.h");
    return length > suffix && !strcmp(path + length - suffix, "_params.h");
}

/* Of an included file: the build knows that of what it embedded (8 to 16 ms of an engine's start otherwise). */
static void text_digest(const char *path, const char *text, uint8_t ret_sha256[HASH_BYTES])
{
    const struct embedded_source *embedded = find_embedded(path);
    if (embedded && embedded->text == text)
        memcpy(ret_sha256, embedded->sha256, HASH_BYTES);
    else
        hash_bytes(text, strlen(text), ret_sha256);
}

enum tfops_status render_digest(const struct env *env, const char *params_type, uint32_t version,
    int nvrtc_version, struct build_job *job)
{
    struct render_includes includes;
    enum tfops_status status =
        render_collect(env, job->source, job->header_path, job->header_source, &includes);
    if (status)
        return status;
    struct hash build, abi;
    uint8_t sha256[HASH_BYTES];
    hash_init(&build);
    hash_add_string(&build, "tfops build 3");
    hash_add_string(&build, job->source);
    hash_add_string(&build, job->arch);
    hash_add_u64(&build, (uint64_t)nvrtc_version);
    hash_init(&abi);
    hash_add_string(&abi, "tfops entry 1");
    hash_add_string(&abi, params_type);
    hash_add_u64(&abi, job->param_bytes);
    hash_add_u64(&abi, version);
    for (size_t i = 0; i < includes.n; i++) {
        hash_add_string(&build, includes.paths[i]);
        text_digest(includes.paths[i], includes.texts[i], sha256);
        hash_add(&build, sha256, sizeof sha256);
        if (is_params(includes.paths[i]))
            hash_add_string(&abi, includes.texts[i]);
    }
    hash_final(&build, job->build_key);
    hash_final(&abi, job->abi);
    render_includes_release(env, &includes);
    return TFOPS_OK;
}

/* ---- the job -------------------------------------------------------------------------------- */

static const char *choose_body(
    const struct tfops_problem *problem, const struct tfops_config *config, enum render_body body)
{
    if (body == RENDER_DEVICE_REFERENCE && problem->spec->device_reference_body)
        return problem->spec->device_reference_body;
    return config->generic ? problem->spec->generic_body : problem->spec->body;
}

enum tfops_status render_job(const struct env *env, const struct tfops_problem *problem,
    const struct tfops_device *device, const struct tfops_config *config, enum render_body body,
    int nvrtc_version, struct build_job *ret_job)
{
    const struct tfops_spec *spec = problem->spec;
    const char *function = choose_body(problem, config, body);
    if (!function)
        return error_set(
            TFOPS_E_UNSUPPORTED, "render", spec->name, "an operator with a generic variant", NULL);
    struct build_job job = {.op = spec->name,
        .header_path = spec->template_path,
        .header_source = spec->source,
        .param_bytes = (uint32_t)spec->param_bytes};
    spec->geometry(spec->user, problem, device, config, &job.geometry);
    snprintf(job.arch, sizeof job.arch, "%s", device->arch);
    /* Generic variants are named by their body: operators of one template share the binary. */
    snprintf(job.entry, sizeof job.entry, "tfops_%s", config->generic ? function : spec->name);
    char text[1024];
    tfops_config_format(spec, config, text, sizeof text);
    job.config = mem_strdup(env, text);
    struct strbuf source;
    strbuf_init(&source, env);
    add_source(&source, problem, config, &job, function);
    job.source = strbuf_take(&source);
    enum tfops_status status = TFOPS_E_MEMORY;
    if (job.config && job.source)
        status = render_digest(env, spec->params_type, spec->version, nvrtc_version, &job);
    if (status)
        build_job_release(env, &job);
    else
        *ret_job = job;
    return status;
}

void build_job_release(const struct env *env, struct build_job *job)
{
    mem_free(env, job->source);
    mem_free(env, job->config);
    job->source = job->config = NULL;
}
