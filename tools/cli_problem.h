/*
 * The problem parser: `OP DIM=VALUE… [DIM=v1,v2…]` becomes the list of all combinations. Every
 * refusal names the word, says what was expected and suggests the nearest name.
 */
#ifndef TFOPS_TOOLS_CLI_PROBLEM_H
#define TFOPS_TOOLS_CLI_PROBLEM_H

#include <stdbool.h>
#include <stddef.h>
#include <tfops/spec.h>
#include <tfops/status.h>

#define CLI_MAX_PROBLEMS 100000 /* of one command line; a longer product is refused */

struct cli_operators {
    const struct tfops_spec *const *items;
    size_t count;
};

struct cli_problems {
    struct tfops_problem *items;
    size_t count;
};

/*
 * words[0] is the operator; the others set a dimension, a dtype parameter, an option, an optional
 * operand (0 or 1), `align` or `batch_invariant`, each at most once, each to one value or a
 * comma-separated list. All dimensions must be given. The first word varies slowest. `dtypes`
 * (--dtype; may be NULL) is a list for the first dtype parameter. Alignments default to what
 * contiguous operands have.
 *
 * False: *ret_error says why, nothing is allocated. Free with cli_problems_release().
 */
bool cli_problem_parse(const struct cli_operators *operators, const char *const *words,
    size_t n_words, const char *dtypes, struct cli_problems *ret_problems,
    struct tfops_error *ret_error);
void cli_problems_release(struct cli_problems *problems);

/* The extent of the problem's dynamic dimension. */
int64_t cli_problem_extent(const struct tfops_problem *problem);

/* The operator of that name, or NULL with *ret_error saying what there is. */
const struct tfops_spec *cli_operator_find(
    const struct cli_operators *operators, const char *name, struct tfops_error *ret_error);

#endif
