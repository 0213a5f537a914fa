#include "base/error.h"
#include "tuner/messages.h"
#include "tuner/protocol.h"
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static const struct env ENV;

static struct wire_writer begin(enum wire_type type)
{
    struct wire_writer writer;
    wire_writer_init(&writer, &ENV);
    wire_begin(&writer, type, 17);
    return writer;
}

static struct wire_reader open_frame(const struct wire_writer *writer)
{
    struct wire_frame frame;
    struct wire_reader reader;
    size_t used;
    cr_assert_eq(wire_parse(writer->data, writer->n, &frame, &used), WIRE_FRAME);
    cr_assert_eq(used, writer->n);
    cr_assert_eq(frame.tag, 17);
    wire_reader_init(&reader, frame.payload, frame.bytes);
    return reader;
}

Test(protocol, gives_back_what_was_put)
{
    struct wire_writer writer = begin(WIRE_ADD);
    size_t bytes;
    wire_put_u32(&writer, 0xdeadbeef);
    wire_put_u64(&writer, UINT64_MAX - 1);
    wire_put_i64(&writer, -5);
    wire_put_f64(&writer, -0.125);
    wire_put_string(&writer, "THREADS=256");
    wire_put_string(&writer, NULL);
    wire_put_bytes(&writer, "a\0b", 3);
    wire_put_bytes(&writer, NULL, 0);
    cr_assert_eq(wire_end(&writer), TFOPS_OK);
    struct wire_reader reader = open_frame(&writer);
    cr_assert_eq(wire_get_u32(&reader), 0xdeadbeef);
    cr_assert_eq(wire_get_u64(&reader), UINT64_MAX - 1);
    cr_assert_eq(wire_get_i64(&reader), -5);
    cr_assert_eq(wire_get_f64(&reader), -0.125);
    cr_assert_str_eq(wire_get_string(&reader), "THREADS=256");
    cr_assert_str_eq(wire_get_string(&reader), "");
    cr_assert_eq(memcmp(wire_get_bytes(&reader, &bytes), "a\0b", 3), 0);
    cr_assert_eq(bytes, 3);
    cr_assert_null(wire_get_bytes(&reader, &bytes));
    cr_assert(wire_reader_done(&reader));
    wire_writer_release(&writer);
}

Test(protocol, fails_for_good_when_read_past_the_end)
{
    struct wire_reader reader;
    wire_reader_init(&reader, "\1\0\0\0\2", 5);
    cr_assert_eq(wire_get_u32(&reader), 1);
    cr_assert_eq(wire_get_u64(&reader), 0);
    cr_assert(reader.failed);
    cr_assert_str_eq(wire_get_string(&reader), "");
    cr_assert_not(wire_reader_done(&reader));
}

Test(protocol, refuses_text_without_an_end_or_with_a_zero_inside)
{
    struct wire_reader reader;
    wire_reader_init(&reader, "\2\0\0\0ab", 6);
    wire_get_string(&reader);
    cr_assert(reader.failed);
    wire_reader_init(&reader, "\3\0\0\0a\0b", 7);
    wire_get_string(&reader);
    cr_assert(reader.failed);
}

Test(protocol, refuses_a_count_that_the_payload_cannot_hold)
{
    struct wire_reader reader;
    wire_reader_init(&reader, "\xff\xff\xff\xff\0\0\0\0", 8);
    cr_assert_eq(wire_get_count(&reader, 8), 0);
    cr_assert(reader.failed);
}

Test(protocol, waits_for_more_when_a_frame_is_cut_anywhere)
{
    struct wire_writer writer = begin(WIRE_COMPILE);
    struct wire_frame frame;
    size_t used;
    wire_put_string(&writer, "source");
    wire_end(&writer);
    for (size_t n = 0; n < writer.n; n++)
        cr_assert_eq(wire_parse(writer.data, n, &frame, &used), WIRE_MORE, "at %zu", n);
    wire_writer_release(&writer);
}

Test(protocol, refuses_frames_that_lie_about_magic_type_or_length)
{
    static const size_t AT[] = {0, 4, 15};
    for (int i = 0; i < 3; i++) {
        struct wire_writer writer = begin(WIRE_COMPILE);
        struct wire_frame frame;
        size_t used;
        wire_end(&writer);
        writer.data[AT[i]] ^= 0xff;
        cr_assert_eq(wire_parse(writer.data, writer.n, &frame, &used), WIRE_BAD, "byte %zu", AT[i]);
        wire_writer_release(&writer);
    }
}

Test(protocol, says_end_of_input_when_the_peer_is_gone)
{
    int fds[2];
    struct wire_buffer buffer = {.env = &ENV};
    struct wire_frame frame;
    struct wire_writer writer = begin(WIRE_CLOSE);
    wire_end(&writer);
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    cr_assert_eq(wire_write(fds[0], writer.data, writer.n), TFOPS_OK);
    cr_assert_eq(wire_write(fds[0], writer.data, 9), TFOPS_OK);
    close(fds[0]);
    cr_assert_eq(wire_read_frame(fds[1], &buffer, &frame), TFOPS_OK);
    wire_buffer_consume(&buffer, writer.n);
    cr_assert_eq(wire_read_frame(fds[1], &buffer, &frame), TFOPS_E_IO);
    cr_assert(strstr(error_message(), "inside a frame"), "%s", error_message());
    cr_assert_eq(wire_write(fds[1], writer.data, writer.n), TFOPS_E_IO, "no SIGPIPE");
    close(fds[1]);
    wire_buffer_release(&buffer);
    wire_writer_release(&writer);
}

/* Every get on random bytes, and on valid messages with random bytes changed or cut. */
static void get_everything(const void *data, size_t bytes)
{
    struct wire_reader reader;
    struct setup_message setup;
    struct build_job job;
    struct compiled compiled;
    struct open_message open;
    struct add_message add;
    struct added_message added;
    struct wire_answer answer;
    bool want_ptx;
    wire_reader_init(&reader, data, bytes);
    get_setup(&reader, &setup);
    wire_reader_init(&reader, data, bytes);
    get_build_job(&reader, &job, &want_ptx);
    wire_reader_init(&reader, data, bytes);
    get_compiled(&reader, &compiled);
    wire_reader_init(&reader, data, bytes);
    get_open(&reader, &open);
    wire_reader_init(&reader, data, bytes);
    get_add(&reader, &add);
    wire_reader_init(&reader, data, bytes);
    get_added(&ENV, &reader, &added);
    sample_set_release(&ENV, &added.samples);
    wire_reader_init(&reader, data, bytes);
    wire_get_answer(&reader, &answer);
}

static struct wire_writer an_add(void)
{
    struct wire_writer writer = begin(WIRE_ADD);
    struct binary binary = {.op = "toy",
        .arch = "sm_90a",
        .entry = "toy_entry",
        .config = "A=1",
        .nvrtc = "13.0",
        .date = "now",
        .threads = 128,
        .image = "ELF",
        .image_bytes = 4};
    struct add_message add = {.config = {.values = {1, 2, 3}}, .binary = binary, .verify = true};
    put_add(&writer, &add, 3);
    wire_end(&writer);
    return writer;
}

Test(protocol, survives_garbage)
{
    uint8_t noise[512];
    struct wire_frame frame;
    size_t used;
    srandom(5);
    for (int round = 0; round < 20000; round++) {
        size_t n = (size_t)random() % sizeof noise;
        for (size_t i = 0; i < n; i++)
            noise[i] = (uint8_t)(random() % 3 ? random() % 4 : random());
        wire_parse(noise, n, &frame, &used);
        get_everything(noise, n);
    }
    struct wire_writer writer = an_add();
    for (int round = 0; round < 20000; round++) {
        size_t n = writer.n - WIRE_HEADER_BYTES;
        uint8_t *copy = malloc(n); /* its own block, so that a sanitizer sees every byte too far */
        memcpy(copy, writer.data + WIRE_HEADER_BYTES, n);
        for (int i = 0; i < 3; i++)
            copy[(size_t)random() % n] = (uint8_t)random();
        get_everything(copy, (size_t)random() % (n + 1));
        free(copy);
    }
    wire_writer_release(&writer);
}

Test(protocol, carries_a_candidate_whole)
{
    struct wire_writer writer = an_add();
    struct wire_reader reader = open_frame(&writer);
    struct add_message add;
    cr_assert(get_add(&reader, &add));
    cr_assert_eq(add.config.values[2], 3);
    cr_assert_str_eq(add.binary.entry, "toy_entry");
    cr_assert_eq(add.binary.threads, 128);
    cr_assert_eq(add.binary.image_bytes, 4);
    cr_assert(add.verify);
    wire_writer_release(&writer);
}

Test(protocol, refuses_samples_that_are_no_times)
{
    double bad[] = {NAN, 0, -1, INFINITY};
    for (int i = 0; i < 4; i++) {
        struct sample_set set = {0}, got = {0};
        sample_set_add(&ENV, &set, 5);
        sample_set_add(&ENV, &set, bad[i]);
        struct wire_writer writer = begin(WIRE_ANSWER);
        put_samples(&writer, &set);
        wire_end(&writer);
        struct wire_reader reader = open_frame(&writer);
        cr_assert_eq(get_samples(&ENV, &reader, &got), TFOPS_E_WORKER, "%g", bad[i]);
        sample_set_release(&ENV, &set);
        sample_set_release(&ENV, &got);
        wire_writer_release(&writer);
    }
}
