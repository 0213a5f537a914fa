/* The softmax family's spec, and the positions of its dimensions, dtypes, options and operands. */
#ifndef TFOPS_KERNELS_SOFTMAX_SPECS_H
#define TFOPS_KERNELS_SOFTMAX_SPECS_H

#include <tfops/spec.h>

extern const struct tfops_spec softmax_spec;

enum { SOFTMAX_ROWS, SOFTMAX_WIDTH, SOFTMAX_MASK_ROWS };
enum { SOFTMAX_DTYPE, SOFTMAX_OUT_DTYPE, SOFTMAX_MASK_DTYPE };
enum { SOFTMAX_CAUSAL };
enum { SOFTMAX_SCALE, SOFTMAX_QUERIES };
enum { SOFTMAX_X, SOFTMAX_MASK, SOFTMAX_OUT };

enum tfops_status softmax_reference(void *user, const struct tfops_launch_args *launch);

#endif
