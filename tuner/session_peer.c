/*
 * The peer's lane of a session: its fastest kernel, found by a short race among all it offers, then
 * timed in the rounds of ours on the same rotated operands.
 */
#include "base/error.h"
#include "session_state.h"
#include <math.h>

/* Of the kernels offered, how many of the fastest by one launch are raced. */
enum { MAX_RACED = 6, MAX_OFFERED = 64, RACE_SAMPLES = 6 };

static enum tfops_status enqueue_peer(void *user, uint32_t i)
{
    struct session *session = user;
    struct tfops_view views[TFOPS_MAX_OPERANDS];
    buffers_set_views(&session->sets, i % session->peer.rotation.sets, views);
    return peer_enqueue(session->peer.peer, session->peer.kernel, views);
}

/* One launch of each; a kernel that cannot be launched is the slowest. */
static enum tfops_status probe_kernels(struct session *session, double *ret_ns, uint32_t n)
{
    enum tfops_status status = TFOPS_E_UNSUPPORTED;
    session->peer.rotation.sets = session->sets.n;
    for (uint32_t i = 0; i < n; i++) {
        session->peer.kernel = i;
        ret_ns[i] = INFINITY;
        if (meter_probe(&session->meter, !session->l2_warm, enqueue_peer, session, &ret_ns[i]) ==
            TFOPS_OK)
            status = TFOPS_OK;
    }
    return status;
}

/* The place of the least; takes it out. */
static uint32_t take_least(double *ns, uint32_t n)
{
    uint32_t least = 0;
    for (uint32_t i = 1; i < n; i++)
        least = ns[i] < ns[least] ? i : least;
    ns[least] = INFINITY;
    return least;
}

static enum tfops_status add_kernel(
    struct session *session, uint32_t kernel, bool steady, struct lane *lane)
{
    const struct buffers_rotation *rotation = &session->peer.rotation;
    CUgraphExec exec = NULL;
    session->peer.kernel = kernel;
    enum tfops_status status =
        meter_capture(&session->gpu, rotation->launches, enqueue_peer, session, &exec);
    *lane = (struct lane){.exec = exec,
        .launches = rotation->launches,
        .flush = rotation->flush,
        .lead_in = steady,
        .expected_ns = session->peer.ns};
    return status;
}

static enum tfops_status choose_kernel(struct session *session, double *ns, uint32_t n)
{
    const struct measure_options options = {
        .min_samples = RACE_SAMPLES, .max_samples = RACE_SAMPLES, .interval = 0.01};
    struct lane lanes[MAX_RACED] = {{0}};
    uint32_t kernels[MAX_RACED] = {0}, raced = n < MAX_RACED ? n : MAX_RACED, best = 0;
    enum tfops_status status = TFOPS_OK;
    for (uint32_t i = 0; i < raced && !status; i++) {
        kernels[i] = take_least(ns, n);
        status = add_kernel(session, kernels[i], false, &lanes[i]);
    }
    if (!status)
        status = meter_race(&session->meter, lanes, raced, &options, NULL);
    for (uint32_t i = 0; i < raced; i++) {
        if (lanes[i].estimate.median < lanes[best].estimate.median)
            best = i;
        sample_set_release(session->env, &lanes[i].samples);
        if (lanes[i].exec)
            session->driver->graph_exec_destroy(lanes[i].exec);
    }
    session->peer.kernel = kernels[best];
    return status;
}

enum tfops_status session_peer_choose(struct session *session)
{
    double ns[MAX_OFFERED];
    enum tfops_status status =
        peer_open(session->peer.name, &session->gpu, &session->problem, &session->peer.peer);
    if (status)
        return status;
    uint32_t n = peer_count(session->peer.peer);
    n = n < MAX_OFFERED ? n : MAX_OFFERED;
    status = probe_kernels(session, ns, n);
    if (status)
        return status;
    session->peer.ns = INFINITY;
    for (uint32_t i = 0; i < n; i++)
        session->peer.ns = ns[i] < session->peer.ns ? ns[i] : session->peer.ns;
    session->peer.rotation = buffers_rotate(&session->sets.layout, session->sets.n,
        session->gpu.device.l2_bytes, session->peer.ns, session->l2_warm, false);
    return choose_kernel(session, ns, n);
}

enum tfops_status session_peer_lane(struct session *session,
    const struct buffers_rotation *rotation, bool steady, struct lane *lane)
{
    session->peer.rotation = *rotation;
    return add_kernel(session, session->peer.kernel, steady, lane);
}

const struct sample_set *session_peer_samples(const struct session *session, uint32_t *ret_kernels)
{
    *ret_kernels = session->peer.peer ? peer_count(session->peer.peer) : 0;
    return &session->peer.samples;
}

void session_peer_release(struct session *session)
{
    sample_set_release(session->env, &session->peer.samples);
    peer_close(session->peer.peer);
    session->peer.peer = NULL;
}
