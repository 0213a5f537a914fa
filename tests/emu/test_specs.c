/*
 * Executes every operator's template without a GPU: renders variants as the engine does, builds
 * them for the host, runs them on the emulated machine and compares with the CPU reference.
 *
 *   test_specs [--quick | --full] [--mode trace|check|asan|tsan] [--op NAME] [--arch NAME] [--dry-run]
 *              [--journal FILE] [--verbose] [--keep]
 *
 * Two modes run by default: trace watches every access (races, bounds, uninitialised shared memory),
 * asan is AddressSanitizer with UBSan. --quick (TFOPS_EMU=quick) is what a CI run can afford,
 * --full (TFOPS_EMU=full) ends when every pair of values was run. Each operator is run as for sm_90a
 * and, in less variants, as for architectures without clusters and TMA. Which variants:
 * tests/support/emu_plan.c; --dry-run only lists them. With a journal (TFOPS_EMU_JOURNAL) what has passed is not
 * run again by the same program: a full run takes hours. Ends with the count of runs.
 */
#include "base/error.h"
#include "device.h"
#include "kernels/registry.h"
#include "problem.h"
#include "tests/support/emu_crew.h"
#include "tests/support/emu_journal.h"
#include "tests/support/emu_plan.h"
#include "tests/support/emu_shape.h"
#include "tests/support/test_support.h"
#include "tuner/emulate_build.h"
#include "tuner/emulate_run.h"
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tfops/plan.h>
#include <unistd.h>

/* Blocks that walk over rows do so with few of them on a device of few SMs. */
enum { FEW_SMS = 4, BATCH = 8, CHILD_SECONDS = 900 };

/* The first is the main one; code and spaces differ before it, and before sm_89. */
static const char *const ARCHS[] = {"sm_90a", "sm_80", "sm_89"};
enum { N_ARCHS = sizeof ARCHS / sizeof *ARCHS };

/* How much is run, for the main architecture and for each so-many-th of the others: each so-many-th
 * variant by AddressSanitizer (its compiler is slow; 0: none), each so-many-th of a variant's trials. */
static const struct level {
    const char *name;
    struct emu_share main, other;
    size_t other_every, asan_every, other_asan_every, trial_every;
    int64_t most_products; /* of a trial */
} LEVELS[] = {
    {"quick", {.problems = 2, .most = 2}, {.problems = 1, .most = 1}, 8, 16, 0, 2, 1 << 25},
    {"share", {.problems = 16, .most = 24, .extremes = true}, {.problems = 4, .most = 6}, 1, 1, 4,
        1, 1 << 26},
    {"full", {.problems = 48, .most = SIZE_MAX, .extremes = true},
        {.problems = 16, .most = SIZE_MAX, .extremes = true}, 1, 1, 4, 1, 1 << 26},
};
enum { QUICK, SHARE, FULL, N_LEVELS };

/* What variants are rendered for; `small` is what they run on. */
struct target {
    struct tfops_device device, small;
};

struct batch {
    char name[EMU_JOURNAL_NAME_BYTES];
    const struct target *target;
    const struct emu_variant *variants; /* each `step`-th */
    size_t n, step;
    enum emulate_mode mode;
};

struct run {
    char dir[SUPPORT_PATH_BYTES];
    struct target targets[N_ARCHS];
    struct batch *batches;
    size_t n_batches;
    unsigned known; /* runs that the journal has */
    struct emu_journal journal;
    const struct level *level;
    bool verbose, keep, dry, modes[EMULATE_MODES];
    const char *op, *arch, *journal_path;
};

/* ---- one batch, in a child --------------------------------------------------------------------- */

/* A kind of operands under an order of threads and of copies. */
static const struct trial {
    enum emulate_kind kind;
    enum emu_order order;
    bool late_copies;
    enum emu_rows rows;
} TRIALS[] = {
    {EMULATE_PLAIN, EMU_REVERSE, true, EMU_MANY_ROWS},
    {EMULATE_SPECIAL, EMU_WARP_DEPTH, false, EMU_FIVE_ROWS},
    {EMULATE_ALIAS, EMU_RANDOM, true, EMU_THREE_ROWS},
    {EMULATE_PLAIN, EMU_WARP_REVERSE, true, EMU_ONE_ROW},
};
enum { N_TRIALS = sizeof TRIALS / sizeof *TRIALS };

static const char *mode_name(enum emulate_mode mode)
{
    static const char *const NAMES[EMULATE_MODES] = {"trace", "check", "asan", "tsan"};
    return NAMES[mode];
}

static void describe(const struct batch *batch, const struct emu_variant *variant,
    const struct tfops_problem *problem, const struct trial *trial, char *text, size_t bytes)
{
    static const char *const ORDERS[EMU_ORDERS] = {
        "forward", "reverse", "warp by warp", "warp by warp from the last", "random order"};
    char config[512], name[512];
    tfops_problem_format(problem, name, sizeof name);
    tfops_config_format(problem->spec, &variant->config, config, sizeof config);
    snprintf(text, bytes, "%s: %s: %s, %s, %s, %s", name, config, batch->target->device.arch,
        mode_name(batch->mode), emulate_kind_name(trial->kind), ORDERS[trial->order]);
}

static void try_once(const struct run *run, const struct target *target,
    const struct emulate_library *library, size_t entry, const struct emu_variant *variant,
    const struct tfops_problem *problem, const struct trial *trial,
    volatile struct crew_progress *progress)
{
    struct emulate_case ecase;
    struct emu_report report = {0};
    struct emulate_verdict verdict = {0};
    const struct emulate_schedule schedule = {
        .order = trial->order, .seed = 1, .late_copies = trial->late_copies};
    const char *about = (const char *)(unsigned long)progress->current;
    enum tfops_status status = emulate_case_make(NULL, problem, trial->kind, 1, &ecase);
    if (!status) {
        status = emulate_run(
            library, entry, &target->small, &variant->config, &ecase, &schedule, &report);
        if (!status && !report.findings)
            emulate_case_judge(&ecase, &verdict);
        emulate_case_release(&ecase);
    }
    if (status || report.findings || verdict.wrong) {
        fprintf(stderr, "%s:\n  %s\n", about,
            status            ? error_message()
            : report.findings ? report.text
                              : verdict.text);
        progress->failed++;
        return;
    }
    if (run->verbose)
        printf("%s: error %.2e, %llu switches\n", about, verdict.error,
            (unsigned long long)report.switches);
    progress->passed++;
}

/* Renders; variants with the same source share an entry. */
static size_t render(const struct batch *batch, struct build_job *jobs, size_t entries[BATCH])
{
    size_t n = 0;
    for (size_t i = 0; i < batch->n; i++) {
        struct build_job job;
        const struct emu_variant *variant = &batch->variants[i * batch->step];
        if (render_job(NULL, &variant->problem, &batch->target->device, &variant->config,
                RENDER_TUNED, 0, &job)) {
            fprintf(stderr, "render: %s\n", error_message());
            _exit(1);
        }
        entries[i] = 0;
        while (entries[i] < n && strcmp(jobs[entries[i]].source, job.source) != 0)
            entries[i]++;
        if (entries[i] < n)
            build_job_release(NULL, &job);
        else
            jobs[n++] = job;
    }
    return n;
}

static void run_batch(
    void *user, size_t number, size_t first, volatile struct crew_progress *progress)
{
    const struct run *run = user;
    const struct batch *batch = &run->batches[number];
    const struct emulate_builder builder = {.dir = run->dir, .mode = batch->mode};
    struct build_job jobs[BATCH];
    size_t entries[BATCH] = {0}, step = 0;
    char path[EMULATE_PATH_BYTES], about[1536];
    struct emulate_library library;
    crew_step(progress, batch->n * N_TRIALS, batch->name);
    size_t n = render(batch, jobs, entries);
    const struct emulate_batch host = {
        .jobs = jobs, .n = n, .cc = batch->target->device.cc, .name = batch->name};
    if ((first == 0 && emulate_build(&builder, &host, path)) ||
        (snprintf(path, sizeof path, "%s/%s-%s.so", run->dir, batch->name, mode_name(batch->mode)),
            emulate_open(path, &library))) {
        fprintf(stderr, "%s: %s\n", batch->variants[0].problem.spec->name, error_message());
        progress->failed++;
        return;
    }
    for (size_t i = 0; i < batch->n; i++)
        for (size_t t = 0; t < N_TRIALS; t++, step++) {
            const struct emu_variant *variant = &batch->variants[i * batch->step];
            struct tfops_problem problem = variant->problem;
            problem_set_extent(
                &problem, emu_shape_rows(&problem, TRIALS[t].rows, run->level->most_products));
            if (step < first || (i + t) % run->level->trial_every ||
                (TRIALS[t].kind == EMULATE_ALIAS && !emulate_case_can_alias(&problem)))
                continue;
            describe(batch, variant, &problem, &TRIALS[t], about, sizeof about);
            crew_step(progress, step, about);
            try_once(
                run, batch->target, &library, entries[i], variant, &problem, &TRIALS[t], progress);
        }
    for (size_t i = 0; i < n; i++)
        build_job_release(NULL, &jobs[i]);
    emulate_close(&library);
    if (!run->keep)
        unlink(path);
    if (first == 0 && !progress->failed)
        emu_journal_add(&run->journal, batch->name, progress->passed);
}

/* ---- what there is to do ----------------------------------------------------------------------- */

static void add_batch(struct run *run, const struct batch *batch)
{
    unsigned passed;
    if (emu_journal_find(&run->journal, batch->name, &passed)) {
        run->known += passed;
        return;
    }
    run->batches = realloc(run->batches, (run->n_batches + 1) * sizeof *run->batches);
    if (!run->batches)
        exit(1);
    run->batches[run->n_batches++] = *batch;
}

static void add_batches(
    struct run *run, const struct target *target, const struct emu_plan *plan, size_t asan_every)
{
    for (int mode = 0; mode < EMULATE_MODES; mode++) {
        size_t step = mode == EMULATE_ASAN ? asan_every : 1, n = 0;
        for (size_t at = 0; run->modes[mode] && step && at < plan->n; at += n * step) {
            n = (plan->n - at + step - 1) / step;
            n = n < BATCH ? n : BATCH;
            struct batch batch = {.target = target,
                .variants = plan->variants + at,
                .n = n,
                .step = step,
                .mode = (enum emulate_mode)mode};
            snprintf(batch.name, sizeof batch.name, "%s-%s-%s-%zu",
                plan->variants[at].problem.spec->name, target->device.arch, mode_name(batch.mode),
                at);
            add_batch(run, &batch);
        }
    }
}

static void list(const struct emu_plan *plan)
{
    for (size_t i = 0; i < plan->n; i++) {
        char config[512], name[512];
        tfops_problem_format(&plan->variants[i].problem, name, sizeof name);
        tfops_config_format(
            plan->variants[i].problem.spec, &plan->variants[i].config, config, sizeof config);
        printf("  %s: %s\n", name, config);
    }
}

/* Plans, an operator as for an architecture each: pure work, which threads share. */
struct planning {
    const struct run *run;
    struct emu_plan *plans;
    atomic_size_t next;
};

static size_t n_plans(void)
{
    return registry_count * N_ARCHS;
}

static bool is_wanted(const struct run *run, size_t plan)
{
    const struct tfops_spec *spec = registry_specs[plan / N_ARCHS];
    const size_t op = plan / N_ARCHS, arch = plan % N_ARCHS;
    char reason[TFOPS_REASON_BYTES];
    if ((run->op && strcmp(run->op, spec->name) != 0) ||
        (run->arch && strcmp(run->arch, ARCHS[arch]) != 0) ||
        (arch && (op + arch) % run->level->other_every != 0 && !run->arch))
        return false;
    return !spec->supports || spec->supports(spec->user, ARCHS[arch], reason);
}

static void *plan_some(void *user)
{
    struct planning *planning = user;
    const struct run *run = planning->run;
    for (size_t i = 0; (i = atomic_fetch_add(&planning->next, 1)) < n_plans();)
        if (is_wanted(run, i))
            emu_plan_make(registry_specs[i / N_ARCHS], &run->targets[i % N_ARCHS].device,
                i % N_ARCHS ? &run->level->other : &run->level->main, &planning->plans[i]);
    return NULL;
}

static void make_plans(const struct run *run, struct emu_plan *plans, size_t cpus)
{
    enum { MOST_THREADS = 64 };
    pthread_t threads[MOST_THREADS];
    struct planning planning = {.run = run, .plans = plans};
    size_t n = 0;
    while (n + 1 < cpus && n < MOST_THREADS &&
           !pthread_create(&threads[n], NULL, plan_some, &planning))
        n++;
    plan_some(&planning);
    while (n)
        pthread_join(threads[--n], NULL);
}

/* One plan's batches, or what it is. */
static void take_plan(struct run *run, size_t number, const struct emu_plan *plan)
{
    const size_t arch = number % N_ARCHS;
    printf("%s as for %s: %zu variants, %zu of %zu pairs, %zu of %zu values of tunables\n",
        registry_specs[number / N_ARCHS]->name, ARCHS[arch], plan->n, plan->covered.pairs,
        plan->all.pairs, plan->covered.values, plan->all.values);
    if (run->dry)
        list(plan);
    else
        add_batches(run, &run->targets[arch], plan,
            arch ? run->level->other_asan_every : run->level->asan_every);
}

static void set_targets(struct run *run)
{
    for (size_t i = 0; i < N_ARCHS; i++) {
        struct target *target = &run->targets[i];
        if (device_nominal(ARCHS[i], &target->device))
            exit(1);
        target->small = target->device;
        target->small.sms = FEW_SMS;
    }
}

static void build_runtimes(const struct run *run)
{
    for (int mode = 0; mode < EMULATE_MODES; mode++) {
        const struct emulate_builder builder = {.dir = run->dir, .mode = (enum emulate_mode)mode};
        if (run->modes[mode] && emulate_build_runtime(&builder)) {
            fprintf(stderr, "%s\n", error_message());
            exit(1);
        }
    }
}

/* ---- the program ------------------------------------------------------------------------------- */

static void usage(void)
{
    fprintf(stderr,
        "usage: test_specs [--quick | --full] [--mode trace|check|asan|tsan] [--op NAME] "
        "[--arch NAME] [--dry-run] [--journal FILE] [--verbose] [--keep]\n");
    exit(2);
}

/* A name that nothing has would run nothing, and pass. */
static void refuse_name(const char *what, const char *name)
{
    fprintf(stderr, "test_specs: %s: unknown name '%s'\n", what, name);
    exit(2);
}

static void check_names(const struct run *run, const char *level, const char *mode)
{
    bool has_op = !run->op, has_arch = !run->arch, has_level = !level, has_mode = !mode;
    for (size_t i = 0; i < registry_count; i++)
        has_op = has_op || !strcmp(run->op, registry_specs[i]->name);
    for (size_t i = 0; i < N_ARCHS; i++)
        has_arch = has_arch || !strcmp(run->arch, ARCHS[i]);
    for (size_t i = 0; i < N_LEVELS; i++)
        has_level = has_level || !strcmp(level, LEVELS[i].name);
    for (int i = 0; i < EMULATE_MODES; i++)
        has_mode = has_mode || !strcmp(mode, mode_name((enum emulate_mode)i));
    if (!has_op)
        refuse_name("--op", run->op);
    if (!has_arch)
        refuse_name("--arch", run->arch);
    if (!has_level)
        refuse_name("TFOPS_EMU", level);
    if (!has_mode)
        refuse_name("--mode", mode);
}

static void parse(struct run *run, int argc, char **argv)
{
#ifdef __SANITIZE_THREAD__
    const char *only = "tsan"; /* sanitizers exclude each other */
#else
    const char *only = NULL;
#endif
    const char *named = getenv("TFOPS_EMU");
    run->journal_path = getenv("TFOPS_EMU_JOURNAL");
    run->level = &LEVELS[SHARE];
    for (size_t i = 0; i < N_LEVELS; i++)
        if (named && !strcmp(named, LEVELS[i].name))
            run->level = &LEVELS[i];
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--full"))
            run->level = &LEVELS[FULL];
        else if (!strcmp(argv[i], "--quick"))
            run->level = &LEVELS[QUICK];
        else if (!strcmp(argv[i], "--verbose"))
            run->verbose = true;
        else if (!strcmp(argv[i], "--keep"))
            run->keep = true;
        else if (!strcmp(argv[i], "--dry-run"))
            run->dry = true;
        else if (!strcmp(argv[i], "--op") && i + 1 < argc)
            run->op = argv[++i];
        else if (!strcmp(argv[i], "--arch") && i + 1 < argc)
            run->arch = argv[++i];
        else if (!strcmp(argv[i], "--journal") && i + 1 < argc)
            run->journal_path = argv[++i];
        else if (!strcmp(argv[i], "--mode") && i + 1 < argc)
            only = argv[++i];
        else
            usage();
    }
    check_names(run, named && *named ? named : NULL, only);
    for (int mode = 0; mode < EMULATE_MODES; mode++)
        run->modes[mode] = only ? !strcmp(only, mode_name((enum emulate_mode)mode))
                                : mode == EMULATE_TRACE || mode == EMULATE_ASAN;
}

int main(int argc, char **argv)
{
    struct run run = {.level = NULL};
    parse(&run, argc, argv);
    support_dir_make(run.dir);
    const size_t cpus = (size_t)sysconf(_SC_NPROCESSORS_ONLN);
    struct emu_plan *plans = calloc(n_plans(), sizeof *plans);
    if (!plans)
        return 1;
    set_targets(&run);
    emu_journal_open(&run.journal, run.dry ? NULL : run.journal_path, run.level->name);
    make_plans(&run, plans, cpus);
    /* The plans' variants stay for the batches that point at them. */
    for (size_t i = 0; i < n_plans(); i++)
        if (is_wanted(&run, i))
            take_plan(&run, i, &plans[i]);
    if (run.n_batches)
        build_runtimes(&run);
    struct crew_result result =
        crew_run(run.n_batches, (unsigned)cpus, CHILD_SECONDS, run_batch, &run);
    if (run.keep)
        printf("sources and objects are in %s\n", run.dir);
    else
        support_dir_remove(run.dir);
    for (size_t i = 0; i < n_plans(); i++)
        emu_plan_release(&plans[i]);
    free(plans);
    free(run.batches);
    if (run.known)
        printf("%u of the runs passed before: %s\n", run.known, run.journal_path);
    printf("%u passed, %u failed, 0 skipped\n", run.known + result.passed, result.failed);
    return result.failed != 0;
}
