/* A growing string. An allocation failure is sticky: append on, check once at the end. */
#ifndef TFOPS_BASE_STRBUF_H
#define TFOPS_BASE_STRBUF_H

#include "base/env.h"
#include <stdbool.h>

struct strbuf {
    const struct env *env;
    char *text; /* terminated; NULL until the first append */
    size_t length, capacity;
    bool failed;
};

void strbuf_init(struct strbuf *buf, const struct env *env);
void strbuf_release(struct strbuf *buf);
void strbuf_add(struct strbuf *buf, const char *text);
void strbuf_add_bytes(struct strbuf *buf, const void *data, size_t bytes);
void strbuf_addf(struct strbuf *buf, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* "" when nothing was added; valid until the next change. */
const char *strbuf_text(const struct strbuf *buf);
/* Hands the text over (mem_free it); NULL when an append failed. */
char *strbuf_take(struct strbuf *buf);

#endif
