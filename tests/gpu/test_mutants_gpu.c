/*
 * Verification is only as good as what it rejects: copies of the norm template with one line wrong,
 * each tuned on the GPU, each found wrong; the template as it is passes. A mutant whose line is not
 * in the template any more fails here: write it anew.
 */
#include "tests/support/test_support.h"
#include <criterion/criterion.h>
#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* ---- the copy of the kernels ---------------------------------------------------------------- */

static char from_dir[SUPPORT_PATH_BYTES], to_dir[SUPPORT_PATH_BYTES];

static void write_text(const char *path, const char *text)
{
    FILE *file = fopen(path, "wbe");
    cr_assert(file && fputs(text, file) >= 0 && fclose(file) == 0, "%s: %s", path, strerror(errno));
}

static int copy_one(const char *path, const struct stat *info, int type, struct FTW *where)
{
    char to[2 * SUPPORT_PATH_BYTES];
    (void)info, (void)where;
    snprintf(to, sizeof to, "%s%s", to_dir, path + strlen(from_dir));
    if (type == FTW_D)
        return mkdir(to, 0700) && errno != EEXIST;
    char *text = support_file_read(path);
    write_text(to, text);
    free(text);
    return 0;
}

/* Copies kernels/ into a directory that TFOPS_KERNEL_DIR names. */
static void copy_kernels(void)
{
    const char *source = getenv("TFOPS_SOURCE");
    snprintf(from_dir, sizeof from_dir, "%s/kernels", source && *source ? source : ".");
    support_dir_make(to_dir);
    cr_assert_eq(nftw(from_dir, copy_one, 16, FTW_PHYS), 0, "cannot copy %s", from_dir);
    setenv("TFOPS_KERNEL_DIR", to_dir, 1);
}

/* Puts `with` in place of `line`, which must be there exactly once. */
static void mutate(const char *file, const char *line, const char *with)
{
    char path[2 * SUPPORT_PATH_BYTES];
    snprintf(path, sizeof path, "%s/%s", to_dir, file);
    char *text = support_file_read(path);
    cr_assert_not_null(text, "%s", path);
    char *at = strstr(text, line);
    cr_assert_not_null(at, "%s has no line\n    %s\nany more", file, line);
    cr_assert_null(strstr(at + 1, line), "%s has this line more than once:\n    %s", file, line);
    char *mutant = malloc(strlen(text) + strlen(with) + 1);
    sprintf(mutant, "%.*s%s%s", (int)(at - text), text, with, at + strlen(line));
    write_text(path, mutant);
    free(mutant);
    free(text);
}

/* ---- the mutants ---------------------------------------------------------------------------- */

/* `values`: tunables that differ from the default config, NULL: none. The reference on the device
 * is the generic variant, made from the same files: a mutant must not reach what it uses (a mistake in
 * both is found when the reference is held against the CPU's). */
static const struct mutant {
    const char *what, *op, *problem, *values, *file, *line, *with;
} MUTANTS[] = {
    {"tail edges are dropped", "rmsnorm", "rows=100 hidden=4095", NULL, "row/layout.cuh",
        "const int edges = O::WIDTH - units * L::N;", "const int edges = 0;"},
    {"tail edges of aligned rows are dropped", "add_rmsnorm", "rows=100 hidden=4095 align=16", NULL,
        "row/layout.cuh", "const int edges = O::WIDTH - units * L::N;", "const int edges = 0;"},
    {"tail vectors are dropped", "rmsnorm", "rows=100 hidden=4096", "THREADS_PER_ROW=192",
        "row/layout.cuh",
        "s.units = min_int(units - rank * L::UNITS_BLOCK, L::UNITS_BLOCK) - lane;", "s.units = 0;"},
    {"gamma is missing", "rmsnorm", "rows=100 hidden=4096", NULL, "norm/rmsnorm_op.cuh",
        "return n * weight;", "return C::GENERIC ? n * weight : n;"},
    {"gamma is missing, Gemma's", "rmsnorm", "rows=100 hidden=4096 weight_variant=one_plus", NULL,
        "norm/rmsnorm_op.cuh", "return n * weight;", "return C::GENERIC ? n * weight : n;"},
    {"the barrier is missing", "rmsnorm", "rows=2048 hidden=4096", "THREADS_PER_ROW=512",
        "device/reduce.cuh", "block_sync(); // the parts of all warps",
        "if constexpr (THREADS == 256) block_sync(); // the generic variant's stays"},
    {"the stride of out is the row's length", "rmsnorm", "rows=100 hidden=4096", NULL,
        "norm/norm_op.cuh", "static_cast<OUT *>(p.out) + row * p.out_stride",
        "static_cast<OUT *>(p.out) + row * (C::GENERIC ? p.out_stride : C::HIDDEN)"},
    {"the stride of out is that of x", "add_rmsnorm", "rows=100 hidden=4096", NULL,
        "norm/norm_op.cuh", "static_cast<OUT *>(p.out) + row * p.out_stride",
        "static_cast<OUT *>(p.out) + row * (C::GENERIC ? p.out_stride : p.x_stride)"},
};

struct seen {
    unsigned n;
    enum tfops_verdict verdict;
    char text[512];
};

/* The default config always runs beside the one asked for: what is not right counts. */
static void take(void *user, const struct tfops_candidate *candidate)
{
    struct seen *seen = user;
    if (seen->n++ && candidate->verdict == TFOPS_VERDICT_OK)
        return;
    seen->verdict = candidate->verdict;
    snprintf(seen->text, sizeof seen->text, "%s", candidate->text);
}

static void describe(const struct tfops_spec *spec, const char *text, struct tfops_problem *problem)
{
    char copy[256], *save = NULL;
    cr_assert_eq(tfops_problem_init(spec, problem), TFOPS_OK);
    snprintf(copy, sizeof copy, "%s", text);
    for (char *pair = strtok_r(copy, " ", &save); pair; pair = strtok_r(NULL, " ", &save)) {
        char *value = strchr(pair, '=');
        *value++ = '\0';
        cr_assert_eq(tfops_problem_set(problem, pair, value), TFOPS_OK, "%s", pair);
    }
    cr_assert_eq(tfops_problem_check(problem), TFOPS_OK, "%s", text);
}

static void choose(const struct tfops_engine *engine, const struct tfops_problem *problem,
    const char *values, struct tfops_config *config)
{
    const struct tfops_spec *spec = problem->spec;
    spec->default_config(spec->user, problem, tfops_engine_device(engine), config);
    for (size_t i = 0; values && i < spec->n_tunables; i++) {
        const size_t length = strlen(spec->tunables[i].name);
        if (strncmp(values, spec->tunables[i].name, length) == 0 && values[length] == '=')
            config->values[i] = atoll(values + length + 1);
    }
}

/* Verifies one config of what TFOPS_KERNEL_DIR holds. */
static void verify(const struct mutant *mutant, struct seen *seen)
{
    struct support_engine open = {.engine = NULL};
    struct tfops_problem problem;
    struct tfops_config config;
    char worker[SUPPORT_PATH_BYTES];
    snprintf(worker, sizeof worker, "%s/tfops-worker", support_build_dir());
    const struct tfops_engine_options options = {.size = sizeof options, .worker_path = worker};
    support_engine_open(&open, NULL, &options);
    describe(tfops_engine_operator(open.engine, mutant->op), mutant->problem, &problem);
    choose(open.engine, &problem, mutant->values, &config);
    *seen = (struct seen){.verdict = TFOPS_VERDICT_COUNT};
    const struct tfops_tune_options tune = {.size = sizeof tune,
        .only = &config,
        .jobs = 2,
        .interval = 0.05,
        .candidate = take,
        .user = seen};
    struct tfops_tune_result result = {.size = sizeof result};
    enum tfops_status status = tfops_tune(open.engine, &problem, &tune, &result);
    if (seen->n == 0) {
        struct tfops_error error = {.size = sizeof error};
        tfops_error_last(&error);
        cr_assert_fail(
            "%s: no candidate: %s: %s", mutant->what, tfops_status_name(status), error.message);
    }
    support_engine_close(&open);
}

/* A mutant that is not rejected, or a template that is, fails here. */
static void expect(const struct mutant *mutant)
{
    struct seen right, wrong;
    copy_kernels();
    verify(mutant, &right);
    cr_expect_eq(right.verdict, TFOPS_VERDICT_OK, "unmutated, for %s: %s: %s", mutant->what,
        tfops_verdict_name(right.verdict), right.text);
    mutate(mutant->file, mutant->line, mutant->with);
    verify(mutant, &wrong);
    cr_expect_eq(wrong.verdict, TFOPS_VERDICT_WRONG, "%s: %s: %s", mutant->what,
        tfops_verdict_name(wrong.verdict), wrong.text);
    cr_expect(wrong.text[0], "%s: nothing says what is wrong", mutant->what);
    fprintf(stderr, "%s: %s: %s\n", mutant->what, tfops_verdict_name(wrong.verdict), wrong.text);
    support_dir_remove(to_dir);
}

/* The fake driver runs C in place of every kernel, whatever the template says. */
static bool on_gpu(void)
{
    struct tfops_device device = {.size = sizeof device};
    return support_have_gpu() && tfops_platform_device(NULL, 0, &device) == TFOPS_OK &&
           strncmp(device.name, "Fake", 4) != 0;
}

#define MUTANT(i, name)                                                                            \
    Test(mutants_gpu, verification_rejects_##name)                                                 \
    {                                                                                              \
        SUPPORT_NEEDS(on_gpu(), "GPU");                                                            \
        SUPPORT_NEEDS_NVRTC();                                                                     \
        expect(&MUTANTS[i]);                                                                       \
    }
MUTANT(0, dropped_tail_edges)
MUTANT(1, dropped_tail_edges_of_aligned_rows)
MUTANT(2, dropped_tail_vectors)
MUTANT(3, a_missing_gamma)
MUTANT(4, a_missing_gamma_of_gemma)
MUTANT(5, a_missing_barrier)
MUTANT(6, a_stride_that_is_the_length)
MUTANT(7, the_stride_of_another_operand)
