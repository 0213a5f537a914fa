/* The winner of the race against the default, on fresh inputs and samples: last stage of the race. */
#include "base/error.h"
#include "race_state.h"

enum { MAX_CONFIRMATIONS = 3 }; /* winners that do not hold up */

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

static enum tfops_status add_fresh(struct tune *tune, uint32_t index)
{
    struct candidate *candidate = &tune->candidates.list[index];
    sample_set_release(tune->env, &candidate->samples);
    candidate->samples = (struct sample_set){0};
    return gpu_client_add(tune, index, true);
}

/* Fresh inputs, both verified again, samples interleaved. *ret_held false: the winner failed. */
static enum tfops_status measure_fresh(struct tune *tune, bool *ret_held)
{
    struct candidate *winner = &tune->candidates.list[tune->winner];
    const uint32_t pair[2] = {tune->winner, tune->default_index};
    char why[192];
    *ret_held = false;
    gpu_client_reseed(tune, ++tune->confirm_seed);
    enum tfops_status status = add_fresh(tune, tune->winner);
    if (status || winner->verdict != TFOPS_VERDICT_OK)
        return status;
    status = add_fresh(tune, tune->default_index);
    if (!status && tune->candidates.list[tune->default_index].verdict != TFOPS_VERDICT_OK)
        return error_set(TFOPS_E_WRONG, "tune", tune->spec->name, "a default config that is right",
            tune->candidates.list[tune->default_index].why);
    while (!status) {
        bool lost = false;
        status = race_measure_round(tune, pair, 2, ROUND_MAX_SAMPLES, &lost, why);
        if (status)
            return status;
        if (lost) {
            candidate_judge(winner, TFOPS_VERDICT_FAULT, "when confirmed: %s", why);
            return TFOPS_OK;
        }
        struct estimate estimate = race_estimate(tune, winner);
        if (stats_relative_width(&estimate) <= tune->options.interval ||
            winner->samples.n >= RACE_MAX_SAMPLES || tune_should_stop(tune))
            break;
    }
    *ret_held = !status;
    return status;
}

enum tfops_status race_confirm(struct tune *tune)
{
    for (int i = 0; i < MAX_CONFIRMATIONS && tune->winner != tune->default_index; i++) {
        bool held;
        enum tfops_status status = measure_fresh(tune, &held);
        if (!status && held)
            status = race_keep_result(tune);
        if (status)
            return status;
        if (held) {
            tune->confirmed = true;
            if (stats_beats(&tune->speedup, tune->options.margin))
                return TFOPS_OK;
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
