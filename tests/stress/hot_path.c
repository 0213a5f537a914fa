/*
 * What a launch that hits may not do: take a lock, allocate, call SQLite, open or read a file.
 * Counted from outside by libhot_path_shim.so over 100 launches of every operator, with the fake driver and, where
 * there is one, on a GPU behind libcount_shim.so; what the driver does itself is not counted.
 */
#include "problem.h"
#include "tests/fakes/hot_path_shim.h"
#include "tests/support/gpu_case.h"
#include "tests/support/test_support.h"
#include "tests/support/weight_heap.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LAUNCHES = 100 };

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

#define CACHED(rope) rope " positions=1 slots=1 k_cache=1 v=1 v_cache=1 num_blocks=3 block_size=4"

/* Every operator, in forms that take the short ways and, at the end, one that takes the long one. */
static const char *const PROBLEMS[] = {
    "rmsnorm rows=4 hidden=256",
    "add_rmsnorm rows=4 hidden=256",
    "layernorm rows=4 hidden=256 bias=1",
    "add_layernorm rows=4 hidden=256 bias=1 residual_out=1",
    "rmsnorm_quant rows=4 hidden=256",
    "add_rmsnorm_quant rows=4 hidden=256 granularity=per_group",
    "quantize rows=4 hidden=256 granularity=per_token scales=1",
    "quantize rows=4 hidden=256 granularity=per_tensor_dynamic scales=1",
    "dequantize rows=4 hidden=256 granularity=per_group",
    "gated_act rows=4 ffn=256",
    "gated_act rows=4 ffn=256 out_dtype=e4m3 scales=1",
    "softmax rows=4 width=256 mask=1 mask_rows=1",
    "rope batch=1 seq=4 q_heads=4 kv_heads=2 head_dim=64 table_dim=64 max_pos=16 k=1 k_out=1",
    CACHED("rope batch=1 seq=4 q_heads=4 kv_heads=2 head_dim=64 table_dim=64 max_pos=16 k=1"),
    "rmsnorm_rope rows=4 num_heads=4 head_dim=64 table_dim=64 max_pos=16 positions=1",
    "linear m=4 n=64 k=128 bias=1",
    "fp8_gemm m=4 n=64 k=128 scaling=row",
    "transpose rows=4 cols=256",
    "rmsnorm rows=4 hidden=1",
};

/* Two calls of a problem whose numbers of rows differ. */
struct calls {
    struct tfops_problem problem;
    struct gpu_case cases[2];
};

static void make_calls(
    struct calls *calls, struct tfops_engine *engine, const char *text, bool prepared)
{
    static const int64_t MORE[] = {0, 3};
    double scalars[TFOPS_MAX_SCALARS];
    gpu_case_problem(engine, text, &calls->problem, scalars);
    calls->problem.flags = prepared ? 0 : TFOPS_BATCH_INVARIANT; /* a key of its own */
    for (int i = 0; i < 2; i++) {
        const struct gpu_case_options options = {.scalars = scalars};
        struct tfops_problem problem = calls->problem;
        problem_set_extent(&problem, 4 + MORE[i]);
        gpu_case_make(&calls->cases[i], engine, &problem, &options);
    }
}

/* A first launch on each way in, then the counted ones. Rows change from call to call. */
static void count_launches(
    struct tfops_engine *engine, const char *driver, const char *text, bool prepared)
{
    static struct calls calls;
    struct tfops_plan *plan = NULL;
    struct hot_path_counts counts;
    char what[GPU_CASE_TEXT_BYTES];
    make_calls(&calls, engine, text, prepared);
    const struct tfops_spec *spec = calls.problem.spec;
    if (prepared) {
        hot_path_begin();
        must(tfops_prepare(engine, &calls.problem, &plan), "prepare");
        hot_path_end(&counts);
        if (!counts.allocations || !counts.locks) {
            fprintf(stderr, "hot_path: the shim does not count\n");
            failures++;
        }
    }
    for (int i = 0; i < 2; i++)
        must(tfops_launch(engine, spec, &calls.cases[i].args, NULL), "first launch");
    enum tfops_status status = TFOPS_OK;
    hot_path_begin();
    for (int i = 0; i < LAUNCHES && !status; i++)
        status = tfops_launch(engine, spec, &calls.cases[i % 2].args, NULL);
    hot_path_end(&counts);
    must(status, "tfops_launch");
    snprintf(what, sizeof what, "%s, %s, %s, tfops_launch", driver, text,
        prepared ? "prepared" : "cold");
    expect_nothing(what, &counts);
    if (plan) {
        hot_path_begin();
        for (int i = 0; i < LAUNCHES && !status; i++)
            status = tfops_plan_launch(plan, &calls.cases[i % 2].args, NULL);
        hot_path_end(&counts);
        must(status, "tfops_plan_launch");
        snprintf(what, sizeof what, "%s, %s, tfops_plan_launch", driver, text);
        expect_nothing(what, &counts);
    }
    must(tfops_device_synchronize(engine), "synchronize");
    tfops_plan_release(plan);
    gpu_case_free(&calls.cases[0]);
    gpu_case_free(&calls.cases[1]);
}

/* Two launches a call, with a workspace; rows change from call to call. */
static void count_linear(struct tfops_engine *engine, const char *driver)
{
    enum { ROWS = 4, N = 64, K = 128 };
    struct weight_heap heap = {.engine = engine};
    const struct tfops_weight_options options =
        weight_heap_options(&heap, TFOPS_SCALES_PER_TOKEN, 0);
    struct support_tensor tensors[3];
    struct tfops_weight *weight;
    struct hot_path_counts counts;
    for (int i = 0; i < 3; i++) {
        const struct support_shape shape = {TFOPS_F16, i ? ROWS : N, i == 2 ? N : K, 0, 0};
        support_tensor_make(&tensors[i], engine, &shape, 1);
    }
    must(tfops_weight_new(engine, &options, &tensors[0].tensor, NULL, 1, NULL, &weight), "weight");
    struct tfops_fp8_linear_args args = {.size = sizeof args,
        .weight = weight,
        .weight_version = 1,
        .x = &tensors[1].tensor,
        .out = &tensors[2].tensor};
    must(tfops_fp8_linear_prepare(engine, &args, &args.workspace_bytes), "prepare");
    must(tfops_device_alloc(engine, args.workspace_bytes, &args.workspace), "workspace");
    enum tfops_status status = tfops_fp8_linear(engine, &args, NULL);
    hot_path_begin();
    for (int i = 0; i < LAUNCHES && !status; i++) {
        tensors[1].tensor.shape[0] = tensors[2].tensor.shape[0] = ROWS - i % 2;
        status = tfops_fp8_linear(engine, &args, NULL);
    }
    hot_path_end(&counts);
    must(status, "tfops_fp8_linear");
    must(tfops_device_synchronize(engine), "synchronize");
    char what[64];
    snprintf(what, sizeof what, "%s, tfops_fp8_linear", driver);
    expect_nothing(what, &counts);
    tensors[1].tensor.shape[0] = tensors[2].tensor.shape[0] = ROWS;
    tfops_weight_free(weight, NULL);
    tfops_device_free(engine, args.workspace);
    for (int i = 0; i < 3; i++)
        support_tensor_free(&tensors[i]);
}

static void count_all(const char *driver)
{
    struct support_engine open = {.engine = NULL};
    support_engine_open(&open, NULL, NULL);
    for (size_t i = 0; i < sizeof PROBLEMS / sizeof *PROBLEMS; i++)
        for (int prepared = 0; prepared < 2; prepared++)
            count_launches(open.engine, driver, PROBLEMS[i], prepared);
    count_linear(open.engine, driver);
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
