/* Tuning many problems on one or several devices (see cli_lane.h). */
#define _POSIX_C_SOURCE 200809L
#include "cli_lane.h"
#include "cli_cancel.h"
#include "cli_engine.h"
#include "cli_json.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- while a problem is tuned ---------------------------------------------------------------- */

static void show_progress(struct cli_run *run, const struct cli_lane *lane, const char *doing)
{
    double fraction = (double)run->done;
    for (size_t i = 0; i < run->n_lanes; i++)
        fraction += run->lanes[i].fraction;
    char text[256];
    snprintf(text, sizeof text, "%zu/%zu  %s  %s%s%.120s", run->done, run->total, doing,
        run->n_lanes > 1 ? lane->device : "", run->n_lanes > 1 ? "  " : "", lane->text);
    cli_progress_show(&run->progress, run->total ? fraction / (double)run->total : 0, text);
}

static void on_progress(void *user, enum tfops_tune_stage stage, uint32_t done, uint32_t total)
{
    static const char *const NAMES[] = {[TFOPS_TUNE_COMPILE] = "compile",
        [TFOPS_TUNE_MEASURE] = "measure",
        [TFOPS_TUNE_CONFIRM] = "confirm"};
    /* Shares of a problem's time, for the estimate; compiling overlaps measuring. */
    static const double START[] = {0, 0.4, 0.9}, SHARE[] = {0.4, 0.5, 0.1};
    struct cli_lane *lane = user;
    struct cli_run *run = lane->run;
    double part = total ? (double)done / total : 0;
    char doing[64];
    snprintf(doing, sizeof doing, "%s %u/%u", NAMES[stage], done, total);
    pthread_mutex_lock(&run->lock);
    double fraction =
        run->options.compile_only ? part : START[stage] + SHARE[stage] * fmin(part, 1);
    lane->fraction = fmax(lane->fraction, fmin(fraction, 1));
    show_progress(run, lane, doing);
    pthread_mutex_unlock(&run->lock);
}

static void on_candidate(void *user, const struct tfops_candidate *candidate)
{
    struct cli_lane *lane = user;
    cli_sweep_add(&lane->sweep, candidate);
    if (!lane->run->cli->json)
        return;
    json *line = cli_sweep_candidate_json(candidate);
    json_add_string(line, "problem", lane->text);
    json_add_string(line, "device", lane->device);
    pthread_mutex_lock(&lane->run->lock);
    cli_progress_clear(&lane->run->progress);
    cli_json_emit(line);
    pthread_mutex_unlock(&lane->run->lock);
}

/* ---- after it -------------------------------------------------------------------------------- */

/* A tuner that was stopped may have written no result: then the candidates are counted. */
static void count_sweep(const struct cli_sweep *sweep, struct tfops_tune_result *result)
{
    for (size_t i = 0; i < sweep->count; i++) {
        const struct tfops_candidate *candidate = &sweep->items[i];
        enum tfops_verdict verdict = candidate->verdict;
        if (verdict == TFOPS_VERDICT_PRUNED)
            continue;
        bool broken = verdict == TFOPS_VERDICT_COMPILE_FAILED || verdict == TFOPS_VERDICT_ERROR;
        result->configs++;
        result->cached += candidate->cached;
        result->compiled += !candidate->cached && !broken;
        result->verified += verdict == TFOPS_VERDICT_OK;
        result->failed += broken;
        result->rejected +=
            !broken && verdict != TFOPS_VERDICT_OK && verdict != TFOPS_VERDICT_COMPILED;
    }
}

static void add_totals(
    struct cli_totals *totals, const struct tfops_tune_result *result, enum tfops_status status)
{
    totals->problems++;
    totals->problems_failed += status != TFOPS_OK;
    totals->configs += result->configs;
    totals->compiled += result->compiled;
    totals->cached += result->cached;
    totals->verified += result->verified;
    totals->rejected += result->rejected;
    totals->failed += result->failed;
}

static void report_json(const struct cli_lane *lane, const struct tfops_problem *problem,
    const struct tfops_tune_result *result, enum tfops_status status)
{
    json *line = cli_json_event("problem");
    json_add_string(line, "op", problem->spec->name);
    json_add_string(line, "problem", lane->text);
    json_add_string(line, "device", lane->device);
    json_add_string(line, "device_name", tfops_engine_device(lane->engine)->name);
    json_add_string(line, "arch", tfops_engine_device(lane->engine)->arch);
    json_add_string(line, "status", tfops_status_name(status));
    cli_sweep_result_json(line, result);
    cli_json_emit(line);
}

static void report_text(
    struct cli_lane *lane, const struct tfops_tune_result *result, enum tfops_status status)
{
    const struct cli_run *run = lane->run;
    const struct tfops_device *device = tfops_engine_device(lane->engine);
    printf("%s on %s (%s)\n", lane->text, device->name, device->arch);
    cli_sweep_print(&lane->sweep, result->roof_ns, run->top);
    char verdict[1536];
    cli_sweep_verdict(result, run->options.compile_only, verdict, sizeof verdict);
    if (run->options.dry_run)
        printf("%u configs to try; nothing was compiled (--dry-run)\n\n", result->configs);
    else
        printf("%s%s\n\n", status == TFOPS_OK ? "" : "stopped: ", verdict);
    fflush(stdout);
}

/* The tuner goes on when it cannot write one; what was in the way, its warning has said. */
static bool lacks_record(const struct cli_run *run, const struct tfops_tune_result *result)
{
    return run->records && result->configs > 0 && !result->recorded;
}

static void report_unrecorded(const struct cli_lane *lane)
{
    struct tfops_error error;
    cli_error(&error, TFOPS_E_CACHE, lane->text, "a record in the cache", "none",
        "%.400s: measured, but its record could not be written", lane->text);
    cli_fail(lane->run->cli, CLI_FAILED, &error);
}

static void report(struct cli_lane *lane, const struct tfops_problem *problem,
    struct tfops_tune_result *result, enum tfops_status tuned)
{
    struct cli_run *run = lane->run;
    enum tfops_status status =
        tuned == TFOPS_OK && lacks_record(run, result) ? TFOPS_E_CACHE : tuned;
    if (status != TFOPS_OK && result->configs == 0)
        count_sweep(&lane->sweep, result);
    pthread_mutex_lock(&run->lock);
    cli_progress_clear(&run->progress);
    add_totals(&run->totals, result, status);
    run->done++;
    lane->fraction = 0;
    if (run->cli->json)
        report_json(lane, problem, result, status);
    else
        report_text(lane, result, status);
    if (tuned != TFOPS_OK)
        cli_fail_last(run->cli, tuned, lane->text);
    else if (status != TFOPS_OK)
        report_unrecorded(lane);
    pthread_mutex_unlock(&run->lock);
}

/* ---- a lane ---------------------------------------------------------------------------------- */

/* The problem to do next, or NULL. `ret_budget_s` is its share of what is left; 0: no budget. */
static const struct tfops_problem *take(struct cli_lane *lane, double *ret_budget_s)
{
    struct cli_run *run = lane->run;
    const struct tfops_problem *problem = NULL;
    pthread_mutex_lock(&run->lock);
    size_t *next = &run->next[lane->queue];
    while (*next < lane->problems.count && *next % run->shards != run->shard)
        ++*next;
    double left = run->deadline > 0 ? run->deadline - cli_seconds() : 0;
    bool in_time = run->deadline <= 0 || left > 0;
    if (*next < lane->problems.count && in_time && !cli_cancelled()) {
        problem = &lane->problems.items[(*next)++];
        size_t waiting = run->total > run->done ? run->total - run->done : 1;
        double rounds = ceil((double)waiting / (double)run->n_lanes);
        *ret_budget_s = run->deadline > 0 ? left / rounds : 0;
    }
    pthread_mutex_unlock(&run->lock);
    return problem;
}

/* The config of --config: the tunables not named keep the default's values. */
static enum tfops_status only_config(const struct cli_lane *lane,
    const struct tfops_problem *problem, struct tfops_config *ret_config)
{
    const struct tfops_spec *spec = problem->spec;
    *ret_config = (struct tfops_config){0};
    spec->default_config(spec->user, problem, tfops_engine_device(lane->engine), ret_config);
    return tfops_config_parse(spec, lane->run->config, ret_config);
}

static void tune_one(struct cli_lane *lane, const struct tfops_problem *problem, double budget_s)
{
    struct tfops_tune_options options = lane->run->options;
    struct tfops_tune_result result = {.size = sizeof result, .error = NAN};
    struct tfops_config only;
    enum tfops_status status = TFOPS_OK;
    options.size = sizeof options;
    options.budget_s = budget_s;
    options.candidate = on_candidate;
    options.progress = on_progress;
    options.user = lane;
    options.cancel = cli_cancel_flag();
    if (lane->run->config) {
        status = only_config(lane, problem, &only);
        options.only = &only;
    }
    char *text = cli_problem_text(problem);
    lane->text = text ? text : problem->spec->name;
    cli_sweep_init(&lane->sweep);
    if (status == TFOPS_OK)
        status = tfops_tune(lane->engine, problem, &options, &result);
    report(lane, problem, &result, status);
    cli_sweep_release(&lane->sweep);
    lane->text = "";
    free(text);
}

static void *work(void *user)
{
    struct cli_lane *lane = user;
    const struct tfops_problem *problem;
    double budget_s = 0;
    while ((problem = take(lane, &budget_s)))
        tune_one(lane, problem, budget_s);
    return NULL;
}

/* The first lane works in this thread; one that cannot start leaves its share to the others. */
static void work_all(struct cli_run *run)
{
    pthread_t threads[CLI_MAX_LANES];
    bool started[CLI_MAX_LANES] = {false};
    for (size_t i = 1; i < run->n_lanes; i++)
        started[i] = pthread_create(&threads[i], NULL, work, &run->lanes[i]) == 0;
    work(&run->lanes[0]);
    for (size_t i = 1; i < run->n_lanes; i++) {
        if (started[i])
            pthread_join(threads[i], NULL);
        else
            work(&run->lanes[i]);
    }
}

static size_t shard_size(const struct cli_run *run, size_t problems)
{
    return problems / run->shards + (problems % run->shards > run->shard);
}

static void count_total(struct cli_run *run)
{
    for (size_t i = 0; i < run->n_lanes; i++)
        if (run->lanes[i].queue == i)
            run->total += shard_size(run, run->lanes[i].problems.count);
}

void cli_totals_emit(const struct cli_totals *totals, double seconds)
{
    json *line = cli_json_event("summary");
    json_add_int(line, "problems", (int64_t)totals->problems);
    json_add_int(line, "configs", (int64_t)totals->configs);
    json_add_int(line, "compiled", (int64_t)totals->compiled);
    json_add_int(line, "cached", (int64_t)totals->cached);
    json_add_int(line, "verified", (int64_t)totals->verified);
    json_add_int(line, "rejected", (int64_t)totals->rejected);
    json_add_int(line, "failed", (int64_t)totals->failed);
    json_add_number(line, "seconds", seconds);
    cli_json_emit(line);
}

static void summarise(const struct cli_run *run, double seconds)
{
    const struct cli_totals *totals = &run->totals;
    if (!run->cli->json) {
        if (run->total > 1)
            printf("%llu of %zu problems, %llu configs in %.1f s\n",
                (unsigned long long)totals->problems, run->total,
                (unsigned long long)totals->configs, seconds);
        return;
    }
    cli_totals_emit(totals, seconds);
}

int cli_run_all(struct cli_run *run)
{
    double started = cli_seconds();
    count_total(run);
    work_all(run);
    cli_progress_clear(&run->progress);
    summarise(run, cli_seconds() - started);
    if (run->total == 0)
        fprintf(stderr, "%s: no problem is in shard %llu of %llu\n", run->cli->program,
            (unsigned long long)run->shard + 1, (unsigned long long)run->shards);
    if (run->totals.problems < run->total && !cli_cancelled())
        fprintf(stderr, "%s: the budget ended before %zu of %zu problems\n", run->cli->program,
            run->total - (size_t)run->totals.problems, run->total);
    bool whole = run->totals.problems == run->total || !cli_cancelled();
    return run->totals.problems_failed == 0 && whole ? CLI_OK : CLI_FAILED;
}
