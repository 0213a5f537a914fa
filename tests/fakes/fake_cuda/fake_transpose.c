/* transpose in C. */
#include "fake_elems.h"
#include "kernels/transpose/transpose_params.h"
#include <string.h>

static size_t transpose_operands(const void *params, struct fake_operand *o)
{
    const struct transpose_params *p = params;
    o[0] = rows_of(p->out, p->cols, p->rows, p->out_stride, p->dtype, true);
    o[1] = rows_of(p->x, p->rows, p->cols, p->x_stride, p->dtype, false);
    return 2;
}

static void transpose_run(const void *params)
{
    const struct transpose_params *p = params;
    const int64_t bytes = (int64_t)dtype_bytes(p->dtype);
    for (int64_t row = 0; row < p->rows; row++)
        for (int64_t col = 0; col < p->cols; col++)
            memcpy((char *)p->out + (col * p->out_stride + row) * bytes,
                (const char *)p->x + (row * p->x_stride + col) * bytes, (size_t)bytes);
}
