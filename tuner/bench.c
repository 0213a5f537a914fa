/*
 * The benchmark of an operator: what the engine chooses, the default config and the generic
 * variant, raced beside the copy roof in one session. Runs in the caller's process: all it loads is
 * trusted, being what a launch would run. Writes no record.
 */
#include "base/error.h"
#include "build.h"
#include "engine_access.h"
#include "engine_state.h"
#include "key.h"
#include "plan_state.h"
#include "session.h"
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <tfops/bench.h>

enum { TUNED = 0, DEFAULT, GENERIC, N_SUBJECTS, MIN_SAMPLES = 15, MAX_SAMPLES = 400 };

static const double DEFAULT_BUDGET_S = 5, DEFAULT_INTERVAL = 0.01;

/* What is measured, and under which id of the session: equal binaries share one. */
struct subject {
    bool there;
    struct tfops_config config;
    struct binary binary;
    uint32_t place; /* among the session's distinct ids */
};

struct bench {
    struct tfops_engine *engine;
    struct engine_access access;
    const struct tfops_problem *problem; /* checked */
    struct subject subjects[N_SUBJECTS];
    struct binary support[SUPPORT_COUNT];
    struct session *session;
    uint32_t ids[N_SUBJECTS], n_ids;
    struct sample_set samples[N_SUBJECTS], copy_kernel, copy_memcpy;
    struct nvml_sample clocks;
};

static enum tfops_status check_arguments(const struct tfops_engine *engine,
    const struct tfops_problem *problem, const struct tfops_bench_options *options,
    const struct tfops_bench_result *result)
{
    if (!engine || !problem || !result)
        return error_set(TFOPS_E_ARGUMENT, "bench",
            !engine    ? "engine"
            : !problem ? "problem"
                       : "ret_result",
            "not NULL", "NULL");
    if (result->size != sizeof *result || (options && options->size != sizeof *options))
        return error_set(TFOPS_E_ARGUMENT, "bench",
            result->size != sizeof *result ? "ret_result.size" : "options.size",
            "the size of the struct", "another");
    return TFOPS_OK;
}

/* ---- what to measure --------------------------------------------------------------------- */

/* The variant of a plan, as the binary it was loaded from. */
static enum tfops_status take_variant(struct bench *bench, const struct plan_variant *variant)
{
    struct subject *tuned = &bench->subjects[TUNED];
    tuned->config = variant->launcher.config;
    enum tfops_status status = build_find_pinned(bench->engine, bench->problem, &tuned->config,
        variant->sha256, &tuned->there, &tuned->binary);
    if (status || tuned->there)
        return status;
    status = build_binary(
        bench->engine, bench->problem, &tuned->config, RENDER_TUNED, true, &tuned->binary);
    tuned->there = !status;
    return status;
}

static enum tfops_status take_tuned(struct bench *bench, struct tfops_bench_result *result)
{
    struct tfops_plan_info info = {.size = sizeof info};
    struct tfops_plan *plan = NULL;
    uint32_t dim = key_dynamic_dim(bench->problem->spec);
    int64_t extent = bench->problem->dims[dim];
    if (extent < 1)
        return error_set(
            TFOPS_E_RANGE, "bench", bench->problem->spec->dims[dim].name, "1 or more", "0");
    enum tfops_status status = tfops_prepare(bench->engine, bench->problem, &plan);
    if (status)
        return status;
    status = tfops_plan_describe(plan, extent, &info);
    if (!status) {
        snprintf(result->source, sizeof result->source, "%s", info.source);
        snprintf(result->config, sizeof result->config, "%s", info.config);
        status = take_variant(bench, plan_choose(plan, extent));
    }
    tfops_plan_release(plan);
    return status;
}

static enum tfops_status take_default(struct bench *bench)
{
    const struct tfops_spec *spec = bench->problem->spec;
    struct subject *subject = &bench->subjects[DEFAULT];
    spec->default_config(spec->user, bench->problem, bench->access.device, &subject->config);
    enum tfops_status status = build_binary(
        bench->engine, bench->problem, &subject->config, RENDER_TUNED, true, &subject->binary);
    subject->there = !status;
    return status;
}

static enum tfops_status take_generic(struct bench *bench)
{
    struct subject *subject = &bench->subjects[GENERIC];
    if (!bench->problem->spec->generic_body)
        return TFOPS_OK;
    subject->config = (struct tfops_config){.generic = true};
    enum tfops_status status =
        engine_generic_binary(bench->engine, bench->problem, &subject->binary);
    subject->there = !status;
    return status;
}

static enum tfops_status take_support(struct bench *bench)
{
    enum tfops_status status = TFOPS_OK;
    for (int i = 0; i < SUPPORT_COUNT && !status; i++)
        status = engine_support_binary(bench->engine, (enum support_kernel)i, &bench->support[i]);
    return status;
}

/* ---- measuring --------------------------------------------------------------------------- */

/* The same binary under the same config: TUNED is often the default. */
static int same_as(const struct bench *bench, int subject)
{
    const struct subject *other, *self = &bench->subjects[subject];
    for (int i = 0; i < subject; i++) {
        other = &bench->subjects[i];
        if (other->there && other->config.generic == self->config.generic &&
            !memcmp(other->binary.sha256, self->binary.sha256, HASH_BYTES))
            return i;
    }
    return -1;
}

static enum tfops_status load_subjects(struct bench *bench)
{
    enum tfops_status status = TFOPS_OK;
    for (int i = 0; i < N_SUBJECTS && !status; i++) {
        struct subject *subject = &bench->subjects[i];
        int same = same_as(bench, i);
        if (!subject->there)
            continue;
        if (same >= 0) {
            subject->place = bench->subjects[same].place;
            continue;
        }
        subject->place = bench->n_ids;
        status = session_add(
            bench->session, &subject->config, &subject->binary, &bench->ids[bench->n_ids]);
        bench->n_ids += !status;
    }
    return status;
}

static enum tfops_status measure(struct bench *bench, const struct tfops_bench_options *options)
{
    const struct session_options session = {.driver = bench->access.driver,
        .nvml = bench->access.nvml,
        .ordinal = bench->access.ordinal,
        .problem = bench->problem,
        .fill = &bench->support[SUPPORT_FILL],
        .compare = &bench->support[SUPPORT_COMPARE],
        .copy = &bench->support[SUPPORT_COPY],
        .seed = options ? options->seed : 0,
        .l2_warm = options && options->l2_warm,
        .one_output = options && options->one_output,
        .peer = options ? options->peer : NULL};
    const struct measure_options how = {
        .interval = options && options->interval > 0 ? options->interval : DEFAULT_INTERVAL,
        .min_samples = MIN_SAMPLES,
        .max_samples = MAX_SAMPLES,
        .steady = true,
        .budget_s = options && options->budget_s > 0 ? options->budget_s : DEFAULT_BUDGET_S};
    enum tfops_status status = session_open(bench->access.env, &session, &bench->session);
    if (!status)
        status = load_subjects(bench);
    if (!status)
        status = session_measure_beside_copy(bench->session, bench->ids, bench->n_ids, &how,
            bench->samples, &bench->copy_kernel, &bench->copy_memcpy, &bench->clocks);
    return status;
}

/* ---- the result -------------------------------------------------------------------------- */

static double smaller(double a, double b)
{
    return a < b ? a : b;
}

static enum tfops_status fill_times(struct bench *bench, struct tfops_bench_result *result)
{
    double *medians[N_SUBJECTS + 2] = {&result->tuned_ns, &result->default_ns, &result->generic_ns,
        &result->copy_kernel_ns, &result->copy_memcpy_ns};
    enum tfops_status status = TFOPS_OK;
    for (int i = 0; i < N_SUBJECTS + 2 && !status; i++) {
        const struct sample_set *set = i == N_SUBJECTS       ? &bench->copy_kernel
                                       : i == N_SUBJECTS + 1 ? &bench->copy_memcpy
                                                             : NULL;
        struct estimate estimate;
        if (!set && !bench->subjects[i].there)
            continue;
        if (!set)
            set = &bench->samples[bench->subjects[i].place];
        status = stats_estimate(bench->access.env, set, &estimate);
        if (status)
            break;
        *medians[i] = estimate.median;
        if (i == TUNED) {
            result->tuned_low_ns = estimate.low;
            result->tuned_high_ns = estimate.high;
            result->samples = estimate.n;
        }
    }
    return status;
}

static enum tfops_status fill_peer(struct bench *bench, struct tfops_bench_result *result)
{
    struct estimate estimate;
    const struct sample_set *samples = session_peer_samples(bench->session, &result->peer_kernels);
    if (!result->peer_kernels)
        return TFOPS_OK;
    enum tfops_status status = stats_estimate(bench->access.env, samples, &estimate);
    if (!status)
        result->peer_ns = estimate.median;
    return status;
}

static enum tfops_status fill_result(struct bench *bench, struct tfops_bench_result *result)
{
    const struct tfops_spec *spec = bench->problem->spec;
    struct tfops_cost cost = {0};
    enum tfops_status status = fill_times(bench, result);
    if (!status)
        status = fill_peer(bench, result);
    spec->cost(spec->user, bench->problem, &cost);
    result->roof_ns = smaller(result->copy_kernel_ns, result->copy_memcpy_ns);
    result->ratio = result->roof_ns / result->tuned_ns;
    result->bytes = cost.bytes_read + cost.bytes_written;
    result->sm_clock_mhz = bench->clocks.sm_clock_mhz;
    result->memory_clock_mhz = bench->clocks.memory_clock_mhz;
    return status;
}

static void release(struct bench *bench)
{
    const struct env *env = bench->access.env;
    session_close(bench->session);
    for (int i = 0; i < N_SUBJECTS; i++) {
        if (bench->subjects[i].there)
            binary_release(env, &bench->subjects[i].binary);
        sample_set_release(env, &bench->samples[i]);
    }
    for (int i = 0; i < SUPPORT_COUNT; i++)
        binary_release(env, &bench->support[i]);
    sample_set_release(env, &bench->copy_kernel);
    sample_set_release(env, &bench->copy_memcpy);
}

enum tfops_status tfops_bench(struct tfops_engine *engine, const struct tfops_problem *problem,
    const struct tfops_bench_options *options, struct tfops_bench_result *ret_result)
{
    enum tfops_status status = check_arguments(engine, problem, options, ret_result);
    if (status)
        return status;
    struct tfops_problem checked = *problem;
    status = tfops_problem_check(&checked);
    if (status)
        return status;
    struct bench bench = {.engine = engine, .problem = &checked};
    struct tfops_bench_result result = {.size = sizeof result};
    status = engine_access(engine, &bench.access);
    if (status)
        return status;
    if (!bench.access.driver)
        return error_set(TFOPS_E_UNSUPPORTED, "bench", bench.access.device->name, "a CUDA device",
            bench.access.device->arch);
    status = take_tuned(&bench, &result);
    if (!status)
        status = take_default(&bench);
    if (!status)
        status = take_generic(&bench);
    if (!status)
        status = take_support(&bench);
    if (!status)
        status = measure(&bench, options);
    if (!status)
        status = fill_result(&bench, &result);
    release(&bench);
    if (!status)
        *ret_result = result;
    return status;
}
