/* Timing in a session (see session.h): graphs of candidates and of copies, and their race. */
#include "base/error.h"
#include "base/mem.h"
#include "session_state.h"
#include <math.h>
#include <string.h>

/* Shares of free memory that rotated sets and copies take at most. */
enum { SET_SHARE = 8, COPY_SHARE = 8, N_GRIDS = 5 };

/* What an event pair around one launch may add to its time. */
static const double PROBE_SLACK_NS = 5000, FIRST_SLACK_NS = 50000;

/* ---- timing ------------------------------------------------------------------------------ */

struct enqueue {
    struct session *session;
    const struct session_candidate *candidate;
    uint32_t sets;
};

static enum tfops_status enqueue_candidate(void *user, uint32_t i)
{
    const struct enqueue *what = user;
    struct session *session = what->session;
    struct tfops_view views[TFOPS_MAX_OPERANDS];
    struct verify_subject subject = session_subject(what->candidate);
    buffers_set_views(&session->sets, i % what->sets, views);
    return gpu_check(&session->gpu,
        verify_launch(&session->gpu, &session->problem, &subject, views), "cuLaunchKernel");
}

static CUdeviceptr copy_source(const struct copies *copies, uint32_t i)
{
    return copies->memory + (i % copies->n) * copies->stride;
}

static CUdeviceptr copy_target(const struct session *session, uint32_t i)
{
    const struct copies *copies = &session->copies;
    return copy_source(copies, session->one_output ? 0 : i) + copies->stride / 2;
}

static enum tfops_status enqueue_copy_kernel(void *user, uint32_t i)
{
    const struct session *session = user;
    const struct copies *copies = &session->copies;
    return gpu_copy(&session->gpu, copy_target(session, i), copy_source(copies, i), copies->bytes,
        copies->grid);
}

static enum tfops_status enqueue_memcpy(void *user, uint32_t i)
{
    const struct session *session = user;
    const struct copies *copies = &session->copies;
    return gpu_move(&session->gpu, copy_target(session, i), copy_source(copies, i), copies->bytes);
}

static enum tfops_status refresh_sets(void *user)
{
    struct session *session = user;
    return buffers_sets_refresh(&session->gpu, &session->problem, &session->sets);
}

static enum tfops_status make_sets(struct session *session)
{
    struct buffers_layout layout;
    if (session->sets.n)
        return TFOPS_OK;
    enum tfops_status status = buffers_layout(&session->problem, &layout);
    if (status)
        return status;
    if (session->one_output)
        buffers_share_outputs(&layout);
    uint32_t n = buffers_set_count(
        &layout, session->gpu.device.l2_bytes, session->free_bytes / SET_SHARE, session->l2_warm);
    status = buffers_sets_make(
        &session->gpu, &session->problem, &layout, n, session->seed, &session->sets);
    if (!status && session->sets.has_inout) {
        session->meter.refresh = refresh_sets;
        session->meter.user = session;
    }
    return status;
}

static bool is_hopeless(
    const struct session *session, double launch_ns, double slack_ns, double give_up_ratio)
{
    return give_up_ratio > 1 && session->best_ns > 0 &&
           launch_ns > give_up_ratio * session->best_ns + slack_ns;
}

/* A launch of unknown length is tried, so that its replays get a sensible one. A first launch says little of
 * a short kernel: it waits for its instructions and for the host. */
static enum tfops_status probe(
    struct session *session, struct session_candidate *candidate, double give_up_ratio)
{
    struct enqueue what = {session, candidate, 1};
    if (candidate->probe_ns > 0)
        return TFOPS_OK;
    if (is_hopeless(session, candidate->first_ns, FIRST_SLACK_NS, give_up_ratio)) {
        candidate->probe_ns = candidate->first_ns;
        return TFOPS_OK;
    }
    enum tfops_status status = meter_probe(
        &session->meter, !session->l2_warm, enqueue_candidate, &what, &candidate->probe_ns);
    if (!status && candidate->probe_ns <= 0)
        candidate->probe_ns = 1; /* below the events' resolution */
    return status;
}

static enum tfops_status make_graph(struct session *session, struct session_candidate *candidate,
    const struct buffers_rotation *rotation)
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
static struct buffers_rotation rotation_for(struct session *session, double fastest_ns, bool steady)
{
    if (session->launch_ns <= 0 || fastest_ns < session->launch_ns / 2)
        session->launch_ns = fastest_ns;
    return buffers_rotate(&session->sets.layout, session->sets.n, session->gpu.device.l2_bytes,
        session->launch_ns, session->l2_warm, steady);
}

/* One call of session_measure(): the lanes and whose they are. */
struct timing {
    struct session *session;
    const uint32_t *ids;
    uint32_t n, n_lanes;
    struct lane *lanes; /* candidates in the race, then the copies */
    uint32_t *lane_of;  /* by place in ids; n_lanes' bound: not raced */
    CUgraphExec peer_exec, copy_exec, memcpy_exec;
    struct buffers_rotation rotation; /* of the candidates */
};

static enum tfops_status probe_all(
    struct timing *timing, double give_up_ratio, double *ret_fastest_ns)
{
    enum tfops_status status = make_sets(timing->session);
    double fastest = INFINITY;
    for (uint32_t i = 0; i < timing->n && !status; i++) {
        struct session_candidate *candidate = session_find(timing->session, timing->ids[i]);
        status = candidate ? probe(timing->session, candidate, give_up_ratio) : TFOPS_E_ARGUMENT;
        if (!status && candidate->probe_ns < fastest)
            fastest = candidate->probe_ns;
    }
    *ret_fastest_ns = fastest;
    return status;
}

static enum tfops_status add_lanes(
    struct timing *timing, const struct measure_options *options, double give_up_ratio)
{
    struct session *session = timing->session;
    double fastest = 0;
    enum tfops_status status = probe_all(timing, give_up_ratio, &fastest);
    if (status)
        return status;
    struct buffers_rotation rotation = rotation_for(session, fastest, options->steady);
    timing->rotation = rotation;
    for (uint32_t i = 0; i < timing->n && !status; i++) {
        struct session_candidate *candidate = session_find(session, timing->ids[i]);
        timing->lane_of[i] = UINT32_MAX;
        if (is_hopeless(session, candidate->probe_ns, PROBE_SLACK_NS, give_up_ratio))
            continue;
        status = make_graph(session, candidate, &rotation);
        timing->lane_of[i] = timing->n_lanes;
        timing->lanes[timing->n_lanes++] = (struct lane){.exec = candidate->exec,
            .launches = rotation.launches,
            .flush = rotation.flush,
            .lead_in = options->steady,
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
            status = sample_set_add(
                session->env, &results[i], session_find(session, timing->ids[i])->probe_ns);
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
    timing->lanes = mem_new(session->env, (size_t)n + 3, sizeof *timing->lanes);
    timing->lane_of = mem_new(session->env, n, sizeof *timing->lane_of);
    return timing->lanes && timing->lane_of ? TFOPS_OK : TFOPS_E_MEMORY;
}

static void timing_release(struct timing *timing)
{
    struct session *session = timing->session;
    for (uint32_t i = 0; i < timing->n_lanes; i++)
        sample_set_release(session->env, &timing->lanes[i].samples);
    if (timing->peer_exec)
        session->driver->graph_exec_destroy(timing->peer_exec);
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
        status = add_lanes(&timing, options, options->give_up_ratio);
    if (!status)
        status = meter_race(&session->meter, timing.lanes, timing.n_lanes, options, ret_clocks);
    if (!status)
        status = take_results(&timing, ret_results);
    timing_release(&timing);
    driver_leave(session->driver, &scope);
    return status;
}

/* ---- the copy roof ----------------------------------------------------------------------- */

static struct buffers_layout copies_layout(const struct session *session)
{
    const struct copies *copies = &session->copies;
    size_t own = session->one_output ? copies->bytes : 2 * copies->bytes;
    return (struct buffers_layout){.bytes = copies->stride, .data_bytes = own};
}

static enum tfops_status allocate_copies(struct session *session)
{
    const struct tfops_spec *spec = session->problem.spec;
    struct copies *copies = &session->copies;
    struct tfops_cost cost = {0};
    spec->cost(spec->user, &session->problem, &cost);
    /* Whole 4 KiB between pages: an odd size or address slows a memcpy by a third (H200), and a roof
     * must be one. */
    enum { LINE = 4096, PAGE = 2 << 20, LARGE = 1 << 20 };
    copies->bytes = (size_t)(cost.bytes_read + cost.bytes_written) / 2;
    copies->bytes = copies->bytes < LARGE ? copies->bytes : copies->bytes / LINE * LINE;
    size_t align = copies->bytes < LARGE ? 512 : PAGE;
    copies->stride = 2 * ((copies->bytes + align) / align * align);
    struct buffers_layout layout = copies_layout(session);
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

static enum tfops_status add_copy_lane(struct timing *timing,
    enum tfops_status (*enqueue)(void *user, uint32_t i), bool steady, CUgraphExec *exec)
{
    struct session *session = timing->session;
    struct buffers_layout layout = copies_layout(session);
    struct buffers_rotation rotation = buffers_rotate(&layout, session->copies.n,
        session->gpu.device.l2_bytes, session->copies.launch_ns, session->l2_warm, steady);
    enum tfops_status status =
        meter_capture(&session->gpu, rotation.launches, enqueue, session, exec);
    timing->lanes[timing->n_lanes++] = (struct lane){.exec = *exec,
        .launches = rotation.launches,
        .flush = rotation.flush,
        .lead_in = steady,
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
        status = add_copy_lane(&timing, enqueue_copy_kernel, false, &execs[i]);
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
        status = meter_probe(&session->meter, !session->l2_warm, enqueue_copy_kernel, session, &ns);
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

/*
 * The memcpy comes last and alone: on an H200 the first device-to-device memcpy of a session, eager or
 * in a graph, makes every later launch of other kernels 2.5 µs longer until the session ends
 * (docs/notes/tuner.md).
 */
static enum tfops_status time_memcpy(struct timing *timing, const struct measure_options *options)
{
    enum tfops_status status =
        add_copy_lane(timing, enqueue_memcpy, options->steady, &timing->memcpy_exec);
    if (status)
        return status;
    return meter_race(
        &timing->session->meter, &timing->lanes[timing->n_lanes - 1], 1, options, NULL);
}

static enum tfops_status add_peer_lane(struct timing *timing, bool steady)
{
    struct session *session = timing->session;
    struct lane *lane = &timing->lanes[timing->n_lanes];
    if (!session->peer.name)
        return TFOPS_OK;
    enum tfops_status status = session->peer.peer ? TFOPS_OK : session_peer_choose(session);
    if (!status)
        status = session_peer_lane(session, &timing->rotation, steady, lane);
    timing->n_lanes += !status;
    timing->peer_exec = status ? NULL : lane->exec;
    return status;
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
        status = add_lanes(&timing, options, 0);
    if (!status)
        status = add_peer_lane(&timing, options->steady);
    if (!status)
        status = add_copy_lane(&timing, enqueue_copy_kernel, options->steady, &timing.copy_exec);
    if (!status)
        status = meter_race(&session->meter, timing.lanes, timing.n_lanes, &unraced, ret_clocks);
    if (!status)
        status = time_memcpy(&timing, &unraced);
    if (!status)
        status = take_results(&timing, ret_results);
    if (!status) {
        if (timing.peer_exec)
            take_lane(&timing, timing.n_lanes - 3, &session->peer.samples);
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
