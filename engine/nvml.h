/* NVML as a table of functions, opened at run time; optional everywhere. */
#ifndef TFOPS_ENGINE_NVML_H
#define TFOPS_ENGINE_NVML_H

#include <stdbool.h>
#include <stdint.h>
#include <tfops/status.h>

struct nvmlDevice_st;

struct nvml {
    void *library;
    int (*init)(void);
    int (*shutdown)(void);
    int (*device_by_pci)(const char *pci_bus_id, struct nvmlDevice_st **device);
    int (*clock_info)(struct nvmlDevice_st *device, int type, unsigned *mhz);
    int (*power_limit)(struct nvmlDevice_st *device, unsigned *milliwatts);
    int (*throttle_reasons)(struct nvmlDevice_st *device, unsigned long long *reasons);
};

enum tfops_status nvml_open(struct nvml *ret_nvml); /* TFOPS_E_DRIVER when it is absent */
void nvml_close(struct nvml *nvml);

/* A sample of the device's state; 0 where unknown. */
struct nvml_sample {
    int32_t sm_clock_mhz, memory_clock_mhz, power_limit_w;
    uint64_t throttle_reasons; /* nvmlClocksThrottleReason… bits */
};
struct nvmlDevice_st *nvml_find(const struct nvml *nvml, const char *pci_bus_id); /* NULL: none */
void nvml_read(
    const struct nvml *nvml, struct nvmlDevice_st *device, struct nvml_sample *ret_sample);

#endif
