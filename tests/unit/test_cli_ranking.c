/* Measured configs beside predicted times (tools/cli_ranking.c). */
#include "tools/cli_ranking.h"
#include <criterion/criterion.h>
#include <criterion/redirect.h>
#include <math.h>
#include <string.h>

static const struct tfops_dim_spec DIMS[] = {
    {"hidden", 0, 1, 65536, ""}, {"rows", TFOPS_DIM_DYNAMIC, 0, 65536, ""}};
static const int64_t THREADS[] = {64, 128, 256, 512};
static const struct tfops_tunable_spec TUNABLES[] = {{"THREADS", THREADS, 4, ""}};

/* Rows by threads, on a device of so many multiprocessors; of 512 threads nothing is known. */
static double by_threads(void *user, const struct tfops_problem *problem,
    const struct tfops_device *device, const struct tfops_config *config)
{
    (void)user;
    if (config->values[0] == 512)
        return NAN;
    return (double)(problem->dims[1] * device->sms) / (double)config->values[0];
}

static double always_the_same(void *user, const struct tfops_problem *problem,
    const struct tfops_device *device, const struct tfops_config *config)
{
    (void)user, (void)problem, (void)device, (void)config;
    return 5;
}

static struct tfops_spec spec = {.size = sizeof spec,
    .abi = TFOPS_SPEC_ABI,
    .name = "toy",
    .dims = DIMS,
    .n_dims = 2,
    .tunables = TUNABLES,
    .n_tunables = 1,
    .predict = by_threads};
static const struct tfops_device DEVICE = {.size = sizeof DEVICE, .name = "Toy 2000", .sms = 4};

/* Of a record at 1024 rows whose sweep measured `list`. */
static struct cli_ranking make(const char *list)
{
    static char provenance[1024];
    const struct tfops_problem problem = {.size = sizeof problem, .spec = &spec, .dims = {4096, 7}};
    snprintf(provenance, sizeof provenance, "{\"sweep\":{\"measured\":[%s]}}", list);
    const struct tfops_record record = {.size = sizeof record,
        .id = 3,
        .sku = "Toy 2000/cc90/",
        .extent = 1024,
        .provenance = provenance};
    struct cli_ranking ranking;
    cr_assert(cli_ranking_make(&problem, &DEVICE, &record, &ranking) && ranking.rows);
    return ranking;
}

#define ENTRY(threads, ns) "{\"config\":\"THREADS=" #threads "\",\"ns\":" #ns "}"

static void expect_row(const struct cli_ranked *row, const char *config, double measured_rank,
    double predicted_ns, double predicted_rank)
{
    cr_expect_str_eq(row->config, config);
    cr_expect_eq(row->measured_rank, measured_rank, "%s: expected %g, got %g", config,
        measured_rank, row->measured_rank);
    cr_expect_eq(row->predicted_ns, predicted_ns, "%s: expected %g ns, got %g", config,
        predicted_ns, row->predicted_ns);
    cr_expect_eq(row->predicted_rank, predicted_rank, "%s: expected %g, got %g", config,
        predicted_rank, row->predicted_rank);
}

Test(cli_ranking, sorts_by_time_and_predicts_at_the_extent_of_the_record)
{
    struct cli_ranking ranking = make(ENTRY(64, 30) "," ENTRY(256, 20) "," ENTRY(128, 10));
    cr_assert_eq(ranking.n, 3);
    expect_row(&ranking.rows[0], "THREADS=128", 1, 32, 2);
    expect_row(&ranking.rows[1], "THREADS=256", 2, 16, 1);
    expect_row(&ranking.rows[2], "THREADS=64", 3, 64, 3);
    cr_expect_float_eq(ranking.correlation, 0.5, 1e-12, "expected 0.5, got %g",
        ranking.correlation); /* 1 - 6 (1 + 1) / (3 (9 - 1)) */
    cr_expect_eq(ranking.record, 3);
    cr_expect_eq(ranking.extent, 1024);
    cli_ranking_release(&ranking);
}

Test(cli_ranking, correlates_fully_when_the_orders_agree_and_negatively_when_they_are_reversed)
{
    struct cli_ranking right = make(ENTRY(256, 1) "," ENTRY(128, 2) "," ENTRY(64, 3));
    struct cli_ranking wrong = make(ENTRY(64, 1) "," ENTRY(128, 2) "," ENTRY(256, 3));
    cr_expect_float_eq(right.correlation, 1, 1e-12, "got %g", right.correlation);
    cr_expect_float_eq(wrong.correlation, -1, 1e-12, "got %g", wrong.correlation);
    cli_ranking_release(&right);
    cli_ranking_release(&wrong);
}

Test(cli_ranking, gives_equal_times_the_mean_of_their_ranks)
{
    struct cli_ranking ranking = make(ENTRY(64, 2) "," ENTRY(128, 2) "," ENTRY(256, 1));
    cr_expect_eq(ranking.rows[1].measured_rank, 2.5, "got %g", ranking.rows[1].measured_rank);
    cr_expect_eq(ranking.rows[2].measured_rank, 2.5, "got %g", ranking.rows[2].measured_rank);
    cli_ranking_release(&ranking);
}

Test(cli_ranking, leaves_out_what_it_cannot_read)
{
    static const char LIST[] = ENTRY(
        128, 10) ",{\"config\":\"THREADS=many\",\"ns\":9},"
                 "{\"config\":\"STAGES=2\",\"ns\":8},{\"ns\":7},7," ENTRY(64, 0) "," ENTRY(64, -1);
    struct cli_ranking ranking = make(LIST);
    cr_expect_eq(ranking.n, 1, "expected one of 7, got %zu", ranking.n);
    cr_expect(isnan(ranking.correlation), "of a single one: got %g", ranking.correlation);
    cli_ranking_release(&ranking);
}

Test(cli_ranking, knows_no_correlation_where_the_model_tells_nothing_apart)
{
    spec.predict = always_the_same;
    struct cli_ranking ranking = make(ENTRY(64, 1) "," ENTRY(128, 2));
    cr_expect_eq(ranking.rows[0].predicted_rank, 1.5, "got %g", ranking.rows[0].predicted_rank);
    cr_expect(isnan(ranking.correlation), "got %g", ranking.correlation);
    cli_ranking_release(&ranking);
}

Test(cli_ranking, ranks_what_is_predicted_without_what_is_not)
{
    struct cli_ranking ranking = make(ENTRY(512, 1) "," ENTRY(256, 2) "," ENTRY(128, 3));
    cr_expect(isnan(ranking.rows[0].predicted_ns) && isnan(ranking.rows[0].predicted_rank));
    cr_expect_float_eq(ranking.correlation, 1, 1e-12, "got %g", ranking.correlation);
    cli_ranking_release(&ranking);
}

Test(cli_ranking, is_empty_for_a_record_without_a_sweep)
{
    const struct tfops_problem problem = {.size = sizeof problem, .spec = &spec};
    const struct tfops_record record = {.size = sizeof record, .provenance = "{}"};
    struct cli_ranking ranking;
    cr_assert(cli_ranking_make(&problem, &DEVICE, &record, &ranking));
    cr_expect_eq(ranking.n, 0);
    cli_ranking_release(&ranking);
}

static void expect_printed(const char *list, const char *text)
{
    const struct tfops_problem problem = {.size = sizeof problem, .spec = &spec};
    struct cli_ranking ranking = make(list);
    cli_ranking_print(&ranking, &problem, &DEVICE);
    fflush(stdout);
    cr_expect_stdout_eq_str(text);
    cli_ranking_release(&ranking);
}

Test(cli_ranking, prints_both_ranks_and_the_correlation, .init = cr_redirect_stdout)
{
    expect_printed(ENTRY(128, 12345) "," ENTRY(256, 20000),
        "record 3 at 1024 (Toy 2000/cc90/): the 2 fastest measured configs and the model for Toy "
        "2000: rank correlation -1.00\n"
        "rank  measured µs  model's rank  predicted µs  config\n"
        "   1        12.35             2         0.032  THREADS=128\n"
        "   2        20.00             1         0.016  THREADS=256\n");
}

Test(cli_ranking, says_that_there_is_no_model, .init = cr_redirect_stdout)
{
    spec.predict = NULL;
    expect_printed(ENTRY(128, 12345),
        "record 3 at 1024 (Toy 2000/cc90/): 1 measured configs; toy has no model that predicts "
        "times\n"
        "rank  measured µs  model's rank  predicted µs  config\n"
        "   1        12.35             -             -  THREADS=128\n");
}

Test(cli_ranking, says_that_the_record_keeps_nothing, .init = cr_redirect_stdout)
{
    expect_printed("",
        "record 3 at 1024 (Toy 2000/cc90/): it keeps no measured configs; tune again to compare\n");
}
