/* The log callback: one line, without newline. A NULL callback drops it. */
#ifndef TFOPS_BASE_LOG_H
#define TFOPS_BASE_LOG_H

#include "base/env.h"

void log_line(const struct env *env, enum tfops_log_level level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
