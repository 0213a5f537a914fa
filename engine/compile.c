/* Compiling with NVRTC (see compile.h). */
#include "compile.h"
#include "base/error.h"
#include "base/mem.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* Lines of the build log that tell of a variant not worth running. */
static const char *const DISQUALIFYING[] = {
    "Potential Performance Loss", "C7504", "C7508", "C7510", "C7514", "C7517", "C7519"};

static double now_ms(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec * 1e3 + (double)time.tv_nsec * 1e-6;
}

/* The number before `word` in "… 32 registers"; the sum over all places. */
static uint32_t sum_before(const char *log, const char *word)
{
    uint32_t sum = 0;
    for (const char *at = log; (at = strstr(at, word)) != NULL; at += strlen(word)) {
        const char *digit = at;
        while (digit > log && digit[-1] == ' ')
            digit--;
        while (digit > log && digit[-1] >= '0' && digit[-1] <= '9')
            digit--;
        sum += (uint32_t)strtoul(digit, NULL, 10);
    }
    return sum;
}

static void read_log(struct compiled *compiled)
{
    const char *log = compiled->log;
    compiled->registers = sum_before(log, "registers");
    compiled->spill_bytes =
        sum_before(log, "bytes spill stores") + sum_before(log, "bytes spill loads");
    compiled->smem_static_bytes = sum_before(log, "bytes smem");
    for (size_t i = 0; i < sizeof DISQUALIFYING / sizeof DISQUALIFYING[0]; i++) {
        const char *found = strstr(log, DISQUALIFYING[i]);
        if (!found)
            continue;
        while (found > log && found[-1] != '\n')
            found--;
        snprintf(compiled->disqualified, sizeof compiled->disqualified, "%.*s",
            (int)strcspn(found, "\n"), found);
        return;
    }
    if (compiled->spill_bytes)
        snprintf(compiled->disqualified, sizeof compiled->disqualified, "%u bytes of spills",
            compiled->spill_bytes);
}

static enum tfops_status nvrtc_failed(
    const struct nvrtc *nvrtc, int result, const char *call, const char *subject)
{
    return error_setf(TFOPS_E_NVRTC, result, call, subject, "%s", nvrtc->get_error_string(result));
}

typedef int size_fn(struct _nvrtcProgram *program, size_t *bytes);
typedef int bytes_fn(struct _nvrtcProgram *program, char *data);

static enum tfops_status fetch(const struct env *env, const struct nvrtc *nvrtc,
    struct _nvrtcProgram *program, size_fn *get_size, bytes_fn *get, const char *call,
    char **ret_data, size_t *ret_bytes)
{
    size_t bytes = 0;
    int result = get_size(program, &bytes);
    if (result)
        return nvrtc_failed(nvrtc, result, call, "");
    char *data = mem_new(env, bytes + 1, 1);
    if (!data)
        return TFOPS_E_MEMORY;
    result = get(program, data);
    if (result) {
        mem_free(env, data);
        return nvrtc_failed(nvrtc, result, call, "");
    }
    *ret_data = data;
    if (ret_bytes)
        *ret_bytes = bytes;
    return TFOPS_OK;
}

/* The first line of the log that says error, for the message; else the first line. */
static void first_error(const char *log, char *line, size_t bytes)
{
    const char *at = strstr(log, "error");
    at = at ? at : log;
    while (at > log && at[-1] != '\n')
        at--;
    snprintf(line, bytes, "%.*s", (int)strcspn(at, "\n"), at);
}

enum { NVRTC_INVALID_OPTION = 5 };

/*
 * On a host with a driver NVRTC keeps a cache of its own, and what it takes from there comes without
 * a build log: registers 0, spills unseen (tests/gpu/test_tuner_gpu.c). --minimal leaves out textures
 * and the device runtime's types: 4 ms of 65. An NVRTC too old to know an option is asked without it.
 */
static int compile_with_options(
    const struct nvrtc *nvrtc, struct _nvrtcProgram *program, const char *arch)
{
    const char *const options[] = {
        arch, "-std=c++17", "-default-device", "--ptxas-options=-v", "--minimal", "--no-cache"};
    enum { N = sizeof options / sizeof options[0], NEEDED = N - 2 };
    int result = NVRTC_INVALID_OPTION;
    for (int n = N; n >= NEEDED && result == NVRTC_INVALID_OPTION; n--)
        result = nvrtc->compile(program, n, options);
    return result;
}

static enum tfops_status run(const struct env *env, const struct nvrtc *nvrtc,
    struct _nvrtcProgram *program, const struct build_job *job, bool want_ptx,
    struct compiled *compiled)
{
    char arch[32], line[256];
    snprintf(arch, sizeof arch, "-arch=%s", job->arch);
    double start = now_ms();
    int result = compile_with_options(nvrtc, program, arch);
    compiled->ms = now_ms() - start;
    enum tfops_status status = fetch(env, nvrtc, program, nvrtc->get_log_size, nvrtc->get_log,
        "nvrtcGetProgramLog", &compiled->log, NULL);
    if (status)
        return status;
    if (result) {
        first_error(compiled->log, line, sizeof line);
        return error_setf(TFOPS_E_COMPILE, result, "compile", job->op, "%s (%s): %s",
            nvrtc->get_error_string(result), job->config, line);
    }
    read_log(compiled);
    status = fetch(env, nvrtc, program, nvrtc->get_cubin_size, nvrtc->get_cubin, "nvrtcGetCUBIN",
        (char **)&compiled->image, &compiled->image_bytes);
    if (!status && !compiled->image_bytes)
        status = error_setf(TFOPS_E_COMPILE, 0, "compile", job->arch, "NVRTC made no cubin");
    if (!status && want_ptx)
        status = fetch(env, nvrtc, program, nvrtc->get_ptx_size, nvrtc->get_ptx, "nvrtcGetPTX",
            &compiled->ptx, NULL);
    return status;
}

enum tfops_status compile_job(const struct env *env, const struct nvrtc *nvrtc,
    const struct build_job *job, bool want_ptx, struct compiled *ret_compiled)
{
    struct render_includes includes;
    struct _nvrtcProgram *program = NULL;
    *ret_compiled = (struct compiled){0};
    enum tfops_status status =
        render_collect(env, job->source, job->header_path, job->header_source, &includes);
    if (status)
        return status;
    int result = nvrtc->create(
        &program, job->source, job->entry, (int)includes.n, includes.texts, includes.paths);
    status = result ? nvrtc_failed(nvrtc, result, "nvrtcCreateProgram", job->op)
                    : run(env, nvrtc, program, job, want_ptx, ret_compiled);
    if (program)
        nvrtc->destroy(&program);
    render_includes_release(env, &includes);
    return status;
}

void compiled_release(const struct env *env, struct compiled *compiled)
{
    mem_free(env, compiled->image);
    mem_free(env, compiled->ptx);
    mem_free(env, compiled->log);
    *compiled = (struct compiled){0};
}

static void today(char text[32])
{
    time_t now = time(NULL);
    struct tm utc;
    gmtime_r(&now, &utc);
    strftime(text, 32, "%Y-%m-%dT%H:%M:%SZ", &utc);
}

enum tfops_status compiled_to_binary(const struct env *env, const struct build_job *job,
    struct compiled *compiled, int nvrtc_version, struct binary *ret_binary)
{
    char date[32], nvrtc[16];
    today(date);
    snprintf(nvrtc, sizeof nvrtc, "%d.%d", nvrtc_version / 1000, nvrtc_version % 1000 / 10);
    struct binary binary = {
        .op = mem_strdup(env, job->op),
        .arch = mem_strdup(env, job->arch),
        .entry = mem_strdup(env, job->entry),
        .config = mem_strdup(env, job->config),
        .nvrtc = mem_strdup(env, nvrtc),
        .date = mem_strdup(env, date),
        .registers = compiled->registers,
        .spill_bytes = compiled->spill_bytes,
        .smem_static_bytes = compiled->smem_static_bytes,
        .threads = job->geometry.threads,
        .min_blocks = job->geometry.min_blocks,
        .cluster = job->geometry.cluster,
        .smem_bytes = job->geometry.smem_bytes,
        .param_bytes = job->param_bytes,
        .min_driver = nvrtc_version / 1000 * 1000,
    };
    if (!binary.op || !binary.arch || !binary.entry || !binary.config || !binary.nvrtc ||
        !binary.date) {
        binary_release(env, &binary);
        return TFOPS_E_MEMORY;
    }
    binary.image = compiled->image;
    binary.image_bytes = compiled->image_bytes;
    compiled->image = NULL;
    memcpy(binary.build_key, job->build_key, HASH_BYTES);
    memcpy(binary.abi, job->abi, HASH_BYTES);
    hash_bytes(binary.image, binary.image_bytes, binary.sha256);
    *ret_binary = binary;
    return TFOPS_OK;
}

static enum tfops_status dump_file(
    const char *dir, const char *name, const char *suffix, const void *data, size_t bytes)
{
    char path[PATH_MAX];
    errno = ENAMETOOLONG;
    bool fits = (size_t)snprintf(path, sizeof path, "%s/%s.%s", dir, name, suffix) < sizeof path;
    FILE *file = fits ? fopen(path, "wbe") : NULL;
    bool written = file && fwrite(data, 1, bytes, file) == bytes;
    int code = errno;
    if (file && fclose(file) && written) {
        written = false;
        code = errno;
    }
    return written ? TFOPS_OK
                   : error_setf(
                         TFOPS_E_IO, code, "dump", path, "cannot be written: %s", strerror(code));
}

enum tfops_status compile_dump(
    const char *dir, const struct build_job *job, const struct compiled *compiled)
{
    const struct {
        const char *suffix;
        const void *data;
        size_t bytes;
    } files[] = {{"cu", job->source, strlen(job->source)},
        {"ptx", compiled->ptx, compiled->ptx ? strlen(compiled->ptx) : 0},
        {"cubin", compiled->image, compiled->image_bytes},
        {"log", compiled->log, compiled->log ? strlen(compiled->log) : 0}};
    char hex[HASH_HEX_BYTES], name[192];
    enum tfops_status status = TFOPS_OK;
    hash_hex(job->build_key, hex);
    snprintf(name, sizeof name, "%s-%s-%.12s", job->op, job->arch, hex);
    for (size_t i = 0; !status && i < sizeof files / sizeof files[0]; i++)
        if (files[i].data)
            status = dump_file(dir, name, files[i].suffix, files[i].data, files[i].bytes);
    return status;
}
