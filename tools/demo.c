/*
 * The demo: the whole life of a kernel in one run. Tune, print the sweep, close, open again from
 * the cache, launch warm, verify. Without a GPU the same as far as none is needed. Its cache is its
 * own and starts empty.
 */
#define _POSIX_C_SOURCE 200809L
#include "demo.h"
#include "cli_cancel.h"
#include "cli_engine.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define AT(field) offsetof(struct demo_options, field)
static const struct cli_option OPTIONS[] = {
    {"--cache", "FILE", CLI_TEXT, AT(cache),
        "the demo's cache, emptied first (default: build/demo/cache.db, or a temporary one)"},
    {"--budget", "SECONDS", CLI_NUMBER, AT(budget), "time for each model's tuning (default: 20)"},
    {"--top", "N", CLI_UINT, AT(top), "rows of each table (default: 16; 0: all)"},
    {"--progress", CLI_PROGRESS_METAVAR, CLI_CHOICE, AT(progress),
        "a bar on a terminal, lines elsewhere (default: auto)"},
    CLI_COMMON_OPTIONS(struct demo_options),
};

static const struct cli_program PROGRAM = {
    "[OPTION…]",
    "Tunes RMSNorm for the hidden sizes of Llama 3 on the GPU, remembers the winners, starts again "
    "from the cache and checks the results. Without a GPU: compiles for " DEMO_ARCH
    " and executes the kernels on the CPU.",
    OPTIONS,
    sizeof OPTIONS / sizeof *OPTIONS,
    NULL,
};

static const struct demo_model MODELS[] = {{"Llama 3 8B", 4096}, {"Llama 3 70B", 8192}};
#define N_MODELS (sizeof MODELS / sizeof *MODELS)

/* One start of a process: how long until the first result, and what it had to compile. */
struct start {
    double open_ms, prepare_ms, launch_ms;
    uint64_t compiles;
};

/* ---- the cache's place ----------------------------------------------------------------------- */

static bool make_directory(const char *path)
{
    return mkdir(path, 0700) == 0 || errno == EEXIST;
}

static int choose_cache(struct demo *demo)
{
    const char *temporary = getenv("TMPDIR");
    char directory[2048];
    if (demo->options.cache) {
        snprintf(demo->cache, sizeof demo->cache, "%s", demo->options.cache);
    } else if (access("build", W_OK) == 0 && make_directory("build/demo")) {
        snprintf(demo->cache, sizeof demo->cache, "build/demo/cache.db");
    } else {
        snprintf(directory, sizeof directory, "%.1900s/tfops-demo.XXXXXX",
            temporary && *temporary ? temporary : "/tmp");
        if (!mkdtemp(directory))
            return cli_usage(&demo->cli, directory, "a writable directory", strerror(errno),
                "cannot make %s: %s (--cache names another place)", directory, strerror(errno));
        snprintf(demo->cache, sizeof demo->cache, "%s/cache.db", directory);
    }
    static const char *const SUFFIXES[] = {"", "-wal", "-shm"};
    for (size_t i = 0; i < sizeof SUFFIXES / sizeof *SUFFIXES; i++) {
        char path[4200];
        snprintf(path, sizeof path, "%s%s", demo->cache, SUFFIXES[i]);
        unlink(path);
    }
    return CLI_OK;
}

/* ---- engines and problems -------------------------------------------------------------------- */

static int open_engine(const struct demo *demo, const char *device, const char *cache,
    enum tfops_miss_policy policy, struct tfops_engine **ret_engine)
{
    struct cli_target target = {.device = device,
        .cache = cache,
        .plugins = &demo->options.common.plugins,
        .miss_policy = policy};
    return cli_engine_open(&demo->cli, &target, ret_engine);
}

int demo_problem(const struct demo *demo, const struct tfops_engine *engine, int64_t rows,
    const struct demo_model *model, struct tfops_problem *ret_problem)
{
    char rows_word[32], hidden_word[32];
    snprintf(rows_word, sizeof rows_word, "rows=%lld", (long long)rows);
    snprintf(hidden_word, sizeof hidden_word, "hidden=%lld", (long long)model->hidden);
    const char *words[] = {"rmsnorm", rows_word, hidden_word, "dtype=bf16"};
    struct cli_list list = {words, sizeof words / sizeof *words};
    struct cli_problems problems = {0};
    int code = cli_problems_load(&demo->cli, engine, &list, NULL, &problems);
    if (code == CLI_OK)
        *ret_problem = problems.items[0];
    cli_problems_release(&problems);
    return code;
}

/* ---- tuning ---------------------------------------------------------------------------------- */

static void on_candidate(void *user, const struct tfops_candidate *candidate)
{
    struct demo *demo = user;
    cli_sweep_add(&demo->sweep, candidate);
}

static void on_progress(void *user, enum tfops_tune_stage stage, uint32_t done, uint32_t total)
{
    static const char *const NAMES[] = {"compile", "measure", "confirm"};
    struct demo *demo = user;
    char text[64];
    snprintf(text, sizeof text, "%s %u/%u", NAMES[stage], done, total);
    cli_progress_show(&demo->progress, total ? (double)done / total : 0, text);
}

static int tune(struct demo *demo, struct tfops_engine *engine, const struct demo_model *model)
{
    struct tfops_problem problem;
    int code = demo_problem(demo, engine, DEMO_ROWS, model, &problem);
    if (code != CLI_OK)
        return code;
    struct tfops_tune_options options = {.size = sizeof options,
        .strategy = "exhaustive",
        .budget_s = demo->options.budget,
        .compile_only = !demo->gpu,
        .candidate = on_candidate,
        .progress = on_progress,
        .user = demo,
        .cancel = cli_cancel_flag()};
    struct tfops_tune_result result = {.size = sizeof result};
    printf("\nrmsnorm %d×%lld bf16 (%s), the whole space or %g s of it\n", DEMO_ROWS,
        (long long)model->hidden, model->name, options.budget_s);
    fflush(stdout);
    cli_sweep_init(&demo->sweep);
    cli_progress_start(&demo->progress, demo->options.progress);
    enum tfops_status status = tfops_tune(engine, &problem, &options, &result);
    cli_progress_clear(&demo->progress);
    char verdict[1536];
    cli_sweep_print(&demo->sweep, result.roof_ns, (size_t)demo->options.top);
    cli_sweep_verdict(&result, !demo->gpu, verdict, sizeof verdict);
    if (status == TFOPS_OK)
        printf("%s\n", verdict);
    cli_sweep_release(&demo->sweep);
    /* A plan serves every number of rows: what it needs beside the tuned one is compiled here. */
    if (status == TFOPS_OK)
        status = tfops_engine_warm(engine, &problem, 1);
    return status == TFOPS_OK ? CLI_OK : cli_fail_last(&demo->cli, status, "tuning");
}

/* ---- starts ---------------------------------------------------------------------------------- */

/* Without a GPU a start ends when every binary is there: nothing can be loaded. */
static int first_result(const struct demo *demo, struct tfops_engine *engine,
    const struct demo_model *model, struct start *start, bool check)
{
    struct tfops_problem problem;
    struct tfops_plan *plan = NULL;
    double ms = 0;
    int code = demo_problem(demo, engine, DEMO_ROWS, model, &problem);
    if (code != CLI_OK)
        return code;
    double began = cli_seconds();
    enum tfops_status status = tfops_prepare(engine, &problem, &plan);
    start->prepare_ms += (cli_seconds() - began) * 1e3;
    if (status != TFOPS_OK)
        return cli_fail_last(&demo->cli, status, "prepare");
    if (demo->gpu)
        code = demo_check_launch(demo, engine, &problem, model, &ms, check);
    start->launch_ms += ms;
    tfops_plan_release(plan);
    return code;
}

static int run_start(
    const struct demo *demo, const char *cache, struct start *ret_start, bool check)
{
    struct start start = {0};
    struct tfops_engine *engine = NULL;
    struct tfops_engine_stats stats = {.size = sizeof stats};
    double began = cli_seconds();
    int code = open_engine(demo, demo->device, cache, TFOPS_MISS_COMPILE, &engine);
    start.open_ms = (cli_seconds() - began) * 1e3;
    for (size_t i = 0; i < N_MODELS && code == CLI_OK; i++)
        code = first_result(demo, engine, &MODELS[i], &start, check);
    if (code == CLI_OK && tfops_engine_stats(engine, &stats) == TFOPS_OK)
        start.compiles = stats.compiles;
    tfops_engine_close(engine);
    *ret_start = start;
    return code;
}

static void print_start(const char *name, const struct start *start, bool gpu)
{
    printf("  %s  open %7.2f ms, prepare %7.2f ms, ", name, start->open_ms, start->prepare_ms);
    if (gpu)
        printf("first launches %6.2f ms, ", start->launch_ms);
    printf("%llu compiles\n", (unsigned long long)start->compiles);
}

/*
 * Cold: no cache at all. Warm: the cache that tuning left. An engine beside them keeps the CUDA
 * context: making one costs the same either way and would hide the difference.
 */
static int compare_starts(const struct demo *demo)
{
    struct start cold, warm;
    struct tfops_engine *beside = NULL;
    printf("\ncold and warm start, both problems%s\n",
        demo->gpu ? " (the CUDA context is there already)"
                  : " (for " DEMO_ARCH ", without the launch: no GPU)");
    int code = open_engine(demo, demo->device, demo->cache, TFOPS_MISS_GENERIC, &beside);
    if (code == CLI_OK)
        code = run_start(demo, "", &cold, false);
    if (code == CLI_OK)
        code = run_start(demo, demo->cache, &warm, true);
    tfops_engine_close(beside);
    if (code != CLI_OK)
        return code;
    print_start("cold", &cold, demo->gpu);
    print_start("warm", &warm, demo->gpu);
    if (warm.compiles == 0)
        return CLI_OK;
    struct tfops_error error;
    cli_error(&error, TFOPS_E_CACHE, demo->cache, "no compile", NULL,
        "the warm start compiled %llu kernels", (unsigned long long)warm.compiles);
    return cli_fail(&demo->cli, CLI_FAILED, &error);
}

/* ---- the story ------------------------------------------------------------------------------- */

static int tune_all(struct demo *demo)
{
    struct tfops_engine *engine = NULL;
    int code = open_engine(demo, demo->device, demo->cache, TFOPS_MISS_COMPILE, &engine);
    for (size_t i = 0; i < N_MODELS && code == CLI_OK; i++)
        code = tune(demo, engine, &MODELS[i]);
    tfops_engine_close(engine);
    return code;
}

static int tell(struct demo *demo)
{
    int code = tune_all(demo);
    if (code == CLI_OK)
        code = compare_starts(demo);
    if (code == CLI_OK)
        printf("\nresults\n");
    for (size_t i = 0; i < N_MODELS && code == CLI_OK; i++)
        code = demo_check_cpu(demo, &MODELS[i]);
    for (size_t i = 0; i < N_MODELS && code == CLI_OK && !demo->gpu; i++)
        code = demo_check_template(demo, &MODELS[i]);
    if (code != CLI_OK)
        return code;
    if (demo->gpu)
        printf("\nDone on the GPU: tuned, remembered, started again from the cache, verified.\n");
    else
        printf("\nDone without a GPU: compiled for " DEMO_ARCH ", started again without a compile, "
               "executed on the CPU and verified.\nNothing was measured: that needs a GPU.\n");
    printf("The cache is %s (try: tfops-cache list --binaries %s)\n", demo->cache, demo->cache);
    return CLI_OK;
}

static int run(struct demo *demo)
{
    char why[128] = "";
    demo->gpu = cli_gpu_present(why, sizeof why);
    if (demo->gpu) {
        snprintf(demo->device, sizeof demo->device, "cuda:0");
        printf("A GPU is here: RMSNorm is tuned and launched on it.\n");
    } else {
        cli_arch_device(DEMO_ARCH, demo->device);
        printf("No GPU here (%s): RMSNorm is compiled for " DEMO_ARCH " and executed on the CPU.\n",
            why);
    }
    int code = choose_cache(demo);
    if (code == CLI_OK)
        code = open_engine(demo, "cpu", "", TFOPS_MISS_GENERIC, &demo->reference);
    if (code != CLI_OK)
        return code;
    cli_cancel_install(CLI_CANCEL_KEEPS);
    code = tell(demo);
    tfops_engine_close(demo->reference);
    return code;
}

int main(int argc, char **argv)
{
    struct demo demo = {.options = {.common = CLI_COMMON_DEFAULTS, .budget = 20, .top = 16}};
    int code;
    cli_init(&demo.cli, "tfops-demo", argc, argv);
    if (cli_options_parse(&demo.cli, &PROGRAM, argc, argv, &demo.options.common, &code))
        code = run(&demo);
    cli_options_release(&PROGRAM, &demo.options.common);
    return cli_finish(&demo.cli, code);
}
