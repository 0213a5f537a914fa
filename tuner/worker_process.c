/* Spawning and ending a worker (see worker_process.h). */
#include "worker_process.h"
#include "base/error.h"
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <tfops/tuner.h>
#include <time.h>
#include <unistd.h>

/* ---- where the program is ---------------------------------------------------------------- */

#define PROGRAM "tfops-worker"

static bool runnable(const char *path)
{
    return access(path, X_OK) == 0;
}

/* The directory of `file`, without the slash; "" when there is none. */
static void directory_of(const char *file, char ret_directory[PATH_MAX])
{
    const char *slash = strrchr(file, '/');
    snprintf(ret_directory, PATH_MAX, "%.*s", slash ? (int)(slash - file) : 0, file);
}

static bool library_directory(char ret_directory[PATH_MAX])
{
    Dl_info info;
    char real[PATH_MAX];
    if (!dladdr((void *)(uintptr_t)&tfops_worker_main, &info) || !info.dli_fname ||
        !strchr(info.dli_fname, '/') || !realpath(info.dli_fname, real))
        return false;
    directory_of(real, ret_directory);
    return ret_directory[0] != '\0';
}

static bool program_directory(char ret_directory[PATH_MAX])
{
    char real[PATH_MAX];
    ssize_t length = readlink("/proc/self/exe", real, sizeof real - 1);
    if (length <= 0)
        return false;
    real[length] = '\0';
    directory_of(real, ret_directory);
    return ret_directory[0] != '\0';
}

/* Places relative to the library or the program: build tree, bundle and installed tree. */
static const char *const PLACES[] = {"/" PROGRAM, "/bin/" PROGRAM, "/../bin/" PROGRAM,
    "/../tools/" PROGRAM, "/../libexec/tfops/" PROGRAM, "/../../bin/" PROGRAM};

static bool found_under(const char *directory, char ret_path[WORKER_PATH_BYTES])
{
    for (size_t i = 0; i < sizeof PLACES / sizeof PLACES[0]; i++) {
        int length = snprintf(ret_path, WORKER_PATH_BYTES, "%s%s", directory, PLACES[i]);
        if (length < WORKER_PATH_BYTES && runnable(ret_path))
            return true;
    }
    return false;
}

static enum tfops_status named(const char *path, const char *by, char ret_path[WORKER_PATH_BYTES])
{
    if (!runnable(path))
        return error_setf(TFOPS_E_WORKER, errno, "worker", path,
            "the worker program named by %s cannot be run: %s: %s", by, path, strerror(errno));
    snprintf(ret_path, WORKER_PATH_BYTES, "%s", path);
    return TFOPS_OK;
}

enum tfops_status worker_locate(const char *option, char ret_path[WORKER_PATH_BYTES])
{
    char library[PATH_MAX] = "", program[PATH_MAX] = "";
    const char *environment = secure_getenv("TFOPS_WORKER");
    if (option && *option)
        return named(option, "the option worker_path", ret_path);
    if (environment && *environment)
        return named(environment, "TFOPS_WORKER", ret_path);
    if (library_directory(library) && found_under(library, ret_path))
        return TFOPS_OK;
    if (program_directory(program) && found_under(program, ret_path))
        return TFOPS_OK;
    return error_setf(TFOPS_E_WORKER, ENOENT, "worker", PROGRAM,
        "no " PROGRAM " beside the library (%s) or the program (%s), nor in bin/, ../bin or "
        "../libexec/tfops there; name it with the option worker_path or TFOPS_WORKER",
        library[0] ? library : "unknown place", program[0] ? program : "unknown place");
}

/* ---- spawning ---------------------------------------------------------------------------- */

static int open_pidfd(pid_t pid)
{
#ifdef SYS_pidfd_open
    return (int)syscall(SYS_pidfd_open, pid, 0); /* close-on-exec by itself */
#else
    (void)pid;
    return -1;
#endif
}

/* dup2 in the child in the order that never overwrites `fd` before its last use. */
static int child_descriptors(posix_spawn_file_actions_t *actions, int fd)
{
    int failed = posix_spawn_file_actions_adddup2(actions, fd, WORKER_OUT_FD);
    if (!failed)
        failed = posix_spawn_file_actions_adddup2(actions, WORKER_OUT_FD, WORKER_IN_FD);
    if (!failed)
        failed = posix_spawn_file_actions_addopen(actions, 1, "/dev/null", O_WRONLY, 0);
#if defined(__GLIBC__) && __GLIBC_PREREQ(2, 34)
    if (!failed)
        failed = posix_spawn_file_actions_addclosefrom_np(actions, WORKER_OUT_FD + 1);
#endif
    return failed;
}

static int child_signals(posix_spawnattr_t *attributes)
{
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    int failed = posix_spawnattr_setsigmask(attributes, &none);
    if (!failed)
        failed = posix_spawnattr_setsigdefault(attributes, &all);
    if (!failed)
        failed = posix_spawnattr_setpgroup(attributes, 0);
    if (!failed)
        failed = posix_spawnattr_setflags(
            attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
    return failed;
}

/* Returns an errno value. */
static int spawn_with(const char *path, int child_fd, pid_t *ret_pid)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    char *const argv[] = {(char *)(uintptr_t)path, NULL};
    int failed = posix_spawn_file_actions_init(&actions);
    if (failed)
        return failed;
    failed = posix_spawnattr_init(&attributes);
    if (failed)
        goto out;
    failed = child_descriptors(&actions, child_fd);
    if (!failed)
        failed = child_signals(&attributes);
    if (!failed)
        failed = posix_spawn(ret_pid, path, &actions, &attributes, argv, environ);
    posix_spawnattr_destroy(&attributes);
out:
    posix_spawn_file_actions_destroy(&actions);
    return failed;
}

enum tfops_status worker_process_spawn(const char *path, struct worker_process *ret_process)
{
    int fds[2];
    pid_t pid = 0;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds))
        return error_setf(
            TFOPS_E_WORKER, errno, "worker", path, "no socket for a worker: %s", strerror(errno));
    int failed = spawn_with(path, fds[1], &pid);
    close(fds[1]);
    if (failed) {
        close(fds[0]);
        return error_setf(TFOPS_E_WORKER, failed, "worker", path, "cannot start the worker %s: %s",
            path, strerror(failed));
    }
    fcntl(fds[0], F_SETFL, O_NONBLOCK);
    *ret_process = (struct worker_process){.pid = pid, .pidfd = open_pidfd(pid), .fd = fds[0]};
    return TFOPS_OK;
}

/* ---- ending ------------------------------------------------------------------------------ */

static void describe(const siginfo_t *info, char *ret_how, size_t bytes)
{
    if (!ret_how)
        return;
    if (info->si_code == CLD_EXITED)
        snprintf(ret_how, bytes, "exited with status %d", info->si_status);
    else
        snprintf(ret_how, bytes, "killed by signal %d (%s)", info->si_status,
            strsignal(info->si_status));
}

/* Whether the process is gone; another reaper in the host may have been first. */
static bool reap(pid_t pid, char *ret_how, size_t bytes)
{
    siginfo_t info = {0};
    int got;
    do {
        got = waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG);
    } while (got && errno == EINTR);
    if (got) {
        if (ret_how)
            snprintf(ret_how, bytes, "gone, reaped by the host program");
        return true;
    }
    if (!info.si_pid)
        return false;
    describe(&info, ret_how, bytes);
    return true;
}

static bool reap_within(pid_t pid, int wait_ms, char *ret_how, size_t bytes)
{
    for (int waited_us = 0, step_us = 200;; waited_us += step_us) {
        if (reap(pid, ret_how, bytes))
            return true;
        if (waited_us / 1000 >= wait_ms)
            return false;
        if (step_us < 10000 && waited_us > 8 * step_us)
            step_us *= 2;
        nanosleep(&(struct timespec){.tv_nsec = step_us * 1000L}, NULL);
    }
}

/* Through the pidfd the signal cannot hit a stranger who got the same number. */
static void kill_process(const struct worker_process *process)
{
#ifdef SYS_pidfd_send_signal
    if (process->pidfd >= 0 && syscall(SYS_pidfd_send_signal, process->pidfd, SIGKILL, NULL, 0))
        return;
#endif
    kill(-process->pid, SIGKILL);
    kill(process->pid, SIGKILL);
}

/* The driver tears a hung context down inside the dying process: that can take seconds. */
enum { KILL_WAIT_MS = 20000 };

/* A worker needs no time to end: nothing of it is worth keeping, but for a coverage build's counters. */
#ifndef WORKER_LEAST_PATIENCE_MS
#    define WORKER_LEAST_PATIENCE_MS 0
#endif

void worker_process_end(
    struct worker_process *process, int patience_ms, char *ret_how, size_t how_bytes)
{
    if (ret_how && how_bytes)
        ret_how[0] = '\0';
    if (patience_ms < WORKER_LEAST_PATIENCE_MS)
        patience_ms = WORKER_LEAST_PATIENCE_MS;
    if (process->fd >= 0)
        close(process->fd);
    if (process->pid > 0) {
        bool gone = patience_ms > 0 && reap_within(process->pid, patience_ms, ret_how, how_bytes);
        if (!gone) {
            kill_process(process);
            gone = reap_within(process->pid, KILL_WAIT_MS, ret_how, how_bytes);
        }
        if (!gone && ret_how)
            snprintf(ret_how, how_bytes, "killed, but still held by the kernel");
    }
    if (process->pidfd >= 0)
        close(process->pidfd);
    *process = WORKER_PROCESS_NONE;
}
