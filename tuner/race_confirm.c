/*
 * The winner of the race against the default, on fresh inputs, samples and memory: last stage of the
 * race. Where buffers lie moves a time by 1 to 4%, another amount for each config: the winner has to be
 * ahead by the margin at one place and not behind at others. It is timed as results are
 * (measure_options.steady).
 */
#include "base/error.h"
#include "race_state.h"

enum {
    MAX_CONFIRMATIONS = 3, /* winners that do not hold up */
    PLACES = 3,            /* of the buffers */
    CONFIRM_MIN_SAMPLES = 12,
};

/* What the time of a launch of less than 1 µs was seen to differ by between processes on one GPU, by
 * another amount for each config (docs/notes/tuner.md). */
static const double LAUNCH_NS = 70;

static enum tfops_status copy_samples(
    const struct env *env, const struct sample_set *from, struct sample_set *to)
{
    enum tfops_status status = TFOPS_OK;
    sample_set_release(env, to);
    *to = (struct sample_set){0};
    for (uint32_t i = 0; !status && i < from->n; i++)
        status = sample_set_add(env, to, from->ns[i]);
    return status;
}

enum tfops_status race_keep_result(struct tune *tune)
{
    struct candidate *winner = &tune->candidates.list[tune->winner];
    struct candidate *standard = &tune->candidates.list[tune->default_index];
    enum tfops_status status = copy_samples(tune->env, &winner->samples, &tune->winner_samples);
    if (!status)
        status = copy_samples(tune->env, &standard->samples, &tune->default_samples);
    if (!status)
        status =
            stats_ratio(tune->env, &tune->default_samples, &tune->winner_samples, &tune->speedup);
    return status;
}

/* Of several places the one where the winner gains least is the result. */
static enum tfops_status keep_least(struct tune *tune, bool first)
{
    struct estimate speedup;
    enum tfops_status status =
        stats_ratio(tune->env, &tune->candidates.list[tune->default_index].samples,
            &tune->candidates.list[tune->winner].samples, &speedup);
    if (status || (!first && speedup.median >= tune->speedup.median))
        return status;
    return race_keep_result(tune);
}

static enum tfops_status add_fresh(struct tune *tune, uint32_t index, bool verify)
{
    struct candidate *candidate = &tune->candidates.list[index];
    sample_set_release(tune->env, &candidate->samples);
    candidate->samples = (struct sample_set){0};
    return gpu_client_add(tune, index, verify);
}

/* Samples of winner and default, interleaved, until they are enough. */
static enum tfops_status measure_pair(struct tune *tune, bool *ret_lost, char why[192])
{
    const struct candidate *winner = &tune->candidates.list[tune->winner];
    const uint32_t pair[2] = {tune->winner, tune->default_index};
    const struct measure_options options = {.interval = tune->options.interval,
        .min_samples = CONFIRM_MIN_SAMPLES,
        .max_samples = ROUND_MAX_SAMPLES,
        .steady = true};
    for (;;) {
        enum tfops_status status = gpu_client_measure(tune, pair, 2, &options, ret_lost, why, 192);
        if (status || *ret_lost)
            return status;
        struct estimate estimate = race_estimate(tune, winner);
        if (stats_relative_width(&estimate) <= tune->options.interval ||
            winner->samples.n >= RACE_MAX_SAMPLES || tune_should_stop(tune))
            return TFOPS_OK;
    }
}

/* At one place, with fresh inputs; at the first both are verified again. *ret_right false: the winner
 * failed. */
static enum tfops_status measure_at(struct tune *tune, uint32_t place, bool *ret_right)
{
    struct candidate *winner = &tune->candidates.list[tune->winner];
    char why[192];
    bool lost = false;
    *ret_right = false;
    gpu_client_reopen(tune, ++tune->confirm_seed, place);
    enum tfops_status status = add_fresh(tune, tune->winner, !place);
    if (status || winner->verdict != TFOPS_VERDICT_OK)
        return status;
    status = add_fresh(tune, tune->default_index, !place);
    if (!status && tune->candidates.list[tune->default_index].verdict != TFOPS_VERDICT_OK)
        return error_set(TFOPS_E_WRONG, "tune", tune->spec->name, "a default config that is right",
            tune->candidates.list[tune->default_index].why);
    if (!status)
        status = measure_pair(tune, &lost, why);
    if (lost)
        candidate_judge(winner, TFOPS_VERDICT_FAULT, "when confirmed: %s", why);
    *ret_right = !status && !lost;
    return status;
}

/* What the winner must gain at the first place, as a share of its time. */
static double needed_gain(const struct tune *tune)
{
    const struct estimate winner = race_estimate(tune, &tune->candidates.list[tune->winner]);
    const double margin = tune->options.margin, launch = LAUNCH_NS / winner.median;
    return launch > margin ? launch : margin;
}

/* *ret_right false: the winner failed; else *ret_held says whether it is as fast as it must be at each
 * place. */
static enum tfops_status measure_places(struct tune *tune, bool *ret_right, bool *ret_held)
{
    *ret_right = *ret_held = true;
    for (uint32_t place = 0; place < PLACES && *ret_held; place++) {
        enum tfops_status status = measure_at(tune, place, ret_right);
        if (!status && *ret_right)
            status = keep_least(tune, !place);
        if (status || !*ret_right)
            return status;
        *ret_held = stats_beats(&tune->speedup, place ? 0 : needed_gain(tune));
    }
    return TFOPS_OK;
}

enum tfops_status race_confirm(struct tune *tune)
{
    for (int i = 0; i < MAX_CONFIRMATIONS && tune->winner != tune->default_index; i++) {
        bool right, held;
        enum tfops_status status = measure_places(tune, &right, &held);
        if (status)
            return status;
        tune->confirmed = right;
        if (right && held)
            return TFOPS_OK;
        if (right) {
            tune->runner_up = tune->winner;
            tune->winner = tune->default_index;
            return race_keep_result(tune);
        }
        status = race_pick(tune, true); /* the winner has lost its verdict: the next one */
        if (status)
            return status;
    }
    tune->winner = tune->default_index;
    return race_keep_result(tune);
}
