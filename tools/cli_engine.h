/* Engines as tools open them, and their operators and problems. */
#ifndef TFOPS_TOOLS_CLI_ENGINE_H
#define TFOPS_TOOLS_CLI_ENGINE_H

#include "cli.h"
#include "cli_options.h"
#include "cli_problem.h"
#include <tfops/engine.h>

struct cli_target {
    const char *device; /* as tfops_engine_options.device */
    const char *cache;  /* NULL: the user's, "": none */
    const char *const *shipped;
    size_t n_shipped;
    const struct cli_list *plugins; /* may be NULL */
    enum tfops_miss_policy miss_policy;
    uint32_t flags;
};

/* Returns CLI_OK or, after saying why, an exit code. */
int cli_engine_open(
    const struct cli *cli, const struct cli_target *target, struct tfops_engine **ret_engine);

/* Whether the cache (NULL: the user's) can be written, for tools whose work is lost without it, once
 * an engine has made it. Returns CLI_OK or, after saying why not, an exit code. */
int cli_cache_check(const struct cli *cli, const char *path);

/* "0" and "cuda:0" → "cuda:0", "cpu" → "cpu"; false for anything else. */
bool cli_device_name(const char *text, char ret_name[32]);
/* The number in "cuda:0"; -1 for another device. */
int cli_device_ordinal(const char *name);
/* Whether `arch` is one of the library's; else an error that lists them. Returns an exit code. */
int cli_arch_check(const struct cli *cli, const char *arch);
/* "arch:sm_90a" */
void cli_arch_device(const char *arch, char ret_name[32]);

/* Whether libcuda is there and finds a GPU; `why` says what is missing. */
bool cli_gpu_present(char *ret_why, size_t bytes);

/* The engine's operators; free() items. false: out of memory. */
bool cli_operators_load(const struct tfops_engine *engine, struct cli_operators *ret_operators);
/* Parses the words against the engine's operators. Returns CLI_OK or, after saying why, a code. */
int cli_problems_load(const struct cli *cli, const struct tfops_engine *engine,
    const struct cli_list *words, const char *dtypes, struct cli_problems *ret_problems);
/* The same against the cpu device, for tools that must judge the words before they know a GPU. */
int cli_problems_check(const struct cli *cli, const struct cli_list *plugins,
    const struct cli_list *words, const char *dtypes);

/* tfops_problem_format() into memory to free(); NULL when memory ran out. */
char *cli_problem_text(const struct tfops_problem *problem);

#endif
