/* The face of cJSON: what is built prints, what is malformed is refused. */
#include "base/json.h"
#include "tests/support/expect.h"
#include <criterion/criterion.h>
#include <math.h>

Test(json, prints_what_was_added)
{
    json *root = json_object();
    json_add_string(root, "s", "a\"b\n\x01");
    json_add_string(root, "n", NULL);
    json_add_int(root, "i", -42);
    json_add_number(root, "d", 0.5);
    json_add_bool(root, "t", true);
    json *list = json_add_array(root, "l");
    json_add_int(list, NULL, 1);
    json_add_string(json_add_object(list, NULL), "k", "v");
    char *text = json_print(root);
    EXPECT_TEXT(text, "{\"s\":\"a\\\"b\\n\\u0001\",\"n\":null,\"i\":-42,\"d\":0.5,\"t\":true,\"l\":"
                      "[1,{\"k\":\"v\"}]}");
    free(text);
    json_free(root);
}

Test(json, numbers_that_are_not_finite_are_null)
{
    static const double CASES[] = {NAN, INFINITY, -INFINITY};
    for (int i = 0; i < 3; i++) {
        json *root = json_object();
        json_add_number(root, "d", CASES[i]);
        char *text = json_print(root);
        EXPECT_TEXT(text, "{\"d\":null}");
        free(text);
        json_free(root);
    }
}

Test(json, integers_are_exact_to_2_53)
{
    static const int64_t CASES[] = {0, 1, -1, INT32_MAX, INT32_MIN, 1ll << 40, 1000000000000000,
        (1ll << 53) - 1, 1ll << 53, -(1ll << 53)};
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        json *root = json_array();
        json_add_int(root, NULL, CASES[i]);
        char *text = json_print(root);
        json *back = json_parse(text);
        EXPECT_INT(json_number(json_first(back), 0.5), CASES[i]);
        free(text);
        json_free(back);
        json_free(root);
    }
}

Test(json, parse_refuses_malformed_text)
{
    static const char *const CASES[] = {
        "", "{", "{\"a\":}", "[1,]", "{} x", "nul", "\"a", "{\"a\" 1}", "[1 2]"};
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++)
        cr_assert_null(json_parse(CASES[i]), "\"%s\" was taken", CASES[i]);
}

Test(json, get_finds_members_by_their_exact_name)
{
    json *root = json_parse("{\"Name\":1,\"name\":\"x\",\"flag\":true}");
    EXPECT_TEXT(json_string(json_get(root, "name"), "?"), "x");
    EXPECT_INT(json_number(json_get(root, "Name"), 0), 1);
    cr_assert(json_bool(json_get(root, "flag"), false));
    cr_assert_null(json_get(root, "NAME"));
    json_free(root);
}

Test(json, values_of_another_type_give_the_fallback)
{
    json *root = json_parse("{\"s\":\"x\",\"n\":1,\"z\":null}");
    EXPECT_TEXT(json_string(json_get(root, "n"), "fallback"), "fallback");
    EXPECT_INT(json_number(json_get(root, "s"), 7), 7);
    cr_assert(json_bool(json_get(root, "z"), true));
    EXPECT_INT(json_number(json_get(root, "absent"), 8), 8);
    json_free(root);
}

Test(json, walks_containers_in_order)
{
    json *root = json_parse("[3,1,2]");
    static const int WANT[] = {3, 1, 2};
    int n = 0;
    for (const json *node = json_first(root); node; node = json_next(node), n++)
        EXPECT_INT(json_number(node, 0), n < 3 ? WANT[n] : -1);
    EXPECT_INT(n, 3);
    json_free(root);
}

Test(json, null_parents_and_nodes_are_ignored)
{
    json_add_string(NULL, "a", "b");
    json_add_int(NULL, "a", 1);
    cr_assert_null(json_add_object(NULL, "a"));
    cr_assert_null(json_print(NULL));
    cr_assert_null(json_first(NULL));
    cr_assert_null(json_next(NULL));
    json_free(NULL);
}
