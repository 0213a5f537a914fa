/*
 * Processes that start at once with an empty cache and prepare the same problem: each binary is
 * compiled once in all of them together, counted by libcount_shim.so; and when the one that
 * compiles is killed, the others go on at once. Real NVRTC, no GPU.
 *
 *   prepare_processes                  runs it all
 *   prepare_processes CACHE GO [stop]  one process: waits until the file GO is there, prepares;
 *                                      with "stop" it stops itself in the middle of its first
 * compile
 */
#include "tests/fakes/count_shim.h"
#include "tests/support/test_support.h"
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { MOST = 32, TAKE_OVER_LIMIT_MS = 1000 };

static double now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

/* ---- one process ---------------------------------------------------------------------------- */

static void must(enum tfops_status status, const char *what)
{
    struct tfops_error error = {.size = sizeof error};
    if (!status)
        return;
    tfops_error_last(&error);
    fprintf(stderr, "[%d] %s: %s\n", (int)getpid(), what, error.message);
    exit(1);
}

/* The count goes up when a compile starts: SIGSTOP then holds this process inside of it. */
static void *stop_in_compile(void *unused)
{
    uint64_t (*value)(const char *) = NULL;
    while (!value) {
        void *shim = dlopen(getenv("TFOPS_LIBNVRTC"), RTLD_NOW | RTLD_NOLOAD);
        void *symbol = shim ? dlsym(shim, "count_shim_value") : NULL;
        memcpy(&value, &symbol, sizeof value);
        usleep(100);
    }
    while (value("compiles") == 0)
        usleep(50);
    raise(SIGSTOP);
    return unused;
}

static int prepare(const char *cache, const char *go, bool stop)
{
    const struct tfops_engine_options options = {
        .size = sizeof options, .device = "arch:sm_90a", .cache_path = cache};
    struct tfops_engine *engine;
    struct tfops_problem problem;
    struct tfops_plan *plan;
    pthread_t thread;
    while (access(go, F_OK) != 0)
        usleep(200);
    must(tfops_engine_open(&options, &engine), "open");
    must(tfops_problem_init(tfops_engine_operator(engine, "add_rmsnorm"), &problem), "problem");
    must(tfops_problem_set(&problem, "rows", "64"), "rows");
    must(tfops_problem_set(&problem, "hidden", "5120"), "hidden");
    if (stop && pthread_create(&thread, NULL, stop_in_compile, NULL) != 0)
        return 1;
    must(tfops_prepare(engine, &problem, &plan), "prepare");
    tfops_plan_release(plan);
    tfops_engine_close(engine);
    return 0;
}

/* ---- all of them ---------------------------------------------------------------------------- */

struct stage {
    char dir[SUPPORT_PATH_BYTES];
    char cache[SUPPORT_PATH_BYTES + 16], go[SUPPORT_PATH_BYTES + 16];
    char counts[SUPPORT_PATH_BYTES + 16];
};

static void stage_make(struct stage *stage)
{
    support_dir_make(stage->dir);
    snprintf(stage->cache, sizeof stage->cache, "%s/cache.db", stage->dir);
    snprintf(stage->go, sizeof stage->go, "%s/go", stage->dir);
    snprintf(stage->counts, sizeof stage->counts, "%s/counts", stage->dir);
    setenv("COUNT_SHIM_OUT", stage->counts, 1);
}

static pid_t start(const struct stage *stage, const char *last)
{
    pid_t pid = fork();
    if (pid == 0) {
        /* By its name: what Valgrind runs as /proc/self/exe is Valgrind, but the link it answers. */
        char self[SUPPORT_PATH_BYTES] = "";
        if (readlink("/proc/self/exe", self, sizeof self - 1) > 0)
            execl(self, "prepare_processes", stage->cache, stage->go, last, (char *)NULL);
        _exit(127);
    }
    return pid;
}

static void let_go(const struct stage *stage)
{
    close(open(stage->go, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
}

/* How many of them did not end with 0. */
static int wait_all(const pid_t *pids, int n)
{
    int failed = 0, status;
    for (int i = 0; i < n; i++)
        failed += waitpid(pids[i], &status, 0) != pids[i] || !WIFEXITED(status) ||
                  WEXITSTATUS(status) != 0;
    return failed;
}

/* Compiles of n processes that start at once, and how long they took; −1 when one failed. */
static long long compiles_of(int n, double *ret_ms)
{
    struct stage stage;
    pid_t pids[MOST];
    stage_make(&stage);
    for (int i = 0; i < n; i++)
        pids[i] = start(&stage, NULL);
    usleep(50000);
    const double start_ms = now_ms();
    let_go(&stage);
    const int failed = wait_all(pids, n);
    *ret_ms = now_ms() - start_ms;
    const long long compiles = support_json_sum(stage.counts, "nvrtcCompileProgram");
    support_dir_remove(stage.dir);
    return failed ? -1 : compiles;
}

static int test_once(int n)
{
    double ms;
    const long long one = compiles_of(1, &ms), all = compiles_of(n, &ms);
    printf("once: 1 process compiles %lld, %d processes %lld in all\n", one, n, all);
    return one < 1 || all != one;
}

/* The first holds the claim, stopped in its compile; then the others wait for it; then it dies. They are
 * done soon after the time that they take with nobody in the way. */
static int test_kill(int n)
{
    struct stage stage;
    pid_t pids[MOST];
    int status;
    stage_make(&stage);
    let_go(&stage);
    const pid_t first = start(&stage, "stop");
    if (waitpid(first, &status, WUNTRACED) != first || !WIFSTOPPED(status)) {
        printf("kill: the first process ended before it could be stopped\n");
        return 1;
    }
    for (int i = 0; i < n; i++)
        pids[i] = start(&stage, NULL);
    usleep(700000); /* so that all of them wait, at their longest pause */
    const double start_ms = now_ms();
    kill(first, SIGKILL);
    waitpid(first, &status, 0);
    const int failed = wait_all(pids, n);
    const double took_ms = now_ms() - start_ms;
    const long long compiles = support_json_sum(stage.counts, "nvrtcCompileProgram");
    support_dir_remove(stage.dir);
    double free_ms;
    const long long expected = compiles_of(n, &free_ms);
    printf(
        "kill: %d processes were done %.0f ms after the claimant's death, %.0f with nobody in the "
        "way; %lld compiles in all\n",
        n, took_ms, free_ms, compiles);
    return failed || took_ms > free_ms + TAKE_OVER_LIMIT_MS || compiles != expected;
}

int main(int argc, char **argv)
{
    struct tfops_platform platform = {.size = sizeof platform};
    const char *stress = getenv("TFOPS_STRESS"), *wrapper = getenv("TFOPS_TEST_WRAPPER");
    char shim[SUPPORT_PATH_BYTES];
    if (argc > 2)
        return prepare(argv[1], argv[2], argc > 3 && strcmp(argv[3], "stop") == 0);
    tfops_platform_query(NULL, NULL, &platform);
    if (!platform.nvrtc_version) {
        printf("no NVRTC\n");
        return 77;
    }
    /* A minute for a compile is longer than any claim is waited for: each then compiles, rightly. */
    if (wrapper && *wrapper) {
        printf("its limits are those of compiles at full speed\n");
        return 77;
    }
    support_fake_path("count_shim", shim);
    setenv("TFOPS_LIBNVRTC", shim, 1);
    setenv("COUNT_SHIM_NVRTC", platform.nvrtc_path, 1);
    const bool is_long = stress && strcmp(stress, "long") == 0;
    int failed = 0;
    for (int round = 0; round < (is_long ? 10 : 2); round++)
        failed += test_once(is_long ? MOST : 8) + test_kill(is_long ? 16 : 4);
    printf(failed ? "prepare_processes: FAILED\n" : "prepare_processes: ok\n");
    return failed != 0;
}
