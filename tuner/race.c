/*
 * The race: the fastest candidates of the sweep and the default, interleaved until their intervals
 * are narrow or they cannot win any more; then the winner is confirmed (race_confirm.c). Stage between
 * sweep and record. All of it runs in the GPU worker.
 */
#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"
#include "race_state.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

enum {
    RACE_MAX = 16, /* candidates beside the default */
    ROUND_MIN_SAMPLES = 12,
    MAX_LOSSES = 3, /* of the worker, in the race */
};
#define RACE_CUT 1.10 /* within this of the best at the first look */

struct race {
    struct tune *tune;
    uint32_t runners[RACE_MAX + 1]; /* candidate indices, ascending: canonical order */
    uint32_t n, losses;
};

static struct candidate *runner_at(const struct race *race, uint32_t i)
{
    return &race->tune->candidates.list[race->runners[i]];
}

struct estimate race_estimate(const struct tune *tune, const struct candidate *candidate)
{
    struct estimate estimate = {.median = NAN, .low = NAN, .high = NAN};
    if (candidate_is_measured(candidate))
        stats_estimate(tune->env, &candidate->samples, &estimate);
    return estimate;
}

/* ---- who races --------------------------------------------------------------------------- */

static double median_at(const struct race *race, uint32_t i)
{
    return race_estimate(race->tune, runner_at(race, i)).median;
}

/* Keeps the fastest RACE_MAX beside the default. */
static void enter(struct race *race, uint32_t index)
{
    if (race->n <= RACE_MAX) {
        race->runners[race->n++] = index;
        return;
    }
    uint32_t slowest = 1;
    for (uint32_t i = 2; i < race->n; i++)
        if (median_at(race, i) > median_at(race, slowest))
            slowest = i;
    double median = race_estimate(race->tune, &race->tune->candidates.list[index]).median;
    if (median >= median_at(race, slowest))
        return;
    memmove(&race->runners[slowest], &race->runners[slowest + 1],
        (race->n - slowest - 1) * sizeof race->runners[0]);
    race->runners[race->n - 1] = index; /* indices ascend: it is the greatest so far */
}

static void line_up(struct race *race)
{
    struct tune *tune = race->tune;
    race->runners[race->n++] = tune->default_index;
    for (uint32_t i = 0; i < tune->candidates.n; i++) {
        struct candidate *candidate = &tune->candidates.list[i];
        if (i == tune->default_index || !candidate_is_measured(candidate) || !candidate->has_binary)
            continue;
        if (race_estimate(tune, candidate).median <= tune->best_ns * RACE_CUT || tune->options.only)
            enter(race, i);
    }
    for (uint32_t i = 0; i < race->n; i++)
        runner_at(race, i)->in_race = true;
}

/* What the first look left behind is told of now; the others when the race is over. */
static void report_the_rest(struct tune *tune, bool everything)
{
    for (uint32_t i = 0; i < tune->candidates.n; i++) {
        struct candidate *candidate = &tune->candidates.list[i];
        if (candidate->state == CANDIDATE_DONE && (everything || !candidate->in_race))
            tune_report(tune, candidate);
    }
}

/* ---- rounds ------------------------------------------------------------------------------ */

static bool still_runs(const struct race *race, uint32_t i)
{
    return (i == 0 || !runner_at(race, i)->beaten) &&
           runner_at(race, i)->verdict == TFOPS_VERDICT_OK;
}

static void forget_samples(struct race *race)
{
    for (uint32_t i = 0; i < race->n; i++) {
        sample_set_release(race->tune->env, &runner_at(race, i)->samples);
        runner_at(race, i)->beaten = false;
    }
}

/* Everyone who runs is loaded in the worker's present session; verified before, so not again. */
static enum tfops_status load_runners(struct race *race)
{
    struct tune *tune = race->tune;
    for (uint32_t i = 0; i < race->n; i++) {
        struct candidate *candidate = runner_at(race, i);
        if (!still_runs(race, i) ||
            (gpu_client_is_open(tune) && candidate->generation == tune->gpu.generation))
            continue;
        struct sample_set kept = candidate->samples;
        candidate->samples = (struct sample_set){0};
        enum tfops_status status = gpu_client_add(tune, race->runners[i], false);
        sample_set_release(tune->env, &candidate->samples);
        candidate->samples = kept;
        if (status)
            return status;
        if (!gpu_client_is_open(
                tune)) /* it took the worker with it: those before it are gone too */
            return race->losses++ < MAX_LOSSES
                       ? load_runners(race)
                       : error_set(TFOPS_E_WORKER, "race", tune->spec->name,
                             "a GPU worker that stays alive", candidate->why);
    }
    return TFOPS_OK;
}

/* *ret_lost: the worker went with it, `why` says how. */
static enum tfops_status measure_round(struct tune *tune, const uint32_t *indices, uint32_t n,
    uint32_t max_samples, bool *ret_lost, char why[192])
{
    struct measure_options options = {.interval = tune->options.interval,
        .min_samples = ROUND_MIN_SAMPLES,
        .max_samples = max_samples,
        .race = n > 2};
    return gpu_client_measure(tune, indices, n, &options, ret_lost, why, 192);
}

/*
 * The worker was lost while several ran: each runs alone beside nothing else, so that the culprit
 * shows itself. The race then starts again.
 */
static enum tfops_status find_culprit(struct race *race)
{
    struct tune *tune = race->tune;
    for (uint32_t i = 0; i < race->n; i++) {
        bool lost = false;
        char why[192];
        enum tfops_status status = load_runners(race);
        if (!status && still_runs(race, i))
            status = measure_round(tune, &race->runners[i], 1, ROUND_MIN_SAMPLES, &lost, why);
        if (status)
            return status;
        if (lost)
            candidate_judge(runner_at(race, i), TFOPS_VERDICT_FAULT, "in the race: %s", why);
    }
    forget_samples(race);
    return runner_at(race, 0)->verdict == TFOPS_VERDICT_OK
               ? load_runners(race)
               : error_set(TFOPS_E_DRIVER, "race", tune->candidates.list[tune->default_index].text,
                     "a default config that runs", runner_at(race, 0)->why);
}

static uint32_t active_runners(const struct race *race, uint32_t ret_indices[RACE_MAX + 1])
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < race->n; i++)
        if (still_runs(race, i))
            ret_indices[n++] = race->runners[i];
    return n;
}

/*
 * Beaten within a round, that is. A GPU that slows down while others still run would let the times before
 * that win: 64 x 224 by nine samples of 87 µs, as the rest took 86 and then 96 (docs/notes/tuner.md).
 */
void race_note_beaten(
    struct tune *tune, const uint32_t *indices, const uint32_t *before, uint32_t n)
{
    uint32_t most = 0;
    for (uint32_t i = 0; i < n; i++) {
        const uint32_t gained = tune->candidates.list[indices[i]].samples.n - before[i];
        most = gained > most ? gained : most;
    }
    for (uint32_t i = 0; i < n; i++)
        if (tune->candidates.list[indices[i]].samples.n - before[i] < most)
            tune->candidates.list[indices[i]].beaten = true;
}

/* Drops who lies above the best for certain; the default runs on. */
static void drop_losers(struct race *race)
{
    struct estimate best = {.median = INFINITY};
    for (uint32_t i = 0; i < race->n; i++) {
        struct estimate estimate = race_estimate(race->tune, runner_at(race, i));
        if (!runner_at(race, i)->beaten && estimate.median < best.median)
            best = estimate;
    }
    for (uint32_t i = 0; i < race->n; i++)
        if (race_estimate(race->tune, runner_at(race, i)).low > best.high)
            runner_at(race, i)->beaten = true;
}

/* How many of those that still run have a narrow interval, or have had their share of samples. */
static uint32_t settled_runners(const struct race *race, uint32_t *ret_active)
{
    uint32_t settled = 0;
    *ret_active = 0;
    for (uint32_t i = 0; i < race->n; i++) {
        if (!still_runs(race, i))
            continue;
        const struct candidate *candidate = runner_at(race, i);
        struct estimate estimate = race_estimate(race->tune, candidate);
        settled += stats_relative_width(&estimate) <= race->tune->options.interval ||
                   candidate->samples.n >= RACE_MAX_SAMPLES;
        ++*ret_active;
    }
    return settled;
}

static enum tfops_status run_rounds(struct race *race)
{
    struct tune *tune = race->tune;
    enum tfops_status status = TFOPS_OK;
    forget_samples(race); /* the first looks were one by one: not comparable closely */
    while (!status) {
        uint32_t indices[RACE_MAX + 1], before[RACE_MAX + 1], active;
        char why[192];
        bool lost = false;
        status = load_runners(race);
        uint32_t n = active_runners(race, indices);
        for (uint32_t i = 0; i < n; i++)
            before[i] = tune->candidates.list[indices[i]].samples.n;
        if (!status && runner_at(race, 0)->verdict != TFOPS_VERDICT_OK)
            status = error_set(TFOPS_E_DRIVER, "race", runner_at(race, 0)->text,
                "a default config that runs", runner_at(race, 0)->why);
        if (!status)
            status = measure_round(tune, indices, n, ROUND_MAX_SAMPLES, &lost, why);
        if (!status && lost) {
            log_line(tune->env, TFOPS_LOG_WARN, "tune: the race starts again: %s", why);
            status = race->losses++ < MAX_LOSSES
                         ? find_culprit(race)
                         : error_set(TFOPS_E_WORKER, "race", tune->spec->name,
                               "a GPU worker that stays alive", why);
            continue;
        }
        if (!status)
            race_note_beaten(tune, indices, before, n);
        drop_losers(race);
        uint32_t settled = settled_runners(race, &active);
        tune_progress(tune, TFOPS_TUNE_CONFIRM, settled, active);
        if (settled == active || tune_should_stop(tune))
            break;
    }
    return status;
}

/* ---- decision ---------------------------------------------------------------------------- */

enum tfops_status race_pick(struct tune *tune, bool race_only)
{
    uint32_t n = tune->candidates.n;
    struct estimate *estimates = mem_new(tune->env, n, sizeof *estimates);
    if (!estimates)
        return TFOPS_E_MEMORY;
    tune->runner_up = STATS_NONE;
    for (uint32_t i = 0; i < n; i++) {
        const struct candidate *candidate = &tune->candidates.list[i];
        bool counts = !race_only || (candidate->in_race && !candidate->beaten);
        estimates[i] = counts ? race_estimate(tune, candidate)
                              : (struct estimate){.median = NAN, .low = NAN, .high = NAN};
    }
    tune->winner = stats_pick(estimates, n, tune->default_index, tune->options.margin);
    if (race_only && tune->winner == STATS_NONE) /* of those left none is right any more */
        tune->winner = tune->default_index;
    for (uint32_t i = 0; i < n; i++)
        if (i != tune->winner && !isnan(estimates[i].median) &&
            (tune->runner_up == STATS_NONE ||
                estimates[i].median < estimates[tune->runner_up].median))
            tune->runner_up = i;
    mem_free(tune->env, estimates);
    return TFOPS_OK;
}

static enum tfops_status measure_roof(struct race *race)
{
    struct tune *tune = race->tune;
    const struct measure_options options = {.interval = tune->options.interval,
        .min_samples = ROUND_MIN_SAMPLES,
        .max_samples = ROUND_MAX_SAMPLES,
        .steady = true};
    struct candidate *winner = &tune->candidates.list[tune->winner];
    enum tfops_status status = TFOPS_OK;
    if (!gpu_client_is_open(tune) || winner->generation != tune->gpu.generation)
        status = gpu_client_add(tune, tune->winner, false);
    if (status || winner->verdict != TFOPS_VERDICT_OK)
        return status;
    return gpu_client_roof(tune, tune->winner, &options, &tune->roof_ns);
}

enum tfops_status race_decide_early(struct tune *tune)
{
    report_the_rest(tune, true);
    enum tfops_status status = race_pick(tune, false);
    if (status || tune->winner == STATS_NONE || tune->runner_up == STATS_NONE ||
        !candidate_is_measured(&tune->candidates.list[tune->default_index])) {
        tune->winner = STATS_NONE;
        return status;
    }
    return race_keep_result(tune);
}

enum tfops_status race_run(struct tune *tune)
{
    struct race race = {.tune = tune};
    line_up(&race);
    report_the_rest(tune, false);
    enum tfops_status status = run_rounds(&race);
    if (!status)
        status = race_pick(tune, true);
    if (!status) {
        status = race_keep_result(tune);
        report_the_rest(tune, true); /* with the race's samples, before fresh ones replace them */
    }
    if (!status)
        status = race_confirm(tune);
    if (!status)
        status = measure_roof(&race);
    tune_progress(tune, TFOPS_TUNE_CONFIRM, 1, 1);
    return status;
}
