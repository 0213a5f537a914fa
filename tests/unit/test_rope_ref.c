/*
 * rope on the cpu device against x·cos + rotate(x)·sin over whole heads, as models write it, in long
 * double; properties; layouts, slices, aliases; caches; refusals.
 */
#include "kernels/rope/rope_specs.h"
#include <criterion/criterion.h>
#include <math.h>

#include "tests/support/reference.h"

enum { BATCH = 2, SEQ = 5, Q_HEADS = 3, KV_HEADS = 2, MAX_POS = 9, BLOCKS = 4, BLOCK_SIZE = 4 };
enum { PACKED_HEADS = Q_HEADS + 2 * KV_HEADS };

struct run {
    enum tfops_dtype dtype, table_dtype;
    int64_t head_dim, table_dim;
    bool interleaved, half, heads_first, in_place, positions;
};

/* Elements and the tensor that describes them; a copy is a snapshot. */
struct heads {
    struct tfops_tensor tensor;
    _Alignas(16) unsigned char bytes[1 << 16];
};

static struct reference rope;
static struct heads q, k, v, q_out, k_out, before_q, before_k, k_cache, v_cache;
static struct matrix cosines, sines;
static int64_t positions[BATCH * SEQ];
static int32_t slots[BATCH * SEQ];
static struct tfops_tensor positions_tensor, slots_tensor;
static struct tfops_args args;

static void begin(void)
{
    reference_open(&rope, &rope_spec);
}

static void end(void)
{
    reference_close(&rope);
}

TestSuite(rope_ref, .init = begin, .fini = end);

/* [outer, inner, heads, dim]; heads_first: [outer, heads, inner, dim] in memory. */
static void make_heads(struct heads *heads, enum tfops_dtype dtype, const int64_t shape[4],
    bool heads_first, uint64_t seed)
{
    memset(heads->bytes, 0x5a, sizeof heads->bytes);
    heads->tensor = tfops_tensor_contiguous(heads->bytes, dtype, 4, shape);
    if (heads_first) {
        heads->tensor.strides[1] = shape[3];
        heads->tensor.strides[2] = shape[1] * shape[3];
    }
    if (seed)
        host_fill(heads->bytes, dtype, shape[0] * shape[1] * shape[2] * shape[3], seed);
}

static double head_get(
    const struct heads *heads, int64_t outer, int64_t inner, int64_t head, int64_t i)
{
    const int64_t *strides = heads->tensor.strides;
    const int64_t at = outer * strides[0] + inner * strides[1] + head * strides[2] + i;
    return (double)host_load(heads->bytes, heads->tensor.dtype, at);
}

/* Angles of a real table, pairs as `style` has them. */
static void make_tables(const struct run *run)
{
    const int64_t pairs = run->half ? run->table_dim : run->table_dim / 2;
    matrix_make(&cosines, run->table_dtype, MAX_POS, run->table_dim, run->table_dim + 2);
    matrix_make(&sines, run->table_dtype, MAX_POS, run->table_dim, run->table_dim + 2);
    for (int64_t pos = 0; pos < MAX_POS; pos++)
        for (int64_t i = 0; i < run->table_dim; i++) {
            const int64_t pair = run->half ? i : run->interleaved ? i / 2 : i % pairs;
            const double angle = (double)pos * pow(1e4, -(double)pair / (double)pairs);
            matrix_set(&cosines, pos, i, cos(angle));
            matrix_set(&sines, pos, i, sin(angle));
        }
}

static void make_args(const struct run *run)
{
    args = (struct tfops_args){.size = sizeof args};
    args.options[ROPE_STYLE] = run->interleaved;
    args.options[ROPE_TABLE] = run->half;
    args.operands[ROPE_Q] = &q.tensor;
    args.operands[ROPE_K] = &k.tensor;
    args.operands[ROPE_COS] = &cosines.tensor;
    args.operands[ROPE_SIN] = &sines.tensor;
    args.operands[ROPE_POSITIONS] = run->positions ? &positions_tensor : NULL;
    args.operands[ROPE_Q_OUT] = run->in_place ? &q.tensor : &q_out.tensor;
    args.operands[ROPE_K_OUT] = run->in_place ? &k.tensor : &k_out.tensor;
}

static void make(const struct run *run, uint64_t seed)
{
    const int64_t q_shape[] = {BATCH, SEQ, Q_HEADS, run->head_dim};
    const int64_t kv_shape[] = {BATCH, SEQ, KV_HEADS, run->head_dim};
    const int64_t cache_shape[] = {BLOCKS, BLOCK_SIZE, KV_HEADS, run->head_dim};
    const int64_t tokens[] = {BATCH, SEQ};
    make_heads(&q, run->dtype, q_shape, run->heads_first, seed);
    make_heads(&k, run->dtype, kv_shape, run->heads_first, seed + 1);
    make_heads(&v, run->dtype, kv_shape, run->heads_first, seed + 2);
    make_heads(&q_out, run->dtype, q_shape, !run->heads_first, 0);
    make_heads(&k_out, run->dtype, kv_shape, !run->heads_first, 0);
    make_heads(&k_cache, run->dtype, cache_shape, run->heads_first, 0);
    make_heads(&v_cache, run->dtype, cache_shape, !run->heads_first, 0);
    make_tables(run);
    for (int i = 0; i < BATCH * SEQ; i++) {
        positions[i] = (int64_t)(host_random(&seed) % MAX_POS);
        slots[i] = (i * 7 + 3) % (BLOCKS * BLOCK_SIZE);
    }
    positions_tensor = tfops_tensor_contiguous(positions, TFOPS_I64, 2, tokens);
    slots_tensor = tfops_tensor_contiguous(slots, TFOPS_I32, 2, tokens);
    before_q = q;
    before_k = k;
    make_args(run);
}

static enum tfops_status call(void)
{
    return reference_launch(&rope, &args);
}

/* x·cos + rotate(x)·sin, rotate(x) = (−x₂, x₁) of each pair. */
static long double wanted(const struct run *run, const struct heads *x, int64_t batch, int64_t seq,
    int64_t head, int64_t i)
{
    const int64_t rotary = run->half ? 2 * run->table_dim : run->table_dim;
    const int64_t pos = run->positions ? positions[batch * SEQ + seq] : seq;
    const long double value = (long double)head_get(x, batch, seq, head, i);
    if (i >= rotary)
        return value;
    const bool second = run->interleaved ? i % 2 : i >= rotary / 2;
    const int64_t step = run->interleaved ? 1 : rotary / 2, other = second ? i - step : i + step;
    const int64_t at = !run->half ? i : run->interleaved ? i / 2 : i % (rotary / 2);
    const long double turned = (long double)head_get(x, batch, seq, head, other);
    return value * (long double)matrix_get(&cosines, pos, at) +
           (second ? turned : -turned) * (long double)matrix_get(&sines, pos, at);
}

static void check_heads(
    const struct run *run, const struct heads *before, const struct heads *got, int64_t heads)
{
    for (int64_t at = 0; at < BATCH * SEQ * heads * run->head_dim; at++) {
        const int64_t i = at % run->head_dim, head = at / run->head_dim % heads;
        const int64_t token = at / run->head_dim / heads, batch = token / SEQ, seq = token % SEQ;
        const double value = head_get(got, batch, seq, head, i);
        const long double want = wanted(run, before, batch, seq, head, i);
        if (fabsl((long double)value - want) > 1e-15L) /* what is left of products that cancel */
            expect_rounded(value, want, run->dtype, "out", token, i);
    }
}

static const enum tfops_dtype DTYPES[] = {TFOPS_F32, TFOPS_F16, TFOPS_BF16};
static const struct run PLAIN = {
    .dtype = TFOPS_F32, .table_dtype = TFOPS_F32, .head_dim = 16, .table_dim = 16};

Test(rope_ref, follows_the_formula)
{
    static const int64_t DIMS[][2] = {{2, 2}, {64, 64}, {80, 32}, {128, 128}, {6, 4}};
    for (uint64_t seed = 1; seed < 400; seed += 3) {
        const int64_t *dims = DIMS[seed % 5];
        const bool half = seed >> 1 & 1;
        const struct run run = {.dtype = DTYPES[seed / 5 % 3],
            .table_dtype = DTYPES[seed / 15 % 3],
            .head_dim = dims[0],
            .table_dim = half ? dims[1] / 2 : dims[1],
            .half = half,
            .interleaved = seed >> 2 & 1,
            .heads_first = seed >> 3 & 1,
            .in_place = seed >> 4 & 1,
            .positions = seed >> 5 & 1};
        make(&run, seed);
        EXPECT_OK(call());
        check_heads(&run, &before_q, run.in_place ? &q : &q_out, Q_HEADS);
        check_heads(&run, &before_k, run.in_place ? &k : &k_out, KV_HEADS);
    }
}

Test(rope_ref, norms_of_heads_are_kept)
{
    make(&PLAIN, 3);
    EXPECT_OK(call());
    for (int token = 0; token < BATCH * SEQ; token++) {
        double before = 0, after = 0;
        for (int i = 0; i < 16; i++) {
            before += pow(head_get(&before_q, token / SEQ, token % SEQ, 1, i), 2);
            after += pow(head_get(&q_out, token / SEQ, token % SEQ, 1, i), 2);
        }
        cr_assert_float_eq(after / before, 1, 1e-6);
    }
}

Test(rope_ref, minus_sin_undoes_it)
{
    for (int interleaved = 0; interleaved < 2; interleaved++) {
        struct run run = PLAIN;
        run.in_place = true;
        run.interleaved = interleaved;
        make(&run, 3);
        EXPECT_OK(call());
        cr_assert(fabs(head_get(&q, 0, 4, 0, 0) - head_get(&before_q, 0, 4, 0, 0)) > 1e-3);
        for (int pos = 0; pos < MAX_POS; pos++)
            for (int i = 0; i < 16; i++)
                matrix_set(&sines, pos, i, -matrix_get(&sines, pos, i));
        EXPECT_OK(call());
        for (int at = 0; at < BATCH * SEQ * Q_HEADS * 16; at++)
            cr_assert_float_eq((double)host_load(q.bytes, TFOPS_F32, at),
                (double)host_load(before_q.bytes, TFOPS_F32, at), 1e-6);
    }
}

Test(rope_ref, position_0_changes_nothing)
{
    struct run run = PLAIN;
    run.positions = true;
    make(&run, 3);
    memset(positions, 0, sizeof positions);
    EXPECT_OK(call());
    for (int i = 0; i < 16; i++)
        cr_assert_eq(head_get(&q_out, 1, 3, 2, i), head_get(&q, 1, 3, 2, i));
}

Test(rope_ref, nan_and_infinity_stay_in_their_pair)
{
    make(&PLAIN, 3);
    host_store(q.bytes, TFOPS_F32, 1, NAN);
    host_store(q.bytes, TFOPS_F32, 16 + 2, INFINITY);
    EXPECT_OK(call());
    for (int i = 0; i < 16; i++) {
        cr_assert(isnan(head_get(&q_out, 0, 0, 0, i)) == (i % 8 == 1), "element %d", i);
        cr_assert(isfinite(head_get(&q_out, 0, 0, 1, i)) == (i % 8 != 2), "element %d", i);
    }
}

Test(rope_ref, k_may_be_absent)
{
    make(&PLAIN, 3);
    args.operands[ROPE_K] = args.operands[ROPE_K_OUT] = NULL;
    EXPECT_OK(call());
    check_heads(&PLAIN, &before_q, &q_out, Q_HEADS);
    cr_assert_eq(k_out.bytes[0], 0x5a);
}

/* ---- layouts ------------------------------------------------------------------------------------ */

/* [tokens, heads, dim] as a slice of a packed qkv, seen as a batch of one. */
static void slice(struct heads *heads, const struct heads *packed, int first, int n_heads)
{
    const int64_t shape[] = {BATCH * SEQ, n_heads, 16};
    heads->tensor = tfops_tensor_contiguous(
        (unsigned char *)packed->tensor.data + first * 16 * 4, TFOPS_F32, 3, shape);
    heads->tensor.strides[0] = PACKED_HEADS * 16;
}

Test(rope_ref, slices_of_a_packed_tensor_rotate_in_place)
{
    static struct heads packed, packed_before;
    struct run run = PLAIN;
    run.positions = run.in_place = true;
    make(&run, 3);
    make_heads(&packed, TFOPS_F32, (const int64_t[]){1, BATCH * SEQ, PACKED_HEADS, 16}, false, 9);
    packed_before = packed;
    slice(&q, &packed, 0, Q_HEADS);
    slice(&k, &packed, Q_HEADS, KV_HEADS);
    slice(&v, &packed, Q_HEADS + KV_HEADS, KV_HEADS);
    positions_tensor = tfops_tensor_contiguous(positions, TFOPS_I64, 1, (const int64_t[]){10});
    slots_tensor = tfops_tensor_contiguous(slots, TFOPS_I32, 1, (const int64_t[]){10});
    args.operands[ROPE_V] = &v.tensor;
    args.operands[ROPE_SLOTS] = &slots_tensor;
    args.operands[ROPE_V_CACHE] = &v_cache.tensor;
    EXPECT_OK(call());
    packed_before.tensor.strides[0] = SEQ * PACKED_HEADS * 16; /* tokens as [batch, seq] again */
    for (int token = 0; token < BATCH * SEQ; token++)
        for (int at = 0; at < PACKED_HEADS * 16; at++) {
            const int b = token / SEQ, s = token % SEQ, head = at / 16, i = at % 16;
            const double got = head_get(&packed, 0, token, head, i);
            if (head >= Q_HEADS + KV_HEADS)
                cr_assert_eq(got, head_get(&packed_before, b, s, head, i), "v was written");
            else
                expect_rounded(got, wanted(&run, &packed_before, b, s, head, i), TFOPS_F32,
                    "packed", token, at);
        }
}

/* ---- caches ------------------------------------------------------------------------------------- */

static void use_caches(void)
{
    args.operands[ROPE_V] = &v.tensor;
    args.operands[ROPE_SLOTS] = &slots_tensor;
    args.operands[ROPE_K_CACHE] = &k_cache.tensor;
    args.operands[ROPE_V_CACHE] = &v_cache.tensor;
}

/* Slots hold their token's heads; all others are as they were. */
static void check_caches(const struct run *run)
{
    for (int slot = 0; slot < BLOCKS * BLOCK_SIZE; slot++) {
        int token = -1;
        for (int i = 0; i < BATCH * SEQ; i++)
            token = slots[i] == slot ? i : token;
        for (int at = 0; at < KV_HEADS * 16; at++) {
            const int block = slot / BLOCK_SIZE, offset = slot % BLOCK_SIZE;
            const double key = head_get(&k_cache, block, offset, at / 16, at % 16);
            const double value = head_get(&v_cache, block, offset, at / 16, at % 16);
            const double poison = (double)host_f32_from_bits(0x5a5a5a5a);
            const int b = token / SEQ, s = token % SEQ;
            if (token >= 0)
                expect_rounded(key, wanted(run, &before_k, b, s, at / 16, at % 16), TFOPS_F32,
                    "k_cache", slot, at);
            cr_assert_eq(value, token < 0 ? poison : head_get(&v, b, s, at / 16, at % 16));
            cr_assert(token >= 0 || key == poison, "slot %d was written", slot);
        }
    }
}

Test(rope_ref, caches_take_keys_and_values_at_their_slots)
{
    for (int bits = 0; bits < 8; bits++) {
        struct run run = PLAIN;
        run.heads_first = bits & 1;
        run.in_place = bits & 2;
        make(&run, 3);
        use_caches();
        if (bits & 4)
            args.operands[ROPE_K_OUT] = NULL; /* keys go to the cache alone */
        EXPECT_OK(call());
        check_caches(&run);
    }
}

Test(rope_ref, slots_outside_of_the_cache_are_skipped)
{
    make(&PLAIN, 3);
    use_caches();
    slots[0] = -1;
    slots[3] = BLOCKS * BLOCK_SIZE;
    slots[7] = INT32_MIN;
    EXPECT_OK(call());
    check_caches(&PLAIN);
    check_heads(&PLAIN, &before_k, &k_out, KV_HEADS);
}

/* ---- refusals ----------------------------------------------------------------------------------- */

static void expect_reason(const char *reason)
{
    EXPECT_STATUS(call(), TFOPS_E_SHAPE);
    EXPECT_DETAIL(reason);
}

Test(rope_ref, refuses_heads_and_tables_that_do_not_fit)
{
    struct run run = PLAIN;
    run.head_dim = 15;
    make(&run, 1);
    expect_reason("q: expected an even head_dim, got 15");
    run.head_dim = 8;
    make(&run, 1);
    expect_reason("cos: expected rows of at most 8 elements (head_dim=8, table=full), got 16");
    run.half = true;
    make(&run, 1);
    expect_reason("cos: expected rows of at most 4 elements (head_dim=8, table=half), got 16");
    run = PLAIN;
    run.table_dim = 7;
    make(&run, 1);
    expect_reason("cos: expected rows of an even number of elements, got 7");
}

Test(rope_ref, refuses_tables_that_differ)
{
    make(&PLAIN, 1);
    sines.tensor.shape[1] = 14;
    EXPECT_REFUSED(call(), TFOPS_E_SHAPE, "sin");
    EXPECT_CONTAINS(expect_error().message, "table_dim=16");
}

Test(rope_ref, refuses_tables_shorter_than_the_sequence_at_every_launch)
{
    make(&PLAIN, 1);
    EXPECT_OK(call());
    cosines.tensor.shape[0] = sines.tensor.shape[0] = 4;
    expect_reason("cos: expected seq=5 rows or more without positions, got 4");
    args.operands[ROPE_POSITIONS] = &positions_tensor;
    memset(positions, 0, sizeof positions);
    EXPECT_OK(call());
}

Test(rope_ref, refuses_operands_that_miss_their_partners)
{
    make(&PLAIN, 1);
    args.operands[ROPE_K] = NULL;
    expect_reason("k: expected a tensor beside k_out, got none");
    make(&PLAIN, 1);
    args.operands[ROPE_K_OUT] = NULL;
    expect_reason("k_out: expected a tensor beside k without k_cache, got none");
    make(&PLAIN, 1);
    args.operands[ROPE_V] = &v.tensor;
    expect_reason("v: expected a tensor only beside v_cache, got one");
    make(&PLAIN, 1);
    args.operands[ROPE_K_CACHE] = &k_cache.tensor;
    expect_reason("slots: expected a tensor beside a cache, got none");
    make(&PLAIN, 1);
    args.operands[ROPE_SLOTS] = &slots_tensor;
    expect_reason("slots: expected a tensor only beside a cache, got one");
}

Test(rope_ref, refuses_an_output_that_overlaps_otherwise)
{
    make(&PLAIN, 1);
    args.operands[ROPE_K_OUT] = &q.tensor;
    EXPECT_STATUS(call(), TFOPS_E_SHAPE); /* heads of q */
    make(&PLAIN, 1);
    q_out.tensor = q.tensor;
    q_out.tensor.data = q.bytes + 64;
    EXPECT_REFUSED(call(), TFOPS_E_OVERLAP, "q_out");
}
