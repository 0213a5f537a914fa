/* Rotary embedding of q and k with cache writes in plain C: what the template is judged by. */
#include "rope_rotate_ref.h"
#include "rope_spec_tables.h"

/* A token's place in [batch, seq, …], and in the cache. */
struct token {
    int64_t batch, seq;
    int64_t block, offset; /* block −1: it has none */
};

/* Heads of every token: rotated where there are tables, to `out` and to `cache` where they are. */
struct move {
    struct ref_rows from, out, cache;
    const struct rope_tables *tables;
    int64_t heads, head_dim;
};

static int64_t head_start(const struct ref_rows *heads, int64_t outer, int64_t inner, int64_t head)
{
    const int64_t *strides = heads->view.strides;
    return outer * strides[0] + inner * strides[1] + head * strides[2];
}

static int64_t index_at(const struct ref_rows *indices, const struct token *token)
{
    const int64_t *strides = indices->view.strides;
    return ref_get_index(indices, token->batch * strides[0] + token->seq * strides[1]);
}

static void store_head(
    const struct ref_rows *to, int64_t start, int64_t head_dim, const double *values)
{
    for (int64_t i = 0; i < head_dim; i++)
        half_store(to->view.data, to->dtype, start + i, values[i]);
}

static void move_head(
    const struct move *move, const struct token *token, int64_t position, int64_t head)
{
    double values[ROPE_MAX_HEAD_DIM] = {0};
    const int64_t start = head_start(&move->from, token->batch, token->seq, head);
    for (int64_t i = 0; i < move->head_dim; i++)
        values[i] = half_load(move->from.view.data, move->from.dtype, start + i);
    if (move->tables)
        rope_rotate(move->tables, position, values);
    if (move->out.view.data)
        store_head(&move->out, head_start(&move->out, token->batch, token->seq, head),
            move->head_dim, values);
    if (move->cache.view.data && token->block >= 0)
        store_head(&move->cache, head_start(&move->cache, token->block, token->offset, head),
            move->head_dim, values);
}

/* Slots outside of the cache belong to padding. */
static void find_slot(
    const struct ref_rows *slots, const struct tfops_problem *problem, struct token *token)
{
    const int64_t size = problem->dims[ROPE_BLOCK_SIZE];
    const int64_t slot = slots->view.data ? index_at(slots, token) : -1;
    const bool inside = slot >= 0 && slot < problem->dims[ROPE_NUM_BLOCKS] * size;
    token->block = inside ? slot / size : -1;
    token->offset = inside ? slot % size : 0;
}

enum tfops_status rope_reference(void *user, const struct tfops_launch_args *launch)
{
    (void)user;
    const int64_t *dims = launch->problem->dims, head_dim = dims[ROPE_HEAD_DIM];
    const struct rope_tables tables =
        rope_tables(launch, ROPE_COS, ROPE_SIN, ROPE_POSITIONS, dims[ROPE_TABLE_DIM]);
    const struct ref_rows slots = ref_rows(launch, ROPE_SLOTS), none = {.dtype = TFOPS_NONE};
    const struct move moves[] = {
        {ref_rows(launch, ROPE_Q), ref_rows(launch, ROPE_Q_OUT), none, &tables, dims[ROPE_Q_HEADS],
            head_dim},
        {ref_rows(launch, ROPE_K), ref_rows(launch, ROPE_K_OUT), ref_rows(launch, ROPE_K_CACHE),
            &tables, dims[ROPE_KV_HEADS], head_dim},
        {ref_rows(launch, ROPE_V), none, ref_rows(launch, ROPE_V_CACHE), NULL, dims[ROPE_KV_HEADS],
            head_dim},
    };
    struct token token;
    for (token.batch = 0; token.batch < dims[ROPE_BATCH]; token.batch++)
        for (token.seq = 0; token.seq < dims[ROPE_SEQ]; token.seq++) {
            const int64_t position =
                tables.positions.view.data ? index_at(&tables.positions, &token) : token.seq;
            find_slot(&slots, launch->problem, &token);
            for (int i = 0; i < 3; i++)
                for (int64_t head = 0; head < moves[i].heads && moves[i].from.view.data; head++)
                    move_head(&moves[i], &token, position, head);
        }
    return TFOPS_OK;
}
