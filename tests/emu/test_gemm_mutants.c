/*
 * The matrix kernels with one line of synchronisation wrong: each mutant is found by the emulated
 * machine under some order of threads, with the words for its kind; the kernels as they are run clean
 * under all of them and give the same bits. A mutant whose line is not in the template any more fails here: write it anew.
 *
 * All mutants are in one copy of the templates, chosen by a constant of Cfg, so that one run of the
 * compiler builds as many as a processor's share is.
 */
#include "base/error.h"
#include "base/mem.h"
#include "base/strbuf.h"
#include "device.h"
#include "kernels/registry.h"
#include "problem.h"
#include "tests/emu/gemm_mutants.h"
#include "tests/support/emu_rig.h"
#include "tuner/emulate_build.h"
#include "tuner/emulate_run.h"
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <tfops/engine.h>
#include <tfops/plan.h>
#include <unistd.h>

#define ALL_KERNELS "gemm/all.cu"
enum { FEW_SMS = 2, MORE_SMS = 4 };
enum { N_MUTANTS = sizeof MUTANTS / sizeof *MUTANTS, N_KERNELS = N_SETUPS + N_MUTANTS };

/* ---- the copy of the templates -------------------------------------------------------------------- */

static void *needed(void *memory)
{
    if (!memory) {
        fprintf(stderr, "out of memory\n");
        exit(1);
    }
    return memory;
}

static void fail_with(const char *what)
{
    fprintf(stderr, "%s: %s\n", what, error_message());
    exit(1);
}

/* Every place of the statement or expression has both; the constant says which. */
static char *mutated(const char *text, const struct mutant *mutant, size_t number)
{
    const char *form = strchr(mutant->line, ';')
                           ? "if constexpr (C::MUTANT == %zu) {\n%s\n} else {\n%s\n}"
                           : "(C::MUTANT == %zu ? %s : %s)";
    struct strbuf out;
    const char *at = text, *found;
    strbuf_init(&out, NULL);
    if (!strstr(text, mutant->line)) {
        fprintf(stderr, "%s: %s has no line\n    %s\nany more\n", mutant->name, mutant->file,
            mutant->line);
        exit(1);
    }
    while ((found = strstr(at, mutant->line))) {
        strbuf_add_bytes(&out, at, (size_t)(found - at));
        strbuf_addf(&out, form, number, mutant->with, mutant->line);
        at = found + strlen(mutant->line);
    }
    strbuf_addf(&out, "%s", at);
    return needed(strbuf_take(&out));
}

static void write_file(const char *dir, const char *file, const char *text)
{
    char path[SUPPORT_PATH_BYTES + 64], command[SUPPORT_PATH_BYTES + 64];
    snprintf(command, sizeof command, "mkdir -p '%s/gemm'", dir);
    snprintf(path, sizeof path, "%s/%s", dir, file);
    FILE *out = emulate_shell(command) ? NULL : fopen(path, "we");
    if (!out || fputs(text, out) < 0 || fclose(out)) {
        perror(path);
        exit(1);
    }
}

/* Mutants are numbered from 1. A file that is there is found before the built-in one; ALL_KERNELS, which
 * a batch of several operators needs, is nowhere else. */
static void write_templates(const char *dir)
{
    write_file(dir, ALL_KERNELS,
        "#include \"gemm/gemm.cu\"\n#include \"gemm/linear_add_rmsnorm.cu\"\n"
        "#include \"gemm/rmsnorm_linear.cu\"\n");
    for (size_t i = 0; i < N_MUTANTS; i++) {
        const char *text;
        char *owned;
        if (render_file(NULL, MUTANTS[i].file, &text, &owned) || !text)
            fail_with(MUTANTS[i].file);
        char *mutant = mutated(text, &MUTANTS[i], i + 1);
        write_file(dir, MUTANTS[i].file, mutant);
        mem_free(NULL, mutant);
        mem_free(NULL, owned);
    }
}

/* ---- variants ------------------------------------------------------------------------------------- */

struct variant {
    struct tfops_problem problem;
    struct tfops_config config;
};

/* Processes build and run a part of the kernels each: every n_shares-th. */
struct counts {
    atomic_uint passed, failed;
};

struct test {
    char dir[SUPPORT_PATH_BYTES];
    struct tfops_device device;
    struct variant setups[N_SETUPS];
    struct emulate_library library;
    size_t share, n_shares;
    struct counts *counts; /* of all processes */
};

static int setup_of(size_t kernel)
{
    return kernel < N_SETUPS ? (int)kernel : MUTANTS[kernel - N_SETUPS].setup;
}

static void make_setup(const struct setup *setup, struct variant *variant)
{
    char copy[128], *save = NULL;
    const struct tfops_spec *spec = NULL;
    for (size_t i = 0; i < registry_count; i++)
        if (!strcmp(registry_specs[i]->name, setup->op))
            spec = registry_specs[i];
    if (!spec || tfops_problem_init(spec, &variant->problem))
        fail_with(setup->op);
    snprintf(copy, sizeof copy, "%s", setup->problem);
    for (char *pair = strtok_r(copy, " ", &save); pair; pair = strtok_r(NULL, " ", &save)) {
        char *value = strchr(pair, '=');
        *value++ = '\0';
        if (tfops_problem_set(&variant->problem, pair, value))
            fail_with(setup->name);
    }
    memset(&variant->config, 0, sizeof variant->config);
    if (tfops_problem_check(&variant->problem) ||
        tfops_config_parse(spec, setup->config, &variant->config))
        fail_with(setup->name);
}

/* The rendered source with the number of the mutant in its Cfg. */
static void render(struct test *test, size_t kernel, struct build_job *ret_job)
{
    static const char CFG[] = "struct Cfg {", INCLUDE[] = "#include \"" ALL_KERNELS "\"";
    const struct variant *variant = &test->setups[setup_of(kernel)];
    const size_t mutant = kernel < N_SETUPS ? 0 : kernel - N_SETUPS + 1;
    struct strbuf source;
    if (render_job(
            NULL, &variant->problem, &test->device, &variant->config, RENDER_TUNED, 0, ret_job))
        fail_with("render");
    const char *cfg = strstr(ret_job->source, CFG), *rest = strchr(ret_job->source, '\n');
    strbuf_init(&source, NULL);
    strbuf_add(&source, INCLUDE);
    strbuf_add_bytes(&source, rest, (size_t)(cfg - rest));
    strbuf_addf(
        &source, "%s\n    static constexpr int MUTANT = %zu;%s", CFG, mutant, cfg + strlen(CFG));
    mem_free(NULL, (void *)(uintptr_t)ret_job->source);
    ret_job->source = needed(strbuf_take(&source));
}

static void build(struct test *test, const struct emulate_builder *builder)
{
    struct build_job *jobs = needed(calloc(N_KERNELS, sizeof *jobs));
    char path[EMULATE_PATH_BYTES], name[32];
    size_t n = 0;
    for (size_t i = test->share; i < N_KERNELS; i += test->n_shares)
        render(test, i, &jobs[n++]);
    snprintf(name, sizeof name, "mutants-%zu", test->share);
    const struct emulate_batch batch = {jobs, n, 90, name};
    if (emulate_build(builder, &batch, path) || emulate_open(path, &test->library))
        fail_with("build");
    while (n)
        build_job_release(NULL, &jobs[--n]);
    free(jobs);
}

/* ---- running -------------------------------------------------------------------------------------- */

/* Whether results have the bits that they had: all of them, or those that no number of SMs changes. */
static bool same_bits(
    const struct emulate_case *ecase, const unsigned char *bits, const struct setup *fixed)
{
    bool same = fixed || !memcmp(bits, ecase->live, ecase->layout.bytes);
    for (size_t i = 0; fixed && i < ecase->layout.n_operands; i++) {
        const struct buffers_operand *out = &ecase->layout.operands[i];
        const int64_t rows = out->present && out->output ? out->rows : 0;
        for (int64_t row = 0; row < rows; row++) {
            const int64_t first = row < fixed->fixed_row ? fixed->fixed_col : 0;
            const size_t at = out->offset + (size_t)(row * out->stride + first) * out->elem_bytes;
            same &=
                !memcmp(bits + at, ecase->live + at, (size_t)(out->cols - first) * out->elem_bytes);
        }
    }
    return same;
}

/* One order of threads on so many SMs; what was found is added to `text`. *bits: the first results. */
static void run(struct test *test, size_t kernel, struct emulate_case *ecase, int sms,
    const struct emulate_schedule *schedule, unsigned char **bits, char *text, size_t bytes)
{
    const struct variant *variant = &test->setups[setup_of(kernel)];
    const struct setup *fixed = sms == FEW_SMS ? NULL : &SETUPS[setup_of(kernel)];
    struct emu_report report;
    struct emulate_verdict verdict = {.text = ""};
    const size_t used = strlen(text);
    test->device.sms = sms;
    if (emulate_run(&test->library, kernel / test->n_shares, &test->device, &variant->config, ecase,
            schedule, &report))
        fail_with("run");
    if (!report.findings)
        emulate_case_judge(ecase, &verdict);
    if (!*bits)
        *bits = memcpy(needed(malloc(ecase->layout.bytes)), ecase->live, ecase->layout.bytes);
    snprintf(text + used, bytes - used, "%s%s", report.findings ? report.text : verdict.text,
        same_bits(ecase, *bits, fixed) ? "" : "other bits than before; ");
}

static void try_kernel(struct test *test, size_t kernel)
{
    const struct mutant *mutant = kernel < N_SETUPS ? NULL : &MUTANTS[kernel - N_SETUPS];
    const struct setup *setup = &SETUPS[setup_of(kernel)];
    static char text[2 * EMU_ORDERS * EMU_TEXT_BYTES];
    struct emulate_case ecase;
    const struct tfops_problem *problem = &test->setups[setup_of(kernel)].problem;
    const int kind = emulate_case_can_alias(problem) ? EMULATE_ALIAS : EMULATE_PLAIN;
    if (emulate_case_make(NULL, problem, kind, 1, &ecase))
        fail_with("case");
    unsigned char *bits = NULL;
    text[0] = '\0';
    for (int order = 0; order < EMU_ORDERS; order++)
        for (int late = 0; late < 2 && !(mutant && strstr(text, mutant->text)); late++) {
            const struct emulate_schedule schedule = {(enum emu_order)order, 1, late};
            run(test, kernel, &ecase, FEW_SMS, &schedule, &bits, text, sizeof text);
        }
    for (int sms = FEW_SMS + 1; setup->fixed_row && sms <= MORE_SMS; sms++) {
        const struct emulate_schedule schedule = {EMU_FORWARD, 1, false};
        run(test, kernel, &ecase, sms, &schedule, &bits, text, sizeof text);
    }
    free(bits);
    emulate_case_release(&ecase);
    const bool right = mutant ? strstr(text, mutant->text) != NULL : !text[0];
    atomic_fetch_add(right ? &test->counts->passed : &test->counts->failed, 1);
    if (!right)
        fprintf(stderr, "%s: wanted %s, found:\n%s\n", mutant ? mutant->name : setup->name,
            mutant ? mutant->text : "nothing", text);
}

static void run_share(struct test *test, const struct emulate_builder *builder)
{
    build(test, builder);
    for (size_t kernel = test->share; kernel < N_KERNELS; kernel += test->n_shares)
        try_kernel(test, kernel);
    emulate_close(&test->library);
}

/* A process that ends otherwise than by itself is a failure. */
static void run_all(struct test *test)
{
    enum { MOST_SHARES = 8 };
    const struct emulate_builder builder = {.dir = test->dir, .mode = EMULATE_TRACE};
    const long cpus = sysconf(_SC_NPROCESSORS_ONLN);
    test->n_shares = cpus > MOST_SHARES ? MOST_SHARES : cpus > 1 ? (size_t)cpus : 1;
    for (size_t i = 0; i < N_SETUPS; i++)
        make_setup(&SETUPS[i], &test->setups[i]);
    if (emulate_build_runtime(&builder))
        fail_with("build");
    for (size_t i = 1; i < test->n_shares; i++) {
        const pid_t child = fork();
        if (child < 0)
            fail_with("fork");
        if (!child) {
            test->share = i;
            run_share(test, &builder);
            _exit(0);
        }
    }
    run_share(test, &builder);
    for (int status; wait(&status) > 0;)
        if (status)
            atomic_fetch_add(&test->counts->failed, 1);
}

int main(void)
{
    static struct test test;
    test.counts =
        mmap(NULL, sizeof *test.counts, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (test.counts == MAP_FAILED)
        return 1;
    emu_rig_skip_under_tsan();
    if (device_nominal("sm_90a", &test.device))
        return 1;
    support_dir_make(test.dir);
    setenv("TFOPS_KERNEL_DIR", test.dir, 1);
    write_templates(test.dir);
    run_all(&test);
    support_dir_remove(test.dir);
    printf("%u passed, %u failed, 0 skipped\n", test.counts->passed, test.counts->failed);
    return test.counts->failed != 0;
}
