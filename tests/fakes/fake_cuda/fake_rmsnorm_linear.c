/* rmsnorm_linear and rmsnorm_linears in C: gemm_run() on rows that are normalised first. */
#include "fake_elems.h"
#include "kernels/gemm/rmsnorm_linears_params.h"
#include <math.h>
#include <stdlib.h>

static size_t rmsnorm_linear_operands(const void *params, struct fake_operand *o)
{
    const struct rmsnorm_linear_params *p = params;
    const struct gemm_params *g = &p->gemm;
    const size_t n = gemm_operands(g, o);
    o[n] = rows_of(p->norm_weight, 1, g->k, g->k, g->dtype, false);
    return n + 1;
}

static void rmsnorm_linear_row(const struct rmsnorm_linear_params *p, int64_t m, float *row)
{
    const struct gemm_params *g = &p->gemm;
    double squares = 0;
    for (int64_t k = 0; k < g->k; k++) {
        row[k] = load_elem(g->x, g->dtype, m * g->x_stride + k);
        squares += (double)row[k] * (double)row[k];
    }
    const double factor = 1 / sqrt(squares / g->k + (double)p->eps);
    for (int64_t k = 0; k < g->k; k++) {
        const float weight = p->norm_weight ? load_elem(p->norm_weight, g->dtype, k) : 1;
        row[k] = (float)((double)row[k] * factor * (double)weight);
    }
}

static void rmsnorm_linear_run(const void *params)
{
    const struct rmsnorm_linear_params *p = params;
    struct gemm_params g = p->gemm;
    float *rows = malloc(sizeof *rows * (size_t)(g.m * g.k + 1));
    if (!rows)
        abort();
    for (int64_t m = 0; m < g.m; m++)
        rmsnorm_linear_row(p, m, rows + m * g.k);
    g.x = rows;
    g.x_stride = g.k;
    g.dtype = TFOPS_F32;
    gemm_run(&g);
    free(rows);
}

/* Of a part without weight: none. */
static size_t rmsnorm_linears_operands(const void *params, struct fake_operand *o)
{
    const struct rmsnorm_linears_params *p = params;
    size_t n = 0;
    for (int i = 0; i < LINEARS_MOST; i++)
        if (p->part[i].gemm.weight)
            n += rmsnorm_linear_operands(&p->part[i], o + n);
    return n;
}

static void rmsnorm_linears_run(const void *params)
{
    const struct rmsnorm_linears_params *p = params;
    for (int i = 0; i < LINEARS_MOST; i++)
        if (p->part[i].gemm.weight)
            rmsnorm_linear_run(&p->part[i]);
}
