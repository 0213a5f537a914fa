/*
 * The wire between the tuner and its worker processes: frames, and the primitives payloads are made
 * of. Private, versioned with the library, little-endian. Neither side trusts the other's lengths:
 * a truncated or garbled frame is a status, never a read or an allocation beyond what arrived.
 */
#ifndef TFOPS_TUNER_PROTOCOL_H
#define TFOPS_TUNER_PROTOCOL_H

#include "base/env.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    WIRE_MAGIC = 0x31774674, /* "tFw1" */
    WIRE_VERSION = 3,        /* of the messages: raise with every change of any payload */
    WIRE_HEADER_BYTES = 16,  /* magic, type, tag, payload bytes: u32 each */
    WIRE_MAX_PAYLOAD = 64 << 20,
};

enum wire_type {
    WIRE_HELLO = 1, /* worker → parent, first and unasked: version, library version */
    WIRE_ANSWER,    /* worker → parent: see wire_answer */
    WIRE_SETUP,     /* parent → worker, first: libraries and plug-ins to use */
    WIRE_COMPILE,
    WIRE_WARM, /* make the context of a device, so that OPEN is quick */
    WIRE_OPEN,
    WIRE_ADD,
    WIRE_MEASURE,
    WIRE_ROOF,
    WIRE_DROP,
    WIRE_CLOSE,
    WIRE_EMULATE, /* run a variant that was built for the host */
    WIRE_TYPE_COUNT
};

/* ---- writing: failures (memory) are sticky, check once ----------------------------------- */

struct wire_writer {
    const struct env *env;
    uint8_t *data;
    size_t n, capacity;
    bool failed;
};
void wire_writer_init(struct wire_writer *writer, const struct env *env);
void wire_writer_release(struct wire_writer *writer);
/* Starts a frame (dropping what was there) and ends it: its length is filled in. */
void wire_begin(struct wire_writer *writer, enum wire_type type, uint32_t tag);
enum tfops_status wire_end(
    struct wire_writer *writer); /* TFOPS_E_MEMORY, TFOPS_E_RANGE (too long) */
void wire_put_u32(struct wire_writer *writer, uint32_t value);
void wire_put_u64(struct wire_writer *writer, uint64_t value);
void wire_put_i64(struct wire_writer *writer, int64_t value);
void wire_put_f64(struct wire_writer *writer, double value);
void wire_put_string(struct wire_writer *writer, const char *text); /* NULL: as "" */
void wire_put_bytes(struct wire_writer *writer, const void *data, size_t bytes);

/* ---- reading: the first value that is not there makes the reader fail, and every later one  */

struct wire_reader {
    const uint8_t *data;
    size_t n, at;
    bool failed;
};
void wire_reader_init(struct wire_reader *reader, const void *data, size_t bytes);
uint32_t wire_get_u32(struct wire_reader *reader); /* 0 when failed */
uint64_t wire_get_u64(struct wire_reader *reader);
int64_t wire_get_i64(struct wire_reader *reader);
double wire_get_f64(struct wire_reader *reader);
/* Points into the payload; "" when failed. Refuses text with a zero byte inside. */
const char *wire_get_string(struct wire_reader *reader);
/* Points into the payload; NULL when failed or empty. */
const void *wire_get_bytes(struct wire_reader *reader, size_t *ret_bytes);
/* A count of things of at least `least_bytes` each: fails when the payload cannot hold them. */
uint32_t wire_get_count(struct wire_reader *reader, size_t least_bytes);
/* Everything was read and nothing is left over. */
bool wire_reader_done(const struct wire_reader *reader);

/* ---- frames ------------------------------------------------------------------------------ */

struct wire_frame {
    uint32_t type, tag;
    const uint8_t *payload;
    size_t bytes;
};
enum wire_parse { WIRE_MORE = 0, WIRE_FRAME, WIRE_BAD };
/* The first frame of `data`; *ret_used is its whole length. */
enum wire_parse wire_parse(
    const uint8_t *data, size_t bytes, struct wire_frame *ret_frame, size_t *ret_used);

/* Blocking, for the worker's side. A peer that is gone is TFOPS_E_IO (message "end of input" when
 * it left between frames). *buffer is a growing store of the caller, the frame points into it. */
struct wire_buffer {
    const struct env *env;
    uint8_t *data;
    size_t n, capacity;
};
void wire_buffer_release(struct wire_buffer *buffer);
/* Room for `more` bytes behind n. */
enum tfops_status wire_buffer_reserve(struct wire_buffer *buffer, size_t more);
/* Removes the first `bytes`. */
void wire_buffer_consume(struct wire_buffer *buffer, size_t bytes);
enum tfops_status wire_read_frame(int fd, struct wire_buffer *buffer, struct wire_frame *ret_frame);
enum tfops_status wire_write(int fd, const void *data, size_t bytes);

/* ---- the head of every answer ------------------------------------------------------------ */

/* The worker cannot go on after a fault: it ends itself once the answer is written. */
struct wire_answer {
    enum tfops_status status;
    int32_t native;
    bool last;
    const char *message; /* "" with TFOPS_OK */
};
void wire_put_answer(struct wire_writer *writer, const struct wire_answer *answer);
bool wire_get_answer(struct wire_reader *reader, struct wire_answer *ret_answer);

#endif
