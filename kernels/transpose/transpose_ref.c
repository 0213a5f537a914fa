/* Transposition in plain C: what the template is judged by, and the cpu device. Bits are moved, not
 * values. */
#include "transpose_specs.h"
#include <string.h>

enum tfops_status transpose_reference(void *user, const struct tfops_launch_args *launch)
{
    (void)user;
    const struct tfops_problem *problem = launch->problem;
    const struct tfops_view *x = &launch->operands[TRANSPOSE_X];
    const struct tfops_view *out = &launch->operands[TRANSPOSE_OUT];
    const int64_t bytes =
        (int64_t)tfops_dtype_bytes((enum tfops_dtype)problem->dtypes[TRANSPOSE_DTYPE]);
    for (int64_t row = 0; row < problem->dims[TRANSPOSE_ROWS]; row++)
        for (int64_t col = 0; col < problem->dims[TRANSPOSE_COLS]; col++)
            memcpy((char *)out->data + (col * out->strides[0] + row) * bytes,
                (const char *)x->data + (row * x->strides[0] + col) * bytes, (size_t)bytes);
    return TFOPS_OK;
}
