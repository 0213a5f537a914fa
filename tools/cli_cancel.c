/* Cancelling (see cli_cancel.h). A signal handler has nothing but a global to write to. */
#define _POSIX_C_SOURCE 200809L
#include "cli_cancel.h"
#include <signal.h>
#include <string.h>
#include <unistd.h>

static volatile int cancelled;
static const char *said; /* set before the handler is */

static void on_signal(int number)
{
    (void)number;
    cancelled = 1;
    if (write(STDERR_FILENO, said, strlen(said)) < 0)
        cancelled = 1; /* stderr is gone: nobody to tell */
}

void cli_cancel_install(const char *text)
{
    said = text;
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND | SA_RESTART};
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

const volatile int *cli_cancel_flag(void)
{
    return &cancelled;
}

bool cli_cancelled(void)
{
    return cancelled != 0;
}
