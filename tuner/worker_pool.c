/* The poll loop over worker processes (see worker_pool.h). */
#include "worker_pool.h"
#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"
#include "worker_process.h"
#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <tfops/tfops.h>
#include <time.h>
#include <unistd.h>

enum { HELLO_TIMEOUT_MS = 30000, EXIT_PATIENCE_MS = 500, MAX_FAILED_STARTS = 3 };

enum phase { PHASE_NONE = 0, PHASE_HELLO, PHASE_GREETING, PHASE_SERVING };

struct request {
    uint32_t tag, timeout_ms;
};

struct slot {
    struct worker_process process;
    enum phase phase;
    struct request pending[WORKER_POOL_MAX_PENDING];
    uint32_t n_pending;
    uint32_t n_queued; /* events of this worker in the pool's queue */
    struct wire_buffer in, out;
    size_t delivered; /* bytes of `in` that the last event points into */
    bool last;        /* the delivered answer said that the worker ends itself */
    int64_t deadline_ms;
    uint32_t failed_starts, starts;
    char how[160]; /* how the last process ended */
};

struct queued {
    enum worker_event_kind kind;
    uint32_t worker, tag;
    char text[192];
};

struct worker_pool {
    const struct env *env;
    char path[WORKER_PATH_BYTES];
    uint32_t n, scan, hello_timeout_ms;
    struct slot *slots;
    struct pollfd *polls;
    struct queued *queue; /* ring: ends of workers that nobody was told of yet */
    uint32_t queue_first, queue_n, queue_capacity;
    uint8_t *greeting;
    size_t greeting_bytes;
};

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * INT64_C(1000) + now.tv_nsec / 1000000;
}

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

/* ---- the end of a worker ----------------------------------------------------------------- */

uint32_t worker_pool_life(const struct worker_pool *pool, uint32_t worker)
{
    const struct slot *slot = &pool->slots[worker];
    return slot->phase == PHASE_NONE || slot->last ? 0 : slot->starts;
}

static void enqueue(struct worker_pool *pool, struct slot *slot, enum worker_event_kind kind,
    uint32_t tag, const char *text)
{
    assert(pool->queue_n < pool->queue_capacity);
    uint32_t at = (pool->queue_first + pool->queue_n++) % pool->queue_capacity;
    struct queued *queued = &pool->queue[at];
    queued->kind = kind;
    queued->worker = (uint32_t)(slot - pool->slots);
    queued->tag = tag;
    snprintf(queued->text, sizeof queued->text, "%s", text);
    slot->n_queued++;
}

/*
 * Ends the process. The request at the head gets `kind`, those behind it are lost. A worker that
 * had not begun to serve is no request's fault: all are lost, and the start counts as failed.
 */
static void end_slot(struct worker_pool *pool, struct slot *slot, enum worker_event_kind kind,
    int patience_ms, const char *why)
{
    char how[96], text[192];
    bool served = slot->phase == PHASE_SERVING;
    worker_process_end(&slot->process, patience_ms, how, sizeof how);
    snprintf(text, sizeof text, "%s%s%s", why, *why && *how ? "; " : "", how);
    snprintf(slot->how, sizeof slot->how, "%s", text);
    for (uint32_t i = 0; i < slot->n_pending; i++)
        enqueue(pool, slot, served && !i ? kind : WORKER_LOST, slot->pending[i].tag, text);
    if (!slot->n_pending && kind == WORKER_DIED)
        log_line(pool->env, TFOPS_LOG_WARN, "tuner: an idle worker ended: %s", text);
    slot->failed_starts = served ? 0 : slot->failed_starts + 1;
    slot->n_pending = 0;
    slot->phase = PHASE_NONE;
    slot->in.n = slot->out.n = slot->delivered = 0;
    slot->last = false;
}

void worker_pool_retire(struct worker_pool *pool, uint32_t worker)
{
    struct slot *slot = &pool->slots[worker];
    if (slot->phase == PHASE_NONE)
        return;
    slot->phase = PHASE_SERVING;
    end_slot(pool, slot, WORKER_LOST, 0, "not needed any more");
}

/* Lets go of what the last event pointed into. */
static void settle(struct worker_pool *pool, struct slot *slot)
{
    if (!slot->delivered)
        return;
    wire_buffer_consume(&slot->in, slot->delivered);
    slot->delivered = 0;
    if (slot->last)
        end_slot(pool, slot, WORKER_LOST, EXIT_PATIENCE_MS, "it ended itself after a fault");
}

/* ---- sending ----------------------------------------------------------------------------- */

static enum tfops_status append(struct wire_buffer *out, const void *data, size_t bytes)
{
    enum tfops_status status = wire_buffer_reserve(out, bytes);
    if (status)
        return status;
    memcpy(out->data + out->n, data, bytes);
    out->n += bytes;
    return TFOPS_OK;
}

static enum tfops_status start(struct worker_pool *pool, struct slot *slot)
{
    if (slot->failed_starts >= MAX_FAILED_STARTS)
        return error_setf(TFOPS_E_WORKER, 0, "worker", pool->path,
            "the worker %s ended %u times before it could serve: %s", pool->path,
            slot->failed_starts, slot->how);
    if (pool->greeting_bytes) {
        enum tfops_status status = append(&slot->out, pool->greeting, pool->greeting_bytes);
        if (status)
            return status;
    }
    enum tfops_status status = worker_process_spawn(pool->path, &slot->process);
    if (status) {
        slot->out.n = 0;
        return status;
    }
    slot->starts++;
    slot->phase = PHASE_HELLO;
    slot->deadline_ms = now_ms() + pool->hello_timeout_ms;
    return TFOPS_OK;
}

/* Sends what the socket takes. A peer that is gone is noticed where its answers are read. */
static void flush(struct slot *slot)
{
    while (slot->out.n) {
        ssize_t put = send(slot->process.fd, slot->out.data, slot->out.n, MSG_NOSIGNAL);
        if (put > 0)
            wire_buffer_consume(&slot->out, (size_t)put);
        else if (put < 0 && errno == EINTR)
            continue;
        else if (put < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            return;
        else
            slot->out.n = 0;
    }
}

static void arm_watchdog(struct slot *slot)
{
    if (slot->phase == PHASE_SERVING && slot->n_pending)
        slot->deadline_ms = now_ms() + slot->pending[0].timeout_ms;
}

enum tfops_status worker_pool_send(
    struct worker_pool *pool, uint32_t worker, const struct wire_writer *frame, uint32_t timeout_ms)
{
    struct slot *slot = &pool->slots[worker];
    struct wire_frame parsed;
    size_t used;
    assert(worker < pool->n);
    if (wire_parse(frame->data, frame->n, &parsed, &used) != WIRE_FRAME || used != frame->n)
        return error_set(TFOPS_E_INTERNAL, "worker pool", "frame", "a finished frame", NULL);
    if (worker_pool_pending(pool, worker) == WORKER_POOL_MAX_PENDING)
        return error_set(TFOPS_E_BUSY, "worker pool", "worker", "room in its queue", NULL);
    settle(pool, slot); /* a worker that has announced its end must not get this one */
    enum tfops_status status = slot->phase == PHASE_NONE ? start(pool, slot) : TFOPS_OK;
    if (!status)
        status = append(&slot->out, frame->data, frame->n);
    if (status)
        return status;
    slot->pending[slot->n_pending++] = (struct request){parsed.tag, timeout_ms};
    if (slot->n_pending == 1)
        arm_watchdog(slot);
    flush(slot);
    return TFOPS_OK;
}

/* ---- receiving --------------------------------------------------------------------------- */

static bool hello_fits(const struct wire_frame *frame, char *ret_why, size_t bytes)
{
    struct wire_reader reader;
    wire_reader_init(&reader, frame->payload, frame->bytes);
    uint32_t version = wire_get_u32(&reader);
    const char *library = wire_get_string(&reader);
    if (frame->type != WIRE_HELLO || !wire_reader_done(&reader))
        snprintf(ret_why, bytes, "not a tfops-worker");
    else if (version != WIRE_VERSION || strcmp(library, tfops_version()))
        snprintf(ret_why, bytes, "worker of tfops %.40s, protocol %u; this is %s, protocol %d",
            library, version, tfops_version(), WIRE_VERSION);
    else
        return true;
    return false;
}

static void receive_hello(
    struct worker_pool *pool, struct slot *slot, const struct wire_frame *frame)
{
    char why[160];
    if (!hello_fits(frame, why, sizeof why)) {
        end_slot(pool, slot, WORKER_DIED, 0, why);
        return;
    }
    slot->phase = pool->greeting_bytes ? PHASE_GREETING : PHASE_SERVING;
    arm_watchdog(slot);
}

static void receive_greeting(
    struct worker_pool *pool, struct slot *slot, const struct wire_frame *frame)
{
    struct wire_reader reader;
    struct wire_answer answer;
    char why[160] = "not an answer to the greeting";
    wire_reader_init(&reader, frame->payload, frame->bytes);
    bool ok = frame->type == WIRE_ANSWER && frame->tag == WORKER_TAG_GREETING &&
              wire_get_answer(&reader, &answer);
    if (ok && answer.status)
        snprintf(why, sizeof why, "%s", answer.message);
    if (!ok || answer.status) {
        end_slot(pool, slot, WORKER_DIED, 0, why);
        return;
    }
    slot->phase = PHASE_SERVING;
    slot->failed_starts = 0;
    arm_watchdog(slot);
}

/* An answer to the request at the head; anything else ends the worker. */
static bool receive_answer(struct worker_pool *pool, struct slot *slot,
    const struct wire_frame *frame, size_t used, struct worker_event *ret_event)
{
    struct worker_event event = {
        .kind = WORKER_ANSWER, .worker = (uint32_t)(slot - pool->slots), .tag = frame->tag};
    wire_reader_init(&event.payload, frame->payload, frame->bytes);
    if (frame->type != WIRE_ANSWER || !slot->n_pending || frame->tag != slot->pending[0].tag ||
        !wire_get_answer(&event.payload, &event.answer)) {
        end_slot(pool, slot, WORKER_DIED, 0, "the worker sent garbage");
        return false;
    }
    slot->n_pending--;
    memmove(slot->pending, slot->pending + 1, slot->n_pending * sizeof slot->pending[0]);
    arm_watchdog(slot);
    slot->delivered = used;
    slot->last = event.answer.last;
    *ret_event = event;
    return true;
}

/* Handles what `in` holds; true when that made an event. */
static bool digest(struct worker_pool *pool, struct slot *slot, struct worker_event *ret_event)
{
    while (slot->phase != PHASE_NONE) {
        struct wire_frame frame;
        size_t used;
        enum wire_parse parse = wire_parse(slot->in.data, slot->in.n, &frame, &used);
        if (parse == WIRE_MORE)
            return false;
        if (parse == WIRE_BAD) {
            end_slot(pool, slot, WORKER_DIED, 0, "the worker sent garbage");
            return false;
        }
        if (slot->phase == PHASE_SERVING)
            return receive_answer(pool, slot, &frame, used, ret_event);
        if (slot->phase == PHASE_HELLO)
            receive_hello(pool, slot, &frame);
        else
            receive_greeting(pool, slot, &frame);
        if (slot->phase != PHASE_NONE)
            wire_buffer_consume(&slot->in, used);
    }
    return false;
}

enum { READS_AT_ONCE = 64 };

/* Reads what is there: called when no complete frame is left in `in`, so that an answer sent before
 * an end is still delivered. */
static void receive(struct worker_pool *pool, struct slot *slot)
{
    for (int i = 0; i < READS_AT_ONCE; i++) {
        if (wire_buffer_reserve(&slot->in, 65536)) {
            end_slot(pool, slot, WORKER_DIED, 0, "no memory for its answer");
            return;
        }
        ssize_t got =
            read(slot->process.fd, slot->in.data + slot->in.n, slot->in.capacity - slot->in.n);
        if (got > 0) {
            slot->in.n += (size_t)got;
        } else if (got < 0 && errno == EINTR) {
            continue;
        } else if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
            return;
        } else {
            if (i == 0) /* else what came first is looked at first */
                end_slot(pool, slot, WORKER_DIED, EXIT_PATIENCE_MS, got ? strerror(errno) : "");
            return;
        }
    }
}

/* ---- waiting ----------------------------------------------------------------------------- */

static bool dequeue(struct worker_pool *pool, struct worker_event *ret_event)
{
    if (!pool->queue_n)
        return false;
    const struct queued *queued = &pool->queue[pool->queue_first];
    pool->queue_first = (pool->queue_first + 1) % pool->queue_capacity;
    pool->queue_n--;
    pool->slots[queued->worker].n_queued--;
    *ret_event =
        (struct worker_event){.kind = queued->kind, .worker = queued->worker, .tag = queued->tag};
    ret_event->answer.message = "";
    snprintf(ret_event->text, sizeof ret_event->text, "%s", queued->text);
    return true;
}

static bool has_watchdog(const struct slot *slot)
{
    return slot->phase != PHASE_NONE && (slot->n_pending || slot->phase != PHASE_SERVING);
}

static void check_watchdogs(struct worker_pool *pool)
{
    int64_t now = now_ms();
    for (uint32_t i = 0; i < pool->n; i++) {
        struct slot *slot = &pool->slots[i];
        if (has_watchdog(slot) && now >= slot->deadline_ms)
            end_slot(pool, slot, WORKER_HUNG, 0,
                slot->phase == PHASE_SERVING ? "no answer in time" : "it did not start in time");
    }
}

static bool digest_any(struct worker_pool *pool, struct worker_event *ret_event)
{
    for (uint32_t i = 0; i < pool->n; i++) {
        pool->scan = (pool->scan + 1) % pool->n;
        if (digest(pool, &pool->slots[pool->scan], ret_event))
            return true;
    }
    return false;
}

/* Waits for a socket or the next deadline, at most until `until_ms`. */
static void wait_for_sockets(struct worker_pool *pool, int64_t until_ms)
{
    int64_t wake_ms = until_ms;
    for (uint32_t i = 0; i < pool->n; i++) {
        const struct slot *slot = &pool->slots[i];
        short events = (short)(POLLIN | (slot->out.n ? POLLOUT : 0));
        pool->polls[i] = (struct pollfd){.fd = slot->process.fd, .events = events};
        if (has_watchdog(slot) && slot->deadline_ms < wake_ms)
            wake_ms = slot->deadline_ms;
    }
    int64_t wait_ms = wake_ms - now_ms();
    if (poll(pool->polls, pool->n, wait_ms > 0 ? (int)wait_ms : 0) <= 0)
        return;
    for (uint32_t i = 0; i < pool->n; i++) {
        struct slot *slot = &pool->slots[i];
        if (slot->phase != PHASE_NONE && (pool->polls[i].revents & POLLOUT))
            flush(slot);
        if (slot->phase != PHASE_NONE && (pool->polls[i].revents & ~POLLOUT))
            receive(pool, slot);
    }
}

enum tfops_status worker_pool_wait(
    struct worker_pool *pool, uint32_t timeout_ms, struct worker_event *ret_event)
{
    int64_t until_ms = now_ms() + (timeout_ms > INT32_MAX ? INT32_MAX : timeout_ms);
    for (uint32_t i = 0; i < pool->n; i++)
        settle(pool, &pool->slots[i]);
    for (bool polled = false;; polled = true) {
        if (dequeue(pool, ret_event) || digest_any(pool, ret_event) || dequeue(pool, ret_event))
            return TFOPS_OK;
        if (polled) { /* what has arrived is looked at first: a late look is not a hang */
            check_watchdogs(pool);
            if (pool->queue_n)
                continue;
            if (now_ms() >= until_ms)
                break;
        }
        wait_for_sockets(pool, until_ms);
    }
    *ret_event = (struct worker_event){.kind = WORKER_NONE, .answer.message = ""};
    return TFOPS_OK;
}
