/*
 * The spec of softmax: its tables, what it accepts, cost and tolerance.
 *
 * Rows collapse, so matrices of attention scores [batch, heads, queries, width] are rows too. What
 * belongs to a row's place in its matrix repeats: a mask of fewer rows, the causal edge.
 */
#include "kernels/spec_tables.h"
#include "softmax_specs.h"

enum { MAX_WIDTH = 1 << 20, MAX_ROWS = INT32_MAX };

static const struct tfops_dim_spec DIMS[] = {
    [SOFTMAX_ROWS] = {"rows", TFOPS_DIM_DYNAMIC, 0, MAX_ROWS, "rows, e.g. heads · queries"},
    [SOFTMAX_WIDTH] = {"width", 0, 1, MAX_WIDTH, "elements of a row"},
    [SOFTMAX_MASK_ROWS] = {"mask_rows", TFOPS_DIM_FREE, 0, MAX_ROWS,
        "rows of mask; row r takes row r mod mask_rows"},
};

static const struct tfops_dtype_spec DTYPES[] = {
    [SOFTMAX_DTYPE] = {"dtype", SPEC_FLOATS, "of x"},
    [SOFTMAX_OUT_DTYPE] = {"out_dtype", SPEC_FLOATS, "of out; that of x by default"},
    [SOFTMAX_MASK_DTYPE] = {"mask_dtype", SPEC_FLOATS, "of mask; that of x by default"},
};

static const char *const NO_YES[] = {"no", "yes"};

static const struct tfops_option_spec OPTIONS[] = {
    [SOFTMAX_CAUSAL] = {"causal", NO_YES, 2,
        "whether query q sees columns up to width − queries + q alone"},
};

static const struct tfops_scalar_spec SCALARS[] = {
    [SOFTMAX_SCALE] = {"scale", 1, -1e30, 1e30, "multiplies x"},
    [SOFTMAX_QUERIES] = {"queries", 0, 0, MAX_ROWS,
        "rows of one causal matrix: row r is query r mod queries; 0: all rows are one"},
};

static const struct tfops_operand_spec OPERANDS[] = {
    [SOFTMAX_X] = {"x", TFOPS_IN, TFOPS_OPERAND_ROWS, SOFTMAX_DTYPE, 2,
        {SOFTMAX_ROWS, SOFTMAX_WIDTH}, 1u << SOFTMAX_OUT, "logits"},
    [SOFTMAX_MASK] = {"mask", TFOPS_IN, TFOPS_OPERAND_OPTIONAL | TFOPS_OPERAND_ROWS,
        SOFTMAX_MASK_DTYPE, 2, {SOFTMAX_MASK_ROWS, SOFTMAX_WIDTH}, 0,
        "added to scale · x; −inf hides"},
    [SOFTMAX_OUT] = {"out", TFOPS_OUT, TFOPS_OPERAND_ROWS, SOFTMAX_OUT_DTYPE, 2,
        {SOFTMAX_ROWS, SOFTMAX_WIDTH}, 1u << SOFTMAX_X, "may be x when of its dtype"},
};

static bool accepts(
    void *user, const struct tfops_problem *problem, char reason[TFOPS_REASON_BYTES])
{
    (void)user;
    const int64_t rows = problem->dims[SOFTMAX_ROWS], period = problem->dims[SOFTMAX_MASK_ROWS];
    if (spec_has(problem, SOFTMAX_MASK) && rows % period)
        return spec_refuse(reason,
            "mask: expected a number of rows that divides rows=%lld, got %lld", (long long)rows,
            (long long)period);
    return true;
}

static void cost(void *user, const struct tfops_problem *problem, struct tfops_cost *ret_cost)
{
    (void)user;
    const uint64_t width = (uint64_t)problem->dims[SOFTMAX_WIDTH];
    const uint64_t elems = (uint64_t)problem->dims[SOFTMAX_ROWS] * width;
    const uint64_t mask = (uint64_t)problem->dims[SOFTMAX_MASK_ROWS] * width;
    *ret_cost =
        (struct tfops_cost){.bytes_read = elems * spec_elem_bytes(problem, SOFTMAX_DTYPE) +
                                          mask * spec_elem_bytes(problem, SOFTMAX_MASK_DTYPE),
            .bytes_written = elems * spec_elem_bytes(problem, SOFTMAX_OUT_DTYPE),
            .flops = 5 * elems};
}

/*
 * One rounding to out_dtype. In fp32 the exponent x − max of an element that matters (down to e^-17)
 * is off by 2^-20, and the sum of up to 2^20 terms by less: 2e-6 of the value.
 */
static void tolerance(void *user, const struct tfops_problem *problem, size_t operand,
    struct tfops_tolerance *ret_tolerance)
{
    (void)user, (void)operand;
    static const struct tfops_tolerance BOUND[TFOPS_DTYPE_COUNT] = {
        [TFOPS_F32] = {5e-6, 1e-9, 2e-5},
        [TFOPS_F16] = {6e-4, 1.2e-7, 2e-3}, /* the least steps are 6e-8 */
        [TFOPS_BF16] = {5e-3, 1e-9, 1.6e-2},
    };
    *ret_tolerance = BOUND[problem->dtypes[SOFTMAX_OUT_DTYPE]];
}

const struct tfops_spec softmax_spec = {
    .size = sizeof(struct tfops_spec),
    .abi = TFOPS_SPEC_ABI,
    .version = 1,
    .name = "softmax",
    .summary = "softmax of rows, scaled, under a causal or an additive mask",
    .formula = "out = exp(t − max(t)) / Σ exp(t − max(t)), t = scale · x + mask; a row that a mask "
               "hides wholly is 0",
    SPEC_TABLE(dims, DIMS),
    SPEC_TABLE(dtypes, DTYPES),
    SPEC_TABLE(options, OPTIONS),
    SPEC_TABLE(scalars, SCALARS),
    SPEC_TABLE(operands, OPERANDS),
    .accepts = accepts,
    .cost = cost,
    .tolerance = tolerance,
    .reference = softmax_reference,
};
