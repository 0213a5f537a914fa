/*
 * What the tables of operators with fp8 tensors share: rows for scales (dimensions, dtype, options,
 * operand), the rule for groups, sizes and tolerances.
 */
#ifndef TFOPS_KERNELS_QUANT_SPEC_H
#define TFOPS_KERNELS_QUANT_SPEC_H

#include "kernels/spec_tables.h"
#include "quant_params.h"
#include "quant_scales.h"

#define QUANT_SCALE_ROWS_DIM                                                                       \
    {                                                                                              \
        "scale_rows", TFOPS_DIM_DERIVED, 0, INT32_MAX, "extent 0 of scales"                        \
    }
#define QUANT_SCALE_COLS_DIM                                                                       \
    {                                                                                              \
        "scale_cols", TFOPS_DIM_DERIVED, 0, INT32_MAX, "extent 1 of scales"                        \
    }
#define QUANT_SCALE_DTYPE_ROW                                                                      \
    {                                                                                              \
        "scale_dtype", 1u << TFOPS_F32, "of scales"                                                \
    }

static const char *const QUANT_ROW_GRANULARITIES[] = {"per_token", "per_group"};
static const char *const QUANT_MAJORS[] = {"row", "column"};

#define QUANT_ROW_GRANULARITY_OPTION                                                               \
    {                                                                                              \
        "granularity", QUANT_ROW_GRANULARITIES, 2,                                                 \
            "what shares a scale: a row, or 128 elements of it"                                    \
    }
#define QUANT_SCALE_MAJOR_OPTION                                                                   \
    {                                                                                              \
        "scale_major", QUANT_MAJORS, 2,                                                            \
            "scales as [rows, hidden / 128], or transposed as block-scaled GEMMs want them"        \
    }

/* By element: their rows are too short and too odd to decide how x is accessed. */
#define QUANT_SCALES_OPERAND(access, flags, dtype, rows, cols)                                     \
    {                                                                                              \
        "scales", access, TFOPS_OPERAND_ROWS | TFOPS_OPERAND_ELEMENTS | (flags), dtype, 2,         \
            {rows, cols}, 0, "what the fp8 values are multiplied by to have x again"               \
    }

/* Whether groups fill the rows of `operand`; blocks need not. */
static inline bool quant_divides(const struct quant_layout *layout, const char *operand,
    const char *dim, char reason[TFOPS_REASON_BYTES])
{
    if (layout->granularity != QUANT_PER_GROUP || layout->hidden % QUANT_GROUP == 0)
        return true;
    return spec_refuse(reason, "%s: expected %s to be a multiple of the group of %d, got %lld",
        operand, dim, QUANT_GROUP, (long long)layout->hidden);
}

static inline uint64_t quant_scales_bytes(const struct quant_layout *layout)
{
    return 4 * (uint64_t)(quant_scale_extent(layout, 0) * quant_scale_extent(layout, 1));
}

/* Of a row-wise operator: per token or per group. */
static inline struct quant_params quant_params_of(
    const struct quant_layout *layout, const struct tfops_view *scales)
{
    const int64_t stride = scales->strides[0];
    return (struct quant_params){.scales = scales->data,
        .row_stride = layout->column_major ? 1 : stride,
        .group_stride = layout->column_major ? stride : 1,
        .by_group = layout->granularity == QUANT_PER_GROUP};
}

/* fp32 against fp64: one amax, one division. */
static const struct tfops_tolerance QUANT_SCALE_TOLERANCE = {1e-5, 1e-10, 2e-5};

/*
 * The same value but where it lies between two codes within fp32's error: off by one step. Of values
 * with few bits that is more than a few, as a quotient of two of them often lies exactly there; and
 * where few elements are large, each of those counts.
 */
static inline struct tfops_tolerance quant_tolerance(enum tfops_dtype fp8)
{
    return fp8 == TFOPS_E4M3 ? (struct tfops_tolerance){2e-2, 0x1p-9, 0.126}
                             : (struct tfops_tolerance){4e-2, 0x1p-16, 0.26};
}

#endif
