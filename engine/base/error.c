/* The per-thread error record (see error.h) and its public face. */
#include "base/error.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static _Thread_local struct tfops_error last;

static const struct {
    const char *name, *text;
} STATUS[TFOPS_STATUS_COUNT] = {
    [TFOPS_OK] = {"TFOPS_OK", "success"},
    [TFOPS_E_ARGUMENT] = {"TFOPS_E_ARGUMENT", "bad argument"},
    [TFOPS_E_SHAPE] = {"TFOPS_E_SHAPE", "shape does not fit"},
    [TFOPS_E_DTYPE] = {"TFOPS_E_DTYPE", "dtype does not fit"},
    [TFOPS_E_ALIGNMENT] = {"TFOPS_E_ALIGNMENT", "address is not aligned to its element"},
    [TFOPS_E_OVERLAP] = {"TFOPS_E_OVERLAP", "operands overlap"},
    [TFOPS_E_RANGE] = {"TFOPS_E_RANGE", "value out of range"},
    [TFOPS_E_UNKNOWN] = {"TFOPS_E_UNKNOWN", "unknown name"},
    [TFOPS_E_UNSUPPORTED] = {"TFOPS_E_UNSUPPORTED", "not supported on this architecture"},
    [TFOPS_E_MEMORY] = {"TFOPS_E_MEMORY", "out of memory"},
    [TFOPS_E_DRIVER] = {"TFOPS_E_DRIVER", "CUDA driver error"},
    [TFOPS_E_NVRTC] = {"TFOPS_E_NVRTC", "NVRTC error"},
    [TFOPS_E_COMPILE] = {"TFOPS_E_COMPILE", "kernel did not compile"},
    [TFOPS_E_COLD] = {"TFOPS_E_COLD", "nothing is prepared for this key"},
    [TFOPS_E_CONTEXT] = {"TFOPS_E_CONTEXT", "stream of another context"},
    [TFOPS_E_FORKED] = {"TFOPS_E_FORKED", "called after fork"},
    [TFOPS_E_CACHE] = {"TFOPS_E_CACHE", "unusable cache file"},
    [TFOPS_E_IO] = {"TFOPS_E_IO", "input/output error"},
    [TFOPS_E_BUSY] = {"TFOPS_E_BUSY", "held by someone else"},
    [TFOPS_E_TIMEOUT] = {"TFOPS_E_TIMEOUT", "timed out"},
    [TFOPS_E_WORKER] = {"TFOPS_E_WORKER", "worker process failed"},
    [TFOPS_E_WRONG] = {"TFOPS_E_WRONG", "wrong result"},
    [TFOPS_E_CANCELLED] = {"TFOPS_E_CANCELLED", "cancelled"},
    [TFOPS_E_ABI] = {"TFOPS_E_ABI", "another ABI"},
    [TFOPS_E_INTERNAL] = {"TFOPS_E_INTERNAL", "internal error"},
};

const char *tfops_status_name(enum tfops_status status)
{
    return (unsigned)status < TFOPS_STATUS_COUNT ? STATUS[status].name : "TFOPS_E_?";
}

const char *tfops_status_text(enum tfops_status status)
{
    return (unsigned)status < TFOPS_STATUS_COUNT ? STATUS[status].text : "unknown status";
}

/* How much of a text longer than `bytes` is kept: whole words, or whole characters of a long word. */
static size_t cut(const char *text, size_t bytes)
{
    for (size_t end = bytes; end > bytes / 2; end--)
        if (text[end - 1] == ' ')
            return end;
    while (bytes && ((unsigned char)text[bytes] & 0xc0) == 0x80)
        bytes--;
    return bytes;
}

static void put(char *field, size_t bytes, const char *text)
{
    static const char MORE[] = "…";
    text = text ? text : "";
    if (strlen(text) < bytes)
        snprintf(field, bytes, "%s", text);
    else
        snprintf(field, bytes, "%.*s%s", (int)cut(text, bytes - sizeof MORE), text, MORE);
}

static void start(enum tfops_status status, int32_t native, const char *where, const char *subject)
{
    last.size = sizeof last;
    last.status = status;
    last.native = native;
    put(last.where, sizeof last.where, where);
    put(last.subject, sizeof last.subject, subject);
    last.expected[0] = last.actual[0] = '\0';
}

enum tfops_status(error_set)(enum tfops_status status, const char *where, const char *subject,
    const char *expected, const char *actual)
{
    start(status, 0, where, subject);
    expected = expected && *expected ? expected : NULL;
    actual = actual && *actual ? actual : NULL;
    put(last.expected, sizeof last.expected, expected);
    put(last.actual, sizeof last.actual, actual);
    snprintf(last.message, sizeof last.message, "%s: %s: %s%s%s%s%s", last.where, last.subject,
        tfops_status_text(status), expected ? ": expected " : "", last.expected,
        actual ? ", got " : "", last.actual);
    return status;
}

enum tfops_status(error_setf)(enum tfops_status status, int32_t native, const char *where,
    const char *subject, const char *format, ...)
{
    char detail[384];
    va_list args;
    va_start(args, format);
    vsnprintf(detail, sizeof detail, format, args);
    va_end(args);
    start(status, native, where, subject);
    snprintf(last.message, sizeof last.message, "%s%s%s: %s", last.where,
        last.subject[0] ? ": " : "", last.subject, detail);
    return status;
}

const char *error_message(void)
{
    return last.message;
}

void error_save(struct tfops_error *ret_saved)
{
    *ret_saved = last;
}

void error_restore(const struct tfops_error *saved)
{
    last = *saved;
}

enum tfops_status tfops_error_last(struct tfops_error *ret_error)
{
    if (!ret_error || ret_error->size < offsetof(struct tfops_error, where))
        return TFOPS_E_ARGUMENT;
    size_t bytes = ret_error->size < sizeof last ? ret_error->size : sizeof last;
    memcpy((char *)ret_error + sizeof ret_error->size, (const char *)&last + sizeof last.size,
        bytes - sizeof last.size);
    return TFOPS_OK;
}
