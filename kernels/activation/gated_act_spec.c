/*
 * The spec of gated_act (activation/gated_act.cu), in the space of the row family (row/row_space.h).
 *
 * One packed tensor [rows, 2·ffn] is two operands: gate and up are its halves, with its row stride.
 */
#include "activation_specs.h"
#include "gated_act_params.h"
#include "kernels/quant/quant_spec.h"
#include "kernels/spec_tables.h"
#include "row/row_space.h"

enum { MAX_FFN = 1 << 17 };

static const struct tfops_dim_spec DIMS[] = {
    [GATED_ACT_ROWS] = {"rows", TFOPS_DIM_DYNAMIC, 0, ROW_MAX_ROWS, "rows, e.g. tokens"},
    [GATED_ACT_FFN] = {"ffn", 0, 1, MAX_FFN, "elements of a row of gate, up and out"},
    [GATED_ACT_SCALE_ROWS] = QUANT_SCALE_ROWS_DIM,
    [GATED_ACT_SCALE_COLS] = QUANT_SCALE_COLS_DIM,
};

static const struct tfops_dtype_spec DTYPES[] = {
    [GATED_ACT_DTYPE] = {"dtype", SPEC_FLOATS, "of gate and up"},
    [GATED_ACT_OUT_DTYPE] = {"out_dtype", SPEC_FLOATS | SPEC_FP8,
        "of out: that of gate, or fp8 with scales"},
    [GATED_ACT_SCALE_DTYPE] = QUANT_SCALE_DTYPE_ROW,
};

static const char *const ACTS[] = {"silu", "gelu", "gelu_tanh"};

static const struct tfops_option_spec OPTIONS[] = {
    [GATED_ACT_ACT] = {"act", ACTS, 3, "x·σ(x); x·Φ(x) by erf; its approximation by tanh"},
    [GATED_ACT_GRANULARITY] = QUANT_ROW_GRANULARITY_OPTION,
    [GATED_ACT_SCALE_MAJOR] = QUANT_SCALE_MAJOR_OPTION,
};

#define ROWS_OF(dtype)                                                                             \
    TFOPS_OPERAND_ROWS, dtype, 2,                                                                  \
    {                                                                                              \
        GATED_ACT_ROWS, GATED_ACT_FFN                                                              \
    }

static const struct tfops_operand_spec OPERANDS[] = {
    [GATED_ACT_GATE] = {"gate", TFOPS_IN, ROWS_OF(GATED_ACT_DTYPE), 1u << GATED_ACT_OUT,
        "what is activated; the first half of a packed tensor"},
    [GATED_ACT_UP] = {"up", TFOPS_IN, ROWS_OF(GATED_ACT_DTYPE), 1u << GATED_ACT_OUT,
        "what it multiplies; the second half"},
    [GATED_ACT_OUT] = {"out", TFOPS_OUT, ROWS_OF(GATED_ACT_OUT_DTYPE),
        1u << GATED_ACT_GATE | 1u << GATED_ACT_UP, "may be gate or up when of their dtype"},
    [GATED_ACT_SCALES] = QUANT_SCALES_OPERAND(TFOPS_OUT, TFOPS_OPERAND_OPTIONAL,
        GATED_ACT_SCALE_DTYPE, GATED_ACT_SCALE_ROWS, GATED_ACT_SCALE_COLS),
};

static bool is_quantised(const struct tfops_problem *problem)
{
    return SPEC_FP8 >> problem->dtypes[GATED_ACT_OUT_DTYPE] & 1;
}

static struct quant_layout layout_of(const struct tfops_problem *problem)
{
    return quant_row_layout(problem->options[GATED_ACT_GRANULARITY],
        problem->options[GATED_ACT_SCALE_MAJOR], problem->dims[GATED_ACT_ROWS],
        problem->dims[GATED_ACT_FFN]);
}

static int64_t derive(void *user, const struct tfops_problem *problem, size_t dim)
{
    (void)user;
    const struct quant_layout layout = layout_of(problem);
    return quant_scale_extent(&layout, dim == GATED_ACT_SCALE_COLS);
}

static bool accepts(
    void *user, const struct tfops_problem *problem, char reason[TFOPS_REASON_BYTES])
{
    (void)user;
    const enum tfops_dtype dtype = (enum tfops_dtype)problem->dtypes[GATED_ACT_DTYPE];
    const enum tfops_dtype out = (enum tfops_dtype)problem->dtypes[GATED_ACT_OUT_DTYPE];
    const struct quant_layout layout = layout_of(problem);
    if (is_quantised(problem) != spec_has(problem, GATED_ACT_SCALES))
        return spec_refuse(reason,
            "scales: expected a tensor exactly when out is fp8, got %s and %s",
            spec_has(problem, GATED_ACT_SCALES) ? "one" : "none", tfops_dtype_name(out));
    if (!is_quantised(problem) && out != dtype)
        return spec_refuse(reason, "out: expected %s, that of gate, or fp8, got %s",
            tfops_dtype_name(dtype), tfops_dtype_name(out));
    return !is_quantised(problem) || quant_divides(&layout, "gate", "ffn", reason);
}

/* ---- the space and launching ---------------------------------------------------------------- */

static void shape(const struct tfops_problem *problem, struct row_shape *ret_shape)
{
    const bool by_group = problem->options[GATED_ACT_GRANULARITY] != 0;
    const int64_t elem_bytes = (int64_t)spec_elem_bytes(problem, GATED_ACT_DTYPE);
    *ret_shape = (struct row_shape){.rows = problem->dims[GATED_ACT_ROWS],
        .width = problem->dims[GATED_ACT_FFN],
        .elem_bytes = elem_bytes,
        .held_bytes = sizeof(float),
        .out_bytes = (int64_t)spec_elem_bytes(problem, GATED_ACT_OUT_DTYPE),
        .inputs = 2,
        .steps = is_quantised(problem) && !by_group,
        .words = 1,
        .unit = 1,
        .group = is_quantised(problem) && by_group ? QUANT_GROUP : 0,
        .state_registers = is_quantised(problem) && !by_group ? 16 : 0,
        .cluster_registers = 24,
        .generic_words = 1};
}

static const struct row_family FAMILY = {shape};

static void pack(void *user, const struct tfops_launch_args *launch, void *ret_params)
{
    (void)user;
    const struct tfops_problem *problem = launch->problem;
    const struct tfops_view *operands = launch->operands;
    const struct quant_layout layout = layout_of(problem);
    *(struct gated_act_params *)ret_params =
        (struct gated_act_params){.gate = operands[GATED_ACT_GATE].data,
            .up = operands[GATED_ACT_UP].data,
            .out = operands[GATED_ACT_OUT].data,
            .gate_stride = operands[GATED_ACT_GATE].strides[0],
            .up_stride = operands[GATED_ACT_UP].strides[0],
            .out_stride = operands[GATED_ACT_OUT].strides[0],
            .rows = problem->dims[GATED_ACT_ROWS],
            .quant = quant_params_of(&layout, &operands[GATED_ACT_SCALES]),
            .ffn = (int)problem->dims[GATED_ACT_FFN],
            .dtype = problem->dtypes[GATED_ACT_DTYPE],
            .out_dtype = problem->dtypes[GATED_ACT_OUT_DTYPE],
            .act = problem->options[GATED_ACT_ACT]};
}

/* ---- cost and tolerance --------------------------------------------------------------------- */

static void cost(void *user, const struct tfops_problem *problem, struct tfops_cost *ret_cost)
{
    (void)user;
    const uint64_t elems =
        (uint64_t)problem->dims[GATED_ACT_ROWS] * (uint64_t)problem->dims[GATED_ACT_FFN];
    const struct quant_layout layout = layout_of(problem);
    *ret_cost =
        (struct tfops_cost){.bytes_read = 2 * elems * spec_elem_bytes(problem, GATED_ACT_DTYPE),
            .bytes_written = elems * spec_elem_bytes(problem, GATED_ACT_OUT_DTYPE) +
                             (is_quantised(problem) ? quant_scales_bytes(&layout) : 0),
            .flops = 10 * elems};
}

/* One rounding to out_dtype; in fp32 an activation is within 1e-6. */
static void tolerance(void *user, const struct tfops_problem *problem, size_t operand,
    struct tfops_tolerance *ret_tolerance)
{
    (void)user;
    static const struct tfops_tolerance BOUND[TFOPS_DTYPE_COUNT] = {
        [TFOPS_F32] = {4e-6, 1e-6, 1e-5},
        [TFOPS_F16] = {6e-4, 1e-6, 2e-3},
        [TFOPS_BF16] = {5e-3, 1e-6, 1.6e-2},
    };
    *ret_tolerance =
        operand == GATED_ACT_SCALES ? QUANT_SCALE_TOLERANCE
        : is_quantised(problem)
            ? quant_tolerance((enum tfops_dtype)problem->dtypes[GATED_ACT_OUT_DTYPE], TFOPS_F32,
                  problem->dims[GATED_ACT_ROWS] * problem->dims[GATED_ACT_FFN])
            : BOUND[problem->dtypes[GATED_ACT_OUT_DTYPE]];
}

const struct tfops_spec gated_act_spec = {
    .size = sizeof(struct tfops_spec),
    .abi = TFOPS_SPEC_ABI,
    .version = 1,
    .name = "gated_act",
    .summary = "gated activation (SwiGLU, GeGLU), optionally quantised to fp8",
    .formula = "out = act(gate) · up (Shazeer 2020); fp8: out = that / scale",
    SPEC_TABLE(dims, DIMS),
    SPEC_TABLE(dtypes, DTYPES),
    SPEC_TABLE(options, OPTIONS),
    SPEC_TABLE(operands, OPERANDS),
    ROW_SPACE(FAMILY),
    .template_path = "activation/gated_act.cu",
    .body = "gated_act",
    .generic_body = "gated_act_generic",
    .params_type = "gated_act_params",
    .param_bytes = sizeof(struct gated_act_params),
    .derive = derive,
    .accepts = accepts,
    .pack = pack,
    .cost = cost,
    .tolerance = tolerance,
    .reference = gated_act_reference,
};
