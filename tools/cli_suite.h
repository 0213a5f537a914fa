/* The named lists of problems that tfops-bench measures and tfops-tune tunes. */
#ifndef TFOPS_TOOLS_CLI_SUITE_H
#define TFOPS_TOOLS_CLI_SUITE_H

#include "cli.h"
#include "cli_problem.h"
#include <stddef.h>
#include <tfops/engine.h>

enum cli_suite_kind { CLI_SUITE_KERNEL = 0, CLI_SUITE_LAUNCH, CLI_SUITE_OPEN };

struct cli_suite {
    const char *name, *help;
    enum cli_suite_kind kind;
    const char *const *lines; /* each as on a command line, words between single blanks */
    size_t n_lines;
};

extern const struct cli_suite CLI_SUITES[];
extern const size_t CLI_N_SUITES;

/* CLI_OK, or a usage error that says what there is. */
int cli_suite_find(const struct cli *cli, const char *name, const struct cli_suite **ret_suite);
/* All problems of the suite, in its order. `dtypes`: as for cli_problem_parse(). Free with
 * cli_problems_release(). */
int cli_suite_load(const struct cli *cli, const struct tfops_engine *engine,
    const struct cli_suite *suite, const char *dtypes, struct cli_problems *ret_problems);

#define CLI_SUITE_WORDS 16
/* Splits a line in place; returns the number of words. */
size_t cli_suite_split(char *line, const char *ret_words[CLI_SUITE_WORDS]);

#endif
