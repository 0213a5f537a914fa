/*
 * The spec of rope: its tables, what it accepts, parameters, cost and tolerance.
 *
 * Tensors are [batch, seq, heads, head_dim] with any strides: [batch, heads, seq, head_dim] in memory
 * is a transposed view, [tokens, heads, head_dim] is a batch of one, and q, k, v may be slices of one
 * packed tensor. Caches are [num_blocks, block_size, heads, head_dim] likewise; a contiguous cache
 * [batch, max_seq, heads, head_dim] is one block a sequence. Slot s is offset s mod block_size of
 * block s / block_size; a slot outside of the cache is not written.
 */
#include "rope_params.h"
#include "rope_space.h"
#include "rope_spec_tables.h"

enum { MAX_TOKENS = INT32_MAX, MAX_HEADS = 4096 };

static const struct tfops_dim_spec DIMS[] = {
    [ROPE_BATCH] = {"batch", TFOPS_DIM_FREE, 1, MAX_TOKENS, "sequences of seq tokens"},
    [ROPE_SEQ] = {"seq", TFOPS_DIM_DYNAMIC, 0, MAX_TOKENS, "tokens of each sequence"},
    [ROPE_Q_HEADS] = {"q_heads", 0, 1, MAX_HEADS, "heads of q"},
    [ROPE_KV_HEADS] = {"kv_heads", 0, 0, MAX_HEADS, "heads of k and v"},
    [ROPE_HEAD_DIM] = {"head_dim", 0, 1, ROPE_MAX_HEAD_DIM, "elements of a head, even"},
    [ROPE_TABLE_DIM] = ROPE_TABLE_DIM_ROW,
    [ROPE_MAX_POS] = ROPE_MAX_POS_ROW,
    [ROPE_NUM_BLOCKS] = {"num_blocks", TFOPS_DIM_FREE, 0, INT32_MAX, "blocks of the caches"},
    [ROPE_BLOCK_SIZE] = {"block_size", TFOPS_DIM_FREE, 0, INT32_MAX, "tokens of a block"},
};

static const struct tfops_dtype_spec DTYPES[] = {
    [ROPE_DTYPE] = {"dtype", SPEC_FLOATS, "of q, k, v, their outputs and caches"},
    [ROPE_TABLE_DTYPE] = {"table_dtype", SPEC_FLOATS, "of cos and sin; that of q by default"},
    [ROPE_POSITION_DTYPE] = {"position_dtype", SPEC_INDICES, "of positions"},
    [ROPE_SLOT_DTYPE] = {"slot_dtype", SPEC_INDICES, "of slots"},
};

static const struct tfops_option_spec OPTIONS[] = {
    [ROPE_STYLE] = ROPE_STYLE_OPTION,
    [ROPE_TABLE] = ROPE_TABLE_OPTION,
};

enum { OPTIONAL_ROWS = TFOPS_OPERAND_OPTIONAL | TFOPS_OPERAND_ROWS };
#define Q_SHAPE                                                                                    \
    ROPE_DTYPE, 4,                                                                                 \
    {                                                                                              \
        ROPE_BATCH, ROPE_SEQ, ROPE_Q_HEADS, ROPE_HEAD_DIM                                          \
    }
#define KV_SHAPE                                                                                   \
    ROPE_DTYPE, 4,                                                                                 \
    {                                                                                              \
        ROPE_BATCH, ROPE_SEQ, ROPE_KV_HEADS, ROPE_HEAD_DIM                                         \
    }
#define CACHE_SHAPE                                                                                \
    ROPE_DTYPE, 4,                                                                                 \
    {                                                                                              \
        ROPE_NUM_BLOCKS, ROPE_BLOCK_SIZE, ROPE_KV_HEADS, ROPE_HEAD_DIM                             \
    }
#define TABLE_SHAPE                                                                                \
    ROPE_TABLE_DTYPE, 2,                                                                           \
    {                                                                                              \
        ROPE_MAX_POS, ROPE_TABLE_DIM                                                               \
    }
#define TOKENS_OF(dtype)                                                                           \
    OPTIONAL_ROWS | TFOPS_OPERAND_ELEMENTS, dtype, 2,                                              \
    {                                                                                              \
        ROPE_BATCH, ROPE_SEQ                                                                       \
    }

static const struct tfops_operand_spec OPERANDS[] = {
    [ROPE_Q] = {"q", TFOPS_IN, TFOPS_OPERAND_ROWS, Q_SHAPE, 1u << ROPE_Q_OUT, "queries"},
    [ROPE_K] = {"k", TFOPS_IN, OPTIONAL_ROWS, KV_SHAPE, 1u << ROPE_K_OUT, "keys"},
    [ROPE_V] = {"v", TFOPS_IN, OPTIONAL_ROWS, KV_SHAPE, 0, "values, copied to v_cache"},
    [ROPE_COS] = {"cos", TFOPS_IN, TFOPS_OPERAND_ROWS, TABLE_SHAPE, 0, "cosines by position"},
    [ROPE_SIN] = {"sin", TFOPS_IN, TFOPS_OPERAND_ROWS, TABLE_SHAPE, 0, "sines by position"},
    [ROPE_POSITIONS] = {"positions", TFOPS_IN,
        TFOPS_OPERAND_INDEX(ROPE_MAX_POS) | TOKENS_OF(ROPE_POSITION_DTYPE), 0,
        "row of cos and sin for each token, below max_pos; absent: its place in seq"},
    [ROPE_SLOTS] = {"slots", TFOPS_IN,
        TFOPS_OPERAND_DISTINCT | TFOPS_OPERAND_INDEX(ROPE_NUM_BLOCKS) |
            TFOPS_OPERAND_INDEX(ROPE_BLOCK_SIZE) | TOKENS_OF(ROPE_SLOT_DTYPE),
        0, "place in the caches for each token, no two alike; below 0: none"},
    [ROPE_Q_OUT] = {"q_out", TFOPS_OUT, TFOPS_OPERAND_ROWS, Q_SHAPE, 1u << ROPE_Q,
        "rotated queries; may be q"},
    [ROPE_K_OUT] = {"k_out", TFOPS_OUT, OPTIONAL_ROWS, KV_SHAPE, 1u << ROPE_K,
        "rotated keys; may be k"},
    [ROPE_K_CACHE] = {"k_cache", TFOPS_INOUT, TFOPS_OPERAND_OPTIONAL, CACHE_SHAPE, 0,
        "takes rotated keys at slots"},
    [ROPE_V_CACHE] = {"v_cache", TFOPS_INOUT, TFOPS_OPERAND_OPTIONAL, CACHE_SHAPE, 0,
        "takes values at slots"},
};

/* ---- what is accepted ----------------------------------------------------------------------- */

static bool refuse_pair(
    const char *operand, bool given, const char *other, char reason[TFOPS_REASON_BYTES])
{
    return spec_refuse(reason, "%s: expected a tensor%s beside %s, got %s", operand,
        given ? " only" : "", other, given ? "one" : "none");
}

static bool accepts_operands(const struct tfops_problem *problem, char reason[TFOPS_REASON_BYTES])
{
    const bool k = spec_has(problem, ROPE_K), v = spec_has(problem, ROPE_V);
    const bool k_out = spec_has(problem, ROPE_K_OUT), k_cache = spec_has(problem, ROPE_K_CACHE);
    const bool v_cache = spec_has(problem, ROPE_V_CACHE), slots = spec_has(problem, ROPE_SLOTS);
    if (!k && (k_out || k_cache))
        return refuse_pair("k", false, k_out ? "k_out" : "k_cache", reason);
    if (k && !k_out && !k_cache)
        return refuse_pair("k_out", false, "k without k_cache", reason);
    if (v != v_cache)
        return refuse_pair("v", v, "v_cache", reason);
    if (slots != (k_cache || v_cache))
        return refuse_pair("slots", slots, "a cache", reason);
    return true;
}

static bool accepts(
    void *user, const struct tfops_problem *problem, char reason[TFOPS_REASON_BYTES])
{
    (void)user;
    const int64_t *dims = problem->dims;
    if (!spec_has(problem, ROPE_POSITIONS) && dims[ROPE_SEQ] > dims[ROPE_MAX_POS])
        return spec_refuse(reason,
            "cos: expected seq=%lld rows or more without positions, got %lld",
            (long long)dims[ROPE_SEQ], (long long)dims[ROPE_MAX_POS]);
    if (dims[ROPE_BATCH] > MAX_TOKENS / (dims[ROPE_SEQ] ? dims[ROPE_SEQ] : 1))
        return spec_refuse(reason, "q: expected at most %d tokens, got batch=%lld of seq=%lld",
            MAX_TOKENS, (long long)dims[ROPE_BATCH], (long long)dims[ROPE_SEQ]);
    if (dims[ROPE_NUM_BLOCKS] > MAX_TOKENS / (dims[ROPE_BLOCK_SIZE] ? dims[ROPE_BLOCK_SIZE] : 1))
        return spec_refuse(reason,
            "%s: expected room for at most %d tokens, got num_blocks=%lld of block_size=%lld",
            spec_has(problem, ROPE_K_CACHE) ? "k_cache" : "v_cache", MAX_TOKENS,
            (long long)dims[ROPE_NUM_BLOCKS], (long long)dims[ROPE_BLOCK_SIZE]);
    return accepts_operands(problem, reason) &&
           rope_accepts_table(problem, "q", dims[ROPE_HEAD_DIM], dims[ROPE_TABLE_DIM], reason);
}

/* ---- launching ------------------------------------------------------------------------------ */

static void pack_heads(const struct tfops_launch_args *launch, int from, int out, int cache,
    struct rope_heads *ret_heads)
{
    static const struct tfops_view NONE = {NULL, {0}};
    const struct tfops_view *views = launch->operands;
    const struct tfops_view *to = out < 0 ? &NONE : &views[out];
    const struct tfops_view *kept = cache < 0 ? &NONE : &views[cache];
    ret_heads->from = views[from].data;
    ret_heads->out = to->data;
    ret_heads->cache = kept->data;
    for (int i = 0; i < 3; i++) {
        ret_heads->from_strides[i] = views[from].strides[i];
        ret_heads->out_strides[i] = to->strides[i];
        ret_heads->cache_strides[i] = kept->strides[i];
    }
}

static void pack_indices(
    const struct tfops_view *view, const void **ret_data, long long *ret_strides)
{
    *ret_data = view->data;
    ret_strides[0] = view->strides[0];
    ret_strides[1] = view->strides[1];
}

static void pack_constants(const struct tfops_problem *problem, struct rope_params *params)
{
    const int64_t *dims = problem->dims;
    params->n_heads[ROPE_PARAMS_Q] = (int)dims[ROPE_Q_HEADS];
    params->n_heads[ROPE_PARAMS_K] = spec_has(problem, ROPE_K) ? (int)dims[ROPE_KV_HEADS] : 0;
    params->n_heads[ROPE_PARAMS_V] = spec_has(problem, ROPE_V) ? (int)dims[ROPE_KV_HEADS] : 0;
    params->head_dim = (int)dims[ROPE_HEAD_DIM];
    params->rotary_dim = (int)rope_rotary_dim(problem, dims[ROPE_TABLE_DIM]);
    params->interleaved = problem->options[ROPE_STYLE] == ROPE_INTERLEAVED;
    params->half = problem->options[ROPE_TABLE] == ROPE_TABLE_HALF;
    params->dtype = problem->dtypes[ROPE_DTYPE];
    params->table_dtype = problem->dtypes[ROPE_TABLE_DTYPE];
    params->position_dtype = problem->dtypes[ROPE_POSITION_DTYPE];
    params->slot_dtype = problem->dtypes[ROPE_SLOT_DTYPE];
}

static void pack(void *user, const struct tfops_launch_args *launch, void *ret_params)
{
    (void)user;
    const struct tfops_problem *problem = launch->problem;
    const struct tfops_view *views = launch->operands;
    const int64_t *dims = problem->dims;
    struct rope_params *params = ret_params;
    pack_heads(launch, ROPE_Q, ROPE_Q_OUT, -1, &params->heads[ROPE_PARAMS_Q]);
    pack_heads(launch, ROPE_K, ROPE_K_OUT, ROPE_K_CACHE, &params->heads[ROPE_PARAMS_K]);
    pack_heads(launch, ROPE_V, -1, ROPE_V_CACHE, &params->heads[ROPE_PARAMS_V]);
    pack_indices(&views[ROPE_POSITIONS], &params->positions, params->positions_strides);
    pack_indices(&views[ROPE_SLOTS], &params->slots, params->slots_strides);
    params->cos = views[ROPE_COS].data;
    params->sin = views[ROPE_SIN].data;
    params->cos_stride = views[ROPE_COS].strides[0];
    params->sin_stride = views[ROPE_SIN].strides[0];
    params->tokens = (unsigned)(dims[ROPE_BATCH] * dims[ROPE_SEQ]);
    params->batch = (unsigned)dims[ROPE_BATCH];
    params->seq = (unsigned)dims[ROPE_SEQ];
    params->block_size = (unsigned)dims[ROPE_BLOCK_SIZE];
    params->cache_slots = (unsigned)(dims[ROPE_NUM_BLOCKS] * dims[ROPE_BLOCK_SIZE]);
    pack_constants(problem, params);
}

/* ---- cost and tolerance --------------------------------------------------------------------- */

static uint64_t operand_bytes(const struct tfops_problem *problem, size_t i)
{
    const struct tfops_operand_spec *operand = &problem->spec->operands[i];
    uint64_t bytes = spec_has(problem, i) ? spec_elem_bytes(problem, (size_t)operand->dtype) : 0;
    for (int d = 0; d < operand->rank; d++)
        bytes *= (uint64_t)problem->dims[operand->dims[d]];
    return bytes;
}

/* Of tables and caches, what the tokens touch. */
static void cost(void *user, const struct tfops_problem *problem, struct tfops_cost *ret_cost)
{
    (void)user;
    const int64_t *dims = problem->dims;
    const uint64_t q = operand_bytes(problem, ROPE_Q), k = operand_bytes(problem, ROPE_K);
    const uint64_t v = operand_bytes(problem, ROPE_V);
    const uint64_t table = 2 * (uint64_t)dims[ROPE_SEQ] * (uint64_t)dims[ROPE_TABLE_DIM] *
                           spec_elem_bytes(problem, ROPE_TABLE_DTYPE);
    const uint64_t copies =
        (uint64_t)spec_has(problem, ROPE_K_OUT) + spec_has(problem, ROPE_K_CACHE);
    *ret_cost = (struct tfops_cost){.bytes_read = q + k + v + table +
                                                  operand_bytes(problem, ROPE_POSITIONS) +
                                                  operand_bytes(problem, ROPE_SLOTS),
        .bytes_written = q + copies * k + v,
        .flops = 3 * (q + k) / spec_elem_bytes(problem, ROPE_DTYPE)};
}

/*
 * One rounding to dtype. What cancels leaves the fp32 rounding of a product: trials have values of 1e4
 * and angles up to 3.47, products below 2^16, of which half a step is 2^-9 = 1.95e-3.
 */
static void tolerance(void *user, const struct tfops_problem *problem, size_t operand,
    struct tfops_tolerance *ret_tolerance)
{
    (void)user, (void)operand;
    static const struct tfops_tolerance BOUND[TFOPS_DTYPE_COUNT] = {
        [TFOPS_F32] = {4e-7, 2e-3, 1e-6},
        [TFOPS_F16] = {6e-4, 2e-3, 2e-3},
        [TFOPS_BF16] = {5e-3, 2e-3, 1.6e-2},
    };
    *ret_tolerance = BOUND[problem->dtypes[ROPE_DTYPE]];
}

/* Cosines and sines: no zeros, subnormals or large numbers among them. */
static void values(void *user, const struct tfops_problem *problem, size_t operand,
    struct tfops_values *ret_values)
{
    (void)user, (void)problem;
    *ret_values = (struct tfops_values){1, 0, operand != ROPE_COS && operand != ROPE_SIN};
}

const struct tfops_spec rope_spec = {
    .size = sizeof(struct tfops_spec),
    .abi = TFOPS_SPEC_ABI,
    .version = 1,
    .name = "rope",
    .summary = "rotary embedding of q and k, in place or not, with writes to a KV cache",
    .formula =
        "(a, b) → (a·cos − b·sin, b·cos + a·sin) for the pairs of each head (Su et al. 2021)",
    SPEC_TABLE(dims, DIMS),
    SPEC_TABLE(dtypes, DTYPES),
    SPEC_TABLE(options, OPTIONS),
    SPEC_TABLE(operands, OPERANDS),
    .tunables = rope_tunables,
    .n_tunables = ROPE_TUNABLES,
    .template_path = "rope/rope.cu",
    .body = "rope",
    .generic_body = "rope_generic",
    .params_type = "rope_params",
    .param_bytes = sizeof(struct rope_params),
    .accepts = accepts,
    .constraint = rope_constraint,
    .default_config = rope_default_config,
    .geometry = rope_geometry,
    .pack = pack,
    .cost = cost,
    .tolerance = tolerance,
    .values = values,
    .reference = rope_reference,
};
