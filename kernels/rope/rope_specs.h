/* The rope family's specs, and the positions of their dimensions, dtypes, options and operands. */
#ifndef TFOPS_KERNELS_ROPE_SPECS_H
#define TFOPS_KERNELS_ROPE_SPECS_H

#include <tfops/spec.h>

extern const struct tfops_spec rope_spec, rmsnorm_rope_spec;

/* Options of both, and their values. */
enum { ROPE_STYLE, ROPE_TABLE };
enum { ROPE_HALF_SPLIT, ROPE_INTERLEAVED };
enum { ROPE_TABLE_FULL, ROPE_TABLE_HALF };

/* Elements of a head that rotate, from the extent of a row of cos. */
static inline int64_t rope_rotary_dim(const struct tfops_problem *problem, int64_t table_dim)
{
    return problem->options[ROPE_TABLE] == ROPE_TABLE_HALF ? 2 * table_dim : table_dim;
}

/* ---- rope ----------------------------------------------------------------------------------- */

enum {
    ROPE_BATCH,
    ROPE_SEQ,
    ROPE_Q_HEADS,
    ROPE_KV_HEADS,
    ROPE_HEAD_DIM,
    ROPE_TABLE_DIM,
    ROPE_MAX_POS,
    ROPE_NUM_BLOCKS,
    ROPE_BLOCK_SIZE,
};
enum { ROPE_DTYPE, ROPE_TABLE_DTYPE, ROPE_POSITION_DTYPE, ROPE_SLOT_DTYPE };
enum {
    ROPE_Q,
    ROPE_K,
    ROPE_V,
    ROPE_COS,
    ROPE_SIN,
    ROPE_POSITIONS,
    ROPE_SLOTS,
    ROPE_Q_OUT,
    ROPE_K_OUT,
    ROPE_K_CACHE,
    ROPE_V_CACHE,
};

enum tfops_status rope_reference(void *user, const struct tfops_launch_args *launch);

/* ---- rmsnorm_rope --------------------------------------------------------------------------- */

enum {
    RMSNORM_ROPE_ROWS,
    RMSNORM_ROPE_HEADS,
    RMSNORM_ROPE_HEAD_DIM,
    RMSNORM_ROPE_TABLE_DIM,
    RMSNORM_ROPE_MAX_POS,
    RMSNORM_ROPE_WEIGHT_HEADS,
};
enum {
    RMSNORM_ROPE_DTYPE,
    RMSNORM_ROPE_WEIGHT_DTYPE,
    RMSNORM_ROPE_TABLE_DTYPE,
    RMSNORM_ROPE_POSITION_DTYPE,
};
/* Beyond ROPE_STYLE and ROPE_TABLE. */
enum { RMSNORM_ROPE_NORM = ROPE_TABLE + 1, RMSNORM_ROPE_WEIGHT_VARIANT };
enum { RMSNORM_ROPE_NORM_ROW, RMSNORM_ROPE_NORM_PER_HEAD };
enum { RMSNORM_ROPE_EPS };
enum {
    RMSNORM_ROPE_X,
    RMSNORM_ROPE_WEIGHT,
    RMSNORM_ROPE_COS,
    RMSNORM_ROPE_SIN,
    RMSNORM_ROPE_POSITIONS,
    RMSNORM_ROPE_OUT,
};

enum tfops_status rmsnorm_rope_reference(void *user, const struct tfops_launch_args *launch);

#endif
