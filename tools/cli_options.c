/* Options from one table (see cli_options.h). */
#include "cli_options.h"
#include "cli_text.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tfops/tfops.h>

#define HELP_INDENT 26
#define HELP_WIDTH 88

struct parser {
    struct cli *cli;
    const struct cli_program *program;
    char **argv;
    int argc, at;
    struct cli_common *options;
};

int cli_usage(const struct cli *cli, const char *subject, const char *expected, const char *actual,
    const char *format, ...)
{
    char message[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    struct tfops_error error;
    cli_error(&error, TFOPS_E_ARGUMENT, subject, expected, actual, "%s", message);
    return cli_fail(cli, CLI_USAGE, &error);
}

/* Words of `text` wrapped at HELP_WIDTH; the cursor stands at `column`. */
static void print_wrapped(const char *text, size_t indent, size_t column)
{
    while (*text) {
        size_t bytes = strcspn(text, " ");
        char word[128];
        snprintf(word, sizeof word, "%.*s", (int)bytes, text);
        size_t width = cli_text_width(word);
        if (column > indent && column + 1 + width > HELP_WIDTH) {
            printf("\n%*s", (int)indent, "");
            column = indent;
        } else if (column > indent) {
            putchar(' ');
            column++;
        }
        fputs(word, stdout);
        column += width;
        text += bytes + strspn(text + bytes, " ");
    }
    putchar('\n');
}

static void print_option(const char *name, const char *metavar, const char *help)
{
    char left[80];
    snprintf(left, sizeof left, "  %s%s%s", name, metavar ? " " : "", metavar ? metavar : "");
    size_t width = cli_text_width(left);
    printf("%s", left);
    if (width + 2 > HELP_INDENT) {
        putchar('\n');
        width = 0;
    }
    printf("%*s", (int)(HELP_INDENT - width), "");
    print_wrapped(help, HELP_INDENT, HELP_INDENT);
}

static void print_help(const struct cli *cli, const struct cli_program *program)
{
    const char *lead = "usage:";
    for (const char *line = program->usage; *line; lead = "      ") {
        size_t bytes = strcspn(line, "\n");
        printf("%s %s %.*s\n", lead, cli->program, (int)bytes, line);
        line += bytes + (line[bytes] == '\n');
    }
    putchar('\n');
    print_wrapped(program->summary, 0, 0);
    putchar('\n');
    for (size_t i = 0; i < program->n_options; i++) {
        const struct cli_option *option = &program->options[i];
        print_option(option->name, option->metavar, option->help);
    }
    print_option("--help", NULL, "print this text");
    print_option("--version", NULL, "print the version");
    if (program->notes)
        printf("\n%s\n", program->notes);
}

static const struct cli_option *find_option(
    const struct cli_program *program, const char *name, size_t bytes)
{
    for (size_t i = 0; i < program->n_options; i++) {
        const char *known = program->options[i].name;
        if (strlen(known) == bytes && memcmp(known, name, bytes) == 0)
            return &program->options[i];
    }
    return NULL;
}

static int unknown_option(const struct parser *parser, const char *word)
{
    char name[64], hint[96];
    snprintf(name, sizeof name, "%.*s", (int)strcspn(word, "="), word);
    struct cli_guess guess = cli_guess_start(name);
    for (size_t i = 0; i < parser->program->n_options; i++)
        cli_guess_try(&guess, parser->program->options[i].name);
    cli_guess_try(&guess, "--help");
    cli_guess_try(&guess, "--version");
    cli_guess_text(&guess, hint, sizeof hint);
    return cli_usage(parser->cli, name, "an option that --help lists", name,
        "unknown option '%s'%s (--help lists the options)", name, hint);
}

static void append(struct cli_list *list, const char *item)
{
    list->items[list->count++] = item; /* room for argc items was made */
}

static bool take_choice(const char *metavar, const char *value, int *ret_index)
{
    int index = 0;
    for (const char *at = metavar; *at; index++) {
        size_t bytes = strcspn(at, "|");
        if (strlen(value) == bytes && memcmp(at, value, bytes) == 0) {
            *ret_index = index;
            return true;
        }
        at += bytes + (at[bytes] == '|');
    }
    return false;
}

/* "BLOCK_M=128": a tunable, so that the dimensions behind --config are not swallowed. */
static bool is_tunable_pair(const char *word)
{
    size_t n = strspn(word, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_");
    return n > 0 && word[n] == '=';
}

static bool store(struct parser *parser, const struct cli_option *option, const char *value)
{
    void *field = (char *)parser->options + option->offset;
    switch (option->kind) {
    case CLI_FLAG:
        *(bool *)field = true;
        return true;
    case CLI_TEXT:
        *(const char **)field = value;
        return true;
    case CLI_CHOICE:
        return take_choice(option->metavar, value, field);
    case CLI_UINT:
        return cli_parse_uint(value, field);
    case CLI_NUMBER:
        return cli_parse_number(value, field);
    case CLI_LIST:
        append(field, value);
        return true;
    case CLI_PAIRS:
        append(field, value);
        while (parser->at + 1 < parser->argc && is_tunable_pair(parser->argv[parser->at + 1]))
            append(field, parser->argv[++parser->at]);
        return true;
    }
    return false;
}

/* A value is taken whatever it looks like, except that a forgotten one must not eat an option. */
static int take_option(struct parser *parser, const char *word)
{
    size_t bytes = strcspn(word, "=");
    const struct cli_option *option = find_option(parser->program, word, bytes);
    if (!option)
        return unknown_option(parser, word);
    const char *value = word[bytes] == '=' ? word + bytes + 1 : NULL;
    if (option->kind == CLI_FLAG && value)
        return cli_usage(
            parser->cli, option->name, "no value", value, "%s takes no value", option->name);
    if (option->kind != CLI_FLAG && !value) {
        if (parser->at + 1 < parser->argc && strncmp(parser->argv[parser->at + 1], "--", 2) != 0)
            value = parser->argv[++parser->at];
        else
            return cli_usage(parser->cli, option->name, option->metavar, "", "%s needs a value: %s",
                option->name, option->metavar);
    }
    if (store(parser, option, value))
        return CLI_OK;
    return cli_usage(parser->cli, option->name, option->metavar, value, "%s: '%.80s' is not %s",
        option->name, value,
        option->kind == CLI_UINT     ? "a non-negative whole number"
        : option->kind == CLI_NUMBER ? "a non-negative number"
                                     : option->metavar);
}

static bool make_lists(struct parser *parser)
{
    size_t room = (size_t)(parser->argc > 0 ? parser->argc : 1);
    parser->options->words.items = cli_new(room, sizeof(char *));
    bool good = parser->options->words.items;
    for (size_t i = 0; i < parser->program->n_options; i++) {
        const struct cli_option *option = &parser->program->options[i];
        if (option->kind != CLI_LIST && option->kind != CLI_PAIRS)
            continue;
        struct cli_list *list = (void *)((char *)parser->options + option->offset);
        list->items = cli_new(room, sizeof(char *));
        good = good && list->items;
    }
    return good;
}

/* Returns true to go on with the next word. */
static bool take_word(struct parser *parser, bool *options_ended, int *ret_exit)
{
    const char *word = parser->argv[parser->at];
    if (*options_ended || word[0] != '-' || !word[1]) {
        append(&parser->options->words, word);
        return true;
    }
    if (strcmp(word, "--") == 0) {
        *options_ended = true;
        return true;
    }
    *ret_exit = CLI_OK;
    if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0)
        print_help(parser->cli, parser->program);
    else if (strcmp(word, "--version") == 0)
        printf("%s %s\n", parser->cli->program, tfops_version());
    else
        return (*ret_exit = take_option(parser, word)) == CLI_OK;
    *ret_exit = cli_finish(parser->cli, CLI_OK);
    return false;
}

bool cli_options_parse(struct cli *cli, const struct cli_program *program, int argc, char **argv,
    struct cli_common *options, int *ret_exit)
{
    struct parser parser = {cli, program, argv, argc, 0, options};
    if (!make_lists(&parser)) {
        *ret_exit = cli_fail_memory(cli);
        return false;
    }
    bool options_ended = false;
    for (parser.at = 1; parser.at < argc; parser.at++)
        if (!take_word(&parser, &options_ended, ret_exit))
            return false;
    cli->json = options->json;
    cli->log_level = (enum tfops_log_level)options->log;
    return true;
}

void cli_options_release(const struct cli_program *program, struct cli_common *options)
{
    free(options->words.items);
    options->words = (struct cli_list){0};
    for (size_t i = 0; i < program->n_options; i++) {
        const struct cli_option *option = &program->options[i];
        if (option->kind != CLI_LIST && option->kind != CLI_PAIRS)
            continue;
        struct cli_list *list = (void *)((char *)options + option->offset);
        free(list->items);
        *list = (struct cli_list){0};
    }
}
