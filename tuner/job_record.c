/* What a tuning run reads from and leaves in the cache: its record, and the samples of a run that
 * was interrupted (see tune.h). Last stage of the flow. */
#include "base/error.h"
#include "base/json.h"
#include "base/log.h"
#include "tune.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tfops/tfops.h>
#include <time.h>
#include <unistd.h>

struct record_key tune_record_key(const struct tune *tune)
{
    return (struct record_key){.sku = tune->sku,
        .op = tune->spec->name,
        .spec_version = tune->spec->version,
        .problem = tune->problem_text};
}

/* ---- a record that is there -------------------------------------------------------------- */

static enum tfops_status result_from(
    const struct tune *tune, const struct tfops_record *row, struct tfops_tune_result *ret_result)
{
    struct tfops_config standard = {0};
    const struct tfops_spec *spec = tune->spec;
    enum tfops_status status = tfops_config_parse(spec, row->config, &ret_result->winner);
    if (status)
        return status;
    spec->default_config(spec->user, &tune->problem, tune->access.device, &standard);
    standard.generic = false;
    ret_result->winner_is_default = space_config_equal(spec, &standard, &ret_result->winner);
    snprintf(ret_result->winner_text, sizeof ret_result->winner_text, "%s", row->config);
    ret_result->winner_ns = row->median_ns;
    ret_result->winner_low_ns = row->low_ns;
    ret_result->winner_high_ns = row->high_ns;
    ret_result->default_ns = row->default_ns;
    ret_result->speedup = row->median_ns > 0 ? row->default_ns / row->median_ns : 0;
    ret_result->error = row->error;
    json *provenance = json_parse(row->provenance ? row->provenance : "");
    ret_result->roof_ns = json_number(json_get(provenance, "roof_ns"), 0);
    json_free(provenance);
    return TFOPS_OK;
}

/* An interrupted run's record serves launches, but is no result to stop at. */
static bool is_interrupted(const struct tfops_record *row)
{
    return json_text_has(row->provenance, "interrupted");
}

enum tfops_status job_record_find(
    const struct tune *tune, bool *ret_found, struct tfops_tune_result *ret_result)
{
    struct record_key key = tune_record_key(tune);
    struct record_list list = {0};
    *ret_found = false;
    if (overlay_records(tune->access.overlay, &key, &list))
        log_line(tune->env, TFOPS_LOG_WARN, "tune: cache: %s", error_message());
    for (size_t i = 0; i < list.n && !*ret_found; i++) {
        const struct tfops_record *row = &list.records[i].row;
        if (row->extent != tune->extent || row->revalidate || is_interrupted(row))
            continue;
        if (result_from(tune, row, ret_result))
            log_line(tune->env, TFOPS_LOG_WARN, "tune: record of %s %s is left out: %s",
                tune->spec->name, tune->problem_text, error_message());
        else
            *ret_found = true;
    }
    record_list_release(tune->env, &list);
    return TFOPS_OK;
}

/* ---- writing the record ------------------------------------------------------------------ */

/* A JSON text to free(); NULL without memory. */
static char *provenance(const struct tune *tune)
{
    json *root = json_object();
    json_add_string(root, "strategy", tune->strategy->name);
    json_add_int(root, "seed", (int64_t)tune->options.seed);
    json_add_number(root, "interval", tune->options.interval);
    json_add_number(root, "margin", tune->options.margin);
    json_add_bool(root, "confirmed", tune->confirmed);
    if (tune->interrupted)
        json_add_bool(root, "interrupted", true);
    json_add_number(root, "speedup", tune->speedup.median);
    json_add_number(root, "speedup_low", tune->speedup.low);
    json_add_number(root, "speedup_high", tune->speedup.high);
    json_add_number(root, "roof_ns", tune->roof_ns);
    json_add_int(root, "power_limit_w", tune->clocks.power_limit_w);
    json_add_int(root, "memory_clock_mhz", tune->clocks.memory_clock_mhz);
    json_add_int(root, "throttle_reasons", (int64_t)tune->clocks.throttle_reasons);
    json_add_number(root, "seconds", (double)(tune_now_ms() - tune->start_ms) * 1e-3);
    job_sweep_add(tune, root);
    char *text = json_print(root);
    json_free(root);
    return text;
}

static void version_text(int version, char ret_text[16])
{
    snprintf(ret_text, 16, "%d.%d", version / 1000, version % 1000 / 10);
}

static void fill_result(const struct tune *tune, const struct estimate *winner,
    const struct estimate *standard, struct tfops_tune_result *result)
{
    const struct candidate *candidate = &tune->candidates.list[tune->winner];
    result->winner_is_default = tune->winner == tune->default_index;
    result->winner = candidate->config;
    snprintf(result->winner_text, sizeof result->winner_text, "%s", candidate->text);
    result->winner_ns = winner->median;
    result->winner_low_ns = isnan(winner->low) ? winner->median : winner->low;
    result->winner_high_ns = isnan(winner->high) ? winner->median : winner->high;
    result->default_ns = standard->median;
    result->roof_ns = tune->roof_ns;
    result->speedup = tune->speedup.median;
    result->error = candidate->error;
}

static enum tfops_status put(
    struct tune *tune, const struct tfops_tune_result *result, const char *provenance_text)
{
    const struct candidate *winner = &tune->candidates.list[tune->winner];
    const struct candidate *second =
        tune->runner_up == STATS_NONE ? NULL : &tune->candidates.list[tune->runner_up];
    struct estimate second_estimate = {0};
    char driver[16], nvrtc[16], host[256] = "", date[32];
    time_t now = time(NULL);
    struct tm utc;
    if (second && second->samples.n)
        stats_estimate(tune->env, &second->samples, &second_estimate);
    version_text(tune->access.driver->version, driver);
    version_text(tune->access.nvrtc_version, nvrtc);
    gethostname(host, sizeof host - 1);
    strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &utc));
    struct tfops_record row = {.size = sizeof row,
        .sku = tune->sku,
        .op = tune->spec->name,
        .spec_version = tune->spec->version,
        .problem = tune->problem_text,
        .extent = tune->extent,
        .config = winner->text,
        .median_ns = result->winner_ns,
        .low_ns = result->winner_low_ns,
        .high_ns = result->winner_high_ns,
        .default_ns = result->default_ns,
        .runner_up = second ? second->text : "",
        .runner_up_ns = second_estimate.median,
        .samples = tune->winner_samples.n,
        .error = winner->error,
        .sm_clock_mhz = tune->clocks.sm_clock_mhz,
        .driver = driver,
        .nvrtc = winner->binary.nvrtc ? winner->binary.nvrtc : nvrtc,
        .host = host,
        .tfops_version = tfops_version(),
        .date = date,
        .provenance = provenance_text ? provenance_text : "{}"};
    memcpy(row.binary_sha256, winner->binary.sha256, sizeof row.binary_sha256);
    return overlay_put_record(tune->access.overlay, &row);
}

enum tfops_status job_record_put(struct tune *tune, struct tfops_tune_result *result)
{
    struct estimate winner, standard;
    enum tfops_status status = stats_estimate(tune->env, &tune->winner_samples, &winner);
    if (!status)
        status = stats_estimate(tune->env, &tune->default_samples, &standard);
    if (status)
        return status;
    fill_result(tune, &winner, &standard, result);
    if (tune->options.only) /* one config beside the default is no tuning */
        return TFOPS_OK;
    char *text = provenance(tune);
    result->recorded = !put(tune, result, text);
    if (!result->recorded)
        log_line(tune->env, TFOPS_LOG_WARN, "tune: the result is not kept: %s", error_message());
    free(text);
    return TFOPS_OK;
}

/* ---- samples of unfinished runs ---------------------------------------------------------- */

static bool keeps_samples(const struct tune *tune)
{
    return !tune->options.compile_only && !tune->options.only && !tune->options.dump_dir;
}

void job_samples_put(struct tune *tune, const struct candidate *candidate)
{
    struct db *db = keeps_samples(tune) ? overlay_user(tune->access.overlay) : NULL;
    char hex[HASH_HEX_BYTES];
    if (!db || candidate->verdict == TFOPS_VERDICT_ERROR)
        return;
    struct record_key key = tune_record_key(tune);
    json *root = json_object();
    hash_hex(candidate->build_key, hex);
    json_add_string(root, "build", hex);
    json_add_int(root, "verdict", candidate->verdict);
    json_add_number(root, "error", candidate->error);
    json *samples = json_add_array(root, "samples");
    for (uint32_t i = 0; i < candidate->samples.n; i++)
        json_add_number(samples, NULL, candidate->samples.ns[i]);
    char *text = json_print(root);
    json_free(root);
    if (text && record_store_put_sample(db, &key, tune->extent, candidate->text, text) &&
        !tune->samples_failed) {
        tune->samples_failed = true;
        log_line(tune->env, TFOPS_LOG_WARN, "tune: samples are not kept for a resume: %s",
            error_message());
    }
    free(text);
}

static void resume(struct tune *tune, struct candidate *candidate, const json *root)
{
    double verdict = json_number(json_get(root, "verdict"), -1);
    if (hash_parse_hex(json_string(json_get(root, "build"), ""), candidate->resume_key) ||
        !(verdict >= 0 && verdict < TFOPS_VERDICT_COUNT))
        return;
    candidate->resume_verdict = (enum tfops_verdict)verdict;
    candidate->error = json_number(json_get(root, "error"), NAN);
    const json *samples = json_get(root, "samples");
    for (const json *at = samples ? json_first(samples) : NULL; at; at = json_next(at)) {
        double ns = json_number(at, 0);
        if (ns > 0 && sample_set_add(tune->env, &candidate->samples, ns))
            break;
    }
    candidate->has_resume =
        candidate->resume_verdict != TFOPS_VERDICT_OK || candidate->samples.n > 0;
}

static void take_sample(void *user, const char *config, const char *samples_json)
{
    struct tune *tune = user;
    json *root = json_parse(samples_json);
    for (uint32_t i = 0; root && i < tune->candidates.n; i++) {
        struct candidate *candidate = &tune->candidates.list[i];
        if (!candidate->has_resume && !strcmp(candidate->text, config)) {
            resume(tune, candidate, root);
            break;
        }
    }
    json_free(root);
}

void job_samples_load(struct tune *tune)
{
    struct db *db = keeps_samples(tune) ? overlay_user(tune->access.overlay) : NULL;
    struct record_key key = tune_record_key(tune);
    if (db && record_store_each_sample(db, &key, tune->extent, take_sample, tune))
        log_line(tune->env, TFOPS_LOG_WARN, "tune: no samples to resume from: %s", error_message());
}

void job_samples_drop(struct tune *tune)
{
    struct db *db = keeps_samples(tune) ? overlay_user(tune->access.overlay) : NULL;
    struct record_key key = tune_record_key(tune);
    if (db && record_store_drop_samples(db, &key, tune->extent))
        log_line(tune->env, TFOPS_LOG_WARN, "tune: samples stay in the cache: %s", error_message());
}
