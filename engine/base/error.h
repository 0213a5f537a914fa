/* The per-thread error record: how every stage says what went wrong. */
#ifndef TFOPS_BASE_ERROR_H
#define TFOPS_BASE_ERROR_H

#include <stdint.h>
#include <tfops/status.h>

/*
 * Sets the record and returns `status`, so that a failure is one statement:
 *     return error_set(TFOPS_E_SHAPE, "request", "x", "a last extent of 4096", "4095", …);
 * `expected`, `actual` may be NULL. The message is made from the parts.
 */
enum tfops_status error_set(enum tfops_status status, const char *where, const char *subject,
    const char *expected, const char *actual);
/* The same with a free message and the native code of a library below (CUresult, SQLite, errno). */
enum tfops_status error_setf(enum tfops_status status, int32_t native, const char *where,
    const char *subject, const char *format, ...) __attribute__((format(printf, 5, 6)));
#ifdef __clang_analyzer__
/* The analyzer sees one file at a time: that a refusal is not TFOPS_OK it learns here. */
#    define error_set(status, ...) ((void)(error_set)((status), __VA_ARGS__), (status))
#    define error_setf(status, ...) ((void)(error_setf)((status), __VA_ARGS__), (status))
#endif
/* The message of the last failure on this thread; "" when there was none. */
const char *error_message(void);
/* Saves and restores around clean-up that may fail itself. */
void error_save(struct tfops_error *ret_saved);
void error_restore(const struct tfops_error *saved);

#endif
