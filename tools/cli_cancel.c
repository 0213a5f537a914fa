/* Cancelling (see cli_cancel.h). A signal handler has nothing but a global to write to. */
#define _POSIX_C_SOURCE 200809L
#include "cli_cancel.h"
#include <signal.h>
#include <string.h>
#include <unistd.h>

static volatile int cancelled;

static void on_signal(int number)
{
    static const char TEXT[] = "\nstopping; what was measured is kept (once more: stop now)\n";
    (void)number;
    cancelled = 1;
    if (write(STDERR_FILENO, TEXT, sizeof TEXT - 1) < 0)
        cancelled = 1; /* stderr is gone: nobody to tell */
}

void cli_cancel_install(void)
{
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
