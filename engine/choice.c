/* Choices (see choice.h). */
#include "choice.h"
#include "base/error.h"
#include "base/log.h"
#include "engine_state.h"
#include "key.h"
#include "problem.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { REACH = 4, LOG2_LARGEST = 40 };
/* Between these powers of two tiles come out even or not within an octave: the model is asked in steps. */
enum { LOG2_STEPPED = 6, LOG2_COARSE = 12, STEPS = 8 };

/* What a choice is made from. */
struct chooser {
    struct tfops_engine *engine;
    const struct tfops_problem *problem;
    int dim; /* the dynamic one */
    const struct record_list *records;
};

/* ---- configs ------------------------------------------------------------------------------------ */

static struct tfops_config default_config(
    const struct tfops_engine *engine, struct tfops_problem problem, int dim, int64_t extent)
{
    struct tfops_config config = {0};
    const struct tfops_spec *spec = problem.spec;
    int64_t most = spec->dims[dim].max;
    problem_set_extent(&problem, extent < most ? extent : most);
    if (spec->default_config)
        spec->default_config(spec->user, &problem, &engine->device, &config);
    return config;
}

static bool same_config(
    const struct tfops_spec *spec, const struct tfops_config *a, const struct tfops_config *b)
{
    return a->generic == b->generic &&
           !memcmp(a->values, b->values, spec->n_tunables * sizeof a->values[0]);
}

/* A record whose config no longer parses or fits the space, at the extent it was measured at, is left
 * out. */
static bool record_config(struct tfops_engine *engine, const struct tfops_problem *problem,
    const struct tfops_record *record, struct tfops_config *ret_config)
{
    const struct tfops_spec *spec = problem->spec;
    struct tfops_problem measured = *problem;
    char reason[TFOPS_REASON_BYTES] = "";
    problem_set_extent(&measured, record->extent);
    if (!tfops_config_parse(spec, record->config, ret_config) &&
        (!spec->constraint ||
            spec->constraint(spec->user, &measured, &engine->device, ret_config, reason)))
        return true;
    log_line(&engine->env, TFOPS_LOG_WARN, "plan: record %lld of %s is left out: %s",
        (long long)record->id, spec->name, reason[0] ? reason : error_message());
    return false;
}

void choice_drop_unusable(
    struct tfops_engine *engine, const struct tfops_problem *problem, struct record_list *records)
{
    size_t kept = 0;
    int dim = key_dynamic_dim(problem->spec);
    for (size_t i = 0; i < records->n; i++) {
        struct record *record = &records->records[i];
        struct tfops_config config = default_config(engine, *problem, dim, record->row.extent);
        if (record->row.extent > 0 && record_config(engine, problem, &record->row, &config))
            records->records[kept++] = *record;
        else
            record_release(&engine->env, record);
    }
    records->n = kept;
}

/* ---- regret ------------------------------------------------------------------------------------- */

static const struct tfops_record *record_at(const struct chooser *chooser, size_t i)
{
    return &chooser->records->records[i].row;
}

/* The config that a record names; it was found usable. */
static struct tfops_config config_of(
    const struct chooser *chooser, const struct tfops_record *record)
{
    struct tfops_config config =
        default_config(chooser->engine, *chooser->problem, chooser->dim, record->extent);
    tfops_config_parse(chooser->problem->spec, record->config, &config);
    return config;
}

static double over_winner(const struct tfops_record *record, double ns)
{
    bool measured = ns > 0 && record->median_ns > 0;
    return !measured ? -1 : ns > record->median_ns ? ns / record->median_ns - 1 : 0;
}

/* What `config` cost at the record's extent over its winner; below 0: not measured there. */
static double regret_at(const struct chooser *chooser, const struct tfops_record *record,
    const struct tfops_config *config)
{
    const struct tfops_spec *spec = chooser->problem->spec;
    const struct tfops_config winner = config_of(chooser, record);
    const struct tfops_config other =
        default_config(chooser->engine, *chooser->problem, chooser->dim, record->extent);
    struct tfops_config second = other;
    if (same_config(spec, config, &winner))
        return 0;
    if (record->runner_up && record->runner_up[0] &&
        !tfops_config_parse(spec, record->runner_up, &second) && same_config(spec, config, &second))
        return over_winner(record, record->runner_up_ns);
    return same_config(spec, config, &other) ? over_winner(record, record->default_ns) : -1;
}

/* How the records `here` and `there` are to each other. */
static struct choice_beside beside(const struct chooser *chooser, size_t here, size_t there)
{
    const struct tfops_record *a = record_at(chooser, here), *b = record_at(chooser, there);
    const struct tfops_config of_a = config_of(chooser, a), of_b = config_of(chooser, b);
    return (struct choice_beside){.extent = b->extent,
        .regret_there = regret_at(chooser, b, &of_a),
        .regret_here = regret_at(chooser, a, &of_b)};
}

/* Where between the records the lower one stops to serve, as a share of the way on a logarithmic
 * scale: where the expected regrets meet, or as near to the middle as what is known allows. */
static double border(const struct chooser *chooser, size_t lower)
{
    const struct tfops_record *a = record_at(chooser, lower), *b = record_at(chooser, lower + 1);
    const struct choice_beside known = beside(chooser, lower, lower + 1);
    const bool of_lower = known.regret_there >= 0, of_upper = known.regret_here >= 0;
    double there = of_lower ? known.regret_there : over_winner(b, b->runner_up_ns);
    double here = of_upper ? known.regret_here : over_winner(a, a->runner_up_ns);
    there = there > 0 ? there : 0;
    here = here > 0 ? here : 0;
    const double meet = here + there > 0 ? here / (here + there) : 0.5;
    if (of_lower && of_upper)
        return meet;
    if (of_lower) /* up to there at least it is the better one */
        return meet > 0.5 ? meet : 0.5;
    return of_upper && meet < 0.5 ? meet : 0.5;
}

/* The last extent that the lower of two records serves, if it reaches that far. */
static int64_t last_of(const struct chooser *chooser, size_t lower)
{
    const double a = (double)record_at(chooser, lower)->extent;
    const double b = (double)record_at(chooser, lower + 1)->extent;
    const double last = floor(a * pow(b / a, border(chooser, lower)) * (1 + 1e-12));
    return last < 0x1p62 ? (int64_t)last : record_at(chooser, lower)->extent;
}

/* ---- ranges of extents -------------------------------------------------------------------------- */

static bool in_reach(const struct tfops_record *record, int64_t extent)
{
    const double ratio = (double)record->extent / (double)extent;
    return ratio <= REACH && ratio >= 1.0 / REACH;
}

/* The record that serves an extent; records->n when none does. */
static size_t serving(const struct chooser *chooser, int64_t extent)
{
    const size_t n = chooser->records->n;
    size_t i = 0;
    while (i + 1 < n && record_at(chooser, i + 1)->extent <= extent)
        i++;
    if (i + 1 < n && record_at(chooser, i)->extent <= extent) { /* between i and the next */
        const size_t first = extent <= last_of(chooser, i) ? i : i + 1;
        if (in_reach(record_at(chooser, first), extent))
            return first;
        i = first == i ? i + 1 : i;
    }
    return n && in_reach(record_at(chooser, i), extent) ? i : n;
}

static int compare_extents(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* ---- the spec's model --------------------------------------------------------------------------- */

/* Time of a record's config over the default's, by the model; 1 where that says nothing. */
static double predicted_ratio(const struct chooser *chooser, int64_t extent,
    const struct tfops_config *config, const struct tfops_config *other)
{
    const struct tfops_spec *spec = chooser->problem->spec;
    const struct tfops_device *device = &chooser->engine->device;
    const int64_t most = spec->dims[chooser->dim].max;
    struct tfops_problem problem = *chooser->problem;
    problem_set_extent(&problem, extent < most ? extent : most);
    const double ratio = spec->predict(spec->user, &problem, device, config) /
                         spec->predict(spec->user, &problem, device, other);
    return ratio > 0 && isfinite(ratio) ? ratio : 1;
}

/* What the model has to be multiplied by to say what was measured at the record's extent. */
static double correction(const struct chooser *chooser, const struct tfops_record *record)
{
    const struct tfops_config config = config_of(chooser, record);
    const struct tfops_config other =
        default_config(chooser->engine, *chooser->problem, chooser->dim, record->extent);
    const bool measured = record->default_ns > 0 && record->median_ns > 0;
    const double ratio = measured ? record->median_ns / record->default_ns : 1;
    return ratio / predicted_ratio(chooser, record->extent, &config, &other);
}

/* The correction of the record that was asked about last: extents are asked about in their order. */
struct corrected {
    const struct tfops_record *record;
    double by;
};

/* Whether the record's config is expected to lose to the default where it was not measured, as tiles or
 * waves come out differently there. The measurement counts less with distance: twice as far away, nothing. */
static bool expected_worse(const struct chooser *chooser, const struct tfops_record *record,
    const struct tfops_config *other, int64_t extent, struct corrected *last)
{
    static const double EQUAL = 1 + 1e-9;
    if (!chooser->problem->spec->predict || extent == record->extent)
        return false;
    if (last->record != record)
        *last = (struct corrected){record, correction(chooser, record)};
    const struct tfops_config config = config_of(chooser, record);
    const double away = fabs(log2((double)extent / (double)record->extent));
    return predicted_ratio(chooser, extent, &config, other) *
               pow(last->by, away < 1 ? 1 - away : 0) >
           EQUAL;
}

/* ---- defaults ----------------------------------------------------------------------------------- */

/* The default for an extent; between powers of two one that serves as such before it, the last one or else
 * the fastest, where the model finds it as good: each is a binary to compile. */
static struct tfops_config shared_default(
    const struct chooser *chooser, const struct choices *before, int64_t extent)
{
    static const double AS_GOOD = 1.03;
    const struct tfops_config own =
        default_config(chooser->engine, *chooser->problem, chooser->dim, extent);
    const struct tfops_config *best = &own;
    double least = AS_GOOD;
    if (!chooser->problem->spec->predict || !(extent & (extent - 1)))
        return own;
    for (size_t i = before->n; i-- > 0;) {
        const struct choice *choice = &before->list[i];
        if (choice->record)
            continue;
        const double ratio = predicted_ratio(chooser, extent, &choice->config, &own);
        if (ratio <= least) {
            best = &choice->config;
            least = ratio;
        }
        if (ratio <= AS_GOOD && i + 1 == before->n)
            break;
    }
    return *best;
}

/* ---- choices ------------------------------------------------------------------------------------ */

/* Every extent where the choice may change: powers of two and steps between them, the records' own and
 * those a little around, the ends of their reaches, and the borders between them. */
static size_t list_bounds(const struct chooser *chooser, int64_t *bounds)
{
    const bool stepped = chooser->problem->spec->predict;
    size_t n = 0;
    for (int i = 0; i <= LOG2_LARGEST; i++)
        bounds[n++] = 1ll << i;
    for (int i = LOG2_STEPPED; stepped && i < LOG2_COARSE; i++)
        for (int64_t step = 1; step < STEPS; step++)
            bounds[n++] = (1ll << i) + (step << i) / STEPS;
    for (size_t i = 0; i < chooser->records->n && n + 8 < CHOICE_MOST; i++) {
        int64_t extent = record_at(chooser, i)->extent;
        bounds[n++] = extent - 1;
        bounds[n++] = extent;
        bounds[n++] = (extent - 1) / REACH;
        bounds[n++] = extent - extent / 4;
        bounds[n++] = extent > INT64_MAX / REACH ? INT64_MAX : extent + extent / 4;
        bounds[n++] = extent > INT64_MAX / REACH ? INT64_MAX : extent * REACH;
        if (i + 1 < chooser->records->n)
            bounds[n++] = last_of(chooser, i);
    }
    bounds[n++] = INT64_MAX;
    qsort(bounds, n, sizeof *bounds, compare_extents);
    return n;
}

static void choose(const struct chooser *chooser, const struct choices *before, int64_t extent,
    struct corrected *last, struct choice *ret_choice)
{
    const size_t i = serving(chooser, extent), n = chooser->records->n;
    *ret_choice =
        (struct choice){.last = extent, .config = shared_default(chooser, before, extent)};
    if (i == n || expected_worse(chooser, record_at(chooser, i), &ret_choice->config, extent, last))
        return;
    ret_choice->record = record_at(chooser, i);
    ret_choice->config = config_of(chooser, ret_choice->record);
    if (i > 0)
        ret_choice->beside[0] = beside(chooser, i, i - 1);
    if (i + 1 < n)
        ret_choice->beside[1] = beside(chooser, i, i + 1);
}

static void choose_all(const struct chooser *chooser, struct choices *choices)
{
    int64_t bounds[CHOICE_MOST];
    struct corrected corrected = {0};
    size_t n = list_bounds(chooser, bounds);
    for (size_t i = 0; i < n; i++) {
        struct choice choice, *last = choices->n ? &choices->list[choices->n - 1] : NULL;
        if (bounds[i] < 1 || (last && bounds[i] == last->last))
            continue;
        choose(chooser, choices, bounds[i], &corrected, &choice);
        if (last && last->record == choice.record &&
            same_config(chooser->problem->spec, &last->config, &choice.config))
            last->last = choice.last;
        else
            choices->list[choices->n++] = choice;
    }
}

/* One config for every extent: the record of the greatest extent, else the default for many rows. */
static void choose_invariant(const struct chooser *chooser, struct choices *choices)
{
    const size_t n = chooser->records->n;
    struct choice *choice = &choices->list[choices->n++];
    *choice = (struct choice){.last = INT64_MAX,
        .config = default_config(chooser->engine, *chooser->problem, chooser->dim, 1 << 20)};
    if (n) {
        choice->record = record_at(chooser, n - 1);
        choice->config = config_of(chooser, choice->record);
    }
}

void choice_make(struct tfops_engine *engine, const struct tfops_problem *problem,
    const struct record_list *records, struct choices *ret_choices)
{
    const struct chooser chooser = {engine, problem, key_dynamic_dim(problem->spec), records};
    ret_choices->n = 0;
    if (problem->flags & TFOPS_BATCH_INVARIANT)
        choose_invariant(&chooser, ret_choices);
    else
        choose_all(&chooser, ret_choices);
}
