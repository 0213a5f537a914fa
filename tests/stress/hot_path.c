/*
 * What a launch that hits may not do: take a lock, allocate, call SQLite, open or read a file.
 * Counted from outside by libhot_path_shim.so over 1000 launches, with the fake driver and, where
 * there is one, on a GPU behind libcount_shim.so; what the driver does itself is not counted.
 */
#include "tests/fakes/hot_path_shim.h"
#include "tests/support/test_support.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LAUNCHES = 1000 };

static int failures;

static void must(enum tfops_status status, const char *what)
{
    struct tfops_error error = {.size = sizeof error};
    if (!status)
        return;
    tfops_error_last(&error);
    fprintf(stderr, "hot_path: %s: %s: %s\n", what, tfops_status_name(status), error.message);
    exit(1);
}

static void expect_nothing(const char *what, const struct hot_path_counts *c)
{
    printf("%s: %d launches: %llu locks, %llu allocations, %llu frees, %llu SQLite, %llu files\n",
        what, LAUNCHES, (unsigned long long)c->locks, (unsigned long long)c->allocations,
        (unsigned long long)c->frees, (unsigned long long)c->sqlite, (unsigned long long)c->files);
    failures += c->locks + c->allocations + c->frees + c->sqlite + c->files != 0;
}

/* x, weight and out of rmsnorm; with `add` also residual, in add_rmsnorm's order. */
struct call {
    struct support_tensor tensors[4];
    struct tfops_args args;
};

static void make_call(struct call *call, struct tfops_engine *engine, bool add, int64_t rows)
{
    const struct support_shape matrix = {TFOPS_F16, rows, 256, 0, 0};
    const struct support_shape vector = {TFOPS_F16, 0, 256, 0, 0};
    const int n = add ? 4 : 3, weight = add ? 2 : 1;
    *call = (struct call){.args = {.size = sizeof call->args}};
    for (int i = 0; i < n; i++) {
        support_tensor_make(&call->tensors[i], engine, i == weight ? &vector : &matrix, 1);
        call->args.operands[i] = &call->tensors[i].tensor;
    }
}

static void free_call(struct call *call)
{
    for (int i = 0; i < 4; i++)
        support_tensor_free(&call->tensors[i]);
}

/* A first launch on each way in, then the counted ones. `rows` change from call to call. */
static void count_launches(struct tfops_engine *engine, const char *driver, bool add, bool prepared)
{
    struct call calls[2];
    struct tfops_problem problem;
    struct tfops_plan *plan = NULL;
    struct hot_path_counts counts;
    char what[96];
    const struct tfops_spec *spec = tfops_engine_operator(engine, add ? "add_rmsnorm" : "rmsnorm");
    make_call(&calls[0], engine, add, 4);
    make_call(&calls[1], engine, add, 7);
    for (int i = 0; i < 2; i++)
        calls[i].args.flags = prepared ? 0 : TFOPS_BATCH_INVARIANT; /* a key of its own */
    must(tfops_problem_from_args(spec, &calls[0].args, &problem), "problem");
    if (prepared) {
        hot_path_begin();
        must(tfops_prepare(engine, &problem, &plan), "prepare");
        hot_path_end(&counts);
        if (!counts.allocations || !counts.locks) {
            fprintf(stderr, "hot_path: the shim does not count\n");
            failures++;
        }
    }
    for (int i = 0; i < 2; i++)
        must(tfops_launch(engine, spec, &calls[i].args, NULL), "first launch");
    enum tfops_status status = TFOPS_OK;
    hot_path_begin();
    for (int i = 0; i < LAUNCHES && !status; i++)
        status = tfops_launch(engine, spec, &calls[i % 2].args, NULL);
    hot_path_end(&counts);
    must(status, "tfops_launch");
    snprintf(what, sizeof what, "%s, %s, %s, tfops_launch", driver, spec->name,
        prepared ? "prepared" : "cold");
    expect_nothing(what, &counts);
    if (plan) {
        hot_path_begin();
        for (int i = 0; i < LAUNCHES && !status; i++)
            status = tfops_plan_launch(plan, &calls[i % 2].args, NULL);
        hot_path_end(&counts);
        must(status, "tfops_plan_launch");
        snprintf(what, sizeof what, "%s, %s, tfops_plan_launch", driver, spec->name);
        expect_nothing(what, &counts);
    }
    must(tfops_device_synchronize(engine), "synchronize");
    tfops_plan_release(plan);
    free_call(&calls[0]);
    free_call(&calls[1]);
}

static void count_all(const char *driver)
{
    struct support_engine open = {.engine = NULL};
    support_engine_open(&open, NULL, NULL);
    for (int add = 0; add < 2; add++)
        for (int prepared = 0; prepared < 2; prepared++)
            count_launches(open.engine, driver, add, prepared);
    support_engine_close(&open);
}

int main(int argc, char **argv)
{
    char shim[SUPPORT_PATH_BYTES];
    (void)argc;
    if (!support_preload("hot_path_shim", argv) || !hot_path_begin) {
        printf("libhot_path_shim.so cannot be preloaded here\n");
        return 77;
    }
    const bool gpu = !getenv("TFOPS_LIBCUDA") && support_have_gpu();
    if (gpu) {
        support_fake_path("count_shim", shim);
        setenv("TFOPS_LIBCUDA", shim, 1);
        count_all("GPU");
    } else {
        fprintf(stderr, "SKIP hot_path on a GPU: no GPU\n");
    }
    support_use_fake_cuda();
    count_all("fake driver");
    printf("hot_path: %s\n", failures ? "FAILED" : "ok");
    return failures != 0;
}
