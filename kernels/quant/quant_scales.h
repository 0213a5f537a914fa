/*
 * Scales of fp8 tensors: how many there are, where each stands, and what it is. One convention for
 * every operator that writes or reads fp8: q = x / scale, rounded to nearest and saturating, and
 * x ≈ q · scale; a dynamic scale is max(amax, 1/512) / M with M the largest finite value.
 */
#ifndef TFOPS_KERNELS_QUANT_SCALES_H
#define TFOPS_KERNELS_QUANT_SCALES_H

#include "quant_params.h"
#include <stdbool.h>
#include <stdint.h>
#include <tfops/tensor.h>

enum quant_granularity {
    QUANT_PER_TENSOR_STATIC, /* one scale, given */
    QUANT_PER_TENSOR,        /* one scale, of the tensor's amax */
    QUANT_PER_TOKEN,         /* one a row */
    QUANT_PER_GROUP,         /* one for 128 elements of a row */
    QUANT_PER_BLOCK,         /* one for 128 × 128 elements, fewer at the edges */
};

enum { QUANT_GROUP = QUANT_GROUP_ELEMS };

/* The matrix of scales: [rows, columns] by place in the tensor, or its transpose. */
struct quant_layout {
    enum quant_granularity granularity;
    bool column_major;
    int64_t rows, hidden; /* of the tensor */
};

/* The layout of a row-wise operator, from the indices of its two options. */
static inline struct quant_layout quant_row_layout(
    uint8_t granularity, uint8_t scale_major, int64_t rows, int64_t hidden)
{
    return (struct quant_layout){
        (enum quant_granularity)(QUANT_PER_TOKEN + granularity), scale_major, rows, hidden};
}

static inline int64_t quant_groups(int64_t extent)
{
    return extent / QUANT_GROUP + (extent % QUANT_GROUP != 0);
}

/* Extent 0 or 1 of the matrix of scales. */
static inline int64_t quant_scale_extent(const struct quant_layout *layout, int axis)
{
    const bool down = (axis == 1) == layout->column_major; /* along the tensor's rows */
    switch (layout->granularity) {
    case QUANT_PER_TOKEN:
        return down ? layout->rows : 1;
    case QUANT_PER_GROUP:
        return down ? layout->rows : quant_groups(layout->hidden);
    case QUANT_PER_BLOCK:
        return quant_groups(down ? layout->rows : layout->hidden);
    default:
        return 1;
    }
}

/* Tensor rows that share a scale, and columns. */
static inline int64_t quant_rows_per_scale(const struct quant_layout *layout)
{
    return layout->granularity == QUANT_PER_BLOCK   ? QUANT_GROUP
           : layout->granularity >= QUANT_PER_TOKEN ? 1
                                                    : layout->rows;
}

static inline int64_t quant_cols_per_scale(const struct quant_layout *layout)
{
    return layout->granularity >= QUANT_PER_GROUP ? QUANT_GROUP : layout->hidden;
}

/* The largest finite value. */
static inline double quant_most(enum tfops_dtype fp8)
{
    return fp8 == TFOPS_E4M3 ? 448 : 57344;
}

/* What lies beyond is lost by more than rounding: the largest value and half of the last step. */
static inline double quant_saturates_above(enum tfops_dtype fp8)
{
    return fp8 == TFOPS_E4M3 ? 464 : 61440;
}

/* NaN stays NaN; a row of zeros has the scale of an amax of 1/512. */
static inline float quant_scale_of(double amax, enum tfops_dtype fp8)
{
    return (float)((amax < 1.0 / 512 ? 1.0 / 512 : amax) / quant_most(fp8));
}

#endif
