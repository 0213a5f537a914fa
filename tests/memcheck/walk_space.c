/*
 * Launches every operator's variants on a GPU at small sizes: generic ones, defaults, each tunable's
 * extremes, and a pairwise covering array over dtypes, options, shapes, alignment and tunables. Each
 * operand is an allocation of its exact size and outputs are not written before, so that
 * compute-sanitizer sees what is out of bounds and what is read before it is there (run.sh). Results
 * are judged too.
 *
 *   walk_space [--cache FILE] [--compile-only] [--op NAME,NAME…] [--shard I/N] [--full]
 *
 * --compile-only needs no GPU: it fills the cache for sm_90a, so that a walk does not compile.
 */
#include "base/error.h"
#include "build.h"
#include "engine_access.h"
#include "engine_state.h"
#include "generic.h"
#include "kernels/registry.h"
#include "launcher.h"
#include "problem.h"
#include "request.h"
#include "tests/support/emu_plan.h"
#include "tests/support/gpu_case.h"
#include "tests/support/test_support.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_ELEMENTS = 1 << 16, MANY_ROWS = 37, FEW_ROWS = 5, SKIPPED = 77 };

struct walk {
    struct tfops_engine *engine;
    struct engine_access access;
    const char *cache, *op;
    bool compile_only, full;
    unsigned shard, shards, passed, failed;
};

/* ---- one variant -------------------------------------------------------------------------------- */

/* Fewer where they are long. */
static int64_t rows_of(const struct tfops_problem *problem, int64_t wish)
{
    int64_t width = 1;
    for (size_t i = 0; i < problem->spec->n_dims; i++)
        if (!(problem->spec->dims[i].flags & (TFOPS_DIM_DYNAMIC | TFOPS_DIM_DERIVED)) &&
            problem->dims[i])
            width *= problem->dims[i];
    const int64_t most = width < MOST_ELEMENTS ? MOST_ELEMENTS / width : 1;
    const int64_t rows = wish < most ? wish : most;
    return rows < FEW_ROWS ? FEW_ROWS : rows;
}

static enum tfops_status find_binary(
    const struct walk *walk, const struct emu_variant *variant, struct binary *ret_binary)
{
    return variant->config.generic
               ? engine_generic_binary(walk->engine, &variant->problem, ret_binary)
               : build_binary(walk->engine, &variant->problem, &variant->config, RENDER_TUNED, true,
                     ret_binary);
}

static enum tfops_status launch(
    const struct walk *walk, const struct launcher *launcher, struct gpu_case *gcase)
{
    struct request request;
    struct driver_scope scope;
    const struct driver *driver = walk->access.driver;
    enum tfops_status status = request_bind(gcase->spec, &gcase->args, &request);
    if (!status)
        status = driver_enter(driver, walk->engine->context, &scope);
    if (status)
        return status;
    const struct tfops_launch_args args = {.problem = &request.problem,
        .config = &launcher->config,
        .operands = request.operands,
        .scalars = request.scalars,
        .workspace = gcase->args.workspace,
        .workspace_bytes = gcase->args.workspace_bytes};
    const char *call;
    const CUresult result = launcher_launch(launcher, driver, &args, NULL, &call);
    status = driver_error(driver, result, call, gcase->spec->name);
    driver_leave(driver, &scope);
    return status;
}

/* A launch of some rows of some values. */
static void try_once(struct walk *walk, const struct emu_variant *variant,
    const struct launcher *launcher, enum emulate_kind kind, int64_t rows)
{
    static struct gpu_case gcase;
    struct tfops_problem problem = variant->problem;
    const struct gpu_case_options options = {
        .kind = kind, .config = &variant->config, .apart = true};
    char text[GPU_CASE_TEXT_BYTES] = "", name[GPU_CASE_TEXT_BYTES], config[512];
    problem_set_extent(&problem, rows_of(&problem, rows));
    gpu_case_make(&gcase, walk->engine, &problem, &options);
    const enum tfops_status status = launch(walk, launcher, &gcase);
    const bool right = !status && gpu_case_right(&gcase, text);
    walk->passed += right;
    walk->failed += !right;
    if (!right) {
        tfops_problem_format(&problem, name, sizeof name);
        tfops_config_format(problem.spec, &variant->config, config, sizeof config);
        printf("%s: %s: %s: %s\n", name, config, emulate_kind_name(kind),
            status ? error_message() : text);
    }
    gpu_case_free(&gcase);
}

static void try_variant(struct walk *walk, const struct emu_variant *variant)
{
    struct binary binary;
    struct launcher launcher;
    enum tfops_status status = find_binary(walk, variant, &binary);
    if (!status && !walk->compile_only) {
        launcher_init(&launcher, walk->access.driver, walk->access.device, &variant->problem,
            &variant->config);
        status = module_cache_load(walk->engine, &binary, &launcher.function);
    }
    if (status) {
        printf("%s: %s\n", variant->problem.spec->name, error_message());
        walk->failed++;
        return;
    }
    binary_release(walk->access.env, &binary);
    walk->passed += walk->compile_only;
    if (walk->compile_only)
        return;
    try_once(walk, variant, &launcher, EMULATE_PLAIN, MANY_ROWS);
    try_once(walk, variant, &launcher, EMULATE_SPECIAL, FEW_ROWS);
}

/* ---- the walk ----------------------------------------------------------------------------------- */

static void walk_operator(struct walk *walk, const struct tfops_spec *spec, unsigned *number)
{
    struct emu_plan plan;
    const struct emu_share share = {
        .problems = walk->full ? 48 : 12, .most = walk->full ? SIZE_MAX : 24, .extremes = true};
    emu_plan_make(spec, tfops_engine_device(walk->engine), &share, &plan);
    for (size_t i = 0; i < plan.n; i++, ++*number)
        if (*number % walk->shards == walk->shard)
            try_variant(walk, &plan.variants[i]);
    printf("%s: %zu variants in all shards\n", spec->name, plan.n);
    fflush(stdout);
    emu_plan_release(&plan);
}

/* --op: names with commas between them. */
static bool is_wanted(const struct walk *walk, const struct tfops_spec *spec)
{
    const size_t length = strlen(spec->name);
    for (const char *at = walk->op; at; at = strchr(at, ',')) {
        at += *at == ',';
        if (!strncmp(at, spec->name, length) && (!at[length] || at[length] == ','))
            return true;
    }
    return !walk->op;
}

/* A name that no operator has would walk nothing, and pass. */
static void check_names(const struct walk *walk)
{
    size_t names = walk->op != NULL, found = 0;
    for (const char *at = walk->op; at && *at; at++)
        names += *at == ',';
    for (size_t i = 0; walk->op && i < registry_count; i++)
        found += is_wanted(walk, registry_specs[i]);
    if (found == names)
        return;
    fprintf(stderr, "walk_space: --op %s: expected names of operators, %zu of %zu are\n", walk->op,
        found, names);
    exit(2);
}

static void usage(void)
{
    fprintf(stderr,
        "usage: walk_space [--cache FILE] [--compile-only] [--op NAME,NAME…] [--shard I/N] "
        "[--full]\n");
    exit(2);
}

static void parse(struct walk *walk, int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        const bool more = i + 1 < argc;
        if (!strcmp(argv[i], "--compile-only"))
            walk->compile_only = true;
        else if (!strcmp(argv[i], "--full"))
            walk->full = true;
        else if (!strcmp(argv[i], "--cache") && more)
            walk->cache = argv[++i];
        else if (!strcmp(argv[i], "--op") && more)
            walk->op = argv[++i];
        else if (!strcmp(argv[i], "--shard") && more &&
                 sscanf(argv[i + 1], "%u/%u", &walk->shard, &walk->shards) == 2 &&
                 walk->shard < walk->shards)
            i++;
        else
            usage();
    }
    check_names(walk);
}

int main(int argc, char **argv)
{
    struct walk walk = {.shards = 1};
    unsigned number = 0;
    parse(&walk, argc, argv);
    const struct tfops_engine_options options = {.size = sizeof options,
        .device = walk.compile_only ? "arch:sm_90a" : "cuda:0",
        .cache_path = walk.cache ? walk.cache : ""};
    if (!walk.compile_only && !support_have_gpu()) {
        printf("no GPU\n");
        return SKIPPED;
    }
    if (tfops_engine_open(&options, &walk.engine) || engine_access(walk.engine, &walk.access)) {
        fprintf(stderr, "%s\n", error_message());
        return 1;
    }
    for (size_t i = 0; i < registry_count; i++)
        if (is_wanted(&walk, registry_specs[i]))
            walk_operator(&walk, registry_specs[i], &number);
    tfops_engine_close(walk.engine);
    printf("%u passed, %u failed, 0 skipped\n", walk.passed, walk.failed);
    return walk.failed != 0;
}
