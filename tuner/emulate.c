/*
 * tfops_emulate(): an operator's template executed on the CPU. Renders a variant as a launch would,
 * builds it for the host (emulate_build.c) and has a worker process run it (emulate_serve.c).
 */
#include "base/error.h"
#include "base/mem.h"
#include "buffers.h"
#include "device.h"
#include "emulate_build.h"
#include "engine_access.h"
#include "messages.h"
#include "problem.h"
#include "request.h"
#include "space.h"
#include "worker_pool.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <tfops/tuner.h>
#include <time.h>
#include <unistd.h>

enum { RUN_TIMEOUT_MS = 600000, CANCEL_POLL_MS = 50 };

/* What one call works with. */
struct emulation {
    struct tfops_engine *engine;
    struct engine_access access;
    const struct env *env;
    struct tfops_emulate_options options;
    struct tfops_device device;
    struct request request; /* the operands of options.args */
    struct tfops_problem problem;
    struct tfops_config config;
    char dir[EMULATE_PATH_BYTES], library[EMULATE_PATH_BYTES], arena_path[EMULATE_PATH_BYTES + 16];
    bool own_dir;
    struct buffers_layout layout;
    unsigned char *arena; /* mapped; NULL: none */
    struct tfops_emulate_result *result;
};

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

/* ---- the folder ---------------------------------------------------------------------------- */

static enum tfops_status make_dir(struct emulation *e)
{
    const char *root = getenv("TMPDIR");
    char real[4096]; /* realpath() may need PATH_MAX */
    if (e->options.dump_dir) {
        if (!realpath(e->options.dump_dir, real) || strlen(real) >= sizeof e->dir)
            return error_setf(TFOPS_E_IO, errno, "emulator", e->options.dump_dir,
                "no folder %s to write to", e->options.dump_dir);
        snprintf(e->dir, sizeof e->dir, "%.1000s", real);
        return TFOPS_OK;
    }
    snprintf(e->dir, sizeof e->dir, "%.900s/tfops-emulate-XXXXXX", root && *root ? root : "/tmp");
    if (!mkdtemp(e->dir))
        return error_setf(TFOPS_E_IO, errno, "emulator", e->dir, "cannot make a folder %s: %s",
            e->dir, strerror(errno));
    e->own_dir = true;
    return TFOPS_OK;
}

/* ---- operands of the caller ---------------------------------------------------------------- */

/* Elements of the caller's tensor to the arena, or back. */
static void move_operand(struct emulation *e, size_t i, bool back)
{
    const struct tfops_operand_spec *spec = &e->problem.spec->operands[i];
    const struct buffers_operand *operand = &e->layout.operands[i];
    const struct tfops_view *view = &e->request.operands[i];
    const int last = spec->rank - 1;
    for (int64_t row = 0; row < operand->rows; row++) {
        int64_t rest = row, offset = 0;
        for (int k = last - 1; k >= 0; k--) {
            int64_t extent = e->problem.dims[spec->dims[k]];
            offset += rest % extent * view->strides[k];
            rest /= extent;
        }
        for (int64_t col = 0; col < operand->cols; col++) {
            int64_t at = offset + (last >= 0 ? col * view->strides[last] : 0);
            unsigned char *theirs = (unsigned char *)view->data + at * (int64_t)operand->elem_bytes;
            unsigned char *ours = e->arena + operand->offset +
                                  (row * operand->stride + col) * (int64_t)operand->elem_bytes;
            memcpy(back ? theirs : ours, back ? ours : theirs, operand->elem_bytes);
        }
    }
}

static void move_operands(struct emulation *e, bool back)
{
    const struct tfops_spec *spec = e->problem.spec;
    for (size_t i = 0; i < spec->n_operands && e->arena; i++)
        if (e->layout.operands[i].present && (!back || spec->operands[i].access != TFOPS_IN))
            move_operand(e, i, back);
}

/* A file that the worker maps too. */
static enum tfops_status make_arena(struct emulation *e)
{
    enum tfops_status status = buffers_layout(&e->problem, &e->layout);
    if (status)
        return status;
    snprintf(e->arena_path, sizeof e->arena_path, "%s/arena", e->dir);
    int fd = open(e->arena_path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    void *arena = MAP_FAILED;
    if (fd >= 0 && !ftruncate(fd, (off_t)e->layout.bytes))
        arena = mmap(NULL, e->layout.bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (fd >= 0)
        close(fd);
    if (arena == MAP_FAILED)
        return error_setf(TFOPS_E_IO, errno, "emulator", e->arena_path, "cannot make %s: %s",
            e->arena_path, strerror(errno));
    e->arena = arena;
    move_operands(e, false);
    return TFOPS_OK;
}

/* ---- the variant --------------------------------------------------------------------------- */

static enum tfops_status choose_config(struct emulation *e)
{
    const struct tfops_spec *spec = e->problem.spec;
    char reason[TFOPS_REASON_BYTES] = "";
    if (spec->supports && !spec->supports(spec->user, e->device.arch, reason))
        return error_setf(TFOPS_E_UNSUPPORTED, 0, "emulator", spec->name, "%s on %s: %s",
            spec->name, e->device.arch, reason);
    if (e->options.config)
        e->config = *e->options.config;
    else
        spec->default_config(spec->user, &e->problem, &e->device, &e->config);
    if (!e->config.generic && !space_allows(&e->problem, &e->device, &e->config, reason))
        return error_setf(
            TFOPS_E_RANGE, 0, "emulator", "config", "this config is not in the space: %s", reason);
    tfops_config_format(spec, &e->config, e->result->config, sizeof e->result->config);
    return TFOPS_OK;
}

static enum tfops_status build(struct emulation *e)
{
    struct build_job job;
    const struct emulate_builder builder = {.env = e->env,
        .compiler = e->options.compiler,
        .dir = e->dir,
        .mode = EMULATE_CHECK,
        .cancel = e->options.cancel};
    double start = seconds();
    enum tfops_status status =
        render_job(e->env, &e->problem, &e->device, &e->config, RENDER_TUNED, 0, &job);
    if (status)
        return status;
    const struct emulate_batch batch = {
        .jobs = &job, .n = 1, .cc = e->device.cc, .name = e->problem.spec->name};
    status = emulate_build_runtime(&builder);
    if (!status)
        status = emulate_build(&builder, &batch, e->library);
    build_job_release(e->env, &job);
    e->result->build_s = seconds() - start;
    return status;
}

/* ---- the worker ---------------------------------------------------------------------------- */

static enum tfops_status open_pool(struct emulation *e, struct worker_pool **ret_pool)
{
    struct setup_message setup = {.nvrtc_path = "", .driver_path = ""};
    struct wire_writer greeting;
    for (size_t i = 0; i < e->access.n_plugins && i < MESSAGE_MAX_PLUGINS; i++)
        setup.plugins[setup.n_plugins++] = e->access.plugin_paths[i];
    wire_writer_init(&greeting, e->env);
    wire_begin(&greeting, WIRE_SETUP, WORKER_TAG_GREETING);
    put_setup(&greeting, &setup);
    enum tfops_status status = wire_end(&greeting);
    const struct worker_pool_options options = {
        .path = e->access.worker_path, .n = 1, .greeting = &greeting};
    if (!status)
        status = worker_pool_open(e->env, &options, ret_pool);
    wire_writer_release(&greeting);
    return status;
}

static enum tfops_status send(struct emulation *e, struct worker_pool *pool)
{
    struct emulate_message message = {.op = e->problem.spec->name,
        .arch = e->device.arch,
        .library = e->library,
        .arena = e->arena ? e->arena_path : "",
        .spec_version = e->problem.spec->version,
        .problem = e->problem,
        .config = e->config,
        .seed = e->options.seed};
    struct wire_writer frame;
    memcpy(message.scalars, e->request.scalars, sizeof message.scalars);
    wire_writer_init(&frame, e->env);
    wire_begin(&frame, WIRE_EMULATE, 1);
    put_emulate(&frame, &message, e->problem.spec->n_tunables);
    enum tfops_status status = wire_end(&frame);
    if (!status)
        status = worker_pool_send(pool, 0, &frame, RUN_TIMEOUT_MS);
    wire_writer_release(&frame);
    return status;
}

static enum tfops_status found(struct emulation *e, const char *text)
{
    snprintf(e->result->text, sizeof e->result->text, "%s", text);
    return error_setf(TFOPS_E_WRONG, 0, "emulator", e->problem.spec->name, "%s", text);
}

static enum tfops_status take(struct emulation *e, struct worker_event *event)
{
    struct emulated_message emulated;
    if (event->kind != WORKER_ANSWER)
        return found(e, event->text);
    if (event->answer.status)
        return error_setf(event->answer.status, event->answer.native, "worker",
            e->problem.spec->name, "%s", event->answer.message);
    if (!get_emulated(&event->payload, &emulated))
        return error_set(TFOPS_E_WORKER, "emulator", "answer", "one of this protocol", "garbage");
    e->result->runs = emulated.runs;
    e->result->error = emulated.error;
    return emulated.text[0] ? found(e, emulated.text) : TFOPS_OK;
}

/* The watchdog stands behind the request; this wait only ends for the flag. */
static enum tfops_status wait_for(
    struct emulation *e, struct worker_pool *pool, struct worker_event *event)
{
    enum tfops_status status = TFOPS_OK;
    while (!status && event->kind == WORKER_NONE) {
        if (e->options.cancel && *e->options.cancel)
            return error_set(TFOPS_E_CANCELLED, "emulator", e->problem.spec->name, NULL, NULL);
        status = worker_pool_wait(pool, e->options.cancel ? CANCEL_POLL_MS : RUN_TIMEOUT_MS, event);
    }
    return status;
}

static enum tfops_status run(struct emulation *e)
{
    struct worker_pool *pool = NULL;
    struct worker_event event = {.kind = WORKER_NONE};
    double start = seconds();
    enum tfops_status status = open_pool(e, &pool);
    if (!status)
        status = send(e, pool);
    if (!status)
        status = wait_for(e, pool, &event);
    if (!status)
        status = take(e, &event);
    worker_pool_close(pool);
    e->result->run_s = seconds() - start;
    return status;
}

/* ---- the call ------------------------------------------------------------------------------ */

/* Options of an older caller are shorter; of a newer one, what is unknown here must be zero. */
static enum tfops_status copy_options(
    const struct tfops_emulate_options *from, struct tfops_emulate_options *to)
{
    *to = (struct tfops_emulate_options){.size = sizeof *to};
    if (!from)
        return TFOPS_OK;
    if (from->size < sizeof from->size)
        return error_set(TFOPS_E_ARGUMENT, "emulator", "options.size", "the struct's size", NULL);
    for (size_t i = sizeof *to; i < from->size; i++)
        if (((const unsigned char *)from)[i])
            return error_set(
                TFOPS_E_ARGUMENT, "emulator", "options", "no field unknown to this library", NULL);
    memcpy(to, from, from->size < sizeof *to ? from->size : sizeof *to);
    return TFOPS_OK;
}

static enum tfops_status prepare(struct emulation *e, const struct tfops_problem *problem)
{
    enum tfops_status status = engine_access(e->engine, &e->access);
    e->env = e->access.env;
    e->problem = *problem;
    if (!status && e->options.args)
        status = request_bind(problem->spec, e->options.args, &e->request);
    if (!status && e->options.args)
        e->problem = e->request.problem;
    if (!status)
        status = tfops_problem_check(&e->problem);
    if (!status)
        status = device_nominal(e->options.arch ? e->options.arch : "sm_90a", &e->device);
    if (!status)
        status = choose_config(e);
    return status;
}

static void release(struct emulation *e)
{
    char command[EMULATE_PATH_BYTES + 16];
    struct tfops_error saved;
    error_save(&saved);
    if (e->arena)
        munmap(e->arena, e->layout.bytes);
    if (e->arena_path[0])
        unlink(e->arena_path);
    snprintf(command, sizeof command, "rm -rf '%s'", e->dir);
    if (e->own_dir)
        emulate_shell(command);
    error_restore(&saved);
}

enum tfops_status tfops_emulate(struct tfops_engine *engine, const struct tfops_problem *problem,
    const struct tfops_emulate_options *options, struct tfops_emulate_result *ret_result)
{
    struct tfops_emulate_result result = {.size = sizeof result};
    struct emulation e = {.engine = engine, .result = &result};
    if (!engine || !problem || !problem->spec || !ret_result ||
        ret_result->size != sizeof *ret_result)
        return error_set(TFOPS_E_ARGUMENT, "emulator", "engine, problem, ret_result",
            "not NULL, ret_result->size set", NULL);
    enum tfops_status status = copy_options(options, &e.options);
    if (!status)
        status = prepare(&e, problem);
    if (!status)
        status = make_dir(&e);
    if (!status && e.options.args)
        status = make_arena(&e);
    if (!status)
        status = build(&e);
    if (!status)
        status = run(&e);
    if (!status)
        move_operands(&e, true);
    release(&e);
    *ret_result = result;
    return status;
}
