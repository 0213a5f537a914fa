/*
 * The spec of rope: its tables, what it accepts, cost and tolerance.
 *
 * Tensors are [batch, seq, heads, head_dim] with any strides: [batch, heads, seq, head_dim] in memory
 * is a transposed view, [tokens, heads, head_dim] is a batch of one, and q, k, v may be slices of one
 * packed tensor. Caches are [num_blocks, block_size, heads, head_dim] likewise; a contiguous cache
 * [batch, max_seq, heads, head_dim] is one block a sequence. Slot s is offset s mod block_size of
 * block s / block_size; a slot outside of the cache is not written.
 */
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
    [ROPE_POSITIONS] = {"positions", TFOPS_IN, TOKENS_OF(ROPE_POSITION_DTYPE), 0,
        "row of cos and sin for each token, below max_pos; absent: its place in seq"},
    [ROPE_SLOTS] = {"slots", TFOPS_IN, TOKENS_OF(ROPE_SLOT_DTYPE), 0,
        "place in the caches for each token, no two alike; below 0: none"},
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
    return accepts_operands(problem, reason) &&
           rope_accepts_table(problem, "q", dims[ROPE_HEAD_DIM], dims[ROPE_TABLE_DIM], reason);
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

/* Two products and a sum, which may cancel, and one rounding to dtype. */
static void tolerance(void *user, const struct tfops_problem *problem, size_t operand,
    struct tfops_tolerance *ret_tolerance)
{
    (void)user, (void)operand;
    static const struct tfops_tolerance BOUND[TFOPS_DTYPE_COUNT] = {
        [TFOPS_F32] = {4e-7, 1e-6, 1e-6},
        [TFOPS_F16] = {6e-4, 1e-4, 2e-3},
        [TFOPS_BF16] = {5e-3, 1e-4, 1.6e-2},
    };
    *ret_tolerance = BOUND[problem->dtypes[ROPE_DTYPE]];
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
    .accepts = accepts,
    .cost = cost,
    .tolerance = tolerance,
    .reference = rope_reference,
};
