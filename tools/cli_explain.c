/*
 * tfops-cache explain (see cli_explain.h). The engine decides, through tfops_prepare() and
 * tfops_plan_describe(); the records are only listed beside its answer, and of one of them the configs
 * beside what the operator's model predicts.
 */
#include "cli_explain.h"
#include "cli_engine.h"
#include "cli_json.h"
#include "cli_ranking.h"
#include "cli_record.h"
#include "cli_table.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tfops/tfops.h>

#define FALLBACK_ARCH "sm_90a" /* without a GPU and without --arch */

struct answer {
    const struct cli *cli;
    const struct tfops_problem *problem;
    char *text;     /* the problem's */
    int64_t extent; /* its dynamic dimension */
    const struct tfops_device *device;
    struct cli_table table;
    const char *heads[CLI_RECORD_COLUMNS + 1];
    const char *file; /* that is read */
    bool many;        /* there are others */
    size_t shown;
    bool exact; /* a record at this extent is among them */
    /* Measured and predicted times of the record that was chosen, else of the nearest one. */
    struct cli_ranking ranking;
    int64_t wanted;  /* its extent */
    double distance; /* of the ranking's record from that; negative: there is none */
    bool failed;     /* memory ran out */
};

/* A record is about the problem when it holds the same static dimensions and dtypes. */
static bool is_near(const struct answer *answer, const struct tfops_record *record)
{
    const struct tfops_problem *problem = answer->problem;
    char word[128];
    for (size_t i = 0; i < problem->spec->n_dims; i++) {
        if (problem->spec->dims[i].flags)
            continue;
        int n = snprintf(
            word, sizeof word, "%s=%lld", problem->spec->dims[i].name, (long long)problem->dims[i]);
        if (!cli_has_word(record->problem, word, (size_t)n))
            return false;
    }
    for (size_t i = 0; i < problem->spec->n_dtypes; i++) {
        int n = snprintf(word, sizeof word, "%s=%s", problem->spec->dtypes[i].name,
            tfops_dtype_name((enum tfops_dtype)problem->dtypes[i]));
        if (!cli_has_word(record->problem, word, (size_t)n))
            return false;
    }
    return true;
}

/* Records of other devices are far away: what is predicted is for this one. */
static double distance_of(const struct answer *answer, const struct tfops_record *record)
{
    const double OTHER_SKU = 1e6;
    char sku[128];
    int n = snprintf(sku, sizeof sku, "%s/cc%d/%dsm/", answer->device->name,
        (int)answer->device->cc, (int)answer->device->sms);
    bool same = n < (int)sizeof sku && strncmp(record->sku, sku, (size_t)n) == 0;
    return fabs(log2((double)record->extent + 1) - log2((double)answer->wanted + 1)) +
           (same ? 0 : OTHER_SKU);
}

static void rank_record(struct answer *answer, const struct tfops_record *record)
{
    struct cli_ranking ranking;
    double distance = distance_of(answer, record);
    if (answer->distance >= 0 && answer->distance <= distance)
        return;
    if (!cli_ranking_make(answer->problem, answer->device, record, &ranking)) {
        answer->failed = true;
        return;
    }
    cli_ranking_release(&answer->ranking);
    answer->ranking = ranking;
    answer->distance = distance;
}

static bool show_record(void *user, const struct tfops_record *record)
{
    struct answer *answer = user;
    if (!is_near(answer, record))
        return true;
    answer->shown++;
    answer->exact |= record->extent == answer->extent;
    rank_record(answer, record);
    if (answer->cli->json) {
        json *line = cli_record_json(record);
        json_add_string(line, "path", answer->file);
        cli_json_emit(line);
        return true;
    }
    cli_record_row(&answer->table, record);
    if (answer->many)
        cli_table_cell(&answer->table, "%s", answer->file);
    return true;
}

static int show_records(struct answer *answer, const char *const *files, size_t n_files)
{
    enum tfops_status status = TFOPS_OK;
    for (size_t i = 0; i < n_files && status == TFOPS_OK; i++) {
        struct tfops_cache *cache = NULL;
        answer->file = files[i];
        status = tfops_cache_open(files[i], &cache);
        if (status == TFOPS_OK)
            status = tfops_cache_each_record(
                cache, answer->problem->spec->name, NULL, show_record, answer);
        tfops_cache_close(cache);
    }
    return status == TFOPS_OK ? CLI_OK : cli_fail_last(answer->cli, status, NULL);
}

static const char *reason(const char *source)
{
    static const struct {
        const char *source, *text;
    } REASONS[] = {
        {"record", "a record measured at exactly this extent on this SKU"},
        {"nearest",
            "no record at this extent: the one with the least expected regret, else the nearest"},
        {"default", "no record for this problem on this SKU: the operator's default config"},
        {"generic", "no binary for the config could be had: the generic variant"},
        {"reference", "the cpu device has only the reference"},
    };
    for (size_t i = 0; i < sizeof REASONS / sizeof *REASONS; i++)
        if (strcmp(REASONS[i].source, source) == 0)
            return REASONS[i].text;
    return "";
}

static void show_plan_json(const struct answer *answer, const struct tfops_plan_info *info)
{
    json *line = cli_json_event("plan");
    json_add_string(line, "problem", answer->text);
    cli_json_device(line, "device", answer->device);
    json_add_string(line, "source", info->source);
    json_add_string(line, "reason", reason(info->source));
    json_add_string(line, "config", info->config);
    json_add_int(line, "extent", info->extent);
    if (info->beside) {
        json_add_int(line, "beside", info->beside);
        if (info->regret_there >= 0)
            json_add_number(line, "regret_there", info->regret_there);
        if (info->regret_here >= 0)
            json_add_number(line, "regret_here", info->regret_here);
    }
    json_add_int(line, "registers", info->registers);
    json_add_int(line, "smem_bytes", info->smem_bytes);
    json_add_int(line, "threads", info->threads);
    json_add_int(line, "cluster", info->cluster);
    json *grid = json_add_array(line, "grid");
    for (size_t i = 0; i < 3; i++)
        json_add_int(grid, NULL, info->grid[i]);
    cli_json_digest(line, "binary_sha256", info->binary_sha256);
    cli_json_emit(line);
}

/* Why this record and not the one on the other side of the extent. */
static void show_beside(const struct tfops_plan_info *info)
{
    printf("beside   the record at %lld: there this config is ", (long long)info->beside);
    if (info->regret_there >= 0)
        printf("%.1f%% slower", info->regret_there * 100);
    else
        printf("not measured");
    printf(", that one's is here ");
    if (info->regret_here >= 0)
        printf("%.1f%% slower\n", info->regret_here * 100);
    else
        printf("not measured\n");
}

static void show_plan_text(const struct answer *answer, const struct tfops_plan_info *info)
{
    const struct tfops_device *device = answer->device;
    printf("%s on %s (%s%s)\n", answer->text, device->name, device->arch,
        device->nominal ? ", nominal: no GPU" : "");
    printf("chosen   %s\n", info->config);
    printf("source   %s: %s", info->source, reason(info->source));
    if (info->extent > 0 && info->extent != answer->extent)
        printf(" (%lld)", (long long)info->extent);
    putchar('\n');
    if (info->beside && strcmp(info->source, "nearest") == 0)
        show_beside(info);
    printf("launch   grid %u×%u×%u, %u threads, cluster %u, %u registers, %u bytes of shared "
           "memory\n",
        info->grid[0], info->grid[1], info->grid[2], info->threads, info->cluster, info->registers,
        info->smem_bytes);
}

static int show_plan(struct answer *answer, struct tfops_engine *engine)
{
    struct tfops_plan *plan = NULL;
    struct tfops_plan_info info = {.size = sizeof info};
    enum tfops_status status = tfops_prepare(engine, answer->problem, &plan);
    if (status == TFOPS_OK)
        status = tfops_plan_describe(plan, answer->extent, &info);
    int code = CLI_OK;
    answer->device = tfops_engine_device(engine);
    answer->wanted = answer->extent;
    if (status == TFOPS_OK && info.extent > 0)
        answer->wanted = info.extent;
    if (status != TFOPS_OK)
        code = cli_fail_last(answer->cli, status, "no variant can be chosen");
    else if (answer->cli->json)
        show_plan_json(answer, &info);
    else
        show_plan_text(answer, &info);
    tfops_plan_release(plan);
    return code;
}

static void show_ranking(const struct answer *answer)
{
    if (answer->distance < 0)
        return;
    if (answer->cli->json)
        cli_json_emit(cli_ranking_json(&answer->ranking));
    else
        cli_ranking_print(&answer->ranking, answer->problem, answer->device);
}

/* Numbers of records are a file's own: where there are several, each is named. */
static void init_table(struct answer *answer, size_t n_files)
{
    const char **heads = answer->heads;
    memcpy(heads, CLI_RECORD_HEADS, CLI_RECORD_COLUMNS * sizeof *heads);
    heads[CLI_RECORD_COLUMNS] = "file";
    answer->many = n_files > 1;
    cli_table_init(&answer->table, heads, CLI_RECORD_COLUMNS + answer->many, CLI_RECORD_RIGHT);
}

static int explain_one(
    struct answer *answer, struct tfops_engine *engine, const char *const *files, size_t n_files)
{
    init_table(answer, n_files);
    answer->text = cli_problem_text(answer->problem);
    if (!answer->text)
        return cli_fail_memory(answer->cli);
    int plan_code = show_plan(answer, engine);
    int code = show_records(answer, files, n_files);
    if (!answer->cli->json && answer->shown > 0) {
        printf("records with the same static dimensions and dtypes (%s this extent):\n",
            answer->exact ? "one is at" : "none is at");
        cli_table_print(&answer->table);
    } else if (!answer->cli->json && code == CLI_OK) {
        printf("no record has the same static dimensions and dtypes\n");
    }
    show_ranking(answer);
    cli_ranking_release(&answer->ranking);
    cli_table_release(&answer->table);
    free(answer->text);
    if (answer->failed)
        return cli_fail_memory(answer->cli);
    return plan_code != CLI_OK ? plan_code : code;
}

static int choose_device(
    const struct cli *cli, const struct cli_explain *explain, char ret_device[32])
{
    char why[128];
    if (explain->arch && explain->device)
        return cli_usage(cli, "--device", "--arch or --device", explain->device,
            "--arch and --device exclude each other");
    if (explain->device && !cli_device_name(explain->device, ret_device))
        return cli_usage(cli, "--device", "N or cpu", explain->device,
            "--device: '%.40s' is not N or cpu", explain->device);
    if (explain->arch) {
        cli_arch_device(explain->arch, ret_device);
        return cli_arch_check(cli, explain->arch);
    }
    if (explain->device)
        return CLI_OK;
    snprintf(ret_device, 32, "cuda:0");
    if (cli_gpu_present(why, sizeof why))
        return CLI_OK;
    cli_arch_device(FALLBACK_ARCH, ret_device);
    fprintf(stderr, "%s: no GPU here (%s): explaining for a nominal %s (--arch names another)\n",
        cli->program, why, FALLBACK_ARCH);
    return CLI_OK;
}

int cli_explain(
    const struct cli *cli, const struct cli_explain *explain, const struct cli_list *words)
{
    char device[32];
    struct tfops_engine *engine = NULL;
    struct cli_problems problems = {0};
    int code = choose_device(cli, explain, device);
    if (code != CLI_OK)
        return code;
    struct cli_target target = {
        .device = device,
        .cache = explain->files[0],
        .shipped = explain->n_files > 1 ? explain->files + 1 : NULL,
        .n_shipped = explain->n_files - 1,
        .plugins = explain->plugins,
        .flags = TFOPS_ENGINE_READ_ONLY,
    };
    code = cli_engine_open(cli, &target, &engine);
    if (code == CLI_OK)
        code = cli_problems_load(cli, engine, words, explain->dtype, &problems);
    for (size_t i = 0; i < problems.count && code == CLI_OK; i++) {
        struct answer answer = {.cli = cli,
            .problem = &problems.items[i],
            .distance = -1,
            .extent = cli_problem_extent(&problems.items[i])};
        if (i > 0 && !cli->json)
            putchar('\n');
        code = explain_one(&answer, engine, explain->files, explain->n_files);
    }
    cli_problems_release(&problems);
    tfops_engine_close(engine);
    return code;
}
