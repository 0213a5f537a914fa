/* linear and fp8_gemm in C. */
#include "fake_elems.h"
#include "kernels/gemm/gemm_params.h"
#include <math.h>

/* x's scales have one stride of 1; the other one separates their lines. */
static struct fake_operand x_scales(const struct gemm_params *p)
{
    const int64_t groups = p->scaling == GEMM_PER_BLOCK ? (p->k + 127) / 128 : 1;
    if (p->scaling == GEMM_PER_TENSOR)
        return rows_of(p->x_scale, 1, 1, 1, TFOPS_F32, false);
    return p->x_group_stride == 1
               ? rows_of(p->x_scale, p->m, groups, p->x_scale_stride, TFOPS_F32, false)
               : rows_of(p->x_scale, groups, p->m, p->x_group_stride, TFOPS_F32, false);
}

static struct fake_operand weight_scales(const struct gemm_params *p)
{
    const bool blocks = p->scaling == GEMM_PER_BLOCK;
    const int64_t rows = p->scaling == GEMM_PER_TENSOR ? 1 : blocks ? (p->n + 127) / 128 : p->n;
    return rows_of(p->weight_scale, rows, blocks ? (p->k + 127) / 128 : 1, p->weight_scale_stride,
        TFOPS_F32, false);
}

static size_t gemm_operands(const void *params, struct fake_operand *o)
{
    const struct gemm_params *p = params;
    o[0] = rows_of(p->out, p->m, p->n, p->out_stride, p->out_dtype, true);
    o[1] = rows_of(p->x, p->m, p->k, p->x_stride, p->dtype, false);
    o[2] = rows_of(p->weight, p->n, p->k, p->weight_stride, p->weight_dtype, false);
    o[3] = rows_of(p->bias, 1, p->n, p->n, p->out_dtype, false);
    o[4] = rows_of(p->residual, p->m, p->n, p->residual_stride, p->out_dtype, false);
    o[5] = x_scales(p);
    o[6] = weight_scales(p);
    return 7;
}

/* Of the products from k on. */
static float gemm_scale(const struct gemm_params *p, int64_t m, int64_t n, int64_t k)
{
    const bool blocks = p->scaling == GEMM_PER_BLOCK;
    const int64_t group = blocks ? k / 128 : 0, row = blocks ? n / 128 : n;
    if (p->scaling == GEMM_UNSCALED)
        return 1;
    return p->x_scale[m * p->x_scale_stride + group * p->x_group_stride] *
           p->weight_scale[row * p->weight_scale_stride + group];
}

static double gemm_activated(int activation, double x)
{
    if (activation == GEMM_RELU)
        return x < 0 ? 0 : x;
    if (activation == GEMM_SILU)
        return x / (1 + exp(-x));
    if (activation == GEMM_GELU)
        return 0.5 * x * (1 + erf(x * M_SQRT1_2));
    if (activation == GEMM_GELU_TANH)
        return 0.5 * x * (1 + tanh(0.79788456080286536 * (x + 0.044715 * x * x * x)));
    return x;
}

static void gemm_run(const void *params)
{
    const struct gemm_params *p = params;
    for (int64_t m = 0; m < p->m; m++)
        for (int64_t n = 0; n < p->n; n++) {
            double sum = 0;
            for (int64_t k = 0; k < p->k; k++)
                sum += (double)load_elem(p->x, p->dtype, m * p->x_stride + k) *
                       (double)load_elem(p->weight, p->weight_dtype, n * p->weight_stride + k) *
                       (double)gemm_scale(p, m, n, k);
            if (p->bias)
                sum += (double)load_elem(p->bias, p->out_dtype, n);
            float value = (float)gemm_activated(p->activation, sum);
            if (p->residual)
                value += load_elem(p->residual, p->out_dtype, m * p->residual_stride + n);
            store_elem(p->out, p->out_dtype, m * p->out_stride + n, value);
        }
}
