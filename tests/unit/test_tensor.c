/* Dtypes and contiguous tensors. */
#include "tests/support/expect.h"
#include <criterion/criterion.h>
#include <stdio.h>
#include <tfops/tensor.h>

Test(tensor, dtype_names_come_back)
{
    for (int i = 1; i < TFOPS_DTYPE_COUNT; i++)
        EXPECT_INT(tfops_dtype_parse(tfops_dtype_name((enum tfops_dtype)i)), i);
}

Test(tensor, dtype_bytes_are_those_of_the_format)
{
    static const size_t WANT[TFOPS_DTYPE_COUNT] = {[TFOPS_F32] = 4,
        [TFOPS_F16] = 2,
        [TFOPS_BF16] = 2,
        [TFOPS_E4M3] = 1,
        [TFOPS_E5M2] = 1,
        [TFOPS_I32] = 4,
        [TFOPS_I64] = 8,
        [TFOPS_U8] = 1};
    for (int i = 0; i < TFOPS_DTYPE_COUNT; i++)
        EXPECT_INT(tfops_dtype_bytes((enum tfops_dtype)i), WANT[i]);
}

Test(tensor, unknown_dtypes_are_none)
{
    static const int CODES[] = {-1, TFOPS_DTYPE_COUNT, 255};
    static const char *const NAMES[] = {"", "F16", "f16 ", "none", "float", NULL};
    for (int i = 0; i < 3; i++) {
        EXPECT_TEXT(tfops_dtype_name((enum tfops_dtype)CODES[i]), "none");
        EXPECT_INT(tfops_dtype_bytes((enum tfops_dtype)CODES[i]), 0);
    }
    for (int i = 0; i < 6; i++)
        EXPECT_INT(tfops_dtype_parse(NAMES[i]), TFOPS_NONE);
}

Test(tensor, contiguous_strides_are_row_major)
{
    char data[1];
    struct tfops_tensor t =
        tfops_tensor_contiguous(data, TFOPS_F16, 4, (const int64_t[]){2, 3, 5, 7});
    static const int64_t WANT[] = {105, 35, 7, 1};
    cr_assert_eq(t.data, (void *)data);
    EXPECT_INT(t.rank, 4);
    EXPECT_INT(t.dtype, TFOPS_F16);
    for (int i = 0; i < 4; i++)
        EXPECT_INT(t.strides[i], WANT[i]);
    EXPECT_INT(t.shape[2], 5);
}

Test(tensor, contiguous_takes_any_rank_and_extent)
{
    int64_t shape[12];
    for (int i = 0; i < 12; i++)
        shape[i] = INT64_MAX / 2;
    struct tfops_tensor t = tfops_tensor_contiguous(NULL, TFOPS_F16, 12, shape);
    EXPECT_INT(t.rank, 12); /* refused where it is used */
    EXPECT_INT(t.strides[7], 1);
    EXPECT_INT(t.strides[0], INT64_MAX); /* saturates */
    t = tfops_tensor_contiguous(NULL, TFOPS_F16, 0, NULL);
    EXPECT_INT(t.rank, 0);
    t = tfops_tensor_contiguous(NULL, TFOPS_F16, -1, NULL);
    EXPECT_INT(t.rank, -1);
}
