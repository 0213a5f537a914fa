/*
 * Streams, events and stream capture. Work runs when it is enqueued; a stream's clock says when it
 * would have ended.
 */
#include "fake.h"
#include <stdlib.h>

static CUstream legacy(void)
{
    const CUcontext context = context_current();
    return context ? context->legacy : NULL;
}

CUstream stream_resolve(CUstream stream)
{
    if (!stream || stream == CU_STREAM_LEGACY || stream == CU_STREAM_PER_THREAD)
        return legacy();
    return handle_is(stream, KIND_STREAM) ? stream : NULL;
}

/* ---- capture ------------------------------------------------------------------------------ */

static bool is_capturing(const struct CUstream_st *stream)
{
    return stream->capture != CU_STREAM_CAPTURE_STATUS_NONE;
}

static void invalidate(CUstream stream)
{
    if (stream->capture == CU_STREAM_CAPTURE_STATUS_ACTIVE)
        stream->capture = CU_STREAM_CAPTURE_STATUS_INVALIDATED;
}

/* Any thread's global capture forbids unsafe calls, this thread's thread-local one as well. */
static bool forbids_unsafe(const struct CUstream_st *stream)
{
    if (!is_capturing(stream) || stream->mode == CU_STREAM_CAPTURE_MODE_RELAXED)
        return false;
    return pthread_equal(stream->capturer, pthread_self()) ||
           (stream->mode == CU_STREAM_CAPTURE_MODE_GLOBAL &&
               context_capture_mode() == CU_STREAM_CAPTURE_MODE_GLOBAL);
}

CUresult stream_check_unsafe(void)
{
    CUresult result = CUDA_SUCCESS;
    if (context_capture_mode() == CU_STREAM_CAPTURE_MODE_RELAXED)
        return CUDA_SUCCESS;
    for (struct fake_handle *h = handle_first(); h; h = h->next) {
        if (!handle_is(h, KIND_STREAM) || !forbids_unsafe((CUstream)h))
            continue;
        invalidate((CUstream)h);
        result = CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
    }
    return result;
}

/* The legacy stream waits for every blocking stream of its context, which a capture cannot do. */
static CUresult check_implicit(CUstream stream)
{
    CUresult result = CUDA_SUCCESS;
    for (struct fake_handle *h = handle_first(); stream->is_legacy && h; h = h->next) {
        CUstream other = (CUstream)h;
        if (!handle_is(h, KIND_STREAM) || other->context != stream->context ||
            other->flags & CU_STREAM_NON_BLOCKING || !is_capturing(other))
            continue;
        invalidate(other);
        result = CUDA_ERROR_STREAM_CAPTURE_IMPLICIT;
    }
    return result;
}

CUresult stream_submit(CUstream handle, const struct work *work)
{
    CUstream stream = stream_resolve(handle);
    if (!stream)
        return CUDA_ERROR_INVALID_HANDLE;
    const CUresult implicit = check_implicit(stream);
    if (implicit != CUDA_SUCCESS)
        return implicit;
    if (stream->capture == CU_STREAM_CAPTURE_STATUS_INVALIDATED)
        return CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
    if (stream->capture == CU_STREAM_CAPTURE_STATUS_ACTIVE)
        return graph_append(stream->graph, work);
    graph_touch();
    return run_work(stream, work, false, true);
}

static CUresult begin_capture(CUstream handle, CUstreamCaptureMode mode)
{
    CUstream stream = stream_resolve(handle);
    if (!stream)
        return CUDA_ERROR_INVALID_HANDLE;
    if (stream->is_legacy)
        return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
    if (is_capturing(stream))
        return CUDA_ERROR_ILLEGAL_STATE;
    stream->graph = handle_new(KIND_GRAPH, sizeof *stream->graph);
    if (!stream->graph)
        return CUDA_ERROR_OUT_OF_MEMORY;
    gauges.live_graphs++;
    stream->capture = CU_STREAM_CAPTURE_STATUS_ACTIVE;
    stream->mode = mode;
    stream->capturer = pthread_self();
    return CUDA_SUCCESS;
}

static CUresult end_capture(CUstream handle, CUgraph *graph)
{
    CUstream stream = stream_resolve(handle);
    if (!graph)
        return CUDA_ERROR_INVALID_VALUE;
    if (!stream)
        return CUDA_ERROR_INVALID_HANDLE;
    *graph = NULL;
    if (!is_capturing(stream))
        return CUDA_ERROR_ILLEGAL_STATE;
    if (stream->mode != CU_STREAM_CAPTURE_MODE_RELAXED &&
        !pthread_equal(stream->capturer, pthread_self()))
        return CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD;
    const bool valid = stream->capture == CU_STREAM_CAPTURE_STATUS_ACTIVE;
    stream->capture = CU_STREAM_CAPTURE_STATUS_NONE;
    if (valid)
        *graph = stream->graph;
    else
        graph_clear(stream->graph);
    stream->graph = NULL;
    return valid ? CUDA_SUCCESS : CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
}

static CUresult capture_status(CUstream handle, CUstreamCaptureStatus *status)
{
    CUstream stream = stream_resolve(handle);
    if (!status)
        return CUDA_ERROR_INVALID_VALUE;
    if (!stream)
        return CUDA_ERROR_INVALID_HANDLE;
    const CUresult implicit = check_implicit(stream);
    if (implicit == CUDA_SUCCESS)
        *status = stream->capture;
    return implicit;
}

/* ---- streams ------------------------------------------------------------------------------ */

static CUresult create(CUstream *ret_stream, unsigned flags)
{
    if (!ret_stream || flags > CU_STREAM_NON_BLOCKING)
        return CUDA_ERROR_INVALID_VALUE;
    CUstream stream = handle_new(KIND_STREAM, sizeof *stream);
    if (!stream)
        return CUDA_ERROR_OUT_OF_MEMORY;
    stream->context = context_current();
    stream->flags = flags;
    stream->clock_ns = stream->context->legacy->clock_ns;
    gauges.live_streams++;
    *ret_stream = stream;
    return CUDA_SUCCESS;
}

static CUresult destroy(CUstream stream)
{
    if (!handle_is(stream, KIND_STREAM) || stream->is_legacy)
        return CUDA_ERROR_INVALID_HANDLE;
    stream->handle.live = false;
    if (stream->graph)
        graph_clear(stream->graph);
    gauges.live_streams--;
    return CUDA_SUCCESS;
}

CUresult stream_wait(CUstream handle)
{
    CUstream stream = stream_resolve(handle);
    if (!stream)
        return CUDA_ERROR_INVALID_HANDLE;
    if (is_capturing(stream)) {
        invalidate(stream);
        return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
    }
    const CUresult implicit = check_implicit(stream);
    if (implicit != CUDA_SUCCESS)
        return implicit;
    if (stream->context->hung)
        fake_hang();
    return stream->context->sticky;
}

static CUresult stream_context(CUstream handle, CUcontext *context)
{
    CUstream stream = stream_resolve(handle);
    if (!context)
        return CUDA_ERROR_INVALID_VALUE;
    if (!stream)
        return CUDA_ERROR_INVALID_HANDLE;
    *context = stream->context;
    return CUDA_SUCCESS;
}

CUresult fake_stream_create(CUstream *stream, unsigned flags)
{
    FAKE_BODY(stream_create, NEEDS_CONTEXT, create(stream, flags));
}

CUresult fake_stream_destroy(CUstream stream)
{
    FAKE_BODY(stream_destroy, NEEDS_CONTEXT, destroy(stream));
}

CUresult fake_stream_synchronize(CUstream stream)
{
    FAKE_BODY(stream_synchronize, NEEDS_CONTEXT, stream_wait(stream));
}

CUresult fake_stream_get_ctx(CUstream stream, CUcontext *context)
{
    FAKE_BODY(stream_get_ctx, NEEDS_INIT, stream_context(stream, context));
}

CUresult fake_stream_is_capturing(CUstream stream, CUstreamCaptureStatus *status)
{
    FAKE_BODY(stream_is_capturing, NEEDS_INIT, capture_status(stream, status));
}

CUresult fake_stream_begin_capture(CUstream stream, CUstreamCaptureMode mode)
{
    FAKE_BODY(stream_begin_capture, NEEDS_CONTEXT, begin_capture(stream, mode));
}

CUresult fake_stream_end_capture(CUstream stream, CUgraph *graph)
{
    FAKE_BODY(stream_end_capture, NEEDS_CONTEXT, end_capture(stream, graph));
}

/* ---- events ------------------------------------------------------------------------------- */

struct CUevent_st {
    struct fake_handle handle;
    CUcontext context;
    unsigned flags;
    bool recorded;
    uint64_t at_ns;
};

static CUresult event_create(CUevent *ret_event, unsigned flags)
{
    if (!ret_event)
        return CUDA_ERROR_INVALID_VALUE;
    CUevent event = handle_new(KIND_EVENT, sizeof *event);
    if (!event)
        return CUDA_ERROR_OUT_OF_MEMORY;
    event->context = context_current();
    event->flags = flags;
    gauges.live_events++;
    *ret_event = event;
    return CUDA_SUCCESS;
}

static CUresult event_destroy(CUevent event)
{
    if (!handle_is(event, KIND_EVENT))
        return CUDA_ERROR_INVALID_HANDLE;
    event->handle.live = false;
    gauges.live_events--;
    return CUDA_SUCCESS;
}

static CUresult event_record(CUevent event, CUstream handle)
{
    CUstream stream = stream_resolve(handle);
    if (!handle_is(event, KIND_EVENT) || !stream || stream->context != event->context)
        return CUDA_ERROR_INVALID_HANDLE;
    const CUresult implicit = check_implicit(stream);
    if (implicit != CUDA_SUCCESS)
        return implicit;
    const struct work work = {.kind = WORK_EVENT};
    if (is_capturing(stream))
        return stream_submit(handle, &work);
    event->recorded = true;
    event->at_ns = stream->clock_ns;
    return CUDA_SUCCESS;
}

static CUresult event_wait(CUevent event)
{
    if (!handle_is(event, KIND_EVENT))
        return CUDA_ERROR_INVALID_HANDLE;
    if (event->recorded && event->context->hung)
        fake_hang();
    return event->context->sticky;
}

static CUresult event_elapsed(float *ms, CUevent start, CUevent end)
{
    if (!ms)
        return CUDA_ERROR_INVALID_VALUE;
    if (!handle_is(start, KIND_EVENT) || !handle_is(end, KIND_EVENT) || !start->recorded ||
        !end->recorded || (start->flags | end->flags) & CU_EVENT_DISABLE_TIMING)
        return CUDA_ERROR_INVALID_HANDLE;
    if (start->context->hung)
        return CUDA_ERROR_NOT_READY;
    *ms = (float)((double)(int64_t)(end->at_ns - start->at_ns) * 1e-6);
    return CUDA_SUCCESS;
}

CUresult fake_event_create(CUevent *event, unsigned flags)
{
    FAKE_BODY(event_create, NEEDS_CONTEXT, event_create(event, flags));
}

CUresult fake_event_destroy(CUevent event)
{
    FAKE_BODY(event_destroy, NEEDS_CONTEXT, event_destroy(event));
}

CUresult fake_event_record(CUevent event, CUstream stream)
{
    FAKE_BODY(event_record, NEEDS_CONTEXT, event_record(event, stream));
}

CUresult fake_event_synchronize(CUevent event)
{
    FAKE_BODY(event_synchronize, NEEDS_CONTEXT, event_wait(event));
}

CUresult fake_event_elapsed_time(float *ms, CUevent start, CUevent end)
{
    FAKE_BODY(event_elapsed_time, NEEDS_CONTEXT, event_elapsed(ms, start, end));
}
