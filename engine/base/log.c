/* Log lines (see log.h). */
#include "base/log.h"
#include <stdarg.h>
#include <stdio.h>

void log_line(const struct env *env, enum tfops_log_level level, const char *format, ...)
{
    if (!env || !env->log)
        return;
    char line[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    env->log(env->log_user, level, line);
}
