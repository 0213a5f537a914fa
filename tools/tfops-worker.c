/*
 * tfops-worker: the disposable process that compiles and runs candidates for the tuner. Requests
 * come on descriptor 0, answers leave on 3; whatever a library prints goes to stderr.
 */
#include <stdio.h>
#include <string.h>
#include <tfops/tfops.h>
#include <unistd.h>

#define ANSWER_FD 3

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "--version") == 0) {
        printf("tfops-worker %s\n", tfops_version());
        return 0;
    }
    if (argc > 1 || isatty(STDIN_FILENO)) {
        FILE *out = argc > 1 && strcmp(argv[1], "--help") == 0 ? stdout : stderr;
        fprintf(out, "usage: tfops-worker\n\nStarted by the tfops library while it tunes; it is of "
                     "no use by hand.\n");
        return out == stdout ? 0 : 2;
    }
    if (dup2(STDERR_FILENO, STDOUT_FILENO) < 0)
        return 1;
    return tfops_worker_main(STDIN_FILENO, ANSWER_FD);
}
