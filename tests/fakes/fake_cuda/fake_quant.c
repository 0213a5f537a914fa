/* quantize and dequantize in C. */
#include "fake_elems.h"
#include "kernels/quant/quantize_params.h"
#include <math.h>

/* Rows and columns of the tensor that share a scale. */
struct quant_span {
    int64_t rows, cols;
};

static struct quant_span quant_span(int granularity, int64_t rows, int64_t hidden)
{
    const int64_t group = QUANT_GROUP_ELEMS;
    switch (granularity) {
    case BY_BLOCK:
        return (struct quant_span){group, group};
    case BY_GROUP:
        return (struct quant_span){1, group};
    case BY_TOKEN:
        return (struct quant_span){1, hidden};
    default:
        return (struct quant_span){rows, hidden};
    }
}

static struct fake_operand quant_scales_of(
    const struct quant_params *q, const struct quant_span *span, int64_t rows, int64_t hidden)
{
    const int64_t down = (rows + span->rows - 1) / span->rows;
    const int64_t across = (hidden + span->cols - 1) / span->cols;
    return q->group_stride == 1
               ? rows_of(q->scales, down, across, q->row_stride, TFOPS_F32, true)
               : rows_of(q->scales, across, down, q->group_stride, TFOPS_F32, true);
}

static size_t quantize_operands(const void *params, struct fake_operand *o)
{
    const struct quantize_params *p = params;
    const struct quant_span span = quant_span(p->granularity, p->rows, p->hidden);
    o[0] = rows_of(p->out, p->rows, p->hidden, p->out_stride, p->out_dtype, true);
    o[1] = rows_of(p->x, p->rows, p->hidden, p->x_stride, p->dtype, false);
    o[2] = rows_of(p->static_scale, 1, 1, 1, TFOPS_F32, false);
    o[3] = quant_scales_of(&p->quant, &span, p->rows, p->hidden);
    o[4] = rows_of(p->saturated, 1, 1, 1, p->count_dtype, true);
    o[5] = rows_of(p->retries, 1, 1, 1, p->count_dtype, true);
    return 6;
}

static void quant_count(void *counter, int dtype, int64_t value, bool add)
{
    if (dtype == TFOPS_I64)
        *(int64_t *)counter = value + (add ? *(int64_t *)counter : 0);
    else
        *(int32_t *)counter = (int32_t)(value + (add ? *(int32_t *)counter : 0));
}

static float quantize_at(const struct quantize_params *p, int64_t row, int64_t col)
{
    return load_elem(p->x, p->dtype, row * p->x_stride + col);
}

/* Of numbers; `nan` tells whether there was something else. */
static float quantize_most(const struct quantize_params *p, int64_t row, int64_t end_row,
    int64_t col, int64_t end_col, bool *nan)
{
    float most = 0;
    for (int64_t r = row; r < end_row; r++)
        for (int64_t c = col; c < end_col; c++) {
            *nan |= isnan(quantize_at(p, r, c));
            most = fmaxf(most, fabsf(quantize_at(p, r, c)));
        }
    return most;
}

static float quantize_scale(const struct quantize_params *p, float most, bool nan)
{
    const bool wide = p->out_dtype != TFOPS_E4M3;
    if (p->granularity != BY_TENSOR_GIVEN)
        return nan ? NAN : fmaxf(most, 1.0f / 512) / (wide ? 57344 : 448);
    float scale = *p->static_scale;
    int retries = 0;
    for (; retries < p->max_retries && !(most / fabsf(scale) <= (wide ? 61440 : 464)); retries++)
        scale *= 2;
    if (p->retries)
        quant_count(p->retries, p->count_dtype, retries, false);
    return scale;
}

static void quantize_tile(
    const struct quantize_params *p, const struct quant_span *span, int64_t row, int64_t col)
{
    const struct quant_params *q = &p->quant;
    const int64_t end_row = row + span->rows < p->rows ? row + span->rows : p->rows;
    const int64_t end_col = col + span->cols < p->hidden ? col + span->cols : p->hidden;
    bool nan = false;
    const float most = quantize_most(p, row, end_row, col, end_col, &nan);
    const float scale = quantize_scale(p, most, nan);
    int64_t saturated = 0;
    for (int64_t r = row; r < end_row; r++)
        for (int64_t c = col; c < end_col; c++) {
            const float y = quantize_at(p, r, c) / scale;
            saturated += fabsf(y) > (p->out_dtype == TFOPS_E4M3 ? 464 : 61440);
            store_elem(p->out, p->out_dtype, r * p->out_stride + c, y);
        }
    if (q->scales)
        q->scales[row / span->rows * q->row_stride + col / span->cols * q->group_stride] = scale;
    if (p->saturated)
        quant_count(p->saturated, p->count_dtype, saturated, true);
}

static void quantize_run(const void *params)
{
    const struct quantize_params *p = params;
    const struct quant_span span = quant_span(p->granularity, p->rows, p->hidden);
    for (int64_t row = 0; row < p->rows; row += span.rows)
        for (int64_t col = 0; col < p->hidden; col += span.cols)
            quantize_tile(p, &span, row, col);
}

static size_t dequantize_operands(const void *params, struct fake_operand *o)
{
    const struct dequantize_params *p = params;
    const struct quant_span span = quant_span(p->granularity, p->rows, p->hidden);
    o[0] = rows_of(p->out, p->rows, p->hidden, p->out_stride, p->out_dtype, true);
    o[1] = rows_of(p->x, p->rows, p->hidden, p->x_stride, p->dtype, false);
    o[2] = quant_scales_of(&p->quant, &span, p->rows, p->hidden);
    o[2].written = false;
    return 3;
}

static void dequantize_run(const void *params)
{
    const struct dequantize_params *p = params;
    const struct quant_params *q = &p->quant;
    const struct quant_span span = quant_span(p->granularity, p->rows, p->hidden);
    for (int64_t row = 0; row < p->rows; row++)
        for (int64_t col = 0; col < p->hidden; col++)
            store_elem(p->out, p->out_dtype, row * p->out_stride + col,
                load_elem(p->x, p->dtype, row * p->x_stride + col) *
                    q->scales[row / span.rows * q->row_stride + col / span.cols * q->group_stride]);
}
