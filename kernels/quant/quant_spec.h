/*
 * What the tables of operators with fp8 tensors share: rows for scales (dimensions, dtype, options,
 * operand), the rule for groups, sizes and tolerances.
 */
#ifndef TFOPS_KERNELS_QUANT_SPEC_H
#define TFOPS_KERNELS_QUANT_SPEC_H

#include "kernels/spec_tables.h"
#include "quant_params.h"
#include "quant_scales.h"
#include <math.h>

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
 * The same value but where it lies between two codes within fp32's error: off by one step, of which the
 * mean square is 0.09² of the value's (e5m2: 0.18²). In fp32 that is one value in 10^5. But values of few
 * bits often lie exactly there: x / scale is m / 2^k for a middle m between codes where x = amax · m / 7
 * (448 = 7 · 2^6, 57344 = 7 · 2^13), and if 7 divides the bits of amax, 8 of a binade's 2^(bits − 1)
 * values are such (e5m2: 4). The scale's own rounding decides them, half of them otherwise than in fp64:
 * measured over random tensors at most 0.011, 0.006 and 0.001 for bf16, f16 and f32 (e5m2 0.021, 0.008,
 * 0.001), as the square root of that share says. Where few elements share the norm, one that goes
 * otherwise counts by itself: 0.2 / sqrt(elements) more was the most (e5m2: 0.4).
 */
static inline struct tfops_tolerance quant_tolerance(
    enum tfops_dtype fp8, enum tfops_dtype values, int64_t elements)
{
    static const int BITS[TFOPS_DTYPE_COUNT] = {
        [TFOPS_F32] = 24, [TFOPS_F16] = 11, [TFOPS_BF16] = 8};
    const bool e4m3 = fp8 == TFOPS_E4M3;
    const double step = e4m3 ? 0.09 : 0.18, middles = e4m3 ? 8 : 4;
    const double ties = step * sqrt(middles / ldexp(1, BITS[values]));
    const double few = (e4m3 ? 0.25 : 0.5) / sqrt(elements > 0 ? (double)elements : 1);
    return (struct tfops_tolerance){
        1e-3 + ties + few, e4m3 ? 0x1p-9 : 0x1p-16, e4m3 ? 0.126 : 0.26};
}

#endif
