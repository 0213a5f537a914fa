/* What the parts of a worker share (worker.c). */
#ifndef TFOPS_TUNER_WORKER_STATE_H
#define TFOPS_TUNER_WORKER_STATE_H

#include "messages.h"
#include "session.h"
#include <tfops/tfops.h>

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

/* Starts the answer; a failure's detail comes from the thread's error record. */
void worker_answer(struct worker *worker, enum tfops_status status);

/* The error for a request that is not what the protocol says. */
enum tfops_status worker_misfit(const char *what);

/* What requests need, opened when first needed. */
enum tfops_status worker_need_driver(struct worker *worker);
enum tfops_status worker_need_operators(struct worker *worker);

/* ---- requests: each reads its own and begins the answer (worker_session.c) ---- */

void worker_warm(struct worker *worker, struct wire_reader *reader);
void worker_open(struct worker *worker, struct wire_reader *reader);
void worker_add(struct worker *worker, struct wire_reader *reader);
void worker_measure(struct worker *worker, struct wire_reader *reader);
void worker_roof(struct worker *worker, struct wire_reader *reader);
void worker_drop(struct worker *worker, struct wire_reader *reader);
void worker_close(struct worker *worker, struct wire_reader *reader);
void worker_emulate(struct worker *worker, struct wire_reader *reader);

/* Ends the measuring session, if there is one. */
void worker_close_session(struct worker *worker);

#endif
