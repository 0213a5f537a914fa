/*
 * Threads register operators, names of their own and names that all of them want, while others look
 * operators up and launch what they find: run under ThreadSanitizer by `make tsan`. On the cpu
 * device and on the fake driver, where a new operator's generic variant must be there with it.
 */
#include "tests/support/test_support.h"
#include "tests/support/toy_spec.h"
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

enum { WRITERS = 3, READERS = 2, OWN = 4, SHARED = 4, MOST = WRITERS * OWN + SHARED, N = 8, K = 2 };

static struct tfops_engine *engine;
static size_t built_in;
static atomic_int writing, failures;
static atomic_int shared_added[SHARED];
static atomic_uint_fast64_t launched;

static void complain(const char *what, const char *name)
{
    struct tfops_error error = {.size = sizeof error};
    tfops_error_last(&error);
    if (!atomic_fetch_add(&failures, 1))
        fprintf(stderr, "register_threads: %s: %s: %s\n", name, what, error.message);
}

static enum tfops_status add(const char *name)
{
    struct toy toy; /* gone when the call returns: the engine has a copy */
    toy_init(&toy);
    toy.spec.name = name;
    return tfops_engine_register(engine, &toy.spec);
}

static void *write_on(void *number)
{
    char name[32];
    for (int i = 0; i < OWN; i++) {
        snprintf(name, sizeof name, "own_%d_%d", (int)(uintptr_t)number, i);
        if (add(name))
            complain("not registered", name);
        if (!tfops_engine_operator(engine, name))
            complain("registered, not found", name);
        snprintf(name, sizeof name, "shared_%d", i % SHARED);
        enum tfops_status status = add(name);
        if (!status)
            atomic_fetch_add(&shared_added[i % SHARED], 1);
        else if (status != TFOPS_E_ARGUMENT)
            complain("neither registered nor taken", name);
    }
    atomic_fetch_sub(&writing, 1);
    return NULL;
}

/* In the engine's memory: what all read, and what each reader's launches write. */
static struct support_tensor x, ys[READERS];

static void launch(const struct tfops_spec *spec, struct support_tensor *y)
{
    struct tfops_tensor tx = x.tensor;
    struct tfops_tensor ty =
        tfops_tensor_contiguous(y->tensor.data, TFOPS_F32, 3, (const int64_t[]){1, N, K});
    const struct tfops_args args = {
        .size = sizeof args, .operands = {[TOY_X] = &tx, [TOY_Y] = &ty}};
    if (tfops_launch(engine, spec, &args, NULL))
        complain("not launched", spec->name);
    else
        atomic_fetch_add(&launched, 1);
}

static void *read_on(void *y)
{
    struct tfops_engine_stats stats = {.size = sizeof stats};
    bool last = false;
    do {
        last = !atomic_load(&writing);
        for (size_t i = built_in; i < tfops_engine_operator_count(engine); i++) {
            const struct tfops_spec *spec = tfops_engine_operator_at(engine, i);
            if (tfops_engine_operator(engine, spec->name) != spec)
                complain("another one of that name", spec->name);
            launch(spec, y);
        }
        if (tfops_engine_stats(engine, &stats))
            complain("no stats", "engine");
    } while (!last);
    return y;
}

static void run(const char *device)
{
    struct support_engine open = {.engine = NULL};
    pthread_t threads[WRITERS + READERS];
    support_engine_open(&open, device, NULL);
    engine = open.engine;
    support_tensor_make(&x, engine, &(struct support_shape){TFOPS_F32, 1, N, N, 0}, 1);
    for (int i = 0; i < READERS; i++)
        support_tensor_make(
            &ys[i], engine, &(struct support_shape){TFOPS_F32, 1, N * K, N * K, 0}, 2);
    built_in = tfops_engine_operator_count(engine);
    atomic_store(&writing, WRITERS);
    atomic_store(&launched, 0);
    for (int i = 0; i < SHARED; i++)
        atomic_store(&shared_added[i], 0);
    for (int i = 0; i < WRITERS + READERS; i++)
        if (pthread_create(&threads[i], NULL, i < WRITERS ? write_on : read_on,
                i < WRITERS ? (void *)(uintptr_t)(i + 1) : &ys[i - WRITERS]))
            abort();
    for (int i = 0; i < WRITERS + READERS; i++)
        pthread_join(threads[i], NULL);
    for (int i = 0; i < SHARED; i++)
        if (atomic_load(&shared_added[i]) != 1)
            complain("not registered exactly once", "a shared name");
    if (tfops_engine_operator_count(engine) != built_in + MOST)
        complain("another number of operators", device);
    if (atomic_load(&launched) < (uint64_t)READERS * MOST)
        complain("too few launches", device);
    printf("register_threads: %s: %d operators, %llu launches\n", device, MOST,
        (unsigned long long)atomic_load(&launched));
    support_tensor_free(&x);
    for (int i = 0; i < READERS; i++)
        support_tensor_free(&ys[i]);
    support_engine_close(&open);
}

int main(void)
{
    run("cpu");
    support_use_fake_cuda();
    if (support_have_nvrtc())
        run("cuda:0");
    else
        printf("register_threads: no NVRTC: not with generic variants\n");
    return atomic_load(&failures) != 0;
}
