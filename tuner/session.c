/* A measuring session (see session.h): owns what verify and measure work with. */
#include "session.h"
#include "base/error.h"
#include "base/mem.h"
#include "buffers.h"
#include "device.h"
#include "kernels/support/copy_params.h"
#include "kernels/support/fill_params.h"
#include "key.h"
#include "launcher.h"
#include "measure.h"
#include "verify.h"
#include <math.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { CASE_SHARE = 20, SET_SHARE = 5, COPY_SHARE = 5, FLUSH_L2 = 2, N_GRIDS = 5, VECTOR = 16 };

/* What an event pair around one launch may add to its time. */
static const double PROBE_SLACK_NS = 5000;

struct candidate {
    bool used;
    struct module module;
    struct launcher launcher;
    struct verify_subject subject;
    CUdeviceptr workspace; /* with its red zones */
    double probe_ns;       /* of one launch on the full extent, roughly; 0: unknown */
    CUgraphExec exec;
    uint32_t launches; /* of exec */
};

/* Memory that copies move around, and the kernel's grid. */
struct copies {
    CUdeviceptr memory;
    size_t bytes, stride; /* of one copy; between pairs of source and target */
    uint32_t n, grid;
    double launch_ns;
};

struct session {
    const struct env *env;
    const struct driver *driver;
    CUdevice device;
    CUcontext context;
    bool retained, l2_warm;
    struct tfops_problem problem;
    struct gpu gpu;
    uint64_t seed;
    size_t free_bytes; /* at open */
    struct candidate reference;
    struct verifier verifier;
    bool can_verify;
    struct buffers_sets sets;
    struct meter meter;
    struct copies copies;
    double launch_ns, best_ns; /* that repeats are chosen for; of the fastest candidate so far */
    struct candidate *candidates;
    uint32_t n_candidates, capacity;
};

/* ---- candidates ---------------------------------------------------------------------------------
 */

static void unload(struct session *session, struct candidate *candidate)
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

static enum tfops_status make_workspace(struct session *session, struct candidate *candidate)
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

static enum tfops_status occupancy(struct session *session, struct candidate *candidate)
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
    const struct binary *binary, struct candidate *candidate)
{
    const struct tfops_spec *spec = session->problem.spec;
    memset(candidate, 0, sizeof *candidate);
    candidate->launcher =
        (struct launcher){.spec = spec, .device = &session->gpu.device, .config = *config};
    spec->geometry(
        spec->user, &session->problem, &session->gpu.device, config, &candidate->launcher.geometry);
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
static struct verify_subject subject_of(const struct candidate *candidate)
{
    struct verify_subject subject = candidate->subject;
    subject.launcher = &candidate->launcher;
    return subject;
}

static struct candidate *find(struct session *session, uint32_t id)
{
    if (id < session->n_candidates && session->candidates[id].used)
        return &session->candidates[id];
    error_setf(TFOPS_E_ARGUMENT, 0, "session", "id", "no candidate %u", id);
    return NULL;
}

/* ---- open and close
 * ------------------------------------------------------------------------------- */

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
    struct verify_subject reference = subject_of(&session->reference);
    if (!status)
        status = verifier_init(&session->verifier, &session->gpu, &session->problem, &reference,
            session->seed, session->free_bytes / CASE_SHARE);
    if (!status)
        status = verifier_check_reference(&session->verifier);
    session->can_verify = !status;
    return status;
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
    if (options->problem->dims[key_dynamic_dim(spec)] <= 0)
        return error_set(TFOPS_E_RANGE, "session", spec->dims[key_dynamic_dim(spec)].name,
            "an extent above 0", "0");
    return TFOPS_OK;
}

static enum tfops_status refresh_sets(void *user)
{
    struct session *session = user;
    return buffers_sets_refresh(&session->gpu, &session->problem, &session->sets);
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

/* ---- adding and verifying
 * -------------------------------------------------------------------------- */

enum tfops_status session_add(struct session *session, const struct tfops_config *config,
    const struct binary *binary, uint32_t *ret_id)
{
    struct driver_scope scope;
    if (session->n_candidates == session->capacity) {
        uint32_t capacity = session->capacity ? 2 * session->capacity : 16;
        struct candidate *moved = mem_grow(
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
    struct candidate *candidate = find(session, id);
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
    struct verify_subject subject = subject_of(candidate);
    status = verifier_run(&session->verifier, &subject, ret_report, &full_ns);
    driver_leave(session->driver, &scope);
    if (!status)
        candidate->probe_ns = full_ns;
    return status;
}

/* ---- timing
 * ---------------------------------------------------------------------------------------- */

struct enqueue {
    struct session *session;
    const struct candidate *candidate;
    uint32_t sets;
};

static enum tfops_status enqueue_candidate(void *user, uint32_t i)
{
    const struct enqueue *what = user;
    struct session *session = what->session;
    struct tfops_view views[TFOPS_MAX_OPERANDS];
    struct verify_subject subject = subject_of(what->candidate);
    buffers_views(&session->sets.layout, buffers_set_base(&session->sets, i % what->sets), views);
    return gpu_check(&session->gpu,
        verify_launch(&session->gpu, &session->problem, &subject, views), "cuLaunchKernel");
}

static enum tfops_status enqueue_copy_kernel(void *user, uint32_t i)
{
    const struct session *session = user;
    const struct copies *copies = &session->copies;
    CUdeviceptr from = copies->memory + (i % copies->n) * copies->stride;
    return gpu_copy(&session->gpu, from + copies->stride / 2, from, copies->bytes, copies->grid);
}

static enum tfops_status enqueue_memcpy(void *user, uint32_t i)
{
    const struct session *session = user;
    const struct copies *copies = &session->copies;
    CUdeviceptr from = copies->memory + (i % copies->n) * copies->stride;
    return gpu_move(&session->gpu, from + copies->stride / 2, from, copies->bytes);
}

static enum tfops_status make_sets(struct session *session)
{
    struct buffers_layout layout;
    if (session->sets.n)
        return TFOPS_OK;
    enum tfops_status status = buffers_layout(&session->problem, &layout);
    if (status)
        return status;
    uint32_t n = buffers_set_count(
        &layout, session->gpu.device.l2_bytes, session->free_bytes / SET_SHARE, session->l2_warm);
    status = buffers_sets_make(&session->gpu, &session->problem, n, session->seed, &session->sets);
    if (!status && session->sets.has_inout) {
        session->meter.refresh = refresh_sets;
        session->meter.user = session;
    }
    return status;
}

/* A launch of unknown length is tried, so that its replays get a sensible one. */
static enum tfops_status probe(struct session *session, struct candidate *candidate)
{
    struct enqueue what = {session, candidate, 1};
    if (candidate->probe_ns > 0)
        return TFOPS_OK;
    enum tfops_status status =
        meter_probe(&session->gpu, enqueue_candidate, &what, &candidate->probe_ns);
    if (!status && candidate->probe_ns <= 0)
        candidate->probe_ns = 1; /* below the events' resolution */
    return status;
}

static enum tfops_status make_graph(
    struct session *session, struct candidate *candidate, const struct buffers_rotation *rotation)
{
    struct enqueue what = {session, candidate, rotation->sets};
    if (candidate->exec && candidate->launches == rotation->launches)
        return TFOPS_OK;
    if (candidate->exec)
        session->driver->graph_exec_destroy(candidate->exec);
    candidate->exec = NULL;
    candidate->launches = rotation->launches;
    return meter_capture(
        &session->gpu, rotation->launches, enqueue_candidate, &what, &candidate->exec);
}

/* The repeats are chosen for the fastest candidate, and the same for all: what a graph adds to its
 * first launch is then the same share of each. */
static struct buffers_rotation rotation_for(struct session *session, double fastest_ns)
{
    if (session->launch_ns <= 0 || fastest_ns < session->launch_ns / 2)
        session->launch_ns = fastest_ns;
    return buffers_rotate(&session->sets.layout, session->sets.n, session->gpu.device.l2_bytes,
        session->launch_ns, session->l2_warm);
}

static bool is_hopeless(
    const struct session *session, const struct candidate *candidate, double give_up_ratio)
{
    return give_up_ratio > 1 && session->best_ns > 0 &&
           candidate->probe_ns > give_up_ratio * session->best_ns + PROBE_SLACK_NS;
}

/* One call of session_measure(): the lanes and whose they are. */
struct timing {
    struct session *session;
    const uint32_t *ids;
    uint32_t n, n_lanes;
    struct lane *lanes; /* candidates in the race, then the copies */
    uint32_t *lane_of;  /* by place in ids; n_lanes' bound: not raced */
    CUgraphExec copy_exec, memcpy_exec;
};

static enum tfops_status probe_all(struct timing *timing, double *ret_fastest_ns)
{
    enum tfops_status status = make_sets(timing->session);
    double fastest = INFINITY;
    for (uint32_t i = 0; i < timing->n && !status; i++) {
        struct candidate *candidate = find(timing->session, timing->ids[i]);
        status = candidate ? probe(timing->session, candidate) : TFOPS_E_ARGUMENT;
        if (!status && candidate->probe_ns < fastest)
            fastest = candidate->probe_ns;
    }
    *ret_fastest_ns = fastest;
    return status;
}

static enum tfops_status add_lanes(struct timing *timing, double give_up_ratio)
{
    struct session *session = timing->session;
    double fastest = 0;
    enum tfops_status status = probe_all(timing, &fastest);
    if (status)
        return status;
    struct buffers_rotation rotation = rotation_for(session, fastest);
    for (uint32_t i = 0; i < timing->n && !status; i++) {
        struct candidate *candidate = find(session, timing->ids[i]);
        timing->lane_of[i] = UINT32_MAX;
        if (is_hopeless(session, candidate, give_up_ratio))
            continue;
        status = make_graph(session, candidate, &rotation);
        timing->lane_of[i] = timing->n_lanes;
        timing->lanes[timing->n_lanes++] = (struct lane){.exec = candidate->exec,
            .launches = rotation.launches,
            .flush = rotation.flush,
            .expected_ns = candidate->probe_ns};
    }
    return status;
}

/* Hands the samples over; a candidate that was not raced gets the one it has. */
static enum tfops_status take_results(struct timing *timing, struct sample_set *results)
{
    struct session *session = timing->session;
    enum tfops_status status = TFOPS_OK;
    for (uint32_t i = 0; i < timing->n && !status; i++) {
        results[i] = (struct sample_set){0};
        if (timing->lane_of[i] == UINT32_MAX) {
            status =
                sample_set_add(session->env, &results[i], find(session, timing->ids[i])->probe_ns);
            continue;
        }
        struct lane *lane = &timing->lanes[timing->lane_of[i]];
        results[i] = lane->samples;
        lane->samples = (struct sample_set){0};
        if (results[i].n && (session->best_ns <= 0 || lane->estimate.median < session->best_ns))
            session->best_ns = lane->estimate.median;
    }
    for (uint32_t i = 0; i < timing->n && status; i++)
        sample_set_release(session->env, &results[i]);
    return status;
}

static enum tfops_status timing_init(
    struct timing *timing, struct session *session, const uint32_t *ids, uint32_t n)
{
    *timing = (struct timing){.session = session, .ids = ids, .n = n};
    timing->lanes = mem_new(session->env, (size_t)n + 2, sizeof *timing->lanes);
    timing->lane_of = mem_new(session->env, n, sizeof *timing->lane_of);
    return timing->lanes && timing->lane_of ? TFOPS_OK : TFOPS_E_MEMORY;
}

static void timing_release(struct timing *timing)
{
    struct session *session = timing->session;
    for (uint32_t i = 0; i < timing->n_lanes; i++)
        sample_set_release(session->env, &timing->lanes[i].samples);
    if (timing->copy_exec)
        session->driver->graph_exec_destroy(timing->copy_exec);
    if (timing->memcpy_exec)
        session->driver->graph_exec_destroy(timing->memcpy_exec);
    mem_free(session->env, timing->lanes);
    mem_free(session->env, timing->lane_of);
}

enum tfops_status session_measure(struct session *session, const uint32_t *ids, uint32_t n,
    const struct measure_options *options, struct sample_set *ret_results,
    struct nvml_sample *ret_clocks)
{
    struct driver_scope scope;
    struct timing timing;
    enum tfops_status status = driver_enter(session->driver, session->context, &scope);
    if (status)
        return status;
    status = timing_init(&timing, session, ids, n);
    if (!status)
        status = add_lanes(&timing, options->give_up_ratio);
    if (!status)
        status = meter_race(&session->meter, timing.lanes, timing.n_lanes, options, ret_clocks);
    if (!status)
        status = take_results(&timing, ret_results);
    timing_release(&timing);
    driver_leave(session->driver, &scope);
    return status;
}

/* ---- the copy roof
 * ------------------------------------------------------------------------------- */

static struct buffers_layout copies_layout(const struct copies *copies)
{
    return (struct buffers_layout){.bytes = copies->stride, .data_bytes = 2 * copies->bytes};
}

static enum tfops_status allocate_copies(struct session *session)
{
    const struct tfops_spec *spec = session->problem.spec;
    struct copies *copies = &session->copies;
    struct tfops_cost cost = {0};
    spec->cost(spec->user, &session->problem, &cost);
    copies->bytes = (size_t)(cost.bytes_read + cost.bytes_written + 1) / 2;
    copies->stride = 2 * ((copies->bytes + 255) / 256 * 256 + 256);
    struct buffers_layout layout = copies_layout(copies);
    copies->n = buffers_set_count(
        &layout, session->gpu.device.l2_bytes, session->free_bytes / COPY_SHARE, session->l2_warm);
    enum tfops_status status =
        gpu_alloc(&session->gpu, copies->n * copies->stride, &copies->memory);
    const struct gpu_values values = {.seed = session->seed, .scale = 1};
    if (!status)
        status = gpu_fill(&session->gpu, copies->memory, TFOPS_F32,
            copies->n * copies->stride / sizeof(float), &values);
    return status;
}

static enum tfops_status add_copy_lane(
    struct timing *timing, enum tfops_status (*enqueue)(void *user, uint32_t i), CUgraphExec *exec)
{
    struct session *session = timing->session;
    struct buffers_layout layout = copies_layout(&session->copies);
    struct buffers_rotation rotation = buffers_rotate(&layout, session->copies.n,
        session->gpu.device.l2_bytes, session->copies.launch_ns, session->l2_warm);
    enum tfops_status status =
        meter_capture(&session->gpu, rotation.launches, enqueue, session, exec);
    timing->lanes[timing->n_lanes++] = (struct lane){.exec = *exec,
        .launches = rotation.launches,
        .flush = rotation.flush,
        .expected_ns = session->copies.launch_ns};
    return status;
}

/* A short race between one wave, several, and a block for each tile. */
static enum tfops_status choose_grid(struct session *session)
{
    const struct measure_options options = {.min_samples = 6, .max_samples = 6, .interval = 0.01};
    struct lane lanes[N_GRIDS];
    CUgraphExec execs[N_GRIDS] = {NULL};
    struct timing timing = {.session = session, .lanes = lanes};
    uint32_t grids[N_GRIDS] = {0}, best = 0;
    enum tfops_status status = TFOPS_OK;
    for (uint32_t i = 0; i < N_GRIDS && !status; i++) {
        grids[i] = i ? (uint32_t)session->gpu.device.sms << i : 0;
        session->copies.grid = grids[i];
        status = add_copy_lane(&timing, enqueue_copy_kernel, &execs[i]);
    }
    if (!status)
        status = meter_race(&session->meter, lanes, timing.n_lanes, &options, NULL);
    for (uint32_t i = 0; i < timing.n_lanes; i++) {
        if (lanes[i].estimate.median < lanes[best].estimate.median)
            best = i;
        sample_set_release(session->env, &lanes[i].samples);
        if (execs[i])
            session->driver->graph_exec_destroy(execs[i]);
    }
    session->copies.grid = grids[best];
    return status;
}

static enum tfops_status make_copies(struct session *session)
{
    if (session->copies.memory && session->copies.launch_ns > 0)
        return TFOPS_OK;
    enum tfops_status status = session->copies.memory ? TFOPS_OK : allocate_copies(session);
    double ns = 0;
    if (!status)
        status = meter_probe(&session->gpu, enqueue_copy_kernel, session, &ns);
    if (status)
        return status;
    session->copies.launch_ns = ns > 1 ? ns : 1;
    status = choose_grid(session);
    if (status)
        session->copies.launch_ns = 0;
    return status;
}

static void take_lane(struct timing *timing, uint32_t lane, struct sample_set *ret_samples)
{
    *ret_samples = timing->lanes[lane].samples;
    timing->lanes[lane].samples = (struct sample_set){0};
}

enum tfops_status session_measure_beside_copy(struct session *session, const uint32_t *ids,
    uint32_t n, const struct measure_options *options, struct sample_set *ret_results,
    struct sample_set *ret_copy_kernel, struct sample_set *ret_memcpy,
    struct nvml_sample *ret_clocks)
{
    struct driver_scope scope;
    struct timing timing;
    struct measure_options unraced = *options;
    unraced.race = false;
    unraced.give_up_ratio = 0;
    enum tfops_status status = driver_enter(session->driver, session->context, &scope);
    if (status)
        return status;
    status = timing_init(&timing, session, ids, n);
    if (!status)
        status = make_copies(session);
    if (!status)
        status = add_lanes(&timing, 0);
    if (!status)
        status = add_copy_lane(&timing, enqueue_copy_kernel, &timing.copy_exec);
    if (!status)
        status = add_copy_lane(&timing, enqueue_memcpy, &timing.memcpy_exec);
    if (!status)
        status = meter_race(&session->meter, timing.lanes, timing.n_lanes, &unraced, ret_clocks);
    if (!status)
        status = take_results(&timing, ret_results);
    if (!status) {
        take_lane(&timing, timing.n_lanes - 2, ret_copy_kernel);
        take_lane(&timing, timing.n_lanes - 1, ret_memcpy);
    }
    timing_release(&timing);
    driver_leave(session->driver, &scope);
    return status;
}

enum tfops_status session_roof(struct session *session, uint32_t id,
    const struct measure_options *options, struct sample_set *ret_candidate,
    struct sample_set *ret_copy_kernel, struct sample_set *ret_memcpy)
{
    return session_measure_beside_copy(
        session, &id, 1, options, ret_candidate, ret_copy_kernel, ret_memcpy, NULL);
}
