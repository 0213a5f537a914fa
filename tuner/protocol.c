/* Frames and primitives of the tuner's wire (see protocol.h). Knows no message. */
#include "protocol.h"
#include "base/error.h"
#include "base/mem.h"
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* ---- writing ----------------------------------------------------------------------------- */

void wire_writer_init(struct wire_writer *writer, const struct env *env)
{
    *writer = (struct wire_writer){.env = env};
}

void wire_writer_release(struct wire_writer *writer)
{
    mem_free(writer->env, writer->data);
    *writer = (struct wire_writer){.env = writer->env};
}

static uint8_t *extend(struct wire_writer *writer, size_t bytes)
{
    if (writer->failed)
        return NULL;
    if (bytes > writer->capacity - writer->n) {
        size_t capacity = writer->capacity ? writer->capacity : 4096;
        while (capacity - writer->n < bytes && capacity <= SIZE_MAX / 2)
            capacity *= 2;
        uint8_t *moved = mem_grow(writer->env, writer->data, writer->n, capacity, 1);
        if (!moved) {
            writer->failed = true;
            return NULL;
        }
        writer->data = moved;
        writer->capacity = capacity;
    }
    uint8_t *at = writer->data + writer->n;
    writer->n += bytes;
    return at;
}

static void store_u32(uint8_t *at, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        at[i] = (uint8_t)(value >> (8 * i));
}

static uint32_t load_u32(const uint8_t *at)
{
    return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

void wire_put_u32(struct wire_writer *writer, uint32_t value)
{
    uint8_t *at = extend(writer, 4);
    if (at)
        store_u32(at, value);
}

void wire_put_u64(struct wire_writer *writer, uint64_t value)
{
    wire_put_u32(writer, (uint32_t)value);
    wire_put_u32(writer, (uint32_t)(value >> 32));
}

void wire_put_i64(struct wire_writer *writer, int64_t value)
{
    wire_put_u64(writer, (uint64_t)value);
}

void wire_put_f64(struct wire_writer *writer, double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    wire_put_u64(writer, bits);
}

void wire_put_bytes(struct wire_writer *writer, const void *data, size_t bytes)
{
    if (bytes > WIRE_MAX_PAYLOAD) {
        writer->failed = true;
        return;
    }
    wire_put_u32(writer, (uint32_t)bytes);
    uint8_t *at = extend(writer, bytes);
    if (at && bytes)
        memcpy(at, data, bytes);
}

void wire_put_string(struct wire_writer *writer, const char *text)
{
    text = text ? text : "";
    wire_put_bytes(writer, text, strlen(text) + 1);
}

void wire_begin(struct wire_writer *writer, enum wire_type type, uint32_t tag)
{
    writer->n = 0;
    writer->failed = false;
    wire_put_u32(writer, WIRE_MAGIC);
    wire_put_u32(writer, (uint32_t)type);
    wire_put_u32(writer, tag);
    wire_put_u32(writer, 0);
}

enum tfops_status wire_end(struct wire_writer *writer)
{
    if (writer->failed)
        return error_set(TFOPS_E_MEMORY, "wire", "message", "memory for it, at most 64 MiB", NULL);
    size_t bytes = writer->n - WIRE_HEADER_BYTES;
    if (bytes > WIRE_MAX_PAYLOAD)
        return error_set(TFOPS_E_RANGE, "wire", "message", "at most 64 MiB", NULL);
    store_u32(writer->data + 12, (uint32_t)bytes);
    return TFOPS_OK;
}

/* ---- reading ----------------------------------------------------------------------------- */

void wire_reader_init(struct wire_reader *reader, const void *data, size_t bytes)
{
    *reader = (struct wire_reader){.data = data, .n = bytes};
}

static const uint8_t *take(struct wire_reader *reader, size_t bytes)
{
    if (reader->failed || bytes > reader->n - reader->at) {
        reader->failed = true;
        return NULL;
    }
    const uint8_t *at = reader->data + reader->at;
    reader->at += bytes;
    return at;
}

uint32_t wire_get_u32(struct wire_reader *reader)
{
    const uint8_t *at = take(reader, 4);
    return at ? load_u32(at) : 0;
}

uint64_t wire_get_u64(struct wire_reader *reader)
{
    const uint8_t *at = take(reader, 8);
    return at ? load_u32(at) | (uint64_t)load_u32(at + 4) << 32 : 0;
}

int64_t wire_get_i64(struct wire_reader *reader)
{
    return (int64_t)wire_get_u64(reader);
}

double wire_get_f64(struct wire_reader *reader)
{
    uint64_t bits = wire_get_u64(reader);
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

const void *wire_get_bytes(struct wire_reader *reader, size_t *ret_bytes)
{
    size_t bytes = wire_get_u32(reader);
    const uint8_t *at = take(reader, bytes);
    *ret_bytes = at ? bytes : 0;
    return at && bytes ? at : NULL;
}

const char *wire_get_string(struct wire_reader *reader)
{
    size_t bytes;
    const char *text = wire_get_bytes(reader, &bytes);
    if (text && memchr(text, '\0', bytes) == text + bytes - 1)
        return text;
    reader->failed = true;
    return "";
}

uint32_t wire_get_count(struct wire_reader *reader, size_t least_bytes)
{
    uint32_t count = wire_get_u32(reader);
    if (!reader->failed && count > (reader->n - reader->at) / (least_bytes ? least_bytes : 1))
        reader->failed = true;
    return reader->failed ? 0 : count;
}

bool wire_reader_done(const struct wire_reader *reader)
{
    return !reader->failed && reader->at == reader->n;
}

/* ---- frames ------------------------------------------------------------------------------ */

enum wire_parse wire_parse(
    const uint8_t *data, size_t bytes, struct wire_frame *ret_frame, size_t *ret_used)
{
    if (bytes >= 4 && load_u32(data) != WIRE_MAGIC)
        return WIRE_BAD;
    if (bytes < WIRE_HEADER_BYTES)
        return WIRE_MORE;
    uint32_t type = load_u32(data + 4), length = load_u32(data + 12);
    if (!type || type >= WIRE_TYPE_COUNT || length > WIRE_MAX_PAYLOAD)
        return WIRE_BAD;
    if (bytes - WIRE_HEADER_BYTES < length)
        return WIRE_MORE;
    *ret_frame = (struct wire_frame){.type = type,
        .tag = load_u32(data + 8),
        .payload = data + WIRE_HEADER_BYTES,
        .bytes = length};
    *ret_used = WIRE_HEADER_BYTES + length;
    return WIRE_FRAME;
}

void wire_buffer_release(struct wire_buffer *buffer)
{
    mem_free(buffer->env, buffer->data);
    *buffer = (struct wire_buffer){.env = buffer->env};
}

enum tfops_status wire_buffer_reserve(struct wire_buffer *buffer, size_t more)
{
    if (buffer->capacity - buffer->n >= more)
        return TFOPS_OK;
    size_t capacity = buffer->capacity ? buffer->capacity : 65536;
    while (capacity - buffer->n < more)
        capacity *= 2;
    uint8_t *moved = mem_grow(buffer->env, buffer->data, buffer->n, capacity, 1);
    if (!moved)
        return TFOPS_E_MEMORY;
    buffer->data = moved;
    buffer->capacity = capacity;
    return TFOPS_OK;
}

void wire_buffer_consume(struct wire_buffer *buffer, size_t bytes)
{
    buffer->n -= bytes;
    if (buffer->n)
        memmove(buffer->data, buffer->data + bytes, buffer->n);
}

enum tfops_status wire_read_frame(int fd, struct wire_buffer *buffer, struct wire_frame *ret_frame)
{
    for (;;) {
        size_t used;
        enum wire_parse parse = wire_parse(buffer->data, buffer->n, ret_frame, &used);
        if (parse == WIRE_FRAME)
            return TFOPS_OK;
        if (parse == WIRE_BAD)
            return error_set(TFOPS_E_IO, "wire", "frame", "a frame of this protocol", "garbage");
        enum tfops_status status = wire_buffer_reserve(buffer, 65536);
        if (status)
            return status;
        ssize_t got = read(fd, buffer->data + buffer->n, buffer->capacity - buffer->n);
        if (got > 0)
            buffer->n += (size_t)got;
        else if (got == 0)
            return error_setf(TFOPS_E_IO, 0, "wire", "input", "end of input%s",
                buffer->n ? " inside a frame" : "");
        else if (errno != EINTR)
            return error_setf(TFOPS_E_IO, errno, "wire", "input", "read: %s", strerror(errno));
    }
}

enum tfops_status wire_write(int fd, const void *data, size_t bytes)
{
    const uint8_t *at = data;
    bool is_socket = true; /* send() keeps a lost peer from raising SIGPIPE */
    while (bytes) {
        ssize_t put = is_socket ? send(fd, at, bytes, MSG_NOSIGNAL) : write(fd, at, bytes);
        if (put >= 0) {
            at += put;
            bytes -= (size_t)put;
        } else if (is_socket && errno == ENOTSOCK) {
            is_socket = false;
        } else if (errno != EINTR) {
            return error_setf(TFOPS_E_IO, errno, "wire", "output", "write: %s", strerror(errno));
        }
    }
    return TFOPS_OK;
}

/* ---- the head of every answer ------------------------------------------------------------ */

void wire_put_answer(struct wire_writer *writer, const struct wire_answer *answer)
{
    wire_put_u32(writer, (uint32_t)answer->status);
    wire_put_u32(writer, (uint32_t)answer->native);
    wire_put_u32(writer, answer->last);
    wire_put_string(writer, answer->message);
}

bool wire_get_answer(struct wire_reader *reader, struct wire_answer *ret_answer)
{
    uint32_t status = wire_get_u32(reader);
    ret_answer->native = (int32_t)wire_get_u32(reader);
    ret_answer->last = wire_get_u32(reader) != 0;
    ret_answer->message = wire_get_string(reader);
    if (status >= TFOPS_STATUS_COUNT)
        reader->failed = true;
    ret_answer->status = reader->failed ? TFOPS_E_WORKER : (enum tfops_status)status;
    return !reader->failed;
}
