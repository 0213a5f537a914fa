/* The per-thread error record and its public face. */
#include "base/error.h"
#include "tests/support/expect.h"
#include <criterion/criterion.h>
#include <pthread.h>
#include <stdio.h>

Test(error, names_every_status)
{
    for (int i = 0; i < TFOPS_STATUS_COUNT; i++) {
        const char *name = tfops_status_name((enum tfops_status)i);
        const char *text = tfops_status_text((enum tfops_status)i);
        cr_assert(name && !strncmp(name, "TFOPS_", 6), "status %d is named %s", i, name);
        cr_assert(text && *text, "status %d (%s) has no text", i, name);
        for (int k = 0; k < i; k++)
            cr_assert_str_neq(name, tfops_status_name((enum tfops_status)k));
    }
}

Test(error, names_unknown_codes)
{
    static const int CODES[] = {-1, TFOPS_STATUS_COUNT, 1 << 30};
    for (size_t i = 0; i < sizeof CODES / sizeof CODES[0]; i++) {
        EXPECT_TEXT(tfops_status_name((enum tfops_status)CODES[i]), "TFOPS_E_?");
        EXPECT_TEXT(tfops_status_text((enum tfops_status)CODES[i]), "unknown status");
    }
}

Test(error, message_has_every_part)
{
    EXPECT_STATUS(error_set(TFOPS_E_SHAPE, "request", "x", "4096", "4095"), TFOPS_E_SHAPE);
    const struct tfops_error error = expect_error();
    EXPECT_TEXT(error.where, "request");
    EXPECT_TEXT(error.subject, "x");
    EXPECT_TEXT(error.expected, "4096");
    EXPECT_TEXT(error.actual, "4095");
    EXPECT_TEXT(error.message, "request: x: shape does not fit: expected 4096, got 4095");
    EXPECT_INT(error.native, 0);
}

Test(error, message_leaves_out_what_is_absent)
{
    error_set(TFOPS_E_SHAPE, "request", "x", NULL, NULL);
    EXPECT_TEXT(expect_error().message, "request: x: shape does not fit");
    error_setf(TFOPS_E_IO, 5, "open", "", "no such %s", "file");
    EXPECT_TEXT(expect_error().message, "open: no such file");
    EXPECT_INT(expect_error().native, 5);
}

Test(error, clears_parts_of_the_failure_before)
{
    error_setf(TFOPS_E_IO, 5, "open", "file", "no");
    error_set(TFOPS_E_SHAPE, "request", "x", "a", "b");
    EXPECT_INT(expect_error().native, 0);
    error_setf(TFOPS_E_IO, 7, "open", "file", "no");
    EXPECT_TEXT(expect_error().expected, "");
    EXPECT_TEXT(expect_error().actual, "");
}

Test(error, cuts_a_list_behind_a_whole_word)
{
    char text[512] = "";
    while (strlen(text) < 300)
        strcat(text, "TUNABLE=1 ");
    error_set(TFOPS_E_RANGE, "tune", text, NULL, NULL);
    const struct tfops_error error = expect_error();
    size_t kept = strlen(error.subject) - strlen("…");
    EXPECT_INT(kept % strlen("TUNABLE=1 "), 0);
    EXPECT_TEXT(error.subject + kept, "…");
    EXPECT_INT(kept, 120);
}

Test(error, cuts_long_parts_at_their_fields)
{
    char text[2048];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    error_set(TFOPS_E_SHAPE, text, text, text, text);
    const struct tfops_error error = expect_error();
    EXPECT_INT(strlen(error.where), sizeof error.where - 1);
    EXPECT_INT(strlen(error.subject), sizeof error.subject - 1);
    EXPECT_INT(strlen(error.expected), sizeof error.expected - 1);
    EXPECT_INT(strlen(error.actual), sizeof error.actual - 1);
    cr_assert_lt(strlen(error.message), sizeof error.message);
    error_setf(TFOPS_E_IO, 0, text, text, "%s", text);
    cr_assert_lt(strlen(expect_error().message), sizeof error.message);
}

Test(error, last_fills_no_more_than_the_callers_size)
{
    _Alignas(struct tfops_error) unsigned char bytes[sizeof(struct tfops_error)];
    struct tfops_error *error = (void *)bytes;
    error_setf(TFOPS_E_IO, 9, "where", "subject", "message");
    memset(bytes, 0xee, sizeof bytes);
    error->size = offsetof(struct tfops_error, subject);
    EXPECT_OK(tfops_error_last(error));
    EXPECT_INT(error->status, TFOPS_E_IO);
    EXPECT_INT(error->native, 9);
    EXPECT_TEXT(error->where, "where");
    EXPECT_INT(error->size, offsetof(struct tfops_error, subject));
    for (size_t i = offsetof(struct tfops_error, subject); i < sizeof bytes; i++)
        cr_assert_eq(bytes[i], 0xee, "byte %zu is %#x", i, bytes[i]);
}

Test(error, last_leaves_a_newer_structs_tail_alone)
{
    struct {
        struct tfops_error known;
        unsigned char newer[16];
    } error;
    memset(&error, 0xee, sizeof error);
    error.known.size = sizeof error;
    error_setf(TFOPS_E_IO, 9, "where", "subject", "message");
    EXPECT_OK(tfops_error_last(&error.known));
    EXPECT_INT(error.newer[0], 0xee);
    EXPECT_TEXT(error.known.message, "where: subject: message");
}

Test(error, last_refuses_what_holds_too_little)
{
    struct tfops_error error = {.size = offsetof(struct tfops_error, where) - 1};
    EXPECT_STATUS(tfops_error_last(NULL), TFOPS_E_ARGUMENT);
    EXPECT_STATUS(tfops_error_last(&error), TFOPS_E_ARGUMENT);
    error.size = offsetof(struct tfops_error, where);
    EXPECT_OK(tfops_error_last(&error));
}

Test(error, restore_brings_the_saved_record_back)
{
    struct tfops_error saved;
    error_set(TFOPS_E_SHAPE, "request", "x", "a", "b");
    error_save(&saved);
    error_setf(TFOPS_E_IO, 3, "close", "file", "failed too");
    error_restore(&saved);
    EXPECT_TEXT(error_message(), "request: x: shape does not fit: expected a, got b");
    EXPECT_INT(expect_error().status, TFOPS_E_SHAPE);
}

static void *fail_elsewhere(void *unused)
{
    static char before[64];
    (void)unused;
    snprintf(before, sizeof before, "%.63s", error_message());
    error_setf(TFOPS_E_IO, 1, "other", "thread", "failed");
    return before;
}

Test(error, record_belongs_to_its_thread)
{
    pthread_t thread;
    void *before;
    error_set(TFOPS_E_SHAPE, "request", "x", NULL, NULL);
    cr_assert_eq(pthread_create(&thread, NULL, fail_elsewhere, NULL), 0);
    pthread_join(thread, &before);
    EXPECT_TEXT(before, "");
    EXPECT_INT(expect_error().status, TFOPS_E_SHAPE);
}
