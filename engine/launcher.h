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
 * reads comes first, copied from the spec, the geometry and the driver's table so that it stands
 * together.
 */
struct launcher {
    CUfunction function;
    union { /* `overlaps` says which */
        DRIVER_FUNCTION(launch_kernel);
        DRIVER_FUNCTION(launch_kernel_ex);
    };
    void (*pack)(void *user, const struct tfops_launch_args *launch, void *ret_params);
    void *user;
    /* The geometry's. */
    uint32_t threads, smem_bytes, extent_per_group, most_groups, blocks_per_group;
    uint8_t dynamic_dim;
    bool plain;                     /* launcher_launch_plain() will do */
    bool overlaps;                  /* the geometry's pdl */
    struct tfops_geometry geometry; /* its grid is another extent's */
    const struct tfops_device *device;
    const struct tfops_spec *spec;
    struct tfops_config config;
};

/* Bytes of parameters a plain launch has room for: little, so that few lines of stack are new. */
enum { LAUNCHER_PLAIN_PARAM_BYTES = 448 };

/* All but the function, which the caller loads. `driver` may be a table without functions. */
void launcher_init(struct launcher *launcher, const struct driver *driver,
    const struct tfops_device *device, const struct tfops_problem *problem,
    const struct tfops_config *config);

/* `args->problem->dims` hold the dynamic extent (> 0). Returns the driver's result. *ret_call, where
 * it is asked for: the call that gave it. */
CUresult launcher_launch(const struct launcher *launcher, const struct driver *driver,
    const struct tfops_launch_args *args, CUstream stream, const char **ret_call);
/* The call that enqueues. */
const char *launcher_call(const struct launcher *launcher);

/* Clusters, programmatic dependent and cooperative launch need the extended call. */
CUresult launcher_launch_extended(const struct launcher *launcher, const struct driver *driver,
    const struct tfops_geometry *geometry, CUstream stream, void **params);

/* Groups of blocks for an extent above 0, of a geometry that says how they follow from it. */
static inline uint32_t launcher_groups(int64_t extent, uint32_t per_group, uint32_t most)
{
    uint64_t groups = (uint64_t)extent;
    if (per_group > 1)
        groups = (groups + per_group - 1) / per_group;
    return groups < most ? (uint32_t)groups : most;
}

/* A launch that may begin while the one before it in the stream ends. */
extern const CUlaunchAttribute launcher_overlap;

static inline CUresult launcher_launch_overlapped(
    const struct launcher *launcher, const uint32_t grid[3], CUstream stream, void **params)
{
    const CUlaunchConfig config = {.gridDimX = grid[0],
        .gridDimY = grid[1],
        .gridDimZ = grid[2],
        .blockDimX = launcher->threads,
        .blockDimY = 1,
        .blockDimZ = 1,
        .sharedMemBytes = launcher->smem_bytes,
        .hStream = stream,
        .attrs = (CUlaunchAttribute *)(uintptr_t)&launcher_overlap,
        .numAttrs = 1};
    return launcher->launch_kernel_ex(&config, launcher->function, params, NULL);
}

/* The grid of a geometry that does not say how it follows from the extent. */
void launcher_ask_grid(
    const struct launcher *launcher, const struct tfops_problem *problem, uint32_t ret_grid[3]);

/* The same where the launcher is plain: no workspace, no tensor maps, no cluster. */
static inline CUresult launcher_launch_plain(
    const struct launcher *launcher, const struct tfops_launch_args *args, CUstream stream)
{
    _Alignas(16) unsigned char pack[LAUNCHER_PLAIN_PARAM_BYTES];
    void *params[] = {pack};
    uint32_t grid[] = {0, 1, 1};
    if (__builtin_expect(launcher->extent_per_group != 0, 1))
        grid[0] = launcher_groups(args->problem->dims[launcher->dynamic_dim],
                      launcher->extent_per_group, launcher->most_groups) *
                  launcher->blocks_per_group;
    else
        launcher_ask_grid(launcher, args->problem, grid);
    launcher->pack(launcher->user, args, pack);
    if (launcher->overlaps)
        return launcher_launch_overlapped(launcher, grid, stream, params);
    return launcher->launch_kernel(launcher->function, grid[0], grid[1], grid[2], launcher->threads,
        1, 1, launcher->smem_bytes, stream, params, NULL);
}

#endif
