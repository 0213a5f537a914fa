/*
 * Every public call, called wrongly: the status, and a record of it that names the thing and says
 * what was expected. In detail the parts have their own tests; here none of the calls is left out.
 */
#include "kernels/norm/norm_specs.h"
#include "tests/support/expect.h"
#include "tests/support/test_support.h"
#include "tests/support/toy_spec.h"
#include <criterion/criterion.h>
#include <stdio.h>
#include <tfops/tfops.h>

enum { ROWS = 4, HIDDEN = 64 };

static struct support_engine support;
static struct tfops_engine *engine;
static struct tfops_problem problem;
static struct tfops_plan *plan;
static struct support_rmsnorm call;
static int wrong;

static void begin(void)
{
    support_engine_open(&support, "cpu", NULL);
    engine = support.engine;
    support_rmsnorm_make(&call, engine, TFOPS_F32, ROWS, HIDDEN);
    EXPECT_OK(tfops_problem_from_args(&rmsnorm_spec, &call.args, &problem));
    EXPECT_OK(tfops_prepare(engine, &problem, &plan));
}

static void end(void)
{
    tfops_plan_release(plan);
    support_rmsnorm_free(&call);
    support_engine_close(&support);
}

TestSuite(api, .init = begin, .fini = end);

/* ---- a row of the tables -------------------------------------------------------------------- */

static void note(int line, const char *call, enum tfops_status got, enum tfops_status wanted,
    const char *subject)
{
    const struct tfops_error error = expect_error();
    const bool told = error.status == wanted && strstr(error.subject, subject) && error.where[0] &&
                      error.message[0] && (error.expected[0] || strchr(error.message, ':'));
    if (got == wanted && told)
        return;
    wrong++;
    fprintf(stderr, "line %d: %s: %s, wanted %s of \"%s\"; the record: %s of \"%s\": %s\n", line,
        call, tfops_status_name(got), tfops_status_name(wanted), subject,
        tfops_status_name(error.status), error.subject, error.message);
}

/* The call is refused with the status, the record's subject holds the text. */
#define BAD(call, wanted, subject) note(__LINE__, #call, (call), wanted, subject)
#define NONE_WRONG() cr_assert_eq(wrong, 0, "%d calls are not refused as they should be", wrong)

/* ---- objects -------------------------------------------------------------------------------- */

Test(api, engine_calls)
{
    struct tfops_engine *another = engine;
    struct tfops_engine_stats stats = {.size = sizeof stats}, small = {.size = 8};
    struct tfops_engine_options options = {.size = 4};
    struct toy toy;
    uint8_t digest[32];
    BAD(tfops_engine_open(NULL, NULL), TFOPS_E_ARGUMENT, "ret_engine");
    BAD(tfops_engine_open(&options, &another), TFOPS_E_ARGUMENT, "size");
    options = (struct tfops_engine_options){.size = sizeof options, .device = "gpu:0"};
    BAD(tfops_engine_open(&options, &another), TFOPS_E_UNKNOWN, "options.device");
    options.device = "arch:sm_33";
    BAD(tfops_engine_open(&options, &another), TFOPS_E_UNKNOWN, "sm_33");
    options =
        (struct tfops_engine_options){.size = sizeof options, .device = "cpu", .flags = 1u << 9};
    BAD(tfops_engine_open(&options, &another), TFOPS_E_ARGUMENT, "flags");
    options.flags = 0, options.miss_policy = (enum tfops_miss_policy)7;
    BAD(tfops_engine_open(&options, &another), TFOPS_E_ARGUMENT, "miss_policy");
    options.miss_policy = TFOPS_MISS_GENERIC, options.n_plugins = 1;
    BAD(tfops_engine_open(&options, &another), TFOPS_E_ARGUMENT, "plugin_paths");
    options.n_plugins = 0, options.n_shipped = 1;
    BAD(tfops_engine_open(&options, &another), TFOPS_E_ARGUMENT, "shipped_paths");
    options.n_shipped = 0, options.alloc = expect_heap_alloc;
    BAD(tfops_engine_open(&options, &another), TFOPS_E_ARGUMENT, "alloc");
    cr_assert_eq(another, engine, "a failed call wrote its result");
    toy_init(&toy);
    BAD(tfops_engine_register(NULL, &toy.spec), TFOPS_E_ARGUMENT, "engine");
    BAD(tfops_engine_register(engine, NULL), TFOPS_E_ARGUMENT, "spec");
    toy.spec.name = "rmsnorm";
    BAD(tfops_engine_register(engine, &toy.spec), TFOPS_E_ARGUMENT, "rmsnorm");
    BAD(tfops_engine_warm(NULL, &problem, 1), TFOPS_E_ARGUMENT, "engine");
    BAD(tfops_engine_warm(engine, NULL, 1), TFOPS_E_ARGUMENT, "problems");
    BAD(tfops_engine_stats(NULL, &stats), TFOPS_E_ARGUMENT, "engine");
    BAD(tfops_engine_stats(engine, NULL), TFOPS_E_ARGUMENT, "ret_stats");
    BAD(tfops_engine_stats(engine, &small), TFOPS_E_ARGUMENT, "ret_stats");
    BAD(tfops_engine_fingerprint(NULL, digest), TFOPS_E_ARGUMENT, "engine");
    BAD(tfops_engine_fingerprint(engine, NULL), TFOPS_E_ARGUMENT, "ret_digest");
    NONE_WRONG();
    cr_assert(!tfops_engine_device(NULL) && !tfops_engine_operator(NULL, "rmsnorm") &&
              !tfops_engine_operator(engine, NULL) && !tfops_engine_operator(engine, "gone") &&
              !tfops_engine_operator_at(NULL, 0) && !tfops_engine_operator_at(engine, SIZE_MAX));
    EXPECT_INT(tfops_engine_operator_count(NULL), 0);
    tfops_engine_close(NULL);
}

Test(api, platform_and_memory_calls)
{
    struct tfops_platform small = {.size = 8};
    struct tfops_device device;
    void *memory = &device;
    char byte = 0;
    BAD(tfops_platform_query(NULL, NULL, NULL), TFOPS_E_ARGUMENT, "ret_platform");
    BAD(tfops_platform_query(NULL, NULL, &small), TFOPS_E_ARGUMENT, "ret_platform");
    BAD(tfops_platform_device(NULL, 0, NULL), TFOPS_E_ARGUMENT, "ret_device");
    BAD(tfops_platform_device("/nonexistent/libcuda.so", 0, &device), TFOPS_E_DRIVER,
        "/nonexistent");
    BAD(tfops_device_alloc(NULL, 8, &memory), TFOPS_E_ARGUMENT, "engine");
    BAD(tfops_device_alloc(engine, 8, NULL), TFOPS_E_ARGUMENT, "ret_memory");
    BAD(tfops_device_write(NULL, &byte, &byte, 1), TFOPS_E_ARGUMENT, "engine");
    BAD(tfops_device_write(engine, NULL, &byte, 1), TFOPS_E_ARGUMENT, "to");
    BAD(tfops_device_write(engine, &byte, NULL, 1), TFOPS_E_ARGUMENT, "from");
    BAD(tfops_device_read(NULL, &byte, &byte, 1), TFOPS_E_ARGUMENT, "engine");
    BAD(tfops_device_read(engine, NULL, &byte, 1), TFOPS_E_ARGUMENT, "to");
    BAD(tfops_device_read(engine, &byte, NULL, 1), TFOPS_E_ARGUMENT, "from");
    BAD(tfops_device_synchronize(NULL), TFOPS_E_ARGUMENT, "engine");
    NONE_WRONG();
    cr_assert_eq(memory, &device, "a failed call wrote its result");
    cr_assert(!tfops_arch_name(tfops_arch_count()));
    tfops_device_free(NULL, NULL);
    tfops_device_free(engine, NULL);
}

Test(api, problem_and_config_calls)
{
    struct tfops_problem made = problem, broken = problem;
    struct tfops_config config = {0};
    char text[8];
    BAD(tfops_problem_init(NULL, &made), TFOPS_E_ARGUMENT, "spec");
    BAD(tfops_problem_init(&rmsnorm_spec, NULL), TFOPS_E_ARGUMENT, "ret_problem");
    BAD(tfops_problem_set(NULL, "hidden", "1"), TFOPS_E_ARGUMENT, "problem");
    BAD(tfops_problem_set(&made, NULL, "1"), TFOPS_E_ARGUMENT, "name");
    BAD(tfops_problem_set(&made, "hidden", NULL), TFOPS_E_ARGUMENT, "value");
    BAD(tfops_problem_set(&made, "colour", "1"), TFOPS_E_UNKNOWN, "colour");
    BAD(tfops_problem_set(&made, "hidden", "-1"), TFOPS_E_RANGE, "hidden");
    BAD(tfops_problem_set(&made, "hidden", "99999999999999999999"), TFOPS_E_RANGE, "hidden");
    BAD(tfops_problem_set(&made, "hidden", "4k"), TFOPS_E_RANGE, "hidden");
    BAD(tfops_problem_set(&made, "dtype", "f12"), TFOPS_E_DTYPE, "dtype");
    BAD(tfops_problem_set(&made, "dtype", "e4m3"), TFOPS_E_DTYPE, "dtype");
    BAD(tfops_problem_set(&made, "weight_variant", "two"), TFOPS_E_RANGE, "weight_variant");
    BAD(tfops_problem_set(&made, "align", "3"), TFOPS_E_RANGE, "align");
    BAD(tfops_problem_check(NULL), TFOPS_E_ARGUMENT, "problem");
    broken.size = 8;
    BAD(tfops_problem_check(&broken), TFOPS_E_ARGUMENT, "problem");
    broken = problem, broken.dims[NORM_HIDDEN] = 0;
    BAD(tfops_problem_check(&broken), TFOPS_E_RANGE, "hidden");
    broken = problem, broken.dims[NORM_ROWS] = -1;
    BAD(tfops_problem_check(&broken), TFOPS_E_RANGE, "rows");
    broken = problem, broken.dtypes[NORM_DTYPE] = 200;
    BAD(tfops_problem_check(&broken), TFOPS_E_DTYPE, "dtype");
    broken = problem, broken.options[NORM_WEIGHT_VARIANT] = 9;
    BAD(tfops_problem_check(&broken), TFOPS_E_RANGE, "weight_variant");
    broken = problem, broken.present = 0;
    BAD(tfops_problem_check(&broken), TFOPS_E_ARGUMENT, "x");
    broken = problem, broken.flags = 1u << 7;
    BAD(tfops_problem_check(&broken), TFOPS_E_ARGUMENT, "flags");
    broken = problem, broken.align = 7;
    BAD(tfops_problem_check(&broken), TFOPS_E_RANGE, "align");
    BAD(tfops_problem_from_args(NULL, &call.args, &made), TFOPS_E_ARGUMENT, "spec");
    BAD(tfops_problem_from_args(&rmsnorm_spec, NULL, &made), TFOPS_E_ARGUMENT, "args");
    BAD(tfops_problem_from_args(&rmsnorm_spec, &call.args, NULL), TFOPS_E_ARGUMENT, "ret_problem");
    BAD(tfops_config_parse(NULL, "", &config), TFOPS_E_ARGUMENT, "spec");
    BAD(tfops_config_parse(&rmsnorm_spec, NULL, &config), TFOPS_E_ARGUMENT, "text");
    BAD(tfops_config_parse(&rmsnorm_spec, "", NULL), TFOPS_E_ARGUMENT, "config");
    BAD(tfops_config_parse(&rmsnorm_spec, "SPEED=9", &config), TFOPS_E_UNKNOWN, "SPEED");
    BAD(tfops_config_parse(&rmsnorm_spec, "CLUSTER=3", &config), TFOPS_E_RANGE, "CLUSTER");
    BAD(tfops_config_parse(&rmsnorm_spec, "CLUSTER", &config), TFOPS_E_ARGUMENT, "CLUSTER");
    BAD(tfops_config_parse(&rmsnorm_spec, "=1", &config), TFOPS_E_ARGUMENT, "=1");
    NONE_WRONG();
    EXPECT_INT(tfops_problem_format(NULL, text, sizeof text), 0);
    EXPECT_INT(tfops_config_format(NULL, NULL, text, sizeof text), 0);
}

/* ---- launches ------------------------------------------------------------------------------- */

Test(api, plan_and_launch_calls)
{
    struct tfops_plan *another = plan;
    struct tfops_plan_info info = {.size = sizeof info}, small = {.size = 8};
    struct tfops_args short_args = call.args;
    short_args.size = 8;
    BAD(tfops_prepare(NULL, &problem, &another), TFOPS_E_ARGUMENT, "engine");
    BAD(tfops_prepare(engine, NULL, &another), TFOPS_E_ARGUMENT, "problem");
    BAD(tfops_prepare(engine, &problem, NULL), TFOPS_E_ARGUMENT, "ret_plan");
    BAD(tfops_plan_describe(NULL, 1, &info), TFOPS_E_ARGUMENT, "plan");
    BAD(tfops_plan_describe(plan, 0, &info), TFOPS_E_ARGUMENT, "extent");
    BAD(tfops_plan_describe(plan, 1, NULL), TFOPS_E_ARGUMENT, "ret_info");
    BAD(tfops_plan_describe(plan, 1, &small), TFOPS_E_ARGUMENT, "ret_info");
    BAD(tfops_plan_launch(NULL, &call.args, NULL), TFOPS_E_ARGUMENT, "plan");
    BAD(tfops_plan_launch(plan, NULL, NULL), TFOPS_E_ARGUMENT, "args");
    BAD(tfops_plan_launch(plan, &short_args, NULL), TFOPS_E_ARGUMENT, "args");
    BAD(tfops_launch(NULL, &rmsnorm_spec, &call.args, NULL), TFOPS_E_ARGUMENT, "engine");
    BAD(tfops_launch(engine, NULL, &call.args, NULL), TFOPS_E_ARGUMENT, "spec");
    BAD(tfops_launch(engine, &rmsnorm_spec, NULL, NULL), TFOPS_E_ARGUMENT, "args");
    BAD(tfops_launch(engine, &rmsnorm_spec, &short_args, NULL), TFOPS_E_ARGUMENT, "args");
    NONE_WRONG();
    cr_assert_eq(another, plan, "a failed call wrote its result");
    EXPECT_INT(tfops_plan_workspace(NULL, 1), 0);
    EXPECT_INT(tfops_plan_workspace(plan, -1), 0);
    tfops_plan_release(NULL);
    cr_assert(!tfops_plan_retain(NULL));
}

/* One argument at a time, on a held plan and by look-up: both say the same. */
Test(api, arguments_of_a_launch)
{
    enum { X = RMSNORM_X, W = RMSNORM_WEIGHT, O = RMSNORM_OUT };
    const struct tfops_tensor right[3] = {
        [X] = call.x.tensor, [W] = call.weight.tensor, [O] = call.out.tensor};
    struct tfops_tensor t[3];
    unsigned char *const of_x = right[X].data;
#define CASE(change, wanted, subject)                                                              \
    do {                                                                                           \
        struct tfops_args a = call.args;                                                           \
        memcpy(t, right, sizeof t);                                                                \
        for (int i = 0; i < 3; i++)                                                                \
            a.operands[i] = &t[i];                                                                 \
        change;                                                                                    \
        note(__LINE__, "tfops_launch: " #change, tfops_launch(engine, &rmsnorm_spec, &a, NULL),    \
            wanted, subject);                                                                      \
        note(__LINE__, "tfops_plan_launch: " #change, tfops_plan_launch(plan, &a, NULL), wanted,   \
            subject);                                                                              \
    } while (0)
    CASE(a.operands[X] = NULL, TFOPS_E_ARGUMENT, "x");
    CASE(a.operands[O] = NULL, TFOPS_E_ARGUMENT, "out");
    CASE(t[X].data = NULL, TFOPS_E_ARGUMENT, "x");
    CASE(t[W].data = NULL, TFOPS_E_ARGUMENT, "weight");
    CASE(t[X].data = of_x + 1, TFOPS_E_ALIGNMENT, "x");
    CASE(t[X].dtype = TFOPS_E4M3, TFOPS_E_DTYPE, "x");
    CASE(t[X].dtype = (enum tfops_dtype)99, TFOPS_E_DTYPE, "x");
    CASE(t[O].dtype = TFOPS_BF16, TFOPS_E_DTYPE, "out");
    CASE(t[X].rank = 0, TFOPS_E_SHAPE, "x");
    CASE(t[X].rank = -1, TFOPS_E_SHAPE, "x");
    CASE(t[X].rank = TFOPS_MAX_RANK + 1, TFOPS_E_SHAPE, "x");
    CASE(t[W].rank = 2, TFOPS_E_SHAPE, "weight");
    CASE(t[O].shape[0] = ROWS + 1, TFOPS_E_SHAPE, "out");
    CASE(t[W].shape[0] = HIDDEN - 1, TFOPS_E_SHAPE, "weight");
    CASE(t[X].shape[0] = -1, TFOPS_E_SHAPE, "x");
    CASE(t[X].shape[0] = t[O].shape[0] = INT64_MAX, TFOPS_E_RANGE, "x");
    CASE(t[X].shape[1] = 0, TFOPS_E_RANGE, "x");
    CASE(t[X].strides[0] = -HIDDEN, TFOPS_E_SHAPE, "x");
    CASE(t[X].strides[0] = INT64_MAX / 2, TFOPS_E_SHAPE, "x");
    CASE(t[X].strides[1] = 2, TFOPS_E_SHAPE, "x");
    CASE(t[O].strides[0] = HIDDEN - 1, TFOPS_E_SHAPE, "out");
    CASE(t[O].data = of_x + 16, TFOPS_E_OVERLAP, "out");
    CASE(t[O].data = t[W].data, TFOPS_E_OVERLAP, "out");
    CASE(a.flags = 1u << 5, TFOPS_E_ARGUMENT, "flags");
    CASE(a.options[NORM_WEIGHT_VARIANT] = 9, TFOPS_E_RANGE, "weight_variant");
    CASE(a.options[TFOPS_MAX_OPTIONS - 1] = 1, TFOPS_E_RANGE, "options");
    CASE((a.n_scalars = 1, a.scalars[NORM_EPS] = -1), TFOPS_E_RANGE, "eps");
    CASE(a.n_scalars = 2, TFOPS_E_ARGUMENT, "n_scalars");
#undef CASE
    NONE_WRONG();
}

/* ---- tuner, benchmark, cache, errors -------------------------------------------------------- */

Test(api, tuner_and_benchmark_calls)
{
    struct tfops_tune_result tuned = {.size = sizeof tuned}, small = {.size = 4};
    struct tfops_tune_options options = {.size = 4};
    struct tfops_bench_result timed = {.size = sizeof timed};
    struct tfops_bench_options bench = {.size = 8};
    struct tfops_bench_launch_result launched = {.size = sizeof launched};
    BAD(tfops_tune(NULL, &problem, NULL, &tuned), TFOPS_E_ARGUMENT, "engine");
    BAD(tfops_tune(engine, NULL, NULL, &tuned), TFOPS_E_ARGUMENT, "problem");
    BAD(tfops_tune(engine, &problem, NULL, NULL), TFOPS_E_ARGUMENT, "ret_result");
    BAD(tfops_tune(engine, &problem, NULL, &small), TFOPS_E_ARGUMENT, "ret_result");
    BAD(tfops_tune(engine, &problem, &options, &tuned), TFOPS_E_ARGUMENT, "options");
    BAD(tfops_tune(engine, &problem, NULL, &tuned), TFOPS_E_UNSUPPORTED, "cpu");
    BAD(tfops_bench(NULL, &problem, NULL, &timed), TFOPS_E_ARGUMENT, "engine");
    BAD(tfops_bench(engine, NULL, NULL, &timed), TFOPS_E_ARGUMENT, "problem");
    BAD(tfops_bench(engine, &problem, NULL, NULL), TFOPS_E_ARGUMENT, "ret_result");
    BAD(tfops_bench(engine, &problem, &bench, &timed), TFOPS_E_ARGUMENT, "options");
    BAD(tfops_bench_launch(NULL, &problem, &launched), TFOPS_E_ARGUMENT, "engine");
    BAD(tfops_bench_launch(engine, NULL, &launched), TFOPS_E_ARGUMENT, "problem");
    BAD(tfops_bench_launch(engine, &problem, NULL), TFOPS_E_ARGUMENT, "ret_result");
    NONE_WRONG();
}

static bool any_record(void *user, const struct tfops_record *record)
{
    (void)user, (void)record;
    return true;
}

Test(api, cache_calls)
{
    struct tfops_cache *cache = NULL;
    struct tfops_cache_totals totals = {.size = sizeof totals}, small = {.size = 8};
    struct tfops_prune_options prune = {.size = 8};
    uint64_t n;
    char path[4];
    BAD(tfops_cache_open(NULL, &cache), TFOPS_E_ARGUMENT, "path");
    BAD(tfops_cache_open("/nonexistent/c.db", NULL), TFOPS_E_ARGUMENT, "ret_cache");
    BAD(tfops_cache_open("/nonexistent/c.db", &cache), TFOPS_E_UNKNOWN, "/nonexistent");
    BAD(tfops_cache_open_writable(NULL, &cache), TFOPS_E_ARGUMENT, "path");
    BAD(tfops_cache_open_writable("/nonexistent/c.db", &cache), TFOPS_E_UNKNOWN, "/nonexistent");
    BAD(tfops_cache_default_path(NULL, 8), TFOPS_E_ARGUMENT, "ret_path");
    setenv("TFOPS_CACHE", "/a/path/that/is/longer", 1);
    BAD(tfops_cache_default_path(path, sizeof path), TFOPS_E_RANGE, "/a/path");
    unsetenv("TFOPS_CACHE");
    BAD(tfops_cache_each_record(NULL, NULL, NULL, any_record, NULL), TFOPS_E_ARGUMENT, "cache");
    BAD(tfops_cache_each_binary(NULL, NULL, NULL), TFOPS_E_ARGUMENT, "cache");
    BAD(tfops_cache_totals(NULL, &totals), TFOPS_E_ARGUMENT, "cache");
    BAD(tfops_cache_verify(NULL, NULL, NULL, &totals), TFOPS_E_ARGUMENT, "cache");
    BAD(tfops_cache_prune(NULL, &prune, &n, &n), TFOPS_E_ARGUMENT, "cache");
    EXPECT_OK(tfops_cache_open_writable(support.cache, &cache));
    BAD(tfops_cache_each_record(cache, NULL, NULL, NULL, NULL), TFOPS_E_ARGUMENT, "fn");
    BAD(tfops_cache_each_binary(cache, NULL, NULL), TFOPS_E_ARGUMENT, "fn");
    BAD(tfops_cache_totals(cache, NULL), TFOPS_E_ARGUMENT, "ret_totals");
    BAD(tfops_cache_totals(cache, &small), TFOPS_E_ARGUMENT, "ret_totals");
    BAD(tfops_cache_verify(cache, NULL, NULL, &small), TFOPS_E_ARGUMENT, "ret_totals");
    BAD(tfops_cache_prune(cache, &prune, &n, &n), TFOPS_E_ARGUMENT, "options");
    tfops_cache_close(cache);
    tfops_cache_close(NULL);
    NONE_WRONG();
}
