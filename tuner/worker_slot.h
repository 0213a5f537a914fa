/*
 * One worker of a pool: its process, what was sent to it and not answered yet, and the frames on their
 * way. The pool's insides stand here too, because the end of a worker tells the pool of every request
 * it leaves. For worker_pool.c and worker_slot.c only.
 */
#ifndef TFOPS_TUNER_WORKER_SLOT_H
#define TFOPS_TUNER_WORKER_SLOT_H

#include "worker_pool.h"
#include "worker_process.h"
#include <time.h>

enum worker_phase { PHASE_NONE = 0, PHASE_HELLO, PHASE_GREETING, PHASE_SERVING };

struct worker_request {
    uint32_t tag, timeout_ms;
};

struct worker_slot {
    struct worker_process process;
    enum worker_phase phase;
    struct worker_request pending[WORKER_POOL_MAX_PENDING];
    uint32_t n_pending;
    uint32_t n_queued; /* events of this worker in the pool's queue */
    struct wire_buffer in, out;
    size_t delivered; /* bytes of `in` that the last event points into */
    bool last;        /* the delivered answer said that the worker ends itself */
    int64_t deadline_ms;
    uint32_t failed_starts, starts;
    char how[160]; /* how the last process ended */
};

struct worker_queued {
    enum worker_event_kind kind;
    uint32_t worker, tag;
    char text[192];
};

struct worker_pool {
    const struct env *env;
    char path[WORKER_PATH_BYTES];
    uint32_t n, scan, hello_timeout_ms;
    struct worker_slot *slots;
    struct pollfd *polls;
    struct worker_queued *queue; /* ring: ends of workers that nobody was told of yet */
    uint32_t queue_first, queue_n, queue_capacity;
    uint8_t *greeting;
    size_t greeting_bytes;
};

static inline int64_t worker_pool_now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * INT64_C(1000) + now.tv_nsec / 1000000;
}

/* worker_pool.c: an event that worker_pool_wait() will return. */
void worker_pool_enqueue(struct worker_pool *pool, struct worker_slot *slot,
    enum worker_event_kind kind, uint32_t tag, const char *text);

/* Starts the worker where it is not running. */
enum tfops_status worker_slot_send(struct worker_pool *pool, struct worker_slot *slot,
    const struct wire_writer *frame, struct worker_request request);
/* Sends what the socket takes. A peer that is gone is noticed where its answers are read. */
void worker_slot_flush(struct worker_slot *slot);
/* Reads what is there: called when no complete frame is left in `in`, so that an answer sent before
 * an end is still delivered. */
void worker_slot_receive(struct worker_pool *pool, struct worker_slot *slot);
/* Handles what `in` holds; true when that made an event. */
bool worker_slot_digest(
    struct worker_pool *pool, struct worker_slot *slot, struct worker_event *ret_event);
/* Lets go of what the last event pointed into. */
void worker_slot_settle(struct worker_pool *pool, struct worker_slot *slot);
/* Whether its deadline counts. */
bool worker_slot_has_watchdog(const struct worker_slot *slot);
/*
 * Ends the process. The request at the head gets `kind`, those behind it are lost. A worker that
 * had not begun to serve is no request's fault: all are lost, and the start counts as failed.
 */
void worker_slot_end(struct worker_pool *pool, struct worker_slot *slot,
    enum worker_event_kind kind, int patience_ms, const char *why);

#endif
