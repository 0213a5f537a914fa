/*
 * The kinds of dimensions and what follows from a tensor's absence, from arguments and from text:
 * free and derived dimensions, those of optional operands, default dtypes, operands by element.
 */
#include "kernels/norm/norm_specs.h"
#include "key.h"
#include "match.h"
#include "problem.h"
#include "request.h"
#include "tests/support/expect.h"
#include "tests/support/toy_spec.h"
#include <criterion/criterion.h>

enum { ROWS = 6, COLS = 32 };

static struct toy toy;
static struct request request;
static _Alignas(64) unsigned char memory[1 << 16];
static struct tfops_tensor x, y, extra, z;
static struct tfops_args args;

/* x [m, n] and y [m, n, k]; k is 4. */
static void begin(void)
{
    const int64_t shape[] = {ROWS, COLS, 4};
    toy_init(&toy);
    x = tfops_tensor_contiguous(memory, TFOPS_F16, 2, shape);
    y = tfops_tensor_contiguous(memory + 16384, TFOPS_F16, 3, shape);
    extra = tfops_tensor_contiguous(memory + 8192, TFOPS_F16, 1, (const int64_t[]){COLS});
    z = tfops_tensor_contiguous(memory + 32768, TFOPS_F16, 2, shape);
    args = (struct tfops_args){.size = sizeof args, .operands = {&x, &y}};
}

TestSuite(dims, .init = begin);

static enum tfops_status bind(void)
{
    return request_bind(&toy.spec, &args, &request);
}

static int64_t eighth_of_n(void *user, const struct tfops_problem *problem, size_t dim)
{
    (void)user;
    return dim == TOY_K ? problem->dims[TOY_N] / 8 : -1;
}

static void derive_k(void)
{
    toy.dims[TOY_K].flags = TFOPS_DIM_DERIVED;
    toy.spec.derive = eighth_of_n;
}

/* k stands in `extra` alone. */
static void make_k_optional(void)
{
    toy.dims[TOY_K].min = 0;
    toy.operands[TOY_EXTRA].dims[0] = TOY_K;
    toy.operands[TOY_Y].rank = 2;
    y.rank = 2;
    y.strides[0] = COLS;
    y.strides[1] = 1;
}

static struct key key_of_args(void)
{
    struct key key;
    EXPECT_OK(bind());
    key_make(&request.problem, &key);
    return key;
}

static struct tfops_problem problem_of(const char *n)
{
    struct tfops_problem problem;
    EXPECT_OK(tfops_problem_init(&toy.spec, &problem));
    EXPECT_OK(tfops_problem_set(&problem, "m", "6"));
    EXPECT_OK(tfops_problem_set(&problem, "n", n));
    return problem;
}

Test(dims, a_free_one_is_bound_but_in_no_key)
{
    toy.dims[TOY_K].flags = TFOPS_DIM_FREE;
    struct key four = key_of_args(), two;
    char text[KEY_TEXT_BYTES];
    EXPECT_INT(request.problem.dims[TOY_K], 4);
    y.shape[2] = 2;
    two = key_of_args();
    EXPECT_INT(request.problem.dims[TOY_K], 2);
    cr_assert(key_equal(&four, &two), "the free extent is in the key");
    key_text(&request.problem, text);
    EXPECT_LACKS(text, "k=");
    y.shape[2] = 65;
    EXPECT_REFUSED(bind(), TFOPS_E_RANGE, "y");
}

Test(dims, a_free_one_is_set_by_name)
{
    toy.dims[TOY_K].flags = TFOPS_DIM_FREE;
    struct tfops_problem problem = problem_of("32");
    EXPECT_REFUSED(tfops_problem_check(&problem), TFOPS_E_RANGE, "k");
    EXPECT_OK(tfops_problem_set(&problem, "k", "4"));
    EXPECT_OK(tfops_problem_check(&problem));
}

Test(dims, a_launch_of_a_free_one_takes_the_long_way)
{
    struct match match;
    toy.dims[TOY_K].flags = TFOPS_DIM_FREE;
    EXPECT_OK(bind());
    match_init(&request.problem, &match);
    cr_assert(!match.usable);
}

Test(dims, a_derived_one_follows_from_the_others)
{
    derive_k();
    EXPECT_OK(bind());
    EXPECT_INT(request.problem.dims[TOY_K], 4);
    struct tfops_problem problem = problem_of("48");
    EXPECT_OK(tfops_problem_check(&problem));
    EXPECT_INT(problem.dims[TOY_K], 6);
}

Test(dims, a_derived_one_is_not_set_by_name)
{
    derive_k();
    struct tfops_problem problem = problem_of("32");
    EXPECT_REFUSED(tfops_problem_set(&problem, "k", "4"), TFOPS_E_UNKNOWN, "k");
    EXPECT_LACKS(expect_error().message, " k ");
}

Test(dims, a_tensor_that_contradicts_a_derived_one_is_refused_with_both)
{
    derive_k();
    y.shape[2] = 3;
    EXPECT_REFUSED(bind(), TFOPS_E_SHAPE, "y");
    EXPECT_CONTAINS(expect_error().message, "[m=6, n=32, k=4]");
    EXPECT_CONTAINS(expect_error().message, "[6, 32, 3]");
}

static int64_t twice_m(void *user, const struct tfops_problem *problem, size_t dim)
{
    (void)user, (void)dim;
    return 2 * problem->dims[TOY_M];
}

Test(dims, a_derived_one_moves_with_the_extent)
{
    derive_k();
    toy.spec.derive = twice_m;
    struct tfops_problem problem = problem_of("32");
    EXPECT_OK(tfops_problem_check(&problem));
    EXPECT_INT(problem.dims[TOY_K], 12);
    problem_set_extent(&problem, 20);
    EXPECT_INT(problem.dims[TOY_M], 20);
    EXPECT_INT(problem.dims[TOY_K], 40);
}

Test(dims, one_of_absent_operands_is_0)
{
    make_k_optional();
    EXPECT_OK(bind());
    EXPECT_INT(request.problem.dims[TOY_K], 0);
    struct tfops_problem problem = problem_of("32");
    EXPECT_OK(tfops_problem_set(&problem, "k", "4"));
    EXPECT_OK(tfops_problem_check(&problem));
    EXPECT_INT(problem.dims[TOY_K], 0);
    EXPECT_OK(tfops_problem_set(&problem, "extra", "1"));
    EXPECT_REFUSED(tfops_problem_check(&problem), TFOPS_E_RANGE, "k");
    EXPECT_OK(tfops_problem_set(&problem, "k", "4"));
    EXPECT_OK(tfops_problem_check(&problem));
    EXPECT_INT(problem.dims[TOY_K], 4);
}

Test(dims, one_of_present_operands_is_not_0)
{
    make_k_optional();
    args.operands[TOY_EXTRA] = &extra;
    EXPECT_OK(bind());
    EXPECT_INT(request.problem.dims[TOY_K], COLS);
    extra.shape[0] = 0;
    EXPECT_REFUSED(bind(), TFOPS_E_RANGE, "extra");
    EXPECT_CONTAINS(expect_error().message, "k from 1");
}

Test(dims, an_empty_free_one_is_refused)
{
    toy.dims[TOY_K].flags = TFOPS_DIM_FREE;
    toy.dims[TOY_K].min = 0;
    y.shape[2] = 0;
    EXPECT_REFUSED(bind(), TFOPS_E_RANGE, "y");
}

static unsigned row_of(const struct match *match, size_t operand)
{
    unsigned row = 0;
    while (row < match->n_operands && match->table[row].operand.index != operand)
        row++;
    cr_assert_lt(row, match->n_operands, "operand %zu is not in the table", operand);
    return row;
}

static bool may_alias(const struct match *match, size_t one, size_t other)
{
    const unsigned a = row_of(match, one), b = row_of(match, other);
    return match->table[a].operand.may_alias >> b & 1 || match->table[b].operand.may_alias >> a & 1;
}

Test(dims, an_alias_of_other_elements_is_refused)
{
    struct match match;
    toy.operands[TOY_Z].dtype = 1;
    toy.operands[TOY_Y].dtype = 0;
    args.operands[TOY_Z] = &z;
    z.data = x.data;
    EXPECT_OK(bind());
    match_init(&request.problem, &match);
    cr_assert(may_alias(&match, TOY_Z, TOY_X));
    z.dtype = TFOPS_F32;
    EXPECT_REFUSED(bind(), TFOPS_E_OVERLAP, "z");
    request.problem.dtypes[1] = TFOPS_F32;
    match_init(&request.problem, &match);
    cr_assert(!may_alias(&match, TOY_Z, TOY_X));
}

Test(dims, an_absent_dtype_is_the_first_or_the_lowest_allowed)
{
    toy.dtypes[1].allowed = 1u << TFOPS_I64 | 1u << TFOPS_I32;
    toy.operands[TOY_EXTRA].dtype = 1;
    toy.operands[TOY_Y].dtype = 0;
    EXPECT_OK(bind());
    EXPECT_INT(request.problem.dtypes[1], TFOPS_I32);
    struct tfops_problem problem = problem_of("32");
    EXPECT_OK(tfops_problem_set(&problem, "k", "4"));
    EXPECT_OK(tfops_problem_check(&problem));
    EXPECT_INT(problem.dtypes[1], TFOPS_I32);
}

Test(dims, operands_by_element_leave_the_alignment_class_alone)
{
    args.operands[TOY_Z] = &z;
    z.data = memory + 32768 + 2;
    z.strides[0] = COLS + 1;
    EXPECT_OK(bind());
    EXPECT_INT(request.problem.align, 2);
    toy.operands[TOY_Z].flags |= TFOPS_OPERAND_ELEMENTS;
    EXPECT_OK(bind());
    EXPECT_INT(request.problem.align, 8); /* y's */
    z.data = memory + 32768 + 1;
    EXPECT_REFUSED(bind(), TFOPS_E_ALIGNMENT, "z");
}

Test(dims, an_output_may_have_its_dimensions_in_any_order)
{
    /* [m, n, k] in memory as [n, m, k]: heads outside tokens. */
    y.strides[0] = 4;
    y.strides[1] = 4 * ROWS;
    EXPECT_OK(bind());
    y.strides[1] = 4 * ROWS - 1;
    EXPECT_REFUSED(bind(), TFOPS_E_SHAPE, "y");
    EXPECT_CONTAINS(expect_error().message, "elements that do not overlap");
}

Test(dims, slices_of_one_wide_buffer_of_any_rank_are_apart)
{
    /* Rows of 128 + 32 elements: y as [m, 32, 4] in front, z as [m, 32] behind. */
    args.operands[TOY_Z] = &z;
    y.strides[0] = z.strides[0] = 4 * COLS + COLS;
    z.data = (unsigned char *)y.data + 2 * 4 * COLS;
    EXPECT_OK(bind());
    z.data = (unsigned char *)y.data + 2 * (4 * COLS - 1);
    EXPECT_REFUSED(bind(), TFOPS_E_OVERLAP, "z");
}
