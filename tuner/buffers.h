/*
 * Device buffers made from a spec's operand table alone: layouts with red zones, rotated sets of
 * inputs for timing. First stage of a session. Knows nothing of candidates.
 */
#ifndef TFOPS_TUNER_BUFFERS_H
#define TFOPS_TUNER_BUFFERS_H

#include "gpu.h"

enum {
    BUFFERS_ZONE_BYTES = 4096, /* at least, before, between and behind operands */
    BUFFERS_ZONE_BYTE = 0xa5,
    BUFFERS_POISON_BYTE = 0xff, /* NaN in every float dtype */
    BUFFERS_MAX_SETS = 64,
};

/* An operand as a matrix: all but the innermost dimension collapse into rows. */
struct buffers_operand {
    bool present, output;
    enum tfops_dtype dtype;
    size_t elem_bytes;
    int64_t rows, cols, stride;              /* elements; stride ≥ cols */
    int64_t strides[TFOPS_MAX_OPERAND_RANK]; /* as views have them */
    size_t offset, bytes;                    /* in the arena; from the first element to the last */
};

struct buffers_zone {
    size_t offset, bytes;
};

/*
 * Where the operands of a problem stand in one arena: row-major, bases and row strides such that
 * the alignment class is exactly problem->align, a red zone on both sides of each.
 */
struct buffers_layout {
    struct buffers_operand operands[TFOPS_MAX_OPERANDS];
    size_t n_operands, n_zones;
    struct buffers_zone zones[TFOPS_MAX_OPERANDS + 1];
    bool large;        /* an operand stands on a page of 2 MiB, and so must the arena */
    bool one_output;   /* sets of it write to the outputs of the first */
    size_t bytes;      /* of the arena, a multiple of what its operands need */
    size_t data_bytes; /* of the operands that each set has of its own */
};

/* TFOPS_E_RANGE when a size overflows. */
enum tfops_status buffers_layout(
    const struct tfops_problem *problem, struct buffers_layout *ret_layout);
/* The same with room behind each row, of another width for each operand: every operand has a row
 * stride of its own, and none is its number of columns. */
enum tfops_status buffers_layout_padded(
    const struct tfops_problem *problem, struct buffers_layout *ret_layout);
/* Sets of this layout share one set of outputs, as a framework's allocator hands a block that was
 * given back out again. */
void buffers_share_outputs(struct buffers_layout *layout);
/* Views of the arena at `base`. */
void buffers_views(const struct buffers_layout *layout, CUdeviceptr base,
    struct tfops_view ret_views[TFOPS_MAX_OPERANDS]);

/* Data elements from the first to the last, padding of rows included. */
size_t buffers_span(const struct buffers_operand *operand);

/* What an operand of indices counts in: the product of the dimensions that its flags name; 0: it has
 * no such flag. */
int64_t buffers_index_bound(const struct tfops_problem *problem, size_t operand);

/* Zones painted, outputs poisoned, inputs random; weights (rank 1, static) around 1; indices counting
 * down within their bound, other whole numbers 0. */
enum tfops_status buffers_paint(const struct gpu *gpu, const struct tfops_problem *problem,
    const struct buffers_layout *layout, CUdeviceptr base, uint64_t seed, uint64_t special_every);
/* The operands of one access again, as buffers_paint() left them. */
enum tfops_status buffers_paint_access(const struct gpu *gpu, const struct tfops_problem *problem,
    const struct buffers_layout *layout, CUdeviceptr base, uint64_t seed, uint64_t special_every,
    enum tfops_access access);

/* Rotated sets: as many as make a set's reuse come after 3× L2, up to 64, within cap_bytes. Not more:
 * beyond some 1 GB address translation misses, and every kernel (no memcpy) loses 3% on an H200. */
uint32_t buffers_set_count(
    const struct buffers_layout *layout, int64_t l2_bytes, size_t cap_bytes, bool l2_warm);

/* How a graph of repeats walks over the sets. */
struct buffers_rotation {
    uint32_t launches; /* nodes of a graph */
    uint32_t sets;     /* node i works on set i % sets */
    bool flush;        /* L2 must be emptied before each replay */
};
struct buffers_rotation buffers_rotate(const struct buffers_layout *layout, uint32_t n_sets,
    int64_t l2_bytes, double launch_ns, bool l2_warm, bool steady);

struct buffers_sets {
    struct buffers_layout layout;
    CUdeviceptr memory; /* n arenas, one behind the other */
    uint32_t n;
    uint64_t seed;
    bool has_inout;
};
enum tfops_status buffers_sets_make(const struct gpu *gpu, const struct tfops_problem *problem,
    const struct buffers_layout *layout, uint32_t n, uint64_t seed, struct buffers_sets *ret_sets);
void buffers_sets_release(const struct gpu *gpu, struct buffers_sets *sets);
void buffers_set_views(
    const struct buffers_sets *sets, uint32_t i, struct tfops_view ret_views[TFOPS_MAX_OPERANDS]);
/* Fills what launches update in place again, so that it does not grow without bound. */
enum tfops_status buffers_sets_refresh(
    const struct gpu *gpu, const struct tfops_problem *problem, const struct buffers_sets *sets);

#endif
