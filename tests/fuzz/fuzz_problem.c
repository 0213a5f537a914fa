/*
 * libFuzzer target: the command line's problem parser. The input is a command line, words separated
 * by newlines; a first word starting with '-' is the value of --dtype. What is refused must carry a
 * clean one-line message, what is taken must survive the library's own check.
 */
#include "tools/cli_problem.h"
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <tfops/plan.h>

#define MAX_WORDS 64

static const struct tfops_dim_spec DIMS[] = {
    {"rows", TFOPS_DIM_DYNAMIC, 0, INT64_C(1) << 40, ""},
    {"hidden", 0, 1, 65536, ""},
};
static const struct tfops_dtype_spec DTYPES[] = {
    {"dtype", 1u << TFOPS_F16 | 1u << TFOPS_BF16, ""},
    {"weight_dtype", 1u << TFOPS_F16 | 1u << TFOPS_BF16 | 1u << TFOPS_F32, ""},
};
static const char *const VARIANTS[] = {"plain", "one_plus"};
static const struct tfops_option_spec OPTIONS[] = {{"variant", VARIANTS, 2, ""}};
static const struct tfops_scalar_spec SCALARS[] = {{"eps", 1e-5, 0, 1, ""}};
static const struct tfops_operand_spec OPERANDS[] = {
    {"x", TFOPS_IN, 0, 0, 2, {0, 1}, 0, ""},
    {"weight", TFOPS_IN, 0, 1, 1, {1}, 0, ""},
    {"out", TFOPS_OUT, TFOPS_OPERAND_OPTIONAL, 0, 2, {0, 1}, 0, ""},
};
static const struct tfops_spec SPEC = {
    .size = sizeof SPEC,
    .abi = TFOPS_SPEC_ABI,
    .version = 1,
    .name = "op",
    .dims = DIMS,
    .n_dims = 2,
    .dtypes = DTYPES,
    .n_dtypes = 2,
    .options = OPTIONS,
    .n_options = 1,
    .scalars = SCALARS,
    .n_scalars = 1,
    .operands = OPERANDS,
    .n_operands = 3,
};

static void check_error(const struct tfops_error *error)
{
    if (error->status == TFOPS_OK || !error->message[0])
        abort();
    for (const char *at = error->message; *at; at++)
        if ((unsigned char)*at < 0x20)
            abort();
}

static void check_problems(struct cli_problems *problems)
{
    if (problems->count == 0 || problems->count > CLI_MAX_PROBLEMS)
        abort();
    for (size_t i = 0; i < problems->count; i++) {
        struct tfops_problem copy = problems->items[i];
        if (tfops_problem_check(&copy) != TFOPS_OK || copy.align != problems->items[i].align)
            abort();
    }
    cli_problems_release(problems);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct tfops_spec *specs[] = {&SPEC};
    const struct cli_operators operators = {specs, 1};
    const char *words[MAX_WORDS], *dtypes = NULL;
    size_t n = 0;
    char *text = malloc(size + 1), *save = NULL;
    if (!text)
        return 0;
    if (size > 0)
        memcpy(text, data, size);
    text[size] = 0;
    for (char *word = strtok_r(text, "\n", &save); word && n < MAX_WORDS;
         word = strtok_r(NULL, "\n", &save)) {
        if (n == 0 && word[0] == '-' && !dtypes)
            dtypes = word + 1;
        else
            words[n++] = word;
    }
    struct cli_problems problems = {0};
    struct tfops_error error;
    if (cli_problem_parse(&operators, words, n, dtypes, &problems, &error))
        check_problems(&problems);
    else
        check_error(&error);
    free(text);
    return 0;
}
