/* Children that work (see emu_crew.h). */
#include "emu_crew.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MOST_CHILDREN = 64 };

struct child {
    pid_t pid; /* 0: none */
    size_t job;
    volatile struct crew_progress *progress;
};

struct crew {
    struct child children[MOST_CHILDREN];
    unsigned n, seconds;
    crew_job_fn *job;
    void *user;
    struct crew_result result;
};

void crew_step(volatile struct crew_progress *progress, size_t step, const char *about)
{
    progress->step = step;
    snprintf((char *)(unsigned long)progress->current, sizeof progress->current, "%s", about);
}

static void begin(struct crew *crew, struct child *child, size_t job, size_t first)
{
    fflush(NULL);
    child->job = job;
    child->progress->done = false;
    child->pid = fork();
    if (child->pid < 0) {
        perror("fork");
        exit(1);
    }
    if (child->pid)
        return;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    alarm(crew->seconds);
    crew->job(crew->user, job, first, child->progress);
    child->progress->done = true;
    fflush(NULL);
    _exit(0);
}

/* Takes the counts over; a child that died is followed by one that begins after the step it was at. */
static void end(struct crew *crew, struct child *child, int status)
{
    volatile struct crew_progress *progress = child->progress;
    child->pid = 0;
    crew->result.passed += progress->passed;
    crew->result.failed += progress->failed;
    progress->passed = progress->failed = 0;
    if (progress->done)
        return;
    crew->result.failed++;
    fprintf(stderr, "%s: ended by %s %d\n", (const char *)(unsigned long)progress->current,
        WIFSIGNALED(status) ? "signal" : "status",
        WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    begin(crew, child, child->job, progress->step + 1);
}

static void wait_for_one(struct crew *crew)
{
    int status;
    pid_t pid = wait(&status);
    for (unsigned i = 0; i < crew->n; i++)
        if (pid > 0 && crew->children[i].pid == pid)
            end(crew, &crew->children[i], status);
}

static struct child *idle(struct crew *crew)
{
    for (unsigned i = 0; i < crew->n; i++)
        if (!crew->children[i].pid)
            return &crew->children[i];
    return NULL;
}

static bool busy(const struct crew *crew)
{
    for (unsigned i = 0; i < crew->n; i++)
        if (crew->children[i].pid)
            return true;
    return false;
}

struct crew_result crew_run(
    size_t n, unsigned at_a_time, unsigned seconds, crew_job_fn *job, void *user)
{
    struct crew crew = {.seconds = seconds, .job = job, .user = user};
    crew.n = at_a_time < 1 ? 1 : at_a_time > MOST_CHILDREN ? MOST_CHILDREN : at_a_time;
    size_t bytes = crew.n * sizeof(struct crew_progress);
    struct crew_progress *shared =
        mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED) {
        perror("mmap");
        exit(1);
    }
    for (unsigned i = 0; i < crew.n; i++)
        crew.children[i].progress = &shared[i];
    for (size_t i = 0; i < n; i++) {
        struct child *child;
        while (!(child = idle(&crew)))
            wait_for_one(&crew);
        begin(&crew, child, i, 0);
    }
    while (busy(&crew))
        wait_for_one(&crew);
    munmap(shared, bytes);
    return crew.result;
}
