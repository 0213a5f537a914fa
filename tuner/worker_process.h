/*
 * One child process and the socket to it: spawned, killed and reaped here and nowhere else. Safe in
 * a multi-threaded host (posix_spawn, no fork), beside a host that reaps children itself or ignores
 * SIGCHLD, and whatever descriptors the host has open.
 */
#ifndef TFOPS_TUNER_WORKER_PROCESS_H
#define TFOPS_TUNER_WORKER_PROCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include <tfops/status.h>

enum { WORKER_PATH_BYTES = 4096, WORKER_IN_FD = 0, WORKER_OUT_FD = 3 };

/*
 * Finds the program: `option`, else $TFOPS_WORKER, else beside the library or the running program.
 * Never by PATH. TFOPS_E_WORKER lists what was tried.
 */
enum tfops_status worker_locate(const char *option, char ret_path[WORKER_PATH_BYTES]);

struct worker_process {
    pid_t pid; /* 0: none */
    int pidfd; /* -1 where the kernel has none */
    int fd;    /* our end of the socket, non-blocking; -1: none */
};
#define WORKER_PROCESS_NONE ((struct worker_process){.pidfd = -1, .fd = -1})

/* The child reads requests on WORKER_IN_FD and answers on WORKER_OUT_FD; its standard output is
 * /dev/null, its standard error ours; it leads its own process group. */
enum tfops_status worker_process_spawn(const char *path, struct worker_process *ret_process);

/*
 * Kills the process with its group, reaps it and closes the socket. `patience_ms` is what a process
 * that already closed its end gets to exit by itself, so that ret_how (may be NULL) can say how it
 * ended: "exited with status 3", "killed by signal 11 (Segmentation fault)".
 */
void worker_process_end(
    struct worker_process *process, int patience_ms, char *ret_how, size_t how_bytes);

#endif
