/* Emulated checks (see cli_emulate.h). */
#include "cli_emulate.h"
#include "cli_cancel.h"
#include "cli_engine.h"
#include "cli_json.h"
#include "cli_lane.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tfops/tuner.h>

static void print_json(const char *problem, const struct tfops_emulate_result *result, bool right)
{
    json *line = cli_json_event("check");
    json_add_string(line, "problem", problem);
    json_add_string(line, "config", result->config);
    json_add_bool(line, "right", right);
    json_add_int(line, "runs", result->runs);
    json_add_number(line, "error", result->error);
    json_add_string(line, "text", result->text);
    json_add_number(line, "build_s", result->build_s);
    json_add_number(line, "run_s", result->run_s);
    cli_json_emit(line);
}

static bool ends_line(const char *text)
{
    size_t length = strlen(text);
    return length && text[length - 1] == '\n';
}

static void print_text(const char *problem, const struct tfops_emulate_result *result, bool right)
{
    printf("%s\n  %s\n", problem, result->config);
    if (right)
        printf(
            "  right: %u runs on the CPU, relative error %.2e (built in %.1f s, run in %.1f s)\n",
            result->runs, result->error, result->build_s, result->run_s);
    else
        printf("  WRONG: %s%s", result->text, ends_line(result->text) ? "" : "\n");
    fflush(stdout);
}

/* The config of the command line over the default's values. */
static enum tfops_status choose_config(const struct cli_emulation *emulation,
    const struct tfops_engine *engine, const struct tfops_problem *problem,
    struct tfops_config *ret_config)
{
    const struct tfops_spec *spec = problem->spec;
    spec->default_config(spec->user, problem, tfops_engine_device(engine), ret_config);
    return emulation->config ? tfops_config_parse(spec, emulation->config, ret_config) : TFOPS_OK;
}

static int check_one(const struct cli *cli, const struct cli_emulation *emulation,
    struct tfops_engine *engine, const struct tfops_problem *problem, struct cli_totals *totals)
{
    struct tfops_config config = {0};
    struct tfops_emulate_result result = {.size = sizeof result};
    const struct tfops_emulate_options options = {.size = sizeof options,
        .config = &config,
        .arch = emulation->arch,
        .dump_dir = emulation->dump,
        .seed = emulation->seed,
        .cancel = cli_cancel_flag()};
    struct tfops_error error;
    enum tfops_status status = choose_config(emulation, engine, problem, &config);
    if (status != TFOPS_OK) {
        cli_last_error(status, &error);
        return cli_fail(cli, CLI_USAGE, &error);
    }
    status = tfops_emulate(engine, problem, &options, &result);
    if (status != TFOPS_OK && status != TFOPS_E_WRONG)
        return cli_fail_last(cli, status, NULL);
    char *text = cli_problem_text(problem);
    if (!text)
        return cli_fail_memory(cli);
    (cli->json ? print_json : print_text)(text, &result, status == TFOPS_OK);
    free(text);
    totals->problems++;
    totals->configs++;
    totals->compiled++;
    totals->verified += status == TFOPS_OK;
    totals->rejected += status != TFOPS_OK;
    return CLI_OK;
}

int cli_emulate(const struct cli *cli, const struct cli_emulation *emulation)
{
    char device[32];
    struct tfops_engine *engine = NULL;
    struct cli_problems problems = {0};
    struct cli_totals totals = {0};
    double started = cli_seconds();
    struct tfops_error error;
    cli_cancel_install("\nstopping (once more: stop now)\n");
    cli_arch_device(emulation->arch ? emulation->arch : "sm_90a", device);
    const struct cli_target target = {
        .device = device, .cache = "", .plugins = &emulation->common->plugins};
    int code = cli_engine_open(cli, &target, &engine);
    if (code == CLI_OK)
        code =
            cli_problems_load(cli, engine, &emulation->common->words, emulation->dtype, &problems);
    for (size_t i = 0; i < problems.count && code == CLI_OK; i++)
        code = check_one(cli, emulation, engine, &problems.items[i], &totals);
    cli_problems_release(&problems);
    tfops_engine_close(engine);
    if (code == CLI_OK && totals.rejected) {
        cli_error(&error, TFOPS_E_WRONG, "check", NULL, NULL, "%llu of %llu variants wrong",
            (unsigned long long)totals.rejected, (unsigned long long)totals.problems);
        code = cli_fail(cli, CLI_FAILED, &error);
    }
    if (cli->json)
        cli_totals_emit(&totals, cli_seconds() - started);
    return code;
}
