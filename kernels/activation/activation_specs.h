/* The activation family's spec, and the positions of its dimensions, dtypes, options, operands. */
#ifndef TFOPS_KERNELS_ACTIVATION_SPECS_H
#define TFOPS_KERNELS_ACTIVATION_SPECS_H

#include <tfops/spec.h>

extern const struct tfops_spec gated_act_spec;

enum { GATED_ACT_ROWS, GATED_ACT_FFN, GATED_ACT_SCALE_ROWS, GATED_ACT_SCALE_COLS };
enum { GATED_ACT_DTYPE, GATED_ACT_OUT_DTYPE, GATED_ACT_SCALE_DTYPE };
enum { GATED_ACT_ACT, GATED_ACT_GRANULARITY, GATED_ACT_SCALE_MAJOR };
enum { GATED_ACT_GATE, GATED_ACT_UP, GATED_ACT_OUT, GATED_ACT_SCALES };

/* Values of GATED_ACT_ACT. */
enum gated_act_function { GATED_ACT_SILU, GATED_ACT_GELU, GATED_ACT_GELU_TANH };

enum tfops_status gated_act_reference(void *user, const struct tfops_launch_args *launch);

#endif
