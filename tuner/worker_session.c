/* Requests of a worker that run kernels: the measuring session of a GPU, and the emulator. */
#include "base/error.h"
#include "base/mem.h"
#include "emulate_serve.h"
#include "worker_state.h"
#include <stdio.h>
#include <string.h>

void worker_close_session(struct worker *worker)
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
    enum tfops_status status = worker_need_operators(worker);
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
    enum tfops_status status = worker_need_driver(worker);
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
        .seed = open->seed,
        .place = open->place};
    return session_open(&worker->env, &options, &worker->session);
}

/* Never given back: the context lives as long as this process. What fails here fails again, with
 * its reason, when the session is opened. */
void worker_warm(struct worker *worker, struct wire_reader *reader)
{
    uint32_t ordinal = wire_get_u32(reader);
    CUdevice device;
    CUcontext context;
    bool fits = wire_reader_done(reader);
    if (fits && !worker_need_driver(worker) && !worker->driver.device_get(&device, (int)ordinal))
        worker->driver.primary_ctx_retain(&context, device);
    if (fits)
        worker_need_operators(worker);
    worker_answer(worker, fits ? TFOPS_OK : worker_misfit("warm"));
}

void worker_open(struct worker *worker, struct wire_reader *reader)
{
    struct open_message open;
    enum tfops_status status = TFOPS_E_MEMORY;
    worker_close_session(worker);
    worker->open_payload = mem_copy(&worker->env, reader->data, reader->n);
    if (worker->open_payload) {
        wire_reader_init(reader, worker->open_payload, reader->n);
        status = get_open(reader, &open) ? open_session(worker, &open) : worker_misfit("open");
    }
    worker_answer(worker, status);
}

static enum tfops_status need_session(struct worker *worker, bool fits, const char *request)
{
    if (!fits)
        return worker_misfit(request);
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

void worker_add(struct worker *worker, struct wire_reader *reader)
{
    struct add_message message;
    struct added_message added = {0};
    bool fits = get_add(reader, &message);
    enum tfops_status status = need_session(worker, fits, "add");
    if (!status)
        status = add(worker, &message, &added);
    worker_answer(worker, status);
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

void worker_measure(struct worker *worker, struct wire_reader *reader)
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
    worker_answer(worker, status);
    if (!status)
        put_sets(worker, sets, n, &clocks);
    release_sets(worker, sets, n);
    mem_free(&worker->env, sets);
    mem_free(&worker->env, ids);
}

void worker_roof(struct worker *worker, struct wire_reader *reader)
{
    struct sample_set sets[3] = {0}; /* the candidate, the copy kernel, cuMemcpyAsync */
    struct measure_options options;
    uint32_t id = wire_get_u32(reader);
    bool fits = get_measure_options(reader, &options) && wire_reader_done(reader);
    enum tfops_status status = need_session(worker, fits, "roof");
    if (!status)
        status = session_roof(worker->session, id, &options, &sets[0], &sets[1], &sets[2]);
    worker_answer(worker, status);
    if (!status)
        put_sets(worker, sets, 3, &(struct nvml_sample){0});
    release_sets(worker, sets, 3);
}

void worker_drop(struct worker *worker, struct wire_reader *reader)
{
    uint32_t id = wire_get_u32(reader);
    enum tfops_status status = need_session(worker, wire_reader_done(reader), "drop");
    if (!status)
        session_drop(worker->session, id);
    worker_answer(worker, status);
}

void worker_emulate(struct worker *worker, struct wire_reader *reader)
{
    struct emulate_message message;
    struct emulate_outcome outcome;
    bool fits = get_emulate(reader, &message);
    enum tfops_status status =
        fits ? resolve_problem(worker, message.op, message.spec_version, &message.problem)
             : worker_misfit("emulate");
    if (!status)
        status = emulate_serve(&worker->env, &message, &outcome);
    worker_answer(worker, status);
    if (!status)
        put_emulated(&worker->reply, &outcome.message);
}

void worker_close(struct worker *worker, struct wire_reader *reader)
{
    (void)reader;
    worker_close_session(worker);
    worker_answer(worker, TFOPS_OK);
}
