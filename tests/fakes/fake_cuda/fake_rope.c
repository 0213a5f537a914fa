/* The rope kernels in C, on their parameters alone. */
#include "fake_elems.h"
#include "kernels/rope/rmsnorm_rope_params.h"
#include "kernels/rope/rope_params.h"
#include <math.h>

static int64_t rope_index(const void *base, int dtype, int64_t i)
{
    return dtype == TFOPS_I32 ? ((const int32_t *)base)[i] : ((const int64_t *)base)[i];
}

/* From the first element to the last, as one row. */
static struct fake_operand rope_span(const struct rope_params *p, const void *data, int heads,
    const long long *strides, bool written)
{
    const int64_t cols = (int64_t)(p->batch - 1) * strides[0] + (int64_t)(p->seq - 1) * strides[1] +
                         (heads - 1) * strides[2] + p->head_dim;
    return (struct fake_operand){
        (void *)(uintptr_t)data, data ? 1 : 0, cols, cols, p->dtype == TFOPS_F32 ? 4 : 2, written};
}

static size_t rope_operands(const void *params, struct fake_operand *o)
{
    const struct rope_params *p = params;
    const struct rope_heads *q = &p->heads[ROPE_PARAMS_Q], *k = &p->heads[ROPE_PARAMS_K];
    o[0] = rope_span(p, q->out, p->n_heads[0], q->out_strides, true);
    o[1] = rope_span(p, q->from, p->n_heads[0], q->from_strides, false);
    o[2] = rope_span(p, k->out, p->n_heads[1], k->out_strides, true);
    o[3] = rope_span(p, k->from, p->n_heads[1], k->from_strides, false);
    return 4;
}

static void rope_turn(const struct rope_params *p, int64_t position, float *head)
{
    const int pairs = p->rotary_dim / 2;
    for (int i = 0; i < pairs; i++) {
        const int a = p->interleaved ? 2 * i : i, b = p->interleaved ? a + 1 : a + pairs;
        const int64_t at_a = p->half ? i : a, at_b = p->half ? i : b;
        const int64_t cosine = position * p->cos_stride, sine = position * p->sin_stride;
        const float first = head[a], second = head[b];
        head[a] = first * load_elem(p->cos, p->table_dtype, cosine + at_a) -
                  second * load_elem(p->sin, p->table_dtype, sine + at_a);
        head[b] = second * load_elem(p->cos, p->table_dtype, cosine + at_b) +
                  first * load_elem(p->sin, p->table_dtype, sine + at_b);
    }
}

static void rope_put(const struct rope_params *p, void *to, int64_t start, const float *head)
{
    for (int i = 0; to && start >= 0 && i < p->head_dim; i++)
        store_elem(to, p->dtype, start + i, head[i]);
}

static void rope_move(const struct rope_params *p, int tensor, int64_t batch, int64_t seq)
{
    const struct rope_heads *h = &p->heads[tensor];
    float head[1024] = {0};
    int64_t position = seq, slot = -1;
    if (p->positions)
        position = rope_index(p->positions, p->position_dtype,
            batch * p->positions_strides[0] + seq * p->positions_strides[1]);
    if (p->slots)
        slot = rope_index(
            p->slots, p->slot_dtype, batch * p->slots_strides[0] + seq * p->slots_strides[1]);
    const bool kept = slot >= 0 && slot < (int64_t)p->cache_slots;
    for (int64_t i = 0; i < p->n_heads[tensor]; i++) {
        const int64_t from =
            batch * h->from_strides[0] + seq * h->from_strides[1] + i * h->from_strides[2];
        for (int k = 0; k < p->head_dim; k++)
            head[k] = load_elem(h->from, p->dtype, from + k);
        if (tensor != ROPE_PARAMS_V)
            rope_turn(p, position, head);
        rope_put(p, h->out,
            batch * h->out_strides[0] + seq * h->out_strides[1] + i * h->out_strides[2], head);
        rope_put(p, h->cache,
            kept ? slot / p->block_size * h->cache_strides[0] +
                       slot % p->block_size * h->cache_strides[1] + i * h->cache_strides[2]
                 : -1,
            head);
    }
}

static void rope_run(const void *params)
{
    const struct rope_params *p = params;
    for (int64_t token = 0; token < (int64_t)p->tokens; token++)
        for (int tensor = 0; tensor < ROPE_PARAMS_TENSORS; tensor++)
            rope_move(p, tensor, token / p->seq, token % p->seq);
}

/* ---- rmsnorm_rope ------------------------------------------------------------------------- */

static int64_t norm_rope_start(
    const struct rmsnorm_rope_params *p, int64_t row, int64_t stride, int64_t pitch)
{
    return row / p->heads * stride + row % p->heads * pitch;
}

static size_t rmsnorm_rope_operands(const void *params, struct fake_operand *o)
{
    const struct rmsnorm_rope_params *p = params;
    const int64_t last = p->heads > 1 ? p->heads - 1 : p->norm.hidden / p->head_dim - 1;
    o[0] = rows_of(p->norm.out, p->rows / p->heads, last * p->out_pitch + p->head_dim,
        p->norm.out_stride, p->norm.dtype, true);
    o[1] = rows_of(p->norm.x, p->rows / p->heads, last * p->x_pitch + p->head_dim, p->norm.x_stride,
        p->norm.dtype, false);
    return 2;
}

/* The angles' fields alone are read of it. */
static struct rope_params norm_rope_angles(const struct rmsnorm_rope_params *p)
{
    return (struct rope_params){.cos = p->cos,
        .sin = p->sin,
        .cos_stride = p->cos_stride,
        .sin_stride = p->sin_stride,
        .rotary_dim = p->rotary_dim,
        .interleaved = p->interleaved,
        .half = p->half,
        .table_dtype = p->table_dtype};
}

static float norm_rope_element(const struct rmsnorm_rope_params *p, int64_t row, int64_t i)
{
    const int64_t start = norm_rope_start(p, row, p->norm.x_stride, p->x_pitch);
    return load_elem(
        p->norm.x, p->norm.dtype, start + i / p->head_dim * p->x_pitch + i % p->head_dim);
}

static void norm_rope_head(const struct rmsnorm_rope_params *p, int64_t row, int64_t head, float r)
{
    const struct rope_params angles = norm_rope_angles(p);
    const int64_t token = row / p->heads;
    const int64_t position =
        p->positions ? rope_index(p->positions, p->position_dtype, token * p->positions_stride)
                     : token % p->max_pos;
    const int64_t out = norm_rope_start(p, row, p->norm.out_stride, p->out_pitch);
    float values[1024] = {0};
    for (int64_t i = 0; i < p->head_dim; i++) {
        float w = load_elem(p->norm.weight, p->norm.weight_dtype, head * p->weight_pitch + i);
        float n = norm_rope_element(p, row, head * p->head_dim + i) * r;
        if (p->norm.weight_variant == NORM_ROUND_BEFORE)
            n = host_round(n, (enum tfops_dtype)p->norm.dtype);
        values[i] = n * (p->norm.weight_variant == NORM_ONE_PLUS ? 1 + w : w);
    }
    rope_turn(&angles, position, values);
    for (int64_t i = 0; i < p->head_dim; i++)
        store_elem(p->norm.out, p->norm.dtype, out + head * p->out_pitch + i, values[i]);
}

static void rmsnorm_rope_run(const void *params)
{
    const struct rmsnorm_rope_params *p = params;
    for (int64_t row = 0; row < p->rows; row++) {
        double squares = 0;
        for (int64_t i = 0; i < p->norm.hidden; i++)
            squares += pow((double)norm_rope_element(p, row, i), 2);
        const float r = (float)(1 / sqrt(squares / p->norm.hidden + (double)p->norm.eps));
        for (int64_t head = 0; head < p->norm.hidden / p->head_dim; head++)
            norm_rope_head(p, row, head, r);
    }
}
