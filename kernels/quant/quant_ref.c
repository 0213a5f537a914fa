/* Quantisation in plain C (see quant_ref.h). */
#include "quant_ref.h"
#include <math.h>

/* A tile of the tensor. */
struct tile {
    int64_t row, end_row, col, end_col;
};

static int64_t scale_index(
    const struct quant_layout *layout, const struct ref_rows *scales, int64_t row, int64_t col)
{
    const int64_t down = row / quant_rows_per_scale(layout);
    const int64_t across = col / quant_cols_per_scale(layout);
    const int64_t stride = scales->view.strides[0];
    return layout->column_major ? across * stride + down : down * stride + across;
}

double quant_scale_get(
    const struct quant_layout *layout, const struct ref_rows *scales, int64_t row, int64_t col)
{
    return half_load(scales->view.data, scales->dtype, scale_index(layout, scales, row, col));
}

int64_t quant_count_saturated(
    const struct quant_target *target, const struct quant_source *source, int64_t row)
{
    int64_t count = 0;
    for (int64_t col = 0; col < target->layout.hidden; col++) {
        const double scale = quant_scale_get(&target->layout, &target->scales, row, col);
        const double quotient = source->value(source->context, row, col) / scale;
        count += fabs(quotient) > quant_saturates_above(target->out.dtype);
    }
    return count;
}

void quant_put_scaled_row(
    const struct quant_target *target, const struct quant_source *source, int64_t row)
{
    for (int64_t col = 0; col < target->layout.hidden; col++)
        ref_put(&target->out, row, col,
            source->value(source->context, row, col) /
                quant_scale_get(&target->layout, &target->scales, row, col));
}

/* NaN when one of them is. */
static double amax_of(const struct quant_source *source, const struct tile *tile)
{
    double amax = 0;
    for (int64_t row = tile->row; row < tile->end_row; row++)
        for (int64_t col = tile->col; col < tile->end_col; col++) {
            const double magnitude = fabs(source->value(source->context, row, col));
            amax = magnitude > amax || isnan(magnitude) ? magnitude : amax;
            if (isnan(amax))
                return amax;
        }
    return amax;
}

static void put_scale(
    const struct quant_target *target, const struct quant_source *source, const struct tile *tile)
{
    const float scale = quant_scale_of(amax_of(source, tile), target->out.dtype);
    for (int64_t row = tile->row; row < tile->end_row; row++)
        for (int64_t col = tile->col; col < tile->end_col; col++)
            ref_put(
                &target->out, row, col, source->value(source->context, row, col) / (double)scale);
    half_store(target->scales.view.data, target->scales.dtype,
        scale_index(&target->layout, &target->scales, tile->row, tile->col), (double)scale);
}

void quant_put_rows(
    const struct quant_target *target, const struct quant_source *source, int64_t row, int64_t rows)
{
    const int64_t height = quant_rows_per_scale(&target->layout);
    const int64_t width = quant_cols_per_scale(&target->layout);
    const int64_t end = row + rows, hidden = target->layout.hidden;
    for (int64_t r = row; r < end; r += height)
        for (int64_t c = 0; c < hidden; c += width) {
            const struct tile tile = {
                r, r + height < end ? r + height : end, c, c + width < hidden ? c + width : hidden};
            put_scale(target, source, &tile);
        }
    for (int64_t r = row; r < end; r++)
        quant_put_scaled_row(target, source, r);
}
