/*
 * Verification is only as good as what it rejects: copies of the norm template with one line wrong,
 * each tuned on the GPU, each found wrong; the template as it is passes.
 */
#include "tests/support/mutants.h"
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
    char kernels[SUPPORT_PATH_BYTES];
    mutant_copy_kernels(kernels);
    verify(mutant, &right);
    cr_expect_eq(right.verdict, TFOPS_VERDICT_OK, "unmutated, for %s: %s: %s", mutant->what,
        tfops_verdict_name(right.verdict), right.text);
    mutant_apply(kernels, mutant);
    verify(mutant, &wrong);
    cr_expect_eq(wrong.verdict, TFOPS_VERDICT_WRONG, "%s: %s: %s", mutant->what,
        tfops_verdict_name(wrong.verdict), wrong.text);
    cr_expect(wrong.text[0], "%s: nothing says what is wrong", mutant->what);
    fprintf(stderr, "%s: %s: %s\n", mutant->what, tfops_verdict_name(wrong.verdict), wrong.text);
    support_dir_remove(kernels);
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
        expect(&mutants[i]);                                                                       \
    }
MUTANT(0, dropped_tail_edges)
MUTANT(1, dropped_tail_edges_of_aligned_rows)
MUTANT(2, dropped_tail_vectors)
MUTANT(3, a_missing_gamma)
MUTANT(4, a_missing_gamma_of_gemma)
MUTANT(5, a_missing_barrier)
MUTANT(6, a_stride_that_is_the_length)
MUTANT(7, the_stride_of_another_operand)
