/* The meter: events, captured graphs, the L2 flush, clocks (see measure.h). */
#include "measure.h"
#include "measure_state.h"
#include <math.h>

enum { PCI_ID_BYTES = 32, FLUSH_PATTERN = 0x5a };
static const double CLOCK_TOLERANCE = 0.10;

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
enum tfops_status meter_flush(const struct meter *meter)
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

enum tfops_status meter_make_events(const struct gpu *gpu, CUevent *events, uint32_t n)
{
    enum tfops_status status = TFOPS_OK;
    for (uint32_t i = 0; i < n && !status; i++)
        status = gpu_check(
            gpu, gpu->driver->event_create(&events[i], CU_EVENT_DEFAULT), "cuEventCreate");
    return status;
}

void meter_destroy_events(const struct gpu *gpu, CUevent *events, uint32_t n)
{
    for (uint32_t i = 0; i < n && events; i++)
        if (events[i])
            gpu->driver->event_destroy(events[i]);
}

enum tfops_status meter_record(const struct gpu *gpu, CUevent event)
{
    return gpu_check(gpu, gpu->driver->event_record(event, gpu->stream), "cuEventRecord");
}

enum tfops_status meter_elapsed(const struct gpu *gpu, const CUevent *pair, double *ret_ns)
{
    float ms = 0;
    CUresult result = gpu->driver->event_elapsed_time(&ms, pair[0], pair[1]);
    if (!result)
        *ret_ns = (double)ms * 1e6;
    return gpu_check(gpu, result, "cuEventElapsedTime");
}

enum tfops_status meter_probe(const struct meter *meter, bool cold,
    enum tfops_status (*enqueue)(void *user, uint32_t i), void *user, double *ret_ns)
{
    const struct gpu *gpu = meter->gpu;
    CUevent events[2] = {NULL, NULL};
    enum tfops_status status = meter_make_events(gpu, events, 2);
    if (!status)
        status = enqueue(user, 0);
    if (!status && cold)
        status = meter_flush(meter);
    if (!status)
        status = meter_record(gpu, events[0]);
    if (!status)
        status = enqueue(user, 0);
    if (!status)
        status = meter_record(gpu, events[1]);
    if (!status)
        status = gpu_sync(gpu);
    if (!status)
        status = meter_elapsed(gpu, events, ret_ns);
    meter_destroy_events(gpu, events, 2);
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

void meter_remember_clock(struct meter *meter, const struct nvml_sample *sample)
{
    if (sample->sm_clock_mhz > 0)
        meter->clocks[meter->n_clocks++ % MEASURE_CLOCKS] = sample->sm_clock_mhz;
}
