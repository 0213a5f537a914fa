/* How a config of the matrix kernels becomes a launch, and what a problem costs. */
#ifndef TFOPS_KERNELS_GEMM_LAUNCH_H
#define TFOPS_KERNELS_GEMM_LAUNCH_H

#include <tfops/spec.h>

void gemm_geometry(void *user, const struct tfops_problem *problem,
    const struct tfops_device *device, const struct tfops_config *config,
    struct tfops_geometry *ret_geometry);
/* Of SPLIT_TAIL: the same for every number of tokens. */
size_t gemm_workspace(void *user, const struct tfops_problem *problem,
    const struct tfops_device *device, const struct tfops_config *config);
void gemm_pack(void *user, const struct tfops_launch_args *launch, void *ret_params);
size_t gemm_tensor_maps(
    void *user, const struct tfops_launch_args *launch, struct tfops_tensor_map *ret_maps);
/* A tensor map whose box is `box_elems` of a vector: as it stands, zeros behind its end. */
struct tfops_tensor_map gemm_vector_map(const struct tfops_launch_args *launch, int operand,
    size_t param_offset, enum tfops_dtype dtype, int64_t box_elems);
/* A tensor map whose box is `box_cols` x `box_rows` of a row-major operand. */
struct tfops_tensor_map gemm_map(const struct tfops_launch_args *launch, int operand,
    size_t param_offset, enum tfops_dtype dtype, int64_t box_cols, int64_t box_rows);
/* Sums of about 1, whatever K; large values in x of linear and in the residual alone. */
void gemm_values(void *user, const struct tfops_problem *problem, size_t operand,
    struct tfops_values *ret_values);
void gemm_cost(void *user, const struct tfops_problem *problem, struct tfops_cost *ret_cost);

#endif
