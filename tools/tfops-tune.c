/*
 * tfops-tune: finds and records the fastest config of each problem on a live GPU, or fills a cache
 * with binaries without one. Turns the command line into a run; cli_lane.c does the run.
 */
#define _POSIX_C_SOURCE 200809L
#include "cli.h"
#include "cli_cancel.h"
#include "cli_emulate.h"
#include "cli_engine.h"
#include "cli_lane.h"
#include "cli_options.h"
#include "cli_suite.h"
#include "cli_text.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <tfops/tfops.h>
#include <unistd.h>

struct tune_options {
    struct cli_common common;
    const char *cache, *device, *arch, *dtype, *dump, *shard, *check, *suite;
    bool compile_only, resume, force, dry_run;
    int strategy, progress;
    uint64_t jobs, max_configs, seed, top;
    double budget;
    struct cli_list config;
};

static const char *const STRATEGIES[] = {"exhaustive", "random"};
#define NO_TOP UINT64_MAX

#define AT(field) offsetof(struct tune_options, field)
static const struct cli_option OPTIONS[] = {
    {"--suite", "NAME", CLI_TEXT, AT(suite),
        "a named list of problems, as tfops-bench measures them"},
    {"--cache", "FILE", CLI_TEXT, AT(cache), "the cache to write (default: the user's)"},
    {"--device", "N|all|cpu", CLI_TEXT, AT(device),
        "GPU to tune on (default: 0); all: one run on each, equal GPUs share the problems"},
    {"--arch", "ARCH", CLI_TEXT, AT(arch),
        "architecture to compile for, with --compile-only; to run as, with --check"},
    {"--compile-only", NULL, CLI_FLAG, AT(compile_only),
        "fill the cache with binaries; needs NVRTC and no GPU"},
    {"--dtype", "f16|bf16|…", CLI_TEXT, AT(dtype), "the first dtype; a list makes more problems"},
    {"--strategy", "exhaustive|random", CLI_CHOICE, AT(strategy),
        "how the space is searched (default: exhaustive)"},
    {"--max-configs", "N", CLI_UINT, AT(max_configs),
        "how many configs random tries (default: 64)"},
    {"--seed", "N", CLI_UINT, AT(seed), "seed of random choices and data"},
    {"--budget", "SECONDS", CLI_NUMBER, AT(budget),
        "time for all problems; at its end what was measured decides"},
    {"--jobs", "N", CLI_UINT, AT(jobs), "compile workers (default: one per core)"},
    {"--config", "K=V…", CLI_PAIRS, AT(config),
        "run only this config; tunables not named keep the default's values"},
    {"--check", "emu", CLI_TEXT, AT(check),
        "execute one variant on the CPU and compare it with the reference; needs no GPU but a C++ "
        "compiler"},
    {"--dump", "DIR", CLI_TEXT, AT(dump), "write source, PTX, cubin and log of each candidate"},
    {"--shard", "I/N", CLI_TEXT, AT(shard), "do the I-th of N equal parts of the problems"},
    {"--resume", NULL, CLI_FLAG, AT(resume), "use the samples an interrupted run left"},
    {"--force", NULL, CLI_FLAG, AT(force), "tune although a record is there"},
    {"--dry-run", NULL, CLI_FLAG, AT(dry_run), "list the space and compile nothing"},
    {"--top", "N", CLI_UINT, AT(top),
        "rows of each table (default: all for one problem, else 10; 0: all)"},
    {"--progress", CLI_PROGRESS_METAVAR, CLI_CHOICE, AT(progress),
        "a bar on a terminal, lines elsewhere (default: auto)"},
    CLI_COMMON_OPTIONS(struct tune_options),
};

static const struct cli_program PROGRAM = {
    "OP DIM=VALUE… [DIM=v1,v2…] [OPTION…]\n--suite NAME [OPTION…]",
    "Compiles, verifies and measures the variants of an operator for each problem and records the "
    "fastest one. Lists of values make all combinations.",
    OPTIONS,
    sizeof OPTIONS / sizeof *OPTIONS,
    "tfops-info lists the operators with their dimensions. SIGINT stops and keeps what was "
    "measured.",
};

static bool without_gpu(const struct tune_options *options)
{
    return options->compile_only || options->dry_run;
}

static int check_numbers(const struct cli *cli, const struct tune_options *options)
{
    if (options->jobs > 64)
        return cli_usage(cli, "--jobs", "at most 64", "", "--jobs: at most 64");
    if (options->max_configs > UINT32_MAX)
        return cli_usage(
            cli, "--max-configs", "at most 4294967295", "", "--max-configs: at most 4294967295");
    if (options->max_configs > 0 && strcmp(STRATEGIES[options->strategy], "random") != 0)
        return cli_usage(cli, "--max-configs", "--strategy random with it",
            STRATEGIES[options->strategy],
            "--max-configs: expected --strategy random with it, got %s",
            STRATEGIES[options->strategy]);
    return CLI_OK;
}

/* "I/N", I counted from 1. */
static int parse_shard(const struct cli *cli, const char *text, struct cli_run *run)
{
    char index[24];
    uint64_t i, n;
    run->shard = 0;
    run->shards = 1;
    if (!text)
        return CLI_OK;
    size_t bytes = strcspn(text, "/");
    snprintf(index, sizeof index, "%.*s", (int)(bytes < 20 ? bytes : 20), text);
    if (!text[bytes] || !cli_parse_uint(index, &i) || !cli_parse_uint(text + bytes + 1, &n) ||
        i < 1 || i > n)
        return cli_usage(cli, "--shard", "I/N with 1 ≤ I ≤ N", text,
            "--shard: '%.40s' is not I/N with 1 ≤ I ≤ N", text);
    run->shard = i - 1;
    run->shards = n;
    return CLI_OK;
}

static int check_arch(const struct cli *cli, const struct tune_options *options)
{
    if (!options->arch)
        return CLI_OK;
    if (!without_gpu(options) && !options->check)
        return cli_usage(cli, "--arch", "--compile-only with it", options->arch,
            "--arch names an architecture to compile for: it needs --compile-only");
    if (options->device && strcmp(options->device, "cpu") != 0)
        return cli_usage(cli, "--device", "--arch or --device", options->device,
            "--arch and --device exclude each other");
    return cli_arch_check(cli, options->arch);
}

static int check_check(const struct cli *cli, const struct tune_options *options)
{
    if (!options->check)
        return CLI_OK;
    if (strcmp(options->check, "emu") != 0)
        return cli_usage(
            cli, "--check", "emu", options->check, "--check: '%.40s' is not emu", options->check);
    if (without_gpu(options) || options->device)
        return cli_usage(cli, "--check", "--check alone", "emu",
            "--check emu runs on the CPU: it excludes --compile-only, --dry-run and --device");
    return CLI_OK;
}

/* An operator with its words, or a suite. */
static int check_problems(const struct cli *cli, const struct tune_options *options)
{
    const struct cli_suite *suite;
    const bool words = options->common.words.count > 0;
    if (!words && !options->suite)
        return cli_usage(cli, "OP", "OP DIM=VALUE… or --suite", "",
            "no operator given: OP DIM=VALUE… (tfops-info lists them) or --suite NAME");
    if (!options->suite)
        return CLI_OK;
    if (words || options->check)
        return cli_usage(cli, "--suite", "--suite alone", options->suite,
            "--suite is a list of problems: it excludes OP DIM=VALUE… and --check");
    return cli_suite_find(cli, options->suite, &suite);
}

/* Says so and names the way out; bad problems are told first. */
static int no_gpu(const struct cli *cli, const struct tune_options *options, const char *why)
{
    const struct cli_common *common = &options->common;
    int code = options->suite
                   ? CLI_OK
                   : cli_problems_check(cli, &common->plugins, &common->words, options->dtype);
    if (code != CLI_OK)
        return code;
    if (without_gpu(options))
        return cli_usage(cli, "--arch", "an architecture", "",
            "no GPU here (%s): name the architecture to compile for, e.g. --arch sm_90a", why);
    struct tfops_error error;
    cli_error(&error, TFOPS_E_DRIVER, "GPU", "a GPU, or --compile-only", why,
        "no GPU here (%s): tuning measures on a live one; --compile-only --arch sm_90a fills a "
        "cache with binaries without it",
        why);
    return cli_fail(cli, CLI_FAILED, &error);
}

/* ---- lanes ----------------------------------------------------------------------------------- */

static bool same_sku(const struct tfops_device *a, const struct tfops_device *b)
{
    return strcmp(a->name, b->name) == 0 && strcmp(a->arch, b->arch) == 0 && a->sms == b->sms &&
           a->l2_bytes == b->l2_bytes && a->memory_bytes >> 32 == b->memory_bytes >> 32 &&
           strcmp(a->mig, b->mig) == 0;
}

static int load_problems(
    const struct cli_run *run, const struct tune_options *options, struct cli_lane *lane)
{
    const struct cli_suite *suite;
    if (!options->suite)
        return cli_problems_load(
            run->cli, lane->engine, &options->common.words, options->dtype, &lane->problems);
    int code = cli_suite_find(run->cli, options->suite, &suite);
    if (code == CLI_OK)
        code = cli_suite_load(run->cli, lane->engine, suite, options->dtype, &lane->problems);
    return code;
}

static int add_lane(struct cli_run *run, const struct tune_options *options, const char *device)
{
    size_t index = run->n_lanes;
    struct cli_lane *lane = &run->lanes[index];
    struct cli_target target = {
        .device = device, .cache = options->cache, .plugins = &options->common.plugins};
    *lane = (struct cli_lane){.run = run, .text = "", .queue = index};
    snprintf(lane->device, sizeof lane->device, "%s", device);
    int code = cli_engine_open(run->cli, &target, &lane->engine);
    if (code != CLI_OK)
        return code;
    run->n_lanes++; /* from here on the lane is closed with the run */
    for (size_t i = 0; i < index && lane->queue == index; i++)
        if (same_sku(tfops_engine_device(lane->engine), tfops_engine_device(run->lanes[i].engine)))
            lane->queue = run->lanes[i].queue;
    return load_problems(run, options, lane);
}

static int add_all(struct cli_run *run, const struct tune_options *options)
{
    struct tfops_platform platform = {.size = sizeof platform};
    enum tfops_status status = tfops_platform_query(NULL, NULL, &platform);
    if (status != TFOPS_OK)
        return cli_fail_last(run->cli, status, NULL);
    int code = CLI_OK;
    for (int32_t i = 0; i < platform.device_count && i < CLI_MAX_LANES && code == CLI_OK; i++) {
        char device[32];
        snprintf(device, sizeof device, "cuda:%d", (int)i);
        code = add_lane(run, options, device);
    }
    return code;
}

static int add_lanes(struct cli_run *run, const struct tune_options *options)
{
    char device[32] = "cuda:0", why[128];
    if (options->arch) {
        cli_arch_device(options->arch, device);
        return add_lane(run, options, device);
    }
    bool all = options->device && strcmp(options->device, "all") == 0;
    if (options->device && !all && !cli_device_name(options->device, device))
        return cli_usage(run->cli, "--device", "N, all or cpu", options->device,
            "--device: '%.40s' is not N, all or cpu", options->device);
    if (strcmp(device, "cpu") == 0)
        return no_gpu(run->cli, options, "the cpu device has nothing to tune");
    if (!cli_gpu_present(why, sizeof why))
        return no_gpu(run->cli, options, why);
    return all ? add_all(run, options) : add_lane(run, options, device);
}

static void close_lanes(struct cli_run *run)
{
    for (size_t i = 0; i < run->n_lanes; i++) {
        cli_problems_release(&run->lanes[i].problems);
        tfops_engine_close(run->lanes[i].engine);
    }
}

/* ---- the run --------------------------------------------------------------------------------- */

static char *join(const struct cli_list *list)
{
    size_t bytes = 1;
    for (size_t i = 0; i < list->count; i++)
        bytes += strlen(list->items[i]) + 1;
    char *text = cli_new(bytes, 1);
    for (size_t i = 0; text && i < list->count; i++) {
        strcat(text, i ? " " : "");
        strcat(text, list->items[i]);
    }
    return text;
}

/* A typo in --config is a usage error, told before anything is compiled. */
static int check_config(const struct cli_run *run)
{
    const struct tfops_problem *problem = &run->lanes[0].problems.items[0];
    struct tfops_config config = {0};
    struct tfops_error error;
    if (!run->config)
        return CLI_OK;
    enum tfops_status status = tfops_config_parse(problem->spec, run->config, &config);
    if (status == TFOPS_OK)
        return CLI_OK;
    cli_last_error(status, &error);
    return cli_fail(run->cli, CLI_USAGE, &error);
}

/* One config that is only looked at leaves no record; everything else is done for the cache. */
static bool fills_cache(const struct tune_options *options)
{
    return !options->dry_run && (options->compile_only || options->config.count == 0);
}

/* The folder of --dump, made when it is not there. */
static int make_dump(const struct cli *cli, const char *dir)
{
    struct tfops_error error;
    int fd = -1;
    if (!mkdir(dir, 0777) || errno == EEXIST)
        fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        cli_error(&error, TFOPS_E_IO, dir, "a folder to write to", strerror(errno),
            "--dump: no folder %s can be had: %s", dir, strerror(errno));
        return cli_fail(cli, CLI_FAILED, &error);
    }
    close(fd);
    return CLI_OK;
}

static void set_options(struct cli_run *run, const struct tune_options *options)
{
    run->options = (struct tfops_tune_options){
        .strategy = STRATEGIES[options->strategy],
        .max_configs = (uint32_t)options->max_configs,
        .seed = options->seed,
        .jobs = (uint32_t)options->jobs,
        .compile_only = options->compile_only,
        .force = options->force,
        .resume = options->resume,
        .dry_run = options->dry_run,
        .dump_dir = options->dump,
    };
    run->records = fills_cache(options) && !options->compile_only;
    run->deadline = options->budget > 0 ? cli_seconds() + options->budget : 0;
    bool many = run->lanes[0].problems.count > 1;
    run->top = options->top != NO_TOP ? (size_t)options->top : many ? 10 : 0;
}

static int run_tune(struct cli_run *run, const struct tune_options *options)
{
    int code = check_numbers(run->cli, options);
    if (code == CLI_OK)
        code = parse_shard(run->cli, options->shard, run);
    if (code == CLI_OK)
        code = check_arch(run->cli, options);
    if (code == CLI_OK)
        code = check_check(run->cli, options);
    if (code == CLI_OK)
        code = check_problems(run->cli, options);
    if (code != CLI_OK)
        return code;
    if (options->config.count > 0 && !(run->config = join(&options->config)))
        return cli_fail_memory(run->cli);
    if (options->dump && !options->dry_run && (code = make_dump(run->cli, options->dump)) != CLI_OK)
        return code;
    if (options->check)
        return cli_emulate(run->cli, &(struct cli_emulation){.common = &options->common,
                                         .arch = options->arch,
                                         .dtype = options->dtype,
                                         .config = run->config,
                                         .dump = options->dump,
                                         .seed = options->seed});
    code = add_lanes(run, options);
    if (code == CLI_OK)
        code = check_config(run);
    if (code == CLI_OK && fills_cache(options))
        code = cli_cache_check(run->cli, options->cache);
    if (code != CLI_OK)
        return code;
    set_options(run, options);
    cli_progress_start(&run->progress, options->progress);
    cli_cancel_install(CLI_CANCEL_KEEPS);
    return cli_run_all(run);
}

int main(int argc, char **argv)
{
    static struct cli_run run; /* too large for comfort on a stack */
    struct cli cli;
    struct tune_options options = {.common = CLI_COMMON_DEFAULTS, .top = NO_TOP};
    int code;
    cli_init(&cli, "tfops-tune", argc, argv);
    run.cli = &cli;
    pthread_mutex_init(&run.lock, NULL);
    if (cli_options_parse(&cli, &PROGRAM, argc, argv, &options.common, &code))
        code = run_tune(&run, &options);
    close_lanes(&run);
    free(run.config);
    pthread_mutex_destroy(&run.lock);
    cli_options_release(&PROGRAM, &options.common);
    return cli_finish(&cli, code);
}
