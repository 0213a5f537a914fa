/* Host builds of templates (see emulate_build.h). */
#include "emulate_build.h"
#include "base/error.h"
#include "base/hash.h"
#include "base/mem.h"
#include "embedded.h"
#include "emulate_keep.h"
#include <errno.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* The runtime is not traced: it does the tracing, and races with itself where fibers are threads. -O2: where it is
 * compiled once for many variants; -O1: where that is longer than what it runs. Variants are compiled once and
 * run for milliseconds. Reports of a check name the chain of inlined lines, others the innermost (-g1).
 * UBSan doubles the time to compile. */
static const struct {
    const char *name, *variant, *runtime, *link;
} MODES[EMULATE_MODES] = {
    [EMULATE_TRACE] = {"trace", "-g1 -fsanitize=thread", "-O2 -DEMU_TRACE", ""},
    [EMULATE_CHECK] = {"check", "-g -fsanitize=thread,undefined", "-O1 -DEMU_TRACE",
        "-fsanitize=undefined"},
    [EMULATE_ASAN] = {"asan", "-g1 -fsanitize=address,undefined", "-O1 -fsanitize=address",
        "-fsanitize=address,undefined"},
    [EMULATE_TSAN] = {"tsan", "-g1 -fsanitize=thread -DEMU_TSAN", "-O1 -DEMU_TSAN",
        "-fsanitize=thread"},
};

#define FLAGS "-std=c++17 -D_GNU_SOURCE -fPIC -fno-omit-frame-pointer -fno-sanitize-recover=all"

/* ---- files ----------------------------------------------------------------------------------- */

static enum tfops_status io_error(const char *path)
{
    return error_setf(
        TFOPS_E_IO, errno, "emulator", path, "cannot write %s: %s", path, strerror(errno));
}

/* Every folder of the path but the file itself. */
static void make_folders(const char *path)
{
    char folder[EMULATE_PATH_BYTES];
    for (const char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        snprintf(folder, sizeof folder, "%.*s", (int)(slash - path), path);
        mkdir(folder, 0700);
    }
}

/* Several processes build in one folder: a compiler never sees half of a file. */
static enum tfops_status write_file(const char *path, const char *text)
{
    char fresh[EMULATE_PATH_BYTES + 16];
    make_folders(path);
    snprintf(fresh, sizeof fresh, "%s.%ld", path, (long)getpid());
    FILE *file = fopen(fresh, "we");
    if (!file)
        return io_error(fresh);
    bool written = fputs(text, file) >= 0;
    if (fclose(file) || !written || rename(fresh, path))
        return io_error(path);
    return TFOPS_OK;
}

static enum tfops_status write_below(
    const struct emulate_builder *builder, const char *folder, const char *path, const char *text)
{
    char full[EMULATE_PATH_BYTES];
    if (strstr(path, ".."))
        return error_set(TFOPS_E_IO, "emulator", path, "a path below the kernel root", NULL);
    snprintf(full, sizeof full, "%s/%s/%s", builder->dir, folder, path);
    return write_file(full, text);
}

/* ---- the compiler ------------------------------------------------------------------------------ */

static const char *compiler_of(const struct emulate_builder *builder)
{
    const char *named = getenv("CXX");
    if (builder->compiler)
        return builder->compiler;
    return named && *named ? named : "g++";
}

/* With a process group of its own, which can be ended as a whole. */
static int spawn_shell(const char *command, bool group, pid_t *ret_child)
{
    char *argv[] = {
        (char *)(uintptr_t) "sh", (char *)(uintptr_t) "-c", (char *)(uintptr_t)command, NULL};
    posix_spawnattr_t attributes;
    int failed = posix_spawnattr_init(&attributes);
    if (failed)
        return failed;
    if (group)
        failed = posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP);
    if (!failed)
        failed = posix_spawn(ret_child, "/bin/sh", NULL, &attributes, argv, environ);
    posix_spawnattr_destroy(&attributes);
    return failed;
}

int emulate_shell(const char *command)
{
    pid_t child;
    int status = 0;
    if (spawn_shell(command, false, &child))
        return -1;
    while (waitpid(child, &status, 0) < 0)
        if (errno != EINTR)
            return -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

enum { POLL_MS = 20, TERM_POLLS = 100, SHELL_NOT_FOUND = 127, SHELL_CANCELLED = -2 };

/* First by a signal that a compiler removes its files at. */
static void end_group(pid_t child)
{
    const struct timespec pause = {.tv_nsec = POLL_MS * 1000000L};
    kill(-child, SIGTERM);
    for (int i = 0; i < TERM_POLLS; i++) {
        if (waitpid(child, NULL, WNOHANG) == child)
            break;
        nanosleep(&pause, NULL);
        if (i == TERM_POLLS - 1) {
            kill(-child, SIGKILL);
            waitpid(child, NULL, 0);
        }
    }
}

/* emulate_shell() that looks at a flag while the command runs. */
static int shell_until(const char *command, const volatile int *cancel)
{
    const struct timespec pause = {.tv_nsec = POLL_MS * 1000000L};
    pid_t child, ended;
    int status = 0;
    if (!cancel)
        return emulate_shell(command);
    if (*cancel)
        return SHELL_CANCELLED;
    if (spawn_shell(command, true, &child))
        return -1;
    while (!(ended = waitpid(child, &status, WNOHANG)) || (ended < 0 && errno == EINTR)) {
        if (*cancel) {
            end_group(child);
            return SHELL_CANCELLED;
        }
        nanosleep(&pause, NULL);
    }
    return ended == child && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* The first line of a log that tells of an error, else its first line. */
static void first_error(const char *path, char *text, size_t bytes)
{
    char line[512];
    FILE *file = fopen(path, "re");
    text[0] = '\0';
    while (file && fgets(line, sizeof line, file)) {
        line[strcspn(line, "\n")] = '\0';
        bool error = strstr(line, "error") != NULL;
        if (error || !text[0])
            snprintf(text, bytes, "%s", line);
        if (error)
            break;
    }
    if (file)
        fclose(file);
}

static enum tfops_status compile(
    const struct emulate_builder *builder, const char *what, const char *arguments)
{
    char log[EMULATE_PATH_BYTES], text[512];
    struct strbuf command;
    const char *compiler = compiler_of(builder);
    snprintf(log, sizeof log, "%s/%s.log", builder->dir, what);
    strbuf_init(&command, builder->env);
    strbuf_addf(
        &command, "cd '%s' && exec %s %s >'%s' 2>&1", builder->dir, compiler, arguments, log);
    int code = command.failed ? -1 : shell_until(strbuf_text(&command), builder->cancel);
    strbuf_release(&command);
    if (code == 0)
        return TFOPS_OK;
    if (code == SHELL_CANCELLED)
        return error_set(TFOPS_E_CANCELLED, "emulator", what, NULL, NULL);
    if (code == SHELL_NOT_FOUND)
        return error_setf(TFOPS_E_UNSUPPORTED, 0, "emulator", compiler,
            "running a template without a GPU needs a C++ compiler, and there is no %s: install "
            "g++, or name one in CXX",
            compiler);
    first_error(log, text, sizeof text);
    return error_setf(TFOPS_E_COMPILE, code, "emulator", what,
        "%s does not compile for the host: %s", what, text[0] ? text : "the compiler says nothing");
}

/* ---- the runtime ------------------------------------------------------------------------------- */

#define RUNTIME_FLAGS FLAGS " -g1 -fno-semantic-interposition"

/* What the object is made of: the compiler as it names itself, its flags, the sources. False: it names nothing. */
static bool runtime_digest(const struct emulate_builder *builder, uint8_t ret_digest[HASH_BYTES])
{
    char command[2 * EMULATE_PATH_BYTES], path[EMULATE_PATH_BYTES], text[512];
    struct hash hash;
    snprintf(path, sizeof path, "%s/compiler.log", builder->dir);
    snprintf(command, sizeof command, "cd '%s' && exec %s --version >compiler.log 2>/dev/null",
        builder->dir, compiler_of(builder));
    if (shell_until(command, builder->cancel))
        return false;
    FILE *file = fopen(path, "re");
    const size_t read = file ? fread(text, 1, sizeof text - 1, file) : 0;
    if (file)
        fclose(file);
    text[read] = '\0';
    hash_init(&hash);
    hash_add_string(&hash, compiler_of(builder));
    hash_add_string(&hash, text);
    hash_add_string(&hash, RUNTIME_FLAGS);
    hash_add_string(&hash, MODES[builder->mode].runtime);
    for (size_t i = 0; i < emulator_sources_count; i++) {
        hash_add_string(&hash, emulator_sources[i].path);
        hash_add_string(&hash, emulator_sources[i].text);
    }
    hash_final(&hash, ret_digest);
    return read > 0;
}

/* Where the user has one of the same sources, that one; else it is kept for the next check. */
enum tfops_status emulate_build_runtime(const struct emulate_builder *builder)
{
    char object[EMULATE_PATH_BYTES], arguments[1024];
    uint8_t digest[HASH_BYTES];
    enum tfops_status status = TFOPS_OK;
    for (size_t i = 0; i < emulator_sources_count && !status; i++)
        status = write_below(builder, "emu", emulator_sources[i].path, emulator_sources[i].text);
    if (status)
        return status;
    const char *mode = MODES[builder->mode].name;
    const bool named = runtime_digest(builder, digest);
    snprintf(object, sizeof object, "%s/runtime-%s.o", builder->dir, mode);
    if (named && emulate_keep_load(mode, digest, object))
        return TFOPS_OK;
    snprintf(arguments, sizeof arguments,
        RUNTIME_FLAGS " %s -Iemu -Iemu/tests/emu -c emu/tests/emu/emu_runtime.cc -o runtime-%s.o",
        MODES[builder->mode].runtime, mode);
    status = compile(builder, "emulator", arguments);
    if (!status && named)
        emulate_keep_store(mode, digest, object);
    return status;
}

/* ---- variants ---------------------------------------------------------------------------------- */

/* What NVRTC would be given beside the source: the very same texts. */
static enum tfops_status write_includes(
    const struct emulate_builder *builder, const struct build_job *job)
{
    struct render_includes includes;
    enum tfops_status status =
        render_collect(builder->env, job->source, job->header_path, job->header_source, &includes);
    if (status)
        return status;
    for (size_t i = 0; i < includes.n && !status; i++)
        status = write_below(builder, "source", includes.paths[i], includes.texts[i]);
    render_includes_release(builder->env, &includes);
    return status;
}

/* The template once, then each job's Cfg and entry in a namespace of its own. */
static void add_variants(struct strbuf *source, const struct emulate_batch *batch)
{
    for (size_t i = 0; i < batch->n; i++) {
        const char *text = batch->jobs[i].source, *rest = strchr(text, '\n');
        if (i == 0)
            strbuf_add_bytes(source, text, (size_t)(rest - text));
        strbuf_addf(source, "\n\nnamespace variant_%zu {%s}\n", i, rest);
        strbuf_addf(source,
            "extern \"C\" void emu_entry_%zu(const void *params)\n"
            "{\n    variant_%zu::entry(params);\n}\n",
            i, i);
    }
}

static enum tfops_status write_variants(
    const struct emulate_builder *builder, const struct emulate_batch *batch)
{
    struct strbuf source;
    char path[EMULATE_PATH_BYTES];
    snprintf(path, sizeof path, "source/%s.cpp", batch->name);
    strbuf_init(&source, builder->env);
    add_variants(&source, batch);
    enum tfops_status status = source.failed ? TFOPS_E_MEMORY
                                             : write_below(builder, "source",
                                                   path + strlen("source/"), strbuf_text(&source));
    strbuf_release(&source);
    return status;
}

enum tfops_status emulate_build(const struct emulate_builder *builder,
    const struct emulate_batch *batch, char ret_path[EMULATE_PATH_BYTES])
{
    char arguments[1024];
    const char *mode = MODES[builder->mode].name;
    enum tfops_status status = write_includes(builder, &batch->jobs[0]);
    if (!status)
        status = write_variants(builder, batch);
    if (status)
        return status;
    snprintf(arguments, sizeof arguments,
        FLAGS " -O1 -w %s -DTF_HOST=%d -D__CUDACC_RTC__ -include emu/tests/emu/emu.h -Isource"
              " -c source/%s.cpp -o %s-%s.o",
        MODES[builder->mode].variant, batch->cc * 10, batch->name, batch->name, mode);
    status = compile(builder, batch->name, arguments);
    if (status)
        return status;
    snprintf(arguments, sizeof arguments, "-shared %s %s-%s.o runtime-%s.o -o %s-%s.so -ldl",
        MODES[builder->mode].link, batch->name, mode, mode, batch->name, mode);
    status = compile(builder, batch->name, arguments);
    snprintf(ret_path, EMULATE_PATH_BYTES, "%s/%s-%s.so", builder->dir, batch->name, mode);
    return status;
}
