/*
 * tfops-bench: operators beside the copy roof, the host's cost of a launch, a process's start. The
 * library measures; this prints, with everything that is needed to repeat a number.
 */
#include "cli.h"
#include "cli_bench_open.h"
#include "cli_cancel.h"
#include "cli_engine.h"
#include "cli_json.h"
#include "cli_options.h"
#include "cli_ratio.h"
#include "cli_suite.h"
#include "cli_table.h"
#include "cli_text.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tfops/tfops.h>

struct bench_options {
    struct cli_common common;
    const char *cache, *device, *dtype, *suite, *peer;
    bool launch, warm, one_output;
    double budget, interval;
    uint64_t seed, samples;
};

#define AT(field) offsetof(struct bench_options, field)
static const struct cli_option OPTIONS[] = {
    {"--suite", "NAME", CLI_TEXT, AT(suite),
        "a named list of problems: rmsnorm, row, gemm, launch or open"},
    {"--launch", NULL, CLI_FLAG, AT(launch), "measure the host's cost of a launch instead"},
    {"--peer", "cublaslt", CLI_TEXT, AT(peer), "time this library's fastest kernel beside ours"},
    {"--warm", NULL, CLI_FLAG, AT(warm), "one set of operands, so that small ones stay in L2"},
    {"--one-output", NULL, CLI_FLAG, AT(one_output),
        "rotate the inputs only: all calls write to the same outputs"},
    {"--cache", "FILE", CLI_TEXT, AT(cache), "the cache that chooses (default: the user's)"},
    {"--device", "N", CLI_TEXT, AT(device), "GPU (default: 0)"},
    {"--dtype", "f16|bf16|…", CLI_TEXT, AT(dtype), "the first dtype; a list makes more problems"},
    {"--budget", "SECONDS", CLI_NUMBER, AT(budget), "time for each problem (default: 5)"},
    {"--interval", "PERCENT", CLI_NUMBER, AT(interval),
        "half width of the 95% interval aimed at (default: 1)"},
    {"--samples", "N", CLI_UINT, AT(samples), "open: how many processes (default: 7)"},
    {"--seed", "N", CLI_UINT, AT(seed), "seed of the data"},
    CLI_COMMON_OPTIONS(struct bench_options),
};

static const struct cli_program PROGRAM = {
    "OP DIM=VALUE… [DIM=v1,v2…] [OPTION…]\n--suite NAME [OPTION…]",
    "Measures operators as the cache chooses them beside their default and generic variants and a "
    "copy of the same bytes, interleaved in one run.",
    OPTIONS,
    sizeof OPTIONS / sizeof *OPTIONS,
    "Suites:\n"
    "  rmsnorm  rmsnorm and add_rmsnorm on model shapes, all row counts and an odd size\n"
    "  row      the other row-wise operators: one row, model shapes, all granularities\n"
    "  gemm     linear and fp8_gemm: projections of four models, 1 to 8192 tokens\n"
    "  launch   the host's cost of a warm launch\n"
    "  open     a process's start: engine, warm cache and first launch, beyond the CUDA context",
};

struct bench {
    struct cli cli;
    struct bench_options options;
    enum cli_suite_kind kind;
    char device[32];
    struct tfops_engine *engine;
    struct tfops_platform platform;
    struct cli_table table;
    size_t failed;
    struct cli_ratios ratios;
};

/* ---- what every line says -------------------------------------------------------------------- */

static json *start_line(const struct bench *bench, const char *event, const char *problem)
{
    char date[32];
    cli_date(date);
    json *line = cli_json_event(event);
    json_add_string(line, "problem", problem);
    struct tfops_device device = {.size = sizeof device};
    const struct tfops_device *known = bench->engine ? tfops_engine_device(bench->engine) : NULL;
    if (!known &&
        tfops_platform_device(NULL, cli_device_ordinal(bench->device), &device) == TFOPS_OK)
        known = &device;
    json_add_string(line, "device", known ? known->name : NULL);
    json_add_string(line, "arch", known ? known->arch : NULL);
    json_add_int(line, "driver", bench->platform.driver_version);
    json_add_int(line, "nvrtc", bench->platform.nvrtc_version);
    json_add_string(line, "tfops", tfops_version());
    json_add_string(line, "date", date);
    return line;
}

/* ---- kernels --------------------------------------------------------------------------------- */

static const char *const KERNEL_HEADS[] = {"problem", "MB", "tuned µs", "±", "default µs",
    "generic µs", "roof µs", "of roof", "peer µs", "peer ÷ tuned", "source", "config"};
#define KERNEL_RIGHT 0x3feu

static void kernel_json(
    const struct bench *bench, const char *problem, const struct tfops_bench_result *result)
{
    json *line = start_line(bench, "bench", problem);
    json_add_int(line, "sm_clock_mhz", result->sm_clock_mhz);
    json_add_int(line, "memory_clock_mhz", result->memory_clock_mhz);
    json_add_string(line, "rotated",
        bench->options.warm         ? "none"
        : bench->options.one_output ? "inputs"
                                    : "all");
    json_add_int(line, "bytes", (int64_t)result->bytes);
    cli_json_measured(line, "tuned_ns", result->tuned_ns);
    cli_json_measured(line, "tuned_low_ns", result->tuned_low_ns);
    cli_json_measured(line, "tuned_high_ns", result->tuned_high_ns);
    cli_json_measured(line, "default_ns", result->default_ns);
    cli_json_measured(line, "generic_ns", result->generic_ns);
    cli_json_measured(line, "copy_kernel_ns", result->copy_kernel_ns);
    cli_json_measured(line, "copy_memcpy_ns", result->copy_memcpy_ns);
    cli_json_measured(line, "roof_ns", result->roof_ns);
    cli_json_measured(line, "ratio", result->ratio);
    cli_json_measured(line, "peer_ns", result->peer_ns);
    json_add_int(line, "peer_kernels", result->peer_kernels);
    json_add_int(line, "samples", result->samples);
    json_add_string(line, "source", result->source);
    json_add_string(line, "config", result->config);
    cli_json_emit(line);
}

static void time_cell(struct cli_table *table, double nanoseconds)
{
    char text[32];
    cli_text_us(text, nanoseconds);
    cli_table_cell(table, "%s", text);
}

static void kernel_row(
    struct bench *bench, const char *problem, const struct tfops_bench_result *result)
{
    struct cli_table *table = &bench->table;
    double half = result->tuned_ns > 0
                      ? 50 * (result->tuned_high_ns - result->tuned_low_ns) / result->tuned_ns
                      : 0;
    cli_table_cell(table, "%s", problem);
    cli_table_cell(table, "%.2f", (double)result->bytes / 1e6);
    time_cell(table, result->tuned_ns);
    cli_table_cell(table, "%.1f%%", half);
    time_cell(table, result->default_ns);
    time_cell(table, result->generic_ns);
    time_cell(table, result->roof_ns);
    cli_table_cell(table, "%.3f", result->ratio);
    time_cell(table, result->peer_ns);
    if (result->peer_ns > 0 && result->tuned_ns > 0)
        cli_table_cell(table, "%.3f", result->peer_ns / result->tuned_ns);
    else
        cli_table_cell(table, "-");
    cli_table_cell(table, "%s", result->source);
    cli_table_cell(table, "%s", result->config);
}

static enum tfops_status bench_kernel(
    struct bench *bench, const struct tfops_problem *problem, const char *text)
{
    struct tfops_bench_options options = {.size = sizeof options,
        .interval = bench->options.interval / 100,
        .budget_s = bench->options.budget,
        .seed = bench->options.seed,
        .l2_warm = bench->options.warm,
        .one_output = bench->options.one_output,
        .peer = bench->options.peer};
    struct tfops_bench_result result = {.size = sizeof result};
    enum tfops_status status = tfops_bench(bench->engine, problem, &options, &result);
    if (status != TFOPS_OK)
        return status;
    cli_ratios_add(&bench->ratios, result.peer_ns, result.tuned_ns);
    if (bench->cli.json)
        kernel_json(bench, text, &result);
    else
        kernel_row(bench, text, &result);
    return TFOPS_OK;
}

/* ---- launches -------------------------------------------------------------------------------- */

static const char *const LAUNCH_HEADS[] = {"problem", "raw µs", "same µs", "plan µs", "look-up µs",
    "plan − raw ns", "look-up − raw ns", "plan − same ns", "look-up − same ns", "maps ns",
    "moved ns", "encoded ns", "calls"};
#define LAUNCH_RIGHT 0x1ffeu

static void launch_json(
    const struct bench *bench, const char *problem, const struct tfops_bench_launch_result *result)
{
    json *line = start_line(bench, "launch", problem);
    json_add_number(line, "raw_ns", result->raw_ns);
    json_add_number(line, "same_ns", result->same_ns);
    json_add_number(line, "plan_ns", result->plan_ns);
    json_add_number(line, "lookup_ns", result->lookup_ns);
    json_add_number(line, "plan_over_raw_ns", result->plan_over_raw_ns);
    json_add_number(line, "lookup_over_raw_ns", result->lookup_over_raw_ns);
    json_add_number(line, "plan_over_same_ns", result->plan_over_same_ns);
    json_add_number(line, "lookup_over_same_ns", result->lookup_over_same_ns);
    if (result->maps_ns > 0) {
        json_add_number(line, "maps_ns", result->maps_ns);
        json_add_number(line, "maps_moved_ns", result->maps_moved_ns);
        json_add_number(line, "maps_encode_ns", result->maps_encode_ns);
    }
    json_add_int(line, "batches", result->batches);
    json_add_int(line, "calls_per_batch", result->calls_per_batch);
    cli_json_emit(line);
}

/* 0: the operator has no tensor maps. */
static void maps_cell(struct cli_table *table, double ns)
{
    if (ns > 0)
        cli_table_cell(table, "%.1f", ns);
    else
        cli_table_cell(table, "%s", "–");
}

static enum tfops_status bench_launch(
    struct bench *bench, const struct tfops_problem *problem, const char *text)
{
    struct tfops_bench_launch_result result = {.size = sizeof result};
    enum tfops_status status = tfops_bench_launch(bench->engine, problem, &result);
    if (status != TFOPS_OK)
        return status;
    if (bench->cli.json) {
        launch_json(bench, text, &result);
        return TFOPS_OK;
    }
    cli_table_cell(&bench->table, "%s", text);
    time_cell(&bench->table, result.raw_ns);
    time_cell(&bench->table, result.same_ns);
    time_cell(&bench->table, result.plan_ns);
    time_cell(&bench->table, result.lookup_ns);
    cli_table_cell(&bench->table, "%.1f", result.plan_over_raw_ns);
    cli_table_cell(&bench->table, "%.1f", result.lookup_over_raw_ns);
    cli_table_cell(&bench->table, "%.1f", result.plan_over_same_ns);
    cli_table_cell(&bench->table, "%.1f", result.lookup_over_same_ns);
    maps_cell(&bench->table, result.maps_ns);
    maps_cell(&bench->table, result.maps_moved_ns);
    maps_cell(&bench->table, result.maps_encode_ns);
    cli_table_cell(&bench->table, "%u×%u", result.batches, result.calls_per_batch);
    return TFOPS_OK;
}

/* ---- process start --------------------------------------------------------------------------- */

static void open_report(const struct bench *bench, const char *problem, uint64_t samples,
    const struct cli_bench_open_result *result)
{
    if (!bench->cli.json) {
        printf("%s on %s, median of %llu processes\n", problem, bench->device,
            (unsigned long long)samples);
        printf("  CUDA context   %8.2f ms\n  engine open    %8.2f ms\n  prepare        %8.2f ms\n"
               "  first launch   %8.2f ms\n  beyond context %8.2f ms, %llu compiles, source %s\n",
            result->context_ms, result->open_ms, result->prepare_ms, result->launch_ms,
            result->beyond_ms, (unsigned long long)result->compiles, result->source);
        return;
    }
    json *line = start_line(bench, "open", problem);
    json_add_number(line, "context_ms", result->context_ms);
    json_add_number(line, "open_ms", result->open_ms);
    json_add_number(line, "prepare_ms", result->prepare_ms);
    json_add_number(line, "launch_ms", result->launch_ms);
    json_add_number(line, "beyond_ms", result->beyond_ms);
    json_add_int(line, "compiles", (int64_t)result->compiles);
    json_add_int(line, "module_loads", (int64_t)result->module_loads);
    json_add_int(line, "samples", (int64_t)samples);
    json_add_string(line, "source", result->source);
    cli_json_emit(line);
}

/* With one sample the measurement is of this process: nothing here may have touched CUDA before. */
static int bench_open(struct bench *bench, const char *const *words, size_t n_words)
{
    uint64_t samples = bench->options.samples;
    struct cli_bench_open open = {.device = bench->device,
        .cache = bench->options.cache,
        .plugins = &bench->options.common.plugins,
        .words = words,
        .n_words = n_words,
        .samples = samples};
    struct cli_bench_open_result result;
    int code = samples == 1 ? cli_bench_open_once(&bench->cli, &open, &result)
                            : cli_bench_open(&bench->cli, &open, &result);
    if (code != CLI_OK)
        return code;
    tfops_platform_query(NULL, NULL, &bench->platform);
    char text[512] = "";
    for (size_t i = 0; i < n_words; i++)
        snprintf(text + strlen(text), sizeof text - strlen(text), "%s%s", i ? " " : "", words[i]);
    open_report(bench, text, samples, &result);
    return CLI_OK;
}

static int bench_starts(struct bench *bench, const struct cli_suite *suite)
{
    int code = CLI_OK;
    for (size_t i = 0; i < suite->n_lines && code == CLI_OK && !cli_cancelled(); i++) {
        const char *words[CLI_SUITE_WORDS];
        char *line = cli_strdup(suite->lines[i]);
        code = line ? bench_open(bench, words, cli_suite_split(line, words))
                    : cli_fail_memory(&bench->cli);
        free(line);
    }
    return code;
}

/* ---- lists ----------------------------------------------------------------------------------- */

/* A problem that fails costs that problem: the others are still measured. */
static void bench_problem(struct bench *bench, const struct tfops_problem *problem)
{
    char *text = cli_problem_text(problem);
    enum tfops_status status = TFOPS_E_MEMORY;
    if (text)
        status = bench->kind == CLI_SUITE_LAUNCH ? bench_launch(bench, problem, text)
                                                 : bench_kernel(bench, problem, text);
    if (status != TFOPS_OK) {
        cli_fail_last(&bench->cli, status, text);
        bench->failed++;
    }
    free(text);
}

static int bench_all(struct bench *bench, const struct cli_suite *suite)
{
    const struct bench_options *options = &bench->options;
    struct cli_problems problems = {0};
    int code = suite ? cli_suite_load(&bench->cli, bench->engine, suite, options->dtype, &problems)
                     : cli_problems_load(&bench->cli, bench->engine, &options->common.words,
                           options->dtype, &problems);
    for (size_t i = 0; i < problems.count && !cli_cancelled(); i++)
        bench_problem(bench, &problems.items[i]);
    cli_problems_release(&problems);
    return code;
}

static int check_options(struct bench *bench)
{
    const struct bench_options *options = &bench->options;
    const struct cli_list *words = &options->common.words;
    if (!options->suite && words->count == 0)
        return cli_usage(&bench->cli, "OP", "OP DIM=VALUE… or --suite", "",
            "give OP DIM=VALUE… or --suite NAME");
    if (options->samples < 1 || options->samples > 1000)
        return cli_usage(&bench->cli, "--samples", "1 … 1000", "", "--samples: 1 … 1000");
    if (options->peer && strcmp(options->peer, "cublaslt") != 0)
        return cli_usage(&bench->cli, "--peer", "cublaslt", options->peer,
            "--peer: expected cublaslt, got '%.40s'", options->peer);
    snprintf(bench->device, sizeof bench->device, "cuda:0");
    if (options->device && !cli_device_name(options->device, bench->device))
        return cli_usage(&bench->cli, "--device", "N", options->device,
            "--device: '%.40s' is not the number of a GPU", options->device);
    return CLI_OK;
}

/* A process that measures its own start must not look at the GPU first. */
static int check_gpu(struct bench *bench)
{
    const struct bench_options *options = &bench->options;
    char why[128] = "the cpu device";
    bool first_touch = bench->kind == CLI_SUITE_OPEN && options->samples == 1;
    bool cpu = strcmp(bench->device, "cpu") == 0;
    if (!cpu && (first_touch || cli_gpu_present(why, sizeof why)))
        return CLI_OK;
    if (options->common.words.count > 0) {
        int code = cli_problems_check(
            &bench->cli, &options->common.plugins, &options->common.words, options->dtype);
        if (code != CLI_OK)
            return code;
    }
    struct tfops_error error;
    cli_error(&error, TFOPS_E_DRIVER, "GPU", "a GPU", why,
        "no GPU here (%s): benchmarks measure on a live one", why);
    return cli_fail(&bench->cli, CLI_FAILED, &error);
}

static int open_engine(struct bench *bench)
{
    if (bench->kind == CLI_SUITE_OPEN)
        return CLI_OK;
    struct cli_target target = {.device = bench->device,
        .cache = bench->options.cache,
        .plugins = &bench->options.common.plugins,
        .miss_policy = TFOPS_MISS_COMPILE};
    tfops_platform_query(NULL, NULL, &bench->platform);
    if (bench->kind == CLI_SUITE_LAUNCH)
        cli_table_init(
            &bench->table, LAUNCH_HEADS, sizeof LAUNCH_HEADS / sizeof *LAUNCH_HEADS, LAUNCH_RIGHT);
    else
        cli_table_init(
            &bench->table, KERNEL_HEADS, sizeof KERNEL_HEADS / sizeof *KERNEL_HEADS, KERNEL_RIGHT);
    return cli_engine_open(&bench->cli, &target, &bench->engine);
}

static int run(struct bench *bench)
{
    const struct bench_options *options = &bench->options;
    const struct cli_suite *suite = NULL;
    int code = check_options(bench);
    if (code == CLI_OK && options->suite)
        code = cli_suite_find(&bench->cli, options->suite, &suite);
    if (code != CLI_OK)
        return code;
    bench->kind = suite ? suite->kind : CLI_SUITE_KERNEL;
    if (options->launch)
        bench->kind = CLI_SUITE_LAUNCH;
    code = check_gpu(bench);
    if (code == CLI_OK)
        code = open_engine(bench);
    if (code != CLI_OK)
        return code;
    cli_cancel_install(CLI_CANCEL_KEEPS);
    code = suite && bench->kind == CLI_SUITE_OPEN ? bench_starts(bench, suite)
                                                  : bench_all(bench, suite);
    if (!bench->cli.json && bench->table.n_cells > 0) {
        const struct tfops_device *device = tfops_engine_device(bench->engine);
        printf("%s (%s), driver %d\n", device->name, device->arch, bench->platform.driver_version);
        cli_table_print(&bench->table);
    }
    cli_ratios_report(&bench->ratios, &bench->cli, options->peer);
    return code == CLI_OK && (bench->failed > 0 || cli_cancelled()) ? CLI_FAILED : code;
}

int main(int argc, char **argv)
{
    struct bench bench = {.options = {.common = CLI_COMMON_DEFAULTS, .samples = 7},
        .platform.size = sizeof bench.platform};
    int code;
    cli_init(&bench.cli, "tfops-bench", argc, argv);
    if (cli_options_parse(&bench.cli, &PROGRAM, argc, argv, &bench.options.common, &code))
        code = run(&bench);
    cli_table_release(&bench.table);
    tfops_engine_close(bench.engine);
    cli_options_release(&PROGRAM, &bench.options.common);
    return cli_finish(&bench.cli, code);
}
