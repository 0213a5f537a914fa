/* A session's inside, shared by session.c (open, verify) and session_time.c (measure, roof). */
#ifndef TFOPS_TUNER_SESSION_STATE_H
#define TFOPS_TUNER_SESSION_STATE_H

#include "buffers.h"
#include "launcher.h"
#include "measure.h"
#include "peer.h"
#include "session.h"
#include "verify.h"

struct session_candidate {
    bool used;
    struct module module;
    struct launcher launcher;
    struct verify_subject subject;
    CUdeviceptr workspace; /* with its red zones */
    /* Of one launch on the full extent: the first one, in verification, and a later one, roughly; 0: unknown */
    double first_ns, probe_ns;
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

/* Another library's kernel in the race beside the copies. */
struct session_peer {
    const char *name;  /* NULL: none is wanted */
    struct peer *peer; /* its kernel is chosen */
    uint32_t kernel;
    double ns; /* of one launch, roughly */
    struct buffers_rotation rotation;
    struct sample_set samples;
};

struct session {
    const struct env *env;
    const struct driver *driver;
    CUdevice device;
    CUcontext context;
    bool retained, l2_warm, one_output;
    struct tfops_problem problem;
    struct gpu gpu;
    uint64_t seed;
    size_t free_bytes; /* at open */
    CUdeviceptr held;  /* what later memory must not lie on; 0: nothing */
    struct session_candidate reference;
    struct verifier verifier;
    bool can_verify;
    struct buffers_sets sets;
    struct meter meter;
    struct copies copies;
    struct session_peer peer;
    double launch_ns, best_ns; /* that repeats are chosen for; of the fastest candidate so far */
    struct session_candidate *candidates;
    uint32_t n_candidates, capacity;
};

/* NULL with the error record set when there is no such candidate. */
struct session_candidate *session_find(struct session *session, uint32_t id);
/* What to launch. The launcher is looked up at use: the table of candidates may move. */
struct verify_subject session_subject(const struct session_candidate *candidate);

/* The peer's part of a run beside the copies (session_peer.c). The context is current. */
enum tfops_status session_peer_choose(struct session *session); /* needs the sets */
/* Its lane with the repeats of ours; the caller destroys lane->exec. */
enum tfops_status session_peer_lane(struct session *session,
    const struct buffers_rotation *rotation, bool steady, struct lane *lane);
void session_peer_release(struct session *session);

#endif
