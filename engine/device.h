/* Device identity: what specs and keys are told about a GPU. */
#ifndef TFOPS_ENGINE_DEVICE_H
#define TFOPS_ENGINE_DEVICE_H

#include "driver.h"
#include <tfops/spec.h>

enum { DEVICE_SKU_BYTES = 256 };

/* Reads a real GPU. */
enum tfops_status device_query(
    const struct driver *driver, int ordinal, struct tfops_device *ret_device);
/* The nominal device of an architecture ("sm_90a"); TFOPS_E_UNKNOWN lists what there is. */
enum tfops_status device_nominal(const char *arch, struct tfops_device *ret_device);
/* The cpu device. */
void device_cpu(struct tfops_device *ret_device);
/* Canonical SKU text: name, compute capability, SMs, L2, memory rounded to 4 GiB, MIG profile. */
void device_sku(const struct tfops_device *device, char ret_sku[DEVICE_SKU_BYTES]);

#endif
