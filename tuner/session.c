/* A measuring session (see session.h): opens, loads candidates, has them verified. */
#include "base/error.h"
#include "base/mem.h"
#include "device.h"
#include "kernels/support/copy_params.h"
#include "kernels/support/fill_params.h"
#include "key.h"
#include "session_state.h"
#include <string.h>
#include <time.h>
#include <unistd.h>

/* A case of verification takes at most this share of free memory, a place too; L2 is flushed by twice its
 * size. */
enum { CASE_SHARE = 20, HELD_SHARE = 20, FLUSH_L2 = 2 };

/* An odd number of pages of 2 MiB, so that no interleaving of channels starts over. */
static const size_t PLACE_BYTES = 37u << 21;

/* ---- candidates -------------------------------------------------------------------------- */

static void unload(struct session *session, struct session_candidate *candidate)
{
    if (candidate->exec)
        session->driver->graph_exec_destroy(candidate->exec);
    if (candidate->module.handle)
        module_unload(session->driver, &candidate->module);
    gpu_free(&session->gpu, &candidate->workspace);
    memset(candidate, 0, sizeof *candidate);
}

/* A binary that was built for another geometry must not be launched with this one. */
static enum tfops_status check_binary(const struct session *session, const struct binary *binary,
    const struct tfops_geometry *geometry)
{
    const struct tfops_spec *spec = session->problem.spec;
    uint32_t cluster = binary->cluster ? binary->cluster : 1;
    if (binary->param_bytes == spec->param_bytes && binary->threads == geometry->threads &&
        binary->smem_bytes == geometry->smem_bytes &&
        cluster == (geometry->cluster ? geometry->cluster : 1))
        return TFOPS_OK;
    return error_setf(TFOPS_E_ABI, 0, "session", binary->config ? binary->config : "",
        "built with %u bytes of parameters, %u threads, %u bytes of shared memory, clusters of %u; "
        "expected %zu, %u, %u, %u",
        binary->param_bytes, binary->threads, binary->smem_bytes, cluster, spec->param_bytes,
        geometry->threads, geometry->smem_bytes, geometry->cluster);
}

static enum tfops_status make_workspace(
    struct session *session, struct session_candidate *candidate)
{
    const struct tfops_spec *spec = session->problem.spec;
    const struct gpu *gpu = &session->gpu;
    size_t bytes = spec->workspace ? spec->workspace(spec->user, &session->problem, &gpu->device,
                                         &candidate->launcher.config)
                                   : 0;
    if (!bytes)
        return TFOPS_OK;
    if (bytes > SIZE_MAX / 2)
        return error_setf(TFOPS_E_RANGE, 0, "session", spec->name, "workspace of %zu bytes", bytes);
    enum tfops_status status =
        gpu_alloc(gpu, bytes + 2 * (size_t)BUFFERS_ZONE_BYTES, &candidate->workspace);
    if (!status)
        status = gpu_set(
            gpu, candidate->workspace, BUFFERS_ZONE_BYTE, bytes + 2 * (size_t)BUFFERS_ZONE_BYTES);
    if (!status)
        status = gpu_set(gpu, candidate->workspace + BUFFERS_ZONE_BYTES, 0, bytes);
    candidate->subject.workspace = candidate->workspace + BUFFERS_ZONE_BYTES;
    candidate->subject.workspace_bytes = bytes;
    return status;
}

static enum tfops_status occupancy(struct session *session, struct session_candidate *candidate)
{
    int blocks = 0;
    const struct tfops_geometry *geometry = &candidate->launcher.geometry;
    CUresult result = session->driver->occupancy_max_active_blocks(
        &blocks, candidate->module.function, (int)geometry->threads, geometry->smem_bytes);
    candidate->subject.blocks_per_sm = blocks > 0 ? (uint32_t)blocks : 0;
    return gpu_check(&session->gpu, result, "cuOccupancyMaxActiveBlocksPerMultiprocessor");
}

/* Fills *candidate in place: its launcher is pointed to. */
static enum tfops_status load(struct session *session, const struct tfops_config *config,
    const struct binary *binary, struct session_candidate *candidate)
{
    memset(candidate, 0, sizeof *candidate);
    launcher_init(
        &candidate->launcher, session->driver, &session->gpu.device, &session->problem, config);
    enum tfops_status status = check_binary(session, binary, &candidate->launcher.geometry);
    if (!status)
        status = module_load(session->driver, binary, &candidate->module);
    if (status)
        return status;
    candidate->used = true;
    candidate->launcher.function = candidate->module.function;
    status = occupancy(session, candidate);
    if (!status)
        status = make_workspace(session, candidate);
    if (status)
        unload(session, candidate);
    return status;
}

/* The launcher is looked up by address at use: the table of candidates may move. */
struct verify_subject session_subject(const struct session_candidate *candidate)
{
    struct verify_subject subject = candidate->subject;
    subject.launcher = &candidate->launcher;
    return subject;
}

struct session_candidate *session_find(struct session *session, uint32_t id)
{
    if (id < session->n_candidates && session->candidates[id].used)
        return &session->candidates[id];
    error_setf(TFOPS_E_ARGUMENT, 0, "session", "id", "no candidate %u", id);
    return NULL;
}

/* ---- open and close ---------------------------------------------------------------------- */

static enum tfops_status load_support(
    struct session *session, const struct session_options *options)
{
    struct gpu *gpu = &session->gpu;
    enum tfops_status status =
        gpu_kernel_load(gpu, options->fill, sizeof(struct fill_params), &gpu->fill);
    if (!status)
        status =
            gpu_kernel_load(gpu, options->compare, sizeof(struct compare_params), &gpu->compare);
    if (!status)
        status = gpu_kernel_load(gpu, options->copy, sizeof(struct copy_params), &gpu->copy);
    return status;
}

static enum tfops_status open_verifier(
    struct session *session, const struct session_options *options)
{
    const struct tfops_config generic = {.generic = true};
    if (!options->reference || !options->compare)
        return TFOPS_OK;
    enum tfops_status status = load(session, &generic, options->reference, &session->reference);
    struct verify_subject reference = session_subject(&session->reference);
    if (!status)
        status = verifier_init(&session->verifier, &session->gpu, &session->problem, &reference,
            session->seed, session->free_bytes / CASE_SHARE);
    if (!status)
        status = verifier_check_reference(&session->verifier);
    session->can_verify = !status;
    return status;
}

/* Moves what is allocated from now on, by as much as there is room for. */
static enum tfops_status hold_place(struct session *session, uint32_t place)
{
    size_t bytes = place * PLACE_BYTES;
    if (bytes > session->free_bytes / HELD_SHARE)
        bytes = session->free_bytes / HELD_SHARE;
    return place ? gpu_alloc(&session->gpu, bytes, &session->held) : TFOPS_OK;
}

/* With the context current. */
static enum tfops_status open_inside(struct session *session, const struct session_options *options)
{
    size_t total = 0;
    struct gpu *gpu = &session->gpu;
    enum tfops_status status = gpu_check(gpu,
        session->driver->stream_create(&gpu->stream, CU_STREAM_NON_BLOCKING), "cuStreamCreate");
    if (!status)
        status = gpu_check(
            gpu, session->driver->mem_get_info(&session->free_bytes, &total), "cuMemGetInfo");
    if (!status)
        status = hold_place(session, options->place);
    if (!status)
        status = load_support(session, options);
    if (!status)
        status = meter_init(&session->meter, gpu, options->nvml, options->ordinal,
            options->l2_warm ? 0 : FLUSH_L2 * (size_t)gpu->device.l2_bytes);
    if (!status)
        status = open_verifier(session, options);
    return status;
}

static uint64_t choose_seed(uint64_t seed)
{
    struct timespec time;
    if (seed)
        return seed;
    clock_gettime(CLOCK_REALTIME, &time);
    return hash_mix(hash_mix((uint64_t)time.tv_sec, (uint64_t)time.tv_nsec), (uint64_t)getpid());
}

static enum tfops_status check_options(const struct session_options *options)
{
    if (!options || !options->driver || !options->problem || !options->fill)
        return error_set(TFOPS_E_ARGUMENT, "session", "options",
            "a driver, a problem and the fill kernel", "NULL");
    const struct tfops_spec *spec = options->problem->spec;
    if (!options->problem->align)
        return error_set(TFOPS_E_ARGUMENT, "session", "align", "a checked problem", "0");
    if (options->problem->dims[key_dynamic_dim(spec)] <= 0)
        return error_set(TFOPS_E_RANGE, "session", spec->dims[key_dynamic_dim(spec)].name,
            "an extent above 0", "0");
    return TFOPS_OK;
}

enum tfops_status session_open(
    const struct env *env, const struct session_options *options, struct session **ret_session)
{
    struct driver_scope scope;
    enum tfops_status status = check_options(options);
    if (status)
        return status;
    struct session *session = mem_new(env, 1, sizeof *session);
    if (!session)
        return TFOPS_E_MEMORY;
    session->env = env;
    session->driver = options->driver;
    session->problem = *options->problem;
    session->seed = choose_seed(options->seed);
    session->l2_warm = options->l2_warm;
    session->one_output = options->one_output;
    session->peer.name = options->peer;
    session->gpu = (struct gpu){.env = env, .driver = options->driver};
    status = device_query(session->driver, options->ordinal, &session->gpu.device);
    if (!status)
        status = gpu_check(&session->gpu,
            session->driver->device_get(&session->device, options->ordinal), "cuDeviceGet");
    if (!status) {
        status = gpu_check(&session->gpu,
            session->driver->primary_ctx_retain(&session->context, session->device),
            "cuDevicePrimaryCtxRetain");
        session->retained = !status;
    }
    if (!status)
        status = driver_enter(session->driver, session->context, &scope);
    if (!status) {
        status = open_inside(session, options);
        driver_leave(session->driver, &scope);
    }
    if (status)
        session_close(session);
    else
        *ret_session = session;
    return status;
}

static void close_inside(struct session *session)
{
    session_peer_release(session);
    struct gpu *gpu = &session->gpu;
    for (uint32_t i = 0; i < session->n_candidates; i++)
        if (session->candidates[i].used)
            unload(session, &session->candidates[i]);
    verifier_release(&session->verifier);
    if (session->reference.used)
        unload(session, &session->reference);
    buffers_sets_release(gpu, &session->sets);
    gpu_free(gpu, &session->copies.memory);
    meter_release(&session->meter);
    gpu_free(gpu, &session->held);
    gpu_kernel_unload(gpu, &gpu->fill);
    gpu_kernel_unload(gpu, &gpu->compare);
    gpu_kernel_unload(gpu, &gpu->copy);
    if (gpu->stream)
        session->driver->stream_destroy(gpu->stream);
}

void session_close(struct session *session)
{
    struct tfops_error saved;
    struct driver_scope scope;
    if (!session)
        return;
    error_save(&saved);
    if (session->retained && !driver_enter(session->driver, session->context, &scope)) {
        close_inside(session);
        driver_leave(session->driver, &scope);
    }
    if (session->retained)
        session->driver->primary_ctx_release(session->device);
    mem_free(session->env, session->candidates);
    mem_free(session->env, session);
    error_restore(&saved);
}

/* ---- adding and verifying ---------------------------------------------------------------- */

enum tfops_status session_add(struct session *session, const struct tfops_config *config,
    const struct binary *binary, uint32_t *ret_id)
{
    struct driver_scope scope;
    if (session->n_candidates == session->capacity) {
        uint32_t capacity = session->capacity ? 2 * session->capacity : 16;
        struct session_candidate *moved = mem_grow(
            session->env, session->candidates, session->n_candidates, capacity, sizeof *moved);
        if (!moved)
            return TFOPS_E_MEMORY;
        session->candidates = moved;
        session->capacity = capacity;
    }
    enum tfops_status status = driver_enter(session->driver, session->context, &scope);
    if (status)
        return status;
    status = load(session, config, binary, &session->candidates[session->n_candidates]);
    driver_leave(session->driver, &scope);
    if (!status)
        *ret_id = session->n_candidates++;
    return status;
}

void session_drop(struct session *session, uint32_t id)
{
    struct driver_scope scope;
    if (id >= session->n_candidates || !session->candidates[id].used ||
        driver_enter(session->driver, session->context, &scope))
        return;
    unload(session, &session->candidates[id]);
    driver_leave(session->driver, &scope);
}

uint32_t session_occupancy(const struct session *session, uint32_t id)
{
    return id < session->n_candidates ? session->candidates[id].subject.blocks_per_sm : 0;
}

enum tfops_status session_verify(
    struct session *session, uint32_t id, struct verify_report *ret_report)
{
    struct driver_scope scope;
    double full_ns = 0;
    struct session_candidate *candidate = session_find(session, id);
    if (!candidate)
        return TFOPS_E_ARGUMENT;
    if (!session->can_verify)
        return error_set(TFOPS_E_ARGUMENT, "session", "reference",
            "binaries of the device reference and the compare kernel", "NULL");
    if (!candidate->subject.blocks_per_sm)
        return error_set(TFOPS_E_UNSUPPORTED, "session", session->problem.spec->name,
            "a variant of which a block fits on an SM", "none fits");
    enum tfops_status status = driver_enter(session->driver, session->context, &scope);
    if (status)
        return status;
    struct verify_subject subject = session_subject(candidate);
    status = verifier_run(&session->verifier, &subject, ret_report, &full_ns);
    driver_leave(session->driver, &scope);
    if (!status)
        candidate->first_ns = full_ns;
    return status;
}
