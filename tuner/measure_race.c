/* Timing lanes in interleaved rounds: meter_race() (see measure.h). */
#include "base/mem.h"
#include "measure.h"
#include "measure_state.h"
#include <math.h>
#include <time.h>

enum { DEFAULT_SAMPLES = 60, DEFAULT_MIN = 8, MAX_REPEATS = 4, REFRESH_REPLAYS = 16 };

/* A round should outlast reading the clocks, which happens beside it. */
static const double ROUND_NS = 2e6, DEFAULT_INTERVAL = 0.01;

struct race {
    struct meter *meter;
    struct lane *lanes;
    uint32_t n, repeats, round, rounds_dropped, replays_since_refresh;
    uint32_t min_samples, max_samples;
    double interval, give_up_ratio, deadline_ns;
    bool drop;
    uint32_t *order; /* the lanes still in, rotated */
    uint32_t n_in;
    CUevent *events; /* pairs: [repeat][place in order] */
    double *ns;      /* the round's, the same order */
};

static double now_ns(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

static uint32_t choose_repeats(const struct lane *lanes, uint32_t n)
{
    double replays = 0;
    for (uint32_t i = 0; i < n; i++)
        replays += lanes[i].expected_ns * lanes[i].launches;
    for (uint32_t repeats = 1; repeats < MAX_REPEATS; repeats++)
        if (replays <= 0 || repeats * replays >= ROUND_NS)
            return repeats;
    return MAX_REPEATS;
}

static void set_limits(struct race *race, const struct measure_options *options)
{
    race->interval = options->interval > 0 ? options->interval : DEFAULT_INTERVAL;
    race->min_samples = options->min_samples ? options->min_samples : DEFAULT_MIN;
    race->max_samples = options->max_samples ? options->max_samples : DEFAULT_SAMPLES;
    if (race->max_samples < race->min_samples)
        race->max_samples = race->min_samples;
    race->drop = options->race;
    race->give_up_ratio = options->give_up_ratio > 1 ? options->give_up_ratio : INFINITY;
    race->deadline_ns = options->budget_s > 0 ? now_ns() + options->budget_s * 1e9 : INFINITY;
    race->repeats = choose_repeats(race->lanes, race->n);
    if (race->repeats > race->max_samples)
        race->repeats = race->max_samples;
}

static enum tfops_status race_init(struct race *race, const struct measure_options *options)
{
    const struct env *env = race->meter->gpu->env;
    set_limits(race, options);
    uint32_t slots = race->n * race->repeats;
    race->order = mem_new(env, race->n, sizeof *race->order);
    race->events = mem_new(env, 2 * (size_t)slots, sizeof *race->events);
    race->ns = mem_new(env, slots, sizeof *race->ns);
    if (!race->order || !race->events || !race->ns)
        return TFOPS_E_MEMORY;
    return meter_make_events(race->meter->gpu, race->events, 2 * slots);
}

static void race_release(struct race *race)
{
    const struct gpu *gpu = race->meter->gpu;
    meter_destroy_events(gpu, race->events, 2 * race->n * race->repeats);
    mem_free(gpu->env, race->order);
    mem_free(gpu->env, race->events);
    mem_free(gpu->env, race->ns);
}

static enum tfops_status replay(const struct race *race, const struct lane *lane)
{
    const struct gpu *gpu = race->meter->gpu;
    return gpu_check(gpu, gpu->driver->graph_launch(lane->exec, gpu->stream), "cuGraphLaunch");
}

/*
 * After a lead-in the timed replay finds what a steady stream of the same launches would, not another
 * lane's dirty lines and address translations.
 */
static enum tfops_status timed_replay(
    const struct race *race, const struct lane *lane, const CUevent *pair)
{
    enum tfops_status status = TFOPS_OK;
    if (lane->flush)
        status = meter_flush(race->meter);
    else if (lane->lead_in)
        status = replay(race, lane);
    if (!status)
        status = meter_record(race->meter->gpu, pair[0]);
    if (!status)
        status = replay(race, lane);
    if (!status)
        status = meter_record(race->meter->gpu, pair[1]);
    return status;
}

static enum tfops_status refresh(struct race *race, uint32_t replays)
{
    race->replays_since_refresh += replays;
    if (!race->meter->refresh || race->replays_since_refresh < REFRESH_REPLAYS)
        return TFOPS_OK;
    race->replays_since_refresh = 0;
    return race->meter->refresh(race->meter->user);
}

static enum tfops_status warm_up(struct race *race)
{
    enum tfops_status status = TFOPS_OK;
    for (uint32_t i = 0; i < race->n && !status; i++) {
        status = refresh(race, 1);
        if (!status)
            status = replay(race, &race->lanes[i]);
    }
    return status;
}

static void order_lanes(struct race *race)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < race->n; i++) {
        uint32_t lane = (i + race->round) % race->n;
        if (!race->lanes[lane].out)
            race->order[n++] = lane;
    }
    race->n_in = n;
}

/* Enqueues a round, reads the clocks while it runs, and waits for it. */
static enum tfops_status run_round(struct race *race, struct nvml_sample *ret_clocks)
{
    struct meter *meter = race->meter;
    enum tfops_status status = TFOPS_OK;
    order_lanes(race);
    for (uint32_t slot = 0; slot < race->repeats * race->n_in && !status; slot++) {
        const struct lane *lane = &race->lanes[race->order[slot % race->n_in]];
        status = refresh(race, lane->lead_in && !lane->flush ? 2 : 1);
        if (!status)
            status = timed_replay(race, lane, &race->events[2 * (size_t)slot]);
    }
    if (!status && meter->nvml)
        nvml_read(meter->nvml, meter->nvml_device, ret_clocks);
    if (!status)
        status = gpu_sync(meter->gpu);
    for (uint32_t slot = 0; slot < race->repeats * race->n_in && !status; slot++)
        status = meter_elapsed(meter->gpu, &race->events[2 * (size_t)slot], &race->ns[slot]);
    return status;
}

static enum tfops_status keep_round(struct race *race)
{
    const struct env *env = race->meter->gpu->env;
    enum tfops_status status = TFOPS_OK;
    for (uint32_t slot = 0; slot < race->repeats * race->n_in && !status; slot++) {
        struct lane *lane = &race->lanes[race->order[slot % race->n_in]];
        if (lane->samples.n < race->max_samples)
            status = sample_set_add(env, &lane->samples, race->ns[slot] / lane->launches);
    }
    for (uint32_t i = 0; i < race->n && !status; i++)
        if (!race->lanes[i].out)
            status = stats_estimate(env, &race->lanes[i].samples, &race->lanes[i].estimate);
    return status;
}

/* A disturbed round is repeated, but not without end: at most as many as good ones, and three; nor where time
 * is up and there is no other. */
static bool must_drop(struct race *race, const struct nvml_sample *clocks)
{
    bool contaminated = meter_contaminated(race->meter, clocks);
    meter_remember_clock(race->meter, clocks);
    const bool only = !race->lanes[race->order[0]].samples.n && now_ns() > race->deadline_ns;
    if (!contaminated || only || race->rounds_dropped > race->round / 2 + 2)
        return false;
    race->rounds_dropped++;
    race->meter->dropped_rounds++;
    return true;
}

static const struct lane *best_lane(const struct race *race)
{
    const struct lane *best = NULL;
    for (uint32_t i = 0; i < race->n; i++)
        if (!race->lanes[i].out &&
            (!best || race->lanes[i].estimate.median < best->estimate.median))
            best = &race->lanes[i];
    return best;
}

static void drop_losers(struct race *race)
{
    const struct lane *best = best_lane(race);
    for (uint32_t i = 0; i < race->n; i++) {
        struct lane *lane = &race->lanes[i];
        if (lane == best || lane->out)
            continue;
        bool beaten = race->drop && lane->estimate.low > best->estimate.high;
        bool hopeless = lane->estimate.median > race->give_up_ratio * best->estimate.median;
        lane->out = beaten || hopeless;
    }
}

static bool finished(const struct race *race)
{
    if (now_ns() > race->deadline_ns)
        return true;
    for (uint32_t i = 0; i < race->n; i++) {
        const struct lane *lane = &race->lanes[i];
        if (lane->out || lane->samples.n >= race->max_samples)
            continue;
        if (lane->samples.n < race->min_samples ||
            stats_relative_width(&lane->estimate) > race->interval)
            return false;
    }
    return true;
}

static enum tfops_status run(struct race *race, struct nvml_sample *ret_clocks)
{
    enum tfops_status status = warm_up(race);
    bool done = false;
    while (!status && !done) {
        struct nvml_sample clocks = {0};
        status = run_round(race, &clocks);
        if (status)
            break;
        race->round++;
        *ret_clocks = clocks;
        if (must_drop(race, &clocks)) {
            done = now_ns() > race->deadline_ns;
            continue;
        }
        status = keep_round(race);
        if (status)
            break;
        drop_losers(race);
        done = finished(race);
    }
    return status;
}

enum tfops_status meter_race(struct meter *meter, struct lane *lanes, uint32_t n,
    const struct measure_options *options, struct nvml_sample *ret_clocks)
{
    struct race race = {.meter = meter, .lanes = lanes, .n = n};
    struct nvml_sample clocks = {0};
    if (!n)
        return TFOPS_OK;
    enum tfops_status status = race_init(&race, options);
    if (!status)
        status = run(&race, &clocks);
    if (!status && ret_clocks)
        *ret_clocks = clocks;
    race_release(&race);
    return status;
}
