// Global memory: operands, what lies between them, and how vector accesses must stand.
#include "emu_report.h"
#include "emu_shared.h"

namespace emu {

namespace {

// "out[3, 17]", and how far outside where it is.
std::string place_in(const emu_region &region, uintptr_t at)
{
    char text[160];
    const int64_t bytes = (int64_t)(at - region.base);
    if (at >= region.base + region.bytes)
        snprintf(text, sizeof text, "%lld bytes behind the end of %s",
            (long long)(bytes - (int64_t)region.bytes), region.name);
    else if (bytes < 0)
        snprintf(text, sizeof text, "%lld bytes before %s", (long long)-bytes, region.name);
    else
        snprintf(text, sizeof text, "%s[%lld, %lld]", region.name,
            (long long)(bytes / (int64_t)region.elem_bytes / region.stride),
            (long long)(bytes / (int64_t)region.elem_bytes % region.stride));
    return text;
}

uintptr_t distance(const emu_region &region, uintptr_t at)
{
    if (at < region.base)
        return region.base - at;
    return at < region.base + region.bytes ? 0 : at - region.base - region.bytes + 1;
}

const emu_region *nearest(uintptr_t at)
{
    const emu_region *found = nullptr;
    for (size_t i = 0; i < grid.launch->n_regions; i++)
        if (!found || distance(grid.launch->regions[i], at) < distance(*found, at))
            found = &grid.launch->regions[i];
    return found;
}

} // namespace

void global_access(const void *at, size_t bytes, Access access, const void *site)
{
    const uintptr_t first = (uintptr_t)at;
    const emu_region *region = nearest(first);
    if (!region || first < region->base || first + bytes > region->base + region->bytes)
        fail(site, "%ss %zu bytes out of bounds, %s", verb(access), bytes,
            region ? place_in(*region, first).c_str() : "in global memory that no operand owns");
    else if (access == Access::WRITE && !region->writable)
        fail(site, "writes %zu bytes to the input %s", bytes, place_in(*region, first).c_str());
}

void fail_misaligned(const void *at, size_t bytes)
{
    const Unseen unseen;
    const void *site = __builtin_return_address(0);
    for (const Block &block : self->block->cluster->blocks) {
        const uintptr_t offset = (uintptr_t)at - (uintptr_t)block.shared;
        if (offset < grid.launch->smem_bytes)
            fail(site, "an access of %zu bytes at +0x%zx of shared memory is not aligned", bytes,
                (size_t)offset);
    }
    const emu_region *region = nearest((uintptr_t)at);
    fail(site, "an access of %zu bytes at %s is not aligned", bytes,
        region ? place_in(*region, (uintptr_t)at).c_str() : "an address");
}

void *cluster_map(void *shared, int rank)
{
    const Unseen unseen;
    Cluster &cluster = *self->block->cluster;
    if (rank < 0 || (size_t)rank >= cluster.blocks.size())
        fail(__builtin_return_address(0), "names block %d of a cluster of %zu", rank,
            cluster.blocks.size());
    return cluster.blocks[(size_t)rank].shared +
           (static_cast<unsigned char *>(shared) - self->identity.shared);
}

uint32_t shared_address(const void *shared)
{
    const Unseen unseen;
    const uintptr_t offset = (uintptr_t)shared - (uintptr_t)self->identity.shared;
    if (offset >= grid.launch->smem_bytes)
        fail(__builtin_return_address(0), "not an address in the shared memory of this block");
    return (uint32_t)offset;
}

} // namespace emu
