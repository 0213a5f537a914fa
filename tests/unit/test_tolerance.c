/* How far an element and a norm may be from the reference (tuner/tolerance.h). */
#include "tuner/tolerance.h"
#include <criterion/criterion.h>

static const struct tfops_tolerance E4M3 = {1.5e-3, 0x1p-9, 0.126};

Test(tolerance, an_element_among_equals_is_held_to_the_norm)
{
    const double n = 1 << 20;
    cr_expect_float_eq(tolerance_of_element(&E4M3, false, n, n), 0x1p-9, 1e-9);
    cr_expect_float_eq(tolerance_of_element(&E4M3, false, n * 1e-4, n), 2.4e-4, 1e-6);
    cr_expect_float_eq(tolerance_of_element(&E4M3, true, n * 1e-8, n), 0x1p-9, 1e-9);
}

Test(tolerance, plain_values_are_held_to_the_norm_alone)
{
    cr_expect_eq(tolerance_of_norm(&E4M3, TFOPS_E4M3, false, 448, 448 * 448), 1.5e-3);
}

/* Of 18 rows with ten elements near the largest each one is rounded the other way: 32 of 448. */
Test(tolerance, one_of_few_large_elements_may_be_rounded_the_other_way)
{
    const double squares = 180 * 300.0 * 300;
    const double most = tolerance_of_norm(&E4M3, TFOPS_E4M3, true, 448, squares);
    cr_expect_gt(most, 32 / sqrt(squares));
    cr_expect_lt(most, 0.03);
}

Test(tolerance, wider_elements_are_held_to_the_norm)
{
    cr_expect_eq(tolerance_of_norm(&E4M3, TFOPS_BF16, true, 448, 448 * 448), 1.5e-3);
}

Test(tolerance, many_special_values_are_held_to_the_norm)
{
    const double squares = 1e6 * 300.0 * 300;
    cr_expect_eq(tolerance_of_norm(&E4M3, TFOPS_E4M3, true, 448, squares), 1.5e-3);
    cr_expect_eq(tolerance_of_norm(&E4M3, TFOPS_E4M3, true, 0, 0), 1.5e-3);
}
