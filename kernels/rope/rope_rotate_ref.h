/* Rotation of one head in CPU references. */
#ifndef TFOPS_KERNELS_ROPE_ROTATE_REF_H
#define TFOPS_KERNELS_ROPE_ROTATE_REF_H

#include "kernels/ref_rows.h"
#include "rope_specs.h"

struct rope_tables {
    struct ref_rows cos, sin, positions; /* positions.view.data NULL: none */
    int64_t rotary_dim;
    bool interleaved, half;
};

/* From the operands cos, sin and positions. */
static inline struct rope_tables rope_tables(
    const struct tfops_launch_args *launch, int cos, int sin, int positions, int64_t table_dim)
{
    const struct tfops_problem *problem = launch->problem;
    return (struct rope_tables){ref_rows(launch, cos), ref_rows(launch, sin),
        ref_rows(launch, positions), rope_rotary_dim(problem, table_dim),
        problem->options[ROPE_STYLE] == ROPE_INTERLEAVED,
        problem->options[ROPE_TABLE] == ROPE_TABLE_HALF};
}

/* The first rotary_dim values of a head at `position`: (a, b) → (a cos − b sin, b cos + a sin). */
static inline void rope_rotate(const struct rope_tables *tables, int64_t position, double *head)
{
    const int64_t pairs = tables->rotary_dim / 2;
    for (int64_t i = 0; i < pairs; i++) {
        const int64_t first = tables->interleaved ? 2 * i : i;
        const int64_t second = tables->interleaved ? first + 1 : i + pairs;
        const int64_t at_first = tables->half ? i : first, at_second = tables->half ? i : second;
        const double a = head[first], b = head[second];
        head[first] = a * ref_get(&tables->cos, position, at_first) -
                      b * ref_get(&tables->sin, position, at_first);
        head[second] = b * ref_get(&tables->cos, position, at_second) +
                       a * ref_get(&tables->sin, position, at_second);
    }
}

#endif
