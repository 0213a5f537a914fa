/* gated_mlp and fp8_gated_mlp in C. */
#include "fake_elems.h"
#include "kernels/gemm/gated_mlp_params.h"
#include <math.h>

static size_t gated_mlp_operands(const void *params, struct fake_operand *o)
{
    const struct gated_mlp_params *p = params;
    const struct gemm_params *g = &p->gemm;
    const bool rows = g->scaling == GEMM_PER_ROW;
    o[0] = rows_of(g->out, g->m, g->n, g->out_stride, g->out_dtype, true);
    o[1] = rows_of(g->x, g->m, g->k, g->x_stride, g->dtype, false);
    o[2] = rows_of(g->weight, g->n, g->k, g->weight_stride, g->weight_dtype, false);
    o[3] = rows_of(p->up, g->n, g->k, p->up_stride, g->weight_dtype, false);
    o[4] = rows_of(g->x_scale, rows ? g->m : 1, 1, g->x_scale_stride, TFOPS_F32, false);
    o[5] = rows_of(g->weight_scale, rows ? g->n : 1, 1, g->weight_scale_stride, TFOPS_F32, false);
    o[6] = rows_of(p->up_scale, rows ? g->n : 1, 1, p->up_scale_stride, TFOPS_F32, false);
    o[7] = rows_of(p->out_scale, 1, 1, 0, TFOPS_F32, false);
    return 8;
}

static double gated_mlp_activated(int act, double x)
{
    if (act == GATED_MLP_BY_GELU)
        return 0.5 * x * erfc(-x * M_SQRT1_2);
    if (act == GATED_MLP_BY_GELU_TANH)
        return x / (1 + exp(-1.5957691216057308 * (x + 0.044715 * x * x * x)));
    return x / (1 + exp(-x));
}

struct gated_mlp_weight {
    const void *data;
    const float *scale;
    int64_t stride, scale_stride;
};

/* Row m of x times row n of a weight. */
static double gated_mlp_sum(
    const struct gemm_params *p, const struct gated_mlp_weight *weight, int64_t m, int64_t n)
{
    double sum = 0;
    for (int64_t k = 0; k < p->k; k++)
        sum += (double)load_elem(p->x, p->dtype, m * p->x_stride + k) *
               (double)load_elem(weight->data, p->weight_dtype, n * weight->stride + k);
    if (p->scaling == GEMM_UNSCALED)
        return sum;
    return sum * (double)p->x_scale[m * p->x_scale_stride] *
           (double)weight->scale[n * weight->scale_stride];
}

static void gated_mlp_run(const void *params)
{
    const struct gated_mlp_params *p = params;
    const struct gemm_params *g = &p->gemm;
    const struct gated_mlp_weight weights[] = {
        {g->weight, g->weight_scale, g->weight_stride, g->weight_scale_stride},
        {p->up, p->up_scale, p->up_stride, p->up_scale_stride}};
    for (int64_t m = 0; m < g->m; m++)
        for (int64_t n = 0; n < g->n; n++) {
            double gate = gated_mlp_sum(g, &weights[0], m, n);
            double up = gated_mlp_sum(g, &weights[1], m, n);
            double value = p->activates == GATED_MLP_GATE ? gated_mlp_activated(p->act, gate) * up
                                                          : gate * gated_mlp_activated(p->act, up);
            if (p->out_scale)
                value /= (double)*p->out_scale;
            store_elem(g->out, g->out_dtype, m * g->out_stride + n, (float)value);
        }
}
