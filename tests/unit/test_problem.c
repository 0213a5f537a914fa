/* Problems and configs as text: set, check, format, parse, and what is refused. */
#include "problem.h"
#include "tests/support/expect.h"
#include "tests/support/toy_spec.h"
#include <criterion/criterion.h>
#include <stdio.h>
#include <tfops/engine.h>
#include <tfops/plan.h>

static struct toy toy;
static struct tfops_problem problem;

static void begin(void)
{
    toy_init(&toy);
    EXPECT_OK(tfops_problem_init(&toy.spec, &problem));
}

TestSuite(problem, .init = begin);
TestSuite(config, .init = begin);

static enum tfops_status set(const char *name, const char *value)
{
    return tfops_problem_set(&problem, name, value);
}

Test(problem, starts_with_f16_and_required_operands)
{
    EXPECT_INT(problem.size, sizeof problem);
    EXPECT_INT(problem.dtypes[0], TFOPS_F16);
    EXPECT_INT(problem.dtypes[1], TFOPS_NONE); /* follows the first */
    EXPECT_INT(problem.present, 1 << TOY_X | 1 << TOY_Y);
    EXPECT_INT(problem.dims[TOY_N], 0);
    EXPECT_INT(problem.flags, 0);
}

Test(problem, starts_with_the_first_dtype_where_f16_is_not_allowed)
{
    toy.dtypes[0].allowed = 1u << TFOPS_BF16 | 1u << TFOPS_I64;
    EXPECT_OK(tfops_problem_init(&toy.spec, &problem));
    EXPECT_INT(problem.dtypes[0], TFOPS_BF16);
}

Test(problem, init_refuses_null)
{
    EXPECT_REFUSED(tfops_problem_init(NULL, &problem), TFOPS_E_ARGUMENT, "spec");
    EXPECT_REFUSED(tfops_problem_init(&toy.spec, NULL), TFOPS_E_ARGUMENT, "ret_problem");
}

Test(problem, set_takes_every_kind_of_property)
{
    static const char *const PAIRS[][2] = {{"m", "0"}, {"n", "1099511627776"}, {"k", "64"},
        {"dtype", "bf16"}, {"out_dtype", "f32"}, {"mode", "third"}, {"flavour", "sour"},
        {"extra", "1"}, {"z", "1"}, {"align", "4"}, {"batch_invariant", "1"}};
    for (size_t i = 0; i < sizeof PAIRS / sizeof PAIRS[0]; i++)
        EXPECT_OK(set(PAIRS[i][0], PAIRS[i][1]));
    EXPECT_INT(problem.dims[TOY_N], 1ll << 40);
    EXPECT_INT(problem.dims[TOY_K], 64);
    EXPECT_INT(problem.dtypes[0], TFOPS_BF16);
    EXPECT_INT(problem.dtypes[1], TFOPS_F32);
    EXPECT_INT(problem.options[0], 2);
    EXPECT_INT(problem.options[1], 1);
    EXPECT_INT(problem.present, 15);
    EXPECT_INT(problem.align, 4);
    EXPECT_INT(problem.flags, TFOPS_BATCH_INVARIANT);
    EXPECT_OK(set("extra", "0"));
    EXPECT_OK(set("batch_invariant", "0"));
    EXPECT_INT(problem.present, 15 & ~(1 << TOY_EXTRA));
    EXPECT_INT(problem.flags, 0);
}

Test(problem, set_refuses_wrong_values_and_names_the_property)
{
    static const struct {
        const char *name, *value, *expected;
        enum tfops_status status;
    } CASES[] = {
        {"n", "0", "1 to 1099511627776", TFOPS_E_RANGE},
        {"n", "1099511627777", "1 to 1099511627776", TFOPS_E_RANGE},
        {"k", "65", "1 to 64", TFOPS_E_RANGE},
        {"m", "-1", "0 to", TFOPS_E_RANGE},
        {"n", "", "whole number", TFOPS_E_RANGE},
        {"n", "12x", "whole number", TFOPS_E_RANGE},
        {"n", " 12", "whole number", TFOPS_E_RANGE},
        {"n", "+12", "whole number", TFOPS_E_RANGE},
        {"n", "0x10", "whole number", TFOPS_E_RANGE},
        {"n", "1e3", "whole number", TFOPS_E_RANGE},
        {"n", "-", "whole number", TFOPS_E_RANGE},
        {"n", "99999999999999999999", "whole number", TFOPS_E_RANGE},
        {"dtype", "f64", "f16", TFOPS_E_DTYPE},
        {"dtype", "i32", "bf16", TFOPS_E_DTYPE},
        {"dtype", "none", "f32", TFOPS_E_DTYPE},
        {"out_dtype", "bf16", "f16", TFOPS_E_DTYPE},
        {"mode", "fourth", "first second third", TFOPS_E_RANGE},
        {"mode", "0", "first second third", TFOPS_E_RANGE},
        {"extra", "2", "0 or 1", TFOPS_E_RANGE},
        {"extra", "true", "0 or 1", TFOPS_E_RANGE},
        {"batch_invariant", "yes", "0 or 1", TFOPS_E_RANGE},
        {"align", "0", "1, 2, 4, 8 or 16", TFOPS_E_RANGE},
        {"align", "3", "1, 2, 4, 8 or 16", TFOPS_E_RANGE},
        {"align", "32", "1, 2, 4, 8 or 16", TFOPS_E_RANGE},
    };
    const struct tfops_problem before = problem;
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        EXPECT_REFUSED(set(CASES[i].name, CASES[i].value), CASES[i].status, CASES[i].name);
        EXPECT_CONTAINS(expect_error().expected, CASES[i].expected);
        EXPECT_TEXT(expect_error().actual, CASES[i].value);
    }
    cr_assert(!memcmp(&before, &problem, sizeof problem), "a refused value changed the problem");
}

Test(problem, set_lists_what_there_is_for_an_unknown_name)
{
    static const char *const KNOWN[] = {
        "m", "n", "k", "dtype", "out_dtype", "mode", "flavour", "extra", "z", "align"};
    EXPECT_REFUSED(set("hidden", "1"), TFOPS_E_UNKNOWN, "hidden");
    for (size_t i = 0; i < sizeof KNOWN / sizeof KNOWN[0]; i++)
        EXPECT_CONTAINS(expect_error().message, KNOWN[i]);
    EXPECT_REFUSED(set("x", "1"), TFOPS_E_UNKNOWN, "x"); /* a required operand is no property */
    EXPECT_REFUSED(set("N", "1"), TFOPS_E_UNKNOWN, "N");
    EXPECT_REFUSED(set("", "1"), TFOPS_E_UNKNOWN, "");
}

Test(problem, set_names_what_is_null)
{
    EXPECT_REFUSED(tfops_problem_set(NULL, "n", "1"), TFOPS_E_ARGUMENT, "problem");
    EXPECT_REFUSED(set(NULL, "1"), TFOPS_E_ARGUMENT, "name");
    EXPECT_REFUSED(set("n", NULL), TFOPS_E_ARGUMENT, "value");
    problem.spec = NULL;
    EXPECT_REFUSED(set("n", "1"), TFOPS_E_ARGUMENT, "problem");
}

static void make_valid(void)
{
    EXPECT_OK(set("m", "3"));
    EXPECT_OK(set("n", "96"));
    EXPECT_OK(set("k", "8"));
}

Test(problem, check_fills_what_follows)
{
    make_valid();
    EXPECT_OK(tfops_problem_check(&problem));
    EXPECT_INT(problem.dtypes[1], TFOPS_F16);
    EXPECT_INT(problem.align, 16);
}

Test(problem, check_fills_the_alignment_of_contiguous_operands)
{
    static const struct {
        const char *n, *k, *dtype;
        uint32_t align;
    } CASES[] = {{"96", "8", "f16", 16}, {"96", "1", "f16", 2}, {"4", "4", "f16", 8},
        {"2", "8", "f16", 4}, {"1", "8", "f16", 2}, {"1", "4", "f32", 4}, {"2", "2", "f32", 8},
        {"4095", "16", "f16", 2}, {"4095", "16", "f32", 4}};
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        EXPECT_OK(tfops_problem_init(&toy.spec, &problem));
        EXPECT_OK(set("m", "2"));
        EXPECT_OK(set("n", CASES[i].n));
        EXPECT_OK(set("k", CASES[i].k));
        EXPECT_OK(set("dtype", CASES[i].dtype));
        EXPECT_OK(tfops_problem_check(&problem));
        cr_assert_eq(problem.align, CASES[i].align, "case %zu: %u, wanted %u", i, problem.align,
            CASES[i].align);
    }
}

Test(problem, check_keeps_a_chosen_alignment)
{
    make_valid();
    EXPECT_OK(set("align", "2"));
    EXPECT_OK(tfops_problem_check(&problem));
    EXPECT_INT(problem.align, 2);
}

Test(problem, check_refuses_what_set_would_and_changes_nothing)
{
    make_valid();
    const struct tfops_problem valid = problem;
#define REFUSED(change, status, subject)                                                           \
    do {                                                                                           \
        problem = valid;                                                                           \
        change;                                                                                    \
        const struct tfops_problem before = problem;                                               \
        EXPECT_REFUSED(tfops_problem_check(&problem), status, subject);                            \
        cr_assert(!memcmp(&before, &problem, sizeof problem), "%s: changed", #change);             \
    } while (0)
    REFUSED(problem.dims[TOY_N] = 0, TFOPS_E_RANGE, "n");
    REFUSED(problem.dims[TOY_M] = -1, TFOPS_E_RANGE, "m");
    REFUSED(problem.dims[TOY_M] = INT64_MIN, TFOPS_E_RANGE, "m");
    REFUSED(problem.dims[TOY_K] = INT64_MAX, TFOPS_E_RANGE, "k");
    REFUSED(problem.dtypes[0] = TFOPS_I64, TFOPS_E_DTYPE, "dtype");
    REFUSED(problem.dtypes[0] = 77, TFOPS_E_DTYPE, "dtype");
    REFUSED(problem.dtypes[1] = TFOPS_BF16, TFOPS_E_DTYPE, "out_dtype");
    REFUSED(problem.options[0] = 3, TFOPS_E_RANGE, "mode");
    REFUSED(problem.options[1] = 255, TFOPS_E_RANGE, "flavour");
    REFUSED(problem.present = 1 << TOY_X, TFOPS_E_ARGUMENT, "y");
    REFUSED(problem.present |= 16, TFOPS_E_ARGUMENT, "flags");
    REFUSED(problem.flags = 2, TFOPS_E_ARGUMENT, "flags");
    REFUSED(problem.align = 3, TFOPS_E_RANGE, "align");
    REFUSED(problem.align = 64, TFOPS_E_RANGE, "align");
    REFUSED(problem.size--, TFOPS_E_ARGUMENT, "problem");
    REFUSED(problem.spec = NULL, TFOPS_E_ARGUMENT, "problem");
#undef REFUSED
    EXPECT_REFUSED(tfops_problem_check(NULL), TFOPS_E_ARGUMENT, "problem");
}

Test(problem, check_refuses_sizes_that_overflow)
{
    make_valid();
    problem.dims[TOY_M] = 1ll << 40;
    problem.dims[TOY_N] = 1ll << 40;
    EXPECT_REFUSED(tfops_problem_check(&problem), TFOPS_E_RANGE, "x");
    problem.dims[TOY_N] = 1ll << 22; /* x is 2^63 bytes: one too many */
    EXPECT_REFUSED(tfops_problem_check(&problem), TFOPS_E_RANGE, "x");
    problem.dims[TOY_N] = 1ll << 21;
    problem.dims[TOY_K] = 2; /* y is */
    EXPECT_REFUSED(tfops_problem_check(&problem), TFOPS_E_RANGE, "y");
    problem.dims[TOY_K] = 1;
    EXPECT_OK(tfops_problem_check(&problem));
}

static bool accept_small(
    void *user, const struct tfops_problem *asked, char reason[TFOPS_REASON_BYTES])
{
    (void)user;
    snprintf(reason, TFOPS_REASON_BYTES, "too large for a test");
    return asked->dims[TOY_N] < 100;
}

Test(problem, check_asks_the_specs_own_rule)
{
    toy.spec.accepts = accept_small;
    make_valid();
    EXPECT_OK(tfops_problem_check(&problem));
    EXPECT_OK(set("n", "100"));
    EXPECT_REFUSED(tfops_problem_check(&problem), TFOPS_E_SHAPE, "toy");
    EXPECT_CONTAINS(expect_error().message, "too large for a test");
}

/* What a command line does with the text: NAME=VALUE by NAME=VALUE. */
static enum tfops_status parse(const char *text, struct tfops_problem *ret_problem)
{
    char copy[1024], *save = NULL;
    snprintf(copy, sizeof copy, "%s", text);
    enum tfops_status status = tfops_problem_init(&toy.spec, ret_problem);
    EXPECT_TEXT(strtok_r(copy, " ", &save), "toy");
    for (char *pair; !status && (pair = strtok_r(NULL, " ", &save)) != NULL;) {
        char *value = strchr(pair, '=');
        cr_assert(value, "no value in %s", pair);
        *value++ = '\0';
        status = tfops_problem_set(ret_problem, pair, value);
    }
    return status ? status : tfops_problem_check(ret_problem);
}

Test(problem, formatted_text_parses_to_the_same_problem)
{
    static const char *const CASES[] = {
        "toy m=0 n=1 k=1",
        "toy m=1099511627776 n=7 k=64 dtype=f32 out_dtype=f32 mode=second flavour=sour",
        "toy m=5 n=4096 k=2 dtype=bf16 out_dtype=f16 extra=1 z=1 align=1 batch_invariant=1",
    };
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        struct tfops_problem one, two;
        char text[1024], again[1024];
        EXPECT_OK(parse(CASES[i], &one));
        size_t length = tfops_problem_format(&one, text, sizeof text);
        EXPECT_INT(length, strlen(text));
        EXPECT_OK(parse(text, &two));
        cr_assert(!memcmp(&one, &two, sizeof one), "%s came back different", text);
        tfops_problem_format(&two, again, sizeof again);
        EXPECT_TEXT(again, text);
    }
}

Test(problem, format_cuts_and_tells_the_full_length)
{
    char whole[1024], cut[12];
    make_valid();
    EXPECT_OK(tfops_problem_check(&problem));
    size_t length = tfops_problem_format(&problem, whole, sizeof whole);
    EXPECT_INT(tfops_problem_format(&problem, cut, sizeof cut), length);
    cr_assert(!strncmp(cut, whole, 11) && !cut[11], "\"%s\" is not cut from \"%s\"", cut, whole);
    EXPECT_INT(tfops_problem_format(&problem, NULL, 0), length);
    EXPECT_INT(tfops_problem_format(NULL, cut, sizeof cut), 0);
}

Test(problem, format_of_an_unchecked_problem_stays_in_its_tables)
{
    char text[1024];
    problem.options[0] = 200;
    problem.dtypes[1] = 99;
    tfops_problem_format(&problem, text, sizeof text);
    EXPECT_CONTAINS(text, "mode=");
    EXPECT_LACKS(text, "first");
}

Test(problem, natural_strides_are_contiguous)
{
    int64_t strides[TFOPS_MAX_OPERAND_RANK], elems;
    make_valid();
    cr_assert(problem_natural_strides(&problem, TOY_Y, strides, &elems));
    EXPECT_INT(strides[0], 96 * 8);
    EXPECT_INT(strides[1], 8);
    EXPECT_INT(strides[2], 1);
    EXPECT_INT(elems, 3 * 96 * 8);
    problem.dims[TOY_N] = INT64_MAX / 2;
    cr_assert_not(problem_natural_strides(&problem, TOY_Y, strides, &elems));
}

/* ---- configs --------------------------------------------------------------------------------- */

Test(config, parse_takes_spaces_and_commas)
{
    static const char *const CASES[] = {"THREADS=64 UNROLL=2", "THREADS=64,UNROLL=2",
        "UNROLL=2,  THREADS=64", "UNROLL=4 UNROLL=2 THREADS=64"};
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        struct tfops_config config = {.generic = true};
        EXPECT_OK(tfops_config_parse(&toy.spec, CASES[i], &config));
        EXPECT_INT(config.values[TOY_THREADS], 64);
        EXPECT_INT(config.values[TOY_UNROLL], 2);
        cr_assert_not(config.generic);
    }
}

Test(config, parse_starts_from_what_is_there)
{
    struct tfops_config config = {.values = {64, 4}};
    EXPECT_OK(tfops_config_parse(&toy.spec, "UNROLL=1", &config));
    EXPECT_INT(config.values[TOY_THREADS], 64);
    EXPECT_INT(config.values[TOY_UNROLL], 1);
    EXPECT_OK(tfops_config_parse(&toy.spec, "", &config));
    EXPECT_INT(config.values[TOY_UNROLL], 1);
}

Test(config, text_of_every_config_comes_back)
{
    for (int t = 0; t < 2; t++)
        for (int u = 0; u < 3; u++) {
            struct tfops_config config = {.values = {toy.threads[t], toy.unrolls[u]}}, back = {0};
            char text[128];
            size_t length = tfops_config_format(&toy.spec, &config, text, sizeof text);
            EXPECT_INT(length, strlen(text));
            EXPECT_OK(tfops_config_parse(&toy.spec, text, &back));
            cr_assert(!memcmp(&config, &back, sizeof config), "%s came back different", text);
        }
}

Test(config, generic_has_a_name)
{
    struct tfops_config config = {.generic = true}, back = {0};
    char text[16];
    EXPECT_INT(tfops_config_format(&toy.spec, &config, text, sizeof text), 7);
    EXPECT_TEXT(text, "generic");
    EXPECT_OK(tfops_config_parse(&toy.spec, text, &back));
    cr_assert(back.generic);
}

Test(config, format_cuts_and_tells_the_full_length)
{
    struct tfops_config config = {.values = {64, 2}};
    char cut[8];
    EXPECT_INT(tfops_config_format(&toy.spec, &config, cut, sizeof cut), 19);
    EXPECT_TEXT(cut, "THREADS");
    EXPECT_INT(tfops_config_format(&toy.spec, &config, NULL, 0), 19);
    EXPECT_INT(tfops_config_format(NULL, &config, cut, sizeof cut), 0);
    EXPECT_TEXT(cut, "");
}

Test(config, parse_refuses_and_names_the_tunable)
{
    static const struct {
        const char *text, *subject;
        enum tfops_status status;
    } CASES[] = {
        {"UNROLLS=1", "UNROLLS", TFOPS_E_UNKNOWN},
        {"unroll=1", "unroll", TFOPS_E_UNKNOWN},
        {"UNROLL=3", "UNROLL", TFOPS_E_RANGE},
        {"UNROLL=", "UNROLL", TFOPS_E_RANGE},
        {"UNROLL=two", "UNROLL", TFOPS_E_RANGE},
        {"UNROLL=2.0", "UNROLL", TFOPS_E_RANGE},
        {"THREADS=64 UNROLL", "UNROLL", TFOPS_E_ARGUMENT},
        {"=1", "=1", TFOPS_E_ARGUMENT},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        struct tfops_config config = {.values = {128, 2}};
        EXPECT_REFUSED(tfops_config_parse(&toy.spec, CASES[i].text, &config), CASES[i].status,
            CASES[i].subject);
        EXPECT_INT(config.values[TOY_THREADS], 128); /* written only on success */
    }
    struct tfops_config config = {0};
    tfops_config_parse(&toy.spec, "UNROLLS=1", &config);
    EXPECT_CONTAINS(expect_error().message, "THREADS UNROLL");
}

Test(config, parse_says_which_values_a_tunable_has)
{
    struct tfops_config config = {0};
    EXPECT_STATUS(tfops_config_parse(&toy.spec, "UNROLL=3", &config), TFOPS_E_RANGE);
    EXPECT_CONTAINS(expect_error().message, "1 2 4");
    EXPECT_TEXT(expect_error().actual, "3");
}

Test(config, parse_refuses_null_and_endless_text)
{
    struct tfops_config config = {0};
    char text[2000];
    memset(text, ' ', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    EXPECT_REFUSED(tfops_config_parse(NULL, "", &config), TFOPS_E_ARGUMENT, "spec");
    EXPECT_REFUSED(tfops_config_parse(&toy.spec, NULL, &config), TFOPS_E_ARGUMENT, "text");
    EXPECT_REFUSED(tfops_config_parse(&toy.spec, "", NULL), TFOPS_E_ARGUMENT, "config");
    EXPECT_REFUSED(tfops_config_parse(&toy.spec, text, &config), TFOPS_E_RANGE, "text");
}
