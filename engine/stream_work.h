/*
 * Copies and fills in the order of a stream, on memory of an engine's device: what is enqueued beside
 * kernels. On the cpu device they are done when the call returns. Nothing waits.
 */
#ifndef TFOPS_ENGINE_STREAM_WORK_H
#define TFOPS_ENGINE_STREAM_WORK_H

#include "engine_state.h"
#include <tfops/plan.h>

/* Whether work can be enqueued at all: a device with memory, no stream on the cpu device. */
enum tfops_status stream_work_check(const struct tfops_engine *engine, struct CUstream_st *stream);

/* A fill with 0, and one 32-bit word. */
enum tfops_status stream_work_zero(
    struct tfops_engine *engine, void *to, size_t bytes, struct CUstream_st *stream);
enum tfops_status stream_work_set_word(
    struct tfops_engine *engine, void *to, uint32_t word, struct CUstream_st *stream);

/* The elements of a matrix, rows of each contiguous. Same shape and dtype. */
enum tfops_status stream_work_copy(struct tfops_engine *engine, const struct tfops_tensor *from,
    const struct tfops_tensor *to, struct CUstream_st *stream);

/* Refuses an address that the engine's device cannot read: of the host, of another device. Where the
 * driver does not tell, it is let pass. `name` is the record's subject. */
enum tfops_status stream_work_reaches(
    struct tfops_engine *engine, const char *name, const void *address);

#endif
