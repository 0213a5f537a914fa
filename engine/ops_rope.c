/*
 * Typed calls of rope and rmsnorm_rope (see tfops/ops.h): callers' layouts as the views that the specs
 * have, and which kind of tables cos and sin are.
 */
#include "base/error.h"
#include "kernels/rope/rope_specs.h"
#include "typed.h"
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

/* "subject: expected …, got actual". */
__attribute__((format(printf, 3, 4))) static enum tfops_status refuse_number(
    const char *subject, int64_t actual, const char *format, ...)
{
    char expected[160], got[32];
    va_list list;
    va_start(list, format);
    vsnprintf(expected, sizeof expected, format, list);
    va_end(list);
    snprintf(got, sizeof got, "%" PRId64, actual);
    return error_set(TFOPS_E_SHAPE, "request", subject, expected, got);
}

/* Whether a row of cos has an element for each that rotates, or for each pair. */
static enum tfops_status choose_table(
    const struct tfops_tensor *cosines, int64_t head_dim, int64_t rotary_dim, uint8_t *ret_table)
{
    const int64_t extent = typed_last(cosines), rotary = rotary_dim ? rotary_dim : head_dim;
    if (rotary_dim < 0 || rotary_dim > head_dim)
        return refuse_number("rotary_dim", rotary_dim, "0 … head_dim=%" PRId64, head_dim);
    if (!cosines || extent == rotary || 2 * extent == rotary) {
        *ret_table = extent == rotary ? ROPE_TABLE_FULL : ROPE_TABLE_HALF;
        return TFOPS_OK;
    }
    return refuse_number("cos", extent,
        "rows of rotary_dim=%" PRId64 " elements, or of half as many (%" PRId64 ")", rotary,
        rotary / 2);
}

/* ---- rope ----------------------------------------------------------------------------------- */

enum { ROPE_OPERANDS = ROPE_V_CACHE + 1 };

/* [batch, heads, seq, head_dim] as [batch, seq, heads, head_dim]. */
static const struct tfops_tensor *seq_first(
    const struct tfops_tensor *tensor, struct tfops_tensor *view)
{
    if (!tensor || tensor->rank < 3 || tensor->rank > TFOPS_MAX_RANK)
        return tensor;
    const int heads = tensor->rank - 3, seq = tensor->rank - 2;
    *view = *tensor;
    view->shape[heads] = tensor->shape[seq];
    view->strides[heads] = tensor->strides[seq];
    view->shape[seq] = tensor->shape[heads];
    view->strides[seq] = tensor->strides[heads];
    return view;
}

static void rope_operands(const struct tfops_rope_args *from, struct tfops_args *args)
{
    args->operands[ROPE_Q] = from->q;
    args->operands[ROPE_K] = from->k;
    args->operands[ROPE_V] = from->v;
    args->operands[ROPE_COS] = from->cos;
    args->operands[ROPE_SIN] = from->sin;
    args->operands[ROPE_POSITIONS] = from->positions;
    args->operands[ROPE_SLOTS] = from->slots;
    args->operands[ROPE_Q_OUT] = from->q_out;
    args->operands[ROPE_K_OUT] = from->k_out;
    args->operands[ROPE_K_CACHE] = from->k_cache;
    args->operands[ROPE_V_CACHE] = from->v_cache;
}

enum tfops_status tfops_rope(
    struct tfops_engine *engine, const struct tfops_rope_args *from, struct CUstream_st *stream)
{
    static const int HEADS[] = {ROPE_Q, ROPE_K, ROPE_V, ROPE_Q_OUT, ROPE_K_OUT};
    struct tfops_tensor views[ROPE_OPERANDS];
    struct tfops_args args = {.size = sizeof args};
    enum tfops_status status = typed_check(from, sizeof *from);
    if (!status)
        status = typed_check_flags(
            from->flags, TFOPS_BATCH_INVARIANT | TFOPS_ROPE_INTERLEAVED | TFOPS_ROPE_HEADS_FIRST);
    if (!status && from->q)
        status = choose_table(
            from->cos, typed_last(from->q), from->rotary_dim, &args.options[ROPE_TABLE]);
    if (status)
        return status;
    rope_operands(from, &args);
    if (from->flags & TFOPS_ROPE_HEADS_FIRST)
        for (size_t i = 0; i < sizeof HEADS / sizeof HEADS[0]; i++)
            args.operands[HEADS[i]] = seq_first(args.operands[HEADS[i]], &views[HEADS[i]]);
    args.options[ROPE_STYLE] = (from->flags & TFOPS_ROPE_INTERLEAVED) != 0;
    args.flags = from->flags & TFOPS_BATCH_INVARIANT;
    return tfops_launch(engine, &rope_spec, &args, stream);
}

/* ---- rmsnorm_rope --------------------------------------------------------------------------- */

struct heads {
    int64_t count, dim;
};

static enum tfops_status choose_heads(
    const struct tfops_rmsnorm_rope_args *from, struct heads *ret_heads)
{
    const int64_t hidden = typed_last(from->x);
    int64_t count = from->num_heads, dim = from->head_dim;
    if (count < 0 || dim < 0)
        return refuse_number(
            count < 0 ? "num_heads" : "head_dim", count < 0 ? count : dim, "0 or more");
    if (!count && !dim)
        dim = typed_last(from->cos);
    if (count && !dim) {
        if (hidden % count)
            return refuse_number("num_heads", count, "a divisor of hidden=%" PRId64, hidden);
        dim = hidden / count;
    } else if (dim && !count) {
        if (hidden % dim)
            return refuse_number(
                "x", hidden, "a last extent that is a multiple of head_dim=%" PRId64, dim);
        count = hidden / dim;
    } else if (dim && (hidden / dim != count || hidden % dim)) {
        return refuse_number(
            "x", hidden, "a last extent of num_heads=%" PRId64 " · head_dim=%" PRId64, count, dim);
    }
    *ret_heads = (struct heads){count, dim};
    return TFOPS_OK;
}

/* [..., hidden] as [..., heads, head_dim]; what is not made of heads goes as it is, to be refused. */
static const struct tfops_tensor *by_head(
    const struct tfops_tensor *tensor, const struct heads *heads, struct tfops_tensor *view)
{
    const int last = tensor ? tensor->rank - 1 : -1;
    if (last < 0 || last + 2 > TFOPS_MAX_RANK || !heads->dim ||
        tensor->shape[last] != heads->count * heads->dim)
        return tensor;
    *view = *tensor;
    view->rank++;
    view->shape[last] = heads->count;
    view->shape[last + 1] = heads->dim;
    view->strides[last + 1] = tensor->strides[last];
    if (__builtin_mul_overflow(tensor->strides[last], heads->dim, &view->strides[last]))
        return tensor;
    return view;
}

/* The dimension of a table's rows: the leading one that is not 1. Below 0: several, or none. */
static int rows_of(const struct tfops_tensor *table)
{
    int found = table->rank - 2, many = 0;
    for (int i = 0; i + 1 < table->rank && i < TFOPS_MAX_RANK; i++)
        if (table->shape[i] != 1) {
            found = i;
            many++;
        }
    return many > 1 ? -1 : found;
}

/* Without positions each sequence begins at 0: the tables are then as long as a sequence. */
static enum tfops_status cut_tables(
    const struct tfops_rmsnorm_rope_args *from, struct tfops_tensor tables[2])
{
    const int seq_dim = from->x->rank - 2;
    const int64_t seq = seq_dim < 0 ? 1 : from->x->shape[seq_dim];
    const int at[] = {rows_of(&tables[0]), rows_of(&tables[1])};
    if (at[0] < 0 || at[1] < 0 || seq < 1)
        return TFOPS_OK;
    const int64_t rows = tables[0].shape[at[0]];
    if (rows < seq)
        return refuse_number("cos", rows, "seq=%" PRId64 " rows or more without positions", seq);
    if (tables[1].shape[at[1]] == rows)
        tables[0].shape[at[0]] = tables[1].shape[at[1]] = seq;
    return TFOPS_OK;
}

enum tfops_status tfops_rmsnorm_rope(struct tfops_engine *engine,
    const struct tfops_rmsnorm_rope_args *from, struct CUstream_st *stream)
{
    struct tfops_tensor x, weight, out, tables[2];
    struct heads heads = {0, 0};
    struct tfops_args args = {.size = sizeof args, .n_scalars = 1};
    enum tfops_status status = typed_check(from, sizeof *from);
    if (!status)
        status = typed_check_flags(
            from->flags, TFOPS_BATCH_INVARIANT | TFOPS_ROPE_INTERLEAVED | TFOPS_NORM_PER_HEAD);
    if (status)
        return status;
    const bool per_head = from->flags & TFOPS_NORM_PER_HEAD;
    args.operands[RMSNORM_ROPE_COS] = from->cos;
    args.operands[RMSNORM_ROPE_SIN] = from->sin;
    args.operands[RMSNORM_ROPE_POSITIONS] = from->positions;
    if (from->x && from->cos)
        status = choose_heads(from, &heads);
    if (!status && from->x && from->cos)
        status = choose_table(from->cos, heads.dim, from->rotary_dim, &args.options[ROPE_TABLE]);
    if (!status && from->x && from->cos && from->sin && !from->positions) {
        tables[0] = *from->cos;
        tables[1] = *from->sin;
        args.operands[RMSNORM_ROPE_COS] = &tables[0];
        args.operands[RMSNORM_ROPE_SIN] = &tables[1];
        status = cut_tables(from, tables);
    }
    if (!status && from->x && from->weight && !per_head &&
        typed_last(from->weight) != typed_last(from->x))
        status = refuse_number(
            "weight", typed_last(from->weight), "hidden=%" PRId64 " elements", typed_last(from->x));
    if (status)
        return status;
    args.operands[RMSNORM_ROPE_X] = by_head(from->x, &heads, &x);
    args.operands[RMSNORM_ROPE_WEIGHT] =
        per_head ? from->weight : by_head(from->weight, &heads, &weight);
    args.operands[RMSNORM_ROPE_OUT] = by_head(from->out, &heads, &out);
    args.options[ROPE_STYLE] = (from->flags & TFOPS_ROPE_INTERLEAVED) != 0;
    args.options[RMSNORM_ROPE_NORM] = per_head;
    args.options[RMSNORM_ROPE_WEIGHT_VARIANT] = typed_option(from->variant);
    args.scalars[RMSNORM_ROPE_EPS] = from->eps;
    args.flags = from->flags & TFOPS_BATCH_INVARIANT;
    return tfops_launch(engine, &rmsnorm_rope_spec, &args, stream);
}
