/*
 * Compile exactly once among processes. A plain main: Criterion does not run under TSan.
 *
 *     claim_processes [PROCESSES [ROUNDS]]
 *
 * once:  all processes want one build key at the same moment; "compiling" takes 50 ms and appends a
 *        byte to a file. Each must end up with the binary, and the file with one byte a round.
 * kill:  a claimant is killed with SIGKILL while it compiles; another must have the claim within
 *        200 ms.
 * write: all processes write records of their own into one new file; none may be lost.
 */
#include "base/error.h"
#include "cache/overlay.h"
#include "tests/support/test_support.h"
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define COMPILE_MS 50
#define RELEASE_LIMIT_MS 200

static char directory[64];
static char cache_path[96], tally_path[96];

/* Shared with the children. */
struct board {
    volatile int go;
    volatile int claimed;
    volatile double claimed_ms;
};
static struct board *board;

static double now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static void say(void *user, enum tfops_log_level level, const char *line)
{
    (void)user, (void)level;
    fprintf(stderr, "[%d] %s\n", (int)getpid(), line);
}
static const struct env env = {.log = say};

static void fail(const char *what)
{
    fprintf(stderr, "[%d] %s: %s\n", (int)getpid(), what, error_message());
    _exit(1);
}

static struct overlay *open_overlay(void)
{
    struct overlay_options options = {.user_path = cache_path};
    struct overlay *overlay;
    if (overlay_open(&env, &options, &overlay) || !overlay_user(overlay))
        fail("open");
    return overlay;
}

static void wait_for_start(void)
{
    while (!board->go)
        usleep(200);
}

static void make_key(int round, uint8_t ret_key[HASH_BYTES])
{
    hash_bytes(&round, sizeof round, ret_key);
}

static int is_there(struct overlay *overlay, const uint8_t key[HASH_BYTES])
{
    struct binary binary;
    bool found = false;
    if (overlay_find_build(overlay, key, &found, &binary))
        fail("find");
    if (found)
        binary_release(&env, &binary);
    return found;
}

static void compile(struct overlay *overlay, int round, const uint8_t key[HASH_BYTES])
{
    char image[64] = "";
    int fd = open(tally_path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0 || write(fd, "c", 1) != 1)
        fail("tally");
    close(fd);
    usleep(COMPILE_MS * 1000);
    snprintf(image, sizeof image, "image of round %d", round);
    struct binary binary = {.op = "op", .image = image, .image_bytes = sizeof image};
    memcpy(binary.build_key, key, HASH_BYTES);
    if (overlay_put_binary(overlay, &binary))
        fail("put");
}

/* As the engine does it: look, claim, look again, compile, insert, release. */
static void want(int round)
{
    uint8_t key[HASH_BYTES];
    struct overlay *overlay = open_overlay();
    make_key(round, key);
    wait_for_start();
    if (!is_there(overlay, key)) {
        struct overlay_claim claim;
        bool claimed;
        if (overlay_claim(overlay, key, 20000, &claimed, &claim) || !claimed)
            fail("claim");
        if (!is_there(overlay, key))
            compile(overlay, round, key);
        overlay_claim_release(overlay, &claim);
    }
    if (!is_there(overlay, key))
        fail("binary is missing");
    overlay_close(overlay);
    _exit(0);
}

static void write_records(int process)
{
    wait_for_start(); /* so that all of them create the file */
    struct overlay *overlay = open_overlay();
    for (int i = 0; i < 10; i++) {
        struct tfops_record row = {.size = sizeof row,
            .sku = "sku",
            .op = "op",
            .problem = "p",
            .extent = process * 10 + i};
        if (overlay_put_record(overlay, &row))
            fail("put record");
    }
    overlay_close(overlay);
    _exit(0);
}

static int run_all(int n, void (*fn)(int), int argument, int pass_index)
{
    int failed = 0;
    board->go = 0;
    for (int i = 0; i < n; i++) {
        pid_t pid = fork();
        if (pid == 0)
            fn(pass_index ? i : argument);
        if (pid < 0)
            failed++;
    }
    usleep(20000);
    board->go = 1;
    for (int i = 0; i < n; i++) {
        int status;
        wait(&status);
        failed += !WIFEXITED(status) || WEXITSTATUS(status);
    }
    return failed;
}

static int test_once(int processes, int rounds)
{
    struct stat st = {0};
    int failed = 0;
    for (int round = 0; round < rounds; round++)
        failed += run_all(processes, want, round, 0);
    stat(tally_path, &st);
    printf("once: %d processes, %d rounds: %ld compiles, %d processes failed\n", processes, rounds,
        (long)st.st_size, failed);
    return failed || st.st_size != rounds;
}

static void hold_claim(int unused)
{
    uint8_t key[HASH_BYTES];
    struct overlay_claim claim;
    bool claimed;
    (void)unused;
    struct overlay *overlay = open_overlay();
    make_key(-1, key);
    if (overlay_claim(overlay, key, 0, &claimed, &claim) || !claimed)
        fail("first claim");
    board->claimed = 1;
    for (;;)
        pause();
}

static void take_over(int unused)
{
    uint8_t key[HASH_BYTES];
    struct overlay_claim claim;
    bool claimed;
    (void)unused;
    struct overlay *overlay = open_overlay();
    make_key(-1, key);
    if (overlay_claim(overlay, key, 10000, &claimed, &claim) || !claimed)
        fail("second claim");
    board->claimed_ms = now_ms();
    overlay_claim_release(overlay, &claim);
    overlay_close(overlay);
    _exit(0);
}

static int test_kill(void)
{
    int status;
    pid_t holder = fork();
    if (holder == 0)
        hold_claim(0);
    while (!board->claimed)
        usleep(500);
    pid_t waiter = fork();
    if (waiter == 0)
        take_over(0);
    usleep(150000); /* so that it waits at its longest pause */
    double killed_ms = now_ms();
    kill(holder, SIGKILL);
    waitpid(holder, NULL, 0);
    waitpid(waiter, &status, 0);
    double took = board->claimed_ms - killed_ms;
    printf("kill: the claim was had again %.1f ms after the kill\n", took);
    return !WIFEXITED(status) || WEXITSTATUS(status) || took < 0 || took > RELEASE_LIMIT_MS;
}

static int test_write(int processes)
{
    struct record_list list = {0};
    int failed = run_all(processes, write_records, 0, 1);
    struct overlay *overlay = open_overlay();
    if (overlay_all_records(overlay, NULL, &list))
        failed++;
    size_t n = list.n;
    record_list_release(&env, &list);
    overlay_close(overlay);
    printf("write: %zu of %d records, %d processes failed\n", n, processes * 10, failed);
    return failed || n != (size_t)processes * 10;
}

int main(int argc, char **argv)
{
    int processes = argc > 1 ? atoi(argv[1]) : 16, rounds = argc > 2 ? atoi(argv[2]) : 5;
    board = mmap(NULL, sizeof *board, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (board == MAP_FAILED)
        return 1;
    support_dir_make_in("/tmp", directory, sizeof directory);
    snprintf(cache_path, sizeof cache_path, "%s/cache.db", directory);
    snprintf(tally_path, sizeof tally_path, "%s/tally", directory);
    /* write first: it is the one that wants the file not to be there yet. */
    int failed = test_write(processes) + test_once(processes, rounds) + test_kill();
    support_dir_remove(directory);
    printf(failed ? "FAILED\n" : "ok\n");
    return failed != 0;
}
