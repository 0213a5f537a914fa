/*
 * The pool against fake workers: this test program itself, started again with TFOPS_FAKE_WORKER
 * set, behaves (or misbehaves) as that says, before Criterion sees it.
 */
#include "base/error.h"
#include "tuner/worker_pool.h"
#include "tuner/worker_process.h"
#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <tfops/tfops.h>
#include <time.h>
#include <unistd.h>

static const struct env ENV;

/* ---- the fake ---------------------------------------------------------------------------- */

static void fake_hello(struct wire_writer *writer, const char *mode)
{
    wire_begin(writer, WIRE_HELLO, 0);
    wire_put_u32(writer, strcmp(mode, "version") ? WIRE_VERSION : WIRE_VERSION + 1);
    wire_put_string(writer, tfops_version());
    wire_end(writer);
    wire_write(WORKER_OUT_FD, writer->data, writer->n);
}

static void fake_misbehave(const char *mode)
{
    if (!strcmp(mode, "die"))
        _exit(7);
    if (!strcmp(mode, "crash"))
        raise(SIGKILL);
    if (!strcmp(mode, "hang"))
        for (;;)
            pause();
    if (!strcmp(mode, "garbage"))
        wire_write(WORKER_OUT_FD, "this is no frame at all", 24);
    if (!strcmp(mode, "late"))
        nanosleep(&(struct timespec){.tv_nsec = 300000000}, NULL);
}

static void fake_answer(
    struct wire_writer *writer, const char *mode, const struct wire_frame *frame)
{
    struct wire_answer answer = {.message = ""};
    if (!strcmp(mode, "last"))
        answer = (struct wire_answer){TFOPS_E_DRIVER, 700, true, "illegal address"};
    wire_begin(writer, WIRE_ANSWER, frame->tag + !strcmp(mode, "tag"));
    wire_put_answer(writer, &answer);
    wire_put_bytes(writer, frame->payload, frame->bytes);
    wire_end(writer);
    wire_write(WORKER_OUT_FD, writer->data, writer->n);
    if (answer.last)
        _exit(3);
}

static void fake_main(const char *mode)
{
    struct wire_writer writer;
    struct wire_buffer buffer = {.env = &ENV};
    struct wire_frame frame;
    if (!strcmp(mode, "silent"))
        _exit(0);
    if (!strcmp(mode, "mute"))
        for (;;)
            pause();
    wire_writer_init(&writer, &ENV);
    fake_hello(&writer, mode);
    while (!wire_read_frame(WORKER_IN_FD, &buffer, &frame)) {
        fake_misbehave(mode);
        fake_answer(&writer, mode, &frame);
        wire_buffer_consume(&buffer, WIRE_HEADER_BYTES + frame.bytes);
    }
    _exit(0);
}

__attribute__((constructor)) static void maybe_be_the_fake(void)
{
    const char *mode = getenv("TFOPS_FAKE_WORKER");
    if (mode)
        fake_main(mode);
}

/* ---- helpers ----------------------------------------------------------------------------- */

static char self[PATH_MAX];

static struct worker_pool *open_pool(const char *mode, uint32_t n, uint32_t hello_ms)
{
    struct worker_pool *pool;
    ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
    self[length] = '\0';
    setenv("TFOPS_FAKE_WORKER", mode, 1);
    const struct worker_pool_options options = {.path = self, .n = n, .hello_timeout_ms = hello_ms};
    cr_assert_eq(worker_pool_open(&ENV, &options, &pool), TFOPS_OK, "%s", error_message());
    return pool;
}

static enum tfops_status send_sized(
    struct worker_pool *pool, uint32_t worker, uint32_t tag, uint32_t timeout_ms, size_t bytes)
{
    struct wire_writer writer;
    char *payload = calloc(1, bytes + 1);
    wire_writer_init(&writer, &ENV);
    wire_begin(&writer, WIRE_COMPILE, tag);
    wire_put_bytes(&writer, payload, bytes);
    wire_end(&writer);
    enum tfops_status status = worker_pool_send(pool, worker, &writer, timeout_ms);
    wire_writer_release(&writer);
    free(payload);
    return status;
}

static void send_one(struct worker_pool *pool, uint32_t worker, uint32_t tag, uint32_t timeout_ms)
{
    cr_assert_eq(send_sized(pool, worker, tag, timeout_ms, 10), TFOPS_OK, "%s", error_message());
}

static struct worker_event wait_event(struct worker_pool *pool)
{
    struct worker_event event;
    cr_assert_eq(worker_pool_wait(pool, 10000, &event), TFOPS_OK);
    return event;
}

static int count_fds(void)
{
    DIR *directory = opendir("/proc/self/fd");
    int n = 0;
    while (readdir(directory))
        n++;
    closedir(directory);
    return n;
}

static void assert_no_children(void)
{
    siginfo_t info;
    cr_assert_eq(waitid(P_ALL, 0, &info, WEXITED | WNOHANG), -1, "a child is left");
    cr_assert_eq(errno, ECHILD);
}

/* ---- tests ------------------------------------------------------------------------------- */

Test(worker_pool, answers_every_request_once)
{
    struct worker_pool *pool = open_pool("echo", 3, 0);
    uint32_t seen[60] = {0}, got = 0, sent = 0;
    while (got < 60) {
        for (uint32_t worker = 0; worker < 3; worker++)
            for (; sent < 60 && worker_pool_pending(pool, worker) < 2; sent++)
                send_one(pool, worker, sent, 5000);
        struct worker_event event = wait_event(pool);
        cr_assert_eq(event.kind, WORKER_ANSWER, "%s", event.text);
        seen[event.tag]++;
        got++;
    }
    for (int i = 0; i < 60; i++)
        cr_assert_eq(seen[i], 1);
    worker_pool_close(pool);
    assert_no_children();
}

Test(worker_pool, carries_messages_larger_than_the_socket_holds)
{
    struct worker_pool *pool = open_pool("echo", 1, 0);
    cr_assert_eq(send_sized(pool, 0, 1, 5000, 5 << 20), TFOPS_OK);
    cr_assert_eq(send_sized(pool, 0, 2, 5000, 5 << 20), TFOPS_OK);
    for (uint32_t tag = 1; tag <= 2; tag++) {
        struct worker_event event = wait_event(pool);
        cr_assert_eq(event.kind, WORKER_ANSWER, "%s", event.text);
        cr_assert_eq(event.tag, tag);
        cr_assert_eq(event.payload.n - event.payload.at, (5 << 20) + 8);
    }
    worker_pool_close(pool);
}

Test(worker_pool, blames_the_request_at_the_head_when_a_worker_dies_and_starts_again)
{
    struct worker_pool *pool = open_pool("die", 1, 0);
    for (uint32_t tag = 1; tag <= 3; tag++)
        send_one(pool, 0, tag, 5000);
    struct worker_event event = wait_event(pool);
    cr_assert_eq(event.kind, WORKER_DIED);
    cr_assert_eq(event.tag, 1);
    cr_assert(strstr(event.text, "status 7"), "%s", event.text);
    for (uint32_t tag = 2; tag <= 3; tag++) {
        event = wait_event(pool);
        cr_assert_eq(event.kind, WORKER_LOST, "tag %u", event.tag);
        cr_assert_eq(event.tag, tag);
    }
    setenv("TFOPS_FAKE_WORKER", "echo", 1);
    send_one(pool, 0, 4, 5000);
    event = wait_event(pool);
    cr_assert_eq(event.kind, WORKER_ANSWER, "%s", event.text);
    worker_pool_close(pool);
    assert_no_children();
}

Test(worker_pool, names_the_signal_when_a_worker_crashes)
{
    struct worker_pool *pool = open_pool("crash", 1, 0);
    send_one(pool, 0, 1, 5000);
    struct worker_event event = wait_event(pool);
    cr_assert_eq(event.kind, WORKER_DIED);
    cr_assert(strstr(event.text, "signal 9"), "%s", event.text);
    worker_pool_close(pool);
}

Test(worker_pool, kills_a_worker_that_hangs)
{
    struct worker_pool *pool = open_pool("hang", 2, 0);
    setenv("TFOPS_FAKE_WORKER", "hang", 1);
    send_one(pool, 0, 1, 200);
    send_one(pool, 0, 2, 200);
    setenv("TFOPS_FAKE_WORKER", "echo", 1);
    send_one(pool, 1, 3, 5000);
    uint32_t kinds[4] = {0};
    for (int i = 0; i < 3; i++) {
        struct worker_event event = wait_event(pool);
        kinds[event.tag] = event.kind;
    }
    cr_assert_eq(kinds[1], WORKER_HUNG);
    cr_assert_eq(kinds[2], WORKER_LOST);
    cr_assert_eq(kinds[3], WORKER_ANSWER, "the other worker is not touched");
    worker_pool_close(pool);
    assert_no_children();
}

Test(worker_pool, ends_a_worker_that_sends_garbage_or_another_tag)
{
    static const char *const MODES[] = {"garbage", "tag"};
    for (int i = 0; i < 2; i++) {
        struct worker_pool *pool = open_pool(MODES[i], 1, 0);
        send_one(pool, 0, 1, 5000);
        struct worker_event event = wait_event(pool);
        cr_assert_eq(event.kind, WORKER_DIED, "%s", MODES[i]);
        cr_assert(strstr(event.text, "garbage"), "%s: %s", MODES[i], event.text);
        worker_pool_close(pool);
    }
}

Test(worker_pool, takes_a_late_answer_that_is_within_its_watchdog)
{
    struct worker_pool *pool = open_pool("late", 1, 0);
    struct worker_event event;
    send_one(pool, 0, 1, 5000);
    cr_assert_eq(worker_pool_wait(pool, 30, &event), TFOPS_OK);
    cr_assert_eq(event.kind, WORKER_NONE);
    event = wait_event(pool);
    cr_assert_eq(event.kind, WORKER_ANSWER);
    worker_pool_close(pool);
}

/* The host was busy for longer than the watchdog, the worker was not. */
Test(worker_pool, does_not_call_a_hang_what_was_only_read_late)
{
    struct worker_pool *pool = open_pool("echo", 1, 0);
    send_one(pool, 0, 1, 5000);
    wait_event(pool);
    send_one(pool, 0, 2, 100);
    nanosleep(&(struct timespec){.tv_nsec = 300000000}, NULL);
    struct worker_event event = wait_event(pool);
    cr_assert_eq(event.kind, WORKER_ANSWER, "%s", event.text);
    worker_pool_close(pool);
}

Test(worker_pool, blames_nobody_behind_an_answer_marked_as_the_last)
{
    struct worker_pool *pool = open_pool("last", 1, 0);
    send_one(pool, 0, 1, 5000);
    send_one(pool, 0, 2, 5000);
    struct worker_event event = wait_event(pool);
    cr_assert_eq(event.kind, WORKER_ANSWER);
    cr_assert_eq(event.answer.status, TFOPS_E_DRIVER);
    cr_assert_eq(event.answer.native, 700);
    cr_assert_str_eq(event.answer.message, "illegal address");
    event = wait_event(pool);
    cr_assert_eq(event.kind, WORKER_LOST);
    cr_assert_eq(event.tag, 2);
    worker_pool_close(pool);
}

Test(worker_pool, gives_up_on_a_worker_that_never_serves)
{
    static const char *const MODES[] = {"silent", "version", "mute"};
    static const char *const SAID[] = {"status 0", "; this is ", "did not start in time"};
    static const int START_MS[] = {10000, 10000, 150}; /* the first two are over by themselves */
    for (int i = 0; i < 3; i++) {
        struct worker_pool *pool = open_pool(MODES[i], 1, START_MS[i]);
        enum tfops_status status = TFOPS_OK;
        for (uint32_t tag = 0; tag < 4 && !status; tag++) {
            status = send_sized(pool, 0, tag, 5000, 1);
            if (!status)
                cr_assert_eq(wait_event(pool).kind, WORKER_LOST, "%s", MODES[i]);
        }
        cr_assert_eq(status, TFOPS_E_WORKER, "%s", MODES[i]);
        cr_assert(strstr(error_message(), SAID[i]), "%s: %s", MODES[i], error_message());
        worker_pool_close(pool);
    }
}

Test(worker_pool, leaves_no_descriptor_and_no_zombie)
{
    static const char *const MODES[] = {"echo", "die", "garbage", "hang"};
    int before = count_fds();
    for (int i = 0; i < 4; i++) {
        struct worker_pool *pool = open_pool(MODES[i], 4, 0);
        for (uint32_t worker = 0; worker < 4; worker++)
            send_one(pool, worker, worker, 100);
        wait_event(pool);
        worker_pool_close(pool);
    }
    cr_assert_eq(count_fds(), before);
    assert_no_children();
}

Test(worker_pool, works_where_the_host_reaps_all_children)
{
    signal(SIGCHLD, SIG_IGN);
    struct worker_pool *pool = open_pool("die", 1, 0);
    send_one(pool, 0, 1, 5000);
    struct worker_event event = wait_event(pool);
    cr_assert_eq(event.kind, WORKER_DIED);
    cr_assert(strstr(event.text, "reaped by the host"), "%s", event.text);
    worker_pool_close(pool);
}

Test(worker_pool, retires_a_worker)
{
    struct worker_pool *pool = open_pool("hang", 1, 0);
    send_one(pool, 0, 1, 5000);
    worker_pool_retire(pool, 0);
    struct worker_event event = wait_event(pool);
    cr_assert_eq(event.kind, WORKER_LOST);
    assert_no_children();
    worker_pool_close(pool);
}

Test(worker_pool, refuses_more_than_a_queue_holds)
{
    struct worker_pool *pool = open_pool("hang", 1, 0);
    for (uint32_t tag = 0; tag < WORKER_POOL_MAX_PENDING; tag++)
        send_one(pool, 0, tag, 5000);
    cr_assert_eq(send_sized(pool, 0, 99, 5000, 1), TFOPS_E_BUSY);
    worker_pool_close(pool);
}

Test(worker_pool, names_what_was_tried_when_there_is_no_worker)
{
    char path[WORKER_PATH_BYTES];
    cr_assert_eq(worker_locate("/nonexistent/worker", path), TFOPS_E_WORKER);
    cr_assert(strstr(error_message(), "/nonexistent/worker"), "%s", error_message());
    setenv("TFOPS_WORKER", "/nowhere/worker", 1);
    cr_assert_eq(worker_locate(NULL, path), TFOPS_E_WORKER);
    cr_assert(strstr(error_message(), "TFOPS_WORKER"), "%s", error_message());
}

Test(worker_pool, counts_the_lives_of_a_worker)
{
    struct worker_pool *pool = open_pool("die", 1, 0);
    cr_assert_eq(worker_pool_life(pool, 0), 0);
    send_one(pool, 0, 1, 5000);
    cr_assert_eq(worker_pool_life(pool, 0), 1);
    wait_event(pool);
    cr_assert_eq(worker_pool_life(pool, 0), 0);
    send_one(pool, 0, 2, 5000);
    cr_assert_eq(worker_pool_life(pool, 0), 2);
    worker_pool_close(pool);
}

/* The request must reach the next process, not the one that announced its end. */
Test(worker_pool, sends_nothing_to_a_worker_that_announced_its_end)
{
    struct worker_pool *pool = open_pool("last", 1, 0);
    send_one(pool, 0, 1, 5000);
    cr_assert(wait_event(pool).answer.last);
    setenv("TFOPS_FAKE_WORKER", "echo", 1);
    send_one(pool, 0, 2, 5000);
    struct worker_event event = wait_event(pool);
    cr_assert_eq(event.kind, WORKER_ANSWER, "%s", event.text);
    cr_assert_eq(event.answer.status, TFOPS_OK);
    worker_pool_close(pool);
}
