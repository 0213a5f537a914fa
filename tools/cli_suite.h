/* The named lists of problems of tfops-bench. */
#ifndef TFOPS_TOOLS_CLI_SUITE_H
#define TFOPS_TOOLS_CLI_SUITE_H

#include <stddef.h>

enum cli_suite_kind { CLI_SUITE_KERNEL = 0, CLI_SUITE_LAUNCH, CLI_SUITE_OPEN };

struct cli_suite {
    const char *name, *help;
    enum cli_suite_kind kind;
    const char *const *lines; /* each as on a command line, words between single blanks */
    size_t n_lines;
};

extern const struct cli_suite CLI_SUITES[];
extern const size_t CLI_N_SUITES;

#define CLI_SUITE_WORDS 16
/* Splits a line in place; returns the number of words. */
size_t cli_suite_split(char *line, const char *ret_words[CLI_SUITE_WORDS]);

#endif
