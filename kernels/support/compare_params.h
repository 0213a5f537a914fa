/* compare_params.h: arguments and result of the compare kernel; C11 and NVRTC, no include. */
#ifndef TFOPS_COMPARE_PARAMS_H
#define TFOPS_COMPARE_PARAMS_H

enum { COMPARE_TENSORS, COMPARE_PATTERN };

/* In device memory; the host writes zeros, and all ones into first, before the launch. */
struct compare_result {
    double diff_squares;            /* sum of (a - b)^2 over pairs of finite values */
    double ref_squares;             /* sum of b^2 over the same pairs */
    unsigned long long class_diffs; /* one NaN and not the other, or an infinity not matched */
    unsigned long long violations;  /* class_diffs, and |a - b| > atol + rtol * |b| */
    unsigned long long first;       /* smallest row * cols + column of a violation */
    unsigned max_beyond_bits; /* largest |a - b| - rtol * |b|: a float's bits, ordered as u32 */
    unsigned largest_bits;    /* largest |b|, likewise */
};

struct compare_params {
    const void *a; /* [rows, cols], tested; aligned to its element */
    const void *b; /* [rows, cols], reference; unused by COMPARE_PATTERN */
    struct compare_result *result;
    long long rows;
    long long cols;
    long long a_stride; /* elements */
    long long b_stride;
    int a_dtype; /* enum tfops_dtype; COMPARE_PATTERN: of at most 4 bytes */
    int b_dtype;
    int mode;
    float atol;
    float rtol;
    unsigned pattern; /* COMPARE_PATTERN: violations counts elements that differ from it */
};

#endif
