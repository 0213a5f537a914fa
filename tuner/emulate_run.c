/* Launches on the emulated machine (see emulate_run.h). */
#include "emulate_run.h"
#include "base/error.h"
#include "base/mem.h"
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

enum tfops_status emulate_open(const char *path, struct emulate_library *ret_library)
{
    struct emulate_library library = {.handle = dlopen(path, RTLD_NOW | RTLD_LOCAL)};
    if (!library.handle)
        return error_setf(TFOPS_E_IO, 0, "emulator", path, "cannot load %s: %s", path, dlerror());
    *(void **)&library.launch = dlsym(library.handle, "emu_launch");
    *ret_library = library;
    return TFOPS_OK;
}

void emulate_close(struct emulate_library *library)
{
    if (library->handle)
        dlclose(library->handle);
    *library = (struct emulate_library){0};
}

/* What a launch is made of; kept together for its duration. */
struct launch {
    struct emu_launch_args args;
    struct emu_region regions[TFOPS_MAX_OPERANDS + 1];
    void *workspace;
    _Alignas(128) unsigned char params[TFOPS_MAX_PARAM_BYTES];
};

static void add_region(struct launch *launch, const struct emu_region *region)
{
    launch->regions[launch->args.n_regions++] = *region;
}

static void add_operands(struct launch *launch, const struct emulate_case *ecase)
{
    const struct tfops_spec *spec = ecase->problem.spec;
    for (size_t i = 0; i < spec->n_operands; i++) {
        const struct buffers_operand *operand = &ecase->layout.operands[i];
        bool writable = spec->operands[i].access != TFOPS_IN;
        for (size_t k = 0; k < spec->n_operands && ecase->kind == EMULATE_ALIAS; k++)
            writable |= ecase->onto[k] == (int)i;
        if (operand->present)
            add_region(launch, &(struct emu_region){.name = spec->operands[i].name,
                                   .base = (uintptr_t)ecase->live + operand->offset,
                                   .bytes = operand->bytes,
                                   .writable = writable,
                                   .elem_bytes = operand->elem_bytes,
                                   .stride = operand->stride});
    }
}

/* The workspace is zero before its first launch. */
static enum tfops_status add_workspace(struct launch *launch, const struct emulate_case *ecase,
    const struct tfops_device *device, const struct tfops_config *config, size_t *ret_bytes)
{
    const struct tfops_spec *spec = ecase->problem.spec;
    size_t bytes =
        spec->workspace ? spec->workspace(spec->user, &ecase->problem, device, config) : 0;
    *ret_bytes = bytes;
    if (!bytes)
        return TFOPS_OK;
    launch->workspace = mem_new(ecase->env, bytes, 1);
    if (!launch->workspace)
        return TFOPS_E_MEMORY;
    add_region(launch, &(struct emu_region){.name = "workspace",
                           .base = (uintptr_t)launch->workspace,
                           .bytes = bytes,
                           .writable = true,
                           .elem_bytes = 1,
                           .stride = (int64_t)bytes});
    return TFOPS_OK;
}

/* Bytes of CUtensorMapDataType's elements, in its order. */
static const uint8_t MAP_ELEM_BYTES[] = {1, 2, 4, 4, 8, 8, 2, 4, 8, 2, 4, 4, 4};

/* In place of what cuTensorMapEncodeTiled() would write. */
static enum tfops_status encode_map(
    struct launch *launch, const struct tfops_launch_args *args, const struct tfops_tensor_map *map)
{
    const uint8_t *view = args->operands[map->operand].data;
    if (map->interleave || map->swizzle > 3 || map->data_type >= sizeof MAP_ELEM_BYTES)
        return error_set(TFOPS_E_UNSUPPORTED, "emulator", "tensor map",
            "no interleave, a swizzle of up to 128 bytes, a known element", NULL);
    struct emu_tensor_map tile = {.base = (uint64_t)(uintptr_t)view,
        .magic = EMU_TENSOR_MAP_MAGIC,
        .rank = (uint8_t)map->rank,
        .elem_bytes = MAP_ELEM_BYTES[map->data_type],
        .swizzle = (uint8_t)map->swizzle,
        .fill_nan = map->oob_fill != 0};
    memcpy(tile.dims, map->dims, sizeof tile.dims);
    memcpy(tile.strides, map->strides_bytes, sizeof tile.strides);
    for (uint32_t d = 0; d < map->rank; d++)
        tile.box[d] = (uint16_t)map->box[d];
    memcpy(launch->params + map->param_offset, &tile, sizeof tile);
    return TFOPS_OK;
}

static enum tfops_status encode_maps(struct launch *launch, const struct tfops_launch_args *args)
{
    const struct tfops_spec *spec = args->problem->spec;
    struct tfops_tensor_map maps[TFOPS_MAX_TENSOR_MAPS];
    enum tfops_status status = TFOPS_OK;
    memset(maps, 0, sizeof maps);
    size_t n = spec->tensor_maps ? spec->tensor_maps(spec->user, args, maps) : 0;
    for (size_t i = 0; i < n && !status; i++)
        status = encode_map(launch, args, &maps[i]);
    return status;
}

static void set_geometry(struct launch *launch, const struct tfops_problem *problem,
    const struct tfops_device *device, const struct tfops_config *config)
{
    struct tfops_geometry geometry;
    problem->spec->geometry(problem->spec->user, problem, device, config, &geometry);
    memcpy(launch->args.grid, geometry.grid, sizeof geometry.grid);
    launch->args.threads = geometry.threads;
    launch->args.cluster = geometry.cluster;
    launch->args.smem_bytes = geometry.smem_bytes;
    launch->args.smem_limit = (uint32_t)device->smem_per_block_bytes;
}

enum tfops_status emulate_run(const struct emulate_library *library, size_t index,
    const struct tfops_device *device, const struct tfops_config *config,
    struct emulate_case *ecase, const struct emulate_schedule *schedule,
    struct emu_report *ret_report)
{
    const struct tfops_spec *spec = ecase->problem.spec;
    struct launch launch = {.args = {.kernel = spec->name,
                                .order = schedule->order,
                                .seed = schedule->seed,
                                .late_copies = schedule->late_copies,
                                .arena = (uintptr_t)ecase->live,
                                .arena_bytes = ecase->layout.bytes}};
    struct tfops_view views[TFOPS_MAX_OPERANDS];
    size_t workspace_bytes;
    char entry[64];
    snprintf(entry, sizeof entry, "emu_entry_%zu", index);
    *(void **)&launch.args.entry = dlsym(library->handle, entry);
    if (!launch.args.entry)
        return error_setf(TFOPS_E_INTERNAL, 0, "emulator", entry, "no variant %zu", index);
    emulate_case_reset(ecase);
    emulate_case_views(ecase, ecase->live, views);
    add_operands(&launch, ecase);
    enum tfops_status status = add_workspace(&launch, ecase, device, config, &workspace_bytes);
    if (status)
        return status;
    const struct tfops_launch_args args = {.problem = &ecase->problem,
        .config = config,
        .operands = views,
        .scalars = ecase->scalars,
        .workspace = launch.workspace,
        .workspace_bytes = workspace_bytes};
    spec->pack(spec->user, &args, launch.params);
    status = encode_maps(&launch, &args);
    set_geometry(&launch, &ecase->problem, device, config);
    launch.args.params = launch.params;
    launch.args.regions = launch.regions;
    if (!status)
        library->launch(&launch.args, ret_report);
    mem_free(ecase->env, launch.workspace);
    return status;
}
