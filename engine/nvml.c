/* NVML, opened at run time (see nvml.h). */
#include "nvml.h"
#include "base/error.h"
#include <dlfcn.h>
#include <string.h>

enum { CLOCK_SM = 1, CLOCK_MEMORY = 2 }; /* nvmlClockType_t */

static const struct {
    const char *symbol;
    size_t offset;
    bool required;
} FUNCTIONS[] = {
    {"nvmlInit_v2", offsetof(struct nvml, init), true},
    {"nvmlShutdown", offsetof(struct nvml, shutdown), true},
    {"nvmlDeviceGetHandleByPciBusId_v2", offsetof(struct nvml, device_by_pci), true},
    {"nvmlDeviceGetClockInfo", offsetof(struct nvml, clock_info), true},
    {"nvmlDeviceGetEnforcedPowerLimit", offsetof(struct nvml, power_limit), false},
    {"nvmlDeviceGetCurrentClocksThrottleReasons", offsetof(struct nvml, throttle_reasons), false},
};

enum tfops_status nvml_open(struct nvml *ret_nvml)
{
    struct nvml nvml = {.library = dlopen("libnvidia-ml.so.1", RTLD_NOW | RTLD_LOCAL)};
    if (!nvml.library)
        return error_setf(TFOPS_E_DRIVER, 0, "nvml", "libnvidia-ml.so.1", "cannot be opened");
    for (size_t i = 0; i < sizeof FUNCTIONS / sizeof FUNCTIONS[0]; i++) {
        void *address = dlsym(nvml.library, FUNCTIONS[i].symbol);
        memcpy((char *)&nvml + FUNCTIONS[i].offset, &address, sizeof address);
        if (address || !FUNCTIONS[i].required)
            continue;
        dlclose(nvml.library);
        return error_setf(
            TFOPS_E_DRIVER, 0, "nvml", "libnvidia-ml.so.1", "has no %s", FUNCTIONS[i].symbol);
    }
    int result = nvml.init();
    if (result) {
        dlclose(nvml.library);
        return error_setf(TFOPS_E_DRIVER, result, "nvmlInit_v2", "", "failed with %d", result);
    }
    *ret_nvml = nvml;
    return TFOPS_OK;
}

void nvml_close(struct nvml *nvml)
{
    if (nvml->library) {
        nvml->shutdown();
        dlclose(nvml->library);
    }
    memset(nvml, 0, sizeof *nvml);
}

struct nvmlDevice_st *nvml_find(const struct nvml *nvml, const char *pci_bus_id)
{
    struct nvmlDevice_st *device = NULL;
    return nvml->library && !nvml->device_by_pci(pci_bus_id, &device) ? device : NULL;
}

void nvml_read(
    const struct nvml *nvml, struct nvmlDevice_st *device, struct nvml_sample *ret_sample)
{
    unsigned sm = 0, memory = 0, milliwatts = 0;
    unsigned long long reasons = 0;
    memset(ret_sample, 0, sizeof *ret_sample);
    if (!device)
        return;
    nvml->clock_info(device, CLOCK_SM, &sm);
    nvml->clock_info(device, CLOCK_MEMORY, &memory);
    if (nvml->power_limit)
        nvml->power_limit(device, &milliwatts);
    if (nvml->throttle_reasons)
        nvml->throttle_reasons(device, &reasons);
    ret_sample->sm_clock_mhz = (int32_t)sm;
    ret_sample->memory_clock_mhz = (int32_t)memory;
    ret_sample->power_limit_w = (int32_t)(milliwatts / 1000);
    ret_sample->throttle_reasons = reasons;
}
