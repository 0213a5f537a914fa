/*
 * What the specs of the norms share on the host: which operand and option is which, the shape that
 * the row template sees, parameters and cost.
 */
#ifndef TFOPS_KERNELS_NORM_FAMILY_H
#define TFOPS_KERNELS_NORM_FAMILY_H

#include "norm_params.h"
#include "norm_specs.h"
#include "row/row_space.h"

enum { NORM_MAX_HIDDEN = 65536 };

/* Positions in the spec's tables, by NORM_AT(); 0: it has no such thing. */
#define NORM_AT(position) ((position) + 1)

struct norm_family {
    struct row_family row;
    uint8_t x, residual, weight, bias, out, residual_out, scales; /* operands */
    uint8_t residual_round, granularity, scale_major;             /* options */
    uint8_t out_dtype;                                            /* 0: that of x */
    uint8_t steps, flops; /* reductions of a row before it is quantised; operations an element */
};

void norm_shape(const struct tfops_problem *problem, struct row_shape *ret_shape);
void norm_pack(void *user, const struct tfops_launch_args *launch, void *ret_params);
void norm_cost(void *user, const struct tfops_problem *problem, struct tfops_cost *ret_cost);

/* What else follows from the family, for the initialiser of a spec. */
#define NORM_SPACE(family)                                                                         \
    ROW_SPACE(family), .params_type = "norm_params", .param_bytes = sizeof(struct norm_params),    \
                       .pack = norm_pack, .cost = norm_cost

#endif
