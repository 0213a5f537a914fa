/* What the benchmarks refuse; their numbers need a GPU. */
#include "base/error.h"
#include <criterion/criterion.h>
#include <string.h>
#include <tfops/bench.h>

static struct tfops_engine *engine;
static struct tfops_problem problem;

static void open_cpu(void)
{
    const struct tfops_engine_options options = {
        .size = sizeof options, .device = "cpu", .cache_path = ""};
    cr_assert_eq(tfops_engine_open(&options, &engine), TFOPS_OK);
    tfops_problem_init(tfops_engine_operator(engine, "rmsnorm"), &problem);
    tfops_problem_set(&problem, "rows", "4");
    tfops_problem_set(&problem, "hidden", "64");
}

static void close_cpu(void)
{
    tfops_engine_close(engine);
}

TestSuite(bench, .init = open_cpu, .fini = close_cpu);

Test(bench, refuses_the_cpu_device)
{
    struct tfops_bench_result result = {.size = sizeof result};
    struct tfops_bench_launch_result launch = {.size = sizeof launch};
    cr_assert_eq(tfops_bench(engine, &problem, NULL, &result), TFOPS_E_UNSUPPORTED);
    cr_assert_not_null(strstr(error_message(), "CUDA device"), "%s", error_message());
    cr_assert_eq(tfops_bench_launch(engine, &problem, &launch), TFOPS_E_UNSUPPORTED);
}

Test(bench, refuses_null_and_structs_of_another_size)
{
    struct tfops_bench_result result = {.size = 8};
    struct tfops_bench_launch_result launch = {.size = 8};
    cr_assert_eq(tfops_bench(engine, &problem, NULL, &result), TFOPS_E_ARGUMENT);
    cr_assert_eq(tfops_bench(engine, NULL, NULL, &result), TFOPS_E_ARGUMENT);
    cr_assert_eq(tfops_bench(NULL, &problem, NULL, &result), TFOPS_E_ARGUMENT);
    cr_assert_eq(tfops_bench_launch(engine, &problem, &launch), TFOPS_E_ARGUMENT);
    cr_assert_eq(tfops_bench_launch(NULL, &problem, &launch), TFOPS_E_ARGUMENT);
}

Test(bench, refuses_a_problem_out_of_range)
{
    struct tfops_bench_result result = {.size = sizeof result};
    problem.dims[1] = -1;
    cr_assert_eq(tfops_bench(engine, &problem, NULL, &result), TFOPS_E_RANGE);
}
