/*
 * The typed calls of rope and rmsnorm_rope: tables in the published shapes, heads inferred or checked,
 * heads before tokens, sequences that each begin at 0. On the cpu device, bit for bit.
 */
#include "kernels/rope/rope_specs.h"
#include <criterion/criterion.h>
#include <math.h>

#include "tests/support/reference.h"

enum { BATCH = 2, SEQ = 3, HEADS = 4, HEAD_DIM = 16, HIDDEN = HEADS * HEAD_DIM, MAX_POS = 9 };
enum { TOKENS = BATCH * SEQ };

static struct tfops_engine *engine;
static struct matrix x, weight, out, other, tables[2], halves[2];

/* Angles of a real table: the halves' columns twice. */
static void make_tables(void)
{
    for (int part = 0; part < 2; part++) {
        matrix_make(&tables[part], TFOPS_F32, MAX_POS, HEAD_DIM, 0);
        matrix_make(&halves[part], TFOPS_F32, MAX_POS, HEAD_DIM / 2, 0);
        for (int64_t pos = 0; pos < MAX_POS; pos++)
            for (int64_t i = 0; i < HEAD_DIM; i++) {
                const int64_t pair = i % (HEAD_DIM / 2);
                const double angle = (double)pos * pow(1e4, -2.0 * (double)pair / HEAD_DIM);
                const double value = part ? sin(angle) : cos(angle);
                matrix_set(&tables[part], pos, i, value);
                matrix_set(&halves[part], pos, pair, value);
            }
    }
}

static void begin(void)
{
    const struct tfops_engine_options options = {.size = sizeof options, .device = "cpu"};
    EXPECT_OK(tfops_engine_open(&options, &engine));
    matrix_make(&x, TFOPS_F32, TOKENS, HIDDEN, 0);
    matrix_make_vector(&weight, TFOPS_F32, HIDDEN);
    matrix_fill(&x, 1, 4);
    matrix_fill(&weight, 2, 1);
    make_tables();
}

static void end(void)
{
    tfops_engine_close(engine);
}

TestSuite(ops_rope, .init = begin, .fini = end);

/* A view of a matrix's elements. */
static struct tfops_tensor as(const struct matrix *matrix, int32_t rank, const int64_t *shape)
{
    return tfops_tensor_contiguous(matrix->tensor.data, matrix->tensor.dtype, rank, shape);
}

static void clear(struct matrix *result)
{
    matrix_make(result, TFOPS_F32, TOKENS, HIDDEN, 0);
}

static void expect_same(const char *what)
{
    static const struct matrix none;
    cr_assert(memcmp(out.bytes, none.bytes, 64) && out.bytes[0] != 0x5a, "%s: not written", what);
    cr_assert(!memcmp(out.bytes, other.bytes, sizeof out.bytes), "%s differs", what);
}

/* ---- rope ----------------------------------------------------------------------------------- */

static const int64_t BSHD[] = {BATCH, SEQ, HEADS, HEAD_DIM};

/* The operator itself: [batch, seq, heads, head_dim], tables [max_pos, head_dim]. */
static void launch_rope(const struct tfops_tensor *positions)
{
    struct tfops_args args = {.size = sizeof args};
    clear(&other);
    const struct tfops_tensor q = as(&x, 4, BSHD), q_out = as(&other, 4, BSHD);
    args.operands[ROPE_Q] = &q;
    args.operands[ROPE_COS] = &tables[0].tensor;
    args.operands[ROPE_SIN] = &tables[1].tensor;
    args.operands[ROPE_POSITIONS] = positions;
    args.operands[ROPE_Q_OUT] = &q_out;
    EXPECT_OK(tfops_launch(engine, tfops_engine_operator(engine, "rope"), &args, NULL));
}

static void call_rope(const struct tfops_tensor *cosines, const struct tfops_tensor *sines,
    const struct tfops_tensor *positions, const char *what)
{
    clear(&out);
    const struct tfops_tensor q = as(&x, 4, BSHD), q_out = as(&out, 4, BSHD);
    const struct tfops_rope_args args = {.size = sizeof args,
        .q = &q,
        .cos = cosines,
        .sin = sines,
        .positions = positions,
        .q_out = &q_out};
    EXPECT_OK(tfops_rope(engine, &args, NULL));
    expect_same(what);
}

Test(ops_rope, tables_in_the_published_shapes)
{
    const int64_t four[] = {1, MAX_POS, 1, HEAD_DIM}, four_half[] = {1, MAX_POS, 1, HEAD_DIM / 2};
    const struct tfops_tensor cosines = as(&tables[0], 4, four), sines = as(&tables[1], 4, four);
    const struct tfops_tensor cos_half = as(&halves[0], 4, four_half);
    const struct tfops_tensor sin_half = as(&halves[1], 4, four_half);
    launch_rope(NULL);
    call_rope(&tables[0].tensor, &tables[1].tensor, NULL, "[seq, head_dim]");
    call_rope(&cosines, &sines, NULL, "[1, seq, 1, head_dim]");
    call_rope(&halves[0].tensor, &halves[1].tensor, NULL, "[seq, head_dim / 2]");
    call_rope(&cos_half, &sin_half, NULL, "[1, seq, 1, head_dim / 2]");
}

Test(ops_rope, positions_of_32_and_of_64_bits)
{
    static const int64_t SHAPE[] = {BATCH, SEQ};
    int64_t wide[TOKENS];
    int32_t narrow[TOKENS];
    for (int i = 0; i < TOKENS; i++)
        wide[i] = narrow[i] = (5 * i + 2) % MAX_POS;
    const struct tfops_tensor by_64 = tfops_tensor_contiguous(wide, TFOPS_I64, 2, SHAPE);
    const struct tfops_tensor by_32 = tfops_tensor_contiguous(narrow, TFOPS_I32, 2, SHAPE);
    launch_rope(&by_64);
    call_rope(&tables[0].tensor, &tables[1].tensor, &by_64, "i64");
    call_rope(&tables[0].tensor, &tables[1].tensor, &by_32, "i32");
}

Test(ops_rope, heads_before_tokens)
{
    static const int64_t BHSD[] = {BATCH, HEADS, SEQ, HEAD_DIM};
    static struct matrix turned, turned_out;
    matrix_make(&turned, TFOPS_F32, TOKENS, HIDDEN, 0);
    matrix_make(&turned_out, TFOPS_F32, TOKENS, HIDDEN, 0);
    clear(&out);
    for (int pass = 0; pass < 2; pass++) { /* there, and back behind the call */
        for (int64_t b = 0; b < BATCH; b++)
            for (int64_t s = 0; s < SEQ; s++)
                for (int64_t i = 0; i < HIDDEN; i++) {
                    const int64_t row = (b * HEADS + i / HEAD_DIM) * SEQ + s;
                    const int64_t at = row * HEAD_DIM + i % HEAD_DIM;
                    if (pass)
                        matrix_set(&out, b * SEQ + s, i,
                            matrix_get(&turned_out, at / HIDDEN, at % HIDDEN));
                    else
                        matrix_set(
                            &turned, at / HIDDEN, at % HIDDEN, matrix_get(&x, b * SEQ + s, i));
                }
        const struct tfops_tensor q = as(&turned, 4, BHSD), q_out = as(&turned_out, 4, BHSD);
        const struct tfops_rope_args args = {.size = sizeof args,
            .q = &q,
            .cos = &tables[0].tensor,
            .sin = &tables[1].tensor,
            .q_out = &q_out,
            .flags = TFOPS_ROPE_HEADS_FIRST};
        EXPECT_OK(tfops_rope(engine, &args, NULL));
    }
    launch_rope(NULL);
    expect_same("[batch, heads, seq, head_dim]");
}

Test(ops_rope, only_the_first_elements_of_a_head_rotate)
{
    clear(&out);
    const struct tfops_tensor q = as(&x, 4, BSHD), q_out = as(&out, 4, BSHD);
    const struct tfops_rope_args args = {.size = sizeof args,
        .q = &q,
        .cos = &halves[0].tensor,
        .sin = &halves[1].tensor,
        .q_out = &q_out,
        .rotary_dim = HEAD_DIM / 2,
        .flags = TFOPS_ROPE_INTERLEAVED};
    EXPECT_OK(tfops_rope(engine, &args, NULL)); /* a full table of half of the head */
    for (int64_t i = 0; i < HEAD_DIM; i++) {
        const double before = matrix_get(&x, 1, i), after = matrix_get(&out, 1, i);
        cr_assert((before == after) == (i >= HEAD_DIM / 2), "element %lld: %g, was %g",
            (long long)i, after, before);
    }
}

/* ---- rmsnorm_rope --------------------------------------------------------------------------- */

static const int64_t BSH[] = {BATCH, SEQ, HIDDEN};

/* The operator itself, a sequence at a time. */
static void launch_norm(bool per_head)
{
    static const int64_t SHD[] = {SEQ, HEADS, HEAD_DIM}, HD[] = {HEADS, HEAD_DIM};
    const int64_t dim = HEAD_DIM;
    clear(&other);
    for (int b = 0; b < BATCH; b++) {
        struct tfops_args args = {.size = sizeof args, .n_scalars = 1, .scalars = {1e-3}};
        struct tfops_tensor from = as(&x, 3, SHD), to = as(&other, 3, SHD);
        const struct tfops_tensor gamma = per_head ? as(&weight, 1, &dim) : as(&weight, 2, HD);
        from.data = (float *)from.data + (size_t)b * SEQ * HIDDEN;
        to.data = (float *)to.data + (size_t)b * SEQ * HIDDEN;
        args.options[RMSNORM_ROPE_NORM] = per_head;
        args.operands[RMSNORM_ROPE_X] = &from;
        args.operands[RMSNORM_ROPE_WEIGHT] = &gamma;
        args.operands[RMSNORM_ROPE_COS] = &tables[0].tensor;
        args.operands[RMSNORM_ROPE_SIN] = &tables[1].tensor;
        args.operands[RMSNORM_ROPE_OUT] = &to;
        EXPECT_OK(tfops_launch(engine, tfops_engine_operator(engine, "rmsnorm_rope"), &args, NULL));
    }
}

static void call_norm(int64_t num_heads, int64_t head_dim, bool half, bool per_head)
{
    const int64_t dim = HEAD_DIM;
    clear(&out);
    const struct tfops_tensor from = as(&x, 3, BSH), to = as(&out, 3, BSH);
    const struct tfops_tensor gamma = per_head ? as(&weight, 1, &dim) : weight.tensor;
    const struct tfops_rmsnorm_rope_args args = {.size = sizeof args,
        .x = &from,
        .weight = &gamma,
        .cos = half ? &halves[0].tensor : &tables[0].tensor,
        .sin = half ? &halves[1].tensor : &tables[1].tensor,
        .out = &to,
        .num_heads = num_heads,
        .head_dim = head_dim,
        .eps = 1e-3,
        .flags = per_head ? TFOPS_NORM_PER_HEAD : 0};
    EXPECT_OK(tfops_rmsnorm_rope(engine, &args, NULL));
    expect_same(half ? "by a half table" : "by a full table");
}

Test(ops_rope, heads_are_inferred_or_checked_and_sequences_begin_anew)
{
    launch_norm(false);
    call_norm(0, 0, false, false);
    call_norm(HEADS, 0, false, false);
    call_norm(0, HEAD_DIM, true, false);
    call_norm(HEADS, HEAD_DIM, true, false);
}

Test(ops_rope, norm_of_each_head)
{
    launch_norm(true);
    call_norm(HEADS, 0, false, true);
}
