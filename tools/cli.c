/* What every tool shares (see cli.h). */
#define _POSIX_C_SOURCE 200809L
#include "cli.h"
#include "cli_json.h"
#include "cli_text.h"
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

void cli_init(struct cli *cli, const char *program, int argc, char **argv)
{
    *cli = (struct cli){.program = program, .log_level = TFOPS_LOG_WARN};
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++)
        cli->json |= strcmp(argv[i], "--json") == 0;
}

void cli_error(struct tfops_error *ret_error, enum tfops_status status, const char *subject,
    const char *expected, const char *actual, const char *format, ...)
{
    *ret_error = (struct tfops_error){.size = sizeof *ret_error, .status = status};
    snprintf(ret_error->where, sizeof ret_error->where, "%s", "command line");
    cli_text_copy(ret_error->subject, sizeof ret_error->subject, subject);
    cli_text_copy(ret_error->expected, sizeof ret_error->expected, expected);
    cli_text_copy(ret_error->actual, sizeof ret_error->actual, actual);
    char message[sizeof ret_error->message];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    cli_text_copy(ret_error->message, sizeof ret_error->message, message);
}

int cli_fail(const struct cli *cli, int exit_code, const struct tfops_error *error)
{
    if (cli->json)
        cli_json_error(error);
    char line[sizeof error->message];
    cli_text_copy(line, sizeof line, error->message);
    fprintf(stderr, "%s: %s\n", cli->program, line);
    return exit_code;
}

static void clean(char *text, size_t bytes)
{
    char copy[sizeof((struct tfops_error *)0)->message];
    cli_text_copy(copy, bytes < sizeof copy ? bytes : sizeof copy, text);
    memcpy(text, copy, strlen(copy) + 1);
}

/* The library quotes what it was given: its text is cleaned as the command line's own is. */
void cli_last_error(enum tfops_status status, struct tfops_error *ret_error)
{
    *ret_error = (struct tfops_error){.size = sizeof *ret_error};
    if (tfops_error_last(ret_error) == TFOPS_OK && ret_error->status == status) {
        clean(ret_error->subject, sizeof ret_error->subject);
        clean(ret_error->expected, sizeof ret_error->expected);
        clean(ret_error->actual, sizeof ret_error->actual);
        clean(ret_error->message, sizeof ret_error->message);
        return;
    }
    cli_error(ret_error, status, "", NULL, NULL, "%s", tfops_status_text(status));
}

int cli_fail_last(const struct cli *cli, enum tfops_status status, const char *doing)
{
    struct tfops_error error;
    cli_last_error(status, &error);
    if (doing) {
        char message[sizeof error.message];
        snprintf(message, sizeof message, "%.200s: %.*s", doing, (int)(sizeof message - 1 - 204),
            error.message);
        memcpy(error.message, message, sizeof message);
    }
    return cli_fail(cli, CLI_FAILED, &error);
}

void cli_log(void *user, enum tfops_log_level level, const char *line)
{
    static const char *const NAMES[] = {"error", "warning", "info", "debug"};
    const struct cli *cli = user;
    if (level > cli->log_level || (size_t)level >= sizeof NAMES / sizeof *NAMES)
        return;
    fprintf(stderr, "%s: %s: %s\n", cli->program, NAMES[level], line);
}

int cli_finish(const struct cli *cli, int exit_code)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return exit_code;
    fprintf(stderr, "%s: cannot write to stdout\n", cli->program);
    return exit_code == CLI_OK ? CLI_FAILED : exit_code;
}

double cli_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

void cli_date(char ret_text[32])
{
    time_t now = time(NULL);
    struct tm utc;
    if (!gmtime_r(&now, &utc) || strftime(ret_text, 32, "%Y-%m-%dT%H:%M:%SZ", &utc) == 0)
        ret_text[0] = 0;
}

void *cli_new(size_t n, size_t size)
{
    return calloc(n ? n : 1, size); /* calloc checks the product */
}

bool cli_grow(void **memory, size_t *capacity, size_t need, size_t size)
{
    if (need <= *capacity)
        return true;
    size_t wanted = *capacity > SIZE_MAX / 2 ? need : *capacity * 2;
    if (wanted < need)
        wanted = need;
    if (wanted < 16)
        wanted = 16;
    size_t bytes;
    if (__builtin_mul_overflow(wanted, size, &bytes))
        return false;
    void *grown = realloc(*memory, bytes);
    if (!grown)
        return false;
    *memory = grown;
    *capacity = wanted;
    return true;
}

char *cli_strdup(const char *text)
{
    size_t bytes = strlen(text) + 1;
    char *copy = cli_new(bytes, 1);
    return copy ? memcpy(copy, text, bytes) : NULL;
}

int cli_fail_memory(const struct cli *cli)
{
    struct tfops_error error;
    cli_error(&error, TFOPS_E_MEMORY, "", NULL, NULL, "out of memory");
    return cli_fail(cli, CLI_FAILED, &error);
}
