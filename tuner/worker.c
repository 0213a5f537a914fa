/*
 * The worker's side of the wire: tfops_worker_main(). Serves one request after the other: compiles,
 * and holds the measuring session of a GPU (worker_session.c). Unverified code runs here and nowhere else. Whatever
 * goes wrong is an answer or the end of this process; the parent's watchdog does the rest.
 */
#include "base/error.h"
#include "base/mem.h"
#include "worker_state.h"
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <tfops/tfops.h>

enum { EXIT_DONE = 0, EXIT_WIRE = 1, EXIT_FAULT = 3 };

/* ---- answers ----------------------------------------------------------------------------- */

void worker_answer(struct worker *worker, enum tfops_status status)
{
    struct tfops_error error = {.size = sizeof error};
    struct wire_answer answer = {.status = status, .message = ""};
    if (status) {
        tfops_error_last(&error);
        answer.message = error.message;
        answer.native = error.native;
        if (status == TFOPS_E_DRIVER && driver_is_fault((CUresult)error.native))
            worker->faulted = true;
    }
    answer.last = worker->faulted;
    wire_begin(&worker->reply, WIRE_ANSWER, worker->tag);
    wire_put_answer(&worker->reply, &answer);
}

enum tfops_status worker_misfit(const char *what)
{
    return error_set(TFOPS_E_WORKER, "worker", what, "a request of this protocol", "garbage");
}

/* ---- what requests need, opened when first needed ---------------------------------------- */

static const char *path_or_null(const char *path)
{
    return path && *path ? path : NULL;
}

static enum tfops_status need_nvrtc(struct worker *worker)
{
    if (worker->has_nvrtc)
        return TFOPS_OK;
    enum tfops_status status =
        nvrtc_open(path_or_null(worker->setup.nvrtc_path), 0, &worker->nvrtc);
    if (status)
        return status;
    worker->has_nvrtc = true;
    int32_t wanted = worker->setup.nvrtc_version;
    if (wanted && worker->nvrtc.version != wanted)
        return error_setf(TFOPS_E_NVRTC, 0, "worker", worker->nvrtc.path,
            "the worker found NVRTC %d where the engine uses %d", worker->nvrtc.version, wanted);
    return TFOPS_OK;
}

enum tfops_status worker_need_driver(struct worker *worker)
{
    if (worker->has_driver)
        return TFOPS_OK;
    enum tfops_status status =
        driver_open(path_or_null(worker->setup.driver_path), &worker->driver);
    if (status)
        return status;
    worker->has_driver = true;
    worker->has_nvml = nvml_open(&worker->nvml) == TFOPS_OK;
    return TFOPS_OK;
}

enum tfops_status worker_need_operators(struct worker *worker)
{
    struct tfops_engine_options options = {.size = sizeof options,
        .device = "cpu",
        .cache_path = "",
        .plugin_paths = worker->setup.plugins,
        .n_plugins = worker->setup.n_plugins};
    return worker->operators ? TFOPS_OK : tfops_engine_open(&options, &worker->operators);
}

/* ---- requests ---------------------------------------------------------------------------- */

static void handle_setup(struct worker *worker, struct wire_reader *reader)
{
    void *copy = mem_copy(&worker->env, reader->data, reader->n);
    if (!copy) {
        worker_answer(worker, TFOPS_E_MEMORY);
        return;
    }
    mem_free(&worker->env, worker->setup_payload);
    worker->setup_payload = copy;
    wire_reader_init(reader, copy, reader->n);
    bool fits = get_setup(reader, &worker->setup);
    if (!fits)
        worker->setup = (struct setup_message){0};
    worker_answer(worker, fits ? TFOPS_OK : worker_misfit("setup"));
}

static void handle_compile(struct worker *worker, struct wire_reader *reader)
{
    struct build_job job;
    struct compiled compiled = {0};
    bool want_ptx;
    enum tfops_status status =
        get_build_job(reader, &job, &want_ptx) ? need_nvrtc(worker) : worker_misfit("compile");
    if (!status)
        status = compile_job(&worker->env, &worker->nvrtc, &job, want_ptx, &compiled);
    worker_answer(worker, status);
    if (!status || status == TFOPS_E_COMPILE)
        put_compiled(&worker->reply, &compiled);
    compiled_release(&worker->env, &compiled);
}

static void (*const HANDLERS[WIRE_TYPE_COUNT])(struct worker *, struct wire_reader *) = {
    [WIRE_SETUP] = handle_setup,
    [WIRE_COMPILE] = handle_compile,
    [WIRE_WARM] = worker_warm,
    [WIRE_OPEN] = worker_open,
    [WIRE_ADD] = worker_add,
    [WIRE_MEASURE] = worker_measure,
    [WIRE_ROOF] = worker_roof,
    [WIRE_DROP] = worker_drop,
    [WIRE_CLOSE] = worker_close,
    [WIRE_EMULATE] = worker_emulate,
};

/* ---- the loop ---------------------------------------------------------------------------- */

static enum tfops_status send_reply(struct worker *worker)
{
    enum tfops_status status = wire_end(&worker->reply);
    if (status) { /* the answer itself did not fit: say so instead */
        worker_answer(worker, status);
        status = wire_end(&worker->reply);
    }
    return status ? status : wire_write(worker->out_fd, worker->reply.data, worker->reply.n);
}

static enum tfops_status say_hello(struct worker *worker)
{
    wire_begin(&worker->reply, WIRE_HELLO, 0);
    wire_put_u32(&worker->reply, WIRE_VERSION);
    wire_put_string(&worker->reply, tfops_version());
    return send_reply(worker);
}

static enum tfops_status serve(struct worker *worker)
{
    struct wire_frame frame;
    struct wire_reader reader;
    enum tfops_status status = wire_read_frame(worker->in_fd, &worker->buffer, &frame);
    if (status)
        return status;
    if (!HANDLERS[frame.type])
        return worker_misfit("frame");
    worker->tag = frame.tag;
    wire_reader_init(&reader, frame.payload, frame.bytes);
    HANDLERS[frame.type](worker, &reader);
    status = send_reply(worker);
    wire_buffer_consume(&worker->buffer, WIRE_HEADER_BYTES + frame.bytes);
    return status;
}

/* After a fault nothing of the driver is touched any more: the process ends. */
static void release(struct worker *worker)
{
    if (!worker->faulted) {
        worker_close_session(worker);
        tfops_engine_close(worker->operators);
        if (worker->has_nvrtc)
            nvrtc_close(&worker->nvrtc);
        if (worker->has_nvml)
            nvml_close(&worker->nvml);
        if (worker->has_driver)
            driver_close(&worker->driver);
    }
    mem_free(&worker->env, worker->setup_payload);
    mem_free(&worker->env, worker->open_payload);
    wire_buffer_release(&worker->buffer);
    wire_writer_release(&worker->reply);
}

int tfops_worker_main(int in_fd, int out_fd)
{
    struct worker worker = {.in_fd = in_fd, .out_fd = out_fd};
    worker.buffer.env = &worker.env;
    wire_writer_init(&worker.reply, &worker.env);
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* beside the end of input: a hung kernel never reads it */
    enum tfops_status status = say_hello(&worker);
    while (!status && !worker.faulted)
        status = serve(&worker);
    bool ended_well = status == TFOPS_E_IO && worker.buffer.n == 0;
    int exit_status = worker.faulted ? EXIT_FAULT : ended_well ? EXIT_DONE : EXIT_WIRE;
    release(&worker);
    return exit_status;
}
