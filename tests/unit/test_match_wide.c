/*
 * The short way for any shape, against the long one: whatever arguments of whatever operator are made
 * of usual ones by changing a few things, what the short way accepts the long one accepts with the same
 * result; and it takes the usual ones, in the forms in which callers have them.
 */
#include "key.h"
#include "match_wide.h"
#include "tests/support/gpu_case.h"
#include <criterion/criterion.h>
#include <stdlib.h>

#include "tests/support/expect.h"
#include "tests/support/host_data.h"

#define CACHED(rope) rope " positions=1 slots=1 k_cache=1 v=1 v_cache=1 num_blocks=3 block_size=4"

static const char *const PROBLEMS[] = {
    "rmsnorm rows=16 hidden=128",
    "add_rmsnorm rows=3 hidden=64 residual_out=1",
    "layernorm rows=1 hidden=64 bias=1 dtype=f32",
    "gated_act rows=16 ffn=64",
    "gated_act rows=16 ffn=256 out_dtype=e4m3 scales=1 granularity=per_group scale_major=column",
    "softmax rows=12 width=64 mask=1 mask_rows=4",
    "quantize rows=5 hidden=256 granularity=per_token scales=1 saturated=1",
    "quantize rows=5 hidden=64 granularity=per_tensor_static static_scale=1",
    "dequantize rows=130 hidden=256 granularity=per_block",
    "rmsnorm_quant rows=7 hidden=128",
    "rmsnorm_rope rows=6 num_heads=4 head_dim=16 table_dim=16 max_pos=9 positions=1",
    "rmsnorm_rope rows=6 num_heads=4 head_dim=16 table_dim=8 max_pos=6 table=half norm=per_head",
    "rope batch=2 seq=3 q_heads=4 kv_heads=2 head_dim=16 table_dim=16 max_pos=9 k=1 k_out=1",
    CACHED("rope batch=1 seq=5 q_heads=4 kv_heads=2 head_dim=16 table_dim=16 max_pos=9 k=1"),
    "linear m=4 n=16 k=32 bias=1 residual=1",
    "fp8_gemm m=4 n=16 k=32 scaling=row",
};
enum { N_PROBLEMS = sizeof PROBLEMS / sizeof *PROBLEMS };

/* Arguments of a problem over addresses that nobody reads. */
struct call {
    struct tfops_problem problem;
    struct buffers_layout layout;
    struct tfops_tensor tensors[TFOPS_MAX_OPERANDS];
    struct tfops_args args;
    struct match_wide match;
};

static struct tfops_engine *engine;

static void begin(void)
{
    const struct tfops_engine_options options = {.size = sizeof options, .device = "cpu"};
    EXPECT_OK(tfops_engine_open(&options, &engine));
}

static void end(void)
{
    tfops_engine_close(engine);
}

TestSuite(match_wide, .init = begin, .fini = end);

static void make(struct call *call, const char *text)
{
    enum { ARENA = 1 << 30 };
    memset(call, 0, sizeof *call);
    call->args = (struct tfops_args){.size = sizeof call->args};
    gpu_case_problem(engine, text, &call->problem, call->args.scalars);
    EXPECT_OK(buffers_layout(&call->problem, &call->layout));
    call->args.n_scalars = (uint32_t)call->problem.spec->n_scalars;
    memcpy(call->args.options, call->problem.options, sizeof call->args.options);
    for (size_t i = 0; i < call->layout.n_operands; i++) {
        if (!call->layout.operands[i].present)
            continue;
        void *data = (void *)(uintptr_t)(ARENA + call->layout.operands[i].offset);
        call->tensors[i] = gpu_case_tensor(&call->problem, &call->layout, i, data);
        call->args.operands[i] = &call->tensors[i];
    }
    struct request request;
    EXPECT_OK(request_bind(call->problem.spec, &call->args, &request));
    call->problem = request.problem;
    match_wide_init(&call->problem, &call->match);
}

static bool bind_wide(const struct call *call, struct request *ret_request)
{
    memset(ret_request, 0, sizeof *ret_request);
    return match_wide_bind(
        &call->match, &call->problem, &call->args, MATCH_ALIGN_EXACT, ret_request);
}

/* The long way to the very same plan. */
static bool bind_long(const struct call *call, struct request *ret_request)
{
    struct key key, wanted;
    memset(ret_request, 0, sizeof *ret_request);
    if (request_bind(call->problem.spec, &call->args, ret_request) ||
        request_accepts(&ret_request->problem) ||
        !ret_request->problem.dims[call->match.dynamic_dim])
        return false;
    key_make(&ret_request->problem, &key);
    key_make(&call->problem, &wanted);
    return key_equal(&key, &wanted);
}

static void expect_same(const struct call *call, const struct request *a, const struct request *b)
{
    const struct tfops_spec *spec = call->problem.spec;
    cr_assert(
        !memcmp(&a->problem, &b->problem, sizeof a->problem), "%s: problems differ", spec->name);
    cr_assert(!memcmp(a->scalars, b->scalars, spec->n_scalars * sizeof *a->scalars));
    for (size_t i = 0; i < spec->n_operands; i++) {
        cr_assert_eq(a->operands[i].data, b->operands[i].data, "%s: address of %s", spec->name,
            spec->operands[i].name);
        for (int d = 0; a->operands[i].data && d < spec->operands[i].rank; d++)
            cr_assert_eq(a->operands[i].strides[d], b->operands[i].strides[d],
                "%s: stride %d of %s is %lld, wanted %lld", spec->name, d, spec->operands[i].name,
                (long long)a->operands[i].strides[d], (long long)b->operands[i].strides[d]);
    }
}

/* ---- usual forms -------------------------------------------------------------------------------- */

static void expect_taken(const struct call *call, const char *what)
{
    struct request wide, slow;
    cr_assert(bind_long(call, &slow), "%s: %s: refused: %s", call->problem.spec->name, what,
        expect_error().message);
    cr_assert(bind_wide(call, &wide), "%s: %s: not taken", call->problem.spec->name, what);
    expect_same(call, &wide, &slow);
}

Test(match_wide, takes_every_operator)
{
    for (size_t i = 0; i < N_PROBLEMS; i++) {
        static struct call call;
        make(&call, PROBLEMS[i]);
        expect_taken(&call, PROBLEMS[i]);
    }
}

Test(match_wide, takes_other_extents_of_its_own)
{
    static struct call call;
    make(&call, "rope batch=2 seq=3 q_heads=4 head_dim=16 table_dim=16 max_pos=9");
    call.tensors[0].shape[1] = call.tensors[7].shape[1] = 2;
    expect_taken(&call, "fewer tokens");
    call.tensors[0].shape[0] = call.tensors[7].shape[0] = 1;
    expect_taken(&call, "one sequence");
    call.tensors[3].shape[0] = call.tensors[4].shape[0] = 7;
    expect_taken(&call, "shorter tables");
    struct request request;
    call.tensors[3].shape[0] = call.tensors[4].shape[0] = 1;
    cr_assert(!bind_wide(&call, &request), "tables shorter than the sequence");
}

Test(match_wide, takes_fewer_and_more_dimensions)
{
    static struct call call;
    make(&call, "rope batch=1 seq=6 q_heads=4 head_dim=16 table_dim=16 max_pos=9");
    for (int i = 0; i < 8; i += 7) { /* [tokens, heads, head_dim] */
        struct tfops_tensor *tensor = &call.tensors[i];
        memmove(tensor->shape, tensor->shape + 1, 3 * sizeof *tensor->shape);
        memmove(tensor->strides, tensor->strides + 1, 3 * sizeof *tensor->strides);
        tensor->rank = 3;
    }
    expect_taken(&call, "tokens without a batch");
    make(&call, "rmsnorm rows=12 hidden=128");
    static const int64_t SHAPE[] = {3, 4, 128};
    call.tensors[0] = tfops_tensor_contiguous(call.tensors[0].data, TFOPS_F16, 3, SHAPE);
    expect_taken(&call, "rows in two dimensions");
    call.tensors[0].strides[0]++;
    struct request request;
    cr_assert(!bind_wide(&call, &request), "rows without a common stride");
}

/* Heads before tokens in memory, out of place; q and k of one packed tensor, in place. */
Test(match_wide, takes_permuted_and_interleaved_heads)
{
    static struct call call;
    make(&call, "rope batch=2 seq=3 q_heads=4 kv_heads=2 head_dim=16 table_dim=16 max_pos=9 k=1 "
                "k_out=1");
    for (int i = 0; i < 8; i += 7) {
        call.tensors[i].strides[2] = 3 * 16;
        call.tensors[i].strides[1] = 16;
    }
    expect_taken(&call, "[batch, heads, seq, head_dim]");
    make(&call, "rope batch=2 seq=3 q_heads=4 kv_heads=2 head_dim=16 table_dim=16 max_pos=9 k=1 "
                "k_out=1");
    const size_t k = 1, q_out = 7, k_out = 8, heads = 4 + 2 + 2;
    call.tensors[k].data = (char *)call.tensors[0].data + 4 * 16 * 2;
    for (size_t i = 0; i < 2; i++) {
        call.tensors[i].strides[1] = (int64_t)heads * 16;
        call.tensors[i].strides[0] = 3 * (int64_t)heads * 16;
    }
    call.args.operands[q_out] = &call.tensors[0];
    call.args.operands[k_out] = &call.tensors[k];
    expect_taken(&call, "packed, in place");
    call.tensors[k].data = (char *)call.tensors[0].data + 3 * 16 * 2;
    struct request request;
    cr_assert(!bind_wide(&call, &request), "k within q");
}

/* ---- anything ----------------------------------------------------------------------------------- */

static uint64_t below(uint64_t *state, uint64_t n)
{
    return n ? host_random(state) % n : 0;
}

static int64_t odd_number(uint64_t *state)
{
    static const int64_t NUMBERS[] = {0, 1, -1, 2, 3, 7, 16, 64, 128, 129, 1 << 20,
        INT64_C(1) << 31, INT64_C(1) << 33, INT64_C(1) << 62, INT64_MAX, INT64_MIN};
    return NUMBERS[below(state, sizeof NUMBERS / sizeof *NUMBERS)];
}

static void change_tensor(struct call *call, uint64_t *state)
{
    const size_t i = below(state, call->layout.n_operands),
                 k = below(state, call->layout.n_operands);
    struct tfops_tensor *tensor = &call->tensors[i];
    const size_t d = below(state, 4);
    switch (below(state, 11)) {
    case 0:
        tensor->shape[d] = odd_number(state);
        break;
    case 1:
        tensor->strides[d] = odd_number(state);
        break;
    case 2:
        tensor->strides[d] = (int64_t)((uint64_t)tensor->strides[d] + below(state, 3) * 8);
        break;
    case 3:
        tensor->data = (char *)tensor->data + below(state, 33);
        break;
    case 4:
        tensor->data = call->tensors[k].data;
        break;
    case 5:
        call->args.operands[i] = call->args.operands[k];
        break;
    case 6:
        call->args.operands[i] = below(state, 2) ? NULL : tensor;
        break;
    case 7:
        tensor->rank += (int32_t)below(state, 3) - 1;
        break;
    case 8:
        tensor->dtype = (enum tfops_dtype)below(state, TFOPS_DTYPE_COUNT + 1);
        break;
    case 9:
        tensor->data = NULL;
        break;
    default: /* one leading extent more */
        memmove(tensor->shape + 1, tensor->shape, 4 * sizeof *tensor->shape);
        memmove(tensor->strides + 1, tensor->strides, 4 * sizeof *tensor->strides);
        tensor->shape[0] = 1 + (int64_t)below(state, 2);
        tensor->rank++;
    }
}

/* An extent, everywhere it is. */
static void change_extent(struct call *call, uint64_t *state)
{
    const size_t dim = below(state, call->problem.spec->n_dims);
    const int64_t extent = 1 + (int64_t)below(state, 40);
    for (size_t i = 0; i < call->layout.n_operands; i++)
        for (int d = 0; d < call->problem.spec->operands[i].rank; d++)
            if (call->problem.spec->operands[i].dims[d] == (int)dim)
                call->tensors[i].shape[d] = extent;
}

static void change_args(struct call *call, uint64_t *state)
{
    static const double SCALARS[] = {0, 1, -1, 1e300, INFINITY, NAN, 4};
    switch (below(state, 4)) {
    case 0:
        call->args.flags = (uint32_t)below(state, 4);
        break;
    case 1:
        call->args.options[below(state, TFOPS_MAX_OPTIONS)] = (uint8_t)below(state, 4);
        break;
    case 2:
        call->args.n_scalars = (uint32_t)below(state, 3);
        break;
    default:
        call->args.scalars[below(state, 2)] = SCALARS[below(state, sizeof SCALARS / 8)];
    }
}

Test(match_wide, agrees_with_the_long_way_on_anything)
{
    enum { ROUNDS = 20000 };
    uint64_t state = 1;
    unsigned taken = 0, passed = 0;
    for (size_t i = 0; i < N_PROBLEMS; i++) {
        static struct call usual, call;
        make(&usual, PROBLEMS[i]);
        for (int round = 0; round < ROUNDS; round++) {
            struct request wide, slow;
            call = usual;
            for (size_t k = 0; k < call.layout.n_operands; k++)
                if (call.args.operands[k])
                    call.args.operands[k] = &call.tensors[k];
            for (uint64_t n = 1 + below(&state, 3); n; n--) {
                const uint64_t what = below(&state, 8);
                (what < 5 ? change_tensor : what < 7 ? change_extent : change_args)(&call, &state);
            }
            const bool right = bind_long(&call, &slow);
            passed += right;
            if (!bind_wide(&call, &wide))
                continue;
            taken++;
            cr_assert(right, "%s, round %d: taken, but refused: %s", PROBLEMS[i], round,
                expect_error().message);
            expect_same(&call, &wide, &slow);
        }
    }
    /* What is left to the long way: far extents, an order of dimensions that only a search clears. */
    cr_assert_gt(taken, 9 * passed / 10, "%u of %u", taken, passed);
}
