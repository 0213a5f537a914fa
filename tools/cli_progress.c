/* Progress on stderr (see cli_progress.h). */
#include "cli_progress.h"
#include "cli.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define BAR_CELLS 24
#define BAR_EVERY_S 0.1
#define LINE_EVERY_S 10.0
#define MIN_ELAPSED_S 2.0 /* before that an estimate is a guess */

static bool is_terminal(void)
{
    const char *term = getenv("TERM");
    return isatty(STDERR_FILENO) && term && strcmp(term, "dumb") != 0;
}

void cli_progress_start(struct cli_progress *progress, int mode)
{
    bool bar = mode == CLI_PROGRESS_AUTO && is_terminal();
    double now = cli_seconds();
    *progress = (struct cli_progress){
        .bar = bar,
        .lines = !bar && mode != CLI_PROGRESS_NONE,
        .started = now,
        .shown = bar ? now - BAR_EVERY_S : now,
    };
}

double cli_progress_left(double elapsed, double fraction)
{
    if (elapsed < MIN_ELAPSED_S || fraction <= 0)
        return -1;
    return fraction >= 1 ? 0 : elapsed * (1 - fraction) / fraction;
}

void cli_progress_time(char ret_text[32], double seconds)
{
    if (!(seconds >= 0) || seconds > 1e7) {
        snprintf(ret_text, 32, "-");
        return;
    }
    unsigned all = (unsigned)(seconds + 0.5);
    if (all >= 3600)
        snprintf(ret_text, 32, "%u:%02u:%02u", all / 3600, all / 60 % 60, all % 60);
    else
        snprintf(ret_text, 32, "%u:%02u", all / 60, all % 60);
}

static int terminal_columns(void)
{
    struct winsize size;
    return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

static void draw_bar(double fraction, const char *left, const char *text)
{
    char cells[BAR_CELLS + 1];
    int full = (int)(fraction * BAR_CELLS);
    for (int i = 0; i < BAR_CELLS; i++)
        cells[i] = i < full ? '=' : i == full ? '>' : ' ';
    cells[BAR_CELLS] = 0;
    char line[512];
    snprintf(line, sizeof line, "[%s] %3.0f%%  %s left  %s", cells, fraction * 100, left, text);
    fprintf(stderr, "\r\033[K%.*s", terminal_columns() - 1, line);
    fflush(stderr);
}

void cli_progress_show(struct cli_progress *progress, double fraction, const char *text)
{
    double now = cli_seconds();
    double every = progress->bar ? BAR_EVERY_S : LINE_EVERY_S;
    if ((!progress->bar && !progress->lines) || now - progress->shown < every)
        return;
    fraction = fraction < 0 ? 0 : fraction > 1 ? 1 : fraction;
    progress->shown = now;
    char left[32];
    cli_progress_time(left, cli_progress_left(now - progress->started, fraction));
    if (progress->bar) {
        draw_bar(fraction, left, text);
        progress->drawn = true;
    } else {
        fprintf(stderr, "%3.0f%%  %s left  %s\n", fraction * 100, left, text);
    }
}

void cli_progress_clear(struct cli_progress *progress)
{
    if (!progress->drawn)
        return;
    fprintf(stderr, "\r\033[K");
    fflush(stderr);
    progress->drawn = false;
}
