/* Elements of operands in CPU references: by row and column, through double. */
#ifndef TFOPS_KERNELS_REF_ROWS_H
#define TFOPS_KERNELS_REF_ROWS_H

#include "base/half.h"
#include <tfops/spec.h>

/* An operand with its dtype; rows are `view.strides[0]` apart, columns adjacent. */
struct ref_rows {
    struct tfops_view view;
    enum tfops_dtype dtype;
};

static inline struct ref_rows ref_rows(const struct tfops_launch_args *launch, int operand)
{
    const struct tfops_problem *problem = launch->problem;
    int dtype = problem->spec->operands[operand].dtype;
    return (struct ref_rows){launch->operands[operand], (enum tfops_dtype)problem->dtypes[dtype]};
}

static inline double ref_get(const struct ref_rows *rows, int64_t row, int64_t col)
{
    return half_load(rows->view.data, rows->dtype, row * rows->view.strides[0] + col);
}

static inline void ref_put(const struct ref_rows *rows, int64_t row, int64_t col, double value)
{
    half_store(rows->view.data, rows->dtype, row * rows->view.strides[0] + col, value);
}

/* Element i of an operand of whole numbers, i32 or i64. */
static inline int64_t ref_get_index(const struct ref_rows *rows, int64_t i)
{
    return rows->dtype == TFOPS_I32 ? ((const int32_t *)rows->view.data)[i]
                                    : ((const int64_t *)rows->view.data)[i];
}

static inline void ref_put_index(const struct ref_rows *rows, int64_t i, int64_t value)
{
    if (rows->dtype == TFOPS_I32)
        ((int32_t *)rows->view.data)[i] = (int32_t)value;
    else
        ((int64_t *)rows->view.data)[i] = value;
}

#endif
