/* Keys: different for everything that is compiled in, the same for everything that is not. */
#include "key.h"
#include "tests/support/expect.h"
#include "tests/support/toy_spec.h"
#include <criterion/criterion.h>
#include <stdio.h>
#include <tfops/plan.h>

static struct toy toy;
static struct tfops_problem problem;

static void begin(void)
{
    toy_init(&toy);
    EXPECT_OK(tfops_problem_init(&toy.spec, &problem));
    EXPECT_OK(tfops_problem_set(&problem, "m", "5"));
    EXPECT_OK(tfops_problem_set(&problem, "n", "64"));
    EXPECT_OK(tfops_problem_set(&problem, "k", "8"));
    EXPECT_OK(tfops_problem_check(&problem));
}

TestSuite(key, .init = begin);

/* Everything that a kernel is compiled for, changed one at a time. */
static size_t vary(struct tfops_problem variants[16])
{
    static const char *const CHANGES[][2] = {{"n", "65"}, {"n", "4294967360"}, {"k", "9"},
        {"dtype", "bf16"}, {"dtype", "f32"}, {"out_dtype", "f32"}, {"mode", "second"},
        {"mode", "third"}, {"flavour", "sour"}, {"extra", "1"}, {"z", "1"}, {"align", "8"},
        {"align", "1"}, {"batch_invariant", "1"}};
    const size_t n = sizeof CHANGES / sizeof CHANGES[0];
    for (size_t i = 0; i < n; i++) {
        variants[i] = problem;
        EXPECT_OK(tfops_problem_set(&variants[i], CHANGES[i][0], CHANGES[i][1]));
        if (!strcmp(CHANGES[i][0], "dtype"))
            variants[i].dtypes[1] = TFOPS_F16;
    }
    variants[n] = problem;
    return n + 1;
}

Test(key, differs_for_everything_compiled_in)
{
    struct tfops_problem variants[16];
    struct key keys[16];
    const size_t n = vary(variants);
    for (size_t i = 0; i < n; i++) {
        key_make(&variants[i], &keys[i]);
        for (size_t k = 0; k < i; k++) {
            cr_assert_not(key_equal(&keys[i], &keys[k]), "variants %zu and %zu share a key", i, k);
            cr_assert_neq(key_hash(&keys[i]), key_hash(&keys[k]), "%zu and %zu collide", i, k);
        }
    }
}

Test(key, text_differs_for_everything_compiled_in)
{
    struct tfops_problem variants[16];
    char texts[16][KEY_TEXT_BYTES];
    const size_t n = vary(variants);
    for (size_t i = 0; i < n; i++) {
        key_text(&variants[i], texts[i]);
        for (size_t k = 0; k < i; k++)
            cr_assert_str_neq(texts[i], texts[k], "variants %zu and %zu share %s", i, k, texts[i]);
    }
}

Test(key, differs_for_every_slot_of_options_and_dtypes)
{
    struct key base, other;
    key_make(&problem, &base);
    for (int i = 0; i < TFOPS_MAX_OPTIONS; i++)
        for (int bit = 0; bit < 4; bit++) { /* a spec has at most 15 values */
            struct tfops_problem changed = problem;
            changed.options[i] ^= (uint8_t)(1 << bit);
            key_make(&changed, &other);
            cr_assert_not(key_equal(&base, &other), "option %d, bit %d", i, bit);
        }
    for (int i = 0; i < TFOPS_MAX_DTYPES; i++) {
        struct tfops_problem changed = problem;
        changed.dtypes[i] ^= 4;
        key_make(&changed, &other);
        cr_assert_not(key_equal(&base, &other), "dtype %d", i);
    }
}

Test(key, does_not_depend_on_the_dynamic_extent)
{
    struct key one, two;
    char text_one[KEY_TEXT_BYTES], text_two[KEY_TEXT_BYTES];
    key_make(&problem, &one);
    key_text(&problem, text_one);
    problem.dims[TOY_M] = 123456;
    key_make(&problem, &two);
    key_text(&problem, text_two);
    cr_assert(key_equal(&one, &two));
    EXPECT_INT(key_hash(&one), key_hash(&two));
    EXPECT_TEXT(text_one, text_two);
}

Test(key, differs_between_operators)
{
    static struct toy other;
    struct key one, two;
    toy_init(&other);
    key_make(&problem, &one);
    problem.spec = &other.spec;
    key_make(&problem, &two);
    cr_assert_not(key_equal(&one, &two));
}

Test(key, text_is_canonical)
{
    char text[KEY_TEXT_BYTES];
    problem.flags = TFOPS_BATCH_INVARIANT;
    key_text(&problem, text);
    EXPECT_TEXT(text,
        "n=64 k=8 dtype=f16 out_dtype=f16 mode=first flavour=sweet extra=0 z=0 align=16 "
        "batch_invariant=1");
}

/* The longest names and values that spec_check lets through, all tables full. */
Test(key, text_of_the_largest_spec_is_not_cut)
{
    static char names[64][48];
    static struct tfops_dim_spec dims[7];
    static struct tfops_dtype_spec dtypes[4];
    static struct tfops_option_spec options[6];
    static struct tfops_operand_spec operands[16];
    static const char *value = "a_value_that_has_forty_characters_in_all";
    size_t used = 0;
    for (int i = 0; i < 64; i++)
        snprintf(names[i], sizeof names[i], "a_name_that_has_forty_characters_in___%02d", i);
    toy.spec.dims = dims, toy.spec.n_dims = 7;
    toy.spec.dtypes = dtypes, toy.spec.n_dtypes = 4;
    toy.spec.options = options, toy.spec.n_options = 6;
    toy.spec.operands = operands, toy.spec.n_operands = 16;
    problem = (struct tfops_problem){
        .size = sizeof problem, .spec = &toy.spec, .align = 16, .flags = TFOPS_BATCH_INVARIANT};
    for (int i = 0; i < 7; i++) {
        dims[i] =
            (struct tfops_dim_spec){names[used++], i ? 0 : TFOPS_DIM_DYNAMIC, 0, INT64_MAX, NULL};
        problem.dims[i] = INT64_MAX;
    }
    for (int i = 0; i < 4; i++) {
        dtypes[i] = (struct tfops_dtype_spec){names[used++], TOY_FLOATS, NULL};
        problem.dtypes[i] = TFOPS_BF16;
    }
    for (int i = 0; i < 6; i++)
        options[i] = (struct tfops_option_spec){names[used++], &value, 1, NULL};
    for (int i = 0; i < 16; i++)
        operands[i] = (struct tfops_operand_spec){
            .name = names[used++], .flags = TFOPS_OPERAND_OPTIONAL, .rank = 1};
    char text[KEY_TEXT_BYTES];
    key_text(&problem, text);
    EXPECT_CONTAINS(text, "batch_invariant=1");
}

Test(key, knows_the_dynamic_dimension)
{
    EXPECT_INT(key_dynamic_dim(&toy.spec), TOY_M);
    toy.dims[TOY_M].flags = 0;
    toy.dims[TOY_K].flags = TFOPS_DIM_DYNAMIC;
    EXPECT_INT(key_dynamic_dim(&toy.spec), TOY_K);
    toy.dims[TOY_K].flags = 0;
    EXPECT_INT(key_dynamic_dim(&toy.spec), -1);
}
