/*
 * Why a request is refused: each fills the error record with the operand, what was expected and what
 * came, and returns the status. Off the path of a launch: cold.
 */
#ifndef TFOPS_ENGINE_REFUSE_H
#define TFOPS_ENGINE_REFUSE_H

#include <stdbool.h>
#include <tfops/plan.h>
#include <tfops/spec.h>

#define REFUSAL __attribute__((noinline, cold)) enum tfops_status

REFUSAL refuse_null(const char *what);
/* `bound`: a bit for each dimension whose extent is known already. */
REFUSAL refuse_shape(const struct tfops_problem *problem, const struct tfops_operand_spec *operand,
    const struct tfops_tensor *tensor, uint32_t bound);
REFUSAL refuse_extent(
    const struct tfops_operand_spec *operand, const struct tfops_dim_spec *dim, int64_t extent);
REFUSAL refuse_stride(
    const struct tfops_operand_spec *operand, const char *expected, int64_t stride);
REFUSAL refuse_dtype(const struct tfops_problem *problem, const struct tfops_operand_spec *operand,
    enum tfops_dtype dtype);
REFUSAL refuse_address(const struct tfops_operand_spec *operand, const void *data, size_t bytes);
REFUSAL refuse_operand(const struct tfops_operand_spec *operand, bool given);
REFUSAL refuse_args(const struct tfops_spec *spec, const struct tfops_args *args);
REFUSAL refuse_option(const struct tfops_option_spec *option, unsigned value);
/* A spec's reason: "cos: expected …, got …" is told apart, another text stands as it is. */
REFUSAL refuse_reason(const struct tfops_spec *spec, const char *reason);
REFUSAL refuse_scalar(const struct tfops_scalar_spec *scalar, double value);

#undef REFUSAL

/* "[2, 4096]", cut at `bytes`. */
void refuse_print_shape(const struct tfops_tensor *tensor, char *ret_text, size_t bytes);

#endif
