/*
 * Options from one table: parsing, --help and the refusals all come from it. An option's value is
 * written at its offset in the tool's options struct, which starts with struct cli_common.
 */
#ifndef TFOPS_TOOLS_CLI_OPTIONS_H
#define TFOPS_TOOLS_CLI_OPTIONS_H

#include "cli.h"
#include <stdint.h>

enum cli_kind {
    CLI_FLAG = 0, /* bool */
    CLI_TEXT,     /* const char * */
    CLI_CHOICE,   /* int: index into the metavar split at '|' */
    CLI_UINT,     /* uint64_t */
    CLI_NUMBER,   /* double ≥ 0 */
    CLI_LIST,     /* struct cli_list: one more item each time the option is given */
    CLI_PAIRS, /* struct cli_list: this word and the NAME=VALUE words after it, NAME in capitals */
};

struct cli_list {
    const char **items;
    size_t count;
};

struct cli_option {
    const char *name;    /* "--cache" */
    const char *metavar; /* "FILE"; NULL for a flag */
    enum cli_kind kind;
    size_t offset;
    const char *help;
};

struct cli_common {
    struct cli_list words; /* what is not an option */
    struct cli_list plugins;
    bool json;
    int log; /* enum tfops_log_level */
};

/* Every tool's options end with these; `T` is the tool's struct, its first member `common`. */
#define CLI_COMMON_OPTIONS(T)                                                                      \
    {"--plugin", "FILE.so", CLI_LIST, offsetof(T, common.plugins),                                 \
        "add the operators of a plug-in; may be given again"},                                     \
        {"--json", NULL, CLI_FLAG, offsetof(T, common.json),                                       \
            "one JSON object per line on stdout, errors included"},                                \
    {                                                                                              \
        "--log", "error|warn|info|debug", CLI_CHOICE, offsetof(T, common.log),                     \
            "how much the library says on stderr (default: warn)"                                  \
    }
#define CLI_COMMON_DEFAULTS                                                                        \
    {                                                                                              \
        .log = TFOPS_LOG_WARN                                                                      \
    }

struct cli_program {
    const char *usage;   /* "OP DIM=VALUE… [OPTION…]"; several lines: one usage each */
    const char *summary; /* one or two sentences */
    const struct cli_option *options;
    size_t n_options;
    const char *notes; /* after the options; may be NULL */
};

/*
 * Parses into `options`. True: go on. False: everything is said, exit with *ret_exit (--help and
 * --version too). Strings point into argv; the lists are freed with cli_options_release().
 */
bool cli_options_parse(struct cli *cli, const struct cli_program *program, int argc, char **argv,
    struct cli_common *options, int *ret_exit);
void cli_options_release(const struct cli_program *program, struct cli_common *options);

/* A usage error of the tool's own: prints it and where help is, returns CLI_USAGE. */
int cli_usage(const struct cli *cli, const char *subject, const char *expected, const char *actual,
    const char *format, ...) __attribute__((format(printf, 5, 6)));

#endif
