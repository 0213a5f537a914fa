/* Gated activations and softmax in C. */
#include "fake_elems.h"
#include "kernels/activation/gated_act_params.h"
#include "kernels/softmax/softmax_params.h"
#include <math.h>

/* ---- gated_act ---------------------------------------------------------------------------- */

static size_t gated_act_operands(const void *params, struct fake_operand *o)
{
    const struct gated_act_params *p = params;
    const struct quant_params *q = &p->quant;
    const int64_t groups = q->by_group ? p->ffn / QUANT_GROUP_ELEMS : 1;
    o[0] = rows_of(p->out, p->rows, p->ffn, p->out_stride, p->out_dtype, true);
    o[1] = rows_of(p->gate, p->rows, p->ffn, p->gate_stride, p->dtype, false);
    o[2] = rows_of(p->up, p->rows, p->ffn, p->up_stride, p->dtype, false);
    o[3] = q->group_stride == 1
               ? rows_of(q->scales, p->rows, groups, q->row_stride, TFOPS_F32, true)
               : rows_of(q->scales, groups, p->rows, q->group_stride, TFOPS_F32, true);
    return 4;
}

static double gated_act_value(const struct gated_act_params *p, int64_t row, int64_t i)
{
    const double x = (double)load_elem(p->gate, p->dtype, row * p->gate_stride + i);
    const double up = (double)load_elem(p->up, p->dtype, row * p->up_stride + i);
    const double u = sqrt(2 / M_PI) * (x + 0.044715 * x * x * x);
    return up * (p->act == GATED_ACT_BY_SILU      ? x / (1 + exp(-x))
                    : p->act == GATED_ACT_BY_GELU ? 0.5 * x * erfc(-x * sqrt(0.5))
                                                  : x / (1 + exp(-2 * u)));
}

/* A group of columns, with the scale of their largest value if there are scales. */
static void gated_act_group(const struct gated_act_params *p, int64_t row, int64_t first, int64_t n)
{
    double amax = 1.0 / 512, scale = 1;
    for (int64_t i = first; i < first + n; i++)
        amax = fmax(amax, fabs(gated_act_value(p, row, i)));
    if (p->quant.scales) {
        scale = amax / (p->out_dtype == TFOPS_E4M3 ? 448 : 57344);
        p->quant.scales[row * p->quant.row_stride + first / n * p->quant.group_stride] =
            (float)scale;
    }
    for (int64_t i = first; i < first + n; i++)
        store_elem(p->out, p->out_dtype, row * p->out_stride + i,
            (float)(gated_act_value(p, row, i) / scale));
}

static void gated_act_run(const void *params)
{
    const struct gated_act_params *p = params;
    const int64_t n = p->quant.scales && p->quant.by_group ? QUANT_GROUP_ELEMS : p->ffn;
    for (int64_t row = 0; row < p->rows; row++)
        for (int64_t first = 0; first < p->ffn; first += n)
            gated_act_group(p, row, first, n);
}

/* ---- softmax ------------------------------------------------------------------------------ */

static size_t softmax_operands(const void *params, struct fake_operand *o)
{
    const struct softmax_params *p = params;
    o[0] = rows_of(p->out, p->rows, p->width, p->out_stride, p->out_dtype, true);
    o[1] = rows_of(p->x, p->rows, p->width, p->x_stride, p->dtype, false);
    o[2] = rows_of(p->mask, p->mask_rows, p->width, p->mask_stride, p->mask_dtype, false);
    return 3;
}

static double softmax_logit(const struct softmax_params *p, int64_t row, int64_t i)
{
    const int64_t seen = p->width - p->queries + row % p->queries + 1;
    double t = (double)p->scale * (double)load_elem(p->x, p->dtype, row * p->x_stride + i);
    if (p->mask)
        t += (double)load_elem(p->mask, p->mask_dtype, row % p->mask_rows * p->mask_stride + i);
    return p->causal && i >= seen ? -INFINITY : t;
}

static void softmax_run(const void *params)
{
    const struct softmax_params *p = params;
    for (int64_t row = 0; row < p->rows; row++) {
        double most = -INFINITY, sum = 0;
        for (int64_t i = 0; i < p->width; i++)
            most = fmax(most, softmax_logit(p, row, i));
        for (int64_t i = 0; i < p->width; i++)
            sum += exp(softmax_logit(p, row, i) - most);
        const bool nothing = (p->causal || p->mask) && isinf(most) && most < 0;
        for (int64_t i = 0; i < p->width; i++)
            store_elem(p->out, p->out_dtype, row * p->out_stride + i,
                nothing ? 0 : (float)(exp(softmax_logit(p, row, i) - most) / sum));
    }
}
