/* Tensor maps (see tensor_maps.h). */
#include "tensor_maps.h"
#include <string.h>

/* A power of two: enough for the products of a model's layer, each with three maps, at a few extents. */
enum { KEPT = 64, KEPT_BITS = 6 };

struct kept {
    struct tfops_tensor_map map; /* of no operand; rank 0: none is kept here */
    void *address;
    CUtensorMap encoded;
};

static _Thread_local struct kept kept_maps[KEPT];

static CUresult encode(const struct driver *driver, const struct tfops_tensor_map *map,
    void *address, CUtensorMap *ret_encoded)
{
    cuuint64_t dims[5], strides[4];
    memcpy(dims, map->dims, sizeof dims);
    memcpy(strides, map->strides_bytes, sizeof strides);
    return driver->tensor_map_encode_tiled(ret_encoded, (CUtensorMapDataType)map->data_type,
        map->rank, address, dims, strides, map->box, map->element_strides,
        (CUtensorMapInterleave)map->interleave, (CUtensorMapSwizzle)map->swizzle,
        (CUtensorMapL2promotion)map->l2_promotion, (CUtensorMapFloatOOBfill)map->oob_fill);
}

/* What differs between the maps of a model: lengths and the box; the rest is compared. */
static struct kept *place(const struct tfops_tensor_map *map)
{
    const uint64_t mixed =
        map->dims[0] + 31 * map->dims[1] + 1021 * map->strides_bytes[0] + 65521 * map->box[1];
    return &kept_maps[mixed * 0x9e3779b97f4a7c15u >> (64 - KEPT_BITS)];
}

static CUresult keep(const struct driver *driver, const struct tfops_tensor_map *map, void *address,
    struct kept *kept, const char **ret_call)
{
    CUresult result = CUDA_SUCCESS;
    if (memcmp(&kept->map, map, sizeof *map) != 0) {
        *ret_call = "cuTensorMapEncodeTiled";
        result = encode(driver, map, address, &kept->encoded);
        kept->map = *map;
    } else if (kept->address != address) {
        *ret_call = "cuTensorMapReplaceAddress";
        result = driver->tensor_map_replace_address(&kept->encoded, address);
    }
    kept->address = address;
    if (result)
        kept->map.rank = 0;
    return result;
}

CUresult tensor_maps_put(const struct driver *driver, const struct tfops_spec *spec,
    const struct tfops_launch_args *args, unsigned char *params, const char **ret_call)
{
    struct tfops_tensor_map maps[TFOPS_MAX_TENSOR_MAPS];
    const size_t n = spec->tensor_maps ? spec->tensor_maps(spec->user, args, maps) : 0;
    for (size_t i = 0; i < n; i++) {
        struct tfops_tensor_map *map = &maps[i];
        void *const address = args->operands[map->operand].data;
        unsigned char *const to = params + map->param_offset;
        map->operand = 0;
        map->param_offset = 0;
        struct kept *const kept = place(map);
        const CUresult result = keep(driver, map, address, kept, ret_call);
        if (result)
            return result;
        memcpy(to, &kept->encoded, sizeof kept->encoded);
    }
    return CUDA_SUCCESS;
}

CUresult tensor_maps_encode(const struct driver *driver, const struct tfops_spec *spec,
    const struct tfops_launch_args *args, unsigned char *params, size_t *ret_n)
{
    struct tfops_tensor_map maps[TFOPS_MAX_TENSOR_MAPS];
    CUresult result = CUDA_SUCCESS;
    *ret_n = spec->tensor_maps ? spec->tensor_maps(spec->user, args, maps) : 0;
    for (size_t i = 0; i < *ret_n && !result; i++)
        result = encode(driver, &maps[i], args->operands[maps[i].operand].data,
            (CUtensorMap *)(void *)(params + maps[i].param_offset));
    return result;
}
