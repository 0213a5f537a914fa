/*
 * What follows from a config of the row family (row_space.h), for its constraint and its default: the
 * host's side of RowLayout.
 */
#ifndef TFOPS_KERNELS_ROW_LAYOUT_H
#define TFOPS_KERNELS_ROW_LAYOUT_H

#include "row_space.h"

/* Blocks of a large grid that fetch ahead, where any do. */
enum { ROW_PREFETCH_AHEAD = 384 };

struct row_layout {
    int64_t vec, unit, shifted, units, units_block, per_thread, edges, threads;
    int64_t slots; /* units of a thread that wait in shared memory */
    int64_t scratch_bytes, smem_bytes;
};

static inline int64_t row_ceil_div(int64_t a, int64_t b)
{
    return (a + b - 1) / b;
}

static inline int64_t row_clamp(int64_t value, int64_t least, int64_t most)
{
    return value < least ? least : value > most ? most : value;
}

struct row_shape row_shape_of(void *user, const struct tfops_problem *problem);
struct row_layout row_lay_out(const struct row_shape *shape, uint32_t align,
    const struct tfops_device *device, const int64_t *v);
/* The widest access: that of the alignment, or 16 bytes over shifted rows that are long enough. */
int64_t row_widest(const struct row_shape *shape, uint32_t align);
/* Of all rows of all inputs. */
int64_t row_in_bytes(const struct row_shape *shape);
/* Whether a launch is as short as a few turns of resident blocks, which is what fetching ahead is for. Blocks
 * of grids up to FEW_BLOCKS (device/pdl.cuh) do so anyway. */
bool row_may_prefetch(
    const struct row_shape *shape, const struct tfops_device *device, const int64_t *v);
/* Whether values are in the space. */
bool row_fits(const struct row_shape *shape, uint32_t align, const struct tfops_device *device,
    const int64_t *v);

#endif
