/* Growing strings (see strbuf.h). */
#include "base/strbuf.h"
#include "base/mem.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void strbuf_init(struct strbuf *buf, const struct env *env)
{
    *buf = (struct strbuf){.env = env};
}

void strbuf_release(struct strbuf *buf)
{
    mem_free(buf->env, buf->text);
    *buf = (struct strbuf){.env = buf->env};
}

static bool reserve(struct strbuf *buf, size_t more)
{
    if (buf->failed)
        return false;
    if (buf->length + more < buf->capacity)
        return true;
    size_t capacity = (buf->length + more + 1) * 2;
    char *text = mem_grow(buf->env, buf->text, buf->length, capacity, 1);
    if (!text) {
        buf->failed = true;
        return false;
    }
    buf->text = text;
    buf->capacity = capacity;
    return true;
}

void strbuf_add_bytes(struct strbuf *buf, const void *data, size_t bytes)
{
    if (!reserve(buf, bytes))
        return;
    if (bytes)
        memcpy(buf->text + buf->length, data, bytes);
    buf->length += bytes;
    buf->text[buf->length] = '\0';
}

void strbuf_add(struct strbuf *buf, const char *text)
{
    strbuf_add_bytes(buf, text, strlen(text));
}

void strbuf_addf(struct strbuf *buf, const char *format, ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int length = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (length >= 0 && reserve(buf, (size_t)length)) {
        vsnprintf(buf->text + buf->length, (size_t)length + 1, format, again);
        buf->length += (size_t)length;
    }
    va_end(again);
}

const char *strbuf_text(const struct strbuf *buf)
{
    return buf->text ? buf->text : "";
}

char *strbuf_take(struct strbuf *buf)
{
    strbuf_add(buf, "");
    char *text = buf->failed ? NULL : buf->text;
    if (text)
        buf->text = NULL;
    strbuf_release(buf);
    return text;
}
