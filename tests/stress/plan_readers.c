/*
 * Readers search the plan table without a lock while a writer adds, replaces and drops: run under
 * ThreadSanitizer by `make tsan`. Ends with 0, or says what was wrong.
 */
#include "engine_state.h"
#include "plan_state.h"
#include "plan_table.h"
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { READERS = 3, MAX_KEYS = 1 << 14 };

static struct tfops_engine engine;
static struct plan_table table;
static atomic_uint added; /* keys below it have been put; multiples of 5 may be dropped again */
static atomic_int stop, wrong;
static atomic_uint_fast64_t found;

static struct key key_number(uint64_t n)
{
    return (struct key){.words = {[0] = 1, [3] = n}};
}

static void complain(const char *what, uint64_t n)
{
    if (!atomic_exchange(&wrong, 1))
        fprintf(stderr, "plan_readers: %s: key %llu\n", what, (unsigned long long)n);
}

static void *read_on(void *seed)
{
    uint64_t random = (uint64_t)(uintptr_t)seed, hits = 0;
    while (!atomic_load_explicit(&stop, memory_order_relaxed)) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        const uint64_t n = (random >> 33) % MAX_KEYS;
        const unsigned known = atomic_load_explicit(&added, memory_order_acquire);
        const struct key key = key_number(n);
        const struct tfops_plan *plan = plan_table_find(&table, &key);
        if (plan && plan->problem.dims[0] != (int64_t)n)
            complain("another key's plan", n);
        if (!plan && n < known && n % 5)
            complain("lost", n);
        hits += plan != NULL;
    }
    atomic_fetch_add(&found, hits);
    return NULL;
}

static struct tfops_plan *new_plan(uint64_t n)
{
    struct tfops_plan *plan = calloc(1, sizeof *plan);
    if (!plan)
        abort();
    plan->block = plan;
    atomic_init(&plan->references, 1);
    plan->engine = &engine;
    plan->problem.dims[0] = (int64_t)n;
    plan->key = key_number(n);
    plan->hash = key_hash(&plan->key);
    return plan;
}

static void put(uint64_t n)
{
    if (plan_table_put(&engine.env, &table, new_plan(n)))
        complain("not put", n);
}

static void write_all(unsigned n_keys)
{
    for (unsigned n = 0; n < n_keys && !atomic_load(&wrong); n++) {
        put(n);
        atomic_store_explicit(&added, n + 1, memory_order_release);
        if (n % 3 == 0)
            put(n / 2); /* replaces, or brings a dropped one back */
        if (n % 7 == 0) {
            const struct key key = key_number(n / 5 * 5);
            plan_table_drop(&engine.env, &table, &key);
        }
    }
}

int main(void)
{
    const char *length = getenv("TFOPS_STRESS");
    const int rounds = length && !strcmp(length, "long") ? 20 : 2;
    pthread_t readers[READERS];
    for (int round = 0; round < rounds && !atomic_load(&wrong); round++) {
        plan_table_init(&table);
        atomic_store(&added, 0);
        atomic_store(&stop, 0);
        for (int i = 0; i < READERS; i++)
            if (pthread_create(&readers[i], NULL, read_on, (void *)(uintptr_t)(round * 10 + i + 1)))
                abort();
        write_all(MAX_KEYS);
        atomic_store(&stop, 1);
        for (int i = 0; i < READERS; i++)
            pthread_join(readers[i], NULL);
        plan_table_release(&engine.env, &table);
    }
    if (atomic_load(&wrong))
        return 1;
    printf("plan_readers: %d rounds of %d keys, %llu found meanwhile\n", rounds, MAX_KEYS,
        (unsigned long long)atomic_load(&found));
    return atomic_load(&found) == 0;
}
