/*
 * What a record keeps of the sweep it came from: how large the space was, what was measured, what was
 * rejected and why (tune.h). Last stage of the flow, beside job_record.c.
 */
#include "base/json.h"
#include "base/mem.h"
#include "race_state.h"
#include "tune.h"
#include <math.h>
#include <stdlib.h>

static void count_verdicts(const struct tune *tune, json *sweep)
{
    uint32_t counts[TFOPS_VERDICT_COUNT] = {0};
    for (uint32_t i = 0; i < tune->candidates.n; i++)
        if (tune->candidates.list[i].state == CANDIDATE_DONE)
            counts[tune->candidates.list[i].verdict]++;
    json *verdicts = json_add_object(sweep, "verdicts");
    for (int i = 0; i < TFOPS_VERDICT_COUNT; i++)
        if (counts[i])
            json_add_int(verdicts, tfops_verdict_name((enum tfops_verdict)i), counts[i]);
}

enum { MAX_MEASURED_LISTED = 64, MAX_REJECTED_LISTED = 32 };

struct measured {
    double ns;
    uint32_t index; /* candidate */
};

static int by_time(const void *left, const void *right)
{
    const struct measured *a = left, *b = right;
    if (a->ns != b->ns)
        return a->ns < b->ns ? -1 : 1;
    return (a->index > b->index) - (a->index < b->index);
}

/* The fastest first. Without memory the record does without. */
static void list_measured(const struct tune *tune, json *sweep)
{
    json *list = json_add_array(sweep, "measured");
    struct measured *all = mem_new(tune->env, tune->candidates.n, sizeof *all);
    uint32_t n = 0;
    for (uint32_t i = 0; all && i < tune->candidates.n; i++) {
        double ns = race_estimate(tune, &tune->candidates.list[i]).median;
        if (!isnan(ns))
            all[n++] = (struct measured){ns, i};
    }
    if (n)
        qsort(all, n, sizeof *all, by_time);
    for (uint32_t i = 0; i < n && i < MAX_MEASURED_LISTED; i++) {
        json *entry = json_add_object(list, NULL);
        json_add_string(entry, "config", tune->candidates.list[all[i].index].text);
        json_add_number(entry, "ns", all[i].ns);
    }
    mem_free(tune->env, all);
}

static void list_rejected(const struct tune *tune, json *sweep)
{
    json *list = json_add_array(sweep, "rejected");
    int n = 0;
    for (uint32_t i = 0; i < tune->candidates.n && n < MAX_REJECTED_LISTED; i++) {
        const struct candidate *candidate = &tune->candidates.list[i];
        if (candidate->state != CANDIDATE_DONE || candidate->verdict == TFOPS_VERDICT_OK)
            continue;
        json *entry = json_add_object(list, NULL);
        json_add_string(entry, "config", candidate->text);
        json_add_string(entry, "verdict", tfops_verdict_name(candidate->verdict));
        json_add_string(entry, "why", candidate->why);
        n++;
    }
}

void job_sweep_add(const struct tune *tune, json *root)
{
    json *sweep = json_add_object(root, "sweep");
    json_add_int(sweep, "space", tune->space.n);
    json_add_int(sweep, "combinations", (int64_t)tune->space.visited);
    json_add_int(sweep, "constrained", (int64_t)tune->space.constrained);
    for (int i = 0; i < SPACE_PRUNE_COUNT; i++)
        if (tune->space.counts[i])
            json_add_int(
                sweep, space_prune_name((enum space_prune)i), (int64_t)tune->space.counts[i]);
    json_add_int(sweep, "tried", tune->candidates.n);
    count_verdicts(tune, sweep);
    list_measured(tune, sweep);
    list_rejected(tune, sweep);
}
