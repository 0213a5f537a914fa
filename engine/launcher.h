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

/*
 * A loaded variant: everything of a launch that does not change between calls. What a plain launch
 * reads comes first, copied from the spec and the driver's table so that it stands together.
 */
struct launcher {
    CUfunction function;
    DRIVER_FUNCTION(launch_kernel);
    struct tfops_geometry geometry; /* its grid is another extent's */
    bool plain;                     /* launcher_launch_plain() will do */
    int dynamic_dim;
    void (*pack)(void *user, const struct tfops_launch_args *launch, void *ret_params);
    void *user;
    const struct tfops_device *device;
    const struct tfops_spec *spec;
    struct tfops_config config;
};

/* Bytes of parameters a plain launch has room for: little, so that few lines of stack are new. */
enum { LAUNCHER_PLAIN_PARAM_BYTES = 256 };

/* All but the function, which the caller loads. `driver` may be a table without functions. */
void launcher_init(struct launcher *launcher, const struct driver *driver,
    const struct tfops_device *device, const struct tfops_problem *problem,
    const struct tfops_config *config);

/* `args->problem->dims` hold the dynamic extent (> 0). Returns the driver's result. */
CUresult launcher_launch(const struct launcher *launcher, const struct driver *driver,
    const struct tfops_launch_args *args, CUstream stream);

/* The grid's x for an extent above 0, of a launcher's geometry that says how it follows from it. */
static inline uint32_t launcher_grid(const struct tfops_geometry *geometry, int64_t extent)
{
    uint64_t groups = (uint64_t)extent;
    if (geometry->extent_per_group > 1)
        groups = (groups + geometry->extent_per_group - 1) / geometry->extent_per_group;
    if (groups > geometry->most_groups)
        groups = geometry->most_groups;
    return (uint32_t)groups * geometry->blocks_per_group;
}

/* The same where the launcher is plain: no workspace, no tensor maps, no attributes of the launch,
 * a grid that needs no call. */
static inline CUresult launcher_launch_plain(
    const struct launcher *launcher, const struct tfops_launch_args *args, CUstream stream)
{
    _Alignas(128) unsigned char pack[LAUNCHER_PLAIN_PARAM_BYTES];
    void *params[] = {pack};
    const uint32_t grid =
        launcher_grid(&launcher->geometry, args->problem->dims[launcher->dynamic_dim]);
    launcher->pack(launcher->user, args, pack);
    return launcher->launch_kernel(launcher->function, grid, 1, 1, launcher->geometry.threads, 1, 1,
        launcher->geometry.smem_bytes, stream, params, NULL);
}

#endif
