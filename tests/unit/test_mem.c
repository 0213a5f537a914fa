/* Host memory: zeroed, overflow-checked, from the caller's allocator. */
#include "base/mem.h"
#include "tests/support/expect.h"
#include <criterion/criterion.h>
#include <stdint.h>

static struct expect_heap heap;
static const struct env env = {
    .alloc = expect_heap_alloc, .free = expect_heap_free, .alloc_user = &heap};

Test(mem, new_is_zeroed)
{
    unsigned char *memory = mem_new(&env, 7, 3);
    for (int i = 0; i < 21; i++)
        cr_assert_eq(memory[i], 0, "byte %d is %#x", i, memory[i]);
    mem_free(&env, memory);
    EXPECT_INT(heap.live, 0);
}

Test(mem, new_of_nothing_is_an_address)
{
    void *memory = mem_new(&env, 0, 16);
    cr_assert(memory, "NULL for 0 elements");
    mem_free(&env, memory);
}

Test(mem, new_without_env_uses_malloc)
{
    void *memory = mem_new(NULL, 4, 4);
    cr_assert(memory);
    free(memory);
    EXPECT_INT(heap.calls, 0);
}

Test(mem, new_refuses_sizes_that_overflow)
{
    static const struct {
        size_t n, size;
    } CASES[] = {
        {SIZE_MAX, 2}, {2, SIZE_MAX}, {SIZE_MAX / 8 + 1, 8}, {(size_t)1 << 32, (size_t)1 << 32}};
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        cr_assert_null(mem_new(&env, CASES[i].n, CASES[i].size), "case %zu", i);
        EXPECT_INT(expect_error().status, TFOPS_E_MEMORY);
    }
    EXPECT_INT(heap.calls, 0);
}

Test(mem, new_reports_a_failing_allocator)
{
    heap.fail_at = 1;
    cr_assert_null(mem_new(&env, 3, 5));
    EXPECT_INT(expect_error().status, TFOPS_E_MEMORY);
    EXPECT_CONTAINS(expect_error().message, "3");
    EXPECT_CONTAINS(expect_error().message, "5");
}

Test(mem, grow_keeps_the_old_and_zeroes_the_new)
{
    int *numbers = mem_new(&env, 2, sizeof *numbers);
    numbers[0] = 11, numbers[1] = 22;
    numbers = mem_grow(&env, numbers, 2, 5, sizeof *numbers);
    static const int WANT[] = {11, 22, 0, 0, 0};
    for (int i = 0; i < 5; i++)
        EXPECT_INT(numbers[i], WANT[i]);
    mem_free(&env, numbers);
    EXPECT_INT(heap.live, 0);
}

Test(mem, grow_leaves_the_old_block_when_it_fails)
{
    int *numbers = mem_new(&env, 1, sizeof *numbers);
    *numbers = 11;
    heap.fail_at = heap.calls + 1;
    cr_assert_null(mem_grow(&env, numbers, 1, 2, sizeof *numbers));
    EXPECT_INT(*numbers, 11);
    cr_assert_null(mem_grow(&env, numbers, 1, SIZE_MAX, sizeof *numbers));
    EXPECT_INT(heap.live, 1);
    mem_free(&env, numbers);
}

Test(mem, copies_are_equal_and_apart)
{
    char text[] = "abc";
    char *copy = mem_strdup(&env, text), *bytes = mem_copy(&env, text, 2);
    text[0] = 'x';
    EXPECT_TEXT(copy, "abc");
    EXPECT_INT(bytes[0], 'a');
    void *none = mem_copy(&env, NULL, 0);
    cr_assert(none);
    mem_free(&env, none);
    mem_free(&env, copy);
    mem_free(&env, bytes);
    EXPECT_INT(heap.live, 0);
}

Test(mem, free_of_null_is_nothing)
{
    mem_free(&env, NULL);
    mem_free(NULL, NULL);
    EXPECT_INT(heap.live, 0);
}
