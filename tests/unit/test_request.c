/* Requests: what arguments are brought into, and every refusal with the thing it names. */
#include "kernels/norm/norm_specs.h"
#include "key.h"
#include "request.h"
#include "tests/support/expect.h"
#include "tests/support/toy_spec.h"
#include <criterion/criterion.h>
#include <math.h>

enum { ROWS = 6, HIDDEN = 32 };

static struct toy toy;
static struct request request;
static _Alignas(64) unsigned char memory[1 << 16];

/* Arguments of rmsnorm or the toy, with tensors that a test may bend. */
static struct tfops_tensor x, weight, out, y, z;
static struct tfops_args args;

static struct tfops_tensor matrix(size_t offset, int64_t rows, int64_t cols)
{
    return tfops_tensor_contiguous(memory + offset, TFOPS_F16, 2, (const int64_t[]){rows, cols});
}

static void begin(void)
{
    toy_init(&toy);
    x = matrix(0, ROWS, HIDDEN);
    out = matrix(4096, ROWS, HIDDEN);
    weight = tfops_tensor_contiguous(memory + 8192, TFOPS_F16, 1, (const int64_t[]){HIDDEN});
    y = tfops_tensor_contiguous(memory + 16384, TFOPS_F16, 3, (const int64_t[]){ROWS, HIDDEN, 4});
    z = matrix(32768, ROWS, HIDDEN);
    args = (struct tfops_args){.size = sizeof args};
    args.operands[RMSNORM_X] = &x;
    args.operands[RMSNORM_WEIGHT] = &weight;
    args.operands[RMSNORM_OUT] = &out;
}

TestSuite(request, .init = begin);

static void use_toy(void)
{
    memset(args.operands, 0, sizeof args.operands);
    args.operands[TOY_X] = &x;
    args.operands[TOY_Y] = &y;
}

static enum tfops_status bind(void)
{
    return request_bind(&rmsnorm_spec, &args, &request);
}

static enum tfops_status bind_toy(void)
{
    return request_bind(&toy.spec, &args, &request);
}

static struct key key_of(const struct tfops_spec *spec)
{
    struct key key;
    EXPECT_OK(request_bind(spec, &args, &request));
    key_make(&request.problem, &key);
    return key;
}

/* ---- what is bound ------------------------------------------------------------------------------ */

Test(request, binds_dims_dtypes_and_addresses)
{
    EXPECT_OK(bind());
    EXPECT_INT(request.problem.dims[NORM_ROWS], ROWS);
    EXPECT_INT(request.problem.dims[NORM_HIDDEN], HIDDEN);
    EXPECT_INT(request.problem.dtypes[0], TFOPS_F16);
    EXPECT_INT(request.problem.dtypes[1], TFOPS_F16);
    EXPECT_INT(request.problem.present, 7);
    EXPECT_INT(request.problem.align, 16);
    cr_assert_eq(request.problem.spec, &rmsnorm_spec);
    cr_assert_eq(request.operands[RMSNORM_OUT].data, out.data);
    EXPECT_INT(request.operands[RMSNORM_X].strides[0], HIDDEN);
    EXPECT_INT(request.operands[RMSNORM_X].strides[1], 1);
}

Test(request, describes_the_problem_that_text_describes)
{
    struct tfops_problem asked, bound;
    EXPECT_OK(tfops_problem_init(&rmsnorm_spec, &asked));
    EXPECT_OK(tfops_problem_set(&asked, "rows", "6"));
    EXPECT_OK(tfops_problem_set(&asked, "hidden", "32"));
    EXPECT_OK(tfops_problem_check(&asked));
    EXPECT_OK(tfops_problem_from_args(&rmsnorm_spec, &args, &bound));
    cr_assert(!memcmp(&asked, &bound, sizeof asked), "the two describe different problems");
}

Test(request, takes_defaults_for_scalars_that_are_not_given)
{
    EXPECT_OK(bind());
    cr_assert_eq(request.scalars[NORM_EPS], 1e-6, "eps is %g", request.scalars[NORM_EPS]);
    args.n_scalars = 1;
    args.scalars[NORM_EPS] = 0.25;
    EXPECT_OK(bind());
    cr_assert_eq(request.scalars[NORM_EPS], 0.25, "eps is %g", request.scalars[NORM_EPS]);
}

Test(request, takes_the_first_scalars_and_defaults_for_the_rest)
{
    use_toy();
    args.n_scalars = 1;
    args.scalars[0] = -0.5;
    args.scalars[1] = 9; /* not counted: not given */
    EXPECT_OK(bind_toy());
    cr_assert_eq(request.scalars[0], -0.5);
    cr_assert_eq(request.scalars[1], 2);
}

Test(request, carries_options_and_flags)
{
    args.options[NORM_WEIGHT_VARIANT] = 2;
    args.flags = TFOPS_BATCH_INVARIANT;
    EXPECT_OK(bind());
    EXPECT_INT(request.problem.options[0], 2);
    EXPECT_INT(request.problem.flags, TFOPS_BATCH_INVARIANT);
}

/* ---- rank collapse ------------------------------------------------------------------------------ */

Test(request, collapses_leading_extents)
{
    static const struct {
        int32_t rank;
        int64_t shape[8], strides[8], rows, stride;
    } CASES[] = {
        {1, {HIDDEN}, {1}, 1, HIDDEN},
        {2, {1, HIDDEN}, {99, 1}, 1, HIDDEN},
        {3, {2, 3, HIDDEN}, {3 * HIDDEN, HIDDEN, 1}, 6, HIDDEN},
        {3, {2, 3, HIDDEN}, {300, 100, 1}, 6, 100},
        {4, {2, 1, 3, HIDDEN}, {3 * HIDDEN, 7777, HIDDEN, 1}, 6, HIDDEN},
        {5, {1, 2, 1, 3, HIDDEN}, {-5, 120, -7, 40, 1}, 6, 40},
        {8, {1, 1, 1, 1, 2, 1, 3, HIDDEN}, {0, 0, 0, 0, 96, 0, 32, 1}, 6, 32},
        {3, {6, 1, HIDDEN}, {40, 12345, 1}, 6, 40},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        x.rank = CASES[i].rank;
        memcpy(x.shape, CASES[i].shape, sizeof x.shape);
        memcpy(x.strides, CASES[i].strides, sizeof x.strides);
        out = matrix(4096, CASES[i].rows, HIDDEN);
        EXPECT_OK(bind());
        EXPECT_INT(request.problem.dims[NORM_ROWS], CASES[i].rows);
        EXPECT_INT(request.operands[RMSNORM_X].strides[0], CASES[i].stride);
    }
}

Test(request, refuses_leading_extents_without_a_common_stride)
{
    x = tfops_tensor_contiguous(memory, TFOPS_F16, 3, (const int64_t[]){2, 3, HIDDEN});
    x.strides[0] += 8;
    EXPECT_REFUSED(bind(), TFOPS_E_SHAPE, "x");
    EXPECT_CONTAINS(expect_error().expected, "common stride");
}

Test(request, survives_leading_strides_that_overflow)
{
    x = tfops_tensor_contiguous(memory, TFOPS_F16, 3, (const int64_t[]){2, 3, HIDDEN});
    x.strides[1] = INT64_MAX / 2;
    EXPECT_REFUSED(bind(), TFOPS_E_SHAPE, "x");
    x.strides[0] = x.strides[1] = INT64_MIN / 2;
    EXPECT_REFUSED(bind(), TFOPS_E_SHAPE, "x");
}

Test(request, refuses_a_wrong_rank)
{
    static const int32_t RANKS[] = {-1, 0, 9, INT32_MAX, INT32_MIN};
    for (int i = 0; i < 5; i++) {
        x.rank = RANKS[i];
        EXPECT_REFUSED(bind(), TFOPS_E_SHAPE, "x");
    }
    x.rank = 2;
    weight.rank = 2;
    weight.shape[0] = 1, weight.shape[1] = HIDDEN;
    EXPECT_REFUSED(bind(), TFOPS_E_SHAPE, "weight");
}

/* ---- keys that must be equal -------------------------------------------------------------------- */

Test(request, one_row_has_the_key_of_many)
{
    const struct key many = key_of(&rmsnorm_spec);
    static const int64_t STRIDES[] = {0, 1, 3, HIDDEN, 9999, -1, INT64_MAX, INT64_MIN};
    for (int i = 0; i < 8; i++) {
        x.shape[0] = out.shape[0] = 1;
        x.strides[0] = out.strides[0] = STRIDES[i];
        const struct key one = key_of(&rmsnorm_spec);
        cr_assert(
            key_equal(&one, &many), "stride %lld of one row is in the key", (long long)STRIDES[i]);
    }
}

Test(request, one_row_of_odd_length_has_the_key_of_many)
{
    x = matrix(0, ROWS, 31), out = matrix(4096, ROWS, 31);
    weight.shape[0] = 31;
    const struct key many = key_of(&rmsnorm_spec);
    x = matrix(0, 1, 31), out = matrix(4096, 1, 31);
    const struct key one = key_of(&rmsnorm_spec);
    cr_assert(key_equal(&one, &many), "align %u", request.problem.align);
}

Test(request, rows_and_scalars_are_not_in_the_key)
{
    const struct key many = key_of(&rmsnorm_spec);
    static const int64_t EXTENTS[] = {0, 2, 5};
    for (int i = 0; i < 3; i++) {
        x.shape[0] = out.shape[0] = EXTENTS[i];
        args.n_scalars = 1;
        args.scalars[0] = (double)i;
        const struct key other = key_of(&rmsnorm_spec);
        cr_assert(key_equal(&other, &many), "%lld rows", (long long)EXTENTS[i]);
    }
}

/* ---- alignment ---------------------------------------------------------------------------------- */

Test(request, alignment_is_that_of_the_worst_base_and_stride)
{
    static const struct {
        size_t x_offset, out_offset, weight_offset;
        int64_t stride;
        uint32_t align;
    } CASES[] = {{0, 0, 0, HIDDEN, 16}, {2, 0, 0, HIDDEN, 2}, {0, 4, 0, HIDDEN, 4},
        {0, 0, 8, HIDDEN, 8}, {0, 0, 0, HIDDEN + 1, 2}, {0, 0, 0, HIDDEN + 4, 8},
        {4, 8, 2, HIDDEN + 8, 2}, {0, 0, 0, HIDDEN + 8, 16}};
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        x.data = memory + CASES[i].x_offset;
        out.data = memory + 4096 + CASES[i].out_offset;
        weight.data = memory + 8192 + CASES[i].weight_offset;
        x.strides[0] = CASES[i].stride;
        EXPECT_OK(bind());
        cr_assert_eq(request.problem.align, CASES[i].align, "case %zu: %u, wanted %u", i,
            request.problem.align, CASES[i].align);
    }
}

Test(request, refuses_an_address_that_splits_elements)
{
    x.data = memory + 1;
    EXPECT_REFUSED(bind(), TFOPS_E_ALIGNMENT, "x");
    EXPECT_CONTAINS(expect_error().expected, "multiple of 2");
    x.data = memory;
    weight.dtype = TFOPS_F32;
    weight.data = memory + 8192 + 2;
    EXPECT_REFUSED(bind(), TFOPS_E_ALIGNMENT, "weight");
    EXPECT_CONTAINS(expect_error().expected, "multiple of 4");
}

/* ---- dtypes, shapes, numbers -------------------------------------------------------------------- */

Test(request, refuses_dtypes_the_operator_does_not_take)
{
    static const int CODES[] = {TFOPS_NONE, TFOPS_E4M3, TFOPS_I32, TFOPS_DTYPE_COUNT, -1, 1 << 20};
    for (int i = 0; i < 6; i++) {
        x.dtype = (enum tfops_dtype)CODES[i];
        EXPECT_REFUSED(bind(), TFOPS_E_DTYPE, "x");
        EXPECT_CONTAINS(expect_error().expected, "f16");
    }
}

Test(request, refuses_a_dtype_that_does_not_match)
{
    out.dtype = TFOPS_BF16;
    EXPECT_REFUSED(bind(), TFOPS_E_DTYPE, "out");
    EXPECT_CONTAINS(expect_error().expected, "f16");
    EXPECT_LACKS(expect_error().expected, "bf16");
    EXPECT_TEXT(expect_error().actual, "bf16");
}

Test(request, takes_a_weight_of_another_dtype)
{
    weight.dtype = TFOPS_F32;
    EXPECT_OK(bind());
    EXPECT_INT(request.problem.dtypes[NORM_WEIGHT_DTYPE], TFOPS_F32);
}

Test(request, refuses_extents_that_differ_and_names_both)
{
    weight.shape[0] = HIDDEN - 1;
    EXPECT_REFUSED(bind(), TFOPS_E_SHAPE, "weight");
    EXPECT_CONTAINS(expect_error().expected, "hidden=32");
    EXPECT_TEXT(expect_error().actual, "[31]");
    weight.shape[0] = HIDDEN;
    out.shape[0] = ROWS + 1;
    EXPECT_REFUSED(bind(), TFOPS_E_SHAPE, "out");
    EXPECT_CONTAINS(expect_error().expected, "rows=6");
    EXPECT_TEXT(expect_error().actual, "[7, 32]");
}

Test(request, refuses_extents_out_of_range)
{
    static const struct {
        int64_t rows, hidden;
        const char *expected;
    } CASES[] = {{ROWS, 0, "hidden from 1 to 65536"}, {ROWS, 65537, "hidden from 1 to 65536"},
        {ROWS, -1, "hidden"}, {ROWS, INT64_MIN, "hidden"}, {1ll << 31, HIDDEN, "rows from 0"},
        {INT64_MAX, HIDDEN, "rows"}};
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        x.shape[0] = CASES[i].rows, x.shape[1] = CASES[i].hidden;
        EXPECT_REFUSED(bind(), TFOPS_E_RANGE, "x");
        EXPECT_CONTAINS(expect_error().expected, CASES[i].expected);
    }
}

Test(request, refuses_negative_rows)
{
    x.shape[0] = -1;
    EXPECT_STATUS(bind(), TFOPS_E_SHAPE);
    EXPECT_TEXT(expect_error().subject, "x");
    x = tfops_tensor_contiguous(memory, TFOPS_F16, 3, (const int64_t[]){-2, -3, HIDDEN});
    EXPECT_STATUS(bind(), TFOPS_E_SHAPE);
}

Test(request, refuses_row_counts_that_overflow)
{
    x = tfops_tensor_contiguous(
        memory, TFOPS_F16, 4, (const int64_t[]){1ll << 40, 1ll << 40, 1ll << 40, HIDDEN});
    x.strides[0] = x.strides[1] = x.strides[2] = 0;
    EXPECT_STATUS(bind(), TFOPS_E_SHAPE);
    EXPECT_TEXT(expect_error().subject, "x");
}

Test(request, refuses_sizes_that_overflow)
{
    use_toy();
    static const struct {
        int64_t m, n, stride;
    } CASES[] = {{1ll << 40, 1ll << 40, 1ll << 40}, {2, 4, INT64_MAX / 2}, {3, 4, INT64_MAX},
        {1ll << 40, 1, 1ll << 23}};
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        x.shape[0] = CASES[i].m, x.shape[1] = CASES[i].n;
        x.strides[0] = CASES[i].stride;
        EXPECT_STATUS(bind_toy(), TFOPS_E_SHAPE);
        EXPECT_TEXT(expect_error().subject, "x");
        EXPECT_CONTAINS(expect_error().expected, "2^63");
    }
}

Test(request, refuses_negative_strides)
{
    x.strides[0] = -HIDDEN;
    EXPECT_REFUSED(bind(), TFOPS_E_SHAPE, "x");
    EXPECT_CONTAINS(expect_error().expected, "0 or more");
    x.strides[0] = HIDDEN;
    x.strides[1] = -1;
    EXPECT_REFUSED(bind(), TFOPS_E_SHAPE, "x");
}

Test(request, refuses_a_last_stride_other_than_1)
{
    static const int64_t STRIDES[] = {0, 2, INT64_MAX};
    for (int i = 0; i < 3; i++) {
        x.strides[1] = STRIDES[i];
        EXPECT_REFUSED(bind(), TFOPS_E_SHAPE, "x");
    }
}

Test(request, refuses_scalars_out_of_range)
{
    static const double CASES[] = {NAN, -NAN, INFINITY, -INFINITY, -1e-9, -1};
    args.n_scalars = 1;
    for (int i = 0; i < 6; i++) {
        args.scalars[NORM_EPS] = CASES[i];
        EXPECT_REFUSED(bind(), TFOPS_E_RANGE, "eps");
        EXPECT_CONTAINS(expect_error().expected, "from 0");
    }
    args.scalars[NORM_EPS] = 0;
    EXPECT_OK(bind());
}

Test(request, refuses_options_beyond_their_table)
{
    args.options[NORM_WEIGHT_VARIANT] = 3;
    EXPECT_REFUSED(bind(), TFOPS_E_RANGE, "weight_variant");
    EXPECT_TEXT(expect_error().actual, "3");
    args.options[NORM_WEIGHT_VARIANT] = 255;
    EXPECT_REFUSED(bind(), TFOPS_E_RANGE, "weight_variant");
}

Test(request, refuses_options_the_operator_does_not_have)
{
    args.options[4] = 1;
    EXPECT_STATUS(bind(), TFOPS_E_RANGE);
    EXPECT_CONTAINS(expect_error().message, "options");
}

Test(request, refuses_arguments_of_another_shape)
{
    const struct tfops_args valid = args;
    EXPECT_REFUSED(request_bind(NULL, &args, &request), TFOPS_E_ARGUMENT, "spec");
    EXPECT_REFUSED(request_bind(&rmsnorm_spec, NULL, &request), TFOPS_E_ARGUMENT, "args");
    args.size = sizeof args - 8;
    EXPECT_REFUSED(bind(), TFOPS_E_ARGUMENT, "args.size");
    args.size = 0;
    EXPECT_REFUSED(bind(), TFOPS_E_ARGUMENT, "args.size");
    args = valid;
    args.flags = 2;
    EXPECT_REFUSED(bind(), TFOPS_E_ARGUMENT, "args.flags");
    args = valid;
    args.n_scalars = 2;
    EXPECT_REFUSED(bind(), TFOPS_E_ARGUMENT, "args.n_scalars");
    EXPECT_REFUSED(
        tfops_problem_from_args(&rmsnorm_spec, &valid, NULL), TFOPS_E_ARGUMENT, "ret_problem");
}

/* ---- operands that are absent or too many ------------------------------------------------------- */

Test(request, refuses_a_missing_operand)
{
    args.operands[RMSNORM_WEIGHT] = NULL;
    EXPECT_REFUSED(bind(), TFOPS_E_ARGUMENT, "weight");
}

Test(request, leaves_alone_what_stands_beyond_the_operands)
{
    static const struct tfops_tensor nothing;
    args.operands[RMSNORM_OUT + 1] = &nothing;
    args.operands[TFOPS_MAX_OPERANDS - 1] = &nothing;
    EXPECT_OK(bind());
    EXPECT_INT(request.problem.present, 7);
}

Test(request, optional_operands_may_be_absent)
{
    use_toy();
    EXPECT_OK(bind_toy());
    EXPECT_INT(request.problem.present, 1 << TOY_X | 1 << TOY_Y);
    cr_assert_null(request.operands[TOY_EXTRA].data);
    struct tfops_tensor extra = weight;
    args.operands[TOY_EXTRA] = &extra;
    EXPECT_OK(bind_toy());
    EXPECT_INT(request.problem.present, 1 << TOY_X | 1 << TOY_Y | 1 << TOY_EXTRA);
}

Test(request, refuses_null_data)
{
    out.data = NULL;
    EXPECT_REFUSED(bind(), TFOPS_E_ARGUMENT, "out");
    EXPECT_TEXT(expect_error().actual, "NULL");
}

Test(request, no_rows_need_no_memory)
{
    x.shape[0] = out.shape[0] = 0;
    x.data = out.data = NULL;
    EXPECT_OK(bind());
    EXPECT_INT(request.problem.dims[NORM_ROWS], 0);
    weight.data = NULL;
    EXPECT_OK(bind());
    EXPECT_INT(request.problem.present, 7);
}

Test(request, no_rows_overlap_nothing)
{
    x.shape[0] = out.shape[0] = 0;
    out.data = (unsigned char *)weight.data + 2;
    EXPECT_OK(bind());
    out.strides[0] = 0;
    out.data = x.data = weight.data;
    EXPECT_OK(bind());
}

/* ---- overlap ------------------------------------------------------------------------------------ */

Test(request, an_exact_alias_is_taken_where_the_spec_allows_it)
{
    out = x;
    EXPECT_OK(bind());
}

Test(request, an_exact_alias_is_refused_where_the_spec_does_not_allow_it)
{
    use_toy();
    y.shape[2] = 1;
    y.data = x.data;
    y.strides[0] = HIDDEN, y.strides[1] = 1;
    EXPECT_REFUSED(bind_toy(), TFOPS_E_OVERLAP, "y");
    EXPECT_CONTAINS(expect_error().expected, "no overlap with x");
}

Test(request, an_alias_with_other_strides_is_refused)
{
    out = x;
    out.strides[0] = HIDDEN + 8;
    EXPECT_REFUSED(bind(), TFOPS_E_OVERLAP, "out");
    EXPECT_CONTAINS(expect_error().expected, "exactly that of x");
}

Test(request, partial_overlap_is_refused)
{
    static const int64_t SHIFTS[] = {
        -16, 16, 2 * HIDDEN, -2 * HIDDEN, 2 * HIDDEN * (ROWS - 1) + 48};
    x.data = memory + 1024;
    for (int i = 0; i < 5; i++) {
        out.data = (unsigned char *)x.data + SHIFTS[i];
        EXPECT_REFUSED(bind(), TFOPS_E_OVERLAP, "out");
    }
}

Test(request, neighbours_do_not_overlap)
{
    x.data = memory + 1024;
    out.data = (unsigned char *)x.data + 2 * HIDDEN * ROWS;
    EXPECT_OK(bind());
    out.data = (unsigned char *)x.data - 2 * HIDDEN * ROWS;
    EXPECT_OK(bind());
}

Test(request, an_output_over_the_weight_is_refused)
{
    weight.data = out.data;
    EXPECT_REFUSED(bind(), TFOPS_E_OVERLAP, "out");
    EXPECT_CONTAINS(expect_error().expected, "weight");
}

Test(request, inputs_may_overlap_each_other)
{
    weight.data = x.data;
    EXPECT_OK(bind());
}

Test(request, columns_of_one_wide_buffer_do_not_overlap)
{
    x.strides[0] = out.strides[0] = 3 * HIDDEN;
    out.data = (unsigned char *)x.data + 2 * HIDDEN;
    EXPECT_OK(bind());
    out.data = (unsigned char *)x.data + 4 * HIDDEN; /* the last columns */
    EXPECT_OK(bind());
    x.data = (unsigned char *)out.data; /* the output before the input */
    out.data = memory;
    EXPECT_OK(bind());
    x.data = memory + 2 * (3 * HIDDEN + 2 * HIDDEN); /* columns of a row further down */
    EXPECT_OK(bind());
}

Test(request, columns_that_run_into_each_other_are_refused)
{
    x.strides[0] = out.strides[0] = 3 * HIDDEN;
    static const size_t SHIFTS[] = {2 * HIDDEN - 2, 2, 4 * HIDDEN + 2, 6 * HIDDEN - 2, 6 * HIDDEN};
    for (int i = 0; i < 5; i++) {
        out.data = (unsigned char *)x.data + SHIFTS[i];
        EXPECT_REFUSED(bind(), TFOPS_E_OVERLAP, "out");
    }
}

Test(request, columns_of_buffers_with_other_pitches_are_refused)
{
    x.strides[0] = 3 * HIDDEN;
    out.strides[0] = 4 * HIDDEN;
    out.data = (unsigned char *)x.data + 2 * HIDDEN;
    EXPECT_REFUSED(bind(), TFOPS_E_OVERLAP, "out");
}

Test(request, two_outputs_must_not_overlap)
{
    use_toy();
    args.operands[TOY_Z] = &z;
    EXPECT_OK(bind_toy());
    z.data = y.data;
    EXPECT_REFUSED(bind_toy(), TFOPS_E_OVERLAP, "z");
}

Test(request, residual_may_be_its_own_output_only)
{
    struct tfops_tensor residual = z, sum = z;
    memset(args.operands, 0, sizeof args.operands);
    args.operands[ADD_RMSNORM_X] = &x;
    args.operands[ADD_RMSNORM_RESIDUAL] = &residual;
    args.operands[ADD_RMSNORM_WEIGHT] = &weight;
    args.operands[ADD_RMSNORM_OUT] = &out;
    EXPECT_OK(request_bind(&add_rmsnorm_spec, &args, &request));
    args.operands[ADD_RMSNORM_RESIDUAL_OUT] = &sum;
    EXPECT_OK(request_bind(&add_rmsnorm_spec, &args, &request));
    sum.data = x.data;
    EXPECT_REFUSED(
        request_bind(&add_rmsnorm_spec, &args, &request), TFOPS_E_OVERLAP, "residual_out");
    sum.data = out.data;
    EXPECT_REFUSED(
        request_bind(&add_rmsnorm_spec, &args, &request), TFOPS_E_OVERLAP, "residual_out");
    args.operands[ADD_RMSNORM_RESIDUAL_OUT] = NULL;
    residual.data = x.data;
    EXPECT_REFUSED(request_bind(&add_rmsnorm_spec, &args, &request), TFOPS_E_OVERLAP, "residual");
}

/* ---- an output over itself ---------------------------------------------------------------------- */

Test(request, an_output_whose_rows_overlap_is_refused)
{
    static const int64_t STRIDES[] = {0, 1, HIDDEN - 1};
    for (int i = 0; i < 3; i++) {
        out.strides[0] = STRIDES[i];
        EXPECT_REFUSED(bind(), TFOPS_E_SHAPE, "out");
        EXPECT_CONTAINS(expect_error().expected, "do not overlap");
    }
}

Test(request, an_input_may_repeat_its_rows)
{
    x.strides[0] = 0;
    EXPECT_OK(bind());
    EXPECT_INT(request.operands[RMSNORM_X].strides[0], 0);
}

Test(request, an_output_of_three_dimensions_that_overlaps_is_refused)
{
    use_toy();
    y.strides[1] = 10; /* 32 columns of 4, 10 apart: a row reaches over 314 elements */
    y.strides[0] = 128;
    EXPECT_REFUSED(bind_toy(), TFOPS_E_SHAPE, "y");
    y.strides[0] = 313;
    EXPECT_REFUSED(bind_toy(), TFOPS_E_SHAPE, "y");
    y.strides[0] = 314;
    EXPECT_OK(bind_toy());
}

/* ---- dimensions in another order than in memory ------------------------------------------------- */

/* [m, n, k] over memory laid out as [n, m, k]: heads and tokens in the other order. */
Test(request, an_output_may_have_its_dimensions_in_any_order)
{
    use_toy();
    const int64_t depth = y.shape[2], rows = y.shape[0];
    y.strides[1] = rows * depth;
    y.strides[0] = depth;
    EXPECT_OK(bind_toy());
    EXPECT_INT(request.operands[TOY_Y].strides[0], depth);
    EXPECT_INT(request.operands[TOY_Y].strides[1], rows * depth);
    y.strides[0] = depth + 4; /* rows of a row run into the next one's */
    EXPECT_REFUSED(bind_toy(), TFOPS_E_SHAPE, "y");
    y.strides[1] = (rows - 1) * y.strides[0] + depth;
    EXPECT_OK(bind_toy());
    y.strides[1]--;
    EXPECT_REFUSED(bind_toy(), TFOPS_E_SHAPE, "y");
}

Test(request, operands_in_another_order_are_compared_where_their_elements_are)
{
    use_toy();
    args.operands[TOY_Z] = &z;
    const int64_t depth = y.shape[2], rows = y.shape[0], columns = y.shape[1];
    y.strides[1] = rows * depth;
    y.strides[0] = depth;
    const size_t bytes = (size_t)(rows * columns * depth) * tfops_dtype_bytes(y.dtype);
    z.data = (unsigned char *)y.data + bytes;
    EXPECT_OK(bind_toy());
    z.data = (unsigned char *)y.data + bytes - 16;
    EXPECT_REFUSED(bind_toy(), TFOPS_E_OVERLAP, "z");
}
