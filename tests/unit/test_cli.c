/* The command line's problem parser, option parser and text helpers (tools/cli_*.c). */
#include "tools/cli_options.h"
#include "tools/cli_problem.h"
#include "tools/cli_progress.h"
#include "tools/cli_text.h"
#include <criterion/criterion.h>
#include <criterion/redirect.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tfops/plan.h>

/* ---- an operator of the test's own ------------------------------------------------------------
 */

static const struct tfops_dim_spec DIMS[] = {
    {"rows", TFOPS_DIM_DYNAMIC, 0, INT64_C(1) << 40, "rows"},
    {"hidden", 0, 1, 65536, "elements of a row"},
};
#define FLOATS (1u << TFOPS_F32 | 1u << TFOPS_F16 | 1u << TFOPS_BF16)
static const struct tfops_dtype_spec DTYPES[] = {
    {"dtype", FLOATS, "of x"}, {"weight_dtype", FLOATS, "of the weight"}};
static const char *const VARIANTS[] = {"plain", "one_plus"};
static const struct tfops_option_spec SPEC_OPTIONS[] = {{"weight_variant", VARIANTS, 2, ""}};
static const struct tfops_scalar_spec SCALARS[] = {{"eps", 1e-5, 0, 1, ""}};
static const struct tfops_operand_spec OPERANDS[] = {
    {"x", TFOPS_IN, 0, 0, 2, {0, 1}, 0, ""},
    {"weight", TFOPS_IN, 0, 1, 1, {1}, 0, ""},
    {"out", TFOPS_OUT, 0, 0, 2, {0, 1}, 0, ""},
    {"residual_out", TFOPS_OUT, TFOPS_OPERAND_OPTIONAL, 0, 2, {0, 1}, 0, ""},
};
static const int64_t THREADS[] = {128, 256};
static const struct tfops_tunable_spec TUNABLES[] = {{"THREADS", THREADS, 2, ""}};

static const struct tfops_spec NORM = {
    .size = sizeof NORM,
    .abi = TFOPS_SPEC_ABI,
    .version = 1,
    .name = "norm",
    .dims = DIMS,
    .n_dims = 2,
    .dtypes = DTYPES,
    .n_dtypes = 2,
    .options = SPEC_OPTIONS,
    .n_options = 1,
    .scalars = SCALARS,
    .n_scalars = 1,
    .operands = OPERANDS,
    .n_operands = 4,
    .tunables = TUNABLES,
    .n_tunables = 1,
};
static const struct tfops_spec OTHER = {.size = sizeof OTHER, .abi = 1, .name = "softmax"};
static const struct tfops_spec *const ALL[] = {&NORM, &OTHER};
static const struct cli_operators OPERATORS = {ALL, 2};

#define MAX_WORDS 64
struct outcome {
    bool good;
    struct cli_problems problems;
    struct tfops_error error;
};

/* Parses a line whose words are separated by single blanks. */
static struct outcome parse(const char *line, const char *dtypes)
{
    struct outcome outcome = {0};
    const char *words[MAX_WORDS];
    size_t n = 0;
    char *copy = strdup(line), *save = NULL;
    for (char *word = strtok_r(copy, " ", &save); word; word = strtok_r(NULL, " ", &save))
        words[n++] = word;
    outcome.good =
        cli_problem_parse(&OPERATORS, words, n, dtypes, &outcome.problems, &outcome.error);
    free(copy);
    return outcome;
}

static void expect_refusal(const char *line, enum tfops_status status, const char *subject)
{
    struct outcome outcome = parse(line, NULL);
    cr_assert(!outcome.good, "'%s' was taken", line);
    cr_expect_eq(outcome.error.status, status, "'%s': %s, expected %s", line,
        tfops_status_name(outcome.error.status), tfops_status_name(status));
    cr_expect_str_eq(outcome.error.subject, subject, "'%s': subject '%s', expected '%s'", line,
        outcome.error.subject, subject);
    cr_expect(strstr(outcome.error.message, subject), "'%s': the message '%s' does not name '%s'",
        line, outcome.error.message, subject);
    cr_expect_null(outcome.problems.items);
}

/* ---- problems: taken --------------------------------------------------------------------------
 */

Test(cli_problem, one_problem_when_each_dimension_has_one_value)
{
    struct outcome outcome = parse("norm rows=16 hidden=4096", NULL);
    cr_assert(outcome.good, "%s", outcome.error.message);
    cr_assert_eq(outcome.problems.count, 1);
    const struct tfops_problem *problem = &outcome.problems.items[0];
    cr_expect_eq(problem->dims[0], 16);
    cr_expect_eq(problem->dims[1], 4096);
    cr_expect_eq(problem->dtypes[0], TFOPS_F16);
    cr_expect_eq(problem->dtypes[1], TFOPS_F16);
    cr_expect_eq(problem->align, 16);
    cli_problems_release(&outcome.problems);
}

Test(cli_problem, product_in_order_when_lists_are_given)
{
    struct outcome outcome = parse("norm rows=1,7 hidden=64,128,256", "f16,bf16");
    cr_assert(outcome.good, "%s", outcome.error.message);
    cr_assert_eq(outcome.problems.count, 12);
    static const int64_t ROWS[] = {1, 7}, HIDDEN[] = {64, 128, 256};
    static const int DTYPE[] = {TFOPS_F16, TFOPS_BF16};
    for (size_t i = 0; i < 12; i++) {
        const struct tfops_problem *problem = &outcome.problems.items[i];
        cr_expect_eq(problem->dims[0], ROWS[i / 6], "problem %zu: rows %lld", i,
            (long long)problem->dims[0]);
        cr_expect_eq(problem->dims[1], HIDDEN[i / 2 % 3]);
        cr_expect_eq(problem->dtypes[0], DTYPE[i % 2]);
        cr_expect_eq(problem->dtypes[1], DTYPE[i % 2]);
    }
    cli_problems_release(&outcome.problems);
}

Test(cli_problem, alignment_follows_rows_when_hidden_is_odd)
{
    struct outcome outcome = parse("norm rows=4 hidden=4095", NULL);
    cr_assert(outcome.good, "%s", outcome.error.message);
    cr_expect_eq(outcome.problems.items[0].align, 2, "align %u", outcome.problems.items[0].align);
    cli_problems_release(&outcome.problems);
}

Test(cli_problem, other_dtypes_stand_when_given_before_the_first)
{
    struct outcome outcome = parse("norm weight_dtype=f32 rows=1 hidden=8 dtype=bf16", NULL);
    cr_assert(outcome.good, "%s", outcome.error.message);
    cr_expect_eq(outcome.problems.items[0].dtypes[0], TFOPS_BF16);
    cr_expect_eq(outcome.problems.items[0].dtypes[1], TFOPS_F32);
    cli_problems_release(&outcome.problems);
}

Test(cli_problem, options_operands_and_flags_are_set_when_named)
{
    struct outcome outcome = parse(
        "norm rows=1 hidden=8 weight_variant=one_plus residual_out=1 batch_invariant=1 align=4",
        NULL);
    cr_assert(outcome.good, "%s", outcome.error.message);
    const struct tfops_problem *problem = &outcome.problems.items[0];
    cr_expect_eq(problem->options[0], 1);
    cr_expect(problem->present >> 3 & 1);
    cr_expect_eq(problem->flags, TFOPS_BATCH_INVARIANT);
    cr_expect_eq(problem->align, 4);
    cli_problems_release(&outcome.problems);
}

/* ---- problems: refused ------------------------------------------------------------------------
 */

Test(cli_problem, refused_when_there_are_no_words)
{
    expect_refusal("", TFOPS_E_ARGUMENT, "OP");
}

Test(cli_problem, refused_when_the_operator_is_unknown)
{
    expect_refusal("nrom rows=1 hidden=8", TFOPS_E_UNKNOWN, "nrom");
    struct outcome outcome = parse("nrom rows=1", NULL);
    cr_expect(strstr(outcome.error.message, "did you mean 'norm'?"), "%s", outcome.error.message);
    cr_expect_str_eq(outcome.error.expected, "norm, softmax");
}

Test(cli_problem, refused_when_a_name_is_unknown)
{
    expect_refusal("norm rows=1 hiden=8", TFOPS_E_UNKNOWN, "hiden");
    struct outcome outcome = parse("norm rows=1 hiden=8", NULL);
    cr_expect(strstr(outcome.error.message, "did you mean 'hidden'?"), "%s", outcome.error.message);
    cr_expect(strstr(outcome.error.expected, "rows, hidden, dtype"), "%s", outcome.error.expected);
}

Test(cli_problem, refused_when_a_required_operand_is_named)
{
    expect_refusal("norm rows=1 hidden=8 x=1", TFOPS_E_UNKNOWN, "x");
}

Test(cli_problem, says_so_when_a_scalar_is_named)
{
    struct outcome outcome = parse("norm rows=1 hidden=8 eps=1e-6", NULL);
    cr_assert(!outcome.good);
    cr_expect(strstr(outcome.error.message, "given at launch"), "%s", outcome.error.message);
}

Test(cli_problem, refused_when_a_dimension_is_missing)
{
    expect_refusal("norm rows=1", TFOPS_E_ARGUMENT, "hidden");
    expect_refusal("norm", TFOPS_E_ARGUMENT, "rows");
}

Test(cli_problem, refused_when_a_word_is_no_pair)
{
    expect_refusal("norm rows", TFOPS_E_ARGUMENT, "rows");
    expect_refusal("norm =4", TFOPS_E_ARGUMENT, "=4");
    expect_refusal("norm rows=1 hidden=8 softmax", TFOPS_E_ARGUMENT, "softmax");
}

Test(cli_problem, refused_when_a_name_is_given_twice)
{
    expect_refusal("norm rows=1 hidden=8 rows=2", TFOPS_E_ARGUMENT, "rows");
    struct outcome outcome = parse("norm rows=1 hidden=8 dtype=f16", "bf16");
    cr_expect(!outcome.good);
    cr_expect_str_eq(outcome.error.subject, "dtype");
}

Test(cli_problem, refused_when_a_value_is_empty)
{
    expect_refusal("norm rows= hidden=8", TFOPS_E_RANGE, "rows");
    expect_refusal("norm rows=1,,2 hidden=8", TFOPS_E_RANGE, "rows");
    expect_refusal("norm rows=1, hidden=8", TFOPS_E_RANGE, "rows");
    expect_refusal("norm rows=,1 hidden=8", TFOPS_E_RANGE, "rows");
}

Test(cli_problem, refused_when_a_value_is_malformed_or_out_of_range)
{
    expect_refusal("norm rows=1 hidden=0", TFOPS_E_RANGE, "hidden");
    expect_refusal("norm rows=1 hidden=65537", TFOPS_E_RANGE, "hidden");
    expect_refusal("norm rows=-1 hidden=8", TFOPS_E_RANGE, "rows");
    expect_refusal("norm rows=1 hidden=8x", TFOPS_E_RANGE, "hidden");
    expect_refusal("norm rows=1 hidden=0x10", TFOPS_E_RANGE, "hidden");
    expect_refusal("norm rows=99999999999999999999 hidden=8", TFOPS_E_RANGE, "rows");
    expect_refusal("norm rows=1 hidden=8 dtype=f17", TFOPS_E_DTYPE, "dtype");
    expect_refusal("norm rows=1 hidden=8 weight_variant=two", TFOPS_E_RANGE, "weight_variant");
    expect_refusal("norm rows=1 hidden=8 align=3", TFOPS_E_RANGE, "align");
}

Test(cli_problem, refused_when_the_last_of_a_list_is_wrong)
{
    expect_refusal("norm rows=1 hidden=8,16,0", TFOPS_E_RANGE, "hidden");
}

Test(cli_problem, refused_when_the_product_is_too_large)
{
    enum { VALUES = 400 };
    char line[2 * VALUES * 4 + 64] = "norm rows=1";
    for (int i = 1; i < VALUES; i++)
        strcat(line, ",1");
    strcat(line, " hidden=8");
    for (int i = 1; i < VALUES; i++)
        strcat(line, ",8");
    expect_refusal(line, TFOPS_E_RANGE, "hidden");
}

Test(cli_problem, refused_when_a_word_is_huge)
{
    enum { BYTES = 1 << 20 };
    char *line = malloc(BYTES + 64);
    memcpy(line, "norm ", 5);
    memset(line + 5, 'a', BYTES);
    strcpy(line + 5 + BYTES, "=1");
    struct outcome outcome = parse(line, NULL);
    cr_expect(!outcome.good);
    cr_expect_eq(outcome.error.status, TFOPS_E_ARGUMENT);
    strcpy(line, "norm hidden=");
    memset(line + 12, '7', BYTES);
    line[12 + BYTES] = 0;
    outcome = parse(line, NULL);
    cr_expect(!outcome.good);
    cr_expect_str_eq(outcome.error.subject, "hidden");
    cr_expect(strlen(outcome.error.message) < 300, "%zu bytes", strlen(outcome.error.message));
    free(line);
}

Test(cli_problem, one_clean_line_when_a_word_holds_control_characters)
{
    struct outcome outcome = parse("norm ro\nws\x1b=1", NULL);
    cr_expect(!outcome.good);
    cr_expect_null(strchr(outcome.error.message, '\n'), "%s", outcome.error.message);
    cr_expect_null(strchr(outcome.error.message, '\x1b'));
}

/* ---- options ----------------------------------------------------------------------------------
 */

struct options {
    struct cli_common common;
    const char *file;
    uint64_t jobs;
    double budget;
    int mode;
    bool force;
    struct cli_list config;
};
static const struct cli_option OPTIONS[] = {
    {"--file", "FILE", CLI_TEXT, offsetof(struct options, file), "a file"},
    {"--jobs", "N", CLI_UINT, offsetof(struct options, jobs), "workers"},
    {"--budget", "SECONDS", CLI_NUMBER, offsetof(struct options, budget), "time"},
    {"--mode", "auto|plain|none", CLI_CHOICE, offsetof(struct options, mode), "how"},
    {"--force", NULL, CLI_FLAG, offsetof(struct options, force), "force"},
    {"--config", "K=V…", CLI_PAIRS, offsetof(struct options, config), "one config"},
    CLI_COMMON_OPTIONS(struct options),
};
static const struct cli_program PROGRAM = {
    "OP", "A test.", OPTIONS, sizeof OPTIONS / sizeof *OPTIONS, NULL};

struct run {
    struct cli cli;
    struct options options;
    bool go;
    int code;
};

static struct run run_options(int argc, char **argv)
{
    struct run run = {.options.common = CLI_COMMON_DEFAULTS, .code = -1};
    cli_init(&run.cli, "test", argc, argv);
    run.go = cli_options_parse(&run.cli, &PROGRAM, argc, argv, &run.options.common, &run.code);
    return run;
}
#define RUN(...)                                                                                   \
    run_options((int)(sizeof((char *[]){"test", __VA_ARGS__}) / sizeof(char *)),                   \
        (char *[]){"test", __VA_ARGS__})

Test(cli_options, stored_when_well_formed)
{
    struct run run = RUN("op", "--file", "a.db", "--jobs=8", "--budget", "1.5", "--mode", "none",
        "rows=1", "--force", "--plugin", "a.so", "--plugin=b.so", "--json", "--log", "debug");
    cr_assert(run.go);
    cr_expect_str_eq(run.options.file, "a.db");
    cr_expect_eq(run.options.jobs, 8);
    cr_expect_eq(run.options.budget, 1.5);
    cr_expect_eq(run.options.mode, 2);
    cr_expect(run.options.force);
    cr_expect(run.cli.json);
    cr_expect_eq(run.cli.log_level, TFOPS_LOG_DEBUG);
    cr_assert_eq(run.options.common.words.count, 2);
    cr_expect_str_eq(run.options.common.words.items[1], "rows=1");
    cr_assert_eq(run.options.common.plugins.count, 2);
    cr_expect_str_eq(run.options.common.plugins.items[1], "b.so");
    cli_options_release(&PROGRAM, &run.options.common);
}

Test(cli_options, tunables_only_when_config_is_in_front_of_dimensions)
{
    struct run run = RUN("--config", "THREADS=256", "BLOCK_M=2", "rows=1", "hidden=8");
    cr_assert(run.go);
    cr_expect_eq(run.options.config.count, 2);
    cr_expect_eq(run.options.common.words.count, 2);
    cli_options_release(&PROGRAM, &run.options.common);
}

Test(cli_options, words_when_behind_two_dashes)
{
    struct run run = RUN("--", "--force", "--help");
    cr_assert(run.go);
    cr_expect(!run.options.force);
    cr_expect_eq(run.options.common.words.count, 2);
    cli_options_release(&PROGRAM, &run.options.common);
}

static void expect_usage(struct run run, const char *what)
{
    cr_expect(!run.go, "%s was taken", what);
    cr_expect_eq(run.code, CLI_USAGE, "%s: exit %d", what, run.code);
    cli_options_release(&PROGRAM, &run.options.common);
}

Test(cli_options, usage_error_when_malformed, .init = cr_redirect_stderr)
{
    expect_usage(RUN("--fiel", "a"), "an unknown option");
    expect_usage(RUN("-x"), "an unknown short option");
    expect_usage(RUN("--file"), "a missing value");
    expect_usage(RUN("--file", "--force"), "an option as a value");
    expect_usage(RUN("--force=1"), "a flag's value");
    expect_usage(RUN("--jobs", "-1"), "a negative count");
    expect_usage(RUN("--jobs", "8x"), "a malformed count");
    expect_usage(RUN("--jobs", "99999999999999999999"), "an overflowing count");
    expect_usage(RUN("--budget", "nan"), "not a number");
    expect_usage(RUN("--budget", "-1"), "a negative number");
    expect_usage(RUN("--mode", "plai"), "a cut choice");
    expect_usage(RUN("--mode", ""), "an empty choice");
}

Test(cli_options, nearest_name_suggested_when_mistyped, .init = cr_redirect_stderr)
{
    struct run run = RUN("--fiel", "a");
    cr_expect(!run.go);
    fflush(stderr);
    cr_assert_stderr_eq_str(
        "test: unknown option '--fiel'; did you mean '--file'? (--help lists the options)\n");
    cli_options_release(&PROGRAM, &run.options.common);
}

Test(cli_options, error_object_on_stdout_when_json, .init = cr_redirect_stdout)
{
    cr_assert(freopen("/dev/null", "w", stderr));
    struct run run = RUN("--jobs", "many", "--json");
    cr_expect_eq(run.code, CLI_USAGE);
    fflush(stdout);
    cr_assert_stdout_eq_str("{\"event\":\"error\",\"status\":\"TFOPS_E_ARGUMENT\",\"message\":"
                            "\"--jobs: 'many' is not a non-negative whole number\",\"subject\":"
                            "\"--jobs\",\"expected\":\"N\",\"actual\":\"many\"}\n");
    cli_options_release(&PROGRAM, &run.options.common);
}

Test(cli_options, exit_zero_when_help_is_asked, .init = cr_redirect_stdout)
{
    struct run run = RUN("--help");
    cr_expect(!run.go);
    cr_expect_eq(run.code, CLI_OK);
    cli_options_release(&PROGRAM, &run.options.common);
}

/* ---- text -------------------------------------------------------------------------------------
 */

Test(cli_text, cut_between_characters_when_too_long)
{
    char text[5];
    cli_text_copy(text, sizeof text, "abc\xc2\xb5");
    cr_expect_str_eq(text, "abc", "'%s'", text);
    cli_text_copy(text, sizeof text, NULL);
    cr_expect_str_eq(text, "");
}

Test(cli_text, a_list_ends_behind_a_whole_item_when_too_long)
{
    char text[16] = "";
    cli_text_list(text, sizeof text, "abc");
    cli_text_list(text, sizeof text, "defgh");
    cr_expect_str_eq(text, "abc, defgh");
    cli_text_list(text, sizeof text, "ijkl");
    cli_text_list(text, sizeof text, "m");
    cr_expect_str_eq(text, "abc, defgh, …", "'%s'", text);
}

Test(cli_text, malformed_bytes_replaced_when_not_utf8)
{
    char text[32];
    cli_text_copy(text, sizeof text, "a\xff\xc3-\xe2\x82\xac\xed\xa0\x80z\xc2");
    cr_expect_str_eq(text, "a\?\?-\xe2\x82\xac\?\?\?z\?", "'%s'", text);
}

Test(cli_text, no_suggestion_when_nothing_is_near)
{
    char hint[64];
    struct cli_guess guess = cli_guess_start("zzz");
    cli_guess_try(&guess, "hidden");
    cli_guess_text(&guess, hint, sizeof hint);
    cr_expect_str_eq(hint, "");
}

Test(cli_text, digits_fit_when_times_differ)
{
    char text[32];
    cli_text_us(text, 1234.5);
    cr_expect_str_eq(text, "1.234", "'%s'", text);
    cli_text_us(text, 123456);
    cr_expect_str_eq(text, "123.5", "'%s'", text);
    cli_text_us(text, 0);
    cr_expect_str_eq(text, "-");
}

Test(cli_progress, time_left_from_the_share_done)
{
    char text[32];
    cr_expect_eq(cli_progress_left(30, 0.25), 90);
    cr_expect_lt(cli_progress_left(0.5, 0.25), 0);
    cr_expect_lt(cli_progress_left(30, 0), 0);
    cli_progress_time(text, 90);
    cr_expect_str_eq(text, "1:30", "'%s'", text);
    cli_progress_time(text, 7384);
    cr_expect_str_eq(text, "2:03:04", "'%s'", text);
    cli_progress_time(text, -1);
    cr_expect_str_eq(text, "-");
}
