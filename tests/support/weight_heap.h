/* The device memory of weights in tests: of the engine, counted, with an allocation that fails. */
#ifndef TFOPS_TESTS_WEIGHT_HEAP_H
#define TFOPS_TESTS_WEIGHT_HEAP_H

#include <stddef.h>
#include <tfops/engine.h>
#include <tfops/weight.h>

struct weight_heap {
    struct tfops_engine *engine;
    size_t live, most, calls, fail_at; /* fail_at 0: never */
    struct CUstream_st *stream;        /* of the last call */
};

static inline void *weight_heap_alloc(void *user, size_t bytes, struct CUstream_st *stream)
{
    struct weight_heap *heap = (struct weight_heap *)user;
    void *memory = NULL;
    heap->stream = stream;
    if (++heap->calls == heap->fail_at || tfops_device_alloc(heap->engine, bytes, &memory))
        return NULL;
    heap->live++;
    heap->most = heap->live > heap->most ? heap->live : heap->most;
    return memory;
}

static inline void weight_heap_free(void *user, void *memory, struct CUstream_st *stream)
{
    struct weight_heap *heap = (struct weight_heap *)user;
    heap->stream = stream;
    heap->live--;
    tfops_device_free(heap->engine, memory);
}

static inline struct tfops_weight_options weight_heap_options(
    struct weight_heap *heap, uint32_t scaling, uint32_t flags)
{
    return (struct tfops_weight_options){.size = sizeof(struct tfops_weight_options),
        .scaling = scaling,
        .flags = flags,
        .alloc = weight_heap_alloc,
        .free = weight_heap_free,
        .alloc_user = heap};
}

#endif
