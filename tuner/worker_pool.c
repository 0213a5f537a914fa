/* The pool and its poll loop (see worker_pool.h); the dialogue with one worker: worker_slot.c. */
#include "base/error.h"
#include "base/mem.h"
#include "worker_slot.h"
#include <assert.h>
#include <poll.h>
#include <stdio.h>

enum { HELLO_TIMEOUT_MS = 30000 };

/* ---- opening and closing ----------------------------------------------------------------- */

static enum tfops_status allocate(
    struct worker_pool *pool, const struct worker_pool_options *options)
{
    const struct env *env = pool->env;
    pool->slots = mem_new(env, options->n, sizeof *pool->slots);
    pool->polls = mem_new(env, options->n, sizeof *pool->polls);
    pool->queue_capacity = options->n * WORKER_POOL_MAX_PENDING;
    pool->queue = mem_new(env, pool->queue_capacity, sizeof *pool->queue);
    if (!pool->slots || !pool->polls || !pool->queue)
        return TFOPS_E_MEMORY;
    pool->n = options->n;
    for (uint32_t i = 0; i < pool->n; i++) {
        pool->slots[i].process = WORKER_PROCESS_NONE;
        pool->slots[i].in.env = pool->slots[i].out.env = env;
    }
    if (options->greeting) {
        pool->greeting_bytes = options->greeting->n;
        pool->greeting = mem_copy(env, options->greeting->data, options->greeting->n);
        if (!pool->greeting)
            return TFOPS_E_MEMORY;
    }
    return TFOPS_OK;
}

enum tfops_status worker_pool_open(
    const struct env *env, const struct worker_pool_options *options, struct worker_pool **ret_pool)
{
    if (!options->n || options->n > WORKER_POOL_MAX_WORKERS)
        return error_set(TFOPS_E_ARGUMENT, "worker pool", "jobs", "1 to 256 workers", NULL);
    struct worker_pool *pool = mem_new(env, 1, sizeof *pool);
    if (!pool)
        return TFOPS_E_MEMORY;
    pool->env = env;
    pool->hello_timeout_ms =
        options->hello_timeout_ms ? options->hello_timeout_ms : HELLO_TIMEOUT_MS;
    enum tfops_status status = worker_locate(options->path, pool->path);
    if (!status)
        status = allocate(pool, options);
    if (status)
        worker_pool_close(pool);
    else
        *ret_pool = pool;
    return status;
}

void worker_pool_close(struct worker_pool *pool)
{
    if (!pool)
        return;
    for (uint32_t i = 0; i < pool->n; i++) {
        worker_process_end(&pool->slots[i].process, 0, NULL, 0);
        wire_buffer_release(&pool->slots[i].in);
        wire_buffer_release(&pool->slots[i].out);
    }
    mem_free(pool->env, pool->slots);
    mem_free(pool->env, pool->polls);
    mem_free(pool->env, pool->queue);
    mem_free(pool->env, pool->greeting);
    mem_free(pool->env, pool);
}

uint32_t worker_pool_size(const struct worker_pool *pool)
{
    return pool->n;
}

uint32_t worker_pool_pending(const struct worker_pool *pool, uint32_t worker)
{
    return pool->slots[worker].n_pending + pool->slots[worker].n_queued;
}

/* ---- requests and their ends -------------------------------------------------------------- */

uint32_t worker_pool_life(const struct worker_pool *pool, uint32_t worker)
{
    const struct worker_slot *slot = &pool->slots[worker];
    return slot->phase == PHASE_NONE || slot->last ? 0 : slot->starts;
}

void worker_pool_enqueue(struct worker_pool *pool, struct worker_slot *slot,
    enum worker_event_kind kind, uint32_t tag, const char *text)
{
    assert(pool->queue_n < pool->queue_capacity);
    uint32_t at = (pool->queue_first + pool->queue_n++) % pool->queue_capacity;
    struct worker_queued *queued = &pool->queue[at];
    queued->kind = kind;
    queued->worker = (uint32_t)(slot - pool->slots);
    queued->tag = tag;
    snprintf(queued->text, sizeof queued->text, "%s", text);
    slot->n_queued++;
}

void worker_pool_retire(struct worker_pool *pool, uint32_t worker)
{
    struct worker_slot *slot = &pool->slots[worker];
    if (slot->phase == PHASE_NONE)
        return;
    slot->phase = PHASE_SERVING;
    worker_slot_end(pool, slot, WORKER_LOST, 0, "not needed any more");
}

enum tfops_status worker_pool_send(
    struct worker_pool *pool, uint32_t worker, const struct wire_writer *frame, uint32_t timeout_ms)
{
    struct wire_frame parsed;
    size_t used;
    assert(worker < pool->n);
    if (wire_parse(frame->data, frame->n, &parsed, &used) != WIRE_FRAME || used != frame->n)
        return error_set(TFOPS_E_INTERNAL, "worker pool", "frame", "a finished frame", NULL);
    if (worker_pool_pending(pool, worker) == WORKER_POOL_MAX_PENDING)
        return error_set(TFOPS_E_BUSY, "worker pool", "worker", "room in its queue", NULL);
    const struct worker_request request = {parsed.tag, timeout_ms};
    return worker_slot_send(pool, &pool->slots[worker], frame, request);
}

/* ---- waiting ----------------------------------------------------------------------------- */

static bool dequeue(struct worker_pool *pool, struct worker_event *ret_event)
{
    if (!pool->queue_n)
        return false;
    const struct worker_queued *queued = &pool->queue[pool->queue_first];
    pool->queue_first = (pool->queue_first + 1) % pool->queue_capacity;
    pool->queue_n--;
    pool->slots[queued->worker].n_queued--;
    *ret_event =
        (struct worker_event){.kind = queued->kind, .worker = queued->worker, .tag = queued->tag};
    ret_event->answer.message = "";
    snprintf(ret_event->text, sizeof ret_event->text, "%s", queued->text);
    return true;
}

static void check_watchdogs(struct worker_pool *pool)
{
    int64_t now = worker_pool_now_ms();
    for (uint32_t i = 0; i < pool->n; i++) {
        struct worker_slot *slot = &pool->slots[i];
        if (worker_slot_has_watchdog(slot) && now >= slot->deadline_ms)
            worker_slot_end(pool, slot, WORKER_HUNG, 0,
                slot->phase == PHASE_SERVING ? "no answer in time" : "it did not start in time");
    }
}

static bool digest_any(struct worker_pool *pool, struct worker_event *ret_event)
{
    for (uint32_t i = 0; i < pool->n; i++) {
        pool->scan = (pool->scan + 1) % pool->n;
        if (worker_slot_digest(pool, &pool->slots[pool->scan], ret_event))
            return true;
    }
    return false;
}

/* Waits for a socket or the next deadline, at most until `until_ms`. */
static void wait_for_sockets(struct worker_pool *pool, int64_t until_ms)
{
    int64_t wake_ms = until_ms;
    for (uint32_t i = 0; i < pool->n; i++) {
        const struct worker_slot *slot = &pool->slots[i];
        short events = (short)(POLLIN | (slot->out.n ? POLLOUT : 0));
        pool->polls[i] = (struct pollfd){.fd = slot->process.fd, .events = events};
        if (worker_slot_has_watchdog(slot) && slot->deadline_ms < wake_ms)
            wake_ms = slot->deadline_ms;
    }
    int64_t wait_ms = wake_ms - worker_pool_now_ms();
    if (poll(pool->polls, pool->n, wait_ms > 0 ? (int)wait_ms : 0) <= 0)
        return;
    for (uint32_t i = 0; i < pool->n; i++) {
        struct worker_slot *slot = &pool->slots[i];
        if (slot->phase != PHASE_NONE && (pool->polls[i].revents & POLLOUT))
            worker_slot_flush(slot);
        if (slot->phase != PHASE_NONE && (pool->polls[i].revents & ~POLLOUT))
            worker_slot_receive(pool, slot);
    }
}

enum tfops_status worker_pool_wait(
    struct worker_pool *pool, uint32_t timeout_ms, struct worker_event *ret_event)
{
    int64_t until_ms = worker_pool_now_ms() + (timeout_ms > INT32_MAX ? INT32_MAX : timeout_ms);
    for (uint32_t i = 0; i < pool->n; i++)
        worker_slot_settle(pool, &pool->slots[i]);
    for (bool polled = false;; polled = true) {
        if (dequeue(pool, ret_event) || digest_any(pool, ret_event) || dequeue(pool, ret_event))
            return TFOPS_OK;
        if (polled) { /* what has arrived is looked at first: a late look is not a hang */
            check_watchdogs(pool);
            if (pool->queue_n)
                continue;
            if (worker_pool_now_ms() >= until_ms)
                break;
        }
        wait_for_sockets(pool, until_ms);
    }
    *ret_event = (struct worker_event){.kind = WORKER_NONE, .answer.message = ""};
    return TFOPS_OK;
}
