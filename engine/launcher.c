/* One kernel launch (see launcher.h). */
#include "launcher.h"
#include "key.h"
#include "problem.h"
#include "tensor_maps.h"
#include <string.h>

const CUlaunchAttribute launcher_overlap = {
    .id = CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION,
    .value.programmaticStreamSerializationAllowed = 1};

CUresult launcher_launch_extended(const struct launcher *launcher, const struct driver *driver,
    const struct tfops_geometry *geometry, CUstream stream, void **params)
{
    CUlaunchAttribute attributes[3];
    CUlaunchConfig config = {.gridDimX = geometry->grid[0],
        .gridDimY = geometry->grid[1],
        .gridDimZ = geometry->grid[2],
        .blockDimX = geometry->threads,
        .blockDimY = 1,
        .blockDimZ = 1,
        .sharedMemBytes = geometry->smem_bytes,
        .hStream = stream,
        .attrs = attributes};
    if (geometry->cluster > 1) {
        CUlaunchAttribute *attribute = &attributes[config.numAttrs++];
        attribute->id = CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION;
        attribute->value.clusterDim.x = geometry->cluster;
        attribute->value.clusterDim.y = 1;
        attribute->value.clusterDim.z = 1;
    }
    if (geometry->pdl)
        attributes[config.numAttrs++] = launcher_overlap;
    if (geometry->cooperative) {
        CUlaunchAttribute *attribute = &attributes[config.numAttrs++];
        attribute->id = CU_LAUNCH_ATTRIBUTE_COOPERATIVE;
        attribute->value.cooperative = 1;
    }
    return driver->launch_kernel_ex(&config, launcher->function, params, NULL);
}

static bool is_extended(const struct tfops_geometry *geometry)
{
    return geometry->cluster > 1 || geometry->pdl || geometry->cooperative;
}

const char *launcher_call(const struct launcher *launcher)
{
    return is_extended(&launcher->geometry) ? "cuLaunchKernelEx" : "cuLaunchKernel";
}

/*
 * Whether no launch needs a workspace: what is 0 for the greatest extent is 0 for all, as it is monotone.
 * Of free dimensions nothing is known here.
 */
static bool needs_no_workspace(const struct tfops_problem *problem,
    const struct tfops_device *device, const struct tfops_config *config)
{
    const struct tfops_spec *spec = problem->spec;
    struct tfops_problem greatest = *problem;
    if (!spec->workspace)
        return true;
    for (size_t i = 0; i < spec->n_dims; i++)
        if (spec->dims[i].flags == TFOPS_DIM_FREE)
            return false;
    problem_set_extent(&greatest, spec->dims[key_dynamic_dim(spec)].max);
    return !spec->workspace(spec->user, &greatest, device, config);
}

void launcher_init(struct launcher *launcher, const struct driver *driver,
    const struct tfops_device *device, const struct tfops_problem *problem,
    const struct tfops_config *config)
{
    const struct tfops_spec *spec = problem->spec;
    *launcher = (struct launcher){.dynamic_dim = (uint8_t)key_dynamic_dim(spec),
        .pack = spec->pack,
        .user = spec->user,
        .device = device,
        .config = *config,
        .spec = spec};
    spec->geometry(spec->user, problem, device, config, &launcher->geometry);
    launcher->threads = launcher->geometry.threads;
    launcher->smem_bytes = launcher->geometry.smem_bytes;
    launcher->extent_per_group = launcher->geometry.extent_per_group;
    launcher->most_groups = launcher->geometry.most_groups;
    launcher->blocks_per_group = launcher->geometry.blocks_per_group
                                     ? launcher->geometry.blocks_per_group
                                     : launcher->geometry.cluster;
    launcher->overlaps = launcher->geometry.pdl;
    if (launcher->overlaps)
        launcher->launch_kernel_ex = driver->launch_kernel_ex;
    else
        launcher->launch_kernel = driver->launch_kernel;
    launcher->plain = driver->launch_kernel && !spec->tensor_maps &&
                      spec->param_bytes <= LAUNCHER_PLAIN_PARAM_BYTES &&
                      launcher->geometry.cluster == 1 && !launcher->geometry.cooperative &&
                      needs_no_workspace(problem, device, config);
}

void launcher_ask_grid(
    const struct launcher *launcher, const struct tfops_problem *problem, uint32_t ret_grid[3])
{
    const struct tfops_spec *spec = launcher->spec;
    struct tfops_geometry geometry;
    spec->geometry(spec->user, problem, launcher->device, &launcher->config, &geometry);
    memcpy(ret_grid, geometry.grid, sizeof geometry.grid);
}

CUresult launcher_launch(const struct launcher *launcher, const struct driver *driver,
    const struct tfops_launch_args *args, CUstream stream, const char **ret_call)
{
    const struct tfops_spec *spec = launcher->spec;
    const char *call;
    _Alignas(128) unsigned char pack[TFOPS_MAX_PARAM_BYTES];
    void *params[] = {pack};
    struct tfops_geometry geometry = launcher->geometry;
    geometry.grid[1] = geometry.grid[2] = 1;
    const int64_t extent = args->problem->dims[launcher->dynamic_dim];
    if (geometry.extent_per_group)
        geometry.grid[0] =
            launcher_groups(extent, geometry.extent_per_group, geometry.most_groups) *
            launcher->blocks_per_group;
    else
        spec->geometry(spec->user, args->problem, launcher->device, &launcher->config, &geometry);
    spec->pack(spec->user, args, pack);
    ret_call = ret_call ? ret_call : &call;
    CUresult result = tensor_maps_put(driver, spec, args, pack, ret_call);
    if (result)
        return result;
    *ret_call = launcher_call(launcher);
    if (is_extended(&geometry))
        return launcher_launch_extended(launcher, driver, &geometry, stream, params);
    return driver->launch_kernel(launcher->function, geometry.grid[0], geometry.grid[1],
        geometry.grid[2], geometry.threads, 1, 1, geometry.smem_bytes, stream, params, NULL);
}
