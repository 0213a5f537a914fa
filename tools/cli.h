/*
 * What every tool shares: its name, whether it speaks JSON, how it fails. Data goes to stdout,
 * diagnostics to stderr; a failure is one line for people and, with --json, one object on stdout
 * too. Nothing here knows what a tool does.
 */
#ifndef TFOPS_TOOLS_CLI_H
#define TFOPS_TOOLS_CLI_H

#include <stdbool.h>
#include <stddef.h>
#include <tfops/status.h>

enum cli_exit { CLI_OK = 0, CLI_FAILED = 1, CLI_USAGE = 2 };

struct cli {
    const char *program;
    bool json;
    enum tfops_log_level log_level; /* lines above it are dropped */
};

/* Looks for --json in the raw arguments, so that a failing option parser can already obey it. */
void cli_init(struct cli *cli, const char *program, int argc, char **argv);

/* Fills an error object; `expected` and `actual` may be NULL. */
void cli_error(struct tfops_error *ret_error, enum tfops_status status, const char *subject,
    const char *expected, const char *actual, const char *format, ...)
    __attribute__((format(printf, 6, 7)));

/* Reports the failure and returns `exit_code`, so that a failure is one statement. */
int cli_fail(const struct cli *cli, int exit_code, const struct tfops_error *error);
/* The same for the library's last failure on this thread; `doing` (may be NULL) goes in front. */
int cli_fail_last(const struct cli *cli, enum tfops_status status, const char *doing);
/* Fetches the library's last failure, or makes one from `status` when it left no record. */
void cli_last_error(enum tfops_status status, struct tfops_error *ret_error);

/* The log callback of tools; `user` is the struct cli. */
void cli_log(void *user, enum tfops_log_level level, const char *line);

/* Flushes stdout: a full disk or closed pipe turns success into failure. Returns the exit code. */
int cli_finish(const struct cli *cli, int exit_code);

/* Seconds of a monotonic clock. */
double cli_seconds(void);
/* The time now as ISO 8601 in UTC. */
void cli_date(char ret_text[32]);

/*
 * An overflow-checked calloc; NULL when memory ran out. Tools have no allocator to choose and link
 * only the JSON part of the library's floor.
 */
void *cli_new(size_t n, size_t size);
/* Grows an array to at least `need` elements; false (and nothing changed) when memory ran out. */
bool cli_grow(void **memory, size_t *capacity, size_t need, size_t size);
char *cli_strdup(const char *text);
int cli_fail_memory(const struct cli *cli);

#endif
