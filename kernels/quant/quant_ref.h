/* Quantisation in CPU references: tiles of values that share a scale. */
#ifndef TFOPS_KERNELS_QUANT_REF_H
#define TFOPS_KERNELS_QUANT_REF_H

#include "kernels/ref_rows.h"
#include "quant_scales.h"

/* Values that are quantised: exact, by place. */
struct quant_source {
    double (*value)(const void *context, int64_t row, int64_t col);
    const void *context;
};

struct quant_target {
    struct quant_layout layout;
    struct ref_rows out;    /* fp8 */
    struct ref_rows scales; /* f32 */
};

/* The operand's element for (row, col) of the tensor, as layout places it. */
double quant_scale_get(
    const struct quant_layout *layout, const struct ref_rows *scales, int64_t row, int64_t col);

/* How many of a row's values a scale cannot hold. */
int64_t quant_count_saturated(
    const struct quant_target *target, const struct quant_source *source, int64_t row);

/* fp8 values of a row by the scales that stand there. */
void quant_put_scaled_row(
    const struct quant_target *target, const struct quant_source *source, int64_t row);

/* Dynamic scales and fp8 values of `rows` rows from `row` on, which start a tile. */
void quant_put_rows(const struct quant_target *target, const struct quant_source *source,
    int64_t row, int64_t rows);

#endif
