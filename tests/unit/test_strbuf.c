/* Growing strings: text, growth, the sticky failure. */
#include "base/mem.h"
#include "base/strbuf.h"
#include "tests/support/expect.h"
#include <criterion/criterion.h>

static struct expect_heap heap;
static const struct env env = {
    .alloc = expect_heap_alloc, .free = expect_heap_free, .alloc_user = &heap};

Test(strbuf, is_empty_text_before_the_first_append)
{
    struct strbuf buf;
    strbuf_init(&buf, &env);
    EXPECT_TEXT(strbuf_text(&buf), "");
    EXPECT_INT(heap.calls, 0);
}

Test(strbuf, keeps_appends_in_order)
{
    struct strbuf buf;
    strbuf_init(&buf, &env);
    strbuf_add(&buf, "a");
    strbuf_addf(&buf, "%d-%s", 42, "b");
    strbuf_add_bytes(&buf, "cde", 2);
    strbuf_add_bytes(&buf, NULL, 0);
    EXPECT_TEXT(strbuf_text(&buf), "a42-bcd");
    EXPECT_INT(buf.length, 7);
    strbuf_release(&buf);
    EXPECT_INT(heap.live, 0);
}

Test(strbuf, is_right_at_every_length)
{
    struct strbuf buf;
    strbuf_init(&buf, &env);
    for (size_t i = 0; i < 3000; i++) {
        EXPECT_INT(strlen(strbuf_text(&buf)), i);
        if (i % 2)
            strbuf_addf(&buf, "%c", 'a' + (char)(i % 26));
        else
            strbuf_add_bytes(&buf, &"abcdefghijklmnopqrstuvwxyz"[i % 26], 1);
    }
    for (size_t i = 0; i < 3000; i++)
        cr_assert_eq(buf.text[i], 'a' + (char)(i % 26), "at %zu: %c", i, buf.text[i]);
    strbuf_release(&buf);
}

Test(strbuf, failure_is_sticky)
{
    struct strbuf buf;
    strbuf_init(&buf, &env);
    strbuf_add(&buf, "kept");
    heap.fail_at = heap.calls + 1;
    char large[256];
    memset(large, 'x', sizeof large);
    strbuf_add_bytes(&buf, large, sizeof large);
    cr_assert(buf.failed);
    strbuf_add(&buf, "y");
    strbuf_addf(&buf, "%d", 1);
    EXPECT_TEXT(strbuf_text(&buf), "kept");
    cr_assert_null(strbuf_take(&buf));
    EXPECT_INT(heap.live, 0);
}

Test(strbuf, take_hands_over_and_starts_anew)
{
    struct strbuf buf;
    strbuf_init(&buf, &env);
    char *empty = strbuf_take(&buf);
    EXPECT_TEXT(empty, "");
    strbuf_add(&buf, "one");
    char *one = strbuf_take(&buf);
    strbuf_add(&buf, "two");
    EXPECT_TEXT(one, "one");
    EXPECT_TEXT(strbuf_text(&buf), "two");
    strbuf_release(&buf);
    mem_free(&env, one);
    mem_free(&env, empty);
    EXPECT_INT(heap.live, 0);
}
