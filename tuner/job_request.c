/*
 * What a caller asks of tfops_tune(), checked and completed: options with their defaults, the device,
 * the problem. First stage of a run (tune.h).
 */
#include "base/error.h"
#include "tune.h"
#include <sched.h>
#include <string.h>
#include <unistd.h>

enum { MAX_JOBS = 64 };

static uint32_t cores(void)
{
    cpu_set_t set;
    int n = sched_getaffinity(0, sizeof set, &set) ? (int)sysconf(_SC_NPROCESSORS_ONLN)
                                                   : CPU_COUNT(&set);
    return n < 1 ? 1 : (uint32_t)n;
}

/* Options of an older caller are shorter; of a newer one, what is unknown here must be zero. */
static enum tfops_status copy_options(
    const struct tfops_tune_options *from, struct tfops_tune_options *to)
{
    *to = (struct tfops_tune_options){.size = sizeof *to};
    if (!from)
        return TFOPS_OK;
    if (from->size < sizeof from->size)
        return error_set(TFOPS_E_ARGUMENT, "tune", "options.size", "the struct's size", NULL);
    for (size_t i = sizeof *to; i < from->size; i++)
        if (((const unsigned char *)from)[i])
            return error_set(
                TFOPS_E_ARGUMENT, "tune", "options", "no field unknown to this library", NULL);
    memcpy(to, from, from->size < sizeof *to ? from->size : sizeof *to);
    return TFOPS_OK;
}

static bool is_negative(double value)
{
    return !(value >= 0);
}

static enum tfops_status check_options(struct tfops_tune_options *options)
{
    if (is_negative(options->budget_s) || is_negative(options->interval) ||
        is_negative(options->margin) || is_negative(options->watchdog_s) ||
        options->watchdog_s > 3600 || options->interval > 1 || options->margin > 1)
        return error_set(TFOPS_E_RANGE, "tune", "budget_s, interval, margin, watchdog_s",
            "0 or more; interval and margin at most 1, watchdog_s at most 3600", NULL);
    if (options->jobs > MAX_JOBS)
        return error_set(TFOPS_E_RANGE, "tune", "jobs", "at most 64", NULL);
    options->jobs = options->jobs ? options->jobs : cores();
    options->jobs = options->jobs > MAX_JOBS ? MAX_JOBS : options->jobs;
    options->interval = options->interval > 0 ? options->interval : 0.01;
    options->margin = options->margin > 0 ? options->margin : 0.01;
    options->watchdog_s = options->watchdog_s > 0 ? options->watchdog_s : 5;
    return TFOPS_OK;
}

static enum tfops_status check_device(const struct tune *tune)
{
    char reason[TFOPS_REASON_BYTES] = "";
    const struct tfops_device *device = tune->access.device;
    const struct tfops_spec *spec = tune->spec;
    if (!strcmp(device->arch, "cpu"))
        return error_setf(TFOPS_E_UNSUPPORTED, 0, "tune", "device cpu",
            "the cpu device has no variants to tune; without a GPU, fill a cache for an "
            "architecture with compile-only");
    if (spec->supports && !spec->supports(spec->user, device->arch, reason))
        return error_setf(TFOPS_E_UNSUPPORTED, 0, "tune", spec->name, "%s on %s: %s", spec->name,
            device->arch, reason);
    if (!tune->access.driver && !tune->options.compile_only && !tune->options.dry_run)
        return error_setf(TFOPS_E_UNSUPPORTED, 0, "tune", device->arch,
            "there is no GPU behind the device %s: only compile-only and dry runs work on it",
            device->arch);
    return TFOPS_OK;
}

static enum tfops_status check_plugins(const struct tune *tune)
{
    if (tune->access.n_plugins > MESSAGE_MAX_PLUGINS)
        return error_set(TFOPS_E_RANGE, "tune", "plug-ins", "at most 64", NULL);
    return TFOPS_OK;
}

enum tfops_status job_accept(struct tune *tune, struct tfops_engine *engine,
    const struct tfops_problem *problem, const struct tfops_tune_options *options)
{
    if (!engine || !problem || !problem->spec)
        return error_set(TFOPS_E_ARGUMENT, "tune", engine ? "problem" : "engine", "not NULL", NULL);
    enum tfops_status status = copy_options(options, &tune->options);
    if (!status)
        status = check_options(&tune->options);
    if (!status)
        status = engine_access(engine, &tune->access);
    if (status)
        return status;
    tune->engine = engine;
    tune->env = tune->access.env;
    tune->problem = *problem;
    tune->spec = problem->spec;
    tune->winner = tune->runner_up = STATS_NONE;
    tune->confirm_seed = tune->options.seed ^ 0x636f6e6669726dull; /* "confirm": other inputs */
    status = tfops_problem_check(&tune->problem);
    if (!status)
        status = check_device(tune);
    if (!status)
        status = check_plugins(tune);
    if (status)
        return status;
    tune->extent = tune->problem.dims[key_dynamic_dim(tune->spec)];
    device_sku(tune->access.device, tune->sku);
    key_text(&tune->problem, tune->problem_text);
    if (tune->extent <= 0 && !tune->options.compile_only && !tune->options.dry_run)
        return error_set(TFOPS_E_RANGE, "tune", tune->spec->dims[key_dynamic_dim(tune->spec)].name,
            "an extent above 0 to measure", NULL);
    return strategy_find(tune->options.strategy, &tune->strategy);
}
