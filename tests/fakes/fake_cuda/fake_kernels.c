/*
 * Kernels in C, by the prefix of the entry's name, longer ones first: the built-in operators
 * (the other fake_*.c of operators), the tuner's support kernels and the operators of the plug-ins that
 * tests use. Parameters are the structs of the templates. Tuned variants have dtype and options compiled
 * in, which a cubin does not show: so the run-time fields of the structs must be packed for every variant.
 */
#include "docs/examples/scale_bias_plugin.cu"
#include "fake.h"
#include "fake_acts.c"
#include "fake_gated_mlp.c"
#include "fake_gemm.c"
#include "fake_linear_add_rmsnorm.c"
#include "fake_norms.c"
#include "fake_quant.c"
#include "fake_rmsnorm_linear.c"
#include "fake_rope.c"
#include "fake_transpose.c"
#include "kernels/support/compare_params.h"
#include "kernels/support/copy_params.h"
#include "kernels/support/fill_params.h"
#include "tests/fakes/bad_plugin.cu"
#include <math.h>
#include <string.h>

/* ---- support kernels ---------------------------------------------------------------------- */

static size_t copy_operands(const void *params, struct fake_operand *o)
{
    const struct copy_params *p = params;
    o[0] = rows_of(p->dst, 1, (int64_t)p->bytes, (int64_t)p->bytes, TFOPS_U8, true);
    o[1] = rows_of(p->src, 1, (int64_t)p->bytes, (int64_t)p->bytes, TFOPS_U8, false);
    return 2;
}

static void copy_run(const void *params)
{
    const struct copy_params *p = params;
    if (p->bytes)
        memmove(p->dst, p->src, p->bytes);
}

static size_t fill_operands(const void *params, struct fake_operand *o)
{
    const struct fill_params *p = params;
    o[0] = rows_of(p->data, 1, (int64_t)p->n, (int64_t)p->n, p->dtype, true);
    return 1;
}

/* SplitMix64 of a counter, as in fill.cu: the same values as on a GPU. */
static uint64_t fill_random(uint64_t seed, uint64_t i)
{
    uint64_t z = seed + (i + 1) * 0x9e3779b97f4a7c15ull;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ z >> 27) * 0x94d049bb133111ebull;
    return z ^ z >> 31;
}

static float fill_value(const struct fill_params *p, uint64_t random)
{
    const uint32_t sum = (uint32_t)(random & 0xffff) + (uint32_t)(random >> 16 & 0xffff) +
                         (uint32_t)(random >> 32 & 0xffff) + (uint32_t)(random >> 48);
    const float unit = p->mode == FILL_NORMAL
                           ? ((float)sum - 131070.0f) * (1.7320508f / 65536.0f)
                           : (float)(int)(random >> 40) * (1.0f / 8388608.0f) - 1.0f;
    return unit * p->scale + p->offset;
}

static void fill_special(const struct fill_params *p, uint64_t i, uint64_t random)
{
    const bool negative = random >> 2 & 1;
    const uint32_t sign = 1u << (dtype_bytes(p->dtype) * 8 - 1);
    uint32_t bits = (random & 3) == 1 ? sign : (random & 3) == 2 ? 1u | (negative ? sign : 0) : 0;
    if ((random & 3) == 3)
        store_elem(p->data, p->dtype, (int64_t)i, negative ? -1e4f : 1e4f);
    else
        memcpy((char *)p->data + i * dtype_bytes(p->dtype), &bits, dtype_bytes(p->dtype));
}

static void fill_pattern(const struct fill_params *p)
{
    const size_t bytes = p->n * dtype_bytes(p->dtype);
    unsigned char *to = p->data;
    for (size_t i = 0; i < bytes; i++)
        to[i] = (unsigned char)(p->pattern >> i % 4 * 8);
}

static void fill_index(const struct fill_params *p, int64_t i)
{
    const int64_t value = p->distinct && i >= p->bound ? -1 : p->bound - 1 - i % p->bound;
    if (p->dtype == TFOPS_I32)
        ((int32_t *)p->data)[i] = (int32_t)value;
    else
        ((int64_t *)p->data)[i] = value;
}

static void fill_run(const void *params)
{
    const struct fill_params *p = params;
    for (uint64_t i = 0; p->mode == FILL_INDEX && i < p->n; i++)
        fill_index(p, (int64_t)i);
    if (p->mode == FILL_INDEX)
        return;
    if (p->mode == FILL_PATTERN) {
        fill_pattern(p);
        return;
    }
    for (uint64_t i = 0; i < p->n; i++) {
        const uint64_t random = fill_random(p->seed, i);
        if (p->special_every && (i + 1) % p->special_every == 0)
            fill_special(p, i, random);
        else
            store_elem(p->data, p->dtype, (int64_t)i, fill_value(p, random));
    }
}

static size_t compare_operands(const void *params, struct fake_operand *o)
{
    const struct compare_params *p = params;
    const int64_t result_bytes = sizeof *p->result;
    o[0] = rows_of(p->result, 1, result_bytes, result_bytes, TFOPS_U8, true);
    o[1] = rows_of(p->a, p->rows, p->cols, p->a_stride, p->a_dtype, false);
    o[2] = rows_of(
        p->mode == COMPARE_PATTERN ? NULL : p->b, p->rows, p->cols, p->b_stride, p->b_dtype, false);
    return 3;
}

static void violation(struct compare_result *r, uint64_t at)
{
    r->violations++;
    r->first = at < r->first ? at : r->first;
}

static void compare_pattern(const struct compare_params *p, int64_t row, int64_t col)
{
    const size_t size = dtype_bytes(p->a_dtype);
    const char *a = (const char *)p->a + (size_t)(row * p->a_stride + col) * size;
    const uint32_t want = p->pattern >> (size < 4 ? (size_t)col % (4 / size) * size * 8 : 0);
    if (memcmp(a, &want, size) != 0) /* little-endian hosts */
        violation(p->result, (uint64_t)(row * p->cols + col));
}

static double compared(const void *base, int dtype, int64_t i)
{
    return dtype == TFOPS_I32   ? (double)((const int32_t *)base)[i]
           : dtype == TFOPS_I64 ? (double)((const int64_t *)base)[i]
                                : (double)load_elem(base, dtype, i);
}

static void compare_values(const struct compare_params *p, int64_t row, int64_t col)
{
    const double a = compared(p->a, p->a_dtype, row * p->a_stride + col);
    const double b = compared(p->b, p->b_dtype, row * p->b_stride + col);
    const uint64_t at = (uint64_t)(row * p->cols + col);
    struct compare_result *r = p->result;
    if (!isfinite(a) || !isfinite(b)) {
        if (a == b || (isnan(a) && isnan(b)))
            return;
        r->class_diffs++;
        violation(r, at);
        return;
    }
    const double diff = fabs(a - b), ref = fabs(b);
    const double beyond = diff - (double)p->rtol * ref;
    const float size = (float)fmax(beyond, 0), ref_size = (float)ref;
    uint32_t bits, ref_bits;
    memcpy(&bits, &size, sizeof bits);
    memcpy(&ref_bits, &ref_size, sizeof ref_bits);
    r->diff_squares += diff * diff;
    r->ref_squares += ref * ref;
    r->max_beyond_bits = bits > r->max_beyond_bits ? bits : r->max_beyond_bits;
    r->largest_bits = ref_bits > r->largest_bits ? ref_bits : r->largest_bits;
    if (beyond > (double)p->atol)
        violation(r, at);
}

static void compare_run(const void *params)
{
    const struct compare_params *p = params;
    for (int64_t row = 0; row < p->rows; row++)
        for (int64_t col = 0; col < p->cols; col++)
            (p->mode == COMPARE_PATTERN ? compare_pattern : compare_values)(p, row, col);
}

/* ---- the plug-ins ------------------------------------------------------------------------- */

static size_t scale_bias_operands(const void *params, struct fake_operand *o)
{
    const struct scale_bias_params *p = params;
    o[0] = rows_of(p->y, p->rows, p->hidden, p->y_stride, p->dtype, true);
    o[1] = rows_of(p->x, p->rows, p->hidden, p->x_stride, p->dtype, false);
    o[2] = rows_of(p->scale, 1, p->hidden, p->hidden, p->dtype, false);
    o[3] = rows_of(p->bias, 1, p->hidden, p->hidden, p->dtype, false);
    return 4;
}

static void scale_bias_run(const void *params)
{
    const struct scale_bias_params *p = params;
    for (int64_t row = 0; row < p->rows; row++)
        for (int64_t i = 0; i < p->hidden; i++) {
            const float x = load_elem(p->x, p->dtype, row * p->x_stride + i);
            const float bias = p->bias ? load_elem(p->bias, p->dtype, i) : 0;
            store_elem(p->y, p->dtype, row * p->y_stride + i,
                fmaf(x, load_elem(p->scale, p->dtype, i), bias));
        }
}

static size_t bad_scale_operands(const void *params, struct fake_operand *o)
{
    const struct bad_scale_params *p = params;
    o[0] = rows_of(p->y, p->rows, p->hidden, p->y_stride, TFOPS_F32, true);
    o[1] = rows_of(p->x, p->rows, p->hidden, p->x_stride, TFOPS_F32, false);
    return 2;
}

static void bad_scale_run(const void *params)
{
    const struct bad_scale_params *p = params;
    for (int64_t row = 0; row < p->rows; row++)
        for (int64_t i = 0; i < p->hidden; i++)
            store_elem(p->y, TFOPS_F32, row * p->y_stride + i,
                load_elem(p->x, TFOPS_F32, row * p->x_stride + i) * p->factor);
}

/* ---- the table ---------------------------------------------------------------------------- */

static const struct fake_kernel kernels[] = {
    {"tfops_rmsnorm_quant", sizeof(struct norm_params), norm_operands, rmsnorm_run},
    {"tfops_add_rmsnorm_quant", sizeof(struct norm_params), norm_operands, rmsnorm_run},
    {"tfops_rmsnorm_rope", sizeof(struct rmsnorm_rope_params), rmsnorm_rope_operands,
        rmsnorm_rope_run}, /* before its prefix */
    {"tfops_rmsnorm_linears", sizeof(struct rmsnorm_linears_params), rmsnorm_linears_operands,
        rmsnorm_linears_run}, /* before its prefix */
    {"tfops_rmsnorm_linear", sizeof(struct rmsnorm_linear_params), rmsnorm_linear_operands,
        rmsnorm_linear_run},
    {"tfops_rmsnorm", sizeof(struct norm_params), norm_operands, rmsnorm_run},
    {"tfops_add_rmsnorm", sizeof(struct norm_params), norm_operands, rmsnorm_run},
    {"tfops_layernorm", sizeof(struct norm_params), norm_operands, layernorm_run},
    {"tfops_add_layernorm", sizeof(struct norm_params), norm_operands, layernorm_run},
    {"tfops_quantize", sizeof(struct quantize_params), quantize_operands, quantize_run},
    {"tfops_dequantize", sizeof(struct dequantize_params), dequantize_operands, dequantize_run},
    {"tfops_gated_act", sizeof(struct gated_act_params), gated_act_operands, gated_act_run},
    {"tfops_softmax", sizeof(struct softmax_params), softmax_operands, softmax_run},
    {"tfops_linear_add_rmsnorm", sizeof(struct linear_add_rmsnorm_params),
        linear_add_rmsnorm_operands, linear_add_rmsnorm_run}, /* before its prefix */
    {"tfops_linear", sizeof(struct gemm_params), gemm_operands, gemm_run},
    {"tfops_fp8_gemm", sizeof(struct gemm_params), gemm_operands, gemm_run},
    {"tfops_gemm", sizeof(struct gemm_params), gemm_operands, gemm_run},
    {"tfops_gated_mlp", sizeof(struct gated_mlp_params), gated_mlp_operands, gated_mlp_run},
    {"tfops_fp8_gated_mlp", sizeof(struct gated_mlp_params), gated_mlp_operands, gated_mlp_run},
    {"tfops_transpose", sizeof(struct transpose_params), transpose_operands, transpose_run},
    {"tfops_rope", sizeof(struct rope_params), rope_operands, rope_run},
    {"tfops_fill", sizeof(struct fill_params), fill_operands, fill_run},
    {"tfops_copy", sizeof(struct copy_params), copy_operands, copy_run},
    {"tfops_compare", sizeof(struct compare_params), compare_operands, compare_run},
    {"tfops_scale_bias", sizeof(struct scale_bias_params), scale_bias_operands, scale_bias_run},
    {"tfops_bad_scale", sizeof(struct bad_scale_params), bad_scale_operands, bad_scale_run},
};

const struct fake_kernel *kernel_find(const char *entry)
{
    for (size_t i = 0; i < sizeof kernels / sizeof *kernels; i++) {
        if (strncmp(entry, kernels[i].prefix, strlen(kernels[i].prefix)) == 0)
            return &kernels[i];
    }
    return NULL;
}
