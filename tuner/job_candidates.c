/*
 * The configs that a run tries: the strategy's choice from the space, or the one that was asked for
 * beside the default. Stage between the request and the sweep (tune.h).
 */
#include "base/error.h"
#include "base/mem.h"
#include "tune.h"
#include <math.h>

static void fill_candidate(struct tune *tune, uint32_t i, uint32_t config_index)
{
    struct candidate *candidate = &tune->candidates.list[i];
    candidate->config = tune->space.configs[config_index];
    candidate->geometry = tune->space.geometries[config_index];
    candidate->is_default = config_index == 0;
    tfops_config_format(tune->spec, &candidate->config, candidate->text, sizeof candidate->text);
}

/* Candidates of the chosen configs stand in canonical order, where ties are decided; tune->order
 * says when each is tried. `place` is scratch: the candidate of a config, plus 1. */
static enum tfops_status fill_chosen(
    struct tune *tune, const uint32_t *configs, uint32_t n, uint32_t *place)
{
    uint32_t at = 0;
    enum tfops_status status = candidates_new(tune->env, n, &tune->candidates);
    tune->order = status ? NULL : mem_new(tune->env, n, sizeof *tune->order);
    if (!tune->order)
        return TFOPS_E_MEMORY;
    for (uint32_t i = 0; i < n; i++)
        place[configs[i]] = 1;
    for (uint32_t i = 0; i < tune->space.n; i++) {
        if (!place[i])
            continue;
        fill_candidate(tune, at, i);
        place[i] = ++at;
    }
    for (uint32_t i = 0; i < n; i++)
        tune->order[i] = place[configs[i]] - 1;
    return TFOPS_OK;
}

/* Strategies choose among ranks, the default's first. */
static enum tfops_status fill_from_strategy(struct tune *tune)
{
    const struct strategy_options options = {
        .n = tune->space.n, .max_configs = tune->options.max_configs, .seed = tune->options.seed};
    uint32_t *ranked = mem_new(tune->env, tune->space.n, sizeof *ranked);
    uint32_t *chosen = mem_new(tune->env, tune->space.n, sizeof *chosen);
    uint32_t *place = mem_new(tune->env, tune->space.n, sizeof *place);
    enum tfops_status status = TFOPS_E_MEMORY;
    if (ranked && chosen && place)
        status = space_rank(tune->env, &tune->problem, tune->access.device, &tune->space, ranked);
    if (!status) {
        uint32_t n = tune->strategy->order(&options, chosen);
        for (uint32_t i = 0; i < n; i++)
            chosen[i] = ranked[chosen[i]];
        status = fill_chosen(tune, chosen, n, place);
    }
    mem_free(tune->env, ranked);
    mem_free(tune->env, chosen);
    mem_free(tune->env, place);
    return status;
}

/* The default and the one config that was asked for. */
static enum tfops_status fill_only(struct tune *tune)
{
    const struct tfops_config *only = tune->options.only;
    char reason[TFOPS_REASON_BYTES], text[512];
    if (!space_allows(&tune->problem, tune->access.device, only, reason)) {
        tfops_config_format(tune->spec, only, text, sizeof text);
        return error_setf(
            TFOPS_E_RANGE, 0, "tune", text, "not in the space of %s: %s", tune->spec->name, reason);
    }
    bool is_default = space_config_equal(tune->spec, only, &tune->space.configs[0]);
    enum tfops_status status = candidates_new(tune->env, is_default ? 1 : 2, &tune->candidates);
    if (status)
        return status;
    tune->order = mem_new(tune->env, 2, sizeof *tune->order);
    if (!tune->order)
        return TFOPS_E_MEMORY;
    tune->order[1] = 1;
    fill_candidate(tune, 0, 0);
    if (is_default)
        return TFOPS_OK;
    struct candidate *candidate = &tune->candidates.list[1];
    candidate->config = *only;
    tune->spec->geometry(
        tune->spec->user, &tune->problem, tune->access.device, only, &candidate->geometry);
    tfops_config_format(tune->spec, only, candidate->text, sizeof candidate->text);
    return TFOPS_OK;
}

static void report_pruned(struct tune *tune)
{
    for (uint32_t i = 0; tune->options.candidate && i < tune->space.n_pruned_kept; i++) {
        const struct space_pruned *pruned = &tune->space.pruned[i];
        char text[512];
        tfops_config_format(tune->spec, &pruned->config, text, sizeof text);
        const struct tfops_candidate public = {.size = sizeof public,
            .config = pruned->config,
            .config_text = text,
            .verdict = TFOPS_VERDICT_PRUNED,
            .error = NAN,
            .text = pruned->text};
        tune->options.candidate(tune->options.user, &public);
    }
}

enum tfops_status job_choose_candidates(struct tune *tune)
{
    enum tfops_status status =
        space_build(tune->env, &tune->problem, tune->access.device, &tune->space);
    if (status)
        return status;
    if (tune->options.only)
        return fill_only(tune);
    report_pruned(tune);
    return fill_from_strategy(tune);
}

void job_list_candidates(struct tune *tune)
{
    for (uint32_t i = 0; i < tune->candidates.n; i++) {
        candidate_judge(&tune->candidates.list[i], TFOPS_VERDICT_LISTED, "%s", "");
        tune_report(tune, &tune->candidates.list[i]);
    }
}
