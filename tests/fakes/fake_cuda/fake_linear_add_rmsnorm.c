/* linear_add_rmsnorm in C: gemm_run(), then its rows normalised. */
#include "fake_elems.h"
#include "kernels/gemm/linear_add_rmsnorm_params.h"
#include "kernels/norm/norm_params.h"
#include <math.h>

static size_t linear_add_rmsnorm_operands(const void *params, struct fake_operand *o)
{
    const struct linear_add_rmsnorm_params *p = params;
    const struct gemm_params *g = &p->gemm;
    const size_t n = gemm_operands(g, o);
    o[n] = rows_of(p->norm_weight, 1, g->n, g->n, g->out_dtype, false);
    o[n + 1] = rows_of(p->norm_out, g->m, g->n, p->norm_out_stride, g->out_dtype, true);
    return n + 2;
}

static void linear_add_rmsnorm_row(const struct linear_add_rmsnorm_params *p, int64_t m)
{
    const struct gemm_params *g = &p->gemm;
    double squares = 0;
    for (int64_t n = 0; n < g->n; n++) {
        const double h = (double)load_elem(g->out, g->out_dtype, m * g->out_stride + n);
        squares += h * h;
    }
    const float factor = (float)(1 / sqrt(squares / g->n + (double)p->eps));
    for (int64_t n = 0; n < g->n; n++) {
        const float weight = load_elem(p->norm_weight, g->out_dtype, n);
        float normed = load_elem(g->out, g->out_dtype, m * g->out_stride + n) * factor;
        if (p->weight_variant == NORM_ROUND_BEFORE)
            normed = host_round(normed, (enum tfops_dtype)g->out_dtype);
        store_elem(p->norm_out, g->out_dtype, m * p->norm_out_stride + n,
            normed * (p->weight_variant == NORM_ONE_PLUS ? 1 + weight : weight));
    }
}

static void linear_add_rmsnorm_run(const void *params)
{
    const struct linear_add_rmsnorm_params *p = params;
    gemm_run(&p->gemm);
    for (int64_t m = 0; m < p->gemm.m; m++)
        linear_add_rmsnorm_row(p, m);
}
