/*
 * Compiles every operator for every architecture and prints one line each: the worst of registers,
 * spills and shared memory over what was compiled, and the mean milliseconds. Nothing may fail to
 * compile and no default may spill. The default config and the generic variant for every dtype, and
 * each tunable at its extremes around the default; with --full every config of the space for one
 * problem of each dtype; with --quick each config for sm_90a and for one other architecture.
 *
 *   tfops-check-arch --random N [SEED [OP]]   the defaults of N problems by chance of each operator, or of one, for
 *                                             sm_90a, and of a few for the others
 */
#include "base/error.h"
#include "compile.h"
#include "device.h"
#include "kernels/registry.h"
#include "nvrtc.h"
#include "random_problem.h"
#include "shapes.h"
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <tfops/plan.h>
#include <unistd.h>

enum depth { QUICK, CORNERS, FULL, RANDOM };

struct plan {
    enum depth depth;
    unsigned problems; /* RANDOM: of an operator */
    uint64_t seed;
    const char *op; /* the only one, or NULL */
};

struct tally {
    size_t step, share, seen; /* of what is seen, each `step`-th from `share` on is compiled */
    unsigned n, failed, disqualified, default_spills;
    unsigned registers, spill_bytes, smem_bytes;
    double ms;
};

static void compile_one(const struct nvrtc *nvrtc, const struct tfops_problem *problem,
    const struct tfops_device *device, const struct tfops_config *config, bool is_default,
    struct tally *tally)
{
    struct build_job job;
    struct compiled compiled = {0};
    if (tally->seen++ % tally->step != tally->share)
        return;
    tally->n++;
    if (render_job(NULL, problem, device, config, RENDER_TUNED, nvrtc->version, &job)) {
        tally->failed++;
        fprintf(stderr, "%s %s: %s\n", problem->spec->name, device->arch, error_message());
        return;
    }
    if (compile_job(NULL, nvrtc, &job, false, &compiled)) {
        char text[640];
        tfops_problem_format(problem, text, sizeof text);
        fprintf(stderr, "%s %s: %s\n  %s\n", text, device->arch, error_message(), job.config);
        tally->failed++;
    } else {
        tally->ms += compiled.ms;
        tally->disqualified += compiled.disqualified[0] != '\0';
        if (compiled.registers > tally->registers)
            tally->registers = compiled.registers;
        if (compiled.spill_bytes > tally->spill_bytes)
            tally->spill_bytes = compiled.spill_bytes;
        if (job.geometry.smem_bytes > tally->smem_bytes)
            tally->smem_bytes = job.geometry.smem_bytes;
        if (is_default && compiled.spill_bytes) {
            char text[640];
            tfops_problem_format(problem, text, sizeof text);
            tally->default_spills++;
            fprintf(stderr, "%s %s: the default spills %u bytes: %s\n", text, device->arch,
                compiled.spill_bytes, job.config);
        }
    }
    compiled_release(NULL, &compiled);
    build_job_release(NULL, &job);
}

static bool allowed(const struct tfops_problem *problem, const struct tfops_device *device,
    const struct tfops_config *config)
{
    char reason[TFOPS_REASON_BYTES];
    const struct tfops_spec *spec = problem->spec;
    return !spec->constraint || spec->constraint(spec->user, problem, device, config, reason);
}

/* Each tunable at its least and greatest value that the constraint admits beside the default's. */
static void compile_extremes(const struct nvrtc *nvrtc, const struct tfops_problem *problem,
    const struct tfops_device *device, const struct tfops_config *base, struct tally *tally)
{
    const struct tfops_spec *spec = problem->spec;
    for (size_t i = 0; i < spec->n_tunables; i++) {
        const struct tfops_tunable_spec *tunable = &spec->tunables[i];
        for (int end = 0; end < 2; end++) {
            struct tfops_config config = *base;
            for (size_t k = 0; k < tunable->n_values; k++) {
                config.values[i] = tunable->values[end ? tunable->n_values - 1 - k : k];
                if (allowed(problem, device, &config))
                    break;
            }
            if (config.values[i] != base->values[i] && allowed(problem, device, &config))
                compile_one(nvrtc, problem, device, &config, false, tally);
        }
    }
}

/* Every config, by counting through the tunables. */
static void compile_all(const struct nvrtc *nvrtc, const struct tfops_problem *problem,
    const struct tfops_device *device, struct tally *tally)
{
    const struct tfops_spec *spec = problem->spec;
    size_t at[TFOPS_MAX_TUNABLES] = {0};
    for (bool more = spec->n_tunables > 0; more;) {
        struct tfops_config config = {0};
        for (size_t i = 0; i < spec->n_tunables; i++)
            config.values[i] = spec->tunables[i].values[at[i]];
        if (allowed(problem, device, &config))
            compile_one(nvrtc, problem, device, &config, false, tally);
        more = false;
        for (size_t i = spec->n_tunables; i-- > 0 && !more;) {
            more = ++at[i] < spec->tunables[i].n_values;
            if (!more)
                at[i] = 0;
        }
    }
}

/* A typical problem: each static dimension at a width or at what its name asks for, in its range. */
enum { WIDE, ODD, SHORT, LONG, WIDTHS_CHECKED };
static void typical(struct tfops_problem *problem, int64_t rows, size_t shape)
{
    static const int64_t WIDTHS[] = {[WIDE] = 4096, [ODD] = 4095, [SHORT] = 128, [LONG] = 65536};
    const struct tfops_spec *spec = problem->spec;
    for (size_t i = 0; i < spec->n_dims; i++) {
        const struct tfops_dim_spec *dim = &spec->dims[i];
        bool at_run_time = dim->flags & (TFOPS_DIM_DYNAMIC | TFOPS_DIM_FREE);
        int64_t wish = at_run_time ? rows : shape_extent(dim->name, shape, WIDTHS[shape]);
        problem->dims[i] = wish < dim->min ? dim->min : wish > dim->max ? dim->max : wish;
    }
}

/* With every optional operand, where the operator takes them together; else with none. */
static bool complete(struct tfops_problem *problem, bool all)
{
    struct tfops_problem with = *problem;
    with.present = (1u << problem->spec->n_operands) - 1;
    if (all && !tfops_problem_check(&with)) {
        *problem = with;
        return true;
    }
    return !tfops_problem_check(problem);
}

static void check_dtype(const struct nvrtc *nvrtc, const struct tfops_spec *spec,
    const struct tfops_device *device, int dtype, bool full, struct tally *tally)
{
    for (size_t i = 0; i < WIDTHS_CHECKED; i++) {
        struct tfops_problem problem;
        struct tfops_config config = {0};
        if (tfops_problem_init(spec, &problem))
            exit(1);
        problem.dtypes[0] = (uint8_t)dtype;
        typical(&problem, i == WIDE ? 16384 : 64, i);
        if (!complete(&problem, i == ODD))
            continue; /* a width the operator does not take */
        if (spec->default_config)
            spec->default_config(spec->user, &problem, device, &config);
        compile_one(nvrtc, &problem, device, &config, true, tally);
        if (i == WIDE && dtype == __builtin_ctz(spec->dtypes[0].allowed & ~2u)) {
            if (full)
                compile_all(nvrtc, &problem, device, tally);
            else
                compile_extremes(nvrtc, &problem, device, &config, tally);
        }
    }
}

static void check_random(const struct nvrtc *nvrtc, const struct tfops_spec *spec,
    const struct tfops_device *device, const struct plan *plan, struct tally *tally)
{
    enum { SHARE_OF_OTHERS = 8 };
    const bool measured = !strcmp(device->arch, "sm_90a");
    uint64_t seed = plan->seed;
    for (unsigned i = 0; i < plan->problems / (measured ? 1 : SHARE_OF_OTHERS); i++) {
        struct tfops_problem problem;
        struct tfops_config config = {0};
        if (!random_problem(spec, &seed, &problem)) {
            fprintf(stderr, "%s: no problem by chance\n", spec->name);
            tally->failed++;
            return;
        }
        if (spec->default_config)
            spec->default_config(spec->user, &problem, device, &config);
        compile_one(nvrtc, &problem, device, &config, true, tally);
    }
}

/* sm_90a, the one that is measured, compiles all; the others share it out among themselves. */
static struct tally begin(const char *arch, enum depth depth)
{
    struct tally tally = {.step = 1};
    if (depth != QUICK || !strcmp(arch, "sm_90a"))
        return tally;
    tally.step = tfops_arch_count() - 1;
    for (size_t i = 0; strcmp(tfops_arch_name(i), arch); i++)
        tally.share += strcmp(tfops_arch_name(i), "sm_90a") != 0;
    return tally;
}

static bool check(const struct nvrtc *nvrtc, const struct tfops_spec *spec,
    const struct tfops_device *device, const struct plan *plan)
{
    char reason[TFOPS_REASON_BYTES] = "";
    struct tally tally = begin(device->arch, plan->depth);
    if (spec->supports && !spec->supports(spec->user, device->arch, reason)) {
        printf("%s %s unsupported (%s)\n", spec->name, device->arch, reason);
        return true;
    }
    if (plan->depth == RANDOM)
        check_random(nvrtc, spec, device, plan, &tally);
    for (int dtype = 1; plan->depth != RANDOM && dtype < TFOPS_DTYPE_COUNT; dtype++)
        if (spec->dtypes[0].allowed >> dtype & 1)
            check_dtype(nvrtc, spec, device, dtype, plan->depth == FULL, &tally);
    if (spec->generic_body && plan->depth != RANDOM) {
        struct tfops_problem problem;
        const struct tfops_config generic = {.generic = true};
        if (!tfops_problem_init(spec, &problem))
            compile_one(nvrtc, &problem, device, &generic, true, &tally);
    }
    printf("%s %s configs=%u registers=%u spills=%u smem=%u ms=%.1f disqualified=%u failed=%u\n",
        spec->name, device->arch, tally.n, tally.registers, tally.spill_bytes, tally.smem_bytes,
        tally.n ? tally.ms / tally.n : 0, tally.disqualified, tally.failed);
    fflush(stdout);
    return !tally.failed && !tally.default_spills;
}

/* ---- all of them, shared out among processes ------------------------------------------------- */

/* One operator on one architecture is a unit. In memory that the processes share. */
struct progress {
    atomic_size_t next;
    atomic_uint passed, failed;
};

static int work(struct progress *progress, const struct plan *plan)
{
    struct nvrtc nvrtc;
    if (nvrtc_open(NULL, 0, &nvrtc)) {
        fprintf(stderr, "check-arch: %s\n", error_message());
        return 1;
    }
    const size_t n = registry_count * tfops_arch_count();
    for (size_t unit; (unit = atomic_fetch_add(&progress->next, 1)) < n;) {
        struct tfops_device device;
        const struct tfops_spec *spec = registry_specs[unit / tfops_arch_count()];
        if (plan->op && strcmp(plan->op, spec->name))
            continue;
        bool right = !device_nominal(tfops_arch_name(unit % tfops_arch_count()), &device) &&
                     check(&nvrtc, spec, &device, plan);
        atomic_fetch_add(right ? &progress->passed : &progress->failed, 1);
    }
    nvrtc_close(&nvrtc);
    return 0;
}

static bool has_nvrtc(void)
{
    struct nvrtc nvrtc;
    if (nvrtc_open(NULL, 0, &nvrtc))
        return false;
    nvrtc_close(&nvrtc);
    return true;
}

/* A process that dies takes its unit with it: one more that failed. */
static void wait_for(long children, struct progress *progress)
{
    int status;
    while (children-- > 0)
        if (wait(&status) < 0 || status)
            atomic_fetch_add(&progress->failed, 1);
}

static bool is_operator(const char *name)
{
    for (size_t i = 0; i < registry_count; i++)
        if (!strcmp(registry_specs[i]->name, name))
            return true;
    return false;
}

/* A whole number, in decimal. */
static bool read_number(const char *text, uint64_t *ret_number)
{
    char *end;
    *ret_number = strtoull(text, &end, 10);
    return text[0] >= '0' && text[0] <= '9' && !*end;
}

static bool read_random(int argc, char **argv, struct plan *ret_plan)
{
    uint64_t problems = 64, seed = 0;
    const char *op = argc > 4 ? argv[4] : NULL;
    if (argc > 5 || (argc > 2 && !read_number(argv[2], &problems)) ||
        (argc > 3 && !read_number(argv[3], &seed)) || (op && !is_operator(op)))
        return false;
    *ret_plan = (struct plan){RANDOM, (unsigned)problems, 2 * seed + 1, op};
    return problems > 0 && problems <= 1 << 20;
}

static bool read_plan(int argc, char **argv, struct plan *ret_plan)
{
    *ret_plan = (struct plan){.depth = CORNERS};
    if (argc > 1 && !strcmp(argv[1], "--random"))
        return read_random(argc, argv, ret_plan);
    if (argc == 2 && (!strcmp(argv[1], "--full") || !strcmp(argv[1], "--quick")))
        ret_plan->depth = !strcmp(argv[1], "--full") ? FULL : QUICK;
    return argc == 1 || ret_plan->depth != CORNERS;
}

int main(int argc, char **argv)
{
    struct plan plan;
    if (!read_plan(argc, argv, &plan)) {
        fprintf(
            stderr, "usage: tfops-check-arch [--quick | --full | --random [COUNT [SEED [OP]]]]\n");
        return 2;
    }
    if (!has_nvrtc()) {
        fprintf(stderr, "check-arch: SKIPPED: %s\n", error_message());
        return 77;
    }
    struct progress *progress =
        mmap(NULL, sizeof *progress, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (progress == MAP_FAILED)
        return 1;
    setvbuf(stdout, NULL, _IOLBF, 0);
    long children = 0;
    for (long i = sysconf(_SC_NPROCESSORS_ONLN); i > 0; i--) {
        pid_t child = fork();
        if (!child)
            return work(progress, &plan);
        children += child > 0;
    }
    if (!children)
        return 1;
    wait_for(children, progress);
    unsigned passed = atomic_load(&progress->passed), failed = atomic_load(&progress->failed);
    printf("%u passed, %u failed, 0 skipped\n", passed, failed);
    return failed != 0;
}
