/* Engines as tools open them (see cli_engine.h). */
#include "cli_engine.h"
#include "cli_text.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tfops/cache.h>
#include <tfops/plan.h>

int cli_engine_open(
    const struct cli *cli, const struct cli_target *target, struct tfops_engine **ret_engine)
{
    struct tfops_engine_options options = {
        .size = sizeof options,
        .device = target->device,
        .cache_path = target->cache,
        .shipped_paths = target->shipped,
        .n_shipped = target->n_shipped,
        .miss_policy = target->miss_policy,
        .flags = target->flags,
        .plugin_paths = target->plugins ? target->plugins->items : NULL,
        .n_plugins = target->plugins ? target->plugins->count : 0,
        .log = cli_log,
        .log_user = (void *)cli,
    };
    enum tfops_status status = tfops_engine_open(&options, ret_engine);
    return status == TFOPS_OK ? CLI_OK : cli_fail_last(cli, status, NULL);
}

int cli_cache_check(const struct cli *cli, const char *path)
{
    char usual[4096];
    struct tfops_cache *cache = NULL;
    struct tfops_error error;
    enum tfops_status status = TFOPS_OK;
    if (path && !path[0]) {
        cli_error(&error, TFOPS_E_CACHE, "--cache", "a file to write", "none",
            "--cache: expected a file to write, got none");
        return cli_fail(cli, CLI_FAILED, &error);
    }
    if (!path)
        status = tfops_cache_default_path(usual, sizeof usual);
    if (status == TFOPS_OK)
        status = tfops_cache_open_writable(path ? path : usual, &cache);
    tfops_cache_close(cache);
    return status == TFOPS_OK ? CLI_OK : cli_fail_last(cli, status, "nothing can be kept");
}

bool cli_device_name(const char *text, char ret_name[32])
{
    uint64_t index;
    if (strcmp(text, "cpu") == 0) {
        snprintf(ret_name, 32, "cpu");
        return true;
    }
    const char *number = strncmp(text, "cuda:", 5) == 0 ? text + 5 : text;
    if (!cli_parse_uint(number, &index) || index > INT32_MAX)
        return false;
    snprintf(ret_name, 32, "cuda:%d", (int)index);
    return true;
}

int cli_device_ordinal(const char *name)
{
    uint64_t index;
    bool cuda = strncmp(name, "cuda:", 5) == 0 && cli_parse_uint(name + 5, &index);
    return cuda && index <= INT32_MAX ? (int)index : -1;
}

int cli_arch_check(const struct cli *cli, const char *arch)
{
    char known[192] = "", hint[96];
    struct cli_guess guess = cli_guess_start(arch);
    for (size_t i = 0; i < tfops_arch_count(); i++) {
        if (strcmp(tfops_arch_name(i), arch) == 0)
            return CLI_OK;
        cli_guess_try(&guess, tfops_arch_name(i));
        cli_text_list(known, sizeof known, tfops_arch_name(i));
    }
    cli_guess_text(&guess, hint, sizeof hint);
    return cli_usage(cli, "--arch", known, arch, "unknown architecture '%.40s'%s (there is: %s)",
        arch, hint, known);
}

void cli_arch_device(const char *arch, char ret_name[32])
{
    snprintf(ret_name, 32, "arch:%.24s", arch);
}

bool cli_gpu_present(char *ret_why, size_t bytes)
{
    struct tfops_platform platform = {.size = sizeof platform};
    enum tfops_status status = tfops_platform_query(NULL, NULL, &platform);
    bool present = status == TFOPS_OK && platform.device_count > 0;
    if (!present)
        snprintf(ret_why, bytes, "%s",
            status == TFOPS_OK && platform.driver_version > 0 ? "the driver finds no device"
                                                              : "no usable libcuda");
    return present;
}

bool cli_operators_load(const struct tfops_engine *engine, struct cli_operators *ret_operators)
{
    size_t count = tfops_engine_operator_count(engine);
    const struct tfops_spec **items = cli_new(count, sizeof(struct tfops_spec *));
    if (!items)
        return false;
    for (size_t i = 0; i < count; i++)
        items[i] = tfops_engine_operator_at(engine, i);
    *ret_operators = (struct cli_operators){items, count};
    return true;
}

int cli_problems_load(const struct cli *cli, const struct tfops_engine *engine,
    const struct cli_list *words, const char *dtypes, struct cli_problems *ret_problems)
{
    struct cli_operators operators;
    if (!cli_operators_load(engine, &operators))
        return cli_fail_memory(cli);
    struct tfops_error error;
    bool good =
        cli_problem_parse(&operators, words->items, words->count, dtypes, ret_problems, &error);
    free((void *)operators.items);
    if (good)
        return CLI_OK;
    return cli_fail(cli, error.status == TFOPS_E_MEMORY ? CLI_FAILED : CLI_USAGE, &error);
}

int cli_problems_check(const struct cli *cli, const struct cli_list *plugins,
    const struct cli_list *words, const char *dtypes)
{
    struct cli_target target = {.device = "cpu", .cache = "", .plugins = plugins};
    struct tfops_engine *engine = NULL;
    struct cli_problems problems = {0};
    int code = cli_engine_open(cli, &target, &engine);
    if (code == CLI_OK)
        code = cli_problems_load(cli, engine, words, dtypes, &problems);
    cli_problems_release(&problems);
    tfops_engine_close(engine);
    return code;
}

char *cli_problem_text(const struct tfops_problem *problem)
{
    size_t length = tfops_problem_format(problem, NULL, 0);
    char *text = cli_new(length + 1, 1);
    if (text)
        tfops_problem_format(problem, text, length + 1);
    return text;
}
