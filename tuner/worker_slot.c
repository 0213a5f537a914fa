/* The dialogue with one worker (see worker_slot.h). */
#include "worker_slot.h"
#include "base/error.h"
#include "base/log.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <tfops/tfops.h>
#include <unistd.h>

enum { EXIT_PATIENCE_MS = 500, MAX_FAILED_STARTS = 3 };

/* ---- its end ----------------------------------------------------------------------------- */

void worker_slot_end(struct worker_pool *pool, struct worker_slot *slot,
    enum worker_event_kind kind, int patience_ms, const char *why)
{
    char how[96], text[192];
    bool served = slot->phase == PHASE_SERVING;
    worker_process_end(&slot->process, patience_ms, how, sizeof how);
    snprintf(text, sizeof text, "%s%s%s", why, *why && *how ? "; " : "", how);
    snprintf(slot->how, sizeof slot->how, "%s", text);
    for (uint32_t i = 0; i < slot->n_pending; i++)
        worker_pool_enqueue(
            pool, slot, served && !i ? kind : WORKER_LOST, slot->pending[i].tag, text);
    if (!slot->n_pending && kind == WORKER_DIED)
        log_line(pool->env, TFOPS_LOG_WARN, "tuner: an idle worker ended: %s", text);
    slot->failed_starts = served ? 0 : slot->failed_starts + 1;
    slot->n_pending = 0;
    slot->phase = PHASE_NONE;
    slot->in.n = slot->out.n = slot->delivered = 0;
    slot->last = false;
}

void worker_slot_settle(struct worker_pool *pool, struct worker_slot *slot)
{
    if (!slot->delivered)
        return;
    wire_buffer_consume(&slot->in, slot->delivered);
    slot->delivered = 0;
    if (slot->last)
        worker_slot_end(pool, slot, WORKER_LOST, EXIT_PATIENCE_MS, "it ended itself after a fault");
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

static enum tfops_status start(struct worker_pool *pool, struct worker_slot *slot)
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
    slot->deadline_ms = worker_pool_now_ms() + pool->hello_timeout_ms;
    return TFOPS_OK;
}

void worker_slot_flush(struct worker_slot *slot)
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

static void arm_watchdog(struct worker_slot *slot)
{
    if (slot->phase == PHASE_SERVING && slot->n_pending)
        slot->deadline_ms = worker_pool_now_ms() + slot->pending[0].timeout_ms;
}

enum tfops_status worker_slot_send(struct worker_pool *pool, struct worker_slot *slot,
    const struct wire_writer *frame, struct worker_request request)
{
    worker_slot_settle(pool, slot); /* a worker that has announced its end must not get this one */
    enum tfops_status status = slot->phase == PHASE_NONE ? start(pool, slot) : TFOPS_OK;
    if (!status)
        status = append(&slot->out, frame->data, frame->n);
    if (status)
        return status;
    slot->pending[slot->n_pending++] = request;
    if (slot->n_pending == 1)
        arm_watchdog(slot);
    worker_slot_flush(slot);
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
    struct worker_pool *pool, struct worker_slot *slot, const struct wire_frame *frame)
{
    char why[160];
    if (!hello_fits(frame, why, sizeof why)) {
        worker_slot_end(pool, slot, WORKER_DIED, 0, why);
        return;
    }
    slot->phase = pool->greeting_bytes ? PHASE_GREETING : PHASE_SERVING;
    arm_watchdog(slot);
}

static void receive_greeting(
    struct worker_pool *pool, struct worker_slot *slot, const struct wire_frame *frame)
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
        worker_slot_end(pool, slot, WORKER_DIED, 0, why);
        return;
    }
    slot->phase = PHASE_SERVING;
    slot->failed_starts = 0;
    arm_watchdog(slot);
}

/* An answer to the request at the head; anything else ends the worker. */
static bool receive_answer(struct worker_pool *pool, struct worker_slot *slot,
    const struct wire_frame *frame, size_t used, struct worker_event *ret_event)
{
    struct worker_event event = {
        .kind = WORKER_ANSWER, .worker = (uint32_t)(slot - pool->slots), .tag = frame->tag};
    wire_reader_init(&event.payload, frame->payload, frame->bytes);
    if (frame->type != WIRE_ANSWER || !slot->n_pending || frame->tag != slot->pending[0].tag ||
        !wire_get_answer(&event.payload, &event.answer)) {
        worker_slot_end(pool, slot, WORKER_DIED, 0, "the worker sent garbage");
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

bool worker_slot_digest(
    struct worker_pool *pool, struct worker_slot *slot, struct worker_event *ret_event)
{
    while (slot->phase != PHASE_NONE) {
        struct wire_frame frame;
        size_t used;
        enum wire_parse parse = wire_parse(slot->in.data, slot->in.n, &frame, &used);
        if (parse == WIRE_MORE)
            return false;
        if (parse == WIRE_BAD) {
            worker_slot_end(pool, slot, WORKER_DIED, 0, "the worker sent garbage");
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

void worker_slot_receive(struct worker_pool *pool, struct worker_slot *slot)
{
    for (int i = 0; i < READS_AT_ONCE; i++) {
        if (wire_buffer_reserve(&slot->in, 65536)) {
            worker_slot_end(pool, slot, WORKER_DIED, 0, "no memory for its answer");
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
                worker_slot_end(
                    pool, slot, WORKER_DIED, EXIT_PATIENCE_MS, got ? strerror(errno) : "");
            return;
        }
    }
}

bool worker_slot_has_watchdog(const struct worker_slot *slot)
{
    return slot->phase != PHASE_NONE && (slot->n_pending || slot->phase != PHASE_SERVING);
}
