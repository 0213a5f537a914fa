/* How a config of the gated products becomes a launch, and what a problem costs. */
#ifndef TFOPS_KERNELS_GATED_MLP_LAUNCH_H
#define TFOPS_KERNELS_GATED_MLP_LAUNCH_H

#include <tfops/spec.h>

void gated_mlp_pack(void *user, const struct tfops_launch_args *launch, void *ret_params);
size_t gated_mlp_tensor_maps(
    void *user, const struct tfops_launch_args *launch, struct tfops_tensor_map *ret_maps);
/* Sums of about 1, whatever K. */
void gated_mlp_values(void *user, const struct tfops_problem *problem, size_t operand,
    struct tfops_values *ret_values);
void gated_mlp_cost(void *user, const struct tfops_problem *problem, struct tfops_cost *ret_cost);

#endif
