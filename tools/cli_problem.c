/*
 * The problem parser (see cli_problem.h). Names are resolved here, for messages that know the whole
 * command line; values are judged by the library, so that the rules stand in one place.
 */
#include "cli_problem.h"
#include "cli.h"
#include "cli_text.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tfops/plan.h>

#define NAME_BYTES 64
#define VALUE_BYTES 64
/* Every axis has a different name, so more than this cannot be. */
#define MAX_AXES (TFOPS_MAX_DIMS + TFOPS_MAX_DTYPES + TFOPS_MAX_OPTIONS + TFOPS_MAX_OPERANDS + 2)

/* A property with its values; they point into the command line, separated by commas. */
struct axis {
    char name[NAME_BYTES];
    const char *values; /* at the next value to use */
    const char *first;
    size_t count;
};

struct parse {
    const struct tfops_spec *spec;
    struct axis axes[MAX_AXES];
    size_t n_axes;
    struct tfops_error *error;
};

const struct tfops_spec *cli_operator_find(
    const struct cli_operators *operators, const char *name, struct tfops_error *ret_error)
{
    char known[sizeof ret_error->expected] = "", all[512] = "", hint[96];
    struct cli_guess guess = cli_guess_start(name);
    for (size_t i = 0; i < operators->count; i++) {
        if (strcmp(operators->items[i]->name, name) == 0)
            return operators->items[i];
        cli_guess_try(&guess, operators->items[i]->name);
        cli_text_list(known, sizeof known, operators->items[i]->name);
        cli_text_list(all, sizeof all, operators->items[i]->name);
    }
    cli_guess_text(&guess, hint, sizeof hint);
    cli_error(ret_error, TFOPS_E_UNKNOWN, name, known, name,
        "unknown operator '%.80s'%s (there is: %s)", name, hint, all);
    return NULL;
}

/* Calls `fn` with every name a word may set. */
static void each_name(const struct tfops_spec *spec, void (*fn)(void *, const char *), void *user)
{
    for (size_t i = 0; i < spec->n_dims; i++)
        if (spec->dims[i].flags != TFOPS_DIM_DERIVED)
            fn(user, spec->dims[i].name);
    for (size_t i = 0; i < spec->n_dtypes; i++)
        fn(user, spec->dtypes[i].name);
    for (size_t i = 0; i < spec->n_options; i++)
        fn(user, spec->options[i].name);
    for (size_t i = 0; i < spec->n_operands; i++)
        if (spec->operands[i].flags & TFOPS_OPERAND_OPTIONAL)
            fn(user, spec->operands[i].name);
    fn(user, "align");
    fn(user, "batch_invariant");
}

struct search {
    struct cli_guess guess;
    bool found;
    char known[sizeof(((struct tfops_error *)0)->expected)];
};

static void search_name(void *user, const char *name)
{
    struct search *search = user;
    search->found |= strcmp(search->guess.wrong, name) == 0;
    cli_guess_try(&search->guess, name);
    cli_text_list(search->known, sizeof search->known, name);
}

static bool is_scalar(const struct tfops_spec *spec, const char *name)
{
    for (size_t i = 0; i < spec->n_scalars; i++)
        if (strcmp(spec->scalars[i].name, name) == 0)
            return true;
    return false;
}

static bool check_name(struct parse *parse, const char *name)
{
    const char *op = parse->spec->name;
    struct search search = {.guess = cli_guess_start(name)};
    each_name(parse->spec, search_name, &search);
    char hint[96];
    cli_guess_text(&search.guess, hint, sizeof hint);
    if (!search.found && is_scalar(parse->spec, name))
        cli_error(parse->error, TFOPS_E_UNKNOWN, name, search.known, name,
            "%s: '%s' is a number given at launch, not part of a problem", op, name);
    else if (!search.found)
        cli_error(parse->error, TFOPS_E_UNKNOWN, name, search.known, name,
            "%s has no '%s'%s (there is: %s)", op, name, hint, search.known);
    return search.found;
}

/* Counts the values; an empty one or one too long for any is refused. */
static bool check_values(struct parse *parse, struct axis *axis)
{
    for (const char *at = axis->values;; at++) {
        size_t bytes = strcspn(at, ",");
        if (bytes == 0 || bytes >= VALUE_BYTES) {
            cli_error(parse->error, TFOPS_E_RANGE, axis->name, "a value, or values between commas",
                axis->values,
                bytes ? "%s: a value of '%.60s' is too long" : "%s: empty value in '%.60s'",
                axis->name, axis->values);
            return false;
        }
        axis->count++;
        at += bytes;
        if (!*at)
            return true;
    }
}

static bool add_axis(struct parse *parse, const char *name, const char *values)
{
    for (size_t i = 0; i < parse->n_axes; i++) {
        if (strcmp(parse->axes[i].name, name) == 0) {
            cli_error(parse->error, TFOPS_E_ARGUMENT, name, "one value or list", values,
                "'%s' is given twice", name);
            return false;
        }
    }
    if (!check_name(parse, name))
        return false;
    struct axis *axis = &parse->axes[parse->n_axes++];
    *axis = (struct axis){.values = values, .first = values};
    snprintf(axis->name, sizeof axis->name, "%s", name);
    return check_values(parse, axis);
}

static bool add_word(struct parse *parse, const char *word)
{
    size_t bytes = strcspn(word, "=");
    if (!word[bytes] || bytes == 0 || bytes >= NAME_BYTES) {
        cli_error(parse->error, TFOPS_E_ARGUMENT, word, "NAME=VALUE", word,
            "'%.80s' is not NAME=VALUE", word);
        return false;
    }
    char name[NAME_BYTES];
    memcpy(name, word, bytes);
    name[bytes] = 0;
    return add_axis(parse, name, word + bytes + 1);
}

static bool check_dims(struct parse *parse)
{
    const struct tfops_spec *spec = parse->spec;
    for (size_t d = 0; d < spec->n_dims; d++) {
        const char *name = spec->dims[d].name;
        bool given = spec->dims[d].flags == TFOPS_DIM_DERIVED ||
                     (spec->dims[d].flags != TFOPS_DIM_DYNAMIC && !spec->dims[d].min);
        for (size_t i = 0; i < parse->n_axes; i++)
            given |= strcmp(parse->axes[i].name, name) == 0;
        if (given)
            continue;
        char expected[128];
        snprintf(expected, sizeof expected, "%.60s=VALUE", name);
        cli_error(parse->error, TFOPS_E_ARGUMENT, name, expected, "", "%s needs %s", spec->name,
            expected);
        return false;
    }
    return true;
}

static bool count_product(struct parse *parse, size_t *ret_count)
{
    size_t count = 1;
    for (size_t i = 0; i < parse->n_axes; i++) {
        if (__builtin_mul_overflow(count, parse->axes[i].count, &count) ||
            count > CLI_MAX_PROBLEMS) {
            cli_error(parse->error, TFOPS_E_RANGE, parse->axes[i].name, "at most 100000 problems",
                "", "%s: the lists make more than %d problems", parse->axes[i].name,
                CLI_MAX_PROBLEMS);
            return false;
        }
    }
    *ret_count = count;
    return true;
}

static bool apply(struct parse *parse, const struct axis *axis, struct tfops_problem *problem)
{
    char value[VALUE_BYTES];
    snprintf(value, sizeof value, "%.*s", (int)strcspn(axis->values, ","), axis->values);
    enum tfops_status status = tfops_problem_set(problem, axis->name, value);
    if (status != TFOPS_OK)
        cli_last_error(status, parse->error);
    return status == TFOPS_OK;
}

static bool is_dtype(const struct tfops_spec *spec, const char *name)
{
    return spec->n_dtypes > 0 && strcmp(spec->dtypes[0].name, name) == 0;
}

/* The first dtype parameter goes first: the others default to it. */
static bool make_one(struct parse *parse, struct tfops_problem *ret_problem)
{
    enum tfops_status status = tfops_problem_init(parse->spec, ret_problem);
    ret_problem->align = 0;
    for (int pass = 0; pass < 2 && status == TFOPS_OK; pass++)
        for (size_t i = 0; i < parse->n_axes; i++)
            if (is_dtype(parse->spec, parse->axes[i].name) == (pass == 0) &&
                !apply(parse, &parse->axes[i], ret_problem))
                return false;
    if (status == TFOPS_OK)
        status = tfops_problem_check(ret_problem);
    if (status != TFOPS_OK)
        cli_last_error(status, parse->error);
    return status == TFOPS_OK;
}

/* Steps the last axis that has a value left; those after it start again. */
static void next_combination(struct parse *parse)
{
    for (size_t i = parse->n_axes; i-- > 0;) {
        struct axis *axis = &parse->axes[i];
        const char *comma = strchr(axis->values, ',');
        axis->values = comma ? comma + 1 : axis->first;
        if (comma)
            return;
    }
}

static bool make_all(struct parse *parse, struct cli_problems *ret_problems)
{
    struct cli_problems problems = {0};
    if (!count_product(parse, &problems.count))
        return false;
    problems.items = cli_new(problems.count, sizeof *problems.items);
    if (!problems.items) {
        cli_error(parse->error, TFOPS_E_MEMORY, "", NULL, NULL, "out of memory");
        return false;
    }
    for (size_t i = 0; i < problems.count; i++) {
        if (!make_one(parse, &problems.items[i])) {
            cli_problems_release(&problems);
            return false;
        }
        next_combination(parse);
    }
    *ret_problems = problems;
    return true;
}

bool cli_problem_parse(const struct cli_operators *operators, const char *const *words,
    size_t n_words, const char *dtypes, struct cli_problems *ret_problems,
    struct tfops_error *ret_error)
{
    struct parse parse = {.error = ret_error};
    if (n_words == 0) {
        cli_error(ret_error, TFOPS_E_ARGUMENT, "OP", "OP DIM=VALUE…", "",
            "no operator given: OP DIM=VALUE…");
        return false;
    }
    parse.spec = cli_operator_find(operators, words[0], ret_error);
    if (!parse.spec)
        return false;
    for (size_t i = 1; i < n_words; i++)
        if (!add_word(&parse, words[i]))
            return false;
    if (dtypes && !add_axis(&parse, parse.spec->dtypes[0].name, dtypes))
        return false;
    return check_dims(&parse) && make_all(&parse, ret_problems);
}

void cli_problems_release(struct cli_problems *problems)
{
    free(problems->items);
    *problems = (struct cli_problems){0};
}

int64_t cli_problem_extent(const struct tfops_problem *problem)
{
    for (size_t i = 0; i < problem->spec->n_dims; i++)
        if (problem->spec->dims[i].flags & TFOPS_DIM_DYNAMIC)
            return problem->dims[i];
    return 0;
}
