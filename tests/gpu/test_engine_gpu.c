/*
 * Launches as a server does them: threads, contexts, streams, captures, several engines. Results
 * are compared with the cpu device. The fake driver runs these tests as well
 * (tests/cli/gpu_on_fake.sh).
 */
#include "driver.h"
#include "engine_access.h"
#include "tests/support/host_data.h"
#include "tests/support/test_support.h"
#include <criterion/criterion.h>
#include <dlfcn.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- a GPU with its driver table ------------------------------------------------------------ */

/* The primary context is retained as a program's runtime would: it outlives the engine. */
struct gpu {
    struct support_engine open;
    struct tfops_engine *engine, *cpu;
    const struct tfops_spec *spec;
    struct driver driver; /* a copy: valid after the engine is closed */
    CUcontext context;
};

static void check(const struct gpu *gpu, CUresult result, const char *call)
{
    const char *name = NULL;
    if (result)
        gpu->driver.get_error_name(result, &name);
    cr_assert_eq(result, CUDA_SUCCESS, "%s: %s", call, name ? name : "?");
}
#define CU(field, ...) check(gpu, gpu->driver.field(__VA_ARGS__), #field)

static void must(enum tfops_status status, const char *what)
{
    struct tfops_error error = {.size = sizeof error};
    tfops_error_last(&error);
    cr_assert_eq(status, TFOPS_OK, "%s: %s", what, error.message);
}

static void begin(struct gpu *gpu, enum tfops_miss_policy policy)
{
    const struct tfops_engine_options options = {.size = sizeof options, .miss_policy = policy};
    const struct tfops_engine_options host = {
        .size = sizeof host, .device = "cpu", .cache_path = ""};
    struct engine_access access;
    CUdevice device;
    *gpu = (struct gpu){.engine = NULL};
    support_engine_open(&gpu->open, NULL, &options);
    gpu->engine = gpu->open.engine;
    gpu->spec = tfops_engine_operator(gpu->engine, "rmsnorm");
    must(engine_access(gpu->engine, &access), "engine_access");
    must(tfops_engine_open(&host, &gpu->cpu), "the cpu device");
    gpu->driver = *access.driver;
    CU(device_get, &device, 0);
    CU(primary_ctx_retain, &gpu->context, device);
}

static void end(struct gpu *gpu)
{
    tfops_engine_close(gpu->cpu);
    support_engine_close(&gpu->open);
    CU(primary_ctx_release, 0);
}

static void enter(const struct gpu *gpu)
{
    CU(ctx_push_current, gpu->context);
}

static void leave(const struct gpu *gpu)
{
    CUcontext popped;
    CU(ctx_pop_current, &popped);
}

static CUstream new_stream(const struct gpu *gpu)
{
    CUstream stream;
    enter(gpu);
    CU(stream_create, &stream, CU_STREAM_NON_BLOCKING);
    leave(gpu);
    return stream;
}

static void wait_for(const struct gpu *gpu, CUstream stream)
{
    enter(gpu);
    CU(stream_synchronize, stream);
    leave(gpu);
}

/* A context that is not the engine's: a new one on the same GPU, else the second GPU's. */
static CUcontext other_context(const struct gpu *gpu)
{
    CUresult(CUDAAPI * create)(CUcontext *, unsigned, CUdevice) = NULL;
    void *symbol = dlsym(gpu->driver.library, "cuCtxCreate_v2");
    CUcontext context = NULL, popped;
    CUdevice device;
    int n = 0;
    memcpy(&create, &symbol, sizeof create);
    if (create) {
        check(gpu, create(&context, 0, 0), "cuCtxCreate");
        CU(ctx_pop_current, &popped);
        return context;
    }
    CU(device_get_count, &n);
    if (n > 1) {
        CU(device_get, &device, 1);
        CU(primary_ctx_retain, &context, device);
    }
    return context;
}

/* ---- one rmsnorm ---------------------------------------------------------------------------- */

struct norm {
    struct support_tensor x, weight, out;
    struct tfops_args args;
};

static void make_norm(struct norm *norm, struct tfops_engine *engine, enum tfops_dtype dtype,
    int64_t rows, int64_t hidden, uint64_t seed)
{
    const struct support_shape matrix = {dtype, rows, hidden, 0, 0};
    const struct support_shape vector = {dtype, 0, hidden, 0, 0};
    *norm = (struct norm){.args = {.size = sizeof norm->args, .n_scalars = 1, .scalars = {1e-5}}};
    support_tensor_make(&norm->x, engine, &matrix, seed);
    support_tensor_make(&norm->weight, engine, &vector, seed + 1);
    support_tensor_make(&norm->out, engine, &matrix, seed + 2);
    norm->args.operands[0] = &norm->x.tensor;
    norm->args.operands[1] = &norm->weight.tensor;
    norm->args.operands[2] = &norm->out.tensor;
}

static void free_norm(struct norm *norm)
{
    support_tensor_free(&norm->x);
    support_tensor_free(&norm->weight);
    support_tensor_free(&norm->out);
}

static struct tfops_problem problem_of(const struct gpu *gpu, const struct norm *norm)
{
    struct tfops_problem problem;
    must(tfops_problem_from_args(gpu->spec, &norm->args, &problem), "problem");
    return problem;
}

static void warm(const struct gpu *gpu, const struct norm *norm)
{
    struct tfops_problem problem = problem_of(gpu, norm);
    must(tfops_engine_warm(gpu->engine, &problem, 1), "warm");
}

/* NaN everywhere: what is not computed shows. */
static void poison(struct norm *norm)
{
    memset(norm->out.host, 0xff, norm->out.bytes);
    must(tfops_device_write(norm->out.engine, norm->out.memory, norm->out.host, norm->out.bytes),
        "poison");
}

static bool untouched(struct norm *norm)
{
    const unsigned char *bytes = support_tensor_read(&norm->out);
    for (size_t i = 0; i < norm->out.bytes; i++)
        if (bytes[i] != 0xff)
            return false;
    return true;
}

/* Compares `out` with what the cpu device makes of the same inputs. */
static void expect_right(const struct gpu *gpu, struct norm *norm, const char *what)
{
    const enum tfops_dtype dtype = norm->out.tensor.dtype;
    const int64_t n = norm->out.tensor.shape[0] * norm->out.tensor.shape[1];
    const double bound = dtype == TFOPS_F32 ? 2e-6 : dtype == TFOPS_F16 ? 1.2e-3 : 1e-2;
    struct tfops_tensor x = support_tensor_on_host(&norm->x), out = norm->out.tensor,
                        weight = support_tensor_on_host(&norm->weight);
    struct tfops_args args = norm->args;
    const void *actual = support_tensor_read(&norm->out);
    out.data = malloc(norm->out.bytes);
    args.operands[0] = &x;
    args.operands[1] = &weight;
    args.operands[2] = &out;
    must(tfops_launch(gpu->cpu, tfops_engine_operator(gpu->cpu, "rmsnorm"), &args, NULL), "cpu");
    const double distance = host_distance(actual, out.data, dtype, n);
    free(out.data);
    cr_expect(distance <= bound, "%s: off by %g, allowed %g", what, distance, bound);
}

static struct tfops_engine_stats stats_of(const struct tfops_engine *engine)
{
    struct tfops_engine_stats stats = {.size = sizeof stats};
    must(tfops_engine_stats(engine, &stats), "stats");
    return stats;
}

/* ---- threads and contexts ------------------------------------------------------------------- */

static enum tfops_status launch(const struct gpu *gpu, const struct norm *norm, CUstream stream)
{
    return tfops_launch(gpu->engine, gpu->spec, &norm->args, stream);
}

struct thread_launch {
    const struct gpu *gpu;
    const struct norm *norm;
    CUcontext before, after;
    enum tfops_status status;
};

static void *launch_on_thread(void *argument)
{
    struct thread_launch *job = argument;
    job->gpu->driver.ctx_get_current(&job->before);
    job->status = launch(job->gpu, job->norm, NULL);
    job->gpu->driver.ctx_get_current(&job->after);
    return NULL;
}

Test(engine_gpu, launches_from_a_thread_without_a_context)
{
    struct gpu gpu_, *gpu = &gpu_;
    struct norm norm;
    SUPPORT_NEEDS_GPU();
    begin(gpu, TFOPS_MISS_GENERIC);
    make_norm(&norm, gpu->engine, TFOPS_F16, 33, 1024, 1);
    for (int prepared = 0; prepared < 2; prepared++) {
        struct thread_launch job = {.gpu = gpu, .norm = &norm, .status = TFOPS_E_INTERNAL};
        pthread_t thread;
        if (prepared)
            warm(gpu, &norm);
        poison(&norm);
        cr_assert_eq(pthread_create(&thread, NULL, launch_on_thread, &job), 0);
        pthread_join(thread, NULL);
        must(job.status, "launch");
        cr_expect_null(job.before, "the thread has a context");
        cr_expect_null(job.after, "the launch left a context behind");
        must(tfops_device_synchronize(gpu->engine), "synchronize");
        expect_right(gpu, &norm, prepared ? "prepared" : "cold");
    }
    free_norm(&norm);
    end(gpu);
}

Test(engine_gpu, launches_with_another_context_current)
{
    struct gpu gpu_, *gpu = &gpu_;
    struct norm norm;
    CUcontext current = NULL, other;
    SUPPORT_NEEDS_GPU();
    begin(gpu, TFOPS_MISS_GENERIC);
    other = other_context(gpu);
    SUPPORT_NEEDS(other, "GPU with a second context");
    make_norm(&norm, gpu->engine, TFOPS_F16, 33, 1024, 1);
    CUstream stream = new_stream(gpu);
    warm(gpu, &norm);
    for (int own = 0; own < 2; own++) {
        poison(&norm);
        CU(ctx_push_current, other);
        must(launch(gpu, &norm, own ? stream : NULL), "launch");
        CU(ctx_get_current, &current);
        leave(gpu);
        cr_expect_eq(current, other, "the thread's context was changed");
        wait_for(gpu, own ? stream : NULL);
        expect_right(gpu, &norm, own ? "a stream of the engine's context" : "the NULL stream");
    }
    free_norm(&norm);
    end(gpu);
}

Test(engine_gpu, names_a_stream_of_another_context)
{
    struct gpu gpu_, *gpu = &gpu_;
    struct norm norm;
    CUcontext other;
    CUstream foreign;
    SUPPORT_NEEDS_GPU();
    begin(gpu, TFOPS_MISS_GENERIC);
    other = other_context(gpu);
    SUPPORT_NEEDS(other, "GPU with a second context");
    CU(ctx_push_current, other);
    CU(stream_create, &foreign, CU_STREAM_NON_BLOCKING);
    leave(gpu);
    make_norm(&norm, gpu->engine, TFOPS_F16, 33, 1024, 1);
    warm(gpu, &norm);
    /* with no context current, the engine's, the stream's */
    CUcontext contexts[] = {NULL, gpu->context, other};
    for (size_t i = 0; i < sizeof contexts / sizeof *contexts; i++) {
        struct tfops_error error = {.size = sizeof error};
        poison(&norm);
        if (contexts[i])
            CU(ctx_push_current, contexts[i]);
        enum tfops_status status = launch(gpu, &norm, foreign);
        if (contexts[i])
            leave(gpu);
        tfops_error_last(&error);
        cr_expect_eq(status, TFOPS_E_CONTEXT, "context %zu: %s, %s", i, tfops_status_name(status),
            status ? error.message : "");
        if (status) {
            cr_expect_str_eq(error.actual, "a stream of another context");
            cr_expect_str_eq(error.subject, "rmsnorm");
        }
        must(tfops_device_synchronize(gpu->engine), "synchronize");
        cr_expect(untouched(&norm), "context %zu: something ran", i);
    }
    must(launch(gpu, &norm, NULL), "the next launch");
    must(tfops_device_synchronize(gpu->engine), "synchronize");
    expect_right(gpu, &norm, "the next launch");
    free_norm(&norm);
    end(gpu);
}

Test(engine_gpu, launches_on_the_null_and_on_other_streams)
{
    struct gpu gpu_, *gpu = &gpu_;
    struct norm norm;
    CUstream streams[3] = {NULL};
    SUPPORT_NEEDS_GPU();
    begin(gpu, TFOPS_MISS_GENERIC);
    make_norm(&norm, gpu->engine, TFOPS_BF16, 70, 2880, 1);
    enter(gpu);
    CU(stream_create, &streams[1], CU_STREAM_DEFAULT);
    CU(stream_create, &streams[2], CU_STREAM_NON_BLOCKING);
    leave(gpu);
    warm(gpu, &norm);
    for (int i = 0; i < 3; i++) {
        poison(&norm);
        must(launch(gpu, &norm, streams[i]), "launch");
        wait_for(gpu, streams[i]);
        expect_right(gpu, &norm, i == 0 ? "NULL" : i == 1 ? "blocking" : "non-blocking");
    }
    free_norm(&norm);
    end(gpu);
}

Test(engine_gpu, zero_rows_are_a_no_op)
{
    struct gpu gpu_, *gpu = &gpu_;
    struct norm norm;
    struct tfops_plan *plan;
    SUPPORT_NEEDS_GPU();
    begin(gpu, TFOPS_MISS_GENERIC);
    make_norm(&norm, gpu->engine, TFOPS_F16, 5, 1024, 1);
    struct tfops_problem problem = problem_of(gpu, &norm);
    norm.x.tensor.shape[0] = norm.out.tensor.shape[0] = 0;
    poison(&norm);
    must(launch(gpu, &norm, NULL), "cold");
    must(tfops_prepare(gpu->engine, &problem, &plan), "prepare");
    must(launch(gpu, &norm, NULL), "prepared");
    must(tfops_plan_launch(plan, &norm.args, NULL), "plan");
    must(tfops_device_synchronize(gpu->engine), "synchronize");
    cr_expect(untouched(&norm));
    norm.x.tensor.shape[0] = norm.out.tensor.shape[0] = 5;
    must(tfops_plan_launch(plan, &norm.args, NULL), "plan with rows");
    must(tfops_device_synchronize(gpu->engine), "synchronize");
    expect_right(gpu, &norm, "the plan with rows");
    tfops_plan_release(plan);
    free_norm(&norm);
    end(gpu);
}

/* ---- stream capture ------------------------------------------------------------------------- */

static void start_capture(const struct gpu *gpu, CUstream stream)
{
    enter(gpu);
    CU(stream_begin_capture, stream, CU_STREAM_CAPTURE_MODE_GLOBAL);
}

static CUgraphExec end_capture(const struct gpu *gpu, CUstream stream)
{
    CUgraph graph = NULL;
    CUgraphExec exec = NULL;
    CU(stream_end_capture, stream, &graph);
    cr_assert_not_null(graph, "the capture is not valid any more");
    CU(graph_instantiate, &exec, graph, 0);
    CU(graph_destroy, graph);
    leave(gpu);
    return exec;
}

static void replay(const struct gpu *gpu, CUgraphExec exec, CUstream stream)
{
    enter(gpu);
    CU(graph_launch, exec, stream);
    CU(stream_synchronize, stream);
    leave(gpu);
}

/* Replays, then again on other inputs in the same memory. */
static void expect_replays(
    const struct gpu *gpu, CUgraphExec exec, CUstream stream, struct norm *norm, const char *what)
{
    for (uint64_t seed = 11; seed < 13; seed++) {
        const int64_t n = norm->x.tensor.shape[0] * norm->x.tensor.shape[1];
        host_fill(norm->x.host, norm->x.tensor.dtype, n, seed);
        must(tfops_device_write(norm->x.engine, norm->x.memory, norm->x.host, norm->x.bytes), what);
        poison(norm);
        replay(gpu, exec, stream);
        expect_right(gpu, norm, what);
    }
}

Test(engine_gpu, captures_and_replays_a_prepared_key)
{
    struct gpu gpu_, *gpu = &gpu_;
    struct norm norm;
    SUPPORT_NEEDS_GPU();
    SUPPORT_NEEDS_NVRTC();
    begin(gpu, TFOPS_MISS_COMPILE);
    make_norm(&norm, gpu->engine, TFOPS_F16, 48, 4096, 1);
    CUstream stream = new_stream(gpu);
    warm(gpu, &norm);
    const struct tfops_engine_stats before = stats_of(gpu->engine);
    start_capture(gpu, stream);
    must(launch(gpu, &norm, stream), "launch under capture");
    CUgraphExec exec = end_capture(gpu, stream);
    cr_expect_eq(stats_of(gpu->engine).hits, before.hits + 1);
    cr_expect_eq(stats_of(gpu->engine).misses_unseen, before.misses_unseen);
    expect_replays(gpu, exec, stream, &norm, "prepared");
    free_norm(&norm);
    end(gpu);
}

Test(engine_gpu, captures_a_cold_key_with_the_generic_variant)
{
    struct gpu gpu_, *gpu = &gpu_;
    struct norm norm;
    SUPPORT_NEEDS_GPU();
    begin(gpu, TFOPS_MISS_GENERIC);
    make_norm(&norm, gpu->engine, TFOPS_F16, 48, 4096, 1);
    CUstream stream = new_stream(gpu);
    struct tfops_engine_stats before = stats_of(gpu->engine);
    start_capture(gpu, stream);
    must(launch(gpu, &norm, stream), "launch under capture");
    CUgraphExec exec = end_capture(gpu, stream);
    struct tfops_engine_stats after = stats_of(gpu->engine);
    cr_expect_eq(after.generic_plans - before.generic_plans, 1);
    cr_expect_eq(after.misses_capture, before.misses_capture);
    cr_expect_eq(after.compiles, before.compiles);
    cr_expect_eq(after.module_loads, before.module_loads, "a module was loaded under capture");
    expect_replays(gpu, exec, stream, &norm, "cold");
    free_norm(&norm);
    end(gpu);
}

Test(engine_gpu, refuses_a_cold_key_under_capture_and_leaves_the_capture_valid)
{
    struct gpu gpu_, *gpu = &gpu_;
    struct norm known, cold;
    SUPPORT_NEEDS_GPU();
    SUPPORT_NEEDS_NVRTC();
    begin(gpu, TFOPS_MISS_COMPILE);
    make_norm(&known, gpu->engine, TFOPS_F16, 48, 4096, 1);
    make_norm(&cold, gpu->engine, TFOPS_F16, 48, 3584, 5);
    warm(gpu, &known);
    CUstream stream = new_stream(gpu);
    poison(&cold);
    start_capture(gpu, stream);
    cr_expect_eq(launch(gpu, &cold, stream), TFOPS_E_COLD);
    must(launch(gpu, &known, stream), "the rest of the capture");
    cr_expect_eq(launch(gpu, &cold, stream), TFOPS_E_COLD);
    CUgraphExec exec = end_capture(gpu, stream);
    cr_expect_eq(stats_of(gpu->engine).misses_capture, 2);
    expect_replays(gpu, exec, stream, &known, "the rest of the capture");
    cr_expect(untouched(&cold));
    must(launch(gpu, &cold, stream), "outside of a capture");
    wait_for(gpu, stream);
    expect_right(gpu, &cold, "outside of a capture");
    free_norm(&known);
    free_norm(&cold);
    end(gpu);
}

/* The memory is another engine's, so that it outlives the one that captured. */
Test(engine_gpu, graph_replays_after_its_engine_is_closed)
{
    struct gpu gpu_, *gpu = &gpu_;
    struct norm prepared, cold;
    SUPPORT_NEEDS_GPU();
    begin(gpu, TFOPS_MISS_GENERIC);
    struct support_engine keeper = {.engine = NULL};
    support_engine_open(&keeper, NULL, NULL);
    make_norm(&prepared, keeper.engine, TFOPS_F16, 48, 4096, 1);
    make_norm(&cold, keeper.engine, TFOPS_F16, 48, 3584, 5);
    warm(gpu, &prepared);
    CUstream stream = new_stream(gpu);
    start_capture(gpu, stream);
    must(launch(gpu, &prepared, stream), "prepared");
    must(launch(gpu, &cold, stream), "cold");
    CUgraphExec exec = end_capture(gpu, stream);
    support_engine_close(&gpu->open);
    poison(&cold);
    expect_replays(gpu, exec, stream, &prepared, "prepared");
    expect_right(gpu, &cold, "cold");
    free_norm(&prepared);
    free_norm(&cold);
    support_engine_close(&keeper);
    tfops_engine_close(gpu->cpu);
}

/* ---- many at once --------------------------------------------------------------------------- */

enum { THREADS = 8, ROUNDS = 200 };
static const int64_t HIDDEN[] = {1024, 2048, 2880, 4096};

struct worker {
    const struct gpu *gpu;
    CUstream stream;
    struct norm norm;
    const struct tfops_plan *plan; /* NULL: by look-up */
    atomic_int *go;
    enum tfops_status status;
};

static void *launch_many(void *argument)
{
    struct worker *worker = argument;
    while (!atomic_load(worker->go))
        ;
    for (int i = 0; i < ROUNDS && !worker->status; i++)
        worker->status = worker->plan
                             ? tfops_plan_launch(worker->plan, &worker->norm.args, worker->stream)
                             : launch(worker->gpu, &worker->norm, worker->stream);
    return NULL;
}

/* Half of the threads hold plans, half look up; of those half meet a key that is cold. */
Test(engine_gpu, launches_from_eight_threads_on_own_streams)
{
    struct gpu gpu_, *gpu = &gpu_;
    struct worker workers[THREADS];
    struct tfops_plan *plans[THREADS] = {NULL};
    pthread_t threads[THREADS];
    atomic_int go = 0;
    SUPPORT_NEEDS_GPU();
    begin(gpu, TFOPS_MISS_GENERIC);
    for (int i = 0; i < THREADS; i++) {
        struct worker *worker = &workers[i];
        *worker = (struct worker){.gpu = gpu, .stream = new_stream(gpu), .go = &go};
        make_norm(&worker->norm, gpu->engine, i % 4 < 3 ? TFOPS_F16 : TFOPS_BF16, 17 + 3 * i,
            HIDDEN[i % 4], (uint64_t)i * 10);
        if (i >= THREADS / 2) {
            struct tfops_problem problem = problem_of(gpu, &worker->norm);
            problem.flags |= i % 2 ? TFOPS_BATCH_INVARIANT : 0;
            worker->norm.args.flags = problem.flags;
            must(tfops_prepare(gpu->engine, &problem, &plans[i]), "prepare");
            worker->plan = plans[i];
        }
        poison(&worker->norm);
    }
    for (int i = 0; i < THREADS; i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, launch_many, &workers[i]), 0);
    atomic_store(&go, 1);
    for (int i = 0; i < THREADS; i++) {
        char what[32];
        snprintf(what, sizeof what, "thread %d", i);
        pthread_join(threads[i], NULL);
        cr_expect_eq(
            workers[i].status, TFOPS_OK, "%s: %s", what, tfops_status_name(workers[i].status));
        wait_for(gpu, workers[i].stream);
        expect_right(gpu, &workers[i].norm, what);
        free_norm(&workers[i].norm);
        tfops_plan_release(plans[i]);
    }
    end(gpu);
}

Test(engine_gpu, two_engines_share_a_device)
{
    struct gpu gpu_, *gpu = &gpu_;
    struct norm a, b;
    SUPPORT_NEEDS_GPU();
    begin(gpu, TFOPS_MISS_GENERIC);
    struct support_engine second = {.engine = NULL};
    support_engine_open(&second, NULL, NULL);
    struct gpu other = *gpu; /* the same, seen through the second engine */
    other.engine = second.engine;
    other.spec = tfops_engine_operator(second.engine, "rmsnorm");
    make_norm(&a, gpu->engine, TFOPS_F16, 33, 4096, 1);
    make_norm(&b, gpu->engine, TFOPS_F16, 33, 4096, 4);
    warm(gpu, &a);
    warm(&other, &b);
    poison(&a);
    poison(&b);
    for (int i = 0; i < 10; i++) {
        must(launch(gpu, &a, NULL), "first");
        must(launch(&other, &b, NULL), "second");
    }
    must(tfops_device_synchronize(gpu->engine), "synchronize");
    expect_right(gpu, &a, "first");
    expect_right(gpu, &b, "second");
    support_engine_close(&second);
    poison(&a);
    must(launch(gpu, &a, NULL), "after the second is closed");
    must(tfops_device_synchronize(gpu->engine), "synchronize");
    expect_right(gpu, &a, "after the second is closed");
    free_norm(&a);
    free_norm(&b);
    end(gpu);
}

/* ---- batch invariance ----------------------------------------------------------------------- */

static const struct {
    enum tfops_dtype dtype;
    int64_t hidden;
} INVARIANT[] = {{TFOPS_F16, 4096}, {TFOPS_BF16, 2880}, {TFOPS_F32, 1024}, {TFOPS_F16, 65536}};

/* Row `row` of the batch, launched alone, has the bits it had in the batch. */
static void expect_same_bits(const struct gpu *gpu, struct norm *batch, int64_t row)
{
    const enum tfops_dtype dtype = batch->x.tensor.dtype;
    const size_t bytes = (size_t)batch->x.tensor.shape[1] * tfops_dtype_bytes(dtype);
    struct norm alone;
    make_norm(&alone, gpu->engine, dtype, 1, batch->x.tensor.shape[1], 1);
    alone.args.flags = TFOPS_BATCH_INVARIANT;
    memcpy(alone.x.host, (char *)batch->x.host + (size_t)row * bytes, bytes);
    must(tfops_device_write(gpu->engine, alone.x.memory, alone.x.host, bytes), "x");
    must(tfops_device_write(gpu->engine, alone.weight.memory, batch->weight.host, bytes), "weight");
    poison(&alone);
    must(launch(gpu, &alone, NULL), "alone");
    must(tfops_device_synchronize(gpu->engine), "synchronize");
    const void *one = support_tensor_read(&alone.out);
    const char *all = support_tensor_read(&batch->out);
    cr_expect(memcmp(one, all + (size_t)row * bytes, bytes) == 0, "row %d of %d, hidden %d, %s",
        (int)row, (int)batch->x.tensor.shape[0], (int)batch->x.tensor.shape[1],
        tfops_dtype_name(dtype));
    free_norm(&alone);
}

Test(engine_gpu, batch_invariant_rows_have_the_same_bits_alone_and_in_a_batch)
{
    struct gpu gpu_, *gpu = &gpu_;
    SUPPORT_NEEDS_GPU();
    begin(gpu, TFOPS_MISS_GENERIC);
    for (size_t i = 0; i < sizeof INVARIANT / sizeof *INVARIANT; i++)
        for (int prepared = 0; prepared < 2; prepared++) {
            struct norm batch;
            make_norm(&batch, gpu->engine, INVARIANT[i].dtype,
                INVARIANT[i].hidden > 8192 ? 70 : 700, INVARIANT[i].hidden, 1);
            batch.args.flags = TFOPS_BATCH_INVARIANT;
            if (prepared)
                warm(gpu, &batch);
            poison(&batch);
            must(launch(gpu, &batch, NULL), "batch");
            must(tfops_device_synchronize(gpu->engine), "synchronize");
            expect_right(gpu, &batch, prepared ? "prepared" : "cold");
            expect_same_bits(gpu, &batch, 0);
            expect_same_bits(gpu, &batch, 37);
            expect_same_bits(gpu, &batch, batch.x.tensor.shape[0] - 1);
            free_norm(&batch);
        }
    end(gpu);
}
