/*
 * One kernel launch from validated operand views: parameters, tensor maps, grid. The last stage of
 * the launch flow, shared by plans (launch.c) and by the tuner's sessions, so that what is measured
 * is what is launched. No allocation, no lock.
 */
#ifndef TFOPS_ENGINE_LAUNCHER_H
#define TFOPS_ENGINE_LAUNCHER_H

#include "cache/binary_store.h"
#include "driver.h"
#include "module.h"
#include <tfops/spec.h>

/* A loaded variant: everything of a launch that does not change between calls. */
struct launcher {
    const struct tfops_spec *spec;
    const struct tfops_device *device;
    struct tfops_config config;
    struct tfops_geometry geometry; /* compiled-in part */
    CUfunction function;
};

/* `args->problem->dims` hold the dynamic extent (> 0). Returns the driver's result. */
CUresult launcher_launch(const struct launcher *launcher, const struct driver *driver,
    const struct tfops_launch_args *args, CUstream stream);

#endif
