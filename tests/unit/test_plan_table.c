/* Plans by key: many, growing, replaced, dropped. Plans here are stand-ins with a key and nothing. */
#include "engine_state.h"
#include "plan_state.h"
#include "plan_table.h"
#include "tests/support/expect.h"
#include <criterion/criterion.h>

static struct expect_heap heap;
static struct tfops_engine engine; /* plans free themselves through their engine's env */
static struct plan_table table;

static void begin(void)
{
    engine.env =
        (struct env){.alloc = expect_heap_alloc, .free = expect_heap_free, .alloc_user = &heap};
    plan_table_init(&table);
}

TestSuite(plan_table, .init = begin);

static struct key key_number(uint64_t n)
{
    return (struct key){.words = {[0] = 1, [3] = n}};
}

static struct tfops_plan *new_plan(uint64_t n)
{
    struct tfops_plan *plan = expect_heap_alloc(&heap, sizeof *plan);
    memset(plan, 0, sizeof *plan);
    plan->env = engine.env;
    plan->block = plan;
    atomic_init(&plan->references, 1);
    plan->engine = &engine;
    plan->key = key_number(n);
    plan->hash = key_hash(&plan->key);
    return plan;
}

static const struct tfops_plan *find(uint64_t n)
{
    const struct key key = key_number(n);
    return plan_table_find(&table, &key);
}

Test(plan_table, empty_finds_nothing)
{
    const struct key key = key_number(1);
    cr_assert_null(find(1));
    EXPECT_OK(plan_table_drop(&engine.env, &table, &key));
    plan_table_release(&engine.env, &table);
    EXPECT_INT(heap.live, 0);
}

Test(plan_table, finds_each_of_many)
{
    enum { N = 3000 };
    static struct tfops_plan *plans[N];
    for (uint64_t i = 0; i < N; i++) {
        plans[i] = new_plan(i);
        EXPECT_OK(plan_table_put(&engine.env, &table, plans[i]));
        cr_assert_eq(find(i), plans[i]);
        cr_assert_null(find(i + N));
    }
    for (uint64_t i = 0; i < N; i++)
        cr_assert_eq(find(i), plans[i], "plan %d is lost", (int)i);
    EXPECT_INT(table.n, N);
    plan_table_release(&engine.env, &table);
    EXPECT_INT(heap.live, 0);
}

Test(plan_table, put_replaces_the_plan_of_a_key)
{
    struct tfops_plan *one = new_plan(7), *two = new_plan(7);
    EXPECT_OK(plan_table_put(&engine.env, &table, one));
    EXPECT_OK(plan_table_put(&engine.env, &table, two));
    cr_assert_eq(find(7), two);
    EXPECT_INT(table.n, 1);
    EXPECT_INT(atomic_load(&one->references), 1); /* a reader may be on it */
    plan_table_release(&engine.env, &table);
    EXPECT_INT(heap.live, 0);
}

Test(plan_table, drop_makes_the_key_a_miss_and_leaves_the_others)
{
    for (uint64_t i = 0; i < 500; i++)
        EXPECT_OK(plan_table_put(&engine.env, &table, new_plan(i)));
    for (uint64_t i = 0; i < 500; i += 3) {
        const struct key key = key_number(i);
        EXPECT_OK(plan_table_drop(&engine.env, &table, &key));
    }
    for (uint64_t i = 0; i < 500; i++)
        cr_assert_eq(find(i) != NULL, i % 3 != 0, "key %d", (int)i);
    EXPECT_INT(table.n, 500 - 167);
    plan_table_release(&engine.env, &table);
    EXPECT_INT(heap.live, 0);
}

Test(plan_table, drop_of_what_is_not_there_is_nothing)
{
    const struct key key = key_number(9);
    EXPECT_OK(plan_table_put(&engine.env, &table, new_plan(1)));
    EXPECT_OK(plan_table_drop(&engine.env, &table, &key));
    EXPECT_INT(table.n, 1);
    plan_table_release(&engine.env, &table);
}

Test(plan_table, a_dropped_key_can_be_put_again)
{
    const struct key key = key_number(1);
    for (int i = 0; i < 40; i++) {
        struct tfops_plan *plan = new_plan(1);
        EXPECT_OK(plan_table_put(&engine.env, &table, plan));
        cr_assert_eq(find(1), plan);
        EXPECT_INT(table.n, 1);
        EXPECT_OK(plan_table_drop(&engine.env, &table, &key));
        EXPECT_INT(table.n, 0);
    }
    plan_table_release(&engine.env, &table);
    EXPECT_INT(heap.live, 0);
}

/* A service that tunes for weeks drops and makes plans of the same few keys. */
Test(plan_table, dropping_and_putting_does_not_grow_the_slots)
{
    const struct key key = key_number(1);
    for (int i = 0; i < 20000; i++) {
        EXPECT_OK(plan_table_put(&engine.env, &table, new_plan(1)));
        EXPECT_OK(plan_table_drop(&engine.env, &table, &key));
    }
    EXPECT_INT(plan_table_slots(&table), 64);
    plan_table_release(&engine.env, &table);
    EXPECT_INT(heap.live, 0);
}

Test(plan_table, a_failed_allocation_leaves_the_table_as_it_was)
{
    for (uint64_t i = 0; i < 200; i++) {
        struct tfops_plan *plan = new_plan(i % 150);
        enum tfops_status status = TFOPS_E_MEMORY;
        for (size_t nth = 1; status; nth++) {
            const struct tfops_plan *before = find(i % 150);
            heap.fail_at = heap.calls + nth;
            status = plan_table_put(&engine.env, &table, plan);
            heap.fail_at = 0;
            if (status) {
                EXPECT_INT(status, TFOPS_E_MEMORY);
                cr_assert_eq(find(i % 150), before, "a failed put changed key %d", (int)i);
            }
        }
        cr_assert_eq(find(i % 150), plan);
    }
    plan_table_release(&engine.env, &table);
    EXPECT_INT(heap.live, 0);
}
