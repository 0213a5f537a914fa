/*
 * The short way of a launch takes nothing that request_bind() refuses, and means the same by what it
 * takes: checked on arguments that are bent in every way, many at once.
 */
#include "kernels/norm/norm_specs.h"
#include "key.h"
#include "match.h"
#include "tests/support/expect.h"
#include "tests/support/host_data.h"
#include <criterion/criterion.h>

enum { HIDDEN = 24 };

static _Alignas(64) unsigned char memory[1 << 16];
static struct tfops_tensor tensors[5];
static struct tfops_args args;
static struct match match;
static struct tfops_problem problem;
static uint64_t seed;

static uint64_t pick(uint64_t n)
{
    return host_random(&seed) % n;
}

/* add_rmsnorm with its sum apart or in place, all right. */
static void make_right(bool sum_apart)
{
    const int64_t rows = 1 + (int64_t)pick(4);
    const enum tfops_dtype dtype = pick(2) ? TFOPS_F16 : TFOPS_F32;
    args = (struct tfops_args){.size = sizeof args, .n_scalars = 1, .scalars = {1e-6}};
    for (int i = 0; i < 5; i++) {
        tensors[i] =
            tfops_tensor_contiguous(memory + 8192 * i, dtype, 2, (const int64_t[]){rows, HIDDEN});
        args.operands[i] = i < 4 || sum_apart ? &tensors[i] : NULL;
    }
    tensors[ADD_RMSNORM_WEIGHT].rank = 1;
    tensors[ADD_RMSNORM_WEIGHT].shape[0] = HIDDEN;
    tensors[ADD_RMSNORM_WEIGHT].strides[0] = 1;
}

static void prepare(uint32_t align)
{
    EXPECT_OK(tfops_problem_from_args(&add_rmsnorm_spec, &args, &problem));
    if (align)
        problem.align = align;
    match_init(&problem, &match);
}

/* One of many ways to go wrong, or to be right in another way. */
static void bend(void)
{
    static const int64_t NUMBERS[] = {-1, 0, 1, 2, 3, HIDDEN - 1, HIDDEN, HIDDEN + 1, 32, 48,
        1ll << 31, 1ll << 40, INT64_MAX / 2, INT64_MAX, INT64_MIN};
    struct tfops_tensor *tensor = &tensors[pick(5)];
    const int64_t number = NUMBERS[pick(15)];
    switch (pick(16)) {
    case 0:
        tensor->shape[pick(2)] = number;
        break;
    case 1:
    case 2:
        tensor->strides[pick(2)] = number;
        break;
    case 3:
        tensor->data = (unsigned char *)tensor->data + pick(20);
        break;
    case 4:
        tensor->data = tensors[pick(5)].data;
        break;
    case 5:
        tensor->data = NULL;
        break;
    case 6:
        tensor->rank = (int32_t)pick(4);
        break;
    case 7:
        tensor->dtype = (enum tfops_dtype)pick(TFOPS_DTYPE_COUNT + 1);
        break;
    case 8:
        args.operands[pick(7)] = pick(2) ? NULL : tensor;
        break;
    case 9:
        args.options[pick(TFOPS_MAX_OPTIONS)] = (uint8_t)pick(4);
        break;
    case 10:
        args.scalars[0] = pick(2) ? -1 : NAN;
        break;
    case 11:
        args.n_scalars = (uint32_t)pick(3);
        break;
    case 12:
        args.flags = (uint32_t)pick(3);
        break;
    case 13:
        args.size -= pick(2);
        break;
    case 14:
        for (int i = 0; i < 5; i++) /* another number of rows, everywhere the same */
            if (tensors[i].rank == 2)
                tensors[i].shape[0] = pick(2) ? 3 : number;
        break;
    default:
        tensor->strides[0] = 64;
        break;
    }
}

static void expect_same(const struct request *a, const struct request *b, uint64_t which)
{
    for (int i = 0; i < 5; i++) {
        cr_assert_eq(
            a->operands[i].data, b->operands[i].data, "case %llu", (unsigned long long)which);
        for (int d = 0; a->operands[i].data && d < (i == ADD_RMSNORM_WEIGHT ? 1 : 2); d++)
            cr_assert_eq(a->operands[i].strides[d], b->operands[i].strides[d],
                "case %llu: operand %d, stride %d: %lld and %lld", (unsigned long long)which, i, d,
                (long long)a->operands[i].strides[d], (long long)b->operands[i].strides[d]);
    }
    cr_assert(!memcmp(a->problem.dims, b->problem.dims, sizeof a->problem.dims));
    cr_assert_eq(a->scalars[0], b->scalars[0]);
}

/* Returns whether the short way took it. */
static bool compare(enum match_align align, uint64_t which)
{
    struct request fast, slow;
    struct key fast_key, slow_key;
    if (!match_bind(&match, &problem, &args, align, &fast))
        return false;
    const enum tfops_status status = request_bind(&add_rmsnorm_spec, &args, &slow);
    cr_assert_eq(status, TFOPS_OK, "case %llu: the short way took what is refused: %s",
        (unsigned long long)which, expect_error().message);
    expect_same(&fast, &slow, which);
    cr_assert_geq(slow.problem.align, fast.problem.align, "case %llu", (unsigned long long)which);
    if (align == MATCH_ALIGN_ENOUGH)
        slow.problem.align = fast.problem.align;
    key_make(&fast.problem, &fast_key);
    key_make(&slow.problem, &slow_key);
    cr_assert(key_equal(&fast_key, &slow_key), "case %llu: another key", (unsigned long long)which);
    return true;
}

Test(match, takes_nothing_that_request_bind_refuses)
{
    static const uint32_t ALIGNS[] = {0, 0, 1, 2, 4};
    size_t taken = 0;
    for (uint64_t i = 0; i < 300000; i++) {
        seed = i;
        make_right(pick(2));
        prepare(ALIGNS[pick(5)]);
        for (uint64_t bends = pick(4); bends; bends--)
            bend();
        taken += compare(MATCH_ALIGN_ENOUGH, i);
        compare(MATCH_ALIGN_EXACT, i);
    }
    cr_assert_gt(taken, 50000, "only %zu were taken", taken);
}

Test(match, takes_the_usual_form)
{
    seed = 1;
    make_right(true);
    prepare(0);
    cr_assert(match.usable);
    cr_assert(compare(MATCH_ALIGN_EXACT, 0));
    args.operands[ADD_RMSNORM_RESIDUAL_OUT] = NULL; /* another problem */
    cr_assert_not(compare(MATCH_ALIGN_EXACT, 1));
}

Test(match, leaves_addresses_within_an_element_to_the_long_way)
{
    seed = 2;
    make_right(true);
    prepare(1);
    tensors[ADD_RMSNORM_X].data = memory + 1;
    cr_assert_not(compare(MATCH_ALIGN_ENOUGH, 0));
}

Test(match, leaves_sizes_that_overflow_to_the_long_way)
{
    seed = 3;
    make_right(true);
    prepare(0);
    for (int i = 0; i < 5; i++)
        if (tensors[i].rank == 2) {
            tensors[i].shape[0] = INT32_MAX;
            tensors[i].strides[0] = 1ll << 40;
        }
    cr_assert_not(compare(MATCH_ALIGN_ENOUGH, 0));
}

/* The other way round: nothing that is both right and usual goes the long way. */
Test(match, takes_all_that_is_right_and_usual)
{
    for (uint64_t i = 0; i < 20000; i++) {
        seed = i;
        const bool sum_apart = pick(2), in_place = pick(2);
        make_right(sum_apart);
        prepare(0);
        args.n_scalars = (uint32_t)pick(2);
        args.operands[5 + pick(TFOPS_MAX_OPERANDS - 5)] = &tensors[pick(5)];
        if (in_place)
            tensors[ADD_RMSNORM_OUT].data = tensors[ADD_RMSNORM_X].data;
        if (in_place && sum_apart)
            tensors[ADD_RMSNORM_RESIDUAL_OUT].data = tensors[ADD_RMSNORM_RESIDUAL].data;
        cr_assert(compare(MATCH_ALIGN_ENOUGH, i), "case %llu", (unsigned long long)i);
        cr_assert(compare(MATCH_ALIGN_EXACT, i), "case %llu", (unsigned long long)i);
    }
}

Test(match, gives_the_defaults_where_no_scalar_is_given)
{
    seed = 5;
    make_right(true);
    prepare(0);
    struct request request;
    args.n_scalars = 0;
    args.scalars[0] = NAN;
    cr_assert(match_bind(&match, &problem, &args, MATCH_ALIGN_ENOUGH, &request));
    cr_assert_eq(request.scalars[0], add_rmsnorm_spec.scalars[NORM_EPS].default_value);
}

Test(match, leaves_problems_that_arguments_cannot_tell_to_the_long_way)
{
    seed = 6;
    make_right(true);
    prepare(0);
    problem.dims[NORM_HIDDEN] = 1; /* an extent of 1 has no stride of its own */
    match_init(&problem, &match);
    cr_assert_not(match.usable);
    problem.dims[NORM_HIDDEN] = HIDDEN;
    problem.dtypes[NORM_WEIGHT_DTYPE] = TFOPS_BF16;
    problem.present &= ~(1u << ADD_RMSNORM_WEIGHT); /* nothing tells its dtype */
    match_init(&problem, &match);
    cr_assert_not(match.usable);
}

Test(match, leaves_unknown_options_to_the_long_way)
{
    seed = 4;
    make_right(true);
    prepare(0);
    args.options[5] = 1;
    cr_assert_not(compare(MATCH_ALIGN_ENOUGH, 0));
}
