/*
 * The pool of worker processes: requests go out, events come in, a watchdog stands behind each
 * request. Knows frames, not messages. One thread at a time; nothing blocks but worker_pool_wait().
 *
 * Every request that was sent comes back as exactly one event. A worker that dies, hangs or answers
 * garbage is killed and reaped; it is started again by the next request for it.
 */
#ifndef TFOPS_TUNER_WORKER_POOL_H
#define TFOPS_TUNER_WORKER_POOL_H

#include "base/env.h"
#include "protocol.h"

enum { WORKER_POOL_MAX_PENDING = 8, WORKER_POOL_MAX_WORKERS = 256 };

struct worker_pool;

struct worker_pool_options {
    const char *path; /* option of worker_locate() */
    uint32_t n;
    /* A finished frame with the tag WORKER_TAG_GREETING that each new worker gets first; copied.
     * An answer with an error ends the worker. NULL: none. */
    const struct wire_writer *greeting;
    uint32_t hello_timeout_ms; /* for the hello and the greeting's answer; 0: 30000 */
};
#define WORKER_TAG_GREETING UINT32_MAX

enum tfops_status worker_pool_open(const struct env *env, const struct worker_pool_options *options,
    struct worker_pool **ret_pool);
/* Kills what still runs; NULL is fine. */
void worker_pool_close(struct worker_pool *pool);

uint32_t worker_pool_size(const struct worker_pool *pool);
/* Requests of this worker without an event so far. */
uint32_t worker_pool_pending(const struct worker_pool *pool, uint32_t worker);

/* Which process of this worker runs: another number after each start, 0 when none does. What the
 * parent told one process the next one does not know. */
uint32_t worker_pool_life(const struct worker_pool *pool, uint32_t worker);

/*
 * Queues a finished frame for a worker, starting it where it is not running. The watchdog of
 * timeout_ms runs from when the worker can begin with it. TFOPS_E_WORKER when it cannot be started,
 * or ended three times in a row before it could serve; TFOPS_E_BUSY when its queue is full.
 */
enum tfops_status worker_pool_send(struct worker_pool *pool, uint32_t worker,
    const struct wire_writer *frame, uint32_t timeout_ms);

/* Ends a worker that is not needed any more. Its pending requests become LOST. */
void worker_pool_retire(struct worker_pool *pool, uint32_t worker);

enum worker_event_kind {
    WORKER_NONE = 0, /* the wait ended without one */
    WORKER_ANSWER,
    WORKER_DIED, /* while it had this request: text says how */
    WORKER_HUNG, /* the watchdog ended it on this request */
    WORKER_LOST, /* a request that stood behind one of the above: send it again */
};
struct worker_event {
    enum worker_event_kind kind;
    uint32_t worker, tag;
    struct wire_answer answer;  /* head of the answer */
    struct wire_reader payload; /* what follows it; valid until the next call on the pool */
    char text[192];
};
/* The next event, waiting up to timeout_ms. */
enum tfops_status worker_pool_wait(
    struct worker_pool *pool, uint32_t timeout_ms, struct worker_event *ret_event);

#endif
