/* The norms in C, with and without residual, bias and quantisation. */
#include "fake_elems.h"
#include "kernels/norm/norm_params.h"
#include <math.h>

static size_t norm_operands(const void *params, struct fake_operand *o)
{
    const struct norm_params *p = params;
    const struct quant_params *q = &p->quant;
    const int64_t groups = q->by_group ? p->hidden / QUANT_GROUP_ELEMS : 1;
    o[0] = rows_of(p->out, p->rows, p->hidden, p->out_stride, p->out_dtype, true);
    o[1] = rows_of(p->x, p->rows, p->hidden, p->x_stride, p->dtype, false);
    o[2] = rows_of(p->weight, 1, p->hidden, p->hidden, p->weight_dtype, false);
    o[3] = rows_of(p->residual, p->rows, p->hidden, p->residual_stride, p->dtype, false);
    o[4] = rows_of(p->residual ? p->residual_out : NULL, p->rows, p->hidden, p->residual_out_stride,
        p->dtype, true);
    o[5] = rows_of(p->bias, 1, p->hidden, p->hidden, p->weight_dtype, false);
    o[6] = q->group_stride == 1
               ? rows_of(q->scales, p->rows, groups, q->row_stride, TFOPS_F32, true)
               : rows_of(q->scales, groups, p->rows, q->group_stride, TFOPS_F32, true);
    return 7;
}

static float norm_sum(const struct norm_params *p, int64_t row, int64_t i)
{
    float h = load_elem(p->x, p->dtype, row * p->x_stride + i);
    if (!p->residual)
        return h;
    h += load_elem(p->residual, p->dtype, row * p->residual_stride + i);
    return p->residual_round ? host_round(h, (enum tfops_dtype)p->dtype) : h;
}

static float norm_weighted(const struct norm_params *p, float n, int64_t i)
{
    const float weight = load_elem(p->weight, p->weight_dtype, i);
    if (p->weight_variant == NORM_ROUND_BEFORE)
        n = host_round(n, (enum tfops_dtype)p->dtype);
    n *= p->weight_variant == NORM_ONE_PLUS ? 1 + weight : weight;
    return p->bias ? n + load_elem(p->bias, p->weight_dtype, i) : n;
}

/* What a row is normalised by. */
struct norm_row {
    int64_t row;
    float mean, r;
};

static float norm_value(const struct norm_params *p, const struct norm_row *n, int64_t i)
{
    return norm_weighted(p, (norm_sum(p, n->row, i) - n->mean) * n->r, i);
}

/* `scale` of the elements [first, end); 1: not quantised. */
static float norm_scale(
    const struct norm_params *p, const struct norm_row *n, int64_t first, int64_t end)
{
    float amax = 1.0f / 512;
    if (!p->quant.scales)
        return 1;
    for (int64_t i = first; i < end; i++)
        amax = fmaxf(amax, fabsf(norm_value(p, n, i)));
    return amax / (p->out_dtype == TFOPS_E4M3 ? 448 : 57344);
}

static void norm_write(const struct norm_params *p, const struct norm_row *n)
{
    const struct quant_params *q = &p->quant;
    const int64_t span = q->by_group ? QUANT_GROUP_ELEMS : p->hidden;
    for (int64_t first = 0, group = 0; first < p->hidden; first += span, group++) {
        const float scale = norm_scale(p, n, first, first + span);
        if (q->scales)
            q->scales[n->row * q->row_stride + group * q->group_stride] = scale;
        for (int64_t i = first; i < first + span; i++) {
            const float y = norm_value(p, n, i) / scale, h = norm_sum(p, n->row, i);
            if (p->residual && p->residual_out) /* column i is not read again */
                store_elem(p->residual_out, p->dtype, n->row * p->residual_out_stride + i, h);
            store_elem(p->out, p->out_dtype, n->row * p->out_stride + i, y);
        }
    }
}

static void norm_rows(const struct norm_params *p, bool centred)
{
    for (int64_t row = 0; row < p->rows; row++) {
        double sum = 0, squares = 0;
        for (int64_t i = 0; i < p->hidden && centred; i++)
            sum += norm_sum(p, row, i);
        const double mean = sum / p->hidden;
        for (int64_t i = 0; i < p->hidden; i++) {
            const double h = norm_sum(p, row, i) - mean;
            squares += h * h;
        }
        const double r = 1 / sqrt(squares / p->hidden + (double)p->eps);
        norm_write(p, &(struct norm_row){row, (float)mean, (float)r});
    }
}

static void rmsnorm_run(const void *params)
{
    norm_rows(params, false);
}

static void layernorm_run(const void *params)
{
    norm_rows(params, true);
}
