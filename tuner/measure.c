/* Timing lanes in interleaved rounds (see measure.h). */
#include "measure.h"
#include "base/error.h"
#include "base/mem.h"
#include <math.h>
#include <string.h>
#include <time.h>

enum { DEFAULT_SAMPLES = 60, DEFAULT_MIN = 8, MAX_REPEATS = 4, REFRESH_REPLAYS = 16 };
enum { PCI_ID_BYTES = 32, FLUSH_PATTERN = 0x5a };

/* A round should outlast reading the clocks, which happens beside it. */
static const double ROUND_NS = 2e6, CLOCK_TOLERANCE = 0.10, DEFAULT_INTERVAL = 0.01;

/* HwSlowdown, SwThermalSlowdown, HwThermalSlowdown, HwPowerBrakeSlowdown of nvml.h. The software
 * power cap is left out: it is the normal state of a GPU under full load. */
static const uint64_t BAD_REASONS = 0x8 | 0x20 | 0x40 | 0x80;

enum tfops_status meter_init(struct meter *meter, const struct gpu *gpu, const struct nvml *nvml,
    int ordinal, size_t flush_bytes)
{
    CUdevice device = 0;
    char pci[PCI_ID_BYTES] = "";
    *meter = (struct meter){.gpu = gpu, .flush_bytes = flush_bytes / 4 * 4};
    if (nvml && !gpu->driver->device_get(&device, ordinal) &&
        !gpu->driver->device_get_pci_bus_id(pci, sizeof pci, device)) {
        meter->nvml_device = nvml_find(nvml, pci);
        meter->nvml = meter->nvml_device ? nvml : NULL;
    }
    if (!meter->flush_bytes)
        return TFOPS_OK;
    enum tfops_status status = gpu_alloc(gpu, meter->flush_bytes, &meter->flush);
    if (!status)
        status = gpu_alloc(gpu, sizeof(struct compare_result), &meter->flush_result);
    if (!status)
        status = gpu_set(gpu, meter->flush, FLUSH_PATTERN, meter->flush_bytes);
    if (status)
        meter_release(meter);
    return status;
}

void meter_release(struct meter *meter)
{
    if (!meter->gpu)
        return;
    gpu_free(meter->gpu, &meter->flush);
    gpu_free(meter->gpu, &meter->flush_result);
}

/*
 * Reading more than L2 holds evicts everything and leaves clean lines; writing instead would leave
 * dirty ones, whose write-back would fall into the timed region.
 */
static enum tfops_status flush(const struct meter *meter)
{
    if (!meter->flush)
        return TFOPS_OK;
    if (!meter->gpu->compare.module.function)
        return gpu_set(meter->gpu, meter->flush, FLUSH_PATTERN, meter->flush_bytes);
    const struct compare_params params = {.a = (const void *)(uintptr_t)meter->flush,
        .result = (struct compare_result *)(uintptr_t)meter->flush_result,
        .rows = 1,
        .cols = (long long)(meter->flush_bytes / 4),
        .a_stride = (long long)(meter->flush_bytes / 4),
        .a_dtype = TFOPS_I32,
        .mode = COMPARE_PATTERN,
        .pattern = FLUSH_PATTERN * 0x01010101u};
    return gpu_compare(meter->gpu, &params);
}

enum tfops_status meter_capture(const struct gpu *gpu, uint32_t launches,
    enum tfops_status (*enqueue)(void *user, uint32_t i), void *user, CUgraphExec *ret_exec)
{
    const struct driver *driver = gpu->driver;
    CUgraph graph = NULL;
    enum tfops_status status =
        gpu_check(gpu, driver->stream_begin_capture(gpu->stream, CU_STREAM_CAPTURE_MODE_RELAXED),
            "cuStreamBeginCapture");
    if (status)
        return status;
    for (uint32_t i = 0; i < launches && !status; i++)
        status = enqueue(user, i);
    /* The capture ends on every path, or the stream would stay in it. */
    CUresult ended = driver->stream_end_capture(gpu->stream, &graph);
    if (!status)
        status = gpu_check(gpu, ended, "cuStreamEndCapture");
    if (!status)
        status = gpu_check(
            gpu, driver->graph_instantiate(ret_exec, graph, 0), "cuGraphInstantiateWithFlags");
    if (graph)
        driver->graph_destroy(graph);
    return status;
}

static enum tfops_status make_events(const struct gpu *gpu, CUevent *events, uint32_t n)
{
    enum tfops_status status = TFOPS_OK;
    for (uint32_t i = 0; i < n && !status; i++)
        status = gpu_check(
            gpu, gpu->driver->event_create(&events[i], CU_EVENT_DEFAULT), "cuEventCreate");
    return status;
}

static void destroy_events(const struct gpu *gpu, CUevent *events, uint32_t n)
{
    for (uint32_t i = 0; i < n && events; i++)
        if (events[i])
            gpu->driver->event_destroy(events[i]);
}

static enum tfops_status record(const struct gpu *gpu, CUevent event)
{
    return gpu_check(gpu, gpu->driver->event_record(event, gpu->stream), "cuEventRecord");
}

static enum tfops_status elapsed(const struct gpu *gpu, const CUevent *pair, double *ret_ns)
{
    float ms = 0;
    CUresult result = gpu->driver->event_elapsed_time(&ms, pair[0], pair[1]);
    if (!result)
        *ret_ns = (double)ms * 1e6;
    return gpu_check(gpu, result, "cuEventElapsedTime");
}

enum tfops_status meter_probe(const struct gpu *gpu,
    enum tfops_status (*enqueue)(void *user, uint32_t i), void *user, double *ret_ns)
{
    CUevent events[2] = {NULL, NULL};
    enum tfops_status status = make_events(gpu, events, 2);
    if (!status)
        status = enqueue(user, 0);
    if (!status)
        status = record(gpu, events[0]);
    if (!status)
        status = enqueue(user, 0);
    if (!status)
        status = record(gpu, events[1]);
    if (!status)
        status = gpu_sync(gpu);
    if (!status)
        status = elapsed(gpu, events, ret_ns);
    destroy_events(gpu, events, 2);
    return status;
}

bool meter_contaminated(const struct meter *meter, const struct nvml_sample *sample)
{
    double clocks[MEASURE_CLOCKS];
    uint32_t n = meter->n_clocks < MEASURE_CLOCKS ? meter->n_clocks : MEASURE_CLOCKS;
    if (sample->throttle_reasons & BAD_REASONS)
        return true;
    if (n < 3 || sample->sm_clock_mhz <= 0)
        return false;
    for (uint32_t i = 0; i < n; i++)
        clocks[i] = meter->clocks[i];
    double median = stats_estimate_values(clocks, n).median;
    return fabs(sample->sm_clock_mhz - median) > CLOCK_TOLERANCE * median;
}

/* Remembers contaminated rounds too: a clock that stays elsewhere becomes the new normal. */
static void remember_clock(struct meter *meter, const struct nvml_sample *sample)
{
    if (sample->sm_clock_mhz > 0)
        meter->clocks[meter->n_clocks++ % MEASURE_CLOCKS] = sample->sm_clock_mhz;
}

/* One race: the state of meter_race(). */
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
    return make_events(race->meter->gpu, race->events, 2 * slots);
}

static void race_release(struct race *race)
{
    const struct gpu *gpu = race->meter->gpu;
    destroy_events(gpu, race->events, 2 * race->n * race->repeats);
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
        status = flush(race->meter);
    else if (lane->lead_in)
        status = replay(race, lane);
    if (!status)
        status = record(race->meter->gpu, pair[0]);
    if (!status)
        status = replay(race, lane);
    if (!status)
        status = record(race->meter->gpu, pair[1]);
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
        status = elapsed(meter->gpu, &race->events[2 * (size_t)slot], &race->ns[slot]);
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

/* A disturbed round is repeated, but not without end: at most as many as good ones, and three. */
static bool must_drop(struct race *race, const struct nvml_sample *clocks)
{
    bool contaminated = meter_contaminated(race->meter, clocks);
    remember_clock(race->meter, clocks);
    if (!contaminated || race->rounds_dropped > race->round / 2 + 2)
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
