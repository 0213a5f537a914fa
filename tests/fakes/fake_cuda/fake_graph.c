/*
 * Graphs from stream capture: a list of work with its parameters copied, replayed in order.
 *
 * A tuner replays graphs thousands of times for their time alone. So a replay computes only when
 * something other than graph replays has written memory since this graph last did; otherwise the
 * clock advances and memory stays as it is. That is right for kernels whose outputs are not their
 * inputs. FAKE_CUDA_REPLAY=always computes every time.
 */
#include "fake.h"
#include <stdlib.h>
#include <string.h>

static uint64_t touches;

void graph_touch(void)
{
    touches++;
}

static bool copy_params(struct work *work)
{
    if (work->kind != WORK_LAUNCH)
        return true;
    const size_t bytes = work->launch.function->entry->param_bytes;
    const void *from = work->launch.params;
    work->launch.params = malloc(bytes ? bytes : 1);
    if (work->launch.params && bytes)
        memcpy(work->launch.params, from, bytes);
    return work->launch.params;
}

CUresult graph_append(CUgraph graph, const struct work *work)
{
    if (graph->n == graph->capacity) {
        const size_t capacity = graph->capacity ? graph->capacity * 2 : 16;
        struct work *works = realloc(graph->works, capacity * sizeof *works);
        if (!works)
            return CUDA_ERROR_OUT_OF_MEMORY;
        graph->works = works;
        graph->capacity = capacity;
    }
    graph->works[graph->n] = *work;
    if (!copy_params(&graph->works[graph->n]))
        return CUDA_ERROR_OUT_OF_MEMORY;
    graph->n++;
    return CUDA_SUCCESS;
}

static void free_works(CUgraph graph)
{
    for (size_t i = 0; i < graph->n; i++) {
        if (graph->works[i].kind == WORK_LAUNCH)
            free(graph->works[i].launch.params);
    }
    free(graph->works);
    graph->works = NULL;
    graph->n = graph->capacity = 0;
}

void graph_clear(CUgraph graph)
{
    free_works(graph);
    if (graph->handle.live)
        gauges.live_graphs--;
    graph->handle.live = false;
}

static CUresult graph_new(CUgraph *ret_graph)
{
    if (!ret_graph)
        return CUDA_ERROR_INVALID_VALUE;
    CUgraph graph = handle_new(KIND_GRAPH, sizeof *graph);
    if (!graph)
        return CUDA_ERROR_OUT_OF_MEMORY;
    gauges.live_graphs++;
    *ret_graph = graph;
    return CUDA_SUCCESS;
}

static CUresult graph_free(CUgraph graph)
{
    if (!handle_is(graph, KIND_GRAPH))
        return CUDA_ERROR_INVALID_HANDLE;
    graph_clear(graph);
    return CUDA_SUCCESS;
}

static CUresult instantiate(CUgraphExec *ret_exec, CUgraph graph)
{
    if (!ret_exec)
        return CUDA_ERROR_INVALID_VALUE;
    if (!handle_is(graph, KIND_GRAPH))
        return CUDA_ERROR_INVALID_HANDLE;
    CUgraphExec exec = handle_new(KIND_EXEC, sizeof *exec);
    if (!exec)
        return CUDA_ERROR_OUT_OF_MEMORY;
    exec->context = context_current();
    for (size_t i = 0; i < graph->n; i++) {
        if (graph_append(&exec->copy, &graph->works[i]) != CUDA_SUCCESS) {
            free_works(&exec->copy);
            exec->handle.live = false;
            return CUDA_ERROR_OUT_OF_MEMORY;
        }
    }
    gauges.live_graphs++;
    *ret_exec = exec;
    return CUDA_SUCCESS;
}

static CUresult exec_free(CUgraphExec exec)
{
    if (!handle_is(exec, KIND_EXEC))
        return CUDA_ERROR_INVALID_HANDLE;
    free_works(&exec->copy);
    exec->handle.live = false;
    gauges.live_graphs--;
    return CUDA_SUCCESS;
}

static bool must_compute(const struct CUgraphExec_st *exec)
{
    const char *replay = getenv("FAKE_CUDA_REPLAY");
    return !exec->ran || exec->epoch != touches || (replay && strcmp(replay, "always") == 0);
}

static CUresult replay(CUgraphExec exec, CUstream handle)
{
    CUstream stream = stream_resolve(handle);
    if (!handle_is(exec, KIND_EXEC) || !stream || stream->context != exec->context)
        return CUDA_ERROR_INVALID_HANDLE;
    if (stream->capture != CU_STREAM_CAPTURE_STATUS_NONE) {
        CUresult result = CUDA_SUCCESS;
        for (size_t i = 0; i < exec->copy.n && result == CUDA_SUCCESS; i++)
            result = stream_submit(handle, &exec->copy.works[i]);
        return result;
    }
    const bool compute = must_compute(exec);
    exec->ran = true;
    exec->epoch = touches;
    stream->clock_ns += 1000;
    for (size_t i = 0; i < exec->copy.n; i++)
        run_work(stream, &exec->copy.works[i], true, compute); /* faults are asynchronous */
    return CUDA_SUCCESS;
}

CUresult fake_graph_create(CUgraph *graph, unsigned flags)
{
    FAKE_BODY(graph_create, NEEDS_CONTEXT, flags ? CUDA_ERROR_INVALID_VALUE : graph_new(graph));
}

CUresult fake_graph_destroy(CUgraph graph)
{
    FAKE_BODY(graph_destroy, NEEDS_INIT, graph_free(graph));
}

CUresult fake_graph_instantiate(CUgraphExec *exec, CUgraph graph, unsigned long long flags)
{
    (void)flags;
    FAKE_BODY(graph_instantiate, NEEDS_CONTEXT, instantiate(exec, graph));
}

CUresult fake_graph_launch(CUgraphExec exec, CUstream stream)
{
    FAKE_BODY(graph_launch, NEEDS_CONTEXT, replay(exec, stream));
}

CUresult fake_graph_exec_destroy(CUgraphExec exec)
{
    FAKE_BODY(graph_exec_destroy, NEEDS_INIT, exec_free(exec));
}
