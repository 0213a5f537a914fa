/* Measured and predicted times (see cli_ranking.h). */
#include "cli_ranking.h"
#include "cli_options.h"
#include "cli_table.h"
#include "cli_text.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tfops/engine.h>

static struct tfops_problem problem_at(const struct tfops_problem *problem, int64_t extent)
{
    struct tfops_problem there = *problem;
    for (size_t i = 0; i < problem->spec->n_dims; i++)
        if (problem->spec->dims[i].flags == TFOPS_DIM_DYNAMIC)
            there.dims[i] = extent;
    return there;
}

static double predict(const struct tfops_problem *problem, const struct tfops_device *device,
    const struct tfops_config *config)
{
    const struct tfops_spec *spec = problem->spec;
    double ns = spec->predict ? spec->predict(spec->user, problem, device, config) : NAN;
    return ns > 0 ? ns : NAN;
}

/* Whether `text` names a value for each tunable that the operator has now. */
static bool read_config(
    const struct tfops_spec *spec, const char *text, struct tfops_config *ret_config)
{
    char canonical[512];
    *ret_config = (struct tfops_config){0};
    if (tfops_config_parse(spec, text, ret_config))
        return false;
    tfops_config_format(spec, ret_config, canonical, sizeof canonical);
    return strcmp(canonical, text) == 0;
}

static void take(struct cli_ranking *ranking, const struct tfops_problem *problem,
    const struct tfops_device *device, const json *entry)
{
    struct cli_ranked row = {.measured_ns = json_number(json_get(entry, "ns"), 0)};
    struct tfops_config config;
    const char *text = json_string(json_get(entry, "config"), "");
    if (!(row.measured_ns > 0) || !read_config(problem->spec, text, &config))
        return;
    cli_text_copy(row.config, sizeof row.config, text);
    row.predicted_ns = predict(problem, device, &config);
    ranking->rows[ranking->n++] = row;
}

/* ---- ranks --------------------------------------------------------------------------------------- */

static double measured(const struct cli_ranked *row)
{
    return row->measured_ns;
}

static double predicted(const struct cli_ranked *row)
{
    return row->predicted_ns;
}

static double rank_of(
    const struct cli_ranking *ranking, size_t index, double (*time)(const struct cli_ranked *))
{
    const double own = time(&ranking->rows[index]);
    double less = 0, equal = 0;
    for (size_t i = 0; i < ranking->n; i++) {
        less += time(&ranking->rows[i]) < own;
        equal += time(&ranking->rows[i]) == own;
    }
    return isnan(own) ? NAN : less + (equal + 1) / 2;
}

/* Pearson's correlation of the ranks, of the rows that have both. */
static double correlate(const struct cli_ranking *ranking)
{
    double n = 0, sum_m = 0, sum_p = 0, cross = 0, square_m = 0, square_p = 0;
    for (size_t i = 0; i < ranking->n; i++) {
        const double m = ranking->rows[i].measured_rank, p = ranking->rows[i].predicted_rank;
        if (isnan(p))
            continue;
        n++;
        sum_m += m;
        sum_p += p;
        cross += m * p;
        square_m += m * m;
        square_p += p * p;
    }
    const double spread = (n * square_m - sum_m * sum_m) * (n * square_p - sum_p * sum_p);
    return spread > 0 ? (n * cross - sum_m * sum_p) / sqrt(spread) : NAN;
}

static int by_time(const void *left, const void *right)
{
    const struct cli_ranked *a = left, *b = right;
    if (a->measured_ns != b->measured_ns)
        return a->measured_ns < b->measured_ns ? -1 : 1;
    return strcmp(a->config, b->config);
}

static void rank(struct cli_ranking *ranking)
{
    if (ranking->n)
        qsort(ranking->rows, ranking->n, sizeof *ranking->rows, by_time);
    for (size_t i = 0; i < ranking->n; i++) {
        ranking->rows[i].measured_rank = rank_of(ranking, i, measured);
        ranking->rows[i].predicted_rank = rank_of(ranking, i, predicted);
    }
    ranking->correlation = correlate(ranking);
}

bool cli_ranking_make(const struct tfops_problem *problem, const struct tfops_device *device,
    const struct tfops_record *record, struct cli_ranking *ret_ranking)
{
    struct cli_ranking ranking = {
        .record = record->id, .extent = record->extent, .has_model = problem->spec->predict};
    const struct tfops_problem there = problem_at(problem, record->extent);
    json *provenance = json_parse(record->provenance ? record->provenance : "");
    const json *list = json_get(json_get(provenance, "sweep"), "measured");
    size_t entries = 0;
    for (const json *at = list ? json_first(list) : NULL; at; at = json_next(at))
        entries++;
    ranking.rows = cli_new(entries + 1, sizeof *ranking.rows);
    cli_text_copy(ranking.sku, sizeof ranking.sku, record->sku);
    if (ranking.rows) {
        for (const json *at = list ? json_first(list) : NULL; at; at = json_next(at))
            take(&ranking, &there, device, at);
        rank(&ranking);
        *ret_ranking = ranking;
    }
    json_free(provenance);
    return ranking.rows;
}

void cli_ranking_release(struct cli_ranking *ranking)
{
    free(ranking->rows);
    *ranking = (struct cli_ranking){0};
}

/* ---- for people, as JSON -------------------------------------------------------------------------- */

enum { COLUMNS = 5 };
static const char *const HEADS[COLUMNS] = {
    "rank", "measured µs", "model's rank", "predicted µs", "config"};
#define RIGHT 0x0fu

static void print_row(struct cli_table *table, const struct cli_ranked *row)
{
    char time[32], model[32];
    cli_text_us(time, row->measured_ns);
    cli_text_us(model, row->predicted_ns);
    cli_table_cell(table, "%g", row->measured_rank);
    cli_table_cell(table, "%s", time);
    if (isnan(row->predicted_rank))
        cli_table_cell(table, "-");
    else
        cli_table_cell(table, "%g", row->predicted_rank);
    cli_table_cell(table, "%s", model);
    cli_table_cell(table, "%s", row->config);
}

static void print_head(const struct cli_ranking *ranking, const struct tfops_problem *problem,
    const struct tfops_device *device)
{
    printf("record %lld at %lld (%s): ", (long long)ranking->record, (long long)ranking->extent,
        ranking->sku);
    if (!ranking->n)
        printf("it keeps no measured configs; tune again to compare\n");
    else if (!ranking->has_model)
        printf("%zu measured configs; %s has no model that predicts times\n", ranking->n,
            problem->spec->name);
    else if (isnan(ranking->correlation))
        printf("%zu measured configs, too few or too alike for a rank correlation with the model "
               "for %s\n",
            ranking->n, device->name);
    else
        printf("the %zu fastest measured configs and the model for %s: rank correlation %.2f\n",
            ranking->n, device->name, ranking->correlation);
}

void cli_ranking_print(const struct cli_ranking *ranking, const struct tfops_problem *problem,
    const struct tfops_device *device)
{
    struct cli_table table;
    print_head(ranking, problem, device);
    if (!ranking->n)
        return;
    cli_table_init(&table, HEADS, COLUMNS, RIGHT);
    for (size_t i = 0; i < ranking->n; i++)
        print_row(&table, &ranking->rows[i]);
    cli_table_print(&table);
    cli_table_release(&table);
}

json *cli_ranking_json(const struct cli_ranking *ranking)
{
    json *line = cli_json_event("ranking");
    json_add_int(line, "record", ranking->record);
    json_add_int(line, "extent", ranking->extent);
    json_add_string(line, "sku", ranking->sku);
    json_add_bool(line, "model", ranking->has_model);
    json_add_number(line, "correlation", ranking->correlation);
    json *configs = json_add_array(line, "configs");
    for (size_t i = 0; i < ranking->n; i++) {
        const struct cli_ranked *row = &ranking->rows[i];
        json *entry = json_add_object(configs, NULL);
        json_add_string(entry, "config", row->config);
        json_add_number(entry, "measured_ns", row->measured_ns);
        json_add_number(entry, "measured_rank", row->measured_rank);
        json_add_number(entry, "predicted_ns", row->predicted_ns);
        json_add_number(entry, "predicted_rank", row->predicted_rank);
    }
    return line;
}
