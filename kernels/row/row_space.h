/*
 * The space of the row template (row/row.cuh): tunables, constraint, default and geometry, shared by
 * every operator that is made of it. The host's side of RowLayout, which asserts that the two agree.
 */
#ifndef TFOPS_KERNELS_ROW_SPACE_H
#define TFOPS_KERNELS_ROW_SPACE_H

#include <tfops/spec.h>

enum { ROW_MAX_ROWS = INT32_MAX };

enum row_tunable {
    ROW_VEC_BYTES,
    ROW_THREADS_PER_ROW,
    ROW_ROWS_PER_BLOCK,
    ROW_CLUSTER,
    ROW_RELOAD,
    ROW_BLOCKS_PER_SM,
    ROW_STAGES,
    ROW_WEIGHT_LOAD,
    ROW_STORE_HINT,
    ROW_LOAD_HINT,
    ROW_PREFETCH,
    ROW_TUNABLES,
};
extern const struct tfops_tunable_spec row_tunables[ROW_TUNABLES];

/* A problem as the template sees it: the constants of the operator's policy struct. */
struct row_shape {
    int64_t rows, width;
    int64_t elem_bytes;   /* T */
    int64_t held_bytes;   /* H */
    int64_t column_bytes; /* COLUMN */
    int64_t out_bytes;    /* OUT; 0: as T */
    int64_t inputs, columns, steps, words, unit;
    /* Neighbours that are reduced among lanes, elements (group scales); 0: none. Rows are then
     * aligned, and a row is whole groups. */
    int64_t group;
    int64_t vec_most; /* most elements of a vector, a power of two; 0: any */
    int64_t period;   /* threads of a row are best a multiple of this many; 0: of any number */
    bool unshifted;   /* vectors start at multiples of their size */
    /* Registers beside the row with which the compiler must do, so that as many blocks are resident
     * as then fit; 0: it takes what it likes. */
    int64_t state_registers;
    int64_t stream_registers;  /* of rows that stream, two units a thread; 0: all alike */
    int64_t cluster_registers; /* more of them where a cluster shares a row */
    int64_t rows_each;         /* rows for each of the dynamic extent; 0: one */
    int64_t own_words;         /* registers that the operator holds beside the row */
    int64_t generic_words; /* of the generic variant that reduces where a problem may not; else 0 */
};

/* What a spec of the family has as `user`. */
struct row_family {
    void (*shape)(const struct tfops_problem *problem, struct row_shape *ret_shape);
};

bool row_constraint(void *user, const struct tfops_problem *problem,
    const struct tfops_device *device, const struct tfops_config *config,
    char reason[TFOPS_REASON_BYTES]);
void row_default_config(void *user, const struct tfops_problem *problem,
    const struct tfops_device *device, struct tfops_config *ret_config);
void row_geometry(void *user, const struct tfops_problem *problem,
    const struct tfops_device *device, const struct tfops_config *config,
    struct tfops_geometry *ret_geometry);

/* The callbacks and tunables of such a spec, for its initialiser. */
#define ROW_SPACE(family)                                                                          \
    .user = (void *)(uintptr_t) & (family), .tunables = row_tunables, .n_tunables = ROW_TUNABLES,  \
    .constraint = row_constraint, .default_config = row_default_config, .geometry = row_geometry

#endif
