/*
 * linear_add_rmsnorm on a GPU against the cpu device: one table of cases, each launched as the generic
 * variant (a cold key) and as the default config (a prepared one), with and without a workspace.
 */
#include <criterion/criterion.h>

#include "driver.h"
#include "engine_access.h"
#include "tests/support/gpu_case.h"
#include "tests/support/gpu_matrix.h"
#include <stdlib.h>
#include <string.h>

enum { BIAS = 1, RESIDUAL_OUT = 2, NO_WORKSPACE = 4 };
enum { PLAIN, ONE_PLUS, ROUND_BEFORE };

static const struct add_case {
    enum tfops_dtype dtype, out_dtype;
    int64_t m, n, k, pad; /* pad: elements behind each row */
    int with, variant;
} CASES[] = {
    {TFOPS_F16, TFOPS_F16, 1, 256, 512, 0, 0, PLAIN},
    {TFOPS_BF16, TFOPS_BF16, 3, 264, 520, 0, BIAS, ONE_PLUS},
    {TFOPS_F16, TFOPS_BF16, 16, 136, 2056, 8, RESIDUAL_OUT, PLAIN},
    {TFOPS_BF16, TFOPS_BF16, 33, 4096, 72, 0, RESIDUAL_OUT, ROUND_BEFORE},
    {TFOPS_F16, TFOPS_F16, 64, 1032, 264, 16, BIAS, PLAIN},
    {TFOPS_BF16, TFOPS_F16, 129, 1032, 40, 0, BIAS | RESIDUAL_OUT, ONE_PLUS},
    {TFOPS_F16, TFOPS_F16, 300, 2560, 40, 0, 0, ROUND_BEFORE},
    {TFOPS_BF16, TFOPS_BF16, 700, 4096, 16, 0, RESIDUAL_OUT, PLAIN},
    {TFOPS_F16, TFOPS_F16, 3000, 136, 40, 0, 0, PLAIN},
    {TFOPS_F16, TFOPS_F16, 5, 1, 1, 0, 0, PLAIN},
    {TFOPS_F16, TFOPS_F16, 130, 77, 333, 0, BIAS, ONE_PLUS},
    {TFOPS_BF16, TFOPS_BF16, 67, 129, 500, 3, RESIDUAL_OUT, ROUND_BEFORE},
    {TFOPS_BF16, TFOPS_BF16, 7, 264, 136, 0, NO_WORKSPACE, PLAIN},
    {TFOPS_F16, TFOPS_F16, 300, 136, 264, 0, NO_WORKSPACE | BIAS | RESIDUAL_OUT, ROUND_BEFORE},
    {TFOPS_BF16, TFOPS_BF16, 1, 2048, 1032, 0, 0, PLAIN},
    {TFOPS_F16, TFOPS_F16, 20, 520, 1032, 8, BIAS, ONE_PLUS},
    {TFOPS_BF16, TFOPS_BF16, 2100, 136, 40, 0, RESIDUAL_OUT, PLAIN},
};

enum { X, WEIGHT, BIAS_OPERAND, RESIDUAL, OUT, NORM_WEIGHT, SUM };
enum { WORKSPACE_BYTES = 4 << 20 };
static const double EPS = 1e-5;

static void *workspace;

static void open_both(struct gpu_matrix *both)
{
    gpu_matrix_open(both);
    cr_assert_eq(tfops_device_alloc(both->gpu.engine, WORKSPACE_BYTES, &workspace), TFOPS_OK);
    gpu_case_set(both->gpu.engine, workspace, 0, WORKSPACE_BYTES);
}

static void close_both(struct gpu_matrix *both)
{
    tfops_device_free(both->gpu.engine, workspace);
    gpu_matrix_close(both);
}

static void make_run(
    struct gpu_matrix_run *run, struct tfops_engine *engine, const struct add_case *c)
{
    const bool has_workspace = !(c->with & NO_WORKSPACE);
    *run = (struct gpu_matrix_run){.args = {.size = sizeof run->args}};
    run->args.options[0] = (uint8_t)c->variant;
    run->args.options[1] = !has_workspace;
    run->args.n_scalars = 1;
    run->args.scalars[0] = EPS;
    run->args.workspace = has_workspace ? workspace : NULL;
    run->args.workspace_bytes = has_workspace ? WORKSPACE_BYTES : 0;
    gpu_matrix_give(run, engine, X, c->dtype, c->m, c->k, c->pad);
    gpu_matrix_give(run, engine, WEIGHT, c->dtype, c->n, c->k, c->pad);
    gpu_matrix_give(run, engine, RESIDUAL, c->out_dtype, c->m, c->n, c->pad);
    gpu_matrix_give(run, engine, OUT, c->out_dtype, c->m, c->n, c->pad);
    gpu_matrix_give(run, engine, NORM_WEIGHT, c->out_dtype, 0, c->n, 0);
    if (c->with & BIAS)
        gpu_matrix_give(run, engine, BIAS_OPERAND, c->out_dtype, 0, c->n, 0);
    if (c->with & RESIDUAL_OUT)
        gpu_matrix_give(run, engine, SUM, c->out_dtype, c->m, c->n, c->pad);
}

/* Rounding of both outputs; the normalised one's input is rounded too. */
static double bound(const struct add_case *c)
{
    return c->out_dtype == TFOPS_F16 ? 1.2e-3 : 8e-3;
}

static void check(struct gpu_matrix *both, const struct add_case *c, bool prepared)
{
    struct gpu_matrix_run run;
    make_run(&run, both->gpu.engine, c);
    gpu_matrix_check(both, "linear_add_rmsnorm", &run, OUT, bound(c), prepared);
    make_run(&run, both->gpu.engine, c);
    gpu_matrix_check(both, "linear_add_rmsnorm", &run, c->with & RESIDUAL_OUT ? SUM : RESIDUAL,
        bound(c) / 2, prepared);
}

static void check_all(bool prepared)
{
    struct gpu_matrix both;
    open_both(&both);
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++)
        check(&both, &CASES[i], prepared);
    close_both(&both);
}

Test(linear_add_rmsnorm_gpu, agrees_with_the_reference_when_cold)
{
    SUPPORT_NEEDS_GPU();
    check_all(false);
}

Test(linear_add_rmsnorm_gpu, agrees_with_the_reference_when_prepared)
{
    SUPPORT_NEEDS_GPU();
    check_all(true);
}

/* One plan for all numbers of tokens: its config was chosen for another one, and its blocks wait for each
 * other at all of them. */
Test(linear_add_rmsnorm_gpu, agrees_at_every_number_of_tokens)
{
    struct add_case c = {TFOPS_BF16, TFOPS_BF16, 0, 264, 72, 0, RESIDUAL_OUT, PLAIN};
    SUPPORT_NEEDS_GPU();
    struct gpu_matrix both;
    open_both(&both);
    for (c.m = 300; c.m >= 1; c.m -= c.m > 150 ? 7 : 1)
        check(&both, &c, c.m == 300 || c.m == 40);
    close_both(&both);
}

/* The same bits each time, and words of the exchange that are zero again. */
Test(linear_add_rmsnorm_gpu, repeats_itself_and_leaves_the_workspace_zero)
{
    enum { TIMES = 50, M = 700, N = 4096, BYTES = 2 * M * N };
    static const struct add_case C = {TFOPS_BF16, TFOPS_BF16, M, N, 72, 0, RESIDUAL_OUT, PLAIN};
    static const char ZEROS[WORKSPACE_BYTES];
    SUPPORT_NEEDS_GPU();
    struct gpu_matrix both;
    struct gpu_matrix_run run;
    struct tfops_problem problem;
    open_both(&both);
    struct tfops_engine *engine = both.gpu.engine;
    const struct tfops_spec *spec = tfops_engine_operator(engine, "linear_add_rmsnorm");
    make_run(&run, engine, &C);
    cr_assert_eq(tfops_problem_from_args(spec, &run.args, &problem), TFOPS_OK);
    cr_assert_eq(tfops_engine_warm(engine, &problem, 1), TFOPS_OK);
    void *first = malloc(BYTES), *left = malloc(WORKSPACE_BYTES);
    for (int i = 0; i < TIMES; i++) {
        cr_assert_eq(tfops_launch(engine, spec, &run.args, NULL), TFOPS_OK);
        cr_assert_eq(tfops_device_synchronize(engine), TFOPS_OK);
        const void *out = support_tensor_read(&run.tensors[OUT]);
        if (i == 0)
            memcpy(first, out, BYTES);
        cr_assert(!memcmp(first, out, BYTES), "launch %d differs", i);
    }
    cr_assert_eq(tfops_device_read(engine, left, workspace, WORKSPACE_BYTES), TFOPS_OK);
    cr_expect(!memcmp(left, ZEROS, WORKSPACE_BYTES), "words are left in the workspace");
    free(first);
    free(left);
    gpu_matrix_free(&run);
    close_both(&both);
}

/* ---- launches that overlap -------------------------------------------------------------------- */

enum { LAYERS = 20, TOKENS = 16, WIDTH = 2048 };

/* Two layers in turn, each of which reads what the other wrote. */
static void launch_layers(
    struct tfops_engine *engine, struct gpu_matrix_run runs[2], CUstream stream)
{
    const struct tfops_spec *spec = tfops_engine_operator(engine, "linear_add_rmsnorm");
    for (int i = 0; i < LAYERS; i++)
        cr_assert_eq(tfops_launch(engine, spec, &runs[i % 2].args, stream), TFOPS_OK);
}

static void replay_layers(struct tfops_engine *engine, struct gpu_matrix_run runs[2])
{
    struct engine_access access;
    CUcontext context;
    CUdevice device;
    CUstream stream;
    CUgraph graph;
    CUgraphExec exec;
    cr_assert_eq(engine_access(engine, &access), TFOPS_OK);
    const struct driver *driver = access.driver;
    cr_assert_eq(driver->device_get(&device, access.ordinal), CUDA_SUCCESS);
    cr_assert_eq(driver->primary_ctx_retain(&context, device), CUDA_SUCCESS);
    cr_assert_eq(driver->ctx_push_current(context), CUDA_SUCCESS);
    cr_assert_eq(driver->stream_create(&stream, CU_STREAM_NON_BLOCKING), CUDA_SUCCESS);
    cr_assert_eq(driver->stream_begin_capture(stream, CU_STREAM_CAPTURE_MODE_GLOBAL), CUDA_SUCCESS);
    launch_layers(engine, runs, stream);
    cr_assert_eq(driver->stream_end_capture(stream, &graph), CUDA_SUCCESS);
    cr_assert_eq(driver->graph_instantiate(&exec, graph, 0), CUDA_SUCCESS);
    cr_assert_eq(driver->graph_launch(exec, stream), CUDA_SUCCESS);
    cr_assert_eq(driver->stream_synchronize(stream), CUDA_SUCCESS);
    cr_assert_eq(driver->graph_destroy(graph), CUDA_SUCCESS);
    cr_assert_eq(driver->ctx_pop_current(&context), CUDA_SUCCESS);
    cr_assert_eq(driver->primary_ctx_release(device), CUDA_SUCCESS);
}

/* A replayed graph begins a launch while the one before ends: nothing of what that one writes is read by then. */
Test(linear_add_rmsnorm_gpu, layers_of_a_graph_give_the_bits_of_launches_one_by_one)
{
    enum { BYTES = 2 * TOKENS * WIDTH };
    static const struct add_case C = {
        TFOPS_BF16, TFOPS_BF16, TOKENS, WIDTH, WIDTH, 0, RESIDUAL_OUT, PLAIN};
    SUPPORT_NEEDS_GPU();
    struct gpu_matrix both;
    struct gpu_matrix_run runs[2];
    struct tfops_problem problem;
    open_both(&both);
    struct tfops_engine *engine = both.gpu.engine;
    for (int i = 0; i < 2; i++)
        make_run(&runs[i], engine, &C);
    for (int i = 0; i < 2; i++)
        runs[i].args.operands[X] = &runs[1 - i].tensors[OUT].tensor;
    cr_assert_eq(tfops_problem_from_args(
                     tfops_engine_operator(engine, "linear_add_rmsnorm"), &runs[0].args, &problem),
        TFOPS_OK);
    cr_assert_eq(tfops_engine_warm(engine, &problem, 1), TFOPS_OK);
    static char start[BYTES], one_by_one[BYTES];
    memcpy(start, support_tensor_read(&runs[0].tensors[X]), BYTES);
    for (int replayed = 0; replayed < 2; replayed++) {
        cr_assert_eq(
            tfops_device_write(engine, runs[1].tensors[OUT].memory, start, BYTES), TFOPS_OK);
        if (replayed)
            replay_layers(engine, runs);
        else
            launch_layers(engine, runs, NULL);
        cr_assert_eq(tfops_device_synchronize(engine), TFOPS_OK);
        const void *out = support_tensor_read(&runs[1].tensors[OUT]);
        if (replayed)
            cr_expect(!memcmp(one_by_one, out, BYTES));
        memcpy(one_by_one, out, BYTES);
    }
    for (int i = 0; i < 2; i++)
        gpu_matrix_free(&runs[i]);
    close_both(&both);
}
