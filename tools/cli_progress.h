/*
 * Progress on stderr: a bar with the time left on a terminal, a line now and then elsewhere. Not
 * locked: callers on several threads hold their own lock.
 */
#ifndef TFOPS_TOOLS_CLI_PROGRESS_H
#define TFOPS_TOOLS_CLI_PROGRESS_H

#include <stdbool.h>
#include <stddef.h>

enum cli_progress_mode { CLI_PROGRESS_AUTO = 0, CLI_PROGRESS_PLAIN, CLI_PROGRESS_NONE };
#define CLI_PROGRESS_METAVAR "auto|plain|none"

struct cli_progress {
    bool bar, lines;
    double started, shown; /* cli_seconds() */
    bool drawn;            /* a bar stands on the last line of the terminal */
};

void cli_progress_start(struct cli_progress *progress, int mode);
/* `fraction` of the whole run that is done (0 … 1), `text` what it does now. */
void cli_progress_show(struct cli_progress *progress, double fraction, const char *text);
/* Clears the bar, so that other output has the line to itself. */
void cli_progress_clear(struct cli_progress *progress);

/* "1:05", "2:10:03" or "-" when it cannot be told. */
void cli_progress_time(char ret_text[32], double seconds);
/* Seconds left when `fraction` took `elapsed`; negative when it cannot be told yet. */
double cli_progress_left(double elapsed, double fraction);

#endif
