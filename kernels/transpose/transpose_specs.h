/* The transpose family's spec, and the positions of its dimensions and operands. */
#ifndef TFOPS_KERNELS_TRANSPOSE_SPECS_H
#define TFOPS_KERNELS_TRANSPOSE_SPECS_H

#include <tfops/spec.h>

extern const struct tfops_spec transpose_spec;

enum { TRANSPOSE_ROWS, TRANSPOSE_COLS };
enum { TRANSPOSE_DTYPE };
enum { TRANSPOSE_X, TRANSPOSE_OUT };

enum tfops_status transpose_reference(void *user, const struct tfops_launch_args *launch);

#endif
