/*
 * Assertions that print what they compared, for Criterion tests. Header only; include criterion
 * first.
 */
#ifndef TFOPS_TESTS_EXPECT_H
#define TFOPS_TESTS_EXPECT_H

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tfops/status.h>

/* The calling thread's error record. */
static inline struct tfops_error expect_error(void)
{
    struct tfops_error error = {.size = sizeof error};
    tfops_error_last(&error);
    return error;
}

#define EXPECT_STATUS(expression, wanted)                                                          \
    do {                                                                                           \
        const enum tfops_status expect_got = (expression), expect_want = (wanted);                 \
        cr_assert_eq(expect_got, expect_want, "%s: got %s (%s), wanted %s", #expression,           \
            tfops_status_name(expect_got), expect_got ? expect_error().message : "",               \
            tfops_status_name(expect_want));                                                       \
    } while (0)

#define EXPECT_OK(expression) EXPECT_STATUS(expression, TFOPS_OK)

/* Refused with `wanted`, the record naming `named` as its subject and saying something. */
#define EXPECT_REFUSED(expression, wanted, named)                                                  \
    do {                                                                                           \
        EXPECT_STATUS(expression, wanted);                                                         \
        const struct tfops_error expect_last = expect_error();                                     \
        cr_assert_eq(expect_last.status, wanted, "%s: the record says %s, wanted %s", #expression, \
            tfops_status_name(expect_last.status), tfops_status_name(wanted));                     \
        cr_assert_str_eq(expect_last.subject, named, "%s: subject \"%s\", wanted \"%s\" (%s)",     \
            #expression, expect_last.subject, named, expect_last.message);                         \
        cr_assert(expect_last.message[0], "%s: no message", #expression);                          \
    } while (0)

#define EXPECT_CONTAINS(text, part)                                                                \
    cr_assert(strstr(text, part), "\"%s\" is not in \"%s\"", part, text)

#define EXPECT_LACKS(text, part) cr_assert(!strstr(text, part), "\"%s\" is in \"%s\"", part, text)

#define EXPECT_INT(got, wanted)                                                                    \
    do {                                                                                           \
        const int64_t expect_a = (int64_t)(got), expect_b = (int64_t)(wanted);                     \
        cr_assert_eq(                                                                              \
            expect_a, expect_b, "%s is %" PRId64 ", wanted %" PRId64, #got, expect_a, expect_b);   \
    } while (0)

#define EXPECT_TEXT(got, wanted)                                                                   \
    do {                                                                                           \
        const char *expect_a = (got), *expect_b = (wanted);                                        \
        cr_assert_str_eq(                                                                          \
            expect_a, expect_b, "%s is \"%s\", wanted \"%s\"", #got, expect_a, expect_b);          \
    } while (0)

/* The record of the last failure in words, "subject: expected …, got …"; a static buffer. */
static inline const char *expect_detail(void)
{
    static char text[576];
    const struct tfops_error error = expect_error();
    snprintf(
        text, sizeof text, "%s: expected %s, got %s", error.subject, error.expected, error.actual);
    return text;
}

#define EXPECT_DETAIL(wanted) EXPECT_TEXT(expect_detail(), wanted)

/* An allocator that counts what is live and fails the n-th allocation from now on. */
struct expect_heap {
    size_t live, calls, fail_at; /* fail_at 0: never */
};

static inline void *expect_heap_alloc(void *user, size_t bytes)
{
    struct expect_heap *heap = (struct expect_heap *)user;
    heap->calls++;
    if (heap->fail_at && heap->calls == heap->fail_at)
        return NULL;
    void *memory = malloc(bytes ? bytes : 1);
    if (memory)
        memset(memory, 0xa5, bytes);
    heap->live += memory != NULL;
    return memory;
}

static inline void expect_heap_free(void *user, void *memory)
{
    struct expect_heap *heap = (struct expect_heap *)user;
    heap->live -= memory != NULL;
    free(memory);
}

#endif
