/*
 * The spec of softmax (softmax/softmax.cu), in the space of the row family (row/row_space.h).
 *
 * Rows collapse, so matrices of attention scores [batch, heads, queries, width] are rows too. What
 * belongs to a row's place in its matrix repeats: a mask of fewer rows, the causal edge.
 */
#include "kernels/spec_tables.h"
#include "row/row_space.h"
#include "softmax_params.h"
#include "softmax_specs.h"

enum { MAX_WIDTH = 1 << 20 };

static const struct tfops_dim_spec DIMS[] = {
    [SOFTMAX_ROWS] = {"rows", TFOPS_DIM_DYNAMIC, 0, ROW_MAX_ROWS, "rows, e.g. heads · queries"},
    [SOFTMAX_WIDTH] = {"width", 0, 1, MAX_WIDTH, "elements of a row"},
    [SOFTMAX_MASK_ROWS] = {"mask_rows", TFOPS_DIM_FREE, 0, ROW_MAX_ROWS,
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
    [SOFTMAX_QUERIES] = {"queries", 0, 0, ROW_MAX_ROWS,
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

/* ---- the space and launching ---------------------------------------------------------------- */

static void shape(const struct tfops_problem *problem, struct row_shape *ret_shape)
{
    const int64_t elem_bytes = (int64_t)spec_elem_bytes(problem, SOFTMAX_DTYPE);
    const bool masked = spec_has(problem, SOFTMAX_MASK);
    const bool surveyed = !problem->options[SOFTMAX_CAUSAL] && elem_bytes == 2;
    *ret_shape = (struct row_shape){.rows = problem->dims[SOFTMAX_ROWS],
        .width = problem->dims[SOFTMAX_WIDTH],
        .elem_bytes = elem_bytes,
        .held_bytes = masked ? (int64_t)sizeof(float) : elem_bytes,
        .inputs = 1,
        .steps = 1,
        .words = 3,
        .unit = 1,
        .state_registers = masked     ? 104
                           : surveyed ? 32
                                      : 40,
        .cluster_registers = surveyed ? 8 : 0};
}

static const struct row_family FAMILY = {shape};

/* What multiplies a logit, for exponentials of base 2; never 0 where what is hidden must stay infinite. */
static float logit_factor(const struct tfops_problem *problem, double scale)
{
    static const float LOG2E = 1.44269504f, LEAST = 1.4e-45f;
    const float factor = spec_has(problem, SOFTMAX_MASK) ? LOG2E : (float)scale * LOG2E;
    return factor == 0 && problem->options[SOFTMAX_CAUSAL] ? LEAST : factor;
}

static void pack(void *user, const struct tfops_launch_args *launch, void *ret_params)
{
    (void)user;
    const struct tfops_problem *problem = launch->problem;
    const struct tfops_view *operands = launch->operands;
    const int64_t rows = problem->dims[SOFTMAX_ROWS], mask_rows = problem->dims[SOFTMAX_MASK_ROWS];
    const int64_t queries = (int64_t)launch->scalars[SOFTMAX_QUERIES];
    const float factor = logit_factor(problem, launch->scalars[SOFTMAX_SCALE]);
    *(struct softmax_params *)ret_params = (struct softmax_params){.x = operands[SOFTMAX_X].data,
        .mask = operands[SOFTMAX_MASK].data,
        .out = operands[SOFTMAX_OUT].data,
        .x_stride = operands[SOFTMAX_X].strides[0],
        .mask_stride = operands[SOFTMAX_MASK].strides[0],
        .out_stride = operands[SOFTMAX_OUT].strides[0],
        .rows = rows,
        .width = (int)problem->dims[SOFTMAX_WIDTH],
        .mask_rows = mask_rows > 0 ? (int)mask_rows : 1,
        .queries = (int)(queries > 0 ? queries
                         : rows > 0  ? rows
                                     : 1),
        .scale = (float)launch->scalars[SOFTMAX_SCALE],
        .quarter = factor < 0 ? -0.25f : 0.25f,
        .steep = 4 * (factor < 0 ? -factor : factor),
        .dtype = problem->dtypes[SOFTMAX_DTYPE],
        .out_dtype = problem->dtypes[SOFTMAX_OUT_DTYPE],
        .mask_dtype = problem->dtypes[SOFTMAX_MASK_DTYPE],
        .causal = problem->options[SOFTMAX_CAUSAL]};
}

/* ---- cost and tolerance --------------------------------------------------------------------- */

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
 * One rounding to out_dtype. In fp32 the exponent of an element that matters (down to e^-17 of the
 * greatest, and of that by up to 2^20) is off by 2^-20, and the logarithm of the sum, up to 20, by 2^-22
 * of it: 4e-6 of the value at most. Under a mask scale · x + mask is rounded first, product and sum, each
 * by half a step: 2^-11 for logits of 1e4. Of a term and of the greatest in the sum that makes 4 · 2^-11
 * = 2e-3 at most, 4 · 2^-11 / sqrt(3) / 2 = 6e-4 in the mean.
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
    if (spec_has(problem, SOFTMAX_MASK)) {
        ret_tolerance->relative += 1e-3;
        ret_tolerance->rtol += 2e-3;
    }
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
    ROW_SPACE(FAMILY),
    .template_path = "softmax/softmax.cu",
    .body = "softmax",
    .generic_body = "softmax_generic",
    .params_type = "softmax_params",
    .param_bytes = sizeof(struct softmax_params),
    .accepts = accepts,
    .pack = pack,
    .cost = cost,
    .tolerance = tolerance,
    .reference = softmax_reference,
};
