/*
 * The worker's side of the wire: tfops_worker_main(). Serves one request after the other: compiles,
 * and holds the measuring session of a GPU. Unverified code runs here and nowhere else. Whatever
 * goes wrong is an answer or the end of this process; the parent's watchdog does the rest.
 */
#include "base/error.h"
#include "base/mem.h"
#include "emulate_serve.h"
#include "messages.h"
#include "session.h"
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <tfops/tfops.h>

enum { EXIT_DONE = 0, EXIT_WIRE = 1, EXIT_FAULT = 3 };

struct worker {
    struct env env;
    int in_fd, out_fd;
    struct wire_buffer buffer; /* of requests; the current frame points into it */
    struct wire_writer reply;
    uint32_t tag;
    bool faulted; /* the context is gone: answer, then end */

    void *setup_payload; /* what setup's strings point into */
    struct setup_message setup;
    struct nvrtc nvrtc;
    bool has_nvrtc;
    struct driver driver;
    bool has_driver;
    struct nvml nvml;
    bool has_nvml;
    struct tfops_engine *operators; /* a cpu engine: built-in operators and plug-ins */

    void *open_payload; /* what the session's binaries point into */
    struct tfops_problem problem;
    struct session *session;
};

/* ---- answers ----------------------------------------------------------------------------- */

/* Starts the answer; a failure's detail comes from the thread's error record. */
static void begin_answer(struct worker *worker, enum tfops_status status)
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

static enum tfops_status misfit(const char *what)
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

static enum tfops_status need_driver(struct worker *worker)
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

static enum tfops_status need_operators(struct worker *worker)
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
        begin_answer(worker, TFOPS_E_MEMORY);
        return;
    }
    mem_free(&worker->env, worker->setup_payload);
    worker->setup_payload = copy;
    wire_reader_init(reader, copy, reader->n);
    bool fits = get_setup(reader, &worker->setup);
    if (!fits)
        worker->setup = (struct setup_message){0};
    begin_answer(worker, fits ? TFOPS_OK : misfit("setup"));
}

static void handle_compile(struct worker *worker, struct wire_reader *reader)
{
    struct build_job job;
    struct compiled compiled = {0};
    bool want_ptx;
    enum tfops_status status =
        get_build_job(reader, &job, &want_ptx) ? need_nvrtc(worker) : misfit("compile");
    if (!status)
        status = compile_job(&worker->env, &worker->nvrtc, &job, want_ptx, &compiled);
    begin_answer(worker, status);
    if (!status || status == TFOPS_E_COMPILE)
        put_compiled(&worker->reply, &compiled);
    compiled_release(&worker->env, &compiled);
}

static void close_session(struct worker *worker)
{
    session_close(worker->session);
    worker->session = NULL;
    mem_free(&worker->env, worker->open_payload);
    worker->open_payload = NULL;
}

/* A problem that came over the wire, of an operator that this process has in the same version. */
static enum tfops_status resolve_problem(
    struct worker *worker, const char *op, uint32_t version, struct tfops_problem *problem)
{
    enum tfops_status status = need_operators(worker);
    if (status)
        return status;
    problem->spec = tfops_engine_operator(worker->operators, op);
    if (!problem->spec)
        return error_setf(TFOPS_E_UNKNOWN, 0, "worker", op,
            "the worker has no operator \"%s\": one that a program registers itself cannot be "
            "tuned, make it a plug-in",
            op);
    if (problem->spec->version != version)
        return error_setf(TFOPS_E_ABI, 0, "worker", op,
            "the worker has version %u of \"%s\", the engine %u", problem->spec->version, op,
            version);
    return tfops_problem_check(problem);
}

/* CUDA may number devices otherwise in this process; a wrong GPU must not be measured. */
static enum tfops_status check_uuid(struct worker *worker, const struct open_message *open)
{
    static const uint8_t ANY[MESSAGE_UUID_BYTES];
    CUdevice device;
    CUuuid uuid;
    if (!memcmp(open->uuid, ANY, sizeof ANY))
        return TFOPS_OK;
    CUresult result = worker->driver.device_get(&device, (int)open->ordinal);
    if (!result)
        result = worker->driver.device_get_uuid(&uuid, device);
    if (result)
        return driver_error(&worker->driver, result, "cuDeviceGetUuid", "worker");
    if (memcmp(&uuid, open->uuid, sizeof uuid))
        return error_setf(TFOPS_E_DRIVER, 0, "worker", "device",
            "device %u of the worker is not the engine's", open->ordinal);
    return TFOPS_OK;
}

static enum tfops_status open_session(struct worker *worker, const struct open_message *open)
{
    enum tfops_status status = need_driver(worker);
    if (!status)
        status = check_uuid(worker, open);
    worker->problem = open->problem;
    if (!status)
        status = resolve_problem(worker, open->op, open->spec_version, &worker->problem);
    if (status)
        return status;
    struct session_options options = {.driver = &worker->driver,
        .nvml = worker->has_nvml ? &worker->nvml : NULL,
        .ordinal = (int)open->ordinal,
        .problem = &worker->problem,
        .reference = &open->reference,
        .fill = &open->fill,
        .compare = &open->compare,
        .copy = &open->copy,
        .seed = open->seed};
    return session_open(&worker->env, &options, &worker->session);
}

/* Never given back: the context lives as long as this process. What fails here fails again, with
 * its reason, when the session is opened. */
static void handle_warm(struct worker *worker, struct wire_reader *reader)
{
    uint32_t ordinal = wire_get_u32(reader);
    CUdevice device;
    CUcontext context;
    bool fits = wire_reader_done(reader);
    if (fits && !need_driver(worker) && !worker->driver.device_get(&device, (int)ordinal))
        worker->driver.primary_ctx_retain(&context, device);
    if (fits)
        need_operators(worker);
    begin_answer(worker, fits ? TFOPS_OK : misfit("warm"));
}

static void handle_open(struct worker *worker, struct wire_reader *reader)
{
    struct open_message open;
    enum tfops_status status = TFOPS_E_MEMORY;
    close_session(worker);
    worker->open_payload = mem_copy(&worker->env, reader->data, reader->n);
    if (worker->open_payload) {
        wire_reader_init(reader, worker->open_payload, reader->n);
        status = get_open(reader, &open) ? open_session(worker, &open) : misfit("open");
    }
    begin_answer(worker, status);
}

static enum tfops_status need_session(struct worker *worker, bool fits, const char *request)
{
    if (!fits)
        return misfit(request);
    if (!worker->session)
        return error_set(TFOPS_E_WORKER, "worker", request, "an open session", NULL);
    return TFOPS_OK;
}

/* Load, verify, measure. What does not pass is dropped before the answer. */
static enum tfops_status add(
    struct worker *worker, const struct add_message *message, struct added_message *added)
{
    struct session *session = worker->session;
    enum tfops_status status = session_add(session, &message->config, &message->binary, &added->id);
    if (status)
        return status;
    added->blocks_per_sm = session_occupancy(session, added->id);
    if (message->verify)
        status = session_verify(session, added->id, &added->report);
    added->wrong = status == TFOPS_E_WRONG;
    if (!status && message->measure.max_samples)
        status = session_measure(
            session, &added->id, 1, &message->measure, &added->samples, &added->clocks);
    bool faulted = status == TFOPS_E_DRIVER;
    if (status && !faulted)
        session_drop(session, added->id);
    return added->wrong ? TFOPS_OK : status;
}

static void handle_add(struct worker *worker, struct wire_reader *reader)
{
    struct add_message message;
    struct added_message added = {0};
    bool fits = get_add(reader, &message);
    enum tfops_status status = need_session(worker, fits, "add");
    if (!status)
        status = add(worker, &message, &added);
    begin_answer(worker, status);
    if (!status)
        put_added(&worker->reply, &added);
    sample_set_release(&worker->env, &added.samples);
}

static void put_sets(
    struct worker *worker, struct sample_set *sets, uint32_t n, const struct nvml_sample *clocks)
{
    wire_put_u32(&worker->reply, n);
    for (uint32_t i = 0; i < n; i++)
        put_samples(&worker->reply, &sets[i]);
    put_clocks(&worker->reply, clocks);
}

static void release_sets(struct worker *worker, struct sample_set *sets, uint32_t n)
{
    for (uint32_t i = 0; sets && i < n; i++)
        sample_set_release(&worker->env, &sets[i]);
}

static bool get_measure(struct worker *worker, struct wire_reader *reader, uint32_t **ret_ids,
    uint32_t *ret_n, struct measure_options *ret_options)
{
    uint32_t n = wire_get_count(reader, 4);
    uint32_t *ids = mem_new(&worker->env, n, sizeof *ids);
    if (!ids)
        return false;
    for (uint32_t i = 0; i < n; i++)
        ids[i] = wire_get_u32(reader);
    *ret_ids = ids;
    *ret_n = n;
    return get_measure_options(reader, ret_options) && wire_reader_done(reader) && n;
}

static void handle_measure(struct worker *worker, struct wire_reader *reader)
{
    uint32_t *ids = NULL, n = 0;
    struct measure_options options;
    struct nvml_sample clocks = {0};
    bool fits = get_measure(worker, reader, &ids, &n, &options);
    enum tfops_status status = need_session(worker, fits, "measure");
    struct sample_set *sets = status ? NULL : mem_new(&worker->env, n, sizeof *sets);
    if (!status)
        status = sets ? session_measure(worker->session, ids, n, &options, sets, &clocks)
                      : TFOPS_E_MEMORY;
    begin_answer(worker, status);
    if (!status)
        put_sets(worker, sets, n, &clocks);
    release_sets(worker, sets, n);
    mem_free(&worker->env, sets);
    mem_free(&worker->env, ids);
}

static void handle_roof(struct worker *worker, struct wire_reader *reader)
{
    struct sample_set sets[3] = {0}; /* the candidate, the copy kernel, cuMemcpyAsync */
    struct measure_options options;
    uint32_t id = wire_get_u32(reader);
    bool fits = get_measure_options(reader, &options) && wire_reader_done(reader);
    enum tfops_status status = need_session(worker, fits, "roof");
    if (!status)
        status = session_roof(worker->session, id, &options, &sets[0], &sets[1], &sets[2]);
    begin_answer(worker, status);
    if (!status)
        put_sets(worker, sets, 3, &(struct nvml_sample){0});
    release_sets(worker, sets, 3);
}

static void handle_drop(struct worker *worker, struct wire_reader *reader)
{
    uint32_t id = wire_get_u32(reader);
    enum tfops_status status = need_session(worker, wire_reader_done(reader), "drop");
    if (!status)
        session_drop(worker->session, id);
    begin_answer(worker, status);
}

static void handle_emulate(struct worker *worker, struct wire_reader *reader)
{
    struct emulate_message message;
    struct emulate_outcome outcome;
    bool fits = get_emulate(reader, &message);
    enum tfops_status status =
        fits ? resolve_problem(worker, message.op, message.spec_version, &message.problem)
             : misfit("emulate");
    if (!status)
        status = emulate_serve(&worker->env, &message, &outcome);
    begin_answer(worker, status);
    if (!status)
        put_emulated(&worker->reply, &outcome.message);
}

static void handle_close(struct worker *worker, struct wire_reader *reader)
{
    (void)reader;
    close_session(worker);
    begin_answer(worker, TFOPS_OK);
}

static void (*const HANDLERS[WIRE_TYPE_COUNT])(struct worker *, struct wire_reader *) = {
    [WIRE_SETUP] = handle_setup,
    [WIRE_COMPILE] = handle_compile,
    [WIRE_WARM] = handle_warm,
    [WIRE_OPEN] = handle_open,
    [WIRE_ADD] = handle_add,
    [WIRE_MEASURE] = handle_measure,
    [WIRE_ROOF] = handle_roof,
    [WIRE_DROP] = handle_drop,
    [WIRE_CLOSE] = handle_close,
    [WIRE_EMULATE] = handle_emulate,
};

/* ---- the loop ---------------------------------------------------------------------------- */

static enum tfops_status send_reply(struct worker *worker)
{
    enum tfops_status status = wire_end(&worker->reply);
    if (status) { /* the answer itself did not fit: say so instead */
        begin_answer(worker, status);
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
        return misfit("frame");
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
        close_session(worker);
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
